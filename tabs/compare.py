"""The Compare tab: the same people by several methods with the same settings, run one after the other, and measured.

Each run is an ordinary one: it is kept in the library, and one that is there already is not made again.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import gradio as gr
from torch import Tensor

from ipl_core import AdaptConfig, InputError, Result
from ipl_core.drawing.sampling import draw
from ipl_core.latents import MAX_SEED, parse_seeds
from ipl_core.library import store
from ipl_core.library.records import FIGURES
from ipl_core.methods.config import MAX_PREVIEWS
from ipl_core.methods.registry import METHODS
from ipl_core.metrics.registry import Measured
from ipl_core.metrics.side_by_side import FIRST, METRIC_OF, OFFERED, SideBySide, allowed
from ipl_core.models import catalog
from ipl_core.pictures.media import enlarged, enlargement, grid, save_png, to_pictures, to_uint8
from ipl_core.storage.values import choice, whole
from ipl_core.storage.words import json_text

from . import show
from .access.files import handed_out, inside
from .base import Event, Press, Tab
from .forms.controls import Controls
from .forms.fields import complaints
from .forms.run_settings import RunSettings
from .requests.adapting import find_or_run, make_config, wrong_fields
from .requests.drawing import known
from .requests.library import finished_models, said
from .requests.models import find_entry, is_slow, known_model
from .service.jobs import AT_ONCE, LOOK, PAGE_JOB, redraw
from .service.running import Throttle
from .show.comparison import SOURCE, Comparison, Row, row_name, run_words
from .show.record import Record

SAMPLES, SAMPLES_OF_LARGE = 64, 8  # measured of each generator; a large one takes a CPU seconds a picture
_PEOPLE = "0-5"
#: Settings that each method takes from its preset, or that only a run by itself has.
_NOT_OF_ALL = ("avoid", "lambda_domain", "batch", "layers", "preview_seeds", "keep_every", "keep_state")
#: The methods that are ticked when the page loads.
_FIRST_COMPARED = ("nada", "shared", "ipl")


class CompareTab(Tab):
    """Components and listeners of the tab. entries: for each method a state with the name of its library entry."""

    key, title = "compare", "Compare"

    def build(self) -> None:
        with gr.Row(equal_height=False):
            with gr.Column(scale=4, min_width=300):
                self._build_request()
            with gr.Column(scale=9, min_width=300):
                self._build_result()
        self._listen()

    def opens(self, event: Event) -> None:
        """Shows something in the place of the pictures, until there are some."""
        event(self.open, self.outlined, self.opening, **LOOK)

    def _build_request(self) -> None:
        fields: dict[str, Any] = {}
        fields["target"] = gr.Textbox(label="Compare methods on", placeholder="pencil sketch", max_lines=1)
        fields["methods"] = gr.CheckboxGroup(
            [(row_name(method), method) for method in METHODS], value=list(_FIRST_COMPARED), label="Methods"
        )
        fields["preview_seeds"] = gr.Textbox(_PEOPLE, label="The same people", info="Seeds, such as 0-5 or 3, 14, 15.")
        self._take = gr.Button("Take my favourites of Sample", size="sm")
        self._controls = Controls(self._service, "comparison", "Compare", "Comparing …")
        with gr.Accordion("Settings of all runs", open=False):
            self._settings = RunSettings(None, _NOT_OF_ALL, several=False)
            fields.update(self._settings.named)
        with gr.Accordion("Metrics", open=False):
            fields["metrics"] = gr.Dropdown(
                **_metric_choices(next(iter(catalog.generators()))),
                multiselect=True,
                label="Measured by",
                info="Those that the source model and the files here allow; the more, the longer it takes.",
            )
        self._fields = fields

    def _build_result(self) -> None:
        self._controls.build_lines("Name a domain and press Compare; the methods run one after the other.")
        self.outlined = gr.State(False)  # whether there is something in the place of the pictures
        self.pictures = gr.HTML()
        self._table = gr.HTML()
        self._csv = gr.DownloadButton("Download the figures as CSV", size="sm", visible=False)
        self.entries: dict[str, gr.State] = {}
        self._kept: dict[str, tuple[gr.Row, gr.DownloadButton]] = {}
        for method in METHODS:
            self.entries[method] = gr.State("")
            with gr.Row(visible=False) as row:
                to_sample = gr.Button(f"Draw more by {row_name(method)}", size="sm", min_width=130)
                settings = gr.DownloadButton(f"Settings of {row_name(method)}", size="sm", min_width=130)
            self._kept[method] = (row, settings)
            self._page.presses.append(Press(to_sample.click, self.entries[method]))
        with gr.Column(visible=False) as self._pair:
            with gr.Row():
                self._left = gr.Dropdown([], label="On the left", min_width=120)
                self._right = gr.Dropdown([], label="On the right", min_width=120)
                self._who = gr.Dropdown([], label="Person", min_width=120)
            self._slider = gr.ImageSlider(
                show_label=False, interactive=False, buttons=["fullscreen"], elem_classes="slider", format="png"
            )
            self._slider_words = gr.HTML()
            self._sheet = gr.DownloadButton("Download all as one picture")

    # --- listeners ----------------------------------------------------------------------------------------------

    def _listen(self) -> None:
        kept = [component for method in METHODS for component in (*self._kept[method], self.entries[method])]
        pair = [self._pair, self._left, self._right, self._who, self._slider, self._slider_words, self._sheet]
        self._result = [self.pictures, self._table, self._csv, *kept, *pair]
        self._controls.listen(
            self._run,
            list(self._fields.values()),
            self._result,
            [self._controls.start.click, self._fields["target"].submit],
            check=self._check,
        )
        self._take.click(
            self._take_favourites,
            self._favourites.remembered,
            [self._fields["preview_seeds"], *self._controls.lines],
            **AT_ONCE,
        )
        self._settings.fill_by_preset()
        self._fields["model"].input(
            lambda model: (catalog.generators()[known_model(model)].source, gr.Dropdown(**_metric_choices(model))),
            self._fields["model"],
            [self._fields["source"], self._fields["metrics"]],
            **AT_ONCE,
        )
        gr.on(
            [self._left.input, self._right.input, self._who.input],
            self._slide,
            [self._left, self._right, self._who, *self.entries.values()],
            [self._slider, self._slider_words],
            show_progress_on=self._slider,
            **PAGE_JOB,
        )

    @property
    def opening(self) -> list[Any]:
        """The components that `open` updates."""
        return [self.outlined, *self._result]

    def open(self, outlined: bool) -> Iterator[dict[Any, Any]]:
        """What stands there when the tab is first opened: finished models side by side, or else the outline."""
        finished = {} if outlined else finished_models()
        if not finished:
            html, outlined = self.outline(outlined)
            yield {self.pictures: html, self.outlined: outlined}
            return
        scene = self._finished_scene(finished)
        (samples,) = {entry.measured.samples for entry in finished.values()}
        kept = {method: entry.measured.figures["diversity"] for method, entry in finished.items()}
        scene.remark = show.kept_diversity({row_name(method): share for method, share in kept.items()}, samples)
        by_diversity = sorted(kept, key=kept.__getitem__)
        with handed_out() as folder:
            changes: dict[Any, Any] = {self.outlined: True, self.pictures: scene.pictures()}
            changes[self._table] = scene.table(show.figures_remark(samples, "", {}))
            for method, entry in finished.items():
                changes.update(self._kept_changes(method, entry, folder))
            yield changes | self._pair_changes(scene, finished, (by_diversity[0], by_diversity[-1]), folder)

    def _finished_scene(self, finished: Mapping[str, store.Entry]) -> Comparison:
        """Finished models of one domain, drawn here, with what was measured when they were made."""
        first = next(iter(finished.values()))
        scene = Comparison(first.target, first.source, parse_seeds(_PEOPLE, MAX_PREVIEWS))

        def row(words: str, model: str, figures: Mapping[str, Any]) -> Row:
            pictures = draw(self._service.generators.get(model), scene.seeds, AdaptConfig.preview_psi)
            return Row(words, to_uint8(pictures), scores={METRIC_OF[name]: figures[name] for name in FIGURES})

        scene.rows[SOURCE] = row("", first.model, first.measured.source)
        for method, entry in finished.items():
            scene.rows[method] = row(run_words(entry), str(entry.path), entry.measured.figures)
            scene.rows[method].readings = entry.readings
        return scene

    def outline(self, outlined: bool) -> tuple[Any, bool]:
        """Values for `pictures` and `outlined`: what a comparison will look like, unless there is something already."""
        model = next(iter(catalog.generators().values()))
        if outlined or not catalog.is_here(model):
            return gr.skip(), outlined
        source = self._service.generators.get(model.name)
        if is_slow(source, self._service.device):
            return gr.skip(), outlined
        scene = Comparison("", model.source, parse_seeds(_PEOPLE, MAX_PREVIEWS))
        scene.rows[SOURCE] = Row("", to_uint8(draw(source, scene.seeds, AdaptConfig.preview_psi)))
        scene.rows.update({method: Row(METHODS[method].idea) for method in _FIRST_COMPARED})
        return scene.pictures(), True

    def _take_favourites(self, remembered: Any) -> dict[Any, Any]:
        """The seeds among the favourites; mixed people have no seed of their own, and methods are compared on seeds."""
        seeds = list(dict.fromkeys(sitter.seed for sitter in known(remembered) if sitter.fine is None))[:MAX_PREVIEWS]
        if not seeds:
            words = "No seed is among your favourites yet: press a star in the tab Sample."
            return self._controls.say(show.note(words), words)
        words = f"Took {len(seeds)} of your favourites."
        return {
            self._fields["preview_seeds"]: ", ".join(map(str, seeds)),
            **self._controls.say(show.note(words), words),
        }

    def _check(self, *values: Any) -> list[dict[str, Any]]:
        asked = dict(zip(self._fields, values))
        methods, metrics = asked.pop("methods"), asked.pop("metrics")
        wrong = wrong_fields(asked, self._service.device)
        if not methods:
            wrong["methods"] = "Choose at least one method."
        if not metrics:
            wrong["metrics"] = "Choose at least one metric."
        seen = ("target", "methods", "preview_seeds")
        folded = "Metrics" if wrong.keys() - seen == {"metrics"} else "Settings of all runs"
        return complaints(self._fields, wrong, "target", seen, folded)

    def _run(self, stop: threading.Event, *values: Any) -> Iterator[dict[Any, Any]]:
        asked = dict(zip(self._fields, values))
        chosen, metrics = asked.pop("methods"), _known_metrics(asked.pop("metrics"))
        methods = [method for method in METHODS if method in (chosen or ())]
        if not methods:
            raise InputError("Choose at least one method.")
        configs = {method: make_config({**asked, "method": method}, self._service.device) for method in methods}
        first = next(iter(configs.values()))
        yield from self._controls.fetched(first, stop)
        if stop.is_set():
            yield self._controls.say(show.ended("Stopped; what was fetched is kept", "", 0.0), "Stopped.")
            return
        yield self._controls.say(show.note("Loading the models …"), f"Comparing {len(methods)} methods.")
        source = self._service.generators.get(first.model)
        seeds, psi = first.preview_seeds, first.preview_psi
        scene = Comparison(first.target, first.source, seeds)
        scene.rows[SOURCE] = Row("", to_uint8(draw(source, seeds, psi)))
        scene.rows.update({method: Row("waits") for method in methods})
        yield self._cleared(scene)
        count = SAMPLES_OF_LARGE if is_slow(source, self._service.device) else SAMPLES
        samples = SideBySide(first.model, first.target, source, first.critic, count, device=first.device)
        remark = _measure_beside(scene, samples, metrics)
        entries: dict[str, store.Entry] = {}
        for number, (method, config) in enumerate(configs.items(), start=1):
            if stop.is_set():
                break
            place = f"Method {number} of {len(configs)}: {row_name(method)}"
            entry = yield from self._show_run(config, stop, scene, place)
            if entry is None:
                continue
            entries[method] = entry
            adapted = self._service.generators.get(str(entry.path))
            row = scene.rows[method]
            row.pictures, row.scores = to_uint8(draw(adapted, seeds, psi)), samples.scores(metrics, adapted).scores
            row.readings = said(entry, seeds, psi)
            row.words = run_words(entry)
            with handed_out() as folder:
                file = scene.write_csv(inside(folder, f"{first.target}-compared.csv"), count)
                shown = {self.pictures: scene.pictures(), self._table: scene.table(remark)}
                shown[self._csv] = gr.DownloadButton(value=str(file), visible=True)
                yield shown | self._kept_changes(method, entry, folder)
        for method in configs.keys() - entries:
            row = scene.rows[method]
            row.words = row.words if row.failed else "not finished, not kept" if row.pictures is not None else "not run"
        yield from self._show_end(scene, entries, len(configs), stop)

    def _show_run(
        self, config: AdaptConfig, stop: threading.Event, scene: Comparison, place: str
    ) -> Iterator[dict[Any, Any]]:
        """Runs one method, unless it was run before; gives the library entry of the run, None if it was stopped."""
        record, row, throttle = Record(config), scene.rows[config.method], Throttle()
        with closing(find_or_run(self._service, config, stop)) as updates:
            for update in updates:
                if isinstance(update, store.Entry):
                    return update
                if isinstance(update, Result):
                    if update.stopped == "not finite":
                        row.words, row.failed = "out of bounds: lower the rate", True
                    if update.stopped:  # what isn't complete is no part of a comparison
                        return None
                    continue
                if stop.is_set():
                    return None
                record.add(update)
                first = throttle.unused
                if not throttle.passes(update.pictures is not None):
                    continue
                bar = show.note(place) + show.progress(update, record.stages, record.share)
                changes = self._controls.say(bar, place if first else None)
                if update.pictures is not None:
                    row.words = f"{show.STAGE_NAMES[update.phase]}, step {update.step}"
                    row.pictures, row.readings = update.pictures.after, update.pictures.readings or {}
                    changes[self.pictures] = scene.pictures()
                yield changes
        return None

    # --- to the screen ------------------------------------------------------------------------------------------

    def _cleared(self, scene: Comparison) -> dict[Any, Any]:
        changes: dict[Any, Any] = {
            self.pictures: scene.pictures(),
            self._table: "",
            self._csv: gr.DownloadButton(visible=False),
            self._pair: gr.Column(visible=False),
        }
        for method in METHODS:
            changes.update({self._kept[method][0]: gr.Row(visible=False), self.entries[method]: ""})
        return changes

    def _kept_changes(self, method: str, entry: store.Entry, folder: Path) -> dict[Any, Any]:
        """What can be done with a method's entry; its settings as a file in `folder`."""
        file = inside(folder, f"{entry.name}.json")
        file.write_text(json_text(entry.settings, indent=2) + "\n", encoding="utf-8")
        buttons, settings = self._kept[method]
        return {
            buttons: gr.Row(visible=True),
            settings: gr.DownloadButton(value=str(file)),
            self.entries[method]: entry.name,
        }

    def _show_end(
        self, scene: Comparison, entries: Mapping[str, store.Entry], asked: int, stop: threading.Event
    ) -> Iterator[dict[Any, Any]]:
        complete = f"{len(entries)} of {asked} methods {'is' if len(entries) == 1 else 'are'} complete"
        words = f"Stopped: {complete}" if stop.is_set() else f"Done: {scene.target}, {complete}"
        details = "kept in the library" if entries else "nothing is kept"
        changes = self._controls.say(show.ended(words, details, len(entries) / asked), f"{words}; {details}.")
        changes[self.pictures] = scene.pictures()
        if not entries:
            yield changes
            return
        with handed_out() as folder:
            yield changes | self._pair_changes(scene, entries, [SOURCE, *entries][-2:], folder)

    def _pair_changes(
        self, scene: Comparison, entries: Mapping[str, store.Entry], pair: Sequence[str], folder: Path
    ) -> dict[Any, Any]:
        """Two rows laid over each other, to begin with those of `pair`; all pictures as one file in `folder`."""
        left, right = pair
        shown = [SOURCE, *entries]
        choices = [(row_name(method), method) for method in shown]
        one, other = (scene.rows[method].pictures[:1] for method in (left, right))
        settings = {"rows": shown, "runs": [entry.settings["config"] for entry in entries.values()]}
        sheet = grid([scene.rows[method].pictures for method in shown], len(scene.seeds))
        file = inside(folder, f"{next(iter(entries.values())).name}-compared.png")
        save_png(sheet, file, settings)
        return {
            self._pair: gr.Column(visible=True),
            self._left: gr.Dropdown(choices, value=left),
            self._right: gr.Dropdown(choices, value=right),
            self._who: gr.Dropdown([(f"seed {seed}", seed) for seed in scene.seeds], value=scene.seeds[0]),
            **self._slider_values(one, other, left, right, scene.seeds[0]),
            self._sheet: gr.DownloadButton(value=str(file)),
        }

    @redraw
    def _slide(self, left: str, right: str, seed: int, *entries: str) -> dict[Any, Any]:
        try:
            kept = {method: find_entry(entry) for method, entry in zip(METHODS, entries) if entry}
            models = {method: str(entry.path) for method, entry in kept.items()}
            if not kept:
                raise InputError("There is no comparison to look at: run one first.")
            models[SOURCE] = next(iter(kept.values())).model
            for side in (left, right):
                choice(side, "What is compared", models)
            seed = whole(seed, "The seed", 0, MAX_SEED)
            generators = [self._service.generators.get(models[method]) for method in (left, right)]
            one, other = (to_uint8(draw(generator, [seed], AdaptConfig.preview_psi)) for generator in generators)
        except InputError as error:
            return {self._slider_words: show.trouble(error)}
        return self._slider_values(one, other, left, right, seed)

    def _slider_values(self, one: Tensor, other: Tensor, left: str, right: str, seed: int) -> dict[Any, Any]:
        pictures = to_pictures(one) + to_pictures(other)
        large = [enlarged(picture, enlargement(picture.width)) for picture in pictures]
        words = f"Seed {seed}: {row_name(left)} on the left, {row_name(right)} on the right; drag the line between."
        return {self._slider: tuple(large), self._slider_words: show.note(words)}


def _metric_choices(model: str) -> dict[str, Any]:
    """Choices and value of the field of metrics for a source model."""
    names = allowed(model)
    choices = [(show.metric_title(name), name) for name in names]
    return {"choices": choices, "value": [name for name in FIRST if name in names]}


def _known_metrics(asked: Any) -> list[str]:
    metrics = [choice(name, "A metric", OFFERED) for name in asked or ()]
    if not metrics:
        raise InputError("Choose at least one metric.")
    return metrics


def _measure_beside(scene: Comparison, samples: SideBySide, metrics: Sequence[str]) -> str:
    """Measures the source, floor and ceiling of a comparison; gives the remark for its table."""
    source = samples.scores(metrics)
    scene.rows[SOURCE].scores = source.scores
    beside: Mapping[str, Measured] = {}
    count = len(samples.seeds)
    try:
        beside = samples.beside(metrics)
        words = show.beside_remark(count, bool(beside))
    except InputError as error:
        words = f"There is neither floor nor ceiling: {error}"
    scene.beside = {name: measured.scores for name, measured in beside.items()}
    return show.figures_remark(count, samples.no_judge, source.lacking, words)
