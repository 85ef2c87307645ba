"""Directions are unit vectors, and finite with a bounded gradient where there is none."""

from __future__ import annotations

import torch

from ipl_core.methods.directions import SHORTEST_MOVE, image_direction, normalise, text_direction, turned_away


def unit(*shape: int, rng: torch.Generator) -> torch.Tensor:
    return normalise(torch.randn(*shape, generator=rng))


def test_directions_are_unit_length_and_point_from_source_to_target(rng: torch.Generator) -> None:
    source, target = unit(5, 8, rng=rng), unit(5, 8, rng=rng)
    for direction in (text_direction(source, target), image_direction(source, target)):
        torch.testing.assert_close(direction.norm(dim=-1), torch.ones(5))
        torch.testing.assert_close(direction, (target - source) / (target - source).norm(dim=-1, keepdim=True))


def test_one_text_direction_serves_many(rng: torch.Generator) -> None:
    assert text_direction(unit(1, 8, rng=rng), unit(1, 8, rng=rng)).shape == (1, 8)


def test_equal_pictures_have_no_direction_but_a_finite_bounded_gradient(rng: torch.Generator) -> None:
    source = unit(3, 8, rng=rng)
    target = source.clone().requires_grad_()
    direction = image_direction(source, target)
    assert torch.equal(direction, torch.zeros(3, 8))
    direction.sum().backward()
    torch.testing.assert_close(target.grad, torch.full((3, 8), 1 / SHORTEST_MOVE))


def test_gradient_of_a_move_is_bounded_everywhere(rng: torch.Generator) -> None:
    source = torch.zeros(4, 8)
    for length in (1e-12, 1e-4, SHORTEST_MOVE, 1.0):
        target = (length * unit(4, 8, rng=rng)).requires_grad_()
        image_direction(source, target).square().sum().backward()
        image_direction(source, target)[:, 0].sum().backward()
        assert target.grad.isfinite().all()
        assert target.grad.abs().max() <= 3 / SHORTEST_MOVE


def test_what_leads_along_an_avoided_direction_is_taken_away_and_no_more(rng: torch.Generator) -> None:
    avoided, directions = unit(1, 8, rng=rng), unit(40, 8, rng=rng)
    turned = turned_away(directions, avoided)
    along = (directions * avoided).sum(-1)
    assert 0 < int((along > 0).sum()) < 40
    assert (turned * avoided).sum(-1).max() < 1e-6
    torch.testing.assert_close(turned[along < 0], directions[along < 0])
    torch.testing.assert_close(turned.norm(dim=-1), torch.ones(40))
