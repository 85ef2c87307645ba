"""Seeds, latents and the paths between them."""

from __future__ import annotations

import pytest
import torch

from ipl_core.errors import InputError
from ipl_core.generators.stylegan2.network import Generator, GeneratorConfig
from ipl_core.latents import (
    MAX_SEED,
    generator_from_seed,
    latents_from_seeds,
    lerp,
    noise_from_seeds,
    parse_seeds,
    slerp,
)


@pytest.mark.parametrize(
    ("text", "seeds"),
    [
        ("7", [7]),
        ("0-3", [0, 1, 2, 3]),
        ("0-2,20", [0, 1, 2, 20]),
        (" 5 , 1 - 2 ", [5, 1, 2]),
        ("3,3", [3, 3]),
        ("4-4", [4]),
        ("1\u20133", [1, 2, 3]),
        (str(MAX_SEED), [MAX_SEED]),
    ],
)
def test_seeds_as_people_type_them(text, seeds):
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "No seeds"),
        ("   ", "No seeds"),
        ("1,,2", "“”"),
        ("1,", "“”"),
        ("a", "“a”"),
        ("1.5", "“1.5”"),
        ("-3", "“-3”"),
        ("1-2-3", "“1-2-3”"),
        ("5-2", "write 2-5"),
        (str(MAX_SEED + 1), str(MAX_SEED)),
        ("0-99999999999", str(MAX_SEED)),
        ("0-20000", "more than 10000"),
        ("9" * 5000, f"{MAX_SEED}; got “99"),
        ("0-" + "9" * 5000, str(MAX_SEED)),
        ("x" * 10_000_000, "whole numbers"),
        ("0," * 20_000, "more than 10000"),
        (7, "text such as 0-15,20, not 7"),
        (None, "not None"),
        ([1, 2], "not a list of 2"),
    ],
)
def test_unreadable_seeds_say_what_is_wrong(text, part):
    with pytest.raises(InputError, match=part) as refused:
        parse_seeds(text)
    assert len(str(refused.value)) < 250


def test_zeros_before_a_seed_are_no_digits_of_it():
    assert parse_seeds("0" * 6000 + "12-0013") == [12, 13]


def test_the_number_of_seeds_is_bounded_over_all_parts():
    assert len(parse_seeds("0-4,5-9", maximum=10)) == 10
    with pytest.raises(InputError, match="more than 9"):
        parse_seeds("0-4,5-9", maximum=9)


@pytest.mark.parametrize("seed", [-1, MAX_SEED + 1, 1.0, "1", True])
def test_a_seed_is_a_whole_number(seed):
    with pytest.raises(InputError):
        generator_from_seed(seed)


def test_a_latent_depends_on_its_seed_alone():
    torch.manual_seed(0)
    state = torch.random.get_rng_state()
    together = latents_from_seeds([3, 1, 2], 16)
    assert together.shape == (3, 16)
    for row, seed in enumerate([3, 1, 2]):
        assert torch.equal(together[row], latents_from_seeds([seed], 16)[0])
    assert torch.equal(state, torch.random.get_rng_state())
    assert latents_from_seeds([], 16).shape == (0, 16)


def test_latents_are_standard_normal():
    z = latents_from_seeds(range(200), 64)
    assert abs(z.mean().item()) < 0.03
    assert abs(z.std().item() - 1) < 0.03


def test_noise_has_a_stream_of_its_own():
    generator = Generator(GeneratorConfig(8, 16, 4, 1, ((4, 2), (8, 2))), torch.Generator().manual_seed(0))
    noise = noise_from_seeds([0, 1], generator)
    assert [tuple(layer.shape) for layer in noise] == [(2, 1, 4, 4), (2, 1, 8, 8), (2, 1, 8, 8)]
    # Not the same draws as z of the same seed, nor as each other.
    assert not torch.allclose(noise[0][0].flatten(), latents_from_seeds([0], 16)[0])
    assert not torch.allclose(noise[0][0], noise[0][1])
    assert torch.equal(noise_from_seeds([1], generator)[2][0], noise[2][1])


def test_lerp():
    start, end = torch.zeros(2, 3), torch.ones(2, 3)
    torch.testing.assert_close(lerp(start, end, 0.25), torch.full((2, 3), 0.25))
    assert lerp(start, end, torch.tensor([[0.0], [1.0]])).sum().item() == 3.0


def test_slerp_keeps_length_and_turns_evenly():
    start, end = torch.tensor([[2.0, 0.0, 0.0]]), torch.tensor([[0.0, 2.0, 0.0]])
    times = torch.linspace(0, 1, 7)[:, None]
    path = slerp(start, end, times)
    torch.testing.assert_close(path.norm(dim=1), torch.full((7,), 2.0))
    angles = torch.atan2(path[:, 1], path[:, 0])
    torch.testing.assert_close(angles, torch.linspace(0, torch.pi / 2, 7))
    torch.testing.assert_close(path[0], start[0])
    torch.testing.assert_close(path[-1], end[0])


def test_slerp_of_parallel_and_opposite_ends_is_finite():
    a = torch.tensor([[1.0, 2.0, 3.0], [1.0, 0.0, 0.0], [1.0, 2.0, 2.0]])
    b = torch.tensor([[2.0, 4.0, 6.0], [-1.0, 0.0, 0.0], [1.0, 2.0, 2.0]])
    middle = slerp(a, b, 0.5)
    assert torch.isfinite(middle).all()
    torch.testing.assert_close(middle[0], torch.tensor([1.5, 3.0, 4.5]))
    torch.testing.assert_close(middle[2], a[2])
    near = slerp(a, a + 1e-6, 0.5)
    torch.testing.assert_close(near, a, rtol=1e-4, atol=1e-4)
