"""Reads generators from the `.pkl` files of NVIDIA's stylegan2-ada-pytorch.

The file is a dict whose `G_ema` is the averaged generator, a tree of modules with their source code; only the modules'
state is read. Kernels are oriented as ours, so they need no flip (only TensorFlow's files do). Options in a module's
state can change what its tensors mean, so unsupported ones are refused: labels, residual architectures, other
activations and filters.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...storage.pickles import Record, StoredTensor, Unreadable
from ...storage.words import quoted
from .network import MAPPING_LR_MULTIPLIER
from .parts import Parts

GENERATOR = "G_ema"
#: Limits of the module tree; the generator of 1024×1024 has 75 modules with 330 tensors, 4 levels deep. A small pickle
#: can repeat one module in many places, so that the tree would exceed any memory.
MAX_MODULES, MAX_DEPTH, MAX_TENSORS = 1000, 8, 10_000
_MAX_NAME = 100


def read(root: Any) -> Parts | None:
    """The tensors of the generator in an unpickled file; None if it isn't of this format. Raises Unreadable."""
    generator = root.get(GENERATOR) if isinstance(root, Mapping) else None
    if generator is None:
        generator = root
    modules = _modules(generator)
    if "synthesis" not in modules or "mapping" not in modules:
        return None
    if "synthesis.b4" not in modules:
        if "synthesis.input" in modules:
            raise Unreadable("it is a generator of StyleGAN3, whose network is another one; only StyleGAN2 is read")
        raise Unreadable("its generator is no StyleGAN2 (there is no block for 4×4)")
    _check(modules)

    parts = Parts(_tensors(modules))
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
    else:  # a network without noise equals one with noise of strength zero
        parts.again(f"synthesis.layers.{k}.noise_strength", f"synthesis.layers.{k}.bias", lambda x: x.new_zeros(()))
        parts.again(f"synthesis.noise.{k}", f"synthesis.layers.{k}.bias", lambda x: x.new_zeros(1, 1, size, size))


# ----------------------------------------------------------------------------------------------------------------------
# Modules


def _modules(root: Any) -> dict[str, Mapping[str, Any]]:
    """The states of all modules in a tree, by dotted name; "" is the root. Raises Unreadable for too many."""
    found: dict[str, Mapping[str, Any]] = {}
    level = [("", root)]
    for _ in range(MAX_DEPTH):
        below: list[tuple[str, Any]] = []
        for name, module in level:
            state = module.state if isinstance(module, Record) else None
            if not isinstance(state, Mapping):
                continue
            found[name] = state
            below += _children(name, state, "_modules")
            if len(found) + len(below) > MAX_MODULES:
                raise Unreadable(f"its network has more than {MAX_MODULES} modules, which no generator needs")
        level = below
    return found


def _tensors(modules: Mapping[str, Mapping[str, Any]]) -> dict[str, StoredTensor]:
    found: dict[str, Any] = {}
    for name, state in modules.items():
        for kind in ("_parameters", "_buffers"):
            found.update((part, tensor) for part, tensor in _children(name, state, kind) if tensor is not None)
            if len(found) > MAX_TENSORS:
                raise Unreadable(f"its network has more than {MAX_TENSORS} tensors, which no generator needs")
    return found


def _children(name: str, state: Mapping[str, Any], kind: str) -> list[tuple[str, Any]]:
    """A module's children of one kind (such as parameters or submodules), by dotted name."""
    held = state.get(kind)
    if not isinstance(held, Mapping):
        return []
    if len(held) > MAX_TENSORS or any(not isinstance(part, str) or len(part) > _MAX_NAME for part in held):
        raise Unreadable("its network has parts whose names are no names")
    return [(f"{name}.{part}".lstrip("."), inner) for part, inner in held.items()]


def _check(modules: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse unsupported options that the tensors' shapes don't reveal."""
    labels = modules["mapping"].get("c_dim") or modules[""].get("c_dim")
    if labels:
        raise Unreadable(
            f"its generator is conditional (a label of {quoted(labels)} numbers goes in beside z); only generators "
            "without labels can be adapted"
        )
    for name, state in modules.items():
        if name.startswith("synthesis.b") and state.get("architecture", "skip") != "skip":
            raise Unreadable(f"its generator has the architecture {quoted(state['architecture'])}; only “skip” is read")
        linear = name.endswith(".affine")
        if "activation" in state and state["activation"] != ("linear" if linear else "lrelu"):
            raise Unreadable(
                f"its generator has the activation {quoted(state['activation'])} in {quoted(name)}; only lrelu is read"
            )
    colours = modules["synthesis"].get("img_channels", 3)
    if colours != 3:
        raise Unreadable(
            f"its generator draws pictures of {quoted(colours)} channels; only colour, 3 channels, is read"
        )


def _learning_rate(layer: Mapping[str, Any]) -> float:
    """The learning-rate multiplier of a mapping layer, by which its stored weights are scaled."""
    multiplier = layer.get("bias_gain", MAPPING_LR_MULTIPLIER)
    if not isinstance(multiplier, (int, float)) or not 0 < multiplier <= 1e6:
        raise Unreadable(f"its mapping network has the learning-rate multiplier {quoted(multiplier)}")
    return float(multiplier)


def _clamp(modules: Mapping[str, Mapping[str, Any]]) -> float | None:
    """The clamp of activations, which must be the same in all layers of the synthesis network."""
    limits = [state["conv_clamp"] for state in modules.values() if "conv_clamp" in state]
    limit = limits[0] if limits else None
    if (limit is not None and not isinstance(limit, (int, float))) or any(other != limit for other in limits):
        raise Unreadable("its generator clamps activations in several ways")
    return None if limit is None else float(limit)
