"""Style operations: a portrait's layers → a picture that looks drawn, carved, woven or printed.

Strokes, tiles and grain lie on fixed lattices, so that a picture is a function of the portrait and of the position
in it; the generator passed in only adds faint grain. Lengths are in picture widths (or said to be in 1/64 of one),
so that every resolution looks alike. Knows nothing about domains' names, forms or words.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F

from .portrait import Portrait, colour, edges, over

Style = Callable[[Portrait, torch.Generator], torch.Tensor]
_LUMA = colour(0.299, 0.587, 0.114)


# --- fixed patterns: made once per picture size, the same in every picture -------------------------------------------


@lru_cache(maxsize=8)
@torch.inference_mode(False)
def _grid(size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Pixel centres in [0, 1]: x and y, each (1, 1, size, size)."""
    axis = (torch.arange(size) + 0.5) / size
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    return x[None, None], y[None, None]


def _scatter(i: torch.Tensor, j: torch.Tensor, salt: int) -> torch.Tensor:
    """A number in [0, 1) that looks random but belongs to the lattice point (i, j)."""
    wave = torch.sin(i.double() * 127.1 + j.double() * 311.7 + salt * 74.7) * 43758.5453
    return (wave - wave.floor()).float()


@lru_cache(maxsize=64)
@torch.inference_mode(False)
def _noise(size: int, cells: int, salt: int = 0) -> torch.Tensor:
    """Smooth noise in [0, 1] with `cells` cells across, (1, 1, size, size)."""
    j, i = torch.meshgrid(torch.arange(cells), torch.arange(cells), indexing="ij")
    coarse = _scatter(i, j, salt)[None, None]
    return F.interpolate(coarse, (size, size), mode="bicubic", align_corners=False).clamp(0, 1)


@dataclass(frozen=True)
class _Tiling:
    """The plane cut into tiles.

    centre: for every pixel the flat index of its tile's middle pixel, (size²,). chance: a fixed number in [0, 1) for
    each tile and channel, (1, 3, size, size). near: distance from the tile's seed, gap: to the next tile, both in
    tile widths, (1, 1, size, size); meaningless where the maker says so.
    """

    centre: torch.Tensor
    chance: torch.Tensor
    near: torch.Tensor
    gap: torch.Tensor

    def flat(self, picture: torch.Tensor) -> torch.Tensor:
        """Every tile in the colour that `picture` (B, C, H, W) has in the tile's middle."""
        return picture.flatten(2)[:, :, self.centre].view_as(picture)


def _tiling(number: torch.Tensor, near: torch.Tensor, gap: torch.Tensor) -> _Tiling:
    """From the number of the tile that each pixel belongs to, (size, size) int64."""
    size = number.shape[-1]
    _, tile = number.flatten().unique(return_inverse=True)
    row, column = torch.arange(size * size) // size, torch.arange(size * size) % size
    members = tile.bincount()
    y, x = ((tile.bincount(weights=at.double()) / members).round().long() for at in (row, column))
    chance = torch.stack([_scatter(tile, tile * 0 + k, 5) for k in range(3)]).view(1, 3, size, size)
    return _Tiling((y * size + x)[tile], chance, near, gap)


@lru_cache(maxsize=32)
@torch.inference_mode(False)
def _voronoi(size: int, cells: int, jitter: float) -> _Tiling:
    """Voronoi cells around the points of a lattice, each moved by up to `jitter` / 2 cell widths."""
    x, y = (axis[0, 0] * cells for axis in _grid(size))
    column, row = x.floor(), y.floor()
    distances, numbers = [], []
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            i, j = column + dx, row + dy
            sx = i + 0.5 + jitter * (_scatter(i, j, 1) - 0.5)
            sy = j + 0.5 + jitter * (_scatter(i, j, 2) - 0.5)
            distances.append(((sx - x).square() + (sy - y).square()).sqrt())
            numbers.append((j + 1) * (cells + 2) + i + 1)
    near, first = torch.stack(distances).topk(2, dim=0, largest=False)
    number = torch.stack(numbers).gather(0, first[:1])[0].long()
    return _tiling(number, near[None, :1], (near[1] - near[0])[None, None])


@lru_cache(maxsize=32)
@torch.inference_mode(False)
def _squares(size: int, across: int) -> _Tiling:
    """Square tiles; near is the distance from the middle along the longer way, gap the one to the border."""
    x, y = (axis * across for axis in _grid(size))
    number = (y.floor() * across + x.floor())[0, 0].long()
    near = torch.maximum((x % 1 - 0.5).abs(), (y % 1 - 0.5).abs())
    return _tiling(number, near, 0.5 - near)


@lru_cache(maxsize=8)
@torch.inference_mode(False)
def _triangles(size: int, across: int) -> _Tiling:
    """Irregular triangles: a lattice of halved squares whose corners are moved; near and gap mean nothing."""
    x, y = _grid(size)
    j, i = torch.meshgrid(torch.arange(across + 1), torch.arange(across + 1), indexing="ij")
    moved = [
        F.interpolate(_scatter(i, j, salt)[None, None], (size, size), mode="bilinear", align_corners=True)
        for salt in (3, 4)
    ]
    u, v = (axis * across + 0.7 * (move - 0.5) for axis, move in zip((x, y), moved))
    column, row = u.floor(), v.floor()
    a, b = u - column, v - row
    half = torch.where((column + row) % 2 == 0, a > b, a + b > 1)
    number = ((row + 1) * (across + 2) + column + 1) * 2 + half
    return _tiling(number[0, 0].long(), torch.zeros_like(x), torch.zeros_like(x))


@lru_cache(maxsize=8)
@torch.inference_mode(False)
def _strokes(size: int, along: int, across: int) -> _Tiling:
    """Short strokes that flow in waves; near is the distance from a stroke's spine, gap the one to its border."""
    x, y = _grid(size)
    v = y * across + 2.4 * torch.sin(x * 7.5 + 1.5 * y) + 1.6 * torch.sin(y * 6 - x * 3)
    row = v.floor()
    u = x * along + 1.2 * torch.sin(y * 9) + _scatter(row, row * 0, 6) * 3
    number = (row + 20) * 1000 + u.floor() + 20
    near, end = (v - row - 0.5).abs(), (u % 1 - 0.5).abs()
    return _tiling(number[0, 0].long(), near, 0.5 - torch.maximum(near, end))


@lru_cache(maxsize=8)
@torch.inference_mode(False)
def _stitches(size: int, columns: int, rows: int) -> _Tiling:
    """Knitted stitches: a column of nested Vs, each leg a tile; near is the distance from the leg's spine."""
    x, y = _grid(size)
    u = x * columns
    v = y * rows + 0.8 * (2 * (u % 1) - 1).abs()
    leg = (2 * u).floor()
    number = (v.floor() + 1) * (2 * columns + 2) + leg
    near = torch.maximum((2 * u % 1 - 0.5).abs(), 0.9 * (v % 1 - 0.5).abs())
    return _tiling(number[0, 0].long(), near, 0.5 - near)


# --- what styles have in common --------------------------------------------------------------------------------------


def _size(p: Portrait) -> int:
    return p.rgb.shape[-1]


def _luma(rgb: torch.Tensor) -> torch.Tensor:
    return (rgb * _LUMA).sum(1, keepdim=True)


def _vivid(rgb: torch.Tensor, amount: float) -> torch.Tensor:
    """More saturated by `amount`; below 0 paler."""
    return rgb + amount * (rgb - rgb.mean(1, keepdim=True))


def _blur(field: torch.Tensor, sigma: float) -> torch.Tensor:
    """Gaussian blur, sigma in 1/64 of the picture's width; wide blurs are made on a smaller picture."""
    size = field.shape[-1]
    if sigma * size / 64 > 4 and size % 4 == 0:
        small = _blur(F.avg_pool2d(field, 4), sigma)
        return F.interpolate(small, (size, size), mode="bilinear", align_corners=False)
    sigma = sigma * size / 64
    reach = max(1, int(2.5 * sigma + 0.5))
    taps = torch.exp(-(torch.arange(-reach, reach + 1) ** 2) / (2 * sigma**2))
    taps = taps / taps.sum()
    planes = field.flatten(0, 1)[:, None]
    across = F.conv2d(F.pad(planes, (reach, reach, 0, 0), mode="replicate"), taps.view(1, 1, 1, -1))
    down = F.conv2d(F.pad(across, (0, 0, reach, reach), mode="replicate"), taps.view(1, 1, -1, 1))
    return down.view_as(field)


def _step(field: torch.Tensor, at: float, softness: float) -> torch.Tensor:
    """0 below `at`, 1 above, with a slope about `softness` wide."""
    return torch.sigmoid((field - at) * (4 / softness))


def _ink(p: Portrait, width: float) -> torch.Tensor:
    """Pen lines about 2 · `width` / 64 of a picture wide, (B, 1, H, W) in [0, 1].

    A difference of Gaussians, positive on the dark side of edges, so that brows and pupils fill; of albedo and
    light for the features, of the masks for the outlines. The backdrop stays free of lines.
    """
    features = _luma(p.albedo).clamp_min(0.01).sqrt() + 0.3 * p.light
    layers = torch.cat([features, p.figure + 0.6 * p.head], 1)
    inner, outer = (_blur(layers, 1.9 * width) - _blur(layers, width)).split(1, 1)
    return torch.maximum(((inner - 0.006) * 22).clamp(0, 1) * p.figure, ((outer - 0.03) * 14).clamp(0, 1))


def _stretch(p: Portrait, grey: torch.Tensor) -> torch.Tensor:
    """Spread brightness over [0, 1] by the sitter's own, so that dark and light skin or coats both keep their form."""
    weight = p.figure.sum((2, 3), keepdim=True).clamp_min(1)
    mean = (grey * p.figure).sum((2, 3), keepdim=True) / weight
    spread = (((grey - mean).square() * p.figure).sum((2, 3), keepdim=True) / weight).sqrt()
    middle = 0.5 * mean + 0.5 * 0.5  # what is dark stays a little darker
    return (0.5 + (grey - middle) / (3.4 * spread).clamp_min(0.25)).clamp(0, 1)


def _grain(like: torch.Tensor, generator: torch.Generator, amount: float) -> torch.Tensor:
    """Faint random grain in [−amount, amount], (B, 1, H, W)."""
    coarse = torch.rand(len(like), 1, 64, 64, generator=generator) * 2 - 1
    return amount * F.interpolate(coarse, like.shape[-2:], mode="bilinear", align_corners=False)


def _dots(size: int, across: int) -> torch.Tensor:
    """Distance from the nearest point of a lattice at 45°, in its spacings, (1, 1, size, size)."""
    x, y = _grid(size)
    u, v = (x + y) * across * math.sqrt(0.5), (x - y) * across * math.sqrt(0.5)
    return ((u % 1 - 0.5).square() + (v % 1 - 0.5).square()).sqrt()


# --- drawings --------------------------------------------------------------------------------------------------------


def pencil_sketch(p: Portrait, generator: torch.Generator) -> torch.Tensor:
    """Thin graphite lines and two directions of hatching on white paper."""
    size = _size(p)
    x, y = _grid(size)
    grey = _stretch(p, _luma(p.rgb))
    hatch = 0.5 + 0.5 * torch.sin((x + y) * math.pi * 44)
    cross = 0.5 + 0.5 * torch.sin((x - y) * math.pi * 44)
    inside = 0.1 + 0.9 * p.figure
    tone = ((0.7 - grey) * 1.3).clamp(0, 0.75) * (0.2 + 0.8 * hatch) + ((0.34 - grey) * 1.6).clamp(0, 0.5) * cross
    ink = 1 - (1 - 0.9 * _ink(p, 0.4)) * (1 - 0.8 * tone.clamp(0, 1) * inside)
    paper = colour(0.97, 0.965, 0.95) * (0.97 + 0.03 * _noise(size, 48) + _grain(p.rgb, generator, 0.01))
    return over(paper, colour(0.24, 0.24, 0.26), ink)


def charcoal(p: Portrait, generator: torch.Generator) -> torch.Tensor:
    """Smudged black on grey, grainy paper."""
    size = _size(p)
    grey = _stretch(p, _luma(_blur(p.rgb, 0.8)))
    rough = _noise(size, 56, 1) * 0.6 + _noise(size, 20, 2) * 0.4
    dark = ((0.82 - grey) * 1.15).clamp(0, 1) * (0.55 + 0.7 * rough)
    smear = _blur(p.figure, 4.0)
    dark = dark * (0.2 + 0.8 * smear) + 0.7 * _blur(_ink(p, 0.7), 0.7) * (0.6 + 0.6 * rough)
    return (0.78 - 0.74 * dark.clamp(0, 1) + _grain(p.rgb, generator, 0.015)) * colour(1.0, 0.985, 0.955)


def chalk(p: Portrait, generator: torch.Generator) -> torch.Tensor:
    """Dusty pale strokes on a green blackboard: light is drawn, shadow left blank."""
    size = _size(p)
    x, y = _grid(size)
    grey = _stretch(p, _luma(p.rgb))
    dust = 0.6 + 0.7 * _noise(size, 60, 3)
    stroke = 0.5 + 0.5 * torch.sin((x * 1.2 + y) * math.pi * 36 + 2 * torch.sin(y * 9))
    tone = ((grey - 0.25) * 1.3).clamp(0, 0.85) * (0.35 + 0.65 * stroke) * p.figure
    line = _ink(p, 0.5)
    board = colour(0.12, 0.21, 0.17) * (0.85 + 0.5 * _noise(size, 5, 4)) + _grain(p.rgb, generator, 0.012)
    stick = over(colour(0.95, 0.95, 0.92), _vivid(p.albedo, 0.5).clamp(0, 1), 0.2)
    return over(board, stick, ((1.3 * line + 0.95 * tone) * dust).clamp(0, 0.95))


def blueprint(p: Portrait, generator: torch.Generator) -> torch.Tensor:
    """White lines on blue paper with a measuring grid and level lines of light."""
    size = _size(p)
    x, y = _grid(size)
    grid = torch.maximum(*((1 - ((axis * 12 + 0.5) % 1 - 0.5).abs() * 9).clamp_min(0) for axis in (x, y)))
    level = _blur(_stretch(p, _luma(p.rgb)), 0.7) * 5
    contour = (1 - (level % 1 - 0.5).abs() / (edges(level) * 1.3).clamp_min(0.02)).clamp(0, 1) * p.figure
    paper = colour(0.07, 0.24, 0.62) * (0.95 + 0.08 * _noise(size, 6, 5) + _grain(p.rgb, generator, 0.01))
    paper = over(paper, colour(0.35, 0.55, 0.92), 0.45 * grid * (1 - 0.6 * p.figure))
    return over(paper, colour(0.93, 0.97, 1.0), (0.92 * _ink(p, 0.45) + 0.3 * contour).clamp(0, 0.95))


def linocut(p: Portrait, generator: torch.Generator) -> torch.Tensor:
    """Black ink on cream, tones cut as grooves that run round the head and widen with light."""
    size = _size(p)
    x, y = _grid(size)
    grey = _stretch(p, _luma(_blur(p.rgb, 0.4)))
    grey = over(torch.full_like(grey, 0.84), grey, _step(p.figure, 0.5, 0.2))
    u, v = x - 0.5, y - 0.45
    way = (1.3 * u.square() + v.square()).sqrt() * (1 + 0.05 * torch.sin(9 * torch.atan2(v, u)))
    groove = (2 * (way * 26 % 1) - 1).abs()
    ink = _step(0.1 + 0.8 * groove - grey, 0, 0.35)
    ink = torch.maximum(ink, _ink(p, 0.65))
    return over(colour(0.95, 0.91, 0.81), colour(0.07, 0.06, 0.07), ink) + _grain(p.rgb, generator, 0.012)


# --- paintings -------------------------------------------------------------------------------------------------------


def watercolour(p: Portrait, generator: torch.Generator) -> torch.Tensor:
    """Pale, bleeding washes with darker rims, white paper around them."""
    size = _size(p)
    x, y = _grid(size)
    bleed = 0.7 * _noise(size, 9, 6) + 0.3 * _noise(size, 24, 7)
    pigment = _vivid(0.46 + 0.5 * _blur(p.rgb, 1.2).clamp(0, 1) ** 0.7, 1.5)
    rim = (edges(_blur(p.albedo, 0.7)) * (size / 64) * 1.6).clamp(0, 0.32)
    margin = ((x - 0.5).square() / 0.25 + (y - 0.5).square() / 0.27).sqrt()
    white = _step(margin + 0.5 * (bleed - 0.5), 0.86, 0.25) * (1 - 0.7 * p.figure)
    wash = pigment * (0.86 + 0.24 * bleed) - rim * colour(0.8, 0.95, 0.85)
    return over(wash, colour(0.985, 0.98, 0.965), white) + _grain(p.rgb, generator, 0.012)


def oil_painting(p: Portrait, generator: torch.Generator) -> torch.Tensor:
    """An old master: warm light out of brown darkness, visible impasto, a canvas below."""
    size = _size(p)
    x, y = _grid(size)
    stroke = _voronoi(size, 34, 0.95).flat(_blur(p.rgb, 0.5))
    stroke = over(stroke, p.rgb, 0.4).clamp(0, 1) ** 0.85
    ridge = 0.5 + 0.5 * torch.sin((x * 0.6 + y) * math.pi * 40 + 16 * _noise(size, 6, 8))
    weave = 0.97 + 0.03 * torch.sin(x * math.pi * 84) * torch.sin(y * math.pi * 84)
    grey = _luma(stroke)
    figure = _vivid(stroke, 0.15) * (0.62 + 0.6 * grey) * colour(1.22, 1.0, 0.72)
    vignette = 1.1 - 1.5 * ((x - 0.5).square() + (y - 0.45).square())
    ground = (colour(0.20, 0.13, 0.07) + 0.20 * grey * colour(1.1, 0.85, 0.5)) * vignette
    return over(ground, figure, p.figure) * (0.91 + 0.14 * ridge) * weave + _grain(p.rgb, generator, 0.01)


def impressionism(p: Portrait, generator: torch.Generator) -> torch.Tensor:
    """Short curved strokes of divided, bright colour; shadows turn blue and violet."""
    size = _size(p)
    strokes = _strokes(size, 18, 40)
    base = over(strokes.flat(_blur(p.rgb, 0.3)), p.rgb, 0.3)
    shadow = 1 - _stretch(p, _luma(base))
    bright = _vivid(0.14 + 0.88 * base, 0.6) + 0.22 * (strokes.chance - 0.5)
    bright = bright + shadow * colour(-0.05, -0.01, 0.13)
    relief = 0.86 + 0.28 * (1 - (2 * strokes.near).square()) - 0.1 * _step(0.08 - strokes.gap, 0, 0.1)
    return bright * relief + _grain(p.rgb, generator, 0.012)


def pointillism(p: Portrait, generator: torch.Generator) -> torch.Tensor:
    """Round dots of divided colour on a pale ground."""
    cells = _voronoi(_size(p), 31, 0.6)
    shade = cells.flat(_blur(p.rgb, 0.5))
    shade = (0.10 + 0.95 * _vivid(shade, 0.8) + 0.38 * (cells.chance - 0.5)).clamp(0, 1)
    ground = over(colour(0.96, 0.95, 0.91), shade, 0.35)
    return over(ground, shade, _step(0.52 - cells.near, 0, 0.3)) + _grain(p.rgb, generator, 0.01)


def _shards(size: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The plane broken by seven straight cuts.

    Gives where each pixel's shard looks, a grid_sample grid (1, size, size, 2); the shard's chance (1, 3, size, size);
    and the distance to the nearest cut in picture widths with the sign of its side, (1, 1, size, size).
    """
    x, y = _grid(size)
    cuts = ((20, 0.02), (75, 0.09), (118, -0.05), (160, 0.2), (48, -0.19), (100, 0.26), (140, -0.27))
    number, nearest = torch.zeros_like(x), torch.full_like(x, 9.0)
    for k, (degrees, offset) in enumerate(cuts):
        turn = math.radians(degrees)
        distance = (x - 0.5) * math.cos(turn) + (y - 0.48) * math.sin(turn) - offset
        number = number + (distance > 0) * 2**k
        nearest = torch.where(distance.abs() < nearest.abs(), distance, nearest)
    chance = torch.cat([_scatter(number, number * 0 + k, 9) for k in range(3)], 1)
    zoom = 0.86 + 0.2 * chance[:, :1]
    look = torch.cat([(2 * axis - 1) * zoom + 0.15 * (chance[:, k : k + 1] - 0.5) for k, axis in ((1, x), (2, y))], 1)
    return look.movedim(1, -1), chance, nearest


_shards = lru_cache(maxsize=8)(torch.inference_mode(False)(_shards))


def cubism(p: Portrait, generator: torch.Generator) -> torch.Tensor:
    """The sitter broken into shards that look from other places, in ochre, grey and blue, with dark seams."""
    look, chance, cut = _shards(_size(p))
    source = torch.cat([p.rgb, _ink(p, 0.6)], 1)
    source = F.grid_sample(source, look.expand(len(source), -1, -1, -1), padding_mode="border", align_corners=False)
    rgb, line = source[:, :3], source[:, 3:]
    earth = over(colour(0.80, 0.58, 0.30), colour(0.36, 0.46, 0.58), _step(chance[:, :1], 0.5, 0.1))
    earth = over(earth, colour(0.62, 0.36, 0.22), 0.8 * _step(chance[:, 1:2], 0.7, 0.1))
    flat = torch.round(_stretch(p, _luma(rgb)) * 5) / 5
    plane = over(rgb, earth * (0.35 + 1.0 * flat), 0.62)
    plane = plane * (0.86 + 0.9 * cut.clamp(-0.1, 0.14) + 0.12 * chance[:, 2:])
    seam = torch.exp(-((cut / 0.007) ** 2))
    plane = over(plane, colour(0.10, 0.07, 0.06), (0.85 * seam + 0.7 * line).clamp(0, 0.9))
    return plane + _grain(rgb, generator, 0.01)


@lru_cache(maxsize=8)
@torch.inference_mode(False)
def _wall(size: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A brick wall (1, 3, size, size); where its plaster has fallen off, and cracks, each (1, 1, size, size)."""
    x, y = _grid(size)
    row = (y * 14).floor()
    u, v = x * 7 + 0.5 * (row % 2), y * 14
    joint = torch.minimum(0.5 - (u % 1 - 0.5).abs(), (0.5 - (v % 1 - 0.5).abs()) * 0.5)
    brick = colour(0.60, 0.27, 0.18) * (0.75 + 0.5 * _scatter(u.floor(), row, 7))
    wall = over(brick, colour(0.66, 0.62, 0.56), _step(0.07 - joint, 0, 0.08))
    away = ((x - 0.5).square() * 1.15 + (y - 0.42).square() * 0.9).sqrt() + 0.28 * (_noise(size, 7, 9) - 0.5)
    fallen = _step(away, 0.52, 0.03)
    crack = torch.exp(-((_voronoi(size, 4, 0.9).gap + 0.12 * (_noise(size, 24, 10) - 0.5)) ** 2) / 0.0012)
    return wall, fallen, crack * (1 - fallen)


def wall_painting(p: Portrait, generator: torch.Generator) -> torch.Tensor:
    """A fresco: chalky colours on cracked plaster that has fallen off the bricks around the head."""
    size = _size(p)
    wall, fallen, crack = _wall(size)
    plaster = colour(0.86, 0.80, 0.70) * (0.82 + 0.3 * _noise(size, 16, 11) * _noise(size, 40, 12))
    paint = _blur(p.rgb, 0.5)
    paint = torch.round(paint * 7) / 7 * colour(1.05, 0.95, 0.83) + 0.11
    worn = 0.30 + 0.55 * _noise(size, 22, 13)
    fresco = over(plaster, paint * plaster * 1.25, 0.5 + 0.35 * p.figure + 0.15 * (1 - worn))
    fresco = over(fresco, colour(0.36, 0.22, 0.14), 0.55 * _ink(p, 0.6) * worn.clamp(0.5, 1))
    fresco = over(fresco, colour(0.30, 0.24, 0.20), 0.75 * crack)
    return over(fresco, wall, fallen * (1 - 0.9 * p.figure)) + _grain(p.rgb, generator, 0.01)


def ukiyo_e(p: Portrait, generator: torch.Generator) -> torch.Tensor:
    """A woodblock print: flat cream, indigo and sand, patterned cloth, ink lines."""
    size = _size(p)
    x, y = _grid(size)
    grey = _stretch(p, _luma(p.rgb))
    sand, blue, cream = colour(0.82, 0.60, 0.40), colour(0.17, 0.31, 0.50), colour(0.95, 0.87, 0.70)
    sky = over(sand, colour(0.45, 0.52, 0.55), _step(0.2 - y, 0, 0.3)) + 0.05 * (_noise(size, 32, 14) - 0.5)
    skin = cream * (1 - 0.24 * _step(0.36 - grey, 0, 0.16))
    scales = (((x * 10 + 0.5 * ((y * 14).floor() % 2)) % 1 - 0.5).square() + (y * 14 % 1).square() * 0.6).sqrt()
    cloth = over(blue, cream, 0.55 * torch.exp(-(((scales - 0.42) / 0.08) ** 2)))
    picture = over(over(sky, cloth, p.figure), skin, p.head)
    strand = over(colour(0.11, 0.12, 0.18), colour(0.55, 0.42, 0.30), _step(_luma(p.albedo), 0.42, 0.08))
    picture = over(picture, strand, p.hair * (1 - 0.25 * _step(grey, 0.6, 0.2)))
    return over(picture, colour(0.09, 0.08, 0.12), _ink(p, 0.5)) + _grain(p.rgb, generator, 0.01)


# --- animated films and comics ---------------------------------------------------------------------------------------


def anime_painting(p: Portrait, generator: torch.Generator) -> torch.Tensor:
    """Cel shading in a light palette, thin soft outlines, a summer sky with clouds behind."""
    size = _size(p)
    _, y = _grid(size)
    base = _vivid(0.24 + 0.82 * _blur(p.albedo, 0.25).clamp(0, 1) ** 0.75, 0.45).clamp(0, 1)
    lit = _step(_blur(p.light, 0.6), 0.74, 0.07)
    cel = base * over(colour(0.80, 0.70, 0.86), colour(1.05, 1.03, 1.0), lit)
    shine = _step(_luma(p.rgb) - _luma(p.albedo) * 0.95, 0.10, 0.08) * p.hair
    cel = over(cel, colour(1.0, 0.98, 1.0), 0.4 * shine)
    cloud = _step(0.65 * _noise(size, 6, 15) + 0.35 * _noise(size, 13, 16) + 0.35 * (y - 0.5), 0.55, 0.12)
    sky = over(over(colour(0.42, 0.68, 0.97), colour(0.84, 0.93, 1.0), y), colour(1.0, 1.0, 1.0), 0.85 * cloud)
    sky = over(sky, 0.4 + 0.6 * p.rgb, 0.18)
    picture = over(sky, cel, p.figure)
    return over(picture, picture * colour(0.30, 0.20, 0.30), 0.8 * _ink(p, 0.4)) + _grain(p.rgb, generator, 0.006)


@lru_cache(maxsize=8)
@torch.inference_mode(False)
def _sparkle(size: int, cells: int, radius: float, salt: int) -> torch.Tensor:
    """Soft discs at scattered places, in [0, 1], (1, 1, size, size); radius in cell widths."""
    x, y = (axis * cells for axis in _grid(size))
    i, j = x.floor(), y.floor()
    cx, cy = (0.3 + 0.4 * _scatter(i, j, salt + k) for k in (0, 1))
    distance = ((x - i - cx).square() + (y - j - cy).square()).sqrt()
    reach = radius * (0.4 + 0.6 * _scatter(i, j, salt + 2))
    return _step(reach - distance, 0, radius * 0.5) * _step(_scatter(i, j, salt + 3), 0.45, 0.05)


def disney(p: Portrait, generator: torch.Generator) -> torch.Tensor:
    """A princess film: smooth painted skin, rich soft colours, coloured outlines, an enchanted evening behind."""
    size = _size(p)
    _, y = _grid(size)
    base = _vivid(0.08 + 1.02 * _blur(p.albedo, 0.35), 0.55).clamp(0, 1)
    tone = over(colour(0.66, 0.52, 0.68), colour(1.10, 1.04, 0.98), _step(_blur(p.light, 0.9), 0.72, 0.45))
    painted = base * tone
    evening = over(colour(0.24, 0.16, 0.50), colour(0.95, 0.50, 0.62), y**1.2) * (0.75 + 0.5 * _luma(p.rgb))
    evening = evening + 0.5 * _sparkle(size, 9, 0.30, 20) * colour(1.0, 0.85, 0.55)
    halo = _blur(p.figure, 2.5) * (1 - p.figure)
    picture = over(evening + 0.55 * halo * colour(1.0, 0.75, 0.45), painted, p.figure)
    picture = over(picture, picture * colour(0.42, 0.24, 0.26), 0.65 * _ink(p, 0.45))
    bloom = _blur(picture.clamp(0, 1), 2.2)
    return 1 - (1 - picture.clamp(0, 1)) * (1 - 0.22 * bloom) + _grain(p.rgb, generator, 0.006)


def pixar(p: Portrait, generator: torch.Generator) -> torch.Tensor:
    """A rendered film: rich colour, light that bleeds through skin, a warm rim, a soft backdrop."""
    soft = _blur(p.rgb, 0.35)
    picture = _vivid(over(p.rgb, soft, 0.5), 0.45) * colour(1.08, 1.0, 0.94)
    rim = (p.figure - _blur(p.figure, 1.2)).clamp(0, 1)
    picture = picture + 0.7 * rim * colour(1.0, 0.82, 0.6)
    backdrop = _vivid(_blur(p.rgb, 3.0), 0.9) * colour(1.05, 0.95, 0.85)
    return over(backdrop, picture, p.figure) * 1.06 + _grain(p.rgb, generator, 0.004)


def cartoon(p: Portrait, generator: torch.Generator) -> torch.Tensor:
    """Flat, loud colours in bold black outlines."""
    bright = _vivid(p.albedo * 1.12 + 0.10, 1.1).clamp(0, 1)
    tone = 0.78 + 0.26 * _step(_blur(p.light, 0.5), 0.70, 0.08)
    wall = _vivid(p.albedo.mean((2, 3), keepdim=True) * 0.3 + p.albedo[:, :, :2].mean((2, 3), keepdim=True) * 0.7, 1.6)
    picture = over(wall.clamp(0, 1) * 0.9 + 0.1, bright * tone, p.figure)
    return over(picture, colour(0.03, 0.02, 0.04), _ink(p, 0.75)) + _grain(p.rgb, generator, 0.004)


def pop_art(p: Portrait, generator: torch.Generator) -> torch.Tensor:
    """A screen print: pink skin in printing dots, blue and yellow blocks, black shadows, a yellow wall."""
    size = _size(p)
    grey = _stretch(p, _luma(p.rgb))
    dots = _dots(size, 26)
    wall = over(colour(0.99, 0.86, 0.10), colour(0.96, 0.25, 0.18), 0.9 * _step(0.27 - dots, 0, 0.15))
    tone = ((0.78 - grey) * 1.2).clamp(0, 0.62)
    skin = over(colour(1.0, 0.93, 0.82), colour(0.96, 0.22, 0.52), _step(tone - dots, 0, 0.2))
    strand = over(colour(0.10, 0.28, 0.85), colour(0.15, 0.88, 0.92), _step(grey, 0.45, 0.1))
    cloth = over(colour(0.80, 0.06, 0.30), colour(0.20, 0.85, 0.45), _step(grey, 0.5, 0.1))
    picture = over(over(over(wall, cloth, p.figure), skin, p.head), strand, p.hair)
    ink = torch.maximum(_step(0.1 - grey, 0, 0.12) * p.figure, _ink(p, 0.6))
    return over(picture, colour(0.06, 0.04, 0.10), ink) + _grain(p.rgb, generator, 0.006)


def pixel_art(p: Portrait, generator: torch.Generator) -> torch.Tensor:
    """A console game: 20 large pixels a side, few colours, dark outlines."""
    squares = _squares(_size(p), 20)
    base = _vivid(0.75 * p.rgb + 0.3 * p.albedo, 0.7)
    base = over(base, colour(0.08, 0.06, 0.14), 0.75 * _ink(p, 0.9))
    blocks = squares.flat(_blur(base, 0.45)).clamp(0, 1) ** 0.85
    return torch.round(blocks * 5) / 5 + _grain(p.rgb, generator, 0.004)


# --- things made of pieces -------------------------------------------------------------------------------------------


def mosaic(p: Portrait, generator: torch.Generator) -> torch.Tensor:
    """Roman tesserae: stone squares of uneven colour, dark grout between them."""
    tiles = _squares(_size(p), 18)
    stone = _vivid(tiles.flat(_blur(over(p.rgb, colour(0.1, 0.08, 0.06), 0.5 * _ink(p, 0.9)), 0.5)), 0.8)
    stone = (stone + 0.10) * (0.86 + 0.36 * tiles.chance[:, :1]) * colour(1.06, 1.0, 0.90)
    bevel = 1.1 - 0.5 * tiles.near
    grout = 0.9 * _step(0.09 - tiles.gap, 0, 0.1)
    return over(stone * bevel, colour(0.60, 0.57, 0.51), grout) + _grain(p.rgb, generator, 0.01)


def stained_glass(p: Portrait, generator: torch.Generator) -> torch.Tensor:
    """Glowing panes of pure colour in black lead, which also follows the sitter's contours."""
    size = _size(p)
    x, y = _grid(size)
    panes = _voronoi(size, 12, 0.8)
    glass = over(panes.flat(_blur(p.rgb, 1.2)), _blur(p.rgb, 0.8), 0.35 + 0.25 * p.head)
    glass = _vivid(0.12 + 1.0 * glass, 1.9) + 0.18 * (panes.chance - 0.5)
    glow = 1.25 - 0.9 * ((x - 0.5).square() + (y - 0.4).square()) + 0.12 * (_noise(size, 30, 17) - 0.5)
    lead = torch.maximum(_step(0.13 - panes.gap, 0, 0.12) * (1 - 0.35 * p.head), _ink(p, 0.85))
    return over(glass.clamp(0, 1) * glow, colour(0.03, 0.03, 0.04), lead) + _grain(p.rgb, generator, 0.008)


def low_poly(p: Portrait, generator: torch.Generator) -> torch.Tensor:
    """Flat triangles, each in one colour and lit as a facet."""
    facets = _triangles(_size(p), 12)
    flat = facets.flat(_blur(p.rgb, 0.5))
    return _vivid(flat, 0.6) * (0.84 + 0.38 * facets.chance[:, :1]) + 0.05 + _grain(p.rgb, generator, 0.004)


def knitted(p: Portrait, generator: torch.Generator) -> torch.Tensor:
    """A jumper: columns of V stitches in soft wool."""
    stitches = _stitches(_size(p), 24, 26)
    base = over(p.rgb, colour(0.12, 0.09, 0.09), 0.45 * _ink(p, 0.9))
    wool = 0.13 + 0.92 * _vivid(stitches.flat(_blur(base, 0.5)), 0.35)
    round_yarn = 1.12 - 1.9 * stitches.near.square() * (1 + 1.2 * _step(stitches.near, 0.36, 0.1))
    return wool * round_yarn.clamp_min(0.35) + _grain(p.rgb, generator, 0.015)


# --- statues ---------------------------------------------------------------------------------------------------------


def _relief(p: Portrait) -> torch.Tensor:
    """The sitter's form without its colours, spread over the range, (B, 1, H, W) in about [0, 1]."""
    return _stretch(p, _luma(p.rgb) * 0.3 + p.light * 0.5) - 0.22 * _ink(p, 0.5)


def marble_statue(p: Portrait, generator: torch.Generator) -> torch.Tensor:
    """White, veined stone before a grey wall."""
    size = _size(p)
    field = _noise(size, 5, 18) + 0.35 * _noise(size, 12, 19)
    vein = torch.exp(-(((field - 0.68) / 0.035) ** 2)) + 0.6 * torch.exp(-(((field - 0.9) / 0.02) ** 2))
    stone = 0.34 + 0.64 * _relief(p) - 0.15 * vein
    wall = (0.36 + 0.10 * _noise(size, 4, 20)).expand_as(stone) + 0.12 * (_luma(p.rgb) - 0.5)
    return over(wall, stone, p.figure) * colour(0.985, 1.0, 1.015) + _grain(p.rgb, generator, 0.008)


def bronze_statue(p: Portrait, generator: torch.Generator) -> torch.Tensor:
    """Dark, gleaming metal with green patina in its hollows before a dusky wall."""
    size = _size(p)
    relief = _relief(p).clamp(0, 1)
    metal = colour(0.16, 0.09, 0.05) + colour(0.66, 0.40, 0.16) * relief**1.3
    metal = metal + colour(0.9, 0.75, 0.45) * _step(relief, 0.86, 0.2) * 0.55
    patina = ((0.42 - relief) * 1.5).clamp(0, 0.5) * (0.3 + 0.9 * _noise(size, 11, 21))
    metal = over(metal, colour(0.20, 0.44, 0.36), patina)
    wall = colour(0.20, 0.22, 0.26) * (0.7 + 0.5 * _luma(p.rgb))
    return over(wall, metal, p.figure) + _grain(p.rgb, generator, 0.008)


# --- light and photographs -------------------------------------------------------------------------------------------


def neon(p: Portrait, generator: torch.Generator) -> torch.Tensor:
    """Glowing tubes along the contours in the dark, from magenta on the left to cyan on the right."""
    x, _ = _grid(_size(p))
    line = _ink(p, 0.6)
    glow = _blur(line, 1.8)
    tint = p.albedo / p.albedo.amax(1, keepdim=True).clamp_min(0.05)
    tint = (tint - tint.amin(1, keepdim=True) * 0.7).clamp(0, 1)
    tube = 0.25 * tint + 0.85 * over(colour(1.0, 0.12, 0.75), colour(0.1, 0.85, 1.0), x)
    dark = colour(0.03, 0.02, 0.06) + 0.05 * p.rgb * p.figure
    return dark + tube * (0.9 * line + 1.3 * glow) + 0.1 * line + _grain(p.rgb, generator, 0.006)


def vintage_photo(p: Portrait, generator: torch.Generator) -> torch.Tensor:
    """A faded sepia print with a pale border, a vignette and scratches."""
    size = _size(p)
    x, y = _grid(size)
    grey = _luma(_blur(p.rgb, 0.45)).clamp(0, 1) ** 0.9 * 0.9 + 0.08
    vignette = 1 - 0.9 * ((x - 0.5).square() + (y - 0.5).square())
    scratch = torch.exp(-(((x + 0.03 * torch.sin(y * 5) - 0.23) / 0.004) ** 2)) * _noise(size, 6, 22)
    stain = _step(_noise(size, 4, 23), 0.75, 0.2) * 0.08
    faded = grey * vignette + 0.25 * scratch + 0.06 * (_noise(size, 64, 24) - 0.5) - stain
    border = _step(torch.maximum((x - 0.5).abs(), (y - 0.5).abs()) + 0.006 * _noise(size, 30, 25), 0.462, 0.012)
    picture = over(faded * colour(1.08, 0.86, 0.60) + 0.03, colour(0.93, 0.87, 0.75), border)
    return picture + _grain(p.rgb, generator, 0.02)


_HEAT = torch.tensor(
    [[0.02, 0.0, 0.18], [0.22, 0.0, 0.52], [0.70, 0.05, 0.52], [0.96, 0.38, 0.12], [1.0, 0.80, 0.15], [1.0, 1.0, 0.85]]
)


def thermal_image(p: Portrait, generator: torch.Generator) -> torch.Tensor:
    """A heat camera: cold blue surroundings, warm skin from purple to white."""
    grey = _stretch(p, _luma(_blur(p.rgb, 0.5)))
    warm = 0.30 * p.figure + 0.30 * p.head * (1 - 0.7 * p.hair)
    heat = (0.04 + 0.12 * grey + warm + 0.32 * (grey - 0.3) * p.figure - 0.2 * _ink(p, 0.5)).clamp(0, 1)
    position = (_blur(heat, 0.35) + _grain(p.rgb, generator, 0.01)).clamp(0, 1)[:, 0] * (len(_HEAT) - 1)
    low = position.long().clamp(max=len(_HEAT) - 2)
    part = (position - low)[..., None]
    return over(_HEAT[low], _HEAT[low + 1], part).movedim(-1, 1)


# --- places where beings of tales live -------------------------------------------------------------------------------


def _behind(p: Portrait, scene: torch.Tensor) -> torch.Tensor:
    """A scene (1 or B, 3, H, W) that takes the backdrop's lightness, (B, 3, H, W)."""
    return scene * (0.55 + 0.75 * _luma(_blur(p.rgb, 1.0)))


def elven_wood(p: Portrait, generator: torch.Generator) -> torch.Tensor:
    """Golden light between leaves, and a shine around the sitter."""
    size = _size(p)
    _, y = _grid(size)
    wood = over(colour(0.72, 0.80, 0.42), colour(0.12, 0.30, 0.16), y**0.8) + 0.25 * _sparkle(size, 8, 0.45, 40)
    halo = _blur(p.figure, 3.0) * (1 - p.figure)
    picture = over(_behind(p, wood) + 0.5 * halo * colour(1.0, 0.95, 0.65), p.rgb * colour(1.03, 1.05, 0.95), p.figure)
    return picture + 0.14 * _blur(picture.clamp(0, 1), 2.5) + _grain(p.rgb, generator, 0.004)


def full_moon(p: Portrait, generator: torch.Generator) -> torch.Tensor:
    """A blue night with the full moon over the sitter's shoulder."""
    size = _size(p)
    x, y = _grid(size)
    away = ((x - 0.84).square() + (y - 0.15).square()).sqrt()
    moon = _step(0.1 - away, 0, 0.02) * (0.8 + 0.25 * _noise(size, 14, 26))
    night = colour(0.07, 0.10, 0.24) * (1.5 - 0.8 * y) + colour(0.30, 0.36, 0.50) * torch.exp(-((away / 0.22) ** 2))
    picture = over(_behind(p, over(night, colour(0.95, 0.94, 0.82), moon)), p.rgb * colour(0.92, 0.96, 1.05), p.figure)
    return picture + _grain(p.rgb, generator, 0.006)


def grave_mist(p: Portrait, generator: torch.Generator) -> torch.Tensor:
    """Sickly, blotched skin before green-grey mist."""
    size = _size(p)
    _, y = _grid(size)
    mist = over(colour(0.22, 0.27, 0.22), colour(0.55, 0.60, 0.45), (y - 0.2 + 0.5 * _noise(size, 5, 27)).clamp(0, 1))
    rot = _step(0.6 * _noise(size, 11, 28) + 0.4 * _noise(size, 26, 29), 0.60, 0.12) * p.head * (1 - p.hair)
    skin = over(_vivid(p.rgb, -0.2), p.rgb * colour(0.55, 0.42, 0.32), 0.6 * rot)
    return over(_behind(p, mist), skin, p.figure) + _grain(p.rgb, generator, 0.008)


def crypt(p: Portrait, generator: torch.Generator) -> torch.Tensor:
    """Cold light on pale skin before a deep red dark."""
    x, y = _grid(_size(p))
    dark = colour(0.42, 0.02, 0.05) * (1.15 - 2.4 * ((x - 0.5).square() + (y - 0.4).square())).clamp_min(0.1)
    grey = _luma(p.rgb)
    lit = 0.5 + (p.rgb - 0.5) * 1.3
    sitter = over(lit, (grey * 1.3 - 0.12) * colour(0.98, 0.98, 1.06), 0.35 * p.head * (1 - p.hair))
    return over(_behind(p, dark), sitter, p.figure) + _grain(p.rgb, generator, 0.006)


def far_moon(p: Portrait, generator: torch.Generator) -> torch.Tensor:
    """A glowing jungle at night, and rows of points of light on the skin."""
    size = _size(p)
    x, y = _grid(size)
    jungle = over(colour(0.05, 0.22, 0.30), colour(0.26, 0.08, 0.38), (x + y) / 2)
    jungle = jungle + 0.55 * _sparkle(size, 10, 0.25, 50) * colour(0.2, 1.0, 0.85)
    freckle = _step(0.16 - _dots(size, 17), 0, 0.14) * _step(_noise(size, 9, 30), 0.5, 0.2)
    skin = p.rgb + 0.55 * freckle * p.head * (1 - p.hair) * colour(0.6, 0.95, 1.0)
    return over(_behind(p, jungle), skin, p.figure) + _grain(p.rgb, generator, 0.006)
