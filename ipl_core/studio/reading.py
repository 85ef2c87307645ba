"""The reader of attributes: a network that says of any picture whom the studio would draw for it.

It gives a distribution for everything that the world knows of a sitter, so that each reading has its confidence, and
from readings follows a latent. It was taught on renders under strong photographic change and takes no part in any
loss or judgement. Training is the business of training/attribute_reader.py.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import InputError
from ..generators.encoder import GRID, Block
from ..storage.tensors import load_tensors, save_tensors
from ..storage.words import quoted, reason
from .world.attributes import Attribute, Categorical, Sitters
from .world.subject import PEOPLE, Subject, subject_named

KIND = "attribute reader"
BINS = 12  # into which the range of a number is divided
NEAR = 1 / 6  # of a number's range: how near the truth must lie for a reading to count as right
#: Views of a picture that are read and averaged: zoom, and shifts in half pictures.
VIEWS = ((1.0, 0.0, 0.0), (0.9, 0.0, 0.0), (1.1, 0.0, 0.0), (1.0, 0.06, 0.0), (1.0, -0.06, 0.0), (1.0, 0.0, 0.06))


@dataclass(frozen=True)
class ReaderConfig:
    """Shape of a reader: side of what it sees in pixels, channels of its blocks, width of its last hidden layer."""

    resolution: int = 64
    widths: tuple[int, ...] = (32, 64, 128, 160)
    features: int = 384

    def __post_init__(self) -> None:
        object.__setattr__(self, "widths", tuple(self.widths))
        for number in (self.resolution, self.features, *self.widths):
            if not isinstance(number, int) or isinstance(number, bool) or not 1 <= number <= 4096:
                raise InputError(f"A reader's numbers are whole and from 1 to 4096, got {quoted(number)}.")
        if not 1 <= len(self.widths) <= 8:
            raise InputError(f"A reader has from 1 to 8 widths, got {len(self.widths)}.")


def columns(attribute: Attribute) -> int:
    """How many probabilities there are of an attribute: one a label, or one a part of a number's range."""
    return len(attribute.labels) if isinstance(attribute, Categorical) else BINS


def _middles() -> Tensor:
    return (torch.arange(BINS) + 0.5) / BINS


@dataclass(frozen=True)
class Reading:
    """What was read from B pictures: for each attribute of the subject its probabilities (B, labels or BINS)."""

    subject: Subject
    probabilities: Mapping[str, Tensor]

    def __len__(self) -> int:
        return len(next(iter(self.probabilities.values())))

    def unit(self) -> Tensor:
        """Points of the subject's unit cube (B, attributes): the middle of the likeliest label, the mean of a number.

        A number of which nothing can be told is thus an ordinary one. A number that a trait speaks of, such as a smile,
        is first taken to be of the likeliest of the trait's labels: means alone would have nobody smile.
        """
        return torch.stack([self._point(attribute) for attribute in self.subject.attributes], 1)

    def sitters(self) -> Sitters:
        """The sitters as read."""
        return self.subject.sitters_from_unit(self.unit())

    def confidence(self, name: str) -> Tensor:
        """How likely the reading of an attribute is right, (B,) in [0, 1]; of a number, within a sixth of its range."""
        attribute = self._attribute(name)
        likely = self.probabilities[name]
        if isinstance(attribute, Categorical):
            return likely.amax(1)
        far = (_middles()[None] - self._point(attribute)[:, None]).abs()
        if attribute.circular:
            far = torch.minimum(far, 1 - far)
        return (likely * (far <= NEAR)).sum(1)

    def with_prior(self, name: str, factors: Sequence[float]) -> Reading:
        """The reading after the labels of a categorical attribute have been made likelier or less likely by factors."""
        weighted = self.probabilities[name] * torch.tensor(factors)
        return Reading(self.subject, {**self.probabilities, name: weighted / weighted.sum(1, keepdim=True)})

    def _attribute(self, name: str) -> Attribute:
        return next(attribute for attribute in self.subject.attributes if attribute.name == name)

    def _point(self, attribute: Attribute) -> Tensor:
        likely = self.probabilities[attribute.name]
        if isinstance(attribute, Categorical):
            shares = torch.tensor(attribute.shares)
            return (shares.cumsum(0) - shares / 2)[likely.argmax(1)]
        edges = next((trait.edges for trait in self.subject.traits if trait.attribute == attribute.name), ())
        if edges:
            return _within_the_likeliest(
                likely, [(e - attribute.low) / (attribute.high - attribute.low) for e in edges]
            )
        if not attribute.circular:
            return likely @ _middles()
        turn = 2 * math.pi * _middles()
        return torch.atan2(likely @ turn.sin(), likely @ turn.cos()).div(2 * math.pi).remainder(1)


def _within_the_likeliest(likely: Tensor, edges: Sequence[float]) -> Tensor:
    """Probabilities (B, BINS) of a number in [0, 1] → its mean (B,) within the likeliest range between edges."""
    lows, highs = torch.tensor([0.0, *edges])[:, None], torch.tensor([*edges, 1.0])[:, None]
    bins = torch.arange(BINS) / BINS
    start, end = torch.maximum(bins, lows), torch.minimum(bins + 1 / BINS, highs)
    shared = (end - start).clamp_min(0) * BINS  # (labels, BINS): how much of each part lies in each range
    label = (likely @ shared.T).argmax(1)
    weights = likely * shared[label]
    return (weights * (start + end)[label] / 2).sum(1) / weights.sum(1)


class AttributeReader(nn.Module):
    """Pictures (B, 3, H, H) in [−1, 1], of any size → logits of every attribute's probabilities."""

    def __init__(self, subject: Subject = PEOPLE, config: ReaderConfig = ReaderConfig()) -> None:
        super().__init__()
        self.subject, self.config = subject, config
        widths = config.widths
        self.stem = nn.Conv2d(3, widths[0], 3, 1, 1, bias=False)
        self.norm = nn.BatchNorm2d(widths[0])
        self.blocks = nn.Sequential(*(Block(a, b) for a, b in zip((widths[0], *widths), widths)))
        self.whole = nn.Linear(widths[-1] * GRID**2, config.features)
        self.heads = nn.Linear(config.features, sum(map(columns, subject.attributes)))

    def features(self, pictures: Tensor) -> Tensor:
        """The last hidden layer (B, features): what pictures of like people share. Differentiable in the pictures."""
        side = self.config.resolution
        if pictures.shape[-1] != side:
            pictures = F.interpolate(pictures, (side, side), mode="bilinear", antialias=True, align_corners=False)
        x = self.blocks(F.relu(self.norm(self.stem(pictures.clamp(-1, 1)))))
        return F.relu(self.whole(F.adaptive_avg_pool2d(x, GRID).flatten(1)))

    def forward(self, pictures: Tensor) -> tuple[Tensor, ...]:
        """Logits (B, labels or BINS) for each attribute, in the subject's order."""
        return self.heads(self.features(pictures)).split([columns(a) for a in self.subject.attributes], 1)

    @torch.no_grad()
    def read(self, pictures: Tensor, batch: int = 64) -> Reading:
        """The reading of pictures (B, 3, H, H) about [−1, 1]: the mean over several views of each."""
        if self.training:
            raise InputError("The reader must be in evaluation mode to read pictures; load it with load_reader.")
        pictures = pictures.clamp(-1, 1)
        total: list[Tensor] = []
        for view in VIEWS:
            seen = [self(part) for part in _viewed(pictures, *view).split(batch)]
            likely = [torch.cat(logits).float().softmax(1) for logits in zip(*seen)]
            total = [a + b for a, b in zip(total, likely)] if total else likely
        names = (attribute.name for attribute in self.subject.attributes)
        return Reading(self.subject, {name: likely / len(VIEWS) for name, likely in zip(names, total)})


def _viewed(pictures: Tensor, zoom: float, right: float, down: float) -> Tensor:
    if (zoom, right, down) == (1.0, 0.0, 0.0):
        return pictures
    frame = torch.tensor([[1 / zoom, 0.0, right], [0.0, 1 / zoom, down]]).expand(len(pictures), -1, -1)
    grid = F.affine_grid(frame, list(pictures.shape), align_corners=False)
    return F.grid_sample(pictures, grid.to(pictures), padding_mode="border", align_corners=False)


def save_reader(reader: AttributeReader, path: str | os.PathLike[str], metadata: Mapping[str, str]) -> None:
    """Write a reader in half precision to a safetensors file, whole or not at all."""
    tensors = {name: tensor for name, tensor in reader.state_dict().items() if "num_batches_tracked" not in name}
    description = {**metadata, "kind": KIND, "config": asdict(reader.config), **_knowledge(reader.subject)}
    save_tensors(tensors, path, description, torch.float16)


def _knowledge(subject: Subject) -> dict[str, object]:
    """What the columns of a reader stand for."""
    return {"subject": subject.name, "attributes": {a.name: columns(a) for a in subject.attributes}}


def load_reader(path: str | os.PathLike[str]) -> AttributeReader:
    """Read a reader, in evaluation mode; InputError when the file is missing, damaged, something else, or of another
    version's studio."""
    tensors, description = load_tensors(path)
    if description.get("kind") != KIND:
        raise InputError(
            f"{path} holds no attribute reader (its description says {quoted(description.get('kind', 'nothing'))})."
        )
    subject = subject_named(description.get("subject", PEOPLE.name))
    if any(description.get(name) != known for name, known in _knowledge(subject).items()):
        raise InputError(f"The reader in {path} knows other attributes than this version: fetch it again.")
    try:
        config = ReaderConfig(**description["config"])
    except (KeyError, TypeError, InputError) as error:
        raise InputError(f"The description of the reader in {path} can't be used: {reason(error)}.") from error
    with torch.device("meta"):  # compared before memory is taken for what a file claims
        claimed = AttributeReader(subject, config).state_dict()
    expected = {name: t.shape for name, t in claimed.items() if "num_batches_tracked" not in name}
    if {name: tensor.shape for name, tensor in tensors.items()} != expected:
        raise InputError(f"The tensors of the reader in {path} don't fit its description: fetch it again.")
    with torch.random.fork_rng(devices=[]):  # its first weights, soon replaced, are nobody's random numbers
        reader = AttributeReader(subject, config)
    reader.load_state_dict({name: tensor.float() for name, tensor in tensors.items()}, strict=False)
    return reader.eval().requires_grad_(False)
