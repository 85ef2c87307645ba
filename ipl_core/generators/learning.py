"""How a generator draws while it learns: where pictures begin, alike for source and student, and by which steps.

A generator that draws in one pass has nothing to choose. One that draws in many steps can be taught by one of them, by
each, or by all; a `Chain` says which. The room knows nothing about networks, prompts or losses.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ..errors import InputError
from ..storage.words import quoted

#: step: one clean picture x̂_0 from one noised picture. each: x̂_0 at every step of a way down, without gradient from one
#: step to the next. full: the picture at the end of the way, with the gradient through all steps.
CHAINS = ("step", "each", "full")


@dataclass(frozen=True)
class Chain:
    """Which steps of drawing are learnt from; generators that draw in one pass ignore it.

    kind: one of CHAINS. t0: level of noise that a picture is taken to and drawn again from; for "step" the highest, as
    every picture has a level of its own. steps: of the way down, of "each" and "full". source_steps: by which the
    source draws the picture that is noised.
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
    """Where pictures begin that are drawn to learn from, one row a picture; what is in it is its generator's business.

    An embedding cache keeps it beside the latents, so that source and student begin alike. Empty where a generator
    always begins alike.
    """

    tensors: tuple[Tensor, ...] = ()

    def select(self, rows: Tensor | slice) -> LearningStart:
        """The starts of some pictures."""
        return LearningStart(tuple(tensor[rows] for tensor in self.tensors))
