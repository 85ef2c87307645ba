"""Sha256 of files, cached until a file changes."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

from ..errors import InputError


def file_digest(path: Path) -> str:
    """Sha256 of one file's bytes, in hex. Raises InputError if the file can't be read."""
    try:
        facts = path.stat()
        return _digest(str(path), facts.st_mtime_ns, facts.st_size)
    except OSError as error:
        raise InputError(f"{path} can't be read: {error.strerror or error}.") from error


@lru_cache(maxsize=64)
def _digest(
    path: str, modified: int, size: int
) -> str:  # time and size are part of the cache key, so that a changed file is read again
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()
