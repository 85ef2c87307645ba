"""The buttons that start and stop a tab's jobs, and the lines that say how one is doing.

A job is a generator of updates that is given its stop flag and the values of the form. It waits its turn among the
model jobs of all visitors, and says how many are before it; what goes wrong in it is told where its progress stood.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import gradio as gr

from ipl_core import AdaptConfig, InputError, InvertConfig

from .. import show
from ..access.gate import refusal
from ..access.telling import told
from ..service.jobs import AT_ONCE, QUIET_JOB, of_kind
from ..service.service import Service
from ..service.stops import Stop
from ..service.turns import WAITS_ALREADY
from ..show.look import SCROLL_TO_STATUS

Job = Callable[..., Iterator[dict[Any, Any]]]

_SECONDS_BETWEEN_LOOKS = 2.0  # at the queue, by a visitor who waits in it


class Controls:
    """Start and Stop, built where this is made; `build_lines` puts the lines where they belong, before `listen`.

    kind: of the jobs that this Stop ends. idle, busy: what Start says before and while a job waits or runs. stopping:
    what is said when Stop is pressed.
    """

    def __init__(self, service: Service, kind: str, idle: str, busy: str, stopping: str = "Stopping.") -> None:
        self._service, self._kind, self._idle, self._busy = service, kind, idle, busy
        self._stopping = stopping
        with gr.Row():
            self.start = gr.Button(idle, variant="primary", scale=2, min_width=120)
            self._halt = gr.Button("Stop", variant="stop", interactive=False, min_width=90)
        self._clock = gr.Timer(_SECONDS_BETWEEN_LOOKS, active=False)  # ticks while a job waits

    def build_lines(self, words: str) -> None:
        """The lines for progress: the one that is seen, with `words` at first, and the one that is heard."""
        self.status = gr.HTML(show.note(words), elem_classes="status")
        self.announcer = gr.HTML(elem_classes="announcer")
        self._halt.click(self._ask_to_stop, None, [self.announcer, self._halt], **AT_ONCE)
        self._clock.tick(self._look_at_queue, None, [self.status, self.announcer], **AT_ONCE)

    @property
    def lines(self) -> list[Any]:
        """The components that `say` updates."""
        return [self.status, self.announcer]

    def say(self, seen: str, heard: BaseException | str | None = None) -> dict[Any, Any]:
        """An update of the lines: HTML to be seen, plain words or an error to be heard; None leaves what was said."""
        lines = {self.status: seen}
        return lines if heard is None else {**lines, self.announcer: show.spoken(heard)}

    def fetched(self, config: AdaptConfig | InvertConfig, stop: Stop) -> Iterator[dict[Any, Any]]:
        """Fetches what a run needs and isn't here; updates of the lines say how far that is."""
        for words in self._service.fetched(config, stop):
            yield self.say(show.note(words), words.partition(":")[0])

    def listen(
        self,
        job: Job,
        inputs: Sequence[Any],
        outputs: Sequence[Any],
        events: Sequence[Callable[..., Any]],
        check: Callable[..., Any] | None = None,
    ) -> Any:
        """Runs `job` when one of the `events` fires, such as a click on Start, if `check` finds nothing wrong.

        Gives the event that fires when it has ended.
        """
        prepared = gr.on(
            list(events),
            self._prepare,
            list(inputs),
            [self.status, self.announcer, self.start, self._halt, self._clock],
            validator=check,
            show_progress="hidden",
            api_visibility="private",
            concurrency_limit=None,
        )

        def run(request: gr.Request, *values: Any) -> Iterator[dict[Any, Any]]:
            yield from self._run(job, request.session_hash, values)

        running = prepared.success(
            of_kind(run, self._kind, self._say_withdrawn),
            list(inputs),
            [self.status, self.announcer, self._clock, *outputs],
            **QUIET_JOB,
        )
        prepared.success(None, js=SCROLL_TO_STATUS)
        return running.then(self._rest, None, [self.start, self._halt, self._clock], **AT_ONCE)

    def _run(self, job: Job, session: str, values: Sequence[Any]) -> Iterator[dict[Any, Any]]:
        stop, seen = self._service.stops.running(session), ""
        try:
            yield {self._clock: gr.Timer(active=False)}
            for changes in job(stop, *values):
                seen = changes.get(self.status, seen)
                yield changes
            if stop.why == "time":
                yield self.say(seen + show.note(stop.words), stop.words)
        except InputError as error:
            yield self.say(show.trouble(error), error)
        except Exception as error:
            words = f"{told(error)} What was complete is kept."
            yield self.say(show.trouble(words), words)
            raise

    def _prepare(self, request: gr.Request, *_: Any) -> dict[Any, Any]:
        if self._service.stops.waits(request.session_hash):  # in another tab; the queue would refuse it
            raise refusal(WAITS_ALREADY)
        self._service.stops.expect(request.session_hash, self._kind)
        words = show.waiting(len(self._service.stops))
        return {
            **self.say(show.note(words), words),
            self.start: gr.Button(self._busy, interactive=False),
            self._halt: gr.Button("Stop", interactive=True),
            self._clock: gr.Timer(active=True),
        }

    def _look_at_queue(self, request: gr.Request) -> Any:
        ahead = self._service.stops.ahead(request.session_hash, self._kind)
        if ahead is None:  # it is on its way to the queue, or its turn has come, and it speaks for itself
            return gr.skip()
        words = show.waiting(ahead)
        return self.say(show.note(words), words)

    def _rest(self, request: gr.Request) -> tuple[Any, Any, Any]:
        self._service.stops.expect(request.session_hash, self._kind)  # it has ended, or was refused a place
        return gr.Button(self._idle, interactive=True), gr.Button("Stop", interactive=False), gr.Timer(active=False)

    def _say_withdrawn(self) -> dict[Any, Any]:
        words = "Stopped before its turn came"
        return self.say(show.ended(words, "", 0.0), words)

    def _ask_to_stop(self, request: gr.Request) -> tuple[str, Any]:
        self._service.stops.ask(request.session_hash, self._kind)
        return show.spoken(self._stopping), gr.Button("Stopping …", interactive=False)
