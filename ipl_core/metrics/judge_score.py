"""Judge score: the share of samples that the judge calls the target domain. No loss ever uses the judge."""

from __future__ import annotations

from ..studio.judge import Verdict


def judge_score(verdict: Verdict, domain: int) -> float:
    """Share of pictures whose most probable domain is number `domain` of the judge's, 0–1."""
    return float((verdict.domain.argmax(1) == domain).float().mean())
