"""The crop that a generator could best draw: a found one, scaled and moved until its encoder's guess explains it.

A face's box says little about how large the head is, and a head that is larger or smaller than any that the generator
draws can't be inverted. The room is handed a generator and its encoder and knows nothing about where they come from.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from PIL import Image
from torch import Tensor

from ..generators.stylegan2.network import Generator
from ..pictures.faces import Crop, cut

ZOOMS = (0.75, 0.82, 0.9, 1.0, 1.1, 1.2, 1.32)  # that a found crop is tried with first
STEPS = (0.04, 0.02)  # then it moves by these shares of its side, and is scaled by as much
ROUNDS = 3  # at most, of each


def fitted(crop: Crop, picture: Image.Image, generator: Generator, encoder: Callable[[Tensor], Tensor]) -> Crop:
    """The crop near `crop` that the generator draws best from its encoder's guess.

    A descent in zoom and place from the best of `ZOOMS`. What is compared is the mean absolute difference of the cut
    picture from what is drawn of it, in standard deviations of its pixels: without that, a crop that is mostly plain
    background would always do best. encoder: pictures (N, 3, R, R) in [-1, 1] → w_plus (N, rows, w_dim).
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
