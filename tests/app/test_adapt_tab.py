"""The work behind the Adapt tab, on tiny models and without a server: going on, earlier steps, time, critics, queue."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest

from ipl_core import AdaptConfig, InputError, adapt
from ipl_core.clip.model import load_critic
from ipl_core.library import examples, store
from ipl_core.library.find_or_run import finished_run
from ipl_core.methods.prompts import ManualPrompts
from ipl_core.methods.registry import METHODS, Method
from ipl_core.models import catalog
from tabs import adapt as room
from tabs import show
from tabs.adapt import AdaptTab
from tabs.base import Page
from tabs.forms.controls import Controls
from tabs.requests import adapting
from tabs.requests.adapting import make_config, wrong_fields
from tabs.requests.watching import LAST, examples_row
from tabs.service.service import Service
from tabs.service.stops import Stops

pytestmark = pytest.mark.usefixtures("studio")
FEW = {"mapper_steps": 2, "steps": 4, "batch": 2, "keep_every": 2}


@pytest.fixture
def tab(monkeypatch: pytest.MonkeyPatch) -> AdaptTab:
    """The tab without a page."""
    with gr.Blocks():
        return AdaptTab(Page(Service()))


@pytest.fixture
def entry() -> store.Entry:
    return finished_run(AdaptConfig("zombie", **FEW))


def settings(update: Any) -> dict[str, Any]:
    return update.constructor_args


def asked(tab: AdaptTab, **changes: Any) -> list[Any]:
    """Values of the form as it is when the page loads, changed."""
    values = {name: field.value for name, field in tab.fields.items()}
    return list({**values, "target": "zombie", **FEW, **changes}.values())


def test_described_people_are_adapted_in_one_stage(tab: AdaptTab) -> None:
    assert ("IPL, described", "described") in tab.fields["method"].choices
    *_, last = tab.run(threading.Event(), *asked(tab, method="described"))
    assert "Done: zombie by IPL, described" in last[tab.controls.status]
    assert not store.open_entry(store.runs_folder() / last[tab.result.run]).settings["steps"]["prompts"]


def test_what_a_described_prompt_says_stands_under_each_person_from_the_first_step_on(tab: AdaptTab) -> None:
    values = asked(tab, method="described", preview_seeds="3, 5")
    seen = list(tab.run(threading.Event(), *values))
    (entry,) = store.list_entries()
    assert list(entry.readings) == [3, 5]
    expected = [("3", entry.readings[3]), ("5", entry.readings[5])]
    drawn = [update[tab.result.people] for update in seen if tab.result.people in update]
    assert all(said_under(html) == expected for html in drawn)
    *_, again = (
        update[tab.result.people] for update in tab.run(threading.Event(), *values) if tab.result.people in update
    )
    assert said_under(again) == expected, "a run from the library"
    assert said_under(tab.result.look_at_step(entry.path.name, 2)[tab.result.people]) == expected
    gone_on = [
        update[tab.result.people]
        for update in tab.resume(threading.Event(), entry.path.name, 2)
        if tab.result.people in update
    ]
    assert all(said_under(html) == expected for html in gone_on)


def test_prompts_of_words_are_read_when_they_are_learned(tab: AdaptTab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapt, "__defaults__", (None, 0.0, None))  # pictures at every step
    seen = list(tab.run(threading.Event(), *asked(tab, prompts="words", preview_seeds="3, 5")))
    assert "Done: zombie by IPL with prompts of words" in seen[-1][tab.controls.status]
    (entry,) = store.list_entries()
    assert entry.config.prompts == "words"
    expected = [(str(seed), said) for seed, said in entry.readings.items()]
    drawn = [said_under(update[tab.result.people]) for update in seen if tab.result.people in update]
    assert drawn == [[]] * FEW["mapper_steps"] + [expected] * (len(drawn) - FEW["mapper_steps"])
    assert len(drawn) > FEW["mapper_steps"]


def test_prompts_that_say_nothing_leave_no_caption(tab: AdaptTab) -> None:
    for method in ("ipl", "nada"):
        *_, shown = (
            update[tab.result.people]
            for update in tab.run(threading.Event(), *asked(tab, method=method))
            if tab.result.people in update
        )
        assert "reads as" not in shown


def said_under(html: str) -> list[tuple[str, str]]:
    """Of each person whose prompt says something: the seed and the words, as whoever listens to the page has them."""
    return re.findall('<figcaption>seed (.*?)<span class="reads" title=".*?"><b>reads as:</b> (.*?)</span>', html)


# --- what prompts are made of -----------------------------------------------------------------------------------


def test_stage_1_is_filled_in_as_suits_the_prompts_and_the_method(tab: AdaptTab) -> None:
    shown = {name: AdaptConfig("zombie").__getattribute__(name) for name in ("mapper_steps", "lambda_domain")}
    words = AdaptConfig("zombie", prompts="words")
    assert adapting.preset_values("default", "ipl", "vectors").items() >= shown.items()
    assert tab.settings.fill_for_method("default", "ipl", "words") == [words.mapper_steps, words.lambda_domain]
    assert tab.settings.fill_for_method("default", "shared", "words") == list(shown.values())
    assert (
        tab.settings.fill_for_method("official", "ipl", "words")[1]
        == AdaptConfig("zombie", preset="official").lambda_domain
    )
    assert all(skipped == gr.skip() for skipped in tab.settings.fill_for_method("default", "nada", "vectors"))
    with pytest.raises(InputError, match="Preset must be"):
        adapting.preset_values("quick", "ipl", "words")


def test_a_critic_gets_the_kind_of_ipl_that_suits_it(tab: AdaptTab, monkeypatch: pytest.MonkeyPatch) -> None:
    suits = {"studio": {"method": "described", "prompts": "read"}}
    papers = {"method": "ipl", "prompts": "vectors"}
    monkeypatch.setattr(catalog, "suited_to", lambda critic: suits.get(critic, papers))
    words, vectors = (AdaptConfig("zombie", prompts=prompts) for prompts in ("read", "vectors"))
    own = ["described", "read", words.mapper_steps, words.lambda_domain]
    assert tab.settings.suit("studio", ["own"], "default", "ipl") == own
    other = ["ipl", "vectors", vectors.mapper_steps, vectors.lambda_domain]
    assert tab.settings.suit("studio", ["ViT-B-32"], "default", "described") == other
    assert tab.settings.suit("studio", ["own", "ViT-B-32"], "default", "described") == other  # nobody measured the two
    assert tab.settings.suit("studio", ["own"], "default", "nada")[0] == gr.skip()  # a baseline stays chosen
    assert all(skipped == gr.skip() for skipped in tab.settings.suit("studio", ["own@x"], "default", "ipl"))
    made = make_config({"target": "zombie"}, "cpu")
    assert (made.method, made.prompts, made.templates) == ("described", "read", "studio")
    assert make_config({"target": "zombie", "method": "ipl"}, "cpu").prompts == "read"
    assert make_config({"target": "zombie", "critic": "ViT-B-32"}, "cpu").prompts == "vectors"


def test_a_list_of_ones_own_is_the_vocabulary_where_it_is_chosen() -> None:
    own = {"target": "elf", "own_words": "bald, curly"}
    assert make_config({**own, "vocabulary": "own"}, "cpu").vocabulary == "bald, curly"
    assert make_config({**own, "vocabulary": "animals"}, "cpu").vocabulary == "animals"
    assert make_config(own, "cpu").vocabulary == "auto"
    asked = {**own, "vocabulary": "own", "method": "described", "source": "photo"}
    assert wrong_fields(asked, "cpu") == {}
    assert "is blank" in wrong_fields({**asked, "own_words": ""}, "cpu")["vocabulary"]
    assert "no group of two" in wrong_fields({**asked, "own_words": "bald"}, "cpu")["vocabulary"]


def test_words_that_the_critic_was_never_taught_are_told_at_the_vocabulary(
    monkeypatch: pytest.MonkeyPatch, make_critic_folder: Callable[..., Path], tmp_path: Path
) -> None:
    words = {"words": ["photo", "elf", "bald", "curly"], "domains": {}}
    closed = load_critic(make_critic_folder(tmp_path / "closed", words=words))
    monkeypatch.setattr(catalog, "load_critic", lambda name, device="cpu": closed)
    asked = {"target": "elf", "source": "photo", "vocabulary": "own", "own_words": "bald, grumpy"}
    assert "never taught “grumpy”" in wrong_fields({**asked, "method": "described"}, "cpu")["vocabulary"]
    assert "never taught “grumpy”" in wrong_fields({**asked, "prompts": "words"}, "cpu")["vocabulary"]
    assert wrong_fields({**asked, "method": "nada"}, "cpu") == {}, "NADA has no use for a vocabulary"


# --- runs -------------------------------------------------------------------------------------------------------


def test_a_run_shows_its_earlier_steps_and_can_go_on(tab: AdaptTab) -> None:
    *_, last = tab.run(threading.Event(), *asked(tab))
    assert "Done: zombie by IPL" in last[tab.controls.status]
    assert settings(last[tab.result.step])["choices"] == [("2", 2), ("4, the last", LAST)]
    assert settings(last[tab.result.earlier])["visible"]
    name = last[tab.result.run]
    assert last[tab.result.entry] == name
    seen = list(tab.resume(threading.Event(), name, 3))
    assert "went on from step 4 with a fresh optimiser" in seen[-1][tab.controls.status]
    assert store.list_entries()[0].settings["resumed"]["entry"] == name
    curve = settings(seen[1][tab.result.curves["generator"]])
    assert curve["x_lim"] == [0, 7]
    assert len(curve["value"]) == 5, "the steps before are part of the curve"


def test_with_its_optimiser_it_goes_on_exactly(tab: AdaptTab) -> None:
    *_, last = tab.run(threading.Event(), *asked(tab, keep_state=True))
    *_, end = tab.resume(threading.Event(), last[tab.result.run], 2)
    assert "with the state of its training" in end[tab.controls.status]
    *_, whole = tab.run(threading.Event(), *asked(tab, steps=6))
    assert "made before" in whole[tab.controls.status]


@pytest.mark.parametrize(("more", "words"), [(0, "from 1 to 5000"), (None, "from 1 to 5000"), (9999, "from 1 to 5000")])
def test_steps_that_cannot_be_meant_are_refused(tab: AdaptTab, entry: store.Entry, more: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        next(tab.resume(threading.Event(), entry.path.name, more))


def test_an_earlier_step_is_looked_at_and_kept(tab: AdaptTab, entry: store.Entry) -> None:
    earlier, last = tab.result.look_at_step(entry.path.name, 2), tab.result.look_at_step(entry.path.name, LAST)
    assert earlier[tab.result.people] != last[tab.result.people]
    assert (settings(earlier[tab.result.pick])["interactive"], settings(last[tab.result.pick])["interactive"]) == (
        True,
        False,
    )
    picked = tab.result.pick_step(entry.path.name, 2)
    assert picked[tab.result.entry] != entry.path.name
    assert "step 2 of 4" in picked[tab.controls.status]
    for wrong in (tab.result.look_at_step(entry.path.name, 3), tab.result.pick_step("../..", 2)):
        assert 'role="alert"' in wrong[tab.controls.status]


# --- time -------------------------------------------------------------------------------------------------------


def test_the_time_is_measured_once_and_follows_the_settings(tab: AdaptTab, monkeypatch: pytest.MonkeyPatch) -> None:
    assert tab.say_time(*asked(tab)) == "", "nothing is known yet"
    tab._service.stops.join("a job", "someone", "", lambda: None)
    assert tab.measure_time(*asked(tab)) == "", "a run of someone else was measured with it"
    tab._service.stops.leave_queue("a job")
    assert "A run with these settings takes about" in tab.measure_time(*asked(tab))
    monkeypatch.setattr(show, "forecast", lambda seconds: seconds)
    short, long = (tab.say_time(*asked(tab, steps=steps)) for steps in (4, 4000))
    assert 0 < short < long
    assert tab.say_time(*asked(tab, target="", avoid="quixotic words")) == short, "words take no time"
    assert tab.say_time(*asked(tab, steps=-1)) == ""
    assert tab.say_time(*asked(tab, method="nada")) == ""
    assert tab.say_time(*asked(tab, prompts="words")) == "", "prompts of words take a time of their own"


# --- critics ----------------------------------------------------------------------------------------------------


def test_several_critics_are_written_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapting, "open_critics", lambda: {"ViT-B-32": None, "ViT-B-16": None})
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
        ({"a": 1}, "must be text"),
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
    tab: AdaptTab, entry: store.Entry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
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
        stops.join(f"job of {name}", name, "", lambda: None)
    stops.start("job of one")
    assert [stops.ahead(name) for name in ("one", "two", "three", "four")] == [None, 1, 2, None]
    stops.leave_queue("job of one")
    assert [stops.ahead(name) for name in ("two", "three")] == [0, 1]
    stops.start("job of two")
    stops.leave_queue("job of two")
    assert stops.ahead("three") == 0
    stops.join("another job of one", "one", "", lambda: None)
    assert stops.ahead("one") == 1, "a job that ended long ago still runs"


def test_the_line_of_a_visitor_follows_the_queue() -> None:
    service = Service()
    with gr.Blocks():
        controls = Controls(service, "", "Go", "Going …")
        controls.build_lines("Nothing yet.")
    visitor = SimpleNamespace(session_hash="me")
    service.stops.join("another's job", "other", "", lambda: None)
    service.stops.start("another's job")
    prepared = controls._prepare(visitor)
    assert "Waiting for 1 other run" in prepared[controls.status]
    assert settings(prepared[controls._clock])["active"]
    service.stops.join("my job", "me", "", lambda: None)
    assert "Waiting for 1 other run" in controls._look_at_queue(visitor)[controls.status]
    service.stops.leave_queue("another's job")
    assert "Getting ready" in controls._look_at_queue(visitor)[controls.status]
    service.stops.start("my job")
    running = controls._run(lambda stop: iter([controls.say("<p>Working</p>")]), "me", ())
    assert not settings(next(running)[controls._clock])["active"]
    assert controls.status not in controls._look_at_queue(visitor), "the job is talked over"
    assert list(running) == [controls.say("<p>Working</p>")]


def test_a_job_that_the_queue_refused_is_forgotten() -> None:
    service = Service()
    with gr.Blocks():
        controls = Controls(service, "", "Go", "Going …")
        controls.build_lines("Nothing yet.")
    visitor = SimpleNamespace(session_hash="me")
    controls._prepare(visitor)
    controls._rest(visitor)
    assert len(service.stops) == 0


def test_words_that_are_not_known_get_what_is_near_and_a_critic_of_any_words(
    tab: AdaptTab, monkeypatch: pytest.MonkeyPatch, make_critic_folder: Callable[..., Path], tmp_path: Path
) -> None:
    words = {"words": ["photo"], "domains": {"pencil sketch": ["sketch"], "zombie": ["undead"], "photo": []}}
    closed = load_critic(make_critic_folder(tmp_path / "closed", words=words))
    monkeypatch.setattr(catalog, "load_critic", lambda name, device="cpu": closed)
    monkeypatch.setattr(room, "example_prompts", lambda model, device: ["pencil sketch", "zombie"])
    column, chips, button = tab.suggestions.shown

    offered = tab.suggest(*asked(tab, target="a pencil scetch"))
    assert settings(offered[column])["visible"]
    assert settings(offered[chips])["samples"] == [["pencil sketch"], ["zombie"]]
    said = settings(offered[button])["value"]
    assert re.fullmatch(r"Any words: use OpenAI ViT-B/32 \(605 MB, fetched once\); a run then takes about .+", said)
    for known in ("zombie", "undead sketch", "", None):
        assert not settings(tab.suggest(*asked(tab, target=known))[column])["visible"]
    # A field beside it that is wrong says so itself; nothing is offered for a critic that knows any words.
    assert not settings(tab.suggest(*asked(tab, target="scetch", critic=["nobody"]))[column])["visible"]
    assert not settings(tab.suggest(*asked(tab, target="scetch", critic=["ViT-B-32"]))[column])["visible"]

    chosen = tab.use_open_critic()
    assert chosen[tab.fields["critic"]] == ["ViT-B-32"]
    assert not settings(chosen[column])["visible"]
    assert "fetched first: 605 MB, once. Licence: MIT" in chosen[tab.controls.status]
    assert make_config({"target": "scetch", "critic": chosen[tab.fields["critic"]]}, "cpu").critic == "ViT-B-32"


def test_a_method_that_is_added_is_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(METHODS, "toy", Method("Toy", "fixed words once more", {"": ManualPrompts}))
    with gr.Blocks():
        tab = AdaptTab(Page(Service()))
    assert ("Toy", "toy") in tab._method.choices
