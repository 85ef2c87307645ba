"""A person's own picture, as it comes from a file, the clipboard or a camera, made into plain upright RGB.

What can't be used is refused by name in one sentence. The room knows nothing about faces or generators.
"""

from __future__ import annotations

import functools
import io
import os
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageCms, ImageOps
from torch import Tensor

from .errors import InputError

MAX_PIXELS = 50_000_000  # more than any phone takes; some 150 MB as RGB
MAX_BYTES = 100_000_000
MIN_SIDE = 16
#: Formats by Pillow's name. MPO is what a JPEG of several exposures is called; its first picture is the photograph.
FORMATS = ("PNG", "JPEG", "MPO", "WEBP", "HEIF", "AVIF")
_STILL_WITH_FRAMES = ("MPO", "HEIF", "AVIF")
_HEIC_BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")
_WANTED = "Give a PNG, JPEG or WebP picture"


def read_picture(source: str | os.PathLike[str] | bytes | Image.Image) -> Image.Image:
    """The picture `source` (a path, a file's bytes, or an opened picture) as RGB of 8 bits, upright.

    EXIF orientation is applied, colours with a profile become sRGB, transparency lies on white, grey, CMYK and
    16-bit pictures are converted. HEIC needs the package pillow-heif, which is used where it is installed.
    Raises InputError, naming the file, for one that is missing, damaged, animated, too large or of another kind.
    """
    name = "The picture"
    try:
        if isinstance(source, Image.Image):
            return _upright_rgb(_checked(source, name))
        if isinstance(source, bytes):
            data = source
        else:
            path = Path(source).expanduser()
            name = f"“{path.name}”"
            data = _bytes_of(path, name)
        _check_kind(data, name)
        with Image.open(io.BytesIO(data)) as picture:
            return _upright_rgb(_checked(picture, name))
    except InputError:
        raise
    except Image.DecompressionBombError:
        raise InputError(f"{name} has more than {MAX_PIXELS / 1e6:g} million pixels: make it smaller.") from None
    except Exception as error:  # Pillow's readers raise whatever a damaged file leads them to
        raise InputError(f"{name} can't be read as a picture: it is damaged or cut short. {_WANTED}.") from error


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
        raise InputError(f"{name} can't be read ({error.strerror or error}): check the path {path}.") from error


def _check_kind(data: bytes, name: str) -> None:
    """Says what a file is before anything is decoded. Raises InputError for what isn't a still picture we read."""
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
        raise InputError(f"{name} is no picture that can be read. {_WANTED}.") from None
    if kind not in FORMATS:
        raise InputError(f"{name} is a {kind} file, which isn't read. {_WANTED}.")


def _checked(picture: Image.Image, name: str) -> Image.Image:
    """The picture, if its header promises one that can be used; else InputError."""
    width, height = picture.size
    if width * height > MAX_PIXELS:
        raise InputError(
            f"{name} has {width}×{height} pixels, more than {MAX_PIXELS / 1e6:g} million: make it smaller."
        )
    if min(width, height) < MIN_SIDE:
        raise InputError(f"{name} has only {width}×{height} pixels: at least {MIN_SIDE} a side are needed.")
    if getattr(picture, "n_frames", 1) > 1 and picture.format not in _STILL_WITH_FRAMES:
        raise InputError(f"{name} is animated ({picture.n_frames} frames): save one frame of it as a picture.")
    picture.load()
    return picture


def _upright_rgb(picture: Image.Image) -> Image.Image:
    picture = ImageOps.exif_transpose(picture)
    if picture.mode.startswith("I"):  # 16 bits a grey level; Pillow's own conversion would clip them to 8
        levels = np.asarray(picture).astype(np.int64)
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
    except (ImageCms.PyCMSError, OSError):  # a damaged profile spoils no picture
        return picture


@functools.cache
def _heic_is_read() -> bool:
    try:
        import pillow_heif
    except ImportError:
        return False
    pillow_heif.register_heif_opener()
    return True
