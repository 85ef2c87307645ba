"""The attributes of a portrait's sitter, by name, with their ranges or their labels.

A sitter is a point u in the unit cube, one coordinate an attribute; a generator's latent z gives that point by a
fixed map (subject.py), so the truth behind every generated picture is known. Knows nothing about pixels or words.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Continuous:
    """An attribute that is a number, spread evenly between `low` and `high`.

    circular: whether it comes round, so that both ends are one, as a hue's are.
    """

    name: str
    low: float
    high: float
    circular: bool = False


@dataclass(frozen=True)
class Categorical:
    """An attribute that is one of `labels`, drawn with probabilities `shares` (they sum to 1)."""

    name: str
    labels: tuple[str, ...]
    shares: tuple[float, ...]


Attribute = Continuous | Categorical


@dataclass(frozen=True)
class Sitters:
    """Attributes of B sitters: numbers (B,) float32 for the continuous, labels' indices (B,) int64 for the rest."""

    values: dict[str, torch.Tensor]

    def __getitem__(self, name: str) -> torch.Tensor:
        return self.values[name]

    def __len__(self) -> int:
        return len(next(iter(self.values.values())))

    def select(self, index: torch.Tensor | slice) -> Sitters:
        """The sitters at `index`, as a tensor would be indexed."""
        return Sitters({name: value[index] for name, value in self.values.items()})

    def number(self, name: str) -> torch.Tensor:
        """A continuous attribute as (B, 1, 1, 1), ready to meet pictures."""
        return self.values[name].float()[:, None, None, None]

    def has(self, name: str, *labels: int) -> torch.Tensor:
        """1 where a categorical attribute is one of the labels' indices, 0 elsewhere, (B, 1, 1, 1)."""
        return sum((self.values[name] == k).float() for k in labels)[:, None, None, None]


def sitters_from_unit(attributes: tuple[Attribute, ...], u: torch.Tensor) -> Sitters:
    """Points of the unit cube, (B, len(attributes)) in [0, 1] → Sitters; a coordinate is an attribute's quantile."""
    values: dict[str, torch.Tensor] = {}
    for i, attribute in enumerate(attributes):
        if isinstance(attribute, Continuous):
            values[attribute.name] = attribute.low + (attribute.high - attribute.low) * u[:, i]
        else:
            edges = torch.tensor(attribute.shares).cumsum(0)[:-1]
            values[attribute.name] = torch.bucketize(u[:, i].contiguous(), edges)
    return Sitters(values)


def unit_from_sitters(attributes: tuple[Attribute, ...], sitters: Sitters) -> torch.Tensor:
    """The inverse of `sitters_from_unit`: points of the unit cube (B, len(attributes)).

    Exact for numbers within their range, those outside it are taken to its ends; a label has a range of points, of
    which this is the middle.
    """
    columns = []
    for attribute in attributes:
        value = sitters[attribute.name]
        if isinstance(attribute, Continuous):
            columns.append(((value - attribute.low) / (attribute.high - attribute.low)).clamp(0, 1))
        else:
            shares = torch.tensor(attribute.shares)
            columns.append((shares.cumsum(0) - shares / 2)[value])
    return torch.stack(columns, 1)
