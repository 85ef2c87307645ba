"""Pixels before metadata: what is beside the pixels of a picture, or behind them, doesn't keep it from being read."""

from __future__ import annotations

import io
import logging
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from ipl_core.errors import InputError
from ipl_core.pictures.mending import mended
from ipl_core.pictures.reading import MAX_NOTES, read_picture, read_smaller


@pytest.fixture(scope="module")
def photo() -> Image.Image:
    """A portrait of 96×128 with detail everywhere, the last row included."""
    noise = np.random.default_rng(0).integers(0, 256, (16, 12, 3), np.uint8)
    return Image.fromarray(noise, "RGB").resize((96, 128), Image.Resampling.BICUBIC)


def encoded(picture: Image.Image, format: str, **options: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, format, **options)
    return file.getvalue()


def chunk(kind: bytes, content: bytes, sum_: int | None = None) -> bytes:
    sum_ = zlib.crc32(kind + content) if sum_ is None else sum_
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", sum_)


def with_chunks(png: bytes, *chunks: bytes) -> bytes:
    """The chunks right behind IHDR."""
    return png[:33] + b"".join(chunks) + png[33:]


def same(picture: Image.Image, other: Image.Image) -> bool:
    return np.array_equal(np.asarray(picture), np.asarray(other))


HUGE = b"x" * (MAX_NOTES + 1000)
BESIDE = {
    "text of 2 MB": [chunk(b"tEXt", b"Comment\0" + b"x" * 2_000_000)],
    "packed text of 2 MB": [chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b"x" * 2_000_000))],
    "packed text of 20 MB": [chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b"x" * 20_000_000))],
    "international text of 20 MB": [chunk(b"iTXt", b"Comment\0\1\0\0\0" + zlib.compress(b"x" * 20_000_000))],
    "profile of 2 MB": [chunk(b"iCCP", b"wide\0\0" + zlib.compress(b"x" * 2_000_000))],
    "profile of more than is read": [chunk(b"iCCP", b"wide\0\0" + zlib.compress(HUGE))],
    "damaged profile": [chunk(b"iCCP", b"wide\0\0no zlib")],
    "many texts": [chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b"x" * 3_000_000))] * 40,
    "text with a wrong sum": [chunk(b"tEXt", b"Comment\0words", 7)],
    "EXIF with a wrong sum": [chunk(b"eXIf", b"MM\0*nonsense", 7)],
    "broken EXIF": [chunk(b"eXIf", b"MM\0*\xff\xff\xff\xff")],
    "an unknown chunk": [chunk(b"abCd", b"x" * 100)],
}


@pytest.mark.parametrize("beside", BESIDE)
def test_what_is_beside_the_pixels_of_a_png_spoils_nothing(photo: Image.Image, beside: str, tmp_path: Path) -> None:
    data = with_chunks(encoded(photo, "PNG"), *BESIDE[beside])
    assert same(read_picture(data), photo)
    (tmp_path / "a.png").write_bytes(data)
    assert same(read_smaller(tmp_path / "a.png", 4096)[0], photo)


def test_a_profile_that_can_be_read_is_still_used(photo: Image.Image) -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    data = with_chunks(encoded(photo, "PNG", icc_profile=srgb), *BESIDE["packed text of 20 MB"])
    with Image.open(io.BytesIO(mended(data, "a.png", MAX_NOTES))) as bare:
        assert bare.info["icc_profile"] == srgb
    assert np.abs(np.asarray(read_picture(data)).astype(int) - np.asarray(photo)).max() <= 1


def test_an_animated_png_stays_refused(photo: Image.Image) -> None:
    data = encoded(photo, "PNG", save_all=True, append_images=[photo.rotate(90)], duration=50)
    with pytest.raises(InputError, match="animated"):
        read_picture(with_chunks(data, chunk(b"zTXt", b"a\0\0" + zlib.compress(b"x" * 20_000_000))))


@pytest.mark.parametrize("cut", [2, 1])
@pytest.mark.parametrize("form", ["plain", "progressive", "grey", "small"])
def test_a_jpeg_without_its_end_is_whole(
    photo: Image.Image, cut: int, form: str, caplog: pytest.LogCaptureFixture
) -> None:
    picture = photo.convert("L") if form == "grey" else photo.resize((17, 33)) if form == "small" else photo
    data = encoded(picture, "JPEG", quality=90, progressive=form == "progressive")
    with caplog.at_level(logging.WARNING):
        assert same(read_picture(data[:-cut]), read_picture(data))
    assert not caplog.text


def test_the_last_pixels_of_a_jpeg_may_be_missing_which_is_said(
    photo: Image.Image, caplog: pytest.LogCaptureFixture
) -> None:
    large = photo.resize((960, 1280))
    data = encoded(large, "JPEG", quality=90)
    with caplog.at_level(logging.WARNING):
        read = read_picture(data[:-200])
    assert "is cut short: about the last" in caplog.text
    whole = np.asarray(read_picture(data))
    assert np.array_equal(np.asarray(read)[:1216], whole[:1216])


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
@pytest.mark.parametrize("progressive", [False, True])
def test_half_a_jpeg_is_refused(photo: Image.Image, share: float, progressive: bool) -> None:
    data = encoded(photo.resize((480, 640)), "JPEG", quality=90, progressive=progressive)
    for cut in (data[: int(share * len(data))], data[: int(share * len(data))] + b"\xff"):
        with pytest.raises(InputError, match="damaged or cut short"):
            read_picture(cut)


def test_half_a_png_is_refused(photo: Image.Image) -> None:
    data = encoded(photo, "PNG")
    for cut in (data[: len(data) // 2], with_chunks(data[: len(data) // 2], *BESIDE["packed text of 20 MB"])):
        with pytest.raises(InputError, match="damaged or cut short"):
            read_picture(cut)


def test_a_png_without_its_end_is_whole(photo: Image.Image) -> None:
    data = encoded(photo, "PNG")
    for cut in (1, 4, 12):
        assert same(read_picture(data[:-cut]), photo)


def test_broken_exif_of_a_jpeg_spoils_nothing(photo: Image.Image) -> None:
    plain = encoded(photo, "JPEG", quality=90)
    for exif in (
        b"Exif\0\0MM\0*\xff\xff\xff\xff",
        b"Exif\0\0",
        b"Exif\0\0nonsense" * 50,
        b"Exif\0\0II*\0\x08\0\0\0\xff\xff",
    ):
        block = b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif
        assert same(read_picture(plain[:2] + block + plain[2:]), read_picture(plain))
