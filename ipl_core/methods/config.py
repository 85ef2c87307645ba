"""Every setting of a run and of an inversion, with presets; knows nothing about tensors or files.

A configuration that exists is valid: the constructor fills what was left open from the preset and refuses the rest in
the user's language, so that app, command line and API callers share one check. Each setting is declared once, with its
range, label and help; see fields.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sized
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

from ..clip.ensemble import stored
from ..clip.vocabulary import LISTS, parse
from ..clip.vocabulary import MAX_TEXT as MAX_VOCABULARY
from ..errors import InputError
from ..fields import MAX_TEXT as MAX_TEXT
from ..fields import Setting, field, key_settings, known_settings, name_or_path, settings, settle, words_or_none
from ..latents import MAX_SEED
from ..storage import values
from ..storage.values import MAX_PSI
from ..storage.words import clean_line, quoted
from .directions import SHORTEST_MOVE
from .prompts import CONTRASTIVE_FORMS, RESIDUALS, TEMPLATE_SETS, PromptScheme
from .registry import METHODS, PROMPTS

#: Part of a run's identity: raised with every change of the method that gives other weights for the same settings.
REVISION = 2

MEMORY = ("auto", "plain", "low")
PRECISIONS = ("float32", "bfloat16")
LAYER_GROUPS = ("adaptive", "adaptive-released", "all", "coarse", "middle", "fine", "coarse+middle", "middle+fine")
SPACES = ("w", "w+")
#: What an inversion is after: the studio portrait of whom a photo shows, or the picture's own pixels; "auto" takes the
#: pixels of pictures of the generator's world, and the portrait of others where the model has a reader.
AIMS = ("auto", "portrait", "pixels")
#: Where an inversion begins: the model's encoder where it is here and else at random; or one of these and no other.
STARTS = ("auto", "encoder", "random", "mean")
#: What compares pictures as people see them: the CLIP model's features, or LPIPS, whose files a person gets.
VIEWS = ("critic", "lpips-alex", "lpips-vgg")

MAX_PREVIEWS = 64
MAX_SITTER = 1000  # characters of what is said of a sitter: every trait fits
MAX_KEPT_STEPS = 100  # earlier steps of one run; each takes about half as much on the disk as the result

# ----------------------------------------------------------------------------------------------------------------------
# Presets

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

#: Settings that a preset decides. `official` is the released code; `paper` differs from it where the paper's equations
#: do, and shares the noise; `default` is for the embedded world. Its residual holds all templates, so that a prompt
#: begins where NADA's direction leads and not where a single phrase does.
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


def _fill(config: Any, preset: Mapping[str, Any]) -> None:
    """Gives a frozen configuration what a preset has for the settings that were left open."""
    for name, value in preset.items():
        if getattr(config, name) is None:
            object.__setattr__(config, name, value)


# ----------------------------------------------------------------------------------------------------------------------
# Checks of single settings that fields.py has no kind for


def _critic(value: Any, setting: Setting) -> str:
    return stored(name_or_path(value, setting, keep=True))


def _vocabulary(value: Any, setting: Setting) -> str:
    """A name, or a list of one's own on one line, so that breaks and blanks make no other run of it."""
    if not isinstance(value, str):
        raise InputError(f"{setting.label} must be text, not {quoted(value)}.")
    text = clean_line(value.strip().replace("\n", ";"), setting.label, MAX_VOCABULARY)
    if not text:
        raise InputError(f"{setting.label} is blank: {setting.hint}.")
    if text not in ("auto", *LISTS):
        parse(text)
    return text


def _device(value: Any, setting: Setting) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"cpu|mps|cuda(:\d{1,2})?", value):
        raise InputError(f"{setting.label} must be cpu, cuda, cuda with a number (cuda:1) or mps, not {quoted(value)}.")
    return value


def _sitter(value: Any, setting: Setting) -> str:
    return clean_line(value, setting.label, MAX_SITTER)


def _seeds(value: Any, setting: Setting) -> tuple[int, ...]:
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        raise InputError(f"{setting.label} must be a list of whole numbers, not {quoted(value)}.")
    seeds = tuple(values.whole(seed, "Each preview seed", 0, MAX_SEED) for seed in islice(value, MAX_PREVIEWS + 1))
    if not 1 <= len(seeds) <= MAX_PREVIEWS:
        given = len(value) if isinstance(value, Sized) else len(seeds)
        raise InputError(f"{setting.label}: give from 1 to {MAX_PREVIEWS} of them, not {given}.")
    return seeds


# ----------------------------------------------------------------------------------------------------------------------
# The settings

# What both configurations have.
_MODEL = dict(
    label="The model", hint="give the name of a model or the path of its file", kind="path", in_key=False, in_form=True
)
_CRITIC = dict(
    label="The CLIP model", hint="leave it out to take the model's own, or name one", check=_critic, optional=True
) | dict(left_out="the model's own", in_key=False)
_SEED = dict(low=0, high=MAX_SEED, label="Seed", help="seed of all random numbers", in_form=True)
_DEVICE = dict(label="Device", help="what it computes on", check=_device, in_key=False)


@dataclass(frozen=True)
class AdaptConfig:
    """What to adapt, to what, and how. Fields left None are filled from `preset`.

    method: one of `registry.METHODS`, which say where the text directions come from.
    critic: the CLIP model, or several as an ensemble, "A+B@0.5": each has prompts of its own, and every loss is the sum
        of theirs, so weighted. None takes the one that the catalog names for the model.
    avoid: domain words that the text directions are kept from leading to; see `registry.make_prompts`.
    templates: for NADA's direction and the domain term; "descriptions" describe somebody by lot in words of the
        vocabulary, so that NADA's direction by them is the mean of what is said of people.
    around_context: the mapper gives offsets from the context phrase, zero at first, instead of the vectors themselves
        (released code); a small text tower makes little of vectors far from its own.
    prompts: "vectors" are free context vectors (released code), "words" mixtures of the words of a vocabulary, which
        stay where the text tower was taught and can be read; by "read" these begin at what CLIP reads off the picture.
    contrastive: "infonce" (released code) or "difference" (the paper's equation).
    residual: the template without its class word as the released code does by a slip ("official"), with it
        ("class-aware"), the mean of all manual templates with it ("templates"), or nothing ("none").
    layers: "adaptive" chooses anew every `layer_interval` steps, "adaptive-released" with the released code's table,
        which is off by one row.
    shortest_move: in unit embeddings; the released code has none.
    memory: "plain" is the fastest; "low" draws one large picture at a time and computes the generator's activations a
        second time instead of keeping them; "auto" is low for large pictures. The gradients are the same, up to
        rounding where a batch is split.

    Raises InputError for a value outside its limits, naming the setting, the value and the range.
    """

    target: str = field(
        label="The target",
        help="the domain to adapt to, in words, such as “pencil sketch”",
        hint="name the domain to adapt to, such as “pencil sketch”",
        kind="words",
        option="",
        in_form=True,
    )
    source: str = field(
        "photo",
        label="The source",
        help="what the model draws now, in words",
        hint="name the domain that the model shows now, such as “photo”",
        kind="words",
        left_out="what the list of models says, or photo",
        in_form=True,
    )
    method: str = field(
        "ipl",
        choices=METHODS,
        label="Method",
        help="where the text directions come from",
        left_out="the one that suits the CLIP model: described or ipl",
        in_form=True,
    )
    model: str = field("studio", help="name of a generator, path of its file, or an adapted domain's folder", **_MODEL)
    critic: str | None = field(
        None,
        help="name of a CLIP model or path of its folder",
        note="several, with weights: ViT-B-32+ViT-B-16@0.5",
        in_form=True,
        **_CRITIC,
    )
    seed: int = field(0, **_SEED)
    device: str = field("cpu", **_DEVICE)
    preset: str = field(
        "default",
        choices=PRESETS,
        label="Preset",
        help="fills in the settings that you don't choose yourself",
        in_key=False,
        in_form=True,
        titles={"default": "Default: works best here", "paper": "As in the paper", "official": "As released"},
    )
    context: str = field(
        "a photo of a",
        label="The context",
        help="the words that learned prompts start from",
        hint="give the words that learned prompts start from, such as “a photo of a”",
        kind="words",
    )
    avoid: str = field(
        "",
        label="What to avoid",
        help="a domain to keep away from, in words, such as “cartoon”",
        hint="name a domain to keep away from, such as “cartoon”, or leave it empty",
        kind="words",
        check=words_or_none,
        earlier="",
        in_form=True,
    )
    templates: str | None = field(None, choices=TEMPLATE_SETS, label="Templates", help="manual templates")
    mapper_steps: int | None = field(
        None,
        1,
        5000,
        label="Steps of stage 1 (mapper_steps)",
        help="steps of stage 1, in which prompts are learned",
        stage=1,
        in_form=True,
    )
    mapper_batch: int | None = field(
        None, 2, 128, label="Pictures a step of stage 1 (mapper_batch)", help="pictures a step in stage 1", stage=1
    )
    mapper_lr: float | None = field(
        None, 1e-6, 1.0, label="Learning rate of stage 1 (mapper_lr)", help="Adam's rate in stage 1", stage=1
    )
    lambda_domain: float | None = field(
        None,
        0.0,
        1000.0,
        label="Domain weight λ (lambda_domain)",
        help="weight of the domain loss in stage 1",
        stage=1,
        in_form=True,
        option="--lambda",
    )
    contrastive: str | None = field(
        None,
        choices=CONTRASTIVE_FORMS,
        label="Contrastive form",
        help="form of the contrastive loss",
        stage=1,
    )
    residual: str | None = field(
        None,
        choices=RESIDUALS,
        label="Residual",
        help="what is added to a learned prompt's features",
        stage=1,
    )
    steps: int | None = field(
        None,
        1,
        5000,
        label="Steps of stage 2 (steps)",
        help="steps of stage 2, in which the generator is adapted",
        stage=2,
        in_form=True,
    )
    batch: int | None = field(
        None, 1, 64, label="Pictures a step (batch)", help="pictures a step in stage 2", stage=2, in_form=True
    )
    learning_rate: float | None = field(
        None,
        1e-6,
        0.1,
        label="Learning rate (learning_rate)",
        help="Adam's rate in stage 2",
        stage=2,
        in_form=True,
    )
    layers: str | None = field(
        None,
        choices=LAYER_GROUPS,
        label="Layers that learn (layers)",
        help="which layers of the generator stage 2 trains",
        stage=2,
        in_form=True,
    )
    layer_interval: int | None = field(
        None,
        1,
        5000,
        label="Layer interval (layer_interval)",
        help="steps between two adaptive choices of layers",
        stage=2,
    )
    ema: float | None = field(
        None,
        0.0,
        0.9999,
        label="EMA decay (ema)",
        help="decay of the averaged weights",
        stage=2,
    )
    share_noise: bool | None = field(
        None, label="Share noise", help="draw source and target with the same noise maps", kind="flag"
    )
    shortest_move: float | None = field(
        None,
        1e-12,
        1.0,
        label="Shortest move (shortest_move)",
        help="length of an image direction below which its loss fades",
        stage=2,
        earlier=SHORTEST_MOVE,
    )
    around_context: bool | None = field(
        None, label="Around context", help="the mapper gives offsets from the context's words", kind="flag", stage=1
    )
    prompts: str = field(
        "vectors",
        choices=PROMPTS,
        label="IPL's prompts (prompts)",
        help="what IPL learns",
        note="prompts of words can be read",
        left_out="what suits the CLIP model",
        stage=1,
        earlier="vectors",
        in_form=True,
        titles={"vectors": "Free vectors", "words": "Words", "read": "Words, from what CLIP reads"},
    )
    vocabulary: str = field(
        "auto",
        label="The vocabulary",
        help="words that describe people, for prompts that can be read",
        note="auto, faces, animals, a list of your own, or a file with one",
        hint="write auto, faces or animals, or a list of your own, such as “smiling, frowning; bald, curly”",
        check=_vocabulary,
        earlier="auto",
        in_form=True,
    )
    preview_seeds: tuple[int, ...] = field(
        tuple(range(8)),
        label="People to watch (preview_seeds)",
        help="their seeds, such as 0-7 or 3, 14, 15",
        check=_seeds,
        in_key=False,
        in_form=True,
        option="",
    )
    preview_psi: float = field(
        0.7,
        0.0,
        MAX_PSI,
        label="Preview truncation (preview_psi)",
        help="truncation at which the people to watch are drawn",
        in_key=False,
        option="",
    )
    memory: str = field(
        "auto",
        choices=MEMORY,
        label="Memory",
        help="how memory is used",
        note="low takes less memory and more time",
        in_key=False,
    )
    precision: str = field(
        "float32",
        choices=PRECISIONS,
        label="Precision",
        help="of the convolutions and products of generator and CLIP model",
        note="bfloat16 on CUDA only",
        earlier="float32",
    )
    keep_every: int = field(
        0,
        0,
        5000,
        label="Steps between kept weights (keep_every)",
        help="keep the weights of every n-th step too",
        note="0 keeps only the last",
        in_key=False,
        in_form=True,
    )
    keep_state: bool = field(
        False,
        label="Keep the optimiser (keep_state)",
        help="keep the optimiser's state, so that the run can be resumed exactly",
        kind="flag",
        in_key=False,
        in_form=True,
    )

    def __post_init__(self) -> None:
        declared = settings(type(self))
        for name in ("preset", "method", "prompts"):
            declared[name].checked(getattr(self, name))
        _fill(self, preset_settings(self.preset, self.method, self.prompts))
        settle(self)
        if self.target.casefold() == self.source.casefold():
            raise InputError(
                f"The target and the source are both “{self.target}”, so there is nothing to adapt: "
                "name a target domain that differs from the source."
            )
        if self.keep_every and self.steps / self.keep_every > MAX_KEPT_STEPS:
            raise InputError(
                f"{declared['keep_every'].label}: at most {MAX_KEPT_STEPS} of {self.steps} steps can be kept, so this "
                f"must be 0 or at least {-(-self.steps // MAX_KEPT_STEPS)}, not {self.keep_every}."
            )

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

    @property
    def adaptive_layers(self) -> bool:
        """Whether stage 2 chooses its layers anew every `layer_interval` steps."""
        return self.layers.startswith("adaptive")

    def unread(self) -> set[str]:
        """Settings that a run of this method never reads."""
        names = set(self.scheme.unread) | ({"layer_interval"} if not self.adaptive_layers else set())
        if not self.learns:
            names |= {name for name, setting in settings(type(self)).items() if setting.stage == 1}
        if self.templates != "descriptions":  # which are phrases of the vocabulary behind the context
            names |= set() if self.readable else {"vocabulary"}
            names |= set() if self.scheme.has_context else {"context"}
        return names

    def decisive(self) -> dict[str, Any]:
        """The settings that decide the weights of a run, by name, as its key takes them: words in lower case."""
        declared, unread = settings(type(self)), self.unread()
        found = {name: value for name, value in key_settings(self).items() if name not in unread}
        lower = {name: found[name].casefold() for name in found if declared[name].kind == "words"}  # as CLIP reads them
        return {**found, **lower}

    def to_dict(self) -> dict[str, Any]:
        """Every setting by name, ready for JSON; `from_dict` gives an equal configuration back."""
        return {**asdict(self), "preview_seeds": list(self.preview_seeds)}

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> AdaptConfig:
        """The configuration that `given` describes, checked like any other.

        Raises InputError for a setting that doesn't exist, for a missing target, and as the constructor does.
        """
        if "target" not in known_settings(cls, given):
            raise InputError("The target is missing: name the domain to adapt to, such as “pencil sketch”.")
        return cls(**given)


@dataclass(frozen=True)
class InvertConfig:
    """How to find the latent of a picture. Fields left None are filled from `preset`.

    critic: the CLIP model whose features of the pictures are compared, None takes the one that the catalog names for
        the model. Several are written "A+B@0.5"; their distances are averaged, so weighted.
    aim: "pixels" follows the picture pixel by pixel; "portrait" draws whom a reader of attributes sees in it, and of
        the other settings only `sitter` matters.
    space: "w" is easy to edit; "w+" comes closer to the picture.
    start: "encoder" begins at what an encoder guesses, "random" at the best of the mean latent and `starts` random
        ones, "mean" at the mean latent; "auto" takes the model's own encoder where that is here, else "random".
    view: the perceptual distance: the CLIP model's, or LPIPS where its files are.
    noise_pull: weight of the term that keeps optimised noise maps noise.
    tune: whether the generator itself is tuned about the latent afterwards (pivotal tuning).
    tune_until: None is 0.001 for the CLIP model's distance, and 0.06 for LPIPS, at which PTI's released code is done.

    Raises InputError for a value outside its limits, naming the setting, the value and the range.
    """

    model: str = field("studio", help="name of a generator or path of its file", **_MODEL)
    critic: str | None = field(None, help="name of a CLIP model or path of its folder", **_CRITIC)
    preset: str = field(
        "good",
        choices=INVERT_PRESETS,
        label="Preset",
        help="how long it may take",
        note="good tunes the generator too; best takes several times as long",
        in_key=False,
        in_form=True,
        titles={"fast": "Fast", "good": "Good", "best": "Best"},
    )
    space: str | None = field(
        None,
        choices=SPACES,
        label="Latent space (space)",
        help="where the latent is sought",
        note="w+ has a latent for each layer and comes closer; w has one for all and stays easier to restyle",
        in_form=True,
        titles={"w": "W", "w+": "W+"},
    )
    seed: int = field(0, **_SEED)
    device: str = field("cpu", **_DEVICE)
    aim: str = field(
        "auto",
        choices=AIMS,
        label="Aim",
        help="what the picture becomes",
        note="auto makes portraits of photos, where the model has a reader",
        option="--as",
        in_key=False,
        earlier="pixels",
        in_form=True,
        titles={
            "auto": "What suits the picture",
            "portrait": "A studio portrait",
            "pixels": "As near as the pixels go",
        },
    )
    sitter: str = field(
        "",
        label="What is said of the sitter",
        help="whom a portrait shows, where the reader errs, such as hair_cut=bun,glasses=none",
        check=_sitter,
        in_key=False,
        earlier="",
        in_form=True,
    )
    start: str = field(
        "auto",
        choices=STARTS,
        label="Where the search begins (start)",
        help="where the search begins",
        note="auto is the encoder where one is here, else random",
        in_key=False,
        in_form=True,
        titles={
            "auto": "An encoder’s guess, or random latents where none is here",
            "random": "The best of random latents",
            "mean": "The mean latent",
        },
    )
    encoder: str | None = field(
        None,
        label="The encoder",
        help="name of an encoder or path of its file",
        hint="leave it out to take the model's own encoder, or name one",
        kind="path",
        optional=True,
        left_out="the model's own",
        in_key=False,
    )
    view: str = field(
        "critic",
        choices=VIEWS,
        label="What compares the pictures (view)",
        help="which features compare pictures",
        note="critic is the CLIP model",
        in_form=True,
        titles={"critic": "The CLIP model"},
    )
    starts: int | None = field(
        None,
        0,
        4096,
        label="Starts",
        help="random latents to try beside the mean latent, when the start is random",
    )
    steps: int | None = field(
        None,
        1,
        20_000,
        label="Steps of the latent (steps)",
        help="steps of the search, with the generator as it is",
        in_form=True,
    )
    learning_rate: float | None = field(
        None, 1e-5, 1.0, label="Learning rate (learning_rate)", help="Adam's rate for the latent"
    )
    pixel: float = field(1.0, 0.0, 1000.0, label="Weight of pixels (pixel)", help="weight of pixels")
    multiscale: float = field(1.0, 0.0, 1000.0, label="Weight of scales (multiscale)", help="weight of coarser scales")
    perceptual: float = field(
        2.0,
        0.0,
        1000.0,
        label="Weight of the features' distance (perceptual)",
        help="weight of the distance of features, see --view",
    )
    mean_pull: float = field(0.002, 0.0, 1000.0, label="Pull to the mean (mean_pull)", help="pull to the mean latent")
    row_pull: float = field(0.01, 0.0, 1000.0, label="Pull between rows (row_pull)", help="pull between the rows of w+")
    noise: bool | None = field(None, label="Noise", help="optimise the noise maps too", kind="flag")
    noise_pull: float = field(
        1.0,
        0.0,
        1e6,
        label="Weight of the noise's own regulariser (noise_pull)",
        help="weight of the term that keeps noise maps noise",
    )
    tune: bool | None = field(
        None,
        label="Pivotal tuning (tune)",
        help="tune the generator after the search, for the last likeness",
        kind="flag",
        in_form=True,
    )
    tune_steps: int | None = field(
        None,
        1,
        5000,
        label="Steps of tuning (tune_steps)",
        help="steps in which the generator is tuned",
        note="more follow where the picture is still far off",
        stage="tuning",
        in_form=True,
    )
    tune_further: int | None = field(
        None,
        0,
        5000,
        label="Further steps of tuning (tune_further)",
        help="further steps of tuning where the distance of features is still above --tune-until",
        stage="tuning",
    )
    tune_until: float | None = field(
        None,
        0.0,
        2.0,
        label="The distance at which tuning is done (tune_until)",
        help="distance of features that is near enough",
        stage="tuning",
    )
    tune_rate: float = field(
        0.002, 1e-6, 0.1, label="Learning rate of tuning (tune_rate)", help="Adam's rate for tuning", stage="tuning"
    )
    locality: float = field(
        1.0,
        0.0,
        1000.0,
        label="Locality of tuning (locality)",
        help="weight of the term that keeps other latents' pictures as they were",
        stage="tuning",
    )

    def __post_init__(self) -> None:
        declared = settings(type(self))
        for name in ("preset", "view"):
            declared[name].checked(getattr(self, name))
        _fill(self, {**INVERT_PRESETS[self.preset], "tune_until": 0.001 if self.view == "critic" else 0.06})
        settle(self)
        if self.encoder is not None and self.start in ("random", "mean"):
            raise InputError(f"The start is {self.start}, so no encoder is asked: leave the encoder out.")
        if not self.pixel + self.multiscale + self.perceptual > 0:
            raise InputError(
                "The weights pixel, multiscale and perceptual are all 0, so nothing is compared: raise one."
            )

    def decisive(self) -> dict[str, Any]:
        """The settings that decide the latent, by name, as an inversion's key takes them."""
        unread = set() if self.noise else {"noise_pull"}
        if not self.tune:
            unread |= {name for name, setting in settings(type(self)).items() if setting.stage == "tuning"}
        return {name: value for name, value in key_settings(self).items() if name not in unread}

    def to_dict(self) -> dict[str, Any]:
        """Every setting by name, ready for JSON; `from_dict` gives an equal configuration back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> InvertConfig:
        """The configuration that `given` describes, checked like any other.

        Raises InputError for a setting that doesn't exist, and as the constructor does.
        """
        return cls(**known_settings(cls, given))
