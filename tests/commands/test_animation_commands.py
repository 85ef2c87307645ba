"""The command `interpolate` as a contract: the file, what is in it, and one plain sentence on bad input."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakes.kept_domains import entry_of
from PIL import Image

from ipl_core import InvertConfig
from ipl_core.commands.main import main
from ipl_core.drawing.sampling import draw
from ipl_core.library import inversions
from ipl_core.library.find_or_run import finished_inversion
from ipl_core.models import catalog
from ipl_core.pictures.media import read_settings, to_uint8

pytestmark = pytest.mark.usefixtures("studio")


def test_people_in_an_adapted_model_beside_its_source(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = to_uint8(draw(catalog.load_generator("studio"), [3]))
    person = finished_inversion(InvertConfig(preset="fast", starts=2, steps=2), picture, "Ada")
    out = tmp_path / "new" / "walk.webp"
    request = ["interpolate", str(entry_of("zombie", 0.3).path), "--seeds", "4,9", "--people", str(person.path)]
    options = ["--side-by-side", "--strength", "0.5", "--frames", "9", "--rate", "10", "--enlarge", "2"]
    assert main([*request, *options, "--easing", "even", "--psi", "0.5", "--out", str(out)]) == 0
    said = capsys.readouterr()
    assert said.out.strip() == str(out)
    assert "it/s" not in said.err
    note = read_settings(out)
    assert note["people"] == [4, 9, "Ada"]
    assert (note["psi"], note["easing"], note["loop"], note["side by side"]) == (0.5, "even", True, True)
    assert [(part["share"], part["config"]["target"]) for part in note["domains"]] == [(0.5, "zombie")]
    with Image.open(out) as animation:
        assert (animation.size, animation.n_frames) == ((128, 64), 9)


@pytest.mark.parametrize("ending", [".mp4", ".gif"])
def test_from_the_source_to_a_domain(tmp_path: Path, ending: str) -> None:
    out = tmp_path / f"a{ending}"
    request = ["interpolate", "studio", str(entry_of("zombie", 0.3).path), "--seeds", "4", "--frames", "6"]
    assert main([*request, "--no-loop", "--out", str(out)]) == 0
    assert out.stat().st_size > 1000
    if ending == ".gif":
        assert Image.open(out).size == (256, 256)
        assert read_settings(out)["loop"] is False


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["studio", "--seeds", "1", "--out", "a.webp"], "2 to 64 points; 1 is given"),
        (["studio", "--out", "a.webp"], "2 to 64 points; 0 are given"),
        (["studio", "--seeds", "1,2", "--out", "a.avi"], ".webp, .mp4, .gif"),
        (["studio", "--seeds", "1,2", "--frames", "1.5", "--out", "a.webp"], "from 2 to 600, not 1.5"),
        (["studio", "--seeds", "1,2", "--rate", "0", "--frames", "2", "--out", "a.webp"], "from 1 to 60, not 0"),
        (["studio", "--seeds", "1,2", "--side-by-side", "--out", "a.webp"], "choose an adapted model"),
        (["studio", "--seeds", "1,2", "--easing", "wild", "--out", "a.webp"], "smooth, slow, even, not “wild”"),
        (["studio", "--seeds", "1,2", "--enlarge", "99", "--out", "a.webp"], "1 to 16 times, not 99"),
        (["studio", "--people", "nowhere", "--out", "a.webp"], "no inverted picture in"),
        (["nowhere", "--seeds", "1,2", "--out", "a.webp"], "no model “nowhere”"),
        (["studio", "studio", "--seeds", "1,2", "--out", "a.webp"], "one person, and 2 are given"),
        (["studio", "studio-dogs", "--seeds", "1", "--out", "a.webp"], "these have studio and studio-dogs"),
        (["studio", "other", "--seeds", "1", "--out", "a.webp"], "no model “other”"),
    ],
)
def test_bad_input_gets_a_sentence(
    arguments: list[str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["interpolate", *arguments]) == 2
    words = capsys.readouterr().err
    assert said in words
    assert words.count("\n") == 1
    assert not any(path.is_file() for path in tmp_path.glob("a.*"))
    assert inversions.list_people() == []
