"""The buttons that start and stop a tab's jobs, and the lines that say how one is doing.

A job is a generator of updates that is given its stop flag and the values of the form. It waits its turn among the
model jobs of all visitors, and says how many are before it; what goes wrong in it is told where its progress stood.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import gradio as gr

from ipl_core import InputError

from . import show
from .look import SCROLL_TO_STATUS
from .session import AT_ONCE, MODEL_JOB, Service

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

    def say(self, seen: str, heard: str | None = None) -> dict[Any, Any]:
        """An update of the lines: HTML to be seen, plain words to be heard; None leaves what was said last."""
        lines = {self.status: seen}
        return lines if heard is None else {**lines, self.announcer: show.spoken(heard)}

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
            run,
            list(inputs),
            [self.status, self.announcer, self._clock, *outputs],
            show_progress="hidden",
            api_visibility="private",
            **MODEL_JOB,
        )
        prepared.success(None, js=SCROLL_TO_STATUS)
        return running.then(self._rest, None, [self.start, self._halt, self._clock], **AT_ONCE)

    def _run(self, job: Job, session: str, values: Sequence[Any]) -> Iterator[dict[Any, Any]]:
        stop: threading.Event = self._service.stops.run(session, self._kind)
        try:
            yield {self._clock: gr.Timer(active=False)}
            yield from job(stop, *values)
        except InputError as error:
            yield self.say(show.trouble(str(error)), str(error))
        except Exception as error:
            words = f"It broke off ({type(error).__name__}: {error}). What was complete is kept."
            yield self.say(show.trouble(words), words)
            raise
        finally:
            self._service.stops.end(session, self._kind)

    def _prepare(self, request: gr.Request, *_: Any) -> dict[Any, Any]:
        self._service.stops.begin(request.session_hash, self._kind)
        ahead = self._service.stops.ahead(request.session_hash, self._kind) or 0
        words = show.waiting(ahead)
        return {
            **self.say(show.note(words), words),
            self.start: gr.Button(self._busy, interactive=False),
            self._halt: gr.Button("Stop", interactive=True),
            self._clock: gr.Timer(active=ahead > 0),
        }

    def _look_at_queue(self, request: gr.Request) -> Any:
        ahead = self._service.stops.ahead(request.session_hash, self._kind)
        if ahead is None:  # its turn has come, and what is said now is said by the job
            return gr.skip()
        words = show.waiting(ahead)
        return self.say(show.note(words), words)

    def _rest(self, request: gr.Request) -> tuple[Any, Any, Any]:
        self._service.stops.end(request.session_hash, self._kind)  # a full queue may have refused the job
        return gr.Button(self._idle, interactive=True), gr.Button("Stop", interactive=False), gr.Timer(active=False)

    def _ask_to_stop(self, request: gr.Request) -> tuple[str, Any]:
        self._service.stops.stop(request.session_hash, self._kind)
        return show.spoken(self._stopping), gr.Button("Stopping …", interactive=False)
