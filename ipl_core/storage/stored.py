"""What lies on the disk is looked at before it is believed: JSON, numbers, times, texts, tables of files, previews.

Whatever a file holds, these give plain bounded values or raise ValueError with a few words for the reason. Knows
nothing about what the values mean.
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

MAX_JSON = 2_000_000  # bytes; a hundred steps with their facts take 30 kB
MAX_NUMBER = 2.0**53  # above, whole numbers are no longer exact in JSON's readers
MAX_DEPTH = 20
MAX_PICTURE = 500_000_000  # bytes of a preview
MAX_PIXELS = 170_000_000  # of a preview; readers of pictures refuse more

_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_END = b"\x00\x00\x00\x00IEND\xaeB`\x82"


# ----------------------------------------------------------------------------------------------------------------------
# Files


def read_json(path: Path) -> Any:
    """The JSON in a plain file of at most MAX_JSON bytes; numbers that are not finite read as None.

    Raises OSError if it can't be read, ValueError for what is no file or no JSON, nests deeper than MAX_DEPTH, or
    holds numbers beyond ±MAX_NUMBER or text that can't be written.
    """
    text = read_text(path, MAX_JSON)
    value = json.loads(text, parse_constant=lambda _: None, parse_float=_real, parse_int=_integer)
    _check_depth(value)
    if "\\u" in text:  # the only way to write half a character, which no file can hold
        json.dumps(value, ensure_ascii=False).encode()  # UnicodeEncodeError is a ValueError
    return value


def read_text(path: Path, limit: int) -> str:
    """The text of a plain file of at most `limit` bytes. Raises OSError if it can't be read, ValueError for others."""
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
    """Raises ValueError if a JSON value nests deeper than MAX_DEPTH; goes through it without recursion."""
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
    """A JSON value with None for every number that is not finite, so that every reader of JSON can read it."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {name: finite(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(part) for part in value]
    return value


def sizes_in(folder: Path) -> dict[str, int]:
    """The bytes of each plain file in a folder, by name; -1 for what else is there.

    Raises OSError if the folder can't be read.
    """
    found = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            try:
                facts = entry.stat()
            except OSError:  # a link that leads nowhere
                continue
            found[entry.name] = facts.st_size if stat.S_ISREG(facts.st_mode) else -1
    return found


def check_png(path: Path) -> None:
    """Raises ValueError unless a file begins and ends as a PNG with pixels does; its pixels aren't decoded.

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
    """`value`, if it is one of names and values."""
    if not isinstance(value, Mapping):
        raise ValueError(f"{what} is {quoted(value)} instead of values by name")
    return value


def number(value: Any, what: str, low: float, high: float) -> float:
    """`value`, if it is a number from `low` to `high`."""
    if not within(value, low, high):
        raise ValueError(f"{what} is {quoted(value)} instead of a number from {low:g} to {high:g}")
    return value


def whole(value: Any, what: str, high: int) -> int:
    """`value`, if it is a whole number from 0 to `high`; 3.0, which no file says of a count, is none."""
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
    """The time that `value` says, as ISO 8601 has it, from 1971 to 2999, so that it is one in every zone."""
    try:
        moment = datetime.fromisoformat(text(value, what, 64))
    except ValueError:
        moment = None
    if moment is None or not 1971 <= moment.year <= 2999:
        raise ValueError(f"{what} is {quoted(value)} instead of a time such as 2026-01-31T12:00:00+00:00")
    return moment


def file_facts(value: Any, what: str) -> int:
    """The bytes that a file should have, if `value` says that and its sha256."""
    facts = mapping(value, what)
    text(facts["sha256"], f"sha256 of {what}", 64)
    return whole(facts["bytes"], f"bytes of {what}", int(MAX_NUMBER))


def folder_name(name: str) -> str:
    """`name`, if it can be shown and written: no control or format characters, no bytes that are no text."""
    if not name.isprintable():
        raise ValueError("its name holds characters that can't be shown: rename the folder")
    return name
