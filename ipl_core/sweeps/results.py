"""The results of a sweep as a CSV file: a row a run, written whole with every row that comes, and gone on with."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..storage import stored, tables
from ..storage.files import atomic_path
from ..storage.words import json_text, quoted, reason
from .task import Outcome, Run

_FIRST = ("run", "status")
_LAST = ("error", "seconds", "machine", "threads", "torch", "python", "commit")
DONE, FAILED = "done", "failed"


class Results:
    """The rows of one table. `path` is the CSV; beside it lies `path` with .json, which says what table it is.

    name: of the table. settings: what all of its runs share, such as how many samples were measured; a file with
    others is another table. shown: settings of a run that have a column of their own; all but the last say which run
    it is, the last what it was made of. noted: what else the file beside it says of the scores.
    Raises InputError for a file of another table, or one that can't be read.
    """

    def __init__(
        self,
        path: Path,
        name: str,
        settings: Mapping[str, Any],
        shown: Sequence[str],
        noted: Mapping[str, Any] | None = None,
    ) -> None:
        self.path, self.name, self._settings, self._shown = path, name, dict(settings), tuple(shown)
        self._noted = dict(noted or {})
        self._check()
        self.rows: dict[str, dict[str, str]] = {row["run"]: row for row in read_rows(path)}

    @property
    def facts(self) -> Path:
        """The file that says what table it is."""
        return self.path.with_suffix(".json")

    def missing(self, runs: Sequence[Run]) -> list[Run]:
        """The runs without scores. One that failed has none, and is tried again.

        Raises InputError where the file has scores of one of them by other settings or weights.
        """
        others = {
            tuple(row.get(name, "") for name in self._shown[:-1]): row
            for row in self.rows.values()
            if row["status"] == DONE
        }
        for run in runs:
            which = tuple(_cell(run.settings.get(name)) for name in self._shown[:-1])
            if others.get(which, {}).get("run", run.key) != run.key:
                raise InputError(
                    f"{self.path} has scores of {', '.join(filter(None, which))} by other settings or weights: "
                    "give another folder."
                )
        return [run for run in runs if self.rows.get(run.key, {}).get("status") != DONE]

    def add(self, runs: Sequence[Run], run: Run, outcome: Outcome) -> dict[str, str]:
        """Takes a run's outcome and writes the file; gives the row. runs: all of the table, in the order of rows."""
        row = {"run": run.key, "status": FAILED if outcome.error else DONE}
        row |= {name: _cell(run.settings.get(name)) for name in self._shown}
        row |= {name: _cell(value) for name, value in outcome.scores.items()}
        row |= {"error": outcome.error, **{name: _cell(value) for name, value in outcome.circumstances.items()}}
        self.rows[run.key] = row
        # What failed by other settings is no part of the table any more.
        keys = {one.key for one in runs}
        self.rows = {key: row for key, row in self.rows.items() if key in keys or row["status"] == DONE}
        places = {one.key: place for place, one in enumerate(runs)}
        ordered = sorted(self.rows.values(), key=lambda row: places.get(row["run"], len(places)))
        self._write(ordered)
        return row

    def _write(self, rows: Sequence[Mapping[str, str]]) -> None:
        outer = (*_FIRST, *self._shown)
        scores = dict.fromkeys(name for row in rows for name in row if name not in outer and name not in _LAST)
        with atomic_path(self.facts) as temporary:
            temporary.write_text(json_text(self._identity, indent=1) + "\n", encoding="utf-8")
        tables.write_csv(rows, [*outer, *scores, *_LAST], self.path)

    @property
    def _identity(self) -> dict[str, Any]:
        return {"table": self.name, "settings": self._settings, **self._noted}

    def _check(self) -> None:
        if not self.path.exists() and not self.facts.exists():
            return
        if not self.facts.exists():
            raise InputError(
                f"{self.path} doesn't say which table it is of ({self.facts.name} is missing): give another folder."
            )
        try:
            known = stored.read_json(self.facts)
            table, settings = known["table"], dict(known["settings"])
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise InputError(f"{self.facts} can't be read ({reason(error)}): give another folder.") from None
        if table != self.name:
            raise InputError(f"{self.path} is of the table {quoted(table)}, not “{self.name}”: give another folder.")
        ours = json.loads(json_text(self._settings))
        other = [name for name in {**ours, **settings} if ours.get(name) != settings.get(name)]
        if other:
            was, now = (json_text(which.get(other[0])) for which in (settings, ours))
            raise InputError(
                f"{self.path} was measured by other settings ({other[0]}: {was} there, {now} now): give another folder."
            )


def read_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a results file as text, none where there is no file. Raises InputError for what holds no results."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            rows = list(reader)
            if tuple(reader.fieldnames or ())[:2] != _FIRST or any(None in row or None in row.values() for row in rows):
                raise ValueError("its columns are others")
    except FileNotFoundError:
        return []
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(f"{path} holds no results of a sweep ({reason(error)}): give another folder.") from None
    return [{name: cell for name, cell in row.items() if cell != ""} for row in rows]


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, float):
        return value if isinstance(value, str) else json_text(value)
    return f"{value:.6g}"
