"""A generator that draws what its latents mean is as near to renders as renders are; others are far."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ipl_core.errors import InputError
from ipl_core.metrics.reports import generator as report
from ipl_core.studio.judge import Verdict
from ipl_core.studio.world.domains import PHOTO
from ipl_core.studio.world.subject import DOGS, LATENT_WIDTH


class Onlooker:
    """A judge that sees mean colours and their spread, and takes every sitter for the first label of every trait."""

    subject, resolution = DOGS, 32

    def read(self, pictures: Tensor) -> Verdict:
        count = len(pictures)
        features = torch.cat([pictures.mean((2, 3)), pictures.std((2, 3))], 1)
        traits = tuple(F.one_hot(torch.zeros(count, dtype=torch.int64), len(t.after)).float() for t in DOGS.traits)
        return Verdict(DOGS, torch.ones(count, 1), traits, features, features)


def measured(monkeypatch: pytest.MonkeyPatch, draw: Callable[[Tensor], Tensor], samples: int = 80) -> dict[str, float]:
    """The report on a generator that is `draw`, latents → pictures, in the onlooker's eyes."""

    class Drawing:
        config = SimpleNamespace(z_dim=LATENT_WIDTH)

        def __call__(self, z: Tensor) -> Tensor:
            return draw(z)

    monkeypatch.setattr(report, "judge_of", lambda model: model)
    monkeypatch.setattr(report, "load_judge", lambda judge: Onlooker())
    monkeypatch.setattr(report, "load_generator", lambda model: Drawing())
    monkeypatch.setattr(report, "_CHUNK", 50)  # so that the last part is smaller
    return report.generator_report("studio-dogs", samples)


def test_a_perfect_generator_is_as_near_as_renders_are(monkeypatch: pytest.MonkeyPatch) -> None:
    latents = []

    def perfect(z: Tensor) -> Tensor:
        latents.append(z)
        return DOGS.render(PHOTO, DOGS.sitters_from_latents(z), torch.Generator().manual_seed(0), 32)

    figures = measured(monkeypatch, perfect)
    assert set(figures) == {"distance", "floor", "ratio", "agreement", "readable"}
    assert figures["ratio"] == pytest.approx(figures["distance"] / figures["floor"])
    assert 0.1 < figures["ratio"] < 10
    labels = DOGS.labels(DOGS.sitters_from_latents(torch.cat(latents)))
    assert len(labels) == 80
    assert figures["agreement"] == pytest.approx(float((labels == 0).float().mean()))
    assert 0 < figures["readable"] < 1


def test_a_generator_that_draws_everybody_alike_is_far(monkeypatch: pytest.MonkeyPatch) -> None:
    figures = measured(monkeypatch, lambda z: torch.zeros(len(z), 3, 32, 32) + 0.01 * z[:, :1, None, None])
    assert figures["ratio"] > 30
    assert figures["distance"] > figures["floor"]


@pytest.mark.usefixtures("studio")
def test_what_has_no_judge_or_no_room_for_a_sitter_is_refused() -> None:
    with pytest.raises(InputError, match="no judge"):
        report.generator_report("afhq-dog-512")
    with pytest.raises(InputError, match="Dogs are drawn from points of shape"):
        report.generator_report("studio-dogs", 4)  # the tiny one's latents have 16 numbers
