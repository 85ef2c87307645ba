"""Paths that a person names, as settings hold them: text that any file can hold, and back.

A path is kept as it was typed. Only one whose bytes are no text, such as `Jos\\xe9.pt` from an old disk, becomes a file
URI (RFC 8089), which is text and still leads to the file.
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
    """A name or path as settings hold it: as it is, or as a file URI if it is a path that no text can hold."""
    return path if readable(path) == path else as_path(path).absolute().as_uri()


def as_path(text: str | os.PathLike[str]) -> Path:
    """The path that a person typed or that `path_text` gave, with the home folder in place of ~. Touches no file."""
    text = os.fspath(text)
    if not text.startswith(_URI):
        # Not Path.expanduser, which fails where nobody has that name, and takes “./~name” for somebody's home.
        return Path(os.path.expanduser(text))
    if os.name == "nt":
        return Path(url2pathname(text.removeprefix("file:")))
    return Path(os.fsdecode(unquote_to_bytes(text.removeprefix("file://"))))


def exists_at(path: Path) -> bool:
    """Whether something lies there. Raises OSError or ValueError for what the system can't take as a path."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def exists(text: str | os.PathLike[str]) -> bool:
    """Whether there is a file or folder of that path; a text that can't be a path is none."""
    return is_file(text) or is_folder(text)


def is_file(text: str | os.PathLike[str]) -> bool:
    """Whether there is a file of that path; a text that can't be a path, too long or with a NUL in it, is none."""
    try:
        return as_path(text).is_file()
    except (OSError, ValueError):
        return False


def is_folder(text: str | os.PathLike[str]) -> bool:
    """Whether there is a folder of that path, as in `is_file`."""
    try:
        return as_path(text).is_dir()
    except (OSError, ValueError):
        return False


@contextlib.contextmanager
def in_utf8(path: Path) -> Iterator[Path]:
    """A path to the same file or folder for readers that take UTF-8 alone: `path`, or a link to it in the block."""
    if readable(str(path)) == str(path):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="ipl-link-") as folder:
        link = Path(folder, "link").with_suffix(path.suffix if path.suffix.isascii() else "")
        link.symlink_to(path.absolute())
        yield link
