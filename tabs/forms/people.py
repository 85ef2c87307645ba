"""Kept people in other domains: a list to choose from, a collage of every adapted model, a mix of two, downloads.

What is drawn depends on the person, the library's entries and the strength alone; nothing of a visitor is remembered.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gradio as gr

from ipl_core import InputError
from ipl_core.drawing.people_by_seed import SeedPerson
from ipl_core.library import inversions
from ipl_core.models import catalog
from ipl_core.pictures.media import save_png, to_pictures, to_uint8
from ipl_core.storage.values import number
from ipl_core.storage.words import quoted

from .. import show
from ..access.files import handed_out, inside
from ..requests.drawing import known
from ..requests.mixing import mix_words, weighted
from ..requests.models import find_entry
from ..requests.people import collages, copies, fitting_entries, large, restyle_settings
from ..service.jobs import AT_ONCE, LOOK, QUIET_JOB, redraw
from ..service.running import Throttle
from ..service.service import Service
from .favourites import Favourites, choices


class PeoplePanel:
    """Components and listeners of the panel; build it inside `gr.Blocks`.

    person: the dropdown of kept people, by folder name. to_sample: the button that leads to the Sample tab. favourite:
    the dropdown of people by seed that may be kept, too; `favourite_choices` gives its values.
    """

    def __init__(self, service: Service, favourites: Favourites) -> None:
        self._service, self._favourites = service, favourites
        self._build()
        self._listen()

    # --- components ---------------------------------------------------------------------------------------------

    def _build(self) -> None:
        self.person = gr.Dropdown([], label="Kept people", info="Whom to restyle; the newest first.")
        with gr.Row():
            self.to_sample = gr.Button("Use in Sample", interactive=False, min_width=130)
            self._latent = gr.DownloadButton("Download latent", interactive=False, min_width=130)
            self._load = gr.UploadButton("Load a latent", min_width=130)
            self._delete = gr.Button("Delete", interactive=False, min_width=100)
        with gr.Row(visible=False) as self.favourites_row:
            self.favourite = gr.Dropdown([], label="Favourites of Sample", scale=3, min_width=180)
            self._keep = gr.Button("Keep as a person", min_width=130)
        self._doomed = gr.State("")  # who is deleted if the button is pressed again
        self._note = gr.HTML()
        self._strength = gr.Slider(
            0.0,
            1.5,
            1.0,
            step=0.05,
            label="Strength",
            info="0: as inverted. 1: the domain as adapted. Above: overdone.",
            visible=False,
        )
        self._heading = gr.HTML()
        self._collage = gr.HTML()
        with gr.Row(visible=False, equal_height=False) as self._mix_row:
            with gr.Column(min_width=260):
                self._one = gr.Dropdown([], label="Domain")
                self._other = gr.Dropdown([], label="Mixed with")
                self._share = gr.Slider(0.0, 1.0, 0.5, step=0.05, label="Share of the second")
                self._sheet = gr.DownloadButton("Download the collage", min_width=150)
                self._single = gr.DownloadButton("Download this picture", min_width=150)
            with gr.Column(min_width=260):
                self._slider = gr.ImageSlider(
                    label="Before and after",
                    show_label=False,
                    interactive=False,
                    format="png",
                    max_height=420,
                    buttons=["fullscreen"],
                )
                self._caption = gr.HTML()

    # --- listeners ----------------------------------------------------------------------------------------------

    def _listen(self) -> None:
        self.restyle_on(self.person.input)
        self.restyle_on(self._strength.release)
        loaded = self._load.upload(self._load_latent, self._load, [self.person, self._note], **LOOK)
        self.restyle_on(loaded.success)
        kept = self._keep.click(self._keep_favourite, self.favourite, [self.person, self._note], **QUIET_JOB)
        self.restyle_on(kept.success)
        deletion = [self._doomed, self._delete, self._note]
        self.person.input(lambda: ("", _undecided(), ""), None, deletion, **AT_ONCE)
        deleted = self._delete.click(
            self._delete_person, [self.person, self._doomed], [self.person, *deletion], **AT_ONCE
        )
        self.restyle_on(deleted.success)
        for event in (self._one.input, self._other.input, self._share.release):
            self._mix_on(event)

    def restyle_on(self, event: Any) -> None:
        """Draws the chosen person in all domains whenever `event`, such as a button's click, fires."""
        drawn = event(
            self._restyle,
            [self.person, self._strength, self._one, self._other],
            [
                *(self._heading, self._collage, self._mix_row, self._sheet, self._one, self._other),
                *(self.to_sample, self._latent, self._delete, self._strength),
            ],
            **QUIET_JOB,
        )
        self._mix_on(drawn.success)

    def _mix_on(self, event: Any) -> None:
        event(
            self._mix,
            [self.person, self._strength, self._one, self._other, self._share],
            [self._slider, self._caption, self._single],
            **QUIET_JOB,
        )

    # --- people -------------------------------------------------------------------------------------------------

    def choices(self, chosen: str | None = None) -> Any:
        """An update of `person`: who is kept, with `chosen` chosen if they are there, else the newest."""
        return people_choices(self._service, chosen)

    def favourite_choices(self, remembered: Any) -> tuple[Any, Any]:
        """Updates of `favourite` and of its row: the people by seed that the visitor's browser remembers."""
        favourites = known(remembered)
        value = str(favourites[-1]) if favourites else None
        return gr.Dropdown(choices(favourites), value=value), gr.Row(visible=bool(favourites))

    def _keep_favourite(self, text: str | None) -> tuple[Any, str]:
        try:
            sitter = SeedPerson.parse(text or "")
            if sitter.model not in catalog.generators():
                raise InputError(f"There is no model {quoted(sitter.model)} here: choose another favourite.")
            drawn = inversions.drawn_person(sitter, self._service.generators.get(sitter.model))
            kept = self._service.roles.keep_person(drawn)
        except InputError as error:
            return gr.skip(), show.trouble(error)
        return self.choices(kept.path.name), show.note(f"Kept: {kept.name}.{self._how_long(kept)}")

    def _load_latent(self, path: str) -> tuple[Any, str]:
        try:
            self._service.roles.check_latent(path)
            kept = self._service.roles.keep_person(inversions.read_latent(path))
        except InputError as error:
            return gr.skip(), show.trouble(error)
        return self.choices(kept.path.name), show.note(f"Loaded: {kept.name}.{self._how_long(kept)}")

    def _how_long(self, person: inversions.Inverted) -> str:
        return "" if self._service.roles.is_kept(person) else " Gone when you close or reload this page."

    def _delete_person(self, person: str | None, doomed: str) -> tuple[Any, str, Any, str]:
        try:
            inverted = self._service.roles.open_person(person or "")
            if doomed != person:
                words = f"This deletes “{inverted.name}” for good, the picture too. Press again to do it."
                return gr.skip(), person, gr.Button("Delete for good", variant="stop"), show.note(words)
            self._service.roles.delete_person(inverted)
        except InputError as error:
            return self.choices(person), "", _undecided(), show.trouble(error)
        return self.choices(), "", _undecided(), show.note(f"Deleted: {inverted.name}.")

    @redraw
    def _restyle(
        self, person: str | None, strength: float, one: str | None, other: str | None
    ) -> Iterator[dict[Any, Any]]:
        with handed_out() as folder:
            changes: dict[Any, Any] = {
                self.to_sample: gr.Button(interactive=bool(person)),
                self._delete: gr.Button(interactive=bool(person)),
                self._latent: gr.DownloadButton(value=None, interactive=False),
                self._strength: gr.Slider(visible=False),
                self._mix_row: gr.Row(visible=False),
            }
            if not person:
                yield {**changes, self._heading: "", self._collage: ""}
                return
            try:
                restyler = self._service.restylers.get(person)
                latent, _ = copies(restyler.inverted, folder)
                changes[self._latent] = gr.DownloadButton(value=str(latent), interactive=True)
                entries = fitting_entries(restyler.inverted)
                if entries:
                    changes.update({self._strength: gr.Slider(visible=True), self._mix_row: gr.Row(visible=True)})
                yield changes
                throttle = Throttle()
                for collage in collages(restyler, weighted(entries, strength)):
                    if throttle.passes():
                        yield {self._collage: collage.html()}
            except InputError as error:
                yield {**changes, self._heading: show.trouble(error), self._collage: ""}
                return
            words = "every adapted model that fits" if entries else "adapt a model first, and come back"
            named = [(show.entry_title(entry), entry.name) for entry in entries]
            names = [name for _, name in named]
            yield {
                self._heading: show.heading(f"{collage.inverted.name} in other domains", words),
                self._collage: collage.html(),
                self._sheet: gr.DownloadButton(value=str(collage.save(folder))),
                self._one: gr.Dropdown(named, value=one if one in names else next(iter(names), None)),
                self._other: gr.Dropdown([("Nothing", ""), *named], value=other if other in names else ""),
            }

    @redraw
    def _mix(
        self, person: str | None, strength: float, one: str | None, other: str | None, share: float
    ) -> Iterator[dict[Any, Any]]:
        if not person or not one:
            yield {self._slider: None, self._caption: ""}
            return
        try:
            restyler = self._service.restylers.get(person)
            entries = [find_entry(name) for name in (one, other) if name]
            share = number(share, "The share of the second", 0, 1)
            (mix,) = weighted(entries, strength, f"{1 - share},{share}" if other else "")
            picture = to_uint8(restyler.draw(mix))
        except InputError as error:
            yield {self._caption: show.trouble(error)}
            return
        inverted, words = restyler.inverted, mix_words(mix)
        with handed_out() as folder:
            file = inside(folder, f"{person}-restyled.png")
            save_png(to_pictures(picture)[0], file, restyle_settings(inverted, [mix]))
            yield {
                self._slider: tuple(large(levels) for levels in (inverted.picture, picture)),
                self._caption: show.note(f"Left: {inverted.name} as inverted. Right: {words}."),
                self._single: gr.DownloadButton(value=str(file)),
            }


def _undecided() -> Any:
    return gr.Button("Delete", variant="secondary")


# --- people and domains -----------------------------------------------------------------------------------------


def people_choices(service: Service, chosen: str | None = None) -> Any:
    """An update of a dropdown of people whom the visitor may see, by folder name: `chosen` is chosen if they are there,
    else the newest."""
    kept = [(person.title, person.path.name) for person in service.roles.list_people()]
    names = [name for _, name in kept]
    return gr.Dropdown(kept, value=chosen if chosen in names else next(iter(names), None))
