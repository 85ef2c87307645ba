"""Names and paths to models, and a clear sentence when there is none."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from ipl_core.devices import usable_device
from ipl_core.errors import InputError
from ipl_core.generators.files import save_generator
from ipl_core.generators.stylegan2.network import Generator
from ipl_core.methods.config import AdaptConfig
from ipl_core.models import catalog


@pytest.fixture
def own_pretrained(tiny_pretrained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the tiny models that a test may damage."""
    folder = tmp_path / "pretrained"
    shutil.copytree(tiny_pretrained, folder)
    monkeypatch.setenv("IPL_PRETRAINED", str(folder))
    return folder


def test_a_name_and_its_path_are_the_same_model(studio: Path, tiny_generator: Generator) -> None:
    by_name = catalog.load_generator("studio")
    by_path = catalog.load_generator(catalog.generators()["studio"].file)
    for name, tensor in tiny_generator.state_dict().items():
        assert torch.equal(by_name.state_dict()[name], tensor)
        assert torch.equal(by_path.state_dict()[name], tensor)
    assert not by_name.training
    assert not any(parameter.requires_grad for parameter in by_name.parameters())


def test_registry_says_critic_source_and_licence(studio: Path) -> None:
    entry = catalog.generators()["studio"]
    assert (entry.critic, entry.source, entry.licence) == ("studio", "photo", "made by tests")
    assert catalog.critic_of("studio") == "studio"
    assert catalog.load_critic("studio").embed_dim == 16


def test_a_file_of_ones_own_needs_a_critic_named(studio: Path, tmp_path: Path, tiny_generator: Generator) -> None:
    path = tmp_path / "mine.safetensors"
    save_generator(tiny_generator, path)
    assert catalog.load_generator(path).config == tiny_generator.config
    with pytest.raises(InputError, match="Say which CLIP model"):
        catalog.critic_of(str(path))


def test_unknown_model_lists_the_known_ones(studio: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no model “ffhq”: use one of studio"):
        catalog.load_generator("ffhq")
    with pytest.raises(InputError, match="holds no adapted domain"):
        catalog.load_generator(tmp_path)


def test_missing_and_changed_weights(own_pretrained: Path) -> None:
    file = own_pretrained / "tiny-generator.safetensors"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(InputError, match="isn't the file it should be"):
        catalog.load_generator("studio")
    file.unlink()
    with pytest.raises(InputError, match="weights of the model “studio” are missing"):
        catalog.load_generator("studio")


def test_missing_critic(own_pretrained: Path) -> None:
    registry = json.loads((own_pretrained / "registry.json").read_text())
    registry["critics"]["studio"]["dir"] = "nowhere"
    (own_pretrained / "registry.json").write_text(json.dumps(registry))
    with pytest.raises(InputError, match="weights of the CLIP model “studio” are missing"):
        catalog.load_critic("studio")


@pytest.mark.parametrize("text", ["{", "[]", '{"generators": {"studio": {}}}', '{"generators": {"studio": 3}}'])
def test_damaged_registry(own_pretrained: Path, text: str) -> None:
    (own_pretrained / "registry.json").write_text(text)
    with pytest.raises(InputError, match=r"list of models .*damaged"):
        catalog.find_generator("studio")


def test_missing_registry(own_pretrained: Path) -> None:
    (own_pretrained / "registry.json").unlink()
    with pytest.raises(InputError, match="can't be read"):
        catalog.generators()


def test_digests_follow_the_bytes(own_pretrained: Path, tiny_generator: Generator) -> None:
    before = catalog.generator_digest("studio")
    assert before == catalog.generators()["studio"].sha256
    with torch.no_grad():
        tiny_generator.w_avg.add_(1)
    save_generator(tiny_generator, own_pretrained / "other.safetensors")
    assert catalog.generator_digest(str(own_pretrained / "other.safetensors")) != before
    assert catalog.critic_digest("ViT-B-32") == "open_clip:ViT-B-32"
    assert len(catalog.critic_digest("studio")) == 64


def test_devices_that_are_not_there() -> None:
    assert usable_device("cpu") == torch.device("cpu")
    with pytest.raises(InputError, match="cuda:99"):
        usable_device("cuda:99")
    with pytest.raises(InputError, match="no device called"):
        usable_device("toaster")
    with pytest.raises(InputError, match="isn't supported"):
        usable_device("meta")


@pytest.mark.usefixtures("studio")
def test_a_critic_is_asked_as_suits_it_and_any_other_by_the_papers_ipl(
    tiny_pretrained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    papers = {"method": "ipl", "prompts": "vectors"}
    for critic in ("studio", "ViT-B-32", "studio+ViT-B-32@0.5", str(tmp_path)):
        assert catalog.suited_to(critic) == papers
    shutil.copytree(tiny_pretrained, tmp_path / "pretrained")
    known = json.loads((tiny_pretrained / "registry.json").read_text())
    known["critics"]["studio"]["suits"] = {"method": "described", "prompts": "read"}
    (tmp_path / "pretrained" / "registry.json").write_text(json.dumps(known))
    monkeypatch.setenv("IPL_PRETRAINED", str(tmp_path / "pretrained"))
    assert catalog.suited_to("studio") == {"method": "described", "prompts": "read"}
    assert catalog.suited_to("ViT-B-32") == papers


def test_what_suits_the_embedded_critic_is_a_method_and_prompts_that_there_are() -> None:
    config = AdaptConfig("zombie", **catalog.suited_to("studio"))
    assert config.readable
