"""What a comparison of methods needs of the library."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ipl_core.library import runs
from ipl_core.library import store as library
from ipl_core.methods.config import METHODS


def said(entry: library.Entry, seeds: Sequence[int], psi: float) -> dict[int, str]:
    """What the prompts of a run say of these people, by seed: as it was noted, else read; {} where they say nothing."""
    if not entry.config.readable:
        return {}
    noted = entry.readings if entry.config.preview_psi == psi else {}
    return noted if noted.keys() >= set(seeds) else runs.readings(entry, seeds, psi)


def finished_models() -> dict[str, library.Entry]:
    """The finished models of the domain that most methods come with, by method; none where there is no such two."""
    groups: dict[tuple[Any, ...], dict[str, library.Entry]] = {}
    for entry in library.list_entries():
        if entry.shipped:
            config, samples = entry.config, entry.settings["shipped"]["samples"]
            same = (entry.settings["model_sha256"], config.source, config.target, config.seed, samples)
            groups.setdefault(same, {})[config.method] = entry
    most = max(groups.values(), key=len, default={})
    return {method: most[method] for method in METHODS if method in most} if len(most) > 1 else {}
