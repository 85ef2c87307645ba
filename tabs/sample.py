"""The Sample tab: the same people by a source generator and by one adapted from it, side by side, to keep.

What is drawn depends on the model, the seeds, the truncation and the mixed styles alone; what a visitor marks
is remembered by their browser.
"""

from __future__ import annotations

import secrets
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
from torch import Tensor

from ipl_core import InputError
from ipl_core.drawing.seed_people import MAX_PSI, SeedPerson
from ipl_core.drawing.seed_people import draw_people as draw
from ipl_core.latents import MAX_SEED, parse_seeds
from ipl_core.pictures.media import grid, pairs, save_png, to_pictures, to_uint8
from ipl_core.storage.values import truncation, whole
from ipl_core.storage.words import json_text

from . import show
from .access.files import inside
from .forms.controls import Controls
from .forms.favourites import STARS, Favourites, known
from .requests import models
from .requests.models import Model, chosen
from .service.running import SECONDS_BETWEEN_YIELDS
from .service.session import AT_ONCE, MODEL_JOB, Service
from .service.turns import redraw
from .show.look import SCROLL_TO_DRAWN

MAX_COUNT = 64
MAX_CROWD = 1024  # seeds that are looked through for the nearest
NEAREST = 11
_NOBODY = ("People of these seeds", "")
_PRIVATE_JOB = {**MODEL_JOB, "api_visibility": "private"}


@dataclass(frozen=True)
class Drawing:
    """People of one request: bytes (N, H, W, 3) by the source and, where the model is adapted from one, by the model.

    sitters: who they are. person: name of an inverted person, drawn in place of them; "" for none. remarks: a few
    words for each, such as how near to another they are, or none at all.
    """

    model: Model
    sitters: Sequence[SeedPerson]
    before: Tensor
    after: Tensor | None
    person: str = ""
    remarks: Sequence[str] = ()

    def people(self, favourites: Sequence[SeedPerson]) -> str:
        """The people as HTML, with a star for each that can be a favourite."""
        who = [self.person] if self.person else [sitter.name for sitter in self.sitters]
        stars = [(str(sitter), sitter in favourites) for sitter in self.sitters]
        entry = self.model.entry
        adapted = "" if entry is None else f"{entry.config.target}, {show.entry_method(entry)}"
        return show.people(
            who, self.before, self.model.source_domain, self.after, adapted, "beside", stars, self.remarks
        )

    @property
    def sides(self) -> dict[str, Tensor]:
        """The pictures by what drew them."""
        return {"source": self.before} if self.after is None else {"source": self.before, "adapted": self.after}

    @property
    def settings(self) -> dict[str, Any]:
        """What the pictures were drawn with."""
        who = {"person": self.person} if self.person else _described(self.sitters)
        entry = self.model.entry
        return who | ({"model": self.model.source} if entry is None else {"adapted by": entry.settings["config"]})

    @property
    def name(self) -> str:
        """For files: which domain and which seeds."""
        if self.person:
            return f"{self.model.name}-person"
        first, last = self.sitters[0].seed, self.sitters[-1].seed
        return f"{self.model.name}-seeds-{first}" + (f"-{last}" if len(self.sitters) > 1 else "")


def _described(sitters: Sequence[SeedPerson]) -> dict[str, Any]:
    """People by seed in plain values; what is the same for all of them is said once."""
    same = {sitter.psi for sitter in sitters}
    facts: dict[str, Any] = {"seeds": [sitter.seed for sitter in sitters]}
    if len(same) == 1:
        facts["psi"] = same.pop()
    if any(sitter.fine is not None for sitter in sitters) or len(facts) == 1:
        facts["people"] = [str(sitter) for sitter in sitters]
    return facts


class SampleTab:
    """Components and listeners of the tab; build it inside `gr.Blocks`.

    model: the dropdown of models, by `Model.value`. person: that of inverted people, "" for none.
    """

    def __init__(self, service: Service, favourites: Favourites) -> None:
        self._service, self._favourites = service, favourites
        with gr.Row(equal_height=False):
            with gr.Column(scale=4, min_width=300):
                self._build_request()
            with gr.Column(scale=9, min_width=300):
                self._build_result()
        self._listen()

    def _build_request(self) -> None:
        self._shown = gr.State("")  # the model that was drawn last
        self.model = gr.Dropdown([], label="Model", info="Adapted, beside its source, or one as it is.")
        self.person = gr.Dropdown(
            [_NOBODY], value="", label="Whom", info="Or a person of the tab Your picture, without truncation."
        )
        with gr.Row():
            self._first = gr.Number(0, label="First seed", precision=0, min_width=120)
            self._seeds = gr.Textbox(label="Or these seeds", placeholder="3, 7, 20-25", max_lines=1, min_width=120)
        self._count = gr.Slider(1, MAX_COUNT, 12, step=1, label="How many")
        self._psi = gr.Slider(
            0.0, MAX_PSI, 0.7, step=0.05, label="Truncation", info="0: all the mean face. 1: as varied as trained."
        )
        with gr.Row():
            self._draw = gr.Button("Draw", variant="primary", min_width=90)
            self._next = gr.Button("Next people", min_width=110)
            self._lucky = gr.Button("I feel lucky", min_width=110)
        with gr.Accordion("Mix styles", open=False):
            self._fine = gr.Textbox(
                label="Fine layers of seed",
                placeholder="31",
                max_lines=1,
                info="All these people get its colours and details and keep their own form. Blank: their own.",
            )
            self._crossover = gr.Slider(1, 9, 4, step=1, label="From layer", info="The lower, the more is taken over.")
        with gr.Accordion("Who looks like whom", open=False):
            self._like = gr.Number(0, label="Nearest to seed", precision=0, info="In the eyes of the model’s critic.")
            self._crowd = gr.Slider(16, MAX_CROWD, 256, step=16, label="Looked for among so many seeds")
            self._controls = Controls(self._service, "nearest", "Find the nearest", "Looking …")
            self._controls.build_lines("The first search takes longest; who was seen is remembered.")
        self._favourites.build_list()
        self._draw_favourites = gr.Button("Draw the favourites", visible=False)

    def _build_result(self) -> None:
        self._heading = gr.HTML(show.note("Choose a model and press Draw."), elem_classes="drawn")
        self._people = gr.HTML(js_on_load=STARS)
        with gr.Row():
            self._sheet = gr.DownloadButton("Download as one picture", interactive=False, min_width=150)
            self._zip = gr.DownloadButton("Download all, zipped", interactive=False, min_width=150)

    # --- listeners ----------------------------------------------------------------------------------------------

    def _listen(self) -> None:
        remembered = self._favourites.remembered
        self._request = [
            *(self.model, self.person, self._first, self._count, self._psi, self._seeds),
            *(self._fine, self._crossover, remembered),
        ]
        self._result = [self._heading, self._people, self._sheet, self._zip, self._shown, self._crossover]
        self.draw_on(self._draw.click)
        self.draw_on(self.model.input)
        self.draw_on(self._seeds.submit)
        self.draw_on(self._fine.submit)
        turned = self._next.click(
            lambda first, count: (count_seeds(first or 0, count)[-1] + 1, "", ""),
            [self._first, self._count],
            [self._first, self._seeds, self.person],
            **AT_ONCE,
        )
        self.draw_on(turned.success)
        drawn_by_lot = self._lucky.click(
            lambda: (secrets.randbelow(MAX_SEED - MAX_COUNT), "", ""),
            None,
            [self._first, self._seeds, self.person],
            **AT_ONCE,
        )
        self.draw_on(drawn_by_lot.success)
        self._controls.listen(
            self._find_nearest,
            [self.model, self._like, self._crowd, self._psi, remembered],
            [*self._result, self._seeds, self.person],
            [self._controls.start.click],
        )
        self._favourites.listen(self._people)
        self._favourites.listed.change(
            lambda chosen: gr.Button(visible=bool(chosen)), self._favourites.listed, self._draw_favourites, **AT_ONCE
        )
        self._draw_favourites.click(
            self._show_favourites,
            [self.model, remembered],
            self._result,
            show_progress_on=self._people,
            **_PRIVATE_JOB,
        ).success(None, js=SCROLL_TO_DRAWN)

    def draw_on(self, event: Callable[..., Any]) -> None:
        """Draws with the tab's settings whenever `event`, such as a button's click, fires."""
        drawn = event(self._show, self._request, self._result, show_progress_on=self._people, **_PRIVATE_JOB)
        drawn.success(None, js=SCROLL_TO_DRAWN)

    def draw_new_on(self, event: Callable[..., Any]) -> None:
        """The same, but only if another model is chosen than the one whose people are there already."""
        event(self._show_new, [self._shown, *self._request], self._result, show_progress="hidden", **_PRIVATE_JOB)

    def newest(self, made: str, before: str | None) -> Any:
        """An update of the dropdown after a run: its entry is chosen, or what was, if the run left none."""
        return self.choices(made or before)

    def choices(self, model: str | None = None) -> Any:
        """An update of the dropdown: what there is, with `model` chosen if it is there, else the newest."""
        offered = models.choices()
        values = [value for _, value in offered]
        return gr.Dropdown(offered, value=model if model in values else next(iter(values), None))

    def person_choices(self, person: str | None = None) -> Any:
        """An update of `person`: who is kept, with `person` chosen if they are there, else nobody."""
        kept = [(inverted.title, inverted.path.name) for inverted in self._service.roles.list_people()]
        named = any(name == person for _, name in kept)
        return gr.Dropdown([_NOBODY, *kept], value=person if named else "")

    # --- to the screen ------------------------------------------------------------------------------------------

    @redraw
    def _show_new(self, shown: str, model: str | None, *rest: Any) -> Iterator[dict[Any, Any]]:
        if model and model != shown:
            yield from self._show(model, *rest)
        else:
            yield {self._shown: shown}

    @redraw
    def _show(
        self,
        model: str | None,
        person: str | None,
        first: float,
        count: float,
        psi: float,
        seeds: str,
        fine: str,
        crossover: float,
        remembered: Any,
    ) -> Iterator[dict[Any, Any]]:
        def draw_asked() -> Drawing:
            if person:
                return draw_person(self._service, chosen(model), person)
            who = parse_seeds(seeds, MAX_COUNT) if seeds and seeds.strip() else count_seeds(first, count)
            donor = parse_seeds(fine, 1)[0] if fine and fine.strip() else None
            return draw_seeds(self._service, chosen(model), who, psi, donor, crossover)

        yield from self._show_drawing(draw_asked, remembered)

    @redraw
    def _show_favourites(self, model: str | None, remembered: Any) -> Iterator[dict[Any, Any]]:
        yield from self._show_drawing(
            lambda: draw_sitters(self._service, chosen(model), known(remembered)[:MAX_COUNT]), remembered
        )

    def _show_drawing(self, draw_asked: Callable[[], Drawing], remembered: Any) -> Iterator[dict[Any, Any]]:
        try:
            drawing = draw_asked()
        except InputError as error:
            yield {self._heading: show.trouble(error)}
            return
        yield from self._show_drawn(drawing, remembered)

    def _show_drawn(self, drawing: Drawing, remembered: Any) -> Iterator[dict[Any, Any]]:
        layers = self._service.generators.get(drawing.model.source).num_layers
        sides = "as they are" if drawing.after is None else "before on the left, after on the right"
        with tempfile.TemporaryDirectory() as folder:  # Gradio has copied the files when the yield returns
            yield {
                self._heading: show.heading(drawing.model.title, sides),
                self._people: drawing.people(known(remembered)),
                self._sheet: gr.DownloadButton(value=str(save_sheet(drawing, Path(folder))), interactive=True),
                self._zip: gr.DownloadButton(value=str(save_zip(drawing, Path(folder))), interactive=True),
                self._shown: drawing.model.value,
                self._crossover: gr.Slider(maximum=layers - 1),
            }

    def _find_nearest(
        self, stop: threading.Event, value: str | None, seed: Any, crowd: Any, psi: Any, remembered: Any
    ) -> Iterator[dict[Any, Any]]:
        model = chosen(value)
        search = nearest(self._service, model.source, seed, crowd, psi, NEAREST, stop)
        yield self._controls.say(show.note("Loading the models …"), f"Looking for the nearest to seed {seed}.")
        shown, seen, total, found = 0.0, 0, 1, []
        for seen, total, found in search:  # noqa: B007 – the last says who they are
            if time.monotonic() - shown >= SECONDS_BETWEEN_YIELDS:
                yield self._controls.say(show.seen(seen, total))
                shown = time.monotonic()
        if not found:
            words = f"Stopped after {seen} of {total} people; they are remembered"
            yield self._controls.say(show.ended(words, "", seen / total), words)
            return
        seeds = [int(seed), *(other for other, _ in found)]
        remarks = ["", *(f"likeness {cosine:.2f}" for _, cosine in found)]
        drawing = draw_seeds(self._service, model, seeds, psi, remarks=remarks)
        words = f"The nearest to seed {int(seed)} among {int(crowd)}: {', '.join(map(str, seeds[1:4]))} and so on"
        for changes in self._show_drawn(drawing, remembered):
            lines = self._controls.say(show.ended(words, ""), words)
            yield {**changes, **lines, self._seeds: ", ".join(map(str, seeds)), self.person: ""}


# --- drawing and keeping ----------------------------------------------------------------------------------------


def count_seeds(first: Any, count: Any) -> list[int]:
    """Successive seeds. Raises InputError for a first seed or a count that can't be meant."""
    start = whole(first, "The first seed", 0, MAX_SEED - MAX_COUNT)
    return list(range(start, start + whole(count, "How many people", 1, MAX_COUNT)))


def draw_seeds(
    service: Service,
    model: Model,
    seeds: Sequence[int],
    psi: Any,
    fine: Any = None,
    crossover: Any = 1,
    remarks: Sequence[str] = (),
    between: Callable[[], None] = lambda: None,
) -> Drawing:
    """Draws `seeds` by `model` and, if that is adapted, by its source. Raises InputError.

    fine: a seed whose layers all of them get from `crossover` on; None for none. between: called before each few
    pictures; what it raises ends the drawing.
    """
    psi = truncation(psi)
    styles: dict[str, int] = {}
    if fine is not None:
        layers = service.generators.get(model.source).num_layers
        styles["fine"] = whole(fine, "The seed of the fine layers", 0, MAX_SEED)
        styles["crossover"] = whole(crossover, "The layer from which on they are taken", 1, layers - 1)
    sitters = [SeedPerson(model.source, seed, psi, **styles) for seed in seeds]
    return draw_sitters(service, model, sitters, remarks, between)


def draw_sitters(
    service: Service,
    model: Model,
    sitters: Sequence[SeedPerson],
    remarks: Sequence[str] = (),
    between: Callable[[], None] = lambda: None,
) -> Drawing:
    """Draws those of `sitters` who are people of its source by `model` and, if that is adapted, by its source.

    between: see `draw_seeds`. Raises InputError for none, and for what can't be drawn.
    """
    fitting = [sitter for sitter in sitters if sitter.model == model.source]
    if not fitting:
        raise InputError(f"None of these people was drawn by the model “{model.source}”: mark some of its own.")
    before, after = to_uint8(draw(service.generators.get(model.source), fitting, between)), None
    if model.entry is not None:
        after = to_uint8(draw(service.generators.get(str(model.entry.path)), fitting, between))
    return Drawing(model, fitting, before, after, remarks=remarks)


def draw_person(service: Service, model: Model, person: str) -> Drawing:
    """Draws the inverted person in the folder `person`, and again by `model` if that is adapted. Raises InputError."""
    restyler = service.restylers.get(person)
    if model.entry is None and model.source != restyler.inverted.model:
        raise InputError(
            f"“{restyler.inverted.name}” is a person of the model “{restyler.inverted.model}”, whom “{model.source}” "
            "can't draw: choose a model of theirs."
        )
    after = None if model.entry is None else to_uint8(restyler.draw([(model.entry, 1.0)]))
    return Drawing(model, (), to_uint8(restyler.draw()), after, person=restyler.inverted.name)


def nearest(
    service: Service, model: str, seed: Any, crowd: Any, psi: Any, count: Any, stop: threading.Event
) -> Iterator[tuple[int, int, list[tuple[int, float]]]]:
    """Looks for those of the seeds from 0 who are most like `seed`: yields how many are seen, of how many, and, the
    last time, who they are, the nearest first, with a likeness from −1 to 1 each.

    Nobody comes if `stop` was set. Raises InputError for what can't be meant, before the first person is looked at.
    """
    seed = whole(seed, "The seed", 0, MAX_SEED)
    among = range(whole(crowd, "How many seeds to look through", 2, MAX_CROWD))
    count = whole(count, "How many people", 1, MAX_COUNT)
    psi = truncation(psi)

    def look() -> Iterator[tuple[int, int, list[tuple[int, float]]]]:
        likenesses, seeds = service.crowds.get(model, psi), list(dict.fromkeys((seed, *among)))
        seen = 0
        for seen in likenesses.see(seeds, stop):
            yield seen, len(seeds), []
        found = [] if stop.is_set() else likenesses.nearest(seed, among, count)
        yield seen if stop.is_set() else len(seeds), len(seeds), found

    return look()


def save_sheet(drawing: Drawing, folder: Path) -> Path:
    """One PNG of all people, eight pictures in a row, with what they were drawn with inside."""
    pictures = drawing.before if drawing.after is None else pairs(drawing.before, drawing.after)
    return save_png(grid(pictures, columns=8), inside(folder, f"{drawing.name}.png"), drawing.settings)


def save_zip(drawing: Drawing, folder: Path) -> Path:
    """A zip of single PNGs, one a person and side, and of what they were drawn with as JSON."""
    path = inside(folder, f"{drawing.name}.zip")
    whose = [("person", {})] if drawing.person else [(_file_name(one), _described([one])) for one in drawing.sitters]
    with zipfile.ZipFile(path, "w") as archive:  # PNGs don't get smaller
        archive.writestr("settings.json", json_text(drawing.settings, indent=2))
        for side, pictures in drawing.sides.items():
            for (name, who), picture in zip(whose, to_pictures(pictures)):
                file = inside(folder, f"{name}-{side}.png")
                save_png(picture, file, {**drawing.settings, **who, "side": side})
                archive.write(file, file.name)
    return path


def _file_name(sitter: SeedPerson) -> str:
    mixed = "" if sitter.fine is None else f"-fine-{sitter.fine:04d}-from-{sitter.crossover}"
    return f"seed-{sitter.seed:04d}{mixed}"
