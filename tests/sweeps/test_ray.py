"""Runs on a real Ray cluster of two nodes, one of which is killed. Slow: skipped unless Ray is installed."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ipl_core import InputError
from ipl_core.sweeps.engines import sweep
from ipl_core.sweeps.ray_engine import Ray
from ipl_core.sweeps.results import Results, read_rows
from ipl_core.sweeps.task import Run

pytest.importorskip("ray")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A head that makes no runs, and two nodes of one core."""
    import ray
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        patch.setenv("RAY_TMPDIR", str(tmp_path_factory.mktemp("ray")))
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("PYTHONPATH", f"{Path(__file__).parent}:{Path(__file__).parents[2]}")
        made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "object_store_memory": 80 * 2**20})
        made.nodes = [made.add_node(num_cpus=1, object_store_memory=80 * 2**20) for _ in range(2)]
        ray.init(address=made.address, log_to_driver=False)
        yield made
        ray.shutdown()
        made.shutdown()


def runs(*numbers: int, **more: object) -> list[Run]:
    return [Run({"number": number, **more}) for number in numbers]


def results(folder: Path) -> Results:
    return Results(folder / "squares.csv", "squares", {}, ("number", "weights"))


def test_a_run_that_fits_no_node_is_told(cluster: Any, tmp_path: Path):
    with pytest.raises(InputError, match=r"A run takes CPU 64, which no node of the cluster has \(nodes: CPU"):
        next(sweep("jobs:square", runs(1), results(tmp_path), Ray("auto", cpus=64)))


def test_failures_are_rows(cluster: Any, tmp_path: Path):
    list(sweep("jobs:square", runs(3, 13, 14), results(tmp_path), Ray("auto")))
    assert [row["status"] for row in read_rows(tmp_path / "squares.csv")] == ["done", "failed", "failed"]


def test_a_node_that_dies_is_survived(cluster: Any, tmp_path: Path):
    log = tmp_path / "log"
    wanted = runs(1, 2, 3, 4, wait=8, log=str(log))

    def kill_one_at_work() -> None:
        while not log.exists() or len(log.read_text().split()) < 2:
            time.sleep(0.2)
        cluster.remove_node(cluster.nodes.pop(), allow_graceful=False)

    killer = threading.Thread(target=kill_one_at_work)
    killer.start()
    rows = list(sweep("jobs:square", wanted, results(tmp_path), Ray("auto")))
    killer.join()
    assert sorted(row["square"] for row in rows) == ["1", "16", "4", "9"]
    assert len(log.read_text().split()) > 4  # what the dead node was at was begun again
    with pytest.raises(InputError, match="no node"):
        next(sweep("jobs:square", runs(9), results(tmp_path), Ray("auto", cpus=2)))
