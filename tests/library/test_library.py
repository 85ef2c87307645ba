"""Runs on disk: whole or absent, found again when they are the same run, and damage said in plain words."""

from __future__ import annotations

import csv
import json
import os
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from ipl_core import AdaptConfig, AdaptResult, InputError, Step, adapt
from ipl_core.generators.files import save_generator
from ipl_core.generators.stylegan2.network import Generator
from ipl_core.library import domain_folder, store
from ipl_core.library.find_or_run import finished_run, resumed_run
from ipl_core.models import catalog
from ipl_core.pictures.media import read_settings as picture_settings
from ipl_core.pictures.media import to_uint8
from ipl_core.running import step_history
from ipl_core.running.steps import Pictures
from ipl_core.storage import folders
from ipl_core.storage.tensors import load_tensors

pytestmark = pytest.mark.usefixtures("studio")


def config_of(target: str = "pencil sketch", **settings: Any) -> AdaptConfig:
    return AdaptConfig(target, **{"mapper_steps": 2, "mapper_batch": 2, "steps": 2, "batch": 1, **settings})


def run_of(config: AdaptConfig, stopped: str | None = None, shift: float = 1.0) -> store.Run:
    """A run as `adapt` would have yielded it, without the training."""
    generator = catalog.load_generator("studio")
    weights = {name: generator.get_parameter(name) + shift for name in generator.layer_parameters(1)}
    pictures = torch.zeros(2, 8, 8, 3, dtype=torch.uint8)
    run = store.Run(config)
    if config.method != "nada":
        run.add(Step(1, 2, "prompts", {"contrastive": 2.0, "domain": 0.5, "total": 2.5}, seconds=0.1))
    run.add(Step(1, 2, "generator", {"adaptation": 1.0}, seconds=0.25))
    prompts = {"mapper.layers.0.bias": torch.ones(3)}
    run.add(AdaptResult(1, 2, Pictures(pictures, pictures + 9), weights, 0.5, stopped, prompts))
    return run


def test_home_follows_the_environment(studio: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert folders.home() == studio
    monkeypatch.delenv("IPL_HOME")
    assert folders.home().name == "ipl-studio"


def test_a_kept_run_is_found_and_loaded(studio: Path) -> None:
    config = config_of()
    assert store.find(config) is None
    entry = run_of(config).save()
    assert store.find(config) == entry
    assert store.list_entries() == [entry]
    assert entry.config == config
    assert entry.finished
    assert entry.title == "photo → pencil sketch (ipl, seed 0)"
    assert sorted(path.name for path in entry.path.iterdir()) == sorted(domain_folder.FILES)
    assert [path.name for path in (studio / "runs").iterdir()] == [entry.path.name]

    source, adapted = catalog.load_generator("studio"), catalog.load_generator(entry.path)
    changed = set(source.layer_parameters(1))
    for name, tensor in adapted.state_dict().items():
        expected = source.state_dict()[name] + (1.0 if name in changed else 0.0)
        assert torch.equal(tensor, expected), name
    assert not any(parameter.requires_grad for parameter in adapted.parameters())
    assert catalog.critic_of(str(entry.path)) == "studio"
    by_file = catalog.load_adapted(entry.path / domain_folder.ADAPTED)
    assert torch.equal(
        by_file.get_parameter("synthesis.layers.1.bias"), adapted.get_parameter("synthesis.layers.1.bias")
    )


def test_settings_and_history_hold_the_whole_run() -> None:
    entry = run_of(config_of()).save()
    settings = json.loads((entry.path / "settings.json").read_text())
    assert AdaptConfig.from_dict(settings["config"]) == config_of()
    assert settings["model_sha256"] == catalog.generator_digest("studio")
    assert settings["critic_sha256"] == catalog.critic_digest("studio")
    assert settings["steps"] == {"prompts": 1, "generator": 1}
    assert settings["stopped"] is None
    assert {"ipl_core", "python", "torch", "open_clip_torch"} <= settings["versions"].keys()
    with open(entry.path / "history.csv") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["stage", "step", "contrastive", "domain", "total", "adaptation", "seconds"]
    assert rows[0]["adaptation"] == ""
    assert entry.history() == [
        {"stage": "prompts", "step": 1, "contrastive": 2.0, "domain": 0.5, "total": 2.5, "seconds": 0.1},
        {"stage": "generator", "step": 1, "adaptation": 1.0, "seconds": 0.25},
    ]
    assert picture_settings(entry.samples_picture)["config"]["target"] == "pencil sketch"
    tensors, description = load_tensors(entry.path / "adapted.safetensors")
    assert "prompts.mapper.layers.0.bias" in tensors
    assert json.loads(description["settings"])["key"] == settings["key"]


def test_history_carries_the_diversity_that_was_measured() -> None:
    config = config_of(method="nada")
    run = store.Run(config)
    pictures = torch.zeros(1, 8, 8, 3, dtype=torch.uint8)
    for step, diversity in enumerate((0.9, None, None), start=1):
        shown = None if diversity is None else Pictures(pictures, pictures, diversity)
        run.add(Step(step, 3, "generator", {"adaptation": 1.0}, shown))
    run.add(AdaptResult(3, 3, Pictures(pictures, pictures, 0.7), {}))
    rows = run.save().history()
    assert [row.get("diversity") for row in rows] == [0.9, None, 0.7]
    assert [step_history.terms(row) for row in rows][1:] == [{"adaptation": 1.0}, {"adaptation": 1.0, "diversity": 0.7}]


@pytest.mark.parametrize(
    ("other", "same"),
    [
        ({"target": "Pencil  SKETCH"}, True),
        ({"preview_seeds": [9], "preview_psi": 1.0}, True),
        ({"layer_interval": 3}, True),  # of no effect unless layers are chosen adaptively
        ({"critic": "studio"}, True),
        ({"target": "werewolf"}, False),
        ({"source": "person"}, False),
        ({"seed": 1}, False),
        ({"steps": 3}, False),
        ({"mapper_steps": 3}, False),
        ({"lambda_domain": 0.0}, False),
        ({"layers": "coarse"}, False),
        ({"layers": "adaptive"}, False),
        ({"share_noise": False}, False),
        ({"method": "nada"}, False),
        ({"templates": "imagenet"}, False),
    ],
)
def test_a_run_is_the_same_when_its_weights_would_be(other: dict, same: bool) -> None:
    assert (store.run_key(config_of(**{"target": "pencil sketch", **other})) == store.run_key(config_of())) == same


def test_settings_of_stage_1_do_not_matter_to_nada() -> None:
    nada = store.run_key(config_of(method="nada"))
    assert store.run_key(config_of(method="nada", lambda_domain=9, mapper_steps=7, residual="none")) == nada
    assert store.run_key(config_of(method="nada", batch=2)) != nada


def test_the_same_settings_with_another_model_file_are_another_run(
    tmp_path: Path, tiny_generator: Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = run_of(config_of()).save()
    folder = tmp_path / "pretrained"
    shutil.copytree(os.environ["IPL_PRETRAINED"], folder)
    monkeypatch.setenv("IPL_PRETRAINED", str(folder))
    with torch.no_grad():
        tiny_generator.w_avg.add_(1)
    save_generator(tiny_generator, folder / "tiny-generator.safetensors")
    registry = json.loads((folder / "registry.json").read_text())
    del registry["generators"]["studio"]["sha256"]
    (folder / "registry.json").write_text(json.dumps(registry))
    assert store.find(config_of()) is None
    with pytest.raises(InputError, match="made from other weights of the model “studio”"):
        catalog.load_adapted(entry.path)


def test_a_stopped_run_is_kept_but_never_passes_for_finished() -> None:
    stopped = run_of(config_of(), stopped="asked").save()
    assert store.find(config_of()) is None
    assert not stopped.finished
    assert "stopped at step 1 of 2" in stopped.title
    assert isinstance(catalog.load_adapted(stopped.path), Generator)
    finished = run_of(config_of()).save()
    assert store.find(config_of()) == finished
    assert {entry.path for entry in store.list_entries()} == {stopped.path, finished.path}
    assert store.list_entries()[0] == finished  # the newest first


def test_an_adapted_domain_can_be_adapted_from() -> None:
    first = run_of(config_of()).save()
    second = run_of(config_of("werewolf", model=str(first.path))).save()
    source, adapted = catalog.load_adapted(first.path), catalog.load_adapted(second.path)
    name = "synthesis.layers.1.bias"
    assert second.settings["critic"] == "studio"
    assert not torch.equal(source.get_parameter(name), catalog.load_generator("studio").get_parameter(name))
    assert adapted.config == source.config


# ----------------------------------------------------------------------------------------------------------------------
# Names, earlier steps, going on


def test_a_title_is_a_persons_own_and_no_ones_elses() -> None:
    one, other = run_of(config_of()).save(), run_of(config_of("werewolf")).save()
    named = store.rename(one, "  My   sketches ")
    assert named.title == store.open_entry(one.path).title == "My sketches"
    assert named.path == one.path
    assert store.find(config_of()) == named
    for taken in ("my SKETCHES", one.plain_title):
        with pytest.raises(InputError, match="choose another title"):
            store.rename(other, taken)
    assert store.rename(named, "My sketches").title == "My sketches"  # its own is no collision
    for wrong in ("x" * 81, "half \ud83d", 7, None, ["a"]):
        with pytest.raises(InputError, match=r"at most 80|can't be written|must be text"):
            store.rename(other, wrong)
    assert store.open_entry(other.path) == other
    assert store.rename(named, "photo\u202egnp\x00 2").title == "photo gnp 2"
    assert store.rename(named, " ").title == one.plain_title
    assert other == store.open_entry(other.path)


def test_earlier_steps_are_kept_drawn_and_picked(studio: Path) -> None:
    config = config_of(steps=5, keep_every=2)
    seen = {}
    run = store.Run(config)
    for update in adapt(config):
        run.add(update)
        if isinstance(update, Step):
            seen[update.phase, update.step] = update
    entry = run.save()
    assert entry.steps() == [2, 4]
    del run, update  # and with it, what it kept while it ran
    assert list((studio / "runs").iterdir()) == [entry.path]
    weights = catalog.changed_weights(entry.path, 2)
    for name, tensor in seen["generator", 2].weights.items():
        assert torch.equal(weights[name], tensor.half().float())
    by_step = catalog.load_adapted(entry.path, step=2).state_dict()
    by_path = catalog.load_generator(entry.path / domain_folder.step_file(2)).state_dict()
    assert all(torch.equal(by_step[name], by_path[name]) for name in by_step)
    assert not torch.equal(*(catalog.changed_weights(entry.path, step)[name] for step in (2, 4)))
    assert catalog.critic_of(str(entry.path / domain_folder.step_file(2))) == "studio"
    with pytest.raises(InputError, match="earlier steps kept: 2, 4"):
        catalog.load_adapted(entry.path, step=3)

    picked = store.pick(entry, 2)
    assert not picked.finished
    assert picked.title.endswith("(ipl, seed 0), step 2 of 5")
    assert picked.settings["diversity"] == seen["generator", 2].pictures.diversity
    assert [row["step"] for row in picked.history()] == [1, 2, 1, 2]
    assert picked.samples_picture.read_bytes() == (entry.path / domain_folder.step_picture(2)).read_bytes()
    own = catalog.load_adapted(picked.path).state_dict()
    assert all(torch.equal(by_step[name], own[name]) for name in own)
    assert store.pick(entry, 2) == picked
    assert store.find(config) == entry
    assert store.find(config_of(steps=2)) is None
    store.export(entry, studio / "out")
    assert store.open_entry(studio / "out").steps() == [2, 4]


def test_a_run_without_what_is_wanted_now_is_made_again_under_its_title() -> None:
    plain = store.rename(finished_run(config_of(steps=3)), "Mine")
    assert store.find(config_of(steps=3, keep_every=1)) is None
    more = finished_run(config_of(steps=3, keep_every=1, keep_state=True))
    assert (more.path, more.title, more.steps(), more.resumes_exactly) == (plain.path, "Mine", [1, 2], True)
    assert finished_run(config_of(steps=3)) == more
    first = finished_run(config_of(steps=5, keep_every=2, keep_state=True))
    both = finished_run(config_of(steps=5, keep_every=3))
    assert (both.path, both.steps(), both.resumes_exactly) == (first.path, [2, 3, 4], True)
    assert resumed_run(both, 1).settings["resumed"]["exactly"]
    assert catalog.changed_weights(more.path).keys() == catalog.changed_weights(plain.path).keys()


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"method": "nada", "layers": "adaptive", "layer_interval": 2, "share_noise": False},
        {"method": "shared", "layers": "coarse"},
    ],
)
def test_a_run_that_goes_on_with_its_state_is_the_run_in_one_go(settings: dict[str, Any]) -> None:
    part = finished_run(config_of(steps=3, keep_state=True, keep_every=1, **settings))
    resumed = resumed_run(part, 2)
    assert resumed.settings["resumed"] == {
        "entry": part.path.name,
        "step": 3,
        "exactly": True,
        "as one run": True,
    }
    assert resumed.settings["steps"]["generator"] == 5
    assert [row["step"] for row in resumed.history() if row["stage"] == "generator"] == [1, 2, 3, 4, 5]
    assert resumed.steps() == [1, 2, 3, 4], "the last step of before is one on the way now"
    assert store.find(config_of(steps=5, **settings)) == resumed
    whole = list(adapt(config_of(steps=5, **settings)))[-1]
    weights = catalog.changed_weights(resumed.path)
    assert weights.keys() == whole.weights.keys()
    assert all(torch.equal(weights[name], tensor) for name, tensor in whole.weights.items())


def test_a_run_that_goes_on_from_its_weights_never_passes_for_one_in_one_go() -> None:
    part = finished_run(config_of(steps=2))
    resumed = resumed_run(part, 2)
    assert resumed.settings["resumed"]["exactly"] is False
    assert resumed.title.endswith("resumed at step 2")
    assert store.find(config_of(steps=4)) is None
    one, other = catalog.changed_weights(part.path), catalog.changed_weights(resumed.path)
    assert any(not torch.equal(one[name], other[name]) for name in one)
    prompts = [
        load_tensors(entry.path / domain_folder.ADAPTED)[0]["prompts.mapper.layers.0.bias"] for entry in (part, resumed)
    ]
    assert torch.equal(*prompts)
    again = resumed_run(resumed, 1)
    assert again.settings["resumed"]["as one run"] is False
    assert len({part.path, resumed.path, again.path}) == 3


def test_what_cannot_be_gone_on_with_is_said() -> None:
    entry = run_of(config_of()).save()
    for steps in (0, -1, 1.5):
        with pytest.raises(InputError, match="from 1 to 5000, not"):
            store.continuation(entry, steps)
    with pytest.raises(InputError, match="from 1 to 5000"):
        store.continuation(entry, 10_000)
    untouched = store.Entry(entry.path, {**entry.settings, "steps": {"prompts": 1, "generator": 0}})
    with pytest.raises(InputError, match="before its generator had changed"):
        store.continuation(untouched, 1)


# ----------------------------------------------------------------------------------------------------------------------
# Damage and refusal


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: (path / "adapted.safetensors").unlink(),
        lambda path: (path / "adapted.safetensors").write_bytes(b"no tensors"),
        lambda path: (path / "settings.json").write_text("{"),
        lambda path: (path / "settings.json").write_text("[]"),
        lambda path: (path / "settings.json").write_text('{"format": "ipl-studio-run"}'),
        lambda path: (path / "settings.json").unlink(),
        lambda path: (path / "samples.png").unlink(),
        lambda path: (path / "settings.json").write_text(
            (path / "settings.json").read_text().replace('"earlier": {}', '"earlier": {"1": {}}')
        ),
        lambda path: (path / "settings.json").write_text(
            (path / "settings.json").read_text().replace('"earlier": {}', '"earlier": [1]')
        ),
    ],
)
def test_damaged_entry_is_named_and_the_others_still_listed(damage: Any) -> None:
    whole = run_of(config_of("werewolf")).save()
    entry = run_of(config_of()).save()
    damage(entry.path)
    with pytest.raises(InputError, match=entry.path.name):
        store.open_entry(entry.path)
    entries, problems = store.scan()
    assert entries == [whole]
    assert len(problems) == 1
    assert entry.path.name in problems[0]
    # Asking again makes the run anew and puts it in the damaged one's place.
    assert store.find(config_of()) is None
    assert run_of(config_of()).save() == store.find(config_of())


def test_bytes_changed_behind_its_back_are_noticed() -> None:
    entry = run_of(config_of()).save()
    file = entry.path / "adapted.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    time.sleep(0.01)
    file.write_bytes(content)
    with pytest.raises(InputError, match="isn't as it was written"):
        catalog.load_adapted(entry.path)


def test_tensors_that_do_not_fit_are_refused_whole(tiny_generator: Generator) -> None:
    before = tiny_generator.synthesis.layers[0].bias.clone()
    good = {"synthesis.layers.0.bias": before + 1}
    for bad in ({"synthesis.layers.0.beard": before}, {"synthesis.layers.1.bias": torch.zeros(3)}):
        with pytest.raises(ValueError, match="doesn't fit"):
            domain_folder.apply_weights(tiny_generator, {**good, **bad})
    assert torch.equal(tiny_generator.synthesis.layers[0].bias, before)


def test_settings_of_a_newer_version_are_not_guessed_at() -> None:
    entry = run_of(config_of()).save()
    settings = {**entry.settings, "version": 99}
    (entry.path / "settings.json").write_text(json.dumps(settings))
    with pytest.raises(InputError, match="newer version"):
        store.open_entry(entry.path)


@pytest.mark.parametrize("step", ["save_tensors", "save_png", "history_text", "replace"])
def test_interrupted_save_leaves_nothing(studio: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    def fail(*arguments: Any, **options: Any) -> None:
        raise OSError(28, "No space left on device")

    run = run_of(config_of())
    with monkeypatch.context() as broken:
        if step == "save_tensors":
            broken.setattr("ipl_core.storage.folders.save_tensors", fail)
        elif step == "save_png":
            broken.setattr(store, "save_png", fail)
        elif step == "history_text":
            broken.setattr(step_history, "history_text", fail)
        else:
            broken.setattr(folders.os, "replace", fail)
        with pytest.raises(InputError, match=r"No space left|can't be"):
            run.save()
    assert list((studio / "runs").iterdir()) == []
    assert store.find(config_of()) is None
    assert run.save() == store.find(config_of())


def test_a_killed_process_leaves_nothing_that_looks_like_a_run(studio: Path) -> None:
    left = studio / "runs" / ".writing-abc"
    left.mkdir(parents=True)
    (left / "settings.json").write_text("{")
    assert store.scan() == ([], [])
    run_of(config_of()).save()
    assert left.exists()  # another process may be writing it now
    os.utime(left, (0, 0))
    run_of(config_of("werewolf")).save()
    assert not left.exists()


def test_a_run_without_a_result_is_not_kept() -> None:
    with pytest.raises(ValueError, match="no result yet"):
        store.Run(config_of()).save()


def test_unwritable_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match=r"Nothing can be written to the folder .*file"):
        folders.check_writable(tmp_path / "file" / "out")
    monkeypatch.setenv("IPL_HOME", str(tmp_path / "file"))
    with pytest.raises(InputError, match="Nothing can be written"):
        run_of(config_of()).save()
    assert store.find(config_of()) is None


def test_delete_removes_library_entries_only(studio: Path, tmp_path: Path) -> None:
    entry = run_of(config_of()).save()
    copy = store.open_entry(store.export(entry, tmp_path / "out"))
    with pytest.raises(InputError, match="isn't in the library"):
        store.delete(copy)
    store.delete(entry)
    assert store.list_entries() == []
    assert list((studio / "runs").iterdir()) == []
    with pytest.raises(InputError, match="can't be deleted"):
        store.delete(entry)
    assert isinstance(catalog.load_adapted(copy.path), Generator)


def test_a_folder_is_brought_in_as_what_it_is(tmp_path: Path) -> None:
    finished, stopped = run_of(config_of()).save(), run_of(config_of(), stopped="asked", shift=2.0).save()
    inexact = resumed_run(finished_run(config_of("werewolf", steps=2)), 1)
    copies = {entry.path: store.export(entry, tmp_path / entry.path.name) for entry in store.list_entries()}
    for entry in store.list_entries():
        store.delete(entry)
    assert store.bring_in(copies[finished.path]) == store.find(config_of())
    assert store.find(config_of()).path == finished.path
    for other in (stopped, inexact):
        brought = store.bring_in(copies[other.path])
        assert brought.settings == other.settings
        assert store.bring_in(copies[other.path]) == brought
    assert store.find(config_of()) == finished
    assert store.find(config_of("werewolf", steps=3)) is None
    with pytest.raises(InputError, match="no adapted domain"):
        store.bring_in(tmp_path / "nowhere")


def test_export_keeps_what_else_is_in_the_folder(tmp_path: Path) -> None:
    entry = run_of(config_of()).save()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    store.export(entry, tmp_path / "out")
    store.export(entry, tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted([*domain_folder.FILES, "mine.txt"])


def test_pictures_have_the_same_layout() -> None:
    from PIL import Image

    run = run_of(config_of())
    pictures = to_uint8(torch.zeros(6, 3, 8, 8))
    run.last = replace(run.last, pictures=Pictures(pictures, pictures))
    entry = run.save()
    assert Image.open(entry.source_picture).size == Image.open(entry.samples_picture).size == (28, 18)
