"""The tab Your picture: a photo becomes a latent, and the person goes through every domain of the library.

Where the face lies is proposed by `ipl_core.pictures.faces` and decided by the visitor. What was found is kept with
the other inverted people: tabs/people.py draws them in the lower half, and the tab Sample beside its seeds.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any

import gradio as gr
from torch import Tensor

from ipl_core import InputError, InvertConfig, InvertResult, Step, lpips
from ipl_core.fields import settings
from ipl_core.library import inversions
from ipl_core.methods.config import INVERT_PRESETS
from ipl_core.models import catalog
from ipl_core.pictures.faces import Crop
from ipl_core.storage.values import choice

from . import show
from .access.roles import GUEST_HOURS
from .access.telling import told
from .base import Event, Press, Tab
from .forms.controls import Controls
from .forms.crop import CropForm
from .forms.fields import complaints, plot
from .forms.people import PeoplePanel
from .forms.reading import ReadingRow
from .forms.settings import sentence, setting_field
from .requests.models import source_choices
from .requests.pictures import MAX_NAME, align, called, chosen_crop, invert_config, seen_by
from .service.jobs import AT_ONCE
from .service.running import Throttle
from .show.entries import likeness

#: The field by the button, which takes complaints about others: on the picture they would lie over its own buttons.
_NAME = "name"
_FROM_PRESET = ("space", "tune", "steps", "tune_steps")
_KIND = "picture"  # of jobs: Stop here ends no other tab's
_HONEST = (
    "The embedded generators draw studio portraits, so a photo becomes the studio portrait of whom the model sees in "
    "it, and what it sees can be corrected. "
    "Weights trained on FFHQ photos, in the settings, stay much closer to a person. "
)
_KEPT_FOR_ALL = (
    "Inverted people who are kept stay on this server, where everyone who uses it sees them: untick “Keep this person "
    "on the server”, or delete who shouldn’t be there. "
)
_KEPT_FOR_ONE = (
    "An inverted person is deleted when you close or reload this page, unless you tick “Keep this person on the "
    "server”; kept, it is shown to this browser and to whoever runs the app, and to nobody else. "
)
_UPLOADS = "The photo itself is deleted within two hours, or when the app ends."
_HOW_LONG = (
    "Ticked: the inverted person stays until somebody deletes it below. Unticked: the person is deleted when you close "
    f"or reload this page, when it has not been used for {GUEST_HOURS:.0f} hours, or when the app ends, whichever is "
    "first; until then only this browser sees the person."
)


class PictureTab(Tab):
    """Components and listeners of the tab. people: those who are kept, restyled below the inversion."""

    key, title = "picture", "Your picture"

    def build(self) -> None:
        gr.HTML(show.note(_HONEST + (_KEPT_FOR_ONE if self._service.policy.shared else _KEPT_FOR_ALL) + _UPLOADS))
        with gr.Row(equal_height=False):
            with gr.Column(scale=5, min_width=300):
                self._build_request()
            with gr.Column(scale=8, min_width=300):
                self._build_inversion()
                self.people = PeoplePanel(self._service, self._favourites)
        self._listen()

    def opens(self, event: Event) -> None:
        """Fills the lists with who is there now, and draws who is chosen."""
        people = self.people
        marked = [people.favourite, people.favourites_row]
        event(people.favourite_choices, self._favourites.remembered, marked, **AT_ONCE)
        filled = event(people.choices, people.person, people.person, **AT_ONCE)
        people.restyle_on(filled.success)

    # --- components ---------------------------------------------------------------------------------------------

    def _build_request(self) -> None:
        self._crop = CropForm(self._service)
        self._reading = ReadingRow(self._service)
        self._name = gr.Textbox(label="Name", max_lines=1, max_length=MAX_NAME, placeholder="what to call the result")
        preset = settings(InvertConfig)["preset"]
        self._preset = setting_field(preset, gr.Radio, label="How long may it take?", info=sentence(preset.note))
        self._keep = gr.Checkbox(
            self._service.policy.keeps_people, label="Keep this person on the server", info=_HOW_LONG
        )
        self._controls = Controls(
            self._service, _KIND, "Invert", "Inverting …", stopping="Stopping; what has been reached is kept."
        )
        with gr.Accordion("Advanced settings", open=False):
            self._build_settings()

    def _build_settings(self) -> None:
        declared, preset = settings(InvertConfig), INVERT_PRESETS[InvertConfig.preset]
        self._space = setting_field(declared["space"], gr.Radio, value=preset["space"])
        self._tune = setting_field(declared["tune"], value=preset["tune"])
        with gr.Row():
            self._steps, self._tune_steps = (
                setting_field(declared[name], value=preset[name], min_width=120) for name in ("steps", "tune_steps")
            )
        start = declared["start"]
        self._begin = setting_field(
            start,
            gr.Radio,
            choices=[(words, name) for name, words in start.titles.items()],
            info=None,
        )
        published = [(lpips.NETWORKS[name].title, name) for name in lpips.available()]
        view = declared["view"]
        self._eyes = setting_field(
            view,
            gr.Radio,
            choices=[(view.titles[InvertConfig.view], InvertConfig.view), *published],
            info=None,
            visible=bool(published),
        )
        self._seed = setting_field(declared["seed"], info=None)
        self._model = setting_field(
            declared["model"], gr.Dropdown, choices=source_choices(), value=next(iter(catalog.generators())), info=None
        )

    def _build_inversion(self) -> None:
        self._controls.build_lines("Give a picture and press Invert.")
        self._found = gr.HTML()
        self._likeness = gr.HTML()
        with gr.Accordion("Losses", open=False, visible=False) as self._curve_box:
            self._curve = plot("Losses by step")

    # --- listeners ----------------------------------------------------------------------------------------------

    def _listen(self) -> None:
        self._config_fields = {
            "model": self._model,
            "preset": self._preset,
            "space": self._space,
            "tune": self._tune,
            "steps": self._steps,
            "tune_steps": self._tune_steps,
            "start": self._begin,
            "view": self._eyes,
            "seed": self._seed,
            "aim": self._reading.aim,
            "sitter": self._reading.sitter,
        }
        self._crop.listen(self._model, self._name, self._controls.announcer)
        self._reading.listen(self._crop.picture, self._model, self._crop.where)
        self._preset.input(
            lambda name: [INVERT_PRESETS[choice(name, "Preset", INVERT_PRESETS)][field] for field in _FROM_PRESET],
            self._preset,
            [self._config_fields[field] for field in _FROM_PRESET],
            **AT_ONCE,
        )
        request = [self._crop.picture, self._name, *self._config_fields.values(), *self._crop.where, self._keep]
        rested = self._controls.listen(
            self._run,
            request,
            [self._found, self._likeness, self._curve_box, self._curve, self.people.person],
            [self._controls.start.click],
            self._check,
        )
        self.people.restyle_on(rested.then)
        self._page.presses.append(Press(self.people.to_sample.click, self.people.person, is_person=True))

    # --- inverting ----------------------------------------------------------------------------------------------

    def _split(self, values: Sequence[Any]) -> tuple[str | None, str, dict[str, Any], list[Any], bool]:
        path, name, *rest, keep = values
        count = len(self._config_fields)
        return path, name, dict(zip(self._config_fields, rest[:count])), rest[count:], keep

    def _check(self, *values: Any) -> list[dict[str, Any]]:
        path, name, settings, where, _ = self._split(values)
        wrong: dict[str, str] = {}
        try:
            called(name, path or "")
            chosen_crop(seen_by(self._service, path), settings["model"], *where)
        except InputError as error:
            wrong[_NAME] = told(error)
        for setting, value in settings.items():
            try:
                invert_config({setting: value}, self._service.device)
            except InputError as error:
                wrong[setting] = told(error)
        fields = ["picture", _NAME, *settings, *(f"where {number}" for number in range(len(where))), "keep"]
        return complaints(fields, wrong, _NAME, (), "Advanced settings")

    def _run(self, stop: threading.Event, *values: Any) -> Iterator[dict[Any, Any]]:
        path, name, settings, where, keep = self._split(values)
        config = invert_config(settings, self._service.device)
        seen_by(self._service, path)  # before models are fetched for it
        name = called(name, path)
        yield from self._controls.fetched(config, stop)
        if stop.is_set():
            yield self._show_end("Stopped before the first step", "", 0.0)
            return
        yield self._controls.say(show.note(f"Loading the models … {inversions.start_words(config)}"), "Inverting.")
        aligned, crop = align(self._service, path, config.model, *where)
        yield from self._show_job(config, aligned, crop, name, stop, keep)

    def _show_job(
        self, config: InvertConfig, aligned: Tensor, crop: Crop, name: str, stop: threading.Event, keep: bool
    ) -> Iterator[dict[Any, Any]]:
        progress, throttle = _Progress(config), Throttle()
        with closing(self._service.inversion(config, aligned, name, crop, stop, keep)) as updates:
            for update in updates:
                if isinstance(update, inversions.Inverted):
                    yield self._show_result(update, progress)
                    return
                progress.add(update)
                first = throttle.unused
                if throttle.passes(update.pictures is not None):
                    yield self._show_step(update, progress, aligned, name, first)

    def _show_step(
        self, update: Step | InvertResult, progress: _Progress, aligned: Tensor, name: str, first: bool
    ) -> dict[Any, Any]:
        changes: dict[Any, Any] = {}
        if first:
            changes.update({self._likeness: "", self._curve_box: gr.Accordion(visible=True)})
        if isinstance(update, Step):
            changes[self._controls.status] = show.progress(update, progress.stages, progress.share)
        if update.pictures is not None:
            changes[self._found] = show.collage(
                (aligned, update.pictures.after), ["picture", "inverted so far"], name, layout="pair"
            )
            changes[self._curve] = gr.LinePlot(progress.curve.table(), x_lim=[0, progress.curve.total])
        return changes

    def _show_result(self, inverted: inversions.Inverted, progress: _Progress) -> dict[Any, Any]:
        search = inverted.record.origin
        stopped = search.stopped
        words, share = f"Done: {inverted.name}", 1.0
        kept = self._service.roles.is_kept(inverted)
        stays = "kept with the people below" if kept else "among the people below until you close or reload this page"
        how = stays if progress.begun else f"made before with the same settings, {stays}"
        if stopped is not None:
            share = progress.share
            words = f"Stopped after {search.latent_steps} steps of the latent and {search.tuning_steps} of tuning"
            if stopped == "not finite":
                words = f"Ended after {search.latent_steps} steps: the numbers grew out of bounds"
            how = f"what was reached is {stays}"
        return {
            **self._show_end(words, f"{how}; it took {show.duration(search.seconds)}", share),
            self._found: show.collage(
                (inverted.aligned, inverted.picture), ["picture", "inverted"], inverted.name, layout="pair"
            ),
            self._likeness: show.facts(likeness(inverted)),
            self.people.person: self.people.choices(inverted.path.name),
        }

    def _show_end(self, words: str, details: str, share: float) -> dict[Any, Any]:
        return self._controls.say(show.ended(words, details, share), words)


class _Progress:
    """What an inversion has shown so far."""

    def __init__(self, config: InvertConfig) -> None:
        self._before_tuning = config.steps
        self.stages = 2 if config.tune else 1
        self.curve = show.Curve(config.steps + (config.tune_steps if config.tune else 0))
        self.share = 0.0
        self.begun = False

    def add(self, update: Step | InvertResult) -> None:
        """Takes in what an inversion yields."""
        self.begun = True
        if isinstance(update, InvertResult):
            return
        step = update.step + (self._before_tuning if update.phase == "tuning" else 0)
        if update.phase == "latent" and update.total != self._before_tuning:  # a portrait, which has few steps
            self.curve.total, self.stages = update.total, 1
        if update.phase == "tuning":  # which goes on where the picture isn't reached yet
            self.curve.total = self._before_tuning + update.total
        # The noise maps' own term has no scale in common with the distances.
        self.curve.add(step, {name: value for name, value in update.losses.items() if name != "noise"})
        self.share = step / self.curve.total
