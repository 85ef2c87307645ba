"""FIR filtering with the binomial [1, 3, 3, 1], alone (blur) or while the resolution doubles."""

from __future__ import annotations

import functools
import math

import torch
import torch.nn.functional as F
from torch import Tensor

from .compiled import filtered, library_for

FIR_TAPS = (1.0, 3.0, 3.0, 1.0)


def fir_kernel(gain: float = 1.0, *, device: torch.device | None = None, dtype: torch.dtype | None = None) -> Tensor:
    """The (4, 4) outer product of [1, 3, 3, 1] with itself, normalised to sum ``gain``."""
    taps = torch.tensor(FIR_TAPS, dtype=torch.float64)
    kernel = torch.outer(taps, taps)
    return (kernel * (gain / kernel.sum())).to(device=device, dtype=dtype or torch.float32)


@functools.lru_cache(maxsize=128)
def _depthwise(channels: int, gain: float, device: torch.device, dtype: torch.dtype) -> Tensor:
    """(channels, 1, 4, 4) depth-wise filter, made once per channel count, device and type."""
    with torch.inference_mode(False), torch.no_grad():
        return fir_kernel(gain, device=device, dtype=dtype).repeat(channels, 1, 1, 1)


def _taps(gain: float) -> list[float]:
    """One axis of `fir_kernel(gain)`."""
    return [tap * math.sqrt(gain) / sum(FIR_TAPS) for tap in FIR_TAPS]


def blur(x: Tensor, padding: tuple[int, int], gain: float = 1.0) -> Tensor:
    """Filter (B, C, H, W) with the FIR kernel after zero-padding each axis by ``padding`` (before, after).

    Returns:
        (B, C, H + before + after - 3, W + before + after - 3).
    """
    before, after = padding
    library = library_for(x.device)
    if library is not None:
        height, width = (side + before + after - len(FIR_TAPS) + 1 for side in x.shape[2:])
        return filtered(library, x, _taps(gain), (height, width), before=before)
    weight = _depthwise(x.shape[1], gain, x.device, x.dtype)
    if before == after:
        return F.conv2d(x, weight, padding=before, groups=x.shape[1])
    return F.conv2d(F.pad(x, (before, after, before, after)), weight, groups=x.shape[1])


def upsample(x: Tensor) -> Tensor:
    """Double the resolution of (B, C, H, W): insert zeros, filter with gain 4 (so the mean brightness is kept)."""
    library = library_for(x.device)
    if library is not None:
        height, width = x.shape[2:]
        return filtered(library, x, _taps(4.0), (2 * height, 2 * width), up=2, before=2)
    weight = _depthwise(x.shape[1], 4.0, x.device, x.dtype)
    return F.conv_transpose2d(x, weight, stride=2, padding=1, groups=x.shape[1])
