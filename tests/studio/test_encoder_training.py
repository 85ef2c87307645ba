"""The encoders' training: the command runs from nothing and resumes, and what it learns is where pictures come from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from ipl_core.generators.encoder import load_encoder
from ipl_core.generators.files import save_generator
from ipl_core.generators.stylegan2.network import Generator, GeneratorConfig
from ipl_core.storage.tensors import load_tensors
from ipl_core.studio.commands.main import main
from ipl_core.studio.training.encoder import EncoderRecipe, train_encoder
from ipl_core.studio.world.subject import LATENT_WIDTH, PEOPLE

SMALL = GeneratorConfig(32, z_dim=LATENT_WIDTH, w_dim=8, mapping_layers=1, channels=((4, 8), (8, 8), (16, 8), (32, 4)))


@pytest.fixture
def generator_file(tmp_path: Path) -> Path:
    """A generator of 32×32 pixels whose pictures lie in the range that pictures have."""
    generator = Generator(SMALL, torch.Generator().manual_seed(0))
    with torch.no_grad():
        for name in generator.torgb_parameters():
            if name.endswith("weight") and "affine" not in name:
                generator.get_parameter(name).mul_(0.2)
    generator.estimate_w_avg(torch.Generator().manual_seed(1), 500)
    path = tmp_path / "studio-people-generator" / "model.safetensors"
    save_generator(generator, path)
    return path


def test_the_command_runs_and_is_not_begun_again(generator_file: Path, tmp_path: Path) -> None:
    options = ["train-encoder", "--smoke", "--threads", "1", "--work", str(tmp_path / "work"), "--out", str(tmp_path)]
    assert main(options) == 0
    folder = tmp_path / "studio-people-encoder"
    report = json.loads((folder / "report.json").read_text())
    assert report.keys() == {f"{what}, {kind}" for what in ("guess", "mean latent") for kind in ("renders", "samples")}
    first, described = load_tensors(folder / "model.safetensors")
    assert main(options) == 0
    again, described_again = load_tensors(folder / "model.safetensors")
    assert described_again == described
    assert again.keys() == first.keys()
    assert all(torch.equal(again[name], first[name]) for name in first)
    loaded = load_encoder(folder / "model.safetensors")
    assert (loaded.rows, loaded.w_dim) == (SMALL.num_layers, SMALL.w_dim)


def test_it_learns_where_pictures_come_from(generator_file: Path, tmp_path: Path) -> None:
    recipe = EncoderRecipe(photos=12, held_out=4, steps=160, rendered=2, compared=2, bfloat16=False)
    report = train_encoder(PEOPLE, recipe, tmp_path / "work", generator_file, tmp_path / "encoder.safetensors")
    assert report["guess, samples"] < 0.85 * report["mean latent, samples"]
