"""Finished models that come with the app: they draw what the run drew, stand in every list, and can't be changed."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from fakes.kept_domains import entry_of, finished_model, trained_entry

from ipl_core import AdaptConfig, InputError
from ipl_core.commands.main import main
from ipl_core.drawing.mixing import Mixer
from ipl_core.drawing.people_by_seed import SeedPerson
from ipl_core.drawing.sampling import draw
from ipl_core.generators.files import load_generator
from ipl_core.library import find_or_run, inversions, shipped, store
from ipl_core.library.find_or_run import finished_run
from ipl_core.library.import_export import export_generator
from ipl_core.metrics.side_by_side import SideBySide
from ipl_core.models import catalog
from ipl_core.pictures.media import to_uint8
from ipl_core.storage import digests
from ipl_core.studio.commands.main import main as studio
from ipl_core.studio.ship import ship
from ipl_core.studio.training.ends import library_ends
from ipl_core.studio.world.subject import PEOPLE
from ipl_core.study.study import find as newest_study
from ipl_core.study.study import start

pytestmark = pytest.mark.usefixtures("studio")


@pytest.fixture
def finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that finished models come from."""
    folder = tmp_path / "finished"
    monkeypatch.setenv("IPL_SHIPPED", str(folder))
    return folder


def distance(one: store.Entry, other: store.Entry, seeds: range) -> float:
    drawn = (to_uint8(draw(catalog.load_adapted(entry.path), seeds)).float() for entry in (one, other))
    return float(torch.sub(*drawn).abs().mean())


def test_it_draws_what_the_run_draws_within_what_was_measured(finished: Path) -> None:
    run = trained_entry("zombie")
    apart = []
    for bits in (8, 5, 3):
        (made,) = ship([run], finished, bits, samples=32)
        model = store.open_entry(made.path)
        assert model.settings["shipped"]["apart"] == made.apart
        measured = range(500_000, 500_032)
        assert distance(run, model, measured) == pytest.approx(made.apart, abs=1e-4)
        assert distance(run, model, range(100, 132)) < 1.5 * made.apart, "other people are as near"
        apart.append(made.apart)
    untouched = to_uint8(draw(catalog.load_generator("studio"), range(8))).float()
    changed = to_uint8(draw(catalog.load_adapted(run.path), range(8))).float()
    assert apart == sorted(apart)
    assert apart[1] < 0.05 * float((changed - untouched).abs().mean())


def test_one_small_file_holds_all_that_is_shown_of_the_run(finished: Path) -> None:
    run = trained_entry("zombie", "ipl", mapper_steps=1)
    list(ship([run], finished, samples=4))
    (path,) = finished.iterdir()
    assert path.name == "zombie-ipl.safetensors"
    assert path.stat().st_size < run.bytes
    model = store.open_entry(path)
    assert (model.name, model.shipped, model.finished, model.from_run) == ("zombie-ipl", True, True, True)
    assert (model.config, model.history(), model.title) == (run.config, run.history(), run.title)
    assert model.bytes == path.stat().st_size
    assert model.source_picture.startswith(b"RIFF")
    assert model.samples_picture != model.source_picture


def test_its_figures_are_those_of_what_it_draws(finished: Path) -> None:
    model = finished_model("zombie", finished, bits=3)
    samples = SideBySide("studio", "zombie", catalog.load_generator("studio"), "studio", 4)
    told = model.settings["shipped"]
    assert told["figures"] == pytest.approx(vars(samples.measure(catalog.load_adapted(model.path))))
    assert told["source"] == pytest.approx(vars(samples.measure()))
    assert told["figures"] != told["run"]


def test_it_is_listed_after_the_visitors_own_and_never_taken_for_a_run(finished: Path) -> None:
    settings = {"steps": 1, "batch": 1, "mapper_steps": 1, "mapper_batch": 2}
    made = [finished_model(target, finished, method) for target, method in (("zombie", "ipl"), ("mosaic", "nada"))]
    config = AdaptConfig("zombie", **settings)
    assert store.find(config) is None
    own = finished_run(config)
    assert not own.shipped
    assert store.find(config) == own
    assert [entry.name for entry in store.list_entries()] == [own.name, "mosaic-nada", "zombie-ipl"]
    assert library_ends(PEOPLE, "studio").keys() == {PEOPLE.domains.index(PEOPLE.domain("zombie"))}
    assert made[0] in store.list_entries()


def test_a_run_of_exactly_its_settings_computes_its_own(finished: Path) -> None:
    model = finished_model("zombie", finished, steps=1, batch=1)
    assert store.find(model.config) is None
    own = finished_run(model.config)
    assert (own.shipped, own.config) == (False, model.config)


def test_nothing_changes_it(finished: Path) -> None:
    model = finished_model("zombie", finished)
    before = model.path.read_bytes()
    for change in (
        store.delete,
        lambda entry: store.rename(entry, "Mine"),
        lambda entry: store.pick(entry, 1),
        lambda entry: store.continuation(entry, 10),
        lambda entry: store.export(entry, finished / "copy"),
        lambda entry: store.bring_in(entry.path),
    ):
        with pytest.raises(InputError, match="“zombie-nada” comes with the app"):
            change(model)
    with pytest.raises(InputError, match="no step 5"):
        catalog.load_adapted(model.path, step=5)
    assert model.path.read_bytes() == before
    assert not store.runs_folder().exists() or not any(store.runs_folder().iterdir()), "and nothing is kept of it"


def test_it_is_mixed_exported_studied_and_adapted_from(finished: Path, tmp_path: Path) -> None:
    model, other = finished_model("zombie", finished), entry_of("mosaic", 0.3)
    mix = Mixer("studio").keep([(model, 0.5), (other, 0.5)])
    half = catalog.changed_weights(mix.path)["synthesis.layers.0.bias"]
    source = catalog.load_generator("studio").get_parameter("synthesis.layers.0.bias")
    whole = catalog.changed_weights(model.path)["synthesis.layers.0.bias"]
    assert torch.allclose(half, (source + whole) / 2, atol=1e-6)
    exported = load_generator(export_generator(model, tmp_path / "zombie.pt"))
    drawn = draw(catalog.load_adapted(model.path), range(3))
    assert torch.allclose(draw(exported, range(3)), drawn, atol=1e-4)
    drawing = start(
        "Which?", [model, finished_model("zombie", finished, "ipl", mapper_steps=1)], [700_000], pairs_each=1
    )
    list(drawing)
    assert newest_study().pairs == 1
    assert catalog.critic_of(model.name) == "studio"
    assert catalog.vocabulary_of(model.name) == "faces"
    again = finished_run(AdaptConfig("mosaic", model=model.name, method="nada", steps=1, batch=1))
    assert again.settings["model_sha256"] == digests.file_digest(model.path)


def test_commands_take_it_by_name(finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    finished_model("zombie", finished)
    person = inversions.keep(inversions.drawn_person(SeedPerson("studio", 3), catalog.load_generator("studio")))
    calls = [
        ["sample", "zombie-nada", "--seeds", "0-3", "--out", str(tmp_path / "people.png")],
        ["interpolate", "studio", "zombie-nada", "--seeds", "3", "--frames", "4", "--out", str(tmp_path / "walk.gif")],
        ["interpolate", "zombie-nada", "--seeds", "3,5", "--frames", "4", "--out", str(tmp_path / "people.gif")],
        ["restyle", str(person.path), "zombie-nada", "--out", str(tmp_path / "restyled.png")],
        ["library", "export", "zombie-nada", "--out", str(tmp_path / "zombie.safetensors")],
        ["library", "list"],
    ]
    for call in calls:
        assert main(call) == 0, call
    assert {path.suffix for path in tmp_path.iterdir() if path.is_file()} >= {".png", ".gif", ".safetensors"}
    assert "zombie-nada\n  photo → zombie (nada, seed 0), comes with the app" in capsys.readouterr().out
    for call in (
        ["library", "delete", "zombie-nada"],
        ["prompts", "zombie-nada"],
        ["sample", "none", "--out", "a.png"],
    ):
        assert main(call) == 2, call
    assert "comes with the app" in capsys.readouterr().err


def test_readings_are_those_that_the_run_noted(finished: Path) -> None:
    model = finished_model("zombie", finished, "ipl", mapper_steps=1)
    with pytest.raises(InputError, match="nothing in words"):
        find_or_run.readings(model, [0])
    noted = store.Shipped(model.path, {**model.settings, "readings": {"0": "pale, bald", "1": "green"}})
    assert find_or_run.readings(noted, [1, 0]) == {1: "green", 0: "pale, bald"}
    for seeds, psi in (([0, 2], None), ([0], 0.1)):
        with pytest.raises(InputError, match="only what was read of the seeds 0, 1"):
            find_or_run.readings(noted, seeds, psi)


def test_described_pictures_are_read_anew_as_nothing_was_learnt(finished: Path) -> None:
    model = finished_model("zombie", finished, "described")
    assert store.learned_prompts(model) == {}
    read = find_or_run.readings(model, [1, 5])
    assert read.keys() == {1, 5}
    assert all(read.values())


def test_other_weights_of_the_source_are_refused_in_a_sentence(
    finished: Path, tiny_pretrained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [finished_model(target, finished).path for target in ("zombie", "mosaic")]
    folder = tmp_path / "pretrained"
    shutil.copytree(tiny_pretrained, folder)
    shutil.copy(folder / "tiny-dogs.safetensors", folder / "tiny-generator.safetensors")
    registry = (folder / "registry.json").read_text()
    digest = catalog.generator_digest("studio")
    other = digests.file_digest(folder / "tiny-generator.safetensors")
    (folder / "registry.json").write_text(registry.replace(digest, other))
    monkeypatch.setenv("IPL_PRETRAINED", str(folder))
    for read in (store.open_entry, catalog.load_adapted):
        with pytest.raises(InputError, match="other weights of the model “studio” than those here"):
            read(paths[0])
    entries, problems = store.scan()
    assert entries == []
    assert len(problems) == 1
    assert problems[0].startswith("2 of the finished models in")


def damage(path: Path, how: str) -> None:
    data = bytearray(path.read_bytes())
    if how == "cut short":
        data = data[: len(data) // 2]
    elif how == "of another format":
        data = bytearray(b"nothing of the kind")
    else:
        data[-100] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("how", ["cut short", "of another format", "changed in a bit"])
def test_a_damaged_one_is_named_and_left_out(finished: Path, how: str) -> None:
    whole = finished_model("mosaic", finished)
    damage(finished_model("zombie", finished).path, how)
    entries, problems = store.scan()
    assert entries == [whole]
    assert len(problems) == 1
    assert "zombie-nada.safetensors" in problems[0]
    if how == "changed in a bit":
        assert "isn't as it was written" in problems[0]
        assert "restore the file" in problems[0]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda settings: settings.pop("shipped"), "'shipped' is missing"),
        (lambda settings: settings["shipped"]["figures"].update(diversity="much"), "diversity"),
        (lambda settings: settings["shipped"].pop("source"), "source"),
        (lambda settings: settings.update(format="another"), "isn't one of an adaptation"),
        (lambda settings: settings["config"].update(steps=-1), "teps"),
    ],
)
def test_settings_that_say_something_else_are_refused(finished: Path, change: Any, why: str) -> None:
    path = finished_model("zombie", finished).path
    settings = shipped.read_settings(path)
    change(settings)
    shipped.write(path, settings, {"synthesis.layers.0.bias": torch.ones(4)}, 5, {}, "")
    with pytest.raises(InputError, match=why):
        store.open_entry(path)
    assert store.list_entries() == []


@pytest.mark.parametrize("changes", [{"synthesis.none": torch.ones(2)}, {"synthesis.layers.0.bias": torch.ones(99)}])
def test_tensors_that_do_not_fit_the_source_are_refused(finished: Path, changes: dict[str, torch.Tensor]) -> None:
    path = finished_model("zombie", finished).path
    shipped.write(path, shipped.read_settings(path), changes, 5, {}, "")
    with pytest.raises(InputError, match="is damaged"):
        catalog.load_adapted(path)


def test_without_the_folder_there_are_none(finished: Path) -> None:
    assert shipped.files() == []
    assert store.scan() == ([], [])
    finished.mkdir()
    (finished / "notes.txt").write_text("no model")
    assert store.scan() == ([], [])


def test_only_finished_runs_are_shipped_and_each_under_its_name(finished: Path) -> None:
    stopped = entry_of("zombie", 0.3, stopped="asked")
    runs = [trained_entry("zombie"), trained_entry("zombie", steps=2)]
    unknown = trained_entry("submarine")
    for wrong, why in (([stopped], "came to its end"), (runs, "Two runs"), ([unknown], "submarine")):
        with pytest.raises(InputError, match=why):
            list(ship(wrong, finished, samples=4))
    assert not finished.exists()
    list(ship(runs[:1], finished, samples=4))
    with pytest.raises(InputError, match="came to its end"):
        list(ship([store.open_entry(finished / "zombie-nada.safetensors")], finished, samples=4))


def test_the_command_says_what_smallness_costs(
    finished: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = [trained_entry("zombie").name, str(trained_entry("mosaic").path)]
    assert studio(["ship", *runs, "--smoke", "--threads", "1"]) == 0
    said = capsys.readouterr().out
    assert "zombie-nada.safetensors" in said
    assert "of 255 apart" in said
    assert "attributes" in said
    assert sorted(path.name for path in finished.iterdir()) == ["mosaic-nada.safetensors", "zombie-nada.safetensors"]
    monkeypatch.setattr("ipl_core.studio.ship.MAX_BYTES", 1000)
    assert studio(["ship", *runs, "--smoke", "--threads", "1"]) == 2
    assert "more than" in capsys.readouterr().err
    assert studio(["ship", "none", "--smoke", "--threads", "1"]) == 2
