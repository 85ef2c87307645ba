"""Reads and writes safetensors files: tensors with a JSON description. Knows nothing about generators."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..errors import InputError
from .files import atomic_path, explanation, first_bytes, is_safetensors, readable_file, unwritable
from .paths import in_utf8
from .words import json_text, quoted, read_json

METADATA_KEY = "ipl_studio"  # our JSON description is stored under this key of the safetensors header
#: Limit in bytes of a header (the tensors' names and offsets, and the description). Ours have about 100 kB.
MAX_HEADER = 4 * 2**20
MAX_TENSORS = 10_000
MAX_DIMENSIONS = 8
MAX_NAME = 500  # limit of characters in a tensor's name


def save_tensors(
    tensors: Mapping[str, Tensor],
    path: str | os.PathLike[str],
    metadata: Mapping[str, Any] | None = None,
    dtype: torch.dtype | None = None,
) -> None:
    """Write tensors and a JSON-able description to a safetensors file, atomically.

    Args:
        tensors: by name; from any device, in any memory layout.
        path: file to write; replaced if it exists.
        metadata: description, given back by `load_tensors` and `read_metadata`.
        dtype: type of floating-point tensors on disk, such as torch.float16 for half the size; None keeps each type.

    Raises:
        InputError: the file can't be written.
        ValueError: a value is too large for ``dtype``.
    """
    target = Path(path)
    stored = {name: _for_disk(name, tensor, dtype) for name, tensor in tensors.items()}
    # "format" is what other readers of safetensors look for.
    header = {"format": "pt", METADATA_KEY: json_text(dict(metadata or {}), ascii_only=True, sort_keys=True)}
    with atomic_path(target) as temporary:
        try:
            save_file(stored, temporary, metadata=header)
        except (OSError, SafetensorError) as error:
            raise unwritable(target, error) from error


def load_tensors(
    path: str | os.PathLike[str], device: str | torch.device = "cpu"
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read a safetensors file: its tensors, in their types on disk, and its description.

    The description is empty for files that another program wrote.

    Raises:
        InputError: the file is missing, damaged, cut short or of another format, or has more tensors or dimensions
            than any network.
    """
    with _opened(path) as file:
        # Cloned, since the reader's tensors may be views of the mapped file, which must stay replaceable.
        tensors = {name: file.get_tensor(name).to(device, copy=True) for name in _names(path, file)}
        return tensors, _description(path, file.metadata())


def read_metadata(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The description of a safetensors file without reading its tensors; raises as `load_tensors` does."""
    with _opened(path) as file:
        return _description(path, file.metadata())


def read_shapes(path: str | os.PathLike[str]) -> dict[str, tuple[int, ...]]:
    """The shapes of a safetensors file's tensors by name, without reading them; raises as `load_tensors` does."""
    with _opened(path) as file:
        return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118


def _for_disk(name: str, tensor: Tensor, dtype: torch.dtype | None) -> Tensor:
    """A contiguous CPU tensor with memory of its own; safetensors accepts nothing else."""
    tensor = tensor.detach()
    stored = tensor.to("cpu", dtype if dtype is not None and tensor.is_floating_point() else tensor.dtype)
    if stored.dtype != tensor.dtype and torch.isfinite(tensor).all() and not torch.isfinite(stored).all():
        raise ValueError(f"Tensor {name!r} has values up to {tensor.abs().max().item():g}, too large for {dtype}.")
    return stored.clone(memory_format=torch.contiguous_format)


@contextlib.contextmanager
def _opened(path: str | os.PathLike[str]) -> Iterator[Any]:
    file_path = readable_file(path)
    start = first_bytes(file_path)
    length = int.from_bytes(start[:8], "little")
    if (
        is_safetensors(start) and MAX_HEADER < length < file_path.stat().st_size
    ):  # a header longer than the file means damage, reported below
        raise InputError(
            f"{file_path} can't be read as a safetensors file: its header has {length / 2**20:.1f} MB, more than the "
            f"{MAX_HEADER >> 20} MB that are read."
        )
    try:
        with in_utf8(file_path) as link, safe_open(link, framework="pt", device="cpu") as file:
            yield file
    except InputError:
        raise
    # SafetensorError, and the errors for types and shapes that PyTorch doesn't support.
    except (OSError, SafetensorError, ValueError, TypeError, KeyError, AttributeError) as error:
        why = explanation(start, error)
        raise InputError(f"{file_path} can't be read as a safetensors file: {why}.") from error


def _names(path: str | os.PathLike[str], file: Any) -> list[str]:
    """The names of the tensors in an open file. Raises InputError for too many, or for one beyond the limits."""
    names = list(file.keys())
    if len(names) > MAX_TENSORS:
        raise InputError(f"{path} holds {len(names)} tensors, more than the {MAX_TENSORS} that are read.")
    for name in names:
        dimensions = len(file.get_slice(name).get_shape())
        if len(name) > MAX_NAME or dimensions > MAX_DIMENSIONS:
            raise InputError(
                f"{path} can't be read: its tensor {quoted(name)} has {dimensions} dimensions and a name of "
                f"{len(name)} characters; at most {MAX_DIMENSIONS} and {MAX_NAME} are read."
            )
    return names


def _description(path: str | os.PathLike[str], header: Mapping[str, str] | None) -> dict[str, Any]:
    text = (header or {}).get(METADATA_KEY)
    if text is None:
        return {}
    description = read_json(text, f"The description inside {path}", MAX_HEADER)
    if not isinstance(description, dict):
        raise InputError(f"The description inside {path} should be a JSON object, got {quoted(description)}.")
    return description
