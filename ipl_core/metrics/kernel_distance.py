"""KID (Bińkowski et al., ICLR 2018): squared maximum mean discrepancy of two sets of features, unbiased."""

from __future__ import annotations

from torch import Tensor

from ..errors import InputError
from .comparison import Comparison
from .metric import Metric


def kernel_distance(first: Tensor, second: Tensor) -> float:
    """Unbiased MMD² of features (N, D) and (M, D) with the kernel (x·y / D + 1)³; about 0 for equal distributions.

    Of the whole sets, without subsets. Small sets are allowed, and the estimate may be below 0. InputError for a set
    of fewer than two.
    """
    if min(len(first), len(second)) < 2:
        raise InputError("A kernel distance needs at least two samples of each set.")
    x, y = first.double(), second.double()

    def kernel(a: Tensor, b: Tensor) -> Tensor:
        return (a @ b.T / a.shape[1] + 1) ** 3

    def within(a: Tensor) -> Tensor:
        values = kernel(a, a)
        return (values.sum() - values.diagonal().sum()) / (len(a) * (len(a) - 1))

    return float(within(x) + within(y) - 2 * kernel(x, y).mean())


def _judged(comparison: Comparison) -> float:
    return kernel_distance(*comparison.judged_features())


def _inception(comparison: Comparison) -> float:
    network = comparison.need("inception")
    return kernel_distance(
        comparison.target.seen(network)["features"], comparison.need("truth").seen(network)["features"]
    )


METRIC = Metric("kid", "KID to true pictures, judge's features", "embedded", ("judge", "truth"), False, _judged, ".4f")
REAL = Metric(
    "kid_imagenet", "KID to true pictures, ImageNet Inception", "real", ("inception", "truth"), False, _inception, ".4f"
)
