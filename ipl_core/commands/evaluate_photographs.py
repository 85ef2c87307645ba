"""`evaluate-photographs`: makes portraits of changed renders whose sitters are known, and measures what is right."""

from __future__ import annotations

import argparse

from torch import Tensor

from ..metrics.reports.photographs import beside_samples, evaluate_photographs, markdown
from ..metrics.scores import write_scores, written
from ..storage import folders
from ..storage.paths import as_path
from ..storage.values import whole
from .command import Command
from .options import number


def _options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--count", type=number, default=200, help="changed renders (%(default)s)")
    add("--pixels", type=number, default=20, help="how many are followed by pixels, too, which is slow (%(default)s)")
    add("--model", default="studio", help="name of the generator (%(default)s)")
    add("--out", required=True, metavar="DIR", help="folder for the scores, .csv and .md")


def _run(options: argparse.Namespace) -> None:
    count, pixels = whole(options.count, "Count", 2, 5000), whole(options.pixels, "Pixels", 0, 5000)
    folders.check_writable(options.out)
    path, scores = as_path(options.out) / options.model, []
    results: dict[str, list[Tensor]] = {}
    for scores in written(evaluate_photographs(count, pixels, options.model, results), path, markdown):
        score = scores[-1]
        print(
            f"{score.number + 1}/{count} {score.way}, {score.change}: right {score.right:.0%} of "
            f"{score.readable:.0%}, {score.seconds:.1f} s",
            flush=True,
        )
    figures = beside_samples(results, options.model)
    lines = ["", "| pictures | count | sharpness | Fréchet distance |", "|---|--:|--:|--:|"]
    lines += [f"| {name} | {n} | {sharp:.4f} | {far:.2f} |" for name, (sharp, far, n) in figures.items()]
    write_scores(scores, path, lambda rows: markdown(rows) + "\n".join(lines) + "\n")
    print("\n".join(lines))


COMMAND = Command(
    "measure how photographs become portraits, on renders through changes that no training saw", _options, _run
)
