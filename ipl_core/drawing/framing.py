"""Fits a face crop to a generator: scales and moves it until the encoder's prediction reproduces it best.

A face's box says little about the size of the head, and a head that is larger or smaller than the generator's can't be
inverted. This module receives a loaded generator and encoder.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from PIL import Image
from torch import Tensor

from ..generators.stylegan2.network import Generator
from ..pictures.faces import Crop, cut

ZOOMS = (0.75, 0.82, 0.9, 1.0, 1.1, 1.2, 1.32)  # the first zooms to try
STEPS = (0.04, 0.02)  # then shifts, as fractions of its side, and scalings of the same size
ROUNDS = 3  # at most, of each


def fitted(crop: Crop, picture: Image.Image, generator: Generator, encoder: Callable[[Tensor], Tensor]) -> Crop:
    """The crop near `crop` that the generator reproduces best from its encoder's prediction.

    A greedy descent in zoom and position from the best of `ZOOMS`. The error is the mean absolute difference between
    the cropped picture and its reconstruction, divided by the standard deviation of the pixels; otherwise a crop of
    plain background would always win. encoder: pictures (N, 3, R, R) in [-1, 1] → w_plus (N, rows, w_dim).
    """

    def best_of(crops: Sequence[Crop]) -> tuple[float, Crop]:
        differences = unexplained(torch.cat([cut(picture, one, generator.config.resolution) for one in crops]))
        return float(differences.min()), crops[int(differences.argmin())]

    @torch.no_grad()
    def unexplained(cuts: Tensor) -> Tensor:
        cuts = cuts.to(generator.device)
        drawn = generator.synthesis(encoder(cuts)).clamp(-1, 1)
        return (drawn - cuts).abs().mean((1, 2, 3)) / cuts.std((1, 2, 3)).clamp_min(1e-3)

    least, best = best_of([crop.moved(zoom=zoom) for zoom in ZOOMS])
    for step in STEPS:
        for _ in range(ROUNDS):
            moves = [{name: sign * step} for name in ("right", "down") for sign in (-1, 1)]
            moves += [{"zoom": 1 + sign * step} for sign in (-1, 1)]
            difference, found = best_of([best.moved(**move) for move in moves])
            if difference >= least:
                break
            least, best = difference, found
    return replace(best, note=f"{crop.note} Its place and size are those that the model draws best.")
