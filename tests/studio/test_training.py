"""Every training command runs from nothing, resumes, and writes models that the rest of the project can use."""

import json

import pytest
import torch

from ipl_core.catalog import pretrained_folder
from ipl_core.checkpoints import load_generator
from ipl_core.clip import load_critic
from ipl_core.studio.__main__ import main
from ipl_core.studio.attributes import COUNT
from ipl_core.studio.augment import nuisance, roughen
from ipl_core.studio.data import latents_of_people
from ipl_core.studio.judge import load_judge
from ipl_core.studio.train_clip import contrast
from ipl_core.studio.train_generator import GENERATOR, open_mapping, regression_loss
from ipl_core.studio.training import Checkpoint
from ipl_core.stylegan2 import Generator


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The three models, made by the smoke versions of their commands."""
    work, out = tmp_path_factory.mktemp("work"), tmp_path_factory.mktemp("out")
    for command in ("train-generator", "train-clip", "train-judge"):
        assert main([command, "--smoke", "--threads", "1", "--work", str(work), "--out", str(out)]) == 0
    return work, out


def test_the_models_load_where_they_are_used(made):
    _, out = made
    generator = load_generator(out / "studio-generator" / "model.safetensors")
    critic = load_critic(out / "studio-clip")
    judge = load_judge(out / "studio-judge" / "model.safetensors")
    with torch.no_grad():
        pictures = generator(torch.randn(2, GENERATOR.z_dim, generator=torch.Generator().manual_seed(0)))
    assert critic.encode_images(pictures).shape == (2, critic.embed_dim)
    assert judge.read(pictures).domain.shape[0] == 2
    assert "werewolf" in critic.domains
    assert critic.unknown_words("a photo of a werewolf") == []
    assert critic.unknown_words("a submarine") == ["submarine"]
    report = json.loads((out / "studio-judge" / "report.json").read_text())
    assert 0 <= report["domain accuracy"] <= 1


def test_a_finished_training_is_not_begun_again(made):
    work, out = made
    before = (work / "clip.pt").stat().st_mtime_ns
    assert main(["train-clip", "--smoke", "--threads", "1", "--work", str(work), "--out", str(out)]) == 0
    assert (work / "clip.pt").stat().st_mtime_ns == before


def test_a_checkpoint_gives_back_weights_random_numbers_and_step(tmp_path):
    layer, random = torch.nn.Linear(2, 2), torch.Generator().manual_seed(5)
    checkpoint = Checkpoint(tmp_path / "a.pt", {"layer": layer, "random": random})
    assert checkpoint.resume() == 0
    checkpoint.save(7)
    weight, drawn = layer.weight.detach().clone(), torch.rand(3, generator=random)
    with torch.no_grad():
        layer.weight.zero_()
    assert checkpoint.resume() == 7
    assert torch.equal(layer.weight, weight)
    assert torch.equal(torch.rand(3, generator=random), drawn)


def test_the_opened_mapping_keeps_every_coordinate_of_z_apart():
    generator = Generator(GENERATOR, torch.Generator().manual_seed(0))
    open_mapping(generator)
    u = torch.rand(4, COUNT, generator=torch.Generator().manual_seed(1))
    z = latents_of_people(u, GENERATOR.z_dim, 0)
    w = generator.mapping(z)
    assert torch.allclose(w[:, :64].clamp_min(0), z.clamp_min(0), atol=1e-4)
    assert torch.allclose(w[:, 64:].clamp_min(0), (-z).clamp_min(0), atol=1e-4)


def test_losses_are_zero_or_small_for_what_is_right():
    picture = torch.rand(2, 3, 16, 16)
    assert float(regression_loss(picture, picture)) == 0
    unit = torch.eye(3)
    true = torch.eye(3, dtype=torch.bool)
    assert float(contrast(unit, unit, true, torch.tensor(30.0))) < 1e-6
    # Two captions that are both true of both pictures cost no more than the choice between them.
    both = torch.ones(2, 2, dtype=torch.bool)
    assert float(contrast(unit[[0, 0]], unit[[0, 0]], both, torch.tensor(1.0))) == pytest.approx(0.6931, abs=1e-3)


@pytest.mark.parametrize("change", [nuisance, roughen])
def test_augmentations_keep_shape_range_and_the_scene(change):
    coarse = torch.rand(6, 3, 8, 8, generator=torch.Generator().manual_seed(2))
    pictures = torch.nn.functional.interpolate(coarse, size=(64, 64), mode="bicubic").clamp(0, 1) * 2 - 1
    changed = change(pictures, torch.Generator().manual_seed(0))
    assert changed.shape == pictures.shape
    assert torch.isfinite(changed).all()
    assert not torch.equal(changed, pictures)
    assert torch.corrcoef(torch.stack([changed.flatten(), pictures.flatten()]))[0, 1] > 0.4
    assert torch.equal(changed, change(pictures, torch.Generator().manual_seed(0)))


def test_the_committed_models_are_all_there():
    folder = pretrained_folder()
    for model in ("studio-generator", "studio-clip", "studio-judge"):
        assert (folder / model / "README.md").is_file(), f"{model} has no model card"
        assert list((folder / model).glob("*.safetensors"))
