"""The judge: a network that reads domain, attributes and identity from a picture, and that no loss ever uses.

What fools the CLIP model should not fool the judge, so they differ: a residual convolutional network instead of a
transformer, labels instead of words, other augmentations, another seed. This module doesn't know how it is trained.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from ..errors import InputError
from ..storage.tensors import load_tensors, save_tensors
from .world.subject import PEOPLE, Subject, subject_named

KIND = "judge"
GRID = 4  # cells a side


class _Block(nn.Module):
    """Pre-activation residual block, halving the resolution when the width changes."""

    def __init__(self, into: int, out: int) -> None:
        super().__init__()
        stride = 1 if into == out else 2
        self.norm1, self.norm2 = nn.BatchNorm2d(into), nn.BatchNorm2d(out)
        self.conv1 = nn.Conv2d(into, out, 3, stride, 1, bias=False)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.skip = nn.Identity() if into == out else nn.Conv2d(into, out, 1, stride, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        active = F.relu(self.norm1(x))
        return self.skip(x if isinstance(self.skip, nn.Identity) else active) + self.conv2(
            F.relu(self.norm2(self.conv1(active)))
        )


@dataclass(frozen=True)
class Verdict:
    """What the judge reads from B pictures of a subject.

    domain: probabilities (B, domains) in the order of `Subject.domains`. traits: per trait of `Subject.traits`,
    probabilities (B, labels). identity: unit vectors (B, D), alike for the same person. features: (B, F), the
    pooled layer that Fréchet distances use.
    """

    subject: Subject
    domain: torch.Tensor
    traits: tuple[torch.Tensor, ...]
    identity: torch.Tensor
    features: torch.Tensor


class Judge(nn.Module):
    """Residual network for one subject's pictures (B, 3, 128, 128) in [−1, 1]; other sizes are resized."""

    resolution = 128

    def __init__(self, subject: Subject = PEOPLE, widths: tuple[int, ...] = (32, 64, 96, 160)) -> None:
        super().__init__()
        self.subject = subject
        self.stem = nn.Conv2d(3, widths[0], 5, 2, 2, bias=False)
        blocks = [_Block(widths[0], widths[0])]
        for a, b in zip(widths[:-1], widths[1:]):
            blocks += [_Block(a, b), _Block(b, b)]
        self.blocks, self.norm = nn.Sequential(*blocks), nn.BatchNorm2d(widths[-1])
        # Traits sit in places (eyes, chin, hair), so their heads see a grid and not only the mean.
        self.local = nn.Linear(widths[-1] * GRID**2, 256)
        self.domain_head = nn.Linear(widths[-1], len(subject.domains))
        self.trait_heads = nn.ModuleList(nn.Linear(256, len(trait.after)) for trait in subject.traits)
        self.identity_head = nn.Linear(256, 64)

    def forward(self, pictures: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor], torch.Tensor, torch.Tensor]:
        """Pictures → domain logits, trait logits, unit identity vectors, pooled features."""
        if pictures.shape[-1] != self.resolution:
            pictures = F.interpolate(
                pictures, (self.resolution,) * 2, mode="bicubic", antialias=True, align_corners=False
            )
        x = F.max_pool2d(self.stem(pictures), 2)
        x = F.relu(self.norm(self.blocks(x)))
        pooled = x.mean((2, 3))
        local = F.relu(self.local(F.adaptive_avg_pool2d(x, GRID).flatten(1)))
        return (
            self.domain_head(pooled),
            [head(local) for head in self.trait_heads],
            F.normalize(self.identity_head(local), dim=1),
            pooled,
        )

    @torch.no_grad()
    def read(self, pictures: torch.Tensor, batch: int = 64) -> Verdict:
        """The verdict on pictures (B, 3, H, W) about [−1, 1]; values outside are clipped, as a screen would."""
        if self.training:
            raise InputError("The judge must be in evaluation mode to read pictures; load it with load_judge.")
        parts = [self(part.clamp(-1, 1)) for part in pictures.split(batch)]
        domain, traits, identity, features = zip(*parts)
        return Verdict(
            self.subject,
            torch.cat(domain).softmax(1),
            tuple(torch.cat(t).softmax(1) for t in zip(*traits)),
            torch.cat(identity),
            torch.cat(features),
        )


def save_judge(judge: Judge, path: Path, metadata: dict[str, str]) -> None:
    """Write the judge in half precision to a safetensors file, whole or not at all."""
    tensors = {k: v for k, v in judge.state_dict().items() if "num_batches_tracked" not in k}
    save_tensors(tensors, path, {**metadata, "kind": KIND, **_knowledge(judge.subject)}, torch.float16)


def _knowledge(subject: Subject) -> dict[str, object]:
    """What the heads of a judge stand for."""
    traits = {trait.attribute: len(trait.after) for trait in subject.traits}
    return {"subject": subject.name, "domains": [domain.name for domain in subject.domains], "traits": traits}


def load_judge(path: Path) -> Judge:
    """Read a judge; InputError when the file is missing, damaged, something else, or of another version's studio."""
    tensors, description = load_tensors(path)
    if description.get("kind") != KIND:
        raise InputError(f"{path} holds no judge (its description says {description.get('kind', 'nothing')!r}).")
    subject = subject_named(description.get("subject", PEOPLE.name))
    if any(description.get(name) != known for name, known in _knowledge(subject).items()):
        raise InputError(f"The judge in {path} knows other domains or traits than this version: fetch it again.")
    with torch.random.fork_rng(devices=[]):  # its first weights, soon replaced, are nobody's random numbers
        judge = Judge(subject)
    missing = judge.load_state_dict({k: v.float() for k, v in tensors.items()}, strict=False)
    lacking = [k for k in missing.missing_keys if "num_batches_tracked" not in k] + missing.unexpected_keys
    if lacking:
        raise InputError(f"The judge in {path} doesn't fit this version: {', '.join(lacking[:3])}. Fetch it again.")
    return judge.eval().requires_grad_(False)
