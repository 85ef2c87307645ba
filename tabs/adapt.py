"""The Adapt tab: type a domain, watch the generator become it, stop when it is good.

A visitor's request becomes an `AdaptConfig`; what it yields becomes words, pictures and curves. What has been
reached goes to the library, where the other tabs find it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from typing import Any

import gradio as gr

from ipl_core import AdaptConfig, AdaptResult, InputError, Step
from ipl_core.clip.ensemble import members
from ipl_core.fields import settings
from ipl_core.library import store
from ipl_core.methods.config import MAX_TEXT
from ipl_core.models import catalog
from ipl_core.running.wrappers import PREVIEW_SHARE
from ipl_core.storage.words import clean_line, size_words

from . import show
from .base import Ended, Event, Press, Tab
from .forms.controls import Controls
from .forms.fields import complaints
from .forms.run_result import RunResult
from .forms.run_settings import RunSettings
from .forms.settings import setting_field
from .forms.suggestions import OPEN_CRITIC, Suggestions, near, open_critic_words
from .requests.adapting import critics_asked, find_or_run, go_on, make_config, wrong_fields
from .requests.models import is_here, known_model, open_critics
from .requests.watching import about, example_prompts, examples_row, source_people
from .service.jobs import AT_ONCE, LOOK
from .service.running import Throttle
from .show.record import Record

CHIPS_A_PAGE = 18


class AdaptTab(Tab):
    """Components and listeners of the tab. fields: of the form, by setting. result: what a run shows."""

    key, title = "adapt", "Adapt"

    def build(self) -> None:
        with gr.Row(equal_height=False):
            with gr.Column(scale=4, min_width=300):
                self._build_request()
            with gr.Column(scale=9, min_width=300):
                self.controls.build_lines("Name a domain and press Adapt.")
                self.result = RunResult(self._service, self.controls)
        self._about = gr.HTML()
        self._listen()

    def loads(self, event: Event) -> None:
        """Shows what the model draws, or examples, and how long a run will take."""
        greeted = event(self.greet, None, [self.result.people, self._about], **LOOK)
        self._forecast_on(greeted.then)

    def _build_request(self) -> None:
        model = next(iter(catalog.generators().values()))
        declared = settings(AdaptConfig)
        self._target = setting_field(
            declared["target"],
            label="What should the people become?",
            info=None,
            value="",
            placeholder="pencil sketch",
            autofocus=True,
        )
        self.suggestions = Suggestions()
        prompts = example_prompts(model, self._service.device)
        self._chips = gr.Dataset(
            components=[gr.Textbox(render=False)],
            samples=[[words] for words in prompts],
            label="Try one of these",
            layout="gallery",
            samples_per_page=CHIPS_A_PAGE,
            visible=bool(prompts),
            elem_classes="chips",
        )
        self._method = setting_field(
            declared["method"],
            gr.Radio,
            choices=show.method_choices(),
            value=catalog.suited_to(model.critic)["method"],
            info=show.method_ideas(),
        )
        self.controls = Controls(
            self._service, "", "Adapt", "Adapting …", stopping="Stopping; what has been reached is kept."
        )
        self._time = gr.HTML(elem_classes="time")
        with gr.Accordion("Advanced settings", open=False):
            self.settings = RunSettings(self._method)
        self.fields = {"target": self._target, "method": self._method, **self.settings.named}

    # --- listeners ----------------------------------------------------------------------------------------------

    def _listen(self) -> None:
        named, result, values = self.settings.named, self.result, list(self.fields.values())
        self._chips.click(lambda sample: sample[0], self._chips, self._target, **AT_ONCE)
        self._listen_for_suggestions()
        filled, worded, suited = self.settings.listen()
        described = named["model"].input(
            self._describe, named["model"], [named["source"], result.people, self._about, self._chips], **LOOK
        )
        ended = self.controls.listen(
            self.run, values, result.outputs, [self.controls.start.click, self._target.submit], self._check
        )
        more, go_on_button = result.further
        gone_on = self.controls.listen(
            self.resume, [result.run, more], result.outputs, [go_on_button.click, more.submit]
        )
        self._page.ended += [Ended(event.then, result.entry) for event in (ended, gone_on)]
        self._page.presses.append(Press(result.to_sample.click, result.entry))
        for name in ("mapper_steps", "steps", "batch"):
            named[name].input(self.say_time, values, self._time, **AT_ONCE)
        filled.then(self.say_time, values, self._time, **AT_ONCE)
        self._method.input(self.measure_time, values, self._time, **LOOK)
        for event in (suited, worded, described, ended, gone_on):
            self._forecast_on(event.then)

    def _listen_for_suggestions(self) -> None:
        offers, critic = self.suggestions, self.settings.named["critic"]
        # Not when the field is left: what came up then would move the button that is about to be pressed.
        for event in (self.controls.start.click, self._target.submit, critic.input):
            event(self.suggest, list(self.fields.values()), offers.shown, **LOOK)
        offers.chips.click(
            lambda sample: {self._target: sample[0], **offers.hide()},
            offers.chips,
            [self._target, *offers.shown],
            **AT_ONCE,
        )
        chosen = offers.button.click(
            self.use_open_critic, None, [critic, *offers.shown, *self.controls.lines], **AT_ONCE
        )
        self._forecast_on(chosen.then)

    def _asked(self, values: Sequence[Any]) -> dict[str, Any]:
        return dict(zip(self.fields, values))

    def _check(self, *values: Any) -> list[dict[str, Any]]:
        wrong = wrong_fields(self._asked(values), self._service.device)
        return complaints(self.fields, wrong, "target", ("method",), "Advanced settings")

    # --- what the page says by itself ---------------------------------------------------------------------------

    def greet(self) -> tuple[str, str]:
        """What a page shows when it loads: examples, or the people of the first model, and what is in use."""
        name = next(iter(catalog.generators()))
        _, people, words, _ = self._describe(name)
        return examples_row(name) or people, words

    def _describe(self, name: str) -> tuple[str, str, str, Any]:
        model = catalog.generators()[known_model(name)]
        if model.offer is not None and not catalog.is_here(model):
            words = f"{model.title}: {catalog.where(model)}, once, when you press Adapt. Licence: {model.licence}."
            return model.source, show.note(words), "", gr.Dataset(visible=False)
        prompts = example_prompts(model, self._service.device)
        chips = gr.Dataset(samples=[[words] for words in prompts], visible=bool(prompts))
        try:
            return model.source, source_people(self._service, model), about(self._service, model), chips
        except InputError as error:
            return model.source, show.trouble(error), "", chips

    def suggest(self, *values: Any) -> dict[Any, Any]:
        """Offers what is near to a target that isn't known, if there is anything wrong with its words."""
        asked = self._asked(values)
        try:
            model = catalog.generators()[known_model(asked["model"])]
            target = clean_line(asked["target"] or "", "The target", MAX_TEXT)
            named = critics_asked(asked["critic"], model) if asked["critic"] else None
            critics = [name for name, _ in members(named or model.critic)]
            domains = example_prompts(model, self._service.device)
            found = near(target, critics, domains, self._service.device)
        except InputError:  # of a field beside the target, which says so itself
            found = []
        words = open_critic_words(self._seconds_with_open_critic(values)) if found else ""
        usable = OPEN_CRITIC in open_critics()
        return self.suggestions.offer(found, words if usable else "")

    def use_open_critic(self) -> dict[Any, Any]:
        """Chooses the CLIP model that knows any words."""
        entry = catalog.critics()[OPEN_CRITIC]
        how = f" It is fetched first: {size_words(entry.size)}, once." if not catalog.is_here(entry) else ""
        words = f"{entry.title} knows any words. Press Adapt.{how} Licence: {entry.licence}."
        return {
            self.settings.named["critic"]: [OPEN_CRITIC],
            **self.suggestions.hide(),
            **self.controls.say(show.note(words), words),
        }

    # --- time ---------------------------------------------------------------------------------------------------

    def _forecast_on(self, event: Callable[..., Any]) -> None:
        """Measures, and says how long a run will take, whenever `event` fires."""
        event(self.measure_time, list(self.fields.values()), self._time, **LOOK)

    def say_time(self, *values: Any) -> str:
        """How long a run will take, where its speed is known; "" where the settings can't be meant."""
        with suppress(InputError):
            config = self._hypothetical(values)
            speed = self._service.speeds.known(config)
            # A run on the screen draws previews, too.
            return show.forecast(speed.seconds(config) / (1 - PREVIEW_SHARE)) if speed else ""
        return ""

    def measure_time(self, *values: Any) -> str:
        """The same, measured if need be; it takes a moment, so it waits for no run."""
        with suppress(InputError):
            config = self._hypothetical(values)
            if is_here(config) and self._may_measure(config):
                self._service.speeds.measure(config)
                return self.say_time(*values)
        return ""

    def _seconds_with_open_critic(self, values: Sequence[Any]) -> float | None:
        """How long the run will take with the CLIP model of any words; None where that can't be known."""
        with suppress(InputError):
            config = self._hypothetical(values)
            if self._may_measure(config):
                return self._service.speeds.with_open_critic(config).seconds(config) / (1 - PREVIEW_SHARE)
        return None

    def _may_measure(self, config: AdaptConfig) -> bool:
        """Beside a run it would measure that, too."""
        return self._service.speeds.known(config) is not None or len(self._service.stops) == 0

    def _hypothetical(self, values: Sequence[Any]) -> AdaptConfig:
        """What is asked for, with words that any CLIP model knows: they don't change the time."""
        asked = self._asked(values)
        model = catalog.generators()[known_model(asked["model"])]
        prompts = example_prompts(model, self._service.device)
        words = {"target": (prompts or ["drawing"])[0], "source": model.source, "avoid": "", "keep_every": 0}
        return make_config({**asked, **words}, self._service.device)

    # --- running ------------------------------------------------------------------------------------------------

    def run(self, stop: threading.Event, *values: Any) -> Iterator[dict[Any, Any]]:
        """The job of Adapt."""
        config = make_config(self._asked(values), self._service.device)
        yield from self.controls.fetched(config, stop)
        if stop.is_set():
            words = "Stopped; what was fetched is kept"
            yield self.controls.say(show.ended(words, "", 0.0), words)
            return
        words = f"Adapting {config.source} to {config.target} by {show.method_name(config)}."
        yield from self._show_job(Record(config), words, find_or_run(self._service, config, stop))

    def resume(self, stop: threading.Event, name: str, more: Any) -> Iterator[dict[Any, Any]]:
        """The job of Go on."""
        entry, config, updates = go_on(self._service, name, more, stop)
        record = Record(config)
        record.recall(entry)
        words = f"Going on from step {entry.run.generator_steps} to {config.steps}."
        yield from self._show_job(record, words, updates)

    def _show_job(
        self, record: Record, words: str, updates: Iterator[Step | AdaptResult | store.Entry]
    ) -> Iterator[dict[Any, Any]]:
        yield self.controls.say(show.note("Loading the models …"), words)
        throttle = Throttle()
        with closing(updates):
            for update in updates:
                first = throttle.unused
                if isinstance(update, store.Entry):
                    if first:  # it had been made before
                        yield from self.result.show_kept(update)
                    else:
                        self._service.speeds.forget()
                        yield from self.result.show_end(update, record)
                    return
                record.add(update)
                if throttle.passes(update.pictures is not None):
                    yield self.result.show_step(update, record, first)
        why = "the numbers grew out of bounds" if record.stopped == "not finite" else "stopped"
        words = f"Nothing to keep: {why} before the generator had changed"
        yield self.controls.say(show.ended(words, "", record.share), words)
