"""Tensors to bytes, grids and files."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ipl_core.errors import InputError
from ipl_core.pictures.media import (
    enlargement,
    grid,
    labelled,
    left_out_words,
    read_settings,
    save_animation,
    save_png,
    to_float,
    to_uint8,
)


def test_values_become_bytes_clipped_and_rounded() -> None:
    images = torch.tensor([-2.0, -1.0, 0.0, 1.0, 3.0, float("nan")]).view(1, 1, 1, 6).expand(1, 3, 1, 6)
    levels = to_uint8(images)
    assert levels.shape == (1, 1, 6, 3)
    assert levels[0, 0, :, 0].tolist() == [0, 0, 128, 255, 255, 128]


def test_grid_puts_pictures_row_by_row() -> None:
    levels = torch.arange(3, dtype=torch.uint8).view(3, 1, 1, 1).expand(3, 4, 5, 3) * 50
    sheet = grid(levels, columns=2, gap=1)
    assert sheet.size == (11, 9)
    assert [sheet.getpixel(at)[0] for at in ((0, 0), (6, 0), (0, 5), (5, 0), (6, 5))] == [0, 50, 100, 255, 255]


def test_grid_of_one_row_and_of_nothing() -> None:
    assert grid(torch.zeros(2, 3, 4, 4), columns=9).size == (10, 4)
    with pytest.raises(ValueError, match="at least one"):
        grid(torch.zeros(0, 3, 4, 4))


def test_labels_stand_below_their_pictures_and_are_cut_when_too_long() -> None:
    sheet = labelled(torch.full((3, 8, 8, 3), 200, dtype=torch.uint8), ["one", "two", "w" * 200], columns=3)
    assert sheet.width == 3 * 160 + 4
    strip = sheet.crop((0, 160, sheet.width, sheet.height)).convert("L")
    for k in range(3):
        tile = strip.crop((k * 162, 0, k * 162 + 160, strip.height))
        assert min(tile.tobytes()) < 60
        assert tile.getpixel((0, 0)) == 255
    with pytest.raises(ValueError, match="2 pictures need as many labels"):
        labelled(torch.zeros(2, 3, 4, 4), ["one"])


def test_bytes_and_values_are_inverse() -> None:
    levels = torch.arange(256, dtype=torch.uint8).view(1, 16, 16, 1).expand(1, 16, 16, 3)
    assert torch.equal(to_uint8(to_float(levels)), levels)


def test_png_carries_its_settings(tmp_path: Path) -> None:
    path = save_png(Image.new("RGB", (2, 2)), tmp_path / "new" / "a.png", {"target": "ukiyo-e “浮世絵”"})
    assert read_settings(path) == {"target": "ukiyo-e “浮世絵”"}
    assert [file.name for file in path.parent.iterdir()] == ["a.png"]
    plain = save_png(Image.new("RGB", (2, 2)), tmp_path / "b.png")
    assert read_settings(plain) is None


def test_interrupted_save_leaves_the_old_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save_png(Image.new("RGB", (2, 2), "red"), tmp_path / "a.png")

    def fail(*arguments: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(InputError, match="No space left"):
        save_png(Image.new("RGB", (2, 2), "blue"), path)
    assert Image.open(path).getpixel((0, 0)) == (255, 0, 0)
    assert [file.name for file in tmp_path.iterdir()] == ["a.png"]


def test_unwritable_and_unreadable_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="can't be written"):
        save_png(Image.new("RGB", (2, 2)), tmp_path / "file" / "a.png")
    with pytest.raises(InputError, match="can't be read"):
        read_settings(tmp_path / "file")


# ----------------------------------------------------------------------------------------------------------------------
# Animations


@pytest.fixture
def frames() -> torch.Tensor:
    """Eight frames of 16×32: grey from dark to light at the left, red at the right."""
    levels = torch.zeros(8, 16, 32, 3, dtype=torch.uint8)
    levels[:, :, :16] = (torch.arange(8) * 30).view(8, 1, 1, 1)
    levels[:, :, 16:, 0] = 200
    return levels


@pytest.mark.parametrize("ending", [".webp", ".gif"])
def test_an_animation_has_its_frames_pace_and_settings(tmp_path: Path, frames: torch.Tensor, ending: str) -> None:
    settings = {"people": [0, 7], "words": "ukiyo-e “浮世絵”" * 40}
    path = save_animation(frames, tmp_path / "new" / f"a{ending}", 20, settings, enlarge=2)
    assert read_settings(path) == settings
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    with Image.open(path) as picture:
        assert picture.size == (64, 32)
        assert picture.n_frames == 8
        assert picture.info["loop"] == 0
        for number in range(8):
            picture.seek(number)
            picture.load()
            assert picture.info["duration"] == 50
            shown = picture.convert("RGB")
            assert abs(shown.getpixel((10, 16))[0] - 30 * number) <= 6
            assert abs(shown.getpixel((54, 16))[0] - 200) <= 12


@pytest.mark.parametrize("rate", [1, 7, 12.5, 24, 30, 40, 49, 50, 51, 59.9, 60])
def test_a_gif_plays_at_its_rate_in_browsers(tmp_path: Path, rate: float) -> None:
    count = 48
    levels = (5 * torch.arange(count).view(count, 1, 1, 1) + 4 * torch.arange(64).view(1, 1, 64, 1)) % 256
    path = save_animation(levels.expand(count, 8, 64, 3).to(torch.uint8), tmp_path / "a.gif", rate)
    delays, greys = [], []
    with Image.open(path) as picture:
        for number in range(picture.n_frames):
            picture.seek(number)
            delays.append(picture.info["duration"])
            greys.append(picture.convert("L").getpixel((0, 4)))
    assert min(delays) >= 20  # below that, browsers show each frame for 100 ms
    assert abs(sum(delays) - 1000 * count / rate) <= 20
    assert max(delays) - min(delays) <= 10
    assert len(delays) == count if rate <= 50 else len(delays) == int(50 * count / rate)
    steps = [later - earlier for earlier, later in zip(greys, greys[1:])]
    assert max(steps) <= 2 * 5 + 6  # no two frames in a row are left out
    words = left_out_words(path, count, rate)
    assert (f"{len(delays)} of 48 are in it" in words) == (rate > 50)
    assert not left_out_words("a.webp", count, rate)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_the_shortest_gifs_are_written(tmp_path: Path, count: int, frames: torch.Tensor) -> None:
    with Image.open(save_animation(frames[:count], tmp_path / "a.gif", 60)) as picture:
        assert picture.n_frames >= 1
        assert picture.info.get("duration", 20) >= 20


def test_an_mp4_plays_and_carries_its_settings(tmp_path: Path, frames: torch.Tensor) -> None:
    import imageio_ffmpeg

    path = save_animation(frames, tmp_path / "a.mp4", 20, {"people": [0, 7], "name": "a=b; “c”"})
    reader = imageio_ffmpeg.read_frames(path)
    facts = next(reader)
    shown = [np.frombuffer(frame, np.uint8).reshape(16, 32, 3) for frame in reader]
    assert (facts["size"], facts["fps"], facts["codec"], len(shown)) == ((32, 16), 20.0, "h264", 8)
    assert all(abs(int(frame[8, 6, 0]) - 30 * number) <= 8 for number, frame in enumerate(shown))
    listed = subprocess.run(
        [imageio_ffmpeg.get_ffmpeg_exe(), "-i", path, "-f", "ffmetadata", "-"], capture_output=True, check=True
    )
    assert b"ipl-studio" in listed.stdout


def test_an_animation_that_cannot_be_written_leaves_the_old_one(tmp_path: Path, frames: torch.Tensor) -> None:
    for name in ("a.avi", "a"):
        with pytest.raises(InputError, match=r"\.webp, \.mp4, \.gif"):
            save_animation(frames, tmp_path / name)
    for rate in (0, 61, float("nan")):
        with pytest.raises(InputError, match="from 1 to 60"):
            save_animation(frames, tmp_path / "a.gif", rate)
    path = save_animation(frames, tmp_path / "a.mp4")
    old = path.read_bytes()
    with pytest.raises(InputError, match="ffmpeg: "):
        save_animation(frames[:, :15], path)
    assert path.read_bytes() == old
    assert [file.name for file in tmp_path.iterdir()] == ["a.mp4"]


def test_without_ffmpeg_the_other_formats_are_named(
    tmp_path: Path, frames: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    import imageio_ffmpeg

    def missing() -> str:
        raise RuntimeError("No ffmpeg exe could be found")

    monkeypatch.setattr(imageio_ffmpeg, "get_ffmpeg_exe", missing)
    with pytest.raises(InputError, match="Write WebP or GIF"):
        save_animation(frames, tmp_path / "a.mp4")


def test_a_comment_of_another_program_is_not_ours(tmp_path: Path) -> None:
    path = tmp_path / "a.gif"
    Image.new("P", (2, 2)).save(path, comment=b"made elsewhere")
    assert read_settings(path) is None


def test_small_frames_are_enlarged_to_be_seen_well() -> None:
    assert [enlargement(edge) for edge in (16, 32, 64, 100, 256, 1024)] == [16, 8, 4, 3, 1, 1]
