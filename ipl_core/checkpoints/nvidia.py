"""Generators in the `.pkl` files of NVIDIA's stylegan2-ada-pytorch.

The file is a dict whose `G_ema` is the averaged generator, a tree of modules that carry their own source code; the
state of the modules is read, the code is not. The tensors are laid out as ours, so no kernel is flipped here: a flip
is only between these files and TensorFlow's. A module's state says more than its tensors do, and what would make
another network of the same tensors is refused: labels, residual architectures, other activations and filters.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ipl_core.stylegan2 import MAPPING_LR_MULTIPLIER

from .parts import Parts
from .pickles import Record, StoredTensor, Unreadable

GENERATOR = "G_ema"


def read(root: Any) -> Parts | None:
    """The parts of the generator in a file's object; None if it holds none of this kind. Raises Unreadable."""
    generator = root.get(GENERATOR) if isinstance(root, Mapping) else None
    if generator is None:
        generator = root
    modules = dict(_modules(generator))
    if "synthesis" not in modules or "mapping" not in modules:
        return None
    if "synthesis.b4" not in modules:
        if "synthesis.input" in modules:
            raise Unreadable("it is a generator of StyleGAN3, whose network is another one; only StyleGAN2 is read")
        raise Unreadable("its generator is no StyleGAN2 (there is no block for 4×4)")
    _check(modules)

    parts = Parts({name: tensor for name, tensor in _tensors(modules) if tensor is not None})
    resolutions = []
    while f"synthesis.b{4 * 2 ** len(resolutions)}" in modules:
        resolutions.append(4 * 2 ** len(resolutions))
    for i in range(parts.count("mapping.fc{}.weight")):
        gain = _learning_rate(modules[f"mapping.fc{i}"]) / MAPPING_LR_MULTIPLIER
        parts.take(f"mapping.{i}.weight", f"mapping.fc{i}.weight", lambda x, gain=gain: x * gain)
        parts.take(f"mapping.{i}.bias", f"mapping.fc{i}.bias", lambda x, gain=gain: x * gain)
    parts.take("w_avg", "mapping.w_avg", optional=True)
    parts.take("synthesis.input", "synthesis.b4.const", lambda x: x[None])
    for i, size in enumerate(resolutions):
        block = f"synthesis.b{size}"
        for k, theirs in ((2 * i - 1, f"{block}.conv0"), (2 * i, f"{block}.conv1")):
            if k >= 0:
                _take_layer(parts, k, theirs, size)
        _take_modulated(parts, f"synthesis.torgb.{i}", f"{block}.torgb")
    parts.drop_filters(".resample_filter")
    parts.conv_clamp = _clamp(modules)
    return parts


def _take_modulated(parts: Parts, ours: str, theirs: str) -> None:
    for part in ("weight", "bias", "affine.weight", "affine.bias"):
        parts.take(f"{ours}.{part}", f"{theirs}.{part}")


def _take_layer(parts: Parts, k: int, theirs: str, size: int) -> None:
    _take_modulated(parts, f"synthesis.layers.{k}", theirs)
    if f"{theirs}.noise_const" in parts:
        parts.take(f"synthesis.layers.{k}.noise_strength", f"{theirs}.noise_strength")
        parts.take(f"synthesis.noise.{k}", f"{theirs}.noise_const", lambda x: x.reshape(1, 1, size, size))
    else:  # a network without noise is one with noise of strength zero
        parts.again(f"synthesis.layers.{k}.noise_strength", f"synthesis.layers.{k}.bias", lambda x: x.new_zeros(()))
        parts.again(f"synthesis.noise.{k}", f"synthesis.layers.{k}.bias", lambda x: x.new_zeros(1, 1, size, size))


# ----------------------------------------------------------------------------------------------------------------------
# Modules


def _modules(module: Any, name: str = "", depth: int = 0) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every module of a tree by its dotted name, as its state; "" is the root."""
    state = module.state if isinstance(module, Record) else None
    if not isinstance(state, Mapping) or depth > 8:
        return
    yield name, state
    children = state.get("_modules")
    for child, inner in children.items() if isinstance(children, Mapping) else ():
        yield from _modules(inner, f"{name}.{child}".lstrip("."), depth + 1)


def _tensors(modules: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, StoredTensor | None]]:
    for name, state in modules.items():
        for kind in ("_parameters", "_buffers"):
            tensors = state.get(kind)
            if isinstance(tensors, Mapping):
                yield from ((f"{name}.{part}".lstrip("."), tensor) for part, tensor in tensors.items())


def _check(modules: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse what the tensors alone don't show."""
    labels = modules["mapping"].get("c_dim") or modules[""].get("c_dim")
    if labels:
        raise Unreadable(
            f"its generator is conditional (a label of {labels} numbers goes in beside z); only generators without "
            "labels can be adapted"
        )
    for name, state in modules.items():
        if name.startswith("synthesis.b") and state.get("architecture", "skip") != "skip":
            raise Unreadable(f"its generator has the architecture “{state['architecture']}”; only “skip” is read")
        linear = name.endswith(".affine")
        if "activation" in state and state["activation"] != ("linear" if linear else "lrelu"):
            raise Unreadable(f"its generator has the activation “{state['activation']}” in {name}; only lrelu is read")
    colours = modules["synthesis"].get("img_channels", 3)
    if colours != 3:
        raise Unreadable(f"its generator draws pictures of {colours} channels; only colour, 3 channels, is read")


def _learning_rate(layer: Mapping[str, Any]) -> float:
    """The multiplier that a mapping layer's stored weights wait for."""
    multiplier = layer.get("bias_gain", MAPPING_LR_MULTIPLIER)
    if not isinstance(multiplier, (int, float)) or not 0 < multiplier <= 1e6:
        raise Unreadable(f"its mapping network has the learning-rate multiplier {multiplier!r}")
    return float(multiplier)


def _clamp(modules: Mapping[str, Mapping[str, Any]]) -> float | None:
    """The one limit of activations in the synthesis network."""
    limits = [state["conv_clamp"] for state in modules.values() if "conv_clamp" in state]
    limit = limits[0] if limits else None
    if (limit is not None and not isinstance(limit, (int, float))) or any(other != limit for other in limits):
        raise Unreadable("its generator clamps activations in several ways")
    return None if limit is None else float(limit)
