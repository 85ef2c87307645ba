"""What every training script of the studio shares: checkpoints, a log of figures, half precision, first weights."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch

from ...storage import tables


def half_precision(device: torch.device, wanted: bool = True) -> torch.autocast:
    """The block in which training computes in bfloat16 if it is `wanted` and makes the device faster.

    It does so on GPUs and on CPUs with AVX-512; on one without, a step takes many times as long as in float32.
    """
    faster = device.type != "cpu" or torch.backends.cpu.get_cpu_capability().startswith("AVX512")
    return torch.autocast(device.type, torch.bfloat16, enabled=wanted and faster)


_Module = TypeVar("_Module", bound=torch.nn.Module)


def first_weights(make: Callable[[], _Module], seed: int) -> _Module:
    """The module that `make` gives, with first weights from `seed`.

    torch.nn draws them from the global random numbers, whose state is put back.
    """
    state = torch.random.get_rng_state()
    torch.manual_seed(seed)
    module = make()
    torch.random.set_rng_state(state)
    return module


def figure_words(figures: Mapping[str, float]) -> str:
    """Figures for a line of the log: "contrast 1.250, pairs 0.500"."""
    return ", ".join(f"{name} {value:.3f}" for name, value in figures.items())


class Checkpoint:
    """Named modules, optimisers and counters in one file, written whole or not at all.

    The file holds tensors and plain containers only, so it is read with weights_only=True.
    """

    def __init__(self, path: Path, parts: Mapping[str, Any]) -> None:
        self.path, self.parts = path, dict(parts)

    def resume(self) -> int:
        """Load the parts if the file exists; gives the step to go on from, 0 if there is none."""
        if not self.path.exists():
            return 0
        state = torch.load(self.path, map_location="cpu", weights_only=True)
        for name, part in self.parts.items():
            if isinstance(part, torch.Generator):
                part.set_state(state[name])
            else:
                part.load_state_dict(state[name])
        return int(state["step"])

    def save(self, step: int) -> None:
        """Write the parts as of `step`."""
        state: dict[str, Any] = {"step": step}
        for name, part in self.parts.items():
            state[name] = part.get_state() if isinstance(part, torch.Generator) else part.state_dict()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        half_written = self.path.with_suffix(".part")
        torch.save(state, half_written)
        half_written.replace(self.path)


class FigureLog:
    """Appends rows of figures to a CSV file, one row a call, with the seconds since the script began."""

    def __init__(self, path: Path) -> None:
        self.path, self.begun = path, time.monotonic()
        path.parent.mkdir(parents=True, exist_ok=True)

    def write(self, **figures: float | int | str) -> None:
        """Append one row; the first row of a file brings the header."""
        row = {k: f"{v:.5g}" if isinstance(v, float) else v for k, v in figures.items()}
        row["seconds"] = f"{time.monotonic() - self.begun:.1f}"
        new = not self.path.exists()
        with self.path.open("a", newline="", encoding="utf-8") as file:
            file.write(tables.csv_text([row], list(row), header=new))


class Ema:
    """Exponential moving average of a module's parameters and buffers, in a module of the same shape."""

    def __init__(self, module: torch.nn.Module, average: torch.nn.Module, decay: float) -> None:
        self.module, self.average, self.decay = module, average, decay
        average.load_state_dict(module.state_dict())
        average.requires_grad_(False)

    @torch.no_grad()
    def update(self) -> None:
        """average ← decay · average + (1 − decay) · module; buffers are copied."""
        for kept, fresh in zip(self.average.parameters(), self.module.parameters()):
            kept.lerp_(fresh, 1 - self.decay)
        for kept, fresh in zip(self.average.buffers(), self.module.buffers()):
            kept.copy_(fresh)
