"""The baseline of the benchmarks computes what the preset “official” computes, or its times would say nothing."""

from __future__ import annotations

import pytest
import torch
from fakes.golden_clip import golden_critic

from benchmarks.released_step import Released, synthesise
from ipl_core.clip.model import Critic
from ipl_core.generators.stylegan2.network import Generator
from ipl_core.methods.config import AdaptConfig
from ipl_core.methods.layers import choose_layers, released_groups
from ipl_core.methods.losses import adaptation_loss
from ipl_core.methods.prompts import PromptScheme
from ipl_core.methods.registry import make_prompts


@pytest.fixture(scope="module")
def critic() -> Critic:
    return golden_critic()


@pytest.fixture
def released(critic: Critic, tiny_generator: Generator) -> Released:
    return Released(tiny_generator, critic, "photo", "Tolkien elf", torch.Generator().manual_seed(1))


@pytest.fixture
def scheme(critic: Critic, released: Released) -> PromptScheme:
    config = AdaptConfig("Tolkien elf", source="photo", preset="official")
    scheme = make_prompts(config, critic, released.source.config.w_dim, torch.Generator().manual_seed(0))
    released.mapper.load_state_dict(scheme.mapper.state_dict())
    return scheme


def test_it_draws_what_the_generator_draws(tiny_generator: Generator, rng: torch.Generator) -> None:
    for layer in tiny_generator.synthesis.layers:
        layer.noise_strength.fill_(0.3)
    w_plus = torch.randn(3, tiny_generator.num_layers, tiny_generator.config.w_dim, generator=rng)
    noise = tiny_generator.make_noise(rng, 3)
    drawn = synthesise(tiny_generator.synthesis, w_plus, noise)
    torch.testing.assert_close(drawn, tiny_generator.synthesis(w_plus, noise=noise), rtol=1e-4, atol=1e-4)


def test_stage_1_has_the_losses_of_the_preset(released: Released, scheme: PromptScheme, critic: Critic) -> None:
    w = released.latents(4)
    images = critic.encode_images(released.draw(released.source, w))
    torch.testing.assert_close(released.images(released.draw(released.source, w)), images)
    contrastive, domain = released.prompt_losses(w, images)
    expected = scheme.losses(w, images)
    assert contrastive.item() == pytest.approx(expected["contrastive"].item(), abs=1e-4)
    assert domain.item() == pytest.approx(expected["domain"].item(), abs=1e-5)


def test_stage_2_has_the_loss_and_the_layers_of_the_preset(
    released: Released, scheme: PromptScheme, critic: Critic, rng: torch.Generator
) -> None:
    with torch.no_grad():
        for layer in released.student.synthesis.layers:
            layer.weight.add_(torch.randn(layer.weight.shape, generator=rng))
    w = released.latents(4)
    before, after = (critic.encode_images(generator.synthesis(w))
                     for generator in (released.source, released.student))  # fmt: skip
    expected = adaptation_loss(after, before, scheme.text_directions(w), shortest_move=1e-8)
    assert released.adaptation_loss(w).item() == pytest.approx(expected.item(), abs=1e-4)

    def distance(w_plus: torch.Tensor) -> torch.Tensor:
        target = critic.encode_texts(["Tolkien elf"])
        return (1 - (critic.encode_images(released.student.synthesis(w_plus)) * target).sum(-1)).mean()

    rows = choose_layers(released.student, w, distance, rows=len(released_groups(released.student)))
    assert released.choose(w) == rows
    released.thaw(rows)
    learns = {f"synthesis.{name}" for name, p in released.student.synthesis.named_parameters() if p.requires_grad}
    assert learns == {name for row in rows for name in released_groups(released.student)[row]}


def test_both_steps_learn(released: Released) -> None:
    def weights(module: torch.nn.Module) -> torch.Tensor:
        return torch.cat([parameter.detach().flatten() for parameter in module.parameters()])

    learning = (released.mapper, released.student.synthesis, released.averaged.synthesis)
    fixed = (released.source, released.clip)
    before = [weights(module).clone() for module in (*learning, *fixed)]
    assert released.prompts_step(batch=3) > 0
    assert not torch.equal(weights(released.mapper), before[0])
    assert torch.equal(weights(released.student.synthesis), before[1])
    assert 0 < released.generator_step(batch=2) < 2
    after = [weights(module) for module in (*learning, *fixed)]
    assert [torch.equal(a, b) for a, b in zip(before, after)] == [False, False, False, True, True]
