"""A fair version of Gradio's queue: who gets a place in it, whose job ends early, and why.

Every job goes through this queue, which decides when jobs wait and run; `Stops` records their state for the tabs. This
module knows no tabs and no models: a job is a Gradio event whose function has the concurrency id MODEL.
Everything here but `Stops` runs on the event loop of the server.
"""

from __future__ import annotations

import asyncio
import copy
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import fastapi
import gradio as gr
from gradio.block_function import BlockFunction
from gradio.queueing import Event, EventQueue, Queue
from gradio.state_holder import SessionState, StateHolder

from ..access.policy import Policy
from ..access.visitors import MAX_SESSION, came_from
from .jobs import MODEL, is_redraw, kind_of
from .stops import Stop, Stops, time_words

_AT_ONCE = "at once"  # the concurrency id of what is only told that it ended

MAX_WAITING = 100  # jobs of all visitors; each holds its request in memory
MAX_WAITING_ELSEWHERE = 200  # in any other line, such as that of those who look at a picture
LOOKS_EACH = 8  # of one session in any other line: a page asks for several things when it opens
VALIDATED_TOGETHER = 2  # a validator may decode a picture

SECONDS_BETWEEN_LOOKS = 0.5  # at who still listens
SECONDS_TO_COME = 10.0  # in which whoever asked for a job has to listen to it
SECONDS_OF_SILENCE = 60.0  # in which a slow connection has to take in a message
SECONDS_TO_CLOSE = 2.0  # after which a job that yields nothing is asked to stop, when its client has left

WAITS_ALREADY = "A job of yours waits for its turn already: wait for it, or stop it first."


# --- who listens --------------------------------------------------------------------------------------------------


class Messages(asyncio.Queue):
    """The messages for one session, and whether anybody takes them."""

    def __init__(self) -> None:
        super().__init__()
        self._takers = 0
        self._until = 0.0
        self.await_taker()

    def await_taker(self) -> None:
        """Gives whoever has asked for a job some time to come and listen."""
        self._until = time.monotonic() + SECONDS_TO_COME

    @property
    def heard(self) -> bool:
        return self._takers > 0 or time.monotonic() < self._until

    @property
    def forgotten(self) -> bool:
        """Whether nobody has taken a message for so long that nobody will."""
        return not self.heard and time.monotonic() > self._until + SECONDS_OF_SILENCE

    async def get(self) -> Any:
        self._takers += 1
        try:
            return await super().get()
        finally:
            self._takers -= 1
            self._until = time.monotonic() + SECONDS_OF_SILENCE


# --- the queue ----------------------------------------------------------------------------------------------------


@dataclass
class _Running:
    event: Event
    stop: Stop
    began: float = field(default_factory=time.monotonic)
    left: float | None = None  # when its client was seen to have left


class FairQueue(Queue):
    """Gradio's queue for jobs that take turns.

    A session has at most one job that waits, beside one that runs, and one redraw; each turn goes to whoever has waited
    longest. An address has at most `policy.places_each` of all. A job ends as if stopped after
    `policy.job_seconds`, and soon after nobody listens to it any more. What is cancelled keeps its turn until it has
    ended, so that no two jobs ever run together.
    """

    def __init__(self, blocks: gr.Blocks, stops: Stops, policy: Policy) -> None:
        super().__init__(
            live_updates=True,
            concurrency_count=blocks.max_threads,
            update_intervals=1,
            max_size=None,  # each line has a limit of its own
            blocks=blocks,
            default_concurrency_limit=1,
        )
        self._stops, self._policy = stops, policy
        self._running: dict[str, _Running] = {}
        self._joining: Counter[tuple[str, ...]] = Counter()
        self._validating = asyncio.Semaphore(VALIDATED_TOGETHER)
        self._endings: dict[tuple[int, str], BlockFunction] = {}
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._validating = asyncio.Semaphore(VALIDATED_TOGETHER)
        holder = Sessions()
        holder.set_blocks(self.blocks)
        self.blocks.app.state_holder = holder
        super().start()
        task = self._loop.create_task(self._watch())
        self._asyncio_tasks.add(task)
        task.add_done_callback(self._asyncio_tasks.discard)

    def compute_analytics_summary(self, records: Any) -> dict[str, Any]:
        """Nothing: Gradio counts all events anew after each of them, for a page that the app doesn't have."""
        return self.cached_event_analytics_summary

    # --- a place in the queue -----------------------------------------------------------------------------------

    async def push(self, body: Any, request: fastapi.Request, username: str | None) -> tuple[bool, Any, Any]:
        fn = self.blocks.fns.get(body.fn_index)
        if fn is None:
            return False, "There is nothing of this number to be asked for.", "error"
        if body.session_hash is None:
            body.session_hash = uuid.uuid4().hex
        address = came_from(request, self._policy.space)
        words = self._refusal(fn, body.session_hash, address)
        if words is not None:
            return self._refused(fn, words)
        with self._reserved(fn, body.session_hash, address):
            self._expect_listener(body.session_hash)
            if fn.validator is None:
                pushed = await super().push(body, request, username)
            else:
                async with self._validating:
                    pushed = await super().push(body, request, username)
        if pushed[0] and fn.concurrency_id == MODEL:
            self._joined(self.event_ids_to_events[pushed[1]])
        return pushed

    def _refusal(self, fn: BlockFunction, session: str, address: str) -> str | None:
        """Why there is no place for this event, as a sentence; None if there is one."""
        line = fn.concurrency_id
        waiting = self._waiting(line)
        if len(waiting) + self._joining[line,] >= (MAX_WAITING if line == MODEL else MAX_WAITING_ELSEWHERE):
            return f"Too many people ask at the same time: {len(waiting)} wait already. Try again in a few minutes."
        if line != MODEL:
            own = sum(event.session_hash == session for event in waiting) + self._joining[line, session]
            if own >= LOOKS_EACH:
                return f"You ask too fast: {own} requests of yours wait already. Try again in a moment."
            return None
        if not is_redraw(fn):
            own = sum(event.session_hash == session and not is_redraw(event.fn) for event in waiting)
            if own + self._joining[line, session, "job"] >= 1:
                return WAITS_ALREADY
        held = [*waiting, *self._active()]
        own = sum(came_from(event.request, self._policy.space) == address for event in held)
        own += self._joining[line, "from", address]
        if own >= self._policy.places_each:
            return f"{own} jobs from your address wait or run already: try again when one of them has ended."
        return None

    def _refused(self, fn: BlockFunction, words: str) -> tuple[bool, Any, Any]:
        """A refusal as a page shows it, or as a client library raises it."""
        if fn.api_visibility == "private":
            return False, words, "error"
        return False, [{"__type__": "validate", "is_valid": False, "message": words}], "validator_error"

    @contextmanager
    def _reserved(self, fn: BlockFunction, session: str, address: str) -> Iterator[None]:
        """Counts an event while its validator runs, so that many that come together aren't let in together."""
        line = fn.concurrency_id
        places = [(line,), (line, session), (line, "from", address)]
        if not is_redraw(fn):
            places.append((line, session, "job"))
        self._joining.update(places)
        try:
            yield
        finally:
            self._joining.subtract(places)
            self._joining = +self._joining  # without those that are 0

    def _expect_listener(self, session: str) -> None:
        messages = self.pending_messages_per_session.get(session)
        if messages is None:
            self.pending_messages_per_session[session] = Messages()
        elif not any(event.session_hash == session for event in self.event_ids_to_events.values()):
            messages.await_taker()

    def _joined(self, event: Event) -> None:
        if is_redraw(event.fn):
            for older in self._waiting(MODEL):
                if older is not event and older.session_hash == event.session_hash and is_redraw(older.fn):
                    self._withdraw(older, "newer")
        expected = self._stops.join(
            event._id, event.session_hash, kind_of(event.fn), lambda: self._withdraw_soon(event)
        )
        if not expected:
            self._withdraw(event, "asked")

    def _active(self) -> list[Event]:
        """The jobs whose turn has come; one, but for a moment."""
        return [event for events in self.active_jobs for event in events or () if event.concurrency_id == MODEL]

    def _waiting(self, line: str) -> list[Event]:
        queue = self.event_queue_per_concurrency_id.get(line)
        return queue.queue if queue is not None else []

    # --- out of the queue ---------------------------------------------------------------------------------------

    def _withdraw_soon(self, event: Event) -> None:
        if self._loop is not None:  # Stop is pressed in another thread
            self._loop.call_soon_threadsafe(self._withdraw, event, "asked")

    def _withdraw(self, event: Event, why: str) -> None:
        """Takes an event that waits out of the queue, and lets its client have the result of having been stopped."""
        waiting = self._waiting(MODEL)
        if event not in waiting:  # its turn has come meanwhile, and its flag is set
            return
        waiting.remove(event)
        self._stops.leave_queue(event._id)
        event.fn, event.concurrency_id = self._ending(event.fn, why), _AT_ONCE
        self.event_queue_per_concurrency_id.setdefault(_AT_ONCE, EventQueue(_AT_ONCE, None)).queue.append(event)
        self.broadcast_estimations(MODEL)

    def _ending(self, fn: BlockFunction, why: str) -> BlockFunction:
        """A function in place of `fn` that gives what `fn` gives when it was stopped before its turn."""
        key = (fn._id, why)
        if key not in self._endings:
            withdrawn = getattr(fn.fn, "withdrawn", None)

            def give(*_: Any) -> Any:
                if why == "newer":
                    raise gr.Error("A newer request has its place.", visible=False, print_exception=False)
                if withdrawn is None:
                    raise gr.Error("Stopped before its turn came.", title="Stopped", print_exception=False)
                return withdrawn()

            ending = copy.copy(fn)
            ending.fn, ending.preprocess, ending.inputs_as_dict, ending.validator = give, False, False, None
            self._endings[key] = ending
        return self._endings[key]

    async def process_events(self, events: list[Event], batch: bool, begin_time: float, fn: BlockFunction) -> None:
        event = events[0]
        if event.concurrency_id != MODEL:
            await super().process_events(events, batch, begin_time, fn)
            return
        self._running[event._id] = _Running(event, self._stops.start(event._id))
        work = asyncio.get_running_loop().create_task(super().process_events(events, batch, begin_time, fn))
        try:
            await self._outlived(work, event)
        finally:
            self._stops.leave_queue(event._id)
            del self._running[event._id]

    async def _outlived(self, work: asyncio.Task[None], event: Event) -> None:
        """Waits for the end of a job. Cancelled, it waits all the same: a thread that computes can't be cancelled."""
        while not work.done():
            try:
                await asyncio.shield(work)
            except asyncio.CancelledError:
                if self.stopped:
                    work.cancel()
                    raise
                event.alive = False

    # --- what ends by itself ------------------------------------------------------------------------------------

    async def _watch(self) -> None:
        """Ends the jobs that nobody listens to and those that have had their time; forgets who has left."""
        while not self.stopped:
            await asyncio.sleep(SECONDS_BETWEEN_LOOKS)
            waiting = [event for queue in self.event_queue_per_concurrency_id.values() for event in queue.queue]
            for event in [*waiting, *(running.event for running in self._running.values())]:
                messages = self.pending_messages_per_session.get(event.session_hash)
                if messages is None or not messages.heard:
                    await self.clean_events(event_id=event._id)
            for running in list(self._running.values()):
                self._limit(running)
            self._forget_leavers()

    def _limit(self, running: _Running) -> None:
        now = time.monotonic()
        if now - running.began > self._policy.job_seconds:
            running.stop.end("time", time_words(self._policy.job_seconds))
        if not running.event.alive:
            running.left = running.left or now
            if now - running.left > SECONDS_TO_CLOSE:  # else it is closed where it yields, and keeps nothing
                running.stop.end("left")

    async def clean_events(self, *, session_hash: str | None = None, event_id: str | None = None) -> None:
        await super().clean_events(session_hash=session_hash, event_id=event_id)
        self._stops.keep_only({event._id for event in (*self._waiting(MODEL), *self._active())})

    async def remove_from_queue(self, event_id: str) -> None:
        await super().remove_from_queue(event_id)
        if event_id not in {event._id for event in self._active()}:
            self._stops.leave_queue(event_id)

    def _forget_leavers(self) -> None:
        busy = {event.session_hash for event in self.event_ids_to_events.values()}
        for session in [*self.pending_event_ids_session]:
            messages = self.pending_messages_per_session.get(session)
            if session not in busy and (messages is None or messages.forgotten):
                self.pending_event_ids_session.pop(session, None)
                self.pending_messages_per_session.pop(session, None)


def take_turns(blocks: gr.Blocks, stops: Stops, policy: Policy) -> gr.Blocks:
    """`blocks` with a fair queue, which nothing that is queued can be asked for without."""
    blocks.queue(api_open=False)
    blocks._queue = FairQueue(blocks, stops, policy)
    return blocks


class _NoConfig(dict):
    """Takes what Gradio notes for links to a page's state, which the app doesn't offer, and keeps nothing of it."""

    def __contains__(self, key: object) -> bool:
        return True

    def __missing__(self, key: Any) -> dict[str, Any]:
        return {}

    def __setitem__(self, key: Any, value: Any) -> None:
        pass


class Sessions(StateHolder):
    """What Gradio keeps for each session, without a copy of the page, which takes 0.8 MB and 36 ms to make."""

    def __getitem__(self, session_id: str) -> SessionState:
        if len(session_id) > MAX_SESSION:  # one in an address; in a body, `Bodies` has refused it
            raise fastapi.HTTPException(400, f"The name of a session has at most {MAX_SESSION} characters.")
        if session_id not in self.session_data:
            self.session_data[session_id] = session = SessionState(_Bare(self.blocks.default_config))
            session.config_values = _NoConfig()
        return super().__getitem__(session_id)


@dataclass
class _Bare:
    """The part of a `gr.Blocks` that a new `SessionState` needs."""

    default_config: Any
    blocks: dict[int, Any] = field(default_factory=dict)
