"""Fréchet distance between two sets of features (Heusel et al. 2017, FID), here with the judge's features."""

from __future__ import annotations

import torch
from torch import Tensor

from ..errors import InputError


def frechet_distance(first: Tensor, second: Tensor) -> float:
    """‖μ₁ − μ₂‖² + tr(Σ₁ + Σ₂ − 2(Σ₁Σ₂)^½) of features (N, D) and (M, D), N and M above D for a full rank; ≥ 0.

    InputError for a set of fewer than two, which has no covariance, and for features that aren't finite.
    """
    (mean_a, cov_a), (mean_b, cov_b) = _moments(first), _moments(second)
    # (Σ₁Σ₂)^½ has the trace of (Σ₁^½ Σ₂ Σ₁^½)^½, which is symmetric.
    values, vectors = torch.linalg.eigh(cov_a)
    root = (vectors * values.clamp_min(0).sqrt()) @ vectors.T
    mixed = torch.linalg.eigvalsh(root @ cov_b @ root).clamp_min(0).sqrt().sum()
    distance = (mean_a - mean_b).square().sum() + cov_a.trace() + cov_b.trace() - 2 * mixed
    return max(0.0, float(distance))


def _moments(features: Tensor) -> tuple[Tensor, Tensor]:
    if len(features) < 2:
        raise InputError(f"A Fréchet distance needs at least two samples of each set, not {len(features)}.")
    if not features.isfinite().all():
        raise InputError("There are features that aren't finite, so they have no Fréchet distance: check the models.")
    features = features.double()
    return features.mean(0), torch.cov(features.T)
