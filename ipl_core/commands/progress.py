"""Progress bars on a terminal, and Ctrl-C: the first one asks a run to stop, the second ends the program."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tqdm import tqdm

from ..running.steps import Result, Step

INTERRUPTED = 130  # the exit status that shells expect of a program that Ctrl-C has ended
WHY_STOPPED = {"asked": "as asked", "not finite": "because the numbers stopped being finite"}
_PHASE_NAMES = {
    "prompts": "stage 1, prompts",
    "generator": "stage 2, generator",
    "latent": "latent",
    "tuning": "tuning",
}


def exit_status(stopped: str | None) -> int:
    """The exit status of a run by why it stopped early (see WHY_STOPPED); 0 for a run that came to its end."""
    return {None: 0, "asked": INTERRUPTED}.get(stopped, 1)


class _Bar:
    """A tqdm bar that is replaced by the next one, on a terminal only; a context manager that closes it."""

    def __init__(self) -> None:
        self._bar: Any = None

    def __enter__(self) -> _Bar:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _start(self, **settings: Any) -> None:
        self.__exit__()
        self._bar = tqdm(disable=None, file=sys.stderr, **settings)


class StepBar(_Bar):
    """A bar for each stage of a run."""

    def __init__(self) -> None:
        super().__init__()
        self._phase = ""

    def show(self, update: Step | Result) -> None:
        """Draws one step."""
        if isinstance(update, Result):
            return
        if update.phase != self._phase:
            self._phase = update.phase
            self._start(total=update.total, desc=_PHASE_NAMES[update.phase])
        self._bar.total = update.total  # which grows where tuning goes on
        self._bar.set_postfix({name: f"{value:.3f}" for name, value in update.losses.items()}, refresh=False)
        self._bar.update()


class TransferBar(_Bar):
    """A bar for each file that is fetched."""

    def show(self, have: int, total: int) -> None:
        """Draws how many bytes of a file are here; `total` is 0 where that is unknown."""
        if self._bar is None or have < self._bar.n or (self._bar.total or 0) != total:
            self._start(total=total or None, initial=have, desc="fetching", unit="B", unit_scale=True)
        self._bar.update(have - self._bar.n)


@contextmanager
def stop_on_interrupt() -> Iterator[threading.Event]:
    """The first Ctrl-C asks the run to stop and keeps what it has reached; the second ends the program."""
    stop = threading.Event()
    usual = signal.getsignal(signal.SIGINT)

    def ask(signum: int, frame: object) -> None:
        stop.set()
        signal.signal(signal.SIGINT, usual)

    in_main_thread = threading.current_thread() is threading.main_thread()
    if in_main_thread:
        signal.signal(signal.SIGINT, ask)
    try:
        yield stop
    finally:
        if in_main_thread:
            signal.signal(signal.SIGINT, usual)
