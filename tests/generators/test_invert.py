"""Inversion as a whole: that it finds what can be found, what it leaves alone, and how it ends."""

from __future__ import annotations

import itertools
import pickle
import threading
from typing import Any

import pytest
import torch
from torch import Tensor

from ipl_core import InputError, InvertConfig, InvertResult, Step, invert
from ipl_core.clip.model import Critic
from ipl_core.drawing.sampling import draw, draw_latents, seed_latents
from ipl_core.generators.invert import LatentSpace, PictureLoss, critic_view, noise_structure
from ipl_core.generators.stylegan2.network import Generator
from ipl_core.library.domain_folder import apply_weights
from ipl_core.models import catalog
from ipl_core.pictures.media import to_uint8
from ipl_core.running import inverting

TINY = dict(preset="fast", starts=4, steps=4, tune_steps=3)
pytestmark = pytest.mark.usefixtures("studio")


def tiny(**settings: Any) -> InvertConfig:
    return InvertConfig(**{**TINY, **settings})


def load(*arguments: Any) -> Generator:
    """The tiny generator with its contrast lowered, so that its pictures lie in the range that pictures have."""
    generator = catalog.load_generator(*arguments)
    for name in generator.torgb_parameters():
        if name.endswith("bias") or "affine" not in name:
            generator.get_parameter(name).mul_(0.2)
    generator.estimate_w_avg(torch.Generator().manual_seed(1), 500)
    return generator


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inverting, "load_generator", load)


@pytest.fixture
def sample() -> Tensor:
    """A picture that the tiny generator draws."""
    picture = draw(load("studio"), [11])
    assert picture.abs().max() < 1
    return picture


def last(config: InvertConfig, picture: Tensor, **options: Any) -> InvertResult:
    return list(invert(config, picture, **options))[-1]


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


# ----------------------------------------------------------------------------------------------------------------------
# What a run yields


def test_each_step_and_then_a_result_with_the_latent(sample: Tensor) -> None:
    *steps, result = invert(tiny(tune=True, noise=True), sample)
    phases = [(step.phase, step.step, step.total) for step in steps]
    latent, tuning = [("latent", step, 4) for step in (1, 2, 3, 4)], [("tuning", step, 3) for step in (1, 2, 3)]
    assert phases == [*latent, *tuning]
    assert steps[0].losses.keys() == {"pixel", "multiscale", "perceptual", "noise", "total"}
    assert "locality" in steps[4].losses
    assert all(step.weights is None for step in steps)
    assert isinstance(result, InvertResult)
    assert (result.step, result.total, result.stopped) == (3, 3, None)
    assert result.latent["w_plus"].shape == (1, 8, 16)
    assert [tuple(result.latent[f"noise.{k}"].shape[2:]) for k in (0, 1, 6)] == [(4, 4), (8, 8), (32, 32)]
    assert result.distances.keys() == {"pixel", "perceptual"}
    assert result.pictures.before.shape == result.pictures.after.shape == (1, 32, 32, 3)
    assert torch.equal(result.pictures.before, to_uint8(sample))
    times = [update.seconds for update in (*steps, result)]
    assert times == sorted(times)
    assert all(step.remaining > 0 for step in steps[:-1])
    assert pickle.loads(pickle.dumps(result)).step == 3  # noqa: S301


def test_what_is_kept_draws_the_last_picture(sample: Tensor) -> None:
    result = last(tiny(tune=True, noise=True), sample)
    generator = load("studio")
    apply_weights(generator, result.weights)
    noise = [result.latent[f"noise.{k}"] for k in range(7)]
    assert torch.equal(to_uint8(draw_latents(generator, result.latent["w_plus"], noise=noise)), result.pictures.after)


def test_pictures_are_renewed_no_more_often_than_asked(sample: Tensor) -> None:
    updates = list(invert(tiny(), sample, preview_interval=1e9))
    assert [update.pictures is not None for update in updates] == [True, False, False, False, True]


# ----------------------------------------------------------------------------------------------------------------------
# What it finds


@pytest.mark.parametrize("space", ["w", "w+"])
def test_the_generators_own_sample_is_found(space: str, sample: Tensor) -> None:
    steps = list(invert(tiny(space=space, starts=0, steps=100, mean_pull=0.0), sample))
    first, result = steps[0].losses["pixel"], steps[-1]
    assert result.distances["pixel"] < 0.1 * first
    rows = result.latent["w_plus"][0]
    alike = torch.allclose(rows, rows[:1].expand_as(rows), atol=1e-6)
    assert alike == (space == "w")


def test_tuning_comes_nearer_and_changes_only_the_copy(sample: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = sample.flip(-1) * 0.7  # nothing that this generator could draw
    seen = []

    def spy(*arguments: Any) -> Generator:
        seen.append(load(*arguments))
        return seen[-1]

    monkeypatch.setattr(inverting, "load_generator", spy)
    untuned = last(tiny(steps=20), picture)
    tuned = last(tiny(steps=20, tune=True, tune_steps=60), picture)
    assert torch.equal(untuned.latent["w_plus"], tuned.latent["w_plus"])
    assert untuned.weights == {}
    assert tuned.distances["pixel"] < 0.8 * untuned.distances["pixel"]
    source = load("studio").state_dict()
    assert same(seen[1].state_dict(), source)
    assert not any(parameter.requires_grad for parameter in seen[1].parameters())
    assert all(name.startswith("synthesis.") for name in tuned.weights)
    assert any(not torch.equal(tensor, source[name]) for name, tensor in tuned.weights.items())


def test_tuning_goes_on_only_where_the_picture_is_not_reached(sample: Tensor) -> None:
    settings = dict(tune=True, tune_steps=30, tune_further=30)
    picture = sample.flip(-1) * 0.7
    once = last(tiny(**settings | {"tune_further": 0}), picture)
    far, near = (once.distances["perceptual"] * share for share in (0.999, 1.001))
    assert same(last(tiny(**settings, tune_until=near), picture).weights, once.weights)
    *steps, result = invert(tiny(**settings, tune_until=far), picture)
    assert [step.step for step in steps if step.phase == "tuning"] == list(range(1, 61))
    assert (steps[33].total, steps[34].total, result.step, result.total) == (30, 60, 60, 60)
    assert result.distances["perceptual"] < once.distances["perceptual"]
    assert result.distances["pixel"] < once.distances["pixel"]


def test_stop_ends_what_goes_on(sample: Tensor) -> None:
    stop = threading.Event()
    for update in invert(tiny(tune=True, tune_further=50, tune_until=0.0), sample.flip(-1), stop):
        if isinstance(update, Step) and (update.phase, update.step) == ("tuning", 5):
            stop.set()
    assert (update.step, update.total, update.stopped) == (5, 53, "asked")
    assert update.weights


def test_locality_holds_other_latents(sample: Tensor) -> None:
    picture = sample.flip(-1) * 0.7
    source = load("studio")
    moved = {}
    for locality in (0.0, 30.0):
        result = last(tiny(steps=5, tune=True, tune_steps=40, tune_rate=0.01, locality=locality), picture)
        generator = load("studio")
        apply_weights(generator, result.weights)
        others = seed_latents(source, range(8), psi=0.5)
        moved[locality] = (draw_latents(generator, others) - draw_latents(source, others)).abs().mean()
    assert moved[30.0] < 0.8 * moved[0.0]


def test_an_encoders_guess_is_the_start(sample: Tensor) -> None:
    generator = load("studio")
    w = seed_latents(generator, [11])
    asked = []

    def encoder(picture: Tensor) -> Tensor:
        asked.append(picture)
        return w[:, 0] if len(asked) == 1 else w

    for _ in range(2):
        first = next(iter(invert(tiny(), sample, encoder=encoder)))
        assert first.losses["pixel"] < 0.01
    assert torch.allclose(asked[0], sample.clamp(-1, 1))
    assert next(iter(invert(tiny(starts=0), sample))).losses["pixel"] > 0.05


def test_more_starts_begin_nearer(sample: Tensor) -> None:
    mean, best = (next(iter(invert(tiny(starts=starts), sample))).losses["total"] for starts in (0, 64))
    assert best < mean


def test_another_perceptual_distance_may_be_given(sample: Tensor) -> None:
    def brightness(target: Tensor) -> Any:
        return lambda images: (images.mean((1, 2, 3)) - target.mean()).abs()

    result = last(tiny(steps=40, pixel=0.0, multiscale=0.0, perceptual=1.0), sample, perceptual=brightness)
    assert result.distances["perceptual"] < 0.02


def test_latent_coordinates_are_about_standard_normal(tiny_generator: Generator, rng: torch.Generator) -> None:
    space = LatentSpace(tiny_generator, rng)
    w = tiny_generator.mapping(torch.randn(2000, 16, generator=rng))
    coordinates = space.encode(w)
    assert coordinates.mean(0).abs().max() < 0.2
    assert torch.allclose(torch.cov(coordinates.T).diagonal().median(), torch.tensor(1.0), atol=0.2)
    assert torch.allclose(space.decode(coordinates), w, atol=1e-3)


def test_the_critics_view_is_nought_for_the_same_picture(tiny_critic: Critic, rng: torch.Generator) -> None:
    pictures = torch.rand(3, 3, 32, 32, generator=rng) * 2 - 1
    distances = critic_view(tiny_critic)(pictures[:1])(pictures)
    assert distances.shape == (3,)
    assert distances[0] == pytest.approx(0, abs=1e-5)
    assert distances[1:].min() > 0
    loss = PictureLoss(tiny(), pictures[:1], critic_view(tiny_critic))(pictures)
    assert loss["total"].shape == (3,)
    assert loss["total"][0] < 1e-4


def test_structure_in_noise_is_seen(rng: torch.Generator) -> None:
    white = torch.randn(1, 1, 64, 64, generator=rng)
    stripes = torch.ones(1, 1, 64, 64)
    stripes[..., ::8] = -1
    assert noise_structure(white) < 0.1 < noise_structure(stripes)


# ----------------------------------------------------------------------------------------------------------------------
# The same settings, the same result


def test_same_seed_same_result_whatever_the_callers_modes(sample: Tensor) -> None:
    config = tiny(tune=True, noise=True)
    torch.manual_seed(5)
    state = torch.get_rng_state()
    once = last(config, sample, preview_interval=0.0)
    with torch.inference_mode():
        again = last(config, sample)
    assert same(once.latent, again.latent)
    assert same(once.weights, again.weights)
    assert torch.equal(state, torch.get_rng_state())
    assert not same(once.latent, last(tiny(tune=True, noise=True, seed=1), sample).latent)


def test_the_judge_has_no_part(sample: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog, "load_judge", None)
    assert last(tiny(), sample).stopped is None


# ----------------------------------------------------------------------------------------------------------------------
# How it ends


@pytest.mark.parametrize("steps", range(8))
def test_stop_at_any_step_keeps_what_was_reached(steps: int, sample: Tensor) -> None:
    stop = threading.Event()
    if steps == 0:
        stop.set()
    result = None
    for count, update in enumerate(invert(tiny(tune=True), sample, stop), start=1):
        result = update
        if count == steps:
            stop.set()
    assert isinstance(result, InvertResult)
    assert result.stopped == (None if steps == 7 else "asked")
    assert result.latent["w_plus"].shape == (1, 8, 16)
    assert bool(result.weights) == (steps > 4)
    assert result.pictures.after.shape == (1, 32, 32, 3)


@pytest.mark.parametrize("bad_call", [1, 3, 6])
def test_numbers_that_stop_being_finite_keep_the_last_good_ones(
    bad_call: int, sample: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = itertools.count(1)
    terms_of = PictureLoss.__call__

    def spoilt(self: PictureLoss, images: Tensor) -> dict[str, Tensor]:
        terms = terms_of(self, images)
        if images.requires_grad and next(calls) == bad_call:
            terms["total"] = terms["total"] * float("nan")
        return terms

    monkeypatch.setattr(PictureLoss, "__call__", spoilt)
    result = last(tiny(tune=True), sample)
    assert result.stopped == "not finite"
    assert result.step == (bad_call - 1 if bad_call <= 4 else bad_call - 5)
    assert torch.isfinite(result.latent["w_plus"]).all()
    assert all(torch.isfinite(tensor).all() for tensor in result.weights.values())


def test_what_cannot_be_used_is_said_on_the_first_step(sample: Tensor) -> None:
    for settings, said in [({"model": "ffhq"}, "no model “ffhq”"), ({"device": "cuda:99"}, "cuda:99")]:
        with pytest.raises(InputError, match=said):
            next(invert(tiny(**settings), sample))
    with pytest.raises(ValueError, match="must be a square"):
        next(invert(tiny(), sample[..., :20]))


def test_pictures_of_any_size_are_brought_to_the_generators(sample: Tensor) -> None:
    large = torch.nn.functional.interpolate(sample, (80, 80), mode="bicubic")
    assert last(tiny(), large).pictures.before.shape == (1, 32, 32, 3)
