"""What is kept on disk, whatever it is: folders that are whole or absent, with their settings and their history.

A folder is written under a temporary name and renamed, so that nobody ever sees half of one. The room knows nothing
about runs or people; library.py and people.py say what belongs into theirs.
"""

from __future__ import annotations

import csv
import io
import json
import logging
import os
import platform
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from . import catalog
from .errors import InputError

if TYPE_CHECKING:
    from .snapshot import Snapshot

log = logging.getLogger(__name__)

SETTINGS = "settings.json"
HISTORY = "history.csv"
_UNFINISHED = ".writing-"
_ABANDONED_AFTER = 24 * 3600.0  # seconds; what a killed process left behind is then swept away
_NO_TERMS = ("stage", "step", "seconds")  # columns of a history that every row has


def home() -> Path:
    """The folder for everything that is kept: `IPL_HOME` if that is set, else the user's cache directory."""
    if os.environ.get("IPL_HOME"):
        return Path(os.environ["IPL_HOME"]).expanduser()
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "ipl-studio"


def check_writable(folder: str | os.PathLike[str]) -> None:
    """Makes `folder` if it isn't there and tries it. Raises InputError if nothing can be written to it."""
    folder = Path(folder).expanduser()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InputError(
            f"Nothing can be written to the folder {folder}: {error.strerror or error}. Choose another one."
        ) from error


# ----------------------------------------------------------------------------------------------------------------------
# Folders


def keep(shelf: Path, write: Callable[[Path], str], stays: Callable[[Path], bool] = lambda path: False) -> Path:
    """Keeps a folder on `shelf`, whole or not at all, and gives its path.

    write: fills the temporary folder it is given and says what the folder is to be called. stays: whether what
    already has that name is to be left as it is; else the new folder takes its place.
    Raises InputError if nothing can be written there.
    """
    check_writable(shelf)
    _sweep(shelf)
    with _unfinished(shelf, f"Nothing can be kept in {shelf}", "Set IPL_HOME to another folder.") as temporary:
        new = temporary / "new"
        new.mkdir()
        path = shelf / write(new)
        if path.is_dir():
            if stays(path):
                return path
            os.replace(path, temporary / "old")
        try:
            os.replace(new, path)
        except OSError:
            if (temporary / "old").exists():
                os.replace(temporary / "old", path)
            elif path.is_dir() and stays(path):  # another writer was faster
                return path
            raise
    return path


def write_into(folder: str | os.PathLike[str], write: Callable[[Path], None]) -> Path:
    """Adds files to `folder`, each whole or not at all; `write` puts them into the temporary folder it is given.

    Gives the folder. Raises InputError if it can't be written.
    """
    folder = Path(folder).expanduser()
    check_writable(folder)
    with _unfinished(folder, f"The result can't be written to {folder}", "") as temporary:
        write(temporary)
        for path in temporary.iterdir():
            os.replace(path, folder / path.name)
    return folder


def scratch(shelf: Path) -> Path:
    """A folder on `shelf` for what is still in the making; if its owner dies, it is swept away like any other.

    Raises InputError if nothing can be written there.
    """
    check_writable(shelf)
    return Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=shelf))


def delete(path: Path, shelf: Path, called: str) -> None:
    """Removes a folder that is kept on `shelf`, for good.

    called: what errors call the shelf. Raises InputError if the folder isn't there or can't be removed.
    """
    folder = path.resolve()
    if folder.parent != shelf.resolve() or folder.name.startswith("."):
        raise InputError(f"{path} isn't in {called} {shelf}, so it isn't deleted.")
    with _unfinished(shelf, f"{path} can't be deleted", "") as doomed:
        os.replace(folder, doomed / "old")  # gone at once, even if clearing it away is interrupted


def folders(shelf: Path) -> Iterator[Path]:
    """Everything that is kept on `shelf`, whole or damaged. Raises InputError if the shelf can't be read."""
    try:
        yield from sorted(path for path in shelf.iterdir() if path.is_dir() and path.name[0] != ".")
    except FileNotFoundError:
        return
    except OSError as error:
        raise InputError(f"The folder {shelf} can't be read: {error.strerror}. Set IPL_HOME to another one.") from error


def folder_name(words: str, otherwise: str, key: str, *more: str) -> str:
    """A name for a folder that says what is in it: the plain letters of `words`, what else, and how its key begins."""
    plain = re.sub(r"[^a-z0-9]+", "-", words.casefold()).strip("-")[:40]
    return "-".join((plain or otherwise, *more, key[:12]))


@contextmanager
def _unfinished(folder: Path, complaint: str, advice: str) -> Iterator[Path]:
    """A temporary folder in `folder`, gone after the block; what the system refuses in the block is an InputError."""
    temporary = None
    try:
        temporary = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=folder))
        yield temporary
    except OSError as error:
        raise InputError(f"{complaint}: {error.strerror or error}. {advice}".strip()) from error
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)


def _sweep(shelf: Path) -> None:
    for path in shelf.glob(f"{_UNFINISHED}*"):
        try:
            abandoned = time.time() - path.stat().st_mtime > _ABANDONED_AFTER
        except FileNotFoundError:  # its writer has just finished
            continue
        if abandoned:
            shutil.rmtree(path, ignore_errors=True)


# ----------------------------------------------------------------------------------------------------------------------
# Settings and weights


@dataclass(frozen=True)
class Kind:
    """A kind of folder that is kept, and how errors speak of it.

    format, version: of its settings. what: "adapted domain"; maker: "an adaptation"; again: "adapt again".
    """

    format: str
    version: int
    what: str
    maker: str
    again: str

    def damaged(self, path: Path, why: str) -> InputError:
        """The error for a folder that can't be used as it is."""
        return InputError(f"The {self.what} in {path} is damaged ({why}): delete the folder and {self.again}.")

    def read_settings(self, folder: Path, check: Callable[[Mapping[str, Any]], object]) -> dict[str, Any]:
        """What settings.json in `folder` says.

        check: looks for everything that has to be there. Raises InputError if the file is missing or damaged, or if
        `check` raises that, or what a wrong kind of value leads to.
        """
        try:
            settings = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
        except OSError as error:
            raise InputError(
                f"There is no {self.what} in {folder}: {SETTINGS} can't be read ({error.strerror or error}). "
                f"Give the folder that {self.maker} wrote."
            ) from error
        except ValueError as error:
            raise self.damaged(folder, f"{SETTINGS}: {error}") from error
        if not isinstance(settings, Mapping) or settings.get("format") != self.format:
            raise self.damaged(folder, f"{SETTINGS} isn't one of {self.maker}")
        if settings.get("version", 0) > self.version:
            raise InputError(f"The {self.what} in {folder} was written by a newer version: update this one to read it.")
        try:
            check(settings)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise self.damaged(folder, f"{SETTINGS}: {error}") from error
        return dict(settings)

    def write_tensors(
        self, tensors: Mapping[str, Tensor], path: Path, settings: Mapping[str, Any], dtype: torch.dtype | None = None
    ) -> dict[str, Any]:
        """Writes tensors with their settings inside, so that the file alone still says what it is.

        Gives what tells later whether the file is as it was written: its "bytes" and "sha256".
        """
        from .checkpoints import save_tensors

        save_tensors(tensors, path, {"format": self.format, "settings": json.dumps(settings)}, dtype)
        return {"bytes": path.stat().st_size, "sha256": catalog.file_digest(path)}

    def check_whole(self, path: Path, facts: Mapping[str, Any]) -> None:
        """Raises InputError unless the file `path` has the bytes that `write_tensors` told of."""
        if not path.is_file() or catalog.file_digest(path) != facts.get("sha256"):
            raise self.damaged(path.parent, f"{path.name} isn't as it was written")

    def circumstances(self) -> dict[str, Any]:
        """What settings begin and end with, whatever was made: format, time, versions, threads."""
        return {
            "format": self.format,
            "version": self.version,
            "created": datetime.now(timezone.utc).isoformat(timespec="milliseconds"),
            "versions": versions(),
            "threads": torch.get_num_threads(),  # sums are split among them, which shows in the last bits
        }


def write_settings(settings: Mapping[str, Any], folder: Path) -> None:
    """Writes settings.json, whole or not at all."""
    from .checkpoints import atomic_path

    with atomic_path(folder / SETTINGS) as temporary:
        temporary.write_text(json.dumps(settings, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def versions() -> dict[str, str]:
    """Versions of everything that a run's numbers may depend on."""
    from . import __version__

    found = {"ipl_core": __version__, "python": platform.python_version()}
    for package in ("torch", "open_clip_torch", "safetensors", "numpy", "pillow"):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "unknown"
    found["torch"] = str(torch.__version__)
    return found


# ----------------------------------------------------------------------------------------------------------------------
# History


def history_row(snapshot: Snapshot) -> dict[str, Any]:
    """What a step leaves in the history: stage, step, its losses, diversity where it was measured, seconds."""
    row = {"stage": snapshot.phase, "step": snapshot.step, **snapshot.losses}
    if snapshot.diversity is not None and snapshot.phase == "generator":
        row["diversity"] = snapshot.diversity
    return {**row, "seconds": snapshot.seconds}


def terms(row: Mapping[str, Any]) -> dict[str, float]:
    """The measurements in a row of a history: loss terms, and diversity where it has one."""
    return {name: value for name, value in row.items() if name not in _NO_TERMS}


def history_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows of a history as CSV, a column for every term of any row."""
    names = dict.fromkeys(name for row in rows for name in terms(row))
    out = io.StringIO()
    writer = csv.DictWriter(out, ["stage", "step", *names, "seconds"], restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows({**row, "seconds": f"{row['seconds']:.3f}"} for row in rows)
    return out.getvalue()


def read_history(path: Path) -> list[dict[str, Any]]:
    """The rows of a history.csv: stage (text), step (int), terms and seconds (float).

    Raises OSError, ValueError, KeyError or TypeError if the file is missing or damaged.
    """
    with open(path, newline="", encoding="utf-8") as file:
        return [_row(row) for row in csv.DictReader(file)]


def _row(row: Mapping[str, str]) -> dict[str, Any]:
    numbers = {name: float(text) for name, text in row.items() if name not in ("stage", "step") and text}
    return {"stage": row["stage"], "step": int(row["step"]), **numbers}
