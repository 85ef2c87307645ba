"""A folder that belongs to one process: what visitors upload and are given lies in it, and is gone when the app ends.

The folder is readable by its user alone and locked as long as its process lives, so that the next app tells what a
killed one left behind from what another app still uses. This module knows no component and no request.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import re
import secrets
import shutil
import stat
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

log = logging.getLogger(__name__)

_NAMED = re.compile(r"\d+-[0-9a-f]{16}")  # the process and a random number
_UNFINISHED = ".new-"
_GRADIO, _WORK = "gradio", "work"  # shelves that others are told of once, at the start
_ABANDONED_AFTER = 3600.0  # seconds; no process takes so long to make and lock its folder

_mutex = threading.Lock()
_held: _Held | None = None


class _Held:
    """The folder of this process, and its open lock, which says that the process lives."""

    def __init__(self, path: Path, lock: int) -> None:
        self.path, self.lock, self.process = path, lock, os.getpid()

    def unlock(self) -> None:
        """Lets others see that the folder isn't needed any more; again, it does nothing."""
        lock, self.lock = self.lock, -1
        if lock >= 0:
            os.close(lock)


def hold() -> Path:
    """The private folder of this process, made when it is first asked for and removed when Python ends.

    It lies in `GRADIO_TEMP_DIR`, or in the system's temporary folder where that isn't set or can't be used. From then
    on Gradio keeps its files in it, if it is imported later. What killed processes of the same user left in the same
    place is removed. One that somebody has removed meanwhile is made again where it was. Raises OSError where no folder
    can be made.
    """
    global _held
    with _mutex:
        if _held is None or _held.process != os.getpid():
            parent = Path(os.environ.get("GRADIO_TEMP_DIR") or tempfile.gettempdir()).expanduser().absolute()
            if _held is not None and parent == _held.path / _GRADIO:  # which is another process's
                parent = _held.path.parent.parent
            try:
                _held = _make(parent)
            except OSError as error:
                otherwise = Path(tempfile.gettempdir())
                if parent == otherwise:
                    raise
                log.warning("Nothing can be kept in GRADIO_TEMP_DIR (%s): %s is used instead.", error, otherwise)
                _held = _make(otherwise)
            os.environ["GRADIO_TEMP_DIR"] = str(folder_in(_held.path, _GRADIO))
            atexit.register(release)
        elif not _is_in_place(_held):
            log.warning("The private folder %s was removed, with what was in it: it is made anew.", _held.path)
            _held = _made_again(_held)
        return _held.path


def shelf(name: str) -> Path:
    """A folder of that name in the private folder."""
    return folder_in(hold(), name)


def folder_in(path: Path, name: str) -> Path:
    """The folder `name` in `path`, made if need be."""
    folder = path / name
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def use_for_temporary_files() -> None:
    """Lets this process and its children put all other temporary files into the private folder, too."""
    work = str(shelf(_WORK))
    os.environ["TMPDIR"] = work
    tempfile.tempdir = work


def release() -> None:
    """Removes the private folder of this process, if it has one."""
    global _held
    with _mutex:
        if _held is None or _held.process != os.getpid():
            return
        _held.unlock()  # first, as some systems remove no open file; a second Ctrl-C may end what follows half-way
        _remove(_held.path)
        _held = None


def _make(parent: Path) -> _Held:
    parent.mkdir(parents=True, exist_ok=True)
    ours = parent / f"ipl-studio-{_user()}"
    with contextlib.suppress(FileExistsError):
        ours.mkdir(mode=0o700)
    if not _is_ours(ours):
        log.warning("%s belongs to somebody else or is open to others, so another folder is used.", ours)
        ours = Path(tempfile.mkdtemp(prefix=f"{ours.name}-", dir=parent))
    _sweep(ours)
    new = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=ours))
    lock = _opened(new)
    _lock(lock)
    path = ours / f"{os.getpid()}-{secrets.token_hex(8)}"
    os.rename(new, path)  # only now, with its lock, others may look at it
    return _Held(path, lock)


def _is_in_place(held: _Held) -> bool:
    """Whether the folder that is locked is the one that lies in its place."""
    try:
        return os.path.samestat(os.fstat(held.lock), os.stat(_lock_of(held.path)))
    except OSError:
        return False


def _made_again(held: _Held) -> _Held:
    """The same folder, which has been removed, with what others count on: Gradio never asks again where files belong.

    Gradio itself may have made the folder meanwhile, for all to read. Raises OSError if it can't be had.
    """
    for folder in (held.path.parent, held.path):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not _is_own(folder):
            raise PermissionError(f"{folder} belongs to somebody else")
        folder.chmod(0o700)
    lock = _opened(held.path)
    _lock(lock)
    for name in (_GRADIO, _WORK):
        folder_in(held.path, name)
    held.unlock()
    return _Held(held.path, lock)


def _user() -> str:
    return str(os.getuid()) if hasattr(os, "getuid") else os.environ.get("USERNAME", "user")


def _is_ours(folder: Path) -> bool:
    """Whether it is a folder, not a link to one, that this user owns and nobody else may enter."""
    return _is_own(folder) and (not hasattr(os, "getuid") or not folder.lstat().st_mode & 0o077)


def _is_own(folder: Path) -> bool:
    """Whether it is a folder, not a link to one, that this user owns."""
    found = folder.lstat()
    return stat.S_ISDIR(found.st_mode) and (not hasattr(os, "getuid") or found.st_uid == os.getuid())


def _sweep(ours: Path) -> None:
    """Removes the folders of processes that don't live any more."""
    for path in ours.iterdir():
        if path.is_symlink() or not path.is_dir():
            continue
        if path.name.startswith(_UNFINISHED):
            with contextlib.suppress(OSError):
                if time.time() - path.stat().st_mtime > _ABANDONED_AFTER:
                    _remove(path)
        elif _NAMED.fullmatch(path.name):
            with _dead(path) as dead:
                if dead:
                    _remove(path)


@contextlib.contextmanager
def _dead(path: Path) -> Iterator[bool]:
    """Whether the folder's process has ended; holds the lock meanwhile, so that one app alone removes the folder."""
    try:
        lock = _opened(path)
    except OSError:  # another app has just removed it
        yield False
        return
    try:
        yield _lock(lock)
    finally:
        os.close(lock)


def _opened(path: Path) -> int:
    """What is locked of a folder: the folder itself, which programs that clean up old files then spare; on Windows,
    which locks no folders, a file in it."""
    if sys.platform == "win32":
        return os.open(_lock_of(path), os.O_RDWR | os.O_CREAT)
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)


def _lock_of(path: Path) -> Path:
    return path / "lock" if sys.platform == "win32" else path


def _lock(file: int) -> bool:
    """Locks what `_opened` gave until it is closed or its process ends; False if another process has locked it."""
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _remove(path: Path) -> None:
    """Removes a folder with all that is in it; a job that still runs may write to it meanwhile."""
    for _ in range(3):
        shutil.rmtree(path, ignore_errors=True)
        if not path.exists():
            return
    log.warning("The temporary folder %s can't be removed: delete it by hand.", path)
