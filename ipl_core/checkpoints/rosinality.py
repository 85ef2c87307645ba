"""Generators in the `.pt` files of rosinality's stylegan2-pytorch, which NADA, IPL and many others write too.

The file is a dict whose `g_ema` holds the averaged generator's state, and whose `latent_avg`, often missing, is the
mean w. Its layers are ours under other names and with other empty dimensions; its filters are always the same.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ipl_core.errors import InputError
from ipl_core.ops import fir_kernel
from ipl_core.stylegan2 import Generator, GeneratorConfig

from .files import atomic_path, unwritable
from .parts import Parts, same
from .pickles import StoredTensor

log = logging.getLogger(__name__)

STATE, MEAN = "g_ema", "latent_avg"

#: How a tensor of theirs becomes ours, and back.
_Form = tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]
_SAME: _Form = (same, same)
_BATCHED: _Form = (lambda x: x.reshape(x.shape[1:]), lambda x: x[None])
_SCALAR: _Form = (lambda x: x.reshape(()), lambda x: x.reshape(1))
_COLOUR: _Form = (lambda x: x.reshape(3), lambda x: x.reshape(1, 3, 1, 1))


def _layout(mapping_layers: int, layers: int) -> Iterator[tuple[str, str, _Form]]:
    """Our name, theirs, and the form of every tensor but the mean w."""
    for i in range(mapping_layers):
        for part in ("weight", "bias"):
            yield f"mapping.{i}.{part}", f"style.{i + 1}.{part}", _SAME
    yield "synthesis.input", "input.input", _SAME
    for k in range(layers):
        ours, theirs = f"synthesis.layers.{k}", "conv1" if k == 0 else f"convs.{k - 1}"
        yield from _convolution(ours, theirs)
        yield f"{ours}.bias", f"{theirs}.activate.bias", _SAME
        yield f"{ours}.noise_strength", f"{theirs}.noise.weight", _SCALAR
        yield f"synthesis.noise.{k}", f"noises.noise_{k}", _SAME
    for i in range((layers + 1) // 2):
        ours, theirs = f"synthesis.torgb.{i}", "to_rgb1" if i == 0 else f"to_rgbs.{i - 1}"
        yield from _convolution(ours, theirs)
        yield f"{ours}.bias", f"{theirs}.bias", _COLOUR


def _convolution(ours: str, theirs: str) -> Iterator[tuple[str, str, _Form]]:
    yield f"{ours}.weight", f"{theirs}.conv.weight", _BATCHED
    yield f"{ours}.affine.weight", f"{theirs}.conv.modulation.weight", _SAME
    yield f"{ours}.affine.bias", f"{theirs}.conv.modulation.bias", _SAME


def read(root: Any) -> Parts | None:
    """The parts of the generator in a file's object; None if it holds none of this kind. Raises Unreadable."""
    if not isinstance(root, Mapping):
        return None
    state = root.get(STATE, root)  # some files are the bare state
    if not isinstance(state, Mapping) or "conv1.conv.weight" not in state:
        return None
    parts = Parts(state)
    layers = 1 + parts.count("convs.{}.conv.weight")
    for ours, theirs, (change, _) in _layout(parts.count("style.{}.weight", first=1), layers):
        # Files older than the constant noise have none; what is missing is drawn, see `generators`.
        parts.take(ours, theirs, change, optional=theirs.startswith("noises."))
    parts.drop_filters(".blur.kernel", ".upsample.kernel")
    mean = root.get(MEAN)
    if isinstance(mean, StoredTensor):
        parts.add("w_avg", mean, lambda x: x.reshape(-1))
    return parts


def save_rosinality(generator: Generator, path: str | os.PathLike[str]) -> None:
    """Write a generator as rosinality's `.pt` with `g_ema` and `latent_avg`, in float32, atomically.

    Tools that build rosinality's network read it if the channels are those of config E or F, 512 up to 32×32.

    Raises:
        InputError: the file can't be written, or the generator is of a form that the format doesn't have.
    """
    config = generator.config
    if config.z_dim != config.w_dim:
        raise InputError(
            f"rosinality's files have z and w of the same width, but this generator has {config.z_dim} and "
            f"{config.w_dim}: write safetensors instead."
        )
    if config.conv_clamp is not None:
        log.warning("rosinality's network doesn't clamp activations; this generator's limit is not in the file.")
    ours = {name: tensor.detach().cpu().float() for name, tensor in generator.state_dict().items()}
    with atomic_path(path) as temporary:
        try:
            torch.save({STATE: their_state(config, ours), MEAN: ours["w_avg"].clone()}, temporary)
        except (OSError, RuntimeError) as error:
            raise unwritable(Path(path), error) from error


def their_state(config: GeneratorConfig, ours: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our state dict under rosinality's names and in its shapes, with the filters that its network keeps as buffers."""
    layers = config.num_layers - 1
    state = {
        their_name: change(ours[our_name]).clone()
        for our_name, their_name, (_, change) in _layout(config.mapping_layers, layers)
    }
    kernel = fir_kernel(4.0)  # the gain of doubling the resolution
    for k in range(1, layers, 2):
        state[f"convs.{k - 1}.conv.blur.kernel"] = kernel.clone()
        state[f"to_rgbs.{k // 2}.upsample.kernel"] = kernel.clone()
    return state
