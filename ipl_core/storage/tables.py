"""Tables as CSV: the one place that writes them, so that no cell is ever taken for a formula by a spreadsheet."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from .files import atomic_path
from .words import csv_cell


def csv_text(rows: Iterable[Mapping[str, Any]], columns: Sequence[str], header: bool = True) -> str:
    """Rows as CSV with these columns; a cell that a row doesn't have is blank, and text that looks like a formula gets
    an apostrophe before it.

    header: whether the names of the columns come first. Raises ValueError for a row with another column.
    """
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, restval="", lineterminator="\n")
    if header:
        csv.writer(out, lineterminator="\n").writerow([_cell(name) for name in columns])
    writer.writerows({name: _cell(value) for name, value in row.items()} for row in rows)
    return out.getvalue()


def _cell(value: Any) -> Any:
    """`words.csv_cell`, with every end of a line as LF: the writer quotes that, but lets a lone CR begin a new row."""
    cell = csv_cell(value)
    return cell.replace("\r\n", "\n").replace("\r", "\n") if isinstance(cell, str) else cell


def write_csv(rows: Iterable[Mapping[str, Any]], columns: Sequence[str], path: str | os.PathLike[str]) -> Path:
    """Writes the same to `path`, whole or not at all, and gives it. Raises InputError if it can't be written."""
    with atomic_path(path) as temporary:
        temporary.write_text(csv_text(rows, columns), encoding="utf-8", errors="replace", newline="")
    return Path(path)
