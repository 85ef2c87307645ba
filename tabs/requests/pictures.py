"""A visitor's picture: what is seen of it, the crop that is chosen, and the configuration of its inversion."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor

from ipl_core import InputError, InvertConfig
from ipl_core.library.find_or_run import crop_for
from ipl_core.pictures.faces import CROPS, Crop, Face, cut, find_faces
from ipl_core.pictures.media import to_uint8
from ipl_core.pictures.reading import read_smaller
from ipl_core.storage.values import choice, whole
from ipl_core.storage.words import clean_line, file_words

from ..service.service import Service
from .models import known_model

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "pictures"
MAX_NAME = 60
MAX_SAID = 1000  # characters of a name as it comes, which is then cut
MAX_FACES = 1000
SEEN_SIDE = 1024  # pixels; what detectors and the visitor see of a picture, which itself may be much larger


@dataclass(frozen=True)
class Seen:
    """A visitor's picture as it is looked at. view: at most SEEN_SIDE pixels a side. scale: pixels of the file in one
    of the view. faces: the largest first, in pixels of the view. crops: that models chose, before a visitor moves them,
    as finding them takes a second."""

    view: Image.Image
    scale: float
    faces: tuple[Face, ...]
    crops: dict[tuple[str, str, int], Crop] = field(default_factory=dict)


def example_pictures() -> list[list[str]]:
    """The files of the example pictures and how each is to be cut: renders are aligned as they are, photos aren't."""
    files = sorted(EXAMPLES.glob("*.png")) + sorted(EXAMPLES.glob("*.jpg"))
    return [[str(file), "none" if file.suffix == ".png" else "auto"] for file in files]


def seen_by(service: Service, path: str | None) -> Seen:
    """`look_at` for who asks, whose file may not be too large. Raises InputError."""
    service.roles.check_picture(path)
    return look_at(path)


def look_at(path: str | None) -> Seen:
    """The picture in an uploaded file. Raises InputError for none, or one that can't be used."""
    if not path:
        raise InputError("There is no picture yet: upload one, paste it, take it with the camera, or use an example.")
    return _look_at(path, _modified(path))


def _modified(path: str) -> int:
    try:
        return Path(path).stat().st_mtime_ns
    except OSError:
        raise InputError("The picture isn't on the server any more: choose it again.") from None


@lru_cache(maxsize=16)  # each a few megabytes; every move of the crop looks at it again
def _look_at(path: str, modified: int) -> Seen:
    picture, times = read_smaller(path)
    view = picture
    if max(picture.size) > SEEN_SIDE:
        scale = SEEN_SIDE / max(picture.size)
        size = tuple(max(1, round(side * scale)) for side in picture.size)
        view = picture.resize(size, Image.Resampling.BICUBIC, reducing_gap=2.0)
    return Seen(view, times * (picture.width / view.width), tuple(find_faces(view)))


def chosen_crop(
    seen: Seen,
    model: str,
    crop_by: str,
    face: float | None = None,
    right: float = 0.0,
    down: float = 0.0,
    zoom: float = 1.0,
    turn: float = 0.0,
) -> Crop:
    """The crop that a visitor chose, in pixels of the view. Raises InputError for what can't be meant."""
    face = 1 if face is None else whole(face, "Which face is taken", 1, MAX_FACES)
    way = (known_model(model), choice(crop_by, "The crop", CROPS), face)
    if way not in seen.crops:
        seen.crops[way] = crop_for(*way[:1], seen.view, *way[1:], seen.faces)
    return seen.crops[way].moved(right, down, zoom, turn)


def align(service: Service, path: str | None, model: str, *where: Any) -> tuple[Tensor, Crop]:
    """What is inverted, uint8 (1, R, R, 3), and its crop in pixels of the file. Raises InputError."""
    seen = seen_by(service, path)
    crop = chosen_crop(seen, model, *where)
    crop = _enlarged(crop, seen.scale)
    resolution = service.generators.get(model).config.resolution
    picture, times = read_smaller(path)
    return to_uint8(cut(picture, _enlarged(crop, 1 / times), resolution)), crop


def _enlarged(crop: Crop, times: float) -> Crop:
    return replace(crop, quad=tuple((x * times, y * times) for x, y in crop.quad))


def called(name: Any, path: str) -> str:
    """What to call an inverted picture: as the visitor says, else as its file is called. Raises InputError."""
    said = "" if name is None else clean_line(name, "The name", MAX_SAID)
    return (said or file_words(path, "picture"))[:MAX_NAME].strip()


def invert_config(settings: Mapping[str, Any], device: str) -> InvertConfig:
    """The configuration that a visitor asked for; what is absent, None or "" is left to the preset.

    Visitors name models, never paths, and don't choose the device. Raises InputError.
    """
    given = {name: value for name, value in settings.items() if value not in (None, "")}
    if "model" in given:
        known_model(given["model"])
    return InvertConfig(**given, device=device)
