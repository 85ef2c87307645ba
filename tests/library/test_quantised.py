"""Few bits a number: how near it stays, how small it gets, and what is no such thing."""

from __future__ import annotations

import pytest
import torch

from ipl_core import InputError
from ipl_core.library.quantised import deflated, inflated, quantise, restored


@pytest.mark.parametrize("bits", range(2, 9))
def test_every_number_is_at_most_half_a_level_away(bits: int, rng: torch.Generator) -> None:
    values = torch.randn(5, 3, 2, 2, generator=rng) * torch.tensor([1.0, 1e-6, 100.0, 0.0, 3.0]).view(5, 1, 1, 1)
    levels, scales = quantise(values, bits)
    again = restored(levels, scales, values.shape)
    step = values.flatten(1).abs().amax(1) / (2 ** (bits - 1) - 1)
    assert again.shape == values.shape
    assert ((again - values).flatten(1).abs().amax(1) <= 0.5001 * step).all()
    assert len(torch.unique((again / scales.clamp_min(1e-30).view(5, 1, 1, 1)).round())) <= 2**bits - 1


def test_fewer_bits_take_less_room(rng: torch.Generator) -> None:
    values = torch.randn(64, 64, 3, 3, generator=rng)
    sizes = [quantise(values, bits)[0].numel() for bits in range(2, 9)]
    assert sizes == sorted(sizes)
    assert sizes[2] < values.numel() / 2  # four bits would take half a byte without being deflated


@pytest.mark.parametrize("bits", [1, 9, 0])
def test_other_bits_are_refused(bits: int) -> None:
    with pytest.raises(InputError, match="2 to 8 bits"):
        quantise(torch.ones(2, 2), bits)


def test_what_does_not_belong_together_is_refused() -> None:
    levels, scales = quantise(torch.arange(12.0).view(3, 4), 8)
    assert torch.allclose(restored(levels, scales, (3, 4)), torch.arange(12.0).view(3, 4), atol=0.05)
    for wrong in ((3, 5), (3, 3), (4, 3)):
        with pytest.raises(ValueError, match=r"levels|scales|bytes"):
            restored(levels, scales, wrong)
    with pytest.raises(ValueError, match="scales"):
        restored(levels, scales * float("nan"), (3, 4))
    with pytest.raises(ValueError, match="inflated"):
        restored(torch.zeros(20, dtype=torch.uint8), scales, (3, 4))


def test_a_file_that_claims_a_lot_is_not_unpacked() -> None:
    bomb = deflated(bytes(50_000_000))
    assert bomb.numel() < 100_000
    with pytest.raises(ValueError, match="more than 1000 bytes"):
        inflated(bomb, 1000)
    with pytest.raises(ValueError, match="cut short"):
        inflated(bomb[:-10], 60_000_000)
    assert inflated(deflated(b"words"), 5) == b"words"
