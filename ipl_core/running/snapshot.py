"""Snapshot: the one currency between the core and whatever shows or stores its progress.

Everything in it lives on the CPU and can be pickled, so that a snapshot may cross a process boundary.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch


@dataclass(frozen=True)
class Snapshot:
    """The state of a run after one step.

    step, total: steps done and steps planned in this phase; step counts from 1.
    phase: "prompts" (stage 1) and "generator" (stage 2) of an adaptation, "latent" and "tuning" of an inversion, or
        "done" (the last snapshot of every run).
    losses: each loss term by name at this step; empty on the last snapshot.
    before, after: pictures of the preview seeds by the source and the current generator, or the picture to invert
        and what stands for it now; uint8 (N, H, W, 3); None on steps where they were not renewed.
    diversity: spread of the adapted previews over that of their sources (1 = as varied as the source, 0 = all
        alike), of the identities that the model's judge sees, or in the critic's space where it has none; None where
        `after` is None or no critic is used.
    seconds: time since the run began. remaining: estimate of the seconds left.
    weights: the tensors that training changed, by state-dict name; on the last snapshot, and on every step of stage 2
        that `AdaptConfig.keep_every` asks for.
    prompts: state dict of the trained prompt learner, by name; only on the last snapshot, empty for NADA.
    readings: what the prompt of each preview seed says in words, by seed; with the pictures of stage 2 and on the last
        snapshot. None in stage 1, and for a method whose prompts say nothing of their own.
    training: what stage 2 needs to go on as if it had not ended; only on the last snapshot, where
        `AdaptConfig.keep_state` asks for it.
    latent: what an inversion found: "w_plus" (1, rows, w_dim) and, where they were optimised, the noise maps
        "noise.0" …, (1, 1, h, w) each; only on its last snapshot.
    distances: how far the last picture of an inversion is from the one given, by name; only on its last snapshot.
    stopped: why a last snapshot came before the last step ("asked", "not finite"), None if it did not.
    """

    step: int
    total: int
    phase: str
    losses: dict[str, float] = field(default_factory=dict)
    before: torch.Tensor | None = None
    after: torch.Tensor | None = None
    diversity: float | None = None
    seconds: float = 0.0
    remaining: float = 0.0
    weights: dict[str, torch.Tensor] | None = None
    prompts: dict[str, torch.Tensor] | None = None
    readings: dict[int, str] | None = None
    training: dict[str, torch.Tensor] | None = None
    latent: dict[str, torch.Tensor] | None = None
    distances: dict[str, float] | None = None
    stopped: str | None = None


@dataclass(frozen=True)
class Start:
    """Where a run goes on that has ended before: the steps of stage 2 it had done, and what its last Snapshot carried.

    training: None where it was not kept; the run then goes on from `weights` with a fresh optimiser.
    """

    step: int
    weights: dict[str, torch.Tensor]
    prompts: dict[str, torch.Tensor]
    training: dict[str, torch.Tensor] | None = None
