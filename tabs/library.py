"""The Library tab: every adapted domain that is kept, to draw from, name, pick an earlier step of, export, delete.

Generators that were adapted elsewhere come in here, too. What a handler does to the library is done by `ipl_core`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from ipl_core import InputError
from ipl_core.drawing.mixing import MAX_STRENGTH
from ipl_core.latents import parse_seeds
from ipl_core.library import domain_folder, inversions, store
from ipl_core.library.import_export import FORMATS, formats
from ipl_core.library.records import MAX_TITLE
from ipl_core.methods.config import MAX_PREVIEWS
from ipl_core.models import catalog
from ipl_core.storage.words import quoted, size_words
from ipl_core.study import study

from . import show
from .access.files import handed_out
from .access.gate import detail
from .base import Event, Press, Tab
from .forms.fields import refusing
from .requests.library import exported, taken_in
from .requests.mixing import domains_mixed, draw_mix, keep_mix, mix_words
from .requests.models import find_entry
from .service.jobs import AT_ONCE, LOOK, PAGE_JOB, redraw
from .show.look import FOCUS_ON_ENTRY, FOCUS_ON_QUESTION

#: Cards are buttons in the value, so the component has to say which one was pressed.
_CLICK = """
element.addEventListener('click', (event) => {
  const button = event.target.closest('button[data-name]');
  if (button) trigger(button.matches('.manage') ? 'select' : 'click', { name: button.dataset.name });
});
"""
MAX_MIXED = 4  # domains in the form; the API takes more
_NO_DOMAIN = ("None", "")
_LAST = "last"
_STEPS = "Earlier ones can be looked at, exported, or kept as a model."
_NO_STEPS = "No earlier ones were kept; the tab Adapt does so in its advanced settings."
_NOT_YOURS = (
    "Made in another browser: look at it and draw from it. Only who made it, or whoever runs this app, can rename or "
    "delete it, or keep its steps as models."
)
_NOTHING_KEPT = "Nothing is kept yet: every run of the tab Adapt comes here when it ends or is stopped."
_SHIPPED = "It comes with the app: draw from it, mix it and export it. It can’t be renamed, deleted or gone on with."
_NO_IMPORT = "On this shared app only whoever runs it imports generators: give the token below first."
_ALLOWED = "This page may now change, import and run everything, until it is closed."
_HOW = "Press a picture to draw from it, or Manage to name, export or delete it."


class LibraryTab(Tab):
    """Components and listeners of the tab.

    cards: its `click` event carries the folder name of the entry that a visitor wants to draw from as `name`.
    entry: state, the folder name of the entry that is managed.
    """

    key, title = "library", "Library"

    def build(self) -> None:
        with gr.Row(equal_height=False):
            with gr.Column(scale=4, min_width=300):
                self._status = gr.HTML(show.note(_HOW))
                self._announcer = gr.HTML(elem_classes="announcer")
                with gr.Column(visible=False, elem_classes="chosen") as self._panel:
                    self._build_panel()
                with gr.Accordion("Mix domains, or change their strength", open=False) as self._mixing:
                    self._build_mix()
                with gr.Accordion("Import an adapted generator", open=False):
                    self._build_import()
                with gr.Accordion(
                    "For whoever runs this app", open=False, visible=self._service.policy.shared
                ) as self._office:
                    self._build_office()
            with gr.Column(scale=9, min_width=300):
                self._mixed = gr.HTML()
                self.cards = gr.HTML(js_on_load=_CLICK)
        self.entry = gr.State("")
        self._listen()

    def opens(self, event: Event) -> None:
        """Shows what is kept now."""
        event(self.contents, None, self.cards, **AT_ONCE)
        event(self.domain_choices, self.domains, self.domains, **AT_ONCE)

    # --- components ---------------------------------------------------------------------------------------------

    def _build_panel(self) -> None:
        self._heading = gr.HTML()
        self._preview = gr.HTML()
        self._facts = gr.HTML()
        self._to_sample = gr.Button("Draw people", variant="primary")
        with gr.Group():  # always there: a value that is changed while its component isn't would be lost
            self._step = gr.Dropdown([], label="Step")
            self._pick = gr.Button("Keep this step as a model of its own", interactive=False)
        self._whose = gr.HTML(visible=False)
        with gr.Group():
            self._title = gr.Textbox(
                label="Name", info="Blank, it is called by its domain.", max_lines=1, max_length=MAX_TITLE
            )
            self._rename = gr.Button("Rename")
        with gr.Row():
            self._export = {suffix: gr.Button(f"Export {suffix}", min_width=130) for suffix in FORMATS}
        self._file = gr.File(label="Exported", visible=False, interactive=False)
        with gr.Row():
            self._delete = gr.Button("Delete …", variant="stop", min_width=130)
            self._close = gr.Button("Close", min_width=130)
        with gr.Group(visible=False, elem_classes="question") as self._question:
            self._asked = gr.HTML(padding=True)
            with gr.Row():
                self._spare = gr.Button("Keep it", min_width=110)
                self._sure = gr.Button("Delete for good", variant="stop", min_width=110)

    def _build_mix(self) -> None:
        self._domains: list[tuple[gr.Dropdown, gr.Number]] = []
        for place in range(1, MAX_MIXED + 1):
            with gr.Row():
                domain = gr.Dropdown([_NO_DOMAIN], value="", label=f"Domain {place}", scale=3, min_width=150)
                share = gr.Number(50, label="Parts", minimum=0, scale=1, min_width=80)
            self._domains.append((domain, share))
        self._strength = gr.Slider(
            0.0, MAX_STRENGTH, 1.0, step=0.05, label="Strength", info="0: the source. 1: as adapted. Above: overdone."
        )
        self._seeds = gr.Textbox("0-7", label="Whom to draw", info="Seeds, such as 0-7 or 3, 14, 15.", max_lines=1)
        self._draw_mix = gr.Button("Draw the mix", variant="primary")
        self._mix_title = gr.Textbox(
            label="Name of the mix",
            info="Blank, it says what it is made of.",
            max_lines=1,
            max_length=MAX_TITLE,
        )
        self._keep_mix = gr.Button("Keep the mix as a model of its own")

    def _build_import(self) -> None:
        models = [(entry.title, name) for name, entry in catalog.generators().items() if catalog.is_here(entry)]
        # Of any name: what is in it decides, and people call such files .pth, .ckpt or .bin, too.
        self._upload = gr.File(label="File", elem_classes="upload", height=140, type="filepath")
        self._model = gr.Dropdown(models, label="Adapted from", info="It has to fit this model.")
        self._target = gr.Textbox(
            label="What does it draw?", placeholder="pencil sketch", info="Files exported here know it.", max_lines=1
        )
        self._import_words = gr.HTML(show.note(_NO_IMPORT), visible=self._service.policy.shared)
        self._import = gr.Button("Import", interactive=not self._service.policy.shared)

    def _build_office(self) -> None:
        self._token = gr.Textbox(
            label="The app’s token", type="password", info="Printed when the app started, unless IPL_ADMIN says it."
        )
        self._let_in = gr.Button("Allow me everything")
        self._admitted = gr.HTML()

    # --- listeners ----------------------------------------------------------------------------------------------

    def _listen(self) -> None:
        self._page.presses += [Press(self.cards.click), Press(self._to_sample.click, self.entry)]
        told = [self._status, self._announcer]
        panel = [
            self.entry, self._panel, self._heading, self._preview, self._facts, self._step, self._pick,
            self._title, *self._export.values(), self._file, self._question, self._rename, self._delete, self._whose,
        ]  # fmt: skip
        everything = [*told, *panel, self.cards]
        self.cards.select(self._open, None, [*told, *panel], **AT_ONCE).success(None, js=FOCUS_ON_ENTRY)
        self._close.click(self._shut, None, panel, **AT_ONCE)
        self._step.input(
            self._show_step, [self.entry, self._step], [*told, self._preview, self._pick, self._file], **AT_ONCE
        )
        self._pick.click(self._pick_step, [self.entry, self._step], everything, **LOOK)
        for event in (self._rename.click, self._title.submit):
            event(self._give_title, [self.entry, self._title], everything, **AT_ONCE)
        for suffix, button in self._export.items():
            button.click(
                self._exporter(suffix),
                [self.entry, self._step],
                [*told, self._file],
                show_progress_on=self._file,
                **PAGE_JOB,
            )
        asked = self._delete.click(self._ask, self.entry, [*told, self._question, self._asked], **AT_ONCE)
        asked.success(None, js=FOCUS_ON_QUESTION)
        self._spare.click(lambda: gr.Group(visible=False), None, self._question, **AT_ONCE)
        self._sure.click(self._delete_entry, self.entry, everything, **AT_ONCE)
        mix = [component for pair in self._domains for component in pair] + [self._strength]
        for event in (self._draw_mix.click, self._strength.release, self._seeds.submit):
            event(self._show_mix, [self._seeds, *mix], [*told, self._mixed], show_progress_on=self._mixed, **PAGE_JOB)
        self._keep_mix.click(
            self._keep_mixed,
            [self._mix_title, *mix],
            [*everything, self._mix_title],
            show_progress_on=self._mixed,
            **PAGE_JOB,
        ).success(None, js=FOCUS_ON_ENTRY)
        self._import.click(
            self._take_in,
            [self._upload, self._model, self._target],
            [*everything, self._upload],
            show_progress_on=self._upload,
            **PAGE_JOB,
        ).success(None, js=FOCUS_ON_ENTRY)
        gr.on(
            [self._let_in.click, self._token.submit],
            self._open_office,
            self._token,
            [self._admitted, self._token, self._import, self._import_words, *panel],
            **AT_ONCE,
        )

    def contents(self) -> str:
        """Value for `cards`: what is kept, and what is damaged."""
        entries, problems = store.scan()
        if self._service.roles.may_everything():  # a person's folder is called by the name that somebody gave them
            problems = [*problems, *inversions.scan()[1], *study.scan()[1]]
        above = "".join(show.trouble(problem) for problem in problems)
        kept = [entry for entry in entries if not entry.shipped]
        total = size_words(sum(entry.bytes for entry in kept))
        own = show.heading("Adapted domains", f"{len(kept)} kept, {total} on the disk") + show.cards(kept)
        finished = [entry for entry in entries if entry.shipped]
        with_app = show.heading("Finished models", "they come with the app") + show.cards(finished)
        return above + (own if kept else show.note(_NOTHING_KEPT)) + (with_app if finished else "")

    @property
    def domains(self) -> list[gr.Dropdown]:
        """The components whose values `domain_choices` gives."""
        return [domain for domain, _ in self._domains]

    def domain_choices(self, *chosen: str) -> list[Any]:
        """Updates of `domains`: what is kept, with what was chosen before kept where it is still there."""
        kept = [(show.entry_title(entry), entry.name) for entry in store.list_entries()]
        names = {name for _, name in kept}
        return [gr.Dropdown([_NO_DOMAIN, *kept], value=name if name in names else "") for name in chosen]

    # --- a mix ----------------------------------------------------------------------------------------------

    @redraw
    @refusing
    def _show_mix(self, seeds: str, *mix: Any) -> dict[Any, Any]:
        *parts, strength = mix
        mixed = domains_mixed(parts[::2], parts[1::2], strength)
        before, after = draw_mix(self._service, mixed, seeds)
        words = mix_words(mixed)
        source = mixed[0][0].source
        people = show.people(parse_seeds(seeds, MAX_PREVIEWS), before, source, after, words)
        return {**self._tell(f"Drawn: {words}"), self._mixed: show.heading(words, "below what they were") + people}

    @refusing
    def _keep_mixed(self, title: str, *mix: Any) -> dict[Any, Any]:
        *parts, strength = mix
        entry = keep_mix(self._service, domains_mixed(parts[::2], parts[1::2], strength), title)
        words = f"Kept: {show.entry_name(entry)}"
        return {**self._shown(entry, words), self.cards: self.contents(), self._mix_title: ""}

    # --- one entry ----------------------------------------------------------------------------------------------

    @refusing
    def _open(self, event: gr.EventData) -> dict[Any, Any]:
        return self._shown(find_entry(detail(event, "name")))

    def _shown(self, entry: store.Entry, words: str = "") -> dict[Any, Any]:
        """What the panel holds for an entry."""
        steps = entry.steps()
        last = entry.run.generator_steps if entry.from_run else 0
        choices = [(f"{last}, the last" if last else "the only one", _LAST), *(str(step) for step in reversed(steps))]
        info = _STEPS if steps else _NO_STEPS
        mine = self._service.roles.may_change(entry)
        return {
            **self._tell(words),
            self.entry: entry.name,
            self._panel: gr.Column(visible=True),
            self._heading: show.heading(show.entry_name(entry), ""),
            self._preview: self._pictures(entry, entry.samples_picture),
            self._facts: show.entry_facts(entry),
            self._step: gr.Dropdown(choices, value=_LAST, interactive=bool(steps), info=info),
            self._pick: gr.Button(interactive=False),
            self._title: gr.Textbox(entry.record.title, placeholder=entry.target, interactive=mine),
            self._rename: gr.Button(interactive=mine),
            self._delete: gr.Button(interactive=mine),
            self._whose: gr.HTML(show.note(_SHIPPED if entry.shipped else _NOT_YOURS), visible=not mine),
            **{button: self._export_button(suffix, entry.model) for suffix, button in self._export.items()},
            self._file: gr.File(None, visible=False),
            self._question: gr.Group(visible=False),
        }

    def _export_button(self, suffix: str, model: str) -> Any:
        """The embedded model is at hand to be asked what can hold it; of others, an export says so itself."""
        known = catalog.generators().get(model)
        if known is None or known.offer is not None or suffix in formats(self._service.generators.get(model).config):
            return gr.Button(f"Export {suffix}", interactive=True)
        return gr.Button(f"No {suffix} for this model", interactive=False)

    def _shut(self) -> dict[Any, Any]:
        return {self._panel: gr.Column(visible=False), self.entry: ""}

    def _pictures(self, entry: store.Entry, after: Path | bytes) -> str:
        adapted = f"{entry.target}, {show.entry_method(entry)}"
        return show.before_and_after(entry.source_picture, after, entry.source, adapted)

    @refusing
    def _show_step(self, name: str, chosen: str) -> dict[Any, Any]:
        entry, step = find_entry(name), _number(chosen)
        mine = self._service.roles.may_change(entry)
        after = entry.path / domain_folder.step_picture(step) if step else entry.samples_picture
        return {
            **self._tell(""),
            self._preview: self._pictures(entry, after),
            self._pick: gr.Button(interactive=bool(step) and mine),
            self._file: gr.File(None, visible=False),
        }

    @refusing
    def _pick_step(self, name: str, chosen: str) -> dict[Any, Any]:
        picked = self._service.roles.pick(find_entry(name), _number(chosen))
        return {**self._shown(picked, f"Kept: {show.entry_name(picked)}"), self.cards: self.contents()}

    @refusing
    def _give_title(self, name: str, title: str) -> dict[Any, Any]:
        entry = store.rename(self._service.roles.check_change(find_entry(name)), title)
        return {**self._shown(entry, f"Called: {show.entry_name(entry)}"), self.cards: self.contents()}

    def _exporter(self, suffix: str) -> Callable[[str, str], Iterator[dict[Any, Any]]]:
        def prepare(name: str, chosen: str) -> Iterator[dict[Any, Any]]:
            try:
                with handed_out() as folder:
                    path = exported(name, suffix, _number(chosen), folder)
                    yield {**self._tell(f"Ready: {path.name}"), self._file: gr.File(str(path), visible=True)}
            except InputError as error:
                yield self.refuse(error)

        return prepare

    @refusing
    def _ask(self, name: str) -> dict[Any, Any]:
        words = f"Delete “{show.entry_name(find_entry(name))}” for good? Nothing brings it back."
        return {**self._tell(""), self._question: gr.Group(visible=True), self._asked: show.note(words)}

    @refusing
    def _delete_entry(self, name: str) -> dict[Any, Any]:
        entry = find_entry(name)
        words = f"Deleted: {show.entry_name(entry)}"
        self._service.roles.delete(entry)
        return {**self._tell(words), **self._shut(), self.cards: self.contents()}

    @refusing
    def _take_in(self, request: gr.Request, path: str | None, model: str, target: str) -> dict[Any, Any]:
        entry = taken_in(self._service, path, model, target, self._service.stops.running(request.session_hash))
        words = f"Imported: {show.entry_name(entry)}"
        return {**self._shown(entry, words), self.cards: self.contents(), self._upload: None}

    def _open_office(self, token: str) -> dict[Any, Any]:
        try:
            self._service.roles.let_in(token)
        except InputError as error:
            return {self._admitted: show.trouble(error)}
        return {
            self._admitted: show.note(_ALLOWED),
            self._token: "",
            self._import: gr.Button(interactive=True),
            self._import_words: gr.HTML(visible=False),
            **self._shut(),  # what is off in it would be on now
        }

    # --- words --------------------------------------------------------------------------------------------------

    def _tell(self, words: str) -> dict[Any, Any]:
        return {self._status: show.note(words or _HOW), self._announcer: show.spoken(words)}

    def refuse(self, error: InputError) -> dict[Any, Any]:
        """The sentence that says why something can't be done."""
        return {self._status: show.trouble(error), self._announcer: show.spoken(error)}


def _number(chosen: Any) -> int:
    """The step that was chosen in the list; 0 for the last. Raises InputError for what is no step."""
    if chosen == _LAST:
        return 0
    if not isinstance(chosen, str) or not chosen.isdecimal() or len(chosen) > 6:
        raise InputError(f"There is no step {quoted(chosen)}: choose one of the list.")
    return int(chosen)
