"""The work behind the Sample tab, on tiny models and without a server: styles mixed, likeness, favourites, files."""

from __future__ import annotations

import json
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest
import torch
from fakes.kept_domains import entry_of

from ipl_core import InputError
from ipl_core.drawing.people_by_seed import SeedPerson
from ipl_core.library import store
from ipl_core.pictures.media import read_settings
from tabs import sample as room
from tabs.base import Page
from tabs.forms.favourites import Favourites
from tabs.requests.drawing import MAX_FAVOURITES, draw_seeds, draw_sitters, known, nearest, save_sheet, save_zip
from tabs.requests.models import Model
from tabs.sample import SampleTab
from tabs.service.service import Service

pytestmark = pytest.mark.usefixtures("studio")


@pytest.fixture
def entry() -> store.Entry:
    return entry_of("zombie", 0.3)


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
def tab(service: Service) -> SampleTab:
    """The tab without a page."""
    with gr.Blocks():
        return SampleTab(Page(service))


def test_the_fine_layers_of_one_seed_reach_all(service: Service, entry: store.Entry, tmp_path: Path) -> None:
    plain = draw_seeds(service, Model("studio", entry), [3, 4], 0.7)
    mixed = draw_seeds(service, Model("studio", entry), [3, 4], 0.7, fine=8, crossover=5)
    for before, after in ((plain.before, mixed.before), (plain.after, mixed.after)):
        assert not torch.equal(before, after)
    assert [sitter.name for sitter in mixed.sitters] == ["seed 3 with fine layers of 8", "seed 4 with fine layers of 8"]
    assert "seed 3 with fine layers of 8, zombie, NADA" in mixed.people(())
    note = read_settings(save_sheet(mixed, tmp_path))
    assert (note["seeds"], note["psi"], note["people"]) == ([3, 4], 0.7, ["studio 3~0.7+8@5", "studio 4~0.7+8@5"])
    with zipfile.ZipFile(save_zip(mixed, tmp_path)) as files:
        assert json.loads(files.read("settings.json"))["people"] == note["people"]
        assert "seed-0003-fine-0008-from-5-adapted.png" in files.namelist()
    assert "people" not in plain.settings


def test_a_model_as_it_is_is_drawn_alone(service: Service, tab: SampleTab, tmp_path: Path) -> None:
    offered = dict(tab.choices().constructor_args["choices"])
    assert offered["studio as it is"] == tab.choices().constructor_args["value"] == "source studio"
    drawing = draw_seeds(service, Model("studio"), [3, 4], 0.7)
    assert drawing.after is None
    html = drawing.people(())
    assert html.count("<img") == 2
    assert 'alt="seed 4, photo"' in html
    note = read_settings(save_sheet(drawing, tmp_path))
    assert note == {"seeds": [3, 4], "psi": 0.7, "model": "studio"}
    path = save_zip(drawing, tmp_path)
    assert path.name == "studio-seeds-3-4.zip"
    with zipfile.ZipFile(path) as files:
        assert sorted(files.namelist()) == ["seed-0003-source.png", "seed-0004-source.png", "settings.json"]


def test_an_adapted_model_comes_before_its_source(tab: SampleTab, entry: store.Entry) -> None:
    update = tab.choices("gone").constructor_args
    assert [value for _, value in update["choices"]][:2] == [entry.path.name, "source studio"]
    assert update["value"] == entry.path.name
    assert tab.choices("source studio").constructor_args["value"] == "source studio"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"psi": 2}, "Truncation"),
        ({"psi": None}, "Truncation"),
        ({"fine": -1}, "seed of the fine layers"),
        ({"fine": 1.5}, "seed of the fine layers"),
        ({"fine": 3, "crossover": 0}, "from 1 to 7"),
        ({"fine": 3, "crossover": 8}, "from 1 to 7"),
        ({"fine": 3, "crossover": "x"}, "from 1 to 7"),
    ],
)
def test_what_cannot_be_mixed_is_refused(service: Service, entry: store.Entry, changes: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        draw_seeds(service, Model("studio", entry), [3], **{"psi": 0.7, **changes})


def test_the_nearest_come_with_progress_and_are_remembered(service: Service) -> None:
    found = list(nearest(service, "studio", 7, 40, 1.0, 3, threading.Event()))
    assert [(seen, total) for seen, total, _ in found] == [(16, 40), (32, 40), (40, 40), (40, 40)]
    likeness = [cosine for _, cosine in found[-1][2]]
    assert len(likeness) == 3
    assert likeness == sorted(likeness, reverse=True)
    assert len(list(nearest(service, "studio", 9, 40, 1.0, 3, threading.Event()))) == 1, "they were seen before"


def test_stop_ends_the_search_and_says_so(tab: SampleTab, entry: store.Entry) -> None:
    stop, seen = threading.Event(), []
    for update in tab._find_nearest(stop, entry.path.name, 7, 64, 0.7, []):
        seen.append(update)
        if "16 of 65" in update[tab._controls.status] or len(seen) == 2:
            stop.set()
    assert "Stopped after 16 of 64 people" in seen[-1][tab._controls.status]
    assert not any(tab._people in update for update in seen)


def test_the_nearest_are_drawn_and_stay_in_the_field(tab: SampleTab, entry: store.Entry) -> None:
    *_, last = tab._find_nearest(threading.Event(), entry.path.name, 7, 32, 0.7, [])
    seeds = [int(part) for part in last[tab._seeds].split(", ")]
    assert seeds[0] == 7
    assert len(seeds) == 1 + room.NEAREST
    assert last[tab._people].count(" · likeness ") == room.NEAREST
    assert "The nearest to seed 7 among 32" in last[tab._controls.status]


@pytest.mark.parametrize(
    ("asked", "words"),
    [((-1, 32, 0.7), "The seed"), ((None, 32, 0.7), "The seed"), ((7, 1, 0.7), "look through"), ((7, 32, 9), "Trunc")],
)
def test_a_search_that_cannot_be_meant_is_refused(tab: SampleTab, entry: store.Entry, asked: tuple, words: str) -> None:
    with pytest.raises(InputError, match=words):
        next(tab._find_nearest(threading.Event(), entry.path.name, *asked, []))


# --- favourites -------------------------------------------------------------------------------------------------


def test_a_star_marks_and_unmarks() -> None:
    with gr.Blocks():
        favourites = Favourites()
    press = SimpleNamespace(person="studio 7~0.7")
    marked, shown = favourites._toggle(press, ["studio 3~0.7+8@5", "nonsense"])
    assert marked == ["studio 3~0.7+8@5", "studio 7~0.7"]
    assert shown.constructor_args["value"] == marked
    assert favourites._toggle(press, marked)[0] == ["studio 3~0.7+8@5"]
    assert favourites._toggle(SimpleNamespace(person="<script>"), marked)[0] == marked
    assert favourites._shorten(None)[0] == []


@pytest.mark.parametrize("remembered", [None, "studio 7~0.7", {"a": 1}, [None, 3, "x", "studio 7~9"], []])
def test_what_a_browser_says_is_not_believed(remembered: Any) -> None:
    assert known(remembered) == []


def test_a_browser_can_only_say_so_much() -> None:
    many = [f"studio {seed}~0.7" for seed in range(500)]
    assert len(known([*many, *many])) == MAX_FAVOURITES


def test_favourites_are_drawn_by_a_model_of_theirs(service: Service, tab: SampleTab, entry: store.Entry) -> None:
    marked = ["studio 3~0.5", "dogs 4~0.7", "studio 9~0.7+1@4"]

    def shown(remembered: Any) -> Iterator[dict[Any, Any]]:
        return tab._show_favourites(entry.path.name, remembered)

    (update,) = shown(marked)
    html = update[tab._people]
    assert html.count("<figure>") == 2
    assert html.count('aria-pressed="true"') == 2
    assert "seed 9 with fine layers of 1" in html
    assert update[tab._crossover].constructor_args["maximum"] == 7
    (update,) = shown(["dogs 4~0.7"])
    assert "None of these people" in update[tab._heading]
    drawing = draw_sitters(service, Model("studio", entry), known(marked))
    assert drawing.settings["people"] == ["studio 3~0.5", "studio 9~0.7+1@4"]
    assert "psi" not in drawing.settings


def test_a_star_says_whom_it_marks(service: Service, entry: store.Entry) -> None:
    html = draw_seeds(service, Model("studio", entry), [3, 4], 0.7).people([SeedPerson("studio", 4)])
    assert 'data-person="studio 3~0.7" aria-pressed="false" aria-label="Favourite: seed 3"' in html
    assert 'data-person="studio 4~0.7" aria-pressed="true"' in html
