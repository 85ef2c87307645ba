"""METRICS: every metric by its name. A new metric is a file of its own and a line here."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from ..errors import InputError
from ..storage.words import quoted
from . import (
    clip_distance,
    density_coverage,
    direction_spread,
    face_identity,
    frechet,
    inception_score,
    intra_cluster,
    judge_score,
    kept_attributes,
    kernel_distance,
    sifid,
    spread,
    structural_consistency,
    vendi,
)
from .comparison import Comparison
from .intervals import jackknife
from .metric import FAMILIES, Metric

METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        judge_score.METRIC,
        kept_attributes.ATTRIBUTES,
        kept_attributes.IDENTITY,
        spread.METRIC,
        vendi.PERSONS,
        vendi.METRIC,
        inception_score.METRIC,
        structural_consistency.METRIC,
        sifid.METRIC,
        *intra_cluster.METRICS,
        frechet.METRIC,
        kernel_distance.METRIC,
        density_coverage.DENSITY,
        density_coverage.COVERAGE,
        clip_distance.METRIC,
        direction_spread.SPREAD,
        direction_spread.DIVERSITY,
        inception_score.REAL,
        structural_consistency.REAL,
        face_identity.REAL,
        sifid.REAL,
        frechet.REAL,
        kernel_distance.REAL,
    )
}


def metrics_of(family: str) -> list[Metric]:
    """The metrics of a family, "embedded" or "real", and those of any. Raises InputError for another family."""
    if family not in FAMILIES:
        raise InputError(f"There is no family of metrics {quoted(family)}: use {' or '.join(FAMILIES)}.")
    return [metric for metric in METRICS.values() if metric.family in (family, "any")]


def lacking(metric: Metric, comparison: Comparison) -> str:
    """Why a metric can't measure a comparison, in a sentence; "" where it can."""
    try:
        for need in metric.needs:
            comparison.need(need)
    except InputError as error:
        return str(error)
    return ""


def settings_of(metric: Metric, comparison: Comparison) -> dict[str, Any]:
    """What a metric's score depends on beside the pictures, ready for JSON: its networks and its own settings."""
    keys = [getattr(comparison.need(need), "key", None) for need in metric.needs]
    return {"title": metric.title, "looked at by": [key for key in keys if key], **metric.settings(comparison)}


@dataclass
class Measured:
    """What was measured of one comparison.

    scores: by column: a metric's name, name.part for its parts, and name.se for the standard error that pictures alone
    give it. settings: of each metric that measured. lacking: why a metric could not measure, by its name.
    """

    scores: dict[str, float] = field(default_factory=dict)
    settings: dict[str, dict[str, Any]] = field(default_factory=dict)
    lacking: dict[str, str] = field(default_factory=dict)


def measure(metrics: Iterable[Metric], comparison: Comparison, groups: int = 0) -> Measured:
    """What can be measured, and why the rest can't.

    groups: of pictures that the jackknife leaves out for standard errors; 0 for no errors, as they cost `groups`
    times the arithmetic (no network looks again).
    """
    found = Measured()
    for metric in metrics:
        why = lacking(metric, comparison)
        try:
            if not why:
                found.scores |= _scores(metric, comparison, groups)
                found.settings[metric.name] = settings_of(metric, comparison)
        except InputError as error:  # such as too few pictures
            why = str(error)
        if why:
            found.lacking[metric.name] = why
    return found


def _scores(metric: Metric, comparison: Comparison, groups: int) -> dict[str, float]:
    scores = {metric.name: metric.measure(comparison)}
    if groups:

        def without(places: list[int]) -> float:
            return metric.measure(comparison.taken(places))

        scores[f"{metric.name}.se"] = jackknife(without, len(comparison.target), groups)
    return scores | {f"{metric.name}.{part}": value for part, value in metric.parts(comparison).items()}
