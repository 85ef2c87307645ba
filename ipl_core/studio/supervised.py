"""What the generator draws of a domain when it is simply shown the domain.

Supervised training on the same people rendered in the domain gives pictures that surely are the domain and
are in the generator's own, softer hand. Critic and judge see them as right examples, or softness alone would
tell generated pictures from rendered ones.
"""

from __future__ import annotations

import copy
import hashlib
import logging
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from ..stylegan2 import Generator
from .data import to_float
from .domains import DOMAINS
from .train_generator import regression_loss

log = logging.getLogger(__name__)
_BATCH, _RATE, _SEED = 16, 3e-3, 5


def supervised_pictures(
    source: Generator, z: torch.Tensor, pictures: torch.Tensor, work: Path, kept: int = 128, steps: int = 70
) -> torch.Tensor:
    """The last `kept` people in every domain, drawn by a copy of `source` trained on that domain.

    z (P, z_dim), on the device of `source`, and pictures
    (domains, P, 3, R, R) uint8 of the same people → (domains, kept, 3, R, R) uint8;
    domain 0, the photo, is drawn by the source itself. Made once for a source's weights and these latents, and
    kept in `work`.
    """
    path = work / f"supervised-{kept}-{steps}-{_fingerprint(source, z)}.safetensors"
    if path.exists():
        return load_file(path)["drawn"]
    random = torch.Generator().manual_seed(_SEED)
    drawn = torch.empty(len(DOMAINS), kept, *pictures.shape[2:], dtype=torch.uint8)
    for d, domain in enumerate(DOMAINS):
        generator = copy.deepcopy(source).requires_grad_(False)
        if d:
            loss = _show(generator, z, pictures[d], random, steps)
            log.info("supervised %s: loss %.3f", domain.name, loss)
        with torch.no_grad():
            images = torch.cat([generator(part) for part in z[-kept:].split(32)]).cpu()
        drawn[d] = ((images.clamp(-1, 1) + 1) * 127.5).round().byte()
    save_file({"drawn": drawn}, path)
    return drawn


def _fingerprint(source: Generator, z: torch.Tensor) -> str:
    """A few digits of a hash: pictures in another generator's hand, or of other people, are no use."""
    digest = hashlib.sha256()
    for tensor in (*source.state_dict().values(), z):
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:8]


def _show(generator: Generator, z: torch.Tensor, pictures: torch.Tensor, random: torch.Generator, steps: int) -> float:
    generator.synthesis.requires_grad_(True)
    optimiser = torch.optim.Adam(generator.synthesis.parameters(), lr=_RATE, betas=(0.9, 0.99))
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = _RATE * min(1, 2 * (1 - step / steps) + 0.05)
        index = torch.randint(len(z), (_BATCH,), generator=random)
        loss = regression_loss(generator(z[index]), to_float(pictures[index]).to(z.device))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
    return float(loss.detach())
