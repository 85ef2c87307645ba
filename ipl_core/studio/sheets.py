"""Sheets of pictures for the documentation: sitters in every domain, methods side by side, samples, portraits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from ..drawing.sampling import draw
from ..library.find_or_run import finished_run
from ..methods.config import AdaptConfig
from ..methods.registry import settings_of
from ..metrics.reports.inversion import held_out_portraits
from ..models.catalog import load_adapted, load_generator
from ..pictures.media import grid, labelled, save_png, to_pictures
from .world.subject import PEOPLE, Subject


def domain_sheet(path: Path, subject: Subject, sitters: int = 4, resolution: int = 96, seed: int = 5) -> None:
    """Write a JPEG of the same sitters as the renderer draws them in every domain of their subject."""
    random = torch.Generator().manual_seed(seed)
    cast = subject.random(sitters, random)
    strips = [_strip(subject.render(domain, cast, random, resolution, 2)) for domain in subject.domains]
    _write(labelled(torch.stack(strips), [domain.name for domain in subject.domains], 3, 0), path)


def method_sheet(
    path: Path, model: str, targets: Sequence[str], methods: Sequence[str] = ("nada", "described"), seeds: int = 6
) -> None:
    """Write a JPEG of what adapted generators draw of the first seeds: a row a target, a strip a method.

    The runs have the default preset and seed 0; those that the library lacks are made. Above them is the source.
    """
    source = _strip(draw(load_generator(model), range(seeds)))
    strips, labels = [source] * len(methods), ["source"] * len(methods)
    for target in targets:
        for method in methods:
            entry = finished_run(AdaptConfig(target, model=model, **settings_of(method)))
            strips.append(_strip(draw(load_adapted(entry.path), range(seeds))))
            labels.append(f"{target}, {method}")
    _write(labelled(torch.stack(strips), labels, len(methods), 0), path)


def _write(sheet: Image.Image, path: Path) -> None:
    """Write a sheet as JPEG, in a new folder if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path, quality=85)


def _strip(pictures: Tensor) -> Tensor:
    """Pictures (N, 3, H, W) side by side, (3, H, N × W)."""
    return torch.cat(list(pictures), 2)


def sample_sheet(path: Path, model: str, count: int = 64) -> None:
    """Write a JPEG of what a generator draws of the first `count` seeds, none chosen, without truncation."""
    _write(grid(draw(load_generator(model), range(count), psi=1.0), round(count**0.5)), path)


def example_portraits(folder: Path, count: int = 4, model: str = "studio") -> list[Path]:
    """Write portraits of people that no training saw, as large as the model's own pictures: portrait-1.png and on."""
    _, portraits = held_out_portraits(PEOPLE, count, load_generator(model).config.resolution)
    files = [folder / f"portrait-{number}.png" for number in range(1, count + 1)]
    return [save_png(picture, file) for picture, file in zip(to_pictures(portraits), files)]
