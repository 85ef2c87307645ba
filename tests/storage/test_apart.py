"""Files read in a process of their own: the same results, and an end to what takes too long or too much."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from fakes import foreign_files as foreign
from fakes import slow_readers
from fakes.kept_domains import entry_of

from ipl_core import InputError
from ipl_core.drawing.people_by_seed import SeedPerson
from ipl_core.generators.e4e import read_released
from ipl_core.generators.files import load_generator, read_foreign
from ipl_core.library import inversions, store
from ipl_core.library.import_export import export_generator, import_generator
from ipl_core.library.inversions import drawn_person
from ipl_core.models import catalog
from ipl_core.models.catalog import load_generator as load_known
from ipl_core.storage import apart
from ipl_core.storage.tensors import load_tensors, save_tensors
from ipl_core.storage.weights import read_weights

SMALL = {4: 6, 8: 4}
LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems don't limit address space")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Some file."""
    path = tmp_path / "a.pt"
    path.write_bytes(b"\x80\x02N.")
    return path


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(
        one[name].dtype == other[name].dtype and torch.equal(one[name], other[name]) for name in one
    )


@pytest.mark.parametrize("kind", ["new.pt", "old.pt", "ada.pkl", "e4e.pt", "weights.pth", "own.safetensors"])
def test_what_comes_back_is_bit_for_bit_what_is_read_here(kind: str, tmp_path: Path) -> None:
    path = tmp_path / kind
    state = foreign.rosinality_state(SMALL)
    reader: Any = read_foreign
    if kind.endswith("safetensors"):
        reader = load_tensors
        tensors = {"a": torch.arange(7), "b": torch.randn(3, 3).half(), "c": torch.tensor([True]), "d": torch.ones(())}
        save_tensors(tensors, path, {"kind": "“quoted” 😀", "numbers": [1, 2.5, None, True]})
    elif kind.startswith("ada"):
        foreign.write_nvidia(path, {"G_ema": foreign.nvidia_generator(SMALL, clamp=256.0)})
    elif kind.startswith("e4e"):
        reader = read_released
        torch.save(foreign.e4e_contents(), path)
    elif kind.startswith("weights"):
        reader = read_weights
        torch.save({**state, "count": torch.tensor(3), "half": torch.ones(2).half()}, path)
    else:
        torch.save({"g_ema": state}, path, _use_new_zipfile_serialization=kind == "new.pt")
    (theirs, said), (ours, says) = apart.read(reader, path), reader(path)
    assert same(theirs, ours)
    assert said == says


def test_warnings_reach_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    state = {name: t for name, t in foreign.rosinality_state(SMALL).items() if not name.startswith("noises")}
    torch.save({"g_ema": state}, tmp_path / "a.pt")
    with caplog.at_level(logging.WARNING):
        load_generator(tmp_path / "a.pt")
    assert "holds no mean w" in caplog.text
    assert "holds no constant noise" in caplog.text


@pytest.mark.parametrize("reader", [slow_readers.sleeps, slow_readers.computes])
def test_a_reading_that_never_ends_is_ended_by_the_clock(reader: Any, file: Path) -> None:
    with pytest.raises(InputError, match=r"a\.pt isn't read: that took more than 1 seconds"):
        apart.read(reader, file, seconds=1)


@pytest.mark.parametrize("reader", [slow_readers.sleeps, slow_readers.computes])
def test_stop_ends_a_reading_within_a_second(reader: Any, file: Path) -> None:
    stop, ended = threading.Event(), []

    def read() -> None:
        with pytest.raises(apart.ReadingStopped, match=r"Reading .*a\.pt was stopped"):
            apart.read(reader, file, stop)
        ended.append(time.monotonic())

    thread = threading.Thread(target=read)
    thread.start()
    thread.join(4)
    assert thread.is_alive()
    stop.set()
    asked = time.monotonic()
    thread.join(30)
    assert ended[0] - asked < 1


@LINUX
@pytest.mark.parametrize("reader", [slow_readers.grows, slow_readers.grows_in_torch])
def test_a_reading_that_takes_too_much_memory_is_refused(reader: Any, file: Path) -> None:
    with pytest.raises(InputError, match="takes more memory than a file of its size needs"):
        apart.read(reader, file)


def test_a_crash_and_an_odd_error_are_sentences(file: Path) -> None:
    with pytest.raises(InputError, match=r"its reader ended without a result \(status -11\)"):
        apart.read(slow_readers.crashes, file)
    with pytest.raises(InputError, match=r"it is damaged \(ZeroDivisionError\)") as caught:
        apart.read(slow_readers.raises, file)
    assert len(str(caught.value)) < 300
    with pytest.raises(InputError, match=r"a\.pt is refused: never\.$"):
        apart.read(slow_readers.refuses, file, why="never")


def test_the_process_knows_little_and_leaves_nothing(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    monkeypatch.setenv("HF_TOKEN", "secret")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    tensors, said = apart.read(slow_readers.tells, file)
    assert bytes(tensors["bytes"].tolist()) == file.read_bytes()
    assert not {"HF_TOKEN", "PYTHONPATH"} & set(said["environment"])
    with pytest.raises(InputError):
        apart.read(slow_readers.refuses, file, why="no")
    assert list(folder.iterdir()) == []


def test_a_file_that_is_remembered_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.pt"
    torch.save({"g_ema": foreign.rosinality_state(SMALL), "latent_avg": torch.zeros(8)}, path)
    first = load_generator(path)
    with torch.no_grad():
        first.w_avg.add_(1)  # a generator has tensors of its own
    monkeypatch.setattr(subprocess, "Popen", None)
    assert torch.equal(load_generator(path).w_avg, torch.zeros(8))
    monkeypatch.undo()
    torch.save({"g_ema": foreign.rosinality_state(SMALL), "latent_avg": torch.ones(8)}, path)
    assert torch.equal(load_generator(path).w_avg, torch.ones(8))


@pytest.mark.usefixtures("studio")
def test_imports_and_latents_are_read_so_and_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = entry_of("zombie", 0.3)
    files = [export_generator(entry, tmp_path / name) for name in ("a.pt", "a.safetensors")]
    person = drawn_person(SeedPerson("studio", 3), load_known("studio"))
    latent = inversions.save(person, tmp_path / "person").path / inversions.INVERTED
    stop = threading.Event()
    stop.set()
    for path in files:
        with pytest.raises(apart.ReadingStopped, match="Reading “a"):
            import_generator(path, "studio", target="undead", stop=stop)
        imported = import_generator(path, "studio", target="undead")
        assert same(catalog.changed_weights(imported.path), catalog.changed_weights(entry.path))
        store.delete(imported)
    with pytest.raises(apart.ReadingStopped, match="Reading “inverted"):
        inversions.read_latent(latent, stop=stop)
    assert torch.equal(inversions.read_latent(latent).w_plus, person.w_plus)
    assert [one.path for one in store.list_entries()] == [entry.path]
