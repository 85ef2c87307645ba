"""The settings of a run: what a preset fills in, how prompts are made, which model learns, which CLIP models compare.

A tab puts them where there is room. This module starts no run.
"""

from __future__ import annotations

from typing import Any

import gradio as gr

from ipl_core import AdaptConfig, InputError
from ipl_core.methods.config import LAYER_GROUPS, preset_settings
from ipl_core.methods.registry import WORD_PROMPTS
from ipl_core.models import catalog

from ..requests.adapting import critics_asked, preset_values
from ..requests.models import OWN_CRITIC, known_model, open_critic_choices, source_choices
from ..service.jobs import AT_ONCE
from .fields import PRESET_CHOICES
from .wording import WordingFields

KEEP_EVERY = 50
_FROM_PRESET = ("mapper_steps", "steps", "lambda_domain", "batch", "learning_rate", "layers")
_FROM_WORDS = tuple(name for name in _FROM_PRESET if name in WORD_PROMPTS)
#: Numbers that stand two in a row, by setting.
_NUMBERS = (
    {"mapper_steps": "Steps of stage 1", "steps": "Steps of stage 2"},
    {"lambda_domain": "λ (domain loss)", "batch": "Pictures a step"},
    {"learning_rate": "Learning rate", "seed": "Seed"},
)


class RunSettings:
    """The fields of all settings but target and method; build it inside `gr.Blocks`.

    method: the field of the method, which some settings follow. named: the fields by the setting that each stands for.
    """

    def __init__(self, method: gr.Radio) -> None:
        self._method = method
        self.named: dict[str, Any] = {}
        first = next(iter(catalog.generators().values()))
        prompts = catalog.suited_to(first.critic)["prompts"]
        preset = preset_settings("default", "ipl", prompts)
        self._build_words(first.source)
        for names in _NUMBERS:
            with gr.Row():
                for name, label in names.items():
                    self.named[name] = gr.Number(preset.get(name, 0), label=label, min_width=120)
        wording = WordingFields(("IPL’s prompts", "Vocabulary", "Words of your own"), prompts)
        self.named.update(wording.named)
        self.named["layers"] = gr.Dropdown(list(LAYER_GROUPS), value=preset["layers"], label="Layers that learn")
        self._build_watching()
        self._build_models(first.name)

    def _build_words(self, source: str) -> None:
        self.named["source"] = gr.Textbox(source, label="Source words", info="What the model draws now.")
        self.named["avoid"] = gr.Textbox(
            label="Keep away from", placeholder="cartoon", max_lines=1, info="Words for what it should not become."
        )
        self.named["preset"] = gr.Dropdown(
            PRESET_CHOICES,
            value="default",
            label="Preset",
            info="Fills in the settings below, and those that aren’t shown.",
        )

    def _build_watching(self) -> None:
        self.named["preview_seeds"] = gr.Textbox(
            f"0-{AdaptConfig.preview_seeds[-1]}", label="People to watch", info="Seeds, such as 0-7 or 3, 14, 15."
        )
        with gr.Row():
            self.named["keep_every"] = gr.Number(
                KEEP_EVERY, label="Keep a step every", info="So many; 0: the last.", min_width=120
            )
            self.named["keep_state"] = gr.Checkbox(
                False, label="Keep the optimiser", info="To go on exactly later.", min_width=120
            )

    def _build_models(self, first: str) -> None:
        self.named["model"] = gr.Dropdown(
            source_choices(), value=first, label="Model", info="Others than the first may be large."
        )
        self.named["critic"] = gr.Dropdown(
            [("The model’s own", OWN_CRITIC), *open_critic_choices()],
            value=[OWN_CRITIC],
            multiselect=True,
            allow_custom_value=True,
            label="CLIP models",
            info="They compare pictures with words. To weigh one of several, type ViT-B-16@0.5.",
        )

    def listen(self) -> tuple[Any, Any, Any]:
        """Lets settings follow each other. Gives what fires when a preset has filled them in, when other prompts have,
        and when another model or CLIP model has."""
        decide = [self.named["preset"], self._method, self.named["prompts"]]
        learned = [self.named[name] for name in _FROM_WORDS]
        filled = self.named["preset"].input(
            lambda *chosen: [preset_values(*chosen)[name] for name in _FROM_PRESET],
            decide,
            [self.named[name] for name in _FROM_PRESET],
            **AT_ONCE,
        )
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

    def suit(self, name: Any, critics: Any, preset: Any, method: Any) -> list[Any]:
        """What suits the CLIP models in the place of IPL, whichever of its kinds was chosen, and stage 1 likewise."""
        model = catalog.generators()[known_model(name)]
        try:
            named = critics_asked(critics, model) if critics else None
        except InputError:  # the form says why when it is sent
            return [gr.skip()] * (2 + len(_FROM_WORDS))
        suited = catalog.suited_to(named or model.critic)
        filled = preset_values(preset, "ipl", suited["prompts"])
        chosen = suited["method"] if method in ("ipl", "described") else gr.skip()
        return [chosen, suited["prompts"], *(filled[setting] for setting in _FROM_WORDS)]

    def fill_for_method(self, preset: Any, method: Any, prompts: Any) -> list[Any]:
        """Stage 1 as suits the method where prompts of words are chosen, which IPL alone has."""
        if prompts == "vectors":
            return [gr.skip()] * len(_FROM_WORDS)
        return [preset_values(preset, method, prompts)[name] for name in _FROM_WORDS]
