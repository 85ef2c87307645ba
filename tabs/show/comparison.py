"""A comparison of methods on its way to the screen: a row a method, a column a person."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor

from ipl_core.library import store
from ipl_core.methods.registry import METHODS
from ipl_core.metrics.side_by_side import OFFERED
from ipl_core.storage.tables import write_csv

from .pictures import matrix
from .tables import BESIDE, figures
from .text import duration, heading

SOURCE = "source"


@dataclass
class Row:
    """What a method has shown so far: pictures, bytes (N, H, W, 3), how far it is in words, what it measures.

    readings: by seed, what its prompts say. scores: by metric, and by metric.part for parts; none before
    it is measured.
    """

    words: str
    pictures: Tensor | None = None
    readings: Mapping[int, str] = field(default_factory=dict)
    scores: Mapping[str, float] = field(default_factory=dict)
    failed: bool = False


@dataclass
class Comparison:
    """What stands on the screen: seeds, the source's words, and a row for the source and for each method.

    remark: what is to be seen in them, as HTML. beside: scores of floor and ceiling, where there are any.
    """

    target: str
    source: str
    seeds: Sequence[int]
    rows: dict[str, Row] = field(default_factory=dict)
    remark: str = ""
    beside: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    def pictures(self) -> str:
        """All pictures as HTML, a column a seed, below the remark."""
        rows = [(row_name(method), row.words, row.pictures, row.readings) for method, row in self.rows.items()]
        what = {method: f"{self.target}, {row_name(method)}" for method in self.rows} | {SOURCE: self.source}
        above = heading(f"{self.source} → {self.target or '…'}", "a column a person")
        return above + self.remark + matrix(rows, self.seeds, [what[method] for method in self.rows])

    def table(self, remark: str) -> str:
        """All figures as an HTML table; "" before there are any."""
        measured = {row_name(method): scores for method, scores in self._scores().items()}
        shown = measured | {BESIDE[name]: scores for name, scores in self.beside.items()}
        return figures(shown, remark) if measured else ""

    def write_csv(self, path: Path, samples: int) -> Path:
        """All figures as a file: a row a score, a column for the source, each method, and floor and ceiling."""
        columns = {**self._scores(), **self.beside}
        names = dict.fromkeys(name for scores in columns.values() for name in scores)
        rows = []
        for name in names:
            metric = OFFERED[name.partition(".")[0]]
            better = {True: "higher", False: "lower", None: ""}[metric.higher]
            values = {method: scores[name] for method, scores in columns.items() if name in scores}
            facts = {"target": self.target, "metric": name, "title": metric.title, "better": better, "samples": samples}
            rows.append({**facts, **values})
        return write_csv(rows, ("target", "metric", "title", "better", "samples", *columns), path)

    def _scores(self) -> dict[str, Mapping[str, float]]:
        return {method: row.scores for method, row in self.rows.items() if row.scores}


def run_words(entry: store.Entry) -> str:
    """How a run was made, in the few words that stand beside its row."""
    of_words = "prompts of words, " if entry.config.learns and entry.config.readable else ""
    return f"{of_words}{entry.run.generator_steps} steps, {duration(entry.run.seconds)}"


def row_name(method: str) -> str:
    """A row as a person calls it."""
    return "Source" if method == SOURCE else METHODS[method].title
