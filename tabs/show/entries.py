"""Library entries in words, and as cards to press."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from html import escape

from ipl_core import AdaptConfig, lpips
from ipl_core.library import inversions
from ipl_core.library.person_records import Found
from ipl_core.library.records import Imported, Mixed, Part, Picked
from ipl_core.library.store import Entry
from ipl_core.methods.registry import METHODS
from ipl_core.storage.words import model_words, size_words

from .pictures import CARD_EDGE, picture
from .text import duration, facts

_METHODS_FIRST = ("ipl", "described", "shared", "nada")  # in choices; further ones follow


def entry_name(entry: Entry) -> str:
    """A library entry in a few words: the name that a person gave it, or domain and method, and how far it came."""
    title = entry.record.title
    parts = [title] if title else [entry.target, entry_method(entry)]
    if entry.from_run and entry.config.seed and not title:
        parts.append(f"seed {entry.config.seed}")
    if not entry.finished:
        how = "" if isinstance(entry.origin, Picked) else "stopped at "
        parts.append(f"{how}step {entry.run.generator_steps} of {entry.config.steps}")
    return " · ".join(parts)


def entry_title(entry: Entry) -> str:
    """A library entry in one line: its name, and when it was made or that it comes with the app."""
    return f"{entry_name(entry)} · {origin(entry)}"


def origin(entry: Entry) -> str:
    """Where an entry comes from, as far as a visitor has to know: when it was made, or that it comes with the app."""
    return "comes with the app" if entry.shipped else made(entry)


def made(entry: Entry) -> str:
    """When an entry was made, in this machine's time: "23 Nov 14:05"."""
    return datetime.fromisoformat(entry.record.created).astimezone().strftime("%d %b %H:%M")


def entry_method(entry: Entry) -> str:
    """The method that made an entry, as a person calls it."""
    if entry.from_run:
        return method_name(entry.config)
    return entry.made_by


def method_name(config: AdaptConfig) -> str:
    """The method as a person calls it."""
    words = " with prompts of words" if config.learns and config.readable else ""
    return METHODS[config.method].title + words


def method_choices() -> list[tuple[str, str]]:
    """Title and name of each method, as a form offers them."""
    names = [*_METHODS_FIRST, *(name for name in METHODS if name not in _METHODS_FIRST)]
    return [(METHODS[name].title, name) for name in names]


def method_ideas() -> str:
    """Where the directions of each method come from, a sentence a method."""
    return " ".join(f"{title}: {METHODS[name].idea}." for title, name in method_choices())


def cards(entries: Sequence[Entry]) -> str:
    """Library entries as cards: a button with what each draws and its name, and below it facts and a button to manage.

    `data-name` of both buttons is the entry's folder name.
    """
    parts = []
    for entry in entries:
        name, title = escape(entry.name), escape(entry_name(entry))
        image = picture(entry.samples_picture, "", CARD_EDGE)
        facts = f"{origin(entry)} · {size_words(entry.bytes)}"
        parts.append(
            f'<div class="entry"><button class="card" data-name="{name}">{image}<span>{title}</span></button>'
            f'<div class="foot"><span>{facts}</span>'
            f'<button class="manage" data-name="{name}" aria-label="Manage {title}">Manage</button></div></div>'
        )
    return f'<div class="cards">{"".join(parts)}</div>'


def entry_facts(entry: Entry) -> str:
    """All that is known of a library entry in a quiet paragraph."""
    record, run = entry.record, entry.run if entry.from_run else None
    known = {
        "From": entry.source,
        "to": entry.target,
        "Model": model_words(entry.model),
        "Method": entry_method(entry),
        "Made of": _parts(entry.origin.parts) if isinstance(entry.origin, Mixed) else "",
        "Steps": str(run.generator_steps or "") if run else "",
        "Took": duration(run.seconds) if run else "",
        "Diversity": "" if record.diversity is None else f"{100 * record.diversity:.0f} %",
        "Made": made(entry),
        "Comes": "with the app" if entry.shipped else "",
        "On the disk": size_words(entry.bytes),
    }
    words = ""
    if isinstance(entry.origin, Imported) and entry.origin.changes_mapping:
        words = (
            f"Its mapping network isn’t that of {known['Model']}, so another model may be the one it was adapted from."
        )
    return facts(known, words)


def _parts(mixed: Sequence[Part]) -> str:
    return ", ".join(f"{100 * part.share:.0f} % {part.config['target']}" for part in mixed)


def likeness(inverted: inversions.Inverted) -> dict[str, str]:
    """How near an inverted picture came, by name, with what the numbers mean, and where the search began."""
    record = inverted.record
    view, identity = record.view, record.identity
    measure = "the CLIP model" if view == "critic" else lpips.NETWORKS[view].title
    alike = "" if identity is None else f"{identity:.2f} by the judge, a classifier (1 the same person)"
    found = record.origin if isinstance(record.origin, Found) else None
    return {
        "Pixels": f"{record.pixel:.3f} apart (0 alike, 2 opposite)",
        "Perceptual": f"{record.perceptual:.3f} apart by {measure}",
        "Identity": alike,
        "Taken as": found.why.rstrip(".") if found else "",
        "Begun at": _BEGUN_AT.get(found.start, "") if found and not found.portrait else "",
    }


_BEGUN_AT = {"encoder": "an encoder’s guess", "random": "the best of random latents", "mean": "the mean latent"}
