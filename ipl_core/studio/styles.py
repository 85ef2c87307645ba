"""The target domains: how the same person looks as a sketch, in marble, as a werewolf, and how people call it.

A style domain is an operation on the layers of a portrait; a shape domain bends the form before it is
drawn; both may be combined. Every domain keeps the person: attributes stay what they were.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from ..errors import InputError
from .attributes import People
from .renderer import AS_THEY_ARE, Form, Portrait, edges, render

Style = Callable[[Portrait, torch.Generator], torch.Tensor]
_LUMA = torch.tensor([0.299, 0.587, 0.114])[None, :, None, None]


@dataclass(frozen=True)
class Domain:
    """name: the word shown first. wordings: what people type for it, the name among them.

    style: layers → picture, None leaves the render as it is. form: the bend. colours: whether the person's
    own colours (hair, skin, eyes) can still be told in it.
    """

    name: str
    wordings: tuple[str, ...]
    style: Style | None = None
    form: Form = AS_THEY_ARE
    colours: bool = True


def _luma(rgb: torch.Tensor) -> torch.Tensor:
    return (rgb * _LUMA).sum(1, keepdim=True)


def _blur(field: torch.Tensor, sigma: float) -> torch.Tensor:
    """Gaussian blur, sigma in 1/64 of the picture's width, so that every resolution looks alike."""
    sigma = sigma * field.shape[-1] / 64
    reach = max(1, int(3 * sigma + 0.5))
    taps = torch.exp(-(torch.arange(-reach, reach + 1) ** 2) / (2 * sigma**2))
    taps = taps / taps.sum()
    channels = field.shape[1]
    padded = F.pad(field, (reach,) * 4, mode="replicate")
    across = F.conv2d(padded, taps.view(1, 1, 1, -1).expand(channels, 1, 1, -1), groups=channels)
    return F.conv2d(across, taps.view(1, 1, -1, 1).expand(channels, 1, -1, 1), groups=channels)


def _noise(like: torch.Tensor, cells: int, generator: torch.Generator) -> torch.Tensor:
    """Smooth noise in [0, 1] with `cells` cells across, (B, 1, H, W)."""
    coarse = torch.rand(len(like), 1, cells, cells, generator=generator)
    return F.interpolate(coarse, like.shape[-2:], mode="bicubic", align_corners=False).clamp(0, 1)


def _grid(like: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Pixel centres in [0, 1]: x and y, each (1, 1, H, W)."""
    size = like.shape[-1]
    axis = (torch.arange(size) + 0.5) / size
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    return x[None, None], y[None, None]


def _paper(
    like: torch.Tensor, generator: torch.Generator, colour: tuple[float, float, float], grain: float
) -> torch.Tensor:
    tint = torch.tensor(colour)[None, :, None, None]
    return tint * (1 - grain + 2 * grain * _noise(like, 32, generator) * 0.5 + 0.0)


def _line(portrait: Portrait, low: float, high: float) -> torch.Tensor:
    return ((portrait.lines - low) / (high - low)).clamp(0, 1)


def _stretch(grey: torch.Tensor) -> torch.Tensor:
    """Spread brightness so that dark and light skin both use most of the range."""
    low = grey.flatten(1).quantile(0.03, dim=1)[:, None, None, None]
    high = grey.flatten(1).quantile(0.97, dim=1)[:, None, None, None]
    return ((grey - low) / (high - low).clamp_min(0.15)).clamp(0, 1)


def _pencil_sketch(p: Portrait, g: torch.Generator) -> torch.Tensor:
    x, y = _grid(p.rgb)
    grey = _stretch(_luma(p.rgb))
    hatch = 0.5 + 0.5 * torch.sin((x + y) * 3.1416 * 30)
    tone = ((0.62 - grey) * 1.3).clamp(0, 0.8) * (0.25 + 0.75 * hatch) * (0.15 + 0.85 * p.person)
    ink = 1 - (1 - 0.9 * _line(p, 0.10, 0.42)) * (1 - 0.7 * tone)
    return _paper(p.rgb, g, (0.96, 0.955, 0.94), 0.03) * (1 - ink) + 0.22 * ink


def _charcoal(p: Portrait, g: torch.Generator) -> torch.Tensor:
    grey = _stretch(_luma(_blur(p.rgb, 0.9)))
    rough = _noise(p.rgb, 40, g)
    dark = ((0.85 - grey) * 1.35).clamp(0, 1) * (0.75 + 0.4 * rough)
    smear = _blur(p.person, 4.0)
    dark = dark * (0.35 + 0.65 * smear) + 0.5 * _blur(_line(p, 0.1, 0.4), 0.6)
    return (0.80 - 0.74 * dark.clamp(0, 1)) * torch.tensor([1.0, 0.985, 0.955])[None, :, None, None]


def _watercolour(p: Portrait, g: torch.Generator) -> torch.Tensor:
    wash = _blur(p.rgb, 1.3)
    bleed = _noise(p.rgb, 10, g)
    pigment = 0.45 + 0.5 * wash.clamp(0, 1) ** 0.7
    pigment = pigment + (pigment - pigment.mean(1, keepdim=True)) * 1.4
    rim = (edges(_blur(p.albedo, 0.8)) * (p.rgb.shape[-1] / 64) * 1.5).clamp(0, 0.3)
    x, y = _grid(p.rgb)
    margin = torch.sqrt(((x - 0.5) / 0.5) ** 2 + ((y - 0.5) / 0.52) ** 2)
    white = torch.sigmoid((margin + 0.35 * (bleed - 0.5) - 0.88) * 14) * (1 - 0.75 * p.person)
    return (pigment * (0.9 + 0.16 * bleed) - rim) * (1 - white) + 0.98 * white


def _voronoi(
    like: torch.Tensor, cells: int, generator: torch.Generator, jitter: float
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Jittered-grid Voronoi cells.

    Gives the sample position of every pixel's seed as a grid_sample grid (B, H, W, 2), the distance to the
    nearest seed and the gap to the second nearest, both in cell widths (B, 1, H, W).
    """
    count, size = len(like), like.shape[-1]
    offset = torch.rand(count, cells, cells, 2, generator=generator) * jitter + (1 - jitter) / 2
    axis = (torch.arange(size) + 0.5) / size * cells
    py, px = torch.meshgrid(axis, axis, indexing="ij")
    cy, cx = py.floor().long(), px.floor().long()
    distances, seeds = [], []
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            iy, ix = (cy + dy).clamp(0, cells - 1), (cx + dx).clamp(0, cells - 1)
            seed = offset[:, iy, ix] + torch.stack([ix, iy], -1)
            distances.append((seed[..., 0] - px).square() + (seed[..., 1] - py).square())
            seeds.append(seed)
    near, index = torch.stack(distances).topk(2, dim=0, largest=False)
    seed = torch.stack(seeds).gather(0, index[0][None, ..., None].expand(1, -1, -1, -1, 2))[0]
    first, second = near[0].sqrt()[:, None], near[1].sqrt()[:, None]
    return seed / cells * 2 - 1, first, second - first


def _pointillism(p: Portrait, g: torch.Generator) -> torch.Tensor:
    where, near, _ = _voronoi(p.rgb, 22, g, 0.7)
    colour = F.grid_sample(p.rgb, where, mode="bilinear", padding_mode="border", align_corners=False)
    # Every dot strays in hue, as divided colour does.
    stray = F.grid_sample(
        torch.rand(len(p.rgb), 3, 22, 22, generator=g),
        where,
        mode="nearest",
        padding_mode="border",
        align_corners=False,
    )
    colour = (0.12 + 0.95 * colour + (colour - colour.mean(1, keepdim=True)) * 0.7 + 0.34 * (stray - 0.5)).clamp(0, 1)
    dot = torch.sigmoid((0.47 - near) * 14)
    return colour * dot + 0.95 * (1 - dot)


def _mosaic(p: Portrait, g: torch.Generator) -> torch.Tensor:
    tiles = 16
    small = F.interpolate(F.adaptive_avg_pool2d(p.rgb, tiles), p.rgb.shape[-2:], mode="nearest")
    shade = F.interpolate(torch.rand(len(p.rgb), 1, tiles, tiles, generator=g), p.rgb.shape[-2:], mode="nearest")
    x, y = _grid(p.rgb)
    edge = torch.minimum(0.5 - (x * tiles % 1 - 0.5).abs(), 0.5 - (y * tiles % 1 - 0.5).abs())
    grout = torch.sigmoid((0.15 - edge) * 20)
    colour = (small + (small - small.mean(1, keepdim=True)) * 0.5) * (0.95 + 0.4 * shade) + 0.08
    return colour.clamp(0, 1) * (1 - grout) + 0.17 * grout


def _ukiyo_e(p: Portrait, g: torch.Generator) -> torch.Tensor:
    grey = _stretch(_luma(p.rgb))
    sand, blue, cream = (
        torch.tensor(c)[None, :, None, None] for c in ((0.80, 0.55, 0.36), (0.17, 0.31, 0.50), (0.94, 0.85, 0.68))
    )
    x, y = _grid(p.rgb)
    sky = sand * (1 - 0.25 * (y > 0.72).float()) + 0.06 * _noise(p.rgb, 24, g)
    skin = cream * (1 - 0.22 * torch.sigmoid((0.33 - grey) * 25))
    cloth = _over_colour(blue, cream, torch.sigmoid(torch.sin((x * 9 + y * 9) * 3.1416) * 6) * 0.35)
    picture = sky * (1 - p.person) + cloth * p.person
    picture = picture * (1 - p.head) + skin * p.head
    hair = torch.tensor([0.13, 0.14, 0.20])[None, :, None, None] + 0.25 * (_luma(p.albedo) > 0.42).float()
    picture = picture * (1 - p.hair) + hair * p.hair
    ink = _line(p, 0.16, 0.40)
    return picture * (1 - ink) + 0.10 * ink


def _over_colour(below: torch.Tensor, above: torch.Tensor, alpha: torch.Tensor) -> torch.Tensor:
    return below * (1 - alpha) + above * alpha


def _marble(p: Portrait, g: torch.Generator) -> torch.Tensor:
    relief = _luma(p.rgb) * 0.25 + p.light * 0.5 + 0.12
    relief = 0.30 + 0.66 * _stretch(relief) - 0.25 * _line(p, 0.2, 0.7)
    vein = torch.exp(-(((_noise(p.rgb, 5, g) + 0.35 * _noise(p.rgb, 12, g) - 0.68) / 0.035) ** 2))
    stone = relief - 0.16 * vein
    stone = stone * p.person + (0.42 + 0.06 * _noise(p.rgb, 8, g)) * (1 - p.person)
    return stone * torch.tensor([0.985, 1.0, 1.01])[None, :, None, None]


def _neon(p: Portrait, g: torch.Generator) -> torch.Tensor:
    line = _line(p, 0.12, 0.5)
    glow = _blur(line, 1.8)
    tint = p.albedo / p.albedo.amax(1, keepdim=True).clamp_min(0.05)
    tint = _blur((tint - tint.amin(1, keepdim=True) * 0.7).clamp(0, 1), 1.5)
    magenta, cyan = (torch.tensor(c)[None, :, None, None] for c in ((1.0, 0.15, 0.75), (0.1, 0.85, 1.0)))
    x, _ = _grid(p.rgb)
    tube = 0.45 * tint + 0.75 * (magenta * (1 - x) + cyan * x)
    return (0.035 + 0.05 * p.rgb * p.person + tube * (0.75 * line + 1.0 * glow)).clamp(0, 1)


def _vintage(p: Portrait, g: torch.Generator) -> torch.Tensor:
    grey = _luma(_blur(p.rgb, 0.4)).clamp(0, 1) ** 0.85 * 0.72 + 0.16
    x, y = _grid(p.rgb)
    vignette = 1 - 0.75 * ((x - 0.5) ** 2 + (y - 0.5) ** 2)
    grain = 0.09 * (_noise(p.rgb, 64, g) - 0.5)
    sepia = torch.tensor([1.06, 0.86, 0.62])[None, :, None, None]
    return (grey * vignette + grain) * sepia + 0.04


def _cartoon(p: Portrait, g: torch.Generator) -> torch.Tensor:
    bright = p.albedo * 1.15 + 0.08
    bright = bright + (bright - bright.mean(1, keepdim=True)) * 0.9
    tone = 0.72 + 0.34 * torch.sigmoid((p.light - 0.72) * 22)
    ink = _line(p, 0.18, 0.42)
    return (bright.clamp(0, 1) * tone) * (1 - ink) + 0.03 * ink


def _pop_art(p: Portrait, g: torch.Generator) -> torch.Tensor:
    grey = _stretch(_luma(p.rgb))
    pairs = torch.tensor(
        [
            [[0.98, 0.86, 0.10], [0.90, 0.10, 0.45]],
            [[0.15, 0.85, 0.90], [0.95, 0.25, 0.15]],
            [[0.98, 0.45, 0.75], [0.10, 0.30, 0.85]],
        ]
    )[torch.randint(3, (len(p.rgb),), generator=g)][..., None, None]
    x, y = _grid(p.rgb)
    dots = torch.sigmoid((0.30 - torch.sqrt(((x * 20 % 1) - 0.5) ** 2 + ((y * 20 % 1) - 0.5) ** 2)) * 14)
    wall = _over_colour(pairs[:, 0], torch.ones(1, 3, 1, 1), dots * 0.55)
    dark, middle = torch.sigmoid((0.30 - grey) * 25), torch.sigmoid((0.60 - grey) * 25)
    figure = _over_colour(
        _over_colour(torch.tensor([1.0, 0.93, 0.80])[None, :, None, None], pairs[:, 1], middle),
        torch.tensor([0.08, 0.05, 0.15])[None, :, None, None],
        dark,
    )
    return _over_colour(wall, figure, p.person)


def _oil(p: Portrait, g: torch.Generator) -> torch.Tensor:
    where, _, _ = _voronoi(p.rgb, 26, g, 0.9)
    stroke = F.grid_sample(_blur(p.rgb, 0.6), where, mode="bilinear", padding_mode="border", align_corners=False)
    warm = torch.tensor([1.08, 0.92, 0.70])[None, :, None, None]
    x, y = _grid(p.rgb)
    ridge = 0.5 + 0.5 * torch.sin((x * 0.6 + y) * 3.1416 * 42 + 9 * _noise(p.rgb, 6, g))
    umber = torch.tensor([0.20, 0.13, 0.07])[None, :, None, None]
    figure = (stroke + (stroke - stroke.mean(1, keepdim=True)) * 0.5) * warm
    ground = umber + 0.16 * _luma(stroke) * warm
    return (_over_colour(ground, figure, 0.25 + 0.75 * p.person) * (0.84 + 0.24 * ridge)).clamp(0, 1)


PHOTO = Domain(
    "photo",
    ("photo", "photograph", "portrait photo", "photograph of a face", "studio photo", "picture", "human", "person"),
)
TARGETS = (
    Domain(
        "pencil sketch",
        ("pencil sketch", "sketch", "pencil drawing", "graphite drawing", "line drawing", "hand drawn sketch"),
        _pencil_sketch,
        colours=False,
    ),
    Domain(
        "charcoal",
        (
            "charcoal",
            "charcoal drawing",
            "charcoal sketch",
            "drawing in charcoal",
            "smudged charcoal",
            "charcoal portrait",
        ),
        _charcoal,
        colours=False,
    ),
    Domain(
        "watercolor",
        ("watercolor", "watercolour", "watercolor painting", "watercolour painting", "aquarelle", "wash painting"),
        _watercolour,
    ),
    Domain(
        "oil painting",
        (
            "oil painting",
            "oil portrait",
            "painting in oil",
            "old master painting",
            "oil on canvas",
            "classical painting",
        ),
        _oil,
    ),
    Domain(
        "pointillism",
        (
            "pointillism",
            "pointillist painting",
            "painting made of dots",
            "dotted painting",
            "seurat painting",
            "divisionism",
        ),
        _pointillism,
    ),
    Domain(
        "mosaic", ("mosaic", "tile mosaic", "roman mosaic", "mosaic of tiles", "tesserae", "byzantine mosaic"), _mosaic
    ),
    Domain(
        "ukiyo-e",
        ("ukiyo-e", "ukiyo e", "japanese woodblock print", "woodblock print", "japanese print", "edo print"),
        _ukiyo_e,
        colours=False,
    ),
    Domain(
        "marble statue",
        ("marble statue", "marble sculpture", "marble bust", "stone statue", "statue", "greek statue"),
        _marble,
        colours=False,
    ),
    Domain(
        "neon",
        ("neon", "neon light", "neon sign", "neon art", "glowing neon lines", "neon lights"),
        _neon,
        colours=False,
    ),
    Domain(
        "vintage photo",
        ("vintage photo", "sepia photo", "old photograph", "antique photograph", "sepia", "faded old photo"),
        _vintage,
        colours=False,
    ),
    Domain(
        "cartoon",
        ("cartoon", "cartoon drawing", "comic", "cartoon character", "comic book drawing", "animated cartoon"),
        _cartoon,
        Form(eyes=1.12),
    ),
    Domain(
        "pop art",
        ("pop art", "pop art print", "warhol print", "screen print", "halftone pop art", "andy warhol"),
        _pop_art,
        colours=False,
    ),
    Domain(
        "Pixar character",
        (
            "Pixar character",
            "pixar",
            "3d animated character",
            "pixar movie character",
            "animated movie character",
            "3d cartoon",
        ),
        None,
        Form(eyes=1.8, iris=1.1, head=1.1, nose=0.7),
    ),
    Domain(
        "Tolkien elf",
        ("Tolkien elf", "elf", "elven person", "elf with pointed ears", "fantasy elf", "high elf"),
        None,
        Form(ears=0.26, eyes=1.08, iris=1.0, skin=(0.92, 0.98, 0.86), skin_share=0.45, nose=0.85),
    ),
    Domain(
        "werewolf",
        ("werewolf", "wolf man", "wolfman", "lycanthrope", "furry werewolf", "werewolf creature"),
        None,
        Form(ears=0.10, muzzle=1.0, fur=0.95, nose=1.2, eye_white=(0.98, 0.80, 0.22), glow=0.55),
        colours=False,
    ),
    Domain(
        "zombie",
        ("zombie", "undead", "walking dead", "rotten zombie", "living dead", "undead creature"),
        None,
        Form(hollow=1.0, skin=(0.62, 0.86, 0.50), skin_share=0.85, eye_white=(0.93, 0.93, 0.80), glow=0.85),
        colours=False,
    ),
)
DOMAINS = (PHOTO, *TARGETS)
NAMES = tuple(d.name for d in DOMAINS)


def render_domain(
    domain: Domain, people: People, generator: torch.Generator, resolution: int = 64, supersample: int = 1
) -> torch.Tensor:
    """People in a domain: pictures (B, 3, H, W) in [−1, 1]. The generator draws paper, grain and strokes."""
    portrait = render(people, resolution, domain.form, supersample)
    return stylise(domain, portrait, generator)


def stylise(domain: Domain, portrait: Portrait, generator: torch.Generator) -> torch.Tensor:
    """A portrait's layers → the domain's picture, (B, 3, H, W) in [−1, 1]; form is not touched."""
    picture = portrait.rgb if domain.style is None else domain.style(portrait, generator)
    return picture.expand_as(portrait.rgb).clamp(0, 1) * 2 - 1


def domain_number(words: str) -> int:
    """The domain that a wording stands for, as an index into DOMAINS; InputError for words of no domain."""
    wanted = " ".join(words.lower().split())
    for number, domain in enumerate(DOMAINS):
        if wanted in (w.lower() for w in (domain.name, *domain.wordings)):
            return number
    raise InputError(
        f"The portrait studio has no domain “{words}”, so nothing can be measured of it; it has: {', '.join(NAMES)}."
    )
