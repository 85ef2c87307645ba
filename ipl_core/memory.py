"""How many pictures are computed at a time, and what is said where the memory did not suffice."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from .errors import InputError

#: Pixels of the pictures that pass through a generator together where nothing asks for more: 8 of 256×256, one of
#: 1024×1024. What passes together has to fit together; from this size on, drawing more of them saves no time.
PIXELS_AT_ONCE = 8 * 256**2
#: Pixels of a training batch above which “auto” is “low”: four pictures of 512×512, one of 1024×1024.
PLAIN_PIXELS = 4 * 512**2

# How the libraries below say it where they raise an error of no kind of its own; the last is the system's.
_WORDS = ("can't allocate memory", "not enough memory", "out of memory", "bad_alloc", "Cannot allocate memory")


_M_ARENA_MAX, _HEAPS = -8, 2  # glibc's name for the setting, and how many


class OutOfMemory(InputError):
    """A request that did not fit into the memory of the machine or of its GPU; the text says what would."""


def pictures_at_once(resolution: int) -> int:
    """How many pictures of this side are drawn together, at least 1."""
    return max(1, PIXELS_AT_ONCE // resolution**2)


def saves_memory(memory: str, resolution: int, batch: int) -> bool:
    """Whether a training step with `batch` pictures of this side is to save memory; memory: "plain", "low", "auto"."""
    return memory == "low" or (memory == "auto" and batch * resolution**2 > PLAIN_PIXELS)


@contextmanager
def enough_memory() -> Iterator[None]:
    """Turns the block's ending for lack of memory into OutOfMemory. Works as a decorator too."""
    try:
        yield
    except (MemoryError, RuntimeError, OSError) as error:  # torch.cuda.OutOfMemoryError is a RuntimeError
        on_gpu = isinstance(error, torch.cuda.OutOfMemoryError) or "MPS backend" in str(error)
        if not (on_gpu or isinstance(error, MemoryError) or any(words in str(error) for words in _WORDS)):
            raise
        where, instead = ("the GPU", ", or the device cpu") if on_gpu else ("this machine", "")
        raise OutOfMemory(
            f"The memory of {where} is not enough for this. Try a smaller batch, the memory setting “low”, a model "
            f"that draws smaller pictures, a smaller CLIP model{instead}; and close other programs that use it."
        ) from error


def share_heaps() -> None:
    """Lets all threads of this process share two heaps, where its C library is glibc; does nothing elsewhere.

    Left alone, glibc gives each of up to eight threads a core a heap of its own, and none of them returns what the
    largest job has taken: an app whose threads take turns then grows until each has done it. See mallopt(3).
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, TypeError, AttributeError):  # no glibc
        return
    mallopt(_M_ARENA_MAX, _HEAPS)
