"""Several critics at once: how they are written, and that each has its own part in a run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from ipl_core import AdaptConfig, AdaptResult, InputError, adapt
from ipl_core.clip.ensemble import members
from ipl_core.clip.model import Critic
from ipl_core.commands.main import main
from ipl_core.generators.invert import PictureLoss, critic_view, mean_view
from ipl_core.generators.stylegan2.network import Generator
from ipl_core.latents import generator_from_seed
from ipl_core.library import domain_folder, store
from ipl_core.methods import source_samples as pool
from ipl_core.methods.adapt import adapt_generator
from ipl_core.methods.config import InvertConfig
from ipl_core.methods.guidance import Guide, generator_samples
from ipl_core.methods.registry import make_prompts
from ipl_core.methods.source_samples import SourcePool, take_samples
from ipl_core.methods.student import Student
from ipl_core.models import catalog
from ipl_core.storage.folders import SETTINGS
from ipl_core.storage.tensors import load_tensors

TINY = dict(mapper_steps=3, mapper_batch=4, steps=3, batch=2, preview_seeds=(0, 1))


@pytest.fixture(scope="session")
def wide_folder(make_critic_folder: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A critic unlike the tiny one in the widths of its embeddings and of its tokens."""
    text = {"context_length": 32, "vocab_size": 49408, "width": 48, "heads": 2, "layers": 1}
    return make_critic_folder(tmp_path_factory.mktemp("wide") / "wide-clip", embed_dim=24, text_cfg=text)


def last(config: AdaptConfig) -> AdaptResult:
    return list(adapt(config, preview_interval=float("inf")))[-1]


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


# ----------------------------------------------------------------------------------------------------------------------
# How they are written


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("ViT-B-32", [("ViT-B-32", 1.0)]),
        ("ViT-B-32+ViT-B-16@0.5", [("ViT-B-32", 1.0), ("ViT-B-16", 0.5)]),
        ("A@1 + B@.25 + C", [("A", 1.0), ("B", 0.25), ("C", 1.0)]),
        ("ViT-B-32:laion2b_s34b_b79k+/weights/b@2", [("ViT-B-32:laion2b_s34b_b79k", 1.0), ("/weights/b", 2.0)]),
    ],
)
def test_an_ensemble_is_names_and_weights(written: str, meant: list[tuple[str, float]]) -> None:
    assert members(written) == meant


def test_a_folder_stands_for_itself_whatever_it_is_called(tmp_path: Path) -> None:
    odd = tmp_path / "a+b@2"
    odd.mkdir()
    assert members(str(odd)) == [(str(odd), 1.0)]
    at = tmp_path / "c@home"
    at.mkdir()
    assert members(f"{at}+B@3") == [(str(at), 1.0), ("B", 3.0)]


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("A+B@heavy", "weight “heavy” of the CLIP model “B”.*above 0"),
        ("A+B@0", "weight “0” of the CLIP model “B”.*above 0"),
        ("A+B@-1", "weight “-1”"),
        ("A+B@nan", "weight “nan”"),
        ("A+B@inf", "weight “inf”"),
        ("A+B@", "weight “” of the CLIP model “B”"),
        ("A@1+B+A", "“A” comes twice"),
        ("A+", "name is missing"),
        ("+", "name is missing"),
        ("A@0.5", "weight to a single CLIP model"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_loaded(written: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        AdaptConfig("sketch", critic=written)
    with pytest.raises(InputError, match=said):
        InvertConfig(critic=written)


@pytest.mark.usefixtures("studio")
def test_an_unknown_critic_is_named(critic_folder: Path) -> None:
    with pytest.raises(InputError, match="no CLIP model named “ViT-Z-99”"):
        next(adapt(AdaptConfig("sketch", critic=f"{critic_folder}+ViT-Z-99", **TINY)))


@pytest.mark.usefixtures("studio")
def test_the_same_weights_under_two_names_are_refused(critic_folder: Path) -> None:
    config = AdaptConfig("sketch", critic=f"studio+{critic_folder}", **TINY)
    with pytest.raises(InputError, match="same weights"):
        store.find(config)
    with pytest.raises(InputError, match="same weights"):
        next(adapt(config))


# ----------------------------------------------------------------------------------------------------------------------
# A run with two of them


@pytest.mark.usefixtures("studio")
@pytest.mark.parametrize("method", ["nada", "shared", "ipl"])
def test_two_critics_of_different_widths_run(method: str, wide_folder: Path) -> None:
    config = AdaptConfig("pencil sketch", method=method, critic=f"studio+{wide_folder}@0.5", **TINY)
    *steps, result = adapt(config)
    phases = [step.phase for step in steps]
    assert phases == ["prompts"] * (0 if method == "nada" else 3) + ["generator"] * 3
    for step in steps:
        terms = {"contrastive", "domain", "total"} if step.phase == "prompts" else {"adaptation"}
        assert step.losses.keys() == terms
    # Nothing has moved yet, so each critic says 1.
    first = next(step for step in steps if step.phase == "generator")
    assert first.losses["adaptation"] == pytest.approx(1.5, abs=1e-4)
    assert result.pictures.diversity > 0


@pytest.mark.usefixtures("studio")
@pytest.mark.parametrize("method", ["shared", "ipl"])
def test_each_critic_learns_the_prompts_that_it_would_learn_alone(method: str, wide_folder: Path) -> None:
    together = last(AdaptConfig("sketch", method=method, critic=f"studio+{wide_folder}", **TINY)).prompts
    for index, name in enumerate(["studio", str(wide_folder)]):
        alone = last(AdaptConfig("sketch", method=method, critic=name, **TINY)).prompts
        own = {key[2:]: tensor for key, tensor in together.items() if key.startswith(f"{index}.")}
        assert same(own, alone)
    assert {key[0] for key in together} == {"0", "1"}


@pytest.mark.usefixtures("studio")
def test_the_weight_decides_whom_the_generator_follows(wide_folder: Path) -> None:
    def weights(critic: str) -> Tensor:
        changed = last(AdaptConfig("pencil sketch", method="nada", critic=critic, **TINY)).weights
        return torch.cat([tensor.flatten() for tensor in changed.values()])

    first, second = weights("studio"), weights(str(wide_folder))
    light, heavy = weights(f"studio+{wide_folder}@0.001"), weights(f"studio@0.001+{wide_folder}")
    assert (light - first).norm() < 0.2 * (light - second).norm()
    assert (heavy - second).norm() < 0.2 * (heavy - first).norm()


@pytest.mark.usefixtures("studio")
def test_the_gradient_is_the_weighted_sum_of_the_critics_own(
    tiny_generator: Generator, tiny_critic: Critic, wide_folder: Path
) -> None:
    config = AdaptConfig("pencil sketch", method="nada", **TINY)
    critics = [(tiny_critic, 1.0), (catalog.load_critic(str(wide_folder)), 0.5)]
    schemes = [make_prompts(config, critic, 16, generator_from_seed(0)) for critic, _ in critics]

    def gradients(guides: list[Guide]) -> Tensor:
        student = Student(config, tiny_generator)
        next(adapt_generator(config, student, guides, generator_samples(config, tiny_generator, guides)))
        return torch.cat([parameter.grad.flatten() for parameter in student.network.synthesis.parameters()])

    guides = [Guide(critic, scheme, SourcePool(), weight) for (critic, weight), scheme in zip(critics, schemes)]
    parts = [gradients([Guide(guide.critic, guide.scheme, SourcePool())]) for guide in guides]
    assert torch.allclose(gradients(guides), parts[0] + 0.5 * parts[1], rtol=1e-3, atol=1e-5)


@pytest.mark.usefixtures("studio")
def test_a_missing_picture_is_drawn_once_for_all(
    tiny_generator: Generator, tiny_critic: Critic, wide_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wide, drawn, draw = catalog.load_critic(str(wide_folder)), [], pool._draw
    monkeypatch.setattr(pool, "_draw", lambda *arguments: drawn.append(arguments[0]) or draw(*arguments))
    first, second = SourcePool(), SourcePool()
    indices = torch.tensor([3, 12])
    w, (seen, seen_wide) = take_samples([(first, tiny_critic), (second, wide)], indices, tiny_generator)
    assert drawn == [0, 1]
    assert (seen.shape[1], seen_wide.shape[1]) == (16, 24)
    alone_w, alone = SourcePool().take(indices, tiny_generator, wide)
    assert torch.equal(w, alone_w)
    assert torch.equal(seen_wide, alone)


# ----------------------------------------------------------------------------------------------------------------------
# What is kept of it


@pytest.mark.usefixtures("studio")
def test_the_order_and_spelling_of_weights_decide_the_key_and_nothing_else(wide_folder: Path) -> None:
    def key(critic: str | None) -> str:
        return store.run_key(AdaptConfig("sketch", critic=critic, **TINY))

    assert key(f"studio+{wide_folder}@0.5") == key(f"studio@1.0 + {wide_folder}@0.50")
    assert len({key(None), key(str(wide_folder)), key(f"studio+{wide_folder}"), key(f"studio+{wide_folder}@0.5")}) == 4
    assert key(None) == key("studio")


def test_the_command_line_keeps_each_critics_part_and_says_the_ensemble(
    studio: Path, wide_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, critic = tmp_path / "out", f"studio+{wide_folder}@0.5"
    steps = ["--steps", "2", "--mapper-steps", "2", "--mapper-batch", "4", "--batch", "2"]
    assert main(["adapt", "sketch", "--critic", critic, *steps, "--out", str(out)]) == 0
    settings = json.loads((out / SETTINGS).read_text(encoding="utf-8"))
    assert settings["config"]["critic"] == settings["critic"] == critic
    assert settings["critic_sha256"] == catalog.critic_digest(critic)
    tensors, _ = load_tensors(out / domain_folder.ADAPTED)
    heads = {name: tensor for name, tensor in tensors.items() if name.endswith("mapper.layers.3.weight")}
    # 4 context vectors of each critic's own token width
    assert {name: len(tensor) for name, tensor in heads.items()} == {
        "prompts.0.mapper.layers.3.weight": 4 * 32,
        "prompts.1.mapper.layers.3.weight": 4 * 48,
    }
    # Adapting the adapted domain again takes the same critics.
    assert catalog.critic_of(str(out)) == critic
    assert main(["adapt", "zombie", "--model", str(out), "--method", "nada", *steps, "--out", str(tmp_path / "b")]) == 0
    assert json.loads((tmp_path / "b" / SETTINGS).read_text(encoding="utf-8"))["critic"] == critic
    capsys.readouterr()
    assert main(["adapt", "sketch", "--critic", "studio+studio@2", "--out", str(out)]) == 2
    assert "comes twice" in capsys.readouterr().err


# ----------------------------------------------------------------------------------------------------------------------
# Inversion


@pytest.mark.usefixtures("studio")
def test_an_inversion_averages_their_views(tiny_critic: Critic, wide_folder: Path, rng: torch.Generator) -> None:
    target, images = torch.rand(1, 3, 32, 32, generator=rng), torch.rand(2, 3, 32, 32, generator=rng)
    views = [critic_view(tiny_critic), critic_view(catalog.load_critic(str(wide_folder)))]
    one, other = (view(target)(images) for view in views)
    both = mean_view(list(zip(views, [1.0, 0.5])))
    assert torch.allclose(both(target)(images), (one + 0.5 * other) / 1.5)
    assert torch.equal(mean_view([(views[0], 1.0)])(target)(images), one)
    config = InvertConfig(pixel=0.0, multiscale=0.0)
    assert torch.allclose(PictureLoss(config, target, both)(images)["perceptual"], (one + 0.5 * other) / 1.5)
