"""A generator that encodes is measured by what it draws again: all of it is found where nothing was lost."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from fakes.small_diffusion import EMBEDDED
from torch import Tensor, nn

from ipl_core.errors import InputError
from ipl_core.generators.diffusion.files import save_diffusion
from ipl_core.generators.diffusion.model import DiffusionAutoencoder, DiffusionConfig
from ipl_core.generators.diffusion.network import UNetConfig
from ipl_core.generators.encoder import EncoderConfig
from ipl_core.generators.invert import critic_view
from ipl_core.metrics.reports.reconstruction import reconstruction_report
from ipl_core.models import catalog
from ipl_core.studio.commands.main import main
from ipl_core.studio.world.subject import LATENT_WIDTH


class Keeper(nn.Module):
    """A generator whose noise is the picture itself, and whose constant noise is mid-grey."""

    class config:  # noqa: N801
        resolution = 32

    class Synthesis(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.noise = nn.Module()
            self.noise.register_buffer("0", torch.zeros(1, 3, 32, 32))
            self.steps: list[int | None] = []

        def forward(self, w: Tensor, noise: list[Tensor], steps: int | None = None) -> Tensor:
            self.steps.append(steps)
            return noise[0].expand(len(w), -1, -1, -1)

    def __init__(self) -> None:
        super().__init__()
        self.synthesis, self.device = self.Synthesis(), torch.device("cpu")

    def encode(self, pictures: Tensor, steps: int | None = None) -> tuple[Tensor, list[Tensor]]:
        return torch.zeros(len(pictures), 1, 4), [pictures]


@pytest.mark.usefixtures("studio")
def test_what_keeps_the_whole_picture_loses_nothing() -> None:
    judge, perceptual = catalog.load_judge("studio-people"), critic_view(catalog.load_critic("studio"))
    figures = reconstruction_report(keeper := Keeper(), judge, perceptual, count=12, steps=7)
    assert keeper.synthesis.steps == [7] * 4  # two parts of the portraits, each of both codes and of the latent
    for name, value in {"identity": 1, "lowest identity": 1, "ssim": 1, "pixel": 0, "perceptual": 0}.items():
        assert figures[f"{name}, both codes"] == pytest.approx(value, abs=1e-5)
    assert 0.1 < figures["pixel, latent alone"] < 1
    assert figures["lowest identity, latent alone"] < figures["identity, latent alone"] < 1
    assert figures["ssim, latent alone"] < 0.9
    assert figures["perceptual, latent alone"] > 0
    assert figures["seconds"] > 0


@pytest.mark.usefixtures("studio")
def test_a_generator_that_searches_is_refused() -> None:
    judge, perceptual = catalog.load_judge("studio-people"), critic_view(catalog.load_critic("studio"))
    with pytest.raises(InputError, match="searches for the latent"):
        reconstruction_report(catalog.load_generator("studio"), judge, perceptual, count=1)


def test_the_command_measures_and_keeps_what_training_wrote(
    studio: Path, tiny_pretrained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = DiffusionConfig(
        resolution=32,
        unet=UNetConfig((8, 16), (1,), 1, 2, groups=4, unshuffle=4, time_features=8, time_width=16),
        encoder=EncoderConfig(rows=1, w_dim=12, resolution=16, widths=(4, 8), features=8),
        schedule=EMBEDDED.schedule,
        mapping=EMBEDDED.mapping,
        z_dim=LATENT_WIDTH,
        w_dim=12,
        steps=4,
        encode_steps=4,
    )
    folder = tmp_path / "out" / "studio-people-diffusion"
    save_diffusion(DiffusionAutoencoder(config, torch.Generator().manual_seed(0)), folder / "model.safetensors")
    (folder / "report.json").write_text('{"z_sem alone": 0.5}')
    options = ["diffusion-report", "--smoke", "--threads", "1", "--out", str(tmp_path / "out")]
    assert main(options) == 0
    figures = json.loads((folder / "report.json").read_text())
    assert figures["z_sem alone"] == 0.5
    assert {"identity, both codes", "identity, latent alone", "distance", "floor", "seconds"} <= figures.keys()
    assert (folder / "samples.jpg").stat().st_size > 500
    assert main([*options, "--portraits", "0"]) == 2
    shutil.rmtree(folder)
    assert main(options) == 2
