"""`study`: draws a blind study, counts its votes, and writes them to files."""

from __future__ import annotations

import argparse
from functools import partial

from ..errors import InputError
from ..latents import parse_seeds
from ..library.store import Entry
from ..library.store import find as find_run
from ..metrics.reports.measured import BESIDE, Measuring, config_of
from ..metrics.reports.tables import table_runs
from ..models.catalog import load_generator
from ..storage.folders import check_writable
from ..storage.paths import as_path
from ..storage.words import readable
from ..study.study import find, start, tally, write_tally, write_votes
from .command import Command, with_actions
from .library import named_entry
from .options import add_device, chosen_device, number


def _new_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("models", metavar="DIR", nargs="*", help="folders of `adapt`, or names in the library; two a domain")
    add("--table", help="paper: the runs of its ten rows by --methods and --run-seed, which evaluate has made")
    add("--methods", default="nada,ipl", help="of --table, separated by commas (%(default)s)")
    add("--run-seed", type=number, default=0, help="of the runs of --table (%(default)s)")
    add("--title", type=readable, required=True, help="what voters read above the questions")
    add("--seeds", default="700000-700009", help="the people who are shown; best such as nobody has seen (%(default)s)")
    add("--psi", type=number, default=0.7, help="truncation: 0 the mean face, 1 none (%(default)s)")
    add("--pairs-each", type=number, default=10, help="pairs that each voter is shown (%(default)s)")
    add_device(parser)


def _new(options: argparse.Namespace) -> None:
    entries = [named_entry(model) for model in options.models] + _entries_of_table(options)
    load = partial(load_generator, device=chosen_device(options.device))
    drawing = start(options.title, entries, parse_seeds(options.seeds), options.psi, options.pairs_each, load)
    while True:
        try:
            next(drawing)
        except StopIteration as end:
            print(f"{end.value.id}: {end.value.pairs} pairs, {end.value.questions_each} questions for each voter")
            return


def _entries_of_table(options: argparse.Namespace) -> list[Entry]:
    """The library's runs of a table, by the methods that are asked for. Raises InputError where one wasn't made."""
    if options.table is None:
        return []
    methods = options.methods.split(",")
    rows = table_runs(options.table, [options.run_seed], Measuring(), methods=methods)
    runs = [row for row in rows if row.settings["method"] not in BESIDE]
    found = {row.key: find_run(config_of(row.settings)) for row in runs}
    missing = [row.settings for row in runs if found[row.key] is None]
    if missing:
        which = f"{missing[0]['row']} by {missing[0]['method']}"
        raise InputError(
            f"{len(missing)} of the table's {len(runs)} runs are not in the library, {which} among them: make them by "
            f"python -m ipl_core evaluate --table {options.table} --methods {options.methods} "
            f"--seeds {options.run_seed} --out DIR."
        )
    return [found[row.key] for row in runs]


def _add_study(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "study", nargs="?", default="", help="the study's id, as `new` printed it; left out, the newest"
    )


def _tally(options: argparse.Namespace) -> None:
    chosen = find(options.study)
    print(f"{chosen.title} ({chosen.id})")
    for row in tally(chosen.id):
        low, high = row.interval
        share = "no votes" if row.share is None else f"{row.share:.1%} of {row.votes} ({low:.1%} to {high:.1%})"
        print(f"{row.target or 'all'}, {row.question}, {row.first} over {row.second}: {share}, {row.skipped} skipped")


def _export_options(parser: argparse.ArgumentParser) -> None:
    _add_study(parser)
    parser.add_argument("--out", required=True, metavar="DIR", help="folder for tally.csv and votes.csv")


def _export(options: argparse.Namespace) -> None:
    chosen, folder = find(options.study), as_path(options.out)
    check_writable(folder)
    print(write_tally(chosen.id, folder / "tally.csv"))
    print(write_votes(chosen.id, folder / "votes.csv"))


COMMAND = with_actions(
    "ask people, in the app, which of two adapted models draws better",
    {
        "new": Command("draw a study, which the app then shows to newcomers", _new_options, _new),
        "tally": Command("count the votes, with Wilson's intervals", _add_study, _tally),
        "export": Command("write the counts and every vote as CSV", _export_options, _export),
    },
)
