"""A photograph as the studio portrait nearest to it: whom the reader sees is drawn, and no pixel is followed.

The latent is that of a sitter of the studio, so that the picture is as clean and sharp as the generator's own. What is
compared is what a person compares: who it is, in the reader's words, and the colours of hair, clothes and
background, each over its own area. Whether a picture is taken so or followed pixel by pixel is decided here, too, by
how much of it the generator can draw.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import InputError
from ..methods.config import InvertConfig
from ..models.catalog import load_encoder, load_generator, load_reader, reader_of, starting_encoder
from ..running.steps import Step, cpu_copies
from ..studio.reading import AttributeReader, Reading
from ..studio.sitter_words import confidences, corrected, parse, said_of
from ..studio.world.attributes import Categorical
from ..studio.world.form import AS_THEY_ARE
from ..studio.world.subject import Subject
from .stylegan2.network import Generator

#: How much of its detail the encoder's guess may leave unexplained in a picture of the generator's world, see
#: `unexplained`: of 200 held-out portraits of people it leaves 0.16 to 0.74, of 2 in 600 samples more, and of the three
#: photographs in examples/pictures 0.79 to 0.96.
RESIDUAL = 0.75
#: Below this mean chroma, in [0, 1], a picture has no colours of its own.
COLOURLESS = 0.03
SIDE = 64  # at which colours are compared
_SURE = 0.85  # of a mask, from which a pixel belongs to its area
_LEAST = 40  # pixels in an area whose colour is compared
_SPREAD = 0.12  # of colours that one would call alike, in OKLab
_LEVELS = 9  # candidates for the first number of a group, and 5 for a second

#: Areas, and what decides their colour, in the order in which they are compared. People's skin is left to the reader:
#: compared as well, it was right in 75 % of 120 changed renders instead of 79 %.
#: Last, how far the reader's word counts beside the colour: it learnt little of what stands behind people and of what
#: they wear, as both were replaced in most of what it saw.
GROUPS: dict[str, tuple[tuple[tuple[str, ...], tuple[str, ...], float], ...]] = {
    "people": (
        (("background",), ("background_hue", "background_light"), 0.25),
        (("clothes", "hat"), ("clothes_hue", "clothes_light"), 0.25),
        (("hair",), ("hair_colour",), 1.0),
    ),
    "dogs": (
        (("background",), ("background_hue", "background_light"), 0.25),
        (("face",), ("coat_colour", "coat_shade"), 1.0),
    ),
}
#: How much likelier or less likely than in the studio hair is of a colour, where a picture without colours can't tell:
#: about as often as people have it, who are rarely red-haired and hardly ever blue- or pink-haired.
_NATURAL = {"black": 1.0, "dark brown": 1.0, "brown": 1.0, "auburn": 0.25, "red": 0.1, "blond": 0.6}
_NATURAL |= {"platinum": 0.3, "grey": 1.0, "blue": 0.01, "pink": 0.01}


@dataclass(frozen=True)
class Decision:
    """How a picture is taken: aim "portrait" or "pixels", why in a sentence, and the residual where it was measured."""

    aim: str
    why: str
    residual: float | None = None


def decide(config: InvertConfig, picture: Tensor) -> Decision:
    """How `picture` (1, 3, H, H) in [-1, 1] is to be inverted; `config.aim` decides unless it is "auto".

    Raises InputError where a portrait is asked for of a model that has no reader, and as loading models does.
    """
    readable = reader_of(config.model) is not None
    if config.aim == "portrait" and not readable:
        raise InputError(
            f"The model “{config.model}” has no reader of attributes, so a photo can't become its portrait: "
            "invert as near as the pixels go."
        )
    if config.aim == "portrait":
        return Decision("portrait", "It becomes a studio portrait, as asked.")
    if config.aim == "pixels" or not readable:
        asked = "as asked" if config.aim == "pixels" else f"as “{config.model}” has no reader of attributes"
        return Decision("pixels", f"The pixels are followed, {asked}.")
    residual = residual_of(config.model, picture, config.device)
    if residual is None:
        return Decision("pixels", "The pixels are followed, as the model has no encoder to tell photos by.")
    within = residual <= RESIDUAL
    why = (
        f"{'It is a' if within else 'It is no'} picture of the model's world, so it "
        f"{'is followed pixel by pixel' if within else 'becomes a studio portrait'}: the encoder's guess leaves "
        f"{residual:.0%} of its detail unexplained, and the limit is {RESIDUAL:.0%}."
    )
    return Decision("pixels" if within else "portrait", why, residual)


def residual_of(model: str, picture: Tensor, device: str = "cpu") -> float | None:
    """See `unexplained`, of one picture, with a model's own encoder; None where it has none here."""
    name = starting_encoder(model)
    if name is None:
        return None
    generator = load_generator(model, device)
    encoder = load_encoder(name, model, generator.config, device)
    return float(unexplained(picture, generator, encoder)[0])


@torch.no_grad()
def unexplained(pictures: Tensor, generator: Generator, encoder: Any) -> Tensor:
    """How much of the detail of pictures (B, 3, H, H) is not in what the generator draws of the encoder's guess, (B,).

    One less the cosine between both pictures' details, which are what a blur of some five pixels takes away at SIDE
    pixels: 0 where they agree, 1 where they have nothing in common. The picture's own colours, light and contrast
    hardly matter to it, and those of a photo on a dark ground are often explained well while its face isn't.
    """
    pictures = _small(pictures.to(generator.device).clamp(-1, 1))
    drawn = _small(generator.synthesis(encoder(pictures)).clamp(-1, 1))
    return 1 - F.cosine_similarity(_detail(pictures).flatten(1), _detail(drawn).flatten(1))


def _detail(pictures: Tensor) -> Tensor:
    soft = pictures
    for _ in range(2):
        soft = F.avg_pool2d(F.pad(soft, (2, 2, 2, 2), mode="reflect"), 5, 1)
    return pictures - soft


def _small(pictures: Tensor) -> Tensor:
    if pictures.shape[-1] == SIDE:
        return pictures
    return F.interpolate(pictures, (SIDE, SIDE), mode="bilinear", antialias=True, align_corners=False)


def colourless(picture: Tensor) -> bool:
    """Whether a picture (1, 3, H, H) in [-1, 1] is black and white, or of one tint."""
    values = (picture.clamp(-1, 1) + 1) / 2
    tints = values - values.mean(1, keepdim=True)
    return float((tints - tints.mean((2, 3), keepdim=True)).abs().mean()) < COLOURLESS


def read_photo(reader: AttributeReader, picture: Tensor) -> Reading:
    """What is read of a photo (1, 3, H, H); of one without colours, hair is taken to be of a natural one."""
    reading = reader.read(picture)
    hair = next((a for a in reader.subject.attributes if a.name == "hair_colour"), None)
    if hair is not None and colourless(picture):
        reading = reading.with_prior(hair.name, [_NATURAL[colour] for colour in hair.labels])
    return reading


def w_plus_of(generator: Generator, subject: Subject, u: Tensor) -> Tensor:
    """Points (B, attributes) of the unit cube → w_plus (B, rows, w_dim) of which the generator draws these sitters."""
    w = generator.mapping(subject.latents_from_unit(u).to(generator.device))
    return w[:, None].repeat(1, generator.num_layers, 1)


# ----------------------------------------------------------------------------------------------------------------------
# Colours by area


@torch.no_grad()
def areas(subject: Subject, u: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """What the studio draws of points (B, attributes): pictures (B, 3, SIDE, SIDE) in [-1, 1], and a mask
    (B, 1, SIDE, SIDE) in [0, 1] of each area: "hair", "face", "clothes", "hat", "background"."""
    portrait = subject.portrait(subject.sitters_from_unit(u), AS_THEY_ARE, SIDE)
    hair, head = portrait.hair, portrait.head * (1 - portrait.hair)
    worn = (portrait.figure - torch.maximum(portrait.hair, portrait.head)).clamp(0, 1)
    row = torch.arange(SIDE)[None, None, :, None] / SIDE
    # Of hair only what lies above the forehead is surely hair in a photo of somebody with another hairline, too.
    masks = {
        "hair": hair * (row < 0.3),
        "face": head * (row > 0.4),
        "clothes": worn * (row >= 0.75),
        "hat": worn * (row < 0.4),
    }
    masks["background"] = 1 - portrait.figure
    return portrait.rgb * 2 - 1, masks


def area_colour(picture: Tensor, mask: Tensor) -> Tensor | None:
    """The median colour (3,), in OKLab, of a picture (3, SIDE, SIDE) in [-1, 1] within a mask (1, SIDE, SIDE); None
    where that is too small."""
    inside = picture[:, mask[0] >= _SURE]
    return oklab(inside.median(1).values) if inside.shape[1] >= _LEAST else None


def oklab(colour: Tensor) -> Tensor:
    """A colour (3,) of sRGB in [-1, 1] → lightness, green to red, blue to yellow, in which equal distances look about
    equally large (Ottosson 2020, "A perceptual color space for image processing")."""
    value = ((colour + 1) / 2).clamp(0, 1)
    light = torch.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    return _FROM_CONES @ (_TO_CONES @ light).clamp_min(0) ** (1 / 3)


_TO_CONES = torch.tensor(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_FROM_CONES = torch.tensor(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)


def search_sitter(search: PortraitSearch) -> Iterator[Step]:
    """Phase "latent" of a portrait: one step for each group of areas, with its colours' distance before and after."""
    for number in range(1, search.steps + 1):
        yield Step(number, search.steps, "latent", search())


class PortraitSearch:
    """Calling it brings the colours of one area after the other to those of the picture; `steps` calls end the search.

    It starts at what the reader sees, after what the person says of the sitter. Each step tries other values of what
    decides one area's colour, and takes those that the reader and the colour together find likeliest: the reader's
    probability, and a normal distribution of the colour's distance. What the person says stays.
    """

    def __init__(
        self, config: InvertConfig, generator: Generator, picture: Tensor, reader: AttributeReader | None = None
    ) -> None:
        self.model = config.model
        self._generator, self._picture = generator, _small(picture.cpu().clamp(-1, 1))
        self.reader = reader or load_reader(reader_of(config.model))
        self.subject = self.reader.subject
        self.said = parse(self.subject, config.sitter)
        self.reading = read_photo(self.reader, picture.cpu())
        self.u = corrected(self.subject, self.reading.unit(), self.said)
        self._grey = colourless(self._picture)
        self._groups = list(GROUPS[self.subject.name])
        self.steps = len(self._groups)

    def __call__(self) -> dict[str, float]:
        """One step; gives the area's colour distance before and after it, 0 where the area is too small to compare."""
        places, names, trust = self._groups.pop(0)
        free = [name for name in names if name not in self.said]
        candidates = self._candidates(free)
        likely = trust * self._likely(free, candidates)
        distance = self._distances(places, candidates)
        if distance is None or not free:
            return {"colour": 0.0, "colour before": 0.0}
        best = int((likely - distance.square() / (2 * _SPREAD**2)).argmax())
        for name in free:
            index, _ = self._place(name)
            self.u[:, index] = candidates[best, index]
        return {"colour": float(distance[best]), "colour before": float(distance[0])}

    def draw(self, generator: Generator) -> Tensor:
        """The picture (1, 3, R, R) that `generator` draws of the sitter, without gradient."""
        with torch.no_grad():
            return generator.synthesis(self.w_plus)

    @property
    def w_plus(self) -> Tensor:
        """(1, rows, w_dim) as it is now."""
        with torch.no_grad():
            return w_plus_of(self._generator, self.subject, self.u)

    def latent(self) -> dict[str, Tensor]:
        """ "w_plus", float32 on the CPU."""
        return cpu_copies({"w_plus": self.w_plus})

    def sitter(self) -> dict[str, dict[str, Any]]:
        """What is drawn, by attribute: the word of each trait and how sure the reader is of its reading, 0 to 1."""
        sure = confidences(self.reading)
        return {
            name: {"word": word, "sure": round(sure[name], 3), "said": name in self.said}
            for name, word in said_of(self.subject, self.u).items()
        }

    # --- the candidates of a step -------------------------------------------------------------------------------

    def _candidates(self, names: list[str]) -> Tensor:
        """Points (N, attributes), the present one first, with all values of these attributes beside each other."""
        points = self.u.clone()
        for place, name in enumerate(names):
            index, attribute = self._place(name)
            if isinstance(attribute, Categorical):
                shares = torch.tensor(attribute.shares)
                values = shares.cumsum(0) - shares / 2
            else:
                count = _LEVELS if place == 0 else 5
                values = (torch.arange(count) + 0.5) / count
            values = torch.cat([self.u[0, index : index + 1], values])
            points = points.repeat_interleave(len(values), 0)
            points[:, index] = values.repeat(len(points) // len(values))
        return points

    def _likely(self, names: list[str], points: Tensor) -> Tensor:
        """Logarithms (N,) of how likely the reader finds the values of these attributes."""
        total = torch.zeros(len(points))
        for name in names:
            index, attribute = self._place(name)
            likely = self.reading.probabilities[name][0].clamp_min(1e-4)
            if isinstance(attribute, Categorical):
                which = self.subject.sitters_from_unit(points)[name]
            else:
                which = (points[:, index] * len(likely)).long().clamp(0, len(likely) - 1)
            total = total + likely.log()[which]
        return total

    def _distances(self, names: tuple[str, ...], points: Tensor) -> Tensor | None:
        """How far each candidate's colours are from the picture's over these areas (N,), None where all are too small.

        Of a picture without colours only lightness is compared.
        """
        drawn, masks = areas(self.subject, points)
        squares = []
        for mask in (masks[name][0] for name in names):
            wanted = area_colour(self._picture[0], mask)
            if wanted is not None:
                difference = torch.stack([area_colour(one, mask) for one in drawn]) - wanted
                squares.append(difference[:, : 1 if self._grey else 3].square().sum(1))
        return torch.stack(squares).mean(0).sqrt() if squares else None

    def _place(self, name: str) -> tuple[int, Any]:
        return next((i, a) for i, a in enumerate(self.subject.attributes) if a.name == name)


def portrait_of(config: InvertConfig, picture: Tensor) -> PortraitSearch:
    """The portrait of whom `picture` (1, 3, H, H) in [-1, 1] shows, after all its steps.

    Raises InputError for a model without a reader and for what can't be said of its sitters.
    """
    if reader_of(config.model) is None:
        raise InputError(f"The model “{config.model}” has no reader of attributes: follow the pixels instead.")
    search = PortraitSearch(config, load_generator(config.model, config.device), picture)
    for _ in range(search.steps):
        search()
    return search


def notes_of(decision: Decision, search: PortraitSearch | None) -> dict[str, Any]:
    """What the settings of an inverted picture say of how it was taken."""
    notes = {"aim": decision.aim, "why": decision.why, "residual": decision.residual}
    return {**notes, "sitter": None if search is None else search.sitter()}
