"""The app by its API: what it offers, what it does, what it refuses."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image, ImageChops
from visitor import PATIENCE

from ipl_core import load_generator
from ipl_core.library import store
from ipl_core.pictures.media import read_settings

FEW = {"mapper_steps": 3, "steps": 4, "batch": 2}
MANY = {"mapper_steps": 2, "steps": 5000, "batch": 2}

API = {
    "/adapt": (
        "target source method preset mapper_steps steps lambda_domain batch learning_rate seed layers model critic "
        "keep_every keep_state avoid prompts vocabulary",
        ["dict(str, Any)"],
    ),
    "/resume": ("entry steps", ["dict(str, Any)"]),
    "/stop": ("", ["bool"]),
    "/library": ("", ["list[dict(str, Any)]"]),
    "/people": ("", ["list[dict(str, Any)]"]),
    "/sample": ("entry seeds psi fine crossover", ["filepath", "filepath"]),
    "/nearest": ("entry seed among count psi", ["list[dict(str, Any)]"]),
    "/mix": ("domains parts strength title", ["dict(str, Any)"]),
    "/interpolate": ("model seeds to frames rate loop side_by_side space easing psi suffix", ["filepath"]),
    "/invert": (
        "picture name model preset space crop steps tune_steps seed face right down zoom turn start view keep aim "
        "sitter",
        ["str | float | bool | list | dict", "filepath", "filepath"],
    ),
    "/restyle": ("person domains strength mix", ["filepath"]),
    "/rename": ("entry title", ["dict(str, Any)"]),
    "/pick": ("entry step", ["dict(str, Any)"]),
    "/delete": ("entry", ["str"]),
    "/admin": ("token", ["bool"]),
    "/export": ("entry suffix step", ["filepath"]),
    "/import": ("file model target", ["str | float | bool | list | dict"]),
}


def test_the_api_is_as_published(client: Client) -> None:
    found = {}
    endpoints = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    for name, endpoint in endpoints.items():
        parameters = " ".join(parameter["parameter_name"] for parameter in endpoint["parameters"])
        found[name] = (parameters, [value["python_type"]["type"] for value in endpoint["returns"]])
        assert len(endpoint["description"]) > 40, f"{name} says nothing about itself"
    assert found == API


def test_adapt_reports_its_steps_and_keeps_the_result(client: Client) -> None:
    job = client.submit("pencil sketch", method="ipl", **FEW, seed=1, api_name="/adapt")
    *steps, last = list(job)
    assert steps, "no step was reported"
    assert steps[0]["stage"] == "prompts"
    assert steps[0]["total"] == FEW["mapper_steps"]
    assert {"contrastive", "domain"} <= set(steps[0]["losses"])
    assert all(step["remaining"] >= 0 for step in steps)
    assert last["stage"] == "done"
    assert last["stopped"] is None
    assert last["entry"] in [row["name"] for row in client.predict(api_name="/library")]


@pytest.mark.parametrize("method", ["nada", "shared"])
def test_every_method_runs(client: Client, method: str) -> None:
    assert client.predict("pencil sketch", method=method, **FEW, api_name="/adapt")["entry"]


def test_what_is_left_out_is_what_suits_the_critic(client: Client) -> None:
    for asked, expected in (({}, ("described", "read")), ({"method": "ipl"}, ("ipl", "read"))):
        name = client.predict("pencil sketch", **FEW, **asked, api_name="/adapt")["entry"]
        config = store.open_entry(store.runs_folder() / name).config
        assert (config.method, config.prompts) == expected


def test_prompts_that_can_be_read_are_asked_for(client: Client) -> None:
    for asked in ({"method": "described"}, {"prompts": "words"}):
        name = client.predict("zombie", **FEW, **asked, vocabulary="bald, curly; smiling, frowning", api_name="/adapt")
        entry = store.open_entry(store.runs_folder() / name["entry"])
        assert len(entry.readings) == 8
        said = {word for words in entry.readings.values() for word in words.split(", ")}
        assert said <= {"bald", "curly", "smiling", "frowning"}


def test_a_run_that_exists_is_given_at_once(client: Client) -> None:
    first = client.predict("pencil sketch", **FEW, seed=2, api_name="/adapt")
    again = list(client.submit("pencil sketch", **FEW, seed=2, api_name="/adapt"))
    assert again == [first]


def test_sample_gives_pairs_with_their_settings(client: Client) -> None:
    entry = client.predict("pencil sketch", **FEW, seed=3, api_name="/adapt")["entry"]
    sheet, archive = client.predict(entry, "0-3, 9", 0.5, api_name="/sample")
    assert read_settings(sheet)["seeds"] == [0, 1, 2, 3, 9]
    with zipfile.ZipFile(archive) as files:
        assert json.loads(files.read("settings.json"))["psi"] == 0.5
        names = {name for name in files.namelist() if name.endswith(".png")}
        assert names == {f"seed-{seed:04d}-{side}.png" for seed in (0, 1, 2, 3, 9) for side in ("source", "adapted")}
        among_others = Image.open(io.BytesIO(files.read("seed-0009-source.png"))).convert("RGB")
    _, archive = client.predict(entry, "9", 0.5, api_name="/sample")
    with zipfile.ZipFile(archive) as files:
        alone = Image.open(io.BytesIO(files.read("seed-0009-source.png"))).convert("RGB")
    # Another batch size may round the last bit of a sum the other way.
    most = max(highest for _, highest in ImageChops.difference(alone, among_others).getextrema())
    assert most <= 2, "a seed gave another person in another batch"


def test_fine_layers_of_another_seed_are_drawn_and_noted(client: Client) -> None:
    entry = client.predict("pencil sketch", **FEW, seed=3, api_name="/adapt")["entry"]
    sheet, _ = client.predict(entry, "0-1", 0.5, 9, 4, api_name="/sample")
    note = read_settings(sheet)
    assert [text.split(" ")[1] for text in note["people"]] == ["0~0.5+9@4", "1~0.5+9@4"]
    plain, _ = client.predict(entry, "0-1", 0.5, api_name="/sample")
    assert Image.open(sheet).convert("RGB").tobytes() != Image.open(plain).convert("RGB").tobytes()


def test_the_nearest_people_are_found(client: Client) -> None:
    entry = client.predict("pencil sketch", **FEW, seed=3, api_name="/adapt")["entry"]
    found = client.predict(entry, 5, 24, 4, api_name="/nearest")
    assert len(found) == 4
    assert 5 not in [row["seed"] for row in found]
    assert [row["likeness"] for row in found] == sorted((row["likeness"] for row in found), reverse=True)


def test_a_run_goes_on(client: Client) -> None:
    entry = client.predict("pencil sketch", **FEW, seed=33, keep_state=True, api_name="/adapt")["entry"]
    *steps, last = list(client.submit(entry, 3, api_name="/resume"))
    assert steps[0]["step"] == FEW["steps"] + 1
    assert (last["stage"], last["stopped"]) == ("done", None)
    whole = client.predict("pencil sketch", **{**FEW, "steps": FEW["steps"] + 3}, seed=33, api_name="/adapt")
    assert whole["entry"] == last["entry"], "with its optimiser kept it is as if it had not ended"


def test_a_mix_is_an_entry(client: Client) -> None:
    names = [client.predict("pencil sketch", **FEW, seed=seed, api_name="/adapt")["entry"] for seed in (2, 3)]
    row = client.predict(", ".join(names), "3,1", 0.8, "Half and half", api_name="/mix")
    assert (row["title"], row["method"]) == ("Half and half", None)
    assert row["target"] == "60 % pencil sketch + 20 % pencil sketch"
    sheet, _ = client.predict(row["name"], "0", api_name="/sample")
    assert Image.open(sheet).size[0] > 0
    client.predict(row["name"], api_name="/delete")


def test_an_animation_is_a_file(client: Client) -> None:
    entry = client.predict("pencil sketch", **FEW, seed=3, api_name="/adapt")["entry"]
    file = client.predict(entry, "0, 3", frames=4, side_by_side=True, suffix=".gif", api_name="/interpolate")
    assert read_settings(file)["people"] == [0, 3]
    with Image.open(file) as animation:
        assert animation.n_frames == 4


@pytest.mark.parametrize(
    ("endpoint", "request_", "words"),
    [
        ("/resume", {"entry": "nothing-here"}, "no entry"),
        ("/nearest", {"entry": "nothing-here", "seed": 1}, "no entry"),
        ("/mix", {"domains": ""}, "at least one domain"),
        ("/mix", {"domains": "a,b", "parts": "1"}, "a number for each"),
        ("/mix", {"domains": "../..", "parts": "1"}, "no entry"),
        ("/interpolate", {"model": "source nothing"}, "no model"),
        ("/interpolate", {"model": "source studio", "suffix": ".exe"}, "written as"),
        ("/interpolate", {"model": "source studio", "frames": 1e9}, "Frames must be"),
    ],
)
def test_what_the_later_endpoints_refuse_they_say(client: Client, endpoint: str, request_: dict, words: str) -> None:
    with pytest.raises(AppError, match=words):
        client.predict(**request_, api_name=endpoint)


def test_an_entry_is_named_exported_taken_in_again_and_deleted(client: Client) -> None:
    settings = {**FEW, "seed": 31, "keep_every": 2}
    entry = client.predict("pencil sketch", **settings, api_name="/adapt")["entry"]
    named = client.predict(entry, "Sketches of mine", api_name="/rename")
    assert (named["name"], named["title"], named["steps"]) == (entry, "Sketches of mine", [2])
    picked = client.predict(entry, 2, api_name="/pick")
    assert picked["stopped"] == "picked"
    file = client.predict(entry, api_name="/export")
    assert load_generator(file).config == load_generator("studio").config
    earlier = client.predict(entry, ".safetensors", 2, api_name="/export")
    assert Path(earlier).name.endswith("-step-2.safetensors")
    imported = client.predict(handle_file(file), target="drawing", api_name="/import")
    assert (imported["target"], imported["method"]) == ("drawing", None)
    sheet, _ = client.predict(imported["name"], "0", api_name="/sample")
    original, _ = client.predict(entry, "0", api_name="/sample")
    assert Image.open(sheet).convert("RGB").tobytes() == Image.open(original).convert("RGB").tobytes()
    for name in (imported["name"], picked["name"]):
        assert client.predict(name, api_name="/delete") == name
    left = {row["name"] for row in client.predict(api_name="/library")}
    assert entry in left
    assert not left & {imported["name"], picked["name"]}


def test_bad_requests_about_entries_get_a_sentence(client: Client, tmp_path: Path) -> None:
    entry = client.predict("pencil sketch", **FEW, seed=32, api_name="/adapt")["entry"]
    (tmp_path / "words.pt").write_text("<html>")
    for endpoint, request_, words in (
        ("/rename", (entry, "x" * 99), "at most 80"),
        ("/rename", ("../..", "x"), "no entry"),
        ("/pick", (entry, 3), "wasn't kept"),
        ("/delete", ("../..",), "no entry"),
        ("/export", (entry, ".pkl"), "exported as one of"),
        ("/export", (entry, ".pt"), "write safetensors instead"),
        ("/export", (entry, ".safetensors", 3), "wasn't kept"),
        ("/import", (handle_file(tmp_path / "words.pt"), "studio", "elf"), "web page"),
        ("/import", (handle_file(tmp_path / "words.pt"), "/etc/passwd", "elf"), "no model"),
    ):
        with pytest.raises(AppError, match=words):
            client.predict(*request_, api_name=endpoint)
    with pytest.raises(AppError, match="at most 100"):
        client.predict("pencil sketch", steps=300, keep_every=1, api_name="/adapt")


def test_stop_keeps_what_was_reached(client: Client) -> None:
    job = client.submit("pencil sketch", **MANY, seed=4, api_name="/adapt")
    for step in job:
        if step["stage"] == "generator":
            break
    assert client.predict(api_name="/stop") is True
    last = job.result(timeout=PATIENCE)
    assert last["stopped"] == "asked"
    sheet, _ = client.predict(last["entry"], "0", api_name="/sample")
    assert Image.open(sheet).size[0] > 0


def test_stop_before_the_generator_changed_keeps_nothing_and_says_so(client: Client) -> None:
    more = {"mapper_steps": 5000, "steps": 2, "batch": 2}
    job = client.submit("pencil sketch", method="ipl", **more, seed=9, api_name="/adapt")
    next(iter(job))
    assert client.predict(api_name="/stop") is True
    assert job.result(timeout=PATIENCE) == {"stage": "done", "entry": None, "stopped": "asked"}


def test_two_visitors_do_not_meet(connect: Callable[[], Client]) -> None:
    one, other, third = connect(), connect(), connect()
    long = one.submit("pencil sketch", **MANY, seed=5, api_name="/adapt")
    next(iter(long))
    short = other.submit("pencil sketch", **FEW, seed=6, api_name="/adapt")
    assert third.predict(api_name="/stop") is False, "a visitor without a job stopped another's"
    assert not long.done()
    assert one.predict(api_name="/stop") is True
    assert long.result(timeout=PATIENCE)["stopped"] == "asked"
    assert short.result(timeout=PATIENCE)["stopped"] is None


def test_a_visitor_who_leaves_frees_the_queue(connect: Callable[[], Client]) -> None:
    one, other = connect(), connect()
    long = one.submit("pencil sketch", **MANY, seed=7, api_name="/adapt")
    next(iter(long))
    long.cancel()
    one.close()
    assert other.submit("pencil sketch", **FEW, seed=8, api_name="/adapt").result(timeout=PATIENCE)["entry"]


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ({"target": ""}, "blank"),
        ({"target": "   "}, "blank"),
        ({"target": "photo"}, "nothing to adapt"),
        ({"target": "pencil " * 60}, "characters"),
        ({"target": "a " * 140 + "sketch"}, "tokens"),
        ({"target": "pencil sketch", "steps": 0}, "Steps"),
        ({"target": "pencil sketch", "steps": 1e9}, "Steps"),
        ({"target": "pencil sketch", "steps": "many"}, "Steps"),
        ({"target": "pencil sketch", "batch": 100_000}, "Pictures a step (batch)"),
        ({"target": "pencil sketch", "lambda_domain": -1}, "λ"),
        ({"target": "pencil sketch", "seed": -1}, "Seed"),
        ({"target": "pencil sketch", "method": "magic"}, "Method"),
        ({"target": "pencil sketch", "layers": "none"}, "Layers"),
        ({"target": "pencil sketch", "model": "/etc/passwd"}, "no model"),
        ({"target": "pencil sketch", "critic": "/etc"}, "CLIP model"),
        ({"target": "pencil sketch", "critic": "own@2"}, "nothing to be weighed against"),
        ({"target": "pencil sketch", "avoid": "quixotic"}, "never taught"),
        ({"target": "pencil sketch", "prompts": "poems"}, "IPL's prompts"),
        ({"target": "pencil sketch", "vocabulary": "bald"}, "no group of two"),
        ({"target": "pencil sketch", "method": "described", "vocabulary": "quixotic, bald"}, "never taught"),
    ],
)
def test_bad_input_gets_a_sentence(client: Client, request_: dict, words: str) -> None:
    with pytest.raises(AppError) as refused:
        client.predict(**request_, api_name="/adapt")
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ({"entry": ""}, "Choose"),
        ({"entry": "../../etc"}, "no entry"),
        ({"entry": "nothing-here"}, "no entry"),
        ({"entry": "source nothing-here"}, "no model"),
        ({"entry": "source studio", "seeds": "one"}, "Seeds"),
        ({"entry": "source studio", "seeds": "0-5000"}, "64"),
        ({"entry": "source studio", "psi": 7}, "Truncation"),
    ],
)
def test_bad_sample_requests_get_a_sentence(client: Client, request_: dict, words: str) -> None:
    with pytest.raises(AppError, match=words):
        client.predict(**request_, api_name="/sample")


def test_unknown_words_are_named(client: Client) -> None:
    with pytest.raises(AppError, match="quixotic"):
        client.predict("quixotic sketch", api_name="/adapt")
