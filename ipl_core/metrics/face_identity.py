"""ID: does a face network (ArcFace, IR-SE50) still see the same person? Of people alone; dogs have no ArcFace."""

from __future__ import annotations

from .comparison import Comparison
from .metric import Metric


def _measure(comparison: Comparison) -> float:
    network = comparison.need("ir-se50")
    before, after = (p.seen(network)["embedding"] for p in (comparison.source, comparison.target))
    return float((before * after).sum(1).mean())


REAL = Metric("id_arcface", "ID, ArcFace IR-SE50", "real", ("ir-se50",), True, _measure)
