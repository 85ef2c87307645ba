"""Trains copies of a generator on each domain, supervised by renders of the same sitters.

Their pictures are right examples of the domain in the generator's softer style. CLIP model and judge learn from them;
else softness alone would tell generated pictures from rendered ones. Adversaries also start on the way to the weights.
"""

from __future__ import annotations

import copy
import hashlib
import logging
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors.torch import load_file, save_file

from ...generators.stylegan2.network import Generator
from ..data import to_bytes, to_float
from ..world.domains import DOMAINS
from ..world.subject import Subject
from .ends import Ends
from .generator import regression_loss
from .loop import half_precision
from .muon import MuonAdam

log = logging.getLogger(__name__)
_BATCH, _RATE, _ADAM_RATE, _SEED = 8, 0.02, 2e-3, 5


class Supervised(NamedTuple):
    """drawn (domains, P, 3, R, R) uint8: sitters in every domain. ends: the weights that drew each but the photo."""

    drawn: torch.Tensor
    ends: Ends


def supervised(
    subject: Subject, source: Generator, z: torch.Tensor, pictures: torch.Tensor, work: Path, steps: int = 160
) -> Supervised:
    """Sitters in every domain, drawn by a copy of `source` trained on that domain.

    z (P, z_dim), on the device of `source`, and pictures (domains, P, 3, R, R) uint8 of the same sitters, of a size
    that the generator passes through; the photo, the first domain, is drawn by the source itself. Made once for a
    source's weights and these latents, and kept in `work`, the weights in half precision.
    """
    size = pictures.shape[-1]
    path = work / f"{subject.name}-supervised-{steps}-{size}-{_fingerprint(source, z)}.safetensors"
    if not path.exists():
        tensors = _drawn_in_every_domain(subject, source, z, pictures, steps)
        half_written = path.with_suffix(".part")
        save_file(tensors, half_written)
        half_written.replace(path)
    tensors = load_file(path)
    drawn, weights = tensors.pop("drawn"), {number: {} for number in subject.numbers[1:]}
    for name, tensor in tensors.items():
        domain, _, parameter = name.partition("/")
        weights[int(domain)][parameter] = tensor
    return Supervised(drawn, {number: [own] for number, own in weights.items()})


def _drawn_in_every_domain(
    subject: Subject, source: Generator, z: torch.Tensor, pictures: torch.Tensor, steps: int
) -> dict[str, torch.Tensor]:
    """`drawn` and, under domain number and name, every weight with which a domain was drawn."""
    size, random = pictures.shape[-1], torch.Generator().manual_seed(_SEED)
    tensors = {"drawn": torch.empty_like(pictures)}
    for place, number in enumerate(subject.numbers):
        generator = copy.deepcopy(source).requires_grad_(False)
        if place:
            loss = _show(generator, z, pictures[place], random, steps)
            log.info("supervised %s of %s: loss %.3f", DOMAINS[number].name, subject.name, loss)
            for name, tensor in generator.synthesis.state_dict().items():
                tensors[f"{number}/{name}"] = tensor.half().cpu().contiguous()
        with torch.no_grad():
            parts = [generator.synthesis(generator.mapping(part), resolution=size) for part in z.split(32)]
        tensors["drawn"][place] = to_bytes(torch.cat(parts)).cpu()
    return tensors


def _fingerprint(source: Generator, z: torch.Tensor) -> str:
    """A few digits of a hash of the generator and the sitters that the pictures are of."""
    digest = hashlib.sha256()
    for tensor in (*source.state_dict().values(), z):
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:8]


def _show(generator: Generator, z: torch.Tensor, pictures: torch.Tensor, random: torch.Generator, steps: int) -> float:
    with torch.no_grad():
        w = generator.mapping(z)
    generator.synthesis.requires_grad_(True)
    colours = [parameter for layer in generator.synthesis.torgb for parameter in layer.parameters()]
    optimiser = MuonAdam(generator.synthesis, _RATE, _ADAM_RATE, [*colours, generator.synthesis.input])
    for step in range(steps):
        optimiser.set_rate(min(1.0, 2 * (1 - step / steps) + 0.05))
        index = torch.randint(len(w), (min(_BATCH, len(w)),), generator=random)
        with half_precision(w.device):
            drawn = generator.synthesis(w[index], resolution=pictures.shape[-1])
        loss = regression_loss(drawn.float(), to_float(pictures[index]).to(w.device))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return float(loss.detach())
