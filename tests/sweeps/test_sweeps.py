"""A sweep makes what is missing, whatever ends it or one of its runs, and by any engine the same file."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ipl_core import InputError
from ipl_core.sweeps.engines import Engine, InProcess, Subprocesses, sweep
from ipl_core.sweeps.results import Results, read_rows
from ipl_core.sweeps.task import Run, circumstances

TASK = "jobs:square"


@pytest.fixture(autouse=True)
def jobs_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))


def results(folder: Path, name: str = "squares", samples: int = 10) -> Results:
    return Results(folder / "squares.csv", name, {"samples": samples}, ("number", "weights"))


def runs(*numbers: int, **more: object) -> list[Run]:
    return [Run({"number": number, **more}) for number in numbers]


engines = pytest.mark.parametrize("engine", [InProcess(), Subprocesses(2)], ids=["in process", "subprocesses"])


@engines
def test_every_run_becomes_a_row_and_failures_are_rows_too(tmp_path: Path, engine: Engine):
    wanted = runs(3, 13, 14, 4)
    rows = list(sweep(TASK, wanted, results(tmp_path), engine))
    assert len(rows) == 4
    kept = read_rows(tmp_path / "squares.csv")
    assert [row["number"] for row in kept] == ["3", "13", "14", "4"]  # in the order of the table
    assert [row["status"] for row in kept] == ["done", "failed", "failed", "done"]
    assert (kept[0]["square"], kept[3]["square"]) == ("9", "16")
    assert kept[1]["error"] == "13 is unlucky: use another number."
    assert kept[2]["error"] == "ZeroDivisionError: fourteen"
    assert "square" not in kept[1]
    assert kept[0]["torch"] == circumstances()["torch"]
    assert float(kept[0]["seconds"]) >= 0


@engines
def test_what_is_there_is_not_made_again_and_what_failed_is(tmp_path: Path, engine: Engine):
    log = tmp_path / "log"
    wanted = runs(1, 13, 2, log=str(log))
    first = sweep(TASK, wanted[:2], results(tmp_path), engine)
    list(first)
    list(sweep(TASK, wanted, results(tmp_path), engine))
    asked = log.read_text().split()
    assert sorted(asked) == ["1", "13", "13", "2"]
    assert [row["number"] for row in read_rows(tmp_path / "squares.csv")] == ["1", "13", "2"]


def test_a_process_that_dies_loses_one_run(tmp_path: Path):
    rows = list(sweep(TASK, runs(15, 2, 16), results(tmp_path), Subprocesses(1)))
    assert [row["status"] for row in rows] == ["failed", "done", "failed"]
    assert "SIGKILL" in rows[0]["error"]
    assert "status 7" in rows[2]["error"]


def test_processes_get_their_threads_and_work_side_by_side(tmp_path: Path):
    wanted = runs(1, 2, 3, meet=str(tmp_path / "place"))
    rows = list(sweep(TASK, wanted, results(tmp_path), Subprocesses(3, threads=2)))
    assert [row["status"] for row in rows] == ["done"] * 3
    assert {row["threads asked"] for row in rows} == {"2"}
    assert {row["threads"] for row in rows} == {"2"}
    with pytest.raises(InputError, match="Workers must be at least 1"):
        Subprocesses(0)


def test_closing_a_sweep_ends_its_processes(tmp_path: Path):
    coming = sweep(TASK, [*runs(1), *runs(2, 3, wait=600)], results(tmp_path), Subprocesses(2))
    began = time.monotonic()
    assert next(coming)["number"] == "1"
    coming.close()
    assert time.monotonic() - began < 120
    assert [row["number"] for row in read_rows(tmp_path / "squares.csv")] == ["1"]


def test_a_sweep_that_is_killed_leaves_its_rows_and_no_process(tmp_path: Path):
    wanted = [*runs(1, log=str(tmp_path / "log")), *runs(2, wait=600, alive=str(tmp_path / "pid"))]
    program = f"""
import sys; sys.path[:0] = {[str(Path(__file__).parent), str(Path(__file__).parents[2])]!r}
from test_sweeps import *
wanted = [Run(settings) for settings in {[dict(run.settings) for run in wanted]!r}]
list(sweep(TASK, wanted, results(Path({str(tmp_path)!r})), Subprocesses(1)))
"""
    killed = subprocess.Popen([sys.executable, "-c", program])
    pid = tmp_path / "pid"
    deadline = time.monotonic() + 300
    while not (pid.exists() and pid.read_text()):
        assert killed.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.1)
    killed.kill()
    killed.wait()
    while Path(f"/proc/{pid.read_text()}").exists():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert [row["number"] for row in read_rows(tmp_path / "squares.csv")] == ["1"]
    assert [run.settings["number"] for run in results(tmp_path).missing(wanted)] == [2]


def test_results_of_another_table_are_not_gone_on_with(tmp_path: Path):
    list(sweep(TASK, runs(1), results(tmp_path), InProcess()))
    with pytest.raises(InputError, match="is of the table “squares”, not “cubes”"):
        results(tmp_path, "cubes")
    with pytest.raises(InputError, match=r"other settings \(samples: 10 there, 20 now\)"):
        results(tmp_path, samples=20)
    (tmp_path / "squares.json").write_text("{")
    with pytest.raises(InputError, match="can't be read"):
        results(tmp_path)
    (tmp_path / "squares.json").unlink()
    with pytest.raises(InputError, match="doesn't say which table"):
        results(tmp_path)
    (tmp_path / "squares.json").write_text(json.dumps({"table": "squares", "settings": {"samples": 10}}))
    (tmp_path / "squares.csv").write_text("target,method\nneon,ipl\n")
    with pytest.raises(InputError, match="holds no results"):
        results(tmp_path)


def test_scores_of_other_weights_are_not_mixed_in(tmp_path: Path):
    list(sweep(TASK, [*runs(1, 13, weights="a")], results(tmp_path), InProcess()))
    with pytest.raises(InputError, match="has scores of 1 by other settings or weights"):
        results(tmp_path).missing(runs(1, weights="b"))
    list(sweep(TASK, [*runs(1, weights="a"), *runs(13, weights="b")], results(tmp_path), InProcess()))
    kept = read_rows(tmp_path / "squares.csv")
    assert [(row["number"], row["weights"], row["status"]) for row in kept] == [
        ("1", "a", "done"),
        ("13", "b", "failed"),
    ]


def test_scores_of_different_names_share_a_file(tmp_path: Path):
    class Both:
        def outcomes(self, task: str, wanted: list[Run]) -> Iterator[tuple[Run, object]]:
            from ipl_core.sweeps.task import Outcome

            for run in wanted:
                yield run, Outcome(run.key, {f"of {run.settings['number']}": 0.123456789})

    list(sweep(TASK, runs(1, 2), results(tmp_path), Both()))
    first, second = read_rows(tmp_path / "squares.csv")
    assert (first["of 1"], second["of 2"]) == ("0.123457", "0.123457")
    assert "of 2" not in first
