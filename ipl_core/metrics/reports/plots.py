"""Plots of results as SVG, the same bytes each time; drawn by matplotlib, an extra (requirements-plots.txt).

Nothing global is touched: figures are made without pyplot. Each function takes plain numbers and gives the file's text.
"""

from __future__ import annotations

import io
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ...errors import InputError
from ..intervals import t_interval
from .differences import Difference

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLOURS = ("#1f5fa8", "#c8501e", "#2f8a4c", "#7a4aa3", "#8a6d1f", "#4a4a4a")
_GREY = "#9a9a9a"
_STYLE = {
    "svg.hashsalt": "ipl-studio",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def _figure(width: float, height: float, draw: Callable[[Figure], None]) -> str:
    """The SVG of a figure of that size in inches."""
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError:
        raise InputError("Plots need matplotlib: pip install -r requirements-plots.txt.") from None
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        draw(figure)
        written = io.StringIO()
        figure.savefig(written, format="svg", metadata={"Date": None, "Creator": "ipl-studio"})
    return "\n".join(line.rstrip() for line in written.getvalue().splitlines()) + "\n"


def forest(title: str, by_method: Mapping[str, Sequence[Difference]]) -> str:
    """Paired differences, a line a row, a mark a method with its 95 % interval; 0 is no difference.

    title: says from what the methods differ, and in what. A difference of a single seed has no interval.
    """
    rows = list(dict.fromkeys(found.row for differences in by_method.values() for found in differences))

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        axes.axvline(0, color=_GREY, linewidth=0.8)
        for place, (method, differences) in enumerate(by_method.items()):
            shift = 0.22 * (place - (len(by_method) - 1) / 2)
            heights = [rows.index(found.row) + shift for found in differences]
            halves = [found.half if math.isfinite(found.half) else 0.0 for found in differences]
            means = [found.mean for found in differences]
            axes.errorbar(means, heights, xerr=halves, fmt="o", markersize=4, color=_colour(place), label=method)
        axes.set_yticks(range(len(rows)), rows)
        axes.invert_yaxis()
        axes.set_title(title, loc="left")
        axes.legend(frameon=False, fontsize=8)

    return _figure(6.4, 1.2 + 0.42 * len(rows), draw)


def levels(
    titles: Mapping[str, str],
    scores: Mapping[str, Mapping[str, Mapping[tuple[str, int], float]]],
    axis: str,
    numbers: Sequence[float] | None = None,
    shaded: tuple[float, float] | None = None,
) -> str:
    """What varies against scores, a panel a metric: a point a row and seed, those of one run joined, mean and interval.

    titles: of metrics by name. scores: metric → level → (row, seed) → score. axis: what varies. numbers: the levels as
    numbers, which get a symmetric logarithmic axis; None for names in their order. shaded: a range of those numbers.
    """

    def draw(figure: Figure) -> None:
        columns = min(3, len(titles))
        panels = figure.subplots(math.ceil(len(titles) / columns), columns, squeeze=False).flatten()
        for panel, (name, title) in zip(panels, titles.items()):
            _panel(panel, scores[name], numbers, shaded)
            panel.set_title(title, loc="left", fontsize=8)
            panel.set_xlabel(axis, fontsize=8)
        for panel in panels[len(titles) :]:
            panel.set_axis_off()

    return _figure(3.2 * min(3, len(titles)), 2.5 * math.ceil(len(titles) / 3), draw)


def _panel(
    axes: Axes,
    by_level: Mapping[str, Mapping[tuple[str, int], float]],
    numbers: Sequence[float] | None,
    shaded: tuple[float, float] | None,
) -> None:
    at = dict(zip(by_level, numbers if numbers is not None else range(len(by_level))))
    runs = list(dict.fromkeys(run for points in by_level.values() for run in points))
    for run in runs:
        line = [(at[level], points[run]) for level, points in by_level.items() if run in points]
        axes.plot(*zip(*line), marker="o", markersize=2.5, linewidth=0.5, color=_GREY)
    for level, points in by_level.items():
        # Rows differ for reasons of their own, so the interval is over seeds of the mean over rows.
        seeds = sorted({seed for _, seed in points})
        means = [statistics.fmean(value for (_, s), value in points.items() if s == seed) for seed in seeds]
        mean, half = t_interval(means)
        axes.errorbar(
            [at[level]], [mean], yerr=[half if math.isfinite(half) else 0], fmt="s", markersize=5, color=_COLOURS[0]
        )
    if numbers is None:
        axes.set_xticks(list(at.values()), list(at), fontsize=7, rotation=20)
    else:
        axes.set_xscale("symlog", linthresh=0.1)
        axes.set_xticks(list(at.values()), list(at), fontsize=7)
        axes.minorticks_off()
    if shaded is not None:
        axes.axvspan(*shaded, color=_COLOURS[0], alpha=0.08, linewidth=0)


def trade_off(points: Mapping[str, Mapping[str, tuple[float, float]]], baseline: str, x: str, y: str) -> str:
    """Two scores against each other, a point a row and method, with arrows from the baseline's to the others'.

    points: method → row → (x, y).
    """

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        start = points.get(baseline, {})
        for place, (method, by_row) in enumerate(points.items()):
            axes.scatter(*zip(*by_row.values()), s=18, color=_colour(place), label=method, zorder=3)
            for row, end in by_row.items():
                if method != baseline and row in start:
                    look = {"arrowstyle": "->", "color": _colour(place), "alpha": 0.4, "linewidth": 0.8}
                    axes.annotate("", end, start[row], arrowprops=look)
        for row, place in start.items():
            axes.annotate(row, place, xytext=(3, 3), textcoords="offset points", fontsize=6, color=_GREY)
        axes.set_xlabel(x)
        axes.set_ylabel(y)
        axes.legend(frameon=False, fontsize=8)

    return _figure(5.2, 4.2, draw)


def clip_space(rows: Sequence[Mapping[str, str]], title: str) -> str:
    """Pictures and directions in the plane of the first two principal components of CLIP space, a panel a method.

    rows: of `why.plane`: points of kind "source" and "target", and "text", the end of a text direction that begins at
    the source picture of the same number.
    """
    methods = [m for m in dict.fromkeys(row["method"] for row in rows) if m]
    shares = [f"{float(rows[0][name]):.0%} of the variance" for name in ("share_x", "share_y")]

    def draw(figure: Figure) -> None:
        panels = figure.subplots(1, len(methods), squeeze=False, sharex=True, sharey=True)[0]
        for panel, method in zip(panels, methods):
            of = {kind: _places(rows, kind, method) for kind in ("source", "target", "text")}
            for number, start in of["source"].items():
                _arrow(panel, start, of["target"].get(number), _COLOURS[0], 0.5)
                _arrow(panel, start, of["text"].get(number), _COLOURS[1], 1.2)
            panel.scatter(*zip(*of["source"].values()), s=8, color=_GREY, label="source", zorder=3)
            panel.scatter(*zip(*of["target"].values()), s=8, color=_COLOURS[0], label="adapted", zorder=3)
            panel.set_title(method, loc="left")
            panel.set_xlabel(shares[0], fontsize=8)
        panels[0].set_ylabel(shares[1], fontsize=8)
        panels[0].legend(frameon=False, fontsize=7)
        figure.suptitle(title, fontsize=9)

    return _figure(3.2 * len(methods), 3.4, draw)


def _places(rows: Sequence[Mapping[str, str]], kind: str, method: str) -> dict[str, tuple[float, float]]:
    """Points of a kind by their picture's number; source pictures are the same for every method."""
    own = "" if kind == "source" else method
    chosen = (row for row in rows if (row["kind"], row["method"]) == (kind, own))
    return {row["number"]: (float(row["x"]), float(row["y"])) for row in chosen}


def _arrow(axes: Any, start: tuple[float, float], end: tuple[float, float] | None, colour: str, width: float) -> None:
    if end is not None:
        look = {"arrowstyle": "->", "color": colour, "alpha": 0.5, "linewidth": width}
        axes.annotate("", end, start, arrowprops=look)


def _colour(place: int) -> str:
    return _COLOURS[place % len(_COLOURS)]
