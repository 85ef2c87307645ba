"""Generators from files and into files, whatever the format."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ipl_core.errors import InputError
from ipl_core.stylegan2 import Generator, GeneratorConfig, NoiseBuffers

from . import nvidia, rosinality
from .files import PICKLE, ZIP, first_bytes, is_safetensors, listed, readable_file
from .parts import configuration
from .pickles import Unreadable, opened
from .safetensors import load_tensors, save_tensors

log = logging.getLogger(__name__)

GENERATOR_KIND = "generator"
MEAN_SEED, MEAN_SAMPLES = 0, 10_000  # of the mean w, where a file has none
NOISE_SEED = 1  # of the constant noise, where a file has none


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


def write_generator(
    generator: Generator, path: str | os.PathLike[str], metadata: Mapping[str, Any] | None = None
) -> None:
    """Write a generator in the format that the file's name asks for: `.safetensors` (ours) or `.pt` (rosinality's).

    metadata: see `save_generator`; a `.pt` has no place for it. Raises InputError for another ending, and as the
    writers do.
    """
    suffix = Path(path).suffix
    if suffix == ".safetensors":
        save_generator(generator, path, metadata)
    elif suffix == ".pt":
        rosinality.save_rosinality(generator, path)
    else:
        raise InputError(f"Generators are written as .safetensors or .pt: name such a file, not {Path(path).name}.")


def load_generator(path: str | os.PathLike[str], device: str | torch.device = "cpu") -> Generator:
    """Read a generator: a file of `save_generator`, rosinality's `.pt` or NVIDIA's `.pkl`, told apart by content.

    It is in float32 and evaluation mode. Where a file has no mean w or no constant noise, they are made from fixed
    seeds, the same for every reader, and a warning is logged.

    Raises:
        InputError: the file is missing, damaged, of another kind or not a generator, or its tensors don't fit.
    """
    file_path = readable_file(path)
    start = first_bytes(file_path)
    if start.startswith((ZIP, PICKLE)) and not is_safetensors(start):
        config, tensors = _foreign(file_path)
        made = _absent(config, tensors)
    else:
        config, tensors = _our_own(file_path)
        made = {}
    # Compared before memory is taken for what a file claims.
    with torch.device("meta"):
        expected = Generator(config).state_dict()
    _compare(expected, {**tensors, **made}, str(path), config.resolution)
    generator = Generator(config)
    load_weights(generator, {**tensors, **made}, str(path))
    if "w_avg" in made:
        generator.estimate_w_avg(torch.Generator().manual_seed(MEAN_SEED), MEAN_SAMPLES)
        log.warning("%s holds no mean w: it was estimated from %d latents of seed %d.", path, MEAN_SAMPLES, MEAN_SEED)
    if len(made) > ("w_avg" in made):
        log.warning("%s holds no constant noise: it was drawn from seed %d.", path, NOISE_SEED)
    return generator.eval().to(device)


def load_weights(generator: Generator, tensors: Mapping[str, Tensor], origin: str) -> None:
    """Copy a complete state dict of any floating type into a generator.

    Args:
        origin: where the tensors came from, for the error's text.

    Raises:
        InputError: a tensor is missing, unknown, of the wrong shape or not finite; the generator is then unchanged.
    """
    _compare(generator.state_dict(), tensors, origin, generator.config.resolution)
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise InputError(f"Tensor {name!r} of {origin} holds values that are not finite; the file is of no use.")
    generator.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})


def _our_own(path: Path) -> tuple[GeneratorConfig, dict[str, Tensor]]:
    tensors, description = load_tensors(path)
    if description.get("kind") != GENERATOR_KIND:
        raise InputError(
            f"{path} holds no generator of this program (its description says {description.get('kind', 'nothing')!r}). "
            "Choose a file that was saved as a generator."
        )
    try:
        return GeneratorConfig.from_dict(description["config"]), tensors
    except (KeyError, TypeError, InputError) as error:
        raise InputError(f"The description of the generator in {path} can't be used: {error}") from error


def _foreign(path: Path) -> tuple[GeneratorConfig, dict[str, Tensor]]:
    with opened(path) as root:
        try:
            parts = rosinality.read(root) or nvidia.read(root)
            if parts is None:
                raise Unreadable(_no_generator(root))
            tensors = parts.load(path.stat().st_size)
            return configuration(tensors, parts.conv_clamp), tensors
        except (InputError, TypeError, ValueError, KeyError, AttributeError) as error:  # a state of odd values
            raise Unreadable(f"its generator is of an impossible form ({error})") from error


def _no_generator(root: Any) -> str:
    """Why a file that could be read holds nothing for us."""
    if not isinstance(root, Mapping):
        return f"it holds no generator, only something of the type {type(root).__name__}"
    names = [str(name) for name in root]
    if not names:
        return "it holds no generator (nothing at all)"
    if {"d", "D"} & set(names) and not {"g", "G"} & set(names):
        return f"it holds a discriminator but no generator ({listed(names)})"
    if {"final_conv.0.weight", "b4.conv.weight"} & set(names):
        return "it is a discriminator; adapting needs the generator"
    return f"it is a pickle without an averaged generator (g_ema or G_ema); what it holds: {listed(names)}"


def _compare(expected: Mapping[str, Tensor], tensors: Mapping[str, Tensor], origin: str, resolution: int) -> None:
    missing = sorted(set(expected) - set(tensors))
    unknown = sorted(set(tensors) - set(expected))
    if missing or unknown:
        raise InputError(
            f"The tensors of {origin} don't fit a generator of resolution {resolution}: "
            f"missing {listed(missing)}; unknown {listed(unknown)}."
        )
    for name, tensor in tensors.items():
        if tensor.shape != expected[name].shape:
            raise InputError(
                f"Tensor {name!r} of {origin} has shape {tuple(tensor.shape)}, "
                f"but its configuration needs {tuple(expected[name].shape)}."
            )


def _absent(config: GeneratorConfig, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What some files lack: a place for the mean w, and constant noise."""
    made = {} if "w_avg" in tensors else {"w_avg": torch.zeros(config.w_dim)}
    if not any(name.startswith("synthesis.noise.") for name in tensors):
        noise = NoiseBuffers([4 * 2 ** ((k + 1) // 2) for k in range(config.num_layers - 1)])
        with torch.no_grad():
            noise.initialise(torch.Generator().manual_seed(NOISE_SEED))
        made.update({f"synthesis.noise.{name}": buffer for name, buffer in noise.named_buffers()})
    return made
