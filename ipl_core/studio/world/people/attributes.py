"""The attributes of people, and the traits and words that captions make of them. Knows nothing about pixels."""

from __future__ import annotations

from ..attributes import Attribute, Categorical, Continuous
from ..traits import Trait

HAIR_COLOURS = ("black", "dark brown", "brown", "auburn", "red", "blond", "platinum", "grey", "blue", "pink")
EYE_COLOURS = ("brown", "amber", "green", "blue", "grey")

ATTRIBUTES: tuple[Attribute, ...] = (
    Continuous("face_width", 0.345, 0.435),  # half-width of the head, in half pictures
    Continuous("face_length", 0.48, 0.57),  # half-height of the head
    Continuous("jaw", 0.0, 1.0),  # 0 pointed, 1 square
    Continuous("cheeks", 0.0, 1.0),  # 0 flat, 1 full and high
    Continuous("nose_width", 0.7, 1.5),
    Continuous("nose_length", 0.17, 0.26),
    Continuous("eye_size", 0.8, 1.25),
    Continuous("eye_distance", 0.15, 0.19),
    Continuous("eye_slant", -0.25, 0.3),
    Continuous("gaze", -1.0, 1.0),  # where the irises point, left to right
    Continuous("brow_thickness", 0.5, 1.7),
    Continuous("brow_angle", -0.3, 0.35),  # negative: worried, positive: stern
    Continuous("brow_raise", 0.0, 1.0),
    Continuous("mouth_width", 0.11, 0.18),
    Continuous("lip_fullness", 0.6, 1.7),
    Continuous("lip_redness", 0.0, 1.0),  # lipstick towards the end
    Continuous("smile", -0.6, 1.0),
    Continuous("mouth_open", 0.0, 1.0),  # opens from 0.4 on
    Continuous("skin_tone", 0.0, 1.0),  # 0 lightest, 1 darkest
    Continuous("skin_warmth", -1.0, 1.0),
    Continuous("blush", 0.0, 1.0),
    Continuous("age", 0.0, 1.0),  # lines, and grey hair in the last third
    Continuous("turn", -1.0, 1.0),  # yaw; the nose and the far side move most
    Continuous("tilt", -0.05, 0.05),  # roll in radians; small, as faces are aligned by their eyes
    Continuous("light_side", -1.0, 1.0),
    Continuous("light_height", 0.1, 0.9),  # radians above the horizon
    Continuous("light_warmth", -1.0, 1.0),
    Continuous("background_hue", 0.0, 1.0, circular=True),
    Continuous("background_light", 0.25, 0.9),
    Continuous("clothes_hue", 0.0, 1.0, circular=True),
    Continuous("clothes_light", 0.2, 0.9),
    Categorical(
        "hair_cut",
        ("bald", "buzz cut", "short", "side part", "fringe", "bob", "long", "curly", "bun"),
        (0.08, 0.09, 0.14, 0.12, 0.11, 0.12, 0.13, 0.12, 0.09),
    ),
    Categorical("hair_colour", HAIR_COLOURS, (0.15, 0.14, 0.14, 0.1, 0.1, 0.13, 0.08, 0.06, 0.05, 0.05)),
    Categorical("eye_colour", EYE_COLOURS, (0.3, 0.15, 0.2, 0.2, 0.15)),
    Categorical("glasses", ("none", "round", "square", "sunglasses"), (0.67, 0.12, 0.13, 0.08)),
    Categorical("beard", ("none", "stubble", "moustache", "goatee", "full"), (0.58, 0.1, 0.1, 0.09, 0.13)),
    Categorical("hat", ("none", "knitted", "brimmed", "baseball"), (0.79, 0.08, 0.07, 0.06)),
    Categorical("earrings", ("none", "studs", "hoops"), (0.68, 0.16, 0.16)),
    Categorical("clothes", ("crew neck", "shirt", "v-neck", "turtleneck"), (0.3, 0.25, 0.25, 0.2)),
    Categorical("background", ("plain", "gradient", "spot", "two-tone", "bokeh"), (0.2, 0.22, 0.22, 0.16, 0.2)),
)

TRAITS: tuple[Trait, ...] = (
    Trait(
        "hair_cut",
        ("bald", "", "short haired", "", "", "", "long haired", "curly", ""),
        (
            "with a bald head",
            "with a buzz cut",
            "with short hair",
            "with a side part",
            "with a fringe",
            "with a bob",
            "with long hair",
            "with curly hair",
            "with a bun",
        ),
    ),
    Trait(
        "hair_colour",
        tuple(f"{c} haired" for c in HAIR_COLOURS),
        tuple(f"with {c} hair" for c in HAIR_COLOURS),
        colour=True,
    ),
    Trait(
        "eye_colour",
        tuple(f"{c} eyed" for c in EYE_COLOURS),
        tuple(f"with {c} eyes" for c in EYE_COLOURS),
        colour=True,
    ),
    Trait(
        "glasses",
        ("", "", "", ""),
        ("without glasses", "wearing round glasses", "wearing square glasses", "wearing sunglasses"),
    ),
    Trait(
        "beard",
        ("clean shaven", "unshaven", "", "", "bearded"),
        ("without a beard", "with stubble", "with a moustache", "with a goatee", "with a full beard"),
    ),
    Trait(
        "hat",
        ("", "", "", ""),
        ("without a hat", "wearing a knitted cap", "wearing a brimmed hat", "wearing a baseball cap"),
    ),
    Trait("earrings", ("", "", ""), ("without earrings", "with ear studs", "with hoop earrings")),
    Trait(
        "clothes",
        ("", "", "", ""),
        ("in a t-shirt", "in a shirt with a collar", "in a v-neck", "in a turtleneck"),
    ),
    Trait("smile", ("frowning", "", "smiling"), ("with a frown", "", "with a smile"), (-0.2, 0.45)),
    Trait("mouth_open", ("", ""), ("with closed lips", "with an open mouth"), (0.55,)),
    Trait("age", ("young", "", "old"), ("", "", "with wrinkles"), (0.25, 0.7)),
    Trait(
        "skin_tone", ("pale", "", "dark skinned"), ("with light skin", "", "with dark skin"), (0.3, 0.65), colour=True
    ),
    Trait("turn", ("", "", ""), ("looking left", "looking ahead", "looking right"), (-0.35, 0.35)),
    Trait("light_side", ("", "", ""), ("lit from the left", "", "lit from the right"), (-0.4, 0.4)),
    Trait(
        "face_width", ("narrow faced", "", "wide faced"), ("with a narrow face", "", "with a wide face"), (0.372, 0.408)
    ),
    Trait("eye_size", ("", "", ""), ("with small eyes", "", "with big eyes"), (0.92, 1.12)),
    Trait("brow_thickness", ("", "", ""), ("with thin eyebrows", "", "with thick eyebrows"), (0.9, 1.3)),
    Trait("lip_fullness", ("", "", ""), ("with thin lips", "", "with full lips"), (0.95, 1.35)),
    Trait("nose_width", ("", "", ""), ("with a narrow nose", "", "with a wide nose"), (0.95, 1.25)),
)
