"""Blind studies: what makes one, who is handed what, that each vote counts once, and how they are counted."""

from __future__ import annotations

import csv
import io
import itertools
import json
import math
import multiprocessing
import shutil
import sqlite3
import threading
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from fakes import kept_domains
from PIL import Image

from ipl_core import InputError
from ipl_core.commands.main import main
from ipl_core.library import import_export, store
from ipl_core.models import catalog
from ipl_core.study import study

pytestmark = pytest.mark.usefixtures("studio")


def entry_of(target: str, method: str, **settings: Any) -> store.Entry:
    """A kept run by a method; each shifts the source by another amount."""
    return kept_domains.entry_of(target, {"nada": 0.3, "shared": 0.6, "ipl": 0.9}[method], method, **settings)


def started(entries: Sequence[store.Entry], seeds: Sequence[int] = (1, 2), **options: Any) -> study.Study:
    """A study of `entries`, drawn and kept."""
    drawing = study.start("Which one?", entries, seeds, **options)
    while True:
        try:
            next(drawing)
        except StopIteration as end:
            return end.value


@pytest.fixture
def zombies() -> study.Study:
    """Two people by NADA and by IPL: four questions."""
    return started([entry_of("zombie", "nada"), entry_of("zombie", "ipl")])


def answer_all(chosen: study.Study, voter: str, prefer: str = study.LEFT) -> list[study.Question]:
    """Enters, and answers every question with the same side; gives what was asked."""
    study.enter(chosen.id, voter)
    asked = []
    while question := study.next_question(chosen.id, voter):
        asked.append(question)
        assert study.cast(chosen.id, voter, question.task, question.name, prefer)
    return asked


# --- a study and its pictures -----------------------------------------------------------------------------------------


def test_an_imported_model_has_no_known_way(tmp_path: Path) -> None:
    own = entry_of("zombie", "ipl")
    file = import_export.export_generator(entry_of("zombie", "nada"), tmp_path / "zombie.safetensors")
    imported = import_export.import_generator(file, "studio", "zombie")
    with pytest.raises(InputError, match=r"was imported.*choose models adapted here"):
        started([own, imported])


def test_a_study_is_the_current_one_and_outlives_its_runs(zombies: study.Study) -> None:
    assert study.current() == zombies
    assert (zombies.title, zombies.pairs, zombies.pairs_each, zombies.questions_each) == ("Which one?", 2, 2, 4)
    for entry in store.list_entries():
        store.delete(entry)
    questions = answer_all(zombies, "someone")
    assert [question.name for question in questions] == ["quality", "likeness"] * 2
    assert [(question.number, question.total) for question in questions] == [(n, 4) for n in (1, 2, 3, 4)]
    assert {question.words for question in questions} == {
        "Which is the better zombie?",
        "Which looks more like the person?",
    }
    for question in questions:
        assert (question.source is not None) == (question.name == "likeness")
        assert Image.open(io.BytesIO(question.left)).size == (32, 32)
    newer = started([entry_of("neon", "nada"), entry_of("neon", "ipl")])
    assert [one.id for one in study.studies()] == [newer.id, zombies.id]
    assert study.progress(zombies.id, "someone") == (4, 4)
    assert study.progress(newer.id, "someone") == (0, 0)


def test_every_two_of_a_kind_that_differ_are_a_pair() -> None:
    entries = [entry_of("zombie", method, seed=seed) for method in ("nada", "shared", "ipl") for seed in (0, 1)]
    chosen = started([*entries, entry_of("neon", "nada"), entry_of("neon", "ipl")], seeds=(5,))
    assert chosen.pairs == 3 * 4 + 1, "runs that differ in their seed alone are no pair"
    kinds = {(row.first, row.second, row.target) for row in study.tally(chosen.id)}
    assert kinds == {
        *(("ipl", "nada", target) for target in ("zombie", "neon", None)),
        *(("shared", "nada", target) for target in ("zombie", None)),
        *(("ipl", "shared", target) for target in ("zombie", None)),
    }


def test_runs_of_one_method_are_told_apart_by_what_differs() -> None:
    entries = [entry_of("zombie", "ipl", learning_rate=rate) for rate in (0.001, 0.004)]
    entries.append(entry_of("zombie", "ipl", learning_rate=0.001, steps=9, stopped="asked"))
    names = {name for row in study.tally(started(entries).id) for name in (row.first, row.second)}
    assert names == {
        "ipl, steps 1, learning_rate 0.001",
        "ipl, steps 1, learning_rate 0.004",
        "ipl, steps 9, learning_rate 0.001, step 1 of 9",
    }


def test_what_stage_1_would_have_done_does_not_split_nada() -> None:
    runs = [("zombie", 2), ("neon", 4)]
    entries = [entry_of(target, "nada", mapper_steps=steps) for target, steps in runs]
    entries += [entry_of(target, "ipl") for target, _ in runs]
    assert {(row.first, row.second) for row in study.tally(started(entries).id)} == {("ipl", "nada")}


def test_a_study_closed_before_its_end_is_not_kept() -> None:
    drawing = study.start("x", [entry_of("zombie", "nada"), entry_of("zombie", "ipl")], [1])
    assert next(drawing) == (0, 3)
    drawing.close()
    assert study.current() is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"title": " "}, "title"),
        ({"title": "x" * 121}, "at most 120"),
        ({"seeds": []}, "at least one seed"),
        ({"seeds": list(range(2000))}, "choose fewer"),
        ({"psi": 2}, "Truncation"),
        ({"pairs_each": 0}, "from 1 to 5000, not 0"),
        ({"pairs_each": 1.5}, "whole number"),
        ({"pairs_each": math.inf}, "whole number"),
        ({"psi": True}, "Truncation"),
        ({"title": "half \ud83d"}, "can't be written"),
        ({"entries": []}, "none is chosen"),
        ({"entries": [("zombie", "nada")]}, "has no partner"),
        ({"entries": [("zombie", "nada"), ("neon", "ipl")]}, "has no partner"),
        ({"entries": [("zombie", "nada"), ("zombie", "ipl"), ("neon", "ipl")]}, "neon.*has no partner"),
    ],
)
def test_what_cannot_make_a_study_is_refused(changes: dict[str, Any], words: str) -> None:
    asked = {"title": "x", "entries": [("zombie", "nada"), ("zombie", "ipl")], "seeds": [1], **changes}
    asked["entries"] = [entry_of(*kind) for kind in asked["entries"]]
    with pytest.raises(InputError, match=words):
        next(study.start(**asked))
    assert not study.path().exists()


# --- who is shown what ------------------------------------------------------------------------------------------------


def test_sides_are_drawn_by_lot_and_stay(zombies: study.Study) -> None:
    sides = Counter()
    for number in range(60):
        study.enter(zombies.id, f"voter {number}")
        first = study.next_question(zombies.id, f"voter {number}")
        study.enter(zombies.id, f"voter {number}")
        assert study.next_question(zombies.id, f"voter {number}") == first
        sides[first.left] += 1
    assert len(sides) == 4, "each of two people by each of two methods stands on the left for someone"
    assert min(sides.values()) >= 2  # of 60, 15 are expected; fewer than 2 happens a few times in a million


def test_a_question_does_not_say_what_drew_its_pictures(zombies: study.Study) -> None:
    for question in answer_all(zombies, "someone"):
        told = repr(question).casefold().encode() + question.left + question.right + (question.source or b"")
        assert not any(name in told.lower() for name in (b"nada", b"ipl", b"method", b"seed", b"exif"))


def test_pairs_that_fewest_were_asked_about_come_first() -> None:
    chosen = started([entry_of("zombie", "nada"), entry_of("zombie", "ipl")], seeds=range(6), pairs_each=2)
    for number in range(9):
        answer_all(chosen, f"voter {number}")
    seeds = Counter(vote["seed"] for vote in study.votes(chosen.id))
    assert set(seeds.values()) == {9 * 4 // 6}


def test_a_vote_counts_for_those_alone_who_were_asked(zombies: study.Study) -> None:
    study.enter(zombies.id, "one")
    question = study.next_question(zombies.id, "one")
    with pytest.raises(InputError, match="not put to you"):
        study.cast(zombies.id, "other", question.task, "quality", study.LEFT)
    study.enter(zombies.id, "other")
    with pytest.raises(InputError, match="not put to you"):
        study.cast(zombies.id, "other", question.task, "quality", study.LEFT)
    with pytest.raises(InputError, match="not put to you"):
        study.cast(zombies.id, "one", "1", "quality", study.LEFT)
    with pytest.raises(InputError, match="not put to you"):
        study.next_question(zombies.id, "nobody")
    with pytest.raises(InputError, match="no question “beauty”"):
        study.cast(zombies.id, "one", question.task, "beauty", study.LEFT)
    with pytest.raises(InputError, match="not “both”"):
        study.cast(zombies.id, "one", question.task, "quality", "both")
    with pytest.raises(InputError, match="no study “none”"):
        study.enter("none", "one")
    assert study.votes(zombies.id) == []


def test_the_first_vote_stays(zombies: study.Study) -> None:
    study.enter(zombies.id, "one")
    task = study.next_question(zombies.id, "one").task
    assert study.cast(zombies.id, "one", task, "quality", study.LEFT)
    assert not study.cast(zombies.id, "one", task, "quality", study.RIGHT)
    assert [vote["choice"] for vote in study.votes(zombies.id)] == [study.LEFT]


def test_the_file_itself_keeps_votes_single_and_handed_out(zombies: study.Study) -> None:
    answer_all(zombies, "one")
    database = sqlite3.connect(study.path())
    database.execute("PRAGMA foreign_keys = ON")
    voter, pair = database.execute("SELECT voter, pair FROM vote").fetchone()
    with pytest.raises(sqlite3.IntegrityError, match="UNIQUE"):
        database.execute("INSERT INTO vote VALUES (?, ?, 'quality', 'first')", (voter, pair))
    with pytest.raises(sqlite3.IntegrityError, match="FOREIGN KEY"):
        database.execute("INSERT INTO vote VALUES ('stranger', ?, 'quality', 'first')", (pair,))
    assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    database.close()


# --- many at once -----------------------------------------------------------------------------------------------------


def _vote_as(chosen: study.Study, voters: Sequence[str]) -> int:
    """A process of voters, three threads each, which all answer the same questions; gives how many votes were taken."""
    taken = []
    barrier = threading.Barrier(3)

    def vote(voter: str) -> None:
        study.enter(chosen.id, voter)
        while question := study.next_question(chosen.id, voter):
            barrier.wait(60)
            taken.append(study.cast(chosen.id, voter, question.task, question.name, study.RIGHT))
            barrier.wait(60)

    for voter in voters:
        with ThreadPoolExecutor(3) as pool:
            list(pool.map(vote, [voter] * 3))
    return sum(taken)


def test_votes_of_many_processes_count_once_each() -> None:
    chosen = started([entry_of("zombie", "nada"), entry_of("zombie", "ipl")], seeds=range(3))
    crowd = [[f"voter {process}-{number}" for number in range(2)] for process in range(5)]
    # Fresh processes: those of a fork would share what SQLite holds.
    with multiprocessing.get_context("spawn").Pool(5) as pool:
        taken = pool.starmap(_vote_as, [(chosen, voters) for voters in crowd])
    assert taken == [2 * 6] * 5
    cast = study.votes(chosen.id)
    assert len(cast) == 10 * 6
    assert len({(vote["voter"], vote["seed"], vote["question"]) for vote in cast}) == len(cast)
    assert {vote["choice"] for vote in cast} == {study.RIGHT}
    assert sum(row.votes for row in study.tally(chosen.id) if row.target is None) == len(cast)


def _start_one(entries: Sequence[store.Entry]) -> str:
    return started(entries, seeds=[1]).id


def test_studies_started_at_once_are_all_kept() -> None:
    entries = [entry_of("zombie", "nada"), entry_of("zombie", "ipl")]
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        made = pool.map(_start_one, [entries] * 4)
    assert {one.id for one in study.studies()} == set(made)
    assert len(set(made)) == 4


# --- counting ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [
        (0, 0, 0.0, 1.0),
        (0, 10, 0.0, 0.2775),
        (10, 10, 0.7225, 1.0),
        (5, 10, 0.2366, 0.7634),
        (81, 263, 0.2553, 0.3662),  # Newcombe 1998, table I, method 3
        (15, 148, 0.0624, 0.1605),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_intervals(successes: int, trials: int, low: float, high: float) -> None:
    assert study.wilson(successes, trials) == pytest.approx((low, high), abs=5e-5)


def test_the_ends_of_an_interval_are_where_the_score_is_z() -> None:
    for successes, trials in itertools.product((1, 4, 7), (8, 30)):
        for end in study.wilson(successes, trials):
            score = abs(successes / trials - end) / (end * (1 - end) / trials) ** 0.5
            assert score == pytest.approx(1.959964, rel=1e-6)


def test_votes_are_counted_by_what_was_chosen_wherever_it_stood() -> None:
    entries = [entry_of(target, method) for target in ("zombie", "neon") for method in ("nada", "ipl")]
    chosen = started(entries)
    ipl = {}
    for entry in (entries[1], entries[3]):
        ipl.update(dict.fromkeys(study._jpegs(study.draw(catalog.load_generator(str(entry.path)), [1, 2])), entry))
    for number in range(6):
        voter = f"voter {number}"
        study.enter(chosen.id, voter)
        while question := study.next_question(chosen.id, voter):
            choice = study.LEFT if question.left in ipl else study.RIGHT
            if question.name == "likeness":  # two skip, one takes NADA, three IPL
                other = {study.LEFT: study.RIGHT, study.RIGHT: study.LEFT}[choice]
                choice = study.SKIP if number < 2 else other if number == 2 else choice
            study.cast(chosen.id, voter, question.task, question.name, choice)
    rows = {(row.question, row.target): row for row in study.tally(chosen.id)}
    assert list(rows) == list(itertools.product(study.QUESTIONS, ["zombie", "neon", None]))
    assert {(row.first, row.second) for row in rows.values()} == {("ipl", "nada")}
    quality = rows["quality", None]
    assert (quality.first_votes, quality.second_votes, quality.skipped, quality.voters) == (24, 0, 0, 6)
    likeness = rows["likeness", "neon"]
    assert (likeness.first_votes, likeness.second_votes, likeness.skipped, likeness.voters) == (6, 2, 4, 4)
    assert likeness.share == 0.75
    assert likeness.interval == study.wilson(6, 8)


def test_what_is_written_says_nothing_of_a_person(zombies: study.Study, tmp_path: Path) -> None:
    answer_all(zombies, "a secret", prefer=study.RIGHT)
    with study.write_votes(zombies.id, tmp_path / "votes.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["voter", "position", "target", "seed", "question", "left", "right", "choice", "chosen"]
    assert len(rows) == 4
    assert all(row["chosen"] == row["right"] != row["left"] for row in rows)
    text = (tmp_path / "votes.csv").read_text()
    assert "secret" not in text
    assert b"a secret" not in b"".join(file.read_bytes() for file in study.path().parent.glob("studies*"))
    with study.write_tally(zombies.id, tmp_path / "tally.csv").open() as file:
        counts = list(csv.DictReader(file))
    assert [(row["question"], row["target"], row["votes"]) for row in counts] == [
        *(("quality", "zombie", "2"), ("quality", "", "2")),
        *(("likeness", "zombie", "2"), ("likeness", "", "2")),
    ]
    assert float(counts[0]["share_of_first"]) == int(counts[0]["first_votes"]) / 2


# --- trouble, and the command line ------------------------------------------------------------------------------------


def test_a_file_that_cannot_be_used_is_named(studio: Path) -> None:
    studio.mkdir()
    study.path().write_bytes(b"this is no database" * 100)
    with pytest.raises(InputError, match=r"studies\.sqlite3 can't be used"):
        study.current()
    study.path().unlink()
    database = sqlite3.connect(study.path())
    database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(InputError, match="newer version"):
        study.current()


def test_the_commands_of_a_study(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folders = [str(entry_of("zombie", method).path) for method in ("nada", "ipl")]
    assert main(["study", "tally"]) == 2
    assert "there is none yet" in capsys.readouterr().err
    assert main(["study", "new", *folders, "--title", "Zombies", "--seeds", "3-5", "--pairs-each", "2"]) == 0
    chosen = study.current()
    assert capsys.readouterr().out == f"{chosen.id}: 3 pairs, 4 questions for each voter\n"
    answer_all(chosen, "someone")
    assert main(["study", "tally"]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"Zombies ({chosen.id})\nzombie, quality, ipl over nada: ")
    assert "% of 2 (" in said
    assert main(["study", "export", chosen.id, "--out", str(tmp_path / "out")]) == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["tally.csv", "votes.csv"]
    shutil.rmtree(folders[0])
    assert main(["study", "new", *folders, "--title", "x"]) == 2
    assert main(["study", "tally", "nothing"]) == 2
    assert "no study “nothing”" in capsys.readouterr().err
    settings = sqlite3.connect(study.path()).execute("SELECT settings FROM study").fetchone()[0]
    assert sorted(run["method"] for run in json.loads(settings)["runs"].values()) == ["ipl", "nada"]
