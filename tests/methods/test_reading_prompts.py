"""Runs whose prompts can be read: described pictures and prompts of words, kept, gone on with, stopped and read."""

from __future__ import annotations

import hashlib
import json
import threading
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from ipl_core import AdaptConfig, InputError, adapt
from ipl_core.clip.vocabulary import known_to
from ipl_core.commands.main import main
from ipl_core.library import store
from ipl_core.library.find_or_run import finished_run, resumed_run
from ipl_core.methods.config import PRESETS, preset_settings
from ipl_core.methods.registry import METHODS, PROMPTS, WORD_PROMPTS
from ipl_core.models import catalog

pytestmark = pytest.mark.usefixtures("studio")

SMALL = {"mapper_steps": 2, "mapper_batch": 3, "steps": 2, "batch": 2, "preview_seeds": (3, 5)}
WORDS = {"method": "ipl", "prompts": "words"}


def config_of(**settings) -> AdaptConfig:
    return AdaptConfig("pencil sketch", **{**SMALL, **settings})


def phrases(name: str = "faces") -> str:
    groups = known_to(catalog.load_critic("studio"), name)
    return " ".join(str(phrase) for group in groups for forms in group for phrase in forms)


def test_a_described_run_has_no_stage_1_and_says_what_it_read() -> None:
    entry = finished_run(config_of(method="described"))
    assert {row["stage"] for row in entry.history()} == {"generator"}
    assert entry.title == "photo → pencil sketch (described, seed 0)"
    settings = json.loads((entry.path / "settings.json").read_text())
    assert settings["readings"].keys() == {"3", "5"}
    for words in settings["readings"].values():
        assert all(word in phrases() for word in words.split(", "))
    assert entry.readings == {3: settings["readings"]["3"], 5: settings["readings"]["5"]}
    assert store.find(config_of(method="described")) == entry
    other = finished_run(config_of(method="nada"))
    assert "readings" not in other.settings
    assert other.readings == {}
    first, second = (catalog.changed_weights(run.path) for run in (entry, other))
    assert any(not torch.equal(first[name], second[name]) for name in first)


def test_a_described_run_goes_on_as_if_it_had_not_ended() -> None:
    whole = finished_run(config_of(method="described", steps=4))
    half = finished_run(config_of(method="described", keep_state=True))
    on = resumed_run(half, 2)
    one, other = catalog.changed_weights(whole.path), catalog.changed_weights(on.path)
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert on.settings["readings"] == whole.settings["readings"]


def test_a_described_run_can_be_stopped_and_is_kept() -> None:
    stop = threading.Event()
    run = store.Run(config_of(method="described", steps=50))
    for update in adapt(run.config, stop):
        run.add(update)
        stop.set()
    entry = run.save()
    assert entry.settings["stopped"] == "asked"
    assert 0 < entry.settings["steps"]["generator"] < 50
    assert entry.settings["readings"]


def test_prompts_of_words_are_learned_kept_and_read(capsys: pytest.CaptureFixture[str]) -> None:
    entry = finished_run(config_of(**WORDS))
    assert [row["stage"] for row in entry.history()] == ["prompts", "prompts", "generator", "generator"]
    read = entry.settings["readings"]
    for words in read.values():
        assert all(word in phrases() for word in words.replace(",", "").split())
    assert main(["prompts", entry.path.name, "--seeds", "3,5"]) == 0
    assert capsys.readouterr().out.splitlines() == [f"3: {read['3']}", f"5: {read['5']}"]
    assert main(["prompts", str(entry.path), "--seeds", "0-2", "--psi", "1"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3
    assert main(["prompts", entry.path.name, "--psi", "2"]) == 2
    assert "from 0 to 1.5, not 2" in capsys.readouterr().err


def test_prompts_that_say_nothing_in_words_are_not_read(capsys: pytest.CaptureFixture[str]) -> None:
    entry = finished_run(config_of(method="ipl"))
    assert main(["prompts", entry.path.name]) == 2
    assert "say nothing in words" in capsys.readouterr().err


def test_a_run_is_made_by_command_with_words_of_ones_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "words.txt"
    file.write_text("grumpy, cheerful\nbald, curly\n", encoding="utf-8")
    command = ["adapt", "zombie", "--method", "described", "--steps", "1", "--batch", "1", "--vocabulary"]
    assert main([*command, str(file), "--out", str(tmp_path / "out")]) == 0
    config = store.list_entries()[0].config
    assert config.vocabulary == "grumpy, cheerful;bald, curly"
    read = store.list_entries()[0].settings["readings"]
    assert all(set(words.split(", ")) <= {"grumpy", "cheerful", "bald", "curly"} for words in read.values())
    capsys.readouterr()
    file.write_bytes(b"\xff\xfe bald")
    assert main([*command, str(file), "--out", str(tmp_path / "out")]) == 2
    assert "can't be read" in capsys.readouterr().err
    assert main([*command, "bald", "--out", str(tmp_path / "out")]) == 2
    assert "no group of two" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("readings", "why"),
    [
        (["bald"], "readings is a list of 1"),
        ({"-1": "bald"}, "“-1” in readings is no seed"),
        ({"3": 7}, "what is read of 3 is 7"),
        ({"3": "b" * 1001}, "at most 1000 characters"),
    ],
)
def test_readings_that_are_none_are_damage(readings: object, why: str) -> None:
    entry = finished_run(config_of(method="described"))
    (entry.path / "settings.json").write_text(json.dumps({**entry.settings, "readings": readings}))
    with pytest.raises(InputError, match=why):
        store.open_entry(entry.path)


def test_what_is_read_is_shown_without_what_cannot_be() -> None:
    entry = finished_run(config_of(method="described"))
    (entry.path / "settings.json").write_text(json.dumps({**entry.settings, "readings": {"3": "ba\u202eld"}}))
    assert store.open_entry(entry.path).readings == {3: "ba\ufffdld"}


def vocabulary_of(given: str, monkeypatch: pytest.MonkeyPatch, folder: Path) -> str | None:
    """The vocabulary of the run that the command would make; None where it is refused."""
    asked = []

    def finished_run(config: AdaptConfig, *_: object) -> None:
        asked.append(config.vocabulary)
        raise InputError("No run is needed here.")

    monkeypatch.setattr("ipl_core.commands.adapt.finished_run", finished_run)
    assert main(["adapt", "zombie", "--method", "described", "--vocabulary", given, "--out", str(folder / "out")]) == 2
    return asked[0] if asked else None


def test_the_command_takes_names_lists_and_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("auto", "faces", "animals"):
        Path(name).write_text("grumpy, cheerful", encoding="utf-8")
        assert vocabulary_of(name, monkeypatch, tmp_path) == name, "a file of that name is no reason to read it"
    long = "; ".join(f"smiling {'broadly ' * 8}, frowning, serious {number}" for number in range(40))
    for listed in ("grumpy, cheerful", "~nobody, cheerful", long):  # of which no file can have the last one's name
        assert vocabulary_of(listed, monkeypatch, tmp_path) == " ".join(listed.split())
    Path("words.txt").write_bytes("\ufeffgrumpy, cheerful\r\nbald, curly\r\n".encode())
    assert vocabulary_of("words.txt", monkeypatch, tmp_path) == "grumpy, cheerful;bald, curly"


def test_the_command_refuses_a_vocabulary_that_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("blank.txt").write_text(" \n\n", encoding="utf-8")
    Path("large.txt").write_text("grumpy, cheerful\n" * 10_000, encoding="utf-8")
    for given, why in (
        ("", "is blank"),
        ("  ", "is blank"),
        ("blank.txt", "is blank"),
        ("large.txt", "170000 bytes, more than 80000"),
        ("absent.txt", "no group of two"),
    ):
        assert vocabulary_of(given, monkeypatch, tmp_path) is None
        assert why in capsys.readouterr().err


@pytest.mark.parametrize("method", ["nada", "shared", "ipl"])
def test_runs_kept_before_there_were_words_have_the_keys_they_had(method: str) -> None:
    config = config_of(method=method)
    assert store.run_key(replace(config, vocabulary="animals")) == store.run_key(config)
    assert (store.run_key(replace(config, prompts="words")) != store.run_key(config)) == (method == "ipl")
    # As it was reckoned when neither setting was there.
    before = {k: v for k, v in config.to_dict().items() if k not in ("prompts", "vocabulary")}
    for name in (
        *("preset", "device", "model", "critic", "preview_seeds", "preview_psi", "memory", "keep_every", "keep_state"),
        *("shortest_move", "precision", "avoid", "layer_interval"),
        *(("contrastive", "around_context") if method == "shared" else ()),
    ):
        del before[name]
    if method == "nada":
        for name in (
            *("context", "around_context", "mapper_steps", "mapper_batch", "mapper_lr"),
            *("lambda_domain", "contrastive", "residual"),
        ):
            del before[name]
    before |= {"revision": store.REVISION, "model_sha256": catalog.generator_digest("studio")}
    before["critic_sha256"] = catalog.critic_digest("studio")
    text = json.dumps(before, sort_keys=True).encode()
    assert store.run_key(config) == hashlib.sha256(text).hexdigest()


def test_what_a_described_run_never_reads_makes_no_other_run_of_it() -> None:
    config = config_of(method="described")
    for settings in ({"mapper_steps": 9}, {"lambda_domain": 1.0}, {"prompts": "words"}, {"residual": "none"}):
        assert store.run_key(replace(config, **settings)) == store.run_key(config)
    assert store.run_key(replace(config, vocabulary="bald, curly")) != store.run_key(config)
    assert store.run_key(replace(config, context="a picture of a")) != store.run_key(config)
    words = config_of(**WORDS)
    assert store.run_key(replace(words, vocabulary="bald, curly")) != store.run_key(words)
    assert store.run_key(replace(words, around_context=False)) == store.run_key(words)


def test_words_have_a_stage_1_of_their_own_with_the_default_preset_alone() -> None:
    words = AdaptConfig("zombie", **WORDS)
    assert {name: getattr(words, name) for name in WORD_PROMPTS} == WORD_PROMPTS
    assert AdaptConfig("zombie", **WORDS, mapper_steps=7).mapper_steps == 7
    for preset in ("official", "paper"):
        plain, asked = AdaptConfig("zombie", preset=preset), AdaptConfig("zombie", preset=preset, **WORDS)
        assert replace(asked, prompts="vectors") == plain
        assert preset_settings(preset, **WORDS) == PRESETS[preset]
    assert preset_settings("default", **WORDS) == {**PRESETS["default"], **WORD_PROMPTS}
    assert preset_settings("default", "ipl", "read") == {**PRESETS["default"], **WORD_PROMPTS}
    assert preset_settings("default", "shared", "words") == PRESETS["default"]
    assert AdaptConfig("zombie").prompts == "vectors"
    readable = [
        (method, prompts)
        for method in METHODS
        for prompts in PROMPTS
        if AdaptConfig("zombie", method=method, prompts=prompts).readable
    ]
    of_ipl, described = [("ipl", "words"), ("ipl", "read")], [("described", prompts) for prompts in PROMPTS]
    assert readable == of_ipl + described
    assert AdaptConfig.from_dict(words.to_dict()) == words


@pytest.mark.parametrize(
    ("vocabulary", "why"),
    [
        ("", "blank"),
        ("bald", "no group of two"),
        (7, "must be text"),
        ("a, {}{}", "once at most"),
        ("x" * 30_000, "20000"),
    ],
)
def test_a_vocabulary_that_is_none_is_refused(vocabulary: object, why: str) -> None:
    with pytest.raises(InputError, match=why):
        AdaptConfig("zombie", vocabulary=vocabulary)


def test_a_dogs_model_reads_words_for_animals() -> None:
    assert catalog.vocabulary_of("studio") == "faces"
    assert catalog.vocabulary_of("studio-dogs") == "animals"
    entry = finished_run(config_of(method="described", model="studio-dogs"))
    assert catalog.vocabulary_of(str(entry.path)) == "animals"
    assert all(word in phrases("animals") for word in entry.settings["readings"]["3"].split(", "))
