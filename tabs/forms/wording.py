"""Fields for how prompts are made: what IPL learns, and the words that people are described by.

A tab puts them among its other settings. Their values go to `requests.adapting.make_config`; this module starts no run.
"""

from __future__ import annotations

import gradio as gr

from ipl_core import AdaptConfig
from ipl_core.fields import settings

from ..requests.adapting import OWN_WORDS
from ..service.jobs import AT_ONCE
from .settings import sentence, setting_field

_VOCABULARIES = [
    ("The one for this model", "auto"),
    ("Words for faces", "faces"),
    ("Words for animals", "animals"),
    ("My own list", OWN_WORDS),
]


class WordingFields:
    """What IPL learns, the vocabulary, and a list of one's own, which is seen when it is chosen.

    Build it inside `gr.Blocks`. first: what IPL learns when the page loads. named: the fields by the setting that each
    stands for.
    """

    def __init__(self, first: str) -> None:
        declared = settings(AdaptConfig)
        self.prompts = setting_field(declared["prompts"], gr.Radio, value=first)
        vocabulary = declared["vocabulary"]  # whose note lists the choices, which can be seen here
        self._vocabulary = setting_field(vocabulary, gr.Dropdown, choices=_VOCABULARIES, info=sentence(vocabulary.help))
        self._own_words = gr.Textbox(
            label="Words of your own",
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
