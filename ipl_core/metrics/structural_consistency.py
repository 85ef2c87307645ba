"""Structural consistency (SCS; Xiao et al., RSSA, CVPR 2022): do edges stay where they were?"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .comparison import Comparison
from .features import Network
from .metric import Metric

PAIRS = 500  # at most


def structural_consistency(source: Tensor, target: Tensor) -> Tensor:
    """2Σst / (Σs² + Σt²) of edge maps (N, H, W) of the same latents, each from 0 to 1 → (N,), 0 to 1.

    Two pictures without any edge are alike: 1.
    """
    both = (source * target).sum((1, 2))
    squares = (source.square() + target.square()).sum((1, 2))
    return torch.where(squares > 0, 2 * both / squares.clamp_min(1e-12), torch.ones_like(squares))


def _score(comparison: Comparison, network: Network) -> float:
    pairs = comparison.taken(range(min(PAIRS, len(comparison.target))))
    edges = [pictures.seen(network)["edges"] for pictures in (pairs.source, pairs.target)]
    return float(structural_consistency(*edges).mean())


def _filtered(comparison: Comparison) -> float:
    return _score(comparison, comparison.networks.edges)


def _learnt(comparison: Comparison) -> float:
    return _score(comparison, comparison.need("hed"))


def _settings(comparison: Comparison) -> dict[str, Any]:
    return {"pairs": PAIRS, "rounded": False}


def _filter_settings(comparison: Comparison) -> dict[str, Any]:
    return {"edges": comparison.networks.edges.key, **_settings(comparison)}


METRIC = Metric("scs", "SCS, fixed edge filter", "embedded", (), True, _filtered, settings=_filter_settings)
REAL = Metric("scs_hed", "SCS, HED", "real", ("hed",), True, _learnt, settings=_settings)
