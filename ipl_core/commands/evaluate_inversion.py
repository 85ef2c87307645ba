"""`evaluate-inversion`: inverts pictures whose attributes are known, and measures what is left of them."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from torch import Tensor

from ..errors import InputError
from ..methods.config import INVERT_PRESETS, STARTS, VIEWS, AdaptConfig, InvertConfig
from ..methods.registry import settings_of
from ..metrics.reports import restyling
from ..metrics.reports.inversion import evaluate_inversion, held_out_portraits, markdown
from ..metrics.scores import write_scores, written
from ..models.catalog import judge_of, load_judge
from ..running.steps import InvertResult
from ..storage import folders
from ..storage.paths import as_path
from ..storage.values import whole
from .command import Command
from .options import number, split


def _options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--preset", default="fast,good", help=f"presets, separated by commas: {', '.join(INVERT_PRESETS)} (%(default)s)"
    )
    add("--count", type=number, default=100, help="held-out portraits (%(default)s)")
    add("--samples", type=number, default=50, help="samples of the generator's own (%(default)s)")
    add("--targets", default="", help="domains, separated by commas, that the portraits are then restyled in")
    add("--methods", default="nada,ipl", help="methods of adaptation to these targets, as for evaluate (%(default)s)")
    add("--model", default="studio", help="name of the generator (%(default)s)")
    add("--start", default="auto", help=f"where inversion begins: {', '.join(STARTS)} (%(default)s)")
    add(
        "--view",
        default="critic",
        help=f"which features compare pictures: {', '.join(VIEWS)}; critic is the CLIP model (%(default)s)",
    )
    add("--seed", type=number, default=0, help="seed of all random numbers (%(default)s)")
    add("--out", required=True, metavar="DIR", help="folder for inversion and restyling, .csv and .md")


def _run(options: argparse.Namespace) -> None:
    count, samples = (whole(getattr(options, name), name.capitalize(), 0, 5000) for name in ("count", "samples"))
    if count + samples == 0:
        raise InputError("Count and samples are both 0, so nothing is measured: raise one.")
    if options.targets and not count:
        raise InputError("Portraits are what is restyled, and their count is 0: raise it, or leave the targets out.")
    folders.check_writable(options.out)
    path = as_path(options.out) / "inversion"
    presets = options.preset.split(",")
    watch = _restyling(options, path.with_name("restyling")) if options.targets else None
    coming = evaluate_inversion(
        presets, count, samples, options.model, options.seed, options.start, options.view, watch
    )
    for scores in written(coming, path, markdown):
        score = scores[-1]
        print(
            f"{len(scores)}/{len(presets) * (count + samples)} {score.preset}, {score.kind} "
            f"{score.number}: identity {score.identity:.3f}, attributes {score.attributes:.1%}, ssim {score.ssim:.3f}, "
            f"perceptual {score.perceptual:.4f}, {score.seconds:.1f} s",
            flush=True,
        )


def _restyling(options: argparse.Namespace, path: Path) -> Callable[[InvertConfig, int, Tensor, InvertResult], None]:
    """What is done with every inverted portrait: restyle it in all targets, and write all scores so far to `path`."""
    configs = [
        AdaptConfig(target, seed=options.seed, model=options.model, **settings_of(method))
        for target in split(options.targets)
        for method in options.methods.split(",")
    ]
    judge = load_judge(judge_of(options.model))
    sitters, _ = held_out_portraits(judge.subject, options.count, judge.resolution)
    measure, scores = restyling.Restyling(configs, sitters, options.model), []

    def watch(config: InvertConfig, number: int, portrait: Tensor, inverted: InvertResult) -> None:
        scores.extend(measure.scores(config, number, portrait, inverted))
        write_scores(scores, path, restyling.markdown)

    return watch


COMMAND = Command("measure inversion on held-out portraits and on the generator's own samples", _options, _run)
