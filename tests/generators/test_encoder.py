"""Encoders: what they say of themselves is checked, the published files give the reference's numbers, and inversion
starts where they guess."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from fakes import foreign_files as foreign
from torch import Tensor

from ipl_core import InputError, InvertConfig, invert
from ipl_core.drawing.sampling import draw, seed_latents
from ipl_core.generators.encoder import EncoderConfig, PictureEncoder, load_encoder, save_encoder
from ipl_core.generators.stylegan2.ops import LEAKY_SLOPE
from ipl_core.library import inversions
from ipl_core.library.find_or_run import finished_inversion
from ipl_core.models import catalog
from ipl_core.pictures.media import to_uint8
from ipl_core.storage.tensors import load_tensors, save_tensors
from ipl_core.studio.training.generator import GENERATOR

# What omertov/encoder4editing computed on the CPU with the weights of the recipe, of the pictures "e4e.pictures",
# plus the mean latent: values [0, ::2, ::7] of the w_plus.
GOLDEN = {
    "Encoder4Editing": [
        10.154688, -17.837009, 10.810802, -7.475036, 13.835128, 9.942795, -24.221308, 21.77813, -5.546032,
        8.352489, 8.921021, -54.736752, -12.404631, -6.112019, 11.479013, 1.48757, -26.07564, 10.258141, -25.594938,
        15.745806, 6.060382, -12.451212, 8.060834, 8.732216, -9.925841,
    ],
    "GradualStyleEncoder": [
        10.154688, -17.837009, 10.810802, -7.475036, 13.835128, 0.55286, -5.654072, 11.005252, 1.804882,
        -2.55698, -0.468913, -36.169518, -23.177507, 1.238895, 0.569545, -7.902363, -7.508403, -0.514737, -18.244024,
        4.836338, -3.329552, 6.116024, -2.712043, 16.08313, -20.83531,
    ],
}  # fmt: skip
SHAPE = EncoderConfig(rows=8, w_dim=16, resolution=32, widths=(4, 8), features=8)


def guesser_of(w: Tensor, path: Path, sha256: str | None) -> Path:
    """An encoder's file that guesses w (1, w_dim) of every picture."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        encoder = PictureEncoder(SHAPE)
    for layer in (encoder.shared, encoder.offsets):
        torch.nn.init.zeros_(layer.weight)
        torch.nn.init.zeros_(layer.bias)
    encoder.mean.copy_(torch.nn.functional.leaky_relu(w[0], 1 / LEAKY_SLOPE))
    save_encoder(encoder, path, {} if sha256 is None else {"generator_sha256": sha256})
    return path


@pytest.fixture
def known(studio: Path, tiny_pretrained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An encoder that guesses the latent of seed 11, in the registry as the model “studio”'s own."""
    w = seed_latents(catalog.load_generator("studio"), [11])[:, 0]
    path = guesser_of(w, tmp_path / "encoder.safetensors", catalog.generator_digest("studio"))
    facts = json.loads((tiny_pretrained / "registry.json").read_text())
    facts["generators"]["studio"]["encoder"] = "studio"
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    facts["encoders"] = {"studio": {"file": str(path), "sha256": digest, "licence": "made by tests"}}
    monkeypatch.setattr(catalog, "registry", lambda: facts)
    return path


def first_loss(picture: Tensor, **settings: Any) -> float:
    config = InvertConfig(**{"preset": "fast", "starts": 4, "steps": 2, **settings})
    return next(iter(invert(config, picture))).losses["pixel"]


# ----------------------------------------------------------------------------------------------------------------------
# Files


def test_the_embedded_shape_is_small(tmp_path: Path) -> None:
    encoder = PictureEncoder(EncoderConfig(GENERATOR.num_layers, GENERATOR.w_dim)).eval()
    assert sum(parameter.numel() for parameter in encoder.parameters()) <= 2_000_000
    save_encoder(encoder, tmp_path / "a.safetensors", {})
    assert (tmp_path / "a.safetensors").stat().st_size <= 4_000_000
    pictures = torch.rand(2, 3, 128, 128, generator=torch.Generator().manual_seed(0)) * 2 - 1
    loaded = load_encoder(tmp_path / "a.safetensors")
    assert (loaded.rows, loaded.w_dim) == (12, 160)
    guess, expected = loaded(pictures), encoder(pictures).detach()
    assert guess.shape == (2, 12, 160)
    assert torch.allclose(guess, expected, atol=0.02 * float(expected.abs().max()))


def test_files_that_are_no_encoder_are_refused(tmp_path: Path) -> None:
    path = guesser_of(torch.zeros(1, 16), tmp_path / "a.safetensors", None)
    tensors, description = load_tensors(path)
    other = tmp_path / "b.safetensors"
    for changed, facts, said in (
        ({}, {"kind": "judge"}, "holds no encoder"),
        ({}, {"config": {"rows": 8}}, "can't be used"),
        ({}, {"config": {**description["config"], "rows": 9}}, "don't fit its description: offsets"),
        ({"stem.weight": torch.full((4, 3, 3, 3), torch.nan)}, {}, "not finite"),
        ({"more": torch.zeros(1)}, {}, "don't fit its description: more"),
    ):
        save_tensors({**tensors, **changed}, other, {**description, **facts})
        with pytest.raises(InputError, match=said):
            load_encoder(other)
    other.write_bytes(b"nothing of the kind")
    with pytest.raises(InputError, match="can't be read"):
        load_encoder(other)


@pytest.mark.parametrize("kind", GOLDEN)
@pytest.mark.parametrize("zipped", [True, False])
def test_the_published_encoders_guess_as_the_reference_does(tmp_path: Path, kind: str, zipped: bool) -> None:
    path = tmp_path / "e4e.pt"
    torch.save(foreign.e4e_contents(kind), path, _use_new_zipfile_serialization=zipped)
    encoder = load_encoder(path)
    assert (encoder.rows, encoder.w_dim, encoder.generator_sha256) == (9, 32, None)
    pictures = foreign.recipe((2, 3, 256, 256), "e4e.pictures").clamp(-2, 2) / 2
    guess = encoder(pictures[:1])
    torch.testing.assert_close(guess[0, ::2, ::7].flatten(), torch.tensor(GOLDEN[kind]), rtol=0, atol=1e-3)


@pytest.mark.usefixtures("read_in_process")
def test_published_files_that_cannot_be_used_are_refused(tmp_path: Path) -> None:
    whole = foreign.e4e_contents()
    state, path = whole["state_dict"], tmp_path / "e4e.pt"
    nan = torch.full((32, 32), torch.nan)

    def without(name: str) -> dict[str, Tensor]:
        return {key: tensor for key, tensor in state.items() if key != f"encoder.{name}"}

    for changes, said in (
        ({"state_dict": {"decoder.input": torch.zeros(1)}}, "holds no encoder of e4e or pSp"),
        ({"opts": {"encoder_type": "SingleStyleCodeEncoder"}}, "SingleStyleCodeEncoder"),
        ({"state_dict": without("latlayer1.weight")}, "latlayer1.weight is missing"),
        ({"state_dict": without("body.23.res_layer.4.weight")}, "impossible form"),
        ({"state_dict": {**state, "encoder.body.24.weight": torch.zeros(1)}}, "of an unknown kind: body.24"),
        ({"state_dict": {**state, "encoder.styles.3.linear.weight": nan}}, "not finite"),
        ({"state_dict": {**state, "encoder.latlayer1.weight": torch.zeros(3)}}, "has the shape"),
        ({"latent_avg": torch.zeros(7)}, "mean latent"),
    ):
        torch.save({**whole, **changes}, path)
        with pytest.raises(InputError, match=said):
            load_encoder(path)
    torch.save({**whole, "opts": {"start_from_latent_avg": False}}, path)
    assert torch.equal(load_encoder(path).network.mean, torch.zeros(1, 32))


# ----------------------------------------------------------------------------------------------------------------------
# As a start


def test_an_inversion_starts_at_the_models_own_encoder(known: Path) -> None:
    picture = draw(catalog.load_generator("studio"), [11])
    near, far = first_loss(picture), first_loss(picture, start="random")
    assert near == first_loss(picture, start="encoder", encoder=str(known))
    assert near < 0.5 * far
    assert first_loss(picture, start="mean") == first_loss(picture, start="random", starts=0) > 1.5 * near
    with pytest.raises(InputError, match="leave the encoder out"):
        InvertConfig(start="mean", encoder="studio")


def test_where_it_began_is_recorded_and_part_of_its_identity(known: Path) -> None:
    aligned = to_uint8(draw(catalog.load_generator("studio"), [11]))
    few = dict(preset="fast", starts=4, steps=1)
    guessed, random = (finished_inversion(InvertConfig(**few, start=start), aligned) for start in ("auto", "random"))
    digest = hashlib.sha256(known.read_bytes()).hexdigest()
    facts = ("start", "encoder", "encoder_sha256")
    assert [guessed.settings[fact] for fact in facts] == ["encoder", "studio", digest]
    assert [random.settings[fact] for fact in facts] == ["random", None, None]
    assert guessed.settings["key"] != random.settings["key"]
    assert inversions.find(InvertConfig(**few, start="encoder", encoder=str(known)), aligned).path == guessed.path
    assert "guess of the encoder “studio”" in inversions.start_words(InvertConfig())
    assert "best of 128 random" in inversions.start_words(InvertConfig(start="random"))
    assert "the mean latent" in inversions.start_words(InvertConfig(start="mean"))


@pytest.mark.usefixtures("studio")
def test_without_an_encoder_the_start_is_random_unless_one_is_asked_for() -> None:
    assert catalog.starting_encoder("studio") is None
    assert inversions.start_of(InvertConfig())["start"] == "random"
    with pytest.raises(InputError, match="No encoder is known for the model “studio”"):
        catalog.starting_encoder("studio", "encoder")
    with pytest.raises(InputError, match="no encoder “nothing”"):
        inversions.start_of(InvertConfig(encoder="nothing"))
    # One of the hub is large: it is used where it is here, and else only when asked for.
    assert catalog.generators()["ffhq-1024"].encoder == "e4e-ffhq"
    assert catalog.starting_encoder("ffhq-1024") is None
    assert catalog.starting_encoder("ffhq-1024", "encoder") == "e4e-ffhq"
    assert "to fetch" in catalog.where(catalog.encoders()["e4e-ffhq"])


@pytest.mark.usefixtures("studio")
def test_an_encoder_of_another_generator_is_refused(tmp_path: Path) -> None:
    shape = catalog.load_generator("studio").config
    other = guesser_of(torch.zeros(1, 16), tmp_path / "other.safetensors", "0" * 64)
    with pytest.raises(InputError, match="trained for other weights than those of the model “studio”"):
        catalog.load_encoder(str(other), "studio", shape)
    published = tmp_path / "e4e.pt"
    torch.save(foreign.e4e_contents(), published)
    with pytest.raises(InputError, match="9 rows of 32 numbers, but the model “studio” has 8 of 16"):
        catalog.load_encoder(str(published), "studio", shape)


def test_a_changed_file_is_refused(known: Path) -> None:
    known.write_bytes(known.read_bytes() + b" ")
    with pytest.raises(InputError, match="isn't the file it should be"):
        catalog.find_encoder("studio")


def test_committed_encoders_fit_their_generators() -> None:
    for model, entry in catalog.generators().items():
        if entry.file is not None and entry.encoder:
            shape = catalog.load_generator(model).config
            assert catalog.load_encoder(entry.encoder, model, shape).rows == shape.num_layers
