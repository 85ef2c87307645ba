"""Makes error messages fit for visitors: short, and without paths on the server.

The core's errors name paths, which users of the command line need but visitors of the app shouldn't see. So every error
message passes through `told` before it leaves the server, on the page or by HTTP. This module knows no components and
doesn't log.
"""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path

from gradio.exceptions import AppError
from gradio.utils import get_upload_folder

from ipl_core import InputError
from ipl_core.library import inversions, shipped, store
from ipl_core.models import catalog
from ipl_core.storage import folders
from ipl_core.storage.space import KeptElsewhere

MAX_TOLD = 400  # characters
UNEXPECTED = "This couldn't be done: something went wrong on the server, whose log says what. Try it in another way."

_KEPT_ELSEWHERE = (
    "The disk is full, but nothing is lost: the result lies elsewhere on the server. The log of the app says where, "
    "and how to bring it in."
)
#: An absolute path of two parts or more, as POSIX or Windows write it, but no part of an address or of other words.
_PATH = re.compile(r"(?<![\w:/.<~-])(?:(?:/+[\w.~+@%-]+){2,}/?|[A-Za-z]:\\[^\s“”\"'()]+)")
_INSIDE = r"(?P<inside>[/\\][^\s“”\"'():;,]*)?(?![\w-])"
_ENDS = ".!?"
_NAMED = ("the library", "the folder of finished models")  # whose contents a visitor knows by name
UPLOADS = "the uploads"


def told(error: BaseException | str) -> str:
    """The sentence for whoever asked: that of the request's error or of `str`, else one that says nothing of the cause.

    At most MAX_TOLD characters on one line; folders of the server become plain words.
    """
    if isinstance(error, AppError):
        error = str(error.message)
    if not isinstance(error, (str, InputError)):
        return UNEXPECTED
    if isinstance(error, KeptElsewhere):
        return _KEPT_ELSEWHERE
    words = " ".join(str(error)[: 10 * MAX_TOLD].split())
    words = words.encode(errors="replace").decode()  # lone surrogates can't be sent
    for root, called in _roots():
        words = re.sub(re.escape(root) + _INSIDE, lambda found, called=called: _called(called, found["inside"]), words)
    words = _PATH.sub("a file on the server", words)
    return words if len(words) <= MAX_TOLD else _cut(words[: MAX_TOLD - 2])


def _cut(words: str) -> str:
    """The whole sentences that `words` begins with, or what there is of the first."""
    whole = words[: words.rfind(". ") + 1]
    return whole if len(whole) >= MAX_TOLD // 4 else words.rstrip(_ENDS + " ") + "…."


def _called(words: str, inside: str | None) -> str:
    """Words for a path in a folder; what a visitor knows by name, such as an entry of the library, is named."""
    end = "." if inside and inside.endswith(".") else ""  # of the sentence, not of the path
    name = re.split(r"[/\\]", (inside or "").rstrip("./\\"))[-1]
    if name and words == UPLOADS:
        return f"“{name}”{end}"
    return (f"“{name}” in {words}" if name and words.startswith(_NAMED) else words) + end


def _roots() -> list[tuple[str, str]]:
    """Folders that errors may name, and what a visitor reads instead; the innermost first."""
    roots = {
        Path(sys.prefix): "the server’s Python",
        Path.home(): "a folder of the server",
        Path(__file__).parents[2]: "the program’s folder",
        catalog.pretrained_folder(): "the folder of models",
        shipped.folder(): "the folder of finished models",
        Path(tempfile.gettempdir()): "a temporary folder",
        Path(get_upload_folder()): UPLOADS,
        folders.home(): "the server’s library",
        store.runs_folder(): "the library",
        inversions.people_folder(): "the library of people",
    }
    known = {str(path): words for root, words in roots.items() for path in (root, root.absolute(), root.resolve())}
    return sorted(
        ((path, words) for path, words in known.items() if len(Path(path).parts) > 1 and Path(path).is_absolute()),
        key=lambda root: -len(root[0]),
    )
