"""Seeds and latents: from what a person types to the numbers a generator starts from, and paths between latents.

Each sample has a random stream of its own, chosen by its seed alone and drawn on the CPU, so sample i is the same in
any batch and on any device. The room knows nothing about networks beyond "it makes noise from generators".
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .errors import InputError
from .storage.words import quoted

if TYPE_CHECKING:
    from .generators.stylegan2.network import Generator

#: The largest seed, of a run as of a picture: PyTorch's CPU generator uses 32 bits of its seed.
MAX_SEED = 2**32 - 1
MAX_SEEDS = 10_000

_SEED_RANGE = re.compile(r"\s*(\d+)\s*(?:[-\u2013]\s*(\d+)\s*)?")  # word processors turn the hyphen into an en dash


def parse_seeds(text: str, maximum: int = MAX_SEEDS) -> list[int]:
    """Read seeds as a person types them: ``"0-15,20"`` → [0, 1, …, 15, 20], in the order given.

    Raises:
        InputError: what is no text, blank text, anything but whole numbers and ranges, a range that runs backwards, a
            seed above 2**32 - 1, or more than ``maximum`` seeds.
    """
    seeds: list[int] = []
    if not isinstance(text, str):
        raise InputError(f"Seeds are text such as 0-15,20, not {quoted(text)}.")
    if not text.strip():
        raise InputError("No seeds were given. Write whole numbers and ranges, such as 0-15,20.")
    for part in text.split(","):
        match = _SEED_RANGE.fullmatch(part)
        if match is None:
            raise InputError(f"Seeds are whole numbers from 0 and ranges, such as 0-15,20; got {quoted(part.strip())}.")
        first = _seed(match[1])
        last = first if match[2] is None else _seed(match[2])
        if last < first:
            raise InputError(f"The range of seeds {quoted(part.strip())} runs backwards; write {last}-{first}.")
        if len(seeds) + last - first + 1 > maximum:
            raise InputError(f"{quoted(text.strip())} asks for more than {maximum} seeds at once; give fewer.")
        seeds.extend(range(first, last + 1))
    return seeds


def _seed(digits: str) -> int:
    plain = digits.lstrip("0")[: len(str(MAX_SEED)) + 1] or "0"  # Python converts no number of more than 4300 digits
    seed = int(plain)
    if seed > MAX_SEED:
        raise InputError(f"Seeds go from 0 to {MAX_SEED}; got {quoted(digits)}.")
    return seed


def generator_from_seed(seed: int, stream: str = "") -> torch.Generator:
    """The CPU generator of one sample; streams of different names are independent of each other.

    Raises:
        InputError: the seed is not a whole number from 0 to 2**32 - 1.
    """
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed <= MAX_SEED:
        raise InputError(f"A seed is a whole number from 0 to {MAX_SEED}; got {quoted(seed)}.")
    if stream:
        digest = hashlib.blake2b(f"{stream}:{seed}".encode(), digest_size=4).digest()
        seed = int.from_bytes(digest, "little")
    return torch.Generator().manual_seed(seed)


def latents_from_seeds(seeds: Sequence[int], z_dim: int) -> Tensor:
    """Standard normal latents z (N, z_dim), row i chosen by ``seeds[i]`` alone."""
    if not seeds:
        return torch.empty(0, z_dim)
    return torch.stack([torch.randn(z_dim, generator=generator_from_seed(seed)) for seed in seeds])


def noise_from_seeds(seeds: Sequence[int], generator: Generator) -> list[Tensor]:
    """Noise for every layer of ``generator``, (N, 1, h, w) each; sample i chosen by ``seeds[i]`` alone.

    The noise comes from another stream than `latents_from_seeds`, so the same seeds may be used for both.
    """
    return generator.make_noise([generator_from_seed(seed, "noise") for seed in seeds])


def lerp(start: Tensor, end: Tensor, t: float | Tensor) -> Tensor:
    """Straight line from ``start`` (t = 0) to ``end`` (t = 1); the right path between two w or w_plus.

    ``t`` is a number or a tensor that broadcasts against both ends.
    """
    return start + (end - start) * t


def slerp(start: Tensor, end: Tensor, t: float | Tensor) -> Tensor:
    """Great-circle path from ``start`` (t = 0) to ``end`` (t = 1), shapes (..., D); the right path between two z.

    A straight line between two normal vectors passes near the origin, where no sample ever lies; this one keeps the
    length (Shoemake 1985). ``t`` is a number or a tensor that broadcasts against (..., 1). Ends that point the same
    way, or exactly opposite ways, have no single great circle: they get the straight line.
    """
    unit_start = torch.nn.functional.normalize(start, dim=-1)
    unit_end = torch.nn.functional.normalize(end, dim=-1)
    # The angle from chord lengths: unlike acos of the cosine it is exact for nearly parallel vectors.
    angle = 2 * torch.atan2((unit_start - unit_end).norm(dim=-1), (unit_start + unit_end).norm(dim=-1))[..., None]
    sine = torch.sin(angle)
    degenerate = sine.abs() < 1e-6
    safe = torch.where(degenerate, torch.ones_like(sine), sine)
    curved = (torch.sin((1 - t) * angle) * start + torch.sin(t * angle) * end) / safe
    return torch.where(degenerate, lerp(start, end, t), curved)
