"""The work behind the Adapt tab, on tiny models and without a server: going on, earlier steps, time, critics, queue."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest

from ipl_core import AdaptConfig, InputError, examples, library
from ipl_core.runs import finished_run
from tabs import adapt as room
from tabs.adapt import LAST, AdaptTab, examples_row, make_config, wrong_fields
from tabs.controls import Controls
from tabs.session import Service, Stops

pytestmark = pytest.mark.usefixtures("studio")
FEW = {"mapper_steps": 2, "steps": 4, "batch": 2, "keep_every": 2}


@pytest.fixture
def tab(monkeypatch: pytest.MonkeyPatch) -> AdaptTab:
    """The tab without a page."""
    with gr.Blocks():
        return AdaptTab(Service())


@pytest.fixture
def entry() -> library.Entry:
    return finished_run(AdaptConfig("zombie", **FEW))


def settings(update: Any) -> dict[str, Any]:
    return update.constructor_args


def asked(tab: AdaptTab, **changes: Any) -> list[Any]:
    """Values of the form as it is when the page loads, changed."""
    values = {name: field.value for name, field in tab._fields.items()}
    return list({**values, "target": "zombie", **FEW, **changes}.values())


def test_a_run_shows_its_earlier_steps_and_can_go_on(tab: AdaptTab) -> None:
    *_, last = tab._run(threading.Event(), *asked(tab))
    assert "Done: zombie by IPL" in last[tab._controls.status]
    assert settings(last[tab._step])["choices"] == [("2", 2), ("4, the last", LAST)]
    assert settings(last[tab._earlier])["visible"]
    name = last[tab._run_shown]
    assert last[tab.entry] == name
    seen = list(tab._resume(threading.Event(), name, 3))
    assert "went on from step 4 with a fresh optimiser" in seen[-1][tab._controls.status]
    assert library.list_entries()[0].settings["resumed"]["entry"] == name
    curve = settings(seen[1][tab._curves["generator"]])
    assert curve["x_lim"] == [0, 7]
    assert len(curve["value"]) == 5, "the steps before are part of the curve"


def test_with_its_optimiser_it_goes_on_exactly(tab: AdaptTab) -> None:
    *_, last = tab._run(threading.Event(), *asked(tab, keep_state=True))
    *_, end = tab._resume(threading.Event(), last[tab._run_shown], 2)
    assert "with the state of its training" in end[tab._controls.status]
    *_, whole = tab._run(threading.Event(), *asked(tab, steps=6))
    assert "made before" in whole[tab._controls.status]


@pytest.mark.parametrize(("more", "words"), [(0, "at least 1"), (None, "at least 1"), (9999, "Steps must be")])
def test_steps_that_cannot_be_meant_are_refused(tab: AdaptTab, entry: library.Entry, more: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        next(tab._resume(threading.Event(), entry.path.name, more))


def test_an_earlier_step_is_looked_at_and_kept(tab: AdaptTab, entry: library.Entry) -> None:
    earlier, last = tab._look_at_step(entry.path.name, 2), tab._look_at_step(entry.path.name, LAST)
    assert earlier[tab._people] != last[tab._people]
    assert (settings(earlier[tab._pick])["interactive"], settings(last[tab._pick])["interactive"]) == (True, False)
    picked = tab._pick_step(entry.path.name, 2)
    assert picked[tab.entry] != entry.path.name
    assert "step 2 of 4" in picked[tab._controls.status]
    for wrong in (tab._look_at_step(entry.path.name, 3), tab._pick_step("../..", 2)):
        assert 'role="alert"' in wrong[tab._controls.status]


# --- time -------------------------------------------------------------------------------------------------------


def test_the_time_is_measured_once_and_follows_the_settings(tab: AdaptTab, monkeypatch: pytest.MonkeyPatch) -> None:
    assert tab._say_time(*asked(tab)) == "", "nothing is known yet"
    tab._service.stops.begin("someone")
    assert tab._measure_time(*asked(tab)) == "", "a run of someone else was measured with it"
    tab._service.stops.end("someone")
    assert "A run with these settings takes about" in tab._measure_time(*asked(tab))
    monkeypatch.setattr(room.show, "forecast", lambda seconds: seconds)
    short, long = (tab._say_time(*asked(tab, steps=steps)) for steps in (4, 4000))
    assert 0 < short < long
    assert tab._say_time(*asked(tab, target="", avoid="quixotic words")) == short, "words take no time"
    assert tab._say_time(*asked(tab, steps=-1)) == ""
    assert tab._say_time(*asked(tab, method="nada")) == ""


# --- critics ----------------------------------------------------------------------------------------------------


def test_several_critics_are_written_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "open_critics", lambda: {"ViT-B-32": None, "ViT-B-16": None})
    for critic, expected in (
        (["own"], None),
        ([], None),
        (None, None),
        ("own", None),
        (["ViT-B-32"], "ViT-B-32"),
        (["own", "ViT-B-16@0.5"], "studio+ViT-B-16@0.5"),
        ("ViT-B-32@2+own", "ViT-B-32@2+studio"),
    ):
        assert make_config({"target": "elf", "critic": critic}, "cpu").critic == expected
    for critic, words in (
        (["/etc"], "can't be used here"),
        (["own", "studio"], "can't be used here"),
        (["own", "own"], "comes twice"),
        (["own", "ViT-B-16@-1"], "must be a number above 0"),
        ({"a": 1}, "can't be used here"),
    ):
        with pytest.raises(InputError, match=words):
            make_config({"target": "elf", "critic": critic}, "cpu")


def test_words_to_avoid_are_checked_at_their_field() -> None:
    assert wrong_fields({"target": "elf", "avoid": "", "source": "photo"}, "cpu") == {}
    assert list(wrong_fields({"target": "elf", "avoid": "x" * 400, "source": "photo"}, "cpu")) == ["avoid"]
    assert make_config({"target": "elf", "avoid": "cartoon"}, "cpu").avoid == "cartoon"


@pytest.mark.parametrize(
    ("steps", "keep_every", "wrong"),
    [(4, 2, []), (4, 0, []), (300, 3, []), (300, 2, ["keep_every"]), (0, 2, ["steps"]), (4, -1, ["keep_every"])],
)
def test_how_many_steps_are_kept_is_checked_against_those_asked_for(
    steps: int, keep_every: int, wrong: list[str]
) -> None:
    assert list(wrong_fields({"target": "elf", "steps": steps, "keep_every": keep_every}, "cpu")) == wrong


# --- the start screen -------------------------------------------------------------------------------------------


def test_the_examples_are_shown_for_the_weights_that_drew_them(
    tab: AdaptTab, entry: library.Entry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(examples.read, "__defaults__", (tmp_path / "start.webp",))
    assert examples_row("studio") == ""
    people, _ = tab.greet()
    assert "What this model draws" in people
    examples.save(examples.drawn([entry], [3, 5]), tmp_path / "start.webp")
    people, _ = tab.greet()
    for alt in ("seed 3, photo", "seed 5, photo", "seed 3, zombie", "seed 5, zombie"):
        assert f'alt="{alt}"' in people


# --- the queue --------------------------------------------------------------------------------------------------


def test_who_waits_is_told_how_many_are_before() -> None:
    stops = Stops()
    for name in ("one", "two", "three"):
        stops.begin(name)
    stops.run("one")
    assert [stops.ahead(name) for name in ("one", "two", "three", "four")] == [None, 1, 2, None]
    stops.end("one")
    assert [stops.ahead(name) for name in ("two", "three")] == [0, 1]
    stops.run("two")
    stops.leave("two")
    assert stops.ahead("three") == 0
    stops.begin("one")
    assert stops.ahead("one") == 1, "a job that ended long ago still runs"


def test_the_line_of_a_visitor_follows_the_queue() -> None:
    service = Service()
    with gr.Blocks():
        controls = Controls(service, "", "Go", "Going …")
        controls.build_lines("Nothing yet.")
    visitor = SimpleNamespace(session_hash="me")
    service.stops.begin("other")
    service.stops.run("other")
    prepared = controls._prepare(visitor)
    assert "Waiting for 1 other run" in prepared[controls.status]
    assert settings(prepared[controls._clock])["active"]
    assert "Waiting for 1 other run" in controls._look_at_queue(visitor)[controls.status]
    service.stops.end("other")
    assert "Getting ready" in controls._look_at_queue(visitor)[controls.status]
    running = controls._run(lambda stop: iter([controls.say("<p>Working</p>")]), "me", ())
    assert not settings(next(running)[controls._clock])["active"]
    assert controls.status not in controls._look_at_queue(visitor), "the job is talked over"
    assert list(running) == [controls.say("<p>Working</p>")]
    assert len(service.stops) == 0


def test_a_job_that_a_full_queue_refused_is_forgotten() -> None:
    service = Service()
    with gr.Blocks():
        controls = Controls(service, "", "Go", "Going …")
        controls.build_lines("Nothing yet.")
    visitor = SimpleNamespace(session_hash="me")
    controls._prepare(visitor)
    controls._rest(visitor)
    assert len(service.stops) == 0
