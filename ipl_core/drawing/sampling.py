"""Draws seeds and latents in batches that fit in memory; knows nothing about the generator's origin."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ..generators.stylegan2.network import Generator
from ..latents import latents_from_seeds
from ..memory import enough_memory, pictures_at_once


@enough_memory()
@torch.no_grad()
def draw(generator: Generator, seeds: Sequence[int], psi: float = 0.7) -> Tensor:
    """The pictures of `seeds` (N, 3, H, W) about [-1, 1], on the CPU, with the generator's constant noise.

    psi: truncation; 0 gives the mean picture, 1 none. A seed gives the same z for every generator, so a source and a
    generator adapted from it draw the same people.
    """
    pictures = []
    batch = pictures_at_once(generator.config.resolution)
    for start in range(0, len(seeds), batch):
        z = latents_from_seeds(seeds[start : start + batch], generator.config.z_dim).to(generator.device)
        pictures.append(generator(z, psi=psi).cpu())
    return torch.cat(pictures)


@torch.no_grad()
def seed_latents(generator: Generator, seeds: Sequence[int], psi: float = 0.7) -> Tensor:
    """w_plus (N, rows, w_dim) of `seeds`, on the CPU, the form in which inverted pictures are stored too."""
    z = latents_from_seeds(seeds, generator.config.z_dim).to(generator.device)
    return generator.to_w_plus(generator.truncate(generator.mapping(z), psi)).cpu()


@enough_memory()
@torch.no_grad()
def draw_latents(
    generator: Generator,
    w_plus: Tensor,
    psi: float = 1.0,
    noise: Sequence[Tensor] | str = "const",
    between: Callable[[], None] = lambda: None,
) -> Tensor:
    """The pictures of latents w_plus (N, rows, w_dim), or w (N, w_dim), as (N, 3, H, W) about [-1, 1] on the CPU.

    psi: truncation towards the generator's mean latent, 1 for none. noise: "const" for the generator's own, or a map
    (1, 1, h, w) for each layer, shared by all. between: called before each batch; its exceptions end the drawing.
    Raises ValueError for latents of another generator's shape.
    """

    def drawn(part: Tensor) -> Tensor:
        between()
        return generator.synthesis(generator.truncate(part, psi), noise=maps).cpu()

    maps = noise if isinstance(noise, str) else [one.to(generator.device) for one in noise]
    parts = w_plus.to(generator.device).split(pictures_at_once(generator.config.resolution))
    return torch.cat([drawn(part) for part in parts])
