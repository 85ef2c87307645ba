"""How rows of a table differ, paired by target and seed; and the table as Markdown. Knows results, not runs."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from ..intervals import holm, resampled, sign_test, t_interval, t_test
from ..metric import Metric
from ..registry import METRICS
from .measured import CEILING, FLOOR, SOURCE

Rows = Sequence[Mapping[str, str]]
_SEED = 2_023  # of the draws of rows and seeds


@dataclass(frozen=True)
class Difference:
    """One method against another in one row. mean over seeds of the paired differences, half of their 95 % t interval
    (infinite for a single seed), p of the t test and p adjusted over all rows by Holm."""

    row: str
    seeds: int
    mean: float
    half: float
    p: float
    adjusted: float


@dataclass(frozen=True)
class Overall:
    """The same over all rows: mean, and 95 % interval by drawing rows, then seeds.

    better: in how many rows the method is better; p: of that many or more by chance, one-sided. Both are None for a
    metric of which neither more nor less is better.
    """

    mean: float
    low: float
    high: float
    better: int | None
    rows: int
    p: float | None


def scores_of(rows: Rows, metric: str, which: str = "method") -> dict[str, dict[str, dict[int, float]]]:
    """Scores of a metric that were measured: row → method (or another column, `which`) → seed → score."""
    found: dict[str, dict[str, dict[int, float]]] = {}
    for row in rows:
        if row["status"] == "done" and metric in row and which in row:
            found.setdefault(row["row"], {}).setdefault(row[which], {})[int(row["seed"])] = float(row[metric])
    return found


def differences(rows: Rows, metric: str, method: str, baseline: str, which: str = "method") -> list[Difference]:
    """A method's differences from a baseline in every row where both have a seed in common, in the rows' order."""
    paired = _paired(rows, metric, method, baseline, which)
    p_values = {row: t_test(values) for row, values in paired.items()}
    adjusted = holm(p_values)
    return [
        Difference(row, len(values), *t_interval(values), p_values[row], adjusted[row])
        for row, values in paired.items()
    ]


def overall(rows: Rows, metric: Metric, method: str, baseline: str, which: str = "method") -> Overall | None:
    """The difference over all rows; None where nothing is paired."""
    paired = _paired(rows, metric.name, method, baseline, which)
    if not paired:
        return None
    mean, low, high = resampled(paired, torch.Generator().manual_seed(_SEED))
    if metric.higher is None:
        return Overall(mean, low, high, None, len(paired), None)
    sign = 1 if metric.higher else -1
    better = sum(sign * statistics.fmean(values) > 0 for values in paired.values())
    return Overall(mean, low, high, better, len(paired), sign_test(better, len(paired)))


def _paired(rows: Rows, metric: str, method: str, baseline: str, which: str) -> dict[str, list[float]]:
    found = {}
    for row, scores in scores_of(rows, metric, which).items():
        one, other = scores.get(method, {}), scores.get(baseline, {})
        seeds = sorted(one.keys() & other.keys())
        if seeds:
            found[row] = [one[seed] - other[seed] for seed in seeds]
    return found


# ----------------------------------------------------------------------------------------------------------------------
# Markdown


def measured_metrics(rows: Rows) -> list[Metric]:
    """The metrics that some row has a score of, in the registry's order."""
    return [metric for metric in METRICS.values() if any(metric.name in row for row in rows)]


def metric_table(rows: Rows, metric: Metric, baseline: str, which: str = "method") -> str:
    """A metric's scores, means over seeds, as a Markdown table: a line a row, a column a method between what it stands
    beside; then each method's difference from the baseline, with its interval and Holm's p."""
    scores = scores_of(rows, metric.name, which)
    beside = scores_of(rows, metric.name)  # source, floor and ceiling are no levels of an ablation
    methods = [m for m in dict.fromkeys(m for by in scores.values() for m in by) if m not in (SOURCE, FLOOR, CEILING)]
    compared = [method for method in methods if method != baseline]
    found = {m: {d.row: d for d in differences(rows, metric.name, m, baseline, which)} for m in compared}
    heads = ["", SOURCE, FLOOR, *methods, CEILING, *(f"{method} − {baseline}" for method in compared)]
    lines = [_line(heads), _line(["---", *["--:"] * (len(heads) - 1)])]
    for row, by in scores.items():
        cells = [_mean(beside.get(row, {}).get(name), metric) for name in (SOURCE, FLOOR)]
        cells += [_mean(by.get(method), metric) for method in methods]
        cells += [_mean(beside.get(row, {}).get(CEILING), metric)]
        cells += [_difference(found[method].get(row), metric) for method in compared]
        lines.append(_line([row, *cells]))
    last = [_overall(overall(rows, metric, method, baseline, which), metric) for method in compared]
    if any(last):
        lines.append(_line(["**all rows**", *[""] * (len(methods) + 3), *last]))
    return "\n".join(lines) + "\n"


def table_markdown(rows: Rows, baseline: str, which: str = "method") -> str:
    """Every measured metric's table under its title, and what failed or could not be measured."""
    parts = []
    for metric in measured_metrics(rows):
        arrow = {True: " ↑", False: " ↓", None: ""}[metric.higher]
        parts.append(f"### {metric.title}{arrow}\n\n{metric_table(rows, metric, baseline, which)}")
    failed = [row for row in rows if row["status"] != "done"]
    if failed:
        said = "\n".join(
            f"- {row['row']}, {row.get('level', row['method'])}, seed {row['seed']}: {row.get('error', '')}"
            for row in failed
        )
        parts.append(f"### Runs that failed\n\n{said}\n")
    unmeasured = sorted({name for row in rows for name in row.get("unmeasured", "").split()})
    if unmeasured:
        parts.append(f"Not measured, in some row or all: {', '.join(unmeasured)}.\n")
    return "\n".join(parts)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _mean(by_seed: Mapping[int, float] | None, metric: Metric) -> str:
    return "" if not by_seed else format(statistics.fmean(by_seed.values()), metric.form)


def _signed(value: float, metric: Metric) -> str:
    return format(value, f"+{metric.form}")


def _difference(found: Difference | None, metric: Metric) -> str:
    if found is None:
        return ""
    if math.isinf(found.half):
        return f"{_signed(found.mean, metric)} (one seed)"
    return f"{_signed(found.mean, metric)} ± {format(found.half, metric.form)} (p {found.adjusted:.2g})"


def _overall(found: Overall | None, metric: Metric) -> str:
    if found is None:
        return ""
    interval = f"{_signed(found.mean, metric)} [{_signed(found.low, metric)}, {_signed(found.high, metric)}]"
    return interval if found.better is None else f"{interval}, better in {found.better} of {found.rows}"
