"""Reads users' pictures from files, the clipboard or a camera as upright RGB.

Unusable pictures are refused with one sentence that names them. To bound memory with many visitors, only one picture
is decoded at a time, and `read_smaller` reduces large ones during decoding. This module knows nothing about faces or
generators.
"""

from __future__ import annotations

import functools
import io
import math
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageCms, ImageOps, PngImagePlugin
from torch import Tensor

from ..errors import InputError
from ..storage.paths import as_path
from ..storage.words import quoted, reason
from .mending import mended

MAX_PIXELS = 50_000_000  # more than any phone takes; some 150 MB as RGB
MAX_BYTES = 100_000_000
MIN_SIDE = 16
#: The longest side, in pixels, of what faces are sought in and cut from: four times that of the largest generators.
WORKING_SIDE = 4096
#: Pixels of a format whose decoder holds several copies of the whole picture at once, some 16 bytes a pixel.
MAX_PIXELS_COPIED = 25_000_000
_COPIED = ("WEBP", "AVIF")
MAX_NOTES = 4 * 2**20  # bytes of one text or colour profile within a PNG; the largest profiles have 2 MB
_BAND = 1_000_000  # pixels that are converted at a time where a picture is made smaller
#: Formats by Pillow's name. MPO is what a JPEG of several exposures is called; its first picture is the photograph.
FORMATS = ("PNG", "JPEG", "MPO", "WEBP", "HEIF", "AVIF")
_STILL_WITH_FRAMES = ("MPO", "HEIF", "AVIF")
_HEIC_BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")
_WANTED = "Give a PNG, JPEG or WebP picture"


PngImagePlugin.MAX_TEXT_CHUNK = MAX_NOTES  # Pillow's own limit is 1 MB
#: One picture at a time, and always in the same thread: the allocator keeps freed memory for each thread apart.
_decoder = ThreadPoolExecutor(1, "picture")


def read_picture(source: str | os.PathLike[str] | bytes | Image.Image) -> Image.Image:
    """The picture `source` (a path, a file's bytes, or an opened picture) as RGB of 8 bits, upright.

    EXIF orientation is applied, colours with a profile become sRGB, transparency lies on white, grey, CMYK and
    16-bit pictures are converted. HEIC needs the package pillow-heif, which is used where it is installed.
    Texts, profiles and EXIF that are too large or broken are ignored. A JPEG may lack its end; missing rows at the
    bottom are logged.
    Raises InputError, naming the file, for one that is missing, damaged, animated, too large or of another kind.
    """
    return _decoder.submit(_read, source, None).result()[0]


def read_smaller(
    source: str | os.PathLike[str] | bytes | Image.Image, side: int = WORKING_SIDE
) -> tuple[Image.Image, int]:
    """The picture as from `read_picture`, reduced to at most `side` pixels a side, and the reduction factor.

    The factor is the smallest integer that makes it fit (1 for small pictures), but leaves at least MIN_SIDE pixels a
    side. Raises InputError as `read_picture` does.
    """
    return _decoder.submit(_read, source, side).result()


def _read(source: str | os.PathLike[str] | bytes | Image.Image, side: int | None) -> tuple[Image.Image, int]:
    name = "The picture"
    try:
        if isinstance(source, Image.Image):
            return _converted(_checked(source, name), side)
        if isinstance(source, bytes):
            data = source
        else:
            path = as_path(source)
            name = quoted(path.name)
            data = _bytes_of(path, name)
        return _decoded(data, name, side)
    except InputError:
        raise
    except Image.DecompressionBombError:
        raise InputError(f"{name} has more than {MAX_PIXELS / 1e6:g} million pixels: make it smaller.") from None
    except Exception as error:  # Pillow's readers raise whatever a damaged file leads them to
        raise InputError(f"{name} can't be read as a picture: it is damaged or cut short. {_WANTED}.") from error


class _Unidentified(InputError):
    """Of bytes whose kind can't be told, though a part of them may be a picture."""


def _decoded(data: bytes, name: str, side: int | None) -> tuple[Image.Image, int]:
    """The picture in a file's bytes, read without what is beside its pixels where that can't be read."""
    try:
        return _opened(data, name, side)
    except Exception as error:  # Pillow's readers raise whatever a damaged file leads them to
        refused = isinstance(error, InputError) and not isinstance(error, _Unidentified)
        if refused or isinstance(error, Image.DecompressionBombError):
            raise
        pixels = mended(data, name, MAX_NOTES)
        if pixels is None:
            raise
        return _opened(pixels, name, side)


def _opened(data: bytes, name: str, side: int | None) -> tuple[Image.Image, int]:
    _check_kind(data, name)
    with Image.open(io.BytesIO(data)) as picture:
        return _converted(_checked(picture, name), side)


def to_tensor(picture: Image.Image) -> Tensor:
    """An RGB picture as (1, 3, H, W), float32 in [-1, 1]; the inverse of `media.to_pictures`."""
    levels = torch.from_numpy(np.array(picture.convert("RGB")))
    return levels.permute(2, 0, 1)[None].float() / 127.5 - 1


# ----------------------------------------------------------------------------------------------------------------------


def _bytes_of(path: Path, name: str) -> bytes:
    try:
        if path.is_dir():
            raise InputError(f"{name} is a folder: give one picture.")
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"{name} has more than {MAX_BYTES / 1e6:g} MB: make it smaller.")
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{name} can't be read ({reason(error)}): check the path {quoted(str(path), 200)}.") from error


def _check_kind(data: bytes, name: str) -> None:
    """Recognises a file's format before decoding. Raises InputError for formats that aren't read."""
    if not data:
        raise InputError(f"{name} is empty. {_WANTED}.")
    if data[4:8] == b"ftyp" and data[8:12] in _HEIC_BRANDS and not _heic_is_read():
        raise InputError(
            f"{name} is a HEIC picture: save it as JPEG, or install the package pillow-heif so that it can be read."
        )
    try:
        with Image.open(io.BytesIO(data)) as picture:
            kind = picture.format
    except Image.UnidentifiedImageError:
        raise _Unidentified(f"{name} is no picture that can be read. {_WANTED}.") from None
    if kind not in FORMATS:
        raise InputError(f"{name} is of the format {kind}, which isn't read. {_WANTED}.")


def _checked(picture: Image.Image, name: str) -> Image.Image:
    """The picture, if its header promises one that can be used; else InputError."""
    width, height = picture.size
    if width * height > MAX_PIXELS:
        raise InputError(
            f"{name} has {width}×{height} pixels, more than {MAX_PIXELS / 1e6:g} million: make it smaller."
        )
    if picture.format in _COPIED and width * height > MAX_PIXELS_COPIED:
        raise InputError(
            f"{name} has {width}×{height} pixels, more than the {MAX_PIXELS_COPIED / 1e6:g} million that are read from "
            f"a {picture.format} file: make it smaller, or save it as JPEG."
        )
    if min(width, height) < MIN_SIDE:
        raise InputError(f"{name} has only {width}×{height} pixels: at least {MIN_SIDE} a side are needed.")
    if getattr(picture, "n_frames", 1) > 1 and picture.format not in _STILL_WITH_FRAMES:
        raise InputError(f"{name} is animated ({picture.n_frames} frames): save one frame of it as a picture.")
    return picture


def _converted(picture: Image.Image, side: int | None) -> tuple[Image.Image, int]:
    """The picture as RGB, upright, and how much smaller it is made so that it fits into a square of `side`."""
    times = 1 if side is None else _times(picture, side)
    if times <= 1:
        picture.load()
        return _rgb(_upright(picture)), 1
    whole = picture.width
    # A JPEG leaves out what would be averaged anyway: it is decoded at a half, a quarter or an eighth of its size.
    picture.draft(None, (picture.width // times, picture.height // times))
    drafted = round(whole / picture.width)
    picture.load()
    times = _times(picture, side)
    small = Image.new("RGB", tuple(math.ceil(edge / times) for edge in picture.size))
    rows = times * max(1, _BAND // (picture.width * times))
    for top in range(0, picture.height, rows):
        band = _rgb(picture.crop((0, top, picture.width, min(top + rows, picture.height))))
        small.paste(band.reduce(times), (0, top // times))
    small.info.update({key: value for key, value in picture.info.items() if key in _ORIENTED})
    return _upright(small), drafted * times


def _upright(picture: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(picture)
    except Exception:  # broken EXIF, of which Pillow raises whatever it leads to, spoils no picture
        return picture


def _times(picture: Image.Image, side: int) -> int:
    return max(1, min(math.ceil(max(picture.size) / side), min(picture.size) // MIN_SIDE))


#: Where Pillow keeps what says which way is up, by format.
_ORIENTED = ("exif", "Raw profile type exif", "xmp", "XML:com.adobe.xmp")


def _rgb(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith("I"):  # 16 bits a grey level; Pillow's own conversion would clip them to 8
        levels = np.asarray(picture)
        picture = Image.fromarray((levels.clip(0, 65535) >> 8).astype(np.uint8))
    picture = _in_srgb(picture)
    if picture.has_transparency_data:
        layer = picture.convert("RGBA")
        white = Image.new("RGBA", layer.size, "white")
        picture = Image.alpha_composite(white, layer)
    return picture.convert("RGB")


def _in_srgb(picture: Image.Image) -> Image.Image:
    """Phones write colours for wider screens; without their profile those would look pale."""
    profile = picture.info.get("icc_profile")
    if not profile or picture.mode not in ("RGB", "RGBA", "CMYK"):
        return picture
    mode = "RGBA" if picture.mode == "RGBA" else "RGB"
    try:
        return ImageCms.profileToProfile(
            picture, ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB"), outputMode=mode
        )
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):  # a damaged profile spoils no picture
        return picture


@functools.cache
def _heic_is_read() -> bool:
    try:
        import pillow_heif
    except ImportError:
        return False
    pillow_heif.register_heif_opener()
    return True
