"""`domain-sheet`: draws a subject in every domain, as the renderer does."""

from __future__ import annotations

import argparse

from ...commands.command import Command, no_options
from ..sheets import domain_sheet
from ..world.subject import subject_named


def _run(options: argparse.Namespace) -> None:
    file = options.out / f"{options.subject}-domains.jpg"
    domain_sheet(file, subject_named(options.subject))
    print(file)


COMMAND = Command("draw a subject in every domain: SUBJECT-domains.jpg", no_options, _run)
