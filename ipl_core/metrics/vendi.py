"""Vendi score (Friedman and Dieng, TMLR 2023): the effective number of different pictures in a set."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .comparison import Comparison
from .metric import Metric


def vendi_score(vectors: Tensor) -> float:
    """exp of the entropy of the eigenvalues of K / N, K the cosines of vectors (N, D); from 1, all alike, to min(N, D).

    The entropy is −Σ λ ln λ with 0 · ln 0 = 0. Few pictures read low.
    """
    unit = F.normalize(vectors.double(), dim=1)
    # XXᵀ and XᵀX have the same eigenvalues but for zeros; the smaller is cheaper.
    gram = unit @ unit.T if len(unit) <= unit.shape[1] else unit.T @ unit
    values = torch.linalg.eigvalsh(gram / len(unit)).clamp_min(0)
    return float(torch.special.entr(values).sum().exp())


def _vendi(comparison: Comparison) -> float:
    return vendi_score(comparison.judged(comparison.target).features)


def _persons(comparison: Comparison) -> float:
    return vendi_score(comparison.judged(comparison.target).identity)


METRIC = Metric("vendi", "Vendi score of the judge's features", "embedded", ("judge",), True, _vendi, ".2f")
PERSONS = Metric("effective_number", "effective number of persons", "embedded", ("judge",), True, _persons, ".1f")
