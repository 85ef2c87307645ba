"""Tensors with a JSON description in safetensors files; knows nothing about generators."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ipl_core.errors import InputError

from .files import atomic_path, explanation, first_bytes, readable_file, unwritable

METADATA_KEY = "ipl_studio"  # our JSON description lives under this key of the safetensors header


def save_tensors(
    tensors: Mapping[str, Tensor],
    path: str | os.PathLike[str],
    metadata: Mapping[str, Any] | None = None,
    dtype: torch.dtype | None = None,
) -> None:
    """Write tensors and a JSON-able description to a safetensors file, atomically.

    Args:
        tensors: by name; from any device, in any memory layout.
        path: file to write; replaced when it exists.
        metadata: description, given back by `load_tensors` and `read_metadata`.
        dtype: type of floating-point tensors on disk, such as torch.float16 for half the size; None keeps theirs.

    Raises:
        InputError: the file can't be written.
        ValueError: a value is too large for ``dtype``.
    """
    target = Path(path)
    stored = {name: _for_disk(name, tensor, dtype) for name, tensor in tensors.items()}
    # "format" is what other readers of safetensors look for.
    header = {"format": "pt", METADATA_KEY: json.dumps(dict(metadata or {}), sort_keys=True)}
    with atomic_path(target) as temporary:
        try:
            save_file(stored, temporary, metadata=header)
        except (OSError, SafetensorError) as error:
            raise unwritable(target, error) from error


def load_tensors(
    path: str | os.PathLike[str], device: str | torch.device = "cpu"
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read a safetensors file: its tensors, in the type they have on disk, and its description.

    The description is empty for files that another program wrote.

    Raises:
        InputError: the file is missing, damaged, cut short or of another format.
    """
    with _opened(path) as file:
        # Cloned: the reader's tensors may be views of the mapped file, which must be free to be replaced or deleted.
        tensors = {name: file.get_tensor(name).to(device, copy=True) for name in file.keys()}  # noqa: SIM118
        return tensors, _description(path, file.metadata())


def read_metadata(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The description of a safetensors file without reading its tensors; raises as `load_tensors` does."""
    with _opened(path) as file:
        return _description(path, file.metadata())


def _for_disk(name: str, tensor: Tensor, dtype: torch.dtype | None) -> Tensor:
    """A plain contiguous CPU tensor of its own memory, which is all that safetensors accepts."""
    tensor = tensor.detach()
    stored = tensor.to("cpu", dtype if dtype is not None and tensor.is_floating_point() else tensor.dtype)
    if stored.dtype != tensor.dtype and torch.isfinite(tensor).all() and not torch.isfinite(stored).all():
        raise ValueError(f"Tensor {name!r} has values up to {tensor.abs().max().item():g}, too large for {dtype}.")
    return stored.clone(memory_format=torch.contiguous_format)


@contextlib.contextmanager
def _opened(path: str | os.PathLike[str]) -> Iterator[Any]:
    file_path = readable_file(path)
    try:
        with safe_open(file_path, framework="pt", device="cpu") as file:
            yield file
    except (OSError, SafetensorError) as error:
        reason = explanation(first_bytes(file_path), error)
        raise InputError(f"{file_path} can't be read as a safetensors file: {reason}.") from error


def _description(path: str | os.PathLike[str], header: Mapping[str, str] | None) -> dict[str, Any]:
    text = (header or {}).get(METADATA_KEY)
    if text is None:
        return {}
    try:
        description = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"The description inside {path} is damaged ({error}).") from error
    if not isinstance(description, dict):
        raise InputError(f"The description inside {path} should be a JSON object, got {type(description).__name__}.")
    return description
