"""Files as other programs write them, made from nothing but their formats: rosinality's `.pt` and NVIDIA's `.pkl`.

The weights come from a recipe: every tensor is drawn from NumPy's default generator, seeded by the sha256 of its name,
so that golden numbers can be checked by whoever draws with the same weights.
"""

from __future__ import annotations

import hashlib
import pickle
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

KERNEL = torch.outer(torch.tensor([1.0, 3, 3, 1]), torch.tensor([1.0, 3, 3, 1])) / 64
SOURCE = "raise SystemExit('code inside a file of weights was run')"


def recipe(shape: tuple[int, ...], name: str) -> torch.Tensor:
    """Standard normal numbers that depend on nothing but `name`."""
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "little")
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))


def weights(shape: tuple[int, ...], name: str) -> torch.Tensor:
    """The recipe in the size that a trained tensor of this name has."""
    value = recipe(shape, name)
    if name.startswith(("style.", "mapping.fc")):  # stored divided by the learning-rate multiplier
        return value * (100 if name.endswith("weight") else 10)
    return 1 + 0.3 * value if name.endswith(("modulation.bias", "affine.bias")) else value


# ----------------------------------------------------------------------------------------------------------------------
# rosinality


def rosinality_shapes(channels: dict[int, int], width: int, mapping_layers: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a generator's state; channels by resolution, from 4."""
    shapes: dict[str, tuple[int, ...]] = {}

    def convolution(name: str, inner: int, outer: int, kernel: int) -> None:
        shapes[f"{name}.conv.weight"] = (1, outer, inner, kernel, kernel)
        shapes[f"{name}.conv.modulation.weight"] = (inner, width)
        shapes[f"{name}.conv.modulation.bias"] = (inner,)

    def layer(name: str, inner: int, outer: int) -> None:
        convolution(name, inner, outer, 3)
        shapes[f"{name}.noise.weight"] = (1,)
        shapes[f"{name}.activate.bias"] = (outer,)

    def torgb(name: str, inner: int) -> None:
        convolution(name, inner, 3, 1)
        shapes[f"{name}.bias"] = (1, 3, 1, 1)

    for i in range(mapping_layers):
        shapes[f"style.{i + 1}.weight"], shapes[f"style.{i + 1}.bias"] = (width, width), (width,)
    shapes["input.input"] = (1, channels[4], 4, 4)
    layer("conv1", channels[4], channels[4])
    torgb("to_rgb1", channels[4])
    shapes["noises.noise_0"] = (1, 1, 4, 4)
    for i, size in enumerate([size for size in sorted(channels) if size > 4]):
        layer(f"convs.{2 * i}", channels[size // 2], channels[size])
        shapes[f"convs.{2 * i}.conv.blur.kernel"] = (4, 4)
        layer(f"convs.{2 * i + 1}", channels[size], channels[size])
        torgb(f"to_rgbs.{i}", channels[size])
        shapes[f"to_rgbs.{i}.upsample.kernel"] = (4, 4)
        shapes[f"noises.noise_{2 * i + 1}"] = shapes[f"noises.noise_{2 * i + 2}"] = (1, 1, size, size)
    return shapes


def rosinality_state(channels: dict[int, int], width: int = 8, mapping_layers: int = 2) -> dict[str, torch.Tensor]:
    """A generator's state with weights of the recipe."""
    shapes = rosinality_shapes(channels, width, mapping_layers)
    return {name: KERNEL * 4 if name.endswith(".kernel") else weights(shape, name) for name, shape in shapes.items()}


# ----------------------------------------------------------------------------------------------------------------------
# NVIDIA


class EasyDict(dict):
    """A dict as NVIDIA's packages have it."""


class Layer(torch.nn.Module):
    """Any module; `kept` are attributes beside tensors and modules."""

    def __init__(self, kind: str, **kept: Any) -> None:
        super().__init__()
        self._kind = kind
        self.__dict__.update(kept)

    def __reduce__(self) -> tuple[Any, ...]:
        state = {name: value for name, value in self.__dict__.items() if name != "_kind"}
        meta = dict(type="class", version=6, module_src=SOURCE, class_name=self._kind, state=state)
        return sys.modules["torch_utils.persistence"]._reconstruct_persistent_obj, (meta,), None


def _fully_connected(inner: int, outer: int, multiplier: float = 1, activation: str = "linear") -> Layer:
    gain = np.float64(multiplier / np.sqrt(inner))
    layer = Layer("FullyConnectedLayer", activation=activation, weight_gain=gain, bias_gain=multiplier)
    layer.weight = torch.nn.Parameter(torch.zeros(outer, inner))
    layer.bias = torch.nn.Parameter(torch.zeros(outer))
    return layer


def _convolution(inner: int, outer: int, width: int, size: int, up: int, clamp: float | None, noise: bool) -> Layer:
    layer = Layer(
        "SynthesisLayer", resolution=size, up=up, use_noise=noise, activation="lrelu", conv_clamp=clamp,
        padding=1, act_gain=np.sqrt(2),
    )  # fmt: skip
    layer.register_buffer("resample_filter", KERNEL.clone())
    layer.affine = _fully_connected(width, inner)
    # 16-bit layers keep their weights in this layout
    weight = torch.zeros(outer, inner, 3, 3).to(memory_format=torch.channels_last)
    layer.weight = torch.nn.Parameter(weight)
    layer.bias = torch.nn.Parameter(torch.zeros(outer))
    if noise:
        layer.register_buffer("noise_const", torch.zeros(size, size))
        layer.noise_strength = torch.nn.Parameter(torch.zeros([]))
    return layer


def nvidia_generator(
    channels: dict[int, int],
    z_dim: int = 8,
    width: int = 8,
    mapping_layers: int = 2,
    clamp: float | None = None,
    multiplier: float = 0.01,
    labels: int = 0,
    architecture: str = "skip",
    noise: bool = True,
) -> Layer:
    """The tree of modules of a generator with weights of the recipe."""
    size = max(channels)
    mapping = Layer("MappingNetwork", z_dim=z_dim, c_dim=labels, w_dim=width, num_layers=mapping_layers)
    for i in range(mapping_layers):
        inner = z_dim if i == 0 else width
        setattr(mapping, f"fc{i}", _fully_connected(inner, width, multiplier, "lrelu"))
    mapping.register_buffer("w_avg", torch.zeros(width))
    synthesis = Layer("SynthesisNetwork", w_dim=width, img_resolution=size, img_channels=3)
    for resolution in sorted(channels):
        block = Layer("SynthesisBlock", resolution=resolution, architecture=architecture, use_fp16=resolution >= 16)
        block.register_buffer("resample_filter", KERNEL.clone())
        outer = channels[resolution]
        if resolution == 4:
            block.const = torch.nn.Parameter(torch.zeros(outer, 4, 4))
        else:
            block.conv0 = _convolution(channels[resolution // 2], outer, width, resolution, 2, clamp, noise)
        block.conv1 = _convolution(outer, outer, width, resolution, 1, clamp, noise)
        block.torgb = Layer("ToRGBLayer", conv_clamp=clamp, weight_gain=np.float64(1 / np.sqrt(outer)))
        block.torgb.affine = _fully_connected(width, outer)
        block.torgb.weight = torch.nn.Parameter(torch.zeros(3, outer, 1, 1))
        block.torgb.bias = torch.nn.Parameter(torch.zeros(3))
        setattr(synthesis, f"b{resolution}", block)
    generator = Layer(
        "Generator", z_dim=z_dim, c_dim=labels, w_dim=width, img_resolution=size, img_channels=3,
        _init_args=(), _init_kwargs=EasyDict(z_dim=z_dim, synthesis_kwargs=EasyDict(channel_base=32768)),
    )  # fmt: skip
    generator.synthesis, generator.mapping = synthesis, mapping
    with torch.no_grad():
        for name, tensor in generator.state_dict().items():
            if not name.endswith("resample_filter"):
                tensor.copy_(weights(tuple(tensor.shape), name))
    return generator.requires_grad_(False)


def discriminator() -> Layer:
    """Something that is no generator."""
    network = Layer("Discriminator", c_dim=0)
    network.b4 = _fully_connected(4, 4)
    return network


@contextmanager
def nvidia_packages() -> Iterator[None]:
    """Modules of the names that NVIDIA's files refer to, for the time of writing one."""

    def _reconstruct_persistent_obj(meta: Any) -> Any:
        raise AssertionError("what a file names was called")

    persistence, util = types.ModuleType("torch_utils.persistence"), types.ModuleType("dnnlib.util")
    persistence._reconstruct_persistent_obj, util.EasyDict = _reconstruct_persistent_obj, EasyDict
    _reconstruct_persistent_obj.__module__, EasyDict.__module__ = persistence.__name__, util.__name__
    _reconstruct_persistent_obj.__qualname__ = "_reconstruct_persistent_obj"
    fakes = {module.__name__: module for module in (persistence, util)}
    fakes.update({name: types.ModuleType(name) for name in ("torch_utils", "dnnlib")})
    sys.modules.update(fakes)
    try:
        yield
    finally:
        for name in fakes:
            del sys.modules[name]


def write_nvidia(path: Path, contents: Any, protocol: int = 4) -> Path:
    """Pickle `contents`, such as {"G": …, "D": …, "G_ema": …}, as NVIDIA's training does."""
    with nvidia_packages(), path.open("wb") as file:
        pickle.dump(contents, file, protocol=protocol)
    return path


# ----------------------------------------------------------------------------------------------------------------------
# e4e and pSp

E4E_WIDTHS, E4E_WIDTH, E4E_ROWS = (16, 16, 32, 32), 32, 9


def e4e_shapes() -> dict[str, tuple[int, ...]]:
    """Names and shapes of an encoder's state, as in the released files but narrow and of few rows."""
    shapes: dict[str, tuple[int, ...]] = {}

    def norm(name: str, width: int) -> None:
        for part in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{name}.{part}"] = (width,)

    shapes["input_layer.0.weight"] = (E4E_WIDTHS[0], 3, 3, 3)
    norm("input_layer.1", E4E_WIDTHS[0])
    shapes["input_layer.2.weight"] = (E4E_WIDTHS[0],)
    number = 0
    for inner, outer, units in zip((E4E_WIDTHS[0], *E4E_WIDTHS), E4E_WIDTHS, (3, 4, 14, 3)):
        for width in (inner, *[outer] * (units - 1)):
            name = f"body.{number}"
            norm(f"{name}.res_layer.0", width)
            shapes[f"{name}.res_layer.1.weight"] = (outer, width, 3, 3)
            shapes[f"{name}.res_layer.2.weight"] = (outer,)
            shapes[f"{name}.res_layer.3.weight"] = (outer, outer, 3, 3)
            norm(f"{name}.res_layer.4", outer)
            shapes[f"{name}.res_layer.5.fc1.weight"] = (outer // 16, outer, 1, 1)
            shapes[f"{name}.res_layer.5.fc2.weight"] = (outer, outer // 16, 1, 1)
            if width != outer:
                shapes[f"{name}.shortcut_layer.0.weight"] = (outer, width, 1, 1)
                norm(f"{name}.shortcut_layer.1", outer)
            number += 1
    for row in range(E4E_ROWS):
        for k in range(4 if row < 3 else 5 if row < 7 else 6):
            inner = E4E_WIDTHS[3] if k == 0 else E4E_WIDTH
            shapes[f"styles.{row}.convs.{2 * k}.weight"] = (E4E_WIDTH, inner, 3, 3)
            shapes[f"styles.{row}.convs.{2 * k}.bias"] = (E4E_WIDTH,)
        shapes[f"styles.{row}.linear.weight"], shapes[f"styles.{row}.linear.bias"] = (E4E_WIDTH,) * 2, (E4E_WIDTH,)
    for name, inner in (("latlayer1", E4E_WIDTHS[2]), ("latlayer2", E4E_WIDTHS[1])):
        shapes[f"{name}.weight"], shapes[f"{name}.bias"] = (E4E_WIDTHS[3], inner, 1, 1), (E4E_WIDTHS[3],)
    return shapes


def e4e_state() -> dict[str, torch.Tensor]:
    """An encoder's state with weights of the recipe, in a size that keeps activations near 1."""
    state = {}
    for name, shape in e4e_shapes().items():
        value = recipe(shape, f"e4e.{name}")
        if name.endswith("running_var"):
            value = 1 + 0.5 * value.abs()
        elif name.endswith(("bias", "running_mean")):
            value = 0.2 * value
        elif len(shape) == 1:  # of a norm or a PReLU
            value = (0.25 if name.endswith(("layer.2.weight",)) else 1) + 0.1 * value
        elif len(shape) == 4:
            value = value * (2 / (shape[1] * shape[2] * shape[3])) ** 0.5
        state[name] = value
    return state


def e4e_contents(kind: str = "Encoder4Editing") -> dict[str, Any]:
    """What a released file holds: the encoder, a generator that nobody reads, settings, and the mean latent."""
    state = {f"encoder.{name}": tensor for name, tensor in e4e_state().items()}
    for name in [name for name in state if name.endswith("running_var")]:
        state[name.replace("running_var", "num_batches_tracked")] = torch.tensor(7)
    state["decoder.input.input"] = torch.zeros(1, 4, 4, 4)
    options = {"encoder_type": kind, "start_from_latent_avg": True, "stylegan_size": 1024, "device": "cuda:0"}
    return {"state_dict": state, "opts": options, "latent_avg": recipe((E4E_WIDTH,), "e4e.latent_avg")}


# ----------------------------------------------------------------------------------------------------------------------
# LPIPS

ALEX_SHAPES = {0: (64, 3, 11), 3: (192, 64, 5), 6: (384, 192, 3), 8: (256, 384, 3), 10: (256, 256, 3)}


def alexnet_state() -> dict[str, torch.Tensor]:
    """torchvision's AlexNet with weights of the recipe, and a classifier that nobody reads."""
    state = {}
    for number, (out, into, side) in ALEX_SHAPES.items():
        weight = recipe((out, into, side, side), f"alex.{number}.weight")
        state[f"features.{number}.weight"] = weight * (2 / (into * side * side)) ** 0.5
        state[f"features.{number}.bias"] = 0.1 * recipe((out,), f"alex.{number}.bias")
    return {**state, "classifier.1.weight": torch.zeros(2, 2)}


def lpips_state() -> dict[str, torch.Tensor]:
    """The weights of channels as LPIPS's authors publish them."""
    widths = [out for out, _, _ in ALEX_SHAPES.values()]
    return {f"lin{k}.model.1.weight": recipe((1, width, 1, 1), f"lpips.lin{k}").abs() for k, width in enumerate(widths)}
