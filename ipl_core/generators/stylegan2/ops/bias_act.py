"""Bias, leaky ReLU and gain in one function, and the same with all else that ends a layer of the generator."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from .compiled import activated, library_for

LEAKY_SLOPE = 0.2
SQRT2 = math.sqrt(2.0)


def bias_act(x: Tensor, bias: Tensor | None = None, gain: float = SQRT2) -> Tensor:
    """Scaled leaky ReLU of StyleGAN2: ``gain * leaky_relu(x + bias, 0.2)``.

    Args:
        x: any tensor with its channels in dimension 1, (B, C) or (B, C, H, W).
        bias: (C,), added per channel before the activation; None adds nothing.
        gain: positive factor after the activation; sqrt(2) keeps the variance of a unit normal near 1.

    Returns:
        Tensor like ``x``.
    """
    library = library_for(x.device)
    if library is not None:
        return activated(library, x, slope=LEAKY_SLOPE, gain=gain, bias=bias)
    if bias is not None:
        x = x + bias.view(-1, *[1] * (x.ndim - 2))
    return F.leaky_relu(x, LEAKY_SLOPE) * gain


def styled_act(x: Tensor, scale: Tensor, bias: Tensor, noise: Tensor | None, clamp: float | None = None) -> Tensor:
    """End of a modulated convolution: ``leaky_relu(x * scale + bias + noise, 0.2)``, limited to [-clamp, clamp].

    There is no gain: gain * leaky_relu(y) = leaky_relu(gain * y), so it goes into the three small tensors.

    Args:
        x: (B, C, H, W).
        scale: (B, C), demodulation.
        bias: (C,).
        noise: (1 or B, 1, H, W); None adds nothing.
        clamp: limit of the result; None = none.

    Returns:
        Tensor like ``x``.
    """
    library = library_for(x.device)
    if library is not None:
        return activated(library, x, slope=LEAKY_SLOPE, clamp=clamp, scale=scale, bias=bias, noise=noise)
    # Bias and demodulation take one pass. What is overwritten hasn't been saved for backward.
    x = torch.addcmul(bias[None, :, None, None], x, scale[:, :, None, None])
    if noise is not None:
        x = x.add_(noise)
    x = F.leaky_relu_(x, LEAKY_SLOPE)
    if clamp is None:
        return x
    return x.clamp(-clamp, clamp) if x.requires_grad else x.clamp_(-clamp, clamp)
