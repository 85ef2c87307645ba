"""Paths as text that can be stored in settings, and back.

A path is stored as it was typed. Only a path whose bytes aren't valid text, such as `Jos\\xe9.pt` from an old disk,
becomes a file URI (RFC 8089), which is text and still leads to the file.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote_to_bytes
from urllib.request import url2pathname

from .words import readable

_URI = "file:///"


def path_text(path: str) -> str:
    """A name or path as stored in settings: unchanged, or a file URI if the path isn't valid text."""
    return path if readable(path) == path else as_path(path).absolute().as_uri()


def as_path(text: str | os.PathLike[str]) -> Path:
    """The Path for a text that a person typed or `path_text` returned, with ~ expanded. Touches no file."""
    text = os.fspath(text)
    if not text.startswith(_URI):
        # Not Path.expanduser, which fails for unknown users and takes “./~name” for a user's home folder.
        return Path(os.path.expanduser(text))
    if os.name == "nt":
        return Path(url2pathname(text.removeprefix("file:")))
    return Path(os.fsdecode(unquote_to_bytes(text.removeprefix("file://"))))


def exists_at(path: Path) -> bool:
    """Whether a file or folder exists there. Raises OSError or ValueError if the text can't be a path."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def exists(text: str | os.PathLike[str]) -> bool:
    """Whether a file or folder exists at that path; False if the text can't be a path."""
    return is_file(text) or is_folder(text)


def is_file(text: str | os.PathLike[str]) -> bool:
    """Whether a file exists at that path; False if the text can't be a path (too long, or with a NUL)."""
    try:
        return as_path(text).is_file()
    except (OSError, ValueError):
        return False


def is_folder(text: str | os.PathLike[str]) -> bool:
    """Whether a folder exists at that path, as in `is_file`."""
    try:
        return as_path(text).is_dir()
    except (OSError, ValueError):
        return False


@contextlib.contextmanager
def in_utf8(path: Path) -> Iterator[Path]:
    """A path to the same file or folder for readers that only take UTF-8: `path`, or a temporary link to it."""
    if readable(str(path)) == str(path):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="ipl-link-") as folder:
        link = Path(folder, "link").with_suffix(path.suffix if path.suffix.isascii() else "")
        link.symlink_to(path.absolute())
        yield link
