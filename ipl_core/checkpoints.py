"""Weights on disk: safetensors files with a JSON description, written whole or not at all.

Every file of this program goes through `atomic_path`, so a crash, a full disk or a second writer never leaves half a
file behind; and every file that can't be read ends in an `InputError` that names it and says why. Nothing here
unpickles anything. The room knows tensors and the generator's configuration, not what the weights were trained for.
"""

from __future__ import annotations

import contextlib
import json
import os
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ipl_core.errors import InputError
from ipl_core.stylegan2 import Generator, GeneratorConfig

METADATA_KEY = "ipl_studio"  # our JSON description lives under this key of the safetensors header
GENERATOR_KIND = "generator"

# How files that people confuse with ours begin, and what to tell them.
_FOREIGN_STARTS = (
    (b"PK\x03\x04", "it is a zip archive, as PyTorch's .pt files are"),
    (b"\x80", "it is a Python pickle, as NVIDIA's .pkl and old PyTorch files are"),
    (b"version https://git-lfs", "it is a Git LFS pointer; fetch the real file with `git lfs pull`"),
    (b"<", "it is a web page, so the download of the real file failed"),
)


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path beside ``path`` to write to; move it into place only when the block ends well.

    The folder is made when missing. When the block raises, whatever was written is removed and an older file at
    ``path`` stays as it was.

    Raises:
        InputError: the folder can't be made or the file can't be moved into place.
    """
    target = Path(path)
    # The end of the name is kept because some writers choose their format by it.
    temporary = target.with_name(f".{uuid.uuid4().hex}.{target.name}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary.touch(exist_ok=False)
        # What the person's umask asks for; some writers, safetensors among them, would make the file private.
        permissions = temporary.stat().st_mode
    except OSError as error:
        raise _unwritable(target, error) from error
    try:
        yield temporary
        try:
            temporary.chmod(permissions)
            os.replace(temporary, target)
        except OSError as error:
            raise _unwritable(target, error) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


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
            raise _unwritable(target, error) from error


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


def save_generator(
    generator: Generator,
    path: str | os.PathLike[str],
    metadata: Mapping[str, Any] | None = None,
    dtype: torch.dtype | None = None,
) -> None:
    """Write a generator with its configuration to a safetensors file; see `save_tensors`.

    ``metadata`` is kept beside the configuration; its keys "kind" and "config" are taken.
    """
    description = {**(metadata or {}), "kind": GENERATOR_KIND, "config": generator.config.to_dict()}
    save_tensors(generator.state_dict(), path, description, dtype)


def load_generator(path: str | os.PathLike[str], device: str | torch.device = "cpu") -> Generator:
    """Read a generator that `save_generator` wrote, in float32 and evaluation mode.

    Raises:
        InputError: the file is missing, damaged or not a generator, or its tensors don't fit its configuration.
    """
    tensors, description = load_tensors(path)
    if description.get("kind") != GENERATOR_KIND:
        raise InputError(
            f"{path} holds no generator of this program (its description says {description.get('kind', 'nothing')!r}). "
            "Choose a file that was saved as a generator."
        )
    try:
        config = GeneratorConfig.from_dict(description["config"])
    except (KeyError, TypeError, InputError) as error:
        raise InputError(f"The description of the generator in {path} can't be used: {error}") from error
    generator = Generator(config)
    load_weights(generator, tensors, str(path))
    return generator.eval().to(device)


def load_weights(generator: Generator, tensors: Mapping[str, Tensor], origin: str) -> None:
    """Copy a complete state dict of any floating type into a generator.

    Args:
        origin: where the tensors came from, for the error's text.

    Raises:
        InputError: a tensor is missing, unknown, of the wrong shape or not finite; the generator is then unchanged.
    """
    expected = generator.state_dict()
    missing = sorted(set(expected) - set(tensors))
    unknown = sorted(set(tensors) - set(expected))
    if missing or unknown:
        raise InputError(
            f"The tensors of {origin} don't fit a generator of resolution {generator.config.resolution}: "
            f"missing {_listed(missing)}; unknown {_listed(unknown)}."
        )
    for name, tensor in tensors.items():
        if tensor.shape != expected[name].shape:
            raise InputError(
                f"Tensor {name!r} of {origin} has shape {tuple(tensor.shape)}, "
                f"but its configuration needs {tuple(expected[name].shape)}."
            )
        if not torch.isfinite(tensor).all():
            raise InputError(f"Tensor {name!r} of {origin} holds values that are not finite; the file is of no use.")
    generator.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})


def _for_disk(name: str, tensor: Tensor, dtype: torch.dtype | None) -> Tensor:
    """A plain contiguous CPU tensor of its own memory, which is all that safetensors accepts."""
    tensor = tensor.detach()
    stored = tensor.to("cpu", dtype if dtype is not None and tensor.is_floating_point() else tensor.dtype)
    if stored.dtype != tensor.dtype and torch.isfinite(tensor).all() and not torch.isfinite(stored).all():
        raise ValueError(f"Tensor {name!r} has values up to {tensor.abs().max().item():g}, too large for {dtype}.")
    return stored.clone(memory_format=torch.contiguous_format)


@contextlib.contextmanager
def _opened(path: str | os.PathLike[str]) -> Iterator[Any]:
    file_path = Path(path)
    if not file_path.exists():
        raise InputError(f"There is no file {file_path}. Check the path.")
    if not file_path.is_file():
        raise InputError(f"{file_path} is a folder; give the path of a safetensors file.")
    try:
        with safe_open(file_path, framework="pt", device="cpu") as file:
            yield file
    except (OSError, SafetensorError) as error:
        raise InputError(f"{file_path} can't be read as a safetensors file: {_reason(file_path, error)}.") from error


def _reason(path: Path, error: Exception) -> str:
    try:
        with path.open("rb") as file:
            start = file.read(32)
    except OSError as unreadable:
        return unreadable.strerror or str(unreadable)
    if not start:
        return "it is empty"
    # A safetensors file begins with the length of its JSON header; one that starts so was ours once.
    if start[8:9] != b"{":
        for signature, explanation in _FOREIGN_STARTS:
            if start.startswith(signature):
                return explanation
    return f"it is damaged, cut short or of another format ({error})"


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


def _unwritable(path: Path, error: Exception) -> InputError:
    reason = getattr(error, "strerror", None) or str(error)
    return InputError(f"{path} can't be written: {reason}. Free some space or choose another folder.")


def _listed(names: list[str], limit: int = 3) -> str:
    if not names:
        return "none"
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more
