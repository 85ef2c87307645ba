"""The tab of the blind study without a page: what a voter is shown and may do, and what needs the token."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from fakes.kept_domains import entry_of

import tabs.study
from ipl_core import InputError
from ipl_core.storage import folders
from ipl_core.study import study
from tabs.access.roles import admin_token
from tabs.base import Page
from tabs.service.service import Service
from tabs.study import StudyTab

pytestmark = pytest.mark.usefixtures("studio")
METHODS = (("nada", 0.3), ("ipl", 0.9))


@pytest.fixture
def tab(monkeypatch: pytest.MonkeyPatch) -> StudyTab:
    """The tab without a page, for people who answer at once."""
    monkeypatch.setattr(tabs.study, "SHORTEST_LOOK", 0.0)
    with gr.Blocks():
        return StudyTab(Page(Service()))


def updates(tab: StudyTab, stop: threading.Event | None = None, **changes: Any) -> Iterator[dict[Any, Any]]:
    asked = {
        "token": admin_token(),
        "title": "Which?",
        "entries": [entry_of("zombie", shift, method).path.name for method, shift in METHODS],
        "seeds": "7-8",
        "psi": 0.7,
        "pairs_each": 10,
        **changes,
    }
    return tab._start(stop or threading.Event(), *asked.values())


def shown(update: dict[Any, Any], component: Any) -> bool:
    return update[component].constructor_args["visible"]


def test_from_the_start_of_a_study_to_its_tally(tab: StudyTab) -> None:
    assert "No study is running" in tab.look("")[tab._words]
    *_, started, counted = updates(tab)
    assert "Started: “Which?”, 2 pairs" in started[tab._controls.status]
    assert next(name for name, _ in started[tab._study].constructor_args["choices"]).startswith("Which? · ")
    assert "IPL</b> over NADA" in counted[tab._tally]

    invited = tab.look("")
    assert shown(invited, tab._begin)
    assert not shown(invited, tab._sides)
    assert "asked 4 questions" in invited[tab._words]
    scene = tab._enter("")
    voter = scene[tab.remembered]
    assert len(voter) > 16
    seen = []
    for answer in (study.LEFT, study.RIGHT, study.SKIP, study.LEFT):
        assert shown(scene, tab._sides)
        assert shown(scene, tab._skip)
        seen.append(re.search(r"<span>(\d of 4)</span>", scene[tab._words])[1])
        assert re.findall('alt="(.*?)"', scene[tab._words])[-2:] == ["The left picture", "The right picture"]
        scene = tab._answer(voter, scene[tab._asked], answer)
    assert seen == ["1 of 4", "2 of 4", "3 of 4", "4 of 4"]
    assert "Thank you" in scene[tab._words]
    assert "IPL</b> over NADA" in scene[tab._words]
    assert not shown(scene, tab._sides)
    chosen = study.current()
    assert sorted(vote["choice"] for vote in study.votes(chosen.id)) == ["left", "left", "right", "skip"]
    assert "Thank you" in tab.look(voter)[tab._words]

    counts = next(tab._show_tally(admin_token(), chosen.id))
    for button, kind in ((tab._tally_file, "tally"), (tab._votes_file, "votes")):
        file = Path(counts[button].constructor_args["value"])
        assert file.name == f"study-{chosen.id}-{kind}.csv"
        assert not file.is_relative_to(folders.home())


def test_until_the_tally_nothing_names_what_drew_a_picture(tab: StudyTab) -> None:
    list(updates(tab))
    scenes = [tab.look("")]
    scenes.append(tab._enter(""))
    voter = scenes[-1][tab.remembered]
    for _ in range(3):
        scenes.append(tab._answer(voter, scenes[-1][tab._asked], study.LEFT))
    for scene in scenes:
        to_browser = {key: value for key, value in scene.items() if key is not tab._asked}
        said = re.sub(r"base64,[^\"]*", "", repr([getattr(v, "constructor_args", v) for v in to_browser.values()]))
        assert not re.search(r"nada|ipl\b|seed|first|second", said, re.IGNORECASE)


def test_who_comes_back_goes_on_where_they_were(tab: StudyTab) -> None:
    list(updates(tab))
    scene = tab._enter("")
    voter = scene[tab.remembered]
    tab._answer(voter, scene[tab._asked], study.LEFT)
    back = tab.look(voter)
    assert "1 of 4 questions are answered" in back[tab._words]
    assert back[tab._begin].constructor_args["value"] == "Go on"
    assert "<span>2 of 4</span>" in tab._enter(voter)[tab._words]


def test_pressing_twice_is_one_vote(tab: StudyTab, monkeypatch: pytest.MonkeyPatch) -> None:
    list(updates(tab))
    scene = tab._enter("")
    voter, asked = scene[tab.remembered], scene[tab._asked]
    once = tab._answer(voter, asked, study.LEFT)
    again = tab._answer(voter, asked, study.RIGHT)
    assert once[tab._words] == again[tab._words]
    assert len(study.votes(study.current().id)) == 1
    # The second of two clicks comes with the question that followed, which nobody can have read.
    monkeypatch.setattr(tabs.study, "SHORTEST_LOOK", 60.0)
    assert tab._words not in tab._answer(voter, {**once[tab._asked], "since": time.monotonic()}, study.LEFT)
    assert len(study.votes(study.current().id)) == 1


def test_an_answer_without_a_question_counts_nothing(tab: StudyTab) -> None:
    list(updates(tab))
    assert "asked 4 questions" in tab._answer("", None, study.LEFT)[tab._words]
    scene = tab._enter("")
    forged = {**scene[tab._asked], "voter": "someone else"}
    assert "not put to you" in tab._answer("", forged, study.LEFT)[tab._words]
    assert study.votes(study.current().id) == []


def test_a_crowd_that_somebody_invents_is_slowed(tab: StudyTab) -> None:
    list(updates(tab))
    scenes = [tab._enter(invented) for invented in ["", *(f"voter {number}" for number in range(9))]]
    assert all(shown(scene, tab._sides) for scene in scenes)
    refused = tab._enter("one more")
    assert not shown(refused, tab._sides)
    assert "press Begin again in 2 seconds" in refused[tab._words]
    assert shown(refused, tab._begin)
    assert shown(tab._enter(scenes[0][tab.remembered]), tab._sides), "who has begun goes on"


@pytest.mark.parametrize("remembered", [None, 7, ["x"], "\ud800", "x" * 10_000])
def test_what_no_browser_was_given_is_nobody(tab: StudyTab, remembered: Any) -> None:
    list(updates(tab))
    assert "asked 4 questions" in tab.look(remembered)[tab._words]
    assert tab._enter(remembered)[tab.remembered] != remembered


def test_nothing_is_run_or_read_without_the_token(tab: StudyTab) -> None:
    for wrong in ("", None, "guessed", "\ud800"):
        with pytest.raises(InputError, match="not the token"):
            next(updates(tab, token=wrong))
        assert study.current() is None
        locked = tab._unlock(wrong)
        assert "not the token" in locked[tab._gate]
        assert not shown(locked, tab._desk)
        assert not {tab._study, tab._entries} & set(locked)
    list(updates(tab))
    counts = next(tab._show_tally("guessed", study.current().id))
    assert "not the token" in counts[tab._tally]
    assert "value" not in counts[tab._votes_file].constructor_args
    opened = tab._unlock(admin_token())
    assert shown(opened, tab._desk)
    assert len(opened[tab._entries].constructor_args["choices"]) == 2


def test_the_token_of_the_environment_is_taken_if_it_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    random = admin_token()
    assert len(random) >= 16
    monkeypatch.setenv("IPL_STUDY_ADMIN", "correct horse")
    assert admin_token() == "correct horse"
    monkeypatch.setenv("IPL_STUDY_ADMIN", "short")
    with pytest.raises(InputError, match="at least 12"):
        admin_token()


def test_stop_starts_no_study(tab: StudyTab) -> None:
    stop, seen = threading.Event(), []
    for update in updates(tab, stop):
        seen.append(update)
        stop.set()
    assert "Stopped; no study was started" in seen[-1][tab._controls.status]
    assert study.current() is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"title": ""}, "title"),
        ({"entries": None}, "none is chosen"),
        ({"entries": ["../../etc"]}, "no entry"),
        ({"seeds": "some"}, "Seeds are whole numbers"),
        ({"seeds": "0-999"}, "more than 200"),
        ({"psi": None}, "Truncation"),
        ({"pairs_each": None}, "How many pairs"),
    ],
)
def test_what_cannot_make_a_study_gets_a_sentence(tab: StudyTab, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        next(updates(tab, **changes))
