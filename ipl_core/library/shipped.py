"""Finished models that come with the app: one small file each, with quantised differences to the source's weights.

Beside these a file holds all that the library shows of a run: its settings, its history and its pictures. The module
knows files and tensors; what the settings have to say is checked by library.py, which lists the models.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import InputError
from ..storage.paths import as_path, is_file
from ..storage.tensors import load_tensors, read_metadata, save_tensors
from ..storage.words import shown
from .quantised import deflated, inflated, quantise, restored

SUFFIX = ".safetensors"
BITS = 5  # a number, unless another number is asked for
SOURCE_PICTURE, SAMPLES_PICTURE = "source.webp", "samples.webp"

_FORMAT, _VERSION = "ipl-studio-finished", 1
_LEVELS, _SCALES, _EXACT = "levels.", "scales.", "exact."  # prefixes of tensor names
_HISTORY = "history.csv"
_MAX_HISTORY = 5_000_000  # bytes; ten thousand steps take one million


def folder() -> Path:
    """Where the models are: `IPL_SHIPPED` if that is set, else `examples/finished` beside this package."""
    chosen = os.environ.get("IPL_SHIPPED")
    return as_path(chosen) if chosen else Path(__file__).resolve().parents[2] / "examples" / "finished"


def files() -> list[Path]:
    """The file of each model, by name; none where the folder isn't there or can't be read."""
    try:
        names = os.listdir(folder())
    except OSError:
        return []
    return [folder() / name for name in sorted(names) if name.endswith(SUFFIX) and not name.startswith(".")]


def find(name: str) -> Path | None:
    """The file of the model that is called so, None if there is none."""
    return next((path for path in files() if path.stem == name), None)


def is_one(path: Path) -> bool:
    """Whether the file `path` is one of a finished model."""
    if path.suffix != SUFFIX or not is_file(path):
        return False
    try:
        return read_metadata(path).get("format") == _FORMAT
    except InputError:  # whoever reads it for what it should be says what is wrong
        return False


def write(
    path: Path,
    settings: Mapping[str, Any],
    changes: Mapping[str, Tensor],
    bits: int,
    pictures: Mapping[str, bytes],
    history: str,
) -> None:
    """Writes a model to `path`, whole or not at all.

    changes: what training added to the source's tensors, float32 by state-dict name; those of one dimension or none,
    which are few, are kept as they are, all others in `bits` bits a number. pictures: files by SOURCE_PICTURE and
    SAMPLES_PICTURE. history: as CSV. Raises InputError if it can't be written, or for other bits than are known.
    """
    tensors = {name: _tensor(data) for name, data in pictures.items()}
    tensors[_HISTORY] = deflated(history.encode())
    for name, change in changes.items():
        if change.dim() < 2:
            tensors[_EXACT + name] = change
        else:
            tensors[_LEVELS + name], tensors[_SCALES + name] = quantise(change, bits)
    description = {"format": _FORMAT, "version": _VERSION, "settings": dict(settings), "sha256": _digest(tensors)}
    save_tensors(tensors, path, description)


def as_kept(changes: Mapping[str, Tensor], bits: int) -> dict[str, Tensor]:
    """Changes as `read_changes` will give them once `write` has kept them in so many bits."""
    return {
        name: change if change.dim() < 2 else restored(*quantise(change, bits), change.shape)
        for name, change in changes.items()
    }


def read_settings(path: Path) -> Any:
    """The settings in a model's file, as yet unchecked. Raises InputError if it can't be read, ValueError for another
    file, or one of a newer version."""
    description = read_metadata(path)
    if description.get("format") != _FORMAT:
        raise ValueError(f"it is none (its description says {shown(str(description.get('format', 'nothing')))})")
    if description.get("version") != _VERSION:
        raise ValueError("another version wrote it")
    return description.get("settings")


def read_changes(path: Path, source: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What training added to the tensors of the generator `source`, float32 by state-dict name.

    Raises InputError if the file can't be read, KeyError or ValueError if it isn't as it was written or doesn't fit
    the source.
    """
    tensors = _tensors(path)
    changes = {}
    for stored in tensors:
        kind, _, name = stored.partition(".")
        if f"{kind}." not in (_LEVELS, _EXACT):
            continue
        if name not in source:
            raise ValueError(f"the model has no tensor {shown(name)}")
        shape = source[name].shape
        if f"{kind}." == _LEVELS:
            changes[name] = restored(tensors[stored], tensors[_SCALES + name], shape)
        elif tensors[stored].shape == shape:
            changes[name] = tensors[stored].float()
        else:
            raise ValueError(f"its tensor {shown(name)} has the shape {tuple(tensors[stored].shape)}, not {shape}")
    return changes


def read_picture(path: Path, name: str) -> bytes:
    """The picture SOURCE_PICTURE or SAMPLES_PICTURE as a file's bytes; raises as `read_changes` does."""
    return _tensors(path)[name].numpy().tobytes()


def read_history(path: Path) -> str:
    """The run's history as CSV; raises as `read_changes` does."""
    return inflated(_tensors(path)[_HISTORY], _MAX_HISTORY).decode()


def check_whole(path: Path) -> None:
    """Raises ValueError unless a model's file is as it was written, InputError if it can't be read."""
    facts = path.stat()
    _check_whole(path, facts.st_mtime_ns, facts.st_size)


@lru_cache(maxsize=64)
def _check_whole(path: Path, modified: int, size: int) -> None:  # time and size: a file written anew is read anew
    _tensors(path)


def _tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a file, once they are those that were written."""
    tensors, description = load_tensors(path)
    if _digest(tensors) != description.get("sha256"):
        raise ValueError("it isn't as it was written")
    return tensors


def _digest(tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(f"{name} {tuple(tensors[name].shape)}\n".encode())
        digest.update(tensors[name].contiguous().numpy().tobytes())
    return digest.hexdigest()


def _tensor(data: bytes) -> Tensor:
    return torch.frombuffer(bytearray(data), dtype=torch.uint8)
