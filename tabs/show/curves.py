"""Curves by step, thinned to what a plot can resend once a second."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pandas as pd

MAX_POINTS = 200  # a plot sends all its points each time it is renewed


class Curve:
    """Values by step of one stage, thinned to what a plot can resend once a second.

    A point is the mean of as many successive steps as keep the whole stage within `MAX_POINTS`, so points
    that were shown once stay where they were.
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self._values: dict[str, dict[int, float]] = {}  # term -> step -> value

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """Takes the values at `step`, counted from 1; one that is not finite leaves a gap."""
        for term, value in values.items():
            if math.isfinite(value):
                self._values.setdefault(term, {})[step] = value

    def table(self) -> pd.DataFrame | None:
        """Columns step, value and term, at most `MAX_POINTS` rows; None before the first value, as a plot wants it."""
        if not self._values:
            return None
        stride = math.ceil(self.total / (MAX_POINTS // len(self._values)))
        rows = []
        for term, values in self._values.items():
            bins: dict[int, list[float]] = {}
            for step, value in values.items():
                bins.setdefault((step - 1) // stride, []).append(value)
            for index, members in bins.items():
                middle = index * stride + (stride + 1) / 2
                rows.append((min(middle, self.total), sum(members) / len(members), term))
        return pd.DataFrame(rows, columns=["step", "value", "term"])
