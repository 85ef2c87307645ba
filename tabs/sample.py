"""The Sample tab: the same seeds by a source generator and by one adapted from it, side by side, to keep.

What is drawn depends on the library entry, the seeds and the truncation alone; nothing of a visitor is remembered.
"""

from __future__ import annotations

import json
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
from torch import Tensor

from ipl_core import InputError, library
from ipl_core.latents import MAX_SEED, parse_seeds
from ipl_core.media import grid, save_png, to_pictures, to_uint8
from ipl_core.people import list_people
from ipl_core.sampling import draw

from . import show
from .session import AT_ONCE, MODEL_JOB, Service, find_entry

MAX_COUNT = 64
MAX_PSI = 1.5
_NOBODY = ("People of these seeds", "")
_PRIVATE_JOB = {**MODEL_JOB, "api_visibility": "private"}


@dataclass(frozen=True)
class Drawing:
    """People of one request: bytes (N, H, W, 3) by the source and by the adapted generator.

    person: name of an inverted person, drawn instead of seeds and without truncation; "" for none.
    """

    entry: library.Entry
    seeds: Sequence[int]
    psi: float
    before: Tensor
    after: Tensor
    person: str = ""

    def people(self) -> str:
        """The pairs as HTML."""
        config = self.entry.config
        adapted = f"{config.target}, {show.entry_method(self.entry)}"
        who = [self.person] if self.person else self.seeds
        return show.people(who, self.before, config.source, self.after, adapted, layout="beside")

    @property
    def settings(self) -> dict[str, Any]:
        """What the pictures were drawn with."""
        who = {"person": self.person} if self.person else {"seeds": list(self.seeds), "psi": self.psi}
        return {**who, "adapted by": self.entry.settings["config"]}

    @property
    def name(self) -> str:
        """For files: which domain and which seeds."""
        if self.person:
            return f"{self.entry.path.name}-person"
        seeds = f"{self.seeds[0]}" if len(self.seeds) == 1 else f"{self.seeds[0]}-{self.seeds[-1]}"
        return f"{self.entry.path.name}-seeds-{seeds}"


class SampleTab:
    """Components and listeners of the tab; build it inside `gr.Blocks`.

    entry: the dropdown of library entries, by folder name. person: that of inverted people, "" for none.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        with gr.Row(equal_height=False):
            with gr.Column(scale=4, min_width=300):
                self._shown = gr.State("")  # the entry that was drawn last
                self.entry = gr.Dropdown([], label="Adapted model", info="What the library holds, the newest first.")
                self.person = gr.Dropdown(
                    [_NOBODY], value="", label="Whom", info="Or a person of the tab Your picture, without truncation."
                )
                self._first = gr.Number(0, label="First seed", precision=0)
                self._count = gr.Slider(1, MAX_COUNT, 12, step=1, label="How many")
                self._psi = gr.Slider(
                    0.0,
                    MAX_PSI,
                    0.7,
                    step=0.05,
                    label="Truncation",
                    info="0: all the mean face. 1: as varied as trained.",
                )
                self._seeds = gr.Textbox(label="Or these seeds", placeholder="3, 7, 20-25", max_lines=1)
                with gr.Row():
                    self._draw = gr.Button("Draw", variant="primary", min_width=130)
                    self._next = gr.Button("Next people", min_width=130)
            with gr.Column(scale=9, min_width=300):
                self._heading = gr.HTML(show.note("Choose an adapted model and press Draw."))
                self._people = gr.HTML()
                with gr.Row():
                    self._sheet = gr.DownloadButton("Download as one picture", interactive=False, min_width=150)
                    self._zip = gr.DownloadButton("Download all, zipped", interactive=False, min_width=150)
        self._listen()

    def _listen(self) -> None:
        self._request = [self.entry, self.person, self._first, self._count, self._psi, self._seeds]
        self._result = [self._heading, self._people, self._sheet, self._zip, self._shown]
        self.draw_on(self._draw.click)
        self.draw_on(self.entry.input)
        self.draw_on(self._seeds.submit)
        turned = self._next.click(
            lambda first, count: (int(first or 0) + int(count), "", ""),
            [self._first, self._count],
            [self._first, self._seeds, self.person],
            **AT_ONCE,
        )
        self.draw_on(turned.success)

    def draw_on(self, event: Callable[..., Any]) -> None:
        """Draws with the tab's settings whenever `event`, such as a button's click, fires."""
        event(self._show, self._request, self._result, show_progress_on=self._people, **_PRIVATE_JOB)

    def draw_new_on(self, event: Callable[..., Any]) -> None:
        """The same, but only if another entry is chosen than the one whose people are there already."""
        event(self._show_new, [self._shown, *self._request], self._result, show_progress="hidden", **_PRIVATE_JOB)

    def newest(self, made: str, chosen: str | None) -> Any:
        """An update of the dropdown after a run: its entry is chosen, or what was, if the run left none."""
        return self.choices(made or chosen)

    def choices(self, chosen: str | None = None) -> Any:
        """An update of the dropdown: what the library holds, with `chosen` chosen if it is there, else the newest."""
        entries = library.list_entries()
        names = [entry.path.name for entry in entries]
        value = chosen if chosen in names else next(iter(names), None)
        return gr.Dropdown([(show.entry_title(entry), entry.path.name) for entry in entries], value=value)

    def person_choices(self, chosen: str | None = None) -> Any:
        """An update of `person`: who is kept, with `chosen` chosen if they are there, else nobody."""
        kept = [(person.title, person.path.name) for person in list_people()]
        known = any(name == chosen for _, name in kept)
        return gr.Dropdown([_NOBODY, *kept], value=chosen if known else "")

    def _show_new(self, shown: str, entry: str | None, *rest: Any) -> Iterator[dict[Any, Any]]:
        if entry and entry != shown:
            yield from self._show(entry, *rest)
        else:
            yield {self._shown: shown}

    def _show(
        self, entry: str | None, person: str | None, first: float, count: float, psi: float, seeds: str
    ) -> Iterator[dict[Any, Any]]:
        try:
            if person:
                drawing = draw_person(self._service, entry or "", person)
            else:
                chosen = parse_seeds(seeds, MAX_COUNT) if seeds and seeds.strip() else count_seeds(first, count)
                drawing = draw_people(self._service, entry or "", chosen, psi)
        except InputError as error:
            yield {self._heading: show.trouble(str(error))}
            return
        with tempfile.TemporaryDirectory() as folder:  # Gradio has copied the files when the yield returns
            yield {
                self._heading: show.heading(show.entry_title(drawing.entry), "before on the left, after on the right"),
                self._people: drawing.people(),
                self._sheet: gr.DownloadButton(value=str(save_sheet(drawing, Path(folder))), interactive=True),
                self._zip: gr.DownloadButton(value=str(save_zip(drawing, Path(folder))), interactive=True),
                self._shown: entry,
            }


# --- drawing and keeping ----------------------------------------------------------------------------------------


def count_seeds(first: Any, count: Any) -> list[int]:
    """Successive seeds. Raises InputError for a first seed or a count that can't be meant."""
    if not isinstance(first, (int, float)) or first != int(first) or not 0 <= first <= MAX_SEED - MAX_COUNT:
        raise InputError(f"The first seed must be a whole number from 0 to {MAX_SEED - MAX_COUNT}, not {first}.")
    if not isinstance(count, (int, float)) or count != int(count) or not 1 <= count <= MAX_COUNT:
        raise InputError(f"How many people: give a whole number from 1 to {MAX_COUNT}, not {count}.")
    return list(range(int(first), int(first) + int(count)))


def draw_people(service: Service, name: str, seeds: Sequence[int], psi: Any) -> Drawing:
    """Draws `seeds` by the library entry called `name` and by its source. Raises InputError."""
    if not isinstance(psi, (int, float)) or not 0 <= psi <= MAX_PSI:
        raise InputError(f"Truncation must be a number from 0 to {MAX_PSI}, not {psi}.")
    entry = find_entry(name)
    source = service.generators.get(entry.config.model)
    adapted = service.generators.get(str(entry.path))
    return Drawing(entry, seeds, psi, to_uint8(draw(source, seeds, psi)), to_uint8(draw(adapted, seeds, psi)))


def draw_person(service: Service, name: str, person: str) -> Drawing:
    """Draws the inverted person in the folder `person` before and after the library entry `name`. Raises InputError."""
    entry, restyler = find_entry(name), service.restylers.get(person)
    pictures = to_uint8(restyler.draw()), to_uint8(restyler.draw([(entry, 1.0)]))
    return Drawing(entry, (), 1.0, *pictures, person=restyler.inverted.name)


def save_sheet(drawing: Drawing, folder: Path) -> Path:
    """One PNG of all pairs, four in a row, with what they were drawn with inside."""
    sheet = grid(show.pairs(drawing.before, drawing.after), columns=8)
    return save_png(sheet, folder / f"{drawing.name}.png", drawing.settings)


def save_zip(drawing: Drawing, folder: Path) -> Path:
    """A zip of single PNGs, two a seed, and of what they were drawn with as JSON."""
    path = folder / f"{drawing.name}.zip"
    with zipfile.ZipFile(path, "w") as archive:  # PNGs don't get smaller
        archive.writestr("settings.json", json.dumps(drawing.settings, indent=2, ensure_ascii=False))
        for side, pictures in (("source", drawing.before), ("adapted", drawing.after)):
            whose = [("person", {})] if drawing.person else [(f"seed-{n:04d}", {"seeds": [n]}) for n in drawing.seeds]
            for (name, who), picture in zip(whose, to_pictures(pictures)):
                file = save_png(picture, folder / f"{name}-{side}.png", {**drawing.settings, **who, "side": side})
                archive.write(file, file.name)
    return path
