"""What surrounds the steps of every iterator of Snapshots: their order, modes, guard against NaN, and pace."""

from __future__ import annotations

import contextlib
import itertools
import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..memory import enough_memory
from .snapshot import Snapshot

log = logging.getLogger(__name__)

PREVIEW_SHARE = 0.2  # of the time, at most, that previews take


class NotFinite(ArithmeticError):
    """A step met NaN or infinity; nothing has been changed by it."""


@contextlib.contextmanager
def own_modes(device: torch.device) -> Iterator[None]:
    """Gradients on, full precision, whatever the caller's modes are; a lack of memory is said in plain words.

    Left before a yield, or it would leak to the caller. Raises OutOfMemory.
    """
    with (
        torch.inference_mode(False),
        torch.enable_grad(),
        torch.autocast(device.type, enabled=False),
        enough_memory(),
    ):
        yield


def mixed(device: torch.device, precision: str) -> torch.autocast:
    """Inside, convolutions and matrix products compute in `precision`, and what must not lose digits in float32.

    bfloat16 has float32's range, so that losses need no scaling and StyleGAN2's large activations don't overflow.
    """
    return torch.autocast(device.type, torch.bfloat16, enabled=precision != "float32")


def require_finite(loss: Tensor, parameters: Iterator[Tensor] | list[Tensor]) -> None:
    """Raises NotFinite if the loss or a gradient isn't; call it before the optimiser's step."""
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    if not torch.isfinite(loss):
        raise NotFinite("The loss is not finite")
    # Adam's step is no longer than its rate allows, so finite gradients leave finite weights.
    if not torch.isfinite(torch.nn.utils.get_total_norm(gradients)):
        raise NotFinite("The gradients are not finite")


def kept(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Copies of tensors for a Snapshot: float32, contiguous, on the CPU."""
    return {name: tensor.detach().float().cpu().contiguous().clone() for name, tensor in tensors.items()}


def nothing_once() -> tuple[float, float]:
    """What a run says whose steps all do the same, see `Pace`."""
    return 0.0, 0.0


class Pace:
    """Seconds left, from the last steps seen; for a stage not yet begun, from a forecast.

    once: gives the seconds spent so far on what some steps do for all those after them, and the seconds that this will
    still take. Steps are compared without it.
    """

    def __init__(
        self,
        plan: dict[str, int],
        forecast: dict[str, float],
        once: Callable[[], tuple[float, float]] = nothing_once,
    ) -> None:
        self._plan, self._forecast, self._once = plan, forecast, once
        self._times: deque[float] = deque(maxlen=20)
        self._phase = ""

    def begin(self, phase: str) -> None:
        """Call when a stage begins."""
        self._phase = phase
        self._times.clear()
        self._times.append(time.perf_counter() - self._once()[0])

    def remaining(self, step: int) -> float:
        """Call once a step, when it is done. What a consumer does between two steps counts: it takes time too.

        Of three steps and more the slowest is left out: the first one warms up, and can take many times as long.
        """
        spent, to_come = self._once()
        self._times.append(time.perf_counter() - spent)
        times = sorted(after - before for before, after in itertools.pairwise(self._times))
        usual = times[:-1] if len(times) > 2 else times
        seconds_a_step = sum(usual) / len(usual)
        phases = list(self._plan)
        later = phases[phases.index(self._phase) + 1 :]
        left = seconds_a_step * (self._plan[self._phase] - step)
        return left + to_come + sum(self._plan[phase] * self._forecast[phase] for phase in later)


def seconds_between(preview_interval: float, seconds_a_preview: float) -> float:
    """How long after a preview the next one is due: so long that previews take PREVIEW_SHARE of the time at most.

    A `preview_interval` of 0 asks for one at every step, whatever that costs.
    """
    return max(preview_interval, (1 / PREVIEW_SHARE - 1) * seconds_a_preview) if preview_interval else 0.0


@dataclass(frozen=True)
class Stage:
    """A stage of a run.

    phase: its name in Snapshots. total: steps planned. begin: called when the stage's turn comes; gives what makes one
    step, returns its loss terms and raises NotFinite where nothing was changed. forecast: seconds a step, as far as
    that can be known before the stage has begun; the first stage needs none. done: steps that an earlier run made.
    carried: further fields of the Snapshot of a step; where there are any, its pictures are renewed too.
    """

    phase: str
    total: int
    begin: Callable[[], Callable[[], dict[str, float]]]
    forecast: float = 0.0
    done: int = 0
    carried: Callable[[int], dict[str, Any]] = lambda step: {}


def run_stages(
    stages: Sequence[Stage],
    device: torch.device,
    began: float,
    pictures: Callable[[], dict[str, Any]],
    preview_interval: float,
    stop: threading.Event | None,
    once: Callable[[], tuple[float, float]] = nothing_once,
) -> Generator[Snapshot, None, tuple[str | None, dict[str, int]]]:
    """Makes the steps of one stage after the other and yields a Snapshot for each.

    began: when the run began, by `time.perf_counter`. pictures: draws what a Snapshot shows at this moment, as its
    fields by name; called at the first step, then whenever `seconds_between` says so, and wherever a stage has
    more to say.
    stop: once it is set, no further step is begun. once: see `Pace`.

    Returns why it ended early ("asked", "not finite", or None) and the steps done in each phase.
    """
    plan = {stage.phase: stage.total for stage in stages}
    pace = Pace(plan, {stage.phase: stage.forecast for stage in stages}, once)
    done = {stage.phase: stage.done for stage in stages}
    due = -math.inf
    for stage in stages:
        with own_modes(device):
            train_step = stage.begin()
        pace.begin(stage.phase)
        for step in range(stage.done + 1, stage.total + 1):
            if stop is not None and stop.is_set():
                return "asked", done
            try:
                with own_modes(device):
                    losses = train_step()
            except NotFinite as error:
                log.warning("%s at step %d of the stage “%s”: what was before it is kept", error, step, stage.phase)
                return "not finite", done
            done[stage.phase] = step
            with own_modes(device):
                renewed = stage.carried(step)
            now = time.perf_counter()
            if renewed or now >= due:
                with own_modes(device):
                    renewed |= pictures()
                shown = time.perf_counter()
                due = shown + seconds_between(preview_interval, shown - now)
            yield Snapshot(
                step=step,
                total=stage.total,
                phase=stage.phase,
                losses=losses,
                seconds=time.perf_counter() - began,
                remaining=pace.remaining(step),
                **renewed,
            )
    return None, done
