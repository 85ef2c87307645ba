"""The attributes of dogs, and the traits and words that captions make of them.

All can be seen at 128 samples a side. Knows nothing about pixels.
"""

from __future__ import annotations

from ..attributes import Attribute, Categorical, Continuous
from ..traits import Trait

COAT_COLOURS = ("black", "dark brown", "brown", "red", "golden", "cream", "grey", "white")
EYE_COLOURS = ("brown", "amber", "blue")
NOSE_COLOURS = ("black", "brown", "pink")

ATTRIBUTES: tuple[Attribute, ...] = (
    Continuous("head_width", 0.36, 0.45),  # half-width of the skull, in half pictures
    Continuous("head_length", 0.36, 0.44),  # half-height of the skull
    Continuous("muzzle_width", 0.86, 1.18),
    Continuous("muzzle_length", 0.86, 1.16),
    Continuous("nose_size", 0.82, 1.25),
    Continuous("jowls", 0.0, 1.0),  # how far the lips hang
    Continuous("smile", -1.0, 1.0),  # corners of the mouth, down or up
    Continuous("eye_size", 0.8, 1.3),
    Continuous("eye_distance", 0.9, 1.12),
    Continuous("eye_slant", -0.35, 0.35),
    Continuous("brow", 0.0, 1.0),  # height of the brow's form, and how it frowns
    Continuous("gaze", -1.0, 1.0),  # where the eyes look, across
    Continuous("ear_size", 0.8, 1.25),
    Continuous("ear_spread", -1.0, 1.0),  # close together and upright, or far apart
    Continuous("fur_wave", 0.0, 1.0),  # straight strands, or wavy
    Continuous("coat_shade", -1.0, 1.0),  # darker or lighter within its colour
    Continuous("marking_size", 0.75, 1.3),
    Continuous("marking_shade", -1.0, 1.0),
    Continuous("chest_width", 0.44, 0.66),
    Continuous("turn", -1.0, 1.0),  # yaw; the muzzle moves most
    Continuous("tilt", -0.2, 0.2),  # roll in radians
    Continuous("light_side", -1.0, 1.0),
    Continuous("light_height", 0.15, 0.9),
    Continuous("background_hue", 0.0, 1.0, circular=True),
    Continuous("background_light", 0.3, 0.9),
    Continuous("collar_hue", 0.0, 1.0, circular=True),
    Categorical("head_shape", ("long", "broad", "flat", "fox"), (0.28, 0.28, 0.2, 0.24)),
    Categorical("ears", ("pricked", "half dropped", "hanging", "button", "rose"), (0.24, 0.18, 0.26, 0.18, 0.14)),
    Categorical("coat_length", ("short", "medium", "shaggy"), (0.38, 0.32, 0.3)),
    Categorical("coat_colour", COAT_COLOURS, (0.14, 0.12, 0.13, 0.13, 0.14, 0.12, 0.11, 0.11)),
    Categorical(
        "markings",
        ("plain", "blaze", "mask", "eye patch", "spots", "points", "saddle"),
        (0.2, 0.16, 0.14, 0.13, 0.12, 0.13, 0.12),
    ),
    Categorical("eye_colour", EYE_COLOURS, (0.45, 0.28, 0.27)),
    Categorical("nose_colour", NOSE_COLOURS, (0.5, 0.28, 0.22)),
    Categorical("mouth", ("closed", "open", "tongue out"), (0.45, 0.22, 0.33)),
    Categorical("collar", ("none", "leather", "tag", "bandana"), (0.34, 0.2, 0.24, 0.22)),
    Categorical("background", ("plain", "gradient", "meadow", "lights"), (0.27, 0.24, 0.25, 0.24)),
)
TRAITS: tuple[Trait, ...] = (
    Trait(
        "ears",
        ("prick eared", "", "droopy eared", "", ""),
        ("with pointed ears", "with half dropped ears", "with hanging ears", "with folded ears", "with rose ears"),
    ),
    Trait(
        "coat_colour",
        tuple(f"{c} furred" for c in COAT_COLOURS),
        tuple(f"with {c} fur" for c in COAT_COLOURS),
        colour=True,
    ),
    Trait(
        "markings",
        ("", "", "masked", "", "spotted", "", ""),
        (
            "without markings",
            "with a blaze",
            "with a mask",
            "with an eye patch",
            "with spots",
            "with eyebrow markings",
            "with a saddle",
        ),
    ),
    Trait("coat_length", ("short furred", "", "shaggy"), ("with short fur", "with medium fur", "with shaggy fur")),
    Trait(
        "head_shape",
        ("", "", "flat faced", ""),
        ("with a long muzzle", "with a broad head", "with a flat face", "with a fox face"),
    ),
    Trait("mouth", ("", "", ""), ("with a closed mouth", "with an open mouth", "with its tongue out")),
    Trait(
        "eye_colour", tuple(f"{c} eyed" for c in EYE_COLOURS), tuple(f"with {c} eyes" for c in EYE_COLOURS), colour=True
    ),
    Trait("nose_colour", ("", "", ""), tuple(f"with a {c} nose" for c in NOSE_COLOURS), colour=True),
    Trait(
        "collar",
        ("", "", "", ""),
        ("without a collar", "wearing a leather collar", "wearing a collar with a tag", "wearing a bandana"),
    ),
    Trait("turn", ("", "", ""), ("looking left", "looking ahead", "looking right"), (-0.35, 0.35)),
    Trait("tilt", ("", "", ""), ("leaning left", "", "leaning right"), (-0.08, 0.08)),
    Trait("light_side", ("", "", ""), ("lit from the left", "", "lit from the right"), (-0.4, 0.4)),
    Trait("eye_size", ("", "", ""), ("with small eyes", "", "with big eyes"), (0.95, 1.15)),
    Trait("ear_size", ("", "", ""), ("with small ears", "", "with big ears"), (0.95, 1.1)),
)
