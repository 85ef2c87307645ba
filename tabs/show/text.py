"""Words of a page: headings, notes, facts, complaints, times."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from ..access.telling import told


def masthead(name: str, words: str) -> str:
    """The head of the page."""
    return f'<header class="masthead"><h1>{escape(name)}</h1><p>{escape(words)}</p></header>'


def heading(title: str, words: str) -> str:
    """A heading over pictures, and a few words at its side."""
    return f'<div class="legend"><h2>{escape(title)}</h2><span>{escape(words)}</span></div>'


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


def duration(seconds: float) -> str:
    """A time as a person would say it: "8 s", "1 min 20 s", "2 h 5 min"."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def roughly(seconds: float) -> str:
    """A time as a person would guess it: "10 s", "35 s", "4 min", "1.5 h"."""
    if seconds < 90:
        return f"{max(5, 5 * round(seconds / 5))} s"
    if seconds < 5400:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h"


def percent(value: float | None) -> str:
    """A share from 0 to 1 as a person reads it; a dash where there is none."""
    return "–" if value is None else f"{100 * value:.0f} %"
