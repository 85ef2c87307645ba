"""Pictures of the studio itself as the renderer draws them: people in every domain, and portraits to invert."""

from __future__ import annotations

from pathlib import Path

import torch

from ..catalog import load_generator
from ..media import grid, save_png, to_pictures
from ..sampling import draw
from .subject import PEOPLE, Subject


def domain_sheet(path: Path, subject: Subject, sitters: int = 8, resolution: int = 128, seed: int = 3) -> None:
    """Write a picture with a column a sitter and a row a domain, in the order of `subject.domains`."""
    random = torch.Generator().manual_seed(seed)
    cast = subject.random(sitters, random)
    rows = torch.cat([subject.render(domain, cast, random, resolution, supersample=2) for domain in subject.domains])
    save_png(grid(rows, sitters), path, {"domains": [domain.name for domain in subject.domains], "seed": seed})


def sample_sheet(path: Path, model: str, count: int = 64) -> None:
    """Write a JPEG of what a generator draws of the first `count` seeds, none chosen, without truncation."""
    grid(draw(load_generator(model), range(count), psi=1.0), round(count**0.5)).save(path, quality=88)


def example_portraits(folder: Path, count: int = 4, model: str = "studio") -> list[Path]:
    """Write portraits of people that no training saw, as large as the model's own pictures: portrait-1.png and on."""
    from ..metrics.inversion import held_out_portraits

    _, portraits = held_out_portraits(PEOPLE, count, load_generator(model).config.resolution)
    files = [folder / f"portrait-{number}.png" for number in range(1, count + 1)]
    return [save_png(picture, file) for picture, file in zip(to_pictures(portraits), files)]
