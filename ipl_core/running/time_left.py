"""How long a run takes: what its steps cost, by what one picture costs, and the time left once steps are made."""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from .steps import Step

#: The backward pass of a picture takes twice as long as its forward pass, which low memory computes once more.
WAY_BACK = 2
_STEPS = 20  # the last steps that the time left is estimated from


@dataclass(frozen=True)
class Costs:
    """What the parts of a run cost on this machine, in seconds.

    picture: one picture drawn and embedded by all CLIP models.
    prompts: of learned prompts one step for one picture of its batch; of described ones a picture's direction.
    """

    picture: float
    prompts: float = 0.0

    def generator_step(self, batch: int, low_memory: bool, described: bool = False, chosen_on: float = 0.0) -> float:
        """A step of stage 2, without the source samples that it draws.

        chosen_on: pictures that the adaptive choice of layers looks at, a step on average.
        """
        pictures = (1 + WAY_BACK + low_memory) * (batch + chosen_on) * self.picture
        return pictures + (batch * self.prompts if described else 0.0)


def nothing_to_draw() -> tuple[float, float]:
    """What a run that draws no source samples says of them; see `TimeLeft`."""
    return 0.0, 0.0


class TimeLeft:
    """Seconds left of a run, from the last steps seen; for a phase not begun yet, from a forecast.

    plan: steps of each phase, in order. forecast: seconds a step of the phases after the first.
    drawing: gives the seconds spent so far on source samples, which many steps share, and the seconds that they will
        still take. Steps are compared without them.
    Make it when the first step begins.
    """

    def __init__(
        self,
        plan: Mapping[str, int],
        forecast: Mapping[str, float] | None = None,
        drawing: Callable[[], tuple[float, float]] = nothing_to_draw,
    ) -> None:
        self._plan, self._forecast, self._drawing = plan, forecast or {}, drawing
        self._phase = next(iter(plan))
        self._times = deque([time.perf_counter() - drawing()[0]], maxlen=_STEPS)

    def after(self, step: Step) -> float:
        """Seconds left after this step; call it once a step. What the consumer does between two steps counts, too.

        Of three steps and more the slowest is left out: the first one warms up, and can take many times as long.
        """
        if step.phase != self._phase:
            self._phase = step.phase
            self._times = deque([self._times[-1]], maxlen=_STEPS)
        spent, to_come = self._drawing()
        self._times.append(time.perf_counter() - spent)
        times = sorted(after - before for before, after in itertools.pairwise(self._times))
        usual = times[:-1] if len(times) > 2 else times
        left = sum(usual) / len(usual) * (step.total - step.step)
        phases = list(self._plan)
        later = phases[phases.index(self._phase) + 1 :]
        return left + to_come + sum(self._plan[phase] * self._forecast[phase] for phase in later)
