"""Scores on their way to disk, whatever was measured: one dataclass a row."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import TypeVar

from ..checkpoints import atomic_path

Row = TypeVar("Row")


def write_csv(scores: Sequence[Row], path: Path) -> None:
    """One row a score, at least one of a dataclass; whole or not at all."""
    with atomic_path(path) as temporary, temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(scores[0])])
        writer.writeheader()
        for row in scores:
            writer.writerow({k: f"{v:.4f}" if isinstance(v, float) else v for k, v in asdict(row).items()})


def written(scores: Iterable[Row], path: Path, markdown: Callable[[Sequence[Row]], str]) -> Iterator[list[Row]]:
    """All scores so far, each time another has come; they are in `path` as .csv and, by `markdown`, as .md.

    The files are written anew for every score, so that an evening's work survives its last minute.
    """
    so_far: list[Row] = []
    for score in scores:
        so_far.append(score)
        write_scores(so_far, path, markdown)
        yield so_far


def write_scores(scores: Sequence[Row], path: Path, markdown: Callable[[Sequence[Row]], str]) -> None:
    """Scores, at least one, as `path`.csv and, by `markdown`, as `path`.md."""
    write_csv(scores, path.with_suffix(".csv"))
    path.with_suffix(".md").write_text(markdown(scores), encoding="utf-8")
