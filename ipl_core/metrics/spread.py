"""Diversity: how varied the adapted pictures are, against how varied their sources were."""

from __future__ import annotations

from ..methods.losses import diversity
from ..studio.judge import Verdict
from .comparison import Comparison
from .metric import Metric


def identity_spread(before: Verdict, after: Verdict) -> float:
    """Mean pairwise 1 − cos of the judge's identity vectors, after adaptation over before; 1 all kept, 0 collapse."""
    return float(diversity(after.identity) / diversity(before.identity))


def _measure(comparison: Comparison) -> float:
    return identity_spread(comparison.judged(comparison.source), comparison.judged(comparison.target))


METRIC = Metric("diversity", "spread of identities, of the source's", "embedded", ("judge",), True, _measure)
