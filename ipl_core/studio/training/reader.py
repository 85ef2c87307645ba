"""The reader: a small network whose features are the perceptual loss of a generator's training.

Regression by pixels leaves out what covers few of them: earrings, an iris, strands. In the features of a network that
reads every attribute from photos they weigh more (perceptual loss, Johnson et al. 2016). The reader measures nothing:
that is the judge's part.
"""

from __future__ import annotations

import logging
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from ..data import to_float
from .augment import nuisance
from .loop import Checkpoint, half_precision
from .muon import MuonAdam

log = logging.getLogger(__name__)


#: Rate of Muon, relative to the weights; of Adam; strength of the nuisances; seed; steps between checkpoints.
_RATE, _ADAM_RATE, _NUISANCE, _SEED, _SAVE_EVERY = 0.02, 2e-3, 0.5, 3, 200


class Reader(nn.Module):
    """Reads a subject's attributes, as `columns` numbers of variance 1, from photos (B, 3, R, R) in [−1, 1]."""

    def __init__(self, columns: int, random: torch.Generator, widths: tuple[int, ...] = (24, 48, 96, 128)) -> None:
        super().__init__()
        stages, into = [], 3
        for out in widths:
            layers = [nn.Conv2d(into, out, 4, 2, 1, bias=False), nn.BatchNorm2d(out)]
            if into > 3:
                layers += [nn.LeakyReLU(0.2), nn.Conv2d(out, out, 3, 1, 1, bias=False), nn.BatchNorm2d(out)]
            stages.append(nn.Sequential(*layers))
            into = out
        self.stages = nn.ModuleList(stages)
        self.head = nn.Sequential(nn.Linear(into * 16, 256), nn.LeakyReLU(0.2), nn.Linear(256, columns))
        for layer in self.modules():
            if isinstance(layer, (nn.Conv2d, nn.Linear)):
                nn.init.kaiming_normal_(layer.weight, 0.2, generator=random)
            if isinstance(layer, nn.Linear):
                nn.init.zeros_(layer.bias)
        self.to(memory_format=torch.channels_last)

    def forward(self, pictures: torch.Tensor) -> list[torch.Tensor]:
        """What each stage sees, (B, C, r, r) of variance about 1, and last the attributes, (B, columns)."""
        x, seen = pictures.contiguous(memory_format=torch.channels_last), []
        for stage in self.stages:
            seen.append(stage(x))
            x = F.leaky_relu(seen[-1], 0.2)
        return [*seen, self.head(F.adaptive_avg_pool2d(x, 4).flatten(1))]


def reader_loss(drawn: list[torch.Tensor], true: list[torch.Tensor]) -> torch.Tensor:
    """Mean L1 between what a reader's stages see in drawn and in true pictures → scalar."""
    return torch.stack([F.l1_loss(a.float(), b.float()) for a, b in zip(drawn, true)]).mean()


def trained_reader(
    name: str, code: torch.Tensor, pictures: torch.Tensor, steps: int, batch: int, work: Path, device: torch.device
) -> Reader:
    """A reader of photos (N, 3, R, R) uint8 whose attributes are `code` (N, columns), for evaluation only.

    Resumes from work/reader-NAME.pt, where it is kept once trained.
    """
    random = torch.Generator().manual_seed(_SEED)
    reader = Reader(code.shape[1], random).to(device)
    optimiser = MuonAdam(reader, _RATE, _ADAM_RATE, decay=0.02)
    checkpoint = Checkpoint(work / f"reader-{name}.pt", {"reader": reader, "optimiser": optimiser, "random": random})
    missed = 1.0
    for step in range(checkpoint.resume() + 1, steps + 1):
        optimiser.set_rate(min(1.0, step / 50, 1.25 * (1 - step / steps) + 0.01))
        index = torch.randint(len(pictures), (batch,), generator=random)
        seen = nuisance(to_float(pictures[index]), random, _NUISANCE).to(device)
        with half_precision(device):
            read = reader(seen)[-1]
        loss = F.mse_loss(read.float(), code[index].to(device))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        missed = 0.95 * missed + 0.05 * loss.item()
        if step % 50 == 0:
            log.info("%s, reader %d of %d: variance missed %.3f", name, step, steps, missed)
        if step % _SAVE_EVERY == 0 or step == steps:
            checkpoint.save(step)
    return reader.eval().requires_grad_(False)
