"""StyleGAN2 in plain PyTorch: mapping network, synthesis network and truncation.

The generator maps ``z`` to ``w`` (mapping) and ``w`` or ``w_plus`` to a picture (synthesis). This module knows nothing
about CLIP, prompts, training loops or files; random numbers come from generators that the caller passes.

Rows and layers: ``w_plus`` has ``num_layers = 2 * log2(resolution) - 2`` rows. Row ``k`` drives the convolution
``synthesis.layers[k]`` for k = 0 … num_layers - 2; row ``2 * i + 1`` also drives ``synthesis.torgb[i]``, so the last
row drives the last toRGB alone. ``layers[0]`` works at 4x4; after it, odd layers double the resolution and even ones
keep it.

Modulated convolutions scale activations instead of weights, ``conv(x * s) * d``, which is the same function
(Karras et al. 2020, eq. 1-3) and needs one ordinary convolution for the whole batch.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from collections.abc import Mapping as MappingABC
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ...errors import InputError
from ...storage.words import quoted
from ..learning import Chain, LearningStart
from .ops import SQRT2, bias_act, blur, styled_act, upsample

MIN_RESOLUTION = 8
MAX_RESOLUTION = 2048
MAX_WIDTH = 4096  # of z and w, and channels of a layer; published networks have 512 and at most 1024
MAX_MAPPING_LAYERS = 64  # published networks have 8
DEMODULATION_EPS = 1e-8
MAPPING_LR_MULTIPLIER = 0.01
# Named groups of layers by resolution; see `Generator.trainable`.
_GROUP_RESOLUTIONS = {"coarse": (4, 8), "middle": (16, 32), "fine": (64, math.inf)}


def config_f_channels(resolution: int, multiplier: int = 2, maximum: int = 512) -> tuple[tuple[int, int], ...]:
    """StyleGAN2's channel table (config F has multiplier 2): ``((4, 512), (8, 512), …)`` up to ``resolution``."""
    sizes = [2**i for i in range(2, int(math.log2(resolution)) + 1)]
    return tuple((size, min(maximum, 16384 * multiplier // size)) for size in sizes)


@dataclass(frozen=True)
class GeneratorConfig:
    """Shape of a generator; what is needed to build one before its weights are loaded."""

    resolution: int  # side of the picture in pixels, a power of two
    z_dim: int = 512  # width of z
    w_dim: int = 512  # width of w and of each row of w_plus
    mapping_layers: int = 8  # fully connected layers from z to w
    channels: tuple[tuple[int, int], ...] | None = None  # (resolution, channels) pairs; None = config F
    conv_clamp: float | None = None  # limit of activations, as in networks trained with 16-bit floats; None = none

    def __post_init__(self) -> None:
        size = self.resolution
        if not _is_whole(size, MIN_RESOLUTION, MAX_RESOLUTION) or size & (size - 1):
            raise InputError(
                f"The generator's resolution must be a power of two from {MIN_RESOLUTION} to {MAX_RESOLUTION}, "
                f"got {quoted(size)}."
            )
        for name, limit in (("z_dim", MAX_WIDTH), ("w_dim", MAX_WIDTH), ("mapping_layers", MAX_MAPPING_LAYERS)):
            value = getattr(self, name)
            if not _is_whole(value, 1, limit):
                raise InputError(
                    f"The generator's {name} must be a whole number from 1 to {limit}, got {quoted(value)}."
                )
        clamp = self.conv_clamp
        real = isinstance(clamp, (int, float)) and not isinstance(clamp, bool)
        if clamp is not None and not (real and 0 < clamp < math.inf):
            raise InputError(f"The generator's conv_clamp must be a number above 0 or nothing, got {quoted(clamp)}.")
        if self.channels is not None:
            expected = [2**i for i in range(2, int(math.log2(size)) + 1)]
            table = _channel_table(self.channels)
            if table is None or [size for size, _ in table] != expected:
                raise InputError(
                    f"The channel table must give a count from 1 to {MAX_WIDTH} for each of the resolutions "
                    f"{expected}, got {quoted(self.channels)}."
                )
            object.__setattr__(self, "channels", table)

    @property
    def num_layers(self) -> int:
        """Rows of ``w_plus``: 2 * log2(resolution) - 2."""
        return 2 * int(math.log2(self.resolution)) - 2

    @property
    def channel_table(self) -> dict[int, int]:
        """Channels at each resolution, the default table filled in."""
        return dict(self.channels if self.channels is not None else config_f_channels(self.resolution))

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form; `from_dict` reads it back."""
        values = {
            "resolution": self.resolution,
            "z_dim": self.z_dim,
            "w_dim": self.w_dim,
            "mapping_layers": self.mapping_layers,
            "channels": None if self.channels is None else [list(pair) for pair in self.channels],
        }
        return values if self.conv_clamp is None else {**values, "conv_clamp": self.conv_clamp}

    @classmethod
    def from_dict(cls, values: MappingABC[str, Any]) -> GeneratorConfig:
        """Inverse of `to_dict`; InputError when a field is missing, unknown or out of range."""
        fields = ["resolution", "z_dim", "w_dim", "mapping_layers", "channels", "conv_clamp"]
        if not isinstance(values, MappingABC):
            raise InputError(f"A generator's description gives its fields by name, got {quoted(values)}.")
        unknown = [quoted(name) for name in values if name not in fields]
        if unknown or "resolution" not in values:
            got = f"not {unknown[0]}" if unknown else "but has none"
            raise InputError(f"A generator's description needs a resolution and may have {', '.join(fields)}, {got}.")
        return cls(**values)


def _is_whole(value: Any, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _channel_table(channels: Any) -> tuple[tuple[int, int], ...] | None:
    """(resolution, channels) pairs in their order; None for what is no list of such pairs."""
    if not isinstance(channels, (list, tuple)) or len(channels) > int(math.log2(MAX_RESOLUTION)):
        return None
    for pair in channels:
        if not isinstance(pair, (list, tuple)) or len(pair) != 2 or not all(_is_whole(n, 1, MAX_WIDTH) for n in pair):
            return None
    return tuple(sorted((size, count) for size, count in channels))


# ----------------------------------------------------------------------------------------------------------------------
# Equalised layers


class EqualLinear(nn.Module):
    """Fully connected layer with equalised learning rate (Karras et al. 2018, §4.1).

    The stored weight is drawn from N(0, 1) / lr_multiplier and scaled by ``lr_multiplier / sqrt(in_features)`` each
    time it is used; the bias is scaled by ``lr_multiplier``.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        bias_init: float = 0.0,
        lr_multiplier: float = 1.0,
        activate: bool = False,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(out_features, in_features))
        self.bias = nn.Parameter(torch.empty(out_features))
        self.scale = lr_multiplier / math.sqrt(in_features)
        self.bias_init = bias_init
        self.lr_multiplier = lr_multiplier
        self.activate = activate

    def initialise(self, generator: torch.Generator) -> None:
        """Draw StyleGAN2's initial weights."""
        self.weight.copy_(torch.randn(self.weight.shape, generator=generator) / self.lr_multiplier)
        self.bias.fill_(self.bias_init / self.lr_multiplier)

    def forward(self, x: Tensor) -> Tensor:
        x = F.linear(x, self.weight * self.scale, self.bias * self.lr_multiplier)
        return bias_act(x) if self.activate else x


# ----------------------------------------------------------------------------------------------------------------------
# Generator


def pixel_norm(z: Tensor) -> Tensor:
    """Scale each row of (B, D) to unit root mean square."""
    return z * torch.rsqrt(z.square().mean(dim=1, keepdim=True) + 1e-8)


class MappingNetwork(nn.Sequential):
    """z (B, z_dim) → w (B, w_dim): pixel norm, then equalised layers with learning-rate multiplier 0.01."""

    def __init__(self, z_dim: int, w_dim: int, layers: int) -> None:
        widths = [z_dim] + [w_dim] * layers
        super().__init__(
            *(
                EqualLinear(a, b, lr_multiplier=MAPPING_LR_MULTIPLIER, activate=True)
                for a, b in zip(widths[:-1], widths[1:])
            )
        )

    def forward(self, z: Tensor) -> Tensor:
        return super().forward(pixel_norm(z))


class SynthesisLayer(nn.Module):
    """Modulated 3x3 convolution, demodulation, noise, bias and scaled leaky ReLU (Karras et al. 2020, fig. 2c)."""

    def __init__(
        self, in_channels: int, out_channels: int, w_dim: int, resolution: int, *, up: bool, clamp: float | None = None
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, 3, 3))
        self.bias = nn.Parameter(torch.empty(out_channels))
        self.noise_strength = nn.Parameter(torch.empty(()))
        self.affine = EqualLinear(w_dim, in_channels, bias_init=1.0)
        self.scale = 1.0 / math.sqrt(in_channels * 9)
        self.resolution = resolution
        self.up = up
        self.clamp = clamp

    def initialise(self, generator: torch.Generator) -> None:
        """Draw StyleGAN2's initial weights."""
        self.weight.copy_(torch.randn(self.weight.shape, generator=generator))
        self.bias.zero_()
        self.noise_strength.zero_()

    def forward(self, x: Tensor, w: Tensor, noise: Tensor | None) -> Tensor:
        """x (B, C_in, h, w), w (B, w_dim), noise (1 or B, 1, H, W) → (B, C_out, H, W), H = 2h when up-sampling."""
        # The equalised scale is multiplied into the styles, which are smaller than the weight.
        styles = self.affine(w) * self.scale
        demodulation = torch.rsqrt(styles.square() @ self.weight.square().sum((2, 3)).t() + DEMODULATION_EPS)
        x = x * styles[:, :, None, None]
        if self.up:
            x = F.conv_transpose2d(x, self.weight.transpose(0, 1), stride=2)
            x = blur(x, (1, 1), gain=4.0)
        else:
            x = F.conv2d(x, self.weight, padding=1)
        # gain * leaky_relu(y) = leaky_relu(gain * y): the gain goes into the small tensors, not over the large one.
        if noise is not None:
            noise = noise * (self.noise_strength * SQRT2)
        return styled_act(x, demodulation * SQRT2, self.bias * SQRT2, noise, self.clamp)


class ToRGB(nn.Module):
    """Modulated 1x1 convolution to three channels, without demodulation."""

    def __init__(self, in_channels: int, w_dim: int, clamp: float | None = None) -> None:
        super().__init__()
        self.clamp = clamp
        self.weight = nn.Parameter(torch.empty(3, in_channels, 1, 1))
        self.bias = nn.Parameter(torch.empty(3))
        self.affine = EqualLinear(w_dim, in_channels, bias_init=1.0)
        self.scale = 1.0 / math.sqrt(in_channels)

    def initialise(self, generator: torch.Generator) -> None:
        """Draw StyleGAN2's initial weights."""
        self.weight.copy_(torch.randn(self.weight.shape, generator=generator))
        self.bias.zero_()

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """x (B, C, H, W), w (B, w_dim) → (B, 3, H, W)."""
        styles = self.affine(w) * self.scale
        # Three outputs only: scaling the weights per sample is cheaper here than scaling the activations.
        weight = self.weight.flatten(1)[None] * styles[:, None, :]
        rgb = torch.einsum("bchw,boc->bohw", x, weight)
        rgb = rgb + self.bias[:, None, None]
        return rgb if self.clamp is None else rgb.clamp(-self.clamp, self.clamp)


class NoiseBuffers(nn.Module):
    """One constant noise map (1, 1, h, w) per synthesis layer, named by its index."""

    def __init__(self, resolutions: Sequence[int]) -> None:
        super().__init__()
        for k, size in enumerate(resolutions):
            self.register_buffer(str(k), torch.empty(1, 1, size, size))

    def initialise(self, generator: torch.Generator) -> None:
        """Draw the constant noise."""
        for buffer in self.buffers():
            buffer.copy_(torch.randn(buffer.shape, generator=generator))


class SynthesisNetwork(nn.Module):
    """w or w_plus → picture, with skip connections (Karras et al. 2020, fig. 7b)."""

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.config = config
        channels = config.channel_table
        width, clamp = config.w_dim, config.conv_clamp
        self.input = nn.Parameter(torch.empty(1, channels[4], 4, 4))
        layers = [SynthesisLayer(channels[4], channels[4], width, 4, up=False, clamp=clamp)]
        torgb = [ToRGB(channels[4], width, clamp)]
        size = 8
        while size <= config.resolution:
            layers.append(SynthesisLayer(channels[size // 2], channels[size], width, size, up=True, clamp=clamp))
            layers.append(SynthesisLayer(channels[size], channels[size], width, size, up=False, clamp=clamp))
            torgb.append(ToRGB(channels[size], width, clamp))
            size *= 2
        self.layers = nn.ModuleList(layers)
        self.torgb = nn.ModuleList(torgb)
        self.noise = NoiseBuffers([layer.resolution for layer in layers])

    def initialise(self, generator: torch.Generator) -> None:
        """Draw the learned constant."""
        self.input.copy_(torch.randn(self.input.shape, generator=generator))

    def make_noise(
        self, generators: torch.Generator | Sequence[torch.Generator], batch: int | None = None
    ) -> list[Tensor]:
        """Fresh noise for each layer, drawn on the CPU and moved to the network's device.

        Args:
            generators: one generator per sample, so that sample i gets the same noise in any batch; or a single
                generator, from which ``batch`` samples are drawn one after the other.
            batch: number of samples when a single generator is given (default 1).

        Returns:
            One (B, 1, h, w) tensor per synthesis layer.
        """
        if isinstance(generators, torch.Generator):
            generators = [generators] * (1 if batch is None else batch)
        elif batch is not None and batch != len(generators):
            raise ValueError(f"{len(generators)} noise generators for a batch of {batch}: give one per sample.")
        sizes = [layer.resolution for layer in self.layers]
        drawn = [[torch.randn(1, size, size, generator=g) for size in sizes] for g in generators]
        return [torch.stack(per_layer).to(self.input) for per_layer in zip(*drawn)]

    def forward(
        self,
        w: Tensor,
        noise: Sequence[Tensor] | str | None = "const",
        generator: torch.Generator | Sequence[torch.Generator] | None = None,
        resolution: int | None = None,
        recompute: bool = False,
    ) -> Tensor:
        """Draw pictures.

        Args:
            w: (B, w_dim), the same for all layers, or w_plus (B, num_layers, w_dim).
            noise: "const" = the stored buffers, "random" = fresh noise from ``generator``, None = no noise, or a list
                of (1 or B, 1, h, w) tensors, one per layer.
            generator: source(s) of random noise, see `make_noise`; only for "random".
            resolution: stop at this resolution and return the picture after its toRGB; None = the full one.
            recompute: gradient checkpointing (Chen et al. 2016): store only the activations between resolutions and
                recompute the others; the same numbers with less memory and more time.

        Returns:
            (B, 3, resolution, resolution), not clipped, about [-1, 1].
        """
        rows = self._rows(w)
        noises = self._noises(noise, generator, w.shape[0])
        # Channels-last is the faster layout for every convolution here; layers keep the layout they are given.
        x = self.input.expand(w.shape[0], -1, -1, -1).contiguous(memory_format=torch.channels_last)
        x = self.layers[0](x, rows[0], noises[0])
        rgb = self.torgb[0](x, rows[1])
        for i in range(1, len(self.torgb)):
            k = 2 * i - 1
            if resolution is not None and self.layers[k].resolution > resolution:
                break
            inputs = (i, x, rgb, rows[k : k + 3], noises[k : k + 2])
            if recompute:
                # Nothing here draws random numbers, so the RNG state needn't be saved.
                x, rgb = checkpoint(self._block, *inputs, use_reentrant=False, preserve_rng_state=False)
            else:
                x, rgb = self._block(*inputs)
        return rgb

    def _block(
        self, i: int, x: Tensor, rgb: Tensor, rows: Sequence[Tensor], noises: Sequence[Tensor | None]
    ) -> tuple[Tensor, Tensor]:
        """Resolution number `i`, from 1: features and picture of the one below → its own."""
        x = self.layers[2 * i - 1](x, rows[0], noises[0])
        x = self.layers[2 * i](x, rows[1], noises[1])
        return x, upsample(rgb) + self.torgb[i](x, rows[2])

    def _rows(self, w: Tensor) -> Sequence[Tensor]:
        count, width = self.config.num_layers, self.config.w_dim
        if w.ndim == 2 and w.shape[1] == width:
            return [w] * count
        if w.ndim == 3 and w.shape[1:] == (count, width):
            return w.unbind(1)
        raise ValueError(f"w must be (B, {width}) or (B, {count}, {width}), got {tuple(w.shape)}.")

    def _noises(
        self,
        noise: Sequence[Tensor] | str | None,
        generator: torch.Generator | Sequence[torch.Generator] | None,
        batch: int,
    ) -> Sequence[Tensor | None]:
        if noise is None:
            return [None] * len(self.layers)
        if isinstance(noise, str):
            if noise == "const":
                return list(self.noise.buffers())
            if noise == "random":
                if generator is None:
                    raise ValueError('noise="random" needs the torch.Generator(s) to draw it from.')
                return self.make_noise(generator, batch)
            raise ValueError(f'noise must be "const", "random", None or a list of tensors, got {noise!r}.')
        if len(noise) != len(self.layers):
            raise ValueError(f"The list of noise must hold {len(self.layers)} tensors, got {len(noise)}.")
        return noise


class Generator(nn.Module):
    """StyleGAN2 generator: ``mapping``, ``synthesis`` and the mean latent ``w_avg``.

    ``Generator(config, generator=torch.Generator().manual_seed(0))`` draws StyleGAN2's initial weights on the
    CPU; without ``generator`` they are left unset, to be loaded. It is a `generators.base.Generator`.
    """

    noise_path = "straight"
    calls_a_picture = 1

    def __init__(self, config: GeneratorConfig, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.config = config
        self.mapping = MappingNetwork(config.z_dim, config.w_dim, config.mapping_layers)
        self.synthesis = SynthesisNetwork(config)
        self.register_buffer("w_avg", torch.zeros(config.w_dim))
        if generator is not None:
            initialise(self, generator)

    @property
    def num_layers(self) -> int:
        """Rows of ``w_plus``."""
        return self.config.num_layers

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.w_avg.device

    def forward(
        self,
        z: Tensor,
        psi: float = 1.0,
        noise: Sequence[Tensor] | str | None = "const",
        generator: torch.Generator | Sequence[torch.Generator] | None = None,
    ) -> Tensor:
        """z (B, z_dim) → pictures (B, 3, resolution, resolution), about [-1, 1]; see `SynthesisNetwork.forward`."""
        return self.synthesis(self.truncate(self.mapping(z), psi), noise, generator)

    def truncate(self, w: Tensor, psi: float) -> Tensor:
        """Pull w (B, w_dim) or w_plus (B, num_layers, w_dim) towards the mean: ``w_avg + psi * (w - w_avg)``."""
        if psi == 1.0:
            return w
        return torch.lerp(self.w_avg.expand_as(w), w, psi)

    def to_w_plus(self, w: Tensor) -> Tensor:
        """(B, w_dim) → (B, num_layers, w_dim) with equal rows, as a copy; w_plus is returned unchanged."""
        if w.ndim == 3:
            return w
        return w[:, None, :].repeat(1, self.num_layers, 1)

    def make_noise(
        self, generators: torch.Generator | Sequence[torch.Generator], batch: int | None = None
    ) -> list[Tensor]:
        """Fresh noise for each layer; see `SynthesisNetwork.make_noise`."""
        return self.synthesis.make_noise(generators, batch)

    @torch.no_grad()
    def estimate_w_avg(self, generator: torch.Generator, samples: int = 10_000) -> Tensor:
        """Set ``w_avg`` to the mean of ``samples`` mapped latents and return it."""
        z = torch.randn(samples, self.config.z_dim, generator=generator).to(self.w_avg)
        self.w_avg.copy_(self.mapping(z).mean(0))
        return self.w_avg

    def learning_start(
        self,
        w: Tensor,
        chain: Chain,
        noise: Sequence[Tensor] | str = "const",
        random: torch.Generator | Sequence[torch.Generator] | None = None,
    ) -> LearningStart:
        """The noise that source and student share for pictures of w (B, w_dim); `chain` is ignored.

        noise: as in `SynthesisNetwork.forward`; "random" draws it from `random`. For constant noise the start is empty.
        """
        if noise == "random":
            noise = self.make_noise(random, len(w))
        return LearningStart() if isinstance(noise, str) else LearningStart(tuple(noise))

    def draw_to_learn(self, w: Tensor, start: LearningStart, chain: Chain, recompute: bool = False) -> Iterator[Tensor]:
        """Yields one batch of pictures of w (B, w_dim) or w_plus with gradient: a StyleGAN2 draws in one pass."""
        yield self.synthesis(w, noise=list(start.tensors) or "const", recompute=recompute)

    def encode(self, pictures: Tensor, steps: int | None = None) -> None:
        """None: StyleGAN2 needs optimisation to find a picture's latent."""

    def trainable(self, group: str) -> list[str]:
        """Names of the parameters in a trainable group; the mapping network is never trained.

        "all" is the whole synthesis network: the learned constant, every layer, every toRGB. "coarse" (up to 8×8),
        "middle" (16 and 32), "fine" (64 and up), and two of these joined by "+", are the convolution layers at those
        resolutions, as StyleGAN (CVPR 2019, §3.1) splits its styles. Raises InputError for another group, and for one
        without layers in this generator.
        """
        if group == "all":
            return [f"synthesis.{name}" for name, _ in self.synthesis.named_parameters()]
        names: list[str] = []
        for part in group.split("+"):
            if part not in _GROUP_RESOLUTIONS:
                known = ", ".join(("all", *_GROUP_RESOLUTIONS))
                raise InputError(f"A StyleGAN2 trains {known}, or two of them joined by “+”, not {quoted(group)}.")
            low, high = _GROUP_RESOLUTIONS[part]
            layers = [k for k, layer in enumerate(self.synthesis.layers) if low <= layer.resolution <= high]
            if not layers:
                size = self.config.resolution
                raise InputError(
                    f"This model has no {part} layers: it draws {size}×{size} pictures, and {part} layers work at "
                    f"{low}×{low} and up. Choose other layers."
                )
            names += [name for k in layers for name in self.layer_parameters(k)]
        return names

    def layer_parameters(self, k: int) -> list[str]:
        """Names of the parameters of convolution ``k`` (0 … num_layers - 2), which row k of w_plus drives."""
        if not 0 <= k < self.num_layers - 1:
            raise ValueError(f"Synthesis layers are numbered 0 to {self.num_layers - 2}, got {k}.")
        prefix = f"synthesis.layers.{k}."
        return [prefix + name for name, _ in self.synthesis.layers[k].named_parameters()]

    def torgb_parameters(self) -> list[str]:
        """Names of the parameters of all toRGB layers."""
        return [f"synthesis.torgb.{name}" for name, _ in self.synthesis.torgb.named_parameters()]

    def mapping_parameters(self) -> list[str]:
        """Names of the parameters of the mapping network."""
        return [f"mapping.{name}" for name, _ in self.mapping.named_parameters()]


@torch.no_grad()
def initialise(network: nn.Module, generator: torch.Generator) -> None:
    """Draw every weight of one of this module's networks from ``generator``, layer by layer in a fixed order."""
    for module in network.modules():
        if hasattr(module, "initialise"):
            module.initialise(generator)
