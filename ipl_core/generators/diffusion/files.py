"""Diffusion Autoencoders in this program's own files: safetensors with the configuration, ᾱ and kind of prediction."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...errors import InputError
from ...storage.files import listed
from ...storage.tensors import load_tensors, save_tensors
from ...storage.words import quoted, reason
from .model import DiffusionAutoencoder, DiffusionConfig

KIND = "diffusion autoencoder"


def save_diffusion(
    model: DiffusionAutoencoder,
    path: str | os.PathLike[str],
    metadata: Mapping[str, Any] | None = None,
    dtype: torch.dtype | None = torch.float16,
) -> None:
    """Write a model with its configuration to a safetensors file, whole or not at all; see `save_tensors`.

    ``metadata`` is kept beside the configuration; its keys "kind" and "config" are taken. ᾱ is part of the
    configuration and keeps double precision.
    """
    description = {**(metadata or {}), "kind": KIND, "config": model.config.to_dict()}
    tensors = {name: tensor for name, tensor in model.state_dict().items() if not _is_counter(name)}
    save_tensors(tensors, path, description, dtype)


def write_diffusion(
    model: DiffusionAutoencoder, path: str | os.PathLike[str], metadata: Mapping[str, Any] | None = None
) -> None:
    """Write a model to a file whose name says its format, `.safetensors`; in half precision, see `save_diffusion`.

    Raises InputError for another ending.
    """
    if Path(path).suffix != ".safetensors":
        raise InputError(f"Diffusion models are written as .safetensors: name such a file, not {Path(path).name}.")
    save_diffusion(model, path, metadata)


def load_diffusion(path: str | os.PathLike[str], device: str | torch.device = "cpu") -> DiffusionAutoencoder:
    """Read a file of `save_diffusion`, in float32 and evaluation mode; raises as `diffusion_from` does."""
    return diffusion_from(*load_tensors(path), path).to(device)


def diffusion_from(
    tensors: Mapping[str, Tensor], description: Mapping[str, Any], path: str | os.PathLike[str]
) -> DiffusionAutoencoder:
    """The model that `save_diffusion` wrote as these tensors and this description; path: for errors.

    Raises InputError if they are something else, don't fit each other, or hold numbers that aren't finite.
    """
    if description.get("kind") != KIND:
        raise InputError(
            f"{path} holds no diffusion model of this program (its description says "
            f"{quoted(description.get('kind', 'nothing'))})."
        )
    try:
        config = DiffusionConfig.from_dict(description["config"])
    except (KeyError, InputError) as error:
        raise InputError(f"The description of the diffusion model in {path} can't be used: {reason(error)}") from error
    return built(config, tensors, path)


def built(config: DiffusionConfig, tensors: Mapping[str, Tensor], path: str | os.PathLike[str]) -> DiffusionAutoencoder:
    """The model of that configuration with these tensors, of any floating type; path: for errors.

    Raises InputError if a tensor is missing, unknown, of the wrong shape or not finite.
    """
    with torch.device("meta"):  # compared before memory is taken for what a file claims
        model = DiffusionAutoencoder(config)
    expected = {name: tensor for name, tensor in model.state_dict().items() if not _is_counter(name)}
    missing, unknown = sorted(expected.keys() - tensors.keys()), sorted(tensors.keys() - expected.keys())
    if missing or unknown:
        raise InputError(
            f"The tensors of {path} don't fit a diffusion model of resolution {config.resolution}: "
            f"missing {listed(missing)}; unknown {listed(unknown)}."
        )
    for name, tensor in tensors.items():
        if tensor.shape != expected[name].shape:
            raise InputError(
                f"Tensor {name!r} of {path} has shape {tuple(tensor.shape)}, but its configuration needs "
                f"{tuple(expected[name].shape)}."
            )
        if not torch.isfinite(tensor).all():
            raise InputError(f"Tensor {name!r} of {path} holds values that are not finite; the file is of no use.")
    counters = {name: torch.zeros((), dtype=torch.long) for name in model.state_dict() if _is_counter(name)}
    model.load_state_dict({**{name: tensor.float() for name, tensor in tensors.items()}, **counters}, assign=True)
    return model.to(memory_format=torch.channels_last).eval()


def _is_counter(name: str) -> bool:
    """Whether a tensor only counts the batches of a training."""
    return name.endswith("num_batches_tracked")
