"""Inception score (Salimans et al., NeurIPS 2016): sure readings of each picture, varied over pictures.

By a domain head, a perfect adaptation would score 1, so the embedded score reads each trait and takes the mean.
"""

from __future__ import annotations

import statistics
from typing import Any

from torch import Tensor

from ..errors import InputError
from .comparison import Comparison
from .metric import Metric


def inception_score(probabilities: Tensor, splits: int = 1) -> float:
    """exp of the mean KL divergence of p(y|x) from p(y), from 1 to C; the mean over `splits` equal parts.

    probabilities: (N, C), rows add up to 1. N is at least `splits`. Few pictures read low: p(y) is made of them.
    """
    if len(probabilities) < splits:
        raise InputError(f"An inception score in {splits} parts needs as many pictures, not {len(probabilities)}.")
    scores = []
    for part in probabilities.double().tensor_split(splits):
        mean = part.mean(0, keepdim=True)
        # 0 · log 0 is 0; where p(y) is 0, so is every p(y|x).
        tiny = 1e-300
        divergence = (part * (part.clamp_min(tiny).log() - mean.clamp_min(tiny).log())).sum(1).mean()
        scores.append(float(divergence.exp()))
    return statistics.fmean(scores)


def _traits(comparison: Comparison) -> float:
    verdict, domain = comparison.judged(comparison.target), comparison.need("domain")
    return statistics.fmean(
        inception_score(readings)
        for trait, readings in zip(verdict.subject.traits, verdict.traits)
        if domain.colours or not trait.colour  # of colours that a domain takes away nothing can be read
    )


def _real(comparison: Comparison) -> float:
    return inception_score(comparison.target.seen(comparison.need("inception"))["logits"].softmax(1))


def _settings(comparison: Comparison) -> dict[str, Any]:
    return {"splits": 1}


METRIC = Metric("is", "IS, mean over trait heads", "embedded", ("judge", "domain"), True, _traits, settings=_settings)
REAL = Metric("is_imagenet", "IS, ImageNet Inception", "real", ("inception",), True, _real, settings=_settings)
