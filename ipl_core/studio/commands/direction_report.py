"""`direction-report`: measures how far each scheme's text directions follow a person, without any adaptation."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from ...commands.command import Command
from ...errors import InputError
from ...metrics.reports.directions import direction_report, mean_row, report_without_renderer
from ...storage.tables import write_csv
from ..world.subject import subject_named
from .options import registry_name

Row = dict[str, str | float | None]

#: What is printed of the report, which has more columns in its file: headings, each over columns and their short names.
_COLUMNS = {
    "cosine with the true ΔI": {
        "nada": "nada", "best": "best", "shared": "shared", "described": "descr.", "ipl": "ipl",
        "vectors": "vect.", "words": "words", "begun": "begun", "read": "read", "descriptions": "mean",
    },
    "against the person": {
        "true_against": "true", "described_against": "descr.",
        "ipl_against": "ipl", "words_against": "words", "begun_against": "begun", "read_against": "read",
    },
    "last loss of stage 1": {
        "ipl_loss_last": "ipl", "ipl_loss_chance": "chance", "words_loss_last": "words", "words_loss_chance": "chance",
    },
}  # fmt: skip
#: The same of the report on a generator without a renderer.
_COLUMNS_WITHOUT_RENDERER = {
    "spread of ΔT": {
        "vectors_spread": "vect.", "words_spread": "words", "begun_spread": "begun", "read_spread": "read",
    },
    "against the person": {
        "vectors_against": "vect.", "words_against": "words", "begun_against": "begun", "read_against": "read",
    },
    "reads": {"read_sure": "sure"},
}  # fmt: skip
_COLUMN_WIDTH = 7


def _options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--critic", help="a CLIP model's name or folder (the generator's own)")
    add("--model", help="any other generator, without a renderer: measures less")
    add("--domains", nargs="+", metavar="WORDS", help="domains, such as “pencil sketch” (all)")
    add("--sitters", type=int, default=100, help="how many people or dogs are measured (%(default)s)")
    add("--seed", type=int, default=0, help="seed of the sitters and of stage 1 (%(default)s)")
    add("--csv", type=Path, metavar="FILE", help="write every figure, a row a domain")
    add("--learned", action=argparse.BooleanOptionalAction, default=True, help="learn prompts by stage 1, too")


def _run(options: argparse.Namespace) -> None:
    if options.model and not options.domains:
        raise InputError(f"What should “{options.model}” become? Name the domains with --domains.")
    columns = _COLUMNS_WITHOUT_RENDERER if options.model else _COLUMNS
    print(f"{'':16}" + "".join(f"{head:>{len(below) * _COLUMN_WIDTH}}" for head, below in columns.items()))
    shown = {column: short for below in columns.values() for column, short in below.items()}
    _print_row({"domain": "domain", **shown}, shown)
    rows: list[Row] = []
    for row in _report(options):
        rows.append(row)
        _print_row(row, shown)
        if options.csv is not None:
            _write_rows(rows, options.csv)
    if len(rows) > 1:
        _print_row(mean_row(rows), shown)


def _report(options: argparse.Namespace) -> Iterator[Row]:
    count = 4 if options.smoke else options.sitters
    settings = dict(seed=options.seed, learned=options.learned, device=options.device)
    settings["mapper_steps"] = 2 if options.smoke else None
    if options.model:
        return report_without_renderer(options.model, options.critic, options.domains, count, **settings)
    subject, model = subject_named(options.subject), registry_name(options.subject)
    return direction_report(subject, model, options.critic, options.domains, count, **settings)


def _print_row(row: Mapping[str, str | float | None], shown: Iterable[str]) -> None:
    figures = (f"{row[name]:.3f}" if isinstance(row[name], float) else row[name] or "" for name in shown)
    print(f"{row['domain']:16}" + "".join(f"{figure:>{_COLUMN_WIDTH}}" for figure in figures), flush=True)


def _write_rows(rows: Sequence[Row], path: Path) -> None:
    """Writes rows as CSV, figures to five places, nothing where there is none."""
    figures = [
        {name: f"{value:.5f}" if isinstance(value, float) else value for name, value in row.items()} for row in rows
    ]
    write_csv(figures, list(rows[0]), path)


COMMAND = Command("how far text directions follow each person, without any adaptation", _options, _run)
