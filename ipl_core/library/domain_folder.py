"""The files of an adapted domain, which is a folder or the one file of a finished model: settings and tensors.

The module knows neither the library that lists them nor the models that they were made from.
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
from ..storage import folders
from ..storage.folders import HISTORY, SETTINGS
from ..storage.paths import as_path, is_folder
from ..storage.tensors import load_tensors
from . import shipped
from .records import Record, read_record

if TYPE_CHECKING:
    from ..generators.stylegan2.network import Generator

ADAPTED = "adapted.safetensors"  # what an adapted domain's weights are called
SOURCE_PICTURE = "source.png"
SAMPLES_PICTURE = "samples.png"
FILES = (ADAPTED, SETTINGS, HISTORY, SOURCE_PICTURE, SAMPLES_PICTURE)
TRAINING = "training.safetensors"  # where asked for: what the run needs to go on exactly

KIND = folders.Kind("ipl-studio-run", 1, "adapted domain", "an adaptation", "delete the folder and adapt again")
SHIPPED = replace(KIND, what="finished model", again="restore the file, or make it anew by ipl_core.studio ship")
GENERATOR, PROMPTS = "generator.", "prompts."  # prefixes of tensor names in ADAPTED


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
        return KIND.read_settings(path, read_record)
    return shipped_settings(path)


def read_domain(path: str | os.PathLike[str]) -> Record:
    """The record of an adapted domain; path and errors as for `read_settings`."""
    return read_record(read_settings(path))


def shipped_settings(path: Path) -> dict[str, Any]:
    """What a finished model's file says. Raises InputError if it is damaged."""
    return SHIPPED.checked(read_shipped(path, shipped.read_settings), path, _check_shipped)


def _check_shipped(settings: Mapping[str, Any]) -> None:
    if read_record(settings).measured is None:
        raise KeyError("shipped")


def place(path: Path) -> Path:
    """The folder of an adapted domain that is named by that or by weights in it; of a finished model, its file."""
    return path if is_folder(path) or shipped.is_one(path) else path.parent


def is_adapted(path: Path) -> bool:
    """Whether `path` is of an adapted domain: its folder, its weights, those of a step before, or a finished model."""
    if path.is_dir() or path.name == ADAPTED or shipped.is_one(path):
        return True
    return step_of(path) is not None and (path.parent / ADAPTED).is_file()


def step_of(path: Path) -> int | None:
    found = re.fullmatch(r"step-(\d{5})\.safetensors", path.name)
    return int(found[1]) if found else None


def tensors_of(folder: Path, record: Record, prefix: str, step: int | None = None) -> dict[str, torch.Tensor]:
    """The tensors in an adapted domain's folder whose names begin with `prefix`, float32 by the rest of their names.

    step: an earlier one; None is the last. Raises InputError for one that wasn't kept, or if the file is damaged.
    """
    name, facts = ADAPTED, record.weights
    if step is not None:
        name, facts = step_file(step), record.earlier.get(step)
        if facts is None:
            kept = ", ".join(map(str, record.earlier)) or "none"
            raise InputError(f"Step {step} of the adapted domain in {folder} wasn't kept; earlier steps kept: {kept}.")
    KIND.check_whole(folder / name, facts.sha256)
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
