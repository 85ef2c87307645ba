"""What the tabs show, as HTML and tables: people, progress, loss curves, diversity.

Pure functions of plain values and pictures. Text that a visitor typed is escaped here and nowhere else.
Knows no component, no session and no model.
"""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from html import escape
from pathlib import Path

import pandas as pd
import torch
from PIL import Image
from torch import Tensor

from ipl_core import AdaptConfig, Snapshot
from ipl_core.catalog import size_words
from ipl_core.library import Entry
from ipl_core.media import to_pictures

METHOD_NAMES = {"ipl": "IPL", "shared": "Shared prompt", "nada": "NADA"}
STAGE_NAMES = {"prompts": "learning the prompts", "generator": "adapting the generator"}

MAX_POINTS = 200  # a plot sends all its points each time it is renewed
PREVIEW_EDGE, CARD_EDGE, SHEET_EDGE = 256, 480, 560  # pixels; larger pictures are made smaller before they are sent

# Diversity below these shares of the source's is called narrowing, and collapse; above the last, wider.
NARROWING, COLLAPSING, WIDER = 0.7, 0.4, 1.3


# --- pictures ---------------------------------------------------------------------------------------------------


def people(
    seeds: Sequence[int],
    before: Tensor,
    source: str,
    after: Tensor | None = None,
    adapted: str = "",
    layout: str = "stacked",
) -> str:
    """The same seeds before and, if given, after; bytes (N, H, W, 3).

    source, adapted: what the pictures show, as for a person who can't see them ("werewolf, IPL").
    layout: "stacked" puts each picture after below the one before, "beside" to its right.
    """
    changed = to_pictures(after) if after is not None else [None] * len(seeds)
    figures = []
    for seed, picture, other in zip(seeds, to_pictures(before), changed):
        images = _image(picture, f"seed {seed}, {source}")
        if other is not None:
            images += _image(other, f"seed {seed}, {adapted}")
        figures.append(f"<figure><div>{images}</div><figcaption>seed {seed}</figcaption></figure>")
    return f'<div class="people {layout}">{"".join(figures)}</div>'


def pairs(before: Tensor, after: Tensor) -> Tensor:
    """Bytes (N, H, W, 3) twice as (2N, H, W, 3), each picture before followed by the one after."""
    return torch.stack((before, after), dim=1).flatten(0, 1)


def picture(path: Path, alt: str, edge: int = PREVIEW_EDGE) -> str:
    """A picture from a file, at most `edge` pixels wide and high."""
    with Image.open(path) as opened:
        return _image(opened.convert("RGB"), alt, edge)


def _image(picture: Image.Image, alt: str, edge: int = PREVIEW_EDGE) -> str:
    picture = picture.copy()
    picture.thumbnail((edge, edge))
    data = io.BytesIO()
    picture.save(data, "JPEG", quality=90, subsampling=0)
    encoded = base64.b64encode(data.getvalue()).decode()
    return f'<img src="data:image/jpeg;base64,{encoded}" alt="{escape(alt)}">'


# --- words ------------------------------------------------------------------------------------------------------


def masthead(name: str, words: str) -> str:
    """The head of the page."""
    return f'<header class="masthead"><h1>{escape(name)}</h1><p>{escape(words)}</p></header>'


def heading(title: str, words: str) -> str:
    """A heading over pictures, and a few words at its side."""
    return f'<div class="legend"><h2>{escape(title)}</h2><span>{escape(words)}</span></div>'


def entry_name(entry: Entry) -> str:
    """A library entry in a few words: the name that a person gave it, or domain and method, and how far it came."""
    config = entry.config
    title = entry.settings.get("title")
    parts = [title] if title else [config.target, entry_method(entry)]
    if config.seed and not title and not entry.imported:
        parts.append(f"seed {config.seed}")
    if not entry.finished:
        how = "" if entry.settings["stopped"] == "picked" else "stopped at "
        parts.append(f"{how}step {entry.settings['steps']['generator']} of {config.steps}")
    return " · ".join(parts)


def entry_title(entry: Entry) -> str:
    """A library entry in one line: its name, and when it was made."""
    return f"{entry_name(entry)} · {made(entry)}"


def made(entry: Entry) -> str:
    """When an entry was made, in this machine's time: "23 Nov 14:05"."""
    return datetime.fromisoformat(entry.settings["created"]).astimezone().strftime("%d %b %H:%M")


def entry_method(entry: Entry) -> str:
    """The method that made an entry, as a person calls it."""
    return "imported" if entry.imported else method_name(entry.config)


def method_name(config: AdaptConfig) -> str:
    """The method as a person calls it."""
    return METHOD_NAMES[config.method]


def cards(entries: Sequence[Entry]) -> str:
    """Library entries as cards: a button with what each draws and its name, and below it facts and a button to manage.

    `data-name` of both buttons is the entry's folder name.
    """
    parts = []
    for entry in entries:
        name, title = escape(entry.path.name), escape(entry_name(entry))
        image = picture(entry.samples_picture, "", CARD_EDGE)
        facts = f"{made(entry)} · {size_words(entry.bytes)}"
        parts.append(
            f'<div class="entry"><button class="card" data-name="{name}">{image}<span>{title}</span></button>'
            f'<div class="foot"><span>{facts}</span>'
            f'<button class="manage" data-name="{name}" aria-label="Manage {title}">Manage</button></div></div>'
        )
    return f'<div class="cards">{"".join(parts)}</div>'


def entry_facts(entry: Entry) -> str:
    """All that is known of a library entry in a quiet paragraph."""
    settings, config = entry.settings, entry.config
    known = {
        "From": config.source,
        "to": config.target,
        "Model": config.model,
        "Method": entry_method(entry),
        "Steps": str(settings["steps"]["generator"] or ""),
        "Took": "" if entry.imported else duration(settings["seconds"]),
        "Diversity": "" if settings["diversity"] is None else f"{100 * settings['diversity']:.0f} %",
        "Made": made(entry),
        "On the disk": size_words(entry.bytes),
    }
    words = ""
    if entry.imported and settings["imported"]["changes mapping"]:
        words = (
            f"Its mapping network isn’t that of {config.model}, so another model may be the one it was adapted from."
        )
    return facts(known, words)


def before_and_after(before: Path, after: Path, source: str, adapted: str) -> str:
    """Two sheets of the same people, before on the left and after on the right."""
    sheets = picture(before, f"the preview people, {source}", SHEET_EDGE)
    return f'<div class="sheets">{sheets}{picture(after, f"the same people, {adapted}", SHEET_EDGE)}</div>'


def note(words: str) -> str:
    """A quiet line."""
    return f'<p class="note">{escape(words)}</p>'


def facts(named: Mapping[str, str], words: str = "") -> str:
    """Facts by name in a quiet paragraph; blank ones are left out."""
    parts = [f"<b>{escape(name)}</b> {escape(fact)}" for name, fact in named.items() if fact]
    return f'<p class="about">{" · ".join(parts)}. {escape(words)}</p>'


def trouble(words: str) -> str:
    """What went wrong, where the eye already is and for as long as it is so."""
    return f'<div class="trouble" role="alert">{escape(words)}</div>'


def progress(snapshot: Snapshot, stages: int, done: float) -> str:
    """Stage, step, losses and time left in words and in a bar; `done` is the share of the whole run, 0 to 1."""
    number = 1 if snapshot.phase == "prompts" else stages
    losses = "".join(f" · {escape(name)} {value:.3f}" for name, value in snapshot.losses.items())
    return (
        f'<div class="run"><div class="line"><strong>Stage {number} of {stages}: {STAGE_NAMES[snapshot.phase]}</strong>'
        f"<span>{duration(snapshot.remaining)} left</span></div>{_bar(done, 'Share of the run that is done')}"
        f'<div class="line facts"><span>step {snapshot.step} of {snapshot.total}{losses}</span>'
        f"<span>{duration(snapshot.seconds)} so far</span></div></div>"
    )


def ended(words: str, details: str, done: float = 1.0) -> str:
    """How a run ended, over its bar as it then stood."""
    return (
        f'<div class="run"><div class="line"><strong>{escape(words)}</strong></div>'
        f"{_bar(done, 'Share of the run that is done')}"
        f'<div class="line facts"><span>{escape(details)}</span></div></div>'
    )


def _bar(share: float, label: str) -> str:
    return f'<progress max="1" value="{share:.3f}" aria-label="{label}">{100 * share:.0f} %</progress>'


def diversity(value: float | None) -> str:
    """The spread of the adapted people over that of their sources, in words that say what it means."""
    if value is None:
        return ""
    state, words = _diversity_words(value)
    return (
        f'<div class="run meter {state}"><div class="line"><strong>Diversity {100 * value:.0f} %</strong>'
        f'<span class="facts">of the source’s</span></div>'
        f'{_bar(min(value, 1.0), "Diversity as a share of the source’s")}<div class="facts">{words}</div></div>'
    )


def _diversity_words(value: float) -> tuple[str, str]:
    if value < COLLAPSING:
        return "alike", (
            "The people are growing alike: the model is collapsing onto one picture of the domain. "
            "Fewer steps or a lower learning rate keep more of each."
        )
    if value < NARROWING:
        return "narrowing", "The people differ less than they did; if this keeps falling, the model is collapsing."
    if value > WIDER:
        return "varied", "The people differ more than they did before."
    return "varied", "The people differ about as much as they did before."


def duration(seconds: float) -> str:
    """A time as a person would say it: "8 s", "1 min 20 s", "2 h 5 min"."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


# --- curves -----------------------------------------------------------------------------------------------------


class Curve:
    """Values by step of one stage, thinned to what a plot can resend once a second.

    A point is the mean of as many successive steps as keep the whole stage within `MAX_POINTS`, so points
    that were shown once stay where they were.
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self._values: dict[str, dict[int, float]] = {}  # term -> step -> value

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """Takes the values at `step`, counted from 1; one that is not finite leaves a gap."""
        for term, value in values.items():
            if math.isfinite(value):
                self._values.setdefault(term, {})[step] = value

    def table(self) -> pd.DataFrame | None:
        """Columns step, value and term, at most `MAX_POINTS` rows; None before the first value, as a plot wants it."""
        if not self._values:
            return None
        stride = math.ceil(self.total / (MAX_POINTS // len(self._values)))
        rows = []
        for term, values in self._values.items():
            bins: dict[int, list[float]] = {}
            for step, value in values.items():
                bins.setdefault((step - 1) // stride, []).append(value)
            for index, members in bins.items():
                middle = index * stride + (stride + 1) / 2
                rows.append((min(middle, self.total), sum(members) / len(members), term))
        return pd.DataFrame(rows, columns=["step", "value", "term"])
