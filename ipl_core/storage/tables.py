"""Writes all tables as CSV, so that a spreadsheet never takes a cell for a formula."""

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
    """Rows as CSV with these columns. Missing cells are blank; text that looks like a formula gets an apostrophe.

    header: whether to begin with the column names. Raises ValueError for a row with an unknown column.
    """
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, restval="", lineterminator="\n")
    if header:
        csv.writer(out, lineterminator="\n").writerow([_cell(name) for name in columns])
    writer.writerows({name: _cell(value) for name, value in row.items()} for row in rows)
    return out.getvalue()


def _cell(value: Any) -> Any:
    """`words.csv_cell` with LF line ends: the CSV writer quotes LF, but a lone CR would begin a new row."""
    cell = csv_cell(value)
    return cell.replace("\r\n", "\n").replace("\r", "\n") if isinstance(cell, str) else cell


def write_csv(rows: Iterable[Mapping[str, Any]], columns: Sequence[str], path: str | os.PathLike[str]) -> Path:
    """Writes rows as CSV to `path`, whole or not at all, and returns it. Raises InputError if it can't be written."""
    with atomic_path(path) as temporary:
        temporary.write_text(csv_text(rows, columns), encoding="utf-8", errors="replace", newline="")
    return Path(path)
