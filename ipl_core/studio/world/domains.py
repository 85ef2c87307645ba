"""The domains, such as pencil sketch, marble statue and werewolf: their style, their form and their wordings.

A style domain is an operation on the layers of a portrait (styles.py); a shape domain bends the form before it is
drawn; both may be combined. Every domain keeps the sitter: attributes stay what they were.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ...errors import InputError
from . import styles
from .form import AS_THEY_ARE, Form
from .portrait import Portrait
from .styles import Style

_PEOPLE_ONLY = ("people",)


@dataclass(frozen=True)
class Domain:
    """name: the word shown first. wordings: what people type for it, the name among them.

    style: layers → picture, None leaves the render as it is. form: the bend. colours: whether the sitter's own
    colours (hair, skin, eyes, coat) can still be told in it. subjects: names of the subjects it can be drawn of.
    of_people: what only a picture of people is called; subject words in general belong to the subjects.
    """

    name: str
    wordings: tuple[str, ...]
    style: Style | None = None
    form: Form = AS_THEY_ARE
    colours: bool = True
    subjects: tuple[str, ...] = ("people", "dogs")
    of_people: tuple[str, ...] = ()

    def stylise(self, portrait: Portrait, generator: torch.Generator) -> torch.Tensor:
        """A portrait's layers → this domain's picture, (B, 3, H, W) in [−1, 1]; the form is not touched."""
        picture = portrait.rgb if self.style is None else self.style(portrait, generator)
        return picture.expand_as(portrait.rgb).clamp(0, 1) * 2 - 1


PHOTO = Domain(
    "photo",
    ("photo", "photograph", "portrait photo", "studio photo", "picture", "real photo", "colour photo", "color photo"),
    of_people=("photograph of a face", "human", "person"),
)
TARGETS = (
    Domain(
        "pencil sketch",
        (
            "pencil sketch",
            "sketch",
            "pencil drawing",
            "graphite drawing",
            "line drawing",
            "hand drawn sketch",
            "pencil portrait",
        ),
        styles.pencil_sketch,
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
            "charcoal on paper",
        ),
        styles.charcoal,
        colours=False,
    ),
    Domain(
        "watercolor",
        (
            "watercolor",
            "watercolour",
            "watercolor painting",
            "watercolour painting",
            "aquarelle",
            "wash painting",
            "watercolor portrait",
        ),
        styles.watercolour,
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
            "rembrandt painting",
        ),
        styles.oil_painting,
    ),
    Domain(
        "impressionism",
        (
            "impressionism",
            "impressionist painting",
            "van gogh painting",
            "van gogh",
            "monet painting",
            "impressionist portrait",
            "painting with short brush strokes",
        ),
        styles.impressionism,
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
            "pointillist portrait",
        ),
        styles.pointillism,
    ),
    Domain(
        "cubism",
        (
            "cubism",
            "cubist painting",
            "cubism painting",
            "picasso",
            "picasso painting",
            "cubist portrait",
            "braque painting",
        ),
        styles.cubism,
        colours=False,
    ),
    Domain(
        "mosaic",
        (
            "mosaic",
            "tile mosaic",
            "roman mosaic",
            "mosaic of tiles",
            "tesserae",
            "byzantine mosaic",
            "mosaic portrait",
        ),
        styles.mosaic,
    ),
    Domain(
        "stained glass",
        (
            "stained glass",
            "stained glass window",
            "church window",
            "leaded glass",
            "cathedral window",
            "colored glass window",
            "stained glass portrait",
        ),
        styles.stained_glass,
    ),
    Domain(
        "ukiyo-e",
        (
            "ukiyo-e",
            "ukiyo e",
            "japanese woodblock print",
            "woodblock print",
            "japanese print",
            "edo print",
            "hokusai print",
        ),
        styles.ukiyo_e,
        colours=False,
    ),
    Domain(
        "anime painting",
        (
            "anime painting",
            "anime",
            "anime character",
            "manga character",
            "japanese animation",
            "anime drawing",
            "anime style portrait",
        ),
        styles.anime_painting,
        Form(eyes=1.5, iris=1.25, nose=0.6, lips=0.65, smooth=1.0),
    ),
    Domain(
        "Disney",
        (
            "Disney",
            "disney character",
            "disney princess",
            "disney painting",
            "disney movie character",
            "disney film",
            "fairy tale film character",
        ),
        styles.disney,
        Form(eyes=1.35, iris=1.1, nose=0.8, lips=1.1, smooth=1.0),
    ),
    Domain(
        "wall painting",
        (
            "wall painting",
            "mural",
            "fresco",
            "painting on a wall",
            "mural painting",
            "fresco painting",
            "painted wall",
        ),
        styles.wall_painting,
    ),
    Domain(
        "cartoon",
        (
            "cartoon",
            "cartoon drawing",
            "comic",
            "cartoon character",
            "comic book drawing",
            "animated cartoon",
            "comic strip",
        ),
        styles.cartoon,
        Form(eyes=1.12, smooth=1.0),
    ),
    Domain(
        "pop art",
        (
            "pop art",
            "pop art print",
            "warhol print",
            "screen print",
            "halftone pop art",
            "andy warhol",
            "lichtenstein painting",
        ),
        styles.pop_art,
        colours=False,
    ),
    Domain(
        "pixel art",
        (
            "pixel art",
            "8 bit pixel art",
            "pixelated game character",
            "retro video game",
            "pixel drawing",
            "game sprite",
            "pixel portrait",
        ),
        styles.pixel_art,
    ),
    Domain(
        "low-poly",
        (
            "low-poly",
            "low poly",
            "low poly art",
            "low polygon model",
            "polygon art",
            "triangle art",
            "faceted polygons",
        ),
        styles.low_poly,
    ),
    Domain(
        "marble statue",
        (
            "marble statue",
            "marble sculpture",
            "marble bust",
            "stone statue",
            "statue",
            "greek statue",
            "white marble",
        ),
        styles.marble_statue,
        colours=False,
    ),
    Domain(
        "bronze statue",
        (
            "bronze statue",
            "bronze sculpture",
            "bronze bust",
            "metal statue",
            "bronze",
            "copper statue",
            "cast bronze",
        ),
        styles.bronze_statue,
        colours=False,
    ),
    Domain(
        "neon",
        (
            "neon",
            "neon light",
            "neon sign",
            "neon art",
            "glowing neon lines",
            "neon lights",
            "neon portrait",
        ),
        styles.neon,
        colours=False,
    ),
    Domain(
        "blueprint",
        (
            "blueprint",
            "blueprint drawing",
            "technical drawing",
            "architect's plan",
            "cyanotype blueprint",
            "white lines on blue paper",
            "engineering drawing",
        ),
        styles.blueprint,
        colours=False,
    ),
    Domain(
        "chalk drawing",
        (
            "chalk drawing",
            "chalk",
            "chalk on blackboard",
            "blackboard drawing",
            "chalkboard",
            "chalk sketch",
            "chalkboard drawing",
        ),
        styles.chalk,
        colours=False,
    ),
    Domain(
        "linocut",
        (
            "linocut",
            "lino print",
            "linoleum print",
            "linocut print",
            "black and white print",
            "block print",
            "relief print",
        ),
        styles.linocut,
        colours=False,
    ),
    Domain(
        "vintage photo",
        (
            "vintage photo",
            "sepia photo",
            "old photograph",
            "antique photograph",
            "sepia",
            "faded old photo",
            "daguerreotype",
        ),
        styles.vintage_photo,
        colours=False,
    ),
    Domain(
        "knitted",
        (
            "knitted",
            "knitting",
            "knitted wool",
            "knitted portrait",
            "knitwear",
            "knitted sweater pattern",
            "wool stitches",
        ),
        styles.knitted,
    ),
    Domain(
        "thermal image",
        (
            "thermal image",
            "thermal camera",
            "infrared image",
            "heat map",
            "thermography",
            "heat camera picture",
            "infrared thermal picture",
        ),
        styles.thermal_image,
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
            "pixar film",
        ),
        styles.pixar,
        Form(eyes=1.75, iris=1.1, head=1.08, nose=0.75, smooth=1.0),
        subjects=_PEOPLE_ONLY,
    ),
    Domain(
        "Tolkien elf",
        (
            "Tolkien elf",
            "elf",
            "elven person",
            "elf with pointed ears",
            "fantasy elf",
            "high elf",
            "wood elf",
        ),
        styles.elven_wood,
        Form(ears=0.26, eyes=1.08, nose=0.85, smooth=0.8, skin=(0.97, 0.97, 0.88), skin_share=0.15),
        subjects=_PEOPLE_ONLY,
    ),
    Domain(
        "werewolf",
        (
            "werewolf",
            "wolf man",
            "wolfman",
            "lycanthrope",
            "furry werewolf",
            "werewolf creature",
            "werewolf monster",
        ),
        styles.full_moon,
        Form(ears=0.10, muzzle=1.0, fur=0.95, nose=1.2, eye_white=(0.98, 0.80, 0.22), glow=0.55),
        colours=False,
        subjects=_PEOPLE_ONLY,
    ),
    Domain(
        "zombie",
        (
            "zombie",
            "undead",
            "walking dead",
            "rotten zombie",
            "living dead",
            "undead creature",
            "zombie monster",
        ),
        styles.grave_mist,
        Form(hollow=1.0, skin=(0.62, 0.86, 0.50), skin_share=0.85, eye_white=(0.93, 0.93, 0.80), glow=0.85),
        colours=False,
        subjects=_PEOPLE_ONLY,
    ),
    Domain(
        "vampire",
        (
            "vampire",
            "dracula",
            "count dracula",
            "nosferatu",
            "pale vampire",
            "vampire with red eyes",
            "vampire lord",
        ),
        styles.crypt,
        Form(hollow=0.45, lips=1.1, skin=(0.95, 0.95, 1.0), skin_share=0.8, eye_white=(0.80, 0.06, 0.05), glow=0.6),
        colours=False,
        subjects=_PEOPLE_ONLY,
    ),
    Domain(
        "avatar alien",
        (
            "avatar alien",
            "avatar",
            "na'vi",
            "blue alien",
            "alien",
            "avatar movie character",
            "blue skinned alien",
        ),
        styles.far_moon,
        Form(
            eyes=1.25,
            iris=1.15,
            ears=0.16,
            nose=1.25,
            skin=(0.20, 0.48, 0.95),
            skin_share=0.92,
            eye_white=(1.0, 0.9, 0.45),
        ),
        colours=False,
        subjects=_PEOPLE_ONLY,
    ),
)
DOMAINS = (PHOTO, *TARGETS)
NAMES = tuple(d.name for d in DOMAINS)


def domain_number(words: str) -> int:
    """The domain that a wording stands for, as an index into DOMAINS; InputError for words of no domain."""
    wanted = " ".join(words.lower().split())
    for number, domain in enumerate(DOMAINS):
        if wanted in (w.lower() for w in (domain.name, *domain.wordings, *domain.of_people)):
            return number
    raise InputError(
        f"The portrait studio has no domain “{words}”, so nothing can be measured of it; it has: {', '.join(NAMES)}."
    )
