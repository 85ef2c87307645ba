"""What there is to see before any run: drawn, kept small, read again, refused for other weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from fakes.kept_domains import entry_of

from ipl_core import InputError
from ipl_core.commands.main import main
from ipl_core.drawing.sampling import draw
from ipl_core.library import examples
from ipl_core.models import catalog
from ipl_core.pictures.media import to_uint8

pytestmark = pytest.mark.usefixtures("studio")


def test_a_row_comes_back_nearly_as_it_was(tmp_path: Path) -> None:
    row = examples.drawn([entry_of("zombie", 0.3), entry_of("mosaic", -0.2)], [3, 5, 9])
    assert torch.equal(row.people[0], to_uint8(draw(catalog.load_generator("studio"), [3, 5, 9])))
    path = examples.save(row, tmp_path / "start.webp")
    assert path.stat().st_size <= examples.MAX_BYTES
    again = examples.read("studio", path)
    assert (again.domains, again.seeds) == (("photo", "zombie", "mosaic"), (3, 5, 9))
    assert again.people.shape == row.people.shape == (3, 3, 32, 32, 3)
    assert (again.people.float() - row.people.float()).abs().mean() < 12, "people change places"


def test_it_is_made_as_small_as_it_has_to_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row = examples.drawn([entry_of("zombie", 0.3)], range(6))
    full = examples.save(row, tmp_path / "start.webp").stat().st_size
    monkeypatch.setattr(examples, "MAX_BYTES", full - 1)
    assert examples.save(row, tmp_path / "start.webp").stat().st_size < full
    monkeypatch.setattr(examples, "MAX_BYTES", 10)
    with pytest.raises(InputError, match="choose fewer"):
        examples.save(row, tmp_path / "start.webp")
    assert 0 < (tmp_path / "start.webp").stat().st_size < full, "the row that was there stays"


def test_what_is_no_row_of_these_weights_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = examples.save(examples.drawn([entry_of("zombie", 0.3)], [3]), tmp_path / "start.webp")
    with pytest.raises(InputError):
        examples.read("studio", tmp_path / "none.webp")
    monkeypatch.setattr(catalog, "generator_digest", lambda model: "others")
    with pytest.raises(InputError, match="start-row"):
        examples.read("studio", path)
    with pytest.raises(InputError, match="of 0 models"):
        examples.drawn([], [3])


def test_an_animation_says_who_goes_through_which_domains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stations = [str(entry_of("zombie", 0.3).path), str(entry_of("mosaic", -0.2).path)]
    path = tmp_path / "walk.webp"
    assert main(["interpolate", "studio", *stations, "--seeds", "3", "--frames", "6", "--out", str(path)]) == 0
    assert examples.walk("studio", path) == (3, ["photo", "zombie", "mosaic"])
    assert main(["interpolate", stations[0], "--seeds", "3,5", "--frames", "6", "--out", str(path)]) == 0
    with pytest.raises(InputError, match="one person in several domains"):
        examples.walk("studio", path)
    monkeypatch.setattr(catalog, "generator_digest", lambda model: "others")
    with pytest.raises(InputError, match="make it anew by interpolate"):
        examples.walk("studio", path)


def test_the_command_makes_sure_of_the_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few = {"mapper_steps": 2, "steps": 2, "mapper_batch": 2, "batch": 2}
    monkeypatch.setitem(examples_presets(), "default", {**examples_presets()["default"], **few})
    out = tmp_path / "row.webp"
    assert main(["start-row", "zombie", "elf", "--people", "3-4", "--out", str(out)]) == 0
    assert examples.read("studio", out).domains == ("photo", "zombie", "elf")
    assert main(["start-row", "zombie", "--out", str(tmp_path / "row.png")]) == 2


def examples_presets() -> dict:
    from ipl_core.methods.config import PRESETS

    return PRESETS
