"""The two stages as a whole: what they change, what they leave alone, and how a run ends."""

from __future__ import annotations

import itertools
import pickle
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from ipl_core import AdaptConfig, AdaptResult, InputError, Step, adapt
from ipl_core.clip.model import Critic
from ipl_core.generators.stylegan2.network import Generator
from ipl_core.latents import generator_from_seed
from ipl_core.library.domain_folder import apply_weights
from ipl_core.methods import adapt as loops
from ipl_core.methods import layers as choices
from ipl_core.methods import source_samples
from ipl_core.methods.adapt import adapt_generator
from ipl_core.methods.directions import normalise, text_direction
from ipl_core.methods.guidance import Guide, generator_samples
from ipl_core.methods.layers import choose_layers
from ipl_core.methods.losses import adaptation_loss
from ipl_core.methods.prompts import ManualPrompts, PromptScheme
from ipl_core.methods.registry import make_prompts
from ipl_core.methods.source_samples import SourcePool
from ipl_core.methods.student import Student
from ipl_core.models import catalog
from ipl_core.running import adapting, previews

TINY = dict(mapper_steps=3, mapper_batch=4, steps=3, batch=2, preview_seeds=(0, 1))
pytestmark = pytest.mark.usefixtures("studio")


def tiny(target: str = "pencil sketch", **settings: Any) -> AdaptConfig:
    return AdaptConfig(target, **{**TINY, **settings})


def last(config: AdaptConfig, **options: Any) -> AdaptResult:
    return list(adapt(config, **options))[-1]


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


# ----------------------------------------------------------------------------------------------------------------------
# What a run yields


@pytest.mark.parametrize("method", ["nada", "shared", "ipl"])
def test_each_step_and_then_a_result_with_the_weights(method: str) -> None:
    *steps, result = adapt(tiny(method=method))
    phases = [(step.phase, step.step, step.total) for step in steps]
    stage_1 = [] if method == "nada" else [("prompts", step, 3) for step in (1, 2, 3)]
    assert phases == stage_1 + [("generator", step, 3) for step in (1, 2, 3)]
    for step in steps:
        terms = {"contrastive", "domain", "total"} if step.phase == "prompts" else {"adaptation"}
        assert step.losses.keys() == terms
        assert step.weights is None
    assert isinstance(result, AdaptResult)
    assert (result.step, result.total) == (3, 3)
    assert result.stopped is None
    assert result.weights
    assert bool(result.prompts) == (method != "nada")
    assert all(tensor.dtype == torch.float32 for tensor in result.weights.values())
    times = [update.seconds for update in (*steps, result)]
    assert times == sorted(times)
    assert all(step.remaining > 0 for step in steps[:-1])
    assert pickle.loads(pickle.dumps(result)).step == 3  # noqa: S301


def test_first_step_has_pictures_and_stage_1_leaves_them_as_they_are() -> None:
    updates = list(adapt(tiny(), preview_interval=0.0))
    for update in updates:
        shown = update.pictures
        assert shown.before.shape == shown.after.shape == (2, 32, 32, 3)
        assert shown.before.dtype == torch.uint8
        assert torch.equal(shown.before, updates[0].pictures.before)
        if isinstance(update, Step) and update.phase == "prompts":
            assert torch.equal(shown.after, shown.before)
            assert shown.diversity == 1.0
    assert not torch.equal(shown.after, shown.before)
    assert shown.diversity > 0


@pytest.mark.parametrize(
    ("settings", "learned"), [({"method": "described"}, 0), ({"prompts": "words"}, 3), ({"method": "nada"}, 0)]
)
def test_prompts_are_read_once_when_they_are_final(
    settings: dict[str, Any], learned: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, usual = [], previews.readings
    monkeypatch.setattr(previews, "readings", lambda *given: calls.append(given) or usual(*given))
    read = [update.pictures.readings for update in adapt(tiny(**settings), preview_interval=0.0)]
    assert read[:learned] == [None] * learned
    assert all(said == read[-1] for said in read[learned:])
    assert (read[-1] is None) == (settings.get("method") == "nada")
    assert read[-1] is None or list(read[-1]) == [0, 1]
    assert len(calls) == 1


def test_a_run_stopped_while_its_prompts_are_learned_says_what_they_have_come_to() -> None:
    stop, seen = threading.Event(), []
    for update in adapt(tiny(prompts="words"), stop):
        seen.append(update.pictures.readings)
        stop.set()
    assert seen[0] is None
    assert list(seen[-1]) == [0, 1]


def test_pictures_are_renewed_no_more_often_than_asked() -> None:
    updates = list(adapt(tiny(), preview_interval=1e9))
    assert [update.pictures is not None for update in updates] == [True] + [False] * 5 + [True]


def test_diversity_of_one_picture_is_not_a_number_to_show() -> None:
    assert last(tiny(method="nada", preview_seeds=[0])).pictures.diversity is None


def test_how_varied_people_are_is_the_judges_to_say_or_the_critics_where_there_is_none() -> None:
    from ipl_core.drawing.sampling import draw
    from ipl_core.methods.losses import diversity
    from ipl_core.metrics.spread import identity_spread

    file = str(catalog.pretrained_folder() / catalog.registry()["generators"]["studio"]["file"])
    critic, judge = catalog.load_critic("studio"), catalog.load_judge(catalog.judge_of("studio"))
    for model in ("studio", file):
        asked = tiny(model=model, critic="studio", method="nada", steps=8, learning_rate=0.05, preview_seeds=[0, 1, 2])
        result = last(asked)
        generator = catalog.load_generator("studio")
        before = draw(generator, asked.preview_seeds, asked.preview_psi)
        apply_weights(generator, result.weights)
        after = draw(generator, asked.preview_seeds, asked.preview_psi)
        judged = identity_spread(judge.read(before), judge.read(after))
        with torch.no_grad():
            seen = float(diversity(critic.encode_images(after)) / diversity(critic.encode_images(before)))
        assert judged != pytest.approx(seen, rel=0.05)
        assert result.pictures.diversity == pytest.approx(judged if model == "studio" else seen, rel=1e-3)


def test_last_pictures_are_those_of_the_kept_weights() -> None:
    result = last(tiny())
    generator = catalog.load_generator("studio")
    apply_weights(generator, result.weights)
    from ipl_core.drawing.sampling import draw
    from ipl_core.pictures.media import to_uint8

    assert torch.equal(to_uint8(draw(generator, [0, 1], psi=0.7)), result.pictures.after)


# ----------------------------------------------------------------------------------------------------------------------
# The same settings, the same weights


@pytest.mark.parametrize("settings", [{}, {"layers": "adaptive", "layer_interval": 2, "share_noise": False}])
def test_same_seed_same_weights_whatever_is_shown_or_cached(
    settings: dict, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    once = last(tiny(**settings), preview_interval=0.0)
    from_memory = last(tiny(**settings, preview_seeds=[5]))
    source_samples._pools.clear()
    from_disk = last(tiny(**settings))
    source_samples._pools.clear()
    monkeypatch.setenv("IPL_HOME", str(tmp_path / "another"))
    from_nothing = last(tiny(**settings))
    for again in (from_memory, from_disk, from_nothing):
        assert same(once.weights, again.weights)
        assert same(once.prompts, again.prompts)


def test_another_seed_gives_other_weights() -> None:
    assert not same(last(tiny(seed=0)).weights, last(tiny(seed=1)).weights)


def test_the_callers_modes_and_global_random_numbers_have_no_part() -> None:
    expected = last(tiny()).weights
    torch.manual_seed(123)
    state = torch.get_rng_state()
    with torch.inference_mode():
        for update in adapt(tiny()):
            assert torch.is_inference_mode_enabled()
            reached = update.weights
    assert same(expected, reached)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        for update in adapt(tiny()):
            assert not torch.is_grad_enabled()
            reached = update.weights
    assert same(expected, reached)
    assert torch.equal(state, torch.get_rng_state())


def test_two_interleaved_runs_give_what_each_gives_alone() -> None:
    configs = [tiny("pencil sketch", method="ipl"), tiny("werewolf", method="shared", share_noise=False)]
    alone = [last(config).weights for config in configs]
    turns = threading.Barrier(2, timeout=60)
    together: list[Step | AdaptResult | None] = [None, None]

    def run(index: int) -> None:
        for update in adapt(configs[index]):
            if isinstance(update, Step):
                turns.wait()  # neither gets ahead: every step of one lies between two of the other
            together[index] = update

    threads = [threading.Thread(target=run, args=(index,)) for index in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert same(together[0].weights, alone[0])
    assert same(together[1].weights, alone[1])


# ----------------------------------------------------------------------------------------------------------------------
# What training changes, and what it must not


def test_gradients_never_reach_the_critic_or_the_source(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    def watched(load: Callable) -> Callable:
        def spy(*arguments: Any) -> Any:
            seen.append(load(*arguments))
            return seen[-1]

        return spy

    monkeypatch.setattr(adapting, "load_generator", watched(catalog.load_generator))
    monkeypatch.setattr(adapting, "load_critic", watched(catalog.load_critic))
    models = None
    for _ in adapt(tiny(layers="adaptive", layer_interval=1)):
        if models is None:
            models = seen[0], seen[1].model
            before = [{name: tensor.clone() for name, tensor in model.state_dict().items()} for model in models]
    for model, kept in zip(models, before):
        assert same(model.state_dict(), kept)
        for parameter in model.parameters():
            assert parameter.grad is None
            assert not parameter.requires_grad


def test_only_the_chosen_layers_change() -> None:
    source = catalog.load_generator("studio").state_dict()
    for layers in ("all", "coarse", "middle", "coarse+middle"):
        weights = last(tiny(method="nada", layers=layers)).weights
        assert set(weights) == set(catalog.load_generator("studio").trainable(layers))
        assert any(not torch.equal(weights[name], source[name]) for name in weights)
    assert not any(name.startswith("mapping") for name in weights)


def test_adaptive_layers_leave_mapping_and_rgb_alone() -> None:
    weights = last(tiny(method="nada", layers="adaptive", layer_interval=1)).weights
    assert weights
    assert all(name.startswith("synthesis.layers.") for name in weights)


def test_layer_groups_split_the_layers_by_resolution(tiny_generator: Generator) -> None:
    coarse, middle = (tiny_generator.trainable(group) for group in ("coarse", "middle"))
    assert not set(coarse) & set(middle)
    assert len(coarse) == 3 * 5  # layers of 4, 8 and 8 pixels, of five tensors each
    assert tiny_generator.trainable("coarse+middle") == coarse + middle
    assert len(coarse + middle) == 5 * (tiny_generator.num_layers - 1)
    assert set(tiny_generator.trainable("all")) > {*coarse, *middle, "synthesis.input"}
    with pytest.raises(InputError, match="no fine layers: it draws 32×32"):
        tiny_generator.trainable("middle+fine")


def test_layers_are_chosen_by_the_rows_that_move(
    tiny_generator: Generator, tiny_critic: Critic, rng: torch.Generator
) -> None:
    w = torch.randn(8, 16, generator=rng)
    target = tiny_critic.encode_texts(["pencil sketch"])

    def distance(w_plus: Tensor) -> Tensor:
        return (1 - (tiny_critic.encode_images(tiny_generator.synthesis(w_plus)) * target).sum(-1)).mean()

    chosen = choose_layers(tiny_generator, w, distance)
    assert len(chosen) == int(2 * tiny_generator.num_layers / 3)
    assert chosen == sorted(set(chosen))
    assert max(chosen) <= tiny_generator.num_layers - 2
    # A row that its layer doesn't listen to can't move, so its layer is the last to be chosen.
    for deaf in (0, 3):
        with torch.no_grad():
            tiny_generator.synthesis.layers[deaf].affine.weight.zero_()
            if deaf % 2:
                tiny_generator.synthesis.torgb[deaf // 2].affine.weight.zero_()
    rest = choose_layers(tiny_generator, w, distance, count=tiny_generator.num_layers - 3)
    assert rest == [k for k in range(tiny_generator.num_layers - 1) if k not in (0, 3)]


def test_layers_are_chosen_anew_at_the_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def choose(*arguments: Any) -> list[int]:
        calls.append(1)
        return [len(calls)]

    monkeypatch.setattr(choices, "choose_layers", choose)
    weights = last(tiny(method="nada", layers="adaptive", layer_interval=2, steps=5)).weights
    assert len(calls) == 3
    assert {name.split(".")[2] for name in weights} == {"1", "2", "3"}


# ----------------------------------------------------------------------------------------------------------------------
# The methods differ in the direction and in nothing else


class ConstantPrompts(PromptScheme):
    """IPL's kind of answer, one direction an image, with prompts that don't depend on the image."""

    def __init__(self, manual: ManualPrompts) -> None:
        super().__init__()
        self._manual = manual

    def text_directions(self, w: Tensor, images: Tensor | None = None) -> Tensor:
        return self._manual.text_directions(w).expand(len(w), -1)


def test_ipl_with_constant_prompts_is_nada(monkeypatch: pytest.MonkeyPatch) -> None:
    nada = last(tiny(method="nada")).weights

    def constant(config: AdaptConfig, *arguments: Any) -> PromptScheme:
        return ConstantPrompts(make_prompts(replace(config, method="nada"), *arguments))

    monkeypatch.setattr(adapting, "make_prompts", constant)
    ipl = last(tiny(method="ipl")).weights
    assert ipl.keys() == nada.keys()
    for name in nada:
        assert torch.allclose(ipl[name], nada[name], atol=1e-6), name


def test_every_method_sees_the_same_latents(monkeypatch: pytest.MonkeyPatch) -> None:
    take = source_samples.take_samples

    def latents_of(method: str) -> list[Tensor]:
        seen = []

        def spy(*arguments: Any) -> tuple[Tensor, list[Tensor]]:
            seen.append(take(*arguments))
            return seen[-1]

        monkeypatch.setattr(source_samples, "take_samples", spy)
        list(adapt(tiny(method=method)))
        return [w for w, _ in seen[-3:]]

    for nada, ipl in zip(latents_of("nada"), latents_of("ipl")):
        assert torch.equal(nada, ipl)


def test_lambda_weighs_the_domain_term() -> None:
    """λ=0 asks only for telling images apart, a large λ only for staying in the domain."""

    def prompts_after(lambda_domain: float) -> tuple[float, float]:
        *steps, _ = adapt(tiny(mapper_steps=25, steps=1, mapper_lr=0.02, lambda_domain=lambda_domain))
        losses = [step.losses for step in steps if step.phase == "prompts"]
        for loss in losses:
            assert loss["total"] == pytest.approx(loss["contrastive"] + lambda_domain * loss["domain"], rel=1e-4)
        return losses[0]["domain"], losses[-1]["domain"]

    start, free = prompts_after(0.0)
    same_start, held = prompts_after(500.0)
    assert start == same_start
    assert held < start
    assert held < free


def test_a_batch_gives_what_its_samples_give_one_by_one(
    tiny_generator: Generator, tiny_critic: Critic, rng: torch.Generator
) -> None:
    w = torch.randn(3, 16, generator=rng)
    before = normalise(torch.randn(3, 16, generator=rng))
    directions = normalise(torch.randn(3, 16, generator=rng))

    def gradients(rows: slice) -> tuple[Tensor, list[Tensor]]:
        parameters = list(tiny_generator.requires_grad_(True).synthesis.parameters())
        embeddings = tiny_critic.encode_images(tiny_generator.synthesis(w[rows]))
        loss = adaptation_loss(embeddings, before[rows], directions[rows])
        return loss.detach(), torch.autograd.grad(loss, parameters)

    loss, batch = gradients(slice(None))
    singles = [gradients(slice(index, index + 1)) for index in range(3)]
    assert torch.allclose(loss, torch.stack([single for single, _ in singles]).mean(), atol=1e-5)
    for together, parts in zip(batch, zip(*(gradient for _, gradient in singles))):
        assert torch.allclose(together, torch.stack(parts).mean(0), rtol=1e-3, atol=1e-5)


def test_the_first_step_has_no_direction_yet_and_is_finite(
    tiny_generator: Generator, tiny_critic: Critic, rng: torch.Generator
) -> None:
    w = torch.randn(2, 16, generator=rng)
    before = tiny_critic.encode_images(tiny_generator.synthesis(w)).detach()
    direction = text_direction(*tiny_critic.encode_texts(["photo", "pencil sketch"])[:, None])
    tiny_generator.requires_grad_(True)
    loss = adaptation_loss(tiny_critic.encode_images(tiny_generator.synthesis(w)), before, direction)
    loss.backward()
    assert loss.item() == pytest.approx(1.0, abs=1e-5)  # two passes may differ in their last bits, and so the cosine
    moved = [parameter.grad for parameter in tiny_generator.synthesis.layers.parameters()]
    assert all(torch.isfinite(gradient).all() for gradient in moved)
    assert any(gradient.abs().max() > 0 for gradient in moved)


def test_adaptation_lowers_its_loss() -> None:
    config = tiny(method="nada", steps=30, batch=4, ema=0.5)
    *steps, _ = adapt(config)
    losses = [step.losses["adaptation"] for step in steps]
    assert sum(losses[-5:]) / 5 < 0.9 * sum(losses[:3]) / 3


def test_average_follows_the_trained_weights() -> None:
    """EMA with decay 0 is the trained generator itself; with a decay, a blend that lags behind it."""
    source = catalog.load_generator("studio").state_dict()
    at_once = last(tiny(method="nada", ema=0.0, steps=1)).weights
    lagging = last(tiny(method="nada", ema=0.75, steps=1)).weights
    for name, tensor in lagging.items():
        assert torch.allclose(tensor, source[name] + 0.25 * (at_once[name] - source[name]), atol=1e-6)


def test_unshared_noise_differs_within_a_pair_and_changes_the_result() -> None:
    shared = last(tiny(method="nada", share_noise=True)).weights
    apart = last(tiny(method="nada", share_noise=False)).weights
    # The tiny generator's noise strengths start at zero, so only their own gradient can tell the two apart.
    assert not same(shared, apart)


# ----------------------------------------------------------------------------------------------------------------------
# How a run ends


@pytest.mark.parametrize("steps", range(7))
def test_stop_at_any_step_keeps_what_was_reached(steps: int) -> None:
    stop = threading.Event()
    if steps == 0:
        stop.set()
    result = None
    for count, update in enumerate(adapt(tiny(), stop), start=1):
        result = update
        if count == steps:
            stop.set()
    # Asked after the very last step, there is nothing left to stop.
    assert result.stopped == (None if steps == 6 else "asked")
    assert isinstance(result, AdaptResult)
    assert result.step == max(0, steps - 3)
    assert bool(result.weights) == (steps > 3)
    generator = catalog.load_generator("studio")
    apply_weights(generator, result.weights)
    if steps > 3:
        complete = last(tiny(steps=steps - 3))
        assert same(complete.weights, result.weights)


def test_closing_the_run_ends_it() -> None:
    steps = adapt(tiny())
    next(steps)
    steps.close()
    assert list(steps) == []


@pytest.mark.parametrize("bad_call", [4, 5])
def test_numbers_that_stop_being_finite_keep_the_last_good_weights(
    bad_call: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = last(tiny(steps=bad_call - 3)).weights
    calls = itertools.count(1)
    loss_of = loops.adaptation_loss

    def spoilt(*arguments: Any) -> Tensor:
        loss = loss_of(*arguments)
        return loss * float("nan") if next(calls) == bad_call - 2 else loss

    monkeypatch.setattr(loops, "adaptation_loss", spoilt)
    *steps, result = adapt(tiny(steps=9))
    assert result.stopped == "not finite"
    assert result.step == bad_call - 3
    assert len(steps) == bad_call
    assert same(result.weights, good)


def test_gradients_that_are_not_finite_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def spoilt(embeddings: Tensor, *arguments: Any) -> Tensor:
        return (embeddings - embeddings.detach()).abs().sqrt().sum()  # a finite value whose slope is not

    monkeypatch.setattr(loops, "adaptation_loss", spoilt)
    result = last(tiny(method="nada"))
    assert (result.stopped, result.step, result.weights) == ("not finite", 0, {})


def test_stage_1_that_stops_being_finite_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def spoilt(*arguments: Any) -> PromptScheme:
        scheme = make_prompts(*arguments)
        losses, calls = scheme.losses, itertools.count(1)

        def spoilt_losses(w: Tensor, images: Tensor) -> dict[str, Tensor]:
            terms = losses(w, images)
            return {**terms, "total": terms["total"] * float("inf")} if next(calls) == 2 else terms

        scheme.losses = spoilt_losses
        return scheme

    monkeypatch.setattr(adapting, "make_prompts", spoilt)
    *steps, result = adapt(tiny())
    assert [step.phase for step in steps] == ["prompts"]
    assert result.stopped == "not finite"
    assert result.weights == {}
    assert all(torch.isfinite(tensor).all() for tensor in result.prompts.values())


def test_what_cannot_be_used_is_said_on_the_first_step(tmp_path: Path) -> None:
    for settings, said in [
        ({"model": "ffhq"}, "no model “ffhq”"),
        ({"critic": str(tmp_path)}, "open_clip"),
        ({"device": "cuda:99"}, "cuda:99"),
        ({"layers": "fine"}, "no fine layers"),
        ({"target": "very " * 40 + "old"}, "tokens"),
    ]:
        with pytest.raises(InputError, match=said):
            next(adapt(tiny(**settings)))


def test_a_loop_can_be_driven_by_hand(tiny_generator: Generator, tiny_critic: Critic) -> None:
    config = tiny(method="nada")
    scheme = make_prompts(config, tiny_critic, 16, generator_from_seed(0))
    student, guides = Student(config, tiny_generator), [Guide(tiny_critic, scheme, SourcePool())]
    steps = adapt_generator(config, student, guides, generator_samples(config, tiny_generator, guides))
    assert student.changed_weights() == {}
    assert next(steps).losses["adaptation"] == pytest.approx(1.0, abs=1e-4)
    assert len(student.changed_weights()) == len(list(tiny_generator.synthesis.parameters()))
