"""Checkpoints as people have them: wrapped, not averaged, beside foreign classes, whole networks, encoders' files."""

from __future__ import annotations

import argparse
import logging
import sys
import types
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from fakes import foreign_files as foreign
from torch import nn

from ipl_core.errors import InputError
from ipl_core.generators.files import load_generator
from ipl_core.generators.stylegan2.network import Generator, GeneratorConfig
from ipl_core.generators.stylegan2.rosinality import save_rosinality, to_be_told

pytestmark = pytest.mark.usefixtures("read_in_process")
SMALL = {4: 6, 8: 4}


@pytest.fixture
def state() -> dict[str, torch.Tensor]:
    return foreign.rosinality_state(SMALL)


@pytest.fixture
def program() -> Iterator[types.ModuleType]:
    """A module of somebody's program, gone where its files are read."""
    module = types.ModuleType("their_training.options")
    sys.modules["their_training"] = types.ModuleType("their_training")
    sys.modules["their_training.options"] = module
    yield module
    del sys.modules["their_training.options"], sys.modules["their_training"]


def class_of(module: types.ModuleType, name: str, *bases: type) -> type:
    made = type(name, bases or (object,), {"__module__": module.__name__})
    setattr(module, name, made)
    return made


def saved(path: Path, contents: Any, **options: Any) -> Path:
    torch.save(contents, path, **options)
    return path


def same(path: Path, other: Path) -> bool:
    one, two = load_generator(path).state_dict(), load_generator(other).state_dict()
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.parametrize("wrappers", ["module.", "module.module."])
@pytest.mark.parametrize("bare", [False, True])
def test_a_state_that_was_trained_on_several_gpus(
    tmp_path: Path, state: dict[str, torch.Tensor], wrappers: str, bare: bool
) -> None:
    plain = saved(tmp_path / "plain.pt", {"g_ema": state})
    wrapped = {f"{wrappers}{name}": tensor for name, tensor in state.items()}
    assert same(saved(tmp_path / "wrapped.pt", wrapped if bare else {"g_ema": wrapped}), plain)


def test_a_half_wrapped_state_is_refused(tmp_path: Path, state: dict[str, torch.Tensor]) -> None:
    some = {(f"module.{name}" if "conv1" in name else name): tensor for name, tensor in state.items()}
    with pytest.raises(InputError, match=r"StyleGAN2 generator|conv1"):
        load_generator(saved(tmp_path / "a.pt", {"g_ema": some}))


def test_what_training_left_is_taken_where_nothing_is_averaged(
    tmp_path: Path, state: dict[str, torch.Tensor], caplog: pytest.LogCaptureFixture
) -> None:
    mean = foreign.recipe((8,), "latent_avg")
    averaged = saved(tmp_path / "averaged.pt", {"g_ema": state, "latent_avg": mean})
    with caplog.at_level(logging.WARNING):
        assert load_generator(averaged) is not None
        assert "holds no averaged generator" not in caplog.text
        current = saved(tmp_path / "current.pt", {"g": state, "d": {}, "latent_avg": mean})
        assert same(current, averaged)
    assert "holds no averaged generator (g_ema): the one that training left (g) was taken" in caplog.text


def test_an_averaged_one_is_preferred(tmp_path: Path, state: dict[str, torch.Tensor]) -> None:
    other = {name: tensor + 1 for name, tensor in state.items()}
    contents = {"g": other, "g_ema": state, "latent_avg": torch.zeros(8)}
    plain = saved(tmp_path / "plain.pt", {"g_ema": state, "latent_avg": torch.zeros(8)})
    assert same(saved(tmp_path / "both.pt", contents), plain)


@pytest.mark.parametrize("old", [False, True])
def test_foreign_classes_beside_the_generator_are_passed_over(
    tmp_path: Path, state: dict[str, torch.Tensor], program: types.ModuleType, old: bool
) -> None:
    options, network = class_of(program, "Options"), class_of(program, "Discriminator", nn.Linear)
    args = argparse.Namespace(size=8)
    args.more = options()
    args.more.path = "x"
    contents = {"g_ema": state, "args": args, "d": network(2, 2), "kept": [options(), {"deep": (options,)}]}
    path = saved(tmp_path / "a.pt", contents, _use_new_zipfile_serialization=not old)
    plain = saved(tmp_path / "plain.pt", {"g_ema": state})
    del program.Options, program.Discriminator  # nothing of it can be imported, nor is tried to be
    assert same(path, plain)


def test_a_path_of_a_newer_python_is_passed_over(tmp_path: Path, state: dict[str, torch.Tensor]) -> None:
    path = saved(tmp_path / "a.pt", {"g_ema": state, "args": argparse.Namespace(out=Path("out"))})
    plain = saved(tmp_path / "plain.pt", {"g_ema": state})
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    (pickled,) = (name for name in members if name.endswith("data.pkl"))
    kind = type(Path()).__name__.encode()
    module = type(Path()).__module__.encode()
    members[pickled] = members[pickled].replace(module + b"\n" + kind, b"pathlib._local\n" + kind)
    assert b"pathlib._local" in members[pickled]
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    assert same(path, plain)


@pytest.mark.parametrize("where", ["root", "state", "tensor"])
def test_a_foreign_class_on_the_way_to_the_generator_is_refused(
    tmp_path: Path, state: dict[str, torch.Tensor], program: types.ModuleType, where: str
) -> None:
    kind = class_of(program, "Options", dict)
    contents: Any = {"g_ema": state}
    if where == "root":
        contents = kind(contents)
    elif where == "state":
        contents["g_ema"] = kind(state)
    else:
        state["input.input"] = kind()
    with pytest.raises(InputError, match=r"it names “their_training.options.Options”.*nothing was run"):
        load_generator(saved(tmp_path / "a.pt", contents))


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("within", [False, True])
def test_a_whole_network_is_called_that(
    tmp_path: Path, program: types.ModuleType, old: bool, within: bool, recwarn: pytest.WarningsRecorder
) -> None:
    network = class_of(program, "Generator", nn.Linear)(2, 2)
    contents = {"g_ema": network} if within else network
    path = saved(tmp_path / "a.pt", contents, _use_new_zipfile_serialization=not old)
    with pytest.raises(
        InputError, match=r"saved as a whole network \(“their_training.options.Generator”\).*state_dict"
    ):
        load_generator(path)


@pytest.mark.parametrize("nested", [False, True])
def test_the_file_of_an_encoder_is_called_that(tmp_path: Path, state: dict[str, torch.Tensor], nested: bool) -> None:
    named = {f"decoder.{name}": tensor for name, tensor in state.items()}
    named["encoder.input_layer.0.weight"] = torch.ones(1)
    contents = {"state_dict": named, "opts": argparse.Namespace(), "latent_avg": torch.ones(1)} if nested else named
    with pytest.raises(InputError, match=r"an encoder's file, of e4e or pSp, and not a generator's.*--encoder"):
        load_generator(saved(tmp_path / "a.pt", contents))


@pytest.mark.parametrize(
    "name", ["os.System", "posix.X", "subprocess.Popen", "builtins.Exec", "their.function", "cPickle.L"]
)
def test_what_python_brings_and_functions_are_refused_beside_a_generator_too(tmp_path: Path, name: str) -> None:
    module, _, what = name.rpartition(".")
    path = tmp_path / "a.pkl"
    path.write_bytes(b"\x80\x02}(X\x01\x00\x00\x00a" + f"c{module}\n{what}\n".encode() + b")RX\x01\x00\x00\x00bK\x01u.")
    with pytest.raises(InputError, match=f"it names “{name}”"):
        load_generator(path)


@pytest.mark.parametrize("shape", [(1, 6, 4, 2), (1, 6, 2, 4), (1, 6, 8, 8)])
def test_pictures_that_are_not_square_are_called_that(
    tmp_path: Path, state: dict[str, torch.Tensor], shape: tuple[int, ...]
) -> None:
    state["input.input"] = torch.ones(shape)
    words = "are not square" if shape[-1] != shape[-2] else "don't begin at 4×4"
    with pytest.raises(InputError, match=f"pictures that {words}.*they begin at {shape[-1]}×{shape[-2]}"):
        load_generator(saved(tmp_path / "a.pt", {"g_ema": state}))


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (GeneratorConfig(256), ""),
        (GeneratorConfig(32, 512, 512, 8), ""),
        (GeneratorConfig(64, 512, 512, 4), "size 64, n_mlp 4."),
        (GeneratorConfig(32, 64, 64, 8), "size 32, style_dim 64."),
        (
            GeneratorConfig(64, 512, 512, 8, channels=((4, 512), (8, 512), (16, 512), (32, 512), (64, 256))),
            "size 64, channel_multiplier 1.",
        ),
        (
            GeneratorConfig(8, 512, 512, 2, channels=((4, 6), (8, 4))),
            "size 8, n_mlp 2, channels {4: 6, 8: 4} in place of its table.",
        ),
    ],
)
def test_what_another_program_must_be_told_is_said(config: GeneratorConfig, said: str) -> None:
    words = to_be_told(config)
    assert words.endswith(said)
    assert bool(words) == bool(said)


def test_it_is_said_where_such_a_file_is_written(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    generator = Generator(GeneratorConfig(8, 16, 16, 2, channels=((4, 6), (8, 4))))
    with caplog.at_level(logging.WARNING):
        save_rosinality(generator, tmp_path / "a.pt")
    assert "is told: size 8, style_dim 16, n_mlp 2, channels {4: 6, 8: 4}" in caplog.text
