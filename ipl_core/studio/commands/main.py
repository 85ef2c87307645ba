"""Parses the studio's command line and runs the command that it names. COMMANDS is the table of all of them.

Training resumes from its work folder and runs on two CPU cores. --smoke runs every line of a command in seconds.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from dataclasses import replace

import torch

from ...commands.command import Command, add_commands
from ...commands.console import lasting_output
from ...devices import usable_device
from ...errors import InputError
from ..world.subject import subject_named
from . import (
    average_clip,
    clip_pictures,
    critic_report,
    diffusion_report,
    direction_report,
    domain_sheet,
    example_portraits,
    generator_report,
    method_sheet,
    ship,
    train_attribute_reader,
    train_clip,
    train_diffusion,
    train_encoder,
    train_generator,
    train_judge,
)
from .options import add_shared

#: The name of every command → the command, in the order of `--help`.
COMMANDS: dict[str, Command] = {
    "train-generator": train_generator.COMMAND,
    "clip-pictures": clip_pictures.COMMAND,
    "train-clip": train_clip.COMMAND,
    "average-clip": average_clip.COMMAND,
    "train-judge": train_judge.COMMAND,
    "train-encoder": train_encoder.COMMAND,
    "train-attribute-reader": train_attribute_reader.COMMAND,
    "train-diffusion": train_diffusion.COMMAND,
    "generator-report": generator_report.COMMAND,
    "diffusion-report": diffusion_report.COMMAND,
    "critic-report": critic_report.COMMAND,
    "direction-report": direction_report.COMMAND,
    "example-portraits": example_portraits.COMMAND,
    "method-sheet": method_sheet.COMMAND,
    "ship": ship.COMMAND,
    "domain-sheet": domain_sheet.COMMAND,
}


def command_parser() -> argparse.ArgumentParser:
    """The parser of all commands; the chosen command's name is the attribute `command` of what it parses."""
    parser = argparse.ArgumentParser(prog="python -m ipl_core.studio", description="Make the embedded models anew.")
    add_commands(parser, {name: _with_shared_options(command) for name, command in COMMANDS.items()})
    return parser


def _with_shared_options(command: Command) -> Command:
    def options(parser: argparse.ArgumentParser) -> None:
        add_shared(parser)
        command.options(parser)
        parser.add_argument("--smoke", action="store_true", help="a few steps only, to see that it runs")

    return replace(command, options=options)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; gives the exit status: 0 done, 2 bad input."""
    with lasting_output():
        return _main(arguments)


def _main(arguments: Sequence[str] | None) -> int:
    options = command_parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(options.threads)
    try:
        subject_named(options.subject)
        usable_device(options.device)
        return COMMANDS[options.command].run(options) or 0
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
