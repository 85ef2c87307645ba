"""Domains of the library, mixed: which, how much of each, drawn by seeds, kept as a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from ipl_core import AdaptConfig, InputError
from ipl_core.drawing.mixing import MAX_STRENGTH, Mixer
from ipl_core.drawing.sampling import draw
from ipl_core.latents import parse_seeds
from ipl_core.library import store
from ipl_core.methods.config import MAX_PREVIEWS, MAX_TEXT
from ipl_core.pictures.media import to_uint8
from ipl_core.storage.values import number
from ipl_core.storage.words import clean_line, quoted

from .. import show
from ..service.service import Service
from .models import find_entry

MAX_NAMED = 100  # domains in one request
MAX_PARTS = 1_000_000  # of one domain among those of a mix

#: Library entries with a weight each, drawn as one picture.
Mix = Sequence[tuple[store.Entry, float]]


def weighted(entries: Sequence[store.Entry], strength: float, shares: str = "") -> list[Mix]:
    """Every entry by itself at that strength, or a mix of all by shares such as "0.5,0.5". Raises InputError."""
    strength = number(strength, "The strength", 0, MAX_STRENGTH)
    if not clean_line(shares, "The shares", MAX_TEXT):
        return [[(entry, strength)] for entry in entries]
    weights = numbers(shares, len(entries), "share")
    return [[(entry, strength * weight) for entry, weight in zip(entries, weights)]]


def numbers(text: Any, count: int, what: str = "number") -> list[float]:
    """Numbers such as "2,1", one for each of `count` domains; all 1 for a blank text. Raises InputError."""
    line = clean_line(text, "The parts", MAX_TEXT)
    if not line:
        return [1.0] * count
    try:
        found = [float(part) for part in line.split(",")]
    except ValueError:
        found = []
    if len(found) != count:
        raise InputError(f"Give a {what} for each of the {count} domains, such as 2,1; got {quoted(line)}.")
    return [number(part, "A part of the mix", 0, MAX_PARTS) for part in found]


def named(text: Any) -> list[str]:
    """Names of library entries with commas between them. Raises InputError for what is no text, or far too many."""
    if not isinstance(text, str):
        raise InputError(f"Name the domains with commas between them, not {quoted(text)}.")
    names = [part.strip() for part in text.split(",") if part.strip()]
    if len(names) > MAX_NAMED:
        raise InputError(f"{len(names)} domains are too many for one picture: name at most {MAX_NAMED}.")
    return names


def mix_words(mix: Mix) -> str:
    """A mix as a person would say it: "60 % pencil sketch, IPL and 40 % zombie, NADA"."""
    return " and ".join(f"{100 * share:.0f} % {domain_words(entry)}" for entry, share in mix)


def domain_words(entry: store.Entry) -> str:
    """A domain and the method that made it, in words."""
    return f"{entry.target}, {show.entry_method(entry)}"


def domains_mixed(names: Sequence[str], parts: Sequence[Any], strength: Any) -> Mix:
    """What a visitor wants mixed: the entries called `names`, "" for none, by relative `parts`, at a strength.

    Raises InputError for what can't be meant.
    """
    chosen = [(name, part) for name, part in zip(names, parts) if name]
    if not chosen:
        raise InputError("Choose at least one domain to mix.")
    strength = number(strength, "The strength", 0, MAX_STRENGTH)
    chosen = [(name, number(part, "A part of the mix", 0, MAX_PARTS)) for name, part in chosen]
    total = sum(part for _, part in chosen)
    if not total:
        raise InputError("All parts of the mix are 0, so it is made of nothing: give one of them more.")
    if len({name for name, _ in chosen}) < len(chosen):
        raise InputError("A domain is chosen twice: choose it once, with more parts.")
    return [(find_entry(name), strength * part / total) for name, part in chosen]


def draw_mix(service: Service, mix: Mix, seeds: str) -> tuple[Tensor, Tensor]:
    """The people of `seeds` by the source and by the mix, bytes (N, H, W, 3) each. Raises InputError."""
    chosen = parse_seeds(seeds, MAX_PREVIEWS)
    source = service.generators.get(mix[0][0].model)
    mixer = Mixer(mix[0][0].model, service.device, source)
    psi = AdaptConfig.preview_psi
    return to_uint8(draw(source, chosen, psi)), to_uint8(mixer.draw_seeds(chosen, psi, mixer.weights(mix)))


def keep_mix(service: Service, mix: Mix, title: str) -> store.Entry:
    """The mix as a library entry. Raises InputError."""
    service.roles.check_room()
    model = mix[0][0].model
    mixer = Mixer(model, service.device, service.generators.get(model))
    return service.roles.claimed(mixer.keep(mix, "" if title is None else title))
