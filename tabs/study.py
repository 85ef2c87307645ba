"""The Blind study tab: visitors say which of two pictures is better, not knowing what drew them; the one who runs it
starts a study and reads its tally.

Nothing that tells the two apart reaches a voter's browser: pictures are part of the page, and the question that an
answer belongs to stays on the server.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator
from typing import Any

import gradio as gr

from ipl_core import InputError
from ipl_core.latents import parse_seeds
from ipl_core.library import store
from ipl_core.study import study

from . import show
from .access.files import handed_out, inside
from .access.limiter import Limiter
from .base import Event, Tab
from .forms.controls import Controls
from .requests.models import find_entry
from .service.jobs import AT_ONCE

MAX_SEEDS = 200
#: Faster than this nobody has looked: the second click of a double click is no answer to the next question.
SHORTEST_LOOK = 0.35
_VOTER_LENGTH = 64


class StudyTab(Tab):
    """Components and listeners of the tab.

    look: a handler of `remembered` that gives updates of `ballot`: what the visitor is to see on coming to the tab.
    """

    key, title = "study", "Blind study"

    def build(self) -> None:
        policy = self._service.policy
        self._newcomers = Limiter(policy.voters_at_once, policy.voters_a_minute)
        # Who has voted is known to their own browser, so that coming back goes on where they were.
        self.remembered = gr.BrowserState("", storage_key="ipl-studio-voter", secret="ipl-studio")
        self._asked = gr.State(None)
        with gr.Column(elem_classes="ballot"):
            self._words = gr.HTML(show.note("Looking for a study …"))
            self._begin = gr.Button("Begin", visible=False, variant="primary")
            with gr.Row(visible=False, elem_classes="sides") as self._sides:
                self._left = gr.Button("The left one", min_width=100)
                self._right = gr.Button("The right one", min_width=100)
            self._skip = gr.Button("Skip: I can’t say", visible=False, size="sm")
            self._announcer = gr.HTML(elem_classes="announcer")
        with gr.Accordion("For whoever runs the study", open=False):
            self._token = gr.Textbox(
                label="Token", type="password", info="Printed when the app started, unless IPL_ADMIN says it."
            )
            self._open = gr.Button("Open")
            self._gate = gr.HTML()
            with gr.Column(visible=False) as self._desk:
                self._build_desk()
        self.ballot = [self.remembered, self._asked, self._words, self._sides, self._skip, self._begin, self._announcer]
        self._listen()

    def loads(self, event: Event) -> None:
        """Comes up at once where the address of the page asks for a study."""
        event(self._come_if_asked, None, self._page.tabs, **AT_ONCE).then(
            self.look, self.remembered, self.ballot, **AT_ONCE
        )

    def opens(self, event: Event) -> None:
        """Shows the visitor's place in the study."""
        event(self.look, self.remembered, self.ballot, **AT_ONCE)

    def _build_desk(self) -> None:
        gr.HTML(show.heading("Tally", "of the votes so far"))
        self._study = gr.Dropdown([], label="Study")
        self._tally = gr.HTML()
        with gr.Row():
            self._count = gr.Button("Count again", size="sm", min_width=100)
            self._tally_file = gr.DownloadButton("Download the tally", interactive=False, size="sm", min_width=100)
            self._votes_file = gr.DownloadButton("Download every vote", interactive=False, size="sm", min_width=100)
        gr.HTML(show.heading("A new study", "newcomers are shown the newest one"))
        self._title = gr.Textbox(
            label="Title",
            placeholder="Which werewolf is better?",
            info="Voters read it, so it should name no method.",
            max_lines=1,
        )
        self._entries = gr.Dropdown(
            [],
            multiselect=True,
            label="Adapted models to compare",
            info="Every two of the same domain and source model become a pair: choose two or more of each domain.",
        )
        with gr.Row():
            self._seeds = gr.Textbox(
                f"{study.FIRST_SEED}-{study.FIRST_SEED + 9}",
                label="People of the study",
                info="Seeds, best ones that nobody has seen.",
                max_lines=1,
                min_width=140,
            )
            self._psi = gr.Number(0.7, label="Truncation of all", info="0: all the mean face.", min_width=140)
            self._pairs_each = gr.Number(
                10, label="Pairs for each voter", info="Two questions a pair.", precision=0, min_width=140
            )
        self._controls = Controls(self._service, "study", "Start the study", "Drawing …")
        self._controls.build_lines("The pictures are drawn and kept now; deleting a model later changes nothing.")

    def _listen(self) -> None:
        self._begin.click(self._enter, self.remembered, self.ballot, **AT_ONCE)
        for button, choice in ((self._left, study.LEFT), (self._right, study.RIGHT), (self._skip, study.SKIP)):

            def answer(voter: Any, asked: Any, choice: str = choice) -> dict[Any, Any]:
                return self._answer(voter, asked, choice)

            button.click(answer, [self.remembered, self._asked], self.ballot, **AT_ONCE)
        count = [self._tally, self._tally_file, self._votes_file]
        # In the queue, which what yields needs, but never behind a model job.
        counting = {"concurrency_limit": None, "api_visibility": "private", "show_progress": "hidden"}
        gr.on(
            [self._open.click, self._token.submit],
            self._unlock,
            self._token,
            [self._gate, self._desk, self._study, self._entries],
            **AT_ONCE,
        ).success(self._show_tally, [self._token, self._study], count, **counting)
        gr.on([self._count.click, self._study.input], self._show_tally, [self._token, self._study], count, **counting)
        self._controls.listen(
            self._start,
            [self._token, self._title, self._entries, self._seeds, self._psi, self._pairs_each],
            [self._study, *count, *self.ballot],
            [self._controls.start.click],
        )

    def _come_if_asked(self, request: gr.Request) -> Any:
        return gr.Tabs(selected=self.key) if self.key in request.query_params else gr.skip()

    # --- voters -------------------------------------------------------------------------------------------------

    def look(self, voter: Any) -> dict[Any, Any]:
        """What a visitor sees on coming to the tab: an invitation, the rest of their questions, or thanks."""
        try:
            chosen = study.current()
            if chosen is None:
                return self._scene(show.note("No study is running. Whoever runs this app can start one below."))
            done, total = study.progress(chosen.id, _voter(voter))
            if total and done == total:
                return self._thanks(chosen)
        except InputError as error:
            return self._scene(show.trouble(error))
        begin = "Go on" if done else "Begin"
        return self._scene(show.invitation(chosen, done)) | {self._begin: gr.Button(begin, visible=True)}

    def _enter(self, voter: Any) -> dict[Any, Any]:
        name = _voter(voter) or study.new_voter()
        try:
            chosen = study.find()
            if not study.progress(chosen.id, name)[1] and (wait := self._wait_of_newcomer()):
                words = f"Many people begin just now: press Begin again in {math.ceil(wait)} seconds."
                return self._scene(show.note(words), words) | {self._begin: gr.Button("Begin", visible=True)}
            study.enter(chosen.id, name)
            return self._next(chosen, name) | {self.remembered: name}
        except InputError as error:
            return self._scene(show.trouble(error))

    def _wait_of_newcomer(self) -> float:
        """Seconds until a new voter from where this one comes from may begin, so that nobody invents a crowd."""
        return self._newcomers.take(self._service.roles.visitor().address)

    def _answer(self, voter: Any, asked: Any, choice: str) -> dict[Any, Any]:
        if asked is None:
            return self.look(voter)
        if time.monotonic() - asked["since"] < SHORTEST_LOOK:
            return {self._announcer: gr.skip()}
        try:
            study.cast(asked["study"], asked["voter"], asked["task"], asked["question"], choice)
            return self._next(study.find(asked["study"]), asked["voter"])
        except InputError as error:
            return self._scene(show.trouble(error))

    def _next(self, chosen: study.Study, voter: str) -> dict[Any, Any]:
        question = study.next_question(chosen.id, voter)
        if question is None:
            return self._thanks(chosen)
        asked = {
            **{"study": chosen.id, "voter": voter, "task": question.task, "question": question.name},
            "since": time.monotonic(),
        }
        heard = f"Question {question.number} of {question.total}. {question.words}"
        return self._scene(show.question(chosen.title, question), heard) | {
            self._asked: asked,
            self._sides: gr.Row(visible=True),
            self._skip: gr.Button(visible=True),
        }

    def _thanks(self, chosen: study.Study) -> dict[Any, Any]:
        seen = show.thanks(chosen) + show.tally(study.tally(chosen.id))
        return self._scene(seen, "Thank you: that was the last question.")

    def _scene(self, seen: str, heard: str = "") -> dict[Any, Any]:
        """The page with nothing to press."""
        return {
            self._asked: None,
            self._words: seen,
            self._sides: gr.Row(visible=False),
            self._skip: gr.Button(visible=False),
            self._begin: gr.Button(visible=False),
            self._announcer: show.spoken(heard),
        }

    # --- whoever runs it ----------------------------------------------------------------------------------------

    def _unlock(self, token: Any) -> dict[Any, Any]:
        try:
            self._service.roles.check_token(token)
            names = [(show.entry_title(entry), entry.name) for entry in store.list_entries()]
            return {
                self._gate: "",
                self._desk: gr.Column(visible=True),
                self._study: self._studies(),
                self._entries: gr.Dropdown(names),
            }
        except InputError as error:
            return {self._gate: show.trouble(error), self._desk: gr.Column(visible=False)}

    def _studies(self) -> Any:
        known = [(f"{one.title} · {one.created[:10]} · {one.pairs} pairs", one.id) for one in study.studies()]
        return gr.Dropdown(known, value=known[0][1] if known else None)

    def _show_tally(self, token: Any, chosen: str | None) -> Iterator[dict[Any, Any]]:
        files = {button: gr.DownloadButton(interactive=False) for button in (self._tally_file, self._votes_file)}
        try:
            self._service.roles.check_token(token)
            if not chosen:
                yield {self._tally: show.note("There is no study yet."), **files}
                return
            with handed_out() as folder:
                tally = study.write_tally(chosen, inside(folder, f"study-{chosen}-tally.csv"))
                votes = study.write_votes(chosen, inside(folder, f"study-{chosen}-votes.csv"))
                yield {
                    self._tally: show.tally(study.tally(chosen)),
                    self._tally_file: gr.DownloadButton(value=str(tally), interactive=True),
                    self._votes_file: gr.DownloadButton(value=str(votes), interactive=True),
                }
        except InputError as error:
            yield {self._tally: show.trouble(error), **files}

    def _start(
        self,
        stop: threading.Event,
        token: Any,
        title: str,
        entries: list[str] | None,
        seeds: str,
        psi: Any,
        pairs_each: Any,
    ) -> Iterator[dict[Any, Any]]:
        self._service.roles.check_token(token)
        chosen = [find_entry(name) for name in entries or []]
        drawing = study.start(
            title, chosen, parse_seeds(seeds, MAX_SEEDS), psi, pairs_each, self._service.generators.get
        )
        while True:
            try:
                done, total = next(drawing)
            except StopIteration as end:
                words = f"Started: “{end.value.title}”, {end.value.pairs} pairs"
                asked = f"{end.value.questions_each} questions for each voter"
                link = f"{asked}; this app’s address with ?study at its end leads to them."
                lines = self._controls.say(show.ended(words, link), f"{words}; {asked}.")
                yield lines | {self._study: self._studies()} | self.look("")
                yield from self._show_tally(token, end.value.id)
                return
            if stop.is_set():
                drawing.close()
                yield self._controls.say(show.ended("Stopped; no study was started", "", done / total), "Stopped.")
                return
            yield self._controls.say(show.ended(f"Drawn: {done} of {total} models", "", done / total))


def _voter(remembered: Any) -> str:
    """What a browser remembers, if it is what this app gave it; else ""."""
    known = isinstance(remembered, str) and len(remembered) <= _VOTER_LENGTH and remembered.isascii()
    return remembered if known else ""
