"""Reads StyleGAN2s from this program's safetensors, rosinality's `.pt` and NVIDIA's `.pkl`; writes the first two."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...errors import InputError
from ...storage import apart
from ...storage.files import listed
from ...storage.pickles import Unreadable, refuse_foreign
from ...storage.tensors import save_tensors
from ...storage.words import quoted, reason
from . import nvidia, rosinality
from .network import Generator, GeneratorConfig, NoiseBuffers
from .parts import configuration

log = logging.getLogger(__name__)

GENERATOR_KIND = "generator"
MEAN_SEED, MEAN_SAMPLES = 0, 10_000  # for the mean w of files without one
NOISE_SEED = 1  # for the constant noise of files without it


def save_generator(
    generator: Generator,
    path: str | os.PathLike[str],
    metadata: Mapping[str, Any] | None = None,
    dtype: torch.dtype | None = None,
) -> None:
    """Write a generator with its configuration to a safetensors file; see `save_tensors`.

    ``metadata`` is stored with the configuration; the keys "kind" and "config" are reserved.
    """
    description = {**(metadata or {}), "kind": GENERATOR_KIND, "config": generator.config.to_dict()}
    save_tensors(generator.state_dict(), path, description, dtype)


def write_generator(
    generator: Generator, path: str | os.PathLike[str], metadata: Mapping[str, Any] | None = None
) -> None:
    """Write a generator in the format of the file's suffix: `.safetensors` (ours) or `.pt` (rosinality's).

    metadata: see `save_generator`; not stored in a `.pt`. Raises InputError for another suffix, and as the writers do.
    """
    suffix = Path(path).suffix
    if suffix == ".safetensors":
        save_generator(generator, path, metadata)
    elif suffix == ".pt":
        rosinality.save_rosinality(generator, path)
    else:
        raise InputError(f"Generators are written as .safetensors or .pt: name such a file, not {Path(path).name}.")


def generator_from(
    tensors: Mapping[str, Tensor], description: Mapping[str, Any], path: str | os.PathLike[str]
) -> Generator:
    """Build a generator from the tensors and description that `save_generator` wrote; path: for errors.

    Raises InputError if they don't describe a generator, or don't fit each other.
    """
    if description.get("kind") != GENERATOR_KIND:
        raise InputError(
            f"{path} holds no generator of this program (its description says "
            f"{quoted(description.get('kind', 'nothing'))}). Choose a file that was saved as a generator."
        )
    try:
        config = GeneratorConfig.from_dict(description["config"])
    except (KeyError, InputError) as error:
        raise InputError(f"The description of the generator in {path} can't be used: {reason(error)}.") from error
    return _built(config, tensors, {}, path)


def foreign_generator(
    tensors: Mapping[str, Tensor], description: Mapping[str, Any], path: str | os.PathLike[str]
) -> Generator:
    """Build a generator from the tensors and description that `contents_of` returned; path: for errors.

    If the file has no mean w or no constant noise, they are made from fixed seeds, so that every reader gets the same,
    and a warning is logged. Raises InputError if the tensors don't fit.
    """
    config = GeneratorConfig.from_dict(description["config"])
    if not description["averaged"]:
        log.warning("%s holds no averaged generator (g_ema): the one that training left (g) was taken.", path)
    return _built(config, tensors, _absent(config, tensors), path)


def _built(
    config: GeneratorConfig, tensors: Mapping[str, Tensor], made: Mapping[str, Tensor], path: str | os.PathLike[str]
) -> Generator:
    """made: the part of the tensors that the file doesn't have."""
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
    return generator.eval()


def load_weights(generator: Generator, tensors: Mapping[str, Tensor], origin: str) -> None:
    """Copy a complete state dict of any floating type into a generator.

    Args:
        origin: the tensors' origin, for the error message.

    Raises:
        InputError: a tensor is missing, unknown, of the wrong shape or not finite; the generator is then unchanged.
    """
    _compare(generator.state_dict(), tensors, origin, generator.config.resolution)
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise InputError(f"Tensor {name!r} of {origin} holds values that are not finite; the file is of no use.")
    generator.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})


def contents_of(root: Any, path: Path) -> apart.Contents:
    """The generator in an unpickled object: its tensors under our names, and its "config".

    path: the file, whose size limits that of the tensors. Raises Unreadable if there is no generator.
    """
    try:
        parts = rosinality.read(root) or nvidia.read(root)
        if parts is None:
            raise Unreadable(_no_generator(root))
        tensors = parts.load(path.stat().st_size)
        config = configuration(tensors, parts.conv_clamp)
        return tensors, {"config": config.to_dict(), "averaged": parts.averaged}
    except (TypeError, ValueError, KeyError, AttributeError, OverflowError) as error:  # a state of odd values
        raise Unreadable(f"its generator is of an impossible form ({reason(error)})") from error


def _no_generator(root: Any) -> str:
    """The error for a readable file without a generator."""
    if not isinstance(root, Mapping):
        return f"it holds no generator, only something of the type {type(root).__name__}"
    for value in root.values():
        refuse_foreign(value)
    names = [name for name in root if isinstance(name, str)]
    state = root.get("state_dict")
    inner = [name for name in state if isinstance(name, str)] if isinstance(state, Mapping) else []
    if any(name.startswith(("decoder.", "encoder.")) for name in (*names, *inner)):
        return (
            "it is an encoder's file, of e4e or pSp, and not a generator's: name it as the encoder of an inversion "
            "(--encoder), and the generator's own file here"
        )
    if not names:
        return "it holds no generator (nothing at all)"
    if {"d", "D"} & set(names) and not {"g", "G"} & set(names):
        return f"it holds a discriminator but no generator ({listed(names)})"
    if {"final_conv.0.weight", "b4.conv.weight"} & set(names):
        return "it is a discriminator; adapting needs the generator"
    return f"it is a pickle without a StyleGAN2 generator (g_ema or G_ema); what it holds: {listed(names)}"


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
    """Substitutes for tensors that some files lack: zeros for the mean w, and constant noise from a fixed seed."""
    made = {} if "w_avg" in tensors else {"w_avg": torch.zeros(config.w_dim)}
    if not any(name.startswith("synthesis.noise.") for name in tensors):
        noise = NoiseBuffers([4 * 2 ** ((k + 1) // 2) for k in range(config.num_layers - 1)])
        with torch.no_grad():
            noise.initialise(torch.Generator().manual_seed(NOISE_SEED))
        made.update({f"synthesis.noise.{name}": buffer for name, buffer in noise.named_buffers()})
    return made
