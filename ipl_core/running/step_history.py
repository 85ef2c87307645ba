"""The history of a run or of an inversion: a row a step, as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..storage import stored, tables
from ..storage.words import quoted

if TYPE_CHECKING:
    from .steps import Step

_MAX_HISTORY = 50_000_000  # bytes; ten thousand steps take one
_STAGES = ("prompts", "generator", "latent", "tuning")
_NO_TERMS = ("stage", "step", "seconds")  # columns of a history that every row has


def history_row(step: Step) -> dict[str, Any]:
    """What a step leaves in the history: stage, step, its losses, diversity where it was measured, seconds."""
    row = {"stage": step.phase, "step": step.step, **step.losses}
    if step.phase == "generator" and step.pictures is not None and step.pictures.diversity is not None:
        row["diversity"] = step.pictures.diversity
    return {**row, "seconds": step.seconds}


def terms(row: Mapping[str, Any]) -> dict[str, float]:
    """The measurements in a row of a history: loss terms, and diversity where it has one."""
    return {name: value for name, value in row.items() if name not in _NO_TERMS}


def history_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows of a history as CSV, a column for every term of any row."""
    names = dict.fromkeys(name for row in rows for name in terms(row))
    columns = ["stage", "step", *names, "seconds"]
    return tables.csv_text(({**row, "seconds": f"{row['seconds']:.3f}"} for row in rows), columns)


def read_history(path: Path) -> list[dict[str, Any]]:
    """The rows of a history.csv: stage (text), step (int), terms and seconds (float).

    Raises OSError, ValueError, KeyError or TypeError if the file is missing or damaged.
    """
    return parsed_history(stored.read_text(path, _MAX_HISTORY))


def parsed_history(text: str) -> list[dict[str, Any]]:
    """The rows in the text of a history; raises as `read_history` does for one that is damaged."""
    if "\0" in text:  # which Python 3.10 refuses and later ones read
        raise ValueError("it holds NUL characters")
    try:
        return [_row(row) for row in csv.DictReader(io.StringIO(text, newline=""))]
    except csv.Error as error:
        raise ValueError(str(error)) from error


def _row(row: Mapping[str, str]) -> dict[str, Any]:
    numbers = {name: float(text) for name, text in row.items() if name not in ("stage", "step") and text}
    stage = row["stage"]
    if stage not in _STAGES or "seconds" not in numbers:
        raise ValueError(f"a row of the stage {quoted(stage)} without seconds, or of no stage")
    return {"stage": stage, "step": int(row["step"]), **numbers}
