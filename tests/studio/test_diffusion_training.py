"""The diffusion models' training: the command runs from nothing and resumes exactly, goes on from weights alone, and
what it learns is to draw pictures of their codes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from ipl_core.errors import InputError
from ipl_core.generators.diffusion.files import load_diffusion
from ipl_core.generators.diffusion.model import DiffusionAutoencoder, DiffusionConfig, MLPConfig
from ipl_core.generators.diffusion.network import UNetConfig
from ipl_core.generators.diffusion.schedule import Schedule, cosine_alphas
from ipl_core.generators.encoder import EncoderConfig, PictureEncoder, save_encoder
from ipl_core.generators.files import load_generator
from ipl_core.storage.tensors import load_tensors
from ipl_core.studio.commands.main import main
from ipl_core.studio.data import photos, to_float
from ipl_core.studio.training import diffusion as training
from ipl_core.studio.training.diffusion import (
    DIFFUSION,
    SHIFT,
    DiffusionRecipe,
    loss_weight,
    redrawn,
    schedule_at,
    shifted,
    train_diffusion,
    train_mapping,
)
from ipl_core.studio.training.loop import Checkpoint
from ipl_core.studio.world.subject import LATENT_WIDTH, PEOPLE

TRUNK = EncoderConfig(rows=2, w_dim=8, resolution=16, widths=(8, 16), features=16)
SMALL = DiffusionConfig(
    resolution=32,
    unet=UNetConfig((16, 32), (1,), down_blocks=1, up_blocks=2, groups=8, unshuffle=4, time_features=16, time_width=32),
    encoder=replace(TRUNK, rows=1, w_dim=16),
    schedule=Schedule(cosine_alphas(100, SHIFT), "v_prediction"),
    mapping=MLPConfig(width=32, layers=2),
    z_dim=LATENT_WIDTH,
    w_dim=16,
    steps=5,
    encode_steps=10,
)
RECIPE = DiffusionRecipe(
    photos=24, held_out=4, steps_at_64=2, steps_at_128=2, further_steps=2, batch=4, warm_steps=1, mapping_steps=2,
    save_every=2, sheet_every=4, shown=2, redraw_steps=4, bfloat16=False,
)  # fmt: skip
MOST_BYTES = 25 * 10**6  # of the embedded model's file


def encoder_file(path: Path, config: EncoderConfig) -> Path:
    """A `PictureEncoder` of that shape with weights of seed 0."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        save_encoder(PictureEncoder(config), path, {})
    return path


@pytest.fixture
def trunk(tmp_path: Path) -> Path:
    return encoder_file(tmp_path / "encoder.safetensors", TRUNK)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the renders that the tests learn from."""
    folder = tmp_path_factory.mktemp("renders")
    for count in (24, 64):
        photos(PEOPLE, count, 32, 0, folder)
    return folder


def train(recipe: DiffusionRecipe, cache: Path, work: Path, trunk: Path, out: Path, **more: object) -> dict[str, float]:
    """The training of people in a work folder of its own, with renders that are there already."""
    work.mkdir(exist_ok=True)
    for file in cache.iterdir():
        if not (work / file.name).exists():
            (work / file.name).symlink_to(file)
    return train_diffusion(PEOPLE, recipe, work, trunk, out, config=SMALL, **more)


def test_the_command_runs_and_is_not_begun_again(tmp_path: Path) -> None:
    encoder_file(tmp_path / "studio-people-encoder" / "model.safetensors", EncoderConfig(rows=12, w_dim=160))
    options = ["train-diffusion", "--smoke", "--threads", "1", "--work", str(tmp_path / "work"), "--out", str(tmp_path)]
    assert main(options) == 0
    folder = tmp_path / "studio-people-diffusion"
    report = json.loads((folder / "report.json").read_text())
    assert report.keys() == {"both codes", "z_sem alone", "codes' variance that the mapping misses"}
    assert (folder / "sheet.jpg").stat().st_size > 1000
    path = folder / "model.safetensors"
    assert path.stat().st_size < MOST_BYTES
    loaded = load_generator(path)
    assert loaded.config == DIFFUSION
    first, described = load_tensors(path)
    assert described["subject"] == "people"
    assert main(options) == 0
    again, _ = load_tensors(path)
    assert all(torch.equal(again[name], first[name]) for name in first)
    assert main([*options, "--steps", "3"]) == 2
    assert main([*options, "--start", str(path), "--steps", "0"]) == 2
    assert main([*options, "--start", str(path), "--steps", "1", "--steps-at-64", "1"]) == 0
    assert (tmp_path / "work" / "diffusion-people-further-000002.jpg").stat().st_size > 1000
    assert main([*options, "--start", str(tmp_path / "work" / "diffusion-people.safetensors")]) == 0


def test_an_interrupted_training_ends_in_the_same_weights(
    cache: Path, trunk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = train(RECIPE, cache, tmp_path / "whole", trunk, tmp_path / "whole.safetensors")
    save = Checkpoint.save

    def save_and_stop(self: Checkpoint, step: int) -> None:
        save(self, step)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "save", save_and_stop)
        with pytest.raises(KeyboardInterrupt):
            train(RECIPE, cache, tmp_path / "parts", trunk, tmp_path / "parts.safetensors")
    assert not (tmp_path / "parts.safetensors").exists()
    assert train(RECIPE, cache, tmp_path / "parts", trunk, tmp_path / "parts.safetensors") == report
    whole, parts = (load_tensors(tmp_path / f"{name}.safetensors")[0] for name in ("whole", "parts"))
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


def test_training_goes_on_from_weights_alone(cache: Path, trunk: Path, tmp_path: Path) -> None:
    train(RECIPE, cache, tmp_path / "work", trunk, begun := tmp_path / "begun.safetensors")
    train(RECIPE, cache, tmp_path / "other", trunk, out := tmp_path / "further.safetensors", start=begun)
    before, after = load_diffusion(begun), load_diffusion(out)
    assert after.config == before.config
    names = [name for name, _ in before.named_parameters() if not name.startswith("mapping.")]  # that is taught anew
    old, new = (torch.cat([part.get_parameter(name).detach().flatten() for name in names]) for part in (before, after))
    assert 0 < float((new - old).norm() / old.norm()) < 0.1
    with pytest.raises(InputError, match="missing"):
        train(RECIPE, cache, tmp_path / "third", trunk, out, start=tmp_path / "missing.safetensors")


def test_the_encoder_begins_as_the_trunk_of_the_picture_encoder(trunk: Path) -> None:
    made = DiffusionAutoencoder(SMALL, torch.Generator().manual_seed(0))
    training.begin_encoder(made.encoder, trunk)
    kept, _ = load_tensors(trunk)
    own = made.encoder.state_dict()
    shared = [name for name in own if name in kept]
    assert "whole.weight" in shared
    assert all(torch.equal(own[name], kept[name].float()) for name in shared)
    assert {name for name in own if name not in kept and "num_batches" not in name} == {"code.weight", "code.bias"}
    made.train()
    before = made.encoder.norm.running_mean.clone()
    made.encoder(torch.randn(2, 3, 32, 32))
    assert torch.equal(made.encoder.norm.running_mean, before)


def test_it_learns_to_draw_pictures_of_their_codes(cache: Path, trunk: Path, tmp_path: Path) -> None:
    recipe = replace(
        RECIPE, photos=64, steps_at_64=20, steps_at_128=130, batch=16, warm_steps=5, learning_rate=3e-3, ema=0.95,
        save_every=1000, sheet_every=1000, mapping_steps=150, mapping_batch=32, redraw_steps=10,
    )  # fmt: skip
    report = train(recipe, cache, tmp_path / "work", trunk, tmp_path / "model.safetensors")
    _, pictures = photos(PEOPLE, 64, 32, 0, cache)
    seen = to_float(pictures[:4])
    mean = float((seen - to_float(pictures).mean(0)).abs().mean())
    assert report["both codes"] < mean / 2
    assert report["codes' variance that the mapping misses"] < 1.5
    drawn = redrawn(load_diffusion(tmp_path / "model.safetensors"), seen, 10)
    assert drawn["both codes"].shape == seen.shape
    figures = (tmp_path / "work" / "diffusion-people.csv").read_text().splitlines()
    assert figures[0] == "step,side,picture,attributes,seconds"
    first, last = (float(figures[row].split(",")[2]) for row in (1, -1))
    assert last < first


def test_the_mapping_learns_the_codes_that_latents_stand_for() -> None:
    made = DiffusionAutoencoder(SMALL, torch.Generator().manual_seed(0)).eval().requires_grad_(False)
    z, pictures = torch.randn(300, LATENT_WIDTH, generator=torch.Generator().manual_seed(2)), _ramps(300)
    # Pictures that differ in one number, which z tells: what there is to learn of them fits a small network.
    order = torch.argsort(torch.nn.functional.normalize(z, dim=1)[:, 0])
    shown = torch.empty_like(pictures)
    shown[order] = pictures
    recipe = replace(RECIPE, mapping_steps=300, mapping_batch=64, held_out=20)
    assert train_mapping(made, z, shown, recipe) < 0.7
    codes = made.encoder(to_float(shown[20:]))
    torch.testing.assert_close(made.w_avg, codes.mean(0), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(made.mapping.std, codes.std(0), rtol=1e-3, atol=1e-4)


def _ramps(count: int) -> Tensor:
    """Pictures (count, 3, 32, 32) uint8, each evenly grey, from dark to light."""
    return torch.linspace(0, 255, count).byte()[:, None, None, None].expand(-1, 3, 32, 32).contiguous()


def test_weights_of_the_loss_are_those_of_min_snr_with_a_floor() -> None:
    snr = torch.tensor([1e-4, 1.0, 4.0, 100.0])
    torch.testing.assert_close(loss_weight(snr, 0.0, 5.0), torch.minimum(snr, torch.tensor(5.0)) / (snr + 1))
    weight = loss_weight(snr, 1.0, 5.0)
    torch.testing.assert_close(weight[:3], torch.ones(3))
    torch.testing.assert_close(weight[3], torch.tensor(5 / 101))


def test_half_the_size_has_the_same_noise_hide_as_much() -> None:
    full, half = schedule_at(SMALL, 32), schedule_at(SMALL, 16)
    assert full is SMALL.schedule
    assert half.prediction == full.prediction
    for t in (0, 40, 99):
        assert half.alphas[t] == pytest.approx(cosine_alphas(100)[t], rel=1e-6)
    assert shifted(full.alphas, 0.0) == pytest.approx(full.alphas)
