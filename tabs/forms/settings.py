"""The component of a setting: title, help and choices stand where the setting is declared, see ipl_core/fields.py."""

from __future__ import annotations

from typing import Any

import gradio as gr
from gradio.components import Component

from ipl_core.fields import Setting


def setting_field(setting: Setting, component: type[Component] | None = None, **options: Any) -> Component:
    """The component in which a visitor fills in a setting; build it inside `gr.Blocks`.

    component: by default what suits the kind: a checkbox, a dropdown, a number or a line of text. options: of the
    component, in the place of what is declared. A number gets no range, because Gradio's refusal would come before
    that of `Setting.checked`, which names the setting and the range.
    """
    suited = {"flag": gr.Checkbox, "choice": gr.Dropdown, "whole": gr.Number, "number": gr.Number}
    component = component or suited.get(setting.kind, gr.Textbox)
    options = {"label": title(setting), "info": info(setting), "value": setting.default, **options}
    if component is gr.Textbox:
        options.setdefault("max_lines", 1)
    elif setting.choices is not None:
        options.setdefault("choices", [(setting.titles.get(name, name), name) for name in setting.choices])
    return component(**options)


def title(setting: Setting) -> str:
    """What a setting is called on a page."""
    return _typeset(setting.title)


def info(setting: Setting) -> str:
    """What a setting is, and what else to know of it, as sentences."""
    return " ".join(sentence(words) for words in (setting.help, setting.note) if words)


def sentence(words: str) -> str:
    """The words of a help as a sentence on a page."""
    return f"{_typeset(words[:1].upper() + words[1:])}."


def _typeset(words: str) -> str:
    return words.replace("'", "’")
