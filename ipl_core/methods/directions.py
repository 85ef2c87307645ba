"""Directions in CLIP space: prompts give text directions, pictures give image directions.

Pure functions of embeddings; knows nothing about where those come from.
"""

from __future__ import annotations

import torch

#: Image moves shorter than this (unit embeddings, about three degrees) have no direction worth following.
SHORTEST_MOVE = 0.05


def normalise(vectors: torch.Tensor, shortest: float = 1e-8) -> torch.Tensor:
    """Scale vectors (..., D) to unit length, those shorter than `shortest` by 1/shortest instead.

    Finite with a finite gradient everywhere, exactly zero vectors included, where the value is zero and the
    gradient passes with factor 1/shortest.
    """
    return vectors / vectors.norm(dim=-1, keepdim=True).clamp_min(shortest)


def text_direction(source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """ΔT = E_T(target prompt) − E_T(source prompt), unit length (IPL §3; NADA eq. 2).

    source, target: unit embeddings (..., D), or means of such. Returns (..., D).
    """
    return normalise(target - source)


def turned_away(directions: torch.Tensor, avoided: torch.Tensor) -> torch.Tensor:
    """Unit directions (B, D) without the part of each that leads along the unit direction `avoided` (1, D).

    One that leads away from it already stays as it is.
    """
    along = (directions * avoided).sum(-1, keepdim=True).clamp_min(0.0)
    return normalise(directions - along * avoided)


def image_direction(source: torch.Tensor, target: torch.Tensor, shortest: float = SHORTEST_MOVE) -> torch.Tensor:
    """ΔI = E_I(G_t(w)) − E_I(G_s(w)), unit length once it is `shortest` long.

    source, target: unit embeddings (B, D) of the source and the adapted picture. Returns (B, D).
    Before the first step both pictures may be equal and ΔI exactly zero. Dividing by a tiny epsilon there
    would give one enormous gradient, whose square stays in Adam's second moment for hundreds of steps;
    below `shortest` the direction therefore grows linearly, with a gradient no larger than a real move has.
    """
    return normalise(target - source, shortest)
