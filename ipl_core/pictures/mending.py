"""Repairs damaged picture files whose pixels are intact: oversized or broken metadata, a missing end.

Metadata is removed, and a missing JPEG end marker is added. A picture that lacks more than its last few rows isn't
repaired. JPEGs are decoded only to find how many rows they have.
"""

from __future__ import annotations

import io
import logging
import zlib
from collections.abc import Iterator

import numpy as np
from PIL import Image

log = logging.getLogger(__name__)

_PNG, _JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8"
_JPEG_END = b"\xff\xd9"
#: Chunks of a PNG that its pixels need, or that say it is animated.
_NEEDED = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND", b"acTL", b"fcTL", b"fdAT")
_EXIF, _PROFILE = b"eXIf", b"iCCP"
_MOST_EXIF = 65536  # bytes, as in a JPEG
#: Rows that may be missing at the bottom, as a share of all.
MISSING = 0.03
# Any bytes do that are no marker: where pixels are still to come, they show as noise.
_NOISE = bytes((37 * number + 11) % 251 for number in range(4096))


def mended(data: bytes, name: str, most_notes: int) -> bytes | None:
    """The file reduced to what its pixels need, if that may make it readable; else None.

    name: what the log calls it. most_notes: bytes of a colour profile that is kept.
    """
    if data.startswith(_PNG):
        bare = _bare_png(data, most_notes)
        return bare if len(bare) < len(data) else None
    if data.startswith(_JPEG):
        return _closed_jpeg(data, name)
    return None


def _bare_png(data: bytes, most_notes: int) -> bytes:
    """Without all texts, and without a profile or EXIF that is too large or broken."""
    kept = [_PNG]
    for kind, content, chunk in _chunks(data):
        whole = chunk[-4:] == zlib.crc32(kind + content).to_bytes(4, "big")
        if (
            kind in _NEEDED
            or (kind == _EXIF and whole and len(content) <= _MOST_EXIF)
            or (kind == _PROFILE and whole and _profile_fits(content, most_notes))
        ):
            kept.append(chunk)
    return b"".join(kept)


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes, bytes]]:
    """Kind, content and whole bytes of each chunk, the last one perhaps cut short."""
    place = len(_PNG)
    while place + 8 <= len(data):
        length = int.from_bytes(data[place : place + 4], "big")
        end = place + 12 + length
        yield data[place + 4 : place + 8], data[place + 8 : place + 8 + length], data[place:end]
        place = end


def _profile_fits(content: bytes, most: int) -> bool:
    packed = content.partition(b"\0")[2][1:]
    unpacker = zlib.decompressobj()
    try:
        return len(unpacker.decompress(packed, most + 1)) <= most and unpacker.eof
    except zlib.error:
        return False


def _closed_jpeg(data: bytes, name: str) -> bytes | None:
    """With the end marker that is missing, if all rows of pixels but the last few are there; else None."""
    body = data.removesuffix(b"\xff")
    closed, noisy = _rows(body + _JPEG_END), _rows(body + _NOISE + _JPEG_END)
    if closed is None or noisy is None or closed.shape != noisy.shape:
        return None
    # Behind the last pixel noise changes nothing; before it, it shows from where the pixels end.
    changed = np.flatnonzero((closed != noisy).any(axis=1))
    missing = 0.0 if not len(changed) else 1 - changed[0] / len(closed)
    if missing > MISSING:
        return None
    if missing:
        log.warning("%s is cut short: about the last %.0f %% of its rows are missing.", name, max(1.0, 100 * missing))
    return body + _JPEG_END


def _rows(data: bytes) -> np.ndarray | None:
    """The picture's rows of grey levels, None if it can't be decoded at all.

    At an eighth of its size where that tells all: a progressive one has its coarse half first, for the whole picture.
    """
    try:
        with Image.open(io.BytesIO(data)) as picture:
            if not picture.info.get("progressive"):
                picture.draft("L", (max(1, picture.width // 8), max(1, picture.height // 8)))
            return np.asarray(picture.convert("L"))
    except Exception:  # Pillow's readers raise whatever a damaged file leads them to
        return None
