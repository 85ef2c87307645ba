"""Generators in the `.pt` files of rosinality's stylegan2-pytorch, which NADA, IPL and many others write too.

The file is a dict whose `g_ema` holds the averaged generator's state, and whose `latent_avg`, often missing, is the
mean w; where only `g`, which is not averaged, is beside that, it is taken. Programs that build on it keep the same
state under other names, or put one in front of every tensor's. Its layers are ours under other names and with other
empty dimensions; its filters are always the same.
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
CURRENT = "g"  # the generator as training left it, not averaged
#: Other names under which programs keep that state, those of averages first; "" is the file's own dict.
ELSEWHERE = ("G_ema", "ema", "params_ema", "generator_ema", "state_dict", "model", "generator", "params", "")
#: What stands before every name of a state, of training on several GPUs and of compiling.
WRAPPERS = ("module.", "_orig_mod.")
#: What stands before the names of one network among others.
NETWORKS = tuple(f"{name}." for name in (STATE, *ELSEWHERE) if name)
MAX_WRAPPERS = 8  # one within the other
FIRST_LAYER = "conv1.conv.weight"

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
    """What a file without `g_ema` may hold a state in: its dict, and dicts in that, which a dict may be around."""
    for name in ELSEWHERE:
        held = root.get(name) if name else root
        if _is_dict(held):
            yield from filter(_is_dict, (held.get(inner) for inner in (STATE, *ELSEWHERE) if held is not root))
            yield held


def _is_dict(held: Any) -> bool:
    """Whether it is a dict and no object of a class that is on no list."""
    return isinstance(held, Mapping) and not (isinstance(held, Record) and held.foreign)


def _is_state(state: Any) -> bool:
    return isinstance(state, Mapping) and FIRST_LAYER in state


def _unwrapped(state: Any) -> Any:
    """A state without the words before every name, once or more; of a network within others, its part alone."""
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

    Tools build rosinality's network before they read it; what they have to be told of this one, where it isn't of the
    usual form, is logged as a warning.

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
    if words := to_be_told(config):
        log.warning("%s", words)
    ours = {name: tensor.detach().cpu().float() for name, tensor in generator.state_dict().items()}
    with atomic_path(path) as temporary:
        try:
            torch.save({STATE: their_state(config, ours), MEAN: ours["w_avg"].clone()}, temporary)
        except (OSError, RuntimeError) as error:
            raise unwritable(Path(path), error) from error


def to_be_told(config: GeneratorConfig) -> str:
    """What a program that builds rosinality's network has to be told to read this generator; "" for the usual form.

    Usual are latents of 512, a mapping of 8 layers, and the channels of config F, for which `channel_multiplier` is 2.
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
