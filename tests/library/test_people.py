"""Inverted pictures on disk, and drawn again: kept, found, refused when damaged, restyled."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from fakes.kept_domains import entry_of
from torch import Tensor

from ipl_core import InputError, InvertConfig, InvertResult
from ipl_core.drawing.people_by_seed import SeedPerson, draw_people
from ipl_core.drawing.restyle import Restyler, restyle
from ipl_core.drawing.sampling import draw, draw_latents, seed_latents
from ipl_core.latents import lerp
from ipl_core.library import inversions, store
from ipl_core.library.find_or_run import crop_for, finished_inversion, inversion
from ipl_core.models import catalog
from ipl_core.pictures.faces import Crop, centre_quad
from ipl_core.pictures.media import read_settings, to_uint8
from ipl_core.storage.tensors import load_tensors, save_tensors

pytestmark = pytest.mark.usefixtures("studio", "read_in_process")
TINY = dict(preset="fast", starts=2, steps=2, tune_steps=2)


@pytest.fixture
def aligned() -> Tensor:
    """A picture to invert, uint8 (1, 32, 32, 3)."""
    return to_uint8(draw(catalog.load_generator("studio"), [3]))


def tiny(**settings: Any) -> InvertConfig:
    return InvertConfig(**{**TINY, **settings})


def same(one: inversions.Inverted, other: inversions.Inverted) -> bool:
    pairs = [(one.w_plus, other.w_plus), (one.aligned, other.aligned), (one.picture, other.picture)]
    pairs += list(zip(one.noise, other.noise)) + [(one.tuned[name], other.tuned[name]) for name in one.tuned]
    return one.tuned.keys() == other.tuned.keys() and all(torch.equal(a, b) for a, b in pairs)


# ----------------------------------------------------------------------------------------------------------------------


def test_saved_and_loaded_it_is_the_same(aligned: Tensor, tmp_path: Path) -> None:
    crop = Crop(centre_quad(40, 30), "centre", "The centre.")
    config = tiny(tune=True, noise=True)
    inverted = finished_inversion(config, aligned, "Ada", crop)
    written = inversions.save(inverted, tmp_path / "out")
    assert sorted(path.name for path in written.path.iterdir()) == sorted(inversions.FILES)
    for place in (written.path, written.path / inversions.INVERTED, inverted.path):
        again = inversions.load(place)
        assert same(inverted, again)
        assert (again.name, again.config, again.model) == ("Ada", config, "studio")
    settings = json.loads((written.path / "settings.json").read_text())
    assert settings["crop"]["method"] == "centre"
    assert settings["steps"] == {"latent": 2, "tuning": 2}
    assert settings["distances"].keys() == {"pixel", "perceptual"}
    assert -1 <= settings["identity"] <= 1.001
    assert len((written.path / "history.csv").read_text().splitlines()) == 5
    assert read_settings(written.path / "inverted.png")["name"] == "Ada"


def test_a_kept_picture_is_found_listed_and_deleted(aligned: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    assert inversions.find(tiny(), aligned) is None
    kept = finished_inversion(tiny(), aligned, "Ada Lovelace")
    assert kept.path.parent == inversions.people_folder()
    assert kept.path.name.startswith("ada-lovelace-")
    monkeypatch.setattr("ipl_core.library.find_or_run.invert", None)  # not made again
    assert same(finished_inversion(tiny(), aligned, "Ada"), kept)
    assert same(finished_inversion(tiny(tune_steps=9), aligned), kept)  # no part of it without tuning
    assert inversions.find(tiny(seed=1), aligned) is None
    assert inversions.find(tiny(), 255 - aligned) is None
    assert [one.path for one in inversions.list_people()] == [kept.path]
    assert same(inversions.open_person(kept.path.name), kept)
    for name in ("", "..", "../people", "nobody"):
        with pytest.raises(InputError, match="no inverted picture"):
            inversions.open_person(name)
    inversions.delete(kept)
    assert inversions.list_people() == []
    with pytest.raises(InputError, match="isn't in the folder"):
        inversions.delete(inversions.Inverted(**{**vars(kept), "path": Path("/tmp")}))


def test_a_list_says_what_the_pictures_are_without_reading_them(
    aligned: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = [finished_inversion(tiny(tune=tune), aligned, "Ada") for tune in (False, True)]
    monkeypatch.setattr(inversions, "load_tensors", None)
    listed = inversions.list_people()
    assert [one.title for one in listed] == [one.title for one in reversed(kept)]
    assert (listed[0].name, listed[0].model, listed[0].config) == ("Ada", "studio", tiny(tune=True))
    inversions.delete(listed[0])
    assert [one.path for one in inversions.list_people()] == [kept[0].path]


def test_keeping_a_picture_again_sweeps_and_replaces(aligned: Tensor, studio: Path) -> None:
    kept = finished_inversion(tiny(), aligned)
    left = studio / "people" / ".writing-abc"
    left.mkdir()
    os.utime(left, (0, 0))
    again = inversions.keep(kept)
    assert again.path == kept.path
    assert same(inversions.load(again.path), kept)
    assert list((studio / "people").iterdir()) == [kept.path]


def test_a_stopped_inversion_is_kept_but_not_found(aligned: Tensor) -> None:
    import threading

    stop = threading.Event()
    stop.set()
    kept = finished_inversion(tiny(), aligned, stop=stop)
    assert kept.settings["stopped"] == "asked"
    assert "stopped" in kept.title
    assert kept.path.name in {one.path.name for one in inversions.list_people()}
    assert inversions.find(tiny(), aligned) is None


def test_damage_is_said_and_left_out_of_the_list(aligned: Tensor) -> None:
    kept = finished_inversion(tiny(), aligned)
    file = kept.path / inversions.INVERTED
    whole = file.read_bytes()
    file.write_bytes(whole[:-8] + b"\1" * 8)
    with pytest.raises(InputError, match="damaged"):
        inversions.load(kept.path)
    assert inversions.find(tiny(), aligned) is None
    file.write_bytes(whole[:-8])
    assert inversions.list_people() == []
    file.write_bytes(whole)
    assert [one.path for one in inversions.list_people()] == [kept.path]
    (kept.path / inversions.ALIGNED_PICTURE).unlink()
    assert inversions.list_people() == []
    (kept.path / "settings.json").write_text("{}")
    with pytest.raises(InputError, match="isn't one of an inversion"):
        inversions.load(kept.path)
    with pytest.raises(InputError, match="no inverted picture in"):
        inversions.load(kept.path.parent / "nowhere")


def test_other_weights_of_the_model_are_refused(aligned: Tensor) -> None:
    kept = finished_inversion(tiny(), aligned)
    other = inversions.Inverted(**{**vars(kept), "settings": {**kept.settings, "model_sha256": "0"}})
    with pytest.raises(InputError, match="other weights of the model “studio”"):
        Restyler(other)


def test_the_crop_follows_what_the_model_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import Image

    from ipl_core.pictures import faces

    picture = Image.new("RGB", (200, 160))
    found = faces.Face((80, 60), (120, 60), (100, 100), (60, 40, 80, 80), 0.9, "network")
    monkeypatch.setattr(faces, "find_faces", lambda picture: [found])
    plain = faces.choose_crop(picture, "auto")
    facts = catalog.registry()
    facts["generators"]["studio"] |= {"framing": {"zoom": 0.5, "down": 0.25}, "encoder": ""}
    monkeypatch.setattr(catalog, "registry", lambda: facts)
    framed = crop_for("studio", picture)
    assert framed.side == pytest.approx(2 * plain.side)
    assert framed.quad == plain.moved(down=0.25, zoom=0.5).quad
    assert crop_for("studio", picture, "center").quad == centre_quad(200, 160)
    facts["generators"]["studio"]["faces"] = False
    assert crop_for("studio", picture).quad == centre_quad(200, 160)
    assert "draws no faces" in crop_for("studio", picture).note


# ----------------------------------------------------------------------------------------------------------------------
# Drawn again


def test_strength_0_is_the_source_and_1_the_adapted_generator(aligned: Tensor) -> None:
    kept = finished_inversion(tiny(), aligned)
    entry = entry_of("zombie", 0.3)
    source, adapted = catalog.load_generator("studio"), catalog.load_adapted(entry.path)
    assert torch.equal(restyle(kept, entry, 0.0), draw_latents(source, kept.w_plus))
    assert torch.equal(restyle(kept, entry), draw_latents(adapted, kept.w_plus))
    assert torch.equal(Restyler(kept).draw(), draw_latents(source, kept.w_plus))
    half = restyle(kept, entry, 0.5)
    assert not torch.equal(half, restyle(kept, entry, 0.0))
    assert not torch.equal(half, restyle(kept, entry, 1.0))


def test_tuned_weights_and_the_domains_change_add_up(aligned: Tensor) -> None:
    kept = finished_inversion(tiny(tune=True, noise=True), aligned)
    entry = entry_of("zombie", 0.3)
    source = catalog.load_generator("studio")
    tuned = kept.generator(source)
    assert tuned is not source
    expected = draw_latents(tuned, kept.w_plus, noise=kept.noise)
    assert torch.equal(to_uint8(expected), kept.picture)
    assert torch.allclose(restyle(kept, entry, 0.0), expected, atol=1e-6)
    for name in source.layer_parameters(2):
        tuned.get_parameter(name).add_(0.3)
    assert torch.allclose(restyle(kept, entry), draw_latents(tuned, kept.w_plus, noise=kept.noise), atol=1e-5)


def test_two_domains_mix_by_their_weights(aligned: Tensor) -> None:
    kept = finished_inversion(tiny(), aligned)
    one, other, both = entry_of("zombie", 0.3), entry_of("mosaic", -0.1), entry_of("neon", 0.1)
    restyler = Restyler(kept)
    mixed = restyler.draw([(one, 0.5), (other, 0.5)])
    assert torch.allclose(mixed, restyler.draw([(both, 1.0)]), atol=1e-5)
    assert torch.equal(restyler.draw([(one, 1.0), (other, 0.0)]), restyler.draw([(one, 1.0)]))
    source = catalog.load_generator("studio").state_dict()
    assert all(torch.equal(tensor, source[name]) for name, tensor in restyler.mixer.source.state_dict().items())


def test_what_cannot_be_restyled_is_said(aligned: Tensor) -> None:
    kept = finished_inversion(tiny(), aligned)
    entry = entry_of("zombie", 0.3)
    for strength in (-0.1, 2.5, float("nan")):
        with pytest.raises(InputError, match="from 0 to 2"):
            restyle(kept, entry, strength)
    foreign = store.Entry(entry.path, {**entry.settings, "model_sha256": "0"})
    with pytest.raises(InputError, match="adapted from another model"):
        restyle(kept, foreign)


def test_a_person_by_seed_is_kept_as_one_whose_latent_is_known() -> None:
    source = catalog.load_generator("studio")
    person = SeedPerson("studio", 4, 0.5, fine=9, crossover=3)
    kept = inversions.keep(inversions.drawn_person(person, source))
    assert inversions.keep(inversions.drawn_person(person, source)).path == kept.path
    assert [other.title for other in inversions.list_people()] == [kept.title]
    loaded = inversions.open_person(kept.path.name)
    assert (loaded.name, loaded.settings["drawn"]) == ("seed 4 with fine layers of 9", str(person))
    assert loaded.fits(source)
    assert torch.equal(to_uint8(Restyler(loaded).draw()), to_uint8(draw_people(source, [person])))
    again = inversions.read_latent(kept.path / inversions.INVERTED)
    assert torch.equal(again.w_plus, loaded.w_plus)


def test_an_inverted_picture_meets_seeds_in_w_plus(aligned: Tensor) -> None:
    kept = finished_inversion(tiny(), aligned)
    generator = catalog.load_generator("studio")
    seeds = seed_latents(generator, [0, 1], psi=0.7)
    assert seeds.shape == (2, *kept.w_plus.shape[1:])
    assert torch.allclose(draw_latents(generator, seeds), draw(generator, [0, 1], psi=0.7), atol=1e-6)
    way = torch.cat([lerp(kept.w_plus, seeds[:1], t) for t in (0.0, 0.5, 1.0)])
    pictures = draw_latents(generator, way)
    assert torch.allclose(pictures[:1], draw_latents(generator, kept.w_plus), atol=1e-5)
    mean = draw_latents(generator, kept.w_plus, psi=0.0)
    assert torch.allclose(mean, draw(generator, [0], psi=0.0), atol=1e-5)


# ----------------------------------------------------------------------------------------------------------------------
# A latent's file by itself


@pytest.fixture
def lone(aligned: Tensor, tmp_path: Path) -> Path:
    """The latent of a tuned inversion with noise, away from its folder."""
    inverted = finished_inversion(tiny(tune=True, noise=True), aligned, "Ada")
    return inverted.path.joinpath(inversions.INVERTED).rename(tmp_path / "me.safetensors")


def changed(lone: Path, tensors: dict[str, Any] | None = None, **settings: Any) -> Path:
    """The file with some of its tensors and of its settings replaced; None takes a tensor away."""
    own, description = load_tensors(lone)
    own = {name: tensor for name, tensor in {**own, **(tensors or {})}.items() if tensor is not None}
    description["settings"] = json.dumps({**json.loads(description["settings"]), **settings})
    path = lone.with_name("changed.safetensors")
    save_tensors(own, path, description)
    return path


def test_a_lone_latent_is_the_person(lone: Path, aligned: Tensor) -> None:
    found = inversions.read_latent(lone)
    assert (found.name, found.config, found.path) == ("Ada", tiny(tune=True, noise=True), None)
    assert torch.equal(found.aligned, aligned)
    kept = inversions.keep(found)
    assert same(inversions.load(kept.path), found)
    assert inversions.keep(inversions.read_latent(lone)).path == kept.path
    assert Restyler(kept).draw().isfinite().all()
    assert inversions.find(tiny(tune=True, noise=True), aligned) is None, "a file stands in for an inversion made here"


def test_a_lone_latent_says_nothing_about_folders(lone: Path) -> None:
    kept = inversions.keep(inversions.read_latent(changed(lone, key="../../../x", name="../" + "long " * 99)))
    assert kept.path.parent == inversions.people_folder()
    assert len(kept.name) == 60


@pytest.mark.parametrize(
    ("tensors", "settings"),
    [
        ({"w_plus": torch.zeros(1, 3, 16)}, {}),
        ({"w_plus": torch.full((1, 8, 16), torch.nan)}, {}),
        ({"w_plus": None}, {}),
        ({"noise.0": torch.zeros(1, 1, 3, 3)}, {}),
        ({"tuned.synthesis.nothing": torch.zeros(1)}, {}),
        ({"aligned": torch.zeros(1, 9, 9, 3, dtype=torch.uint8)}, {}),
        ({}, {"format": "something else"}),
        ({}, {"stopped": "<b>"}),
        ({}, {"distances": {"pixel": "near"}}),
        ({}, {"created": "yesterday"}),
        ({}, {"model_sha256": None}),
    ],
)
def test_what_is_no_latent_is_refused(lone: Path, tensors: dict[str, Any], settings: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"“changed\.safetensors” isn't the latent"):
        inversions.read_latent(changed(lone, tensors, **settings))


def test_a_latent_of_a_model_that_is_not_here_is_refused(lone: Path, tmp_path: Path) -> None:
    for model in ("/etc/passwd", "ffhq-1024", "nothing"):
        config = {**tiny().to_dict(), "model": model}
        with pytest.raises(InputError, match="isn't here"):
            inversions.read_latent(changed(lone, config=config))
    with pytest.raises(InputError, match="other weights"):
        inversions.read_latent(changed(lone, model_sha256="0" * 64))
    other = tmp_path / "other.safetensors"
    save_tensors({"weight": torch.zeros(2)}, other)
    with pytest.raises(InputError, match="isn't the latent"):
        inversions.read_latent(other)
    with pytest.raises(InputError, match=r"can't be read|newer version"):
        inversions.read_latent(changed(lone, version=99))


def test_an_inversion_that_is_left_keeps_nothing(aligned: Tensor) -> None:
    updates = inversion(tiny(steps=50), aligned, "Ada")
    assert next(updates).phase == "latent"
    updates.close()
    assert inversions.list_people() == []
    *steps, result, last = inversion(tiny(), aligned, "Ada")
    assert [step.phase for step in steps] == ["latent", "latent"]
    assert isinstance(result, InvertResult)
    assert same(last, inversions.load(inversions.list_people()[0].path))
    (again,) = inversion(tiny(), aligned, "Ada")
    assert same(again, last)
