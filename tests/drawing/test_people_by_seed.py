"""People by seed: as text and back, style mixing layer by layer, who looks like whom."""

from __future__ import annotations

import threading

import pytest
import torch

from ipl_core import InputError
from ipl_core.clip.model import Critic
from ipl_core.drawing.people_by_seed import Likenesses, SeedPerson, draw_people
from ipl_core.drawing.sampling import draw, seed_latents
from ipl_core.generators.stylegan2.network import Generator
from ipl_core.latents import MAX_SEED

MIXED = SeedPerson("studio", 3, 0.5, fine=8, crossover=4)


@pytest.mark.parametrize(
    "person", [SeedPerson("studio", 0), SeedPerson("afhq-dog-512", MAX_SEED, 1.5), SeedPerson("a", 7, 0.0, 0, 1), MIXED]
)
def test_a_person_is_one_line_and_comes_back(person: SeedPerson) -> None:
    assert SeedPerson.parse(str(person)) == person
    assert "\n" not in str(person)


@pytest.mark.parametrize(
    "text",
    ["", "7", "studio 7", "studio 7~9", "a 99999999999~0.7", "a -1~0.7", "a 7~0.7+8", "a b 7~0.7", "a 7~0.7\n"],
)
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        SeedPerson.parse(text)


@pytest.mark.parametrize("wrong", [{"seed": -1}, {"seed": 1.5}, {"fine": MAX_SEED + 1}, {"psi": 2}, {"psi": "much"}])
def test_what_cannot_be_meant_is_refused(wrong: dict) -> None:
    with pytest.raises(InputError):
        SeedPerson(**{"model": "studio", "seed": 1, **wrong})


def test_coarse_layers_are_of_one_seed_and_fine_ones_of_another(tiny_generator: Generator) -> None:
    mixed, own = MIXED.w_plus(tiny_generator), seed_latents(tiny_generator, [3, 8], 0.5)
    torch.testing.assert_close(mixed[0, :4], own[0, :4])
    torch.testing.assert_close(mixed[0, 4:], own[1, 4:])
    for crossover in (0, tiny_generator.num_layers):
        with pytest.raises(InputError, match=f"from 1 to {tiny_generator.num_layers - 1}"):
            SeedPerson("studio", 3, fine=8, crossover=crossover).w_plus(tiny_generator)


def test_people_are_drawn_as_their_seeds_are(tiny_generator: Generator) -> None:
    people = [SeedPerson("studio", 3, 0.5), MIXED, SeedPerson("studio", 8, 0.5)]
    pictures = draw_people(tiny_generator, people)
    torch.testing.assert_close(pictures[[0, 2]], draw(tiny_generator, [3, 8], 0.5), atol=1e-4, rtol=0)
    assert (pictures[1] - pictures[0]).abs().max() > 1e-3
    assert (pictures[1] - pictures[2]).abs().max() > 1e-3


def test_the_nearest_are_those_of_the_largest_cosine(tiny_generator: Generator, tiny_critic: Critic) -> None:
    likenesses, seeds = Likenesses(tiny_generator, tiny_critic, 1.0), list(range(40))
    assert list(likenesses.see(seeds)) == [16, 32, 40]
    assert list(likenesses.see([*seeds, 41])) == [41], "whom it has seen is looked at again"
    embeddings = tiny_critic.encode_images(draw(tiny_generator, seeds, 1.0))
    expected = sorted((seed for seed in seeds if seed != 7), key=lambda seed: -float(embeddings[seed] @ embeddings[7]))
    found = likenesses.nearest(7, seeds, 5)
    assert [seed for seed, _ in found] == expected[:5]
    assert found[0][1] == pytest.approx(float(embeddings[expected[0]] @ embeddings[7]), abs=1e-4)
    assert len(likenesses.nearest(7, seeds, 99)) == 39


def test_stop_ends_the_looking(tiny_generator: Generator, tiny_critic: Critic) -> None:
    stop, likenesses = threading.Event(), Likenesses(tiny_generator, tiny_critic)
    for known in likenesses.see(range(100), stop):
        assert known == 16
        stop.set()
