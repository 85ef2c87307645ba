"""`evaluate`: adapts to many domains by several methods, and measures every run."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping

from ..errors import InputError
from ..latents import parse_seeds
from ..methods.config import PRESETS, AdaptConfig
from ..methods.registry import METHODS, method_of, settings_of, variants
from ..metrics.reports.methods import Score, compare, markdown, run_of
from ..metrics.scores import read_csv, written
from ..models.catalog import judge_of, load_judge
from ..storage import folders
from ..storage.paths import as_path
from ..storage.values import whole
from . import evaluate_table
from .command import Command
from .options import number


def _options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("targets", nargs="*", help="domains of the portrait studio; none given, all of them")
    known = ", ".join((*METHODS, *variants()))
    add("--methods", help=f"methods, separated by commas, of {known}; left out, nada,shared,ipl, or those of the table")
    add("--seeds", default="0-2", help="seeds; one run for each (%(default)s)")
    add("--samples", type=number, help="fresh samples a run; left out, 200, or 500 for a table of --table")
    add("--psi", type=number, help="truncation of the samples; left out, 0.7, or 1 for an embedded table of --table")
    add("--model", default="studio", help="name of the generator (%(default)s)")
    add("--preset", default="default", help=f"one of {', '.join(PRESETS)} (%(default)s)")
    add("--set", action="append", default=[], metavar="NAME=VALUE", help="another setting, such as learning_rate=0.001")
    add("--out", required=True, metavar="DIR", help="folder for scores.csv, to which new rows are added, and scores.md")
    evaluate_table.options(parser)


def _run(options: argparse.Namespace) -> int:
    changes = dict(_setting(text) for text in options.set)
    if evaluate_table.is_asked_for(options):
        return evaluate_table.evaluate_table(options, changes)
    samples = whole(200 if options.samples is None else options.samples, "Samples", 2, 5000)
    psi = 0.7 if options.psi is None else options.psi
    configs = _configs(options, changes)
    folders.check_writable(options.out)
    path = as_path(options.out) / "scores"
    before = read_csv(Score, path.with_suffix(".csv"))
    runs = {row.run for row in before}
    done = sum(run_of(config) in runs for config in configs)
    if done:
        print(f"{done}/{len(configs)} are in {path.with_suffix('.csv')} already.", flush=True)
    failures = []

    def failed(config: AdaptConfig, error: InputError) -> None:
        failures.append(config)
        print(f"{config.target}, {method_of(config)}, seed {config.seed} failed: {error}", file=sys.stderr, flush=True)

    for scores in written(compare(configs, samples, psi, before, failed), path, markdown, before):
        done += 1
        print(f"{done}/{len(configs)} {_line(scores[-1])}", flush=True)
    return 1 if failures else 0


def _configs(options: argparse.Namespace, changes: Mapping[str, object]) -> list[AdaptConfig]:
    """The runs that are asked for: every target by every seed and method."""
    subject = load_judge(judge_of(options.model)).subject
    return [
        AdaptConfig.from_dict(
            {"target": target, "seed": seed, "model": options.model, "preset": options.preset}
            | settings_of(method)
            | changes
        )
        for target in options.targets or [domain.name for domain in subject.domains[1:]]
        for seed in parse_seeds(options.seeds)
        for method in (options.methods or "nada,shared,ipl").split(",")
    ]


def _setting(text: str) -> tuple[str, object]:
    """NAME=VALUE as typed → the setting and its value: a number, true or false where it reads as one, else text."""
    name, given, value = text.partition("=")
    if not (name and given and value):
        raise InputError(f"Give a setting as NAME=VALUE, such as learning_rate=0.001, not {text!r}.")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _line(score: Score) -> str:
    return (
        f"{score.target}, {score.method}, seed {score.seed}: judge {score.judge:.1%}, "
        f"diversity {score.diversity:.2f}, attributes kept {score.attributes:.1%}, "
        f"way {score.way_areas:.2f} and {score.way_strokes:.2f}, {score.seconds:.0f} s"
    )


COMMAND = Command("compare methods on the portrait studio, measured by its judge", _options, _run)
