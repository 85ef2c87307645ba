"""What the tabs show, and what they share: pure functions and small classes, without a server."""

from __future__ import annotations

import math
import re
import threading
from pathlib import Path

import gradio as gr
import pytest
import torch

from ipl_core import Step
from ipl_core.pictures.media import pairs
from tabs import show
from tabs.base import Page
from tabs.library import LibraryTab
from tabs.service.service import Service
from tabs.service.stops import Stop, Stops


def test_a_curve_stays_within_its_points_and_never_moves_one() -> None:
    for total in (1, 7, 150, 200, 201, 5000):
        curve = show.Curve(total)
        shown: dict[tuple[str, float], float] = {}
        for step in range(1, total + 1):
            curve.add(step, {"a": float(step), "b": -float(step), "c": 1.0})
            if step % max(1, total // 5) and step != total:
                continue
            table = curve.table()
            assert len(table) <= show.MAX_POINTS
            finished = {(row.term, row.step): row.value for row in table.itertuples() if row.step < step - total / 50}
            assert all(finished[key] == value for key, value in shown.items() if key in finished)
            shown = finished
        assert set(table["term"]) == {"a", "b", "c"}
        assert table["step"].between(0, total).all()


def test_a_point_is_the_mean_of_its_steps() -> None:
    curve = show.Curve(400)
    for step in range(1, 401):
        curve.add(step, {"loss": float(step)})
    table = curve.table()
    assert len(table) == 200
    assert list(table["value"][:2]) == [1.5, 3.5]
    assert list(table["step"][:2]) == [1.5, 3.5]


def test_what_is_not_finite_leaves_a_gap() -> None:
    curve = show.Curve(10)
    curve.add(1, {"loss": math.nan})
    assert curve.table() is None
    curve.add(2, {"loss": 1.0})
    assert len(curve.table()) == 1


def test_what_a_visitor_typed_is_escaped() -> None:
    pictures = torch.zeros(1, 4, 4, 3, dtype=torch.uint8)
    nasty = "<script>\"'&"
    step = Step(step=1, total=2, phase="generator", losses={nasty: 1.0})
    for html in (
        show.people([0], pictures, nasty, pictures, nasty),
        show.heading(nasty, nasty),
        show.note(nasty),
        show.trouble(nasty),
        show.facts({nasty: nasty}, nasty),
        show.ended(nasty, nasty),
        show.progress(step, 2, 0.5),
    ):
        assert "<script" not in html
        assert "\"'" not in html


def test_people_have_words_and_pairs_have_their_order() -> None:
    before, after = torch.zeros(2, 8, 8, 3, dtype=torch.uint8), torch.full((2, 8, 8, 3), 255, dtype=torch.uint8)
    html = show.people([3, 17], before, "photo", after, "werewolf, IPL")
    alts = re.findall('alt="(.*?)"', html)
    assert alts == ["seed 3, photo", "seed 3, werewolf, IPL", "seed 17, photo", "seed 17, werewolf, IPL"]
    assert pairs(before, after)[:, 0, 0, 0].tolist() == [0, 255, 0, 255]


def test_what_prompts_say_is_a_caption_that_is_read_whole() -> None:
    pictures = torch.zeros(2, 8, 8, 3, dtype=torch.uint8)
    said = "pink haired, frowning, <b>narrow</b>"
    html = show.people([3, 17], pictures, "photo", pictures, "zombie, IPL", readings=[said, ""])
    safe = "pink haired, frowning, &lt;b&gt;narrow&lt;/b&gt;"
    caption = f'seed 3<span class="reads" title="{safe}"><b>reads as:</b> {safe}</span></figcaption>'
    assert caption in html
    assert "<figcaption>seed 17</figcaption>" in html, "nothing is said, so there is no caption of it"
    rows = [("Source", "", pictures, {}), ("IPL", "waits", None, {3: said}), ("IPL", "3 steps", pictures, {3: said})]
    first, waiting, read = show.matrix(rows, [3, 17], ["photo", "", "zombie"]).split('<div class="row">')[1:]
    assert "figcaption" not in first + waiting
    assert re.search(f'alt="seed 3, zombie"><figcaption><span class="reads" title="{safe}">', read)
    assert read.count("figcaption>") == 2


@pytest.mark.parametrize(
    ("value", "words"),
    [(3.6, "differ more"), (1.2, "about as much"), (0.5, "differ less"), (0.1, "growing alike"), (None, "")],
)
def test_diversity_is_told_in_words(value: float | None, words: str) -> None:
    html = show.diversity(value)
    assert words in html
    assert bool(html) is (value is not None)


@pytest.mark.parametrize(
    ("seconds", "words"), [(-1, "0 s"), (59.4, "59 s"), (59.6, "1 min 0 s"), (3599, "59 min 59 s"), (7300, "2 h 1 min")]
)
def test_durations_read_as_a_person_says_them(seconds: float, words: str) -> None:
    assert show.duration(seconds) == words


def test_a_damaged_entry_is_named_in_the_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IPL_HOME", str(tmp_path))
    with gr.Blocks():
        tab = LibraryTab(Page(Service()))
    assert "Nothing is kept yet" in tab.contents()
    broken = tmp_path / "runs" / "elf-ipl-0123456789ab"
    broken.mkdir(parents=True)
    (broken / "settings.json").write_text("{", encoding="utf-8")
    assert "elf-ipl-0123456789ab" in tab.contents()
    assert "damaged" in tab.contents()


def running(stops: Stops, session: str, kind: str = "") -> Stop:
    """A job of the session whose turn has come, as the queue notes it; gives its flag."""
    job = f"{session} {kind}"
    assert stops.join(job, session, kind, lambda: None)
    return stops.start(job)


def test_a_stop_reaches_its_own_session_alone() -> None:
    stops = Stops()
    mine, other = running(stops, "mine"), running(stops, "other")
    assert stops.running("mine") is mine
    assert stops.stop("mine")
    assert mine.is_set()
    assert not other.is_set()
    stops.leave_queue("mine ")
    stops.leave_queue("mine ")
    assert not stops.stop("mine")
    assert not running(stops, "mine").is_set(), "a stop of the last run stops the next one"


def test_a_stop_takes_what_waits_out_of_the_queue_and_is_kept_should_its_turn_come_meanwhile() -> None:
    stops, withdrawn = Stops(), []
    stops.join("a job", "mine", "", lambda: withdrawn.append("a job"))
    assert not stops.running("mine").is_set()
    assert stops.stop("mine")
    assert withdrawn == ["a job"]
    assert stops.start("a job").is_set()


def test_jobs_of_other_kinds_have_flags_of_their_own() -> None:
    stops = Stops()
    run, animation = running(stops, "mine"), running(stops, "mine", "animation")
    assert stops.stop("mine", "animation")
    assert animation.is_set()
    assert not run.is_set()
    running(stops, "other")
    assert len(stops) == 3


def test_a_stop_pressed_before_the_job_came_is_forgotten_with_its_session() -> None:
    stops = Stops()
    for session in ("mine", "other"):
        stops.ask(session, "")
    stops.leave("mine")
    assert stops.join("a job", "mine", "", lambda: None)
    assert not stops.join("another job", "other", "", lambda: None), "Stop was pressed for it"


def test_stops_may_come_from_many_threads() -> None:
    stops = Stops()

    def visit(name: str) -> None:
        for turn in range(200):
            job = f"{name} {turn}"
            stops.join(job, name.partition("-")[0], "", lambda: None)
            stops.start(job)
            stops.stop(name.partition("-")[0])
            stops.leave_queue(job)

    threads = [threading.Thread(target=visit, args=(f"{i % 3}-{i}",)) for i in range(9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(stops) == 0
