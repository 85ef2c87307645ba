"""Converts tensors to pictures: bytes, grids, PNG and WebP files, animations. Knows nothing about their origin."""

from __future__ import annotations

import math
import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont, PngImagePlugin
from torch import Tensor

from ..errors import InputError
from ..storage.files import atomic_path
from ..storage.paths import is_folder
from ..storage.values import number as in_range
from ..storage.words import json_text, quoted, read_json, reason

#: The PNG text field that holds what a picture was made with, as JSON; elsewhere the key within a field of that kind.
SETTINGS_FIELD = "ipl-studio"
MAX_SETTINGS = 2**20  # characters of those settings
_DESCRIPTION = 0x010E  # the EXIF tag ImageDescription

MAX_RATE = 60  # frames a second
MAX_GIF_RATE = 50  # the same of a GIF: browsers take delays under 20 ms for 100 ms
SEEN_WELL = 256  # pixels across


def to_uint8(images: Tensor) -> Tensor:
    """Images (N, 3, H, W) in [-1, 1] as bytes (N, H, W, 3) on the CPU; values outside are clipped, NaN is mid-grey."""
    levels = images.detach().float().nan_to_num(nan=0.0).clamp(-1, 1).add(1).mul(127.5).round()
    return levels.to(torch.uint8).permute(0, 2, 3, 1).contiguous().cpu()


def to_float(levels: Tensor) -> Tensor:
    """Bytes (N, H, W, 3) as images (N, 3, H, W) in [-1, 1]; `to_uint8` inverts it."""
    return levels.permute(0, 3, 1, 2).float() / 127.5 - 1


def to_pictures(images: Tensor | Sequence[Tensor]) -> list[Image.Image]:
    """Bytes (N, H, W, 3), or images (N, 3, H, W) in [-1, 1], as N pictures; of several tensors, one after the other."""
    if not isinstance(images, Tensor):
        return [picture for several in images for picture in to_pictures(several)]
    levels = images if images.dtype == torch.uint8 else to_uint8(images)
    return [Image.fromarray(level.numpy(), "RGB") for level in levels.cpu()]


def pairs(before: Tensor, after: Tensor) -> Tensor:
    """Images (N, …) twice as (2N, …), each one before followed by the same one after."""
    return torch.stack((before, after), dim=1).flatten(0, 1)


def grid(images: Tensor | Sequence[Tensor], columns: int | None = None, gap: int = 2) -> Image.Image:
    """One picture of all `images`, row by row, with `gap` white pixels between them.

    images: bytes (N, H, W, 3), or values (N, 3, H, W) in [-1, 1]; N at least 1; or several such tensors.
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


def labelled(
    images: Tensor | Sequence[Tensor], labels: Sequence[str], columns: int | None = None, side: int = 160
) -> Image.Image:
    """One picture of all `images` as `grid` lays them out, each `side` pixels wide at least, with its words below.

    Strips of several pictures side by side are labelled as one image. Words too long for their picture are cut with
    an ellipsis. Raises ValueError unless there is a label for each.
    """
    pictures = to_pictures(images)
    if not pictures or len(pictures) != len(labels):
        raise ValueError(f"{len(pictures)} pictures need as many labels, and at least one; got {len(labels)}.")
    side = max(side, pictures[0].width)
    height = round(side * pictures[0].height / pictures[0].width)
    font = ImageFont.load_default(size=max(12, height // 12))
    strip = round(font.size * 1.8)
    tiles = []
    for picture, label in zip(pictures, labels):
        tile = Image.new("RGB", (side, height + strip), "white")
        tile.paste(picture.resize((side, height), Image.Resampling.BICUBIC))
        words = label
        while len(words) > 1 and font.getlength(words) > side - 4:
            words = words.removesuffix("…")[:-1] + "…"
        ImageDraw.Draw(tile).text((side / 2, height + strip / 2), words, "black", font, anchor="mm")
        tiles.append(torch.from_numpy(np.array(tile)))
    return grid(torch.stack(tiles), columns)


def save_png(picture: Image.Image, path: str | os.PathLike[str], settings: Mapping[str, Any] | None = None) -> Path:
    """Writes `picture` to `path` as PNG, whole or not at all, with `settings` inside as JSON text.

    Raises InputError if the folder can't be written.
    """
    notes = PngImagePlugin.PngInfo()
    if settings is not None:
        notes.add_itxt(SETTINGS_FIELD, json_text(settings))
    return _save(picture, Path(path), "PNG", pnginfo=notes)


def save_webp(
    picture: Image.Image, path: str | os.PathLike[str], settings: Mapping[str, Any], quality: int = 90
) -> Path:
    """Writes `picture` to `path` as WebP, whole or not at all, with `settings` inside; `read_settings` gives them.

    quality: 0 to 100. Raises InputError if the folder can't be written.
    """
    note = _exif(json_text({SETTINGS_FIELD: settings}, ascii_only=True))
    return _save(picture, Path(path), "WEBP", quality=quality, method=6, exif=note)


def _save(picture: Image.Image, path: Path, format: str, **options: Any) -> Path:
    with atomic_path(path) as temporary:
        try:
            picture.save(temporary, format, **options)
        except OSError as error:
            raise InputError(f"The picture can't be written to {path}: {error.strerror or error}.") from error
    return path


def save_animation(
    frames: Sequence[Tensor],
    path: str | os.PathLike[str],
    rate: float = 24,
    settings: Mapping[str, Any] | None = None,
    enlarge: int = 1,
) -> Path:
    """Writes frames, bytes (H, W, 3) each, as an endless animation, whole or not at all, with `settings` inside.

    path: its ending is the format, one of ANIMATIONS. rate: frames a second, 1 to 60; a GIF at more than 50 holds fewer
    frames, at the same speed, see `frames_in_gif`. enlarge: each pixel becomes so many across and down, smoothly. MP4
    wants an even width and height.
    Raises InputError for another ending or rate, or if the file can't be written.
    """
    path = Path(path)
    check_animation(path, rate)
    pictures = [enlarged(Image.fromarray(frame.numpy(), "RGB"), enlarge) for frame in frames]
    note = "" if settings is None else json_text({SETTINGS_FIELD: settings}, ascii_only=True)
    with atomic_path(path) as temporary:
        try:
            ANIMATIONS[path.suffix.lower()](pictures, temporary, rate, note)
        except OSError as error:
            raise InputError(f"The animation can't be written to {path}: {error.strerror or error}.") from error
    return path


def check_animation(path: str | os.PathLike[str], rate: float) -> None:
    """Raises InputError if an animation can't be written under such a name or at such a rate; touches no file."""
    path = Path(path)
    if path.suffix.lower() not in ANIMATIONS or is_folder(path):
        raise InputError(
            f"An animation is written as {', '.join(ANIMATIONS)}, and {quoted(path.name)} ends in none of these."
        )
    in_range(rate, "Frames a second", 1, MAX_RATE)


def frames_in_gif(count: int, rate: float) -> list[tuple[int, int]]:
    """Which of `count` frames a GIF holds, and how long each is shown, in hundredths of a second, 2 at least.

    All of them up to 50 frames a second, above that evenly fewer. Together they last as long as `count` frames at
    `rate`, to a hundredth of a second.
    """
    length = 100 * count / rate
    kept = count if rate <= MAX_GIF_RATE else max(1, int(length / 2))
    times = [round(number * length / kept) for number in range(kept + 1)]
    return [(number * count // kept, max(2, times[number + 1] - times[number])) for number in range(kept)]


def left_out_words(path: str | os.PathLike[str], count: int, rate: float) -> str:
    """A sentence about frames that the animation at `path` leaves out; "" if it has them all."""
    if not str(path).lower().endswith(".gif") or rate <= MAX_GIF_RATE:
        return ""
    kept = len(frames_in_gif(count, rate))
    return f"A GIF plays at {MAX_GIF_RATE} frames a second at most: {kept} of {count} are in it, at the same speed."


def enlargement(edge: int) -> int:
    """How many times a picture of `edge` pixels is enlarged so that it is more than a stamp."""
    return max(1, -(-SEEN_WELL // edge))


def enlarged(picture: Image.Image, times: int) -> Image.Image:
    """A picture with each pixel so many across and down, smoothly."""
    if times == 1:
        return picture
    return picture.resize((picture.width * times, picture.height * times), Image.Resampling.BICUBIC)


def _write_webp(pictures: Sequence[Image.Image], path: Path, rate: float, note: str) -> None:
    # Method 2 of 6: the default takes three times as long for files that are a tenth smaller.
    _write_frames(pictures, path, "WEBP", 1000 / rate, quality=90, method=2, exif=_exif(note))


def _exif(note: str) -> Image.Exif:
    exif = Image.Exif()
    if note:
        exif[_DESCRIPTION] = note
    return exif


def _write_gif(pictures: Sequence[Image.Image], path: Path, rate: float, note: str) -> None:
    # One palette, from a few of the frames: ten times as fast as one a frame, and still things don't flicker.
    chosen = frames_in_gif(len(pictures), rate)
    pictures = [pictures[number] for number, _ in chosen]
    few = pictures[:: math.ceil(len(pictures) / 8)]
    size = (min(few[0].width, SEEN_WELL), min(few[0].height, SEEN_WELL))
    sheet = Image.new("RGB", (size[0], size[1] * len(few)))
    for number, picture in enumerate(few):
        sheet.paste(picture.resize(size), (0, number * size[1]))
    palette = sheet.quantize(256)
    coloured = [picture.quantize(palette=palette) for picture in pictures]
    durations = [10 * hundredths for _, hundredths in chosen]
    _write_frames(coloured, path, "GIF", durations, comment=note.encode(), optimize=False)


def _write_frames(
    pictures: Sequence[Image.Image], path: Path, format: str, duration: float | list[int], **options: Any
) -> None:
    """duration: of each frame, in milliseconds."""
    first, *rest = pictures
    if not rest and isinstance(duration, list):
        duration = duration[0]
    first.save(path, format, save_all=True, append_images=rest, duration=duration, loop=0, **options)


def _write_mp4(pictures: Sequence[Image.Image], path: Path, rate: float, note: str) -> None:
    from imageio_ffmpeg import get_ffmpeg_exe

    width, height = pictures[0].size
    raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", f"{rate:g}", "-i", "pipe:"]
    # Colour at half resolution is what every player can show; the index goes first, so that it plays while it loads.
    coded = ["-c:v", "libx264", "-crf", "16", "-pix_fmt", "yuv420p", "-movflags", "+faststart"]
    try:
        program = get_ffmpeg_exe()
    except RuntimeError as error:
        raise InputError(f"There is no ffmpeg for MP4 here ({error}). Write WebP or GIF.") from error
    done = subprocess.run(
        [program, "-y", "-loglevel", "error", *raw, *coded, "-metadata", f"comment={note}", str(path)],
        input=b"".join(picture.tobytes() for picture in pictures),
        capture_output=True,
    )
    if done.returncode:
        words = done.stderr.decode(errors="replace").strip().splitlines() or [f"status {done.returncode}"]
        raise OSError(f"ffmpeg: {words[-1]}")


#: What an animation may be written as, by the ending of its name: the first for pages, the second for players.
ANIMATIONS: dict[str, Callable[[Sequence[Image.Image], Path, float, str], None]] = {
    ".webp": _write_webp,
    ".mp4": _write_mp4,
    ".gif": _write_gif,
}


def read_settings(path: str | os.PathLike[str]) -> dict[str, Any] | None:
    """The settings stored by `save_png`, `save_webp`, or `save_animation` (WebP or GIF); None if there are none.

    Raises InputError if the file is missing or no picture.
    """
    try:
        with Image.open(path) as picture:
            picture.load()
            text = picture.info.get(SETTINGS_FIELD)
            note = picture.getexif().get(_DESCRIPTION) or picture.info.get("comment")
    except Exception as error:  # Pillow's readers raise whatever a damaged file leads them to
        raise InputError(f"{path} can't be read as a picture: {reason(error)}.") from error
    what = f"What {path} says of itself"
    if text is not None:
        settings = read_json(text, what, MAX_SETTINGS)
    else:
        try:
            settings = read_json(note, what, MAX_SETTINGS)[SETTINGS_FIELD]
        except (TypeError, KeyError, InputError):  # a description, or a comment, of another program
            return None
    return settings if isinstance(settings, dict) else None
