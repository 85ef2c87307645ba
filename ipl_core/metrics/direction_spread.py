"""Spread of ΔI: how differently pictures move in CLIP space. One direction for all gives 0.

By the CLIP that adaptation follows, since the directions are what its loss sees; and how varied the pictures
themselves are there, which needs no judge (HyperDomainNet's diversity).
"""

from __future__ import annotations

from ..methods.directions import image_direction
from ..methods.losses import diversity
from .comparison import Comparison
from .metric import Metric


def _spread(comparison: Comparison) -> float:
    clip = comparison.need("clip")
    before, after = (p.seen(clip)["embedding"] for p in (comparison.source, comparison.target))
    return float(diversity(image_direction(before, after)))


def _diversity(comparison: Comparison) -> float:
    return float(diversity(comparison.target.seen(comparison.need("clip"))["embedding"]))


SPREAD = Metric("direction_spread", "spread of ΔI", "any", ("clip",), True, _spread)
DIVERSITY = Metric("clip_diversity", "diversity in CLIP space", "any", ("clip",), True, _diversity)
