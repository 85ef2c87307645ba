"""`average-clip`: writes the mean of several trained CLIP models."""

from __future__ import annotations

import argparse
from pathlib import Path

from ...commands.command import Command
from ..training.towers import average_clips


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--of", type=Path, nargs="+", required=True, metavar="DIR", help="the folders of the CLIP models"
    )


def _run(options: argparse.Namespace) -> None:
    average_clips(options.of, options.out / "studio-clip")


COMMAND = Command("average CLIP models that were trained further from the same one: studio-clip/", _options, _run)
