"""A comparison of methods on its way to the screen: a row a method, a column a person."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from ipl_core.library import store
from ipl_core.methods.registry import METHODS
from ipl_core.metrics.side_by_side import Figures

from .pictures import matrix
from .tables import figures
from .text import duration, heading

SOURCE = "source"


@dataclass
class Row:
    """What a method has shown so far: pictures, bytes (N, H, W, 3), how far it is in words, what it measures.

    readings: by seed, what its prompts say.
    """

    words: str
    pictures: Tensor | None = None
    readings: Mapping[int, str] = field(default_factory=dict)
    figures: Figures | None = None
    failed: bool = False


@dataclass
class Comparison:
    """What stands on the screen: seeds, the source's words, and a row for the source and for each method.

    remark: what is to be seen in them, as HTML.
    """

    target: str
    source: str
    seeds: Sequence[int]
    rows: dict[str, Row] = field(default_factory=dict)
    remark: str = ""

    def pictures(self) -> str:
        """All pictures as HTML, a column a seed, below the remark."""
        rows = [(row_name(method), row.words, row.pictures, row.readings) for method, row in self.rows.items()]
        what = {method: f"{self.target}, {row_name(method)}" for method in self.rows} | {SOURCE: self.source}
        above = heading(f"{self.source} → {self.target or '…'}", "a column a person")
        return above + self.remark + matrix(rows, self.seeds, [what[method] for method in self.rows])

    def table(self, remark: str) -> str:
        """All figures as an HTML table; "" before there are any."""
        measured = {row_name(method): row.figures for method, row in self.rows.items() if row.figures is not None}
        return figures(measured, remark) if measured else ""


def run_words(entry: store.Entry) -> str:
    """How a run was made, in the few words that stand beside its row."""
    of_words = "prompts of words, " if entry.config.learns and entry.config.readable else ""
    return f"{of_words}{entry.run.generator_steps} steps, {duration(entry.run.seconds)}"


def row_name(method: str) -> str:
    """A row as a person calls it."""
    return "Source" if method == SOURCE else METHODS[method].title
