"""Models and critics by path: a path is taken letter by letter, whatever it is called, and titles stay short lines."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from ipl_core import AdaptConfig, InputError, InvertConfig
from ipl_core.clip.ensemble import members, stored
from ipl_core.commands.main import main
from ipl_core.drawing.people_by_seed import SeedPerson
from ipl_core.generators.files import save_generator
from ipl_core.generators.stylegan2.network import Generator
from ipl_core.generators.stylegan2.rosinality import save_rosinality
from ipl_core.library import store
from ipl_core.models import catalog
from ipl_core.storage.words import model_words

TINY = ["--method", "nada", "--steps", "1", "--batch", "2", "--critic", "studio"]
pytestmark = pytest.mark.usefixtures("studio")

NAMES = [
    "0.8(8000-fix)  + 0.2(4500).pt",
    "narrow\u202fblank.pt",
    " leading and trailing .pt",
    "two\nlines.pt",
    "right\u202eto left.pt",
    "é" * 120 + ".pt",
    "a=b&c;d|e'f\"g`h$i*j?.pt",
    "Ｆｕｌｌ　ｗｉｄｔｈ.pt",
    "🎭.pt",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_model_may_be_called_anything(
    name: str, tmp_path: Path, tiny_generator: Generator, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / name
    save_rosinality(tiny_generator, model)
    out = tmp_path / "run"
    assert main(["adapt", "werewolf", "--model", str(model), *TINY, "--out", str(out)]) == 0, capsys.readouterr().err
    assert store.open_entry(out).config.model == str(model)
    assert main(["sample", str(out), "--seeds", "0", "--out", str(tmp_path / "sheet.png")]) == 0
    assert main(["convert", str(model), "--out", str(tmp_path / "whole.safetensors")]) == 0
    assert InvertConfig(model=str(model)).model == str(model)


def test_a_path_may_be_long(tmp_path: Path, tiny_generator: Generator) -> None:
    folder = tmp_path.joinpath(*("d" * 200 for _ in range(6)))
    folder.mkdir(parents=True)
    save_generator(tiny_generator, model := folder / "model.safetensors")
    out = tmp_path / "run"
    assert len(str(model)) > 1200
    assert main(["adapt", "werewolf", "--model", str(model), *TINY, "--out", str(out)]) == 0
    assert store.open_entry(out).config.model == str(model)


def test_a_relative_path_with_blanks_is_kept(
    tmp_path: Path, tiny_generator: Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    save_generator(tiny_generator, " two  blanks ")
    assert AdaptConfig("werewolf", model=" two  blanks ").model == " two  blanks "
    assert AdaptConfig("werewolf", model=" studio ").model == "studio"


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("", "The model is blank"),
        (" \t", "The model is blank"),
        ("m" * 5000, "has 5000 characters; a path has at most 4096"),
        ("nul\0.pt", "no path can have"),
        (3, "must be text, not 3"),
    ],
)
def test_what_is_no_path_is_refused(model: object, said: str) -> None:
    with pytest.raises(InputError, match=said):
        AdaptConfig("werewolf", model=model)


@pytest.mark.parametrize("model", ["/nowhere/" + "x" * 400, "~nobody-of-that-name/model.pt", "x" * 300])
def test_a_path_that_leads_nowhere_is_said(model: str) -> None:
    for find in (catalog.find_generator, catalog.find_encoder, catalog.load_critic):
        with pytest.raises(InputError, match=r"(?i)there is no ") as refused:
            find(model)
        assert len(str(refused.value)) < 900


# ----------------------------------------------------------------------------------------------------------------------
# Critics


@pytest.fixture
def odd_weights(tmp_path: Path) -> Path:
    folder = tmp_path / "c++" / "at@home" / "a+b@0.5"
    folder.mkdir(parents=True)
    (folder / "clip.pt").write_bytes(b"weights")
    return folder / "clip.pt"


def test_a_path_with_plus_and_at_signs_is_one_critic(odd_weights: Path) -> None:
    own = f"RN50:{odd_weights}"
    folder = str(odd_weights.parent)
    assert members(own) == [(own, 1.0)]
    assert members(f"{own}@0.5+ViT-B-32") == [(own, 0.5), ("ViT-B-32", 1.0)]
    assert members(f"ViT-B-32@2 + {own}") == [("ViT-B-32", 2.0), (own, 1.0)]
    assert members(f"{folder}@3+{own}@.25") == [(folder, 3.0), (own, 0.25)]
    assert AdaptConfig("werewolf", critic=own).critic == own
    assert stored(f"{own}@0.5+ViT-B-32") == f"{own}@0.5+ViT-B-32"


def test_a_path_that_leads_nowhere_is_not_torn_apart_at_its_signs() -> None:
    assert members("RN50:/models/c++/clip.pt") == [("RN50:/models/c++/clip.pt", 1.0)]
    assert members("RN50:/at@home/clip.pt") == [("RN50:/at@home/clip.pt", 1.0)]
    assert members("RN50:/at@home/clip.pt@0.5+B") == [("RN50:/at@home/clip.pt", 0.5), ("B", 1.0)]
    assert members("A+/c++/clip@2") == [("A", 1.0), ("/c++/clip", 2.0)]


def test_no_critic_is_looked_for_without_end() -> None:
    with pytest.raises(InputError, match="65 pieces between plus signs; at most 64"):
        members("+".join(["/a"] * 65))


def test_a_critic_in_a_folder_with_signs_is_used(
    make_critic_folder: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    critic = make_critic_folder(tmp_path / "c++ @0.5" / "clip  1")
    out = tmp_path / "run"
    request = ["adapt", "werewolf", *TINY[:-2], "--critic", f"{critic}+studio@0.5", "--out", str(out)]
    assert main(request) == 2  # both have the same weights, which is said only after both were found
    assert "same weights" in capsys.readouterr().err
    assert main([*request[:-4], "--critic", str(critic), "--out", str(out)]) == 0
    assert store.open_entry(out).config.critic == str(critic)


# ----------------------------------------------------------------------------------------------------------------------
# Titles and people


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("studio", "studio"),
        ("/models/0.8(8000-fix)  + 0.2(4500).pt", "0.8(8000-fix) + 0.2(4500).pt"),
        ("C:\\models\\dog.pkl", "dog.pkl"),
        ("/models/two\nlines\u202e.pt", "two lines .pt"),
        ("/" + "m" * 300, "m" * 80),
        ("/models/adapted/", "adapted"),
        ("/", "a model"),
    ],
)
def test_a_title_calls_a_model_by_its_file(model: str, words: str) -> None:
    assert model_words(model) == words


def test_a_person_by_seed_may_be_of_a_model_with_blanks(tiny_generator: Generator) -> None:
    person = SeedPerson("/models/two  blanks %20\n7~0.7.pt", 7, 0.7, 3, 2)
    assert SeedPerson.parse(str(person)) == person
    assert torch.equal(SeedPerson.parse(str(person)).w_plus(tiny_generator), person.w_plus(tiny_generator))
