"""Atomic writing of folders and files: they appear whole or not at all, even if the writing process is killed.

New content is first written into a workplace: a hidden folder beside its destination, locked while its process lives.
It is synced to the disk, the intended move is recorded, and then the content is moved. If the process is killed, the
next process finishes a move that had begun and deletes everything else. This module knows nothing about the content.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

try:
    import fcntl
except ImportError:  # Windows: there, only its age tells whether a workplace is abandoned
    fcntl = None  # type: ignore[assignment]

PREFIX = ".writing-"  # prefix of the names of workplaces and of unfinished files
ABANDONED_AFTER = 24 * 3600.0  # seconds after which a workplace counts as abandoned where locks don't work

_LOCK, _INTENT = "lock", "intent.json"
_NEW, _OLD = "new", "old"
_AT_WORKING_FOLDER, _EXCHANGE = -100, 2  # AT_FDCWD and RENAME_EXCHANGE of Linux; macOS has RENAME_SWAP = 2
_NO_EXCHANGE = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EPERM)


# ----------------------------------------------------------------------------------------------------------------------
# The disk


def sync(path: Path) -> None:
    """Waits until a file's bytes, or a folder's names, are on the disk. Raises OSError if the disk fails."""
    if os.name != "posix" and path.is_dir():
        return
    descriptor = os.open(path, os.O_RDONLY if os.name == "posix" else os.O_RDWR)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # file systems without fsync
            raise
    finally:
        os.close(descriptor)


def sync_all(folder: Path) -> None:
    """Syncs every file in `folder` and the folder itself."""
    for path in folder.iterdir():
        if path.is_file() and not path.is_symlink():
            sync(path)
    sync(folder)


def exchange(one: Path, other: Path) -> bool:
    """Swaps two files or folders of one file system atomically.

    Returns False, and changes nothing, if the system or the file system can't do that. Raises OSError.
    """
    swap = _swap()
    if swap is None:
        return False
    if swap(os.fsencode(one), os.fsencode(other)) == 0:
        return True
    code = ctypes.get_errno()
    if code in _NO_EXCHANGE:
        return False
    raise OSError(code, os.strerror(code), str(one), None, str(other))


@lru_cache(maxsize=1)
def _swap() -> Callable[[bytes, bytes], int] | None:
    if os.name != "posix":
        return None
    system = ctypes.CDLL(None, use_errno=True)
    if sys.platform == "darwin" and hasattr(system, "renamex_np"):
        return lambda one, other: system.renamex_np(one, other, ctypes.c_uint(_EXCHANGE))
    if hasattr(system, "renameat2"):
        here = _AT_WORKING_FOLDER
        return lambda one, other: system.renameat2(here, one, here, other, ctypes.c_uint(_EXCHANGE))
    return None


def link(source: Path, target: Path) -> None:
    """Makes a hard link to a file that won't be changed, or a copy if the file system has no hard links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _number(path: Path) -> int | None:
    """The inode of `path`, which stays the same when it is renamed; None if nothing is there."""
    try:
        return os.lstat(path).st_ino
    except FileNotFoundError:
        return None


# ----------------------------------------------------------------------------------------------------------------------
# Workplaces


class Workplace:
    """A hidden folder in `folder` to write in; `close` finishes any move that had begun and removes the workplace.

    Its lock lasts as long as the process, so other processes can tell a workplace in use from an abandoned one.
    Raises OSError if it can't be made.
    """

    def __init__(self, folder: Path) -> None:
        self.path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=folder))
        self._folder = folder
        try:
            self._lock = _locked(self.path)
            self.new = self.path / _NEW
            self.new.mkdir()
        except BaseException:
            shutil.rmtree(self.path, ignore_errors=True)
            raise

    def put(self, name: str) -> None:
        """Moves the folder `new` to `name` beside this workplace, replacing what is there.

        Readers see either the whole old folder or the whole new one. On systems that can't exchange names there is an
        instant with neither; if the process is killed then, `settle` repairs it. Raises OSError, with the old folder
        still in its place.
        """
        target = self._folder / name
        sync_all(self.new)
        self._intend({"name": name, "new": _number(self.new), "old": _number(target)})
        try:
            _put(self.path, target)
        except OSError:
            if _number(target) is not None or not (self.path / _OLD).exists():
                (self.path / _INTENT).unlink(
                    missing_ok=True
                )  # given up; otherwise `close` tries to put one of them back
            raise
        sync(self._folder)

    def add(self, seal: str) -> None:
        """Moves the files in `new` into the folder of this workplace, replacing files of the same names.

        seal: the file that makes the folder valid. If several files are moved, the old seal is removed first and the
        new one is moved last, so that a mixture of old and new files is never valid. Raises OSError.
        """
        sync_all(self.new)
        self._intend({"seal": seal})
        _add(self.path, self._folder, seal)
        sync(self._folder)

    def close(self) -> None:
        """Finishes a move that was interrupted, and removes the workplace."""
        _clear(self.path, self._folder)
        if self._lock is not None:
            with suppress(OSError):
                os.close(self._lock)
            self._lock = None

    def _intend(self, intent: dict[str, Any]) -> None:
        part = self.path / "intent"
        part.write_text(json.dumps(intent), encoding="utf-8")
        sync(part)
        os.rename(part, self.path / _INTENT)
        sync(self.path)


@contextmanager
def workplace(folder: Path) -> Iterator[Workplace]:
    """A context manager that makes a workplace and closes it."""
    place = Workplace(folder)
    try:
        yield place
    finally:
        place.close()


def leftovers(names: list[str]) -> list[str]:
    """The names in a folder that belong to workplaces or unfinished files."""
    return [name for name in names if name.startswith(PREFIX)]


def settle(folder: Path) -> bool:
    """Finishes the moves of killed processes in `folder` and deletes their leftovers; True if there were any.

    Workplaces of running processes stay. Nothing is changed on a disk that can't be written to.
    """
    try:
        found = leftovers(os.listdir(folder))
    except OSError:
        return False
    settled = False
    for name in found:
        settled |= _settle(folder / name, folder)
    return settled


def _settle(path: Path, folder: Path) -> bool:
    try:
        if not path.is_dir() or path.is_symlink():
            old = time.time() - os.lstat(path).st_mtime > ABANDONED_AFTER
            if old:
                path.unlink()
            return old
        if not (path / _LOCK).exists():
            if time.time() - path.stat().st_mtime <= ABANDONED_AFTER:
                return False
            _clear(path, folder)
            return True
        lock = os.open(path / _LOCK, os.O_RDONLY)
    except OSError:  # its owner has just finished, or the disk can't be written to
        return False
    try:
        if not _take(lock):
            return False
        _clear(path, folder)
        return True
    finally:
        os.close(lock)


def _locked(path: Path) -> int | None:
    """Makes a lock file in the folder `path` that is already locked when it appears, so that nobody finds it free."""
    if fcntl is None:
        return None
    part = path / "taking"
    lock = os.open(part, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if _take(lock):
            os.rename(part, path / _LOCK)
            return lock
        part.unlink()  # a file system without locks: then only its age tells
    except BaseException:
        os.close(lock)
        raise
    os.close(lock)
    return None


def _take(lock: int) -> bool:
    if fcntl is None:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _clear(path: Path, folder: Path) -> None:
    """Finishes a workplace's move, if one had begun, and removes the workplace; its lock is removed last."""
    try:
        _end(path, folder)
    except OSError:
        return  # the move failed: the workplace may hold the only copy, so it stays
    with suppress(OSError):
        for name in os.listdir(path):
            if name != _LOCK:
                _remove(path / name)
    shutil.rmtree(path, ignore_errors=True)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _end(path: Path, folder: Path) -> None:
    """Finishes a move that had begun, unless the destination has been replaced since. Raises OSError."""
    try:
        intent = json.loads((path / _INTENT).read_text(encoding="utf-8"))
        name, seal = intent.get("name"), intent.get("seal")
    except (OSError, ValueError, AttributeError):
        return
    if isinstance(seal, str) and (path / _NEW).is_dir():
        _add(path, folder, seal)
    if not isinstance(name, str) or Path(name).name != name or name.startswith("."):
        return
    target = folder / name
    there, meant = _number(target), intent.get("old")
    if _number(path / _NEW) != intent.get("new"):
        return  # the content was moved already, or was never complete
    if there == meant or (there is None and _number(path / _OLD) == meant):
        _put(path, target)


def _put(path: Path, target: Path) -> None:
    """Moves `new` from the workplace `path` to `target`; the previous target ends up as `new` or `old` in `path`."""
    new, old = path / _NEW, path / _OLD
    if _number(target) is None:
        os.rename(new, target)
    elif not exchange(new, target):
        os.rename(target, old)
        try:
            os.rename(new, target)
        except OSError:
            os.rename(old, target)
            raise


def _add(path: Path, folder: Path, seal: str) -> None:
    names = sorted(os.listdir(path / _NEW), key=lambda name: (name == seal, name))
    if len(names) > 1:
        with suppress(FileNotFoundError):
            os.unlink(folder / seal)
            sync(folder)
    for name in names:
        os.replace(path / _NEW / name, folder / name)
