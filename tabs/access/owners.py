"""Which browser made which library entry and which inverted person: names of folders and hashes, nothing else.

It is kept beside the folders and not in them, so that an exported file tells nothing of who made it. This module
decides nothing: what follows from it is in roles.py.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ipl_core import InputError
from ipl_core.storage.folders import check_writable, home

ENTRY, PERSON = "entry", "person"

_PATIENCE = 30.0  # seconds to wait for other writers, who need milliseconds
_SCHEMA = """
CREATE TABLE IF NOT EXISTS owned (
    kind TEXT NOT NULL,
    folder TEXT NOT NULL,
    created TEXT NOT NULL,
    owner TEXT NOT NULL,
    PRIMARY KEY (kind, folder)
)
"""


class Owners:
    """The owners of what is kept in the present `IPL_HOME`; any thread of any process may ask.

    An owner belongs to what a folder held when it was claimed (by the time at which that was made), so that nobody
    inherits what another made later under the same name.
    """

    @property
    def path(self) -> Path:
        """The file that they are kept in."""
        return home() / "owners.sqlite3"

    def claim(self, kind: str, folder: str, settings: Mapping[str, Any], owner: str) -> None:
        """Notes whose a folder with these settings is, unless it is noted already.

        Raises InputError if the file can't be written.
        """
        if not owner:
            return
        created = _created(settings)
        with self._database(write=True) as database:
            database.execute(
                "INSERT INTO owned VALUES (?, ?, ?, ?) ON CONFLICT (kind, folder) DO UPDATE "
                "SET created = excluded.created, owner = excluded.owner WHERE created <> excluded.created",
                (kind, folder, created, owner),
            )

    def forget(self, kind: str, folder: str) -> None:
        """Forgets whose a folder was that is deleted."""
        if self.path.is_file():
            with self._database(write=True) as database:
                database.execute("DELETE FROM owned WHERE kind = ? AND folder = ?", (kind, folder))

    def belongings(self, owner: str, kind: str) -> dict[str, str]:
        """The folders of an owner, each with the time at which what it held was made."""
        if not owner or not self.path.is_file():
            return {}
        with self._database() as database:
            if not database.execute("SELECT 1 FROM sqlite_master WHERE name = 'owned'").fetchone():
                return {}  # another process is about to write the first one
            rows = database.execute("SELECT folder, created FROM owned WHERE kind = ? AND owner = ?", (kind, owner))
            return dict(rows.fetchall())

    def owns(self, owner: str, kind: str, folder: str, settings: Mapping[str, Any]) -> bool:
        """Whether the folder with these settings is the owner's."""
        return self.belongings(owner, kind).get(folder) == _created(settings)

    @contextmanager
    def _database(self, write: bool = False) -> Iterator[sqlite3.Connection]:
        if write:
            check_writable(home())
        database = None
        try:
            database = sqlite3.connect(self.path, timeout=_PATIENCE)
            if write:
                database.execute(_SCHEMA)
            yield database
            database.commit()
        except sqlite3.Error as error:
            raise InputError(f"Whose entries are whose can't be read or noted in {self.path.name}: {error}.") from error
        finally:
            if database is not None:
                database.close()


def _created(settings: Mapping[str, Any]) -> str:
    return str(settings.get("created"))
