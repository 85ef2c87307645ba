"""Files of diffusion models: released checkpoints are read for their average alone, bad and hostile ones refused, and
what is written back in half precision is the same model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from fakes import diffae_oracle as oracle
from fakes import foreign_files as foreign
from torch import Tensor

from ipl_core.errors import InputError
from ipl_core.generators.diffusion import released
from ipl_core.generators.diffusion.files import KIND, save_diffusion
from ipl_core.generators.diffusion.model import DiffusionAutoencoder
from ipl_core.generators.diffusion.released import released_config
from ipl_core.generators.files import load_generator, write_generator
from ipl_core.storage.tensors import load_tensors, read_metadata, save_tensors

pytestmark = pytest.mark.usefixtures("read_in_process")

SIDE, WIDTHS, ENCODER = 32, (32, 32, 64), (32, 32, 64, 64)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small size beside the released ones, of the same layout."""
    monkeypatch.setitem(released._WIDTHS, SIDE, (WIDTHS, ENCODER))


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    """Weights of the recipe for that size, with codes of 512 numbers."""
    return oracle.state_of(oracle.shapes(WIDTHS, ENCODER, SIDE))


@pytest.fixture(scope="module")
def with_latents(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same with a latent net."""
    return {**state, **oracle.state_of(latent_shapes())}


def latent_shapes() -> dict[str, tuple[int, ...]]:
    found = oracle.shapes(WIDTHS, ENCODER, SIDE, latent=(2048, 10))
    return {name: shape for name, shape in found.items() if name.startswith("latent_net.")}


def statistics() -> dict[str, Tensor]:
    """Mean and spread of codes, as a latent checkpoint and latent.pkl hold them."""
    return {"conds_mean": foreign.recipe((1, 512), "mean"), "conds_std": 1 + foreign.recipe((1, 512), "std").abs()}


def codes_beside(folder: Path, **more: Any) -> None:
    torch.save({"conds": foreign.recipe((3, 512), "conds"), **statistics(), **more}, folder / "latent.pkl")


def test_a_checkpoint_is_read_for_its_average_and_written_back_in_half_the_size(
    tmp_path: Path, state: dict[str, Tensor]
) -> None:
    path = oracle.checkpoint(tmp_path / "last.ckpt", state, SIDE)
    loaded = load_generator(path)
    assert isinstance(loaded, DiffusionAutoencoder)
    assert not loaded.training
    assert loaded.config == released_config(SIDE)
    for theirs, ours in released.released_names(loaded):
        assert torch.equal(loaded.state_dict()[ours], state[theirs]), theirs
    (constant,) = loaded.synthesis.noise.buffers()
    assert torch.equal(constant, foreign.recipe((32, 3, SIDE, SIDE), "x_T")[:1])
    assert not loaded.w_avg.any()

    seen, noise = foreign.recipe((1, 3, SIDE, SIDE), "seen") * 0.3, foreign.recipe((1, 3, SIDE, SIDE), "noise")
    plain = oracle.Oracle(state)
    with torch.no_grad():
        code = loaded.encoder(seen)
        torch.testing.assert_close(code, plain.encoder(seen), rtol=1e-4, atol=1e-4)
        found = loaded.synthesis.unet(noise, torch.tensor([420]), code)
        torch.testing.assert_close(found, plain.noise(noise, 420, code), rtol=1e-4, atol=1e-4)
    with pytest.raises(InputError, match="its latent net is missing"):
        loaded(torch.zeros(1, 512))

    target = tmp_path / "model.safetensors"
    write_generator(loaded, target, {"licence": "MIT"})
    parameters = sum(tensor.numel() for tensor in loaded.state_dict().values())
    assert target.stat().st_size < 2 * parameters + 100_000
    assert (read_metadata(target)["kind"], read_metadata(target)["licence"]) == (KIND, "MIT")
    again = load_generator(target)
    assert again.config == loaded.config  # ᾱ to the last digit
    for name, tensor in again.state_dict().items():
        assert tensor.dtype == torch.float32
        assert torch.equal(tensor, loaded.state_dict()[name].half().float()), name
    with pytest.raises(InputError, match=r"written as \.safetensors: name such a file, not model\.pt"):
        write_generator(loaded, tmp_path / "model.pt")


@pytest.mark.parametrize("beside", [True, False])
def test_a_latent_net_is_read_with_the_spread_of_codes(
    tmp_path: Path, with_latents: dict[str, Tensor], beside: bool
) -> None:
    if beside:
        codes_beside(tmp_path)
    path = oracle.checkpoint(tmp_path / "last.ckpt", with_latents, SIDE, **({} if beside else statistics()))
    loaded = load_generator(path)
    z = foreign.recipe((1, 512), "z")
    with torch.no_grad():
        found = loaded.mapping.net(z, torch.tensor([300]))
        torch.testing.assert_close(found, oracle.Oracle(with_latents).latent(z, 300), rtol=1e-4, atol=1e-4)
        w = loaded.mapping(z)
    mean, std = (value[0] for value in statistics().values())
    assert torch.equal(loaded.w_avg, mean)
    drawn = oracle.ddim(
        oracle.Oracle({name: t.double() for name, t in with_latents.items()}).latent,
        *(z.double(), 50, False, [0.008] * 1000, False),
    )
    torch.testing.assert_close(w, (drawn * std + mean).float(), rtol=1e-2, atol=1e-2)


def test_the_mean_of_codes_beside_a_model_without_a_latent_net_is_taken(
    tmp_path: Path, state: dict[str, Tensor]
) -> None:
    codes_beside(tmp_path)
    assert torch.equal(
        load_generator(oracle.checkpoint(tmp_path / "last.ckpt", state, SIDE)).w_avg, statistics()["conds_mean"][0]
    )


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (
            {"ema_model.out.0.bias": torch.full((32,), torch.nan)},
            r"out\.0\.bias in it holds values that are not finite",
        ),
        ({"ema_model.out.0.bias": torch.zeros(31)}, r"out\.0\.bias in it has the shape \(31,\)"),
        ({"ema_model.out.0.bias": None}, r"missing out\.0\.bias; unknown none"),
        ({"ema_model.out.0.bias": "zeros"}, r"out\.0\.bias in it is no tensor"),
        ({"ema_model.head.weight": torch.zeros(3)}, r"unknown head\.weight"),
        ({"ema_model.input_blocks.9.0.bias": torch.zeros(3)}, "32×32 pixels; those of"),
        ({"x_T": torch.zeros(2, 3, 64, 64)}, "x_T in it isn't noise for pictures of 32 pixels"),
        ({"x_T": torch.full((1, 3, SIDE, SIDE), torch.inf)}, "x_T in it holds values that are not finite"),
    ],
)
def test_a_checkpoint_that_does_not_fit_gets_a_sentence(
    tmp_path: Path, state: dict[str, Tensor], more: dict[str, Any], says: str
) -> None:
    with pytest.raises(InputError, match=says):
        load_generator(oracle.checkpoint(tmp_path / "last.ckpt", state, SIDE, **more))


def test_a_model_of_another_size_gets_a_sentence(tmp_path: Path) -> None:
    other = oracle.state_of(oracle.shapes((32, 32, 32, 64), (32, 64), 64))
    with pytest.raises(InputError, match="of 64×64 pixels; those of 128 and 256 and 32 pixels are read"):
        load_generator(oracle.checkpoint(tmp_path / "last.ckpt", other, 64))


def test_a_latent_net_without_the_spread_of_codes_gets_a_sentence(
    tmp_path: Path, with_latents: dict[str, Tensor]
) -> None:
    path = oracle.checkpoint(tmp_path / "last.ckpt", with_latents, SIDE)
    with pytest.raises(InputError, match=r"latent\.pkl isn't beside it"):
        load_generator(path)
    for value, says in ((torch.zeros(1, 7), "no row of 512 numbers"), (torch.full((512,), torch.nan), "not finite")):
        codes_beside(tmp_path, conds_std=value)
        path.touch()
        with pytest.raises(InputError, match=says):
            load_generator(path)


def test_a_latent_net_whose_shared_tensor_is_two_is_refused(tmp_path: Path, with_latents: dict[str, Tensor]) -> None:
    name = "latent_net.layers.3.linear_emb.bias"
    path = oracle.checkpoint(
        tmp_path / "last.ckpt", with_latents, SIDE, **statistics(), **{f"ema_model.{name}": with_latents[name] + 1}
    )
    with pytest.raises(InputError, match="differs from the tensor that it should share"):
        load_generator(path)


@pytest.mark.parametrize(
    ("contents", "says"),
    [
        ({"state_dict": {"model.diffusion_model.out.0.bias": torch.zeros(3)}}, "Stable Diffusion"),
        ({"down_blocks.0.resnets.0.norm1.bias": torch.zeros(3)}, "diffusers"),
        ({"module.conv_in.weight": torch.zeros(3)}, "DiffusionCLIP"),
        ({"input_blocks.0.0.weight": torch.zeros(3)}, "guided-diffusion"),
        ({"state_dict": {"ema_model.input_blocks.0.0.weight": torch.zeros(3)}}, "guided-diffusion"),
        ({"state_dict": {"ema_model.head.weight": torch.zeros(3)}}, "no checkpoint of a Diffusion Autoencoder"),
    ],
)
def test_a_checkpoint_of_another_diffusion_code_gets_a_sentence(
    tmp_path: Path, contents: dict[str, Any], says: str
) -> None:
    torch.save(contents, path := tmp_path / "model.ckpt")
    with pytest.raises(InputError, match=says):
        load_generator(path)


class Harm:
    """An object whose pickle calls a function when Python reads it."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> tuple[Callable[[str], Any], tuple[str]]:
        return _touch, (str(self.place),)


def _touch(path: str) -> None:
    Path(path).touch()


@pytest.mark.parametrize("where", ["state", "beside"])
def test_what_a_hostile_checkpoint_names_is_not_called(tmp_path: Path, state: dict[str, Tensor], where: str) -> None:
    trap = tmp_path / "harm"
    if where == "state":
        path = oracle.checkpoint(tmp_path / "last.ckpt", state, SIDE, harm=Harm(trap))
    else:
        path = oracle.checkpoint(tmp_path / "last.ckpt", state, SIDE)
        codes_beside(tmp_path, conds_mean=Harm(trap))
    with pytest.raises(InputError, match="nothing was run"):
        load_generator(path)
    assert not trap.exists()


def test_a_checkpoint_that_is_cut_short_gets_a_sentence(tmp_path: Path, state: dict[str, Tensor]) -> None:
    path = oracle.checkpoint(tmp_path / "last.ckpt", state, SIDE)
    path.write_bytes(path.read_bytes()[:-5_000])
    with pytest.raises(InputError, match="damaged or cut short"):
        load_generator(path)


def test_our_own_files_are_checked_as_well(tmp_path: Path, state: dict[str, Tensor]) -> None:
    save_diffusion(
        load_generator(oracle.checkpoint(tmp_path / "last.ckpt", state, SIDE)), path := tmp_path / "m.safetensors"
    )
    tensors, description = load_tensors(path)
    name = "encoder.out.0.bias"
    for changed, said, says in (
        ({name: torch.full((64,), torch.nan)}, {}, "not finite"),
        ({name: torch.zeros(3)}, {}, r"has shape \(3,\)"),
        ({"more": torch.zeros(3)}, {}, "unknown more"),
        ({}, {"config": {"resolution": 32}}, "can't be used"),
        ({}, {"kind": "video"}, "no generator of this program"),
    ):
        save_tensors({**tensors, **changed}, path, {**description, **said})
        with pytest.raises(InputError, match=says):
            load_generator(path)
