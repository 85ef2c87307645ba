"""Statistics against published or hand-made numbers."""

from __future__ import annotations

import math
import statistics

import pytest
import torch

from ipl_core.metrics.intervals import (
    holm,
    jackknife,
    resampled,
    share_over_voters,
    sign_test,
    t_interval,
    t_test,
    wilson,
)


def test_t_intervals_have_the_quantiles_of_the_tables():
    for values, quantile in (([0.0, 1.0, 2.0], 4.3027), ([0.0, 1.0, 2.0, 3.0, 4.0], 2.7764)):
        mean, half = t_interval(values)
        assert mean == statistics.fmean(values)
        assert half == pytest.approx(quantile * statistics.stdev(values) / math.sqrt(len(values)), abs=1e-4)
    assert t_interval([0.3]) == (0.3, math.inf)


def test_t_tests_of_students_own_data():
    # Student 1908, after Cushny and Peebles: extra sleep of ten patients, differences of two drugs; t = 4.0621.
    sleep = [1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4]
    assert t_test(sleep) == pytest.approx(0.00283, abs=1e-5)
    assert t_test([0.1]) == 1
    assert (t_test([0.2, 0.2]), t_test([0.0, 0.0])) == (0, 1)


def test_holm_multiplies_the_smallest_most_and_keeps_the_order():
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005}) == pytest.approx(
        {"a": 0.03, "b": 0.06, "c": 0.06, "d": 0.02}
    )
    assert holm({"a": 0.9, "b": 0.8}) == {"a": 1.0, "b": 1.0}
    assert holm({}) == {}


def test_eight_and_nine_rows_of_ten():
    assert sign_test(8, 10) == pytest.approx(0.0547, abs=1e-4)
    assert sign_test(9, 10) == pytest.approx(0.0107, abs=1e-4)
    assert sign_test(0, 10) == 1


def test_wilsons_interval_of_newcombes_example():
    low, high = wilson(81, 263)  # R. G. Newcombe, Statistics in Medicine 1998: 0.2553 to 0.3662
    assert (low, high) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert wilson(0, 10)[0] == 0
    assert wilson(0, 0) == (0, 1)


def test_the_jackknife_of_a_mean_is_its_standard_error():
    values = [0.3, 0.9, 0.2, 0.5, 0.7, 0.1]

    def mean(places: list[int]) -> float:
        return statistics.fmean(values[i] for i in places)

    assert jackknife(mean, 6, groups=6) == pytest.approx(statistics.stdev(values) / math.sqrt(6))
    assert jackknife(mean, 6, groups=10) == jackknife(mean, 6, groups=6)
    pairs = [statistics.fmean((values[k], values[k + 3])) for k in range(3)]  # groups of every third picture
    assert jackknife(mean, 6, groups=3) == pytest.approx(statistics.stdev(pairs) / math.sqrt(3))
    assert math.isnan(jackknife(mean, 1))


def test_resampling_rows_and_seeds_widens_by_both():
    def interval(differences: dict[str, list[float]]) -> tuple[float, float, float]:
        return resampled(differences, torch.Generator().manual_seed(0), draws=20_000)

    mean, low, high = interval({"a": [1.0, 1.0], "b": [1.0, 1.0]})
    assert (mean, low, high) == (1, 1, 1)
    # Two rows of fixed differences: both drawn copies are the first row, or the second, a quarter of the time each.
    assert interval({"a": [0.0], "b": [1.0]}) == (0.5, 0.0, 1.0)
    # One row of two seeds: nothing but the seeds varies.
    assert interval({"a": [0.0, 1.0]}) == (0.5, 0.0, 1.0)
    # Ten rows of equal spread: the standard error of a mean, √(1/12)/√10 · √(9/10).
    rows = {k: [k / 9] for k in range(10)}
    mean, low, high = interval(rows)
    error = statistics.pstdev(k / 9 for k in range(10)) / math.sqrt(10)
    assert (high - low) / 2 == pytest.approx(1.96 * error, rel=0.05)
    assert interval(rows) == (mean, low, high)  # the same generator, the same draws


def test_voters_are_drawn_and_not_their_votes():
    def interval(votes: dict[str, list[bool]]) -> tuple[float, float]:
        return share_over_voters(votes, torch.Generator().manual_seed(0))

    assert interval({"a": [True, False], "b": [False, True]}) == (0.5, 0.5)  # every voter is of two minds
    assert interval({"a": [True] * 10, "b": [False] * 10}) == (0, 1)
    low, high = interval({str(k): [k % 4 != 0] for k in range(100)})  # one vote each: as independent votes
    assert (low, high) == pytest.approx(wilson(75, 100), abs=0.02)
