"""The work behind the Interpolate tab, on tiny models and without a server: frames shown, files, Stop, refusals."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from fakes.kept_domains import entry_of

from ipl_core import InputError
from ipl_core.commands.main import main
from ipl_core.models import catalog
from ipl_core.pictures.media import read_settings
from tabs.base import Page
from tabs.interpolate import InterpolateTab, example
from tabs.service.service import Service

pytestmark = pytest.mark.usefixtures("studio")
ASKED = {
    "model": "source studio",
    "seeds": "3, 8",
    "persons": [],
    "sitters": [],
    "to": "",
    "frames": 6,
    "rate": 12,
    "loop": True,
    "side_by_side": False,
    "space": "w",
    "easing": "smooth",
    "psi": 0.7,
}


@pytest.fixture
def tab() -> InterpolateTab:
    """The tab without a page."""
    with gr.Blocks():
        return InterpolateTab(Page(Service()))


def updates(tab: InterpolateTab, stop: threading.Event | None = None, **changes: Any) -> Iterator[dict[Any, Any]]:
    return tab._run(stop or threading.Event(), *{**ASKED, **changes}.values())


def test_a_frame_at_once_then_the_file_that_a_page_shows_then_the_others(tab: InterpolateTab) -> None:
    kinds, notes = [], []
    for update in updates(tab):
        files = [ending for ending, button in tab._files.items() if button in update]
        kinds.append("frame" if not files else files[0])
        for ending in files[:1]:
            path = Path(update[tab._files[ending]].constructor_args["value"])
            assert path.name == f"animation-source{ending}"
            notes += [read_settings(path)] if ending != ".mp4" else []
            assert path.stat().st_size > 1000
        if kinds == ["frame"]:
            assert "Frame 1 of 6" in update[tab._controls.status]
            assert "seed 3 and seed 8 as photo" in update[tab._caption]
    assert [kind for kind in kinds if kind != "frame"] == [".webp", ".mp4", ".gif"]
    assert kinds[0] == "frame"
    assert all(note["people"] == [3, 8] and note["frames"] == 6 for note in notes)


def test_one_person_goes_from_model_to_model(tab: InterpolateTab) -> None:
    entry = entry_of("zombie", 0.3)
    seen = list(updates(tab, to=entry.path.name, side_by_side=True))
    assert "seed 3 from photo to zombie (NADA), beside the source" in seen[0][tab._caption]
    assert seen[0][tab._picture].constructor_args["value"].size == (64, 32)


def test_the_example_is_shown_by_the_weights_that_drew_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert example("studio", tmp_path / "none.webp") == (None, "")
    assert "No example in the tab Interpolate" in caplog.text
    stations = [str(entry_of("zombie", 0.3).path), str(entry_of("mosaic", -0.2).path)]
    path = tmp_path / "walk.webp"
    assert main(["interpolate", "studio", *stations, "--seeds", "3", "--frames", "6", "--out", str(path)]) == 0
    shown, words = example("studio", path)
    assert shown == str(path)
    assert "seed 3 from photo, zombie to mosaic" in words


def test_stop_keeps_nothing(tab: InterpolateTab) -> None:
    stop, seen = threading.Event(), []
    for update in updates(tab, stop, frames=60):
        seen.append(update)
        stop.set()
    assert "Stopped after 1 of 60 frames; nothing is kept" in seen[-1][tab._controls.status]
    assert not any(button in update for update in seen for button in tab._files.values())


def test_choices_are_what_there_is_and_stay_chosen(tab: InterpolateTab) -> None:
    entry = entry_of("zombie", 0.3)
    remembered = ["studio 3~0.7", "studio 3~0.7+8@5"]
    lists = tab.choices("gone", ["gone"], ["studio 3~0.7", "gone"], entry.path.name, remembered)
    model, persons, sitters, to = (update.constructor_args for update in lists)
    sources = ["source studio", "source studio-dogs"]
    assert [value for _, value in model["choices"]] == [entry.path.name, *sources]
    assert (model["value"], persons["value"], to["value"]) == (entry.path.name, [], entry.path.name)
    assert persons["visible"] is False
    assert (sitters["value"], sitters["visible"]) == (["studio 3~0.7"], True)
    assert sitters["choices"][1] == ("seed 3 with fine layers of 8", remembered[1])


def test_favourites_take_part(tab: InterpolateTab) -> None:
    seen = list(updates(tab, seeds="", sitters=["studio 3~0.5+8@5", "studio 4~0.7", "nonsense"]))
    assert "seed 3 with fine layers of 8 and seed 4 as photo" in seen[0][tab._caption]
    with pytest.raises(InputError, match="drawn by the model “dogs”"):
        next(updates(tab, sitters=["dogs 4~0.7"]))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model": "source nothing"}, "no model “nothing”"),
        ({"model": "../../etc"}, "no entry"),
        ({"model": None}, "Choose an adapted model"),
        ({"seeds": ""}, "0 are given"),
        ({"seeds": "one"}, "Seeds are whole numbers"),
        ({"persons": ["../people"]}, "no inverted picture"),
        ({"to": "source studio", "seeds": ""}, "who is to be shown"),
        ({"side_by_side": True}, "choose an adapted model"),
        ({"frames": 1}, "from 2 to 600"),
        ({"frames": 2.5}, "whole number"),
        ({"rate": 0}, "from 1 to 60"),
        ({"space": "x"}, "z, w"),
        ({"psi": 9}, "Truncation"),
    ],
)
def test_what_cannot_be_meant_is_refused(tab: InterpolateTab, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        next(updates(tab, **changes))


def test_a_model_that_is_not_here_is_not_offered(tab: InterpolateTab) -> None:
    offered = {value for _, value in tab.choices()[0].constructor_args["choices"]}
    assert offered == {f"source {name}" for name, entry in catalog.generators().items() if catalog.is_here(entry)}
