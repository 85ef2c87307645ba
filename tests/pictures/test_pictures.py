"""A person's picture, however it comes, is upright 8-bit RGB; what can't be used is refused by name."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from ipl_core.errors import InputError
from ipl_core.pictures import reading as pictures
from ipl_core.pictures.media import to_pictures
from ipl_core.pictures.reading import WORKING_SIDE, read_picture, read_smaller, to_tensor

ORIENTATION = 0x0112


def saved(picture: Image.Image, path: Path, **options: Any) -> Path:
    picture.save(path, **options)
    return path


def halves(mode: str = "RGB", size: tuple[int, int] = (40, 20)) -> Image.Image:
    """Red on the left, blue on the right."""
    picture = Image.new("RGB", size, "blue")
    picture.paste("red", (0, 0, size[0] // 2, size[1]))
    return picture.convert(mode)


def near(colour: tuple[int, ...], other: tuple[int, ...], tolerance: int = 12) -> bool:
    return all(abs(a - b) <= tolerance for a, b in zip(colour, other))


@pytest.mark.parametrize("kind", ["png", "jpg", "webp"])
def test_paths_bytes_and_opened_pictures_are_read(kind: str, tmp_path: Path) -> None:
    path = saved(halves(), tmp_path / f"a.{kind}", **({"quality": 95} if kind != "png" else {}))
    for source in (path, str(path), path.read_bytes(), Image.open(path)):
        picture = read_picture(source)
        assert (picture.mode, picture.size) == ("RGB", (40, 20))
        assert near(picture.getpixel((5, 10)), (255, 0, 0))
        assert near(picture.getpixel((35, 10)), (0, 0, 255))


@pytest.mark.parametrize(
    ("orientation", "size", "red"),
    [(1, (40, 20), (5, 10)), (3, (40, 20), (35, 10)), (6, (20, 40), (10, 5)), (8, (20, 40), (10, 35))],
)
def test_exif_orientation_is_applied(orientation: int, size: tuple, red: tuple, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    picture = read_picture(saved(halves(), tmp_path / "a.jpg", exif=exif, quality=95))
    assert picture.size == size
    assert near(picture.getpixel(red), (255, 0, 0))


def test_transparency_lies_on_white(tmp_path: Path) -> None:
    clear = halves("RGBA")
    clear.putalpha(0)
    assert read_picture(saved(clear, tmp_path / "a.png")).getpixel((5, 5)) == (255, 255, 255)
    palette = Image.new("P", (20, 20), 1)
    palette.putpalette([0, 0, 0, 255, 0, 0])
    palette.putpixel((0, 0), 0)
    assert read_picture(saved(palette, tmp_path / "p.png", transparency=0)).getpixel((0, 0)) == (255, 255, 255)


def test_grey_cmyk_and_16_bits_are_converted(tmp_path: Path) -> None:
    assert read_picture(saved(Image.new("L", (20, 20), 100), tmp_path / "l.png")).getpixel((3, 3)) == (100,) * 3
    assert near(read_picture(saved(halves("CMYK"), tmp_path / "c.jpg", quality=95)).getpixel((5, 5)), (255, 0, 0))
    deep = Image.fromarray(np.full((20, 20), 0x8000, dtype=np.uint16))
    assert read_picture(saved(deep, tmp_path / "d.png")).getpixel((3, 3)) == (128,) * 3


def test_several_exposures_are_one_photograph_not_an_animation(tmp_path: Path) -> None:
    path = saved(halves(), tmp_path / "a.mpo", save_all=True, append_images=[halves()])
    assert read_picture(path).size == (40, 20)


@pytest.mark.parametrize("kind", ["webp", "png"])
def test_animated_pictures_are_refused(kind: str, tmp_path: Path) -> None:
    path = saved(halves(), tmp_path / f"dance.{kind}", save_all=True, append_images=[halves().rotate(90)], duration=50)
    with pytest.raises(InputError, match=r"“dance\.\w+” is animated \(2 frames\)"):
        read_picture(path)


def png_of_size(width: int, height: int) -> bytes:
    """A PNG whose header promises that many pixels."""
    out = io.BytesIO()
    Image.new("L", (1, 1)).save(out, "PNG")
    data = bytearray(out.getvalue())
    data[16:24] = struct.pack(">II", width, height)
    import zlib

    data[29:33] = struct.pack(">I", zlib.crc32(bytes(data[12:29])))
    return bytes(data)


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("empty.png", b"", "“empty.png” is empty"),
        ("notes.txt", b"hello " * 20, "“notes.txt” is no picture"),
        ("huge.png", png_of_size(9000, 8000), "“huge.png” has 9000×8000 pixels, more than 50 million"),
        ("bomb.png", png_of_size(60000, 60000), "more than 50 million pixels"),
        ("tiny.png", png_of_size(4, 400), "only 4×400 pixels"),
        ("phone.heic", b"\0\0\0\x18ftypheic" + b"\0" * 40, "“phone.heic” is a HEIC picture"),
    ],
)
def test_what_cannot_be_used_is_refused_by_name(
    name: str, data: bytes, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pictures, "_heic_is_read", lambda: False)
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(InputError, match=said) as error:
        read_picture(path)
    assert len(str(error.value).splitlines()) == 1


def test_other_kinds_and_broken_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is of the format GIF"):
        read_picture(saved(halves(), tmp_path / "a.gif"))
    for kind in ("png", "jpg"):
        whole = saved(halves(size=(400, 400)), tmp_path / f"a.{kind}").read_bytes()
        cut = tmp_path / f"cut.{kind}"
        cut.write_bytes(whole[: len(whole) // 2])
        with pytest.raises(InputError, match=rf"“cut\.{kind}” can't be read as a picture"):
            read_picture(cut)
    with pytest.raises(InputError, match="check the path"):
        read_picture(tmp_path / "nowhere.png")
    with pytest.raises(InputError, match="is a folder"):
        read_picture(tmp_path)


def test_tensor_and_picture_are_inverse() -> None:
    picture = halves()
    tensor = to_tensor(picture)
    assert tensor.shape == (1, 3, 20, 40)
    assert tensor[0, :, 0, 0].tolist() == [1, -1, -1]
    assert to_pictures(tensor)[0].tobytes() == picture.tobytes()
    assert torch.is_floating_point(tensor)


# ----------------------------------------------------------------------------------------------------------------------
# Made smaller


def slope(width: int, height: int) -> Image.Image:
    """Red grows to the right, green downwards."""
    across = np.linspace(0, 255, width)[None].repeat(height, 0)
    down = np.linspace(0, 255, height)[:, None].repeat(width, 1)
    return Image.fromarray(np.stack([across, down, np.full_like(down, 40)], 2).astype(np.uint8), "RGB")


def test_a_picture_that_fits_comes_as_it_is(tmp_path: Path) -> None:
    path = saved(slope(300, 200), tmp_path / "a.jpg", quality=95)
    small, times = read_smaller(path)
    assert times == 1
    assert small.tobytes() == read_picture(path).tobytes()
    assert read_smaller(path, 300)[0].tobytes() == small.tobytes()
    assert WORKING_SIDE == 4096


@pytest.mark.parametrize(
    ("kind", "mode"),
    [*(("png", mode) for mode in ("RGB", "RGBA", "L", "P", "LA", "1")), ("jpg", "RGB"), ("webp", "RGB")],
)
@pytest.mark.parametrize(("side", "times"), [(200, 2), (150, 2), (100, 3), (40, 8), (3, 12)])
def test_a_larger_picture_is_made_smaller_by_a_whole_number(
    kind: str, mode: str, side: int, times: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pictures, "_BAND", 3000)  # in many pieces
    path = saved(slope(300, 200).convert(mode), tmp_path / f"a.{kind}", **({} if kind == "png" else {"quality": 95}))
    small, found = read_smaller(path, side)
    assert found == {("jpg", 3): 4, ("jpg", 12): 8}.get((kind, times), times)  # a JPEG is halved while it is decoded
    assert small.size == (-(-300 // found), -(-200 // found))
    expected = read_picture(path).reduce(found)
    assert np.abs(np.asarray(small, float) - np.asarray(expected, float)).mean() < (1 if kind == "png" else 3)


def test_a_smaller_picture_is_upright_and_lies_on_white(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    for kind in ("jpg", "png", "webp"):
        small, times = read_smaller(saved(halves(size=(400, 200)), tmp_path / f"a.{kind}", exif=exif), 100)
        assert (small.size, times) == ((50, 100), 4)
        assert near(small.getpixel((25, 5)), (255, 0, 0))
    clear = halves("RGBA", (400, 200))
    clear.putalpha(0)
    assert read_smaller(saved(clear, tmp_path / "a.png"), 100)[0].getpixel((5, 5)) == (255, 255, 255)
    deep = Image.fromarray(np.full((200, 400), 0x8000, dtype=np.uint16))
    assert read_smaller(saved(deep, tmp_path / "d.png"), 100)[0].getpixel((3, 3)) == (128,) * 3


def test_many_large_pictures_at_once_take_little_memory(tmp_path: Path) -> None:
    """Six of 7000×7000, which are 93 kB each as files and 200 MB each as pictures."""
    pytest.importorskip("resource")
    program = """
import resource, sys, threading
from PIL import Image
from ipl_core.pictures.reading import read_smaller
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
before, done = peak(), []
threads = [threading.Thread(target=lambda: done.append(read_smaller(sys.argv[1]))) for _ in range(6)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
assert [picture.size for picture, _ in done] == [(3500, 3500)] * 6
print(peak() - before)
"""
    path = tmp_path / "flat.png"
    subprocess.run(
        [sys.executable, "-c", f"from PIL import Image; Image.new('RGB', (7000, 7000), 'red').save({str(path)!r})"],
        check=True,
    )
    ended = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True)
    assert int(ended.stdout) < 900e6
