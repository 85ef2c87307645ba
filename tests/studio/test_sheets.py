"""Sheets of the studio are written where they are asked for, with everything that they promise on them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image

from ipl_core import AdaptConfig
from ipl_core.library import store
from ipl_core.metrics.reports.inversion import held_out_portraits
from ipl_core.pictures.media import to_pictures
from ipl_core.studio import sheets
from ipl_core.studio.commands.method_sheet import SHOWN
from ipl_core.studio.world.subject import DOGS, PEOPLE, SUBJECTS


def test_a_sheet_has_every_domain_of_its_subject(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    laid_out = {}
    usual = sheets.labelled

    def labelled(images: torch.Tensor, labels: list[str], *layout: int) -> Image.Image:
        laid_out.update(images=images, labels=labels)
        return usual(images, labels, *layout)

    monkeypatch.setattr(sheets, "labelled", labelled)
    sheets.domain_sheet(tmp_path / "new" / "dogs.jpg", DOGS, sitters=2, resolution=16)
    assert laid_out["labels"] == [domain.name for domain in DOGS.domains]
    assert laid_out["images"].shape == (len(DOGS.domains), 3, 16, 32)
    assert Image.open(tmp_path / "new" / "dogs.jpg").format == "JPEG"


@pytest.mark.usefixtures("studio")
def test_methods_are_shown_on_the_same_seeds_below_the_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = sheets.AdaptConfig

    def quick(target: str, **settings: str) -> AdaptConfig:
        return made(target, steps=1, mapper_steps=1, **settings)

    monkeypatch.setattr(sheets, "AdaptConfig", quick)
    sheets.method_sheet(tmp_path / "new" / "methods.jpg", "studio-dogs", ["cartoon"], seeds=2)
    assert {(entry.config.target, entry.config.method) for entry in store.list_entries()} == {
        ("cartoon", "nada"),
        ("cartoon", "described"),
    }
    assert Image.open(tmp_path / "new" / "methods.jpg").format == "JPEG"


def test_what_the_picture_of_methods_shows_can_be_measured() -> None:
    for subject in SUBJECTS:
        for target in SHOWN[subject.name]:
            assert subject.domain(target).name == target


@pytest.mark.usefixtures("studio")
def test_example_portraits_are_the_first_held_out_ones_at_the_models_size(tmp_path: Path) -> None:
    files = sheets.example_portraits(tmp_path / "new", count=2)
    assert [file.name for file in files] == ["portrait-1.png", "portrait-2.png"]
    _, portraits = held_out_portraits(PEOPLE, 2, 32)
    for file, picture in zip(files, to_pictures(portraits)):
        assert Image.open(file).convert("RGB").tobytes() == picture.tobytes()


@pytest.mark.usefixtures("studio")
def test_samples_are_the_first_seeds(tmp_path: Path) -> None:
    sheets.sample_sheet(tmp_path / "samples.jpg", "studio-dogs", 4)
    assert Image.open(tmp_path / "samples.jpg").size == (2 * 32 + 2, 2 * 32 + 2)
