"""Arrays in, arrays out: what `render` promises to whoever checks a generator, and `convert`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fakes import foreign_files as foreign
from fakes.refusals import refusal

from ipl_core.commands.main import main
from ipl_core.devices import choose_device
from ipl_core.models.catalog import load_generator

pytestmark = pytest.mark.usefixtures("studio")
LAYERS = 8  # of the tiny generator, 32×32 with z and w of 16 numbers


@pytest.fixture
def latents(rng: torch.Generator) -> torch.Tensor:
    return torch.randn(3, 16, generator=rng)


def rendered(tmp_path: Path, array: Any, *words: str, model: str = "studio") -> np.ndarray:
    np.save(tmp_path / "in.npy", array)
    out = tmp_path / "out.npy"
    request = ["render", "--model", model, "--latents", str(tmp_path / "in.npy"), "--out", str(out), *words]
    assert main(request) == 0
    images = np.load(out, allow_pickle=False)
    assert images.dtype == np.float32
    return images


@torch.no_grad()
def test_all_spaces_draw_what_the_generator_draws(tmp_path: Path, latents: torch.Tensor) -> None:
    generator = load_generator("studio")
    w = generator.mapping(latents)
    w_plus = generator.to_w_plus(w) + torch.linspace(0, 0.5, LAYERS)[:, None]
    for space, array, expected in (
        ("z", latents, generator(latents)),
        ("w", w, generator.synthesis(w)),
        ("w+", w_plus, generator.synthesis(w_plus)),
    ):
        images = rendered(tmp_path, array.numpy(), "--space", space)
        assert images.shape == (3, 3, 32, 32)
        np.testing.assert_allclose(images, expected.numpy(), atol=1e-5)
    half = rendered(tmp_path, latents.numpy(), "--space", "z", "--psi", "0.7")
    np.testing.assert_allclose(half, generator(latents, psi=0.7).numpy(), atol=1e-5)
    mean = rendered(tmp_path, w_plus.numpy(), "--space", "w+", "--psi", "0")
    np.testing.assert_allclose(mean[0], mean[2], atol=1e-5)
    assert np.abs(rendered(tmp_path, 30 * latents.numpy(), "--space", "w")).max() > 1  # nothing is clipped


def test_many_latents_go_through_in_batches_and_other_types_are_read(
    tmp_path: Path, latents: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = rendered(tmp_path, latents.numpy(), "--space", "z")
    monkeypatch.setattr("ipl_core.memory.PIXELS_AT_ONCE", 1)
    np.testing.assert_allclose(rendered(tmp_path, latents.double().numpy(), "--space", "z"), usual, atol=1e-5)
    fortran = np.asfortranarray(latents.numpy())
    np.testing.assert_allclose(rendered(tmp_path, fortran, "--space", "z"), usual, atol=1e-5)


def test_files_of_every_format_draw_the_same(tmp_path: Path, latents: torch.Tensor) -> None:
    expected = rendered(tmp_path, latents.numpy(), "--space", "z", "--psi", "0.7")
    for name in ("a.pt", "a.safetensors"):
        assert main(["convert", "studio", "--out", str(tmp_path / name)]) == 0
        images = rendered(tmp_path, latents.numpy(), "--space", "z", "--psi", "0.7", model=str(tmp_path / name))
        assert np.array_equal(images, expected)
    generator = foreign.nvidia_generator({4: 6, 8: 4}, z_dim=16, clamp=256)
    path = foreign.write_nvidia(tmp_path / "network.pkl", {"G_ema": generator})
    images = rendered(tmp_path, latents.numpy(), "--space", "z", model=str(path))
    assert main(["convert", str(path), "--out", str(tmp_path / "b.safetensors")]) == 0
    again = rendered(tmp_path, latents.numpy(), "--space", "z", model=str(tmp_path / "b.safetensors"))
    assert np.array_equal(images, again)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_one_array_in_an_archive_is_the_latents(tmp_path: Path, latents: torch.Tensor, save: Any) -> None:
    expected = rendered(tmp_path, latents.numpy(), "--space", "z")
    save(tmp_path / "w.npz", latents=latents.numpy())
    request = ["render", "--model", "studio", "--latents", str(tmp_path / "w.npz"), "--space", "z"]
    assert main([*request, "--out", str(tmp_path / "out.npy")]) == 0
    assert np.array_equal(np.load(tmp_path / "out.npy"), expected)


def test_an_archive_that_unpacks_without_end_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("ipl_core.drawing.rendering.MAX_LATENT_BYTES", 2**20)
    np.savez_compressed(tmp_path / "big.npz", np.zeros((20_000, 16), np.float32))
    request = ["render", "--model", "studio", "--latents", str(tmp_path / "big.npz"), "--space", "z"]
    assert "more than 1 MB" in refusal([*request, "--out", str(tmp_path / "out.npy")], capsys)


def test_the_device_is_chosen_and_the_reason_said(
    tmp_path: Path, latents: torch.Tensor, capsys: pytest.CaptureFixture[str]
) -> None:
    device, why = choose_device()
    rendered(tmp_path, latents.numpy(), "--space", "z", "--device", "auto")
    assert f"Device: {device} ({why})." in capsys.readouterr().err


def _npy(array: Any) -> Any:
    return lambda path: np.save(path, array)


GOOD = np.zeros((2, 16), np.float32)


@pytest.mark.parametrize(
    ("write", "words", "said"),
    [
        (_npy(np.zeros((2, 15), np.float32)), [], "have the shape (B, 16) for this generator, but those of"),
        (_npy(np.zeros(16, np.float32)), [], "(16,)"),
        (_npy(np.zeros((0, 16), np.float32)), [], "in.npy"),
        (_npy(np.zeros((2, 7, 16), np.float32)), ["--space", "w+"], "(B, 8, 16)"),
        (_npy(GOOD), ["--space", "w+"], "(2, 16)"),
        (_npy(np.full((2, 16), np.nan, np.float32)), [], "not finite"),
        (_npy(np.full((2, 16), 1e300)), [], "too large for float32"),
        (_npy(GOOD.astype(complex)), [], "complex128"),
        (_npy(np.array([["a"] * 16])), [], "real numbers"),
        (_npy(np.array([{"a": 1}], dtype=object)), [], "can't be read as a NumPy array"),
        (lambda path: path.write_bytes(b""), [], "can't be read as a NumPy array"),
        (lambda path: path.write_bytes(b"\x93NUMPY\x01\x00"), [], "can't be read as a NumPy array"),
        (lambda path: path.write_text("1 2 3"), [], "can't be read as a NumPy array"),
        (lambda path: None, [], "There is no file"),
        (lambda path: path.mkdir(), [], "There is no file"),
        (lambda path: np.savez(path.open("wb"), GOOD, w=GOOD), [], "several arrays (“w”, “arr_0”)"),
        (lambda path: np.savez(path.open("wb")), [], "no array"),
        (lambda path: np.savez(path.open("wb"), np.array([{}], dtype=object)), [], "can't be read as a NumPy array"),
        (lambda path: path.write_bytes(b"PK\x03\x04 and no more"), [], "can't be read as a NumPy array"),
        (_npy(GOOD), ["--psi", "2"], "from 0 to 1.5, not 2"),
        (_npy(GOOD), ["--psi", "nan"], "not nan"),
        (_npy(GOOD), ["--psi", "much"], "'much' is not a number"),
        (_npy(GOOD), ["--space", "s"], "invalid choice: 's'"),
        (_npy(GOOD), ["--model", "nothing"], "no model “nothing”"),
        (_npy(GOOD), ["--device", "cuda:99"], "cuda:99"),
        (_npy(GOOD), ["--out", "images.png"], "ending in .npy"),
    ],
)
def test_bad_input_is_one_sentence_and_status_2(
    tmp_path: Path, write: Any, words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    latents, out = tmp_path / "in.npy", tmp_path / "out.npy"
    write(latents)
    request = ["render", "--model", "studio", "--space", "z", "--latents", str(latents), "--out", str(out), *words]
    try:
        status = main(request)
    except SystemExit as ended:
        status = ended.code
    error = capsys.readouterr().err.strip()
    assert status == 2
    assert said in error
    assert len(error.splitlines()) == 1
    assert not out.exists()


def test_a_header_that_claims_more_than_there_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(tmp_path / "in.npy", GOOD)
    raw = (tmp_path / "in.npy").read_bytes()
    (tmp_path / "in.npy").write_bytes(raw.replace(b"(2, 16)", b"(2000000000, 16)").replace(b" " * 9 + b"\n", b"\n"))
    request = ["render", "--model", "studio", "--space", "z", "--latents", str(tmp_path / "in.npy")]
    assert main([*request, "--out", str(tmp_path / "out.npy")]) == 2
    assert "can't be read as a NumPy array" in capsys.readouterr().err


def test_nothing_is_left_where_nothing_can_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(tmp_path / "in.npy", GOOD)
    (tmp_path / "file").write_text("")
    request = ["render", "--model", "studio", "--space", "z", "--latents", str(tmp_path / "in.npy")]
    assert main([*request, "--out", str(tmp_path / "file" / "out.npy")]) == 2
    assert "Nothing can be written to the folder" in capsys.readouterr().err
