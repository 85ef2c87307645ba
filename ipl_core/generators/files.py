"""Generators from files and into files, whatever the format: each family knows its own (`base.FAMILIES`)."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import InputError
from ..storage import apart
from ..storage.files import first_bytes, is_pickle, readable_file
from ..storage.pickles import opened
from ..storage.tensors import load_tensors
from ..storage.words import quoted
from .base import FAMILIES, Generator, family_of
from .stylegan2.files import save_generator as save_generator


def write_generator(
    generator: Generator, path: str | os.PathLike[str], metadata: Mapping[str, Any] | None = None
) -> None:
    """Write a generator in the format that the file's name asks for, as its family can: `.safetensors` is ours.

    metadata: kept in our own files; other formats have no place for it. Raises InputError for an ending that the family
    has no format for, and as the writers do.
    """
    family_of(generator).save(generator, path, metadata)


def load_generator(
    path: str | os.PathLike[str], device: str | torch.device = "cpu", stop: threading.Event | None = None
) -> Generator:
    """Read a generator: one of our safetensors files, or another program's pickle, told apart by content.

    Of StyleGAN2s, rosinality's `.pt` and NVIDIA's `.pkl` are read, of Diffusion Autoencoders the released checkpoints.
    It is in float32 and evaluation mode. A pickle is read in a process of its own (`apart`), which `stop` ends.

    Raises:
        InputError: the file is missing, damaged, of another kind or not a generator, or its tensors don't fit; or the
            reading took too much time or memory, or was stopped.
    """
    file_path = readable_file(path)
    if not is_pickle(first_bytes(file_path)):
        return generator_from(*load_tensors(file_path), path).to(device)
    tensors, description = apart.read(read_foreign, file_path, stop, remember=True)
    return FAMILIES[description["kind"]].from_foreign(tensors, description, path).to(device)


def read_foreign(path: Path) -> apart.Contents:
    """The tensors of the generator in a pickle under our names, with its "kind" and "config"; a reader for `apart`.

    Raises InputError if the file is damaged, of another kind or no generator.
    """
    with opened(path) as root:
        family = next(family for family in FAMILIES.values() if family.recognises(root))
        tensors, description = family.contents(root, path)
        return tensors, {**description, "kind": family.kind}


def generator_from(
    tensors: Mapping[str, Tensor], description: Mapping[str, Any], path: str | os.PathLike[str]
) -> Generator:
    """The generator that this program wrote as these tensors and this description; path: for errors.

    Raises InputError if they are something else, or don't fit each other.
    """
    family = FAMILIES.get(kind) if isinstance(kind := description.get("kind"), str) else None
    if family is None:
        raise InputError(
            f"{path} holds no generator of this program (its description says "
            f"{quoted(description.get('kind', 'nothing'))}). Choose a file that was saved as a generator."
        )
    return family.from_file(tensors, description, path)
