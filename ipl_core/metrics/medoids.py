"""k-medoids (Kaufman and Rousseeuw 1990): k rows of a distance matrix that the others lie near. Nothing is random."""

from __future__ import annotations

import torch
from torch import Tensor

from ..errors import InputError


def k_medoids(distances: Tensor, k: int) -> tuple[list[int], Tensor]:
    """Places of the medoids, and for every row (N,) which of them, from 0 to k − 1, it belongs to.

    distances: (N, N), symmetric. Medoids are first chosen one after the other, each as the row that brings the sum of
    distances down most; then assignment and choice within clusters alternate until nothing changes. Raises InputError
    for fewer rows than k.
    """
    if len(distances) < k:
        raise InputError(f"{k} clusters need at least as many pictures, not {len(distances)}: raise the samples.")
    chosen: list[int] = []
    nearest = distances.new_full((len(distances),), torch.inf)
    for _ in range(k):
        sums = torch.minimum(distances, nearest[:, None]).sum(0)
        sums[chosen] = torch.inf
        chosen.append(int(sums.argmin()))
        nearest = torch.minimum(nearest, distances[:, chosen[-1]])
    while True:
        belongs = distances[:, chosen].argmin(1)
        belongs[chosen] = torch.arange(k)  # equal pictures are nearest to several
        moved = []
        for cluster in range(k):
            members = (belongs == cluster).nonzero()[:, 0]
            moved.append(int(members[distances[members][:, members].sum(0).argmin()]))
        if moved == chosen:
            return chosen, belongs
        # A sum that doesn't fall could go on for ever between equal choices.
        if _cost(distances, moved) >= _cost(distances, chosen):
            return chosen, belongs
        chosen = moved


def _cost(distances: Tensor, medoids: list[int]) -> float:
    return float(distances[:, medoids].amin(1).sum())
