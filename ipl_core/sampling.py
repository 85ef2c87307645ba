"""Seeds to pictures, in batches that fit in memory; knows nothing about where a generator came from."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .latents import latents_from_seeds
from .stylegan2 import Generator

BATCH = 8


@torch.no_grad()
def draw(generator: Generator, seeds: Sequence[int], psi: float = 0.7) -> Tensor:
    """The pictures of `seeds` (N, 3, H, W) about [-1, 1], on the CPU, with the generator's constant noise.

    psi: truncation, 0 the mean picture, 1 none. The same seed is the same latent for every generator, so a source
    and a generator adapted from it draw the same people.
    """
    pictures = []
    for start in range(0, len(seeds), BATCH):
        z = latents_from_seeds(seeds[start : start + BATCH], generator.config.z_dim).to(generator.device)
        pictures.append(generator(z, psi=psi).cpu())
    return torch.cat(pictures)
