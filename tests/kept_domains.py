"""Domains in the library without the training."""

from __future__ import annotations

from typing import Any

import torch

from ipl_core import AdaptConfig, Snapshot, catalog, library


def entry_of(
    target: str, shift: float, method: str = "nada", stopped: str | None = None, **settings: Any
) -> library.Entry:
    """A kept adaptation of the model “studio” that adds `shift` to one layer."""
    config = AdaptConfig(target, method=method, **{"steps": 1, **settings})
    generator = catalog.load_generator("studio")
    weights = {name: generator.get_parameter(name) + shift for name in generator.layer_parameters(2)}
    pictures = torch.zeros(1, 8, 8, 3, dtype=torch.uint8)
    run = library.Run(config)
    run.add(Snapshot(1, 1, "generator", {"adaptation": 1.0}))
    run.add(Snapshot(1, 1, "done", before=pictures, after=pictures, weights=weights, prompts={}, stopped=stopped))
    return run.save()
