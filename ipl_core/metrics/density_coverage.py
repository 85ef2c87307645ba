"""Density and coverage (Naeem et al., ICML 2020): are pictures where true ones are, and is no place left out?"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..errors import InputError
from .comparison import Comparison
from .metric import Metric

NEIGHBOURS = 5


def density_coverage(real: Tensor, fake: Tensor, neighbours: int = NEIGHBOURS) -> tuple[float, float]:
    """Density, 0 and up, and coverage, 0 to 1, of features `fake` (M, D) among `real` (N, D), N above `neighbours`.

    A ball about each real one reaches to its k-th nearest real neighbour. Density counts in how many balls a fake lies,
    over k; coverage is the share of balls that hold a fake. About 1 for equal distributions.
    """
    if len(real) <= neighbours:
        raise InputError(f"Density and coverage need more than {neighbours} true pictures, not {len(real)}.")
    real, fake = real.double(), fake.double()
    among = torch.cdist(real, real)
    among.fill_diagonal_(0)  # rounding must not move a point away from itself
    reach = among.kthvalue(neighbours + 1, dim=1).values  # the nearest of all is the point itself
    inside = torch.cdist(real, fake) < reach[:, None]
    return int(inside.sum()) / (neighbours * len(fake)), float(inside.any(1).double().mean())


def _density(comparison: Comparison) -> float:
    target, true = comparison.judged_features()
    return density_coverage(true, target)[0]


def _coverage(comparison: Comparison) -> float:
    target, true = comparison.judged_features()
    return density_coverage(true, target)[1]


def _settings(comparison: Comparison) -> dict[str, Any]:
    return {"neighbours": NEIGHBOURS}


_NEEDS = ("judge", "truth")
DENSITY = Metric("density", "density among true pictures", "embedded", _NEEDS, True, _density, settings=_settings)
COVERAGE = Metric("coverage", "coverage of true pictures", "embedded", _NEEDS, True, _coverage, settings=_settings)
