"""Names of files that are made for visitors, and paths of files that they sent: both are checked here and nowhere else.

Whatever a name is built of – titles of domains, people, studies, endings – the file lies in the folder it was meant
for. A path in a request has to be one of Gradio's own uploads. This module knows no component.
"""

from __future__ import annotations

import re
import tempfile
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gradio.utils import get_upload_folder

from ipl_core import InputError

MAX_FILE_NAME = 150  # bytes; file systems take 255, and browsers add numbers of their own
_SEPARATE = '/\\:*?"<>|'
#: Names that Windows keeps for devices, whatever their ending.
_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)
_UPLOAD = re.compile(r"[0-9a-f]{64}")  # Gradio calls the folder of an upload by the hash of its bytes


def inside(folder: Path, name: str) -> Path:
    """The path of a file called `name` in `folder`, made safe: one part of a path, bounded, readable everywhere.

    Separators, characters that can't be shown and half characters become hyphens; dots and blanks at the ends go. The
    ending survives where the name has to be cut.
    """
    plain = unicodedata.normalize("NFC", name)
    plain = "".join("-" if character in _SEPARATE or _is_unseen(character) else character for character in plain)
    plain = plain.lstrip(". ").rstrip(". ") or "file"
    if _DEVICES.match(plain):
        plain = f"_{plain}"
    stem, dot, ending = plain.rpartition(".")
    if not stem or len(ending) > 20:
        stem, dot, ending = plain, "", ""
    stem = stem[:MAX_FILE_NAME]
    while len(f"{stem}{dot}{ending}".encode()) > MAX_FILE_NAME:
        stem = stem[:-1]
    path = folder / f"{stem.rstrip('. ') or 'file'}{dot}{ending}"
    if path.resolve().parent != folder.resolve():
        raise InputError("The file can't be called so: choose a name of letters and digits.")
    return path


@contextmanager
def handed_out() -> Iterator[Path]:
    """A folder for the files that a handler yields: Gradio has copied them when the yield returns."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def _is_unseen(character: str) -> bool:
    return unicodedata.category(character)[0] == "C"


def uploaded(path: str) -> Path:
    """The file of an upload that a request names. Raises InputError for any other path, and for one that is gone.

    An upload lies in a folder of the cache that is called by the hash of its bytes, so nobody names another visitor's
    file without having it.
    """
    foreign = InputError("This file wasn't uploaded, or isn't on the server any more: upload it again.")
    try:
        folder, file = Path(get_upload_folder()).resolve(), Path(path)
        if "\0" in path or not file.is_absolute() or file.is_symlink():
            raise foreign
        place = file.resolve().relative_to(folder)
        if len(place.parts) != 2 or not _UPLOAD.fullmatch(place.parts[0]) or not file.is_file():
            raise foreign
    except (OSError, ValueError):  # InputError is one, too; the rest are paths that no system takes
        raise foreign from None
    return file
