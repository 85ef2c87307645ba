"""Kept attributes and identity: how much of the person the judge still reads after adaptation."""

from __future__ import annotations

from torch import Tensor

from ..models.catalog import own_judge
from ..pictures.media import to_float
from ..studio.judge import Verdict
from ..studio.world.domains import Domain
from .comparison import Comparison
from .metric import Metric


def kept_attributes(before: Verdict, after: Verdict, domain: Domain) -> float:
    """Share of trait readings that stay what they were, over pictures and traits, 0–1.

    before, after: verdicts on the same latents. Colours are left out for a domain that takes the person's own
    colours away, since even a true render of it has lost them.
    """
    same = list(kept_each(before, after, domain).values())
    return sum(same) / len(same)


def kept_each(before: Verdict, after: Verdict, domain: Domain) -> dict[str, float]:
    """The share of each trait's readings that stay, by the trait's name; the rest as for `kept_attributes`."""
    return {
        trait.attribute: float((a.argmax(1) == b.argmax(1)).float().mean())
        for trait, a, b in zip(before.subject.traits, before.traits, after.traits)
        if domain.colours or not trait.colour
    }


def kept_identity(before: Verdict, after: Verdict) -> float:
    """Mean cosine of the judge's identity vectors of the same latents, −1 to 1."""
    return float((before.identity * after.identity).sum(1).mean())


def identity_similarity(model: str, one: Tensor, other: Tensor) -> float | None:
    """Cosine of the identities that the model's judge sees in two pictures, uint8 (1, R, R, 3); None without one."""
    judge = own_judge(model)
    if judge is None:
        return None
    return kept_identity(judge.read(to_float(one)), judge.read(to_float(other)))


def _attributes(comparison: Comparison) -> float:
    before, after = comparison.judged(comparison.source), comparison.judged(comparison.target)
    return kept_attributes(before, after, comparison.need("domain"))


def _each(comparison: Comparison) -> dict[str, float]:
    before, after = comparison.judged(comparison.source), comparison.judged(comparison.target)
    return kept_each(before, after, comparison.need("domain"))


def _identity(comparison: Comparison) -> float:
    return kept_identity(comparison.judged(comparison.source), comparison.judged(comparison.target))


ATTRIBUTES = Metric(
    "attributes", "attributes kept", "embedded", ("judge", "domain"), True, _attributes, ".1%", parts=_each
)
IDENTITY = Metric("identity", "ID by the judge", "embedded", ("judge",), True, _identity)
