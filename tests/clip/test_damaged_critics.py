"""CLIP files that are missing or damaged, embedded and named by path: a sentence says which of the two it is."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from fakes.refusals import refusal

from ipl_core import InputError
from ipl_core.clip.model import CONFIG_FILE, WEIGHTS_FILE, WORDS_FILE
from ipl_core.models import catalog
from ipl_core.storage.tensors import save_tensors

RUN = ["adapt", "werewolf", "--method", "nada", "--steps", "1", "--batch", "2", "--out", "{}"]
NETWORK = "network"
TAUGHT = {"words": ["photo", "werewolf"], "domains": {"werewolf": []}}


def cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def emptied(content: bytes) -> bytes:
    return b""


def a_web_page(content: bytes) -> bytes:
    return b"<!DOCTYPE html><title>Sign in</title>"


def scribbled_on(content: bytes) -> bytes:
    return content[:40] + b"\xff" * 40 + content[80:]


DAMAGE = [cut, emptied, a_web_page, scribbled_on]


def said_of(critic: str) -> str:
    with pytest.raises(InputError) as refused:
        catalog.load_critic(critic)
    words = str(refused.value)
    assert "\n" not in words
    return words


# ----------------------------------------------------------------------------------------------------------------------
# The embedded one


@pytest.fixture
def embedded(
    tiny_pretrained: Path, make_critic_folder: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """The folder of the embedded critic, for one test to damage."""
    pretrained = tmp_path / "pretrained"
    shutil.copytree(tiny_pretrained, pretrained)
    registry = json.loads((pretrained / "registry.json").read_text())
    registry["critics"]["studio"]["dir"] = "clip"
    (pretrained / "registry.json").write_text(json.dumps(registry))
    monkeypatch.setenv("IPL_PRETRAINED", str(pretrained))
    monkeypatch.setenv("IPL_HOME", str(tmp_path / "home"))
    return make_critic_folder(pretrained / "clip", TAUGHT)


def test_what_is_missing_is_called_so(embedded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert catalog.load_critic("studio").known_words
    (embedded / WEIGHTS_FILE).unlink()
    words = said_of("studio")
    assert f"has no weights; put {WEIGHTS_FILE} into it" in words
    assert "damaged" not in words
    (embedded / CONFIG_FILE).unlink()
    assert f"has no {CONFIG_FILE}" in said_of("studio")
    shutil.rmtree(embedded)
    words = said_of("studio")
    assert f"{embedded} doesn't exist" in words
    assert "Restore the folder “pretrained”" in words
    assert "doesn't exist" in refusal([part.format(tmp_path / "out") for part in RUN], capsys)


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("file", [WEIGHTS_FILE, CONFIG_FILE, WORDS_FILE])
def test_a_damaged_file_is_named_and_no_network_blamed(
    embedded: Path,
    file: str,
    damage: Callable[[bytes], bytes],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = embedded / file
    path.write_bytes(damage(path.read_bytes()))
    words = said_of("studio")
    assert str(embedded) in words
    assert "can't be read" in words or "damaged" in words
    assert "restore" in words
    assert NETWORK not in words.lower()
    assert refusal([part.format(tmp_path / "out") for part in RUN], capsys) == words


# ----------------------------------------------------------------------------------------------------------------------
# One's own, for open_clip


@pytest.mark.parametrize("name", ["clip.pt", "clip.bin", "a folder/clip.safetensors", "clip"])
def test_a_file_that_is_not_there_is_no_such_file(name: str, tmp_path: Path) -> None:
    words = said_of(f"ViT-B-32:{tmp_path / name}")
    assert f"There is no file “{tmp_path / name}”" in words
    assert "damaged" not in words
    assert NETWORK not in words.lower()


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    assert "is a folder" in said_of(f"ViT-B-32:{tmp_path}")


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("ending", [".safetensors", ".pt", ".bin", ""])
@pytest.mark.parametrize("pickled", [False, True], ids=["safetensors", "pickle"])
def test_a_damaged_file_of_ones_own_is_called_damaged(
    pickled: bool, ending: str, damage: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    path = tmp_path / f"clip{ending}"
    state = {"visual.proj": torch.randn(64, 64)}
    if pickled:
        torch.save(state, path)
    else:
        save_tensors(state, path)
    path.write_bytes(damage(path.read_bytes()))
    words = said_of(f"ViT-B-32:{path}")
    assert str(path) in words
    assert "can't be read" in words
    assert NETWORK not in words.lower()
    assert "weights_only" not in words, "advice to let a file run what it holds"


@pytest.mark.parametrize("ending", [".safetensors", ".pt"])
def test_a_whole_file_of_another_model_is_said_to_be_one(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"clip{ending}"
    save_tensors({"visual.proj": torch.randn(8, 8)}, path)
    words = said_of(f"ViT-B-32:{path}")
    assert "belongs to another model" in words
    assert NETWORK not in words.lower()


def test_what_a_file_holds_decides_not_its_name(tmp_path: Path) -> None:
    from ipl_core.clip.model import _readable
    from ipl_core.storage.tensors import load_tensors

    state = {"visual.proj": torch.randn(2, 3)}
    save_tensors(state, tmp_path / "clip.pt")
    with _readable(str(tmp_path / "clip.pt")) as readable:
        assert readable.endswith(".safetensors")
        assert torch.equal(load_tensors(readable)[0]["visual.proj"], state["visual.proj"])
