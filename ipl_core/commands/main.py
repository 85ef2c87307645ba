"""Parses the command line and runs the command that it names. COMMANDS is the table of all of them.

A request that can't be carried out ends with one plain sentence and exit status 2.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence

from ..errors import InputError
from ..memory import enough_memory
from . import (
    adapt,
    convert,
    evaluate,
    evaluate_inversion,
    evaluate_photographs,
    interpolate,
    invert,
    library,
    licences,
    models,
    prompts,
    render,
    restyle,
    results,
    resume,
    sample,
    start_row,
    study,
    why,
)
from .command import Command, add_commands
from .console import lasting_output
from .progress import INTERRUPTED

#: The name of every command → the command, in the order of `--help`.
COMMANDS: dict[str, Command] = {
    "adapt": adapt.COMMAND,
    "evaluate": evaluate.COMMAND,
    "evaluate-inversion": evaluate_inversion.COMMAND,
    "evaluate-photographs": evaluate_photographs.COMMAND,
    "results": results.COMMAND,
    "why": why.COMMAND,
    "invert": invert.COMMAND,
    "interpolate": interpolate.COMMAND,
    "resume": resume.COMMAND,
    "restyle": restyle.COMMAND,
    "sample": sample.COMMAND,
    "render": render.COMMAND,
    "convert": convert.COMMAND,
    "library": library.COMMAND,
    "prompts": prompts.COMMAND,
    "start-row": start_row.COMMAND,
    "study": study.COMMAND,
    "models": models.COMMAND,
    "licences": licences.COMMAND,
}


class _Parser(argparse.ArgumentParser):
    """argparse, with its complaints as one sentence like all others."""

    def error(self, message: str) -> None:
        self.exit(2, f"{message[:1].upper()}{message[1:]}. Try: {self.prog} --help\n")


def command_parser() -> argparse.ArgumentParser:
    """The parser of all commands; the chosen command's name is the attribute `command` of what it parses."""
    parser = _Parser(prog="python -m ipl_core", description="Adapt a generator to a domain named in words.")
    parser.add_argument("--verbose", action="store_true", help="say more about what is done")
    add_commands(parser, COMMANDS)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; gives the exit status: 0 done, 1 ended early, 2 bad input, 130 interrupted."""
    with lasting_output():
        return _main(arguments)


def _main(arguments: Sequence[str] | None) -> int:
    options = command_parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO if options.verbose else logging.WARNING, format="%(message)s")
    try:
        with enough_memory():
            return COMMANDS[options.command].run(options) or 0
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return INTERRUPTED
