"""Whatever bytes a file has, reading it ends soon, in a result or in a short sentence: properties of every parser."""

from __future__ import annotations

import functools
import io
import json
import random
import struct
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fakes import foreign_files as foreign
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from ipl_core.clip.model import load_critic
from ipl_core.drawing.people_by_seed import SeedPerson
from ipl_core.drawing.rendering import read_latents
from ipl_core.errors import InputError
from ipl_core.generators.e4e import read_released
from ipl_core.generators.encoder import EncoderConfig, PictureEncoder, load_encoder, save_encoder
from ipl_core.generators.files import load_generator, read_foreign, save_generator
from ipl_core.generators.stylegan2.network import Generator, GeneratorConfig
from ipl_core.library import inversions
from ipl_core.library.import_export import export_generator, import_generator
from ipl_core.library.inversions import drawn_person
from ipl_core.methods.config import AdaptConfig
from ipl_core.models import catalog
from ipl_core.pictures.media import read_settings
from ipl_core.pictures.reading import read_picture, read_smaller
from ipl_core.storage.tensors import METADATA_KEY, load_tensors, save_tensors
from ipl_core.storage.weights import read_weights

pytestmark = [
    pytest.mark.usefixtures("read_in_process"),
    # What Python and Pillow say of odd files, where they read on.
    pytest.mark.filterwarnings("ignore:invalid escape sequence", "ignore:Duplicate name", "ignore::UserWarning:PIL"),
]

SMALL = {4: 6, 8: 4}
MOST_SECONDS, MOST_CHARACTERS = 5.0, 600


def examples(count: int) -> Callable[[Any], Any]:
    """The same `count` examples every time, in one folder each."""
    calm = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
    return settings(max_examples=count, deadline=None, derandomize=True, database=None, suppress_health_check=calm)


def ends(read: Callable[[Path], Any], content: bytes, name: str = "a.file") -> Any:
    """What `read` gives of a file of these bytes, None if that is a sentence; it comes soon."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        begin = time.process_time()
        result, sentence = None, "none"
        try:
            result = read(path)
        except InputError as error:
            sentence = str(error)
        assert len(sentence.encode()) <= MOST_CHARACTERS
        assert len(sentence.splitlines()) == 1
        assert time.process_time() - begin < MOST_SECONDS
        return result


def damaged(whole: bytes, seed: int, focus: tuple[int, int] | None = None) -> bytes:
    """`whole` with a few bytes changed, moved, doubled or left out, half of them within `focus`."""
    chance, data = random.Random(seed), bytearray(whole)
    for _ in range(chance.randint(1, 4)):
        low, high = focus if focus and chance.random() < 0.6 else (0, len(data))
        where = min(chance.randrange(low, max(high, low + 1)), len(data) - 1)
        match chance.randrange(5):
            case 0:
                data[where] = chance.randrange(256)
            case 1:
                data[where : where + 4] = struct.pack("<I", chance.choice([0, 1, 2**31 - 1, 2**32 - 1, 2**16]))
            case 2:
                del data[where : where + chance.randint(1, 40)]
            case 3:
                data[where:where] = data[where : where + chance.randint(1, 400)]
            case _:
                data[where] ^= 1 << chance.randrange(8)
        if not data:
            break
    return bytes(data)


SEEDS = st.integers(0, 2**32)
#: JSON as strangers write it, with numbers beyond all bounds.
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**6), 10**6)
    | st.sampled_from(
        [10**30, -(10**400), 2**63, 1e300, float("nan"), float("inf"), "\ud800", "\u202e", "\0", "x" * 5000]
    )
    | st.floats()
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@functools.cache
def whole_file(kind: str) -> bytes:
    """One small good file of each kind."""
    out, state = io.BytesIO(), foreign.rosinality_state(SMALL)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a"
        match kind:
            case "new.pt" | "old.pt":
                torch.save({"g_ema": state}, out, _use_new_zipfile_serialization=kind == "new.pt")
                return out.getvalue()
            case "ada.pkl":
                return foreign.write_nvidia(path, {"G_ema": foreign.nvidia_generator(SMALL)}).read_bytes()
            case "e4e.pt":
                torch.save(foreign.e4e_contents(), out, _use_new_zipfile_serialization=False)
                return out.getvalue()
            case "lpips.pth":
                torch.save(foreign.lpips_state(), out)
                return out.getvalue()
            case "generator":
                shape = GeneratorConfig(8, z_dim=8, w_dim=8, mapping_layers=2, channels=((4, 6), (8, 4)))
                save_generator(Generator(shape, generator=torch.Generator().manual_seed(0)), path)
            case "encoder":
                shape = EncoderConfig(rows=4, w_dim=8, resolution=32, widths=(8, 8), features=8)
                save_encoder(PictureEncoder(shape), path, {})
        return path.read_bytes()


def program_of(whole: bytes) -> tuple[int, int]:
    """Where the pickle lies in a file, in which damage hurts most."""
    start = max(0, whole.find(b"\x80\x02" if b"\x80\x02" in whole[:4000] else b"\x80"))
    return start, min(len(whole), start + 6000)


@pytest.mark.parametrize("kind", ["new.pt", "old.pt", "ada.pkl"])
@examples(60)
@given(seed=SEEDS)
def test_damaged_pickles_of_generators(kind: str, seed: int) -> None:
    whole = whole_file(kind)
    ends(load_generator, damaged(whole, seed, program_of(whole)))


@examples(40)
@given(seed=SEEDS)
def test_damaged_files_of_encoders_and_distances(seed: int) -> None:
    released = whole_file("e4e.pt")
    ends(read_released, damaged(released, seed, program_of(released)))
    ends(load_encoder, damaged(whole_file("encoder"), seed, (0, 2500)))
    ends(read_weights, damaged(whole_file("lpips.pth"), seed, program_of(whole_file("lpips.pth"))))


#: Instructions of a pickle with operands that make sense often enough to get somewhere.
_STEPS = st.one_of(
    st.sampled_from(
        [
            *(
                bytes([code])
                for code in b"(.0129NItRbas}]e){u|ocijlpqrg\x81\x85\x86\x87\x88\x89\x8f\x90\x91\x92\x93\x94"
            ),
            b"ctorch._utils\n_rebuild_tensor_v2\n",
            b"ccollections\nOrderedDict\n",
            b"cbuiltins\nset\n",
            b"c_codecs\nencode\n",
            b"ctorch_utils.persistence\n_reconstruct_persistent_obj\n",
            b"ctorch._tensor\n_rebuild_from_type_v2\n",
            b"ctorch.storage\n_load_from_bytes\n",
            b"cnumpy.core.multiarray\nscalar\n",
            b"ctorch.nn\nModule\n",
            b"Q",
            b"X\x05\x00\x00\x00g_ema",
            b"X\x05\x00\x00\x00G_ema",
            b"X\x05\x00\x00\x00state",
            b"X\x08\x00\x00\x00_modules",
            b"X\x07\x00\x00\x00mapping",
            b"X\x07\x00\x00\x00storage",
            b"ctorch\nFloatStorage\n",
            b"X\x11\x00\x00\x00conv1.conv.weight",
            b"2\x86",
            b"q\x00",
            b"h\x00",
        ]
    ),
    st.integers(0, 255).map(lambda number: b"K" + bytes([number])),
    st.integers(-(2**2000), 2**2000).map(
        lambda n: b"\x8b" + struct.pack("<i", 256) + n.to_bytes(256, "little", signed=True)
    ),
    st.binary(max_size=6),
    st.text(max_size=6).map(lambda text: b"X" + struct.pack("<I", len(text.encode())) + text.encode()),
)


@examples(250)
@given(steps=st.lists(_STEPS, max_size=40), zipped=st.booleans())
def test_programs_of_any_instructions(steps: list[bytes], zipped: bool) -> None:
    program = b"\x80\x04" + b"".join(steps) + b"."
    if zipped:
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as archive:
            archive.writestr("archive/data.pkl", program)
            archive.writestr("archive/data/0", bytes(64))
        program = out.getvalue()
    ends(read_foreign, program)
    ends(read_released, program)
    ends(read_weights, program)


@examples(100)
@given(
    names=st.lists(st.text(max_size=8).map(lambda name: f"archive/{name}"), max_size=5),
    contents=st.binary(max_size=30),
    compress=st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]),
    seed=SEEDS,
)
def test_archives_of_anything(names: list[str], contents: bytes, compress: int, seed: int) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compress) as archive:
        for name in ("archive/data.pkl", *names):
            archive.writestr(name.encode("utf-8", "replace").decode(), contents)
    ends(read_foreign, out.getvalue())
    ends(read_foreign, damaged(out.getvalue(), seed))


# ----------------------------------------------------------------------------------------------------------------------
# Safetensors


_ENTRIES = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from(["F32", "F16", "BF16", "I64", "U8", "BOOL", "F8_E4M3", "C64", "F4", "", 3]),
        "shape": st.lists(st.sampled_from([0, 1, 2, 4, -1, 2**40, 2**63]), max_size=12),
        "data_offsets": st.tuples(st.integers(-1, 70), st.integers(-1, 70)),
    }
)


@examples(150)
@given(
    header=st.dictionaries(st.text(max_size=8), _ENTRIES | JSON, max_size=4),
    said=JSON | st.just({"kind": "generator", "config": {"resolution": 8}}),
    length=st.integers(-3, 3),
)
def test_headers_of_anything(header: dict[str, Any], said: Any, length: int) -> None:
    text = json.dumps({**header, "__metadata__": {METADATA_KEY: json.dumps(said)}}).encode()
    content = struct.pack("<Q", len(text) + length) + text + bytes(64)
    ends(load_tensors, content)
    ends(load_generator, content)
    ends(load_encoder, content)


@examples(100)
@given(
    config=st.dictionaries(
        st.sampled_from(["resolution", "z_dim", "w_dim", "mapping_layers", "channels", "conv_clamp", "extra"]),
        JSON | st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9))),
    )
)
def test_descriptions_of_anything(config: dict[str, Any]) -> None:
    built = ends(lambda path: GeneratorConfig.from_dict(config), b"")
    assert built is None or built.resolution <= 2048


@examples(60)
@given(seed=SEEDS)
def test_damaged_safetensors(seed: int) -> None:
    whole = whole_file("generator")
    ends(load_generator, damaged(whole, seed, (0, 3000)))


# ----------------------------------------------------------------------------------------------------------------------
# Arrays and pictures


@examples(150)
@given(
    header=st.dictionaries(
        st.sampled_from(["descr", "fortran_order", "shape", "more"]),
        st.sampled_from(["<f4", ">f8", "|O", "<U5", [("a", "<f4")], True, None])
        | st.tuples(st.integers(), st.integers())
        | st.lists(st.integers(-2, 9))
        | st.text(max_size=9),
    )
    | st.text(max_size=40),
    seed=SEEDS,
)
def test_arrays_of_anything(header: Any, seed: int) -> None:
    text = (repr(header) if isinstance(header, dict) else header).encode("utf-8", "replace")
    out = io.BytesIO()
    np.save(out, np.zeros((2, 8), np.float32))
    config = GeneratorConfig(8, z_dim=8, w_dim=8)
    for content in (
        b"\x93NUMPY\x02\x00" + struct.pack("<I", len(text)) + text + bytes(64),
        damaged(out.getvalue(), seed),
    ):
        ends(lambda path: read_latents(path, "z", config), content, "a.npy")


@functools.cache
def whole_picture(kind: str) -> bytes:
    """A picture with a profile, EXIF and noise."""
    exif = Image.Exif()
    exif[0x0112] = 6
    out = io.BytesIO()
    picture = Image.effect_noise((70, 50), 60).convert("RGB")
    picture.save(out, kind, exif=exif, icc_profile=bytes(200))
    return out.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@examples(80)
@given(seed=SEEDS)
def test_damaged_pictures(kind: str, seed: int) -> None:
    content = damaged(whole_picture(kind), seed, (0, 300))
    ends(read_picture, content)
    ends(lambda path: read_smaller(path, 32), content)
    ends(read_settings, content)


# ----------------------------------------------------------------------------------------------------------------------
# What files say about people and runs


@pytest.fixture
def latent(studio: Path, tmp_path: Path) -> Path:
    """A latent's file that is sound."""
    person = drawn_person(SeedPerson("studio", 3), catalog.load_generator("studio"))
    return inversions.save(person, tmp_path / "person").path / inversions.INVERTED


def with_settings(path: Path, field: str, value: Any) -> bytes:
    """The latent's file with one of its settings, or of those within them, replaced."""
    tensors, description = load_tensors(path)
    said = json.loads(description["settings"])
    outer, _, inner = field.partition(".")
    if inner:
        said[outer] = {**(said[outer] or {}), inner: value}
    else:
        said[outer] = value
    changed = path.with_name("changed.safetensors")
    save_tensors(tensors, changed, {**description, "settings": json.dumps(said)})
    return changed.read_bytes()


@examples(80)
@given(
    field=st.sampled_from(
        [
            *("name", "version", "created", "config", "critic", "model_sha256", "critic_sha256", "start", "encoder"),
            *("revision", "crop", "steps", "stopped", "seconds", "distances", "identity", "drawn", "format", "extra"),
            *("config.seed", "config.model", "config.space", "config.pixel", "config.new", "distances.pixel"),
            *("steps.tuning", "crop.quad", "crop.note"),
        ]
    ),
    value=JSON,
)
def test_settings_of_anything_leave_a_person_that_can_be_listed(latent: Path, field: str, value: Any) -> None:
    found = ends(inversions.read_latent, with_settings(latent, field, value), "me.safetensors")
    if found is None:
        return
    said = json.dumps(found.settings, allow_nan=False)
    said.encode()
    assert len(said) < 10_000
    assert "extra" not in found.settings
    assert len(found.name) <= 60
    assert found.name.isprintable()
    assert found.title
    assert f"{found.settings['distances']['pixel']:.3f} {found.settings['seconds']:.0f}"


def test_time_and_extra_settings_of_a_file_do_not_stay(latent: Path) -> None:
    changed = with_settings(latent, "extra", ["x" * 1000] * 1000)
    found = ends(inversions.read_latent, changed, "me.safetensors")
    assert len(json.dumps(found.settings)) < 10_000
    found = ends(inversions.read_latent, with_settings(latent, "created", "9999-01-01"), "me.safetensors")
    assert not found.settings["created"].startswith("9999")
    found = ends(inversions.read_latent, with_settings(latent, "name", "Ada\u202egnp.exe\0"), "me.safetensors")
    assert found.name == "Ada gnp.exe"
    for field, value in (("distances.pixel", 10**30), ("seconds", float("nan")), ("name", "\ud800"), ("seconds", True)):
        assert ends(inversions.read_latent, with_settings(latent, field, value), "me.safetensors") is None


@examples(30)
@given(
    field=st.sampled_from([*AdaptConfig.__dataclass_fields__, "new", "model_sha256", "config"]),
    value=JSON,
)
@pytest.mark.usefixtures("studio")
def test_origins_of_anything_are_taken_in_or_refused(tmp_path: Path, field: str, value: Any) -> None:
    from fakes.kept_domains import entry_of

    whole = tmp_path / "whole.safetensors"
    if not whole.exists():
        export_generator(entry_of("zombie", 0.3), whole)
    tensors, description = load_tensors(whole)
    origin = description["adapted"]
    if field in ("model_sha256", "config"):
        origin[field] = value
    else:
        origin["config"][field] = value
    save_tensors(tensors, tmp_path / "changed.safetensors", description)
    entry = ends(
        lambda path: import_generator(path, "studio", target="undead"), (tmp_path / "changed.safetensors").read_bytes()
    )
    if entry is not None:
        assert entry.target == "undead"
        assert "new" not in entry.settings["config"]
        assert "new" not in entry.origin.run
        assert entry.title.isprintable()


@pytest.mark.parametrize("target", [None, 7, ["a"], b"a", "a\0b", "\ud800", "x" * 10_000, "\u202eabc"])
@pytest.mark.usefixtures("studio")
def test_words_of_anything_are_refused(target: Any, tmp_path: Path, tiny_generator: Generator) -> None:
    with torch.no_grad():
        tiny_generator.synthesis.layers[1].bias.add_(0.2)
    save_generator(tiny_generator, tmp_path / "a.safetensors")
    content = (tmp_path / "a.safetensors").read_bytes()
    assert ends(lambda path: import_generator(path, "studio", target=target), content) is None


# ----------------------------------------------------------------------------------------------------------------------
# Critics


@examples(25)
@given(seed=SEEDS, config=st.dictionaries(st.sampled_from(["embed_dim", "vision_cfg", "text_cfg"]), JSON, min_size=1))
def test_damaged_critics(critic_folder: Path, seed: int, config: dict[str, Any]) -> None:
    files = {path.name: path.read_bytes() for path in critic_folder.iterdir()}
    weights, description = "open_clip_model.safetensors", "open_clip_config.json"
    odd = json.loads(files[description])
    odd["model_cfg"] |= config
    for name, content in ((weights, damaged(files[weights], seed, (0, 4000))), (description, json.dumps(odd).encode())):
        with tempfile.TemporaryDirectory() as folder:
            for other, whole in {**files, name: content}.items():
                (Path(folder) / other).write_bytes(whole)
            ends(lambda path, folder=folder: load_critic(folder), b"")
