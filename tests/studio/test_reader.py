"""The reader learns attributes from photos, resumes, and sees the difference that pixels hide."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ipl_core.studio.training.reader import Reader, reader_loss, trained_reader

CPU = torch.device("cpu")


def spots(count: int, random: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Noisy pictures (N, 3, 32, 32) uint8 with a small bright spot on the left or the right, and which: ±1, (N, 1)."""
    pictures = torch.randint(0, 120, (count, 3, 32, 32), dtype=torch.uint8, generator=random)
    right = torch.randint(2, (count,), generator=random)
    for picture, side in zip(pictures, right.tolist()):
        picture[:, 14:17, 6 + 18 * side : 9 + 18 * side] = 255
    return pictures, (2.0 * right - 1)[:, None]


def test_it_learns_what_few_pixels_tell_and_sees_it_large(tmp_path: Path) -> None:
    random = torch.Generator().manual_seed(0)
    pictures, code = spots(256, random)
    reader = trained_reader("spots", code, pictures, 40, 32, tmp_path, CPU)
    assert not reader.training
    fresh, truth = spots(64, random)
    shown = fresh.float() / 127.5 - 1
    assert ((reader(shown)[-1] > 0) == (truth > 0)).float().mean() > 0.9
    # A spot on the other side changes pixels as little as noise does; to the reader it is a large change.
    other, noisy = shown.clone(), shown.clone()
    for picture in other:
        left, right = picture[:, 14:17, 6:9].clone(), picture[:, 14:17, 24:27].clone()
        picture[:, 14:17, 6:9], picture[:, 14:17, 24:27] = right, left
    noisy += (other - shown).abs().mean() / 0.8 * torch.randn(shown.shape, generator=random)
    seen = reader(shown)
    assert (noisy - shown).abs().mean() == pytest.approx(float((other - shown).abs().mean()), rel=0.05)
    assert reader_loss(reader(other)[-1:], seen[-1:]) > 5 * reader_loss(reader(noisy)[-1:], seen[-1:])
    assert reader_loss(seen, seen) == 0


def test_a_trained_one_is_kept_and_read_back(tmp_path: Path) -> None:
    pictures, code = spots(8, torch.Generator().manual_seed(1))
    whole = trained_reader("spots", code, pictures, 6, 4, tmp_path / "whole", CPU)
    again = trained_reader("spots", code, pictures, 6, 4, tmp_path / "whole", CPU)  # from its checkpoint, no step more
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name]), name


def test_what_every_stage_sees_has_its_own_size() -> None:
    reader = Reader(5, torch.Generator().manual_seed(0), widths=(4, 8, 8)).eval()
    seen = reader(torch.zeros(2, 3, 32, 32))
    assert [tuple(t.shape) for t in seen] == [(2, 4, 16, 16), (2, 8, 8, 8), (2, 8, 4, 4), (2, 5)]
