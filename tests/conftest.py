"""Tiny fakes: real classes with few, random weights, so that tests take seconds and need no download."""

from __future__ import annotations

import copy
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import settings

from ipl_core.clip.model import CONFIG_FILE, WEIGHTS_FILE, WORDS_FILE, Critic, load_critic
from ipl_core.generators.encoder import EncoderConfig, PictureEncoder, save_encoder
from ipl_core.generators.files import save_generator
from ipl_core.generators.stylegan2.network import Generator, GeneratorConfig
from ipl_core.storage import apart
from ipl_core.studio.judge import Judge, save_judge
from ipl_core.studio.reading import AttributeReader, ReaderConfig, save_reader
from ipl_core.studio.world.subject import DOGS, LATENT_WIDTH, PEOPLE

# The same examples each time: what passes here passes elsewhere. HYPOTHESIS_PROFILE=explore looks further.
settings.register_profile("repeatable", deadline=None, derandomize=True, database=None)
settings.register_profile("explore", deadline=None, max_examples=1000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))

TINY_CLIP = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "patch_size": 8, "width": 32, "layers": 2, "head_width": 16},
    "text_cfg": {"context_length": 32, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
}
PREPROCESSING = {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}
TINY_GENERATOR = GeneratorConfig(
    resolution=32, z_dim=16, w_dim=16, mapping_layers=2, channels=((4, 8), (8, 8), (16, 8), (32, 4))
)


@pytest.fixture(scope="session", autouse=True)
def no_finished_models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Libraries begin empty: the finished models that come with the app are switched off, `ship` makes a test's own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IPL_SHIPPED", str(tmp_path_factory.mktemp("finished") / "none"))
        yield


def save_tiny_critic(folder: Path, words: dict[str, Any] | None = None, **changes: Any) -> Path:
    """Write a critic with random weights as the embedded one is stored.

    words: closes its vocabulary. changes: to open_clip's description of it, such as another `embed_dim`.
    """
    import open_clip
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = open_clip.CLIP(**{**TINY_CLIP, **changes})
    save_file({name: tensor.half().contiguous() for name, tensor in model.state_dict().items()}, folder / WEIGHTS_FILE)
    description = {"model_cfg": {**TINY_CLIP, **changes}, "preprocess_cfg": PREPROCESSING}
    (folder / CONFIG_FILE).write_text(json.dumps(description), encoding="utf-8")
    if words is not None:
        (folder / WORDS_FILE).write_text(json.dumps(words), encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def make_critic_folder() -> Callable[..., Path]:
    """`save_tiny_critic`, for tests that need a critic's files or a closed vocabulary."""
    return save_tiny_critic


@pytest.fixture
def tiny_clip_config() -> dict[str, Any]:
    """open_clip's description of the tiny critic; a copy that may be changed."""
    return copy.deepcopy(TINY_CLIP)


@pytest.fixture(scope="session")
def critic_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny critic of open vocabulary."""
    return save_tiny_critic(tmp_path_factory.mktemp("critics") / "tiny-clip")


@pytest.fixture(scope="session")
def tiny_critic(critic_folder: Path) -> Critic:
    """A real CLIP of two thin layers for 32×32 pictures, random weights, open vocabulary."""
    return load_critic(critic_folder)


@pytest.fixture
def tiny_generator() -> Generator:
    """A real StyleGAN2 of 32×32 pixels with few channels, random weights, frozen; a new one for every test."""
    generator = Generator(TINY_GENERATOR, generator=torch.Generator().manual_seed(0))
    return generator.eval().requires_grad_(False)


@pytest.fixture
def read_in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reads the files of other programs here, where a test reads many: a process for each takes more than a second."""
    limits = ("seconds", "memory", "remember")

    def read(reader: Callable[..., Any], path: Path, stop: object = None, **options: Any) -> Any:
        return reader(Path(path), **{name: value for name, value in options.items() if name not in limits})

    monkeypatch.setattr(apart, "read", read)


@pytest.fixture
def rng() -> torch.Generator:
    """A seeded source of random numbers."""
    return torch.Generator().manual_seed(0)


@pytest.fixture(scope="session")
def tiny_pretrained(tmp_path_factory: pytest.TempPathFactory, critic_folder: Path) -> Path:
    """A folder as `pretrained/` is: tiny generators "studio" and "studio-dogs", a judge for each, one tiny critic."""
    folder = tmp_path_factory.mktemp("pretrained")
    for seed, (subject, file) in enumerate(((PEOPLE, "tiny-generator.safetensors"), (DOGS, "tiny-dogs.safetensors"))):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            judge = Judge(subject)
        save_judge(judge.eval(), folder / f"judge-{subject.name}.safetensors", {})
        save_generator(Generator(TINY_GENERATOR, generator=torch.Generator().manual_seed(seed)), folder / file)
    registry = {
        "generators": {
            "studio": {
                "file": "tiny-generator.safetensors",
                "critic": "studio",
                "judge": "studio-people",
                "source": "photo",
                "licence": "made by tests",
                "sha256": hashlib.sha256((folder / "tiny-generator.safetensors").read_bytes()).hexdigest(),
            },
            "studio-dogs": {
                "file": "tiny-dogs.safetensors",
                "critic": "studio",
                "judge": "studio-dogs",
                "source": "photo",
                "faces": False,
                "licence": "made by tests",
            },
        },
        "critics": {"studio": {"dir": str(critic_folder)}},
        "judges": {
            "studio-people": {"file": "judge-people.safetensors"},
            "studio-dogs": {"file": "judge-dogs.safetensors"},
        },
    }
    (folder / "registry.json").write_text(json.dumps(registry), encoding="utf-8")
    return folder


@pytest.fixture
def studio(tiny_pretrained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Points the catalog at the tiny models and the library at an empty folder of its own, which it gives."""
    monkeypatch.setenv("IPL_PRETRAINED", str(tiny_pretrained))
    monkeypatch.setenv("IPL_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def studio_of_sitters(studio: Path, tiny_pretrained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same with generators whose latents have a number for each attribute of a sitter, as embedded ones have."""
    folder = tmp_path / "pretrained"
    shutil.copytree(tiny_pretrained, folder)
    registry = json.loads((folder / "registry.json").read_text(encoding="utf-8"))
    shape = replace(TINY_GENERATOR, z_dim=LATENT_WIDTH, w_dim=LATENT_WIDTH)
    for seed, facts in enumerate(registry["generators"].values()):
        save_generator(Generator(shape, generator=torch.Generator().manual_seed(seed)), folder / facts["file"])
        facts.pop("sha256", None)
    (folder / "registry.json").write_text(json.dumps(registry), encoding="utf-8")
    monkeypatch.setenv("IPL_PRETRAINED", str(folder))
    return studio


@pytest.fixture
def readable(studio_of_sitters: Path) -> Path:
    """The model “studio” with a tiny reader and a tiny encoder of its own."""
    folder = Path(os.environ["IPL_PRETRAINED"])
    registry = json.loads((folder / "registry.json").read_text(encoding="utf-8"))
    shape = EncoderConfig(2 * 3 + 1 + 1, LATENT_WIDTH, 16, (4, 8), 8)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        save_reader(AttributeReader(PEOPLE, ReaderConfig(16, (4, 8), 8)), folder / "reader.safetensors", {})
        save_encoder(PictureEncoder(shape), folder / "encoder.safetensors", {})
    registry["readers"] = {"people": {"file": "reader.safetensors"}}
    registry["encoders"] = {"people": {"file": "encoder.safetensors"}}
    registry["generators"]["studio"] |= {"reader": "people", "encoder": "people"}
    (folder / "registry.json").write_text(json.dumps(registry), encoding="utf-8")
    return studio_of_sitters
