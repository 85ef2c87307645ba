"""Noise schedules: how much of a picture is left at each time, what the network predicts, and which times are visited.

A schedule is ᾱ (Ho et al. 2020): x_t = √ᾱ_t x_0 + √(1 − ᾱ_t) ε, for t = 0 … T − 1. Released models have the
linear β of that paper and predict ε; the embedded one has a cosine and predicts v. Both numbers and kind stand in a
model's file, so that one sampler serves every model. The module knows nothing about networks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate
from operator import mul
from typing import Any

import torch
from torch import Tensor

from ...errors import InputError
from ...storage.words import quoted

#: What a network may predict, in the words of diffusers: the noise, the clean picture, or v (Salimans and Ho 2022).
PREDICTIONS = ("epsilon", "sample", "v_prediction")
MAX_TIMES = 10_000  # published models have 1000


def linear_alphas(times: int = 1000, first: float = 1e-4, last: float = 0.02) -> tuple[float, ...]:
    """ᾱ of β that grows evenly from `first` to `last` (Ho et al. 2020)."""
    return _alphas([first + (last - first) * t / (times - 1) for t in range(times)])


def constant_alphas(beta: float = 0.008, times: int = 1000) -> tuple[float, ...]:
    """ᾱ of one β for all times, as the released latent nets have it."""
    return _alphas([beta] * times)


def cosine_alphas(times: int = 1000, shift: float = 0.0) -> tuple[float, ...]:
    """ᾱ whose log-SNR is −2 log tan(πs / 2) + shift for s = (t + ½) / T.

    shift: of the log-SNR, −2 log 2 for each doubling of the picture's side (Hoogeboom et al. 2023, eq. 4): in a larger
    picture the same noise hides less, as it is averaged away over more pixels.
    """
    angles = [math.pi / 2 * (t + 0.5) / times for t in range(times)]
    return tuple(1 / (1 + math.tan(angle) ** 2 * math.exp(-shift)) for angle in angles)


def _alphas(betas: Sequence[float]) -> tuple[float, ...]:
    return tuple(accumulate((1 - beta for beta in betas), mul))


def strided(total: int, steps: int) -> list[int]:
    """The times 0, k, 2k, … below `total`, ascending, for the smallest stride k that gives exactly `steps` of them.

    Raises InputError where no stride does, and for a single step, which would be made at time 0; the message names the
    nearest numbers that exist.
    """
    possible = {math.ceil(total / stride): stride for stride in range(total - 1, 0, -1)}
    if steps in possible:
        return list(range(0, total, possible[steps]))
    if not min(possible) < steps < total:
        raise InputError(f"The number of steps must be from {min(possible)} to {total}, got {quoted(steps)}.")
    below, above = max(n for n in possible if n < steps), min(n for n in possible if n > steps)
    raise InputError(f"{total} times can't be visited in {steps} steps of one length: choose {below} or {above} steps.")


def up_to(t0: int, count: int) -> list[int]:
    """`count` times from 0 to `t0`, evenly spaced and ascending; one is t0 alone."""
    if count == 1:
        return [t0]
    return [round(t0 * k / (count - 1)) for k in range(count)]


@dataclass(frozen=True)
class Schedule:
    """ᾱ and what the network predicts; all that turns a prediction into a picture or into noise.

    alphas: ᾱ of t = 0 … T − 1, falling, each above 0 and below 1. prediction: one of PREDICTIONS.
    clamp: whether the clean picture is held in [−1, 1]; codes of a latent net have no such bounds.
    spread: for v_prediction, how far a picture is expected to lie from what its code says, as a standard deviation; the
        network then leaves out the part of v that is linear in x_t, see `skip`. None: it predicts all of v.
    """

    alphas: tuple[float, ...] = field(repr=False)
    prediction: str = "epsilon"
    clamp: bool = True
    spread: float | None = None

    def __post_init__(self) -> None:
        alphas = self.alphas
        if not isinstance(alphas, (list, tuple)) or not 2 <= len(alphas) <= MAX_TIMES:
            raise InputError(f"A noise schedule has from 2 to {MAX_TIMES} times, got {quoted(alphas)}.")
        if any(not isinstance(a, float) or not 0 < a < 1 for a in alphas):
            raise InputError("A noise schedule's numbers (ᾱ) lie between 0 and 1; these don't.")
        if any(after >= before for before, after in zip(alphas, alphas[1:])):
            raise InputError("A noise schedule's numbers (ᾱ) fall from time to time; these don't.")
        if self.prediction not in PREDICTIONS:
            kinds = ", ".join(PREDICTIONS)
            raise InputError(f"A diffusion model predicts one of {kinds}, not {quoted(self.prediction)}.")
        if not isinstance(self.clamp, bool):
            raise InputError(f"Whether a schedule clamps is true or false, not {quoted(self.clamp)}.")
        spread = self.spread
        if spread is not None and not (isinstance(spread, float) and 0 < spread <= 1):
            raise InputError(f"A schedule's spread is a number above 0 and up to 1, or none, not {quoted(spread)}.")
        if spread is not None and self.prediction != "v_prediction":
            raise InputError(f"A schedule has a spread for v_prediction alone, not for {self.prediction}.")
        object.__setattr__(self, "alphas", tuple(alphas))

    @cached_property
    def _alphas(self) -> Tensor:
        """ᾱ (T,) in double precision: at t = 0, 1 − ᾱ is too small for less."""
        return torch.tensor(self.alphas, dtype=torch.float64, device="cpu")

    @property
    def total(self) -> int:
        """T, the number of times."""
        return len(self.alphas)

    def check_t0(self, t0: Any) -> None:
        """Raises InputError unless `t0` is a time to which a picture can be noised."""
        if isinstance(t0, bool) or not isinstance(t0, int) or not 1 <= t0 < self.total:
            raise InputError(f"t0 must be a whole number from 1 to {self.total - 1}, got {quoted(t0)}.")

    def check_steps(self, steps: Any) -> None:
        """Raises InputError unless a whole way can be gone in that many steps."""
        if isinstance(steps, bool) or not isinstance(steps, int):
            raise InputError(f"The number of steps must be a whole number from 2 to {self.total}, got {quoted(steps)}.")
        strided(self.total, steps)

    def signal_and_noise(self, t: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        """√ᾱ_t and √(1 − ᾱ_t) of times t (B,), each (B, 1, …) to be multiplied with `like` (B, …)."""
        alpha = self._alphas[t.cpu()].view(-1, *[1] * (like.ndim - 1))
        return alpha.sqrt().to(like), (1 - alpha).sqrt().to(like)

    def noised(self, x0: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        """x_t = √ᾱ_t x_0 + √(1 − ᾱ_t) ε (Ho et al. 2020, eq. 4)."""
        signal, sigma = self.signal_and_noise(t, x0)
        return signal * x0 + sigma * noise

    def skip(self, t: Tensor, like: Tensor) -> Tensor:
        """The share of x_t in x̂_0 that the network need not give, (B, 1, …): c_skip of Karras et al. (2022, eq. 7).

        √ᾱ s² / (ᾱ s² + 1 − ᾱ) with s the spread: what the best linear guess takes from x_t once the code has said the
        rest. Where noise prevails that is next to nothing, so the network draws the picture and need not carry the
        noise through its narrow layers only to subtract it; where there is little noise it is nearly everything.
        """
        signal, sigma = self.signal_and_noise(t, like)
        variance = (self.spread or 1.0) ** 2
        return signal * variance / (signal.square() * variance + sigma.square())

    def clean(self, x: Tensor, t: Tensor, predicted: Tensor, clamp: bool | None = None) -> Tensor:
        """x̂_0 as the network's output at (x_t, t) implies it; clamp: see the class, whose own None takes."""
        signal, sigma = self.signal_and_noise(t, x)
        if self.prediction == "epsilon":
            x0 = (x - sigma * predicted) / signal
        elif self.prediction == "sample":
            x0 = predicted
        else:
            x0 = (signal if self.spread is None else self.skip(t, x)) * x - sigma * predicted
        return x0.clamp(-1, 1) if (self.clamp if clamp is None else clamp) else x0

    def noise(self, x: Tensor, t: Tensor, x0: Tensor) -> Tensor:
        """ε such that x_t is x0 with that noise."""
        signal, sigma = self.signal_and_noise(t, x)
        return (x - signal * x0) / sigma

    def target(self, x0: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        """What the network should predict at x_t."""
        if self.prediction == "epsilon":
            return noise
        if self.prediction == "sample":
            return x0
        signal, sigma = self.signal_and_noise(t, x0)
        if self.spread is None:
            return signal * noise - sigma * x0
        return (self.skip(t, x0) * self.noised(x0, t, noise) - x0) / sigma

    def snr(self, t: Tensor) -> Tensor:
        """ᾱ / (1 − ᾱ) of times t (B,)."""
        alpha = self._alphas[t.cpu()]
        return (alpha / (1 - alpha)).float()

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        return {
            "alphas": list(self.alphas),
            "prediction": self.prediction,
            "clamp": self.clamp,
            "spread": self.spread,
        }
