"""How truly a generator that encodes pictures draws them again: portraits that no training saw, without any search.

Of both codes, a picture's latent and its noise, and of the latent alone with the generator's constant noise. The judge
measures and has no part in the encoding.
"""

from __future__ import annotations

import time

import torch
from torch import Tensor

from ...errors import InputError
from ...generators.base import Generator
from ...generators.invert import Perceptual
from ...pictures.media import to_float
from ...studio.judge import Judge
from ..ssim import ssim
from .inversion import held_out_portraits

_CHUNK = 10


@torch.no_grad()
def reconstruction_report(
    generator: Generator, judge: Judge, perceptual: Perceptual, count: int = 100, steps: int | None = None
) -> dict[str, float]:
    """Figures of `count` held-out portraits, drawn again of "both codes" and of the "latent alone".

    steps: of the way to the noise and back; None takes the generator's own numbers for each. perceptual: distance of
    pictures, pair by pair.

    For each of both: "identity" is the mean cosine of the judge's identity vectors, "lowest identity" the smallest of
    any portrait, "ssim" at most 1, "pixel" the mean absolute difference in [−1, 1], 0–2, "perceptual" as given.
    "seconds" are of encoding and drawing one portrait. Raises InputError for a generator that has to search.
    """
    _, portraits = held_out_portraits(judge.subject, count, generator.config.resolution)
    measured: dict[str, list[Tensor]] = {}
    seconds = 0.0
    for part in portraits.split(_CHUNK):
        target = to_float(part).to(generator.device)
        begun = time.perf_counter()
        codes = generator.encode(target, steps)
        if codes is None:
            raise InputError("This generator searches for the latent of a picture: measure it by evaluate-inversion.")
        w, noise = codes
        drawn = {"both codes": _drawn(generator, w, noise, steps)}
        seconds += time.perf_counter() - begun
        drawn["latent alone"] = _drawn(generator, w, list(generator.synthesis.noise.buffers()), steps)
        for of, found in drawn.items():
            for name, values in _compared(target, found, judge, perceptual).items():
                measured.setdefault(f"{name}, {of}", []).append(values)
    figures = {}
    for name, parts in measured.items():
        values = torch.cat(parts)
        figures[name] = float(values.mean())
        if name.startswith("identity"):
            figures[f"lowest {name}"] = float(values.min())
    return {**figures, "seconds": seconds / count}


def _drawn(generator: Generator, w: Tensor, noise: list[Tensor], steps: int | None) -> Tensor:
    return generator.synthesis(w, noise=noise, steps=steps).clamp(-1, 1)


def _compared(target: Tensor, found: Tensor, judge: Judge, perceptual: Perceptual) -> dict[str, Tensor]:
    """Each distance of pictures (B, 3, R, R) to those that were to be drawn, (B,)."""
    before, after = judge.read(target.cpu()), judge.read(found.cpu())
    return {
        "identity": (before.identity * after.identity).sum(1),
        "ssim": ssim(target, found).cpu(),
        "pixel": (target - found).abs().mean((1, 2, 3)).cpu(),
        "perceptual": perceptual(target)(found).cpu(),
    }
