"""Atomic writing of single files, and recognition of formats by their first bytes. Knows nothing about tensors."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

from ..errors import InputError
from . import durable
from .words import quoted, reason

#: No file of weights is larger: a training checkpoint of 1024×1024 with discriminator and optimisers takes about 1 GB.
MAX_BYTES = 4 * 2**30

_LONGEST_ENDING = 16  # characters; a longer suffix is part of the name

ZIP = b"PK\x03\x04"
PICKLE = b"\x80"

# First bytes of formats that are often confused with ours, and the explanation for each.
_FOREIGN_STARTS = (
    (ZIP, "it is a zip archive, as PyTorch's .pt files are"),
    (PICKLE, "it is a Python pickle, as NVIDIA's .pkl and old PyTorch files are"),
    (b"version https://git-lfs", "it is a Git LFS pointer; fetch the real file with `git lfs pull`"),
    (b"\x1f\x8b", "it is packed by gzip; unpack it first"),
    (b"\x89HDF", "it is an HDF5 file, as Keras writes them"),
    (b"<", "it is a web page, so the download of the real file failed"),
)


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path beside ``path`` to write to; move it into place only if the block succeeds.

    The folder is made if it is missing. If the block raises, the temporary file is removed and an older file at
    ``path`` stays as it was. Leftovers of a killed process are removed by the next one that writes there, see
    `durable.settle`.

    Raises:
        InputError: the folder can't be made or the file can't be moved into place.
    """
    target = Path(path)
    # The suffix is kept because some writers choose their format by it. The rest of the name is dropped, because a
    # longer name could exceed the system's limit.
    ending = target.suffix if len(target.suffix) <= _LONGEST_ENDING else ""
    temporary = target.with_name(f"{durable.PREFIX}{uuid.uuid4().hex}{ending}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        durable.settle(target.parent)
        temporary.touch(exist_ok=False)
        # Permissions follow the umask; some writers, safetensors among them, would make the file private.
        permissions = temporary.stat().st_mode
    except OSError as error:
        raise unwritable(target, error) from error
    try:
        yield temporary
        try:
            temporary.chmod(permissions)
            durable.sync(temporary)
            os.replace(temporary, target)
        except OSError as error:
            raise unwritable(target, error) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def readable_file(path: str | os.PathLike[str]) -> Path:
    """``path`` as a Path. Raises InputError if there is no such file, or if it is larger than any file of weights."""
    try:
        file_path = Path(path)
        size = file_path.stat().st_size
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"There is no file {file_path}. Check the path.") from None
    except (OSError, ValueError, TypeError) as error:  # the name is too long or has characters that aren't allowed
        shown = quoted(os.fspath(path)) if isinstance(path, os.PathLike) else quoted(path)
        raise InputError(f"There is no file {shown} ({reason(error)}). Check the path.") from error
    if not file_path.is_file():
        raise InputError(f"{file_path} is a folder; give the path of a file with weights.")
    if size > MAX_BYTES:
        raise InputError(
            f"{file_path} has {size / 2**30:.1f} GB, more than any generator's file ({MAX_BYTES / 2**30:.0f} GB); "
            "it is not read. Choose a file with a generator's weights."
        )
    return file_path


def first_bytes(path: Path, count: int = 32) -> bytes:
    """The first bytes of a file. Raises InputError if it can't be read."""
    try:
        with path.open("rb") as file:
            return file.read(count)
    except OSError as error:
        raise InputError(f"{path} can't be read: {reason(error)}.") from error


def is_safetensors(start: bytes) -> bool:
    """Whether these first bytes are those of a safetensors file, perhaps a damaged one: header length, then JSON."""
    return start[8:9] == b"{"


def is_pickle(start: bytes) -> bool:
    """Whether these first bytes are those of a pickle, bare or in PyTorch's zip format."""
    return start.startswith((ZIP, PICKLE)) and not is_safetensors(start)


def explanation(start: bytes, error: BaseException) -> str:
    """Why a file that begins with ``start`` can't be read, for an error message."""
    if not start:
        return "it is empty"
    if not is_safetensors(start):
        for signature, words in _FOREIGN_STARTS:
            if start.startswith(signature):
                return words
    return f"it is damaged, cut short or of another format ({reason(error)})"


def unwritable(path: Path, error: Exception) -> InputError:
    """The error for a file that can't be written."""
    return InputError(f"{path} can't be written: {reason(error)}. Free some space or choose another folder.")


def listed(names: list[str], limit: int = 3) -> str:
    """The first few names, long ones shortened, for an error message."""
    if not names:
        return "none"
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(quoted(name, 60)[1:-1] for name in names[:limit]) + more
