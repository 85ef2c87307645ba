"""`library`: lists, names, deletes, exports and imports what is kept, each entry by the name of its folder."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ..library import inversions, shipped, store
from ..library.import_export import export_generator, import_generator
from ..storage import durable, folders
from ..storage.paths import as_path, exists, is_folder
from ..storage.words import readable, size_words
from .command import Command, no_options, with_actions
from .options import number


def named_entry(name: str) -> store.Entry:
    """The entry in the library's folder called `name`, in the folder with that path, or a finished model's."""
    durable.settle(store.runs_folder())
    path = store.runs_folder() / name
    if is_folder(path):
        return store.open_entry(path)
    finished = None if exists(name) else shipped.find(name)
    return store.open_entry(finished or name)


def add_entry(parser: argparse.ArgumentParser) -> None:
    """The argument ENTRY, which `named_entry` opens."""
    parser.add_argument("entry", metavar="ENTRY", help="its name in the library, see list, or the path of its folder")


def _list(options: argparse.Namespace) -> None:
    entries, problems = store.scan()
    for entry in entries:
        steps = f", steps kept: {', '.join(map(str, entry.steps()))}" if entry.steps() else ""
        whose = ", comes with the app" if entry.shipped else ""
        print(f"{entry.name}\n  {entry.title}{whose}, {size_words(entry.bytes)}{steps}")
    for problem in problems:
        print(problem, file=sys.stderr)


def _rename_options(parser: argparse.ArgumentParser) -> None:
    add_entry(parser)
    parser.add_argument("title", type=readable, help="what to call it; an empty one takes its title away")


def _rename(options: argparse.Namespace) -> None:
    print(store.rename(named_entry(options.entry), options.title).title)


def _delete(options: argparse.Namespace) -> None:
    entry = named_entry(options.entry)
    store.delete(entry)
    print(f"Deleted: {entry.title}")


def _pick_options(parser: argparse.ArgumentParser) -> None:
    add_entry(parser)
    parser.add_argument("step", type=number, help="an earlier step that the run kept, see list")


def _pick(options: argparse.Namespace) -> None:
    print(store.pick(named_entry(options.entry), options.step).path)


def _export_options(parser: argparse.ArgumentParser) -> None:
    add_entry(parser)
    parser.add_argument("--step", type=number, help="an earlier step that the run kept; left out, the last")
    parser.add_argument(
        "--out", required=True, metavar="FILE", help="ends in .safetensors (ours) or .pt (rosinality's)"
    )


def _export(options: argparse.Namespace) -> None:
    folders.check_writable_file(as_path(options.out))
    print(export_generator(named_entry(options.entry), options.out, options.step))


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
    add("--critic", help="the CLIP model that goes with it; left out, the model's own")


def _import(options: argparse.Namespace) -> None:
    if is_folder(options.file):
        _bring_in(as_path(options.file))
        return
    entry = import_generator(options.file, options.model, options.target, options.source, options.critic)
    if entry.origin.changes_mapping:
        print(f"Its mapping network isn't that of “{options.model}”: another model may be the one it was adapted from.")
    print(f"{entry.title}: {entry.path}")


def _bring_in(folder: Path) -> None:
    """Takes in a folder that `adapt` or `invert` wrote."""
    kept = inversions.bring_in(folder) if (folder / inversions.INVERTED).is_file() else store.bring_in(folder)
    print(f"{kept.title}: {kept.path}")


COMMAND = with_actions(
    "list, name, export, import and delete what is kept",
    {
        "list": Command(
            "every adapted domain that is here, the newest first; damaged ones are named", no_options, _list
        ),
        "rename": Command("give an entry a title of its own", _rename_options, _rename),
        "delete": Command("delete an entry for good", add_entry, _delete),
        "pick": Command("make an earlier step an entry of its own", _pick_options, _pick),
        "export": Command("write the whole adapted generator to one file", _export_options, _export),
        "import": Command("take in a generator that was adapted elsewhere", _import_options, _import),
    },
    "An entry is named as list says; `export ENTRY --out FILE` writes the whole generator.",
)
