"""Tensors to pictures: bytes, grids and PNG files; knows nothing about where a picture comes from."""

from __future__ import annotations

import json
import math
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont, PngImagePlugin
from torch import Tensor

from .errors import InputError

#: The PNG text field that holds what a picture was made with, as JSON.
SETTINGS_FIELD = "ipl-studio"


def to_uint8(images: Tensor) -> Tensor:
    """Images (N, 3, H, W) in [-1, 1] as bytes (N, H, W, 3) on the CPU; values outside are clipped, NaN is mid-grey."""
    levels = images.detach().float().nan_to_num(nan=0.0).clamp(-1, 1).add(1).mul(127.5).round()
    return levels.to(torch.uint8).permute(0, 2, 3, 1).contiguous().cpu()


def to_float(levels: Tensor) -> Tensor:
    """Bytes (N, H, W, 3) as images (N, 3, H, W) in [-1, 1]; what `to_uint8` makes bytes of again."""
    return levels.permute(0, 3, 1, 2).float() / 127.5 - 1


def to_pictures(images: Tensor) -> list[Image.Image]:
    """Bytes (N, H, W, 3), or images (N, 3, H, W) in [-1, 1], as N pictures."""
    levels = images if images.dtype == torch.uint8 else to_uint8(images)
    return [Image.fromarray(level.numpy(), "RGB") for level in levels.cpu()]


def grid(images: Tensor, columns: int | None = None, gap: int = 2) -> Image.Image:
    """One picture of all `images`, row by row, with `gap` white pixels between them.

    images: bytes (N, H, W, 3), or values (N, 3, H, W) in [-1, 1]; N at least 1.
    columns: pictures in a row; None makes the grid as square as it can be, wider than high.
    """
    pictures = to_pictures(images)
    if not pictures:
        raise ValueError("A grid needs at least one picture.")
    columns = min(columns or math.ceil(math.sqrt(len(pictures))), len(pictures))
    rows = math.ceil(len(pictures) / columns)
    width, height = pictures[0].size
    sheet = Image.new("RGB", (columns * (width + gap) - gap, rows * (height + gap) - gap), "white")
    for index, picture in enumerate(pictures):
        row, column = divmod(index, columns)
        sheet.paste(picture, (column * (width + gap), row * (height + gap)))
    return sheet


def labelled(images: Tensor, labels: Sequence[str], columns: int | None = None, side: int = 160) -> Image.Image:
    """One picture of all `images` as `grid` lays them out, each `side` pixels wide at least, with its words below.

    Words too long for their picture are cut with an ellipsis. Raises ValueError unless there is a label for each.
    """
    pictures = to_pictures(images)
    if not pictures or len(pictures) != len(labels):
        raise ValueError(f"{len(pictures)} pictures need as many labels, and at least one; got {len(labels)}.")
    side = max(side, pictures[0].width)
    font = ImageFont.load_default(size=max(12, side // 12))
    strip = round(font.size * 1.8)
    tiles = []
    for picture, label in zip(pictures, labels):
        tile = Image.new("RGB", (side, side + strip), "white")
        tile.paste(picture.resize((side, side), Image.Resampling.BICUBIC))
        words = label
        while len(words) > 1 and font.getlength(words) > side - 4:
            words = words.removesuffix("…")[:-1] + "…"
        ImageDraw.Draw(tile).text((side / 2, side + strip / 2), words, "black", font, anchor="mm")
        tiles.append(torch.from_numpy(np.array(tile)))
    return grid(torch.stack(tiles), columns)


def save_png(picture: Image.Image, path: str | os.PathLike[str], settings: Mapping[str, Any] | None = None) -> Path:
    """Writes `picture` to `path` as PNG, whole or not at all, with `settings` inside as JSON text.

    Raises InputError if the folder can't be written.
    """
    path = Path(path)
    notes = PngImagePlugin.PngInfo()
    if settings is not None:
        notes.add_itxt(SETTINGS_FIELD, json.dumps(settings, ensure_ascii=False))
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".writing-", suffix=".png", delete=False) as file:
            temporary = Path(file.name)
            picture.save(file, "PNG", pnginfo=notes)
        os.replace(temporary, path)
    except OSError as error:
        raise InputError(f"The picture can't be written to {path}: {error.strerror or error}.") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
    return path


def read_settings(path: str | os.PathLike[str]) -> dict[str, Any] | None:
    """What `save_png` wrote beside the picture, or None if the file carries nothing of the kind.

    Raises InputError if the file is missing or no picture.
    """
    try:
        with Image.open(path) as picture:
            picture.load()
            text = picture.info.get(SETTINGS_FIELD)
    except OSError as error:
        raise InputError(f"{path} can't be read as a picture: {error}.") from error
    return None if text is None else json.loads(text)
