"""CLIP distance: how far pictures are from the words they should show, as the critic sees it.

The critic is what adaptation follows, so a small distance says that the loss was met, not that the pictures are good.
"""

from __future__ import annotations

from torch import Tensor


def clip_distance(images: Tensor, text: Tensor) -> float:
    """Mean of 1 − cos(E_I(x), E_T(target)) over pictures, 0 to 2.

    images: unit embeddings (N, D). text: unit embedding (1, D) of the target's words.
    """
    return float(1 - (images @ text.T).mean())
