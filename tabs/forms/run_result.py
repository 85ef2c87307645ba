"""What a run shows while it lasts and when it has ended: people, curves, earlier steps, files, and the way further."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from ipl_core import AdaptResult, InputError, Step
from ipl_core.library import domain_folder, store
from ipl_core.pictures.media import grid, pairs, save_png
from ipl_core.storage.values import whole

from .. import show
from ..access.files import handed_out, inside
from ..requests.library import MAX_STEP
from ..requests.models import find_entry
from ..requests.watching import LAST, drawn
from ..service.jobs import LOOK, QUIET_JOB, redraw
from ..service.service import Service
from ..show.record import Record
from .controls import Controls
from .fields import plot, refusing

MORE_STEPS = 100


class RunResult:
    """The components below the lines of `controls`; build it inside `gr.Blocks`.

    entry: state, the folder name of the library entry on the screen, "" if there is none. run: likewise that of the
    run, also while one of its earlier steps is `entry`. further: how many steps more, and the button for them.
    to_sample: the button that leads to the tab Sample. outputs: what the handlers below give values for.
    """

    def __init__(self, service: Service, controls: Controls) -> None:
        self._service, self._controls = service, controls
        self.people = gr.HTML()
        self.diversity = gr.HTML()
        with gr.Row(visible=False, elem_classes="earlier") as self.earlier:
            self.step = gr.Radio([], label="Earlier steps", info="The same people on the way.", scale=3, min_width=220)
            self.pick = gr.Button("Keep this step as a model", interactive=False, min_width=150)
        with gr.Row(visible=False) as self._files:
            self.to_sample = gr.Button("Draw more people", variant="primary", min_width=150)
            self._weights = gr.DownloadButton("Download weights", min_width=150)
            self._picture = gr.DownloadButton("Download picture", min_width=150)
        with gr.Row(visible=False, elem_classes="go-on") as self._further_row:
            steps = gr.Number(MORE_STEPS, label="More steps", precision=0, min_width=120)
            self.further = (steps, gr.Button("Go on", min_width=120))
        with gr.Row(visible=False) as self._curves_row:
            self.curves = {
                "prompts": plot("Stage 1: losses by step"),
                "generator": plot("Stage 2: loss by step", colors_in_legend=[]),
                "diversity": plot("Diversity by step of stage 2", colors_in_legend=[], y_lim=[0.0, None]),
            }
        self.entry = gr.State("")
        self.run = gr.State("")
        self.outputs = [
            *(self.people, self.diversity, self._curves_row, *self.curves.values(), self._files, self._weights),
            *(self._picture, self.earlier, self.step, self.pick, self._further_row, self.entry, self.run),
        ]
        self.step.input(
            self.look_at_step, [self.run, self.step], [*controls.lines, self.people, self.pick], **QUIET_JOB
        )
        self.pick.click(self.pick_step, [self.run, self.step], [*controls.lines, self.entry, self.pick], **LOOK)

    # --- a run --------------------------------------------------------------------------------------------------

    def show_step(self, update: Step | AdaptResult, record: Record, first: bool) -> dict[Any, Any]:
        """A step of a run, and its pictures where it has some. first: whether it is the first that is shown."""
        changes: dict[Any, Any] = {}
        if first:  # what was on the screen stays until there is something to take its place
            hidden = {row: gr.Row(visible=False) for row in (self._files, self.earlier, self._further_row)}
            changes.update({**hidden, self.entry: "", self.run: ""})
        if isinstance(update, Step):
            changes[self._controls.status] = show.progress(update, record.stages, record.share)
        if update.pictures is not None:  # always so on the first one
            changes[self.people] = record.people()
            changes[self.diversity] = show.diversity(update.pictures.diversity)
            changes.update(self._show_curves(record, afresh=first))
        return changes

    def _show_curves(self, record: Record, afresh: bool) -> dict[Any, Any]:
        tables = {name: curve.table() for name, curve in record.curves.items()}
        if not afresh:
            return {self.curves[name]: table for name, table in tables.items()}
        plots = {
            self.curves[name]: gr.LinePlot(
                table, x_lim=[0, record.curves[name].total], visible=name != "prompts" or record.stages == 2
            )
            for name, table in tables.items()
        }
        return {self._curves_row: gr.Row(visible=True), **plots}

    def show_kept(self, entry: store.Entry) -> Iterator[dict[Any, Any]]:
        """A run that is in the library already."""
        record = drawn(self._service, entry)
        record.recall(entry)
        yield {
            self.people: record.people(),
            self.diversity: show.diversity(entry.record.diversity),
            **self._show_curves(record, afresh=True),
        }
        yield from self.show_end(entry, record, "made before with the same settings, and kept")

    def show_end(self, entry: store.Entry, record: Record, how: str = "kept") -> Iterator[dict[Any, Any]]:
        """A run that has ended, with its files. how: it got to the library."""
        words, details, how = _end_words(entry, how)
        steps = entry.run.generator_steps
        choices = [(str(step), step) for step in entry.steps()]
        with handed_out() as folder:
            weights, picture = _copies(entry, record, folder)
            yield {
                **self._controls.say(
                    show.ended(words, details, 1.0 if entry.finished else record.share),
                    f"{words}; {how} in the library.",
                ),
                self._files: gr.Row(visible=True),
                self._weights: gr.DownloadButton(value=str(weights)),
                self._picture: gr.DownloadButton(value=str(picture)),
                self.earlier: gr.Row(visible=bool(choices)),
                self.step: gr.Radio([*choices, (f"{steps}, the last", LAST)], value=LAST),
                self.pick: gr.Button(interactive=False),
                self._further_row: gr.Row(visible=True),
                self.entry: entry.name,
                self.run: entry.name,
            }

    def refuse(self, error: InputError) -> dict[Any, Any]:
        """The sentence that says why something can't be done."""
        return self._controls.say(show.trouble(error), error)

    # --- earlier steps ------------------------------------------------------------------------------------------

    @redraw
    @refusing
    def look_at_step(self, name: str, step: Any) -> dict[Any, Any]:
        """The watched people of a run at one of its steps."""
        entry = find_entry(name)
        step = whole(step, "The step", 0, MAX_STEP)
        record = drawn(self._service, entry, step)
        mine = self._service.roles.may_change(entry)
        words = "The people at the last step." if step == LAST else f"The people at step {step}."
        words += "" if mine else " The run was made in another browser, so only who made it can keep a step as a model."
        lines = self._controls.say(show.note(words), words)
        return {**lines, self.people: record.people(), self.pick: gr.Button(interactive=step != LAST and mine)}

    @refusing
    def pick_step(self, name: str, step: Any) -> dict[Any, Any]:
        """Keeps one of the steps of a run as an entry of its own."""
        picked = self._service.roles.pick(find_entry(name), whole(step, "The step", 0, MAX_STEP))
        words = f"Kept in the library: {show.entry_name(picked)}"
        lines = self._controls.say(show.note(words), words)
        return {**lines, self.entry: picked.name, self.pick: gr.Button(interactive=False)}


def _end_words(entry: store.Entry, how: str) -> tuple[str, str, str]:
    """How a run ended, the details of that, and how it got to the library."""
    run = entry.run
    config, steps = run.config, run.generator_steps
    words = f"Done: {config.target} by {show.method_name(config)}"
    if run.stopped == "asked":
        words = f"Stopped at step {steps} of {config.steps}"
    elif run.stopped:
        words = f"Ended at step {steps} of {config.steps}: the numbers grew out of bounds"
        how = "kept as it was before that; try a lower learning rate"
    if run.resumed is not None:
        with_what = "the state of its training" if run.resumed.exactly else "a fresh optimiser"
        how = f"went on from step {run.resumed.step} with {with_what}, {how}"
    details = f"{how} in the library; it took {show.duration(run.seconds)}"
    return words, details + (f". {entry.left_out}" if entry.left_out else ""), how


def _copies(entry: store.Entry, record: Record, folder: Path) -> tuple[str, Path]:
    """An entry's weights, and one picture of the watched people before and after, as files in `folder`."""
    weights = shutil.copy(entry.path / domain_folder.ADAPTED, inside(folder, f"{entry.name}.safetensors"))
    sheet = grid(pairs(record.before, record.after), columns=8)
    return weights, save_png(sheet, inside(folder, f"{entry.name}.png"), entry.settings["config"])
