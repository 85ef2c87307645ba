"""What a camera, a place and a draughtsman make of a portrait.

The changes that a reader of attributes is trained under stand here, and other kinds that no training sees, to measure
it by.

Everything is a function of pictures in [0, 1] and of a generator of random numbers. Masks tell a sitter's areas apart,
so that backgrounds, hair, skin and clothes can change each for itself.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from ..data import to_bytes, to_float

#: Style domains that training may draw sitters in, and those that are kept for measuring. Those that hide nearly all
#: of a face (thermal image, neon, blueprint, statues) are in neither.
DRAWN = (
    "pencil sketch", "charcoal", "watercolor", "impressionism", "pointillism", "cubism", "mosaic", "stained glass",
    "wall painting", "pop art", "pixel art", "low-poly", "chalk drawing", "knitted",
)  # fmt: skip
HELD_OUT_DRAWN = ("oil painting", "ukiyo-e", "linocut", "vintage photo", "cartoon")


@dataclass(frozen=True)
class Changed:
    """Pictures (B, 3, R, R) in [0, 1], and what can no longer be known of each, (B,) bool: its background, its clothes,
    its colours."""

    pictures: Tensor
    background: Tensor
    clothes: Tensor
    colours: Tensor


def photographed(pictures: Tensor, masks: Tensor, random: torch.Generator) -> Changed:
    """Renders as photographs might show such people: every change of training, each at its own chance and strength.

    pictures (B, 3, R, R) and masks (B, 3, R, R) of figure, head and hair, in [0, 1].
    """
    count = len(pictures)
    pictures, masks = _moved(pictures, masks, random)
    figure, head, hair = masks.split(1, 1)
    clothes = (figure - torch.maximum(head, hair)).clamp(0, 1)
    side = pictures.shape[-1]
    upper = (torch.arange(side) < side // 2)[:, None].float()
    textures = _textures(4 * count, side, random).split(count)
    # The place.
    elsewhere = _chance(count, 0.65, random)
    place = textures[0]
    of_others = _chance(count, 0.25, random)
    blown_up = F.interpolate(pictures.roll(1, 0)[..., ::2, ::2], scale_factor=2, mode="bilinear", align_corners=False)
    place = torch.where(of_others, blown_up, place)
    pictures = torch.where(elsewhere, pictures + (place - pictures) * (1 - figure), pictures)
    # What is worn, below and on the head.
    dressed = _chance(count, 0.4, random)
    pictures = torch.where(dressed, pictures + (textures[1] - pictures) * 0.9 * clothes * (1 - upper), pictures)
    hats = 0.85 * clothes * upper * _chance(count, 0.5, random)
    pictures = pictures + (textures[3] - pictures) * hats
    # Strands and skin: the renderer's own are smooth.
    strands = _strands(count, side, random) * _evenly(count, 0.0, 0.9, random) * hair
    spots = _noise(count, 1, side, random) * _evenly(count, 0.0, 0.22, random) * head * (1 - hair)
    pictures = (pictures * (1 + strands + spots)).clamp(0, 1)
    pictures = _lit(pictures, random)
    pictures, grey = _coloured(pictures, random)
    # Small things such as a smile are learnt where they can be seen well: most cameras are good.
    spoilt = _grainy(_softened(_covered(pictures, textures[2], random), random), random)
    pictures = torch.where(_chance(count, 0.55, random), spoilt, pictures)
    return Changed(pictures.clamp(0, 1), elsewhere.flatten(), dressed.flatten(), grey.flatten())


# ----------------------------------------------------------------------------------------------------------------------
# Chance and textures


def _evenly(count: int, low: float, high: float, random: torch.Generator, channels: int = 1) -> Tensor:
    return low + (high - low) * torch.rand(count, channels, 1, 1, generator=random)


def _chance(count: int, share: float, random: torch.Generator) -> Tensor:
    return torch.rand(count, 1, 1, 1, generator=random) < share


def _noise(count: int, channels: int, side: int, random: torch.Generator) -> Tensor:
    """Fields of noise over several octaves, each with weights of its own; about [-1, 1]."""
    total, weights = torch.zeros(count, channels, side, side), torch.zeros(count, 1, 1, 1)
    for cells in (3, 6, 12, 24):
        weight = _evenly(count, 0.0, 1.0, random).square()
        grid = torch.rand(count, channels, cells, cells, generator=random) * 2 - 1
        total += weight * F.interpolate(grid, (side, side), mode="bilinear", align_corners=False)
        weights += weight
    return 1.6 * total / weights.clamp_min(0.1)


def _textures(count: int, side: int, random: torch.Generator) -> Tensor:
    """Surfaces of many kinds: plain, a gradient, clouds, patches; few are bright in colour, as in photographs."""
    ground = _evenly(count, 0.0, 1.0, random)
    tint = (torch.rand(count, 3, 1, 1, generator=random) - 0.5) * _evenly(count, 0.0, 1.0, random).square() * 1.6
    base = ground + tint
    axis = torch.linspace(-1, 1, side)
    way = torch.randn(count, 2, 1, 1, generator=random)
    slope = way[:, :1] * axis[None, None, :, None] + way[:, 1:] * axis[None, None, None, :]
    other = (torch.rand(count, 3, 1, 1, generator=random) - 0.5) * _evenly(count, 0.0, 0.5, random)
    surface = base + slope * other
    clouds = _noise(count, 1, side, random) + 0.4 * _noise(count, 3, side, random)
    surface = surface + clouds * _evenly(count, 0.0, 0.45, random) * _chance(count, 0.6, random)
    cells = int(torch.randint(2, 8, (), generator=random))
    patches = F.interpolate(torch.rand(count, 3, cells, cells, generator=random), (side, side), mode="nearest")
    mixed = torch.where(_chance(count, 0.2, random), 0.4 * surface + 0.6 * patches, surface)
    return mixed.clamp(0, 1)


def _strands(count: int, side: int, random: torch.Generator) -> Tensor:
    """Noise that runs along one direction a picture, as strands of hair do."""
    fine = torch.randn(count, 1, side, side, generator=random)
    angle = _evenly(count, -1.2, 1.2, random).flatten()
    frame = torch.zeros(count, 2, 3)
    frame[:, 0, 0], frame[:, 0, 1] = angle.cos(), -angle.sin()
    frame[:, 1, 0], frame[:, 1, 1] = 0.15 * angle.sin(), 0.15 * angle.cos()
    grid = F.affine_grid(frame, [count, 1, side, side], align_corners=False)
    drawn = F.grid_sample(fine, grid, padding_mode="reflection", align_corners=False)
    return 0.35 * drawn + 0.35 * _noise(count, 1, side, random)


# ----------------------------------------------------------------------------------------------------------------------
# One change after the other


def _moved(pictures: Tensor, masks: Tensor, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """Other crops, and heads of other proportions: zoom, shift, turn, stretch and a smooth bend."""
    count, side = len(pictures), pictures.shape[-1]
    angle = _evenly(count, -0.14, 0.14, random).flatten()
    zoom, stretch = (torch.exp(_evenly(count, -r, r, random).flatten()) for r in (0.22, 0.12))
    frame = torch.zeros(count, 2, 3)
    frame[:, 0, 0], frame[:, 0, 1] = angle.cos() * zoom * stretch, -angle.sin() * zoom
    frame[:, 1, 0], frame[:, 1, 1] = angle.sin() * zoom, angle.cos() * zoom / stretch
    frame[:, :, 2] = (torch.rand(count, 2, generator=random) - 0.5) * 0.36
    grid = F.affine_grid(frame, [count, 1, side, side], align_corners=False)
    bend = torch.randn(count, 2, 5, 5, generator=random) * _evenly(count, 0.0, 0.05, random)
    grid = grid + F.interpolate(bend, (side, side), mode="bicubic", align_corners=False).permute(0, 2, 3, 1)
    layers = F.grid_sample(torch.cat([pictures, masks], 1), grid, padding_mode="border", align_corners=False)
    kept = _chance(count, 0.85, random)
    layers = torch.where(kept, layers, torch.cat([pictures, masks], 1))
    return layers[:, :3].clamp(0, 1), layers[:, 3:].clamp(0, 1)


def _lit(pictures: Tensor, random: torch.Generator) -> Tensor:
    """Light that is uneven over the picture."""
    count, side = len(pictures), pictures.shape[-1]
    grid = torch.rand(count, 1, 3, 3, generator=random) * 2 - 1
    field = F.interpolate(grid, (side, side), mode="bilinear", align_corners=True)
    return pictures * (1 + field * _evenly(count, 0.0, 0.35, random))


def _covered(pictures: Tensor, textures: Tensor, random: torch.Generator) -> Tensor:
    """A box or a blob before a third of the sitters, of any surface."""
    count, side = len(pictures), pictures.shape[-1]
    axis = torch.linspace(-1, 1, side)
    x, y = axis[None, None, None, :], axis[None, None, :, None]
    across, down = _evenly(count, -1.0, 1.0, random), _evenly(count, -1.0, 1.0, random)
    wide, tall = _evenly(count, 0.1, 0.4, random), _evenly(count, 0.1, 0.4, random)
    power = torch.where(_chance(count, 0.5, random), 2.0, 8.0)
    inside = (((x - across) / wide).abs() ** power + ((y - down) / tall).abs() ** power) < 1
    return torch.where(inside & _chance(count, 0.33, random), textures, pictures)


def _coloured(pictures: Tensor, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """Exposure, gamma, contrast, a cast, saturation; and whether a picture has lost its colours (B, 1, 1, 1)."""
    count = len(pictures)
    gamma = torch.exp(_evenly(count, -0.4, 0.4, random))
    pictures = pictures.clamp(1e-3, 1) ** gamma
    contrast, lift = torch.exp(_evenly(count, -0.35, 0.3, random)), _evenly(count, -0.08, 0.08, random)
    pictures = (pictures - 0.5) * contrast + 0.5 + lift
    luma = _luma(pictures)
    grey = _chance(count, 0.14, random)
    saturation = torch.where(grey, 0.0, _evenly(count, 0.45, 1.35, random))
    pictures = luma + (pictures - luma) * saturation
    cast = 1 + (torch.rand(count, 3, 1, 1, generator=random) - 0.5) * _evenly(count, 0.0, 0.4, random)
    cast = torch.where(grey & _chance(count, 0.7, random), 1.0, cast)  # most black-and-white pictures have no tint
    return (pictures * cast).clamp(0, 1), grey


def _luma(pictures: Tensor) -> Tensor:
    return (pictures * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(1, keepdim=True)


def _softened(pictures: Tensor, random: torch.Generator) -> Tensor:
    """Loss of resolution, blur, or sharpening."""
    count, side = len(pictures), pictures.shape[-1]
    small = int(side * float(torch.empty(()).uniform_(0.45, 0.95, generator=random)))
    lowered = F.interpolate(pictures, (small, small), mode="bilinear", antialias=True, align_corners=False)
    lowered = F.interpolate(lowered, (side, side), mode="bilinear", align_corners=False)
    pictures = torch.where(_chance(count, 0.3, random), lowered, pictures)
    soft = F.avg_pool2d(F.pad(pictures, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    return pictures + (soft - pictures) * _evenly(count, -1.2, 1.2, random)


def _grainy(pictures: Tensor, random: torch.Generator) -> Tensor:
    """Noise, of one kind for all channels or for each, then coarse cosine coefficients as in a JPEG file."""
    count, side = len(pictures), pictures.shape[-1]
    of_each = torch.randn(count, 3, side, side, generator=random)
    of_all = torch.randn(count, 1, side, side, generator=random)
    size = _evenly(count, 0.0, 0.09, random) * _chance(count, 0.6, random)
    pictures = pictures + size * torch.where(_chance(count, 0.5, random), of_each, of_all)
    return torch.where(_chance(count, 0.4, random), _coarse(pictures, _evenly(count, 0.02, 0.14, random)), pictures)


def _coarse(pictures: Tensor, step: Tensor) -> Tensor:
    """Blocks of 8 × 8 with their cosine coefficients rounded to multiples of `step`, more the finer they are."""
    side = pictures.shape[-1]
    k = torch.arange(8.0)
    basis = torch.cos(math.pi * (k[None] + 0.5) * k[:, None] / 8) * torch.where(k == 0, 0.5**0.5, 1.0)[:, None] / 2
    blocks = pictures.unflatten(3, (side // 8, 8)).unflatten(2, (side // 8, 8)).transpose(3, 4)
    coefficients = basis @ blocks @ basis.T
    steps = step[..., None, None] * (1 + 0.5 * (k[None] + k[:, None]))
    blocks = basis.T @ ((coefficients / steps).round() * steps) @ basis
    return blocks.transpose(3, 4).flatten(4, 5).flatten(2, 3)


# ----------------------------------------------------------------------------------------------------------------------
# Kinds that no training sees

#: A change of one picture: pictures (B, 3, R, R) and figure masks (B, 1, R, R) in [0, 1] → pictures of that shape.
Change = Callable[[Tensor, Tensor, torch.Generator], Tensor]


def _motion(pictures: Tensor, figure: Tensor, random: torch.Generator) -> Tensor:
    """Blur along a line, as of a moving hand."""
    length = pictures.shape[-1] // 14
    angle = float(torch.empty(()).uniform_(-1.5, 1.5, generator=random))
    shifts = torch.linspace(-0.5, 0.5, 9) * length
    ways = [(round(s * math.sin(angle)), round(s * math.cos(angle))) for s in shifts.tolist()]
    return torch.stack([pictures.roll(way, (2, 3)) for way in ways]).mean(0)


def _speckled(pictures: Tensor, figure: Tensor, random: torch.Generator) -> Tensor:
    """Dust and scratches: single pixels that are black or white."""
    lot = torch.rand(len(pictures), 1, *pictures.shape[2:], generator=random)
    return torch.where(lot < 0.03, 0.0, torch.where(lot > 0.97, 1.0, pictures))


def _from_aside(pictures: Tensor, figure: Tensor, random: torch.Generator) -> Tensor:
    """Perspective: one side of the picture is nearer."""
    side = pictures.shape[-1]
    axis = (torch.arange(side) + 0.5) * 2 / side - 1
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    a, b = (float(v) for v in torch.empty(2).uniform_(-0.28, 0.28, generator=random))
    depth = 1 + a * x + b * y
    grid = torch.stack([x / depth, y / depth], -1).expand(len(pictures), -1, -1, -1)
    return F.grid_sample(pictures, grid, padding_mode="reflection", align_corners=False)


def _before_flags(pictures: Tensor, figure: Tensor, random: torch.Generator) -> Tensor:
    """Stripes of strong colours behind the sitter."""
    side = pictures.shape[-1]
    axis = torch.linspace(-1, 1, side)
    angle = float(torch.empty(()).uniform_(-1.5, 1.5, generator=random))
    along = axis[None, :] * math.cos(angle) + axis[:, None] * math.sin(angle)
    colours = torch.rand(2, 3, 1, 1, generator=random)
    stripes = torch.where((along * 4).floor().remainder(2) == 0, colours[0], colours[1])
    return pictures + (stripes - pictures) * (1 - figure)


def _in_half_shadow(pictures: Tensor, figure: Tensor, random: torch.Generator) -> Tensor:
    """A hard shadow over one side."""
    axis = torch.linspace(-1, 1, pictures.shape[-1])
    angle = float(torch.empty(()).uniform_(-3.1, 3.1, generator=random))
    along = axis[None, :] * math.cos(angle) + axis[:, None] * math.sin(angle)
    return pictures * torch.where(along > 0.1, 0.5, 1.0)


def _in_few_tones(pictures: Tensor, figure: Tensor, random: torch.Generator) -> Tensor:
    """Four tones a channel, as bad copies have."""
    return (pictures * 4 - 0.5).round().clamp(0, 3) / 3


def _printed(pictures: Tensor, figure: Tensor, random: torch.Generator) -> Tensor:
    """A printer's dots of one size, over the picture's own tones."""
    side = pictures.shape[-1]
    axis = torch.arange(side) * (2 * math.pi / 4)
    dots = torch.cos(axis)[:, None] * torch.cos(axis)[None, :]
    return (pictures + 0.18 * dots).clamp(0, 1)


def _behind_a_hand(pictures: Tensor, figure: Tensor, random: torch.Generator) -> Tensor:
    """Four fingers before a cheek and the chin."""
    side = pictures.shape[-1]
    axis = torch.linspace(-1, 1, side)
    x, y = axis[None, :], axis[:, None]
    turned = 1 if float(torch.rand((), generator=random)) < 0.5 else -1
    fingers = sum(
        ((((turned * x - 0.1 - 0.13 * k) / 0.055).square() + ((y - 0.62 - 0.03 * k) / 0.3).square()) < 1).float()
        for k in range(4)
    ).clamp(0, 1)
    skin = torch.tensor([0.80, 0.60, 0.48])[:, None, None] * (0.85 + 0.15 * torch.cos(x * 40))
    return pictures + (skin - pictures) * fingers


def _from_a_file(pictures: Tensor, figure: Tensor, random: torch.Generator) -> Tensor:
    """Through a real WebP file of low quality, at three quarters of the size."""
    found = []
    for picture in to_bytes(pictures * 2 - 1):
        image = Image.fromarray(picture.permute(1, 2, 0).numpy())
        small = image.resize((image.width * 3 // 4, image.height * 3 // 4), Image.Resampling.BOX)
        buffer = io.BytesIO()
        small.save(buffer, "WEBP", quality=15)
        back = Image.open(buffer).convert("RGB").resize(image.size, Image.Resampling.BICUBIC)
        found.append(torch.from_numpy(np.array(back)).permute(2, 0, 1))
    return (to_float(torch.stack(found)) + 1) / 2


#: By name; "drawn" is no change of a picture but a sitter in one of `HELD_OUT_DRAWN`.
HELD_OUT: dict[str, Change] = {
    "motion": _motion,
    "speckles": _speckled,
    "perspective": _from_aside,
    "stripes behind": _before_flags,
    "half shadow": _in_half_shadow,
    "few tones": _in_few_tones,
    "print": _printed,
    "a hand": _behind_a_hand,
    "WebP file": _from_a_file,
}
