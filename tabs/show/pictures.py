"""People and other pictures as HTML, each with the words that stand for it where it can't be seen."""

from __future__ import annotations

import base64
import io
import struct
import zlib
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from PIL import Image
from torch import Tensor

from ipl_core.pictures.media import to_pictures

from .text import heading

# Pixels; larger pictures are made smaller before they are sent.
PREVIEW_EDGE, CARD_EDGE, SHEET_EDGE, VIEW_EDGE = 256, 480, 560, 640


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


def picture(file: Path | bytes, alt: str, edge: int = PREVIEW_EDGE) -> str:
    """A picture from a file or what is in one, at most `edge` pixels wide and high; words where it can't be decoded."""
    try:
        with Image.open(io.BytesIO(file) if isinstance(file, bytes) else file) as opened:
            return _image(opened.convert("RGB"), alt, edge)
    except (OSError, SyntaxError, ValueError, struct.error, zlib.error, Image.DecompressionBombError):
        name = "" if isinstance(file, bytes) else f": {escape(file.name)}"
        return f'<span class="note">This picture is damaged{name}</span>'


def before_and_after(before: Path | bytes, after: Path | bytes, source: str, adapted: str) -> str:
    """Two sheets of the same people, before on the left and after on the right."""
    sheets = picture(before, f"the preview people, {source}", SHEET_EDGE)
    return f'<div class="sheets">{sheets}{picture(after, f"the same people, {adapted}", SHEET_EDGE)}</div>'


def _image(picture: Image.Image, alt: str, edge: int = PREVIEW_EDGE) -> str:
    picture = picture.copy()
    picture.thumbnail((edge, edge))
    data = io.BytesIO()
    picture.save(data, "JPEG", quality=90, subsampling=0)
    return jpeg_image(data.getvalue(), alt)


def jpeg_image(jpeg: bytes, alt: str) -> str:
    """A JPEG file as a picture that is part of the page."""
    return f'<img src="data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}" alt="{escape(alt)}">'
