"""The settings of a run: what a preset fills in, how prompts are made, which model learns, which CLIP models compare.

A tab puts them where there is room. This module starts no run.
"""

from __future__ import annotations

from collections.abc import Collection
from contextlib import nullcontext
from typing import Any

import gradio as gr

from ipl_core import AdaptConfig, InputError
from ipl_core.fields import settings
from ipl_core.methods.registry import METHODS
from ipl_core.models import catalog
from ipl_core.storage.values import choice

from ..requests.adapting import critics_asked, preset_values
from ..requests.models import OWN_CRITIC, known_model, open_critic_choices, source_choices
from ..service.jobs import AT_ONCE
from .settings import setting_field
from .wording import WordingFields

KEEP_EVERY = 50
_FROM_PRESET = ("mapper_steps", "steps", "lambda_domain", "batch", "learning_rate", "layers")
#: What a method has values of its own for, by what prompts are made of.
_OWN = {name for method in METHODS.values() for own in method.defaults.values() for name in own}
_FROM_WORDS = tuple(name for name in _FROM_PRESET if name in _OWN)
#: Numbers that stand two in a row, and say what they are by their titles alone, so that they stand level.
_NUMBERS = (("mapper_steps", "steps"), ("lambda_domain", "batch"), ("learning_rate", "seed"))


class RunSettings:
    """The fields of all settings that forms offer, but target and method; build it inside `gr.Blocks`.

    method: the field of the method, which some settings follow; None where several run. but: settings that are left
    out. several: whether several CLIP models can be chosen. named: the fields by the setting that each stands for.
    """

    def __init__(self, method: gr.Radio | None, but: Collection[str] = (), several: bool = True) -> None:
        self._method = method
        self._but = ("target", "method", *but)
        self.named: dict[str, Any] = {}
        first = next(iter(catalog.generators().values()))
        suited = catalog.suited_to(first.critic)
        people = f"0-{AdaptConfig.preview_seeds[-1]}"
        self._first = {**preset_values("default", **suited), "source": first.source, "model": first.name}
        self._first.update(keep_every=KEEP_EVERY, preview_seeds=people)
        for name in ("source", "avoid", "preset"):
            self._build(name)
        for names in _NUMBERS:
            self._build(*names, info=None)
        self.named.update(WordingFields(suited["prompts"]).named)
        for names in (("layers",), ("preview_seeds",), ("keep_every", "keep_state")):
            self._build(*names)
        for name, setting in settings(AdaptConfig).items():
            if setting.in_form and name not in (*self.named, "model", "critic"):
                self._build(name)
        self._build(
            "model", choices=source_choices(), component=gr.Dropdown, info="Others than the first may be large."
        )
        self._build_critic(several)

    def _build(self, *names: str, **options: Any) -> None:
        """Adds the fields of these settings, two in a row, without those that are left out."""
        names = [name for name in names if name not in self._but]
        with gr.Row() if len(names) > 1 else nullcontext():
            for name in names:
                setting = settings(AdaptConfig)[name]
                first = {"value": self._first.get(name, setting.default), "min_width": 120}
                self.named[name] = setting_field(setting, **{**first, **options})

    def _build_critic(self, several: bool) -> None:
        own = {"choices": [("The model’s own", OWN_CRITIC), *open_critic_choices()], "component": gr.Dropdown}
        if not several:
            self._build("critic", value=OWN_CRITIC, info="It compares pictures with words.", **own)
            return
        self._build(
            "critic",
            label="CLIP models",
            info="They compare pictures with words. To weigh one of several, type ViT-B-16@0.5.",
            value=[OWN_CRITIC],
            multiselect=True,
            allow_custom_value=True,
            **own,
        )

    def listen(self) -> tuple[Any, Any, Any]:
        """Lets settings follow each other. Gives what fires when a preset has filled them in, when other prompts have,
        and when another model or CLIP model has."""
        decide = [self.named["preset"], self._method, self.named["prompts"]]
        learned = [self.named[name] for name in _FROM_WORDS]
        filled = self.fill_by_preset()
        worded = self.named["prompts"].input(
            lambda *chosen: [preset_values(*chosen)[name] for name in _FROM_WORDS], decide, learned, **AT_ONCE
        )
        self._method.input(self.fill_for_method, decide, learned, **AT_ONCE)
        suited = gr.on(
            [self.named["model"].input, self.named["critic"].input],
            self.suit,
            [self.named["model"], self.named["critic"], self.named["preset"], self._method],
            [self._method, self.named["prompts"], *learned],
            **AT_ONCE,
        )
        return filled, worded, suited

    def fill_by_preset(self) -> Any:
        """Lets a preset fill in settings; gives what fires when it has."""
        names = [name for name in _FROM_PRESET if name in self.named]

        def values(preset: Any, prompts: Any, method: Any = AdaptConfig.method) -> list[Any]:
            found = preset_values(preset, method, prompts)
            return [found[name] for name in names]

        decide = [self.named["preset"], self.named["prompts"], *([self._method] if self._method else [])]
        return self.named["preset"].input(values, decide, [self.named[name] for name in names], **AT_ONCE)

    def suit(self, name: Any, critics: Any, preset: Any, method: Any) -> list[Any]:
        """What suits the CLIP models in the place of a method with a direction for each picture, and stage 1 likewise.

        Another method stays chosen: it is there to be compared with.
        """
        model = catalog.generators()[known_model(name)]
        try:
            named = critics_asked(critics, model) if critics else None
        except InputError:  # the form says why when it is sent
            return [gr.skip()] * (2 + len(_FROM_WORDS))
        suited = catalog.suited_to(named or model.critic)
        changes = METHODS[choice(method, "Method", METHODS)].per_image
        filled = preset_values(preset, suited["method"] if changes else method, suited["prompts"])
        chosen = suited["method"] if changes else gr.skip()
        return [chosen, suited["prompts"], *(filled[setting] for setting in _FROM_WORDS)]

    def fill_for_method(self, preset: Any, method: Any, prompts: Any) -> list[Any]:
        """Stage 1 as suits the method, where a method has values of its own for these prompts."""
        if not any(prompts in known.defaults for known in METHODS.values()):
            return [gr.skip()] * len(_FROM_WORDS)
        filled = preset_values(preset, method, prompts)
        return [filled[name] for name in _FROM_WORDS]
