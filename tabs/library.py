"""The Library tab: every adapted domain that is kept, with its preview; choosing one leads to the Sample tab."""

from __future__ import annotations

import gradio as gr

from ipl_core import library

from . import show

#: A card is a button in the value, so the component has to say which one was pressed.
_CLICK = """
element.addEventListener('click', (event) => {
  const card = event.target.closest('button.card');
  if (card) trigger('click', { name: card.dataset.name });
});
"""


class LibraryTab:
    """Components of the tab; build it inside `gr.Blocks`.

    cards: its `click` event carries the folder name of the entry that a visitor chose as `name`.
    """

    def __init__(self) -> None:
        self.cards = gr.HTML(js_on_load=_CLICK)

    def contents(self) -> str:
        """Value for `cards`: what is kept, and what is damaged."""
        entries, problems = library.scan()
        above = "".join(show.trouble(problem) for problem in problems)
        if not entries:
            words = "Nothing is kept yet: every run of the tab Adapt comes here when it ends or is stopped."
            return above + show.note(words)
        return above + show.heading("Adapted domains", "choose one to draw from it") + show.cards(entries)
