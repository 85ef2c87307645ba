"""A picture of one's own by the API: what is taken, what comes back, what is refused, who is kept."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image
from visitor import PATIENCE

from ipl_core import InputError
from ipl_core.library import inversions
from ipl_core.pictures.media import read_settings
from ipl_core.pictures.reading import MAX_PIXELS
from tabs.forms.crop import crop_view
from tabs.requests.mixing import weighted
from tabs.requests.pictures import EXAMPLES, called, chosen_crop, invert_config, look_at

FEW = {"preset": "fast", "steps": 3, "crop": "none"}
PORTRAIT, PHOTO = EXAMPLES / "portrait-1.png", EXAMPLES / "grace-hopper.jpg"


@pytest.fixture(scope="module")
def person(client: Client) -> str:
    """A kept person."""
    return client.predict(handle_file(PORTRAIT), "Ada", **FEW, api_name="/invert")[0]["person"]


@pytest.fixture(scope="module")
def domains(client: Client) -> list[str]:
    """Two entries of the library."""
    few = {"method": "nada", "mapper_steps": 2, "batch": 2}
    return [client.predict("pencil sketch", **few, steps=steps, api_name="/adapt")["entry"] for steps in (3, 4)]


# ----------------------------------------------------------------------------------------------------------------------


def test_invert_reports_its_steps_and_keeps_the_person(client: Client) -> None:
    job = client.submit(handle_file(PORTRAIT), "Grace & Co", **FEW, tune_steps=2, seed=1, api_name="/invert")
    *steps, (last, latent, picture) = list(job)
    assert steps[0][0]["stage"] == "latent"
    assert {"pixel", "perceptual", "total"} <= set(steps[0][0]["losses"])
    assert last["stage"] == "done"
    assert last["distances"]["pixel"] > 0
    assert -1 <= last["identity"] <= 1.001
    assert last["crop"] == "The whole picture is taken as it is."
    assert read_settings(picture)["name"] == "Grace & Co"
    found = inversions.read_latent(latent)
    assert (found.name, found.settings["steps"]) == ("Grace & Co", {"latent": 3, "tuning": 2})
    assert last["person"] in [row["name"] for row in client.predict(api_name="/people")]
    again = list(client.submit(handle_file(PORTRAIT), "Grace & Co", **FEW, tune_steps=2, seed=1, api_name="/invert"))
    assert [row[0] for row in again] == [last]


def test_stop_keeps_what_was_reached(client: Client) -> None:
    job = client.submit(handle_file(PORTRAIT), preset="good", steps=20_000, crop="none", api_name="/invert")
    next(iter(job))
    assert client.predict(api_name="/stop") is True
    last, latent, _ = job.result(timeout=PATIENCE)
    assert last["stopped"] == "asked"
    assert inversions.read_latent(latent).w_plus.isfinite().all()


def test_the_search_begins_where_it_is_told_to(client: Client) -> None:
    for start in ("mean", "encoder"):
        last, latent, _ = client.predict(handle_file(PORTRAIT), start, **FEW, seed=5, start=start, api_name="/invert")
        assert last["stage"] == "done"
        assert inversions.read_latent(latent).settings["start"] == start


def test_a_person_goes_through_every_domain(client: Client, person: str, domains: list[str]) -> None:
    settings = read_settings(client.predict(person, api_name="/restyle"))
    assert settings["person"] == "Ada"
    assert len(settings["domains"]) >= 2
    settings = read_settings(client.predict(person, ",".join(domains), 0.5, "0.25,0.75", api_name="/restyle"))
    assert [part["weight"] for part in settings["domains"][0]] == [0.125, 0.375]


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ({"model": "/etc/passwd"}, "no model"),
        ({"preset": "slow"}, "Preset"),
        ({"steps": 0}, "Steps"),
        ({"space": "z"}, "Latent space"),
        ({"crop": "left"}, "crop"),
        ({"face": 1.5}, "Which face"),
        ({"crop": "auto", "face": 9}, "face 9"),
        ({"zoom": 99}, "zoom"),
        ({"start": "left"}, "Where the search begins"),
        ({"view": "lpips-alex"}, "LPIPS"),
    ],
)
def test_bad_requests_get_a_sentence(client: Client, request_: dict[str, Any], words: str) -> None:
    with pytest.raises(AppError) as refused:
        client.predict(handle_file(PHOTO), **{**FEW, "crop": "center", **request_}, api_name="/invert")
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ({"person": "nobody"}, "no inverted picture"),
        ({"person": "../runs"}, "no inverted picture"),
        ({"domains": "../../etc"}, "no entry"),
        ({"strength": 3}, "strength"),
        ({"mix": "1,2,3,4,5,6,7"}, "share for each"),
    ],
)
def test_bad_restyle_requests_get_a_sentence(
    client: Client, person: str, domains: list[str], request_: dict[str, Any], words: str
) -> None:
    with pytest.raises(AppError, match=words):
        client.predict(**{"person": person, "domains": domains[0], **request_}, api_name="/restyle")


# ----------------------------------------------------------------------------------------------------------------------
# Files


def file_of(picture: Image.Image, path: Path, **options: Any) -> str:
    picture.save(path, **options)
    return str(path)


def test_a_broken_file_is_refused_by_name(client: Client, tmp_path: Path) -> None:
    data = io.BytesIO()
    Image.effect_noise((64, 64), 50).convert("RGB").save(data, "PNG")
    broken = tmp_path / "holiday.png"
    broken.write_bytes(data.getvalue()[:300])
    with pytest.raises(AppError, match=r"“holiday\.png” can't be read"):
        client.predict(handle_file(broken), **FEW, api_name="/invert")
    with pytest.raises(InputError, match=r"“holiday\.png”"):
        look_at(str(broken))


def test_what_is_no_still_picture_is_refused(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (32, 32), colour) for colour in ("red", "blue")]
    moving = file_of(frames[0], tmp_path / "moving.webp", save_all=True, append_images=frames[1:])
    with pytest.raises(InputError, match=r"“moving.webp” is animated \(2 frames\)"):
        look_at(moving)
    side = int(MAX_PIXELS**0.5) + 1
    with pytest.raises(InputError, match="million"):
        look_at(file_of(Image.new("1", (side, side)), tmp_path / "huge.png"))
    for path, words in ((None, "There is no picture yet"), (str(tmp_path / "gone.png"), "choose it again")):
        with pytest.raises(InputError, match=words):
            look_at(path)


def test_orientation_is_applied_once(tmp_path: Path) -> None:
    sideways = Image.new("RGB", (400, 300), "grey")
    exif = sideways.getexif()
    exif[0x0112] = 6  # a phone held upright
    seen = look_at(file_of(sideways, tmp_path / "phone.jpg", exif=exif))
    assert seen.view.size == (300, 400)
    assert seen.faces == ()


def test_large_pictures_are_looked_at_small_and_cut_large(tmp_path: Path) -> None:
    path = file_of(Image.effect_noise((3000, 2000), 30).convert("RGB"), tmp_path / "large.jpg")
    seen = look_at(path)
    assert max(seen.view.size) == 1024
    assert seen.scale == pytest.approx(3000 / 1024)
    assert chosen_crop(seen, "studio", "center").side == pytest.approx(2000 / seen.scale, abs=1)


def test_the_crop_follows_the_face_and_the_person(tmp_path: Path) -> None:
    seen = look_at(str(PHOTO))
    assert len(seen.faces) == 1
    found = chosen_crop(seen, "studio", "auto", 1)
    assert found.method.startswith("cascade")
    moved = chosen_crop(seen, "studio", "auto", 1, 0.1, 0.0, 2.0)
    assert moved.side == pytest.approx(found.side / 2)
    html, note = crop_view(seen, moved)
    assert found.note in note
    assert html.count("<img") == 2
    assert found.note.split(";")[0].replace("'", "&#x27;") in html
    assert f"{moved.quad[0][0]:.1f},{moved.quad[0][1]:.1f}" in html
    nobody = chosen_crop(look_at(file_of(Image.new("RGB", (300, 200)), tmp_path / "dark.png")), "studio", "auto", None)
    assert nobody.note.startswith("No face was found")
    assert "draws no faces" in chosen_crop(seen, "afhq-dog-512", "auto").note


def test_requests_name_models_and_leave_the_rest_to_the_preset() -> None:
    config = invert_config({"model": "studio", "preset": "best", "steps": None, "space": ""}, "cpu")
    assert (config.steps, config.space, config.noise) == (400, "w+", True)
    with pytest.raises(InputError, match="no model"):
        invert_config({"model": "../me.safetensors"}, "cpu")


def test_a_person_is_called_as_said_or_after_the_file() -> None:
    assert called("  Ada   L. ", "x/1.png") == "Ada L."
    assert called("", "x/holiday.png") == "holiday"
    assert called(None, "x/" + "a" * 99 + ".png") == "a" * 60


def test_weights_of_a_mix_are_checked() -> None:
    entry = SimpleNamespace()
    for strength in (-0.1, 2.1, float("nan"), "1"):
        with pytest.raises(InputError, match="strength"):
            weighted([entry], strength)
    with pytest.raises(InputError, match="share for each"):
        weighted([entry], 1.0, "half")
