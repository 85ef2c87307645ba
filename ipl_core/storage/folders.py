"""Folders that the program keeps on disk: each is whole or absent, and describes itself in settings.json.

Readers see a whole folder or none, see `durable`; the content is checked when the folder is opened. This module knows
nothing about runs or people; the modules of `library` say what their folders contain.
"""

from __future__ import annotations

import errno
import logging
import os
import platform
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from torch import Tensor

from ..errors import InputError
from ..version import __version__
from . import digests, durable, stored
from .paths import as_path, exists_at
from .tensors import save_tensors
from .words import json_text, quoted, reason

Kept = TypeVar("Kept")

log = logging.getLogger(__name__)

SETTINGS = "settings.json"
HISTORY = "history.csv"
_FULL = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))
#: safetensors gives the error number only in its text: “(os error 28)”, older versions “Os { code: 28, …”.
_FULL_IN_WORDS = re.compile(rf"os error {errno.ENOSPC}\)|code: {errno.ENOSPC},")


def home() -> Path:
    """The program's data folder: `IPL_HOME` if that is set, else a folder in the user's cache directory."""
    if os.environ.get("IPL_HOME"):
        return as_path(os.environ["IPL_HOME"])
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "ipl-studio"


def check_writable(folder: str | os.PathLike[str]) -> None:
    """Makes `folder` if necessary and tests writing to it. Raises InputError if nothing can be written there."""
    folder = as_path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
        exists_at(
            folder / ".writing-xxxxxxxx" / "new" / "training.safetensors"
        )  # as long as the longest path ever written
    except (OSError, ValueError) as error:
        raise InputError(
            f"Nothing can be written to the folder {folder}: {reason(error)}. Choose another one."
        ) from error


def check_writable_file(path: Path) -> None:
    """Makes the folder of `path` if necessary, and tests that a file of that name can be written there.

    Call it before the work whose result goes there. Raises InputError if the folder or the name can't be used.
    """
    check_writable(path.parent)
    try:
        exists_at(path)
    except (OSError, ValueError) as error:
        raise InputError(f"No file can be called {quoted(path.name)}: {reason(error)}. Choose another name.") from error


# ----------------------------------------------------------------------------------------------------------------------
# Folders


def keep(shelf: Path, write: Callable[[Path], str], stays: Callable[[Path], bool] = lambda path: False) -> Path:
    """Stores a new folder in the folder `shelf`, whole or not at all, and returns its path.

    write: fills the temporary folder that it is given, and returns the final name. stays: whether an existing folder
    of that name is kept; otherwise the new one replaces it. A killed process leaves the old folder or the new one,
    see `durable`. Raises InputError if nothing can be written there, and `Full` if the disk is full.
    """
    check_writable(shelf)
    durable.settle(shelf)
    with _workplace(shelf, f"Nothing can be kept in {shelf}", "Set IPL_HOME to another folder.") as place:
        path = shelf / write(place.new)
        if path.is_dir() and stays(path):
            return path
        try:
            place.put(path.name)
        except OSError:
            if path.is_dir() and stays(path):  # another process was faster
                return path
            raise
    return path


def write_into(folder: str | os.PathLike[str], write: Callable[[Path], None]) -> Path:
    """Adds files to `folder`, each whole or not at all, and returns `folder`.

    write: writes the files into the temporary folder that it is given. If there are several, the old settings.json is
    removed first and the new one is moved last: a folder without it is invalid, so a mixture of old and new files is
    never used. If the process is killed, the remaining files are moved when the folder is next read or written.
    Raises InputError if the folder can't be written, and `Full` if the disk is full.
    """
    folder = as_path(folder)
    check_writable(folder)
    durable.settle(folder)
    with _workplace(folder, f"The result can't be written to {folder}", "") as place:
        write(place.new)
        place.add(SETTINGS)
    return folder


def scratch(shelf: Path) -> durable.Workplace:
    """A temporary workplace in `shelf` for unfinished results; if its process is killed, it is deleted later.

    Raises InputError if nothing can be written there.
    """
    check_writable(shelf)
    try:
        return durable.Workplace(shelf)
    except OSError as error:
        raise refused(f"Nothing can be kept in {shelf}", error, "Set IPL_HOME to another folder.") from error


def delete(path: Path, shelf: Path, called: str) -> None:
    """Deletes a folder from `shelf`.

    called: the name of the shelf in errors. Raises InputError if the folder isn't there or can't be deleted.
    """
    folder = path.parent.resolve() / path.name
    if folder.parent != shelf.resolve() or folder.name.startswith("."):
        raise InputError(f"{path} isn't in {called} {shelf}, so it isn't deleted.")
    with _workplace(shelf, f"{path} can't be deleted", "") as place:
        os.replace(folder, place.path / "old")  # disappears at once, even if deleting its files is interrupted
        durable.sync(shelf)


def contents(shelf: Path) -> list[Path]:
    """All folders in `shelf`, whole or damaged, by name. Finishes the moves of killed processes first.

    Raises InputError if the shelf can't be read.
    """
    try:
        names = os.listdir(shelf)
        if durable.leftovers(names) and durable.settle(shelf):
            names = os.listdir(shelf)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise InputError(f"The folder {shelf} can't be read: {reason(error)}. Set IPL_HOME to another one.") from error
    return [shelf / name for name in sorted(names) if not name.startswith(".")]


def opened(shelf: Path, what: str, open_one: Callable[[Path], Kept]) -> tuple[list[Kept], list[str]]:
    """The results of `open_one` for all folders in `shelf`, and a message for each that raises InputError.

    what: the kind of folder for the messages, such as "adapted domain". A shelf that can't be read gives a message too.
    """
    found, problems = [], []
    try:
        paths = contents(shelf)
    except InputError as error:
        paths, problems = [], [str(error)]
    for path in paths:
        try:
            stored.folder_name(path.name)
            found.append(open_one(path))
        except InputError as error:
            problems.append(str(error))
        except (ValueError, OSError) as error:
            problems.append(f"{quoted(path.name)} in {shelf} can't be used as an {what}: {reason(error)}.")
    for problem in problems:
        log.warning("%s", problem)
    return found, problems


def folder_name(words: str, otherwise: str, key: str, *more: str) -> str:
    """A descriptive folder name: the plain letters of `words`, further parts, and the beginning of the key."""
    return "-".join((plain_letters(words) or otherwise, *more, key[:12]))


def plain_letters(words: str) -> str:
    """`words` in lower case: ASCII letters and digits, joined by hyphens, at most 40 characters, for a file name."""
    return re.sub(r"[^a-z0-9]+", "-", words.casefold()).strip("-")[:40]


class Full(InputError):
    """The disk is full."""


def refused(complaint: str, error: Exception, advice: str) -> InputError:
    """The error for a failed system call; `Full` if the disk is full."""
    kind = Full if is_full(error) else InputError
    return kind(f"{complaint}: {reason(error)}. {advice}".strip())


def is_full(error: BaseException | None) -> bool:
    """Whether an error was caused by a full disk or an exhausted quota."""
    while error is not None:
        if isinstance(error, Full) or getattr(error, "errno", None) in _FULL:
            return True
        if isinstance(error, SafetensorError) and _FULL_IN_WORDS.search(str(error)):
            return True
        error = error.__cause__
    return False


@contextmanager
def _workplace(folder: Path, complaint: str, advice: str) -> Iterator[durable.Workplace]:
    """A context manager for a workplace in `folder`; system errors inside become InputErrors."""
    try:
        with durable.workplace(folder) as place:
            yield place
    except OSError as error:
        raise refused(complaint, error, advice) from error
    except InputError as error:
        if is_full(error) and not isinstance(error, Full):
            raise refused(complaint, error, advice) from error
        raise


# ----------------------------------------------------------------------------------------------------------------------
# Settings and weights


@dataclass(frozen=True)
class Kind:
    """A kind of folder, and its words for error messages.

    format, version: of its settings. what: such as "adapted domain"; maker: such as "an adaptation"; again: what to do
    about a damaged folder, such as "delete the folder and adapt again".
    """

    format: str
    version: int
    what: str
    maker: str
    again: str

    def damaged(self, path: Path, why: str) -> InputError:
        """The error for a damaged folder."""
        return InputError(f"The {self.what} in {path} is damaged ({why}): {self.again}.")

    def read_settings(self, folder: Path, check: Callable[[Mapping[str, Any]], object]) -> dict[str, Any]:
        """The settings in `folder`'s settings.json.

        check: validates them. Raises InputError if the file is missing or damaged, or if `check` raises InputError or
        an error that wrong types cause.
        """
        try:
            settings = self._read(folder)
        except OSError as error:
            raise InputError(
                f"There is no {self.what} in {folder}: {SETTINGS} can't be read ({reason(error)}). "
                f"Give the folder that {self.maker} wrote."
            ) from error
        except (ValueError, RecursionError) as error:
            raise self.damaged(folder, f"{SETTINGS}: {reason(error)}") from error
        return self.checked(settings, folder, check)

    def checked(self, settings: Any, path: Path, check: Callable[[Mapping[str, Any]], object]) -> dict[str, Any]:
        """Settings read from `path`, validated for this kind of folder; raises as `read_settings` does."""
        if not isinstance(settings, Mapping) or settings.get("format") != self.format:
            raise self.damaged(path, f"{SETTINGS} isn't one of {self.maker}")
        try:
            if stored.whole(settings.get("version", 0), "version", int(stored.MAX_NUMBER)) > self.version:
                raise InputError(
                    f"The {self.what} in {path} was written by a newer version: update this one to read it."
                )
        except InputError:
            raise
        except ValueError as error:
            raise self.damaged(path, f"{SETTINGS}: {error}") from error
        try:
            check(settings)
        except KeyError as error:
            raise self.damaged(path, f"{SETTINGS}: {error} is missing") from error
        except (ValueError, TypeError, AttributeError, OverflowError) as error:
            raise self.damaged(path, f"{SETTINGS}: {reason(error)}") from error
        return dict(settings)

    def _read(self, folder: Path) -> Any:
        try:
            return stored.read_json(folder / SETTINGS)
        except FileNotFoundError:  # a killed process may not have moved it yet
            if not durable.settle(folder):
                raise
            return stored.read_json(folder / SETTINGS)

    def check_files(self, folder: Path, sizes: Mapping[str, int], names: Sequence[str]) -> None:
        """Raises InputError unless a folder has all files of `names`, with PNGs that are complete."""
        for name in names:
            if sizes.get(name, -1) < 0:
                raise self.damaged(folder, f"{name} is missing")
            if name.endswith(".png"):
                try:
                    stored.check_png(folder / name)
                except (OSError, ValueError) as error:
                    raise self.damaged(folder, f"{name}: {reason(error)}") from error

    def sizes(self, folder: Path) -> dict[str, int]:
        """The sizes of a folder's files, see `stored.sizes_in`. Finishes the moves of killed processes first.

        Raises InputError if the folder can't be read.
        """
        try:
            sizes = stored.sizes_in(folder)
            if durable.leftovers(list(sizes)) and durable.settle(folder):
                sizes = stored.sizes_in(folder)
            return sizes
        except OSError as error:
            raise InputError(f"The {self.what} in {folder} can't be read: {reason(error)}.") from error

    def write_tensors(
        self, tensors: Mapping[str, Tensor], path: Path, settings: Mapping[str, Any], dtype: torch.dtype | None = None
    ) -> dict[str, Any]:
        """Writes tensors with their settings, so that the file describes itself.

        Returns the "bytes" and "sha256" of the file, to check it later.
        """
        description = {"format": self.format, "settings": json_text(stored.finite(settings), ascii_only=True)}
        save_tensors(tensors, path, description, dtype)
        return {"bytes": path.stat().st_size, "sha256": digests.file_digest(path)}

    def check_whole(self, path: Path, sha256: str) -> None:
        """Raises InputError unless the file `path` has the sha256 that `write_tensors` returned."""
        if not path.is_file() or digests.file_digest(path) != sha256:
            raise self.damaged(path.parent, f"{path.name} isn't as it was written")

    def circumstances(self) -> dict[str, Any]:
        """The fields that all settings have: format, time, versions, threads."""
        return {
            "format": self.format,
            "version": self.version,
            "created": datetime.now(timezone.utc).isoformat(timespec="milliseconds"),
            "versions": versions(),
            "threads": torch.get_num_threads(),  # changes the order of sums, and so their last bits
        }


def write_settings(settings: Mapping[str, Any], folder: Path) -> None:
    """Writes settings.json into an unfinished folder."""
    text = json_text(stored.finite(settings), indent=2, allow_nan=False)
    (folder / SETTINGS).write_text(text + "\n", encoding="utf-8")


def versions() -> dict[str, str]:
    """Versions of all software that a run's numbers may depend on."""
    found = {"ipl_core": __version__, "python": platform.python_version()}
    for package in ("torch", "open_clip_torch", "safetensors", "numpy", "pillow"):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "unknown"
    found["torch"] = str(torch.__version__)
    return found
