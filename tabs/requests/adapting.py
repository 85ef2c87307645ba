"""What a visitor wants adapted: the configuration of a run, and what is wrong with its fields."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ipl_core import AdaptConfig, AdaptResult, InputError, Step
from ipl_core.clip.ensemble import members
from ipl_core.latents import parse_seeds
from ipl_core.library import store
from ipl_core.methods.config import MAX_PREVIEWS, MAX_TEXT, PRESETS, preset_settings
from ipl_core.methods.registry import METHODS, vocabulary_of
from ipl_core.models import catalog
from ipl_core.storage.values import choice
from ipl_core.storage.words import clean_line

from ..access.telling import told
from ..service.service import Service
from ..service.stops import Stop
from .models import MAX_CRITICS, OWN_CRITIC, find_entry, known_model, open_critics

#: A choice of the vocabulary that stands for what was typed below it.
OWN_WORDS = "own"


def words_chosen(given: dict[str, Any]) -> dict[str, Any]:
    """Settings in which a list of one's own is the vocabulary, where that is what was chosen."""
    own = given.get("own_words", "")
    settings = {name: value for name, value in given.items() if name != "own_words"}
    return {**settings, "vocabulary": own} if settings.get("vocabulary") == OWN_WORDS else settings


def make_config(settings: Mapping[str, Any], device: str) -> AdaptConfig:
    """The configuration that a visitor asked for; what is absent, None, "" or [] (but not the target) is left open.

    Visitors name models, never paths, and don't choose the device. critic: one or several, as a list or as
    `ensemble` has it; OWN_CRITIC stands for the model's. own_words: the vocabulary where that is `wording.OWN_WORDS`.
    Raises InputError.
    """
    given = {name: value for name, value in settings.items() if name == "target" or value not in (None, "", [])}
    given = words_chosen(given)
    models = catalog.generators()
    if "model" in given:
        known_model(given["model"])
    if "critic" in given:
        given["critic"] = critics_asked(given["critic"], models[given.get("model", AdaptConfig.model)])
    suited = catalog.suited_to(given.get("critic") or models[given.get("model", AdaptConfig.model)].critic)
    given = {**suited, **given}
    if isinstance(given.get("preview_seeds"), str):
        given["preview_seeds"] = parse_seeds(given["preview_seeds"], MAX_PREVIEWS)
    return AdaptConfig(**given, device=device)


def critics_asked(asked: Any, model: catalog.GeneratorEntry) -> str | None:
    """The CLIP models that a visitor may name, as `AdaptConfig` takes them; None for the model's own alone."""
    parts = asked if isinstance(asked, list) else [asked]
    text = "+".join(clean_line(part, "A CLIP model", MAX_TEXT) for part in parts[:MAX_CRITICS])
    if len(parts) > MAX_CRITICS:
        raise InputError(f"{len(parts)} CLIP models are more than a run can have: choose at most {MAX_CRITICS}.")
    if text == OWN_CRITIC:
        return None
    named = []
    for name, weight in members(text):
        if name not in (OWN_CRITIC, *open_critics()):
            raise InputError(
                f"The CLIP model “{name}” can't be used here: leave it out for the model's own, "
                f"or use one of {', '.join((OWN_CRITIC, *open_critics()))}."
            )
        named.append(f"{model.critic if name == OWN_CRITIC else name}{'' if weight == 1 else f'@{weight:g}'}")
    return "+".join(named)


def find_or_run(service: Service, config: AdaptConfig, stop: Stop) -> Iterator[Step | AdaptResult | store.Entry]:
    """The updates of a run as `Service.run` gives them, or at once the entry of the same run where it is kept."""
    kept = store.find(config)
    if kept is not None:
        yield kept
    else:
        yield from service.run(config, stop)


def go_on(
    service: Service, name: Any, steps: Any, stop: Stop
) -> tuple[store.Entry, AdaptConfig, Iterator[Step | AdaptResult | store.Entry]]:
    """A run of the library, the configuration for `steps` more, and the updates of these. Raises InputError."""
    entry = find_entry(name)
    config, start = store.continuation(entry, steps)
    return entry, config, service.run(config, stop, entry, start)


def preset_values(preset: Any, method: Any, prompts: Any) -> dict[str, Any]:
    """What a preset fills in for a method and IPL's prompts. Raises InputError for a preset that doesn't exist.

    A method without a stage 1 leaves the fields of stage 1 to IPL, so that they are right when it is chosen.
    """
    learns = METHODS[choice(method, "Method", METHODS)].learns
    return preset_settings(choice(preset, "Preset", PRESETS), method if learns else AdaptConfig.method, prompts)


def wrong_fields(settings: Mapping[str, Any], device: str) -> dict[str, str]:
    """What is wrong with a request, field by field; empty if a run can begin."""
    wrong = {}
    harmless = {"target": "one thing", "source": "another thing"}
    for name, value in settings.items():
        beside = {}
        if name == "keep_every":  # whether it is too small depends on how many steps were asked for, not on a preset's
            beside["steps"] = 1 if "steps" in wrong else settings.get("steps", 1)
        elif name == "vocabulary":
            beside["own_words"] = settings.get("own_words", "")
        with _complaint(wrong, name):
            make_config({**harmless, **beside, name: value}, device)
    if wrong:
        return wrong
    with _complaint(wrong, "target"):
        config = make_config(settings, device)
        for name, _ in members(config.critic or catalog.critic_of(config.model)):
            known = catalog.critics().get(name)
            if known is not None and not catalog.is_here(known):
                continue  # it has to be fetched first, by the run
            critic = catalog.load_critic(name, device)
            critic.check_text(config.target, field="target")
            with _complaint(wrong, "source"):
                critic.check_text(config.source, field="source")
            if config.avoid:
                with _complaint(wrong, "avoid"):
                    critic.check_text(config.avoid, field="domain to avoid")
            if config.readable:
                with _complaint(wrong, "vocabulary"):
                    vocabulary_of(config, critic, catalog.vocabulary_of(config.model))
    return wrong


@contextmanager
def _complaint(wrong: dict[str, str], name: str) -> Iterator[None]:
    """Notes an InputError of the block under `name`."""
    try:
        yield
    except InputError as error:
        wrong[name] = told(error)
