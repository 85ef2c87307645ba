"""Families of generators: each answers what every generator answers, and learns from the pictures that it says."""

from __future__ import annotations

import itertools

import pytest
import torch
from test_diffusion import embedded

from ipl_core.errors import InputError
from ipl_core.generators.base import FAMILIES, Generator, family_of
from ipl_core.generators.learning import CHAINS, Chain, LearningStart
from ipl_core.generators.stylegan2 import network as stylegan2

SMALL = stylegan2.GeneratorConfig(
    128, z_dim=6, w_dim=8, mapping_layers=1, channels=tuple((2**k, 4) for k in range(2, 8))
)


def members() -> list[torch.nn.Module]:
    """A small generator of each family."""
    return [embedded(), stylegan2.Generator(SMALL, torch.Generator().manual_seed(0)).eval()]


def randoms(count: int, first: int = 0) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(first + k) for k in range(count)]


each_family = pytest.mark.parametrize("generator", members(), ids=lambda generator: family_of(generator).title)


@each_family
def test_a_member_answers_what_every_generator_answers(generator: torch.nn.Module) -> None:
    assert isinstance(generator, Generator)
    family = family_of(generator)
    assert FAMILIES[family.kind] is family
    z = torch.randn(2, generator.config.z_dim, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        w = generator.mapping(z)
        w_plus = generator.to_w_plus(generator.truncate(w, 0.7))
        noise = generator.make_noise(randoms(2))
        drawn = generator.synthesis(w_plus, noise=noise)
    assert w.shape == (2, generator.config.w_dim)
    assert w_plus.shape == (2, generator.num_layers, generator.config.w_dim)
    assert [part.shape[1:] for part in noise] == [part.shape[1:] for part in generator.synthesis.noise.buffers()]
    assert drawn.shape == (2, 3, generator.config.resolution, generator.config.resolution)
    assert generator.noise_path in ("straight", "great circle")
    assert generator.calls_a_picture >= 1


@each_family
def test_every_group_trains_parameters_of_the_synthesis_alone(generator: torch.nn.Module) -> None:
    names = {name for name, _ in generator.named_parameters()}
    for group in family_of(generator).groups:
        trained = generator.trainable(group)
        assert trained
        assert len(set(trained)) == len(trained)
        assert set(trained) <= {name for name in names if name.startswith("synthesis.")}
    assert set(generator.trainable("all")) == {name for name in names if name.startswith("synthesis.")}
    for group in ("adaptive", "top"):
        with pytest.raises(InputError, match=f"not {group}|not “{group}”"):
            generator.trainable(group)


def test_the_small_groups_of_a_diffusion_model() -> None:
    made = embedded()
    decoder, modulation = made.trainable("decoder"), made.trainable("modulation")
    assert not any(".input_blocks." in name or ".time_embed." in name for name in decoder)
    assert any(name.endswith("cond_emb_layers.1.bias") for name in modulation)
    count = {
        group: sum(made.get_parameter(n).numel() for n in made.trainable(group)) for group in ("all", "modulation")
    }
    assert count["modulation"] < count["all"] / 10


def test_groups_of_stylegan2_go_by_resolution() -> None:
    _, generator = members()
    coarse, middle, fine = (generator.trainable(group) for group in ("coarse", "middle", "fine"))
    assert coarse == [name for k in range(3) for name in generator.layer_parameters(k)]
    assert generator.trainable("coarse+fine") == coarse + fine
    assert len({*coarse, *middle, *fine}) == len(coarse + middle + fine)
    small = stylegan2.Generator(stylegan2.GeneratorConfig(8, 4, 4, 1), torch.Generator().manual_seed(0))
    with pytest.raises(InputError, match="no fine layers: it draws 8×8"):
        small.trainable("fine")


@each_family
@pytest.mark.parametrize("kind", CHAINS)
def test_source_and_student_begin_and_draw_alike(generator: torch.nn.Module, kind: str) -> None:
    chain = Chain(kind, t0=40, steps=3, source_steps=4)
    w = generator.mapping(torch.randn(3, generator.config.z_dim, generator=torch.Generator().manual_seed(1))).detach()
    start = generator.learning_start(w, chain, "random", randoms(3))
    assert all(len(tensor) == 3 and not tensor.requires_grad for tensor in start.tensors)
    student = embedded() if generator.noise_path == "great circle" else members()[1]
    pairs = list(
        itertools.zip_longest(generator.draw_to_learn(w, start, chain), student.draw_to_learn(w, start, chain))
    )
    assert len(pairs) == (3 if kind == "each" and generator.noise_path == "great circle" else 1)
    for source, own in pairs:
        assert torch.equal(source, own)
        assert source.shape == (3, 3, generator.config.resolution, generator.config.resolution)
        assert source.requires_grad
    # Each picture has its own start, whatever else is in the batch.
    alone = generator.learning_start(w[1:2], chain, "random", randoms(1, first=1))
    for one, all_ in zip(alone.tensors, start.select(slice(1, 2)).tensors):
        torch.testing.assert_close(one, all_, rtol=0, atol=1e-4)


@pytest.mark.parametrize("kind", CHAINS)
@pytest.mark.parametrize("recompute", [False, True])
def test_gradients_reach_every_layer_by_every_chain(kind: str, recompute: bool) -> None:
    made, chain = embedded(), Chain(kind, t0=60, steps=3, source_steps=4)
    w = made.mapping(torch.randn(2, 6, generator=torch.Generator().manual_seed(1))).detach()
    start = made.learning_start(w, chain, "const", randoms(2))
    for images in made.draw_to_learn(w, start, chain, recompute):
        images.square().mean().backward()
    assert all(p.grad is not None and p.grad.any() for p in made.synthesis.parameters())


def test_the_chain_each_detaches_its_steps_and_full_does_not() -> None:
    """The first of three steps of "each" moves the gradient, and later ones add nothing that passes through it."""
    made, w = embedded(), torch.zeros(1, 12)
    chain = Chain("each", t0=60, steps=3, source_steps=4)
    start = made.learning_start(w, chain, "const", randoms(1))
    x = start.tensors[0].requires_grad_(True)
    seen = [
        torch.autograd.grad(images.sum(), x, allow_unused=True)[0]
        for images in made.draw_to_learn(w, LearningStart((x, start.tensors[1])), chain)
    ]
    assert seen[0] is not None
    assert seen[1] is None
    assert seen[2] is None
    (final,) = made.draw_to_learn(w, LearningStart((x, start.tensors[1])), Chain("full", 60, 3, 4))
    assert torch.autograd.grad(final.sum(), x)[0].any()


def test_a_step_chain_visits_every_level_up_to_t0() -> None:
    made = embedded()
    start = made.learning_start(torch.zeros(40, 12), Chain("step", t0=7, source_steps=2), "const", randoms(40))
    assert set(start.tensors[1].tolist()) == set(range(8))


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"kind": "half"}, "one of step, each, full, not “half”"),
        ({"t0": 0}, "t0 is a whole number from 1, got 0"),
        ({"steps": 0}, "number of steps is a whole number from 1"),
        ({"source_steps": 1.5}, "number of source steps"),
    ],
)
def test_chains_that_cannot_be_are_refused(values: dict[str, object], says: str) -> None:
    with pytest.raises(InputError, match=says):
        Chain(**values)


def test_a_t0_above_the_schedule_and_a_missing_generator_are_refused() -> None:
    made, w = embedded(), torch.zeros(2, 12)
    with pytest.raises(InputError, match="t0 must be a whole number from 1 to 99, got 100"):
        made.learning_start(w, Chain(t0=100, source_steps=4), "const", randoms(2))
    with pytest.raises(ValueError, match=r"a torch\.Generator for each"):
        made.learning_start(w, Chain(t0=10, source_steps=4), "const", randoms(1))
