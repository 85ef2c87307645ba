"""Animations: what a visitor wants to see turn into what, ready to be drawn."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ipl_core import InputError
from ipl_core.drawing.interpolate import MAX_POINTS, Frame, Person, Walk, described, through_domains, through_people
from ipl_core.drawing.mixing import Mixer
from ipl_core.latents import parse_seeds
from ipl_core.pictures.media import ANIMATIONS, MAX_RATE, enlargement
from ipl_core.storage.values import flag, number
from ipl_core.storage.words import quoted

from ..service.service import Service
from . import models
from .drawing import known


@dataclass(frozen=True)
class Journey:
    """An animation that was asked for: its frames to come, what it shows in words, and in plain values for its file."""

    frames: Iterator[Frame]
    total: int
    words: str
    note: Mapping[str, Any]
    name: str
    enlarge: int


def plan(service: Service, asked: Mapping[str, Any], rate: Any, stop: threading.Event) -> Journey:
    """What a visitor asked for, ready to be drawn. Raises InputError for what can't be."""
    number(rate, "Frames a second", 1, MAX_RATE)
    loop = flag(asked["loop"], "Back to the start")
    side = flag(asked["side_by_side"], "Beside the source")
    walk = Walk(asked["frames"], loop, asked["easing"], asked["space"], asked["psi"])
    model = models.chosen(asked["model"])
    mixer = Mixer(model.source, service.device, service.generators.get(model.source))
    seeds = asked["seeds"]
    blank = seeds is None or (isinstance(seeds, str) and not seeds.strip())
    persons: list[Person] = [] if blank else parse_seeds(seeds, MAX_POINTS)
    persons += [service.roles.open_person(name) for name in asked["persons"] or ()]
    persons += known(asked["sitters"])
    if asked["to"]:
        goal = models.chosen(asked["to"])
        if goal.source != model.source:
            raise InputError(f"“{model.source}” can't become “{goal.source}”: their weights have nothing in common.")
        if not persons:
            raise InputError("Say who is to be shown: give a seed, or choose a person.")
        persons = persons[:1]
        domains = [(station.entry, 1.0) for station in (model, goal) if station.entry is not None]
        frames = through_domains(mixer, persons[0], [model.entry, goal.entry], walk, side, stop)
        words = f"{who(persons[0])} from {model.domain} to {goal.domain}"
    else:
        domains = [] if model.entry is None else [(model.entry, 1.0)]
        frames = through_people(mixer, persons, walk, domains, side, stop)
        names = [who(person) for person in persons]
        words = f"{', '.join(names[:-1])} and {names[-1]} as {model.domain}"
    words += ", beside the source" if side else ""
    note = described(mixer, persons, walk, domains, side)
    name = "-".join(entry.name for entry, _ in domains) or "source"
    return Journey(frames, walk.frames, words, note, f"animation-{name}", enlargement(mixer.source.config.resolution))


def ending(suffix: Any) -> str:
    """What an animation's file ends in, which says its format. Raises InputError for any other value."""
    if not isinstance(suffix, str) or suffix not in ANIMATIONS:
        raise InputError(f"An animation is written as one of {', '.join(ANIMATIONS)}, not {quoted(suffix)}.")
    return suffix


def who(person: Person) -> str:
    """A person in words."""
    return f"seed {person}" if isinstance(person, int) else person.name
