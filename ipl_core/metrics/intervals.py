"""Statistics of comparisons: intervals, tests and errors, as pure functions of numbers.

A claim about methods rests on runs by several seeds, so seeds are what is counted; pictures only sharpen each run's
score. Knows nothing about metrics, runs or tables.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import TypeVar

import torch

Name = TypeVar("Name", bound=Hashable)


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


def t_test(values: Sequence[float]) -> float:
    """Two-sided p value of Student's t test that the mean of values is 0; 1 for fewer than two.

    Equal values have no spread: p is then 0, or 1 if they are 0.
    """
    if len(values) < 2:
        return 1.0
    mean, spread = statistics.fmean(values), statistics.stdev(values) / math.sqrt(len(values))
    if spread == 0:
        return float(mean == 0)
    from scipy.stats import t

    return float(2 * t.sf(abs(mean) / spread, len(values) - 1))


def holm(p_values: Mapping[Name, float]) -> dict[Name, float]:
    """p values adjusted so that all hypotheses hold together (Holm 1979), by the same names in the same order.

    The k-th smallest of m is multiplied by m − k + 1, and none is smaller than one before it; at most 1.
    """
    adjusted, largest = {}, 0.0
    for place, name in enumerate(sorted(p_values, key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - place) * p_values[name]))
        adjusted[name] = largest
    return {name: adjusted[name] for name in p_values}


def sign_test(better: int, rows: int) -> float:
    """One-sided p value that a fair coin falls on the same side in `better` or more of `rows` throws."""
    return sum(math.comb(rows, k) for k in range(better, rows + 1)) / 2**rows


def wilson(successes: int, trials: int, z: float = 1.959964) -> tuple[float, float]:
    """Wilson's interval of a share: all shares p that `successes` of `trials` lie within z standard errors of.

    z: 1.959964 covers 95 %. Without trials nothing is known: (0, 1). E. B. Wilson: Probable inference, the law of
    succession, and statistical inference. Journal of the American Statistical Association 22, 1927, 209–212.
    """
    if trials == 0:
        return 0.0, 1.0
    share, square = successes / trials, z * z / trials
    middle = (share + square / 2) / (1 + square)
    half = z * math.sqrt(share * (1 - share) / trials + square / (4 * trials)) / (1 + square)
    # At 0 and at all of them the ends are exact, but for rounding.
    return (0.0 if successes == 0 else middle - half), (1.0 if successes == trials else middle + half)


def share_over_voters(
    votes: Mapping[Name, Sequence[bool]], generator: torch.Generator, draws: int = 10_000, confidence: float = 0.95
) -> tuple[float, float]:
    """Percentile interval of the share of True among all votes, by drawing voters anew with replacement.

    votes: of each voter, at least one voter with a vote. One voter's votes resemble each other, which Wilson's interval
    takes no note of; with few voters this one is too narrow.
    """
    won, cast = (torch.tensor([float(of(v)) for v in votes.values()], dtype=torch.float64) for of in (sum, len))
    chosen = torch.randint(len(won), (draws, len(won)), generator=generator)
    shares = won[chosen].sum(1) / cast[chosen].sum(1)
    tail = (1 - confidence) / 2
    low, high = shares.quantile(torch.tensor([tail, 1 - tail], dtype=torch.float64)).tolist()
    return low, high


def jackknife(measure: Callable[[list[int]], float], count: int, groups: int = 10) -> float:
    """Standard error of a score of `count` pictures, by leaving out one group of them after the other.

    measure: places of pictures, from 0 to count − 1 → their score. A bootstrap would show the same picture twice, which
    pairwise scores take for collapse. Groups are every `groups`-th picture; √((g−1)/g · Σ(θ₋ₖ − mean)²), so NaN where
    `count` is below two.
    """
    groups = min(groups, count)
    if groups < 2:
        return math.nan
    scores = [measure([i for i in range(count) if i % groups != left_out]) for left_out in range(groups)]
    mean = statistics.fmean(scores)
    return math.sqrt((groups - 1) / groups * sum((score - mean) ** 2 for score in scores))


def resampled(
    differences: Mapping[Name, Sequence[float]],
    generator: torch.Generator,
    draws: int = 10_000,
    confidence: float = 0.95,
) -> tuple[float, float, float]:
    """Mean over rows of the mean difference over seeds, and its percentile interval (low, high).

    differences: of each row, one a seed, at least one. Rows are drawn anew with replacement, then each drawn row's
    seeds, so that the interval holds for other rows and other seeds alike.
    """
    rows = [torch.tensor(list(values), dtype=torch.float64) for values in differences.values()]
    chosen = torch.randint(len(rows), (draws, len(rows)), generator=generator)
    means = torch.zeros(draws, len(rows), dtype=torch.float64)
    for place, values in enumerate(rows):  # every drawn copy of a row has seeds of its own
        here = chosen == place
        seeds = torch.randint(len(values), (int(here.sum()), len(values)), generator=generator)
        means[here] = values[seeds].mean(1)
    tail = (1 - confidence) / 2
    low, high = means.mean(1).quantile(torch.tensor([tail, 1 - tail], dtype=torch.float64)).tolist()
    return statistics.fmean(float(values.mean()) for values in rows), low, high
