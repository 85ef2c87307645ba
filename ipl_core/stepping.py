"""What surrounds a step of every iterator of Snapshots: its modes, its guard against NaN, its pace."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Iterator

import torch
from torch import Tensor


class NotFinite(ArithmeticError):
    """A step met NaN or infinity; nothing has been changed by it."""


@contextlib.contextmanager
def own_modes(device: torch.device) -> Iterator[None]:
    """Gradients on, full precision, whatever the caller's modes are. Left before a yield, or it would leak to them."""
    with torch.inference_mode(False), torch.enable_grad(), torch.autocast(device.type, enabled=False):
        yield


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


class Pace:
    """Seconds left, from the last steps seen; for a stage not yet begun, from a forecast."""

    def __init__(self, plan: dict[str, int], forecast: dict[str, float]) -> None:
        self._plan, self._forecast = plan, forecast
        self._times: deque[float] = deque(maxlen=20)
        self._phase = ""

    def begin(self, phase: str) -> None:
        """Call when a stage begins."""
        self._phase = phase
        self._times.clear()
        self._times.append(time.perf_counter())

    def remaining(self, step: int) -> float:
        """Call once a step, when it is done. What a consumer does between two steps counts: it takes time too."""
        self._times.append(time.perf_counter())
        seconds_a_step = (self._times[-1] - self._times[0]) / (len(self._times) - 1)
        phases = list(self._plan)
        later = phases[phases.index(self._phase) + 1 :]
        left = seconds_a_step * (self._plan[self._phase] - step)
        return left + sum(self._plan[phase] * self._forecast[phase] for phase in later)
