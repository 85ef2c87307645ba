"""METHODS: every way to get the text directions that stage 2 follows, each with all that the project asks about it.

A method that is added here is offered by the command line and by the app, trained, timed, compared and kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from ..clip.vocabulary import Group, known_to
from ..errors import InputError
from .directions import text_direction
from .prompts import (
    DescribedPrompts,
    ImagePrompts,
    Ingredients,
    ManualPrompts,
    PromptScheme,
    ReadPrompts,
    SharedPrompt,
    WordPrompts,
    descriptions,
    fill,
    templates,
)

if TYPE_CHECKING:
    from ..clip.model import Critic
    from .config import AdaptConfig

#: What IPL's mapper gives: free context vectors, as released, or mixtures of the vectors of words, which may begin at
#: what CLIP reads off the picture.
PROMPTS = ("vectors", "words", "read")

#: Settings of prompts of words that the preset “default” has for them; with descriptions as templates, a prompt begins
#: at what is said of people and not near NADA's direction.
WORD_PROMPTS: dict[str, Any] = dict(
    templates="descriptions", mapper_steps=150, mapper_batch=32, mapper_lr=0.005, lambda_domain=0.3
)


@dataclass(frozen=True)
class Method:
    """A way to get the text directions that stage 2 follows.

    title: what tables and choices call it. idea: where its directions come from, in a few words.
    schemes: the prompts that give the directions, by the setting `prompts`; by "" for a method that doesn't read it.
    defaults: settings that it has in place of those of the preset “default”, by the setting `prompts`.
    variants: names of rows of a comparison that are this method with settings of its own, and those settings.
    """

    title: str
    idea: str
    schemes: Mapping[str, type[PromptScheme]]
    defaults: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    variants: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def scheme(self, prompts: str = "vectors") -> type[PromptScheme]:
        """The prompts that it has with this value of the setting `prompts`."""
        return self.schemes[prompts] if prompts in self.schemes else self.schemes[""]

    @property
    def learns(self) -> bool:
        """Whether its prompts are learned, in stage 1."""
        return any(scheme.needs_training for scheme in self.schemes.values())

    @property
    def per_image(self) -> bool:
        """Whether each picture has a direction of its own."""
        return any(scheme.per_image for scheme in self.schemes.values())


METHODS: dict[str, Method] = {
    "nada": Method(
        "NADA",
        "one direction, from fixed words, for everybody",
        {"": ManualPrompts},
        variants={"nada-descriptions": {"templates": "descriptions"}},
    ),
    "shared": Method("Shared prompt", "one direction, from a learned prompt, for everybody", {"": SharedPrompt}),
    "ipl": Method(
        "IPL",
        "a direction for each person, from prompts learned for each",
        {"vectors": ImagePrompts, "words": WordPrompts, "read": ReadPrompts},
        defaults={"words": WORD_PROMPTS, "read": WORD_PROMPTS},
        variants={"ipl-words": {"prompts": "words"}, "ipl-read": {"prompts": "read"}},
    ),
    "described": Method(
        "IPL, described",
        "a direction for each person, from what CLIP reads off the picture",
        {"": DescribedPrompts},
    ),
}


def rank(name: str) -> int:
    """The place of a method in METHODS; the later ones tell more of each person."""
    return list(METHODS).index(name)


def variants() -> dict[str, dict[str, Any]]:
    """Rows of a comparison that are a method with settings of its own, by their name."""
    found = {}
    for name, method in METHODS.items():
        found.update({variant: {"method": name, **settings} for variant, settings in method.variants.items()})
    return found


def settings_of(name: str) -> dict[str, Any]:
    """The settings that a method of a comparison stands for: one of METHODS or of its variants."""
    return variants().get(name, {"method": name})


def method_of(config: AdaptConfig) -> str:
    """The name of a run's method in a comparison."""
    for name, settings in variants().items():
        if all(getattr(config, setting) == value for setting, value in settings.items()):
            return name
    return config.method


# ----------------------------------------------------------------------------------------------------------------------
# From a configuration to its prompts


def make_prompts(
    config: AdaptConfig, critic: Critic, w_dim: int, generator: torch.Generator, suited: str = "faces"
) -> PromptScheme:
    """The prompts that `config.method` names, on the CLIP model's device, before any training.

    w_dim: width of the generator's w. generator: random numbers for the mapper's first weights. suited: the vocabulary
    that “auto” stands for. Words to avoid turn the directions of any method away from theirs; prompts are learnt as
    without them.
    Raises InputError for words that the CLIP model can't judge, see `Critic.check_text`, and for a source and a
    target, or a source and words to avoid, that are the same to it.
    """
    scheme = METHODS[config.method].scheme(config.prompts)
    described = scheme.readable or config.templates == "descriptions"
    groups = vocabulary_of(config, critic, suited) if described else ()
    phrases = _phrases(config, critic, groups)
    _check_words(config, critic, scheme, groups, phrases)
    made = scheme.make(Ingredients(critic, config, phrases, groups, w_dim, generator)).to(critic.device)
    if config.avoid:
        made.avoided = _avoided(config, critic, phrases)
    return made


def vocabulary_of(config: AdaptConfig, critic: Critic, suited: str) -> tuple[Group, ...]:
    """The groups that readable prompts are made of; suited: the list that “auto” stands for. Raises as `known_to`."""
    return known_to(critic, suited if config.vocabulary == "auto" else config.vocabulary)


def _phrases(config: AdaptConfig, critic: Critic, groups: tuple[Group, ...]) -> list[str]:
    """The manual templates that the configuration names."""
    if config.templates != "descriptions":
        return templates(config.templates)
    return descriptions(critic, groups, config.context, (config.source, config.target))


def _check_words(
    config: AdaptConfig, critic: Critic, scheme: type[PromptScheme], groups: tuple[Group, ...], phrases: list[str]
) -> None:
    within = list(phrases)
    if scheme.has_context:
        places = "a " * scheme.count_places(critic, groups)
        within.append(f"{config.context} {places}{{}}.")
    critic.check_text(config.source, within=within, field="source")
    critic.check_text(config.target, within=within, field="target")
    if torch.allclose(*critic.encode_texts([config.source, config.target]), atol=1e-6):
        raise InputError(
            f"The source “{config.source}” and the target “{config.target}” are the same words to the CLIP model; "
            "name a target that differs."
        )
    if scheme.has_context:
        critic.check_text(config.context, field="context")


def _avoided(config: AdaptConfig, critic: Critic, phrases: list[str]) -> torch.Tensor:
    """The direction (1, D) from the source to the domain to avoid."""
    critic.check_text(config.avoid, within=phrases, field="domain to avoid")
    source, avoided = (critic.encode_texts(fill(phrases, words)) for words in (config.source, config.avoid))
    if torch.allclose(source, avoided, atol=1e-6):
        raise InputError(
            f"“{config.avoid}” can't be avoided: to the CLIP model it is the same as the source “{config.source}”."
        )
    return text_direction(source.mean(0, keepdim=True), avoided.mean(0, keepdim=True))
