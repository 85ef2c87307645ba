"""rosinality's files: read in every form they come in, written so that its own readers take them."""

from __future__ import annotations

import argparse
import collections
import datetime
import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from fakes import foreign_files as foreign

from ipl_core.errors import InputError
from ipl_core.generators.files import load_generator
from ipl_core.generators.stylegan2.network import Generator, GeneratorConfig
from ipl_core.generators.stylegan2.rosinality import save_rosinality
from ipl_core.storage.pickles import LEGACY_MAGIC

pytestmark = pytest.mark.usefixtures("read_in_process")

SMALL = {4: 6, 8: 4, 16: 3}

# What rosinality/stylegan2-pytorch drew on the CPU (randomize_noise=False) with the weights of the recipe for
# Generator(32, 32, 3, channel_multiplier=2): values [0, :, ::11, ::13] of the z "z" at truncation 0.7 towards
# "latent_avg", and of the W+ "w+".
GOLDEN_CHANNELS = {4: 512, 8: 512, 16: 512, 32: 512}
GOLDEN_Z = [
    2.474974, 0.040035, 1.525346, -0.736563, -5.237386, 1.740288, 3.740665, -2.32809, -2.02195,
    5.153262, 2.142853, 5.41345, 9.175945, 4.747326, 5.451269, 6.89614, 4.313002, 2.256306,
    -0.928696, -0.246832, -1.536557, 0.529555, -2.065388, -1.642835, -0.043443, -1.949866, -0.564124,
]  # fmt: skip
GOLDEN_W_PLUS = [
    0.115013, -5.119668, -3.197323, 0.413968, -0.034936, -6.841239, -0.083253, -2.644383, -6.132435,
    0.55038, 1.341034, -1.027072, 0.052628, -2.170048, -12.571913, 1.780964, -9.815358, -11.355026,
    -0.268149, 3.829384, 2.655146, 3.489128, 5.261272, 10.108748, 2.485967, 4.268126, 6.717965,
]  # fmt: skip


@pytest.fixture
def state() -> dict[str, torch.Tensor]:
    return foreign.rosinality_state(SMALL)


def saved(path: Path, contents: Any, **options: Any) -> Path:
    torch.save(contents, path, **options)
    return path


def test_pictures_are_those_of_the_reference(tmp_path: Path) -> None:
    contents = {
        "g_ema": foreign.rosinality_state(GOLDEN_CHANNELS, 32, 3),
        "latent_avg": foreign.recipe((32,), "latent_avg"),
    }
    loaded = load_generator(saved(tmp_path / "network.pt", contents))
    assert loaded.config == GeneratorConfig(32, 32, 32, 3)  # the usual channels need no table
    with torch.no_grad():
        from_z = loaded(foreign.recipe((2, 32), "z"), psi=0.7)
        from_w_plus = loaded.synthesis(foreign.recipe((1, 8, 32), "w+"))
    for images, golden in ((from_z, GOLDEN_Z), (from_w_plus, GOLDEN_W_PLUS)):
        torch.testing.assert_close(images[0, :, ::11, ::13].flatten(), torch.tensor(golden), rtol=0, atol=1e-4)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_checkpoint_of_training_is_read_for_its_generator_alone(
    tmp_path: Path, state: dict[str, torch.Tensor], zipped: bool
) -> None:
    weight = torch.nn.Parameter(torch.ones(3))
    optimiser = torch.optim.Adam([weight])
    weight.sum().backward()
    optimiser.step()
    contents = {
        "g": {name: tensor + 1 for name, tensor in state.items()},
        "d": torch.nn.Linear(2, 2).state_dict(),
        "g_ema": state,
        "g_optim": optimiser.state_dict(),
        "args": argparse.Namespace(size=16, path="photos"),
        "latent_avg": torch.arange(8.0)[None],
        "ada_aug_p": 0.5,
    }
    path = saved(tmp_path / "000100.pt", contents, _use_new_zipfile_serialization=zipped)
    ours = load_generator(path).state_dict()
    assert torch.equal(ours["w_avg"], torch.arange(8.0))
    assert torch.equal(ours["synthesis.layers.2.weight"], state["convs.1.conv.weight"][0])
    assert torch.equal(ours["synthesis.torgb.1.bias"], state["to_rgbs.0.bias"].flatten())
    assert ours["synthesis.layers.0.noise_strength"] == state["conv1.noise.weight"][0]


def test_the_mean_w_is_estimated_where_it_is_missing_and_that_is_said(
    tmp_path: Path, state: dict[str, torch.Tensor], caplog: pytest.LogCaptureFixture
) -> None:
    path = saved(tmp_path / "nada.pt", {"g_ema": state})
    with caplog.at_level(logging.WARNING):
        first, again = load_generator(path), load_generator(path)
    assert "no mean w: it was estimated from 10000 latents of seed 0" in caplog.text
    assert torch.equal(first.w_avg, again.w_avg)
    z = torch.randn(4000, 8, generator=torch.Generator().manual_seed(9))
    with torch.no_grad():
        torch.testing.assert_close(first.w_avg, first.mapping(z).mean(0), atol=0.1, rtol=0.1)


def test_bare_states_other_types_and_files_before_the_constant_noise(
    tmp_path: Path, state: dict[str, torch.Tensor], caplog: pytest.LogCaptureFixture
) -> None:
    old = {name: tensor.half() for name, tensor in state.items() if not name.startswith("noises.")}
    with caplog.at_level(logging.WARNING):
        loaded = load_generator(saved(tmp_path / "old.pt", old))
    assert "no constant noise: it was drawn from seed 1" in caplog.text
    assert all(tensor.dtype == torch.float32 for tensor in loaded.state_dict().values())
    assert loaded.synthesis.noise.get_buffer("4").shape == (1, 1, 16, 16)


def _prefixed(*words: str) -> Any:
    return lambda state: {f"{'.'.join(words)}.{name}": tensor for name, tensor in state.items()}


@pytest.mark.parametrize("held", [
    lambda state: {"g_ema": _prefixed("_orig_mod")(state)},
    lambda state: {"g_ema": _prefixed("module", "_orig_mod")(state)},
    lambda state: {"state_dict": state},
    lambda state: {"state_dict": {"g_ema": state, "d": {}}, "epoch": 3},
    lambda state: {"state_dict": _prefixed("generator")(state) | {"discriminator.final_conv.0.weight": torch.ones(1)}},
    lambda state: {"state_dict": _prefixed("g_ema")(state) | _prefixed("g")({n: t + 1 for n, t in state.items()})},
    lambda state: {"params": {name: tensor + 1 for name, tensor in state.items()}, "params_ema": state},
    lambda state: {"model": {name: tensor + 1 for name, tensor in state.items()}, "ema": state},
    lambda state: {"G_ema": state, "when": datetime.datetime(2026, 1, 2), "rates": collections.defaultdict(list)},
    lambda state: {"generator": state, "range": [slice(3), 2j, bytearray(b"bytes")]},
])  # fmt: skip
def test_a_state_is_found_under_the_names_that_other_programs_give_it(
    tmp_path: Path, state: dict[str, torch.Tensor], held: Any
) -> None:
    expected = load_generator(saved(tmp_path / "plain.pt", state))
    loaded = load_generator(saved(tmp_path / "held.pt", held(state)))
    assert all(torch.equal(a, b) for a, b in zip(loaded.state_dict().values(), expected.state_dict().values()))


def test_names_within_names_without_end_are_no_generator(tmp_path: Path, state: dict[str, torch.Tensor]) -> None:
    with pytest.raises(InputError, match="without a StyleGAN2 generator"):
        load_generator(saved(tmp_path / "deep.pt", {"g_ema": _prefixed(*["module"] * 9)(state)}))


@pytest.mark.parametrize("resolution", [32, 64])
def test_what_is_written_comes_back_and_has_what_its_own_network_expects(tmp_path: Path, resolution: int) -> None:
    channels = tuple((4 * 2**i, 4) for i in range(resolution.bit_length() - 2))
    generator = Generator(GeneratorConfig(resolution, 8, 8, 2, channels), torch.Generator().manual_seed(0))
    generator.estimate_w_avg(torch.Generator().manual_seed(1), 16)
    save_rosinality(generator, tmp_path / "adapted.pt")
    contents = torch.load(tmp_path / "adapted.pt", weights_only=True)
    shapes = foreign.rosinality_shapes(dict(channels), 8, 2)
    assert {name: tuple(tensor.shape) for name, tensor in contents["g_ema"].items()} == shapes
    assert torch.equal(contents["g_ema"]["convs.0.conv.blur.kernel"], foreign.KERNEL * 4)
    assert torch.equal(contents["latent_avg"], generator.w_avg)
    loaded = load_generator(tmp_path / "adapted.pt")
    assert loaded.config == generator.config
    assert all(torch.equal(a, b) for a, b in zip(loaded.state_dict().values(), generator.state_dict().values()))


def test_what_the_format_does_not_have(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    channels = ((4, 4), (8, 4))
    with pytest.raises(InputError, match="z and w of the same width"):
        save_rosinality(Generator(GeneratorConfig(8, 4, 8, 2, channels), torch.Generator()), tmp_path / "a.pt")
    clamped = Generator(GeneratorConfig(8, 8, 8, 2, channels, conv_clamp=256), torch.Generator())
    with caplog.at_level(logging.WARNING):
        save_rosinality(clamped, tmp_path / "b.pt")
    assert "limit is not in the file" in caplog.text
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="can't be written"):
        save_rosinality(clamped, tmp_path / "file" / "c.pt")


def _without(name: str) -> Any:
    return lambda state: state.pop(name)


def _shaped(name: str, *shape: int) -> Any:
    return lambda state: state.update({name: torch.ones(shape)})


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_without("convs.1.activate.bias"), "convs.1.activate.bias is missing"),
        (_without("to_rgbs.1.bias"), "to_rgbs.1.bias is missing"),
        (_shaped("convs.1.activate.bias", 9), r"shape \(9,\)"),
        (_shaped("conv1.conv.weight", 2, 6, 6, 3, 3), r"shape \(2, 6, 6, 3, 3\)"),
        (_shaped("to_rgb1.bias", 1, 4, 1, 1), r"shape \(1, 4, 1, 1\)"),
        (_shaped("input.input", 0, 6, 4, 4), "no tensor of weights"),
        (_shaped("convs.0.conv.blur.kernel", 4, 4), "another filter"),
        (_shaped("swapped.weight", 3), "unknown kind: swapped.weight"),
        (lambda state: state["input.input"].fill_(float("nan")), "not finite"),
        (lambda state: state.update({"input.input": 3}), "no tensor of weights"),
        (lambda state: state.update({"input.input": torch.ones(1, 6, 4, 4).long()}), "no tensor of weights"),
        (lambda state: state.update({"input.input": torch.ones(1).expand(1, 6, 4, 4)}), "larger than its storage"),
    ],
)
def test_states_that_do_not_fit(tmp_path: Path, state: dict[str, torch.Tensor], change: Any, reason: str) -> None:
    change(state)
    with pytest.raises(InputError, match=reason):
        load_generator(saved(tmp_path / "a.pt", {"g_ema": state}))


@pytest.mark.parametrize(
    ("contents", "reason"),
    [
        ({"d": {"final_conv.0.weight": torch.ones(1)}, "d_optim": {}}, "a discriminator but no generator"),
        ({"final_conv.0.weight": torch.ones(1)}, "is a discriminator"),
        ({"g": {"conv1.conv.weight": torch.ones(1)}, "args": None}, "without a StyleGAN2 generator"),
        ({"state_dict": {}, "opts": {}, "latent_avg": torch.ones(1)}, "what it holds: state_dict, opts, latent_avg"),
        ([1, 2], "of the type list"),
        (LEGACY_MAGIC, "of the type int"),
        (torch.ones(3), "of the type StoredTensor"),
    ],
)
def test_files_without_a_generator(tmp_path: Path, contents: Any, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        load_generator(saved(tmp_path / "a.pt", contents))
