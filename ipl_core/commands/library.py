"""The command `library`: what is kept, by its folder's name; names, earlier steps, files in and out.

Asks and shows, as `__main__` does; the work is done by library.py and exchange.py.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InputError
from ..storage.paths import as_path, exists, is_folder
from ..storage.words import readable
from .models import number

if TYPE_CHECKING:
    from ..library.store import Entry


def library_options(parser: argparse.ArgumentParser) -> None:
    """Adds the actions of the command."""
    parser.epilog = "An entry is named as list says; `export ENTRY --out FILE` writes the whole generator."
    words = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, (help_, options, _) in ACTIONS.items():
        options(words.add_parser(name, help=help_, description=help_))


def library(options: argparse.Namespace) -> int:
    """The command `library`; gives the exit status."""
    return ACTIONS[options.action][2](options)


def named_entry(name: str) -> Entry:
    """The entry in the library's folder called `name`, in the folder with that path, or a finished model's."""
    from ..library import shipped
    from ..library import store as library
    from ..storage import durable

    durable.settle(library.runs_folder())
    path = library.runs_folder() / name
    if is_folder(path):
        return library.open_entry(path)
    finished = None if exists(name) else shipped.find(name)
    return library.open_entry(finished or name)


def prompts_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the command `prompts`."""
    _named(parser)
    parser.add_argument("--seeds", default="0-7", help="whose prompts, such as 0-7,20 (%(default)s)")
    parser.add_argument("--psi", type=number, help="truncation at which people are looked at; else the run's previews'")


def prompts(options: argparse.Namespace) -> int:
    """The command `prompts`, which prints a line a seed; gives the exit status."""
    from ..latents import parse_seeds
    from ..library import runs

    if options.psi is not None and not 0 <= options.psi <= 1.5:
        raise InputError(f"Truncation must be a number from 0 to 1.5, not {options.psi:g}.")
    for seed, words in runs.readings(named_entry(options.entry), parse_seeds(options.seeds), options.psi).items():
        print(f"{seed}: {words}")
    return 0


def _named(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("entry", metavar="ENTRY", help="its name in the library, see list, or the path of its folder")


def _list(options: argparse.Namespace) -> int:
    from ..library import store as library
    from ..storage.words import size_words

    entries, problems = library.scan()
    for entry in entries:
        steps = f", steps kept: {', '.join(map(str, entry.steps()))}" if entry.steps() else ""
        whose = ", comes with the app" if entry.shipped else ""
        print(f"{entry.name}\n  {entry.title}{whose}, {size_words(entry.bytes)}{steps}")
    for problem in problems:
        print(problem, file=sys.stderr)
    return 0


def _rename_options(parser: argparse.ArgumentParser) -> None:
    _named(parser)
    parser.add_argument("title", type=readable, help="what to call it; an empty one takes its title away")


def _rename(options: argparse.Namespace) -> int:
    from ..library import store as library

    print(library.rename(named_entry(options.entry), options.title).title)
    return 0


def _delete(options: argparse.Namespace) -> int:
    from ..library import store as library

    entry = named_entry(options.entry)
    library.delete(entry)
    print(f"Deleted: {entry.title}")
    return 0


def _pick_options(parser: argparse.ArgumentParser) -> None:
    _named(parser)
    parser.add_argument("step", type=number, help="an earlier step that the run kept, see list")


def _pick(options: argparse.Namespace) -> int:
    from ..library import store as library

    print(library.pick(named_entry(options.entry), options.step).path)
    return 0


def _export_options(parser: argparse.ArgumentParser) -> None:
    _named(parser)
    parser.add_argument("--step", type=number, help="an earlier step that the run kept; left out, the last")
    parser.add_argument(
        "--out", required=True, metavar="FILE", help="ends in .safetensors (ours) or .pt (rosinality's)"
    )


def _export(options: argparse.Namespace) -> int:
    from ..library.exchange import export_generator
    from ..storage.folders import check_writable_file

    check_writable_file(as_path(options.out))
    print(export_generator(named_entry(options.entry), options.out, options.step))
    return 0


def _import_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "file",
        metavar="FILE",
        help=".safetensors of this program, rosinality's .pt or NVIDIA's .pkl; or a folder that `adapt` or `invert` "
        "wrote, which is taken in as it is",
    )
    add("--model", default="studio", help="name or path of the generator that it was adapted from (%(default)s)")
    add("--target", default="", help="the domain that it draws; left out, what the file says")
    add("--source", default="", help="what the model draws; left out, what the file or the list of models says")
    add("--critic", help="CLIP that goes with it; left out, the model's own")


def _import(options: argparse.Namespace) -> int:
    from ..library.exchange import import_generator

    if is_folder(options.file):
        return _bring_in(as_path(options.file))
    entry = import_generator(options.file, options.model, options.target, options.source, options.critic)
    if entry.settings["imported"]["changes mapping"]:
        print(f"Its mapping network isn't that of “{options.model}”: another model may be the one it was adapted from.")
    print(f"{entry.title}: {entry.path}")
    return 0


def _bring_in(folder: Path) -> int:
    from ..library import inversions as people
    from ..library import store as library

    if (folder / people.INVERTED).is_file():
        inverted = people.bring_in(folder)
        print(f"{inverted.title}: {inverted.path}")
    else:
        entry = library.bring_in(folder)
        print(f"{entry.title}: {entry.path}")
    return 0


ACTIONS = {
    "list": ("every adapted domain that is here, the newest first; damaged ones are named", lambda parser: None, _list),
    "rename": ("give an entry a title of its own", _rename_options, _rename),
    "delete": ("delete an entry for good", _named, _delete),
    "pick": ("make an earlier step an entry of its own", _pick_options, _pick),
    "export": ("write the whole adapted generator to one file", _export_options, _export),
    "import": ("take in a generator that was adapted elsewhere", _import_options, _import),
}
