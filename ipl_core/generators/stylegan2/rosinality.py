"""Reads and writes the `.pt` files of rosinality's stylegan2-pytorch, which NADA, IPL and many others use too.

The file is a dict: `g_ema` is the averaged generator's state dict, `latent_avg`, often missing, the mean w. If there is
only `g`, which isn't averaged, that is used. Related programs store the same state dict under other keys, or with a
prefix before every name. Its layers are ours with other names and other dimensions of size 1; its filters are constant.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...errors import InputError
from ...storage.files import atomic_path, unwritable
from ...storage.pickles import Record, StoredTensor, refuse_foreign
from .network import Generator, GeneratorConfig, config_f_channels
from .ops import fir_kernel
from .parts import Parts, same

log = logging.getLogger(__name__)

STATE, MEAN = "g_ema", "latent_avg"
CURRENT = "g"  # the generator without weight averaging
#: Other keys of the state dict, averaged weights first; "" is the file's own dict.
ELSEWHERE = ("G_ema", "ema", "params_ema", "generator_ema", "state_dict", "model", "generator", "params", "")
#: Prefixes of all names after multi-GPU training or compiling.
WRAPPERS = ("module.", "_orig_mod.")
#: Prefixes of one network's names in a dict of several networks.
NETWORKS = tuple(f"{name}." for name in (STATE, *ELSEWHERE) if name)
MAX_WRAPPERS = 8  # nested prefixes
FIRST_LAYER = "conv1.conv.weight"

#: The conversion of a tensor from their form to ours, and back.
_Form = tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]
_SAME: _Form = (same, same)
_BATCHED: _Form = (lambda x: x.reshape(x.shape[1:]), lambda x: x[None])
_SCALAR: _Form = (lambda x: x.reshape(()), lambda x: x.reshape(1))
_COLOUR: _Form = (lambda x: x.reshape(3), lambda x: x.reshape(1, 3, 1, 1))


def _layout(mapping_layers: int, layers: int) -> Iterator[tuple[str, str, _Form]]:
    """Our name, their name, and the conversion of every tensor except the mean w."""
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
    """The tensors of the generator in an unpickled file; None if it isn't of this format. Raises Unreadable."""
    if not isinstance(root, Mapping):
        return None
    averaged = True
    if STATE in root:
        refuse_foreign(root[STATE])
        state = _unwrapped(root[STATE])
    elif isinstance(root.get(CURRENT), Mapping) and MEAN in root:
        refuse_foreign(root[CURRENT])
        state, averaged = _unwrapped(root[CURRENT]), False
    else:
        state = next(filter(_is_state, map(_unwrapped, _elsewhere(root))), None)
    if not _is_state(state):
        return None
    parts = Parts(state)
    parts.averaged = averaged
    layers = 1 + parts.count("convs.{}.conv.weight")
    for ours, theirs, (change, _) in _layout(parts.count("style.{}.weight", first=1), layers):
        # Files older than the constant noise have none; what is missing is drawn, see `generators`.
        parts.take(ours, theirs, change, optional=theirs.startswith("noises."))
    parts.drop_filters(".blur.kernel", ".upsample.kernel")
    mean = root.get(MEAN)
    if isinstance(mean, StoredTensor):
        parts.add("w_avg", mean, lambda x: x.reshape(-1))
    return parts


def _elsewhere(root: Mapping[Any, Any]) -> Iterator[Any]:
    """Candidates for the state dict in a file without `g_ema`: the file's dict, and dicts one or two levels inside."""
    for name in ELSEWHERE:
        held = root.get(name) if name else root
        if _is_dict(held):
            yield from filter(_is_dict, (held.get(inner) for inner in (STATE, *ELSEWHERE) if held is not root))
            yield held


def _is_dict(held: Any) -> bool:
    """Whether it is a dict, and not an object of an unknown class."""
    return isinstance(held, Mapping) and not (isinstance(held, Record) and held.foreign)


def _is_state(state: Any) -> bool:
    return isinstance(state, Mapping) and FIRST_LAYER in state


def _unwrapped(state: Any) -> Any:
    """A state dict without prefixes; of a dict of several networks, the generator's part."""
    for _ in range(MAX_WRAPPERS):
        if not isinstance(state, Mapping) or FIRST_LAYER in state:
            break
        names = [name for name in state if isinstance(name, str)]
        around = [w for w in WRAPPERS if all(name.startswith(w) for name in names)]
        among = [n for n in NETWORKS if any(name.startswith(n) for name in names)]
        if not names or not (around or among):
            break
        wrapper = (*around, *among)[0]
        state = {name[len(wrapper) :]: state[name] for name in names if name.startswith(wrapper)}
    return state


def save_rosinality(generator: Generator, path: str | os.PathLike[str]) -> None:
    """Write a generator as rosinality's `.pt` with `g_ema` and `latent_avg`, in float32, atomically.

    Tools construct rosinality's network before they load the file; arguments that differ from its defaults are logged
    as a warning.

    Raises:
        InputError: the file can't be written, or the format doesn't support this generator.
    """
    config = generator.config
    if config.z_dim != config.w_dim:
        raise InputError(
            f"rosinality's files have z and w of the same width, but this generator has {config.z_dim} and "
            f"{config.w_dim}: write safetensors instead."
        )
    if config.conv_clamp is not None:
        log.warning("rosinality's network doesn't clamp activations; this generator's limit is not in the file.")
    if words := to_be_told(config):
        log.warning("%s", words)
    ours = {name: tensor.detach().cpu().float() for name, tensor in generator.state_dict().items()}
    with atomic_path(path) as temporary:
        try:
            torch.save({STATE: their_state(config, ours), MEAN: ours["w_avg"].clone()}, temporary)
        except (OSError, RuntimeError) as error:
            raise unwritable(Path(path), error) from error


def to_be_told(config: GeneratorConfig) -> str:
    """The arguments that rosinality's network needs for this generator, as a sentence; "" for the default form.

    By default latents have 512 numbers, the mapping has 8 layers, and `channel_multiplier` is 2 (config F).
    """
    words = []
    if config.w_dim != 512:
        words.append(f"style_dim {config.w_dim}")
    if config.mapping_layers != 8:
        words.append(f"n_mlp {config.mapping_layers}")
    channels = config.channels or config_f_channels(config.resolution)
    if channels == config_f_channels(config.resolution, 1) != config_f_channels(config.resolution):
        words.append("channel_multiplier 1")
    elif channels != config_f_channels(config.resolution):
        table = ", ".join(f"{size}: {count}" for size, count in channels)
        words.append(f"channels {{{table}}} in place of its table")
    if not words:
        return ""
    return (
        f"A program that builds rosinality's network reads this file if it is told: size {config.resolution}, "
        f"{', '.join(words)}."
    )


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
