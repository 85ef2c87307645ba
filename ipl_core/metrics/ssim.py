"""Structural similarity of pictures (Wang, Bovik, Sheikh, Simoncelli, IEEE TIP 2004)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

_SIDE, _SIGMA = 11, 1.5  # of the Gaussian window, in pixels
_C1, _C2 = 0.01**2, 0.03**2  # the paper's constants for a range of 1


def ssim(one: Tensor, other: Tensor) -> Tensor:
    """Mean SSIM of each pair of pictures (N, 3, H, W) in [-1, 1], at least 11 pixels a side → (N,); 1 for equal ones.

    Of each channel by itself, where the window lies inside the picture.
    """
    axis = torch.arange(_SIDE, dtype=one.dtype, device=one.device) - _SIDE // 2
    bell = torch.exp(-axis.square() / (2 * _SIGMA**2))
    bell = bell / bell.sum()
    window = (bell[:, None] * bell[None, :]).expand(3, 1, _SIDE, _SIDE)

    def mean(values: Tensor) -> Tensor:
        return F.conv2d(values, window, groups=3)

    one, other = (one + 1) / 2, (other + 1) / 2  # brightness is compared as a ratio, so black must be 0
    a, b = mean(one), mean(other)
    variance_a, variance_b = mean(one.square()) - a.square(), mean(other.square()) - b.square()
    covariance = mean(one * other) - a * b
    likeness = (2 * a * b + _C1) * (2 * covariance + _C2)
    return (likeness / ((a.square() + b.square() + _C1) * (variance_a + variance_b + _C2))).mean((1, 2, 3))
