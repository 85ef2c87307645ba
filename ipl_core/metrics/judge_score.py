"""Judge score: the share of samples that the judge calls the target domain. No loss ever uses the judge."""

from __future__ import annotations

from ..studio.judge import Verdict
from ..studio.world.domains import Domain
from .comparison import Comparison
from .metric import Metric


def judge_score(verdict: Verdict, domain: Domain) -> float:
    """Share of pictures whose most probable domain is `domain`, one of the judge's subject, 0–1."""
    return float((verdict.domain.argmax(1) == verdict.subject.domains.index(domain)).float().mean())


def _measure(comparison: Comparison) -> float:
    return judge_score(comparison.judged(comparison.target), comparison.need("domain"))


METRIC = Metric("domain_score", "domain score", "embedded", ("judge", "domain"), True, _measure, ".1%")
