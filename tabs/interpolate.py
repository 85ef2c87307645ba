"""The Interpolate tab: people, or domains, that turn into each other, as an animation to watch and to keep."""

from __future__ import annotations

import logging
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
from torch import Tensor

from ipl_core import InputError
from ipl_core.drawing.interpolate import (
    MAX_POINTS,
    MAX_PSI,
    Frame,
    Person,
    Walk,
    described,
    through_domains,
    through_people,
)
from ipl_core.drawing.mixing import Mixer
from ipl_core.latents import parse_seeds
from ipl_core.library import examples
from ipl_core.models import catalog
from ipl_core.pictures.media import ANIMATIONS, MAX_RATE, enlargement, left_out_words, save_animation, to_pictures
from ipl_core.storage.values import flag, number
from ipl_core.storage.words import quoted

from . import show
from .access.files import inside
from .forms.controls import Controls
from .forms.favourites import Favourites, choices, known
from .requests import models
from .service.running import SECONDS_BETWEEN_YIELDS
from .service.session import Service

log = logging.getLogger(__name__)

_NOWHERE = ("No, only people change", "")
_DEFAULT = Walk()


@dataclass(frozen=True)
class Journey:
    """An animation that was asked for: its frames to come, what it shows in words, and in plain values for its file."""

    frames: Iterator[Frame]
    total: int
    words: str
    note: Mapping[str, Any]
    name: str
    enlarge: int


class InterpolateTab:
    """Components and listeners of the tab; build it inside `gr.Blocks`.

    lists: the components that list models and people; `choices` gives their values.
    """

    def __init__(self, service: Service, favourites: Favourites) -> None:
        self._service, self._favourites = service, favourites
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

    def _build_request(self) -> None:
        self._model = gr.Dropdown([], label="Model", info="One as it is, or adapted.")
        self._seeds = gr.Textbox("0, 7, 12", label="People, by seed", info="In this order, such as 0, 7, 12-14.")
        self._persons = gr.Dropdown(
            [], value=[], multiselect=True, label="And these, from pictures", info="After those by seed.", visible=False
        )
        self._sitters = gr.Dropdown(
            [], value=[], multiselect=True, label="And these favourites", info="As marked in Sample.", visible=False
        )
        self._to = gr.Dropdown(
            [_NOWHERE], value="", label="Become another model", info="Shows the first person on the way there."
        )
        with gr.Row():
            self._frames = gr.Slider(2, 240, _DEFAULT.frames, step=1, label="Frames", min_width=140)
            self._rate = gr.Slider(1, MAX_RATE, 24, step=1, label="Per second", min_width=140)
        with gr.Row():
            self._loop = gr.Checkbox(True, label="Back to the start", min_width=140)
            self._side_by_side = gr.Checkbox(False, label="Beside the source", min_width=140)
        with gr.Accordion("The way between", open=False):
            self._space = gr.Radio(
                [("Straight in W", "w"), ("Great circle in Z", "z")],
                value=_DEFAULT.space,
                label="Path",
                info="In Z the people on the way are as likely as any; people from pictures have no Z.",
            )
            self._easing = gr.Radio(
                [("Smooth", "smooth"), ("Slow", "slow"), ("Even", "even")],
                value=_DEFAULT.easing,
                label="Pace",
                info="Smooth and slow rest at each person.",
            )
            self._psi = gr.Slider(
                0.0, MAX_PSI, _DEFAULT.psi, step=0.05, label="Truncation", info="Of people by seed. 0: the mean face."
            )
        self._controls = Controls(self._service, "animation", "Animate", "Animating …")

    # --- listeners ----------------------------------------------------------------------------------------------

    def _listen(self) -> None:
        self.lists = [self._model, self._persons, self._sitters, self._to]
        self._fields = {
            "model": self._model,
            "seeds": self._seeds,
            "persons": self._persons,
            "sitters": self._sitters,
            "to": self._to,
            "frames": self._frames,
            "rate": self._rate,
            "loop": self._loop,
            "side_by_side": self._side_by_side,
            "space": self._space,
            "easing": self._easing,
            "psi": self._psi,
        }
        fields = list(self._fields.values())
        self._controls.listen(
            self._run,
            fields,
            [self._picture, self._caption, self._result, *self._files.values()],
            [self._controls.start.click, self._seeds.submit],
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
        shown = None
        for frame in journey.frames:
            frames.append(frame.picture)
            now = time.monotonic()
            if shown is None or now - shown >= SECONDS_BETWEEN_YIELDS:
                yield self._show_frame(frame, journey, first=shown is None)
                shown = now
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
        with tempfile.TemporaryDirectory() as folder:  # Gradio has copied a file when its yield returns
            for ending, button in self._files.items():
                path = inside(Path(folder), journey.name + ending)
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


# --- requests ---------------------------------------------------------------------------------------------------


def plan(service: Service, asked: Mapping[str, Any], rate: Any, stop: threading.Event) -> Journey:
    """What a visitor asked for, ready to be drawn. Raises InputError for what can't be."""
    number(rate, "Frames a second", 1, MAX_RATE)
    loop = flag(asked["loop"], "Back to the start")
    side = flag(asked["side_by_side"], "Beside the source")
    walk = Walk(asked["frames"], loop, asked["easing"], asked["space"], asked["psi"])
    model = models.chosen(asked["model"])
    mixer = Mixer(model.source, service.device, service.generators.get(model.source))
    seeds = asked["seeds"]
    blank = seeds is None or (isinstance(seeds, str) and not seeds.strip())
    persons: list[Person] = [] if blank else parse_seeds(seeds, MAX_POINTS)
    persons += [service.roles.open_person(name) for name in asked["persons"] or ()]
    persons += known(asked["sitters"])
    if asked["to"]:
        goal = models.chosen(asked["to"])
        if goal.source != model.source:
            raise InputError(f"“{model.source}” can't become “{goal.source}”: their weights have nothing in common.")
        if not persons:
            raise InputError("Say who is to be shown: give a seed, or choose a person.")
        persons = persons[:1]
        domains = [(station.entry, 1.0) for station in (model, goal) if station.entry is not None]
        frames = through_domains(mixer, persons[0], [model.entry, goal.entry], walk, side, stop)
        words = f"{who(persons[0])} from {model.domain} to {goal.domain}"
    else:
        domains = [] if model.entry is None else [(model.entry, 1.0)]
        frames = through_people(mixer, persons, walk, domains, side, stop)
        names = [who(person) for person in persons]
        words = f"{', '.join(names[:-1])} and {names[-1]} as {model.domain}"
    words += ", beside the source" if side else ""
    note = described(mixer, persons, walk, domains, side)
    name = "-".join(entry.name for entry, _ in domains) or "source"
    return Journey(frames, walk.frames, words, note, f"animation-{name}", enlargement(mixer.source.config.resolution))


def ending(suffix: Any) -> str:
    """What an animation's file ends in, which says its format. Raises InputError for any other value."""
    if not isinstance(suffix, str) or suffix not in ANIMATIONS:
        raise InputError(f"An animation is written as one of {', '.join(ANIMATIONS)}, not {quoted(suffix)}.")
    return suffix


def who(person: Person) -> str:
    """A person in words."""
    return f"seed {person}" if isinstance(person, int) else person.name
