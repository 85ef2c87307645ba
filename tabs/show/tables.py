"""What was measured, as tables."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from ipl_core.metrics.side_by_side import Figures

from .text import note, percent

_FIGURES = {
    "Judge": lambda row: percent(row.judge),
    "Diversity": lambda row: f"{row.diversity:.2f}",
    "Attributes kept": lambda row: percent(row.attributes),
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
    parts = [f"{name} {'' if place else 'keeps '}{percent(share)}" for place, (name, share) in enumerate(kept.items())]
    listed = f"{', '.join(parts[:-1])} and {parts[-1]}"
    return note(
        f"Finished models that come with the app. Of the source’s diversity, {listed}, as the judge (a classifier of "
        f"domains and attributes) finds it in {samples} samples of each. The less a model keeps, the more alike people "
        "grow: that is collapse."
    )


def figures_remark(samples: int, no_judge: str) -> str:
    """What the figures are of, and why a judge's are missing, if they are."""
    words = f"Measured on {samples} fresh samples; the distance is to the target’s words, smaller is nearer."
    if no_judge:
        return f"{words} Diversity: how varied the CLIP model finds them, the source being 1. {no_judge}"
    return (
        f"{words} Judge: a classifier of domains and attributes; the share of samples that it calls the target. "
        "Diversity: how varied they are, the source being 1."
    )
