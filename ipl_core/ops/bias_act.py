"""Bias, leaky ReLU and gain in one function."""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor

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
    if bias is not None:
        x = x + bias.view(-1, *[1] * (x.ndim - 2))
    return F.leaky_relu(x, LEAKY_SLOPE) * gain
