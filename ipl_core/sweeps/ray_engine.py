"""Runs on a Ray cluster: GPUs and memory as resources, nodes that may die, more machines than one.

Ray is an extra (pip install -r requirements-ray.txt). Every node needs this program, of the same version. What a run
keeps, such as weights, stays in the library of the node that made it; its row comes back.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import InputError
from ..storage.words import reason
from .task import Outcome, Run, attempt

_LOOK_SECONDS = 5.0  # between two looks at whether the cluster can still make the runs
_RETRIES = 3  # of a run whose node or process died


@dataclass(frozen=True)
class Ray:
    """address: of the cluster, such as 10.0.0.1:6379, "auto" for the one of this machine, "local" for a new one here.

    cpus, gpus, memory: what a run takes, memory in bytes. Raises InputError where Ray isn't installed, no cluster
    answers, or no node has as much as a run takes.
    """

    address: str = "auto"
    cpus: float = 1
    gpus: float = 0
    memory: int = 0

    def outcomes(self, task: str, runs: Sequence[Run]) -> Iterator[tuple[Run, Outcome]]:
        """See `engines.Engine`."""
        ray = _connected(self.address)
        self._check(ray)
        options: dict[str, Any] = dict(num_cpus=self.cpus, num_gpus=self.gpus, max_retries=_RETRIES)
        if self.memory:
            options["memory"] = self.memory
        remote = ray.remote(attempt).options(**options)
        pending = {remote.remote(task, run): run for run in runs}
        try:
            while pending:
                ready, _ = ray.wait(list(pending), num_returns=1, timeout=_LOOK_SECONDS)
                for reference in ready:
                    run = pending.pop(reference)
                    yield run, _outcome(ray, reference, run)
                if not ready:
                    self._check(ray)
        finally:
            for reference in pending:
                ray.cancel(reference, force=True)

    def _check(self, ray: Any) -> None:
        """Raises InputError if no node that is alive has what a run takes: Ray itself would wait for one for ever."""
        needed = {"CPU": self.cpus, "GPU": self.gpus, "memory": self.memory}
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        if any(all(node.get(name, 0) >= amount for name, amount in needed.items()) for node in nodes):
            return
        has = "; ".join(", ".join(f"{name} {node.get(name, 0):g}" for name in needed) for node in nodes) or "none"
        asked = ", ".join(f"{name} {amount:g}" for name, amount in needed.items() if amount)
        raise InputError(
            f"A run takes {asked}, which no node of the cluster has (nodes: {has}): ask for less, or add a node."
        )


def _connected(address: str) -> Any:
    try:
        import ray
    except ImportError:
        raise InputError("Ray isn't installed: pip install -r requirements-ray.txt, or use another engine.") from None
    if ray.is_initialized():
        return ray
    os.environ.setdefault("RAY_task_oom_retries", str(_RETRIES))  # by default it tries again for ever
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        ray.init(address=address, log_to_driver=False, include_dashboard=False if address == "local" else None)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        raise InputError(
            f"No Ray cluster answers at {address} ({reason(error)}): start one with `ray start --head`, "
            "or give its address."
        ) from error
    return ray


def _outcome(ray: Any, reference: Any, run: Run) -> Outcome:
    try:
        return ray.get(reference)
    except ray.exceptions.RayError as error:  # its process or node died more often than is tried again
        return Outcome(run.key, error=f"Ray lost it: {type(error).__name__}.")
