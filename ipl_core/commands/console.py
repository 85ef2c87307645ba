"""Output that never fails: no encoding, closed pipe or full disk may end the work of a command that prints.

A console of Windows has few characters (cp1252), a reader such as `head` stops early, a service has no output at all.
The result of the work lies in files, so what can't be printed is left out or replaced. Knows nothing about the text.
"""

from __future__ import annotations

import codecs
import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any, TextIO

#: Replacements of characters that an encoding lacks; all others become escapes such as \u03bb.
_PLAIN = {
    **{"→": "->", "←": "<-", "−": "-", "–": "-", "—": "-", "×": "x", "…": "...", "λ": "lambda", "≥": ">=", "≤": "<="},
    **{"“": '"', "”": '"', "‘": "'", "’": "'", "\u00a0": " ", "\u202f": " "},
}
_ERRORS = "ipl-plain"


def _plainly(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    return "".join(_PLAIN.get(c, c.encode("ascii", "backslashreplace").decode()) for c in lacking), error.end


codecs.register_error(_ERRORS, _plainly)


@contextlib.contextmanager
def lasting_output() -> Iterator[None]:
    """Within the block, writing to `sys.stdout` and `sys.stderr` never fails: text that can't be written is lost."""
    _open_standard_files()
    streams = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (_Lasting(stream) for stream in streams)
    try:
        yield
    finally:
        for lasting in (sys.stdout, sys.stderr):
            if isinstance(lasting, _Lasting):
                lasting.close_if_gone()
        sys.stdout, sys.stderr = streams


def _open_standard_files() -> None:
    """Gives a process that was started without standard files (`>&-`) the null device for each.

    Else the next file that it opens gets such a number, and a library's messages are written into that file.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free, which is this one


class _Lasting:
    """A text stream that replaces characters its encoding lacks, and writes nothing once its reader has gone."""

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream
        self._gone = stream is None

    def write(self, text: str) -> int:
        """Writes `text` as far as possible; gives its length, as if all had been written."""
        encoding = getattr(self._stream, "encoding", None)
        shown = text.encode(encoding, _ERRORS).decode(encoding) if encoding else text
        self._try("write", shown)
        return len(text)

    def writelines(self, lines: list[str]) -> None:
        """As `write`, one by one."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Flushes the stream, if there is still a reader."""
        self._try("flush")

    def close_if_gone(self) -> None:
        """Flushes; where that fails, the rest goes to the null device, so that Python reports nothing when it ends."""
        self.flush()
        if self._gone and self._stream is not None:
            with contextlib.suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())

    def isatty(self) -> bool:
        """Whether a person watches."""
        return not self._gone and self._stream.isatty()

    def _try(self, what: str, *arguments: str) -> None:
        if self._gone:
            return
        try:
            getattr(self._stream, what)(*arguments)
        except (OSError, ValueError):  # a closed pipe, a full disk; a stream that was closed
            self._gone = True

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
