"""How far pictures have come to the truth, in areas and in strokes."""

from __future__ import annotations

import pytest
import torch

from ipl_core.studio.way import change_made, way_done


def test_the_way_that_is_done_rises_from_photo_to_truth() -> None:
    random = torch.Generator().manual_seed(0)
    before, true = torch.zeros(1, 3, 32, 32), 0.7 + 0.3 * torch.rand(1, 3, 32, 32, generator=random)
    ends = torch.tensor([0.0, 0.25, 0.5, 1.0])
    done, moved = way_done(before, before + ends[:, None, None, None] * (true - before), true)
    assert torch.allclose(done, ends, atol=1e-5)
    assert torch.allclose(moved, ends, atol=1e-5)
    away, _ = way_done(before, before - 0.5 * (true - before), true)
    assert away < 0


def test_a_lattice_is_right_wherever_its_lines_lie() -> None:
    photo = torch.zeros(1, 3, 64, 64)

    def tiled(across: int, down: int) -> torch.Tensor:
        lines = torch.zeros(64, 64)
        lines[:, across::8], lines[down::8] = 1, 1
        return (photo - 0.5 + lines).clamp(max=1)

    elsewhere, flat = (way_done(photo, after, tiled(0, 0))[0] for after in (tiled(5, 3), photo - 0.5))
    assert elsewhere > 0.7
    assert flat < 0.6


def test_the_change_made_is_one_for_the_true_change_wherever_the_source_begins() -> None:
    random = torch.Generator().manual_seed(1)
    photo, true, before = (torch.rand(2, 3, 32, 32, generator=random) - 0.5 for _ in range(3))
    areas, _ = change_made(before, before + true - photo, photo, true)
    assert areas == pytest.approx(1, abs=1e-5)
    assert change_made(photo, true, photo, true) == pytest.approx((1, 1), abs=1e-5)
    assert change_made(before, before, photo, true) == pytest.approx((0, 0), abs=1e-6)
    assert change_made(photo, photo + (true - photo) / 2, photo, true)[0] == pytest.approx(0.5, abs=1e-5)
    assert change_made(photo, photo - (true - photo) / 2, photo, true)[0] == pytest.approx(-0.5, abs=1e-5)


def test_a_colour_alone_makes_no_strokes() -> None:
    photo = torch.zeros(1, 3, 64, 64)
    lines = torch.zeros(64, 64)
    lines[:, ::4] = 1
    areas, strokes = change_made(photo, photo + lines.mean(), photo, photo + lines)
    assert areas == pytest.approx(1)  # blocks of four hold a line each
    assert strokes == pytest.approx(0, abs=1e-6)
