"""Files: whole or not at all, read back exactly, refused with the reason."""

from __future__ import annotations

import json
import os
import pickle
import stat

import pytest
import torch
from safetensors.torch import load_file, save_file

from ipl_core.errors import InputError
from ipl_core.generators.files import load_generator, save_generator
from ipl_core.generators.stylegan2.network import Generator, GeneratorConfig
from ipl_core.storage import tensors
from ipl_core.storage.files import atomic_path
from ipl_core.storage.tensors import load_tensors, read_metadata, save_tensors


@pytest.fixture
def generator():
    config = GeneratorConfig(8, 4, 5, 2, ((4, 3), (8, 2)))
    generator = Generator(config, torch.Generator().manual_seed(0))
    generator.estimate_w_avg(torch.Generator().manual_seed(1), 16)
    return generator


@pytest.fixture
def saved(generator, tmp_path):
    path = tmp_path / "model.safetensors"
    save_generator(generator, path, {"source": "photo"})
    return path


def entries(folder):
    return sorted(entry.name for entry in folder.iterdir())


# ----------------------------------------------------------------------------------------------------------------------
# Round trips


def test_tensors_and_description_come_back(tmp_path):
    tensors = {
        "plain": torch.arange(6.0).view(2, 3),
        "transposed": torch.arange(6.0).view(2, 3).t(),
        "channels_last": torch.randn(2, 3, 4, 4).contiguous(memory_format=torch.channels_last),
        "expanded": torch.ones(1).expand(5),
        "scalar": torch.tensor(2.5),
        "counts": torch.tensor([1, 2]),
        "trained": torch.nn.Parameter(torch.ones(2)),
    }
    tensors["same memory"] = tensors["plain"][0]
    path = tmp_path / "new" / "folder" / "tensors.safetensors"
    save_tensors(tensors, path, {"steps": 3, "words": ["elf", "Übergröße"]})
    loaded, metadata = load_tensors(path)
    assert metadata == read_metadata(path) == {"steps": 3, "words": ["elf", "Übergröße"]}
    assert loaded.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert torch.equal(loaded[name], tensor.detach())
        assert loaded[name].dtype == tensor.dtype
        assert not loaded[name].requires_grad
    assert entries(path.parent) == ["tensors.safetensors"]


def test_generator_comes_back(generator, saved):
    loaded = load_generator(saved)
    assert loaded.config == generator.config
    assert not loaded.training
    assert all(torch.equal(a, b) for a, b in zip(loaded.state_dict().values(), generator.state_dict().values()))
    z = torch.randn(2, 4, generator=torch.Generator().manual_seed(2))
    assert torch.equal(loaded(z, psi=0.7), generator(z, psi=0.7))
    assert read_metadata(saved)["source"] == "photo"


def test_half_precision_on_disk(generator, saved, tmp_path):
    small = tmp_path / "half.safetensors"
    save_generator(generator, small, dtype=torch.float16)
    assert load_tensors(small)[0]["w_avg"].dtype == torch.float16
    loaded = load_generator(small)
    for name, tensor in loaded.state_dict().items():
        assert tensor.dtype == torch.float32
        torch.testing.assert_close(tensor, generator.state_dict()[name], rtol=1e-3, atol=1e-3)


def test_values_too_large_for_half_precision_are_not_lost_silently(tmp_path):
    with pytest.raises(ValueError, match=r"'big'.*70000"):
        save_tensors({"big": torch.tensor([7e4])}, tmp_path / "x.safetensors", dtype=torch.float16)
    assert entries(tmp_path) == []


def test_loaded_tensors_outlive_their_file(saved, generator):
    tensors, _ = load_tensors(saved)
    saved.write_bytes(b"\0" * saved.stat().st_size)
    assert torch.equal(tensors["w_avg"], generator.w_avg)


def test_other_readers_can_read_our_files(saved, generator):
    assert torch.equal(load_file(saved)["w_avg"], generator.w_avg)


def test_files_of_other_programs_have_no_description(tmp_path):
    save_file({"x": torch.ones(2)}, tmp_path / "foreign.safetensors", metadata={"format": "pt"})
    tensors, metadata = load_tensors(tmp_path / "foreign.safetensors")
    assert torch.equal(tensors["x"], torch.ones(2))
    assert metadata == {}


def test_new_files_have_ordinary_permissions(saved, tmp_path):
    (tmp_path / "ordinary").write_text("")
    assert stat.S_IMODE(saved.stat().st_mode) == stat.S_IMODE((tmp_path / "ordinary").stat().st_mode)


# ----------------------------------------------------------------------------------------------------------------------
# Writing whole or not at all


def test_a_failure_while_writing_keeps_the_old_file(generator, saved, monkeypatch):
    before = saved.read_bytes()

    def fails_half_way(tensors, path, metadata):
        with open(path, "wb") as file:
            file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ipl_core.storage.tensors.save_file", fails_half_way)
    with pytest.raises(InputError, match="No space left on device"):
        save_generator(generator, saved)
    assert saved.read_bytes() == before
    assert entries(saved.parent) == ["model.safetensors"]


def test_a_failure_while_moving_leaves_nothing_behind(tmp_path, monkeypatch):
    def refused(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "replace", refused)
    with pytest.raises(InputError, match="Permission denied"):
        save_tensors({"x": torch.ones(1)}, tmp_path / "x.safetensors")
    assert entries(tmp_path) == []


def test_any_exception_in_the_block_passes_and_cleans_up(tmp_path):
    target = tmp_path / "note.txt"
    target.write_text("old")

    def write_and_stop():
        with atomic_path(target) as temporary:
            temporary.write_text("new")
            assert temporary.parent == target.parent
            assert temporary.suffix == ".txt"
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_and_stop()
    assert target.read_text() == "old"
    assert entries(tmp_path) == ["note.txt"]
    with atomic_path(target) as temporary:
        temporary.write_text("new")
        assert target.read_text() == "old"
    assert target.read_text() == "new"
    assert entries(tmp_path) == ["note.txt"]


def test_what_a_killed_writer_left_is_swept_after_a_day_by_the_next(tmp_path):
    target = tmp_path / "note.txt"
    child = os.fork()
    if child == 0:
        with atomic_path(target) as temporary:
            temporary.write_text("half")
            os._exit(0)
    os.waitpid(child, 0)
    (left,) = tmp_path.iterdir()
    save_tensors({"x": torch.ones(1)}, tmp_path / "x.safetensors")
    assert left.exists(), "somebody may still be writing it"
    os.utime(left, (0, 0))
    save_tensors({"x": torch.ones(1)}, tmp_path / "x.safetensors")
    assert entries(tmp_path) == ["x.safetensors"]


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="can't be written"):
        save_tensors({"x": torch.ones(1)}, tmp_path / "file" / "x.safetensors")


# ----------------------------------------------------------------------------------------------------------------------
# Refusals


def test_missing_files_and_folders(tmp_path):
    for load in (load_generator, load_tensors, read_metadata):
        with pytest.raises(InputError, match="There is no file"):
            load(tmp_path / "absent.safetensors")
        with pytest.raises(InputError, match="is a folder"):
            load(tmp_path)


@pytest.mark.parametrize("kept", [0, 1, 7, 9, 100, -1])
def test_cut_files(saved, kept):
    whole = saved.read_bytes()
    saved.write_bytes(whole[:kept])
    with pytest.raises(InputError, match="empty" if kept == 0 else "damaged, cut short"):
        load_generator(saved)


def test_damaged_header(saved):
    data = bytearray(saved.read_bytes())
    data[20:40] = b"\xff" * 20
    saved.write_bytes(data)
    with pytest.raises(InputError, match="damaged"):
        load_generator(saved)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (pickle.dumps({"G_ema": 1}, protocol=4), "pickle"),
        (b"PK\x03\x04" + b"\0" * 60, "zip archive"),
        (b"<!DOCTYPE html><html></html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "git lfs pull"),
        (b"just some text, long enough to be read", "another format"),
    ],
)
def test_foreign_files_are_recognised_and_never_unpickled(tmp_path, content, reason):
    path = tmp_path / "foreign.bin"
    path.write_bytes(content)
    with pytest.raises(InputError, match=reason) as caught:
        load_generator(path)
    assert str(path) in str(caught.value)


def test_safetensors_that_hold_no_generator(tmp_path):
    save_tensors({"x": torch.ones(1)}, tmp_path / "other.safetensors", {"kind": "prompts"})
    with pytest.raises(InputError, match="“prompts”"):
        load_generator(tmp_path / "other.safetensors")
    save_file({"x": torch.ones(1)}, tmp_path / "foreign.safetensors")
    with pytest.raises(InputError, match="“nothing”"):
        load_generator(tmp_path / "foreign.safetensors")


def rewritten(path, change_tensors=None, change_metadata=None):
    tensors, metadata = load_tensors(path)
    if change_tensors:
        change_tensors(tensors)
    if change_metadata:
        change_metadata(metadata)
    save_tensors(tensors, path, metadata)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda tensors: tensors.pop("w_avg"), "missing w_avg"),
        (lambda tensors: tensors.update(extra=torch.ones(1)), "unknown extra"),
        (lambda tensors: tensors.update(w_avg=torch.ones(9)), r"shape \(9,\)"),
        (lambda tensors: tensors["w_avg"].fill_(float("nan")), "not finite"),
    ],
)
def test_tensors_that_do_not_fit(saved, change, reason):
    rewritten(saved, change_tensors=change)
    with pytest.raises(InputError, match=reason):
        load_generator(saved)


@pytest.mark.parametrize("config", [None, {}, {"resolution": 100}, [], {"resolution": 8, "channels": 5}])
def test_descriptions_that_make_no_sense(saved, config):
    rewritten(saved, change_metadata=lambda metadata: metadata.update(config=config))
    with pytest.raises(InputError, match="description of the generator"):
        load_generator(saved)


def test_description_without_configuration(saved):
    rewritten(saved, change_metadata=lambda metadata: metadata.pop("config"))
    with pytest.raises(InputError, match="description of the generator"):
        load_generator(saved)


@pytest.mark.parametrize("text", ["{", json.dumps([1])])
def test_damaged_description(tmp_path, text):
    path = tmp_path / "x.safetensors"
    save_file({"x": torch.ones(1)}, path, metadata={tensors.METADATA_KEY: text})
    with pytest.raises(InputError, match="description inside"):
        load_tensors(path)
