"""Files made to do harm: each ends in a sentence, soon and in little memory, whatever it claims to be."""

from __future__ import annotations

import io
import json
import pickle
import struct
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fakes import foreign_files as foreign
from PIL import Image, PngImagePlugin

from ipl_core.drawing.rendering import read_latents
from ipl_core.errors import InputError
from ipl_core.generators.e4e import read_released
from ipl_core.generators.encoder import load_encoder
from ipl_core.generators.files import load_generator, read_foreign
from ipl_core.generators.stylegan2.network import GeneratorConfig
from ipl_core.pictures import reading as pictures
from ipl_core.storage.tensors import METADATA_KEY, load_tensors, read_metadata, save_tensors

SMALL = {4: 6, 8: 4}
MOST_SECONDS = 10.0  # of processor time; most take a tenth of one
MOST_CHARACTERS = 600


def refused(read: Callable[[Path], Any], path: Path, says: str = "") -> str:
    """The sentence that `read` refuses a file with, which is short, can be written, and comes soon."""
    begin = time.process_time()
    with pytest.raises(InputError, match=says or None) as caught:
        read(path)
    assert time.process_time() - begin < MOST_SECONDS
    sentence = str(caught.value)
    sentence.encode()
    assert len(sentence) <= MOST_CHARACTERS
    assert len(sentence.splitlines()) == 1
    return sentence


def doubled(times: int = 40) -> tuple[Any, ...]:
    """A tuple that takes a few bytes in a file and a terabyte where it is written out, compared or hashed."""
    value: tuple[Any, ...] = ("x",)
    for _ in range(times):
        value = (value, value)
    return value


# ----------------------------------------------------------------------------------------------------------------------
# Values without end in the fields of a module


def _field(place: str, name: str, value: Any) -> Callable[[Path], Path]:
    def write(path: Path) -> Path:
        generator = foreign.nvidia_generator(SMALL)
        generator.get_submodule(place).__dict__[name] = value
        return foreign.write_nvidia(path, {"G_ema": generator})

    return write


@pytest.mark.parametrize(
    ("place", "name"),
    [
        *(("mapping", "c_dim"), ("synthesis.b8", "architecture"), ("synthesis.b8.conv0", "activation")),
        *(("synthesis.b8.conv0", "conv_clamp"), ("mapping.fc0", "bias_gain"), ("synthesis", "img_channels")),
    ],
)
@pytest.mark.parametrize("value", [doubled(), "x" * 1_000_000, 7**300, [[]] * 1000, {"a": doubled()}], ids="abcde")
def test_fields_are_quoted_only_where_they_are_short(place: str, name: str, value: Any, tmp_path: Path) -> None:
    refused(read_foreign, _field(place, name, value)(tmp_path / "network.pkl"), "can't be read")


def test_a_small_file_with_a_vast_label_is_refused_in_a_process_of_its_own(tmp_path: Path) -> None:
    path = _field("mapping", "c_dim", doubled())(tmp_path / "network.pkl")
    refused(load_generator, path, "conditional")


def test_names_and_keys_and_storages_without_end(tmp_path: Path) -> None:
    long, twice = "x" * 1_000_000, doubled()
    call = lambda *operands: pickle.dumps(operands, 2)[2:-1]  # noqa: E731
    for program in (
        b"\x80\x02}(" + call(long)[:-1] + b"K\x01" + call(twice)[:-1] + b"K\x02" + call(10**200)[:-1] + b"K\x03u.",
        pickle.dumps({"g_ema": {"conv1.conv.weight": 1, long: 1}}),
        b"\x80\x02c" + long[:60_000].encode() + b"\nx\n.",
        b"\x80\x04" + b"X" + struct.pack("<I", len(long)) + long.encode() + b"\x8c\x01x\x93.",
        b"\x80\x02ctorch_utils.persistence\n_reconstruct_persistent_obj\n"
        + call({"class_name": twice, "state": {"_modules": {}}}) + b"R.",
        b"\x80\x02cnumpy.core.multiarray\nscalar\ncnumpy\ndtype\n" + call(twice) + b"R\x85R.",
        b"\x80\x02}X\x05\0\0\0g_emacbuiltins\nset\n(" + call(twice) + b"tRs.",
        b"\x80\x02(X\x07\0\0\0storagectorch.nn\n" + long[:150].encode() + b"\n" + call(1)[1:] + b"K\0K\0tQ.",
    ):  # fmt: skip
        path = tmp_path / "a.pkl"
        path.write_bytes(program)
        refused(read_foreign, path)


# ----------------------------------------------------------------------------------------------------------------------
# Programs without end


def _tree(depth: int, width: int) -> Any:
    """A module whose parts are all the same module, and so on downwards: width^depth modules in a file of little."""
    module = foreign.Layer("Block")
    for _ in range(depth):
        outer = foreign.Layer("Block")
        for number in range(width):
            outer.add_module(f"m{number}", module)
        module = outer
    return module


@pytest.mark.parametrize(("depth", "width"), [(7, 100), (30, 40), (1, 20_000)])
def test_a_tree_that_hangs_one_module_into_many_places(depth: int, width: int, tmp_path: Path) -> None:
    generator = foreign.nvidia_generator(SMALL)
    generator.synthesis.extra = _tree(depth, width)
    refused(read_foreign, foreign.write_nvidia(tmp_path / "a.pkl", {"G_ema": generator}), "modules|no names|tensors")


def _deep_call(depth: int) -> bytes:
    """A tensor of a class of its own, in which there is one of a class of its own, and so on."""
    name = b"ctorch._tensor\n_rebuild_from_type_v2\n"
    return b"\x80\x02" + name + name + b"N)\x87" + (b"q\x000" + name + b"Nh\x00\x87") * depth + b"R."


@pytest.mark.parametrize(
    "program",
    [
        b"\x80\x02" + b"]" * 20_000_000 + b".",
        b"\x80\x02](" + b"]" * 20_000_000 + b"e.",
        b"\x80\x02" + b"(" * 20_000_000 + b".",
        b"\x80\x02N" + b"\x85" * 20_000_000 + b".",
        # A list of 100,000 that is copied 100,000 times
        b"\x80\x02](" + b"N" * 100_000 + b"eq\0" + b"cbuiltins\nset\nh\0\x85R0" * 100_000 + b"N.",
        b"\x80\x02](" + b"N" * 100_000 + b"eq\0" + b"ccollections\nOrderedDict\nh\0\x85R0" * 100_000 + b"N.",
        # A text of a megabyte that becomes bytes 100,000 times
        b"\x80\x02X" + struct.pack("<I", 2**20) + b"x" * 2**20 + b"q\0"
        + b"c_codecs\nencode\nh\0X\x06\0\0\0latin1\x86R" * 100_000 + b".",
        # Keys that all have the same hash, 2^61 - 1 being 0
        b"\x80\x02}(" + b"".join(
            b"\x8a\x0f" + (number * (2**61 - 1)).to_bytes(15, "little") + b"N" for number in range(1, 100_000)
        ) + b"u.",
        b"\x80\x02\x8b" + struct.pack("<i", 10_000_000) + b"\x7f" * 10_000_000 + b".",
        b"\x80\x02I" + b"9" * 60_000 + b"\n.",
        b"\x80\x02L" + b"9" * 4000 + b"L\n.",
        b"\x80\x02I" + b"9" * 10_000_000 + b"\n.",
        b"\x80\x02V" + b"\\u0041" * 10_000_000 + b"\n.",
        b"\x80\x02N" + b"".join(b"p%d\n" % number for number in range(600_000)) + b".",
        _deep_call(5000),
    ],
    ids=lambda program: f"{len(program)} bytes",
)  # fmt: skip
def test_programs_of_many_steps_and_large_numbers(program: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.pkl"
    path.write_bytes(program)
    refused(read_foreign, path, "can't be read")


def test_a_real_checkpoint_is_far_within_the_bounds(tmp_path: Path) -> None:
    """A generator of 1024×1024 in depth, if not in width, with its discriminator's and optimisers' many tensors."""
    channels = {2**power: 4 for power in range(2, 11)}
    state = foreign.rosinality_state(channels, width=8, mapping_layers=8)
    moments = {k: {"step": 1000, "exp_avg": t.clone(), "exp_avg_sq": t.clone()} for k, t in enumerate(state.values())}
    optimiser = {"state": moments, "param_groups": [{"lr": 0.002, "betas": (0.0, 0.99), "params": list(range(300))}]}
    contents = {"g": state, "d": state, "g_ema": state, "g_optim": optimiser, "d_optim": optimiser}
    for zipped in (True, False):
        path = tmp_path / f"{zipped}.pt"
        torch.save(contents, path, _use_new_zipfile_serialization=zipped)
        tensors, description = read_foreign(path)
        assert description["config"]["resolution"] == 1024
        assert torch.equal(tensors["synthesis.layers.16.weight"], state["convs.15.conv.weight"][0])
    path = foreign.write_nvidia(
        tmp_path / "ffhq.pkl", {name: foreign.nvidia_generator(channels, mapping_layers=8) for name in ("G", "G_ema")}
    )
    assert read_foreign(path)[1]["config"]["mapping_layers"] == 8


# ----------------------------------------------------------------------------------------------------------------------
# Tensors and archives that claim too much


def _archive(path: Path, program: bytes, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", program)
        for name, content in members.items():
            archive.writestr(f"archive/{name.replace('__', '/')}", content)
    return path


def _tensor(key: int, count: int, shape: bytes, stride: bytes) -> bytes:
    return (
        b"ctorch._utils\n_rebuild_tensor_v2\n((X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\0%dX\x03\0\0\0cpuJ%s"
        b"tQK\0%s%s\x89ccollections\nOrderedDict\n)RtR"
    ) % (key, struct.pack("<i", count), shape, stride)


def test_a_shape_of_a_million_dimensions(tmp_path: Path) -> None:
    places = b"(" + b"K\xff" * 50_000 + b"t"
    program = b"\x80\x02}X\x05\0\0\0g_ema" + _tensor(0, 16, places, places) + b"s."
    refused(read_foreign, _archive(tmp_path / "a.pt", program, data__0=bytes(64)), "dimensions")


def test_many_windows_into_one_large_storage(tmp_path: Path) -> None:
    window = _tensor(0, 2_500_000, b"K\x04K\x04\x86", b"K\x04K\x01\x86")
    names = [b"conv1.conv.weight", *(b"convs.%d.conv.blur.kernel" % number for number in range(5000))]
    items = b"".join(b"X" + struct.pack("<I", len(name)) + name + window for name in names)
    program = b"\x80\x02}X\x05\0\0\0g_ema}(" + items + b"us."
    refused(read_foreign, _archive(tmp_path / "a.pt", program, data__0=bytes(10_000_000)))


def test_an_archive_of_very_many_members(tmp_path: Path) -> None:
    entry = struct.pack("<4s4B4HL2L5H2L", b"PK\1\2", 20, 0, 20, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0) + b"a"
    directory = entry * 400_000
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, len(directory), 30, 0)
    (tmp_path / "a.pt").write_bytes(b"PK\3\4" + bytes(26) + directory + end)
    refused(read_foreign, tmp_path / "a.pt", "directory of more than 4 MB")


# ----------------------------------------------------------------------------------------------------------------------
# Safetensors and what they say of themselves


def _safetensors(path: Path, header: Any, numbers: bytes = b"") -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + numbers)
    return path


def _described(path: Path, **config: Any) -> Path:
    description = json.dumps({"kind": "generator", "config": {"resolution": 8, **config}})
    return _safetensors(path, {"__metadata__": {METADATA_KEY: description}})


@pytest.mark.parametrize(
    "config",
    [
        *({"mapping_layers": 10**9}, {"mapping_layers": 65}, {"mapping_layers": True}, {"mapping_layers": 2.0}),
        *({"z_dim": 4097}, {"w_dim": 10**12}, {"w_dim": 10**400}, {"w_dim": "512"}, {"resolution": 2**40}),
        *({"resolution": "8" * 100_000}, {"resolution": [8]}, {"conv_clamp": float("nan")}, {"conv_clamp": True}),
        *(
            {"channels": [[4, 10**9], [8, 4]]},
            {"channels": [[4, 8]] * 100_000},
            {"channels": [[4, 8], [8, "9" * 5000]]},
        ),
        *({"channels": 8}, {"channels": [4, 8]}, {"channels": {"4": 8}}, {"channels": [[4, 8, 1], [8, 4, 1]]}),
        *({"x" * 100_000: 1}, {f"field {number}": number for number in range(10_000)}, {"": None}),
    ],
    ids=lambda config: str(config)[:40],
)
def test_generators_that_could_not_be_built_are_refused_at_once(config: dict[str, Any], tmp_path: Path) -> None:
    refused(load_generator, _described(tmp_path / "a.safetensors", **config), "description of the generator")
    with pytest.raises(InputError):
        GeneratorConfig.from_dict({"resolution": 8, **config})


@pytest.mark.parametrize(
    "text",
    [
        *("[" * 100_000, "[" * 50 + "]" * 50, '{"a":' * 900 + "1" + "}" * 900, "9" * 10_000, '{"kind": 1' + "0" * 5000),
        *('{"kind": "\\ud800"}', "[1, 2]", "", "nul", '{"kind": NaN, "config": Infinity}', '{"kind": {"a": [[[]]]}}'),
    ],
    ids=lambda text: text[:20],
)
def test_descriptions_that_are_none(text: str, tmp_path: Path) -> None:
    refused(load_generator, _safetensors(tmp_path / "a.safetensors", {"__metadata__": {METADATA_KEY: text}}))


def test_headers_without_end(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    whole = {"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}
    refused(read_metadata, _safetensors(path, {"__metadata__": {METADATA_KEY: "x" * 5_000_000}}), "header has 4.8 MB")
    many = {f"t{number}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for number in range(20_000)}
    refused(load_tensors, _safetensors(path, many), "20000 tensors")
    deep = {"a": {"dtype": "F32", "shape": [1] * 100_000, "data_offsets": [0, 4]}}
    refused(load_tensors, _safetensors(path, deep, bytes(4)), "100000 dimensions")
    refused(load_tensors, _safetensors(path, {"x" * 1000: whole["a"]}, bytes(4)), "name of 1000 characters")
    refused(load_tensors, _safetensors(path, b"{" * 1_000_000))
    for kind in ("F8_E4M3", "F4", "C64", "BF16", "nothing", 7):
        _safetensors(path, {"a": {"dtype": kind, "shape": [2**40, 2**40], "data_offsets": [0, 4]}}, bytes(4))
        refused(load_tensors, path)


@pytest.mark.parametrize(
    "config",
    [
        *({"rows": 10**9, "w_dim": 8}, {"rows": 4096, "w_dim": 4096, "features": 4096}, {"rows": True, "w_dim": 8}),
        *({"rows": 8, "w_dim": 8, "widths": [4096] * 1000}, {"rows": 8, "w_dim": 8, "widths": "wide"}, [], None),
    ],
    ids=lambda config: str(config)[:40],
)
def test_encoders_that_could_not_be_built(config: Any, tmp_path: Path) -> None:
    save_tensors({"a": torch.zeros(1)}, tmp_path / "a.safetensors", {"kind": "encoder", "config": config})
    refused(load_encoder, tmp_path / "a.safetensors")


@pytest.mark.parametrize(
    "changes",
    [
        *({"opts": {"encoder_type": doubled()}}, {"opts": {"encoder_type": "x" * 1_000_000}}),
        *({"latent_avg": doubled()}, {"state_dict": doubled()}),
        {"state_dict": {"encoder.input_layer.0.weight": 1, f"encoder.styles.{'9' * 5000}.linear.weight": 1}},
        {"state_dict": {"encoder.input_layer.0.weight": torch.zeros(1), f"encoder.{'x' * 100_000}": doubled()}},
        {"state_dict": {f"encoder.{number}": None for number in range(20_000)} | {"encoder.input_layer.0.weight": 1}},
    ],
    ids=lambda changes: str(list(changes)),
)
def test_published_encoders_of_odd_values(changes: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "e4e.pt"
    torch.save({**foreign.e4e_contents(), **changes}, path)
    refused(read_released, path)


# ----------------------------------------------------------------------------------------------------------------------
# Arrays of latents


def _npy(header: str, numbers: bytes = bytes(512)) -> bytes:
    text = header.encode() + b"\n"
    return b"\x93NUMPY\x02\x00" + struct.pack("<I", len(text)) + text + numbers


def _archive_of_arrays(**arrays: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.savez_compressed(out, **arrays)
    return out.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        *(
            _npy(f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}")
            for kind, shape in (
                *(("<f4", "(-1, 8)"), ("<f4", "(-2, -8)"), ("<f4", "(2, -8)"), ("<f4", f"({2**62}, {2**62})")),
                *(("<f4", "(4611686018427387904, 8)"), ("<f4", f"({'1, ' * 100_000})"), ("<f4", "(True, 8)")),
                *(("<f4", "8"), ("<f4", "('a', 8)"), ("<f4", f"({'9' * 5000}, 8)"), ("<f0", "(2, 8)")),
                ("|O", "(2, 8)"),
                *(("<f4,<f4", "(2, 8)"), ("<M8[s]", "(2, 8)"), ("<U1000000000", "(2, 8)"), ("x" * 5000, "(2, 8)")),
                *(("<c8", "(2, 8)"), ("|V4", "(2, 8)"), ("<f4", "(2, 8, 0)"), ("<f4", "()")),
            )
        ),
        *(_npy("(" * 10_000), _npy("{" * 5000 + "}" * 5000), _npy("[" * 9000 + "]" * 9000), _npy("{'descr': " * 500)),
        *(_npy("{}"), _npy(""), _npy("\0"), b"\x93NUMPY\x09\x00" + bytes(100), b"\x93NUMPY\x02\x00\xff\xff\xff\x7f{"),
        *(b"", b"PK\x03\x04", _archive_of_arrays(a=np.zeros(3_000_000)), pickle.dumps(np.zeros((2, 8)))),
    ],
    ids=lambda content: f"{content[:60]!r}",
)  # fmt: skip
def test_arrays_that_are_none(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    path.write_bytes(content)
    refused(lambda file: read_latents(file, "w", GeneratorConfig(8, w_dim=8, z_dim=8)), path)


@pytest.mark.parametrize("kind", ["<f4", ">f4", ">f8", "<f2", ">i4", "|u1"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_of_every_order_are_read_as_numpy_reads_them(kind: str, order: str, tmp_path: Path) -> None:
    array = np.asarray(np.arange(24).reshape(3, 8), dtype=kind, order=order)
    np.save(tmp_path / "a.npy", array)
    latents = read_latents(tmp_path / "a.npy", "w", GeneratorConfig(8, w_dim=8, z_dim=8))
    assert np.array_equal(latents.numpy(), np.load(tmp_path / "a.npy").astype(np.float32))


# ----------------------------------------------------------------------------------------------------------------------
# Pictures


def _png(size: tuple[int, int] = (40, 40), mode: str = "RGB", **options: Any) -> bytes:
    out = io.BytesIO()
    Image.new(mode, size, 1).save(out, "PNG", **options)
    return out.getvalue()


def test_a_large_profile_or_text_spoils_no_picture(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    notes = PngImagePlugin.PngInfo()
    notes.add_text("Comment", "x" * 2_000_000, zip=True)
    for options in ({"icc_profile": bytes(2_000_000)}, {"pnginfo": notes}, {"icc_profile": bytes(20_000_000)}):
        path.write_bytes(_png(**options))
        assert pictures.read_picture(path).size == (40, 40)


def test_a_format_whose_decoder_copies_has_a_bound_of_its_own(tmp_path: Path) -> None:
    picture = io.BytesIO()
    Image.new("RGB", (6000, 5000)).save(picture, "WEBP", lossless=True, method=0, quality=0)
    (tmp_path / "a.webp").write_bytes(picture.getvalue())
    refused(pictures.read_picture, tmp_path / "a.webp", "save it as JPEG")
