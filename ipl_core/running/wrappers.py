"""What surrounds the steps of any training loop, each as a wrapper of the iterator that the loop is.

`Guarded` ends it, `with_pictures` and `timed` complete its steps, and `in_own_modes`, the outermost, computes all of
that in modes that the caller's don't change. None of them knows what is trained.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import torch

from .modes import NotFinite, own_modes
from .steps import Pictures, Step
from .time_left import TimeLeft

log = logging.getLogger(__name__)

PREVIEW_SHARE = 0.2  # of a run's time, at most, that its previews take


class Guarded:
    """The `count` steps of a loop, ended early when `stop` is set or when the loop raises NotFinite.

    stopped: why they ended early ("asked", "not finite"), None if they did not.
    done: the last step of each phase that was made.
    """

    def __init__(self, steps: Iterator[Step], count: int, stop: threading.Event | None) -> None:
        self._steps, self._count, self._stop = steps, count, stop
        self.stopped: str | None = None
        self.done: dict[str, int] = {}

    def __iter__(self) -> Iterator[Step]:
        for _ in range(self._count):
            if self._stop is not None and self._stop.is_set():
                self.stopped = "asked"
                return
            try:
                step = next(self._steps)
            except NotFinite as error:
                log.warning("%s after the steps %s: what was reached before is kept", error, self.done)
                self.stopped = "not finite"
                return
            self.done[step.phase] = step.step
            yield step


def with_pictures(steps: Iterable[Step], draw: Callable[[Step], Pictures], interval: float) -> Iterator[Step]:
    """The steps, of which the first one, those that carry weights, and one every `interval` seconds get pictures.

    Pictures come less often where drawing them takes long; see `seconds_between`.
    """
    due = -math.inf
    for step in steps:
        began = time.perf_counter()
        if step.weights is None and began < due:
            yield step
            continue
        shown = replace(step, pictures=draw(step))
        ended = time.perf_counter()
        due = ended + seconds_between(interval, ended - began)
        yield shown


def seconds_between(preview_interval: float, seconds_a_preview: float) -> float:
    """How long after a preview the next one is due, so that previews take at most PREVIEW_SHARE of the time.

    A `preview_interval` of 0 asks for one at every step, whatever that costs.
    """
    return max(preview_interval, (1 / PREVIEW_SHARE - 1) * seconds_a_preview) if preview_interval else 0.0


def timed(steps: Iterable[Step], began: float, time_left: TimeLeft) -> Iterator[Step]:
    """The steps with the seconds since `began`, by `time.perf_counter`, and an estimate of those left."""
    for step in steps:
        yield replace(step, seconds=time.perf_counter() - began, remaining=time_left.after(step))


def in_own_modes(steps: Iterable[Step], device: torch.device) -> Iterator[Step]:
    """The steps, each computed in modes that don't depend on the caller's and that don't leak to it."""
    iterator = iter(steps)
    while True:
        with own_modes(device):
            step = next(iterator, None)
        if step is None:
            return
        yield step
