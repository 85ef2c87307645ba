"""How a generator draws pictures for training: the starting point that source and student share, and the steps.

A generator that draws in one pass has no choice here. One that draws in many steps can learn from one step, from each
step separately, or through all of them; a `Chain` says which. This module knows nothing about networks, prompts or
losses.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ..errors import InputError
from ..storage.words import quoted

#: step: the prediction x̂_0 from one noised picture. each: x̂_0 at every denoising step, without gradient from one step
#: to the next. full: the picture after the last step, with the gradient through all steps.
CHAINS = ("step", "each", "full")


@dataclass(frozen=True)
class Chain:
    """The sampling steps that the student learns from; generators that draw in one pass ignore it.

    kind: one of CHAINS. t0: the noise level to which pictures are noised before they are denoised again; for "step" it
    is the maximum, since each picture gets a level of its own. steps: denoising steps of "each" and "full".
    source_steps: steps by which the source draws the clean picture.
    """

    kind: str = "step"
    t0: int = 500
    steps: int = 6
    source_steps: int = 8

    def __post_init__(self) -> None:
        if self.kind not in CHAINS:
            raise InputError(f"A chain is one of {', '.join(CHAINS)}, not {quoted(self.kind)}.")
        for name, words in (("t0", "t0"), ("steps", "number of steps"), ("source_steps", "number of source steps")):
            value: Any = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise InputError(f"A chain's {words} is a whole number from 1, got {quoted(value)}.")


@dataclass(frozen=True)
class LearningStart:
    """The starting point of training pictures, one row per picture; only the generator interprets its content.

    An embedding cache stores it with the latents, so that source and student start alike. Empty if a generator needs
    no starting point.
    """

    tensors: tuple[Tensor, ...] = ()

    def select(self, rows: Tensor | slice) -> LearningStart:
        """The starting points of the selected pictures."""
        return LearningStart(tuple(tensor[rows] for tensor in self.tensors))
