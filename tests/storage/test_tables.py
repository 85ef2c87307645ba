"""CSV of all tables: what is in a cell comes back, and nothing in one is a formula."""

from __future__ import annotations

import ast
import csv
import io
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipl_core.metrics.scores import write_scores
from ipl_core.running import step_history
from ipl_core.storage import tables
from ipl_core.studio.training.loop import FigureLog

ROOT = Path(__file__).resolve().parents[2]
FORMULA = '=HYPERLINK("http://example.org")'


def cells(text: str) -> list[list[str]]:
    """The cells of a CSV."""
    return list(csv.reader(io.StringIO(text, newline="")))


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=20), min_size=2, max_size=2))
def test_no_cell_begins_a_formula(values: list[str]) -> None:
    (row,) = cells(tables.csv_text([dict(zip("ab", values))], "ab", header=False))
    for given_value, cell in zip(values, row):
        lines = given_value.replace("\r\n", "\n").replace("\r", "\n")
        assert cell in (lines, f"'{lines}")
        if cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n")):
            float(cell)


def test_names_of_columns_are_cells_too() -> None:
    assert cells(tables.csv_text([{FORMULA: 1}], [FORMULA])) == [[f"'{FORMULA}"], ["1"]]
    with pytest.raises(ValueError, match="fields not in"):
        tables.csv_text([{"b": 1}], ["a"])


def test_a_table_is_whole_or_what_it_was(tmp_path: Path) -> None:
    path = tables.write_csv([{"a": "Zürich"}], ["a"], tmp_path / "deep" / "table.csv")
    with pytest.raises(ValueError, match="fields not in"):
        tables.write_csv([{"b": 1}], ["a"], path)
    assert path.read_bytes() == "a\nZürich\n".encode()
    assert list(path.parent.iterdir()) == [path]


@dataclass(frozen=True)
class Score:
    """A row of an evaluation."""

    target: str
    judge: float


def test_every_writer_goes_through_the_one(tmp_path: Path) -> None:
    rows = [{"stage": "generator", "step": 1, FORMULA: -0.5, "seconds": 1.0}]
    header, row = cells(step_history.history_text(rows))
    assert (header, row) == (["stage", "step", f"'{FORMULA}", "seconds"], ["generator", "1", "-0.5", "1.000"])
    write_scores([Score(FORMULA, -0.25)], tmp_path / "scores", lambda scores: "table")
    assert cells((tmp_path / "scores.csv").read_text())[1] == [f"'{FORMULA}", "-0.2500"]
    for step in (1, 2):
        FigureLog(tmp_path / "log.csv").write(step=step, loss=-0.5, name=FORMULA)
    assert [row[:3] for row in cells((tmp_path / "log.csv").read_text())] == [
        ["step", "loss", "name"],
        ["1", "-0.5", f"'{FORMULA}"],
        ["2", "-0.5", f"'{FORMULA}"],
    ]


def test_nothing_else_writes_csv() -> None:
    for path in [*ROOT.glob("ipl_core/**/*.py"), *ROOT.glob("tabs/**/*.py"), *ROOT.glob("benchmarks/*.py")]:
        if path.name == "tables.py":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            name = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
            assert name not in ("DictWriter", "to_csv"), path
            assert not (isinstance(node, ast.Attribute) and ast.unparse(node) == "csv.writer"), path
