"""The Interpolate tab: people, or domains, that turn into each other, as an animation to watch and to keep."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from torch import Tensor

from ipl_core import InputError
from ipl_core.drawing.interpolate import MAX_PSI, Frame, Walk
from ipl_core.library import examples
from ipl_core.models import catalog
from ipl_core.pictures.media import MAX_RATE, left_out_words, save_animation, to_pictures

from . import show
from .access.files import handed_out, inside
from .base import Event, Tab
from .forms.controls import Controls
from .forms.favourites import choices
from .requests import models
from .requests.animation import Journey, plan
from .requests.drawing import known
from .service.jobs import AT_ONCE
from .service.running import Throttle

log = logging.getLogger(__name__)

_NOWHERE = ("No, only people change", "")
_DEFAULT = Walk()


class InterpolateTab(Tab):
    """Components and listeners of the tab.

    lists: the components that list models and people; `choices` gives their values.
    """

    key, title = "interpolate", "Interpolate"

    def build(self) -> None:
        with gr.Row(equal_height=False):
            with gr.Column(scale=4, min_width=300):
                self._build_request()
            with gr.Column(scale=9, min_width=300):
                self._controls.build_lines("Choose people and press Animate.")
                path, caption = example(next(iter(catalog.generators())))
                self._picture = gr.Image(
                    path,
                    format="jpeg",
                    show_label=False,
                    interactive=False,
                    container=False,
                    buttons=["fullscreen"],
                    elem_classes="animation",
                    visible=path is not None,
                )
                self._caption = gr.HTML(caption)
                with gr.Row(visible=False) as self._result:
                    self._files = {
                        ending: gr.DownloadButton(f"Download {name}", min_width=130)
                        for ending, name in ((".webp", "WebP"), (".mp4", "MP4"), (".gif", "GIF"))
                    }
        self._listen()

    def loads(self, event: Event) -> None:
        """Fills the lists."""
        event(self.choices, None, self.lists, **AT_ONCE)

    def opens(self, event: Event) -> None:
        """Fills the lists with what there is now."""
        event(self.choices, [*self.lists, self._favourites.remembered], self.lists, **AT_ONCE)

    def _build_request(self) -> None:
        fields: dict[str, Any] = {}
        fields["model"] = gr.Dropdown([], label="Model", info="One as it is, or adapted.")
        fields["seeds"] = gr.Textbox("0, 7, 12", label="People, by seed", info="In this order, such as 0, 7, 12-14.")
        fields["persons"] = gr.Dropdown(
            [], value=[], multiselect=True, label="And these, from pictures", info="After those by seed.", visible=False
        )
        fields["sitters"] = gr.Dropdown(
            [], value=[], multiselect=True, label="And these favourites", info="As marked in Sample.", visible=False
        )
        fields["to"] = gr.Dropdown(
            [_NOWHERE], value="", label="Become another model", info="Shows the first person on the way there."
        )
        with gr.Row():
            fields["frames"] = gr.Slider(2, 240, _DEFAULT.frames, step=1, label="Frames", min_width=140)
            fields["rate"] = gr.Slider(1, MAX_RATE, 24, step=1, label="Per second", min_width=140)
        with gr.Row():
            fields["loop"] = gr.Checkbox(True, label="Back to the start", min_width=140)
            fields["side_by_side"] = gr.Checkbox(False, label="Beside the source", min_width=140)
        with gr.Accordion("The way between", open=False):
            fields["space"] = gr.Radio(
                [("Straight in W", "w"), ("Great circle in Z", "z")],
                value=_DEFAULT.space,
                label="Path",
                info="In Z the people on the way are as likely as any; people from pictures have no Z.",
            )
            fields["easing"] = gr.Radio(
                [("Smooth", "smooth"), ("Slow", "slow"), ("Even", "even")],
                value=_DEFAULT.easing,
                label="Pace",
                info="Smooth and slow rest at each person.",
            )
            fields["psi"] = gr.Slider(
                0.0, MAX_PSI, _DEFAULT.psi, step=0.05, label="Truncation", info="Of people by seed. 0: the mean face."
            )
        self._controls = Controls(self._service, "animation", "Animate", "Animating …")
        self._fields = fields

    # --- listeners ----------------------------------------------------------------------------------------------

    def _listen(self) -> None:
        self.lists = [self._fields[name] for name in ("model", "persons", "sitters", "to")]
        fields = list(self._fields.values())
        self._controls.listen(
            self._run,
            fields,
            [self._picture, self._caption, self._result, *self._files.values()],
            [self._controls.start.click, self._fields["seeds"].submit],
        )

    def choices(
        self,
        model: str | None = None,
        persons: Sequence[str] = (),
        sitters: Sequence[str] = (),
        to: str = "",
        remembered: Any = None,
    ) -> tuple[Any, Any, Any, Any]:
        """Updates of `lists`: what there is now, with what was chosen before kept where it is still there.

        remembered: the visitor's favourites, as their browser has them.
        """
        offered = models.choices()
        kept = {person.path.name: person.title for person in self._service.roles.list_people()}
        names = [name for _, name in offered]
        still = [person for person in persons or () if person in kept]
        favourites = known(remembered)
        marked = [str(sitter) for sitter in favourites if str(sitter) in (sitters or ())]
        return (
            gr.Dropdown(offered, value=model if model in names else next(iter(names), None)),
            gr.Dropdown([(title, name) for name, title in kept.items()], value=still, visible=bool(kept)),
            gr.Dropdown(choices(favourites), value=marked, multiselect=True, visible=bool(favourites)),
            gr.Dropdown([_NOWHERE, *offered], value=to if to in names else ""),
        )

    def _run(self, stop: threading.Event, *values: Any) -> Iterator[dict[Any, Any]]:
        asked = dict(zip(self._fields, values))
        rate = asked.pop("rate")
        journey = plan(self._service, asked, rate, stop)
        frames: list[Tensor] = []
        throttle = Throttle()
        for frame in journey.frames:
            frames.append(frame.picture)
            first = throttle.unused
            if throttle.passes():
                yield self._show_frame(frame, journey, first)
        if len(frames) < journey.total:
            words = f"Stopped after {len(frames)} of {journey.total} frames; nothing is kept"
            yield self._controls.say(show.ended(words, "", len(frames) / journey.total), words)
        else:
            yield from self._show_files(frames, journey, rate)

    # --- to the screen ------------------------------------------------------------------------------------------

    def _show_frame(self, frame: Frame, journey: Journey, first: bool) -> dict[Any, Any]:
        changes: dict[Any, Any] = self._controls.say(show.frame_progress(frame), journey.words if first else None)
        changes[self._picture] = gr.Image(to_pictures(frame.picture[None])[0], visible=True)
        if first:  # what was on the screen stays until there is something to take its place
            changes.update({self._caption: show.note(journey.words), self._result: gr.Row(visible=False)})
        return changes

    def _show_files(self, frames: list[Tensor], journey: Journey, rate: float) -> Iterator[dict[Any, Any]]:
        with handed_out() as folder:
            for ending, button in self._files.items():
                path = inside(folder, journey.name + ending)
                save_animation(frames, path, rate, journey.note, journey.enlarge)
                changes: dict[Any, Any] = {button: gr.DownloadButton(value=str(path), interactive=True)}
                if ending == ".webp":  # the one that a page can show; the others follow
                    words = f"Done: {len(frames)} frames, {show.duration(len(frames) / rate)} long"
                    shown = ". ".join(filter(None, [journey.words, left_out_words(".gif", len(frames), rate)]))
                    waiting = [other for other in self._files.values() if other is not button]
                    changes.update({other: gr.DownloadButton(value=None, interactive=False) for other in waiting})
                    changes[self._picture] = gr.Image(str(path), visible=True)
                    changes.update(self._controls.say(show.ended(words, ""), f"{words}. {shown}"))
                    changes.update({self._caption: show.note(shown), self._result: gr.Row(visible=True)})
                yield changes


def example(model: str, path: Path = examples.WALK) -> tuple[str | None, str]:
    """The animation to show before any other, and its words; none where it isn't of these weights, which is logged."""
    try:
        seed, domains = examples.walk(model, path)
    except InputError as error:
        log.warning("No example in the tab Interpolate: %s", error)
        return None, ""
    return str(path), show.note(f"For example, seed {seed} from {', '.join(domains[:-1])} to {domains[-1]}.")
