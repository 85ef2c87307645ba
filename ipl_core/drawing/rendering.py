"""Renders a NumPy file of latents to a NumPy file of images, to check a generator or use its output elsewhere.

The images are the generator's raw output: unclipped, with the constant noise of its file.
"""

from __future__ import annotations

import math
import os
import shutil
import struct
import tempfile
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..errors import InputError
from ..generators.stylegan2.network import Generator, GeneratorConfig
from ..memory import pictures_at_once
from ..storage.files import ZIP, atomic_path, first_bytes
from ..storage.paths import as_path, is_file
from ..storage.values import MAX_PSI as MAX_PSI
from ..storage.words import quoted, reason

SPACES = ("z", "w", "w+")
MAX_DIMENSIONS = 8  # of an array; more are refused
MAX_LATENT_BYTES = 2**30  # limit for a compressed array; 10,000 W+ of a 1024×1024 generator have 370 MB


def read_latents(path: str | os.PathLike[str], space: str, config: GeneratorConfig) -> torch.Tensor:
    """The latents of a `.npy` file, or of a `.npz` with one array, in float32, checked against a generator.

    space: "z" takes (B, z_dim), "w" (B, w_dim), "w+" (B, layers, w_dim), B at least 1.
    Raises InputError for another shape or type, numbers that aren't finite, or a file that isn't one of NumPy arrays.
    """
    shapes = {"z": (config.z_dim,), "w": (config.w_dim,), "w+": (config.num_layers, config.w_dim)}
    if space not in shapes:
        raise InputError(f"The space of latents is one of {', '.join(SPACES)}, not {space}.")
    file = as_path(path)
    if not is_file(path):
        raise InputError(f"There is no file {file} with latents. Check the path.")
    array = _array(file)
    expected = shapes[space]
    if array.ndim != 1 + len(expected) or array.shape[1:] != expected or not len(array):
        wanted = ", ".join(["B", *map(str, expected)])
        raise InputError(
            f"Latents of the space {space} have the shape ({wanted}) for this generator, but those of {file} "
            f"have {array.shape}."
        )
    with np.errstate(over="ignore"):  # overflow is reported below
        latents = torch.from_numpy(np.array(array, dtype=np.float32))
    if not torch.isfinite(latents).all():
        raise InputError(f"The latents of {file} hold numbers that are not finite (or too large for float32).")
    return latents


def _array(file: Path) -> np.ndarray:
    """The array of a `.npy`, or the only one of a `.npz`. Raises InputError for anything else."""
    if first_bytes(file, 2) != ZIP[:2]:  # an empty archive has other bytes after these
        return _mapped(file, file)
    try:
        with zipfile.ZipFile(file) as archive, tempfile.TemporaryDirectory(prefix="ipl-latents-") as folder:
            arrays = [member for member in archive.infolist() if member.filename.endswith(".npy")]
            if len(arrays) != 1:
                names = ", ".join(quoted(member.filename[:-4]) for member in arrays[:5])
                raise InputError(
                    f"{file} holds {f'several arrays ({names})' if names else 'no array'}; write the latents alone, "
                    "with numpy.save."
                )
            if arrays[0].file_size > MAX_LATENT_BYTES:
                raise InputError(f"The array in {file} has more than {MAX_LATENT_BYTES >> 20} MB: write fewer latents.")
            plain = Path(folder, "array.npy")
            with archive.open(arrays[0]) as packed, plain.open("wb") as unpacked:
                shutil.copyfileobj(packed, unpacked)
            return np.array(_mapped(plain, file))
    except InputError:
        raise
    # What zipfile raises of a damaged or locked archive, and of a compression that this Python doesn't have.
    except (OSError, ValueError, RuntimeError, EOFError, struct.error, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"{file} can't be read as a NumPy array ({reason(error)}). Write it anew.") from error


def _mapped(plain: Path, file: Path) -> np.ndarray:
    """The array of real numbers in a `.npy` file, memory-mapped, so that a false header allocates no memory.

    file: the path for errors; `plain` may have been unpacked from it.
    """
    try:
        with plain.open("rb") as opened:
            version = np.lib.format.read_magic(opened)
            header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, columns_first, dtype = header(opened)
            start = opened.tell()
    except InputError:
        raise
    except Exception as error:  # the header is a Python literal, so a damaged one can raise many kinds of errors
        raise InputError(
            f"{file} can't be read as a NumPy array ({reason(error)}). Write it with numpy.save."
        ) from error
    if dtype.hasobject:
        raise InputError(f"{file} can't be read as a NumPy array (it holds objects of Python). Write numbers alone.")
    if dtype.kind not in "fiu" or dtype.itemsize == 0:
        raise InputError(f"Latents are real numbers, but those of {file} have the type {quoted(str(dtype))}.")
    whole = all(isinstance(size, int) and not isinstance(size, bool) and 0 <= size < 2**48 for size in shape)
    if not whole or len(shape) > MAX_DIMENSIONS:
        raise InputError(f"{file} can't be read as a NumPy array (its shape is {_shape_words(shape)}). Write it anew.")
    if start + math.prod(shape) * dtype.itemsize > plain.stat().st_size:
        raise InputError(
            f"{file} can't be read as a NumPy array (it is too short for the shape {shape}). Write it anew."
        )
    if 0 in shape:
        return np.empty(shape, dtype)
    try:
        return np.memmap(plain, dtype, "r", start, shape, "F" if columns_first else "C")
    except (OSError, ValueError) as error:
        raise InputError(
            f"{file} can't be read as a NumPy array ({reason(error)}). Write it with numpy.save."
        ) from error


def _shape_words(shape: tuple[Any, ...]) -> str:
    more = " and more" if len(shape) > MAX_DIMENSIONS else ""
    return ", ".join(quoted(size) for size in shape[:MAX_DIMENSIONS]) + more


@torch.no_grad()
def render(
    generator: Generator, latents: torch.Tensor, space: str, path: str | os.PathLike[str], psi: float = 1.0
) -> tuple[int, ...]:
    """Draw ``latents`` and write the images to a `.npy` file, whole or not at all; returns their shape.

    latents: of the space "z", "w" or "w+", see `read_latents`.
    psi: truncation in any of the spaces: each row of w goes to w_avg + psi (w - w_avg); 1 leaves it as it is.
    The file holds float32 (B, 3, resolution, resolution), unclipped, about [-1, 1]. Raises InputError if it can't be
    written.
    """
    size = generator.config.resolution
    shape = (len(latents), 3, size, size)
    batch, target = pictures_at_once(size), as_path(path)
    with atomic_path(target) as temporary:
        try:
            images = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.float32, shape=shape)
            for start in range(0, len(latents), batch):
                rows = latents[start : start + batch].to(generator.device)
                w = generator.mapping(rows) if space == "z" else rows
                drawn = generator.synthesis(generator.truncate(w, psi), noise="const")
                images[start : start + batch] = drawn.float().cpu().numpy()
            images.flush()
            del images
        except OSError as error:
            raise InputError(f"{target} can't be written: {error.strerror or error}. Free some space.") from error
    return shape
