"""CLIP distance: how far pictures are from the words they should show, as a CLIP sees it.

By the CLIP that adaptation follows, a small distance says that the loss was met, not that the pictures are good. The
metric therefore takes another one.
"""

from __future__ import annotations

from torch import Tensor

from .comparison import Comparison
from .metric import Metric


def clip_distance(images: Tensor, text: Tensor) -> float:
    """Mean of 1 − cos(E_I(x), E_T(target)) over pictures, 0 to 2.

    images: unit embeddings (N, D). text: unit embedding (1, D) of the target's words.
    """
    return float(1 - (images @ text.T).mean())


def _measure(comparison: Comparison) -> float:
    clip = comparison.need("judge-clip")
    return clip_distance(comparison.target.seen(clip)["embedding"], clip.words(comparison.words))


METRIC = Metric(
    "clip_distance", "CLIP distance, of a CLIP that was not followed", "any", ("judge-clip",), False, _measure
)
