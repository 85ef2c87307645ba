"""Tensors to bytes, grids and files."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image

from ipl_core.errors import InputError
from ipl_core.media import grid, labelled, read_settings, save_png, to_float, to_uint8


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
