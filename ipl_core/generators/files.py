"""Reads and writes generators in all formats; each family implements its own (`base.FAMILIES`)."""

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
    """Write a generator in the format of the file's suffix; `.safetensors` is this program's.

    metadata: stored in this program's files only. Raises InputError for a suffix that the generator's family can't
    write, and as the writers do.
    """
    family_of(generator).save(generator, path, metadata)


def load_generator(
    path: str | os.PathLike[str], device: str | torch.device = "cpu", stop: threading.Event | None = None
) -> Generator:
    """Read a generator: one of our safetensors files, or another program's pickle, recognised by content.

    Supported pickles are StyleGAN2s in rosinality's `.pt` and NVIDIA's `.pkl`, and the released Diffusion Autoencoders.
    The generator is in float32 and evaluation mode. A pickle is read in a separate process (`apart`); `stop` ends it.

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
    """The generator in a pickle: its tensors under our names, and its "kind" and "config"; a reader for `apart`.

    Raises InputError if the file is damaged, of another kind, or has no generator.
    """
    with opened(path) as root:
        family = next(family for family in FAMILIES.values() if family.recognises(root))
        tensors, description = family.contents(root, path)
        return tensors, {**description, "kind": family.kind}


def generator_from(
    tensors: Mapping[str, Tensor], description: Mapping[str, Any], path: str | os.PathLike[str]
) -> Generator:
    """Build a generator from the tensors and description in this program's file; path: for errors.

    Raises InputError if they don't describe a generator, or don't fit each other.
    """
    family = FAMILIES.get(kind) if isinstance(kind := description.get("kind"), str) else None
    if family is None:
        raise InputError(
            f"{path} holds no generator of this program (its description says "
            f"{quoted(description.get('kind', 'nothing'))}). Choose a file that was saved as a generator."
        )
    return family.from_file(tensors, description, path)
