"""What a studio portrait can be: every attribute by name, with its range or its labels.

A person is a point u in the unit cube, one coordinate an attribute; a generator's latent z gives that
point by a fixed map, so the truth behind every generated picture is known. Knows nothing about pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ..errors import InputError


@dataclass(frozen=True)
class Continuous:
    """An attribute that is a number, spread evenly between `low` and `high`."""

    name: str
    low: float
    high: float


@dataclass(frozen=True)
class Categorical:
    """An attribute that is one of `labels`, drawn with probabilities `shares` (they sum to 1)."""

    name: str
    labels: tuple[str, ...]
    shares: tuple[float, ...]


CONTINUOUS = (
    Continuous("face_width", 0.35, 0.45),  # half-width of the head, in half pictures
    Continuous("face_length", 0.47, 0.58),  # half-height of the head
    Continuous("jaw", 0.05, 0.45),  # how much the face narrows below the mouth
    Continuous("nose_width", 0.7, 1.5),
    Continuous("nose_length", 0.15, 0.25),
    Continuous("eye_size", 0.8, 1.25),
    Continuous("eye_distance", 0.145, 0.19),
    Continuous("eye_slant", -0.25, 0.3),
    Continuous("brow_thickness", 0.5, 1.6),
    Continuous("brow_angle", -0.3, 0.35),
    Continuous("mouth_width", 0.11, 0.19),
    Continuous("lip_fullness", 0.6, 1.7),
    Continuous("smile", -0.6, 1.0),
    Continuous("skin_tone", 0.0, 1.0),  # 0 lightest, 1 darkest
    Continuous("skin_warmth", -1.0, 1.0),
    Continuous("age", 0.0, 1.0),  # lines, and grey hair in the last third
    Continuous("turn", -1.0, 1.0),  # yaw; the nose and the far side move most
    Continuous("tilt", -0.05, 0.05),  # roll in radians; small, as faces are aligned by their eyes
    Continuous("light_side", -1.0, 1.0),
    Continuous("light_height", 0.1, 0.8),
    Continuous("background_hue", 0.0, 1.0),
    Continuous("background_light", 0.35, 0.9),
    Continuous("clothes_hue", 0.0, 1.0),
)
CATEGORICAL = (
    Categorical("hair_cut", ("bald", "short", "fringe", "bob", "long", "curly"), (0.12, 0.22, 0.16, 0.16, 0.18, 0.16)),
    Categorical(
        "hair_colour",
        ("black", "dark brown", "brown", "auburn", "red", "blond", "platinum", "blue"),
        (0.18, 0.16, 0.16, 0.11, 0.11, 0.13, 0.09, 0.06),
    ),
    Categorical("eye_colour", ("brown", "amber", "green", "blue", "grey"), (0.3, 0.15, 0.2, 0.2, 0.15)),
    Categorical("glasses", ("no glasses", "glasses"), (0.7, 0.3)),
    Categorical("beard", ("no beard", "moustache", "full beard"), (0.64, 0.14, 0.22)),
    Categorical("hat", ("no hat", "hat"), (0.82, 0.18)),
)
ATTRIBUTES: tuple[Continuous | Categorical, ...] = CONTINUOUS + CATEGORICAL
COUNT = len(ATTRIBUTES)


@dataclass(frozen=True)
class People:
    """Attributes of B people: numbers (B,) float32 for the continuous, labels' indices (B,) int64 for the rest."""

    values: dict[str, torch.Tensor]

    def __getitem__(self, name: str) -> torch.Tensor:
        return self.values[name]

    def __len__(self) -> int:
        return len(self.values["age"])

    def select(self, index: torch.Tensor | slice) -> People:
        """The people at `index`, as a tensor would be indexed."""
        return People({name: value[index] for name, value in self.values.items()})

    def label(self, name: str, i: int) -> str:
        """The label of person i for a categorical attribute."""
        attribute = next(a for a in CATEGORICAL if a.name == name)
        return attribute.labels[int(self.values[name][i])]


def people_from_unit(u: torch.Tensor) -> People:
    """Points of the unit cube, (B, COUNT) in [0, 1] → People; each coordinate is one attribute's quantile."""
    if u.ndim != 2 or u.shape[1] != COUNT:
        raise InputError(f"People are drawn from points of shape (B, {COUNT}); this one has shape {tuple(u.shape)}.")
    values: dict[str, torch.Tensor] = {}
    for i, attribute in enumerate(ATTRIBUTES):
        if isinstance(attribute, Continuous):
            values[attribute.name] = attribute.low + (attribute.high - attribute.low) * u[:, i]
        else:
            edges = torch.tensor(attribute.shares).cumsum(0)[:-1]
            values[attribute.name] = torch.bucketize(u[:, i].contiguous(), edges)
    return People(values)


def people_from_latents(z: torch.Tensor) -> People:
    """Latents z (B, z_dim ≥ COUNT) → the people that the embedded generators were taught to draw for them.

    z is first scaled to unit mean square, as the generator's own PixelNorm does, so that its length carries
    nothing; the normal CDF then makes each of the first COUNT coordinates uniform.
    """
    z = z * torch.rsqrt(z.square().mean(1, keepdim=True) + 1e-8)
    return people_from_unit(torch.special.ndtr(z[:, :COUNT]))


def random_people(count: int, generator: torch.Generator) -> People:
    """`count` people, every attribute drawn independently."""
    return people_from_unit(torch.rand(count, COUNT, generator=generator))
