"""Pictures of the studio itself as the renderer draws them: people in every domain, and portraits to invert."""

from __future__ import annotations

from pathlib import Path

import torch

from ..catalog import load_generator
from ..media import grid, save_png, to_pictures
from .attributes import random_people
from .domains import DOMAINS, render_domain


def domain_sheet(path: Path, people: int = 10, resolution: int = 64, seed: int = 3) -> None:
    """Write a PNG with a column a person and a row a domain, in the order of domains.DOMAINS."""
    random = torch.Generator().manual_seed(seed)
    cast = random_people(people, random)
    rows = torch.cat([render_domain(domain, cast, random, resolution, supersample=2) for domain in DOMAINS])
    save_png(grid(rows, people), path, {"domains": [domain.name for domain in DOMAINS], "seed": seed})


def example_portraits(folder: Path, count: int = 4, model: str = "studio") -> list[Path]:
    """Write portraits of people that no training saw, as large as the model's own pictures: portrait-1.png and on."""
    from ..metrics.inversion import held_out_portraits

    _, portraits = held_out_portraits(count, load_generator(model).config.resolution)
    files = [folder / f"portrait-{number}.png" for number in range(1, count + 1)]
    return [save_png(picture, file) for picture, file in zip(to_pictures(portraits), files)]
