"""SIFID (Rott Shaham et al., SinGAN, ICCV 2019): Fréchet distance between the places of two single pictures.

Each generated picture is compared with each reference, and the distances are averaged over pictures. References differ
more than methods do, so three are reported apart, as in the paper, beside the mean over all.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

import torch
from torch import Tensor

from .comparison import Comparison
from .features import Network, Pictures
from .frechet import moment_distance
from .metric import Metric

#: References that are reported apart: R1, R2, R3.
APART = 3


def place_moments(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (B, C) and covariance (B, C, C), float64, over the places of feature maps (B, C, h, w), at least two."""
    places = maps.double().flatten(2)
    mean = places.mean(2)
    centred = places - mean[:, :, None]
    return mean, centred @ centred.mT / (places.shape[2] - 1)


class _Distances:
    """Pictures → distances (B, references), as rows of a network."""

    kept = True

    def __init__(self, network: Network, references: Pictures) -> None:
        self._network = network
        digest = hashlib.sha256(references.levels.numpy().tobytes()).hexdigest()
        self.key = f"SIFID {network.key} {digest}"
        mean, covariance = place_moments(references.seen(network)["map"])
        self._mean, self._covariance = mean[:, None], covariance[:, None]

    def __call__(self, pictures: Tensor) -> dict[str, Tensor]:
        mean, covariance = place_moments(self._network(pictures)["map"])
        rows = [moment_distance(m, c, mean, covariance) for m, c in zip(self._mean, self._covariance)]
        return {"distances": torch.stack(rows, 1).float()}


@lru_cache(maxsize=4)
def _distances(network: Network, references: Pictures) -> _Distances:
    return _Distances(network, references)


def _rows(comparison: Comparison, network: Network) -> Tensor:
    return comparison.target.seen(_distances(network, comparison.need("references")))["distances"].mean(0)


def _parts(comparison: Comparison, network: Network) -> dict[str, float]:
    return {f"R{k + 1}": float(value) for k, value in enumerate(_rows(comparison, network)[:APART])}


METRIC = Metric(
    "sifid",
    "SIFID, judge's first map",
    "embedded",
    ("judge", "references"),
    False,
    lambda comparison: float(_rows(comparison, comparison.networks.judge_map).mean()),
    parts=lambda comparison: _parts(comparison, comparison.networks.judge_map),
    settings=lambda comparison: {"references": len(comparison.need("references")), "map": "32 channels at 32×32"},
)
REAL = Metric(
    "sifid_imagenet",
    "SIFID, ImageNet Inception",
    "real",
    ("inception", "references"),
    False,
    lambda comparison: float(_rows(comparison, comparison.networks.inception_maps).mean()),
    parts=lambda comparison: _parts(comparison, comparison.networks.inception_maps),
    settings=lambda comparison: {"references": len(comparison.need("references")), "map": "192 channels"},
)
