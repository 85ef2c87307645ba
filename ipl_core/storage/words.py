"""Makes untrusted text safe to display and store: one line of limited length without invisible characters.

It handles names of files and people, titles, values quoted in errors, JSON from files, and CSV cells. This module
imports only the errors from the project.
"""

from __future__ import annotations

import json
import math
import numbers
import os
import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..errors import InputError

#: Limit of characters that an error quotes of a value; enough to recognise it.
MAX_QUOTED = 80
#: The same for a path, whose end says most.
MAX_QUOTED_PATH = 400
#: Numbers of more digits are not written out: Python itself refuses those of more than 4300.
_MAX_DIGITS = 30
_SURROGATES = re.compile("[\ud800-\udfff]")
_OTHER_THAN_ASCII = re.compile(r"[^\x00-\x7f]+")
#: Limit of characters of a library's error message; the rest is often a piece of the file.
_MAX_REASON = 160
#: Limit of nesting in JSON; this program's files have 6 levels.
_MAX_NESTING = 20
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")


def clean_line(text: Any, what: str, limit: int) -> str:
    """The text as one line: blanks collapsed, control, format and right-to-left characters removed, NFC.

    what: the field's name in errors, such as "The title". limit: characters that may remain.
    Raises InputError for values that aren't text, for lone surrogates (which can't be encoded) and for more than
    `limit` characters.
    """
    if not isinstance(text, str):
        raise InputError(f"{what} must be text, not {quoted(text)}.")
    if len(text) > 100 * limit:  # refused before any processing
        raise InputError(f"{what} has {len(text)} characters; at most {limit} are possible. Use fewer words.")
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise InputError(f"{what} holds half a character that can't be written ({quoted(text)}): type it again.")
    line = _one_line(unicodedata.normalize("NFC", text))
    if len(line) > limit:
        raise InputError(f"{what} has {len(line)} characters; at most {limit} are possible. Use fewer words.")
    return line


def readable(text: str) -> str:
    """The text without lone surrogates, which can't be encoded; other text is returned unchanged.

    Python decodes bytes of a name that aren't valid in the system's encoding as surrogates. Valid UTF-8 among them is
    decoded (from a UTF-8 terminal on a system set to ASCII); each remaining surrogate becomes \ufffd.
    """
    if not _SURROGATES.search(text):
        return text
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8")
    except UnicodeError:
        return _SURROGATES.sub("\ufffd", text)


def file_words(path: str | os.PathLike[str], otherwise: str = "file") -> str:
    """A file's name without folder and suffix, as one short line that can be displayed and stored.

    otherwise: the result if no character of the name can be displayed.
    """
    return _short_line(Path(path).stem) or otherwise


def model_words(model: str) -> str:
    """A model's name for titles, as one short line; for a path, the file's name."""
    return _short_line(re.split(r"[/\\]", model.rstrip("/\\"))[-1]) or "a model"


def _short_line(text: str) -> str:
    return _one_line(readable(text))[:MAX_QUOTED].strip()


def _one_line(text: str) -> str:
    """The text on one line, with blanks collapsed and without characters that can't be displayed."""
    return " ".join("".join(character if _is_shown(character) else " " for character in text).split())


def json_text(value: Any, ascii_only: bool = False, **options: Any) -> str:
    """`value` as JSON that can be encoded: lone surrogates in its texts are replaced as in `readable`.

    ascii_only: escape all characters beyond ASCII. options: of `json.dumps`.
    """
    text = json.dumps(_readable_texts(value), ensure_ascii=False, **options)
    return _OTHER_THAN_ASCII.sub(lambda found: json.dumps(found[0])[1:-1], text) if ascii_only else text


def _readable_texts(value: Any) -> Any:
    if isinstance(value, str):
        return readable(value)
    if isinstance(value, dict):
        return {_readable_texts(name): _readable_texts(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_readable_texts(item) for item in value]
    return value


def _is_shown(character: str) -> bool:
    # Zero-width joiners build emoji and the letters of several scripts, so these two format characters stay.
    return character in "\u200c\u200d" or unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Co", "Cn")


def shown(text: str, limit: int = MAX_QUOTED) -> str:
    """Any text, made safe to display: a � replaces each character that can't be displayed, an … the excess length."""
    kept = "".join(character if _is_shown(character) else "\ufffd" for character in text[:limit])
    return f"{kept}…" if len(text) > limit else kept


def quoted(value: Any, limit: int = MAX_QUOTED) -> str:
    """A value for an error message: short scalars as they are, otherwise only type and size.

    Never looks into containers, which a hostile file can nest or double without end.
    """
    if value is None or isinstance(value, bool):
        return str(value)
    if isinstance(value, numbers.Integral):
        return str(int(value)) if abs(int(value)) < 10**_MAX_DIGITS else f"a number of more than {_MAX_DIGITS} digits"
    if isinstance(value, float):
        return f"{value:g}" if math.isfinite(value) else str(value)
    if isinstance(value, str):
        return f"“{shown(value, limit)}”"
    if isinstance(value, (bytes, bytearray)):
        return f"{len(value)} bytes"
    if isinstance(value, (list, tuple, set, frozenset, dict)):
        return f"a {type(value).__name__} of {len(value)}"
    return f"a value of the type {type(value).__name__[:limit]}"


def reason(error: BaseException) -> str:
    """An error's message for use inside a sentence, without a final full stop.

    The message of an error of Python or a library is shortened to one line; its values are never formatted.
    """
    if isinstance(error, InputError):
        return str(error).rstrip(".")
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    said = str(error) if isinstance(error, UnicodeError) else next(iter(error.args), None)
    if not isinstance(said, str) or not said.strip():
        return type(error).__name__
    line = _one_line(said[: 10 * _MAX_REASON]).rstrip(".")
    return line if len(line) <= _MAX_REASON else f"{line[:_MAX_REASON]}…"


def read_json(text: str | bytes, what: str, limit: int) -> Any:
    """The value of a JSON text that was read from a file.

    what: the text's name in errors, such as "The description inside a.safetensors". limit: characters of the text.
    Raises InputError for text that is too long or damaged, numbers of thousands of digits, lone surrogates (which
    can't be encoded), and nesting that is too deep.
    """
    if len(text) > limit:
        raise InputError(f"{what} has {len(text)} characters, more than the {limit} that are read: use another file.")
    try:
        value = json.loads(text)
    except RecursionError:
        raise InputError(f"{what} is nested too deep: use another file.") from None
    except (ValueError, TypeError) as error:  # also int()'s error for thousands of digits
        raise InputError(f"{what} is damaged ({reason(error)}): use another file.") from None
    level = [value]
    for _ in range(_MAX_NESTING):
        level = [item for outer in level for item in _items(outer)]
    if level:
        raise InputError(f"{what} is nested too deep: use another file.")
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise InputError(f"{what} holds half a character that can't be written: use another file.") from None
    return value


def _items(value: Any) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


def csv_cell(value: Any) -> Any:
    """A CSV cell that no spreadsheet takes for a formula: text that begins like one gets an apostrophe before it.

    Numbers stay as they are, even as text: “-0.5” isn't a formula.
    """
    if not isinstance(value, str) or not value.startswith(_FORMULA_STARTS):
        return value
    try:
        float(value)
    except ValueError:
        return f"'{value}"
    return value


def size_words(size: int | None) -> str:
    """A number of bytes in readable form, such as "133 MB"."""
    if size is None:
        return "size unknown"
    if size < 1_000_000:
        return f"{size / 1000:.0f} kB"
    return f"{size / 1_000_000:.0f} MB" if size < 1_000_000_000 else f"{size / 1_000_000_000:.1f} GB"
