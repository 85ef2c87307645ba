"""Intra-cluster distance: how different are pictures that resemble each other? Collapse onto a few gives 0.

Two variants go by the same name. Ojha et al. (CVPR 2021) assign pictures to the nearest of ten training pictures; as
there are none here, StyleGAN-NADA takes ten medoids of its own pictures, and both average over pairs within a cluster.
AIR averages the distance to the medoid, a smaller number. The distance is LPIPS, or LPIPS's form on the judge's maps.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from ..lpips import Lpips
from .comparison import Comparison
from .features import Pictures
from .medoids import k_medoids
from .metric import Metric

CLUSTERS = 10
PICTURES = {"embedded": 250, "real": 100}  # at most; LPIPS with VGG-16 sees four pairs a second
_BLOCK = 10  # pictures whose VGG features are held at once


def within_clusters(distances: Tensor, clusters: int = CLUSTERS) -> float:
    """Mean over clusters of the mean distance of pairs in them (NADA's variant); clusters of one picture count 0.

    distances: (N, N), symmetric, with N of at least `clusters`.
    """
    _, belongs = k_medoids(distances, clusters)
    means = []
    for cluster in range(clusters):
        members = (belongs == cluster).nonzero()[:, 0]
        count = len(members)
        total = float(distances[members][:, members].sum())
        means.append(total / (count * (count - 1)) if count > 1 else 0.0)
    return statistics.fmean(means)


def to_medoids(distances: Tensor, clusters: int = CLUSTERS) -> float:
    """Mean over clusters of the mean distance of their pictures to the medoid (AIR's variant); as `within_clusters`."""
    medoids, belongs = k_medoids(distances, clusters)
    return statistics.fmean(
        float(distances[belongs == cluster, medoid].mean()) for cluster, medoid in enumerate(medoids)
    )


def _judged(comparison: Comparison) -> Tensor:
    network = comparison.networks.judge_maps

    def measure(pictures: Pictures) -> Tensor:
        rows = pictures.seen(network)["perceptual"]
        return torch.cdist(rows, rows, compute_mode="donot_use_mm_for_euclid_dist").square()

    return comparison.target.distances(network.key, PICTURES["embedded"], measure)


def _lpips(comparison: Comparison) -> Tensor:
    network = comparison.need("lpips-vgg")
    return comparison.target.distances("LPIPS-VGG", PICTURES["real"], partial(lpips_matrix, network))


@torch.no_grad()
def lpips_matrix(network: Lpips, pictures: Pictures) -> Tensor:
    """LPIPS (N, N) between all pictures. Features of all would not fit, so they are made anew for pairs of blocks."""
    blocks = torch.cat(list(pictures.batches())).split(_BLOCK)
    rows: list[list[Tensor]] = []
    for i, block in enumerate(blocks):
        own = network.features(block)
        before = [rows[j][i].T for j in range(i)]
        after = [_between(network, own, network.features(other)) for other in blocks[i + 1 :]]
        rows.append([*before, _between(network, own, own), *after])
    return torch.cat([torch.cat(row, 1) for row in rows])


def _between(network: Lpips, ones: list[Tensor], others: list[Tensor]) -> Tensor:
    """LPIPS (N, M) of all of one block's features to all of another's."""
    lines = []
    for place in range(len(ones[0])):
        repeated = [part[place : place + 1].expand(len(others[0]), -1, -1, -1) for part in ones]
        lines.append(network.distance(repeated, others))
    return torch.stack(lines)


_NADA, _AIR = "medoids of its own, pairs within a cluster (NADA)", "medoids of its own, distance to the medoid (AIR)"


def _metrics(
    family: str, name: str, title: str, need: str, distances: Callable[[Comparison], Tensor]
) -> tuple[Metric, Metric]:
    """Both variants of one distance."""

    def variant(name: str, title: str, score: Callable[[Tensor], float], said: str) -> Metric:
        settings = {"variant": said, "clusters": CLUSTERS, "pictures": PICTURES[family]}
        return Metric(
            name, title, family, (need,), True, lambda c: score(distances(c)), settings=lambda _: dict(settings)
        )

    return (
        variant(name, f"{title}, pairs", within_clusters, _NADA),
        variant(f"{name}_medoid", f"{title}, to medoids", to_medoids, _AIR),
    )


METRICS = (
    *_metrics("embedded", "intra_cluster", "intra-cluster distance", "judge", _judged),
    *_metrics("real", "intra_lpips", "intra-cluster LPIPS-VGG", "lpips-vgg", _lpips),
)
