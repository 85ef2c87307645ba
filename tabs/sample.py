"""The Sample tab: the same people by a source generator and by one adapted from it, side by side, to keep.

What is drawn depends on the model, the seeds, the truncation and the mixed styles alone; what a visitor marks
is remembered by their browser.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterator
from typing import Any

import gradio as gr

from ipl_core import InputError
from ipl_core.drawing.people_by_seed import MAX_PSI
from ipl_core.latents import MAX_SEED, parse_seeds

from . import show
from .access.files import handed_out
from .access.gate import detail
from .base import Event, Tab
from .forms.controls import Controls
from .forms.favourites import STARS
from .requests import models
from .requests.drawing import (
    MAX_COUNT,
    MAX_CROWD,
    Drawing,
    count_seeds,
    draw_person,
    draw_seeds,
    draw_sitters,
    known,
    nearest,
    save_sheet,
    save_zip,
)
from .requests.models import chosen
from .service.jobs import AT_ONCE, PAGE_JOB, QUIET_JOB, redraw
from .service.running import Throttle
from .show.look import SCROLL_TO_DRAWN

NEAREST = 11
_NOBODY = ("People of these seeds", "")


class SampleTab(Tab):
    """Components and listeners of the tab.

    model: the dropdown of models, by `Model.value`. person: that of inverted people, "" for none.
    """

    key, title = "sample", "Sample"

    def build(self) -> None:
        with gr.Row(equal_height=False):
            with gr.Column(scale=4, min_width=300):
                self._build_request()
            with gr.Column(scale=9, min_width=300):
                self._build_result()
        self._listen()

    def loads(self, event: Event) -> None:
        """Fills the lists."""
        event(self._favourites.show, self._favourites.remembered, self._favourites.listed, **AT_ONCE)
        event(self.choices, None, self.model, **AT_ONCE)

    def opens(self, event: Event) -> None:
        """Fills the lists, and draws where another model is chosen than before."""
        filled = event(self.choices, self.model, self.model, **AT_ONCE)
        self.draw_new_on(filled.success)
        event(self.person_choices, self.person, self.person, **AT_ONCE)

    def receives(self) -> None:
        """Comes up and draws where another tab asks for it; offers what runs have made."""
        for press in self._page.presses:
            show_it = self._show_person if press.is_person else self._show_named if press.value else self._show_pressed
            shown = press.event(show_it, press.value, [self._page.tabs, self.model, self.person], **AT_ONCE)
            self.draw_on(shown.success)
        for ended in self._page.ended:
            ended.then(self.newest, [ended.entry, self.model], self.model, **AT_ONCE)

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
            self._like = gr.Number(0, label="Nearest to seed", precision=0, info="As the model’s CLIP model sees them.")
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
            self._show_favourites, [self.model, remembered], self._result, show_progress_on=self._people, **PAGE_JOB
        ).success(None, js=SCROLL_TO_DRAWN)

    def draw_on(self, event: Callable[..., Any]) -> None:
        """Draws with the tab's settings whenever `event`, such as a button's click, fires."""
        drawn = event(self._show, self._request, self._result, show_progress_on=self._people, **PAGE_JOB)
        drawn.success(None, js=SCROLL_TO_DRAWN)

    def draw_new_on(self, event: Callable[..., Any]) -> None:
        """The same, but only if another model is chosen than the one whose people are there already."""
        event(self._show_new, [self._shown, *self._request], self._result, **QUIET_JOB)

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

    def _show_named(self, entry: str) -> tuple[Any, Any, Any]:
        return gr.Tabs(selected=self.key), self.choices(entry), self.person_choices()

    def _show_pressed(self, event: gr.EventData) -> tuple[Any, Any, Any]:
        return self._show_named(detail(event, "name"))

    def _show_person(self, person: str) -> tuple[Any, Any, Any]:
        return gr.Tabs(selected=self.key), self.choices(), self.person_choices(person)

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
        with handed_out() as folder:
            yield {
                self._heading: show.heading(drawing.model.title, sides),
                self._people: drawing.people(known(remembered)),
                self._sheet: gr.DownloadButton(value=str(save_sheet(drawing, folder)), interactive=True),
                self._zip: gr.DownloadButton(value=str(save_zip(drawing, folder)), interactive=True),
                self._shown: drawing.model.value,
                self._crossover: gr.Slider(maximum=layers - 1),
            }

    def _find_nearest(
        self, stop: threading.Event, value: str | None, seed: Any, crowd: Any, psi: Any, remembered: Any
    ) -> Iterator[dict[Any, Any]]:
        model = chosen(value)
        search = nearest(self._service, model.source, seed, crowd, psi, NEAREST, stop)
        yield self._controls.say(show.note("Loading the models …"), f"Looking for the nearest to seed {seed}.")
        throttle, seen, total, found = Throttle(), 0, 1, []
        for seen, total, found in search:  # noqa: B007 – the last says who they are
            if throttle.passes():
                yield self._controls.say(show.seen(seen, total))
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
