"""Writes the generated pages: command-line.md from the parsers, metrics.md from METRICS. `python docs/generate.py`."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from ipl_core.commands.main import command_parser  # noqa: E402
from ipl_core.metrics.registry import METRICS  # noqa: E402
from ipl_core.studio.commands.main import command_parser as studio_parser  # noqa: E402

_COMMANDS = """# The command line

Written by `python docs/generate.py` from the program's own parsers; change the help there, not here.
`--help` says the same on a terminal. [usage.md](usage.md) has examples.
"""
_METRICS = """# The metrics

Written by `python docs/generate.py` from `METRICS` ([ipl_core/metrics/registry.py](../ipl_core/metrics/registry.py)).
`evaluate --table` measures all of them that can be measured, and says why it can't measure the others:
[results.md](results.md). *Networks* says whose features a metric needs: embedded (the judge and the CLIP model of the
portrait studio), real (published networks, whose files have to be here), or any CLIP model.

| name | metric | better | networks | needs |
|---|---|---|---|---|
"""


def metrics() -> str:
    """The whole text of metrics.md."""
    better = {True: "higher", False: "lower", None: ""}
    return _METRICS + "".join(
        f"| `{m.name}` | {m.title} | {better[m.higher]} | {m.family} | {', '.join(m.needs)} |\n"
        for m in METRICS.values()
    )


def command_line() -> str:
    """The whole text of command-line.md."""
    parts = [_COMMANDS]
    for parser in (command_parser(), studio_parser()):
        parts.append(f"## `{parser.prog}`\n\n{parser.description}\n")
        if options := _rows(parser):
            parts.append(f"Before the command:\n\n{_table(options)}")
        shared = _shared(parser)
        if shared:
            parts.append(f"Every command has these, unless its own table says otherwise:\n\n{_table(shared)}")
        parts += _commands(parser, 3, shared)
    return "\n".join(parts)


def _shared(parser: argparse.ArgumentParser) -> list[str]:
    """The rows that stand in the tables of all commands of `parser`, or of all but one."""
    (choice,) = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    count = Counter(row for command in choice.choices.values() for row in _rows(command))
    return [row for row, times in count.items() if times >= len(choice.choices) - 1]


def _commands(parser: argparse.ArgumentParser, level: int, shared: Collection[str] = ()) -> Iterator[str]:
    """A section for each command of `parser`, and below it for each of the command's actions."""
    for chosen in parser._actions:
        if not isinstance(chosen, argparse._SubParsersAction):
            continue
        for name, command in chosen.choices.items():
            usage = " ".join([name, *(_name(action) for action in command._actions if _is_argument(action))])
            yield f"{'#' * level} {usage}\n\n{command.description[:1].upper()}{command.description[1:]}.\n"
            if options := [row for row in _rows(command) if row not in shared]:
                yield _table(options)
            if command.epilog:
                yield f"{command.epilog}\n"
            yield from _commands(command, level + 1)


def _rows(parser: argparse.ArgumentParser) -> list[str]:
    """The rows of a table: the arguments and options of a command."""
    return [
        f"| {_code(_name(action))} | {_help(action)} |"
        for action in parser._actions
        if not isinstance(action, (argparse._HelpAction, argparse._SubParsersAction))
    ]


def _table(rows: list[str]) -> str:
    return "\n".join(["| option | |", "|---|---|", *rows]) + "\n"


def _is_argument(action: argparse.Action) -> bool:
    return not action.option_strings and not isinstance(action, argparse._SubParsersAction)


def _name(action: argparse.Action) -> str:
    """An option with its value as a person types it, such as `--out DIR` or `[TARGET …]`."""
    value = action.metavar or (f"{{{','.join(action.choices)}}}" if action.choices else action.dest.upper())
    many = {"+": f"{value} …", "*": f"[{value} …]", "?": f"[{value}]"}.get(action.nargs, value)
    if _is_argument(action):
        return many
    names = " / ".join(action.option_strings)
    return names if action.nargs == 0 else f"{names} {many}"


def _help(action: argparse.Action) -> str:
    """The help of an option, with its default as it is on any machine."""
    default = action.default
    if action.dest == "threads":
        default = "all cores"
    elif isinstance(default, (str, Path)) and Path(default).is_relative_to(ROOT):
        default = Path(default).relative_to(ROOT).as_posix()
    # Python before 3.13 appends this to the help of options such as --loop and --no-loop.
    words = (action.help or "").removesuffix(" (default: %(default)s)") % {**vars(action), "default": default}
    return f"{words}{' **(required)**' if action.required and action.option_strings else ''}".replace("|", "\\|")


def _code(text: str) -> str:
    return f"`{text}`".replace("|", "\\|")


#: File name → the function that gives its text.
PAGES = {"command-line.md": command_line, "metrics.md": metrics}

if __name__ == "__main__":
    for name, text in PAGES.items():
        (ROOT / "docs" / name).write_text(text(), encoding="utf-8")
