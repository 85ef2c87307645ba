"""`average-clip`: writes the mean of several trained CLIP models."""

from __future__ import annotations

import argparse
from pathlib import Path

from ...commands.command import Command
from ..training.towers import average_clips


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--of", type=Path, nargs="+", required=True, metavar="DIR", help="the critics' folders")


def _run(options: argparse.Namespace) -> None:
    average_clips(options.of, options.out / "studio-clip")


COMMAND = Command("take the mean of critics that were gone on with from one start: studio-clip/", _options, _run)
