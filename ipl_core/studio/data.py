"""Rendered training sets: made once from a seed, kept as safetensors in a cache folder, read back after that."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

from .world.domains import PHOTO, Domain
from .world.subject import LATENT_WIDTH, Subject

log = logging.getLogger(__name__)
_CHUNK = 32


def photos(subject: Subject, count: int, resolution: int, seed: int, cache: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """Latents, and the renders that a generator learns to draw from them.

    Returns z (count, LATENT_WIDTH) and pictures (count, 3, R, R) uint8. The cache folder must be writable.
    """
    found = kept(
        cache / f"{subject.name}-photos-{count}-{resolution}-{seed}.safetensors",
        lambda: _render(subject, (PHOTO,), count, resolution, seed),
    )
    return found["z"], found["pictures"][0]


def scattered(
    subject: Subject, count: int, resolution: int, seed: int, cache: Path
) -> tuple[torch.Tensor, torch.Tensor]:
    """The sitters of `photos` of the same count and seed, each in one domain that isn't the photo.

    Returns which domain (count,) int64, as its place in `subject.domains`, and pictures (count, 3, R, R) uint8.
    """
    found = kept(
        cache / f"{subject.name}-scattered-{count}-{resolution}-{seed}.safetensors",
        lambda: _scatter(subject, count, resolution, seed),
    )
    return found["places"], found["pictures"]


def portrayed(
    subject: Subject, count: int, resolution: int, seed: int, cache: Path
) -> tuple[torch.Tensor, torch.Tensor]:
    """The same `count` sitters in every domain of their subject.

    Returns z (count, LATENT_WIDTH), the latents that stand for the sitters, and pictures
    (domains, count, 3, R, R) uint8 in the order of `subject.domains`.
    """
    found = kept(
        cache / f"{subject.name}-{count}-{len(subject.domains)}-{resolution}-{seed}.safetensors",
        lambda: _render(subject, subject.domains, count, resolution, seed),
    )
    return found["z"], found["pictures"]


def to_float(pictures: torch.Tensor) -> torch.Tensor:
    """uint8 pictures → float32 in [−1, 1]."""
    return pictures.float() / 127.5 - 1


def to_bytes(pictures: torch.Tensor) -> torch.Tensor:
    """Pictures about [−1, 1], clipped → uint8."""
    return ((pictures + 1) * 127.5).round().clamp(0, 255).byte()


def at_half(pictures: torch.Tensor) -> torch.Tensor:
    """Pictures (B, 3, R, R) at half the size, resampled as `Critic.encode_images` does, differentiable."""
    return F.interpolate(pictures, scale_factor=0.5, mode="bicubic", antialias=True)


def halved(pictures: torch.Tensor) -> torch.Tensor:
    """uint8 pictures (B, 3, R, R) → uint8 (B, 3, R / 2, R / 2), see `at_half`."""
    return torch.cat([to_bytes(at_half(to_float(part))) for part in pictures.split(64)])


def _render(
    subject: Subject, domains: Sequence[Domain], count: int, resolution: int, seed: int
) -> dict[str, torch.Tensor]:
    random = torch.Generator().manual_seed(seed)
    z = torch.randn(count, LATENT_WIDTH, generator=random)
    sitters = subject.sitters_from_latents(z)
    pictures = torch.empty(len(domains), count, 3, resolution, resolution, dtype=torch.uint8)
    for start in range(0, count, _CHUNK):
        some = sitters.select(slice(start, start + _CHUNK))
        portraits = {form: subject.portrait(some, form, resolution) for form in {d.form for d in domains}}
        for row, domain in zip(pictures, domains):
            row[start : start + _CHUNK] = to_bytes(domain.stylise(portraits[domain.form], random))
        if start // _CHUNK % 20 == 0:
            log.info("rendered %d of %d %s", start, count, subject.name)
    return {"z": z, "pictures": pictures}


def _scatter(subject: Subject, count: int, resolution: int, seed: int) -> dict[str, torch.Tensor]:
    random = torch.Generator().manual_seed(seed)
    sitters = subject.sitters_from_latents(torch.randn(count, LATENT_WIDTH, generator=random))
    places = torch.randint(1, len(subject.domains), (count,), generator=random)
    pictures = torch.empty(count, 3, resolution, resolution, dtype=torch.uint8)
    for place, domain in enumerate(subject.domains):
        for index in (places == place).nonzero()[:, 0].split(_CHUNK):
            pictures[index] = to_bytes(subject.render(domain, sitters.select(index), random, resolution))
        log.info("rendered %s of %s", domain.name, subject.name)
    return {"places": places, "pictures": pictures}


def kept(path: Path, make: Callable[[], dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """The tensors in the file `path`, which is made first if it isn't there; whole or not at all."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        half_written = path.with_suffix(".part")
        save_file(make(), half_written)
        half_written.replace(path)
    return load_file(path)


#: Side of the pictures of `layered`, and what it keeps of a portrait's layers beside the picture.
LAYERED_SIDE, LAYERS = 64, ("figure", "head", "hair")
_DRAWN_SHARE = 0.25  # of its sitters, who are drawn in a domain


def layered(subject: Subject, domains: Sequence[Domain], count: int, seed: int, cache: Path) -> dict[str, torch.Tensor]:
    """Sitters with the masks that tell their areas apart: three quarters as photos, the others in `domains` by lot.

    Returns "u" (count, attributes), their points of the unit cube; "place" (count,) int64, which of the domains, or -1
    for a photo; "pictures" (count, 3, 64, 64) uint8; "masks" (count, 3, 64, 64) uint8 in the order of `LAYERS`.
    """
    name = f"{subject.name}-layered-{count}-{len(domains)}-{seed}.safetensors"
    return kept(cache / name, lambda: _layered(subject, domains, count, seed))


def _layered(subject: Subject, domains: Sequence[Domain], count: int, seed: int) -> dict[str, torch.Tensor]:
    random = torch.Generator().manual_seed(seed)
    u = torch.rand(count, len(subject.attributes), generator=random)
    place = torch.full((count,), -1, dtype=torch.int64)
    pictures, masks = (torch.empty(count, 3, LAYERED_SIDE, LAYERED_SIDE, dtype=torch.uint8) for _ in range(2))
    for start in range(0, count, _CHUNK):
        here = slice(start, min(start + _CHUNK, count))
        portrait = subject.portrait(subject.sitters_from_unit(u[here]), PHOTO.form, LAYERED_SIDE, supersample=2)
        seen = portrait.rgb
        if domains and float(torch.rand((), generator=random)) < _DRAWN_SHARE:
            place[here] = int(torch.randint(len(domains), (), generator=random))
            large = subject.portrait(subject.sitters_from_unit(u[here]), PHOTO.form, 2 * LAYERED_SIDE)
            seen = (F.avg_pool2d(domains[int(place[start])].stylise(large, random), 2) + 1) / 2
        pictures[here] = to_bytes(seen * 2 - 1)
        masks[here] = torch.cat([getattr(portrait, name) for name in LAYERS], 1).mul(255).round().byte()
        if start // _CHUNK % 20 == 0:
            log.info("rendered %d of %d %s with their areas", start, count, subject.name)
    return {"u": u, "place": place, "pictures": pictures, "masks": masks}
