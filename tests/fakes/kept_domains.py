"""Domains in the library without the training."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from ipl_core import AdaptConfig, AdaptResult, Step
from ipl_core.library import store
from ipl_core.methods.registry import rank
from ipl_core.models import catalog
from ipl_core.running.steps import Pictures
from ipl_core.studio.ship import ship

#: What the Library tab asks for its list: who may see everything, and a visitor of a shared app.
OWN_MACHINE, OF_A_VISITOR = (
    SimpleNamespace(_service=SimpleNamespace(roles=SimpleNamespace(may_everything=lambda answer=answer: answer)))
    for answer in (True, False)
)


def entry_of(
    target: str, shift: float, method: str = "nada", stopped: str | None = None, **settings: Any
) -> store.Entry:
    """A kept adaptation of the model “studio” that adds `shift` to one layer."""
    config = AdaptConfig(target, method=method, **{"steps": 1, **settings})
    generator = catalog.load_generator("studio")
    weights = {name: generator.get_parameter(name) + shift for name in generator.layer_parameters(2)}
    return _kept(config, weights, stopped)


def trained_entry(target: str, method: str = "nada", scale: float = 0.1, **settings: Any) -> store.Entry:
    """A kept adaptation of the model “studio” that changes all its layers by random numbers, as training would."""
    config = AdaptConfig(target, method=method, **{"steps": 1, **settings})
    generator = catalog.load_generator("studio")
    rng = torch.Generator().manual_seed(rank(method))
    weights = {
        name: parameter + scale * torch.randn(parameter.shape, generator=rng)
        for name, parameter in generator.named_parameters()
        if name.startswith("synthesis.")
    }
    return _kept(config, weights)


def finished_model(target: str, folder: Path, method: str = "nada", bits: int = 6, **settings: Any) -> store.Entry:
    """A finished model in `folder`, of a run that is not in the library any more."""
    run = trained_entry(target, method, **settings)
    (made,) = ship([run], folder, bits, samples=4)
    store.delete(run)
    return store.open_entry(made.path)


def _kept(config: AdaptConfig, weights: dict[str, torch.Tensor], stopped: str | None = None) -> store.Entry:
    pictures = torch.zeros(1, 8, 8, 3, dtype=torch.uint8)
    run = store.Run(config)
    run.add(Step(1, 1, "generator", {"adaptation": 1.0}))
    run.add(AdaptResult(1, 1, Pictures(pictures, pictures), weights, stopped=stopped))
    return run.save()
