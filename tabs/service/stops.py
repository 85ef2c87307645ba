"""The jobs that wait or run, and the flags that end them. Knows no queue, no tab and no model."""

from __future__ import annotations

import threading
from collections.abc import Callable, Container
from dataclasses import dataclass, field

from ipl_core import InputError
from ipl_core.storage.lru import LRU

from .jobs import REDRAW

_MAX_ASKED = 256  # pages whose Stop was pressed before their job had come
Withdraw = Callable[[], None]


class Stop(threading.Event):
    """The flag that ends a job.

    why: "asked", by whoever began it; "time", by a limit of time, which `words` says; "left", by leaving.
    """

    why: str = ""
    words: str = ""

    def end(self, why: str, words: str = "") -> None:
        """Sets the flag; the first reason stays."""
        if not self.why:
            self.why, self.words = why, words
        self.set()


@dataclass
class Turn:
    """A job that waits or runs. withdraw: takes it out of the queue while it waits."""

    session: str
    kind: str
    withdraw: Withdraw = lambda: None
    running: bool = False
    stop: Stop = field(default_factory=Stop)


class Stops:
    """The jobs that wait or run, in the order in which they joined, with a stop flag each. May be used by any thread.

    The queue calls `join`, `start` and `leave_queue`, each with the id of a job. The tabs ask by session and kind: ""
    for a run, else the name of a tab whose jobs are stopped by themselves.
    """

    def __init__(self) -> None:
        self._turns: dict[str, Turn] = {}
        self._asked: LRU[tuple[str, str], None] = LRU(_MAX_ASKED)  # to stop before the job had joined
        self._lock = threading.Lock()

    # --- for the queue ------------------------------------------------------------------------------------------

    def join(self, job: str, session: str, kind: str, withdraw: Withdraw) -> bool:
        """Notes that a job waits; False if its visitor has pressed Stop already, so that it is not to run."""
        with self._lock:
            if (session, kind) in self._asked:
                del self._asked[session, kind]
                return False
            self._turns[job] = Turn(session, kind, withdraw)
            return True

    def start(self, job: str) -> Stop:
        """Notes that a job's turn has come; gives its flag."""
        with self._lock:
            turn = self._turns[job]
            turn.running = True
            return turn.stop

    def leave_queue(self, job: str) -> None:
        """Forgets a job that has ended or was taken out of the queue."""
        with self._lock:
            self._turns.pop(job, None)

    def keep_only(self, jobs: Container[str]) -> None:
        """Forgets the jobs of the queue that are none of these."""
        with self._lock:
            for job in [job for job in self._turns if job not in jobs]:
                del self._turns[job]

    # --- for the tabs -------------------------------------------------------------------------------------------

    def running(self, session: str) -> Stop:
        """The flag of the session's job that runs; one that nobody knows if none does."""
        with self._lock:
            own = (turn.stop for turn in self._turns.values() if turn.running and turn.session == session)
            return next(own, Stop())

    def leave(self, session: str) -> None:
        """Forgets what a session that has left was remembered for; its jobs are ended by the queue."""
        with self._lock:
            for asked in [asked for asked in self._asked if asked[0] == session]:
                del self._asked[asked]

    def ahead(self, session: str, kind: str = "") -> int | None:
        """How many jobs are before the session's; None if it has none that waits."""
        with self._lock:
            for before, turn in enumerate(self._turns.values()):
                if (turn.session, turn.kind) == (session, kind) and not turn.running:
                    return before
        return None

    def waits(self, session: str) -> bool:
        """Whether the session has a job that waits, so that it can't have another one; a redraw doesn't count."""
        with self._lock:
            own = [turn for turn in self._turns.values() if turn.session == session and not turn.running]
        return any(turn.kind != REDRAW for turn in own)

    def stop(self, session: str, kind: str | None = None) -> bool:
        """Ends the session's jobs of a kind, or all of them; False if there is none.

        What runs ends after its step; what waits leaves the queue.
        """
        with self._lock:
            own = [turn for turn in self._turns.values() if turn.session == session and kind in (None, turn.kind)]
        for turn in own:
            turn.stop.end("asked")
            turn.withdraw()
        return bool(own)

    def expect(self, session: str, kind: str) -> None:
        """Call when a page is about to send a job: a Stop that was pressed too late for the last one isn't for it."""
        with self._lock:
            self._asked.pop((session, kind), None)

    def ask(self, session: str, kind: str) -> None:
        """As `stop`, by the button of a page, which may be pressed before the job has reached the queue."""
        if not self.stop(session, kind):
            with self._lock:
                self._asked[session, kind] = None

    def __len__(self) -> int:
        """How many jobs wait or run."""
        return len(self._turns)


def ended_early(stop: Stop) -> InputError:
    """What is said of a job without a result of its own that was stopped."""
    if stop.why == "time":
        return InputError(stop.words + " Nothing was kept; ask for less at a time.")
    return InputError("Stopped, as asked; nothing was kept.")


def time_words(seconds: float) -> str:
    """The sentence on a job that has reached the app's limit of time."""
    limit = f"{seconds / 60:.0f} minutes" if seconds >= 120 else f"{seconds:.0f} seconds"
    return f"Ended after {limit}, the most that this app allows one job."
