"""Disk space: checks that a result will fit, saves it to another folder if the disk is full after all, and bounds
folders of what can be made again."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from ..errors import InputError
from .folders import Full
from .lru import LRU
from .paths import as_path
from .words import size_words

log = logging.getLogger(__name__)

SPARE = 1_000_000  # bytes for settings, history and a margin


class KeptElsewhere(InputError):
    """A finished result couldn't be stored in its usual place; it was saved in the folder `path` instead."""

    def __init__(self, text: str, path: Path) -> None:
        super().__init__(text)
        self.path = path


def check(needs: Sequence[tuple[Path, int]], what: str) -> None:
    """Raises `Full` unless every disk has enough free space for all bytes that will be written to its folders.

    what: the result's name in the error, such as "The run". A folder that doesn't exist yet counts for the disk of its
    parent.
    """
    disks: dict[int, tuple[Path, int]] = {}
    for folder, size in needs:
        there = _existing(folder)
        disk = there.stat().st_dev
        disks[disk] = (there, disks.get(disk, (there, 0))[1] + size)
    for folder, size in disks.values():
        free = shutil.disk_usage(folder).free
        if free < size:
            raise Full(
                f"{what} will take about {size_words(size)} on the disk of {folder}, where "
                f"{size_words(free)} are free: free some space, or choose a folder on another disk."
            )


def keep_latest(folder: Path, ending: str, most: int) -> None:
    """Deletes those files of a folder that were not used for longest, until the rest take at most `most` bytes.

    ending: of the files' names, such as ".safetensors"; others stay. When a file was last used is its time of change,
    so whoever reads one calls `used`. A file that another process holds or has deleted is passed over.
    """
    found: list[tuple[float, Path, int]] = []
    for path in folder.glob(f"*{ending}"):
        with suppress(OSError):
            facts = path.stat()
            found.append((facts.st_mtime, path, facts.st_size))
    kept: LRU[Path, int] = LRU(most, int)
    for _, path, size in sorted(found):
        kept[path] = size
    for _, path, _ in found:
        if path not in kept:
            with suppress(OSError):
                path.unlink()


def used(path: Path) -> None:
    """Notes for `keep_latest` that a file was used now; a folder that can't be written to stays as it is."""
    with suppress(OSError):
        os.utime(path)


def _existing(folder: Path) -> Path:
    folder = as_path(folder).absolute()
    while not folder.exists():
        folder = folder.parent
    return folder


def keep_elsewhere(
    what: str,
    own: Sequence[str | os.PathLike[str] | None],
    keep: Callable[[Path], Path],
    full: Full,
) -> None:
    """Saves a result whose disk is full to the first folder with enough space, and raises `KeptElsewhere`.

    what: "run" or "inversion". own: folders that the user named; the system's temporary folder is tried after them.
    keep: saves the result in a given folder and returns its path. full: the error that the usual place raised. Returns
    normally if no folder has enough space.
    """
    for place in _places(own):
        try:
            path = keep(place)
        except InputError as error:
            log.warning("%s", error)
            continue
        error = KeptElsewhere(
            f"{full} The {what} isn't lost: it lies in {path}. Free some space, then bring it in by "
            f"“python -m ipl_core library import {path}”.",
            path,
        )
        log.error("%s", error)  # logged with the path, which an app's visitors aren't shown
        raise error from full


def _places(own: Sequence[str | os.PathLike[str] | None]) -> Iterator[Path]:
    yield from (as_path(folder) for folder in own if folder is not None)
    try:
        folder = Path(tempfile.mkdtemp(prefix="ipl-studio-"))
    except OSError:  # not even room for a folder
        return
    yield folder
    with suppress(OSError):
        folder.rmdir()
