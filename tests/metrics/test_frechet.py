"""The Fréchet distance is what the formula says where the moments are known."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from ipl_core.errors import InputError
from ipl_core.metrics.frechet import frechet_distance


def _with_moments(mean: Tensor, covariance: Tensor, count: int = 400, seed: int = 0) -> Tensor:
    """Features (count, D) that have this mean and this covariance exactly."""
    raw = torch.randn(count, len(mean), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    raw = raw - raw.mean(0)
    white = torch.linalg.solve_triangular(torch.linalg.cholesky(torch.cov(raw.T)), raw.T, upper=False).T
    return white @ torch.linalg.cholesky(covariance.double()).T + mean


def test_equal_sets_have_no_distance_in_any_order(rng: torch.Generator) -> None:
    features = torch.randn(50, 8, generator=rng)
    assert frechet_distance(features, features) == pytest.approx(0, abs=1e-8)
    assert frechet_distance(features, features[torch.randperm(50, generator=rng)]) == pytest.approx(0, abs=1e-8)


def test_two_gaussians_have_the_known_distance() -> None:
    # Axes of their own: ‖μ₁ − μ₂‖² + Σ (σ₁ − σ₂)².
    first = _with_moments(torch.tensor([1.0, 0.0, 0.0]), torch.diag(torch.tensor([4.0, 1.0, 9.0])))
    second = _with_moments(torch.tensor([0.0, 2.0, 0.0]), torch.diag(torch.tensor([1.0, 1.0, 0.25])), 300, 1)
    assert frechet_distance(first, second) == pytest.approx(5 + 1 + 0 + 2.5**2, abs=1e-6)
    # A turned Gaussian: tr(Σ₁Σ₂)^½ of 2 × 2 is √(tr(Σ₁Σ₂) + 2√(det Σ₁ det Σ₂)).
    a, b = torch.tensor([[3.0, 1.0], [1.0, 2.0]]), torch.tensor([[1.0, -0.5], [-0.5, 4.0]])
    mixed = math.sqrt(float((a @ b).trace()) + 2 * math.sqrt(float(a.det() * b.det())))
    known = float(a.trace() + b.trace()) - 2 * mixed
    zero = torch.zeros(2)
    assert frechet_distance(_with_moments(zero, a), _with_moments(zero, b, 300, 1)) == pytest.approx(known, abs=1e-6)


def test_it_is_symmetric_and_grows_with_the_shift(rng: torch.Generator) -> None:
    first, second = torch.randn(80, 6, generator=rng), 2 * torch.randn(60, 6, generator=rng) + 0.3
    forth, back = frechet_distance(first, second), frechet_distance(second, first)
    assert forth == pytest.approx(back, rel=1e-9)
    assert frechet_distance(first, first + 0.5) == pytest.approx(6 * 0.25, rel=1e-4)
    assert frechet_distance(first, first + 1) == pytest.approx(6.0, rel=1e-4)


def test_fewer_samples_than_features_still_have_a_distance(rng: torch.Generator) -> None:
    features = torch.randn(5, 20, generator=rng)
    assert frechet_distance(features, features) == pytest.approx(0, abs=1e-5)
    assert frechet_distance(features, features + 1) == pytest.approx(20, rel=1e-4)


def test_sets_without_moments_are_refused(rng: torch.Generator) -> None:
    good = torch.randn(5, 3, generator=rng)
    with pytest.raises(InputError, match="at least two samples of each set, not 1"):
        frechet_distance(good, good[:1])
    broken = good.clone()
    broken[2, 1] = math.nan
    for first, second in ((good, broken), (broken, good)):
        with pytest.raises(InputError, match="aren't finite"):
            frechet_distance(first, second)
