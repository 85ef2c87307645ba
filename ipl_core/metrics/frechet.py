"""Fréchet distance between two sets of features (Heusel et al. 2017, FID), of the judge's or of Inception's."""

from __future__ import annotations

import torch
from torch import Tensor

from ..errors import InputError
from .comparison import Comparison
from .metric import Metric


def frechet_distance(first: Tensor, second: Tensor) -> float:
    """‖μ₁ − μ₂‖² + tr(Σ₁ + Σ₂ − 2(Σ₁Σ₂)^½) of features (N, D) and (M, D), N and M above D for a full rank; ≥ 0.

    InputError for a set of fewer than two, which has no covariance, and for features that aren't finite.
    """
    (mean_a, cov_a), (mean_b, cov_b) = _moments(first), _moments(second)
    return float(moment_distance(mean_a, cov_a, mean_b, cov_b))


def moment_distance(mean_a: Tensor, cov_a: Tensor, mean_b: Tensor, cov_b: Tensor) -> Tensor:
    """The same of means (..., D) and covariances (..., D, D) in float64 → (...); both sides broadcast."""
    # (Σ₁Σ₂)^½ has the trace of (Σ₁^½ Σ₂ Σ₁^½)^½, which is symmetric.
    values, vectors = torch.linalg.eigh(cov_a)
    root = (vectors * values.clamp_min(0).sqrt()[..., None, :]) @ vectors.mT
    mixed = torch.linalg.eigvalsh(root @ cov_b @ root).clamp_min(0).sqrt().sum(-1)
    traces = cov_a.diagonal(dim1=-2, dim2=-1).sum(-1) + cov_b.diagonal(dim1=-2, dim2=-1).sum(-1)
    return ((mean_a - mean_b).square().sum(-1) + traces - 2 * mixed).clamp_min(0)


def _moments(features: Tensor) -> tuple[Tensor, Tensor]:
    if len(features) < 2:
        raise InputError(f"A Fréchet distance needs at least two samples of each set, not {len(features)}.")
    if not features.isfinite().all():
        raise InputError("There are features that aren't finite, so they have no Fréchet distance: check the models.")
    features = features.double()
    return features.mean(0), torch.cov(features.T)


def _judged(comparison: Comparison) -> float:
    return frechet_distance(*comparison.judged_features())


def _inception(comparison: Comparison) -> float:
    network = comparison.need("inception")
    return frechet_distance(
        comparison.target.seen(network)["features"], comparison.need("truth").seen(network)["features"]
    )


METRIC = Metric(
    "frechet", "Fréchet distance to true pictures, judge's features", "embedded", ("judge", "truth"), False, _judged
)
REAL = Metric(
    "fid_imagenet",
    "Fréchet distance to true pictures, ImageNet Inception",
    "real",
    ("inception", "truth"),
    False,
    _inception,
    ".2f",
)
