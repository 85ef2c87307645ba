"""Pictures of the studio itself: the same people in every domain, as the renderer draws them."""

from __future__ import annotations

from pathlib import Path

import torch

from ..media import grid, save_png
from .attributes import random_people
from .domains import DOMAINS, render_domain


def domain_sheet(path: Path, people: int = 10, resolution: int = 64, seed: int = 3) -> None:
    """Write a PNG with a column a person and a row a domain, in the order of domains.DOMAINS."""
    random = torch.Generator().manual_seed(seed)
    cast = random_people(people, random)
    rows = torch.cat([render_domain(domain, cast, random, resolution, supersample=2) for domain in DOMAINS])
    save_png(grid(rows, people), path, {"domains": [domain.name for domain in DOMAINS], "seed": seed})
