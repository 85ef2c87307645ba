"""What a run or an inversion yields: a Step for each training step, then one Result.

Everything in them lives on the CPU and can be pickled, so that they may cross a process boundary.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Pictures:
    """What a run shows at one moment.

    before, after: uint8 (N, H, W, 3). Of an adaptation, the preview seeds by the source and by the current generator;
        of an inversion, the picture to invert and what stands for it now.
    diversity: spread of the adapted previews over that of their sources: 1 is as varied as the source, 0 all alike.
        It is a spread of identities as the model's judge sees them, or of CLIP embeddings where there is no judge.
        None for an inversion, and where the sources don't differ.
    readings: what the prompt of each preview seed says in words, by seed. None in stage 1, for an inversion, and for a
        method whose prompts say nothing of their own.
    """

    before: Tensor
    after: Tensor
    diversity: float | None = None
    readings: dict[int, str] | None = None


@dataclass(frozen=True)
class Step:
    """One training step.

    step, total: steps done and steps planned in this phase; step counts from 1.
    phase: "prompts" (stage 1) or "generator" (stage 2) of an adaptation, "latent" or "tuning" of an inversion.
    losses: each loss term by name.
    pictures: None on steps at which they were not renewed.
    weights: the tensors that training has changed so far, by state-dict name; None but for the steps of stage 2 that
        `AdaptConfig.keep_every` asks for.
    seconds: time since the run began. remaining: estimate of the seconds left.
    """

    step: int
    total: int
    phase: str
    losses: dict[str, float] = field(default_factory=dict)
    pictures: Pictures | None = None
    weights: dict[str, Tensor] | None = None
    seconds: float = 0.0
    remaining: float = 0.0


@dataclass(frozen=True)
class Result:
    """How a run ended.

    step, total: steps done and planned in its last phase.
    pictures: drawn with the weights of the result.
    weights: the tensors that training changed, by state-dict name; {} where it changed none.
    seconds: how long the run took.
    stopped: why it ended before its last step ("asked", "not finite"), None if it did not.
    """

    step: int
    total: int
    pictures: Pictures
    weights: dict[str, Tensor]
    seconds: float = 0.0
    stopped: str | None = None


@dataclass(frozen=True)
class AdaptResult(Result):
    """The result of an adaptation.

    prompts: state dict of the trained prompts; {} for a method that learns none.
    training: what stage 2 needs to go on as if it had not ended; None unless `AdaptConfig.keep_state` asks for it.
    """

    prompts: dict[str, Tensor] = field(default_factory=dict)
    training: dict[str, Tensor] | None = None


@dataclass(frozen=True)
class InvertResult(Result):
    """The result of an inversion.

    latent: "w_plus" (1, rows, w_dim) and, where they were optimised, the noise maps "noise.0" …, (1, 1, h, w) each.
    distances: how far the last picture is from the one given, by name.
    notes: what else an inversion has to say of itself, see `portrait.notes_of`.
    """

    latent: dict[str, Tensor] = field(default_factory=dict)
    distances: dict[str, float] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Start:
    """Where an earlier run ended, for one that continues it: its steps of stage 2 and what its result carried.

    training: None where it was not kept; the run then continues from `weights` with a fresh optimiser.
    """

    step: int
    weights: dict[str, Tensor]
    prompts: dict[str, Tensor]
    training: dict[str, Tensor] | None = None


def cpu_copies(tensors: Mapping[str, Tensor]) -> dict[str, torch.Tensor]:
    """Copies of tensors as a Step or a Result carries them: float32, contiguous, on the CPU."""
    return {name: tensor.detach().float().cpu().contiguous().clone() for name, tensor in tensors.items()}
