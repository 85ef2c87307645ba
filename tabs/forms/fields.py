"""Fields and plots that several tabs have."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable
from functools import wraps
from typing import Any, TypeVar

import gradio as gr

from ipl_core import InputError

from ..show.look import CURVES

Handler = TypeVar("Handler", bound=Callable[..., Any])


def refusing(handler: Handler) -> Handler:
    """A handler, a method, of which an InputError gives what `refuse` of its object gives."""

    @wraps(handler)
    def attempt(self: Any, *values: Any) -> Any:
        try:
            return handler(self, *values)
        except InputError as error:
            return self.refuse(error)

    return attempt


def complaints(
    fields: Iterable[str], wrong: dict[str, str], about: str, beside: Container[str], folded: str
) -> list[dict[str, Any]]:
    """What a validator gives for a form: what is wrong, at each field.

    about: the field that says it, too, where the first one that is wrong may be folded away: not this one, nor one of
    those `beside`. folded: the title under which they are.
    """
    unseen = [words for name, words in wrong.items() if name != about and name not in beside]
    if unseen:
        wrong = {about: f"{folded}: {unseen[0]}", **wrong}
    return [gr.validate(name not in wrong, wrong.get(name, "")) for name in fields]


def plot(label: str, **options: Any) -> gr.LinePlot:
    """An empty plot of curves by step."""
    return gr.LinePlot(
        x="step",
        y="value",
        color="term",
        x_title="step",
        y_title=" ",
        color_title=" ",
        color_map=CURVES,
        label=label,
        min_width=220,
        buttons=[],
        **options,
    )
