"""What is kept on disk, whatever it is: folders that are whole or absent, with their settings and their history.

Whoever looks sees a whole folder or none, see `durable`; what is in one is checked once, when it is opened. The module
knows nothing about runs or people; library.py and people.py say what belongs into theirs.
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
#: safetensors tells the number in words alone: “(os error 28)”, older ones “Os { code: 28, …”.
_FULL_IN_WORDS = re.compile(rf"os error {errno.ENOSPC}\)|code: {errno.ENOSPC},")


def home() -> Path:
    """The folder for everything that is kept: `IPL_HOME` if that is set, else the user's cache directory."""
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
    """Makes `folder` if it isn't there and tries it. Raises InputError if nothing can be written to it."""
    folder = as_path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
        exists_at(folder / ".writing-xxxxxxxx" / "new" / "training.safetensors")  # as long a path as is ever written
    except (OSError, ValueError) as error:
        raise InputError(
            f"Nothing can be written to the folder {folder}: {reason(error)}. Choose another one."
        ) from error


def check_writable_file(path: Path) -> None:
    """Makes the folder of `path` if it isn't there and tries both. Raises InputError for a name that no file can have.

    To be called before any work whose result goes there.
    """
    check_writable(path.parent)
    try:
        exists_at(path)
    except (OSError, ValueError) as error:
        raise InputError(f"No file can be called {quoted(path.name)}: {reason(error)}. Choose another name.") from error


# ----------------------------------------------------------------------------------------------------------------------
# Folders


def keep(shelf: Path, write: Callable[[Path], str], stays: Callable[[Path], bool] = lambda path: False) -> Path:
    """Keeps a folder on `shelf`, whole or not at all, and gives its path.

    write: fills the temporary folder it is given and says what the folder is to be called. stays: whether what
    already has that name is to be left as it is; else the new folder takes its place. A process that is killed
    leaves the old folder or the new one, see `durable`.
    Raises InputError if nothing can be written there, and `Full` if that is for want of space.
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
            if path.is_dir() and stays(path):  # another writer was faster
                return path
            raise
    return path


def write_into(folder: str | os.PathLike[str], write: Callable[[Path], None]) -> Path:
    """Adds files to `folder`, each whole or not at all; `write` puts them into the temporary folder it is given.

    Where several are written, the old settings.json goes first and the new one comes last: without it the others
    count for nothing, so that old and new files never pass for one whole. What a killed process has not moved yet is
    moved when the folder is next read or written.
    Gives the folder. Raises InputError if it can't be written, and `Full` if that is for want of space.
    """
    folder = as_path(folder)
    check_writable(folder)
    durable.settle(folder)
    with _workplace(folder, f"The result can't be written to {folder}", "") as place:
        write(place.new)
        place.add(SETTINGS)
    return folder


def scratch(shelf: Path) -> durable.Workplace:
    """A workplace on `shelf` for what is still in the making; if its owner dies, it is swept away like any other.

    Raises InputError if nothing can be written there.
    """
    check_writable(shelf)
    try:
        return durable.Workplace(shelf)
    except OSError as error:
        raise refused(f"Nothing can be kept in {shelf}", error, "Set IPL_HOME to another folder.") from error


def delete(path: Path, shelf: Path, called: str) -> None:
    """Removes a folder that is kept on `shelf`, for good.

    called: what errors call the shelf. Raises InputError if the folder isn't there or can't be removed.
    """
    folder = path.parent.resolve() / path.name
    if folder.parent != shelf.resolve() or folder.name.startswith("."):
        raise InputError(f"{path} isn't in {called} {shelf}, so it isn't deleted.")
    with _workplace(shelf, f"{path} can't be deleted", "") as place:
        os.replace(folder, place.path / "old")  # gone at once, even if clearing it away is interrupted
        durable.sync(shelf)


def contents(shelf: Path) -> list[Path]:
    """Everything on `shelf`, whole or damaged, by name; what a killed process has begun is ended first.

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
    """What `open_one` makes of each thing on `shelf`, and a sentence about each that it refuses by an InputError.

    what: a thing on the shelf as the sentence calls it, "adapted domain". One about a shelf that can't be read, too.
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
    """A name for a folder that says what is in it: the plain letters of `words`, what else, and how its key begins."""
    return "-".join((plain_letters(words) or otherwise, *more, key[:12]))


def plain_letters(words: str) -> str:
    """The plain letters and digits of `words` with hyphens between, at most 40 characters, for a name on the disk."""
    return re.sub(r"[^a-z0-9]+", "-", words.casefold()).strip("-")[:40]


class Full(InputError):
    """The disk has no room for what was to be written."""


def refused(complaint: str, error: Exception, advice: str) -> InputError:
    """The error for what the system refuses; a `Full` where space is what is wanting."""
    kind = Full if is_full(error) else InputError
    return kind(f"{complaint}: {reason(error)}. {advice}".strip())


def is_full(error: BaseException | None) -> bool:
    """Whether a full disk, or a used-up quota, is behind an error."""
    while error is not None:
        if isinstance(error, Full) or getattr(error, "errno", None) in _FULL:
            return True
        if isinstance(error, SafetensorError) and _FULL_IN_WORDS.search(str(error)):
            return True
        error = error.__cause__
    return False


@contextmanager
def _workplace(folder: Path, complaint: str, advice: str) -> Iterator[durable.Workplace]:
    """A workplace in `folder` for the block; what the system refuses there is an InputError."""
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
    """A kind of folder that is kept, and how errors speak of it.

    format, version: of its settings. what: "adapted domain"; maker: "an adaptation"; again: what to do about a damaged
    one, "delete the folder and adapt again".
    """

    format: str
    version: int
    what: str
    maker: str
    again: str

    def damaged(self, path: Path, why: str) -> InputError:
        """The error for a folder that can't be used as it is."""
        return InputError(f"The {self.what} in {path} is damaged ({why}): {self.again}.")

    def read_settings(self, folder: Path, check: Callable[[Mapping[str, Any]], object]) -> dict[str, Any]:
        """What settings.json in `folder` says.

        check: looks for everything that has to be there. Raises InputError if the file is missing or damaged, or if
        `check` raises that, or what a wrong kind of value leads to.
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
        """Settings that were found in `path`, once they are those of such a folder; raises as `read_settings` does."""
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
        except FileNotFoundError:  # a killed process may have been about to put it there
            if not durable.settle(folder):
                raise
            return stored.read_json(folder / SETTINGS)

    def check_files(self, folder: Path, sizes: Mapping[str, int], names: Sequence[str]) -> None:
        """Raises InputError unless all of `names` are among the files of a folder, and the pictures are pictures."""
        for name in names:
            if sizes.get(name, -1) < 0:
                raise self.damaged(folder, f"{name} is missing")
            if name.endswith(".png"):
                try:
                    stored.check_png(folder / name)
                except (OSError, ValueError) as error:
                    raise self.damaged(folder, f"{name}: {reason(error)}") from error

    def sizes(self, folder: Path) -> dict[str, int]:
        """The bytes of each file in a folder, as `stored.sizes_in` gives them; what a killed process has begun there is
        ended first. Raises InputError if it can't be read."""
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
        """Writes tensors with their settings inside, so that the file alone still says what it is.

        Gives what tells later whether the file is as it was written: its "bytes" and "sha256".
        """
        description = {"format": self.format, "settings": json_text(stored.finite(settings), ascii_only=True)}
        save_tensors(tensors, path, description, dtype)
        return {"bytes": path.stat().st_size, "sha256": digests.file_digest(path)}

    def check_whole(self, path: Path, sha256: str) -> None:
        """Raises InputError unless the file `path` has the sha256 that `write_tensors` told of."""
        if not path.is_file() or digests.file_digest(path) != sha256:
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
    """Writes settings.json into a folder that is being made."""
    text = json_text(stored.finite(settings), indent=2, allow_nan=False)
    (folder / SETTINGS).write_text(text + "\n", encoding="utf-8")


def versions() -> dict[str, str]:
    """Versions of everything that a run's numbers may depend on."""
    found = {"ipl_core": __version__, "python": platform.python_version()}
    for package in ("torch", "open_clip_torch", "safetensors", "numpy", "pillow"):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "unknown"
    found["torch"] = str(torch.__version__)
    return found
