"""`licences`: the licence of every package that is installed for this program, and of every model that it names."""

from __future__ import annotations

import argparse

from ..models.licences import rows
from .command import Command, no_options
from .models import known


def _run(options: argparse.Namespace) -> None:
    print("Packages, as they are installed here:")
    for row in rows():
        print(f"  {row.package} {row.version}: {row.licence}{f' ({row.remark})' if row.remark else ''}")
    print("Models:")
    for entry in known():
        print(f"  {entry.name}: {entry.licence}")


COMMAND = Command("list the licences of all packages and models that are used", no_options, _run)
