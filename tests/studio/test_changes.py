"""The changes of photographs: repeatable, within range, and each of them is one."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ipl_core.studio.training.photographs import DRAWN, HELD_OUT, HELD_OUT_DRAWN, photographed
from ipl_core.studio.world.domains import DOMAINS
from ipl_core.studio.world.form import AS_THEY_ARE
from ipl_core.studio.world.subject import PEOPLE


@pytest.fixture(scope="module")
def renders() -> tuple[Tensor, Tensor]:
    """Six people, (6, 3, 64, 64) in [0, 1], and their masks of figure, head and hair."""
    portrait = PEOPLE.portrait(PEOPLE.random(6, torch.Generator().manual_seed(1)), AS_THEY_ARE, 64)
    return portrait.rgb, torch.cat([portrait.figure, portrait.head, portrait.hair], 1)


def random() -> torch.Generator:
    return torch.Generator().manual_seed(2)


def test_the_same_random_numbers_give_the_same_photographs(renders: tuple[Tensor, Tensor]) -> None:
    one, other = photographed(*renders, random()), photographed(*renders, random())
    assert torch.equal(one.pictures, other.pictures)
    assert one.pictures.shape == renders[0].shape
    assert one.pictures.min() >= 0
    assert one.pictures.max() <= 1
    assert ((one.pictures - renders[0]).abs().mean((1, 2, 3)) > 0.02).all()


def test_what_has_lost_its_colours_is_said(renders: tuple[Tensor, Tensor]) -> None:
    pictures, masks = (layer.repeat(8, 1, 1, 1) for layer in renders)
    changed = photographed(pictures, masks, random())
    tints = (changed.pictures - changed.pictures.mean(1, keepdim=True)).abs().mean((1, 2, 3))
    assert 0 < changed.colours.sum() < len(pictures)
    assert tints[changed.colours].median() < tints[~changed.colours].median()


@pytest.mark.parametrize("kind", HELD_OUT)
def test_every_held_out_change_changes_a_picture_and_is_repeatable(kind: str, renders: tuple[Tensor, Tensor]) -> None:
    pictures, masks = renders
    changed = HELD_OUT[kind](pictures, masks[:, :1], random())
    assert torch.equal(changed, HELD_OUT[kind](pictures, masks[:, :1], random()))
    assert changed.shape == pictures.shape
    assert ((changed - pictures).abs().mean((1, 2, 3)) > 0.004).all()


def test_no_domain_is_both_taught_and_measured() -> None:
    assert not {*DRAWN} & {*HELD_OUT_DRAWN}
    assert {*DRAWN, *HELD_OUT_DRAWN} <= {domain.name for domain in DOMAINS}
