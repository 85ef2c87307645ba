"""The networks of a Diffusion Autoencoder (Preechakul et al., CVPR 2022) in plain PyTorch.

`DenoisingUNet` predicts from x_t, t and the code z_sem of a picture; `SemanticEncoder` and `TrunkEncoder` give that
code; `LatentNet` denoises codes, and `MappingMLP` learns them outright. The modules keep the names of the released
weights, so that a file of those is read by its prefixes alone. Layout and widths come from a `UNetConfig`: the released
models work on pixels, the embedded one on squares of pixels that are folded into channels (pixel-unshuffle).

The module knows nothing about schedules, samplers or files, and draws random numbers from generators passed in.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ...errors import InputError
from ...storage.words import quoted
from ..encoder import GRID, EncoderConfig, PictureEncoder

MAX_WIDTH = 4096
MAX_LEVELS = 10
MAX_BLOCKS = 8
TIME_PERIOD = 10_000  # the longest period of the time's sinusoids


@dataclass(frozen=True)
class UNetConfig:
    """Shape of a denoising U-Net, or of the half of one that encodes.

    widths: channels of each level; the first works at the picture's side / unshuffle, every further one at half.
    attention: which levels have it, counted from 0; the middle block always has. down_blocks, up_blocks: residual
    blocks a level on the way down and up, without those that resize. groups: of GroupNorm. unshuffle: side of the
    squares of pixels that are folded into channels, 1 for none.
    """

    widths: tuple[int, ...]
    attention: tuple[int, ...]
    down_blocks: int = 2
    up_blocks: int = 3
    groups: int = 32
    unshuffle: int = 1
    time_features: int = 128  # sines and cosines of the time
    time_width: int = 512  # of the time's embedding

    def __post_init__(self) -> None:
        for name in ("widths", "attention"):
            values = getattr(self, name)
            if not isinstance(values, (list, tuple)) or len(values) > MAX_LEVELS:
                raise InputError(f"A U-Net's {name} are at most {MAX_LEVELS} whole numbers, got {quoted(values)}.")
            object.__setattr__(self, name, tuple(values))
        numbers = {name: (getattr(self, name), 1, MAX_BLOCKS) for name in ("down_blocks", "up_blocks", "unshuffle")}
        numbers |= {name: (getattr(self, name), 2, MAX_WIDTH) for name in ("time_features", "time_width")}
        numbers |= {f"widths[{k}]": (width, 1, MAX_WIDTH) for k, width in enumerate(self.widths)}
        numbers |= {f"attention[{k}]": (level, 0, len(self.widths) - 1) for k, level in enumerate(self.attention)}
        numbers["groups"] = (self.groups, 1, MAX_WIDTH)
        for name, (value, low, high) in numbers.items():
            if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
                raise InputError(f"A U-Net's {name} is a whole number from {low} to {high}, got {quoted(value)}.")
        if not self.widths or any(width % self.groups for width in self.widths):
            raise InputError(f"A U-Net's widths are multiples of its {self.groups} groups, got {quoted(self.widths)}.")
        if self.up_blocks != self.down_blocks + 1:
            raise InputError(
                f"A U-Net has one block more a level going up than going down, got {self.up_blocks} and "
                f"{self.down_blocks}."
            )

    @property
    def factor(self) -> int:
        """What a picture's side must be a multiple of."""
        return self.unshuffle * 2 ** (len(self.widths) - 1)


# ----------------------------------------------------------------------------------------------------------------------
# Layers


class GroupNorm(nn.GroupNorm):
    """GroupNorm that computes in single precision at least, whatever the precision around it."""

    def forward(self, x: Tensor) -> Tensor:
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        return F.group_norm(wide, self.num_groups, self.weight.to(wide), self.bias.to(wide), self.eps).type_as(x)


def _zero_start(layer: nn.Module) -> nn.Module:
    """Mark a layer whose weights begin at zero, so that its block begins as the identity."""
    layer.zero_start = True
    return layer


class ResidualBlock(nn.Module):
    """GN–SiLU–[resize]–conv, then, where conditioned, GN–AdaGN–SiLU–conv; added to the input, resized alike.

    AdaGN after the second norm: h (1 + t_s) + t_b by the time, then · (1 + z_s) by the code. Without a condition the
    second half does not exist. resize: "down" averages 2×2, "up" repeats; neither has a convolution of its own.
    """

    def __init__(
        self,
        into: int,
        out: int,
        config: UNetConfig,
        *,
        code_width: int | None,
        resize: str | None = None,
    ) -> None:
        super().__init__()
        self.resize = resize
        self.in_layers = nn.Sequential(GroupNorm(config.groups, into), nn.SiLU(), nn.Conv2d(into, out, 3, padding=1))
        self.conditioned = code_width is not None
        if code_width is not None:
            self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(config.time_width, 2 * out))
            self.cond_emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(code_width, out))
            # Place 2 is dropout in the released training, which evaluation passes over.
            convolution = _zero_start(nn.Conv2d(out, out, 3, padding=1))
            self.out_layers = nn.Sequential(GroupNorm(config.groups, out), nn.SiLU(), nn.Identity(), convolution)
        self.skip_connection = nn.Identity() if into == out else nn.Conv2d(into, out, 1)

    def forward(self, x: Tensor, time: Tensor | None = None, code: Tensor | None = None) -> Tensor:
        """x (B, I, h, w), time (B, time_width), code (B, code_width) → (B, O, H, W)."""
        norm, act, convolution = self.in_layers
        h = convolution(self._resized(act(norm(x))))
        x = self.skip_connection(self._resized(x))
        if not self.conditioned:
            return x + h
        norm, act, _, convolution = self.out_layers
        scale, shift = self.emb_layers(time)[..., None, None].chunk(2, dim=1)
        code_scale = 1 + self.cond_emb_layers(code)[..., None, None]
        # (h (1 + t_s) + t_b) (1 + z_s), with the products of small tensors taken first
        h = torch.addcmul(shift * code_scale, norm(h), (1 + scale) * code_scale)
        return x + convolution(act(h))

    def _resized(self, x: Tensor) -> Tensor:
        if self.resize == "down":
            return F.avg_pool2d(x, 2)
        return x if self.resize is None else F.interpolate(x, scale_factor=2.0, mode="nearest")


class Attention(nn.Module):
    """Self-attention with one head over all places (B, C, h, w), added to its input."""

    def __init__(self, width: int, groups: int) -> None:
        super().__init__()
        self.norm = GroupNorm(groups, width)
        self.qkv = nn.Conv1d(width, 3 * width, 1)
        self.proj_out = _zero_start(nn.Conv1d(width, width, 1))

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = self.qkv(self.norm(x).flatten(2)).transpose(1, 2).chunk(3, dim=2)
        seen = F.scaled_dot_product_attention(query, key, value)
        return x + self.proj_out(seen.transpose(1, 2)).view_as(x)


class Stage(nn.ModuleList):
    """Layers one after the other; residual blocks are given time and code, others are not."""

    def forward(self, x: Tensor, time: Tensor | None = None, code: Tensor | None = None) -> Tensor:
        for layer in self:
            x = layer(x, time, code) if isinstance(layer, ResidualBlock) else layer(x)
        return x


def time_features(t: Tensor, count: int) -> Tensor:
    """Times (B,) → cosines, then sines (B, count) of t · 10000^(−2i / count), the Transformer's positions."""
    half = count // 2
    frequencies = torch.exp(-math.log(TIME_PERIOD) * torch.arange(half, device=t.device, dtype=torch.float32) / half)
    angles = t.float()[:, None] * frequencies
    return torch.cat([angles.cos(), angles.sin()], dim=1)


def _time_embedding(features: int, width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(features, width), nn.SiLU(), nn.Linear(width, width))


def _going_down(config: UNetConfig, code_width: int | None) -> tuple[nn.ModuleList, list[int]]:
    """The stages from the picture down to the smallest level, and the width that each leaves."""
    width = config.widths[0]
    stages = [Stage([nn.Conv2d(3 * config.unshuffle**2, width, 3, padding=1)])]
    left = [width]
    for level, out in enumerate(config.widths):
        for _ in range(config.down_blocks):
            stage = Stage([ResidualBlock(width, out, config, code_width=code_width)])
            if level in config.attention:
                stage.append(Attention(out, config.groups))
            stages.append(stage)
            left.append(width := out)
        if level < len(config.widths) - 1:
            stages.append(Stage([ResidualBlock(out, out, config, code_width=code_width, resize="down")]))
            left.append(out)
    return nn.ModuleList(stages), left


def _middle(config: UNetConfig, code_width: int | None) -> Stage:
    width = config.widths[-1]
    first, last = (ResidualBlock(width, width, config, code_width=code_width) for _ in range(2))
    return Stage([first, Attention(width, config.groups), last])


# ----------------------------------------------------------------------------------------------------------------------
# Networks


class DenoisingUNet(nn.Module):
    """x_t (B, 3, R, R), t (B,), z_sem (B, code_width) → what the schedule says is predicted, (B, 3, R, R).

    R is any multiple of `config.factor`. Every stage down leaves its output for a stage up, where both are joined.
    """

    def __init__(self, config: UNetConfig, code_width: int) -> None:
        super().__init__()
        self.config = config
        self.time_embed = _time_embedding(config.time_features, config.time_width)
        self.input_blocks, left = _going_down(config, code_width)
        self.middle_block = _middle(config, code_width)
        stages, width = [], config.widths[-1]
        for level, out in reversed(list(enumerate(config.widths))):
            for k in range(config.up_blocks):
                stage = Stage([ResidualBlock(width + left.pop(), out, config, code_width=code_width)])
                width = out
                if level in config.attention:
                    stage.append(Attention(out, config.groups))
                if level and k == config.up_blocks - 1:
                    stage.append(ResidualBlock(out, out, config, code_width=code_width, resize="up"))
                stages.append(stage)
        self.output_blocks = nn.ModuleList(stages)
        last = _zero_start(nn.Conv2d(width, 3 * config.unshuffle**2, 3, padding=1))
        self.out = nn.Sequential(GroupNorm(config.groups, width), nn.SiLU(), last)

    def forward(self, x: Tensor, t: Tensor, code: Tensor, recompute: bool = False) -> Tensor:
        """recompute: for the gradient, keep what passes between stages only and compute the rest again."""
        time = self.time_embed(time_features(t, self.config.time_features).to(x.dtype))

        def through(stage: Stage, x: Tensor) -> Tensor:
            if not recompute:
                return stage(x, time, code)
            return checkpoint(stage, x, time, code, use_reentrant=False, preserve_rng_state=False)

        x = F.pixel_unshuffle(x, self.config.unshuffle).contiguous(memory_format=torch.channels_last)
        left = []
        for stage in self.input_blocks:
            left.append(x := through(stage, x))
        x = through(self.middle_block, x)
        for stage in self.output_blocks:
            x = through(stage, torch.cat([x, left.pop()], dim=1))
        return F.pixel_shuffle(self.out(x), self.config.unshuffle)


class SemanticEncoder(nn.Module):
    """Pictures (B, 3, R, R) in [−1, 1] → z_sem (B, code_width), in the released layout: a U-Net's way down alone."""

    def __init__(self, config: UNetConfig, code_width: int) -> None:
        super().__init__()
        self.input_blocks, _ = _going_down(config, None)
        self.middle_block = _middle(config, None)
        width = config.widths[-1]
        self.out = nn.Sequential(
            GroupNorm(config.groups, width), nn.SiLU(), nn.AdaptiveAvgPool2d(1), nn.Conv2d(width, code_width, 1)
        )

    def forward(self, pictures: Tensor) -> Tensor:
        x = pictures.contiguous(memory_format=torch.channels_last)
        for stage in self.input_blocks:
            x = stage(x)
        return self.out(self.middle_block(x)).flatten(1)


class TrunkEncoder(nn.Module):
    """Pictures (B, 3, H, H) in [−1, 1], of any size → z_sem (B, code_width), by the trunk of a `PictureEncoder`.

    Its batch norms keep the statistics that they came with, in training too: a code then depends on its own picture
    alone.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        whole = PictureEncoder(config)
        self.stem, self.norm, self.blocks, self.whole = whole.stem, whole.norm, whole.blocks, whole.whole
        self.code = nn.Linear(config.features, config.w_dim)

    def forward(self, pictures: Tensor) -> Tensor:
        side = self.config.resolution
        if pictures.shape[-1] != side:
            pictures = F.interpolate(pictures, (side, side), mode="bilinear", antialias=True, align_corners=False)
        x = self.blocks(F.relu(self.norm(self.stem(pictures.clamp(-1, 1)))))
        return self.code(F.relu(self.whole(F.adaptive_avg_pool2d(x, GRID).flatten(1))))

    def train(self, mode: bool = True) -> TrunkEncoder:
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        return self


class LatentLayer(nn.Module):
    """Linear, · (1 + c(t)), LayerNorm, SiLU; the last layer of a latent net is the linear map alone."""

    def __init__(self, into: int, out: int, time_width: int, last: bool) -> None:
        super().__init__()
        self.linear = nn.Linear(into, out)
        self.last = last
        if not last:
            self.cond_layers = nn.Sequential(nn.SiLU(), nn.Linear(time_width, out))
            self.norm = nn.LayerNorm(out)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        x = self.linear(x)
        return x if self.last else F.silu(self.norm(x * (1 + self.cond_layers(time))))


class LatentNet(nn.Module):
    """Denoises codes: (B, code_width) at times t (B,) → the noise in them; the input is joined again before each layer
    but the first."""

    def __init__(
        self, code_width: int, width: int = 2048, layers: int = 10, features: int = 64, time_width: int = 512
    ) -> None:
        super().__init__()
        self.features = features
        self.time_embed = _time_embedding(features, time_width)
        into = [code_width] + [width + code_width] * (layers - 1)
        out = [width] * (layers - 1) + [code_width]
        self.layers = nn.ModuleList(
            LatentLayer(a, b, time_width, k == layers - 1) for k, (a, b) in enumerate(zip(into, out))
        )

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        time = self.time_embed(time_features(t, self.features).to(x.dtype))
        h = self.layers[0](x, time)
        for layer in self.layers[1:]:
            h = layer(torch.cat([h, x], dim=1), time)
        return h


class MappingMLP(nn.Sequential):
    """z (B, z_dim) of any length → standardised code (B, code_width): pixel norm, then linear layers with SiLU between.

    It is taught the codes of the pictures that z stand for.
    """

    def __init__(self, z_dim: int, code_width: int, width: int, layers: int) -> None:
        widths = [z_dim] + [width] * (layers - 1) + [code_width]
        parts: list[nn.Module] = []
        for into, out in zip(widths[:-1], widths[1:]):
            parts += [nn.Linear(into, out), nn.SiLU()]
        super().__init__(*parts[:-1])

    def forward(self, z: Tensor) -> Tensor:
        return super().forward(z * torch.rsqrt(z.square().mean(dim=1, keepdim=True) + 1e-8))


@torch.no_grad()
def initialise(network: nn.Module, random: torch.Generator) -> None:
    """Draw every weight of a network from `random`, module by module: PyTorch's own ranges, zero where so marked."""
    for module in network.modules():
        if isinstance(module, (nn.Linear, nn.Conv1d, nn.Conv2d)):
            bound = 0.0 if getattr(module, "zero_start", False) else module.weight[0].numel() ** -0.5
            for parameter in module.parameters(recurse=False):
                drawn = torch.rand(parameter.shape, generator=random) * 2 - 1
                parameter.copy_(drawn * bound)
        elif isinstance(module, (nn.GroupNorm, nn.LayerNorm, nn.BatchNorm2d)):
            module.weight.fill_(1)
            module.bias.zero_()
            if isinstance(module, nn.BatchNorm2d):
                module.reset_running_stats()
