"""`why`: measures where pictures and directions of several methods lie in CLIP space; `results` makes a plot of it."""

from __future__ import annotations

import argparse

from ..methods.config import AdaptConfig
from ..methods.registry import settings_of
from ..metrics.reports.why import COLUMNS, clip_plane
from ..storage import folders
from ..storage.paths import as_path
from ..storage.tables import write_csv
from ..storage.values import whole
from .command import Command
from .options import number


def _options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("target", help="the domain")
    add("--methods", default="nada,ipl", help="separated by commas, as for evaluate (%(default)s)")
    add("--model", default="studio", help="name of the generator (%(default)s)")
    add("--seed", type=number, default=0, help="of the runs (%(default)s)")
    add("--samples", type=number, default=24, help="pictures of each method (%(default)s)")
    add("--out", required=True, metavar="DIR", help="folder for why-TARGET.csv")


def _run(options: argparse.Namespace) -> None:
    samples = whole(options.samples, "Samples", 3, 500)
    folders.check_writable(options.out)
    asked = {"target": options.target, "seed": options.seed, "model": options.model}
    configs = [AdaptConfig.from_dict({**asked, **settings_of(method)}) for method in options.methods.split(",")]
    rows = clip_plane(configs, samples)
    name = folders.plain_letters(options.target) or "domain"
    print(write_csv(rows, COLUMNS, as_path(options.out) / f"why-{name}.csv"))


COMMAND = Command("measure where pictures and directions of methods lie in CLIP space", _options, _run)
