"""Readers that misbehave, for tests of `storage.apart`, which starts a process that imports them."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import torch

from ipl_core.errors import InputError
from ipl_core.storage.apart import Contents


def sleeps(path: Path) -> Contents:
    """Never ends, and does nothing."""
    while True:
        time.sleep(60)


def computes(path: Path) -> Contents:
    """Never ends, and holds the interpreter meanwhile, as C code does that a file has led astray."""
    return {}, {"sum": sum(range(10**15))}


def grows(path: Path) -> Contents:
    """Takes memory without end."""
    pieces = []
    while True:
        pieces.append(bytes(bytearray(os.urandom(1024)) * 2**14))


def grows_in_torch(path: Path) -> Contents:
    """As `grows`, by tensors."""
    return {str(number): torch.ones(2**22) for number in range(2**12)}, {}


def crashes(path: Path) -> Contents:
    """Ends as a process does whose memory is damaged."""
    os.kill(os.getpid(), signal.SIGSEGV)
    raise AssertionError("it survived")


def raises(path: Path) -> Contents:
    """Raises what no reader should."""
    raise ZeroDivisionError("x" * 100_000)


def refuses(path: Path, why: str) -> Contents:
    """Says no."""
    raise InputError(f"{path} is refused: {why}.")


def tells(path: Path) -> Contents:
    """What the process is given."""
    return {"bytes": torch.tensor(list(path.read_bytes()), dtype=torch.uint8)}, {"environment": sorted(os.environ)}
