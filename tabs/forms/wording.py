"""Fields for how prompts are made: what IPL learns, and the words that people are described by.

A tab puts them among its other settings. Their values go to `requests.adapting.make_config`; this module starts no run.
"""

from __future__ import annotations

import gradio as gr

from ..requests.adapting import OWN_WORDS
from ..service.jobs import AT_ONCE

_PROMPTS = [("Free vectors", "vectors"), ("Words", "words"), ("Words, from what CLIP reads", "read")]
_VOCABULARIES = [
    ("The one for this model", "auto"),
    ("Words for faces", "faces"),
    ("Words for animals", "animals"),
    ("My own list", OWN_WORDS),
]


class WordingFields:
    """What IPL learns, the vocabulary, and a list of one's own, which is seen when it is chosen.

    Build it inside `gr.Blocks`. labels: of the three fields. first: what IPL learns when the page loads. named: the
    fields by the setting that each stands for.
    """

    def __init__(self, labels: tuple[str, str, str], first: str) -> None:
        prompts, vocabulary, own_words = labels
        self.prompts = gr.Radio(
            _PROMPTS, value=first, label=prompts, info="What IPL learns. Words can be read under each person."
        )
        self._vocabulary = gr.Dropdown(
            _VOCABULARIES, value="auto", label=vocabulary, info="For prompts of words, and for “IPL, described”."
        )
        self._own_words = gr.Textbox(
            label=own_words,
            placeholder="smiling, frowning; bald, curly",
            info="A comma between words that exclude each other; a semicolon or a new line between groups.",
            lines=3,
            max_lines=8,
            visible=False,
        )
        self.named = {"prompts": self.prompts, "vocabulary": self._vocabulary, "own_words": self._own_words}
        self._vocabulary.input(
            lambda chosen: gr.Textbox(visible=chosen == OWN_WORDS), self._vocabulary, self._own_words, **AT_ONCE
        )
