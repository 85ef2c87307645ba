"""The Adapt tab: type a domain, watch the generator become it, stop when it is good.

A visitor's request becomes an `AdaptConfig`; its Snapshots become words, pictures and curves. What has been
reached goes to the library, where the other tabs find it.
"""

from __future__ import annotations

import logging
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

import gradio as gr

from ipl_core import AdaptConfig, InputError, Snapshot, catalog, keeping, library
from ipl_core.config import LAYER_GROUPS, MAX_PREVIEWS, PRESETS
from ipl_core.latents import parse_seeds
from ipl_core.media import grid, save_png, to_uint8
from ipl_core.sampling import draw

from . import show
from .look import CURVES, SCROLL_TO_STATUS
from .running import SECONDS_BETWEEN_YIELDS, Record, fetched, job
from .session import AT_ONCE, MODEL_JOB, Service

log = logging.getLogger(__name__)

CHIPS_A_PAGE = 18
LARGE = 128  # pixels; a picture above takes a CPU seconds
FIRST_SEEDS = AdaptConfig.preview_seeds
PRESET_CHOICES = [("Default: works best here", "default"), ("As in the paper", "paper"), ("As released", "official")]
_FROM_PRESET = ("mapper_steps", "steps", "lambda_domain", "batch", "learning_rate", "layers")


class AdaptTab:
    """Components and listeners of the tab; build it inside `gr.Blocks`.

    entry: state, the folder name of the library entry on the screen, "" if there is none.
    ended: fires when a run of this visitor has ended. to_sample: the button that leads to the Sample tab.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        with gr.Row(equal_height=False):
            with gr.Column(scale=4, min_width=300):
                self._build_request()
            with gr.Column(scale=9, min_width=300):
                self._build_result()
        self._about = gr.HTML()
        self._listen()

    # --- components ---------------------------------------------------------------------------------------------

    def _build_request(self) -> None:
        models = catalog.generators()
        model = next(iter(models))
        self._target = gr.Textbox(
            label="What should the people become?", placeholder="pencil sketch", max_lines=1, autofocus=True
        )
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
            [("IPL", "ipl"), ("Shared prompt", "shared"), ("NADA", "nada")],
            value="ipl",
            label="Method",
            info="IPL learns a prompt for each picture, Shared prompt one for all; NADA’s words are fixed.",
        )
        with gr.Row():
            self._start = gr.Button("Adapt", variant="primary", scale=2, min_width=120)
            self._halt = gr.Button("Stop", variant="stop", interactive=False, min_width=90)
        with gr.Accordion("Advanced settings", open=False):
            self._build_settings(models, model)

    def _build_settings(self, models: Mapping[str, catalog.GeneratorEntry], model: str) -> None:
        preset = PRESETS["default"]
        self._source = gr.Textbox(models[model].source, label="Source words", info="What the model draws now.")
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
        self._layers = gr.Dropdown(list(LAYER_GROUPS), value=preset["layers"], label="Layers that learn")
        self._watched = gr.Textbox(
            f"0-{FIRST_SEEDS[-1]}", label="People to watch", info="Seeds, such as 0-7 or 3, 14, 15."
        )
        with gr.Row():
            self._keep_every = gr.Number(0, label="Keep a step every", info="So many; 0: the last.", min_width=120)
            self._keep_state = gr.Checkbox(
                False, label="Keep the optimiser", info="To go on exactly later.", min_width=120
            )
        choices = [(label(entry), name) for name, entry in models.items() if can_be_used(entry)]
        self._model = gr.Dropdown(choices, value=model, label="Model", info="Others than the first are large.")
        self._critic = gr.Dropdown(
            [("The model’s own", ""), *((label(entry), name) for name, entry in open_critics().items())],
            value="",
            label="Critic",
            info="The CLIP model that compares pictures with words.",
        )

    def _build_result(self) -> None:
        self._status = gr.HTML(show.note("Name a domain and press Adapt."), elem_classes="status")
        self._announcer = gr.HTML(elem_classes="announcer")
        self._people = gr.HTML()
        self._diversity = gr.HTML()
        with gr.Row(visible=False) as self._result:
            self.to_sample = gr.Button("Draw more people", variant="primary", min_width=150)
            self._weights = gr.DownloadButton("Download weights", min_width=150)
            self._picture = gr.DownloadButton("Download picture", min_width=150)
        with gr.Row(visible=False) as self._curves_row:
            self._curves = {
                "prompts": plot("Stage 1: losses by step"),
                "generator": plot("Stage 2: loss by step", colors_in_legend=[]),
                "diversity": plot("Diversity by step of stage 2", colors_in_legend=[], y_lim=[0.0, None]),
            }
        self.entry = gr.State("")

    # --- listeners ----------------------------------------------------------------------------------------------

    def _listen(self) -> None:
        self.greeting = [self._people, self._about]
        self._fields = {
            "target": self._target,
            "method": self._method,
            "source": self._source,
            "preset": self._preset,
            "mapper_steps": self._mapper_steps,
            "steps": self._steps,
            "lambda_domain": self._lambda,
            "batch": self._batch,
            "learning_rate": self._learning_rate,
            "seed": self._seed,
            "layers": self._layers,
            "preview_seeds": self._watched,
            "model": self._model,
            "critic": self._critic,
            "keep_every": self._keep_every,
            "keep_state": self._keep_state,
        }
        fields = list(self._fields.values())
        self._chips.click(lambda sample: sample[0], self._chips, self._target, **AT_ONCE)
        self._preset.input(
            lambda name: [PRESETS[name][field] for field in _FROM_PRESET],
            self._preset,
            [self._fields[field] for field in _FROM_PRESET],
            **AT_ONCE,
        )
        self._model.input(self._describe, self._model, [self._source, self._people, self._about], **AT_ONCE)
        prepared = gr.on(
            [self._start.click, self._target.submit],
            self._prepare,
            fields,
            [self._status, self._announcer, self._start, self._halt],
            validator=self._check,
            show_progress="hidden",
            api_visibility="private",
            concurrency_limit=None,
        )
        running = prepared.success(
            self._run,
            fields,
            [
                self._status,
                self._announcer,
                self._people,
                self._diversity,
                self._curves_row,
                *self._curves.values(),
                self._result,
                self._weights,
                self._picture,
                self.entry,
            ],
            show_progress="hidden",
            api_visibility="private",
            **MODEL_JOB,
        )
        self.ended = running.then(self._rest, None, [self._start, self._halt], **AT_ONCE)
        prepared.success(None, js=SCROLL_TO_STATUS)
        self._halt.click(self._ask_to_stop, None, [self._announcer, self._halt], **AT_ONCE)

    def greet(self) -> tuple[str, str]:
        """Values for `greeting` when a page loads: the people of the first model, and the line about what is in use."""
        return self._describe(next(iter(catalog.generators())))[1:]

    def _describe(self, name: str) -> tuple[str, str, str]:
        model = catalog.generators()[name]
        if model.offer is not None and not catalog.is_here(model):
            words = f"{model.title}: {catalog.where(model)}, once, when you press Adapt. Licence: {model.licence}."
            return model.source, show.note(words), ""
        try:
            return model.source, source_people(self._service, model), about(self._service, model)
        except InputError as error:
            return model.source, show.trouble(str(error)), ""

    def _check(self, *values: Any) -> list[dict[str, Any]]:
        wrong = wrong_fields(dict(zip(self._fields, values)), self._service.device)
        unseen = [words for name, words in wrong.items() if name not in ("target", "method")]
        if unseen and "target" not in wrong:  # the settings may be folded away
            wrong["target"] = f"Advanced settings: {unseen[0]}"
        return [gr.validate(name not in wrong, wrong.get(name, "")) for name in self._fields]

    def _prepare(self, request: gr.Request, *_: Any) -> dict[Any, Any]:
        ahead = len(self._service.stops)
        self._service.stops.begin(request.session_hash)
        words = show.waiting(ahead)
        return {
            self._status: show.note(words),
            self._announcer: show.spoken(words),
            self._start: gr.Button("Adapting …", interactive=False),
            self._halt: gr.Button("Stop", interactive=True),
        }

    def _rest(self) -> tuple[Any, Any]:
        return gr.Button("Adapt", interactive=True), gr.Button("Stop", interactive=False)

    def _ask_to_stop(self, request: gr.Request) -> tuple[str, Any]:
        self._service.stops.stop(request.session_hash)
        return "Stopping; what has been reached is kept.", gr.Button("Stopping …", interactive=False)

    def _run(self, request: gr.Request, *values: Any) -> Iterator[dict[Any, Any]]:
        stop = self._service.stops.begin(request.session_hash)
        try:
            config = make_config(dict(zip(self._fields, values)), self._service.device)
            for words in fetched(config, stop):
                yield {self._status: show.note(words), self._announcer: show.spoken(words.partition(":")[0])}
            if stop.is_set():
                words = "Stopped; what was fetched is kept"
                yield {self._status: show.ended(words, "", 0.0), self._announcer: show.spoken(words)}
                return
            kept = library.find(config)
            yield from self._show_kept(config, kept) if kept else self._show_job(config, stop)
        except InputError as error:
            yield self._show_trouble(str(error))
        except Exception as error:
            yield self._show_trouble(f"The run broke off and could not be kept ({type(error).__name__}: {error}).")
            raise
        finally:
            self._service.stops.end(request.session_hash)

    # --- from snapshots to the screen ---------------------------------------------------------------------------

    def _show_job(self, config: AdaptConfig, stop: threading.Event) -> Iterator[dict[Any, Any]]:
        words = f"Adapting {config.source} to {config.target} by {show.method_name(config)}."
        yield {self._status: show.note("Loading the models …"), self._announcer: show.spoken(words)}
        record = Record(config)
        shown = None
        with closing(job(config, stop)) as updates:
            for update in updates:
                if isinstance(update, library.Entry):
                    yield from self._show_result(update, record)
                    return
                record.add(update)
                now = time.monotonic()
                if shown is None or update.after is not None or now - shown >= SECONDS_BETWEEN_YIELDS:
                    yield self._show_step(update, record, first=shown is None)
                    shown = now
        why = "the numbers grew out of bounds" if record.stopped == "not finite" else "stopped"
        words = f"Nothing to keep: {why} before the generator had changed"
        yield {self._status: show.ended(words, "", record.share), self._announcer: show.spoken(words)}

    def _show_step(self, snapshot: Snapshot, record: Record, first: bool) -> dict[Any, Any]:
        changes: dict[Any, Any] = {}
        if first:  # what was on the screen stays until there is something to take its place
            changes.update({self._result: gr.Row(visible=False), self.entry: ""})
        if snapshot.phase != "done":
            changes[self._status] = show.progress(snapshot, record.stages, record.share)
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

    def _show_kept(self, config: AdaptConfig, entry: library.Entry) -> Iterator[dict[Any, Any]]:
        record = Record(config)
        for row in entry.history():
            terms = keeping.terms(row)
            measured = {name: terms.pop(name) for name in ("diversity",) if name in terms}
            record.curves[row["stage"]].add(row["step"], terms)
            record.curves["diversity"].add(row["step"], measured)
        seeds, psi = config.preview_seeds, config.preview_psi
        generators = self._service.generators
        record.before = to_uint8(draw(generators.get(config.model), seeds, psi))
        record.after = to_uint8(draw(generators.get(str(entry.path)), seeds, psi))
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
        details = f"{how} in the library; it took {show.duration(entry.settings['seconds'])}"
        with tempfile.TemporaryDirectory() as folder:  # Gradio has copied the files when the yield returns
            name = f"{entry.path.name}"
            weights = shutil.copy(entry.path / library.ADAPTED, Path(folder, f"{name}.safetensors"))
            sheet = show.pairs(record.before, record.after)
            picture = save_png(grid(sheet, columns=8), Path(folder, f"{name}.png"), entry.settings["config"])
            yield {
                self._status: show.ended(words, details, 1.0 if entry.finished else record.share),
                self._announcer: show.spoken(f"{words}; {how} in the library."),
                self._result: gr.Row(visible=True),
                self._weights: gr.DownloadButton(value=str(weights)),
                self._picture: gr.DownloadButton(value=str(picture)),
                self.entry: entry.path.name,
            }

    def _show_trouble(self, words: str) -> dict[Any, Any]:
        return {self._status: show.trouble(words), self._announcer: show.spoken(words)}


# --- requests ---------------------------------------------------------------------------------------------------


def make_config(settings: Mapping[str, Any], device: str) -> AdaptConfig:
    """The configuration that a visitor asked for; what is absent, None or "" (but not the target) is left open.

    Visitors name models and critics, never paths, and don't choose the device. Raises InputError.
    """
    given = {name: value for name, value in settings.items() if name == "target" or value not in (None, "")}
    models = catalog.generators()
    if "model" in given and given["model"] not in models:
        raise InputError(f"There is no model “{given['model']}” here: use one of {', '.join(models)}.")
    if "critic" in given and given["critic"] not in open_critics():
        raise InputError(
            f"The critic “{given['critic']}” can't be used here: leave it out for the model's own, "
            f"or use one of {', '.join(open_critics())}."
        )
    if isinstance(given.get("preview_seeds"), str):
        given["preview_seeds"] = parse_seeds(given["preview_seeds"], MAX_PREVIEWS)
    return AdaptConfig(**given, device=device)


def wrong_fields(settings: Mapping[str, Any], device: str) -> dict[str, str]:
    """What is wrong with a request, field by field; empty if a run can begin."""
    wrong = {}
    harmless = {"target": "one thing", "source": "another thing"}
    for name, value in settings.items():
        with _complaint(wrong, name):
            make_config({**harmless, name: value}, device)
    if wrong:
        return wrong
    with _complaint(wrong, "target"):
        config = make_config(settings, device)
        own = catalog.critic_of(config.model)
        known = catalog.critics().get(own)
        # The model's own is checked where it is at hand; another may have to be fetched first, by the run.
        if config.critic is None and (known is None or known.offer is None or catalog.is_here(known)):
            critic = catalog.load_critic(own, device)
            critic.check_text(config.target, field="target")
            with _complaint(wrong, "source"):
                critic.check_text(config.source, field="source")
    return wrong


@contextmanager
def _complaint(wrong: dict[str, str], name: str) -> Iterator[None]:
    """Notes an InputError of the block under `name`."""
    try:
        yield
    except InputError as error:
        wrong[name] = str(error)


# --- models to choose from -------------------------------------------------------------------------------------


def can_be_used(entry: catalog.GeneratorEntry | catalog.CriticEntry) -> bool:
    """Whether a visitor may choose a model: it is here, or can be fetched and read."""
    needs = getattr(entry, "needs", "")
    return (catalog.is_here(entry) or bool(entry.sources)) and (not needs or find_spec(needs) is not None)


def open_critics() -> dict[str, catalog.CriticEntry]:
    """The critics of the hub that a visitor may choose, by name: they know any words."""
    return {name: entry for name, entry in catalog.critics().items() if entry.offer is not None and can_be_used(entry)}


def label(entry: catalog.GeneratorEntry | catalog.CriticEntry) -> str:
    """A model in the list: its name in full, where it is or how large, and the licence of what would be fetched.

    An embedded model's licence stands below the page, where there is room for it.
    """
    where = f"{entry.title} ({catalog.where(entry)})"
    return where if entry.offer is None else f"{where}: {entry.licence}"


# --- what the page says by itself -------------------------------------------------------------------------------


def example_prompts(model: catalog.GeneratorEntry, device: str) -> list[str]:
    """Domains that the model's critic was taught, as a visitor may type them; none if its weights are missing."""
    try:
        return [words for words in catalog.load_critic(model.critic, device).domains if words != model.source]
    except InputError as error:
        log.warning("No example prompts: %s", error)
        return []


def source_people(service: Service, model: catalog.GeneratorEntry) -> str:
    """People of the model as it is. Raises InputError if its weights can't be had."""
    generator = service.generators.get(model.name)
    seeds = FIRST_SEEDS if generator.config.resolution <= LARGE or service.device != "cpu" else FIRST_SEEDS[:2]
    pictures = to_uint8(draw(generator, seeds))
    heading = show.heading("The people of this model", f"as it draws them now: {model.source}")
    return heading + show.people(seeds, pictures, model.source)


def about(service: Service, model: catalog.GeneratorEntry) -> str:
    """The line that says what is in use, and why. Raises InputError if the model's weights can't be had."""
    edge = service.generators.get(model.name).config.resolution
    times = [entry.settings["seconds"] for entry in library.list_entries() if entry.finished]
    took = f"The last runs here took about {show.duration(median(times[:5]))}." if times else ""
    facts = {
        "Model": f"{model.name}, {edge} × {edge}",
        "Critic": model.critic,
        "Device": f"{service.device}, float32 ({service.why})",
        "Licence": model.licence,
    }
    return show.facts(facts, took)


def plot(label: str, **options: Any) -> gr.LinePlot:
    """An empty plot of curves by step."""
    return gr.LinePlot(
        x="step",
        y="value",
        color="term",
        x_title="step",
        y_title=" ",
        color_title=" ",
        color_map=CURVES,
        label=label,
        min_width=220,
        buttons=[],
        **options,
    )
