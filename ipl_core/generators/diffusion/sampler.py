"""DDIM (Song et al. 2021) without noise of its own, both ways: noise to picture, picture to the noise it comes from.

Whatever a network predicts, a `Schedule` makes x̂_0 of it, held in bounds where the schedule says so, and derives ε from
that again; a step then goes to the next ᾱ along both. The same way is gone up and down. Nothing here draws random
numbers, so a sample depends on its own noise and on nothing else in its batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from ...errors import InputError
from .schedule import Schedule, strided, up_to

#: A network at x (B, …) and times t (B,): what it predicts, of the shape of x.
Predict = Callable[[Tensor, Tensor], Tensor]

CLEAN, PURE_NOISE = 1.0, 0.0  # ᾱ at the two ends of the way


def step(
    predict: Predict, schedule: Schedule, x: Tensor, t: int, alpha_next: float, clamp: bool | None = None
) -> tuple[Tensor, Tensor]:
    """One step of DDIM (Song et al. 2021, eq. 12 with σ = 0) from time t to the level ᾱ_next, in either direction.

    Gives x at that level and x̂_0, both of the shape of x.
    """
    times = torch.full((len(x),), t, device=x.device, dtype=torch.long)
    x0 = schedule.clean(x, times, predict(x, times), clamp)
    noise = schedule.noise(x, times, x0)
    return alpha_next**0.5 * x0 + (1 - alpha_next) ** 0.5 * noise, x0


def downwards(schedule: Schedule, steps: int, t0: int | None = None) -> Iterator[tuple[int, float]]:
    """The times of a way down to the picture and the ᾱ after each: from pure noise, or from level t0.

    From pure noise the times are `strided`; from t0 they are evenly spaced and begin at t0 itself.
    Raises InputError for a number of steps or a t0 that can't be.
    """
    times = (strided(schedule.total, steps) if t0 is None else _partial(schedule, t0, steps, steps))[::-1]
    after = [*(schedule.alphas[t] for t in times[1:]), CLEAN]
    return zip(times, after)


def upwards(schedule: Schedule, steps: int, t0: int | None = None) -> Iterator[tuple[int, float]]:
    """The times of a way up from the picture and the ᾱ after each: to pure noise, or to level t0.

    The picture counts as being at time 0. Raises InputError as `downwards` does.
    """
    if t0 is None:
        times = strided(schedule.total, steps)
        return zip(times, [*(schedule.alphas[t] for t in times[1:]), PURE_NOISE])
    times = _partial(schedule, t0, steps, steps + 1)
    return zip(times[:-1], [schedule.alphas[t] for t in times[1:]])


def _partial(schedule: Schedule, t0: int, steps: int, count: int) -> list[int]:
    schedule.check_t0(t0)
    if not 1 <= steps <= t0:
        raise InputError(f"From t0 = {t0} there are from 1 to {t0} steps to go, not {steps}.")
    return up_to(t0, count)


def travel(
    predict: Predict,
    schedule: Schedule,
    x: Tensor,
    way: Iterator[tuple[int, float]] | Sequence[tuple[int, float]],
    clamp: bool | None = None,
) -> Tensor:
    """x at the end of a `way`, of `downwards` or `upwards`."""
    for t, alpha_next in way:
        x, _ = step(predict, schedule, x, t, alpha_next, clamp)
    return x
