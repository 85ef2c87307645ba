"""Hostile and broken files: nothing that they name is run, and each is refused with the reason."""

from __future__ import annotations

import builtins
import contextlib
import io
import os
import pickle
import pickletools
import random
import struct
import subprocess
import sys
import tracemalloc
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from fakes import foreign_files as foreign

from ipl_core.errors import InputError
from ipl_core.generators.files import load_generator
from ipl_core.storage import files
from ipl_core.storage.pickles import opened

pytestmark = pytest.mark.usefixtures("read_in_process")

SMALL = {4: 6, 8: 4}


class Call:
    """Pickles to a call of `function` with `arguments`."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.reduced = function, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.reduced


def zipped(path: Path, program: bytes, compress: int = zipfile.ZIP_STORED, **members: bytes) -> Path:
    """A file in PyTorch's format with `program` as its pickle."""
    with zipfile.ZipFile(path, "w", compress) as archive:
        archive.writestr("archive/data.pkl", program)
        for name, content in members.items():
            archive.writestr(f"archive/{name.replace('__', '/')}", content)
    return path


def refused(path: Path, reason: str) -> None:
    with pytest.raises(InputError, match=reason) as caught:
        load_generator(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize("form", ["pickle", "zip", "inside", "nested"])
@pytest.mark.parametrize("kind", ["os.system", "eval", "exec", "getattr", "popen", "import"])
def test_calls_are_never_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, form: str, protocol: int
) -> None:
    mark = tmp_path / "it ran"
    code = f"open({str(mark)!r}, 'w').close()"
    attack = {
        "os.system": Call(os.system, f"touch '{mark}'"),
        "eval": Call(eval, code),
        "exec": Call(exec, code),
        "getattr": Call(getattr, Call(builtins.__import__, "os"), "system"),
        "popen": Call(subprocess.Popen, ["touch", str(mark)]),
        "import": Call(builtins.__import__, "antigravity"),
    }[kind]
    opened_browser = []
    monkeypatch.setattr("webbrowser.open", opened_browser.append)
    if form == "inside":
        attack = {"G_ema": {"state": [attack]}, "g_ema": OrderedDict(x=attack)}
    program = pickle.dumps(attack, protocol)
    if form == "nested":
        program = pickle.dumps({"g_ema": Call(torch.storage._load_from_bytes, program)}, protocol)
    if protocol == 0:
        program = b"\x80\x02" + program  # so that it is taken for a pickle at all
    path = tmp_path / "model.pkl"
    if form == "zip":
        zipped(path, program)
    else:
        path.write_bytes(program)
    refused(path, "which no generator's file needs and which may be meant to do harm; nothing was run")
    assert not mark.exists()
    assert not opened_browser


@pytest.mark.parametrize(
    "name",
    [
        *("os.system", "posix.system", "nt.system", "subprocess.Popen", "builtins.eval", "__builtin__.eval"),
        *("builtins.getattr", "operator.attrgetter", "functools.partial", "runpy._run_code", "sys.modules"),
        *("torch.load", "torch.hub.load", "torch.serialization.load", "torch.jit.load", "torch._dynamo.config"),
        *("pickle.loads", "shutil.rmtree", "webbrowser.open", "code.interact", "__main__.Generator", "numpyx.load"),
    ],
)
def test_names_outside_the_list_are_refused_even_when_nothing_calls_them(tmp_path: Path, name: str) -> None:
    module, _, function = name.rpartition(".")
    for program in (
        b"\x80\x02c" + f"{module}\n{function}\n".encode() + b".",
        b"\x80\x04" + b"".join(b"\x8c" + bytes([len(text)]) + text.encode() for text in (module, function)) + b"\x93.",
        b"\x80\x02(i" + f"{module}\n{function}\n".encode() + b".",
    ):
        path = tmp_path / "model.pkl"
        path.write_bytes(program)
        refused(path, f"it names “{name}”")


def test_names_on_the_list_stay_names_whatever_is_done_with_them(tmp_path: Path) -> None:
    program = (
        b"\x80\x02}(X\x01\x00\x00\x00aq\x01cnumpy\nload\nX\x04\x00\x00\x00file\x85R"  # numpy.load("file")
        b"}X\x08\x00\x00\x00__dict__K\x01sb"  # with a state
        b"X\x01\x00\x00\x00bctorch.nn\nModule.__init__\n)\x81u."
    )
    program = program.replace(b"cnumpy\nload\n", b"cnumpy.lib\nload\n").replace(b"ctorch.nn\n", b"ctorch.nn.x\n")
    path = tmp_path / "model.pkl"
    path.write_bytes(program)
    with opened(path) as root:
        assert root["a"].name == "numpy.lib.load"
        assert root["a"].made_from == ("file",)
        assert root["a"].state == {"__dict__": 1}
        assert root["b"].name == "torch.nn.x.Module.__init__"
    refused(path, "without a StyleGAN2 generator")


def test_a_tensorflow_pickle(tmp_path: Path) -> None:
    path = tmp_path / "stylegan2-ffhq-config-f.pkl"
    path.write_bytes(b"\x80\x03cdnnlib.tflib.network\nNetwork\nq\x00)\x81q\x01}q\x02bh\x01h\x01\x87q\x03.")
    refused(path, "TensorFlow pickle of StyleGAN; convert it first")


# ----------------------------------------------------------------------------------------------------------------------
# Claims that the file doesn't keep


def test_sizes_that_a_file_only_claims_cost_nothing(tmp_path: Path) -> None:
    huge = 2**40
    programs = {
        "bytes": b"\x80\x04\x8e" + struct.pack("<Q", huge) + b"x.",
        "text": b"\x80\x04\x8d" + struct.pack("<Q", huge) + b"x.",
        "frame": b"\x80\x04\x95" + struct.pack("<Q", huge) + b"N.",
        "memo": b"\x80\x02Nr\xff\xff\xff\x7f.",
        "number": b"\x80\x02\x8b\xff\xff\xff\x7f.",
        "array": b"\x80\x05\x96" + struct.pack("<Q", huge) + b"x.",
    }
    tracemalloc.start()
    for name, program in programs.items():
        path = tmp_path / f"{name}.pkl"
        path.write_bytes(program)
        refused(path, "damaged|no generator|of a kind")
    assert tracemalloc.get_traced_memory()[1] < 10_000_000
    tracemalloc.stop()


def _tensor(count: int, shape: tuple[int, ...], stride: tuple[int, ...], offset: int = 0) -> bytes:
    """A pickle of {"g_ema": {"conv1.conv.weight": a tensor}} whose storage claims `count` numbers."""
    numbers = lambda values: pickle.dumps(values, 2)[2:-1]  # noqa: E731
    return (
        b"\x80\x02}X\x05\x00\x00\x00g_ema}X\x11\x00\x00\x00conv1.conv.weightctorch._utils\n_rebuild_tensor_v2\n("
        b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpu"
        + numbers(count) + b"tQ" + numbers(offset) + numbers(shape) + numbers(stride)
        + b"\x89ccollections\nOrderedDict\n)RtRss."
    )  # fmt: skip


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        (_tensor(4, (2**20, 2**20), (0, 0)), "larger than its storage"),
        (_tensor(4, (2, 2), (2, 1), offset=3), "larger than its storage"),
        (_tensor(4, (-1, 2), (2, 1)), "impossible shape"),
        (_tensor(4, (2, 2), (-1, 1)), "impossible shape"),
        (_tensor(4, (2, 2), (1,)), "impossible shape"),
        (_tensor(2**60, (2, 2), (2, 1)), "unknown kind"),
        (_tensor(2**40, (2**20, 2**20), (2**20, 1)), "incomplete|claim more than the file holds"),
    ],
)
def test_tensors_that_cannot_be(tmp_path: Path, program: bytes, reason: str) -> None:
    refused(zipped(tmp_path / "a.pt", program, data__0=b"\0" * 16), reason)


def test_compressed_and_overlapping_archives(tmp_path: Path) -> None:
    bomb = pickle.dumps({"g_ema": b"\0" * 50_000_000}, 4)
    path = zipped(tmp_path / "bomb.pt", bomb, zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 100_000
    refused(path, "PyTorch's are not compressed")
    plain = bytearray(zipped(tmp_path / "lie.pt", b"\x80\x02N.").read_bytes())
    entry = plain.rindex(b"PK\x01\x02")
    plain[entry + 20 : entry + 28] = struct.pack("<II", 2**31, 2**31)
    (tmp_path / "lie.pt").write_bytes(plain)
    refused(tmp_path / "lie.pt", "not compressed")


def test_archives_of_other_kinds(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        archive.writestr("a/b.png", b"x")
    refused(tmp_path / "photos.zip", "not one of PyTorch's")
    path = zipped(tmp_path / "script.pt", b"\x80\x02N.", constants_pkl=b"", code____init__=b"")
    refused(path, "TorchScript")
    refused(zipped(tmp_path / "other.pt", b"\x80\x02N.", byteorder=b"big"), "another byte order")


def test_files_far_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "huge.pkl"
    with path.open("wb") as file:
        file.truncate(files.MAX_BYTES + 1)  # takes no room on disk
    refused(path, r"has 4\.0 GB, more than any generator's file")


# ----------------------------------------------------------------------------------------------------------------------
# Damage


@pytest.fixture(scope="module")
def whole_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """One small good file of each kind."""
    folder = tmp_path_factory.mktemp("whole")
    contents = {"g_ema": foreign.rosinality_state(SMALL), "latent_avg": torch.zeros(8)}
    torch.save(contents, folder / "new.pt")
    torch.save(contents, folder / "old.pt", _use_new_zipfile_serialization=False)
    foreign.write_nvidia(folder / "ada.pkl", {"G_ema": foreign.nvidia_generator(SMALL)})
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("name", ["new.pt", "old.pt", "ada.pkl"])
def test_cut_files(tmp_path: Path, whole_files: dict[str, bytes], name: str) -> None:
    whole = whole_files[name]
    path = tmp_path / name
    for kept in sorted({0, 1, 3, 10, 100, 1000, *range(0, len(whole), len(whole) // 25), len(whole) - 1}):
        path.write_bytes(whole[:kept])
        with pytest.raises(InputError) as caught:
            load_generator(path)
        assert "\n" not in str(caught.value)
    path.write_bytes(b"")
    refused(path, "it is empty")


@pytest.mark.parametrize("name", ["new.pt", "old.pt", "ada.pkl"])
def test_damaged_files_end_in_a_sentence_or_in_a_generator(
    tmp_path: Path, whole_files: dict[str, bytes], name: str
) -> None:
    chance = random.Random(name)
    whole = whole_files[name]
    program = whole.find(b"\x80\x02" if name.endswith("t") else b"\x80\x04")
    path = tmp_path / name
    for _ in range(150):
        damaged = bytearray(whole)
        for _ in range(3):  # half of it where the program is, which is where damage hurts
            where = chance.randrange(len(whole)) if chance.random() < 0.5 else program + chance.randrange(3000)
            damaged[min(where, len(whole) - 1)] = chance.randrange(256)
        path.write_bytes(damaged)
        with contextlib.suppress(InputError):
            load_generator(path)


def test_programs_of_random_opcodes_end_in_a_sentence(tmp_path: Path) -> None:
    chance = random.Random(0)
    codes = [opcode.code.encode("latin-1") for opcode in pickletools.opcodes]
    path = tmp_path / "a.pkl"
    for _ in range(500):
        steps = [
            chance.choice(codes) + bytes(chance.randrange(8) for _ in range(chance.randrange(3))) for _ in range(40)
        ]
        path.write_bytes(b"\x80\x04" + b"".join(steps) + b".")
        with pytest.raises(InputError):
            load_generator(path)


def test_depth_is_no_danger(tmp_path: Path) -> None:
    depth = 200_000
    for name, program in {
        "lists": b"\x80\x02" + b"]" * depth + b"a" * (depth - 1) + b".",
        "tuples": b"\x80\x02N" + b"\x85" * depth + b".",
        "keys": b"\x80\x02}N" + b"\x85" * depth + b"Ns.",
        "marks": b"\x80\x02" + b"(" * depth + b"N" + b"t" * depth + b".",
    }.items():
        path = tmp_path / f"{name}.pkl"
        path.write_bytes(program)
        refused(path, "no generator")


def test_reading_imports_nothing(tmp_path: Path) -> None:
    path = foreign.write_nvidia(tmp_path / "a.pkl", {"G_ema": foreign.nvidia_generator(SMALL)})
    code = (
        "import sys; from pathlib import Path; from ipl_core.generators.files import read_foreign; "
        f"before = set(sys.modules); read_foreign(Path({str(path)!r})); print(*(set(sys.modules) - before))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert not [name for name in ended.stdout.split() if name.startswith(("torch_utils", "dnnlib", "numpy"))]


def test_streams_need_no_names(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    torch.save({"g_ema": foreign.rosinality_state(SMALL)}, buffer)
    path = tmp_path / "no ending"
    path.write_bytes(buffer.getvalue())
    assert load_generator(path).config.resolution == 8
