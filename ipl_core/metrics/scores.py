"""Scores on their way to disk, whatever was measured: one dataclass a row."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import TypeVar, get_type_hints

from ..errors import InputError
from ..storage import tables
from ..storage.files import atomic_path
from ..storage.words import quoted

Row = TypeVar("Row")


def write_csv(scores: Sequence[Row], path: Path) -> None:
    """One row a score, at least one of a dataclass; whole or not at all."""
    rows = [{k: f"{v:.4f}" if isinstance(v, float) else v for k, v in asdict(row).items()} for row in scores]
    tables.write_csv(rows, [field.name for field in fields(scores[0])], path)


def read_csv(kind: type[Row], path: Path) -> list[Row]:
    """The rows that `write_csv` wrote of the dataclass `kind`, none where there is no file.

    Raises InputError for a file that holds anything else.
    """
    types = get_type_hints(kind)
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            if list(reader.fieldnames or ()) != [field.name for field in fields(kind)]:
                raise ValueError("its columns are others")
            return [kind(**{name: types[name](cell) for name, cell in row.items()}) for row in reader]
    except FileNotFoundError:
        return []
    except (OSError, KeyError, TypeError, ValueError, csv.Error) as error:
        raise InputError(
            f"{path} holds no scores to go on with ({quoted(str(error))}): move it away, or give another folder."
        ) from None


def written(
    scores: Iterable[Row], path: Path, markdown: Callable[[Sequence[Row]], str], before: Sequence[Row] = ()
) -> Iterator[list[Row]]:
    """All scores so far, each time another has come; they are in `path` as .csv and, by `markdown`, as .md.

    before: those that were there. The files are written anew for every score, so that an evening's work survives its
    last minute.
    """
    so_far = list(before)
    for score in scores:
        so_far.append(score)
        write_scores(so_far, path, markdown)
        yield so_far


def write_scores(scores: Sequence[Row], path: Path, markdown: Callable[[Sequence[Row]], str]) -> None:
    """Scores, at least one, as `path`.csv and, by `markdown`, as `path`.md."""
    write_csv(scores, path.with_suffix(".csv"))
    with atomic_path(path.with_suffix(".md")) as temporary:
        temporary.write_text(markdown(scores), encoding="utf-8")
