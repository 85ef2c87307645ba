"""What there is to see before any run: a few people of a model in many domains, and one who goes through some of them.

Both are drawn from the library's own runs, are kept beside the code, and say inside what they show.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from ..drawing.sampling import draw
from ..errors import InputError
from ..models import catalog
from ..pictures.media import grid, read_settings, save_webp, to_pictures, to_uint8
from ..storage.files import atomic_path
from . import store

ROW = Path(__file__).resolve().parents[2] / "examples" / "start.webp"
WALK = ROW.with_name("walk.webp")
MAX_BYTES = 150_000
MAX_EDGE = 160  # pixels of one person; larger ones are made smaller
_QUALITIES = (90, 85, 80, 75, 70, 60, 50, 40)


@dataclass(frozen=True)
class Row:
    """People in domains. people: uint8 (domains, seeds, H, W, 3), the source's own domain first.

    settings: what it was drawn with, in plain values.
    """

    domains: tuple[str, ...]
    seeds: tuple[int, ...]
    people: Tensor
    settings: dict[str, Any]


def drawn(entries: Sequence[store.Entry], seeds: Sequence[int], psi: float = 0.7) -> Row:
    """The row of `entries`, which are all of one model, before it `seeds` as that model draws them.

    Raises InputError for no entries or seeds, for entries of several models, or if one can't be drawn.
    """
    models = {entry.record.model_sha256: entry.model for entry in entries}
    if len(models) != 1 or not seeds:
        raise InputError(f"The examples are people of one model; these are {len(seeds)} seeds of {len(models)} models.")
    ((digest, model),) = models.items()
    generators = [catalog.load_generator(model), *(catalog.load_adapted(entry.path) for entry in entries)]
    people = torch.stack([_small(to_uint8(draw(generator, seeds, psi))) for generator in generators])
    settings = {
        "model": model,
        "model_sha256": digest,
        "psi": psi,
        "seeds": list(seeds),
        "domains": [entries[0].source, *(entry.target for entry in entries)],
        "runs": [entry.settings["config"] for entry in entries],
    }
    return Row(tuple(settings["domains"]), tuple(seeds), people, settings)


def save(row: Row, path: Path = ROW) -> Path:
    """Writes the row as WebP, a column a domain, as good as fits into MAX_BYTES, and gives its path.

    Raises InputError if no quality makes it small enough, or if it can't be written.
    """
    sheet = grid(row.people.transpose(0, 1).flatten(0, 1), len(row.domains), gap=0)
    with tempfile.TemporaryDirectory() as folder:  # the row that is there stays until there is another
        for quality in _QUALITIES:
            drawn = save_webp(sheet, Path(folder, path.name), row.settings, quality)
            if drawn.stat().st_size <= MAX_BYTES:
                with atomic_path(path) as temporary:
                    shutil.copyfile(drawn, temporary)
                return path
    raise InputError(
        f"{len(row.domains)} domains of {len(row.seeds)} people don't fit into {MAX_BYTES // 1000} kB: choose fewer."
    )


def read(model: str, path: Path = ROW) -> Row:
    """The row as it was saved. Raises InputError if there is none, or if other weights than `model` has drew it."""
    settings = _settings(model, path, "start-row")
    domains, seeds = tuple(settings["domains"]), tuple(settings["seeds"])
    with Image.open(path) as opened:
        sheet = opened.convert("RGB")
    edge = sheet.height // len(seeds)
    tiles = [
        sheet.crop((column * edge, row * edge, (column + 1) * edge, (row + 1) * edge))
        for column in range(len(domains))
        for row in range(len(seeds))
    ]
    people = _stacked(tiles).unflatten(0, (len(domains), len(seeds)))
    return Row(domains, seeds, people, settings)


def walk(model: str, path: Path = WALK) -> tuple[int, list[str]]:
    """Who goes through the animation at `path`, by seed, and through which domains, the source's own first.

    Raises InputError as `read` does, and for an animation of something else.
    """
    settings = _settings(model, path, "interpolate")
    people, domains = settings.get("people"), [share["config"] for share in settings.get("domains", ())]
    if not isinstance(people, list) or len(people) != 1 or not domains:
        raise InputError(f"{path} doesn't show one person in several domains: make it anew by interpolate.")
    return people[0], [domains[0]["source"], *(config["target"] for config in domains)]


def _settings(model: str, path: Path, command: str) -> dict[str, Any]:
    settings = read_settings(path)
    if settings is None or settings.get("model_sha256") != catalog.generator_digest(model):
        raise InputError(f"{path} wasn't drawn by these weights of “{model}”: make it anew by {command}.")
    return settings


def _small(people: Tensor) -> Tensor:
    pictures = to_pictures(people)
    for picture in pictures:
        picture.thumbnail((MAX_EDGE, MAX_EDGE), Image.Resampling.LANCZOS)
    return _stacked(pictures)


def _stacked(pictures: Sequence[Image.Image]) -> Tensor:
    return torch.stack(
        [torch.frombuffer(bytearray(p.tobytes()), dtype=torch.uint8).view(p.height, p.width, 3) for p in pictures]
    )
