"""The Adapt tab: type a domain, watch the generator become it, stop when it is good.

A visitor's request becomes an `AdaptConfig`; its Snapshots become words, pictures and curves. What has been
reached goes to the library, where the other tabs find it.
"""

from __future__ import annotations

import logging
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import gradio as gr

from ipl_core import AdaptConfig, InputError, Snapshot
from ipl_core.clip.ensemble import members
from ipl_core.drawing.sampling import draw
from ipl_core.library import domain_folder, examples
from ipl_core.library import store as library
from ipl_core.methods.config import LAYER_GROUPS, MAX_TEXT, WORD_PROMPTS, preset_settings
from ipl_core.models import catalog
from ipl_core.pictures.media import grid, pairs, save_png, to_uint8
from ipl_core.running.stepping import PREVIEW_SHARE
from ipl_core.storage.values import whole
from ipl_core.storage.words import clean_line, size_words

from . import show
from .access.files import inside
from .base import Ended, Event, Press, Tab
from .forms.controls import Controls
from .forms.fields import LARGE, PRESET_CHOICES, plot
from .forms.suggestions import OPEN_CRITIC, Suggestions, near, open_critic_words
from .forms.wording import WordingFields
from .requests.adapting import critics_asked, make_config, preset_values, wrong_fields
from .requests.library import MAX_STEP
from .requests.models import OWN_CRITIC, can_be_used, find_entry, is_here, known_model, label, open_critics
from .service.jobs import AT_ONCE, LOOK, MODEL_JOB, redraw
from .service.running import Throttle
from .service.service import Service
from .show.record import Record

log = logging.getLogger(__name__)

CHIPS_A_PAGE = 18
FIRST_SEEDS = AdaptConfig.preview_seeds
KEEP_EVERY, MORE_STEPS = 50, 100
LAST = 0  # among steps
_FROM_PRESET = ("mapper_steps", "steps", "lambda_domain", "batch", "learning_rate", "layers")
_FROM_WORDS = tuple(name for name in _FROM_PRESET if name in WORD_PROMPTS)


class AdaptTab(Tab):
    """Components and listeners of the tab.

    entry: state, the folder name of the library entry on the screen, "" if there is none.
    """

    key, title = "adapt", "Adapt"

    def build(self) -> None:
        with gr.Row(equal_height=False):
            with gr.Column(scale=4, min_width=300):
                self._build_request()
            with gr.Column(scale=9, min_width=300):
                self._build_result()
        self._about = gr.HTML()
        self._listen()

    def loads(self, event: Event) -> None:
        """Shows what the model draws, or examples, and how long a run will take."""
        greeted = event(self.greet, None, [self._people, self._about], **LOOK)
        self.forecast_on(greeted.then)

    # --- components ---------------------------------------------------------------------------------------------

    def _build_request(self) -> None:
        models = catalog.generators()
        model = next(iter(models))
        self._target = gr.Textbox(
            label="What should the people become?", placeholder="pencil sketch", max_lines=1, autofocus=True
        )
        self._suggestions = Suggestions()
        prompts = example_prompts(models[model], self._service.device)
        self._chips = gr.Dataset(
            components=[gr.Textbox(render=False)],
            samples=[[words] for words in prompts],
            label="Try one of these",
            layout="gallery",
            samples_per_page=CHIPS_A_PAGE,
            visible=bool(prompts),
            elem_classes="chips",
        )
        self._method = gr.Radio(
            [(words, method) for method, words in show.METHOD_NAMES.items()],
            value=catalog.suited_to(models[model].critic)["method"],
            label="Method",
            info="IPL learns a prompt for each picture; described, the prompt is what CLIP reads off the picture. "
            "Shared prompt learns one for all; NADA’s words are fixed.",
        )
        self._controls = Controls(
            self._service, "", "Adapt", "Adapting …", stopping="Stopping; what has been reached is kept."
        )
        self._time = gr.HTML(elem_classes="time")
        with gr.Accordion("Advanced settings", open=False):
            self._build_settings(models, model)

    def _build_settings(self, models: Mapping[str, catalog.GeneratorEntry], model: str) -> None:
        suited = catalog.suited_to(models[model].critic)
        preset = preset_settings("default", "ipl", suited["prompts"])
        self._source = gr.Textbox(models[model].source, label="Source words", info="What the model draws now.")
        self._avoid = gr.Textbox(
            label="Keep away from", placeholder="cartoon", max_lines=1, info="Words for what it should not become."
        )
        self._preset = gr.Dropdown(
            PRESET_CHOICES,
            value="default",
            label="Preset",
            info="Fills in the settings below, and those that aren’t shown.",
        )
        with gr.Row():
            self._mapper_steps = gr.Number(preset["mapper_steps"], label="Steps of stage 1", min_width=120)
            self._steps = gr.Number(preset["steps"], label="Steps of stage 2", min_width=120)
        with gr.Row():
            self._lambda = gr.Number(preset["lambda_domain"], label="λ (domain loss)", min_width=120)
            self._batch = gr.Number(preset["batch"], label="Pictures a step", min_width=120)
        with gr.Row():
            self._learning_rate = gr.Number(preset["learning_rate"], label="Learning rate", min_width=120)
            self._seed = gr.Number(0, label="Seed", min_width=120)
        self._wording = WordingFields(("IPL’s prompts", "Vocabulary", "Words of your own"), suited["prompts"])
        self._layers = gr.Dropdown(list(LAYER_GROUPS), value=preset["layers"], label="Layers that learn")
        self._watched = gr.Textbox(
            f"0-{FIRST_SEEDS[-1]}", label="People to watch", info="Seeds, such as 0-7 or 3, 14, 15."
        )
        with gr.Row():
            self._keep_every = gr.Number(
                KEEP_EVERY, label="Keep a step every", info="So many; 0: the last.", min_width=120
            )
            self._keep_state = gr.Checkbox(
                False, label="Keep the optimiser", info="To go on exactly later.", min_width=120
            )
        choices = [(label(entry), name) for name, entry in models.items() if can_be_used(entry)]
        self._model = gr.Dropdown(choices, value=model, label="Model", info="Others than the first may be large.")
        self._critic = gr.Dropdown(
            [("The model’s own", OWN_CRITIC), *((label(entry), name) for name, entry in open_critics().items())],
            value=[OWN_CRITIC],
            multiselect=True,
            allow_custom_value=True,
            label="Critics",
            info="CLIP models that compare pictures with words. To weigh one of several, type ViT-B-16@0.5.",
        )

    def _build_result(self) -> None:
        self._controls.build_lines("Name a domain and press Adapt.")
        self._people = gr.HTML()
        self._diversity = gr.HTML()
        with gr.Row(visible=False, elem_classes="earlier") as self._earlier:
            self._step = gr.Radio([], label="Earlier steps", info="The same people on the way.", scale=3, min_width=220)
            self._pick = gr.Button("Keep this step as a model", interactive=False, min_width=150)
        with gr.Row(visible=False) as self._result:
            self._to_sample = gr.Button("Draw more people", variant="primary", min_width=150)
            self._weights = gr.DownloadButton("Download weights", min_width=150)
            self._picture = gr.DownloadButton("Download picture", min_width=150)
        with gr.Row(visible=False, elem_classes="go-on") as self._further:
            self._more = gr.Number(MORE_STEPS, label="More steps", precision=0, min_width=120)
            self._go_on = gr.Button("Go on", min_width=120)
        with gr.Row(visible=False) as self._curves_row:
            self._curves = {
                "prompts": plot("Stage 1: losses by step"),
                "generator": plot("Stage 2: loss by step", colors_in_legend=[]),
                "diversity": plot("Diversity by step of stage 2", colors_in_legend=[], y_lim=[0.0, None]),
            }
        self.entry = gr.State("")
        self._run_shown = gr.State("")  # the entry of the run, also while one of its earlier steps is `entry`

    # --- listeners ----------------------------------------------------------------------------------------------

    def _listen(self) -> None:
        self._fields = {
            "target": self._target,
            "method": self._method,
            "source": self._source,
            "avoid": self._avoid,
            "preset": self._preset,
            "mapper_steps": self._mapper_steps,
            "steps": self._steps,
            "lambda_domain": self._lambda,
            "batch": self._batch,
            "learning_rate": self._learning_rate,
            "seed": self._seed,
            **self._wording.named,
            "layers": self._layers,
            "preview_seeds": self._watched,
            "model": self._model,
            "critic": self._critic,
            "keep_every": self._keep_every,
            "keep_state": self._keep_state,
        }
        fields = list(self._fields.values())
        self._chips.click(lambda sample: sample[0], self._chips, self._target, **AT_ONCE)
        self._listen_for_suggestions(fields)
        decide = [self._preset, self._method, self._wording.prompts]
        filled = self._preset.input(
            lambda *chosen: [preset_values(*chosen)[name] for name in _FROM_PRESET],
            decide,
            [self._fields[name] for name in _FROM_PRESET],
            **AT_ONCE,
        )
        learned = [self._fields[name] for name in _FROM_WORDS]
        worded = self._wording.prompts.input(
            lambda *chosen: [preset_values(*chosen)[name] for name in _FROM_WORDS], decide, learned, **AT_ONCE
        )
        self._method.input(self._fill_for_method, decide, learned, **AT_ONCE)
        suited = gr.on(
            [self._model.input, self._critic.input],
            self._suit,
            [self._model, self._critic, self._preset, self._method],
            [self._method, self._wording.prompts, *learned],
            **AT_ONCE,
        )
        described = self._model.input(
            self._describe, self._model, [self._source, self._people, self._about, self._chips], **LOOK
        )
        result = [
            *(self._people, self._diversity, self._curves_row, *self._curves.values(), self._result, self._weights),
            *(self._picture, self._earlier, self._step, self._pick, self._further, self.entry, self._run_shown),
        ]
        ended = self._controls.listen(
            self._run, fields, result, [self._controls.start.click, self._target.submit], self._check
        )
        gone_on = self._controls.listen(
            self._resume, [self._run_shown, self._more], result, [self._go_on.click, self._more.submit]
        )
        self._page.ended += [Ended(event.then, self.entry) for event in (ended, gone_on)]
        self._page.presses.append(Press(self._to_sample.click, self.entry))
        self._step.input(
            self._look_at_step,
            [self._run_shown, self._step],
            [*self._controls.lines, self._people, self._pick],
            show_progress="hidden",
            api_visibility="private",
            **MODEL_JOB,
        )
        self._pick.click(
            self._pick_step, [self._run_shown, self._step], [*self._controls.lines, self.entry, self._pick], **LOOK
        )
        for event in (self._mapper_steps.input, self._steps.input, self._batch.input, filled.then):
            event(self._say_time, fields, self._time, **AT_ONCE)
        for event in (self._method.input, suited.then, worded.then, described.then, ended.then, gone_on.then):
            self.forecast_on(event)

    def _suit(self, name: Any, critics: Any, preset: Any, method: Any) -> list[Any]:
        """What suits the critics in the place of IPL, whichever of its kinds was chosen, and stage 1 as suits that."""
        model = catalog.generators()[known_model(name)]
        try:
            named = critics_asked(critics, model) if critics else None
        except InputError:  # the form says why when it is sent
            return [gr.skip()] * (2 + len(_FROM_WORDS))
        suited = catalog.suited_to(named or model.critic)
        filled = preset_values(preset, "ipl", suited["prompts"])
        chosen = suited["method"] if method in ("ipl", "described") else gr.skip()
        return [chosen, suited["prompts"], *(filled[setting] for setting in _FROM_WORDS)]

    def _fill_for_method(self, preset: Any, method: Any, prompts: Any) -> list[Any]:
        """Stage 1 as suits the method where prompts of words are chosen, which IPL alone has."""
        if prompts == "vectors":
            return [gr.skip()] * len(_FROM_WORDS)
        return [preset_values(preset, method, prompts)[name] for name in _FROM_WORDS]

    def _listen_for_suggestions(self, fields: list[Any]) -> None:
        offers = self._suggestions
        # Not when the field is left: what came up then would move the button that is about to be pressed.
        for event in (self._controls.start.click, self._target.submit, self._critic.input):
            event(self._suggest, fields, offers.shown, **LOOK)
        offers.chips.click(
            lambda sample: {self._target: sample[0], **offers.hide()},
            offers.chips,
            [self._target, *offers.shown],
            **AT_ONCE,
        )
        chosen = offers.button.click(
            self._use_open_critic, None, [self._critic, *offers.shown, *self._controls.lines], **AT_ONCE
        )
        self.forecast_on(chosen.then)

    def _suggest(self, *values: Any) -> dict[Any, Any]:
        """Offers what is near to a target that isn't known, if there is anything wrong with its words."""
        asked = dict(zip(self._fields, values))
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
        return self._suggestions.offer(found, words if usable else "")

    def _seconds_with_open_critic(self, values: Sequence[Any]) -> float | None:
        """How long the run will take with the critic of any words; None where that can't be known."""
        try:
            config = self._hypothetical(values)
            if self._service.paces.known(config) is None and len(self._service.stops) > 0:
                return None  # beside a run it would measure that, too
            pace = self._service.paces.with_open_critic(config)
        except InputError:
            return None
        return pace.seconds(config) / (1 - PREVIEW_SHARE)

    def _use_open_critic(self) -> dict[Any, Any]:
        entry = catalog.critics()[OPEN_CRITIC]
        how = f" It is fetched first: {size_words(entry.size)}, once." if not catalog.is_here(entry) else ""
        words = f"{entry.title} knows any words. Press Adapt.{how} Licence: {entry.licence}."
        return {
            self._critic: [OPEN_CRITIC],
            **self._suggestions.hide(),
            **self._controls.say(show.note(words), words),
        }

    def forecast_on(self, event: Callable[..., Any]) -> None:
        """Measures, and says how long a run will take, whenever `event` fires."""
        event(self._measure_time, list(self._fields.values()), self._time, **LOOK)

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

    def _check(self, *values: Any) -> list[dict[str, Any]]:
        wrong = wrong_fields(dict(zip(self._fields, values)), self._service.device)
        unseen = [words for name, words in wrong.items() if name not in ("target", "method")]
        if unseen and "target" not in wrong:  # the settings may be folded away
            wrong["target"] = f"Advanced settings: {unseen[0]}"
        return [gr.validate(name not in wrong, wrong.get(name, "")) for name in self._fields]

    # --- time ---------------------------------------------------------------------------------------------------

    def _say_time(self, *values: Any) -> str:
        """How long a run will take, where its pace is known; "" where the settings can't be meant."""
        with suppress(InputError):
            config = self._hypothetical(values)
            pace = self._service.paces.known(config)
            # A run on the screen draws previews, too.
            return show.forecast(pace.seconds(config) / (1 - PREVIEW_SHARE)) if pace else ""
        return ""

    def _measure_time(self, *values: Any) -> str:
        """The same, measured if need be; it takes a moment, so it waits for no run."""
        with suppress(InputError):
            config = self._hypothetical(values)
            busy = len(self._service.stops) > 0  # beside a run it would measure that, too
            if is_here(config) and not (busy and self._service.paces.known(config) is None):
                self._service.paces.measure(config)
                return self._say_time(*values)
        return ""

    def _hypothetical(self, values: Sequence[Any]) -> AdaptConfig:
        """What is asked for, with words that any critic knows: they don't change the time."""
        asked = dict(zip(self._fields, values))
        model = catalog.generators()[known_model(asked["model"])]
        prompts = example_prompts(model, self._service.device)
        return make_config(
            {**asked, "target": (prompts or ["drawing"])[0], "source": model.source, "avoid": "", "keep_every": 0},
            self._service.device,
        )

    # --- running ------------------------------------------------------------------------------------------------

    def _run(self, stop: threading.Event, *values: Any) -> Iterator[dict[Any, Any]]:
        config = make_config(dict(zip(self._fields, values)), self._service.device)
        yield from self._controls.fetched(config, stop)
        if stop.is_set():
            words = "Stopped; what was fetched is kept"
            yield self._controls.say(show.ended(words, "", 0.0), words)
            return
        kept = library.find(config)
        if kept:
            yield from self._show_kept(kept)
        else:
            words = f"Adapting {config.source} to {config.target} by {show.method_name(config)}."
            yield from self._show_job(config, words, self._service.run(config, stop))

    def _resume(self, stop: threading.Event, name: str, more: Any) -> Iterator[dict[Any, Any]]:
        entry = find_entry(name)
        config, start = library.continuation(entry, more)
        words = f"Going on from step {start.step} to {config.steps}."
        yield from self._show_job(config, words, self._service.run(config, stop, entry, start), entry)

    def _show_job(
        self,
        config: AdaptConfig,
        words: str,
        updates: Iterator[Snapshot | library.Entry],
        goes_on: library.Entry | None = None,
    ) -> Iterator[dict[Any, Any]]:
        yield self._controls.say(show.note("Loading the models …"), words)
        record = Record(config)
        if goes_on is not None:
            record.recall(goes_on)
        throttle = Throttle()
        with closing(updates):
            for update in updates:
                if isinstance(update, library.Entry):
                    self._service.paces.forget()
                    yield from self._show_result(update, record)
                    return
                record.add(update)
                first = throttle.unused
                if throttle.passes(update.after is not None):
                    yield self._show_step(update, record, first)
        why = "the numbers grew out of bounds" if record.stopped == "not finite" else "stopped"
        words = f"Nothing to keep: {why} before the generator had changed"
        yield self._controls.say(show.ended(words, "", record.share), words)

    # --- from snapshots to the screen ---------------------------------------------------------------------------

    def _show_step(self, snapshot: Snapshot, record: Record, first: bool) -> dict[Any, Any]:
        changes: dict[Any, Any] = {}
        if first:  # what was on the screen stays until there is something to take its place
            hidden = {row: gr.Row(visible=False) for row in (self._result, self._earlier, self._further)}
            changes.update({**hidden, self.entry: "", self._run_shown: ""})
        if snapshot.phase != "done":
            changes[self._controls.status] = show.progress(snapshot, record.stages, record.share)
        if snapshot.after is not None:  # always so on the first one
            changes[self._people] = record.people()
            changes[self._diversity] = show.diversity(snapshot.diversity)
            changes.update(self._show_curves(record, afresh=first))
        return changes

    def _show_curves(self, record: Record, afresh: bool) -> dict[Any, Any]:
        tables = {name: curve.table() for name, curve in record.curves.items()}
        if not afresh:
            return {self._curves[name]: table for name, table in tables.items()}
        plots = {
            self._curves[name]: gr.LinePlot(
                table, x_lim=[0, record.curves[name].total], visible=name != "prompts" or record.stages == 2
            )
            for name, table in tables.items()
        }
        return {self._curves_row: gr.Row(visible=True), **plots}

    def _show_kept(self, entry: library.Entry) -> Iterator[dict[Any, Any]]:
        record = drawn(self._service, entry)
        record.recall(entry)
        yield {
            self._people: record.people(),
            self._diversity: show.diversity(entry.settings["diversity"]),
            **self._show_curves(record, afresh=True),
        }
        yield from self._show_result(entry, record, "made before with the same settings, and kept")

    def _show_result(self, entry: library.Entry, record: Record, how: str = "kept") -> Iterator[dict[Any, Any]]:
        config, steps = entry.config, entry.settings["steps"]["generator"]
        words = f"Done: {config.target} by {show.method_name(config)}"
        if entry.settings["stopped"] == "asked":
            words = f"Stopped at step {steps} of {config.steps}"
        elif entry.settings["stopped"]:
            words = f"Ended at step {steps} of {config.steps}: the numbers grew out of bounds"
            how = "kept as it was before that; try a lower learning rate"
        origin = entry.settings.get("resumed")
        if origin is not None:
            with_what = "the state of its training" if origin["exactly"] else "a fresh optimiser"
            how = f"went on from step {origin['step']} with {with_what}, {how}"
        details = f"{how} in the library; it took {show.duration(entry.settings['seconds'])}"
        details += f". {entry.left_out}" if entry.left_out else ""
        choices = [(str(step), step) for step in entry.steps()]
        with tempfile.TemporaryDirectory() as folder:  # Gradio has copied the files when the yield returns
            name = entry.name
            weights = shutil.copy(entry.path / domain_folder.ADAPTED, inside(Path(folder), f"{name}.safetensors"))
            sheet = pairs(record.before, record.after)
            picture = save_png(grid(sheet, columns=8), inside(Path(folder), f"{name}.png"), entry.settings["config"])
            yield {
                **self._controls.say(
                    show.ended(words, details, 1.0 if entry.finished else record.share),
                    f"{words}; {how} in the library.",
                ),
                self._result: gr.Row(visible=True),
                self._weights: gr.DownloadButton(value=str(weights)),
                self._picture: gr.DownloadButton(value=str(picture)),
                self._earlier: gr.Row(visible=bool(choices)),
                self._step: gr.Radio([*choices, (f"{steps}, the last", LAST)], value=LAST),
                self._pick: gr.Button(interactive=False),
                self._further: gr.Row(visible=True),
                self.entry: entry.name,
                self._run_shown: entry.name,
            }

    # --- earlier steps ------------------------------------------------------------------------------------------

    @redraw
    def _look_at_step(self, name: str, step: Any) -> dict[Any, Any]:
        try:
            entry = find_entry(name)
            step = whole(step, "The step", 0, MAX_STEP)
            record = drawn(self._service, entry, step)
        except InputError as error:
            return self._controls.say(show.trouble(error), error)
        mine = self._service.roles.may_change(entry)
        words = "The people at the last step." if step == LAST else f"The people at step {step}."
        words += "" if mine else " The run was made in another browser, so only who made it can keep a step as a model."
        lines = self._controls.say(show.note(words), words)
        return {**lines, self._people: record.people(), self._pick: gr.Button(interactive=step != LAST and mine)}

    def _pick_step(self, name: str, step: Any) -> dict[Any, Any]:
        try:
            picked = self._service.roles.pick(find_entry(name), whole(step, "The step", 0, MAX_STEP))
        except InputError as error:
            return self._controls.say(show.trouble(error), error)
        words = f"Kept in the library: {show.entry_name(picked)}"
        lines = self._controls.say(show.note(words), words)
        return {**lines, self.entry: picked.name, self._pick: gr.Button(interactive=False)}


# --- what the page says by itself -------------------------------------------------------------------------------


def example_prompts(model: catalog.GeneratorEntry, device: str) -> list[str]:
    """Domains that the model's critic was taught, as a visitor may type them; none if its weights are missing.

    Where a judge knows in which domains the model's subject can be portrayed, these only: no dog is an elf.
    """
    try:
        taught = [words for words in catalog.load_critic(model.critic, device).domains if words != model.source]
    except InputError as error:
        log.warning("No example prompts: %s", error)
        return []
    try:
        portrayed = {domain.name for domain in catalog.load_judge(catalog.judge_of(model.name)).subject.domains}
    except InputError:  # nothing is known of what the model draws
        return taught
    return [words for words in taught if words in portrayed]


def source_people(service: Service, model: catalog.GeneratorEntry) -> str:
    """People of the model as it is. Raises InputError if its weights can't be had."""
    generator = service.generators.get(model.name)
    seeds = FIRST_SEEDS if generator.config.resolution <= LARGE or service.device != "cpu" else FIRST_SEEDS[:2]
    pictures = to_uint8(draw(generator, seeds))
    heading = show.heading("What this model draws", f"before anything is changed: {model.source}")
    return heading + show.people(seeds, pictures, model.source)


def examples_row(model: str) -> str:
    """Its people in the domains of the examples; "" where there are none of this model's weights, which is logged."""
    try:
        row = examples.read(model)
    except InputError as error:
        log.warning("No examples on the start screen: %s", error)
        return ""
    return show.examples(row.domains, row.people, row.seeds)


def drawn(service: Service, entry: library.Entry, step: int = LAST) -> Record:
    """The watched people of a run at one of its steps. Raises InputError if that can't be drawn."""
    config, record = entry.config, Record(entry.config)
    path = entry.path if step == LAST else entry.path / domain_folder.step_file(step)
    seeds, psi = config.preview_seeds, config.preview_psi
    record.before = to_uint8(draw(service.generators.get(config.model), seeds, psi))
    record.after = to_uint8(draw(service.generators.get(str(path)), seeds, psi))
    record.readings = entry.readings
    return record


def about(service: Service, model: catalog.GeneratorEntry) -> str:
    """The line that says what is in use, and why. Raises InputError if the model's weights can't be had."""
    edge = service.generators.get(model.name).config.resolution
    facts = {
        "Model": f"{model.name}, {edge} × {edge}",
        "Critic": model.critic,
        "Device": f"{service.device}, float32 ({service.why})",
        "Licence": model.licence,
    }
    return show.facts(facts)
