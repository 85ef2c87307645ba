"""The command `library`: what is kept, by its folder's name; names, earlier steps, files in and out.

Asks and shows, as `__main__` does; the work is done by library.py and exchange.py.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from .model_commands import number

if TYPE_CHECKING:
    from .library import Entry


def library_options(parser: argparse.ArgumentParser) -> None:
    """Adds the actions of the command."""
    parser.epilog = "An entry is named by its folder; `export ENTRY --out FILE` writes the whole generator."
    words = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, (help_, options, _) in ACTIONS.items():
        options(words.add_parser(name, help=help_, description=help_))


def library(options: argparse.Namespace) -> int:
    """The command `library`; gives the exit status."""
    return ACTIONS[options.action][2](options)


def named_entry(name: str) -> Entry:
    """The entry in the library's folder called `name`, or in the folder with that path."""
    from . import library

    path = library.runs_folder() / name
    return library.open_entry(path if path.is_dir() else name)


def _named(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("entry", metavar="ENTRY", help="name of its folder in the library, or the path of one")


def _list(options: argparse.Namespace) -> int:
    from . import library
    from .catalog import size_words

    for entry in library.list_entries():
        steps = f", steps kept: {', '.join(map(str, entry.steps()))}" if entry.steps() else ""
        print(f"{entry.path.name}\n  {entry.title}, {size_words(entry.bytes)}{steps}")
    return 0


def _rename_options(parser: argparse.ArgumentParser) -> None:
    _named(parser)
    parser.add_argument("title", help="what to call it; an empty one takes its title away")


def _rename(options: argparse.Namespace) -> int:
    from . import library

    print(library.rename(named_entry(options.entry), options.title).title)
    return 0


def _delete(options: argparse.Namespace) -> int:
    from . import library

    entry = named_entry(options.entry)
    library.delete(entry)
    print(f"Deleted: {entry.title}")
    return 0


def _pick_options(parser: argparse.ArgumentParser) -> None:
    _named(parser)
    parser.add_argument("step", type=number, help="an earlier step that the run kept, see list")


def _pick(options: argparse.Namespace) -> int:
    from . import library

    print(library.pick(named_entry(options.entry), options.step).path)
    return 0


def _export_options(parser: argparse.ArgumentParser) -> None:
    _named(parser)
    parser.add_argument("--step", type=number, help="an earlier step that the run kept; left out, the last")
    parser.add_argument(
        "--out", required=True, metavar="FILE", help="ends in .safetensors (ours) or .pt (rosinality's)"
    )


def _export(options: argparse.Namespace) -> int:
    from .exchange import export_generator

    print(export_generator(named_entry(options.entry), options.out, options.step))
    return 0


def _import_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("file", metavar="FILE", help=".safetensors of this program, rosinality's .pt or NVIDIA's .pkl")
    add("--model", default="studio", help="name or path of the generator that it was adapted from (%(default)s)")
    add("--target", default="", help="the domain that it draws; left out, what the file says")
    add("--source", default="", help="what the model draws; left out, what the file or the list of models says")
    add("--critic", help="CLIP that goes with it; left out, the model's own")


def _import(options: argparse.Namespace) -> int:
    from .exchange import import_generator

    entry = import_generator(options.file, options.model, options.target, options.source, options.critic)
    if entry.settings["imported"]["changes mapping"]:
        print(f"Its mapping network isn't that of “{options.model}”: another model may be the one it was adapted from.")
    print(f"{entry.title}: {entry.path}")
    return 0


ACTIONS = {
    "list": ("every adapted domain that is kept, the newest first", lambda parser: None, _list),
    "rename": ("give an entry a title of its own", _rename_options, _rename),
    "delete": ("delete an entry for good", _named, _delete),
    "pick": ("make an earlier step an entry of its own", _pick_options, _pick),
    "export": ("write the whole adapted generator to one file", _export_options, _export),
    "import": ("take in a generator that was adapted elsewhere", _import_options, _import),
}
