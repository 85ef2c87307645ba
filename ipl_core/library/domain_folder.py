"""An adapted domain on disk: what its settings say, and the tensors in it. It is a folder, or a finished model's file.

Knows neither the library that lists them nor the models that they were made from.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ..errors import InputError
from ..fields import earlier_values
from ..methods.config import AdaptConfig
from ..storage import folders, stored, words
from ..storage.folders import HISTORY, SETTINGS
from ..storage.paths import as_path, is_folder
from ..storage.tensors import load_tensors
from . import shipped

if TYPE_CHECKING:
    from ..generators.stylegan2.network import Generator

ADAPTED = "adapted.safetensors"  # what an adapted domain's weights are called
SOURCE_PICTURE = "source.png"
SAMPLES_PICTURE = "samples.png"
FILES = (ADAPTED, SETTINGS, HISTORY, SOURCE_PICTURE, SAMPLES_PICTURE)
TRAINING = "training.safetensors"  # where asked for: what the run needs to go on exactly

#: What is measured of a finished model, see `metrics.side_by_side`.
FIGURES = ("judge", "diversity", "attributes", "identity", "distance")

MAX_TITLE = 80  # characters
_MAX_STEPS = 1_000_000  # that an entry's settings may speak of
MAX_READING = 1000  # characters of what a prompt says of a person

KIND = folders.Kind("ipl-studio-run", 1, "adapted domain", "an adaptation", "delete the folder and adapt again")
SHIPPED = replace(KIND, what="finished model", again="restore the file, or make it anew by ipl_core.studio ship")
GENERATOR, PROMPTS = "generator.", "prompts."  # prefixes of tensor names in ADAPTED

#: What the settings that came later mean in runs that were kept before.
EARLIER = earlier_values(AdaptConfig)


def read_shipped(path: Path, read: Callable[..., Any], *more: Any) -> Any:
    """What `read` gives of a finished model's file; damage is an InputError."""
    try:
        return read(path, *more)
    except KeyError as error:
        raise SHIPPED.damaged(path, f"{error} is missing") from error
    except InputError:
        raise
    except (ValueError, TypeError) as error:
        raise SHIPPED.damaged(path, str(error)) from error


def step_file(step: int) -> str:
    """What the weights of an earlier step are called; its path stands for a generator wherever an entry's does."""
    return f"step-{step:05}.safetensors"


def step_picture(step: int) -> str:
    """What the preview of an earlier step is called."""
    return f"step-{step:05}.png"


def read_settings(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What settings.json of an adapted domain says; `path` is its folder, the weights file in it, or a finished model.

    Raises InputError if it is missing or damaged.
    """
    path = place(as_path(path))
    if is_folder(path):
        return KIND.read_settings(path, _check)
    return shipped_settings(path)


def shipped_settings(path: Path) -> dict[str, Any]:
    return SHIPPED.checked(read_shipped(path, shipped.read_settings), path, _check_shipped)


def place(path: Path) -> Path:
    """The folder of an adapted domain that is named by that or by weights in it; of a finished model, its file."""
    return path if is_folder(path) or shipped.is_one(path) else path.parent


def _check(settings: Mapping[str, Any]) -> None:
    """Raises what `Kind.read_settings` takes for damage unless every property of an Entry can be had.

    Also of runs kept by earlier versions: what came later may be missing.
    """
    check_config(settings["config"])
    for name in ("critic", "model_sha256", "critic_sha256"):
        stored.text(settings[name], name, 2000)
    _check_end(settings)
    steps = stored.mapping(settings["steps"], "steps")
    for stage in ("generator", "prompts"):
        stored.whole(steps.get(stage, 0) if stage == "prompts" else steps[stage], f"steps of {stage}", _MAX_STEPS)
    stored.file_facts(settings["weights"], "weights")
    if settings.get("training") is not None:
        stored.file_facts(settings["training"], "training")
    for step, facts in stored.mapping(settings.get("earlier", {}), "earlier").items():
        if not re.fullmatch(r"[1-9][0-9]{0,4}", step):
            raise ValueError(f"{words.quoted(step)} is no earlier step")
        stored.file_facts(facts, f"step {step}")
        _check_diversity(facts.get("diversity"))
    for seed, said in stored.mapping(settings.get("readings", {}), "readings").items():
        if not re.fullmatch(r"0|[1-9][0-9]{0,9}", seed):
            raise ValueError(f"{words.quoted(seed)} in readings is no seed")
        stored.text(said, f"what is read of {seed}", MAX_READING)
    title = stored.text(settings.get("title", ""), "title", MAX_TITLE)
    if not title.isprintable():
        raise ValueError("its title can't be shown")
    if "resumed" in settings:
        origin = stored.mapping(settings["resumed"], "resumed")
        stored.whole(origin["step"], "step resumed at", _MAX_STEPS)
        _ = stored.flag(origin["exactly"], "exactly"), stored.flag(origin["as one run"], "as one run")
    if "imported" in settings:
        facts = stored.mapping(settings["imported"], "imported")
        stored.text(facts["file"], "file imported from", 2000)
        stored.flag(facts["changes mapping"], "changes mapping")
    if "mixed" in settings:
        parts = settings["mixed"]
        if not isinstance(parts, list) or not parts:
            raise ValueError(f"mixed is {words.quoted(parts)} instead of its parts")
        for part in parts:
            stored.number(stored.mapping(part, "a part of the mix")["share"], "share", 0, 1000)
            check_config(part["config"])


def _check_shipped(settings: Mapping[str, Any]) -> None:
    """As `_check`, with what a finished model has beside it."""
    _check(settings)
    measured = stored.mapping(settings["shipped"], "shipped")
    stored.whole(measured["samples"], "samples", _MAX_STEPS)
    for name in ("source", "figures"):
        figures = stored.mapping(measured[name], name)
        for figure in FIGURES:
            stored.number(figures[figure], figure, -1, 1e6)


def check_config(config: Any) -> None:
    AdaptConfig.from_dict({**EARLIER, **stored.mapping(config, "config")})


def _check_end(settings: Mapping[str, Any]) -> None:
    if settings["stopped"] is not None and not stored.text(settings["stopped"], "stopped", 40).isprintable():
        raise ValueError("stopped can't be shown")
    stored.number(settings["seconds"], "seconds", 0, 1e9)
    _check_diversity(settings["diversity"])
    stored.time(settings["created"], "created")


def _check_diversity(value: Any) -> None:
    if value is not None:
        stored.number(value, "diversity", 0, 1e6)


def is_adapted(path: Path) -> bool:
    """Whether `path` is of an adapted domain: its folder, its weights, those of a step before, or a finished model."""
    if path.is_dir() or path.name == ADAPTED or shipped.is_one(path):
        return True
    return step_of(path) is not None and (path.parent / ADAPTED).is_file()


def step_of(path: Path) -> int | None:
    found = re.fullmatch(r"step-(\d{5})\.safetensors", path.name)
    return int(found[1]) if found else None


def tensors_of(
    folder: Path, settings: Mapping[str, Any], prefix: str, step: int | None = None
) -> dict[str, torch.Tensor]:
    name, facts = ADAPTED, settings["weights"]
    if step is not None:
        name, facts = step_file(step), settings.get("earlier", {}).get(str(step))
        if facts is None:
            kept = ", ".join(settings.get("earlier", {})) or "none"
            raise InputError(f"Step {step} of the adapted domain in {folder} wasn't kept; earlier steps kept: {kept}.")
    KIND.check_whole(folder / name, facts)
    tensors, _ = load_tensors(folder / name)
    return {name: tensor.float() for name, tensor in called(tensors, prefix).items()}


def called(tensors: Mapping[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {name[len(prefix) :]: tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def apply_weights(generator: Generator, weights: Mapping[str, torch.Tensor]) -> None:
    """Writes the changed tensors of a run or an entry over those of the source generator.

    Raises ValueError if a name or a shape doesn't fit, before anything is written.
    """
    own = generator.state_dict()
    for name, tensor in weights.items():
        if name not in own or own[name].shape != tensor.shape:
            raise ValueError(f"the tensor {name} of shape {tuple(tensor.shape)} doesn't fit the source model")
    with torch.no_grad():
        for name, tensor in weights.items():
            own[name].copy_(tensor)


def generator_tensors(
    tensors: Mapping[str, torch.Tensor], description: Mapping[str, Any]
) -> dict[str, torch.Tensor] | None:
    """The changed tensors in a lone weights file of an entry, by state-dict name; None for a file of another kind."""
    return called(tensors, GENERATOR) if description.get("format") == KIND.format else None
