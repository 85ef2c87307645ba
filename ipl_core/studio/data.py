"""Rendered training sets: made once from a seed, kept as safetensors in a cache folder, read back after that."""

from __future__ import annotations

import logging
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from .attributes import COUNT, people_from_unit
from .domains import DOMAINS, render_domain

log = logging.getLogger(__name__)
_CHUNK = 64


def photos(count: int, resolution: int, seed: int, cache: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """People and their photos.

    Returns u (count, COUNT), the people as points of the unit cube, spread as normalised latents of width 128
    spread them, and pictures (count, 3, R, R) uint8. The cache folder must be writable.
    """
    path = cache / f"photos-{count}-{resolution}-{seed}.safetensors"
    if not path.exists():
        generator = torch.Generator().manual_seed(seed)
        z = torch.randn(count, 128, generator=generator)
        u = torch.special.ndtr(z * torch.rsqrt(z.square().mean(1, keepdim=True)))[:, :COUNT]
        people = people_from_unit(u)
        chunks = [
            _to_bytes(render_domain(DOMAINS[0], people.select(slice(i, i + _CHUNK)), generator, resolution))
            for i in range(0, count, _CHUNK)
        ]
        _keep({"u": u, "pictures": torch.cat(chunks)}, path)
    tensors = load_file(path)
    return tensors["u"], tensors["pictures"]


def people_in_domains(count: int, resolution: int, seed: int, cache: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """The same `count` people in every domain.

    Returns u (count, COUNT), the people as points of the unit cube, and pictures
    (domains, count, 3, R, R) uint8 in the order of domains.DOMAINS.
    """
    path = cache / f"people-{count}-{len(DOMAINS)}-{resolution}-{seed}.safetensors"
    if not path.exists():
        generator = torch.Generator().manual_seed(seed)
        u = torch.rand(count, COUNT, generator=generator)
        people = people_from_unit(u)
        pictures = torch.empty(len(DOMAINS), count, 3, resolution, resolution, dtype=torch.uint8)
        for start in range(0, count, _CHUNK):
            some = people.select(slice(start, start + _CHUNK))
            for d, domain in enumerate(DOMAINS):
                pictures[d, start : start + _CHUNK] = _to_bytes(render_domain(domain, some, generator, resolution))
            if start // _CHUNK % 20 == 0:
                log.info("rendered %d of %d people", start, count)
        _keep({"u": u, "pictures": pictures}, path)
    tensors = load_file(path)
    return tensors["u"], tensors["pictures"]


def to_float(pictures: torch.Tensor) -> torch.Tensor:
    """uint8 pictures → float32 in [−1, 1]."""
    return pictures.float() / 127.5 - 1


def _to_bytes(pictures: torch.Tensor) -> torch.Tensor:
    return ((pictures + 1) * 127.5).round().clamp(0, 255).byte()


def _keep(tensors: dict[str, torch.Tensor], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    half_written = path.with_suffix(".part")
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, half_written)
    half_written.replace(path)


def latents_of_people(u: torch.Tensor, z_dim: int, seed: int) -> torch.Tensor:
    """Latents that stand for given people: the inverse of attributes.people_from_latents.

    u (P, COUNT) in [0, 1] → z (P, z_dim) with unit mean square; the coordinates that carry no attribute are
    drawn from `seed` and fill up the length.
    """
    known = torch.special.ndtri(u.clamp(1e-4, 1 - 1e-4))
    rest = torch.randn(len(u), z_dim - COUNT, generator=torch.Generator().manual_seed(seed))
    left = (z_dim - known.square().sum(1, keepdim=True)).clamp_min(1.0).sqrt()
    return torch.cat([known, rest / rest.norm(dim=1, keepdim=True) * left], 1)
