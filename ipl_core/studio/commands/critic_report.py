"""`critic-report`: compares how the CLIP model and the judge see true renders and adapted generators."""

from __future__ import annotations

import argparse

from ...commands.command import Command, no_options
from ...metrics.reports.clip_model import critic_report
from .options import registry_name


def _run(options: argparse.Namespace) -> None:
    for line in critic_report(registry_name(options.subject), smoke=options.smoke):
        print(line, flush=True)


COMMAND = Command("what the CLIP model and the judge make of true renders and of adapted generators", no_options, _run)
