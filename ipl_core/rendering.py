"""Arrays of latents to arrays of images, file to file, for whoever wants to check or to use a generator elsewhere.

What is drawn are the numbers as they come: unclipped, with the constant noise of the generator's file.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch

from .checkpoints import atomic_path
from .errors import InputError
from .stylegan2 import Generator, GeneratorConfig

SPACES = ("z", "w", "w+")
MAX_PSI = 1.5
_PIXELS_AT_ONCE = 8 * 256 * 256


def read_latents(path: str | os.PathLike[str], space: str, config: GeneratorConfig) -> torch.Tensor:
    """The latents of a `.npy` file in float32, checked against a generator.

    space: "z" takes (B, z_dim), "w" (B, w_dim), "w+" (B, layers, w_dim), B at least 1.
    Raises InputError for another shape or type, numbers that aren't finite, or a file that isn't one of NumPy arrays.
    """
    shapes = {"z": (config.z_dim,), "w": (config.w_dim,), "w+": (config.num_layers, config.w_dim)}
    if space not in shapes:
        raise InputError(f"The space of latents is one of {', '.join(SPACES)}, not {space}.")
    file = Path(path).expanduser()
    if not file.is_file():
        raise InputError(f"There is no file {file} with latents. Check the path.")
    try:
        # Mapped, so that a header can't claim more than the file holds.
        array = np.load(file, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{file} can't be read as a NumPy array ({reason}). Write it with numpy.save.") from error
    if not isinstance(array, np.ndarray):
        raise InputError(f"{file} holds several arrays; write the latents alone, with numpy.save.")
    expected = shapes[space]
    if array.ndim != 1 + len(expected) or array.shape[1:] != expected or not len(array):
        wanted = ", ".join(["B", *map(str, expected)])
        raise InputError(
            f"Latents of the space {space} have the shape ({wanted}) for this generator, but those of {file} "
            f"have {array.shape}."
        )
    if array.dtype.kind not in "fiu":
        raise InputError(f"Latents are real numbers, but those of {file} have the type {array.dtype}.")
    with np.errstate(over="ignore"):  # what is too large is said below
        latents = torch.from_numpy(np.array(array, dtype=np.float32))
    if not torch.isfinite(latents).all():
        raise InputError(f"The latents of {file} hold numbers that are not finite (or too large for float32).")
    return latents


@torch.no_grad()
def render(
    generator: Generator, latents: torch.Tensor, space: str, path: str | os.PathLike[str], psi: float = 1.0
) -> tuple[int, ...]:
    """Draw ``latents`` and write the images to a `.npy` file, whole or not at all; gives their shape.

    latents: of the space "z", "w" or "w+", see `read_latents`.
    psi: truncation in any of the spaces: each row of w goes to w_avg + psi (w - w_avg); 1 leaves it as it is.
    The file holds float32 (B, 3, resolution, resolution), unclipped, about [-1, 1]. Raises InputError if it can't be
    written.
    """
    size = generator.config.resolution
    shape = (len(latents), 3, size, size)
    batch = max(1, _PIXELS_AT_ONCE // (size * size))
    target = Path(path).expanduser()
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
