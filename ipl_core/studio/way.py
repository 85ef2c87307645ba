"""How much of the true change from a photo to a domain pictures have made; the renderer's own pictures are the truth.

Pictures are compared in areas, by the colours of blocks, and in strokes, by the strength of lines in four directions.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F


def way_done(before: torch.Tensor, after: torch.Tensor, true: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """How far pictures have come from photo to truth, all (B, 3, R, R) in [-1, 1].

    Gives 1 − d(after, true) / d(before, true), (B,), 1 at the truth, 0 no nearer than the photo, negative for
    farther; and d(after, before) / d(before, true), (B,). The distance d is that of areas, L1 over blocks of 4 and 8
    pixels, and twice that of `strokes`: tiles and hatching are right wherever their lines lie.
    """

    def distance(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        areas = [F.avg_pool2d(a - b, k) for k in (4, 8)]
        lines = [x - y for x, y in zip(strokes(a), strokes(b))]
        return sum(weight * part.abs().mean((1, 2, 3)) for weight, part in zip((0.5, 0.5, 1, 1), areas + lines))

    way = distance(before, true).clamp_min(1e-6)
    return 1 - distance(after, true) / way, distance(after, before) / way


def change_made(
    before: torch.Tensor, after: torch.Tensor, photo: torch.Tensor, true: torch.Tensor
) -> tuple[float, float]:
    """Which share of the true change pictures have made, in areas and in strokes, all (B, 3, R, R) in [-1, 1].

    before, after: what a generator drew of the sitters. photo, true: what the renderer makes of the same. Gives
    1 − Σ|change − true change| / Σ|true change| over blocks of 4 and 8 pixels and over `strokes`: 1 for the true
    change, 0 for none, negative for one that leads away. How well the source draws photos has no part in it.
    """

    def share(made: list[torch.Tensor], truly: list[torch.Tensor]) -> float:
        missed = sum((a - b).abs().mean() for a, b in zip(made, truly))
        return float(1 - missed / sum(part.abs().mean() for part in truly).clamp_min(1e-6))

    made, truly = ([F.avg_pool2d(to - of, k) for k in (4, 8)] for of, to in ((before, after), (photo, true)))
    lines = ([b - a for a, b in zip(strokes(of), strokes(to))] for of, to in ((before, after), (photo, true)))
    return share(made, truly), share(*lines)


def strokes(pictures: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """How strong lines of each direction are in each part of pictures (B, 3, R, R).

    Absolute differences along four directions, of single pixels and of 2×2, averaged over overlapping blocks of 8
    pixels: (B, 12, n, n) each. R is at least 16.
    """

    def along(x: torch.Tensor) -> torch.Tensor:
        here, right, below, across = x[..., :-1, :-1], x[..., :-1, 1:], x[..., 1:, :-1], x[..., 1:, 1:]
        diagonals = (across - here, below - right)
        lines = [right - here, below - here, *(diagonal / math.sqrt(2) for diagonal in diagonals)]
        return torch.cat(lines, 1).abs()

    return F.avg_pool2d(along(pictures), 8, 4), F.avg_pool2d(along(F.avg_pool2d(pictures, 2)), 4, 2)
