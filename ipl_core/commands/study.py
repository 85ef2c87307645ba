"""The command `study`: start a blind study, count its votes, write them to files. Part of the command line."""

from __future__ import annotations

import argparse
from functools import partial

from ..storage.paths import as_path
from ..storage.words import readable
from .models import AUTO_DEVICE, chosen_device, number


def options(parser: argparse.ArgumentParser) -> None:
    words = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, (help_, _) in ACTIONS.items():
        action = words.add_parser(name, help=help_, description=help_)
        add = action.add_argument
        if name == "new":
            add("models", metavar="DIR", nargs="+", help="folders of `adapt`, or names in the library; two a domain")
            add("--title", type=readable, required=True, help="what voters read above the questions")
            add("--seeds", default="700000-700009", help="who is shown; best nobody yet seen (%(default)s)")
            add("--psi", type=number, default=0.7, help="truncation: 0 the mean face, 1 none (%(default)s)")
            add("--pairs-each", type=number, default=10, help="pairs that each voter is shown (%(default)s)")
            add("--device", default="cpu", help=AUTO_DEVICE)
        else:
            add("study", nargs="?", default="", help="its id, as `new` printed it; left out, the newest")
        if name == "export":
            add("--out", required=True, metavar="DIR", help="folder for tally.csv and votes.csv")


def study(options: argparse.Namespace) -> int:
    """The command `study`; gives the exit status."""
    return ACTIONS[options.action][1](options)


def _new(options: argparse.Namespace) -> int:
    from ..latents import parse_seeds
    from ..models.catalog import load_generator
    from ..study.study import start
    from .library import named_entry

    entries = [named_entry(model) for model in options.models]
    load = partial(load_generator, device=chosen_device(options.device))
    drawing = start(options.title, entries, parse_seeds(options.seeds), options.psi, options.pairs_each, load)
    while True:
        try:
            next(drawing)
        except StopIteration as end:
            print(f"{end.value.id}: {end.value.pairs} pairs, {end.value.questions_each} questions for each voter")
            return 0


def _tally(options: argparse.Namespace) -> int:
    from ..study.study import find, tally

    chosen = find(options.study)
    print(f"{chosen.title} ({chosen.id})")
    for row in tally(chosen.id):
        low, high = row.interval
        share = "no votes" if row.share is None else f"{row.share:.1%} of {row.votes} ({low:.1%} to {high:.1%})"
        print(f"{row.target or 'all'}, {row.question}, {row.first} over {row.second}: {share}, {row.skipped} skipped")
    return 0


def _export(options: argparse.Namespace) -> int:
    from ..storage.folders import check_writable
    from ..study.study import find, write_tally, write_votes

    chosen, folder = find(options.study), as_path(options.out)
    check_writable(folder)
    print(write_tally(chosen.id, folder / "tally.csv"))
    print(write_votes(chosen.id, folder / "votes.csv"))
    return 0


ACTIONS = {
    "new": ("draw a study, which the app then shows to newcomers", _new),
    "tally": ("count the votes, with Wilson's intervals", _tally),
    "export": ("write the counts and every vote as CSV", _export),
}
