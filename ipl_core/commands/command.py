"""What a command is: its help, its options and the function that runs it; and commands that consist of actions."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Command:
    """One word of the command line.

    help: one line for the list of commands. options: adds the command's options to its parser. run: carries out the
    parsed options and gives the exit status, or None for 0; raises InputError for a request that can't be carried out.
    """

    help: str
    options: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int | None]


def no_options(parser: argparse.ArgumentParser) -> None:
    """For a command that has no options."""


def add_commands(parser: argparse.ArgumentParser, commands: dict[str, Command], dest: str = "command") -> None:
    """Gives `parser` a subparser for each command; the chosen name is then the attribute `dest` of what it parses."""
    words = parser.add_subparsers(dest=dest, required=True, metavar=dest.upper())
    for name, command in commands.items():
        command.options(words.add_parser(name, help=command.help, description=command.help))


def with_actions(help_: str, actions: dict[str, Command], epilog: str | None = None) -> Command:
    """A command whose first argument names one of `actions`, such as `library list`."""

    def options(parser: argparse.ArgumentParser) -> None:
        parser.epilog = epilog
        add_commands(parser, actions, "action")

    return Command(help_, options, lambda chosen: actions[chosen.action].run(chosen))
