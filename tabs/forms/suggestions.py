"""What is offered for words that a CLIP model was never taught: the nearest domains, and a CLIP model of any words.

A tab puts it below the field of its target. This module knows neither the tab's other fields nor how a run goes.
"""

from __future__ import annotations

from typing import Any

import gradio as gr

from ipl_core import InputError
from ipl_core.clip.nearest import nearest_domains
from ipl_core.models import catalog
from ipl_core.storage.words import size_words

from .. import show

OPEN_CRITIC = "ViT-B-32"


class Suggestions:
    """A row of domains to choose from and a button for the CLIP model of any words; build it inside `gr.Blocks`.

    shown: the components that `offer` and `hide` give new values for. chips, button: those that are pressed.
    """

    def __init__(self) -> None:
        with gr.Column(visible=False, elem_classes="suggestions") as self._column:
            self.chips = gr.Dataset(
                components=[gr.Textbox(render=False)],
                samples=[],
                label="Nearest that its CLIP model knows",
                layout="gallery",
                elem_classes="chips",
            )
            self.button = gr.Button("", size="sm", visible=False)
        self.shown = [self._column, self.chips, self.button]

    def offer(self, domains: list[str], model: str) -> dict[Any, Any]:
        """Shows the domains, and the button with the words `model`, "" for none; hides all without a domain."""
        if not domains:
            return self.hide()
        return {
            self._column: gr.Column(visible=True),
            self.chips: gr.Dataset(samples=[[words] for words in domains]),
            self.button: gr.Button(model, visible=bool(model)),
        }

    def hide(self) -> dict[Any, Any]:
        """Shows nothing."""
        return {self._column: gr.Column(visible=False)}


def near(text: str, critics: list[str], domains: list[str], device: str) -> list[str]:
    """The domains nearest to `text` for the first of the CLIP models that doesn't know all of its words; [] if all do.

    critics: CLIP models by name; one whose weights have to be fetched first is left out. domains: that may be named.
    """
    for name in critics:
        known = catalog.critics().get(name)
        if known is not None and not catalog.is_here(known):
            continue
        try:
            critic = catalog.load_critic(name, device)
        except InputError:  # said where the run is asked for
            continue
        if critic.unknown_words(text):
            return nearest_domains(critic, text, domains)
    return []


def open_critic_words(seconds: float | None) -> str:
    """What the button says: which CLIP model knows any words, what it takes to have it, and how long a run then takes.

    seconds: of that run, None where it isn't known. "" if the list of models doesn't have that CLIP model.
    """
    entry = catalog.critics().get(OPEN_CRITIC)
    if entry is None:
        return ""
    size = "" if catalog.is_here(entry) else f" ({size_words(entry.size)}, fetched once)"
    took = "" if seconds is None else f"; a run then takes about {show.roughly(seconds)}"
    return f"Any words: use {entry.title}{size}{took}"
