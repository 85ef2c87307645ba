"""Diffusion Autoencoders and released checkpoints, written down once more from the paper and the format alone.

`Oracle` computes from a state dict under the released names, without any module of the product: every layer is found by
its key, so that a layer in the wrong place or of the wrong kind shows. It is plain and slow. `state_of` draws weights
by the recipe of `foreign_files`.
"""

from __future__ import annotations

import math
import sys
import types
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from fakes import foreign_files as foreign

#: Shape of the small model of golden numbers: 32 pixels, levels 32/16/8 of 32, 32 and 64 channels, codes of 64.
SMALL = {"widths": (32, 32, 64), "encoder": (32, 32, 64, 64), "code": 64, "latent": (128, 4)}


def weight(shape: tuple[int, ...], name: str) -> Tensor:
    """A tensor of the size that training gives it; a layer's two names in a latent net have the same numbers."""
    value = foreign.recipe(shape, name.replace("linear_emb", "cond_layers.1"))
    if len(shape) == 1:
        return 1 + 0.3 * value if name.endswith("weight") else 0.1 * value
    return value / math.sqrt(math.prod(shape[1:]))


def shapes(
    widths: tuple[int, ...],
    encoder: tuple[int, ...],
    side: int,
    code: int = 512,
    latent: tuple[int, int] | None = None,
) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a checkpoint's model after `ema_model.`, as diffae lays them out.

    side: of the picture; attention is where 16×16 places are left. latent: width and layers of a latent net.
    """
    found: dict[str, tuple[int, ...]] = {}

    def layer(name: str, *shape: int) -> None:
        found[f"{name}.weight"], found[f"{name}.bias"] = shape, shape[:1]

    def block(name: str, into: int, out: int, conditioned: bool) -> None:
        layer(f"{name}.in_layers.0", into)
        layer(f"{name}.in_layers.2", out, into, 3, 3)
        if conditioned:
            layer(f"{name}.emb_layers.1", 2 * out, code)
            layer(f"{name}.cond_emb_layers.1", out, code)
            layer(f"{name}.out_layers.0", out)
            layer(f"{name}.out_layers.3", out, out, 3, 3)
        if into != out:
            layer(f"{name}.skip_connection", out, into, 1, 1)

    def attention(name: str, width: int) -> None:
        layer(f"{name}.norm", width)
        layer(f"{name}.qkv", 3 * width, width, 1)
        layer(f"{name}.proj_out", width, width, 1)

    def half(start: str, widths: tuple[int, ...], conditioned: bool) -> list[int]:
        layer(f"{start}input_blocks.0.0", widths[0], 3, 3, 3)
        width, left, number = widths[0], [widths[0]], 1
        for level, out in enumerate(widths):
            for _ in range(2):
                block(f"{start}input_blocks.{number}.0", width, out, conditioned)
                if side >> level == 16:
                    attention(f"{start}input_blocks.{number}.1", out)
                width, number = out, number + 1
                left.append(out)
            if level < len(widths) - 1:
                block(f"{start}input_blocks.{number}.0", out, out, conditioned)
                left.append(out)
                number += 1
        block(f"{start}middle_block.0", width, width, conditioned)
        attention(f"{start}middle_block.1", width)
        block(f"{start}middle_block.2", width, width, conditioned)
        return left

    layer("time_embed.time_embed.0", code, widths[0])
    layer("time_embed.time_embed.2", code, code)
    left, width, number = half("", widths, True), widths[-1], 0
    for level in range(len(widths) - 1, -1, -1):
        for k in range(3):
            block(f"output_blocks.{number}.0", width + left.pop(), widths[level], True)
            width = widths[level]
            place = 1
            if side >> level == 16:
                attention(f"output_blocks.{number}.1", width)
                place = 2
            if level and k == 2:
                block(f"output_blocks.{number}.{place}", width, width, True)
            number += 1
    layer("out.0", width)
    layer("out.2", 3, width, 3, 3)
    half("encoder.", encoder, False)
    layer("encoder.out.0", encoder[-1])
    layer("encoder.out.3", code, encoder[-1], 1, 1)
    if latent is not None:
        hidden, count = latent
        layer("latent_net.time_embed.0", code, 64)
        layer("latent_net.time_embed.2", code, code)
        for k in range(count):
            into, out = (code if k == 0 else hidden + code), (code if k == count - 1 else hidden)
            layer(f"latent_net.layers.{k}.linear", out, into)
            if k < count - 1:
                layer(f"latent_net.layers.{k}.linear_emb", hidden, code)
                layer(f"latent_net.layers.{k}.cond_layers.1", hidden, code)
                layer(f"latent_net.layers.{k}.norm", hidden)
    return found


def state_of(found: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """Weights of the recipe for these names and shapes; a latent net's doubled names share their numbers."""
    state = {name: weight(shape, name) for name, shape in found.items()}
    for name in state:
        if ".linear_emb." in name:
            state[name] = state[name.replace("linear_emb", "cond_layers.1")]
    return state


class Oracle:
    """The model of a state dict under the released names; see the module. Pictures in [−1, 1]."""

    def __init__(self, state: Mapping[str, Tensor], groups: int = 32) -> None:
        self.state, self.groups = state, groups

    def encoder(self, pictures: Tensor) -> Tensor:
        """Pictures (B, 3, R, R) → codes (B, code)."""
        x, _ = self._down("encoder.", pictures, None, None)
        x = self._silu(self._norm("encoder.out.0", x)).mean((2, 3), keepdim=True)
        return self._conv("encoder.out.3", x, 0)[:, :, 0, 0]

    def noise(self, x: Tensor, t: int, code: Tensor) -> Tensor:
        """ε(x_t, t, code)."""
        width = self.state["time_embed.time_embed.0.weight"].shape[1]
        time = self._time("time_embed.time_embed", t, width)
        x, left = self._down("", x, time, code)
        number = 0
        while left:
            x = self._stage(f"output_blocks.{number}", torch.cat([x, left.pop()], 1), time, code, "up")
            number += 1
        return self._conv("out.2", self._silu(self._norm("out.0", x)), 1)

    def latent(self, x: Tensor, t: int) -> Tensor:
        """The noise in codes (B, code)."""
        time, h, k = self._time("latent_net.time_embed", t, 64), x, 0
        while f"latent_net.layers.{k}.linear.weight" in self.state:
            name = f"latent_net.layers.{k}"
            h = self._linear(f"{name}.linear", h if k == 0 else torch.cat([h, x], 1))
            if f"{name}.norm.weight" in self.state:
                h = h * (1 + self._linear(f"{name}.linear_emb", self._silu(time)))
                centred = h - h.mean(1, keepdim=True)
                h = centred / (centred.square().mean(1, keepdim=True) + 1e-5).sqrt()
                h = self._silu(h * self.state[f"{name}.norm.weight"] + self.state[f"{name}.norm.bias"])
            k += 1
        return h

    def _down(self, start: str, x: Tensor, time: Tensor | None, code: Tensor | None) -> tuple[Tensor, list[Tensor]]:
        x = self._conv(f"{start}input_blocks.0.0", x, 1)
        left, number = [x], 1
        while f"{start}input_blocks.{number}.0.in_layers.0.weight" in self.state:
            name = f"{start}input_blocks.{number}"
            x = self._block(f"{name}.0", x, time, code, "down" if number % 3 == 0 else "")
            x = self._attention(f"{name}.1", x)
            left.append(x)
            number += 1
        x = self._block(f"{start}middle_block.0", x, time, code)
        x = self._attention(f"{start}middle_block.1", x)
        return self._block(f"{start}middle_block.2", x, time, code), left

    def _stage(self, name: str, x: Tensor, time: Tensor, code: Tensor, resize: str) -> Tensor:
        x = self._attention(f"{name}.1", self._block(f"{name}.0", x, time, code))
        for place in (1, 2):
            if f"{name}.{place}.in_layers.0.weight" in self.state:
                x = self._block(f"{name}.{place}", x, time, code, resize)
        return x

    def _block(
        self, name: str, x: Tensor, time: Tensor | None = None, code: Tensor | None = None, resize: str = ""
    ) -> Tensor:
        def resized(value: Tensor) -> Tensor:
            if resize == "down":
                halves = [value[:, :, i::2, j::2] for i in (0, 1) for j in (0, 1)]
                return sum(halves) / 4
            return value.repeat_interleave(2, 2).repeat_interleave(2, 3) if resize == "up" else value

        h = resized(self._silu(self._norm(f"{name}.in_layers.0", x)))
        h = self._conv(f"{name}.in_layers.2", h, 1)
        if time is not None:
            scale, shift = self._linear(f"{name}.emb_layers.1", self._silu(time)).chunk(2, 1)
            z_scale = self._linear(f"{name}.cond_emb_layers.1", self._silu(code))
            h = self._norm(f"{name}.out_layers.0", h) * (1 + scale[:, :, None, None]) + shift[:, :, None, None]
            h = self._silu(h * (1 + z_scale[:, :, None, None]))
            h = self._conv(f"{name}.out_layers.3", h, 1)
        x = resized(x)
        if f"{name}.skip_connection.weight" in self.state:
            x = self._conv(f"{name}.skip_connection", x, 0)
        return x + h

    def _attention(self, name: str, x: Tensor) -> Tensor:
        if f"{name}.qkv.weight" not in self.state:
            return x
        count, width = x.shape[:2]
        places = self._norm(f"{name}.norm", x).reshape(count, width, -1)
        weights, bias = self.state[f"{name}.qkv.weight"][:, :, 0], self.state[f"{name}.qkv.bias"]
        q, k, v = (weights @ places + bias[:, None]).split(width, 1)
        seen = torch.softmax(q.transpose(1, 2) @ k / math.sqrt(width), 2)
        out = v @ seen.transpose(1, 2)
        out = self.state[f"{name}.proj_out.weight"][:, :, 0] @ out + self.state[f"{name}.proj_out.bias"][:, None]
        return x + out.reshape(x.shape)

    def _norm(self, name: str, x: Tensor) -> Tensor:
        parts = x.reshape(len(x), self.groups, -1)
        parts = (parts - parts.mean(2, keepdim=True)) / (parts.var(2, unbiased=False, keepdim=True) + 1e-5).sqrt()
        weight, bias = (self.state[f"{name}.{kind}"][None, :, None, None] for kind in ("weight", "bias"))
        return parts.reshape(x.shape) * weight + bias

    def _conv(self, name: str, x: Tensor, padding: int) -> Tensor:
        return F.conv2d(x, self.state[f"{name}.weight"], self.state[f"{name}.bias"], padding=padding)

    def _linear(self, name: str, x: Tensor) -> Tensor:
        return x @ self.state[f"{name}.weight"].t() + self.state[f"{name}.bias"]

    def _time(self, name: str, t: int, width: int) -> Tensor:
        # In single precision, as it is released: at t = 999 another rounding moves a sine by 6e-5.
        angles = t * torch.exp(-math.log(10000) * torch.arange(width // 2) / (width // 2))[None]
        features = torch.cat([angles.cos(), angles.sin()], 1).to(self.state[f"{name}.0.weight"])
        return self._linear(f"{name}.2", self._silu(self._linear(f"{name}.0", features)))

    @staticmethod
    def _silu(x: Tensor) -> Tensor:
        return x * torch.sigmoid(x)


def ddim(
    noise_of: Callable[[Tensor, int], Tensor], x: Tensor, steps: int, up: bool, betas: list[float], clip: bool
) -> Tensor:
    """DDIM in one direction with numbers of Python's own precision, for T = len(betas) divisible by `steps`."""
    alphas, product = [], 1.0
    for beta in betas:
        product *= 1 - beta
        alphas.append(product)
    stride = len(betas) // steps
    times = [stride * k for k in range(steps)]
    for k in range(steps) if up else reversed(range(steps)):
        alpha = alphas[times[k]]
        if up:
            following = alphas[times[k + 1]] if k + 1 < steps else 0.0
        else:
            following = alphas[times[k - 1]] if k else 1.0
        x0 = (x - math.sqrt(1 - alpha) * noise_of(x, times[k])) / math.sqrt(alpha)
        x0 = x0.clamp(-1, 1) if clip else x0
        noise = (x - math.sqrt(alpha) * x0) / math.sqrt(1 - alpha)
        x = math.sqrt(following) * x0 + math.sqrt(1 - following) * noise
    return x


class Conf:
    """A class of the program that trained, as hyper-parameters hold it."""

    def __init__(self) -> None:
        self.batch_size, self.name = 32, "ffhq128_autoenc"


def checkpoint(path: Path, state: Mapping[str, Tensor], side: int, **more: Any) -> Path:
    """A Lightning 1.4 checkpoint with that averaged model: weights before, x_T, optimiser, a callback's class.

    more: replaces or adds entries of the state dict; None leaves one out.
    """
    entries: dict[str, Any] = {f"ema_model.{name}": tensor for name, tensor in state.items()}
    entries |= {f"model.{name}": tensor for name, tensor in list(state.items())[:5]}
    entries["x_T"] = foreign.recipe((32, 3, side, side), "x_T")
    entries |= more
    moments = {"step": 7, "exp_avg": torch.ones(3), "exp_avg_sq": torch.ones(3)}
    with _of_module("config", Conf), _of_module("pytorch_lightning.callbacks", Callback):
        torch.save(
            {
                "epoch": 3,
                "global_step": 17,
                "pytorch-lightning_version": "1.4.5",
                "state_dict": {name: value for name, value in entries.items() if value is not None},
                "callbacks": {Callback: {"best_model_score": torch.tensor(0.5), "dirpath": "checkpoints"}},
                "optimizer_states": [{"state": {0: moments}, "param_groups": [{"lr": 1e-4, "params": [0]}]}],
                "lr_schedulers": [],
                "hyper_parameters": {"conf": Conf()},
            },
            path,
        )
    return path


class Callback:
    """A callback of Lightning, whose class is a key in its checkpoints."""


@contextmanager
def _of_module(name: str, kind: type) -> Iterator[None]:
    """A class of another program's module, for the time of writing a file."""
    parts = name.split(".")
    modules = {".".join(parts[: k + 1]): types.ModuleType(part) for k, part in enumerate(parts)}
    setattr(modules[name], kind.__name__, kind)
    kind.__module__ = name
    sys.modules.update(modules)
    try:
        yield
    finally:
        for made in modules:
            del sys.modules[made]
