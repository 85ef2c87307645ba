"""Intervals of paired differences; a claim about methods rests on runs by several seeds, so seeds are counted."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence


def t_interval(values: Sequence[float], confidence: float = 0.95) -> tuple[float, float]:
    """Mean of values, such as a difference a seed, and half the width of its t interval; infinite for fewer than two.

    With three seeds the half-width is 2.48 standard deviations of the differences. A bootstrap over so few would be too
    narrow.
    """
    mean = statistics.fmean(values)
    if len(values) < 2:
        return mean, math.inf
    from scipy.stats import t  # half a second to import

    spread = statistics.stdev(values) / math.sqrt(len(values))
    return mean, float(t.ppf((1 + confidence) / 2, len(values) - 1)) * spread
