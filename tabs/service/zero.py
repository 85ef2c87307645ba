"""ZeroGPU: on such a Space each job borrows a GPU in a forked process; elsewhere jobs run in the app's process.

The package `spaces`, needed only on a Space, forks a process for each job, pickles its input and output, and may kill
it after its time limit. So only training runs in that process; it sends back steps and the result, and the app does the
saving, drawing and reporting. A flag in memory wouldn't reach the other process, so a file asks the job to stop, and
the job ends by itself before its time limit.

The app must not touch CUDA, nor compute a gradient, before it forks: PyTorch starts the threads that compute gradients
once, and a process without a GPU would leave its children none for theirs. Import this module before PyTorch.
"""

from __future__ import annotations

try:
    import spaces
except ImportError:
    spaces = None

import logging
import math
import re
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gradio.exceptions import Error
from torch import Tensor

from ipl_core import AdaptConfig, InputError, InvertConfig, Result, Step, adapt, devices, invert
from ipl_core.running import forecast
from ipl_core.running.forecast import Speed, speed_key
from ipl_core.running.steps import Start
from ipl_core.running.wrappers import PREVIEW_SHARE
from ipl_core.storage.lru import LRU

from ..access import private
from ..access.policy import Policy
from .stops import Stop

log = logging.getLogger(__name__)

#: Of the seconds that are lent, those that no step may take: until the process has begun, and to send the weights.
RESERVE = 8.0
#: And those until the models are loaded over there.
LOADING = 7.0
_SHORTEST = 20
_SAFETY = 2.0  # what is asked for, by what is forecast
_MAX_PACES = 64
_MARKUP = re.compile(r"<[^>]*>|\s*https?://\S+")


# --- over there -------------------------------------------------------------------------------------------------------


class _Ends:
    """Whether a job over there is to end: `asked` is there, or its time is over. late: whether it was the time."""

    def __init__(self, asked: str, seconds: float) -> None:
        self._asked, self._until = Path(asked), time.monotonic() + seconds
        self.late = False

    def is_set(self) -> bool:
        self.late = self.late or time.monotonic() > self._until
        return self.late or self._asked.exists()


def _over_there(
    config: AdaptConfig | InvertConfig, given: Any, asked: str, seconds: int, most: int, interval: float
) -> Iterator[tuple[str, Any]]:
    """A job in the process that has the GPU: what it says, and a value.

    "pace": how fast runs are. "update": a step or the result, packed. "late": that the result comes next because the
    time is over. "refused", "failed": why there is no result; an error that is raised here would lose its words.

    given: where a run goes on, packed; or the picture of an inversion. asked: a file that is there once the job is to
    end. seconds: how long the GPU is lent; most: how long it is at most. interval: seconds between two renewals of the
    pictures.
    """
    torch.set_num_threads(1)  # the others are not in this process
    ends = _Ends(asked, seconds - RESERVE)
    try:
        if isinstance(config, AdaptConfig):
            start = given and _unpacked(given)
            pace = forecast.measure(config)
            yield "pace", pace
            _check_time(pace, config, start, most)
            updates = adapt(config, ends, interval, start)
        else:
            updates = invert(config, torch.from_numpy(given), ends, interval)
        with closing(updates):
            for update in updates:
                if isinstance(update, Result) and update.stopped == "asked" and ends.late:
                    yield "late", None
                yield "update", _packed(update)
    except InputError as error:
        yield "refused", str(error)
    except Exception as error:
        log.exception("A job on the GPU failed")
        yield "failed", f"{type(error).__name__}: {error}"


def _packed(value: Any) -> Any:
    """A Step, a Result or a Start with arrays in place of tensors.

    A tensor would cross as a handle to memory of its process, which may have ended when it is taken in.
    """
    return _changed(value, lambda inner: inner.numpy() if isinstance(inner, Tensor) else inner)


def _unpacked(value: Any) -> Any:
    return _changed(value, lambda inner: torch.from_numpy(inner) if isinstance(inner, np.ndarray) else inner)


def _changed(value: Any, change: Callable[[Any], Any]) -> Any:
    """A copy of a record, of those in it and of its dictionaries, with `change` applied to every other value."""
    if is_dataclass(value):
        return replace(value, **{field.name: _changed(getattr(value, field.name), change) for field in fields(value)})
    if isinstance(value, dict):
        return {name: _changed(inner, change) for name, inner in value.items()}
    return change(value)


# --- time -------------------------------------------------------------------------------------------------------------


def _on_screen(seconds: float) -> float:
    """What a run takes with its previews, from what its steps take."""
    return seconds / (1 - PREVIEW_SHARE)


def _check_time(pace: Speed, config: AdaptConfig, start: Start | None, most: int) -> None:
    """Raises InputError for a run that would not come to the first step of its generator."""
    needed = 0.0 if start is not None else _on_screen(pace.first_stage(config))
    if needed > most - RESERVE - LOADING:
        raise InputError(
            f"Stage 1 of this run would take about {math.ceil(needed)} seconds of the GPU, which is lent for {most} "
            "at most, so nothing would be reached that could be kept. Ask for fewer steps of stage 1, or take NADA, "
            "which has none."
        )


# --- here -------------------------------------------------------------------------------------------------------------


def _as_said(config: Any, given: Any, asked: str, seconds: int, most: int, interval: float) -> int:
    return seconds


_borrowed = _over_there if spaces is None else spaces.GPU(duration=_as_said)(_over_there)
#: Whether a GPU is lent here; everywhere else `spaces` gives back the function that it was given.
LENT = _borrowed is not _over_there


class Gpu:
    """Where the jobs of an app compute. Raises InputError where a GPU is to be lent for too short a time for any."""

    def __init__(self, policy: Policy) -> None:
        self._seconds = math.ceil(policy.gpu_seconds)
        if LENT and self._seconds < _SHORTEST:
            raise InputError(f"IPL_GPU_SECONDS must be at least {_SHORTEST}, not {self._seconds}.")
        self._paces: LRU[tuple[str, ...], Speed] = LRU(_MAX_PACES)

    def choose_device(self) -> tuple[str, str]:
        """What everything but training computes on, and why, in words; see `devices.choose_device`."""
        if LENT:
            return "cpu", f"runs get a GPU, which is lent for {self._seconds} seconds at most"
        return devices.choose_device()

    def placed(self, config: Any) -> Any:
        """An AdaptConfig or InvertConfig for the device that its job will compute on."""
        if not LENT:
            return config
        return replace(config, device="cuda" if torch.cuda.is_available() else "cpu")

    def adapt(self, config: AdaptConfig, stop: Stop, start: Start | None = None) -> Iterator[Step | Result]:
        """As `ipl_core.adapt`. A run that takes longer than the GPU is lent for ends as if stopped."""
        if not LENT:
            yield from adapt(config, stop, start=start)
            return
        seconds, known = self._seconds, self._paces.get(speed_key(config))
        if known is not None:
            _check_time(known, config, start, self._seconds)
            steps = _on_screen(known.seconds(config, start and start.step))
            seconds = min(seconds, math.ceil(RESERVE + LOADING + _SAFETY * steps))
        yield from self._borrow(config, start and _packed(start), stop, seconds)

    def invert(
        self, config: InvertConfig, picture: Tensor, stop: Stop, preview_interval: float = 1.0
    ) -> Iterator[Step | Result]:
        """As `ipl_core.invert`; likewise."""
        if LENT:
            yield from self._borrow(config, picture.numpy(), stop, self._seconds, preview_interval)
        else:
            yield from invert(config, picture, stop, preview_interval)

    def measure(self, config: AdaptConfig) -> Speed:
        """As `forecast.measure`; where a GPU is lent, what the last such run measured.

        Raises InputError, too, where none has.
        """
        if not LENT:
            return forecast.measure(config)
        if speed_key(config) not in self._paces:
            raise InputError("How fast the GPU is will be known after the first run.")
        return self._paces[speed_key(config)]

    def with_open_critic(self, pace: Speed, method: str, device: str) -> Speed:
        """As `forecast.with_open_critic`. Raises InputError, too, where a GPU is lent, as it isn't here to be timed."""
        if LENT:
            raise InputError("How fast the GPU is with another CLIP model will be known after the first run with it.")
        return forecast.with_open_critic(pace, method, device)

    def _borrow(
        self, config: AdaptConfig | InvertConfig, given: Any, stop: Stop, seconds: int, interval: float = 1.0
    ) -> Iterator[Step | Result]:
        asked = private.shelf("ends") / secrets.token_hex(8)
        try:
            with closing(_borrowed(config, given, str(asked), seconds, self._seconds, interval)) as said:
                for kind, value in said:
                    if stop.is_set():
                        asked.touch()
                    if kind == "update":
                        yield _unpacked(value)
                    elif kind == "pace":
                        self._note(config, value)
                    elif kind == "late":
                        stop.end("time", late_words(seconds))
                    elif kind == "refused":
                        raise InputError(value)
                    else:
                        raise RuntimeError(f"the job on the GPU ended with {value}")
        except Error as error:  # no GPU, no quota left, or the process was ended
            raise InputError(f"The GPU could not be used: {_plain(error.message)}") from error
        finally:
            asked.unlink(missing_ok=True)

    def _note(self, config: AdaptConfig, pace: Speed) -> None:
        self._paces[speed_key(config)] = pace


def late_words(seconds: int) -> str:
    """The sentences on a job whose GPU was lent for no longer."""
    return f"Ended early: the GPU was lent for {seconds} seconds. A run that is kept can go on."


def _plain(message: Any) -> str:
    """What `spaces` says, without links and markup, as a sentence."""
    words = " ".join(_MARKUP.sub(" ", str(message)).split()).rstrip(" -.")
    return f"{words or 'it is not said why'}. Try again later."
