"""Validation of data read from disk: JSON, numbers, times, texts, tables of files, previews.

Each function returns a plain value within bounds, or raises ValueError with a short reason. This module knows nothing
about the values' meaning.
"""

from __future__ import annotations

import json
import math
import os
import stat
import struct
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from .values import within
from .words import quoted

MAX_JSON = 2_000_000  # bytes; the history of a hundred steps takes 30 kB
MAX_NUMBER = 2.0**53  # larger whole numbers aren't exact in all JSON readers
MAX_DEPTH = 20
MAX_PICTURE = 500_000_000  # bytes of a preview
MAX_PIXELS = 170_000_000  # of a preview; picture readers refuse more

_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_END = b"\x00\x00\x00\x00IEND\xaeB`\x82"


# ----------------------------------------------------------------------------------------------------------------------
# Files


def read_json(path: Path) -> Any:
    """The JSON value in a regular file of at most MAX_JSON bytes; numbers that aren't finite become None.

    Raises OSError if the file can't be read, and ValueError if it isn't a regular file or valid JSON, nests deeper
    than MAX_DEPTH, has numbers beyond ±MAX_NUMBER, or text that can't be encoded.
    """
    text = read_text(path, MAX_JSON)
    value = json.loads(text, parse_constant=lambda _: None, parse_float=_real, parse_int=_integer)
    _check_depth(value)
    if "\\u" in text:  # only an escape can hide a lone surrogate, which can't be encoded
        json.dumps(value, ensure_ascii=False).encode()  # UnicodeEncodeError is a ValueError
    return value


def read_text(path: Path, limit: int) -> str:
    """The text of a regular file of at most `limit` bytes. Raises OSError if it can't be read, else ValueError."""
    facts = os.stat(path)
    if not stat.S_ISREG(facts.st_mode):  # reading a pipe would never end
        raise ValueError("it is no plain file")
    if facts.st_size > limit:
        raise ValueError(f"it has {facts.st_size} bytes, more than {limit}")
    return path.read_text(encoding="utf-8")


def _real(text: str) -> float | None:
    number = float(text)
    if abs(number) > MAX_NUMBER and math.isfinite(number):
        raise ValueError(f"the number {quoted(number)} is out of bounds")
    return number if math.isfinite(number) else None


def _integer(text: str) -> int:
    if len(text) > 17 or abs(int(text)) > MAX_NUMBER:
        raise ValueError(f"the number {quoted(text, 20)} is out of bounds")
    return int(text)


def _check_depth(value: Any) -> None:
    """Raises ValueError if a JSON value nests deeper than MAX_DEPTH. Doesn't recurse."""
    level = [value]
    for _ in range(MAX_DEPTH):
        deeper: list[Any] = []
        for part in level:
            values = part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()
            deeper.extend(inner for inner in values if isinstance(inner, (dict, list)))
        if not deeper:
            return
        level = deeper
    raise ValueError(f"it nests deeper than {MAX_DEPTH} levels")


def finite(value: Any) -> Any:
    """A JSON value with None for every number that isn't finite, so that any JSON reader can read it."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {name: finite(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(part) for part in value]
    return value


def sizes_in(folder: Path) -> dict[str, int]:
    """The size in bytes of each regular file in a folder, by name; -1 for anything else in it.

    Raises OSError if the folder can't be read.
    """
    found = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            try:
                facts = entry.stat()
            except OSError:  # a broken link
                continue
            found[entry.name] = facts.st_size if stat.S_ISREG(facts.st_mode) else -1
    return found


def check_png(path: Path) -> None:
    """Raises ValueError unless a file begins and ends like a PNG; the pixels aren't decoded.

    Raises OSError if it can't be read.
    """
    with path.open("rb") as file:
        head = file.read(33)
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - len(_PNG_END)))
        end = file.read()
    if not head.startswith(_PNG) or head[12:16] != b"IHDR" or len(head) < 33:
        raise ValueError("it is no PNG picture" if size else "it is empty")
    width, height = struct.unpack(">II", head[16:24])
    if not 0 < width * height <= MAX_PIXELS or size > MAX_PICTURE:
        raise ValueError(f"a picture of {width}×{height} pixels is out of bounds")
    if end != _PNG_END:
        raise ValueError("it is cut short")


# ----------------------------------------------------------------------------------------------------------------------
# Values


def mapping(value: Any, what: str) -> Mapping[str, Any]:
    """`value`, if it is a mapping."""
    if not isinstance(value, Mapping):
        raise ValueError(f"{what} is {quoted(value)} instead of values by name")
    return value


def number(value: Any, what: str, low: float, high: float) -> float:
    """`value`, if it is a number from `low` to `high`."""
    if not within(value, low, high):
        raise ValueError(f"{what} is {quoted(value)} instead of a number from {low:g} to {high:g}")
    return value


def whole(value: Any, what: str, high: int) -> int:
    """`value`, if it is a whole number from 0 to `high`; 3.0 is refused, since files never have counts as floats."""
    if not isinstance(value, int) or not within(value, 0, high):
        raise ValueError(f"{what} is {quoted(value)} instead of a whole number from 0 to {high}")
    return value


def text(value: Any, what: str, limit: int) -> str:
    """`value`, if it is text of at most `limit` characters."""
    if not isinstance(value, str) or len(value) > limit:
        raise ValueError(f"{what} is {quoted(value)} instead of text of at most {limit} characters")
    return value


def flag(value: Any, what: str) -> bool:
    """`value`, if it is true or false."""
    if not isinstance(value, bool):
        raise ValueError(f"{what} is {quoted(value)} instead of true or false")
    return value


def time(value: Any, what: str) -> datetime:
    """The time in the ISO 8601 text `value`, from 1971 to 2999, so that it is valid in every time zone."""
    try:
        moment = datetime.fromisoformat(text(value, what, 64))
    except ValueError:
        moment = None
    if moment is None or not 1971 <= moment.year <= 2999:
        raise ValueError(f"{what} is {quoted(value)} instead of a time such as 2026-01-31T12:00:00+00:00")
    return moment


def file_facts(value: Any, what: str) -> int:
    """The expected size of a file, if `value` has "bytes" and a valid "sha256"."""
    facts = mapping(value, what)
    text(facts["sha256"], f"sha256 of {what}", 64)
    return whole(facts["bytes"], f"bytes of {what}", int(MAX_NUMBER))


def folder_name(name: str) -> str:
    """`name`, if it can be displayed and encoded: no control or format characters, no invalid bytes."""
    if not name.isprintable():
        raise ValueError("its name holds characters that can't be shown: rename the folder")
    return name
