"""The measure of photographs: the same sitters whatever the count, every way measured, tables that add up."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ipl_core.errors import InputError
from ipl_core.metrics.reports import photographs
from ipl_core.metrics.reports.photographs import PhotographScore, beside_samples, changed_portraits, markdown, sharpness
from ipl_core.studio.training.photographs import HELD_OUT
from ipl_core.studio.world.subject import SUBJECTS, Subject


@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: subject.name)
def test_changes_take_turns_and_do_not_depend_on_the_count(subject: Subject) -> None:
    made = list(changed_portraits(subject, 3, 64))
    fewer = list(changed_portraits(subject, 2, 64))
    assert [kind for kind, *_ in made] == ["none", *list(HELD_OUT)[:2]]
    assert all(torch.equal(a[3], b[3]) for a, b in zip(made, fewer))
    assert torch.equal(made[0][2], made[0][3])
    assert not torch.equal(made[1][2], made[1][3])
    assert made[0][1].shape == (len(subject.traits),)


def test_noise_is_sharper_than_a_flat_picture() -> None:
    flat, noise = torch.zeros(1, 3, 8, 8), torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    assert sharpness(flat) == 0
    assert sharpness(noise) > 0.2


def test_the_table_compares_ways_on_the_same_pictures() -> None:
    rows = [
        PhotographScore(way, "none", number, traits, right, 1.0, 0.1, 0.02, "portrait", 1.0)
        for way, number, traits, right in (
            ("reading", 0, "hat beard", 0.25),
            ("portrait", 0, "hat beard glasses turn", 0.5),
            ("pixels", 0, "", 0.0),
            ("reading", 1, "hat", 0.125),
            ("portrait", 1, "", 0.0),
        )
    ]
    table = markdown(rows)
    assert "| reading | 2 | 0% | 0% | 0% | 0% | 50% | 100% | 0% | 0% | 18.8% |" in table
    assert (
        "| portrait, the same pictures as pixels | 1 | 0% | 0% | 0% | 100% | 100% | 100% | 0% | 100% | 50.0% |" in table
    )
    assert "| none | 2 | 18.8% | 25.0% | 0.0% | 100.0% | 100% |" in table


@pytest.mark.usefixtures("studio")
def test_a_model_without_a_reader_is_refused() -> None:
    with pytest.raises(InputError, match="no reader"):
        next(photographs.evaluate_photographs(2))


def test_every_way_is_measured(readable: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photographs, "_RENDERS", 50)
    made = photographs.InvertConfig
    monkeypatch.setattr(photographs, "InvertConfig", lambda **s: made(**{"starts": 0, "steps": 2, **s}))
    results: dict = {}
    scores = list(photographs.evaluate_photographs(2, 1, results=results))
    assert [(row.way, row.number) for row in scores] == [
        ("reading", 0),
        ("portrait", 0),
        ("pixels", 0),
        ("reading", 1),
        ("portrait", 1),
    ]
    figures = beside_samples(results)
    assert figures.keys() == {"reading", "portrait", "samples"}
    assert all(sharp > 0 and far >= 0 and count == 2 for sharp, far, count in figures.values())
