"""Every setting of a run, its presets and its limits; knows nothing about tensors or files.

A configuration that exists is valid: the constructor fills what was left open from the preset and
refuses the rest in the user's language, so that app, command line and API callers share one check.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sized
from dataclasses import asdict, dataclass, fields
from itertools import islice
from typing import Any

from ..clip.ensemble import stored
from ..clip.vocabulary import LISTS, parse
from ..clip.vocabulary import MAX_TEXT as MAX_VOCABULARY
from ..errors import InputError
from ..latents import MAX_SEED
from ..storage import values
from ..storage.paths import exists, path_text
from ..storage.words import clean_line, quoted, readable
from .directions import SHORTEST_MOVE
from .prompts import CONTRASTIVE_FORMS, RESIDUALS, TEMPLATE_SETS, PromptScheme
from .registry import METHODS, PROMPTS

#: Part of a run's identity: raised with every change of the method that gives other weights for the same settings.
REVISION = 2

MEMORY = ("auto", "plain", "low")
PRECISIONS = ("float32", "bfloat16")
LAYER_GROUPS = ("adaptive", "adaptive-released", "all", "coarse", "middle", "fine", "coarse+middle", "middle+fine")

_OFFICIAL: dict[str, Any] = dict(
    templates="imagenet",
    mapper_steps=300,
    mapper_batch=32,
    mapper_lr=0.05,
    lambda_domain=1.0,
    contrastive="infonce",
    residual="official",
    steps=300,
    batch=2,
    learning_rate=0.002 * 0.8,
    layers="adaptive-released",
    layer_interval=1,
    ema=0.99,
    share_noise=False,
    shortest_move=1e-8,
    around_context=False,
)

#: Settings that a preset decides. `official` is the released code; `paper` differs from it where the paper's
#: equations do, and shares the noise; `default` is for the embedded world. Its rate of stage 2 was measured with
#: `evaluate` and an earlier critic (IPL, seed 0, 200 samples): at 0.002 neon and pop art are seen by
#: the judge in 5 % and 68 %, at 0.003 in 100 % and 98 %; at 0.005 neon is one face for all (diversity 0.08 of the
#: source's, 0.40 at 0.003). So was the rate of stage 1, by one critic later: at the released 0.05 pop art has 86.5 %
#: and a diversity of 0.58, at 0.01 99.0 % and 0.91; pencil sketch 0.57 and 0.93. After 200 steps a later critic had
#: brought 56.5 % of the zombies into the judge's eyes, after 300 all. The residual holds all templates, so that a
#: prompt begins where NADA's direction leads and not where a single phrase does. The other settings come from single
#: trials with an earlier critic, in which the mapper did best around the context phrase.
PRESETS: dict[str, dict[str, Any]] = {
    "official": _OFFICIAL,
    "paper": {**_OFFICIAL, "contrastive": "difference", "residual": "none", "share_noise": True}
    | {"layers": "adaptive", "shortest_move": SHORTEST_MOVE},
    "default": dict(
        templates="studio",
        mapper_steps=150,
        mapper_batch=16,
        mapper_lr=0.01,
        lambda_domain=3.0,
        contrastive="infonce",
        residual="templates",
        steps=300,
        batch=4,
        learning_rate=0.003,
        layers="all",
        layer_interval=10,
        ema=0.98,
        share_noise=True,
        shortest_move=SHORTEST_MOVE,
        around_context=True,
    ),
}


def preset_settings(preset: str, method: str = "ipl", prompts: str = "vectors") -> dict[str, Any]:
    """The settings that `preset` decides, by name, for a method and what IPL's mapper gives."""
    own = METHODS[method].defaults.get(prompts, {}) if preset == "default" else {}
    return {**PRESETS[preset], **own}


SPACES = ("w", "w+")
#: Where an inversion begins: the model's encoder where it is here and else at random; or one of these and no other.
STARTS = ("auto", "encoder", "random", "mean")
#: What compares pictures as people see them: the critic's features, or LPIPS, whose files a person gets.
VIEWS = ("critic", "lpips-alex", "lpips-vgg")
#: Inversion, by how long one may wait: `fast` is meant for a try, `best` for a picture to keep.
INVERT_PRESETS: dict[str, dict[str, Any]] = {
    "fast": dict(
        **dict(space="w+", starts=32, steps=70, learning_rate=0.1, noise=False),
        **dict(tune=False, tune_steps=30, tune_further=0),
    ),
    "good": dict(
        **dict(space="w+", starts=128, steps=150, learning_rate=0.1, noise=False),
        **dict(tune=True, tune_steps=60, tune_further=90),
    ),
    "best": dict(
        **dict(space="w+", starts=256, steps=400, learning_rate=0.07, noise=True),
        **dict(tune=True, tune_steps=150, tune_further=150),
    ),
}

# Limits keep a request from an API caller as bounded as one from a slider: (lowest, highest).
_LIMITS: dict[str, tuple[float, float]] = {
    "seed": (0, MAX_SEED),
    "mapper_steps": (1, 5000),
    "mapper_batch": (2, 128),
    "mapper_lr": (1e-6, 1.0),
    "lambda_domain": (0.0, 1000.0),
    "steps": (1, 5000),
    "batch": (1, 64),
    "learning_rate": (1e-6, 0.1),
    "layer_interval": (1, 5000),
    "ema": (0.0, 0.9999),
    "shortest_move": (1e-12, 1.0),
    "keep_every": (0, 5000),
    "preview_psi": (0.0, 1.5),
    "preview_seeds": (0, MAX_SEED),
    "invert.starts": (0, 4096),
    "invert.steps": (1, 20_000),
    "invert.learning_rate": (1e-5, 1.0),
    "invert.pixel": (0.0, 1000.0),
    "invert.multiscale": (0.0, 1000.0),
    "invert.perceptual": (0.0, 1000.0),
    "invert.mean_pull": (0.0, 1000.0),
    "invert.row_pull": (0.0, 1000.0),
    "invert.noise_pull": (0.0, 1e6),
    "invert.tune_steps": (1, 5000),
    "invert.tune_further": (0, 5000),
    "invert.tune_until": (0.0, 2.0),
    "invert.tune_rate": (1e-6, 0.1),
    "invert.locality": (0.0, 1000.0),
}
MAX_TEXT = 300  # characters in one text; the critic's own limit is in tokens and is checked when it is loaded
MAX_PATH = 4096  # characters of a path, the most that Linux opens; what it names may be called anything
MAX_PREVIEWS = 64
MAX_KEPT_STEPS = 100  # earlier steps of one run; each takes about half as much on the disk as the result
_WHOLE_NUMBERS = ("seed", "mapper_steps", "mapper_batch", "steps", "batch", "layer_interval", "keep_every")
_NUMBERS = ("mapper_lr", "lambda_domain", "learning_rate", "ema", "shortest_move", "preview_psi")
_CHOICES: dict[str, tuple[str, ...]] = {
    "method": METHODS,
    "preset": tuple(PRESETS),
    "templates": TEMPLATE_SETS,
    "contrastive": CONTRASTIVE_FORMS,
    "residual": RESIDUALS,
    "prompts": PROMPTS,
    "layers": LAYER_GROUPS,
    "memory": MEMORY,
    "precision": PRECISIONS,
    "invert.preset": tuple(INVERT_PRESETS),
    "invert.space": SPACES,
    "invert.start": STARTS,
    "invert.view": VIEWS,
}
_ADAPT_CHOICES = tuple(name for name in _CHOICES if not name.startswith("invert."))
# What an error calls each setting, and what it advises when a text is blank.
_LABELS: dict[str, str] = {
    "target": "The target",
    "source": "The source",
    "context": "The context",
    "avoid": "What to avoid",
    "model": "The model",
    "critic": "The critic",
    "method": "Method",
    "preset": "Preset",
    "templates": "Templates",
    "contrastive": "Contrastive form",
    "residual": "Residual",
    "prompts": "Prompts",
    "vocabulary": "The vocabulary",
    "layers": "Layers",
    "memory": "Memory",
    "precision": "Precision",
    "seed": "Seed",
    "mapper_steps": "Steps of stage 1 (mapper_steps)",
    "mapper_batch": "Batch of stage 1 (mapper_batch)",
    "mapper_lr": "Learning rate of stage 1 (mapper_lr)",
    "lambda_domain": "λ (lambda_domain)",
    "steps": "Steps",
    "batch": "Batch",
    "learning_rate": "Learning rate (learning_rate)",
    "layer_interval": "Layer interval (layer_interval)",
    "ema": "EMA decay (ema)",
    "shortest_move": "Shortest move (shortest_move)",
    "keep_every": "Steps between those kept (keep_every)",
    "keep_state": "Keep state",
    "preview_psi": "Preview truncation (preview_psi)",
    "preview_seeds": "Each preview seed",
    "share_noise": "Share noise",
    "around_context": "Around context",
    "invert.preset": "Preset",
    "invert.space": "Space",
    "invert.start": "Start",
    "invert.view": "View",
    "encoder": "The encoder",
    "invert.starts": "Starts",
    "invert.steps": "Steps",
    "invert.learning_rate": "Learning rate (learning_rate)",
    "invert.pixel": "Weight of pixels (pixel)",
    "invert.multiscale": "Weight of scales (multiscale)",
    "invert.perceptual": "Weight of the critic's view (perceptual)",
    "invert.mean_pull": "Pull to the mean (mean_pull)",
    "invert.row_pull": "Pull between rows (row_pull)",
    "invert.noise_pull": "Weight of the noise's own regulariser (noise_pull)",
    "invert.tune_steps": "Steps of tuning (tune_steps)",
    "invert.tune_further": "Further steps of tuning (tune_further)",
    "invert.tune_until": "The distance at which tuning is done (tune_until)",
    "invert.tune_rate": "Learning rate of tuning (tune_rate)",
    "invert.locality": "Locality of tuning (locality)",
}
_HINTS: dict[str, str] = {
    "target": "name the domain to adapt to, such as “pencil sketch”",
    "source": "name the domain that the model shows now, such as “photo”",
    "avoid": "name a domain to keep away from, such as “cartoon”, or leave it empty",
    "context": "give the words that learned prompts start from, such as “a photo of a”",
    "model": "give the name of a model or the path of its file",
    "critic": "leave it out to take the model's own critic, or name one",
    "encoder": "leave it out to take the model's own encoder, or name one",
    "vocabulary": "write auto, faces or animals, or a list of your own, such as “smiling, frowning; bald, curly”",
}


# Settings that stage 1 alone reads.
_STAGE_1_ONLY = (
    *("around_context", "mapper_steps", "mapper_batch", "mapper_lr"),
    *("lambda_domain", "contrastive", "residual", "prompts"),
)


@dataclass(frozen=True)
class AdaptConfig:
    """What to adapt, to what, and how. Fields left None are filled from `preset`.

    target, source: domain words as a person would say them ("pencil sketch", "photo").
    method: "nada" one fixed text direction; "shared" one learned prompt for all images; "ipl" a prompt per image;
        "described" a direction per image, too, from the words that the critic itself reads off it, without stage 1.
    model, critic: catalog names or paths; critic None takes the one the catalog names for the model. Several critics
        are an ensemble, "A+B@0.5": each has prompts of its own, and every loss is the sum of theirs, so weighted.
    context: the words the learned prompts start from.
    avoid: domain words that the text directions are kept from leading to, "" for none; see `registry.make_prompts`.
    templates: manual templates for NADA's direction and the domain term; "descriptions" describe somebody by lot in
        words of the vocabulary, so that NADA's direction by them is the mean of what is said of people.
    mapper_*: stage 1 (iterations, images a step, Adam rate); lambda_domain: weight of the domain term.
    around_context: the mapper gives offsets from the context phrase, zero at first, instead of the vectors
        themselves (released code); a small text tower makes little of vectors far from its own.
    prompts: what IPL's mapper gives, "vectors" free context vectors (released code), or "words" mixtures of the words
        of a vocabulary, which stay where the text tower was taught and can be read; by "read" these begin at what the
        critic reads off the picture. With the preset `default`, words have settings of their own, see registry.py.
    vocabulary: words that describe who is in a picture, for prompts of words and for "described": "faces", "animals",
        "auto" for the one that suits the model, or a list of one's own, see vocabulary.py.
    contrastive: "infonce" (released code) or "difference" (the paper's equation).
    residual: what is added to a learned prompt's features: the template without its class word as the
        released code does by a slip ("official"), with it ("class-aware"), the mean of all manual templates with it
        ("templates"), or nothing ("none").
    steps, batch, learning_rate: stage 2.
    layers: which synthesis layers stage 2 trains; "adaptive" chooses anew every `layer_interval` steps, and
        "adaptive-released" does so with the released code's table, which is off by one row.
    ema: decay of the averaged weights that are shown and kept. share_noise: same noise within a pair.
    shortest_move: length of ΔI (unit embeddings) below which its direction fades; the released code knows none.
    memory: "plain" the fastest; "low" draws one large picture at a time and computes the generator's activations a
        second time instead of keeping them; "auto" low for large pictures. No part of the method: the gradients are
        the same, up to rounding where a batch is split.
    precision: "float32", or "bfloat16" for the convolutions and products of generator and critic, on CUDA.
    preview_seeds, preview_psi: the latents watched during the run.
    keep_every: steps of stage 2 between those whose weights are kept too, so that an earlier one may be picked later;
        0 keeps the last alone. keep_state: whether the optimiser's state is kept, so that the run may go on exactly.

    Raises InputError for a value outside its limits, naming the field, the value and the range.
    """

    target: str
    source: str = "photo"
    method: str = "ipl"
    model: str = "studio"
    critic: str | None = None
    seed: int = 0
    device: str = "cpu"
    preset: str = "default"
    context: str = "a photo of a"
    avoid: str = ""
    templates: str | None = None
    mapper_steps: int | None = None
    mapper_batch: int | None = None
    mapper_lr: float | None = None
    lambda_domain: float | None = None
    contrastive: str | None = None
    residual: str | None = None
    steps: int | None = None
    batch: int | None = None
    learning_rate: float | None = None
    layers: str | None = None
    layer_interval: int | None = None
    ema: float | None = None
    share_noise: bool | None = None
    shortest_move: float | None = None
    around_context: bool | None = None
    prompts: str = "vectors"
    vocabulary: str = "auto"
    preview_seeds: tuple[int, ...] = tuple(range(8))
    preview_psi: float = 0.7
    memory: str = "auto"
    precision: str = "float32"
    keep_every: int = 0
    keep_state: bool = False

    def __post_init__(self) -> None:
        settle = object.__setattr__  # the class is frozen for everyone else
        for name in ("preset", "method", "prompts"):
            settle(self, name, _choice(name, getattr(self, name)))
        for name, value in preset_settings(self.preset, self.method, self.prompts).items():
            if getattr(self, name) is None:
                settle(self, name, value)

        for name in ("target", "source", "context"):
            settle(self, name, _words(name, getattr(self, name)))
        settle(self, "model", _name_or_path("model", self.model))
        settle(self, "avoid", _words("avoid", self.avoid) if self.avoid else "")
        settle(self, "vocabulary", _vocabulary(self.vocabulary))
        if self.critic is not None:
            settle(self, "critic", _critic(self.critic))
        if self.target.casefold() == self.source.casefold():
            raise InputError(
                f"The target and the source are both “{self.target}”, so there is nothing to adapt: "
                "name a target domain that differs from the source."
            )
        for name in _ADAPT_CHOICES:
            settle(self, name, _choice(name, getattr(self, name)))
        for name in _WHOLE_NUMBERS:
            settle(self, name, _whole_number(name, getattr(self, name)))
        for name in _NUMBERS:
            settle(self, name, _number(name, getattr(self, name)))
        if self.keep_every and self.steps / self.keep_every > MAX_KEPT_STEPS:
            raise InputError(
                f"{_LABELS['keep_every']}: at most {MAX_KEPT_STEPS} of {self.steps} steps can be kept, so this must be "
                f"0 or at least {-(-self.steps // MAX_KEPT_STEPS)}, not {self.keep_every}."
            )
        for name in ("share_noise", "around_context", "keep_state"):
            values.flag(getattr(self, name), _LABELS[name])
        settle(self, "device", _device(self.device))
        settle(self, "preview_seeds", _seeds(self.preview_seeds))

    @property
    def scheme(self) -> type[PromptScheme]:
        """The prompts that give the directions of the run."""
        return METHODS[self.method].scheme(self.prompts)

    @property
    def learns(self) -> bool:
        """Whether the run has a stage 1, in which its prompts are learned."""
        return self.scheme.needs_training

    @property
    def readable(self) -> bool:
        """Whether its prompts are made of the words of a vocabulary, and so say something of each person."""
        return self.scheme.readable

    def unread(self) -> set[str]:
        """Settings that a run of this method never reads."""
        names = set(self.scheme.unread) | ({"layer_interval"} if not self.adaptive_layers else set())
        if not self.learns:
            names |= set(_STAGE_1_ONLY)
        if self.templates != "descriptions":  # which are phrases of the vocabulary behind the context
            names |= set() if self.readable else {"vocabulary"}
            names |= set() if self.scheme.has_context else {"context"}
        return names

    @property
    def adaptive_layers(self) -> bool:
        """Whether stage 2 chooses its layers anew every `layer_interval` steps."""
        return self.layers.startswith("adaptive")

    def to_dict(self) -> dict[str, Any]:
        """Every setting by name, ready for JSON; `from_dict` gives an equal configuration back."""
        return {**asdict(self), "preview_seeds": list(self.preview_seeds)}

    @classmethod
    def from_dict(cls, settings: Mapping[str, Any]) -> AdaptConfig:
        """The configuration that `settings` describes, checked like any other.

        Raises InputError for a setting that doesn't exist, for a missing target, and as the constructor does.
        """
        if "target" not in _known_settings(cls, settings):
            raise InputError("The target is missing: name the domain to adapt to, such as “pencil sketch”.")
        return cls(**settings)


_INVERT_WHOLE = ("starts", "steps", "tune_steps", "tune_further")
_INVERT_NUMBERS = (
    *("learning_rate", "pixel", "multiscale", "perceptual", "mean_pull", "row_pull", "noise_pull"),
    *("tune_until", "tune_rate", "locality"),
)


@dataclass(frozen=True)
class InvertConfig:
    """How to find the latent of a picture. Fields left None are filled from `preset`.

    model: catalog name or path of the generator; critic: the CLIP whose view of the pictures is compared, None takes
        the one the catalog names for the model. Several are written "A+B@0.5"; their views are averaged, so weighted.
    space: "w" one latent for all layers, easy to edit; "w+" one for each, closer to the picture.
    start: "encoder" begins at what an encoder guesses, "random" at the best of the mean latent and `starts` random
        ones, "mean" at the mean latent; "auto" takes the model's own encoder where that is here, else "random".
    encoder: its name or the path of its file; None takes the one the catalog names for the model.
    view: whose eyes the perceptual term has: "critic", or LPIPS where its files are, "lpips-alex" or "lpips-vgg".
    steps, learning_rate: of the latent.
    pixel, multiscale, perceptual: weights of the terms that compare pictures.
    mean_pull: weight of the latent's distance from the mean. row_pull: weight of the rows' distance from each other.
    noise: whether the noise maps are optimised too; noise_pull: weight of the term that keeps them noise.
    tune: whether the generator itself is tuned about the latent afterwards (pivotal tuning).
    tune_steps, tune_rate: of that; locality: weight of what other latents near it must still look like.
    tune_further: steps that follow where the perceptual distance is still above `tune_until`, which is 0.001 for the
        critic's view unless given, and 0.06 for LPIPS, at which PTI's released code is done.
    seed: of the starts and of the tuning's latents.

    Raises InputError for a value outside its limits, naming the field, the value and the range.
    """

    model: str = "studio"
    critic: str | None = None
    preset: str = "good"
    space: str | None = None
    seed: int = 0
    device: str = "cpu"
    start: str = "auto"
    encoder: str | None = None
    view: str = "critic"
    starts: int | None = None
    steps: int | None = None
    learning_rate: float | None = None
    pixel: float = 1.0
    multiscale: float = 1.0
    perceptual: float = 2.0
    mean_pull: float = 0.002
    row_pull: float = 0.01
    noise: bool | None = None
    noise_pull: float = 1.0
    tune: bool | None = None
    tune_steps: int | None = None
    tune_further: int | None = None
    tune_until: float | None = None
    tune_rate: float = 0.002
    locality: float = 1.0

    def __post_init__(self) -> None:
        settle = object.__setattr__  # the class is frozen for everyone else
        settle(self, "preset", _choice("invert.preset", self.preset))
        for name, value in INVERT_PRESETS[self.preset].items():
            if getattr(self, name) is None:
                settle(self, name, value)
        settle(self, "model", _name_or_path("model", self.model))
        if self.critic is not None:
            settle(self, "critic", _critic(self.critic))
        for name in ("space", "start", "view"):
            settle(self, name, _choice(f"invert.{name}", getattr(self, name)))
        if self.tune_until is None:
            settle(self, "tune_until", 0.001 if self.view == "critic" else 0.06)
        if self.encoder is not None:
            settle(self, "encoder", _name_or_path("encoder", self.encoder))
            if self.start in ("random", "mean"):
                raise InputError(f"The start is {self.start}, so no encoder is asked: leave the encoder out.")
        settle(self, "seed", _whole_number("seed", self.seed))
        for name in _INVERT_WHOLE:
            settle(self, name, _whole_number(f"invert.{name}", getattr(self, name)))
        for name in _INVERT_NUMBERS:
            settle(self, name, _number(f"invert.{name}", getattr(self, name)))
        for name in ("noise", "tune"):
            values.flag(getattr(self, name), name.capitalize())
        if not self.pixel + self.multiscale + self.perceptual > 0:
            raise InputError(
                "The weights pixel, multiscale and perceptual are all 0, so nothing is compared: raise one."
            )
        settle(self, "device", _device(self.device))

    def to_dict(self) -> dict[str, Any]:
        """Every setting by name, ready for JSON; `from_dict` gives an equal configuration back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, settings: Mapping[str, Any]) -> InvertConfig:
        """The configuration that `settings` describes, checked like any other.

        Raises InputError for a setting that doesn't exist, and as the constructor does.
        """
        return cls(**_known_settings(cls, settings))


def _known_settings(kind: type, settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """`settings` as they are, if each is a field of the configuration `kind`; else InputError."""
    if not isinstance(settings, Mapping):
        raise InputError(f"Settings must be given by name, not as {type(settings).__name__}.")
    known = [field.name for field in fields(kind)]
    unknown = [name for name in settings if name not in known]
    if unknown:
        few = f"{_quoted(unknown[:5])}{' and others' if len(unknown) > 5 else ''}"
        raise InputError(f"There is no setting named {few}. The settings are: {', '.join(known)}.")
    return settings


# One check for each kind of value. Each gives the value as it is kept, or raises InputError.


def _words(name: str, value: Any) -> str:
    label = _LABELS[name]
    typed = readable(value) if isinstance(value, str) else value
    clean_line(typed, label, MAX_TEXT)  # refuses what is no text, or too long, or can't be written
    text = " ".join(typed.split())
    if not text:
        raise InputError(f"{label} is blank: {_HINTS[name]}.")
    if not text.isprintable() or "\ufffd" in text:
        raise InputError(f"{label} contains characters that can't be shown: {quoted(text)}. Type it as plain words.")
    return text


def _name_or_path(name: str, value: Any, keep: bool = False) -> str:
    """A path isn't words: it is kept letter by letter, blanks included. A name loses the blanks around it.

    keep: leave a path that no text can hold as it is.
    """
    label = _LABELS[name]
    if not isinstance(value, str):
        raise InputError(f"{label} must be text, not {quoted(value)}.")
    if not value.strip():
        raise InputError(f"{label} is blank: {_HINTS[name]}.")
    if len(value) > MAX_PATH:
        raise InputError(f"{label} has {len(value)} characters; a path has at most {MAX_PATH}: {_HINTS[name]}.")
    if "\0" in value:
        raise InputError(f"{label} {quoted(value)} has a character in it that no path can have: {_HINTS[name]}.")
    text = value if exists(value) else value.strip()
    return text if keep else path_text(text)


def _critic(value: Any) -> str:
    return stored(_name_or_path("critic", value, keep=True))


def _vocabulary(value: Any) -> str:
    """A name, or a list of one's own on one line, so that breaks and blanks make no other run of it."""
    if not isinstance(value, str):
        raise InputError(f"{_LABELS['vocabulary']} must be text, not {quoted(value)}.")
    text = clean_line(value.strip().replace("\n", ";"), _LABELS["vocabulary"], MAX_VOCABULARY)
    if not text:
        raise InputError(f"{_LABELS['vocabulary']} is blank: {_HINTS['vocabulary']}.")
    if text not in ("auto", *LISTS):
        parse(text)
    return text


def _choice(name: str, value: Any) -> str:
    return values.choice(value, _LABELS[name], _CHOICES[name])


def _whole_number(name: str, value: Any) -> int:
    return values.whole(value, _LABELS[name], *_LIMITS[name])


def _number(name: str, value: Any) -> float:
    return values.number(value, _LABELS[name], *_LIMITS[name])


def _device(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"cpu|mps|cuda(:\d{1,2})?", value):
        raise InputError(f"Device must be cpu, cuda, cuda with a number (cuda:1) or mps, not {quoted(value)}.")
    return value


def _seeds(value: Any) -> tuple[int, ...]:
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        raise InputError(f"Preview seeds must be a list of whole numbers, not {quoted(value)}.")
    seeds = tuple(_whole_number("preview_seeds", seed) for seed in islice(value, MAX_PREVIEWS + 1))
    if not 1 <= len(seeds) <= MAX_PREVIEWS:
        given = len(value) if isinstance(value, Sized) else len(seeds)
        raise InputError(f"Preview seeds: give from 1 to {MAX_PREVIEWS} of them, not {given}.")
    return seeds


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(quoted(name) for name in names)
