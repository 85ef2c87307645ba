"""Inverted people in domains of the library: collages, and files for who draws them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor

from ipl_core.drawing.restyle import Restyler
from ipl_core.library import inversions, store
from ipl_core.pictures.media import labelled, save_png, to_pictures, to_uint8

from .. import show
from ..access.files import inside
from .mixing import Mix, domain_words

SLIDER_SIDE = 384  # a small picture would be a stamp in the before/after slider


def copies(inverted: inversions.Inverted, folder: Path) -> tuple[Path, Path]:
    """Copies of a kept person's latent and picture, named after them."""
    name = inverted.path.name
    latent = shutil.copy(inverted.path / inversions.INVERTED, inside(folder, f"{name}.safetensors"))
    return Path(latent), Path(shutil.copy(inverted.path / inversions.INVERTED_PICTURE, inside(folder, f"{name}.png")))


def fitting_entries(inverted: inversions.Inverted) -> list[store.Entry]:
    """The library's entries that were adapted from the weights which the latent belongs to, the newest first."""
    own = inverted.record.model_sha256
    return [entry for entry in store.list_entries() if entry.record.model_sha256 == own]


@dataclass(frozen=True)
class Collage:
    """A person as given, as inverted, and in some mixes of domains: bytes (1, R, R, 3) with a label each."""

    inverted: inversions.Inverted
    pictures: tuple[Tensor, ...]
    labels: tuple[str, ...]
    mixes: tuple[Mix, ...] = ()

    def html(self) -> str:
        """The collage on the page."""
        return show.collage(self.pictures, self.labels, self.inverted.name)

    def save(self, folder: Path) -> Path:
        """The collage as one PNG, with what it was drawn with inside."""
        file = inside(folder, f"{self.inverted.path.name}-collage.png")
        return save_png(labelled(self.pictures, self.labels), file, restyle_settings(self.inverted, self.mixes))


def collages(restyler: Restyler, mixes: Sequence[Mix]) -> Iterator[Collage]:
    """The collage without any domain, and again after each mix that was drawn. Raises InputError."""
    inverted = restyler.inverted
    collage = Collage(inverted, (inverted.aligned, inverted.picture), ("picture", "inverted"))
    yield collage
    for mix in mixes:
        collage = Collage(
            inverted,
            (*collage.pictures, to_uint8(restyler.draw(mix))),
            (*collage.labels, " + ".join(domain_words(entry) for entry, _ in mix)),
            (*collage.mixes, mix),
        )
        yield collage


def restyle_settings(inverted: inversions.Inverted, mixes: Sequence[Mix]) -> dict[str, Any]:
    """What restyled pictures were drawn with, for their file."""
    return {
        "person": inverted.name,
        "inverted by": inverted.settings["config"],
        "domains": [
            [{"adapted by": entry.settings["config"], "weight": share} for entry, share in mix] for mix in mixes
        ],
    }


def large(levels: Tensor) -> Image.Image:
    """Bytes (1, R, R, 3) as a picture of at least SLIDER_SIDE pixels a side."""
    picture = to_pictures(levels)[0]
    side = max(SLIDER_SIDE, picture.width)
    return picture.resize((side, side), Image.Resampling.BICUBIC)
