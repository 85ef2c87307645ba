"""The blind study: the invitation, a question, the tally. Nothing that a voter reads tells what drew a picture."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from ipl_core.methods.registry import METHODS
from ipl_core.study.study import LEFT, QUESTIONS, RIGHT, Question, Study, Tally

from .pictures import jpeg_image
from .runs import bar
from .text import note, percent


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
    person = "" if asked.source is None else f"<figure>{jpeg_image(asked.source, 'The person')}</figure>"
    pair = jpeg_image(asked.left, f"The {LEFT} picture") + jpeg_image(asked.right, f"The {RIGHT} picture")
    place = f"{asked.number} of {asked.total}"
    return (
        f'<div class="run"><div class="line facts"><span>{escape(title)}</span><span>{place}</span></div>'
        f"{bar((asked.number - 1) / asked.total, 'Share of the questions that are answered')}</div>"
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
            share, between = percent(row.share), f"{100 * low:.0f}–{100 * high:.0f} %"
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
    return escape(METHODS[method].title + comma + rest)


def _whisker(share: float, low: float, high: float) -> str:
    """A share and its interval on a line from 0 to 1, for the eye; the words stand beside it."""
    return (
        f'<div class="whisker" aria-hidden="true"><i style="left: {100 * low:.1f}%; width: {100 * (high - low):.1f}%">'
        f'</i><b style="left: {100 * share:.1f}%"></b></div>'
    )
