"""The buttons that start and stop a tab's jobs, and the lines that say how one is doing.

A job is a generator of updates that is given its stop flag and the values of the form. It waits its turn among the
model jobs of all visitors; what goes wrong in it is told where its progress stood.
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


class Controls:
    """Start and Stop, built where this is made; `build_lines` puts the lines where they belong.

    kind: of the jobs that this Stop ends. idle, busy: what Start says before and while a job waits or runs.
    """

    def __init__(self, service: Service, kind: str, idle: str, busy: str) -> None:
        self._service, self._kind, self._idle, self._busy = service, kind, idle, busy
        with gr.Row():
            self.start = gr.Button(idle, variant="primary", scale=2, min_width=120)
            self._halt = gr.Button("Stop", variant="stop", interactive=False, min_width=90)

    def build_lines(self, words: str) -> None:
        """The lines for progress: the one that is seen, with `words` at first, and the one that is heard."""
        self.status = gr.HTML(show.note(words), elem_classes="status")
        self._announcer = gr.HTML(elem_classes="announcer")

    def say(self, seen: str, heard: str | None = None) -> dict[Any, Any]:
        """An update of the lines: HTML to be seen, plain words to be heard; None leaves what was said last."""
        lines = {self.status: seen}
        return lines if heard is None else {**lines, self._announcer: show.spoken(heard)}

    def listen(
        self,
        job: Job,
        inputs: Sequence[Any],
        outputs: Sequence[Any],
        others: Sequence[Callable[..., Any]] = (),
        check: Callable[..., Any] | None = None,
    ) -> None:
        """Runs `job` on a click on Start and when one of the `others` fires, if `check` finds nothing wrong."""
        prepared = gr.on(
            [self.start.click, *others],
            self._prepare,
            list(inputs),
            [self.status, self._announcer, self.start, self._halt],
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
            [self.status, self._announcer, *outputs],
            show_progress="hidden",
            api_visibility="private",
            **MODEL_JOB,
        )
        running.then(self._rest, None, [self.start, self._halt], **AT_ONCE)
        prepared.success(None, js=SCROLL_TO_STATUS)
        self._halt.click(self._ask_to_stop, None, [self._announcer, self._halt], **AT_ONCE)

    def _run(self, job: Job, session: str, values: Sequence[Any]) -> Iterator[dict[Any, Any]]:
        stop: threading.Event = self._service.stops.begin(session, self._kind)
        try:
            yield from job(stop, *values)
        except InputError as error:
            yield self.say(show.trouble(str(error)), str(error))
        except Exception as error:
            words = f"It broke off ({type(error).__name__}: {error}). What was complete is kept."
            yield self.say(show.trouble(words), words)
            raise
        finally:
            self._service.stops.end(session, self._kind)

    def _prepare(self, request: gr.Request, *_: Any) -> tuple[Any, ...]:
        words = show.waiting(len(self._service.stops))
        self._service.stops.begin(request.session_hash, self._kind)
        busy = gr.Button(self._busy, interactive=False)
        return show.note(words), words, busy, gr.Button("Stop", interactive=True)

    def _rest(self) -> tuple[Any, Any]:
        return gr.Button(self._idle, interactive=True), gr.Button("Stop", interactive=False)

    def _ask_to_stop(self, request: gr.Request) -> tuple[str, Any]:
        self._service.stops.stop(request.session_hash, self._kind)
        return "Stopping.", gr.Button("Stopping …", interactive=False)
