"""The three schemes: NADA = IPL with constant prompts, residuals, λ, frozen CLIP, batch = one by one."""

from __future__ import annotations

import pytest
import torch

from ipl_core.clip import Critic
from ipl_core.config import RESIDUALS, AdaptConfig
from ipl_core.directions import normalise, text_direction
from ipl_core.errors import InputError
from ipl_core.prompts import ImagePrompts, ManualPrompts, Mapper, SharedPrompt, fill, make_prompts, templates

W_DIM = 16
CONTEXT = "a photo of a"
WORDS = ("photo", "pencil sketch")


def image_prompts(critic: Critic, seed: int = 0, **options) -> ImagePrompts:
    return ImagePrompts(critic, *WORDS, CONTEXT, w_dim=W_DIM, generator=torch.Generator().manual_seed(seed), **options)


@pytest.fixture
def w(rng: torch.Generator) -> torch.Tensor:
    return torch.randn(6, W_DIM, generator=rng)


@pytest.fixture
def images(tiny_critic: Critic, rng: torch.Generator) -> torch.Tensor:
    return normalise(torch.randn(6, tiny_critic.embed_dim, generator=rng))


def train(scheme, w: torch.Tensor, images: torch.Tensor, steps: int = 40, rate: float = 0.1) -> dict[str, float]:
    optimiser = torch.optim.Adam(scheme.parameters(), lr=rate)
    for _ in range(steps):
        optimiser.zero_grad()
        scheme.losses(w, images)["total"].backward()
        optimiser.step()
    return {name: value.item() for name, value in scheme.losses(w, images).items()}


# ---- templates


def test_template_lists() -> None:
    imagenet, studio = templates("imagenet"), templates("studio")
    assert (len(imagenet), len(studio)) == (79, 6)
    assert all(text.count("{}") == 1 for text in imagenet + studio)
    assert "a photo of a {}." in imagenet
    assert "a photo of many {}." not in imagenet
    with pytest.raises(InputError, match="nonsense"):
        templates("nonsense")


# ---- directions


def test_manual_direction_is_the_mean_difference_over_templates(tiny_critic: Critic, w: torch.Tensor) -> None:
    phrases = templates("studio")
    scheme = ManualPrompts(tiny_critic, *WORDS, phrases)
    difference = sum(
        tiny_critic.encode_texts([p.replace("{}", WORDS[1])]) - tiny_critic.encode_texts([p.replace("{}", WORDS[0])])
        for p in phrases
    )
    torch.testing.assert_close(scheme.text_directions(w), normalise(difference))
    assert not scheme.needs_training
    assert not list(scheme.parameters())
    assert not scheme.state_dict()


def test_constant_prompts_give_nadas_direction(tiny_critic: Critic, w: torch.Tensor) -> None:
    nada = ManualPrompts(tiny_critic, *WORDS, [CONTEXT + " {}"]).text_directions(w)
    ipl = image_prompts(tiny_critic, around_context=True, residual="none").text_directions(w)
    shared = SharedPrompt(tiny_critic, *WORDS, CONTEXT, residual="none").text_directions(w)
    torch.testing.assert_close(ipl, nada.expand(6, -1), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(shared, nada, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("residual", RESIDUALS)
def test_directions_are_unit_and_one_per_image(tiny_critic: Critic, w: torch.Tensor, residual: str) -> None:
    directions = image_prompts(tiny_critic, residual=residual).text_directions(w)
    torch.testing.assert_close(directions.norm(dim=-1), torch.ones(6))
    assert not directions.requires_grad
    assert (directions[0] - directions[1]).norm() > 1e-3
    shared = SharedPrompt(tiny_critic, *WORDS, CONTEXT, residual=residual).text_directions(w)
    assert shared.shape == (1, tiny_critic.embed_dim)


def test_residuals_are_what_they_say(tiny_critic: Critic, w: torch.Tensor) -> None:
    official, aware, none = (image_prompts(tiny_critic, residual=r) for r in ("official", "class-aware", "none"))
    raw = tiny_critic.encode_prompts(none.contexts(w), WORDS)
    with_class = tiny_critic.encode_texts([f"{CONTEXT} {words}." for words in WORDS], normalise=False)
    without = tiny_critic.encode_texts([CONTEXT], normalise=False)
    stage_1 = normalise(raw + with_class[:, None])
    for scheme in (official, aware):
        torch.testing.assert_close(torch.stack(scheme.features(w)), stage_1)
    torch.testing.assert_close(torch.stack(none.features(w)), normalise(raw))
    torch.testing.assert_close(aware.text_directions(w), text_direction(*stage_1))
    torch.testing.assert_close(official.text_directions(w), text_direction(*normalise(raw + without)))
    phrases = ("{}", "a drawing of a {}")
    ensemble = image_prompts(tiny_critic, residual="templates", phrases=phrases)
    manual = torch.stack([tiny_critic.encode_texts(fill(phrases, words), normalise=False).mean(0) for words in WORDS])
    expected = normalise(raw + manual[:, None])
    torch.testing.assert_close(torch.stack(ensemble.features(w)), expected)
    torch.testing.assert_close(ensemble.text_directions(w), text_direction(*expected))


def test_a_batch_gives_what_its_latents_give_one_by_one(tiny_critic: Critic, w: torch.Tensor) -> None:
    scheme = image_prompts(tiny_critic)
    alone = torch.cat([scheme.text_directions(row[None]) for row in w])
    torch.testing.assert_close(scheme.text_directions(w), alone, atol=1e-5, rtol=1e-5)


# ---- stage 1


@pytest.mark.parametrize("contrastive", ["infonce", "difference"])
def test_lambda_zero_serves_the_pictures_and_lambda_large_the_domain(tiny_critic, w, images, contrastive) -> None:
    free = train(image_prompts(tiny_critic, lambda_domain=0.0, contrastive=contrastive), w, images)
    bound = train(image_prompts(tiny_critic, lambda_domain=1000.0, contrastive=contrastive), w, images)
    assert free["total"] == pytest.approx(free["contrastive"])
    assert free["contrastive"] < bound["contrastive"]
    assert bound["domain"] < free["domain"]


@pytest.mark.parametrize("around", [False, True])
def test_training_teaches_prompts_their_pictures(tiny_critic, w, images, around: bool) -> None:
    scheme = image_prompts(tiny_critic, around_context=around, lambda_domain=0.0, residual="none")
    before = scheme.losses(w, images)["contrastive"].item()
    assert train(scheme, w, images)["contrastive"] < before - 0.2


def test_shared_prompt_learns_to_describe_its_pictures(tiny_critic, w, images) -> None:
    scheme = SharedPrompt(tiny_critic, *WORDS, CONTEXT, lambda_domain=1.0, residual="none")
    before = {name: value.item() for name, value in scheme.losses(w, images).items()}
    assert train(scheme, w, images)["total"] < before["total"]


def test_gradients_reach_every_parameter_and_nothing_of_clip(tiny_critic, w, images) -> None:
    for scheme in (image_prompts(tiny_critic), SharedPrompt(tiny_critic, *WORDS, CONTEXT)):
        terms = scheme.losses(w, images)
        assert set(terms) == {"contrastive", "domain", "total"}
        terms["total"].backward()
        assert all(p.grad.abs().sum() > 0 for p in scheme.parameters())
    assert all(p.grad is None for p in tiny_critic.model.parameters())


def test_zero_start_still_learns_in_every_layer_but_the_first_ones_wait(tiny_critic, w, images) -> None:
    scheme = image_prompts(tiny_critic, around_context=True)
    torch.testing.assert_close(scheme.contexts(w), scheme.context.expand(6, -1, -1))
    scheme.losses(w, images)["total"].backward()
    assert scheme.mapper.layers[-1].weight.grad.abs().sum() > 0


# ---- mapper and state


def test_mapper_shape_scale_and_seed(rng: torch.Generator) -> None:
    w = torch.randn(64, 32, generator=rng)
    mapper = Mapper(32, 4, 24, generator=torch.Generator().manual_seed(1))
    again = Mapper(32, 4, 24, generator=torch.Generator().manual_seed(1))
    other = Mapper(32, 4, 24, generator=torch.Generator().manual_seed(2))
    assert mapper(w).shape == (64, 4, 24)
    assert torch.equal(mapper(w), again(w))
    assert not torch.equal(mapper(w), other(w))
    torch.testing.assert_close(mapper(w), mapper(5 * w), msg="only the direction of w matters")
    assert 0.3 < mapper(w).square().mean().sqrt() < 3
    assert len(mapper.layers) == 4


def test_state_holds_the_mapper_and_restores_the_directions(tiny_critic: Critic, w: torch.Tensor) -> None:
    first, second = image_prompts(tiny_critic, seed=1), image_prompts(tiny_critic, seed=2)
    state = first.state_dict()
    assert all(name.startswith("mapper.") for name in state)
    assert not torch.equal(first.text_directions(w), second.text_directions(w))
    second.load_state_dict(state)
    assert torch.equal(first.text_directions(w), second.text_directions(w))
    assert list(SharedPrompt(tiny_critic, *WORDS, CONTEXT).state_dict()) == ["offset"]


# ---- make_prompts


@pytest.mark.parametrize(("method", "kind"), [("nada", ManualPrompts), ("shared", SharedPrompt), ("ipl", ImagePrompts)])
@pytest.mark.parametrize("preset", ["official", "paper", "default"])
def test_make_prompts_builds_what_is_asked(tiny_critic, w, images, rng, method: str, kind: type, preset: str) -> None:
    config = AdaptConfig("pencil sketch", method=method, preset=preset)
    scheme = make_prompts(config, tiny_critic, W_DIM, rng)
    assert type(scheme) is kind
    assert scheme.needs_training == (method != "nada")
    assert scheme.text_directions(w).shape[1] == tiny_critic.embed_dim
    if scheme.needs_training:
        terms = scheme.losses(w, images)
        torch.testing.assert_close(terms["total"], terms["contrastive"] + config.lambda_domain * terms["domain"])


def test_make_prompts_refuses_what_the_critic_cannot_judge(tiny_critic: Critic, rng: torch.Generator) -> None:
    with pytest.raises(InputError, match="too long"):
        make_prompts(AdaptConfig("dog " * 29), tiny_critic, W_DIM, rng)
    with pytest.raises(InputError, match="same words"):
        make_prompts(AdaptConfig("photo!", source="photo !"), tiny_critic, W_DIM, rng)


@pytest.mark.parametrize("method", ["nada", "shared", "ipl"])
def test_every_scheme_is_turned_away_from_what_is_to_be_avoided(tiny_critic: Critic, w, rng, method: str) -> None:
    plain = make_prompts(AdaptConfig("pencil sketch", method=method), tiny_critic, W_DIM, rng)
    assert torch.equal(plain.directions(w), plain.text_directions(w))
    config = AdaptConfig("pencil sketch", method=method, avoid="pencil drawing")
    scheme = make_prompts(config, tiny_critic, W_DIM, rng)
    along = (scheme.text_directions(w) * scheme.avoided).sum(-1)
    assert (along > 0).all()
    assert (scheme.directions(w) * scheme.avoided).sum(-1).abs().max() < 1e-6
    assert list(scheme.state_dict()) == list(plain.state_dict())


def test_what_is_the_source_itself_cannot_be_avoided(tiny_critic: Critic, rng: torch.Generator) -> None:
    with pytest.raises(InputError, match="can't be avoided"):
        make_prompts(AdaptConfig("pencil sketch", avoid="Photo"), tiny_critic, W_DIM, rng)
    with pytest.raises(InputError, match="too long"):
        make_prompts(AdaptConfig("pencil sketch", avoid="dog " * 40), tiny_critic, W_DIM, rng)
    with pytest.raises(InputError, match="What to avoid is blank"):
        AdaptConfig("pencil sketch", avoid=" ")
