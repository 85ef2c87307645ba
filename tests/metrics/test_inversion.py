"""Inversion's measures give their end points where the answer is known."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ipl_core.errors import InputError
from ipl_core.metrics.kept_attributes import identity_similarity
from ipl_core.metrics.reports import inversion
from ipl_core.metrics.reports.inversion import InversionScore, held_out_portraits, markdown
from ipl_core.metrics.scores import write_csv
from ipl_core.metrics.ssim import ssim
from ipl_core.pictures.media import to_uint8
from ipl_core.studio.world.subject import SUBJECTS, Subject


def test_ssim_is_1_for_equal_pictures_and_falls_with_noise(rng: torch.Generator) -> None:
    pictures = torch.rand(2, 3, 24, 24, generator=rng) * 2 - 1
    assert torch.allclose(ssim(pictures, pictures), torch.ones(2), atol=1e-5)
    noisy = pictures + 0.3 * torch.randn(pictures.shape, generator=rng)
    assert (ssim(pictures, noisy) < 0.95).all()
    assert (ssim(pictures, -pictures) < 0).all()
    # Two flat pictures differ in brightness alone: the first factor of the formula.
    a, b = torch.full((1, 3, 16, 16), 0.2), torch.full((1, 3, 16, 16), 0.6)
    assert float(ssim(a, b)) == pytest.approx((2 * 0.6 * 0.8 + 1e-4) / (0.6**2 + 0.8**2 + 1e-4), abs=1e-3)


@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: subject.name)
def test_held_out_portraits_do_not_depend_on_how_many_are_asked_for(subject: Subject) -> None:
    sitters, pictures = held_out_portraits(subject, 3, 32)
    fewer_sitters, fewer = held_out_portraits(subject, 2, 32)
    assert pictures.shape == (3, 32, 32, 3)
    assert torch.equal(pictures[:2], fewer)
    assert torch.equal(sitters["turn"][:2], fewer_sitters["turn"])
    assert torch.equal(subject.labels(sitters)[:2], subject.labels(fewer_sitters))
    assert not torch.equal(pictures[0], pictures[1])


@pytest.mark.usefixtures("studio")
def test_identity_is_1_for_the_same_picture_and_none_without_a_judge(rng: torch.Generator) -> None:
    picture = to_uint8(torch.rand(1, 3, 32, 32, generator=rng))
    assert identity_similarity("studio", picture, picture) == pytest.approx(1, abs=1e-5)
    assert identity_similarity("/models/own.safetensors", picture, picture) is None


@pytest.mark.usefixtures("studio")
@pytest.mark.parametrize("model", ["studio", "studio-dogs"])
def test_every_preset_is_measured_on_portraits_and_samples(
    model: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made = inversion.InvertConfig

    def quick(**settings: object) -> object:
        return made(**settings, starts=0, steps=2, tune_steps=1, tune_further=0)

    monkeypatch.setattr(inversion, "InvertConfig", quick)
    scores = list(inversion.evaluate_inversion(["fast", "good"], count=2, samples=1, model=model))
    assert [(s.preset, s.kind, s.number) for s in scores] == [
        (preset, kind, number)
        for preset in ("fast", "good")
        for kind, number in (("portraits", 0), ("portraits", 1), ("samples", 0))
    ]
    for score in scores:
        assert -1 <= score.identity <= 1.001
        assert 0 <= score.attributes <= 1
        assert 0 <= score.readable <= 1
        assert score.ssim <= 1
        assert score.seconds > 0
    write_csv(scores, tmp_path / "inversion.csv")
    assert len((tmp_path / "inversion.csv").read_text().splitlines()) == 7
    assert markdown(scores).count("| portraits | 2 |") == 2


def test_the_table_has_means_the_lowest_identity_and_the_median_of_seconds() -> None:
    seen = ((0.9, 5.0), (1.0, 4.0), (0.95, 90.0))
    rows = [InversionScore("good", "samples", n, i, 0.9, 1.0, 0.8, 0.02, 0.004, s) for n, (i, s) in enumerate(seen)]
    assert "| good | samples | 3 | 0.950 | 0.900 | 90.0% | 100.0% | 0.800 | 0.0200 | 0.0040 | 5.0 |" in markdown(rows)


@pytest.mark.usefixtures("studio")
def test_what_cannot_be_measured_is_refused_first() -> None:
    with pytest.raises(InputError, match="one of fast, good, best"):
        next(inversion.evaluate_inversion(["quick"]))
    with pytest.raises(InputError, match="no judge"):
        next(inversion.evaluate_inversion(["fast"], model="other"))
