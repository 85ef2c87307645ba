"""Losses: values known by hand, ranges, and agreement with the plain double loop."""

from __future__ import annotations

import math

import pytest
import torch

from ipl_core.methods import losses
from ipl_core.methods.directions import normalise


@pytest.fixture
def pair(rng: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    return normalise(torch.randn(6, 8, generator=rng)), normalise(torch.randn(6, 8, generator=rng))


def test_infonce_of_uninformative_prompts_is_log_batch(pair) -> None:
    image, prompt = pair
    torch.testing.assert_close(losses.contrastive_infonce(image, prompt, 0.0), torch.tensor(math.log(6)))
    # equal prompts tell no picture from another, but pictures still differ in how well the one prompt fits
    assert losses.contrastive_infonce(image, prompt[:1].expand(6, -1), 1.0) >= math.log(6)


def test_infonce_of_told_apart_pairs_is_zero() -> None:
    basis = torch.eye(6)
    assert losses.contrastive_infonce(basis, basis, 100.0) < 1e-6
    assert losses.contrastive_infonce(basis, basis.roll(1, 0), 100.0) == pytest.approx(100.0, rel=1e-3)


def test_infonce_is_symmetric_and_equals_its_definition(pair) -> None:
    image, prompt = pair
    value = losses.contrastive_infonce(image, prompt, 10.0)
    torch.testing.assert_close(value, losses.contrastive_infonce(prompt, image, 10.0))
    logits = 10 * image @ prompt.T
    by_hand = sum(-logits.log_softmax(d).diagonal().mean() for d in (0, 1)) / 2
    torch.testing.assert_close(value, by_hand)


def test_difference_equals_the_double_loop(pair) -> None:
    image, prompt = pair
    cosines = [[torch.dot(i, p) for p in prompt] for i in image]
    strangers = [cosines[i][j] for i in range(6) for j in range(6) if i != j]
    pairs = [cosines[i][i] for i in range(6)]
    expected = sum(strangers) / 30 - sum(pairs) / 6
    torch.testing.assert_close(losses.contrastive_difference(image, prompt), expected)


def test_difference_ignores_what_all_prompts_share(pair) -> None:
    image, prompt = pair
    one = prompt[:1].expand(6, -1)
    torch.testing.assert_close(losses.contrastive_difference(image, one), torch.tensor(0.0), atol=1e-6, rtol=0)
    assert losses.contrastive_difference(torch.eye(6), torch.eye(6)) == -1


def test_distances_of_equal_and_opposite(pair) -> None:
    image, _ = pair
    for loss in (losses.alignment_loss, losses.domain_loss, losses.global_loss):
        assert loss(image, image) == pytest.approx(0, abs=1e-6)
        assert loss(image, -image) == pytest.approx(2, abs=1e-6)
        torch.testing.assert_close(loss(image, image[:1]), 1 - (image @ image[0]).mean())


def test_adaptation_loss_of_an_unmoved_picture_pulls_along_the_text_direction(pair) -> None:
    source, direction = pair
    target = source.clone().requires_grad_()
    loss = losses.adaptation_loss(target, source, direction)
    loss.backward()
    assert loss == 1
    torch.testing.assert_close(normalise(-target.grad), direction)


def test_shared_direction_is_every_images_direction(pair) -> None:
    embeddings, directions = pair
    shared = losses.adaptation_loss(embeddings, embeddings.roll(1, 0), directions[:1])
    each = losses.adaptation_loss(embeddings, embeddings.roll(1, 0), directions[:1].expand(6, -1))
    torch.testing.assert_close(shared, each)


def test_adaptation_loss_is_one_minus_the_cosine_of_the_moves(pair) -> None:
    adapted, directions = pair
    source = adapted.roll(1, 0)
    moves = normalise(adapted - source)
    expected = sum(1 - torch.dot(move, direction) for move, direction in zip(moves, directions)) / 6
    torch.testing.assert_close(losses.adaptation_loss(adapted, source, directions), expected)
    assert losses.adaptation_loss(adapted, source, moves) == pytest.approx(0, abs=1e-6)
    assert losses.adaptation_loss(adapted, source, -moves) == pytest.approx(2, abs=1e-6)


def test_diversity(pair) -> None:
    image, _ = pair
    expected = sum(1 - torch.dot(image[i], image[j]) for i in range(6) for j in range(i)) / 15
    torch.testing.assert_close(losses.diversity(image), expected)
    assert losses.diversity(image[:1].expand(4, -1)) == pytest.approx(0, abs=1e-6)
    assert losses.diversity(torch.eye(5)) == 1
    assert losses.diversity(image[:1]) == 0


def test_all_losses_are_scalars_and_differentiable(pair) -> None:
    image, prompt = pair
    image.requires_grad_()
    total = (
        losses.contrastive_infonce(image, prompt, 10.0)
        + losses.contrastive_difference(image, prompt)
        + losses.alignment_loss(image, prompt[:1])
        + losses.domain_loss(image, prompt[:1])
        + losses.adaptation_loss(image, prompt, prompt)
        + losses.global_loss(image, prompt)
        + losses.diversity(image)
    )
    assert total.shape == ()
    total.backward()
    assert image.grad.isfinite().all()
