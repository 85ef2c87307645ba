"""`example-portraits`: draws people that no training saw, as pictures to invert."""

from __future__ import annotations

import argparse

from ...commands.command import Command, no_options
from ..sheets import example_portraits


def _run(options: argparse.Namespace) -> None:
    for file in example_portraits(options.out):
        print(file)


COMMAND = Command("draw people that no training saw, to be inverted: portrait-1.png …", no_options, _run)
