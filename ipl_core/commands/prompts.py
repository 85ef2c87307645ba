"""`prompts`: what a run's prompts say of people, in words, a line a seed."""

from __future__ import annotations

import argparse

from ..latents import parse_seeds
from ..library.find_or_run import readings
from ..storage.values import truncation
from .command import Command
from .library import add_entry, named_entry
from .options import number


def _options(parser: argparse.ArgumentParser) -> None:
    add_entry(parser)
    parser.add_argument("--seeds", default="0-7", help="the people, such as 0-7,20 (%(default)s)")
    parser.add_argument("--psi", type=number, help="truncation of the people; left out, that of the run's previews")


def _run(options: argparse.Namespace) -> None:
    psi = None if options.psi is None else truncation(options.psi)
    for seed, words in readings(named_entry(options.entry), parse_seeds(options.seeds), psi).items():
        print(f"{seed}: {words}")


COMMAND = Command("say in words what a run's prompts are for people", _options, _run)
