"""What a metric is: a name, what it needs, and how it measures a comparison. Knows no metric by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .comparison import Comparison

#: What a metric may need beside source and target pictures; `Comparison.need` gives it or says why it isn't there.
NEEDS = ("judge", "domain", "truth", "references", "clip", "judge-clip", "inception", "hed", "ir-se50", "lpips-vgg")
#: Whose networks a metric looks with: the embedded judge's, published ones, or any CLIP.
FAMILIES = ("embedded", "real", "any")


def _nothing(comparison: Comparison) -> dict[str, Any]:
    return {}


@dataclass(frozen=True)
class Metric:
    """One metric.

    name: of its column. title: for a person. family: one of FAMILIES. needs: of NEEDS. higher: whether more is better,
    None where neither is. measure: comparison → score. parts: comparison → further figures, by name, that the score is
    made of. settings: comparison → what the score depends on beside the pictures, such as a number of clusters, ready
    for JSON. form: format of a score, as for `format`.
    """

    name: str
    title: str
    family: str
    needs: tuple[str, ...]
    higher: bool | None
    measure: Callable[[Comparison], float]
    form: str = ".3f"
    parts: Callable[[Comparison], dict[str, float]] = _nothing
    settings: Callable[[Comparison], dict[str, Any]] = _nothing
