"""What the tabs show, as HTML and tables: people, progress, loss curves, diversity.

Pure functions of plain values and pictures. Text that a visitor typed is escaped here and nowhere else.
Knows no component, no session and no model.
"""

from __future__ import annotations

import base64
import io
import math
import struct
import zlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from PIL import Image
from torch import Tensor

from ipl_core import AdaptConfig, Snapshot
from ipl_core.drawing.interpolate import Frame
from ipl_core.library.store import Entry
from ipl_core.metrics.side_by_side import Figures
from ipl_core.pictures.media import to_pictures
from ipl_core.storage.words import model_words, size_words
from ipl_core.study.study import LEFT, QUESTIONS, RIGHT, Question, Study, Tally

from .access.telling import told

METHOD_NAMES = {"ipl": "IPL", "described": "IPL, described", "shared": "Shared prompt", "nada": "NADA"}
STAGE_NAMES = {
    "prompts": "learning the prompts",
    "generator": "adapting the generator",
    "latent": "looking for the latent",
    "tuning": "tuning the generator about it",
}
_FIRST_STAGES = ("prompts", "latent")

MAX_POINTS = 200  # a plot sends all its points each time it is renewed
# Pixels; larger pictures are made smaller before they are sent.
PREVIEW_EDGE, CARD_EDGE, SHEET_EDGE, VIEW_EDGE = 256, 480, 560, 640

# Diversity below these shares of the source's is called narrowing, and collapse; above the last, wider.
NARROWING, COLLAPSING, WIDER = 0.7, 0.4, 1.3


# --- pictures ---------------------------------------------------------------------------------------------------


def people(
    seeds: Sequence[int | str],
    before: Tensor,
    source: str,
    after: Tensor | None = None,
    adapted: str = "",
    layout: str = "stacked",
    stars: Sequence[tuple[str, bool]] = (),
    remarks: Sequence[str] = (),
    readings: Sequence[str] = (),
) -> str:
    """The same seeds, or people by their names, before and, if given, after; bytes (N, H, W, 3).

    source, adapted: what the pictures show, as for a person who can't see them ("werewolf, IPL").
    layout: "stacked" puts each picture after below the one before, "beside" to its right. stars: for each, what a
    button that marks it hands over, and whether it is marked. remarks: a few words more below each. readings: what
    each one's prompt says in words, "" for nothing.
    """
    changed = to_pictures(after) if after is not None else [None] * len(seeds)
    figures = []
    for number, (seed, picture, other) in enumerate(zip(seeds, to_pictures(before), changed)):
        who = seed if isinstance(seed, str) else f"seed {seed}"
        images = _image(picture, f"{who}, {source}")
        if other is not None:
            images += _image(other, f"{who}, {adapted}")
        words = " · ".join(filter(None, (who, *remarks[number : number + 1])))
        star = _star(who, *stars[number]) if stars else ""
        said = "".join(map(_reading, readings[number : number + 1]))
        figures.append(f"<figure><div>{images}</div><figcaption>{escape(words)}{star}{said}</figcaption></figure>")
    return f'<div class="people {layout}">{"".join(figures)}</div>'


def _reading(said: str) -> str:
    """What a prompt says of a person; where it is too long for its place, the pointer shows it whole."""
    if not said:
        return ""
    return f'<span class="reads" title="{escape(said)}"><b>reads as:</b> {escape(said)}</span>'


def _star(who: str, person: str, marked: bool) -> str:
    return (
        f'<button class="star" data-person="{escape(person)}" aria-pressed="{str(marked).lower()}" '
        f'aria-label="Favourite: {escape(who)}" title="Favourite"></button>'
    )


def examples(domains: Sequence[str], pictures: Tensor, seeds: Sequence[int]) -> str:
    """The same people in many domains, bytes (domains, seeds, H, W, 3), with a heading: a figure a domain."""
    figures = []
    for domain, people in zip(domains, pictures):
        images = "".join(_image(one, f"seed {seed}, {domain}") for seed, one in zip(seeds, to_pictures(people)))
        figures.append(f"<figure><div>{images}</div><figcaption>{escape(domain)}</figcaption></figure>")
    words = f"{len(seeds)} people of this model as {domains[0]}, and in domains that it became"
    return heading("What this does", words) + f'<div class="people examples">{"".join(figures)}</div>'


def collage(pictures: Tensor, labels: Sequence[str], who: str, layout: str = "collage") -> str:
    """Pictures of one person side by side, bytes (N, H, W, 3), each with its words below.

    layout: "collage" for many, "pair" for two that are large.
    """
    figures = [
        f"<figure><div>{_image(picture, f'{who}: {label}')}</div><figcaption>{escape(label)}</figcaption></figure>"
        for picture, label in zip(to_pictures(pictures), labels)
    ]
    return f'<div class="people {layout}">{"".join(figures)}</div>'


def crop(
    view: Image.Image,
    quad: Sequence[tuple[float, float]],
    others: Sequence[tuple[float, float, float, float]],
    piece: Image.Image,
    words: str,
) -> str:
    """A picture with the square that is cut from it, which can be dragged, the piece itself, and words on how it came.

    quad: the square's corners in pixels of `view`, as `faces.Crop` has them. others: left, top, width and height of
    the other faces that were found, which are drawn as frames.
    """
    width, height = view.size
    outline = " ".join(f"{x:.1f},{y:.1f}" for x, y in quad)
    frames = "".join(
        f'<rect class="other" x="{x:.1f}" y="{y:.1f}" width="{w:.1f}" height="{h:.1f}"/>' for x, y, w, h in others
    )
    return (
        f'<div class="crop"><div class="whole">{_image(view, "your picture", VIEW_EDGE)}'
        f'<svg viewBox="0 0 {width} {height}" preserveAspectRatio="none" aria-hidden="true">'
        f'<path class="shade" fill-rule="evenodd" d="M0,0H{width}V{height}H0Z M{outline}Z"/>{frames}'
        f'<polygon class="frame" points="{outline}"/></svg></div>'
        f"<figure>{_image(piece, 'the part that is inverted')}<figcaption>what is inverted</figcaption></figure></div>"
        f'<p class="about">{escape(words)}</p>'
    )


def pairs(before: Tensor, after: Tensor) -> Tensor:
    """Bytes (N, H, W, 3) twice as (2N, H, W, 3), each picture before followed by the one after."""
    return torch.stack((before, after), dim=1).flatten(0, 1)


def matrix(
    rows: Sequence[tuple[str, str, Tensor | None, Mapping[int, str]]], seeds: Sequence[int], what: Sequence[str]
) -> str:
    """Small multiples: a row a model, a column a seed.

    rows: of each its name, a few words, its pictures, bytes (N, H, W, 3), None where there are none yet, and by seed
    what its prompts say in words. what: what the pictures of each row show, as for a person who can't see them.
    """
    columns = "".join(f"<span>seed {seed}</span>" for seed in seeds)
    lines = [f'<div class="row seeds" aria-hidden="true"><div></div>{columns}</div>']
    for (name, words, pictures, readings), shown in zip(rows, what):
        cells = "<i></i>" * len(seeds)
        if pictures is not None:
            images = (_image(one, f"seed {seed}, {shown}") for seed, one in zip(seeds, to_pictures(pictures)))
            cells = "".join(_read_cell(image, readings.get(seed, "")) for seed, image in zip(seeds, images))
        lines.append(f'<div class="row"><div><b>{escape(name)}</b> <span>{escape(words)}</span></div>{cells}</div>')
    return f'<div class="matrix" style="--columns: {len(seeds)}">{"".join(lines)}</div>'


def _read_cell(image: str, said: str) -> str:
    return f"<figure>{image}<figcaption>{_reading(said)}</figcaption></figure>" if said else image


def joined(rows: Sequence[Tensor]) -> Tensor:
    """Pictures of several rows, bytes (N, H, W, 3) each, as one after the other."""
    return torch.cat(list(rows))


def picture(file: Path | bytes, alt: str, edge: int = PREVIEW_EDGE) -> str:
    """A picture from a file or what is in one, at most `edge` pixels wide and high; words where it can't be decoded."""
    try:
        with Image.open(io.BytesIO(file) if isinstance(file, bytes) else file) as opened:
            return _image(opened.convert("RGB"), alt, edge)
    except (OSError, SyntaxError, ValueError, struct.error, zlib.error, Image.DecompressionBombError):
        name = "" if isinstance(file, bytes) else f": {escape(file.name)}"
        return f'<span class="note">This picture is damaged{name}</span>'


def _image(picture: Image.Image, alt: str, edge: int = PREVIEW_EDGE) -> str:
    picture = picture.copy()
    picture.thumbnail((edge, edge))
    data = io.BytesIO()
    picture.save(data, "JPEG", quality=90, subsampling=0)
    return _jpeg_image(data.getvalue(), alt)


def _jpeg_image(jpeg: bytes, alt: str) -> str:
    return f'<img src="data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}" alt="{escape(alt)}">'


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
    if config.seed and not title and entry.from_run:
        parts.append(f"seed {config.seed}")
    if not entry.finished:
        how = "" if entry.settings["stopped"] == "picked" else "stopped at "
        parts.append(f"{how}step {entry.settings['steps']['generator']} of {config.steps}")
    return " · ".join(parts)


def entry_title(entry: Entry) -> str:
    """A library entry in one line: its name, and when it was made or that it comes with the app."""
    return f"{entry_name(entry)} · {origin(entry)}"


def origin(entry: Entry) -> str:
    """Where an entry comes from, as far as a visitor has to know: when it was made, or that it comes with the app."""
    return "comes with the app" if entry.shipped else made(entry)


def made(entry: Entry) -> str:
    """When an entry was made, in this machine's time: "23 Nov 14:05"."""
    return datetime.fromisoformat(entry.settings["created"]).astimezone().strftime("%d %b %H:%M")


def entry_method(entry: Entry) -> str:
    """The method that made an entry, as a person calls it."""
    if entry.from_run:
        return method_name(entry.config)
    return "imported" if entry.imported else "mixed"


def method_name(config: AdaptConfig) -> str:
    """The method as a person calls it."""
    words = " with prompts of words" if config.method == "ipl" and config.readable else ""
    return METHOD_NAMES[config.method] + words


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
    settings, config = entry.settings, entry.config
    known = {
        "From": config.source,
        "to": config.target,
        "Model": model_words(config.model),
        "Method": entry_method(entry),
        "Made of": _parts(settings.get("mixed", ())),
        "Steps": str(settings["steps"]["generator"] or ""),
        "Took": duration(settings["seconds"]) if entry.from_run else "",
        "Diversity": "" if settings["diversity"] is None else f"{100 * settings['diversity']:.0f} %",
        "Made": made(entry),
        "Comes": "with the app" if entry.shipped else "",
        "On the disk": size_words(entry.bytes),
    }
    words = ""
    if entry.imported and settings["imported"]["changes mapping"]:
        words = (
            f"Its mapping network isn’t that of {known['Model']}, so another model may be the one it was adapted from."
        )
    return facts(known, words)


def _parts(mixed: Sequence[Mapping[str, Any]]) -> str:
    parts = (f"{100 * part['share']:.0f} % {part['config']['target']}" for part in mixed)
    return ", ".join(parts)


def before_and_after(before: Path | bytes, after: Path | bytes, source: str, adapted: str) -> str:
    """Two sheets of the same people, before on the left and after on the right."""
    sheets = picture(before, f"the preview people, {source}", SHEET_EDGE)
    return f'<div class="sheets">{sheets}{picture(after, f"the same people, {adapted}", SHEET_EDGE)}</div>'


def note(words: str) -> str:
    """A quiet line."""
    return f'<p class="note">{escape(words)}</p>'


def spoken(words: BaseException | str) -> str:
    """Words for those who listen to the page, as the announcer takes them; of an error, what `trouble` shows."""
    return escape(words if isinstance(words, str) else told(words))


def facts(named: Mapping[str, str], words: str = "") -> str:
    """Facts by name in a quiet paragraph; blank ones are left out."""
    parts = [f"<b>{escape(name)}</b> {escape(fact)}" for name, fact in named.items() if fact]
    return f'<p class="about">{" · ".join(parts)}. {escape(words)}</p>'


def trouble(words: BaseException | str) -> str:
    """What went wrong, where the eye already is and for as long as it is so. words: an error, or what it says."""
    return f'<div class="trouble" role="alert">{escape(told(words))}</div>'


def progress(snapshot: Snapshot, stages: int, done: float) -> str:
    """Stage, step, losses and time left in words and in a bar; `done` is the share of the whole run, 0 to 1."""
    number = 1 if snapshot.phase in _FIRST_STAGES else stages
    losses = "".join(f" · {escape(name)} {value:.3f}" for name, value in snapshot.losses.items())
    return (
        f'<div class="run"><div class="line"><strong>Stage {number} of {stages}: {STAGE_NAMES[snapshot.phase]}</strong>'
        f"<span>{duration(snapshot.remaining)} left</span></div>{_bar(done, 'Share of the run that is done')}"
        f'<div class="line facts"><span>step {snapshot.step} of {snapshot.total}{losses}</span>'
        f"<span>{duration(snapshot.seconds)} so far</span></div></div>"
    )


def waiting(ahead: int) -> str:
    """What a visitor reads who has just asked for a job, with `ahead` others before it."""
    return f"Waiting for {ahead} other {'run' if ahead == 1 else 'runs'} to end …" if ahead else "Getting ready …"


def seen(count: int, total: int) -> str:
    """How many people have been looked at."""
    bar = _bar(count / total, "Share of the people that were looked at")
    return f'<div class="run"><div class="line"><strong>{count} of {total} people seen</strong></div>{bar}</div>'


def frame_progress(frame: Frame) -> str:
    """How many frames of an animation there are, and the time left."""
    return (
        f'<div class="run"><div class="line"><strong>Frame {frame.number} of {frame.total}</strong>'
        f"<span>{duration(frame.remaining)} left</span></div>"
        f"{_bar(frame.number / frame.total, 'Share of the frames that are drawn')}</div>"
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


def forecast(seconds: float) -> str:
    """How long a run will take, no more exactly than that can be known."""
    return f'<p class="about">A run with these settings takes about {roughly(seconds)} here.</p>'


def roughly(seconds: float) -> str:
    """A time as a person would guess it: "10 s", "35 s", "4 min", "1.5 h"."""
    if seconds < 90:
        return f"{max(5, 5 * round(seconds / 5))} s"
    if seconds < 5400:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h"


# --- figures ----------------------------------------------------------------------------------------------------

_FIGURES = {
    "Judge": lambda row: _share(row.judge),
    "Diversity": lambda row: f"{row.diversity:.2f}",
    "Attributes kept": lambda row: _share(row.attributes),
    "Identity": lambda row: "–" if row.identity is None else f"{row.identity:.2f}",
    "CLIP distance": lambda row: f"{row.distance:.3f}",
}


def figures(measured: Mapping[str, Figures], remark: str) -> str:
    """What was measured, a row a name, as a table with a remark below."""
    head = "".join(f'<th scope="col">{title}</th>' for title in ("", *_FIGURES))
    body = ""
    for name, row in measured.items():
        cells = "".join(f"<td>{words(row)}</td>" for words in _FIGURES.values())
        body += f'<tr><th scope="row">{escape(name)}</th>{cells}</tr>'
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f'<div class="figures">{table}{note(remark)}</div>'


def kept_diversity(kept: Mapping[str, float], samples: int) -> str:
    """How much of the source's diversity is kept, a share by the name of each method, in words that say what it means.

    samples: of each, that were measured.
    """
    parts = [f"{name} {'' if place else 'keeps '}{_share(share)}" for place, (name, share) in enumerate(kept.items())]
    listed = f"{', '.join(parts[:-1])} and {parts[-1]}"
    return note(
        f"Finished models that come with the app. Of the source’s diversity, {listed}, as the judge finds it in "
        f"{samples} samples of each. The less a model keeps, the more alike people grow: that is collapse."
    )


def figures_remark(samples: int, no_judge: str) -> str:
    """What the figures are of, and why a judge's are missing, if they are."""
    words = f"Measured on {samples} fresh samples; the distance is to the target’s words, smaller is nearer."
    if no_judge:
        return f"{words} Diversity: how varied the critic finds them, the source being 1. {no_judge}"
    return f"{words} Judge: the share that it calls the target. Diversity: how varied they are, the source being 1."


def _share(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.0f} %"


# --- the blind study --------------------------------------------------------------------------------------------


def invitation(study: Study, done: int) -> str:
    """What a voter reads before the first question, or, with some of them `done`, before the next."""
    words = (
        f"You are shown two pictures at a time and asked {study.questions_each} questions about them; choose by eye, "
        "and skip what you can’t tell. Your answers are kept with a random number, and nothing else about you."
    )
    if done:
        words = f"Welcome back: {done} of {study.questions_each} questions are answered."
    return f'<div class="legend"><h2>{escape(study.title)}</h2></div><p class="about">{escape(words)}</p>'


def question(title: str, asked: Question) -> str:
    """One question of a blind study with its pictures; nothing in it says what drew them."""
    person = "" if asked.source is None else f"<figure>{_jpeg_image(asked.source, 'The person')}</figure>"
    pair = _jpeg_image(asked.left, f"The {LEFT} picture") + _jpeg_image(asked.right, f"The {RIGHT} picture")
    place = f"{asked.number} of {asked.total}"
    return (
        f'<div class="run"><div class="line facts"><span>{escape(title)}</span><span>{place}</span></div>'
        f"{_bar((asked.number - 1) / asked.total, 'Share of the questions that are answered')}</div>"
        f'<h2 class="asked">{escape(asked.words)}</h2>{person}<div class="pair">{pair}</div>'
    )


def thanks(study: Study) -> str:
    """What a voter reads after the last question, above the tally."""
    words = "Thank you: that was the last question. This is what all voters have said so far."
    return f'<div class="legend"><h2>{escape(study.title)}</h2></div><p class="about">{escape(words)}</p>'


_ASKED = {name: words.format(target="picture") for name, words in QUESTIONS.items()}


def tally(rows: Sequence[Tally]) -> str:
    """Counted votes: a table for every two contenders and question, with a row a domain and one of all together."""
    tables: dict[tuple[str, str, str], list[str]] = {}
    for row in rows:
        low, high = row.interval
        share, between = "–", "–"
        if row.share is not None:
            share, between = _share(row.share), f"{100 * low:.0f}–{100 * high:.0f} %"
        line = "" if row.share is None else _whisker(row.share, low, high)
        name = "All domains" if row.target is None else escape(row.target)
        cells = f"<td>{share}</td><td>{line}</td><td>{between}</td><td>{row.votes}</td><td>{row.skipped}</td>"
        tables.setdefault((row.first, row.second, row.question), []).append(
            f'<tr><th scope="row">{name}</th>{cells}</tr>'
        )
    parts = []
    for (first, second, asked), body in tables.items():
        caption = f"<caption>{_ASKED[asked]} <b>{_contender(first)}</b> over {_contender(second)}</caption>"
        head = "".join(f'<th scope="col">{title}</th>' for title in ("", "Chosen", "", "95 %", "Votes", "Skips"))
        parts.append(f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table>")
    remark = "95 %: Wilson’s interval, which takes every vote by itself, though one voter gives several."
    return f'<div class="figures tally">{"".join(parts)}{note(remark)}</div>'


def _contender(name: str) -> str:
    method, comma, rest = name.partition(",")
    return escape(METHOD_NAMES[method] + comma + rest)


def _whisker(share: float, low: float, high: float) -> str:
    """A share and its interval on a line from 0 to 1, for the eye; the words stand beside it."""
    return (
        f'<div class="whisker" aria-hidden="true"><i style="left: {100 * low:.1f}%; width: {100 * (high - low):.1f}%">'
        f'</i><b style="left: {100 * share:.1f}%"></b></div>'
    )


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
