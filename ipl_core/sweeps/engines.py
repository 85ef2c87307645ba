"""Engines: what makes the runs of a sweep, in this process or in a process a run. Ray's is in `ray_engine`."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ..errors import InputError
from ..storage.words import shown
from .results import Results
from .task import Outcome, Run, attempt

_POLL_SECONDS = 0.05
_PROGRAM = (
    "import json, sys; job = json.loads(sys.stdin.readline()); sys.path[:] = job['search']; "
    "from ipl_core.sweeps.engines import work; work(job)"
)


class Engine(Protocol):
    """Makes runs."""

    def outcomes(self, task: str, runs: Sequence[Run]) -> Iterator[tuple[Run, Outcome]]:
        """Every run with its outcome, as each is done, in any order. task: see `task.attempt`.

        Closing the iterator ends the runs under way.
        """


def sweep(task: str, runs: Sequence[Run], results: Results, engine: Engine) -> Iterator[dict[str, str]]:
    """Makes the runs that `results` lack; gives each row when it has been written."""
    for run, outcome in engine.outcomes(task, results.missing(runs)):
        yield results.add(runs, run, outcome)


class InProcess:
    """One run after the other in this process: what models they share is loaded once, but a crash ends all."""

    def outcomes(self, task: str, runs: Sequence[Run]) -> Iterator[tuple[Run, Outcome]]:
        """See `Engine`."""
        for run in runs:
            yield run, attempt(task, run)


@dataclass(frozen=True)
class Subprocesses:
    """A process a run, `workers` at a time, each with `threads` threads. One that crashes loses its own run."""

    workers: int = 1
    threads: int = 1

    def __post_init__(self) -> None:
        for name in ("workers", "threads"):
            if getattr(self, name) < 1:
                raise InputError(f"{name.capitalize()} must be at least 1, not {getattr(self, name)}.")

    def outcomes(self, task: str, runs: Sequence[Run]) -> Iterator[tuple[Run, Outcome]]:
        """See `Engine`."""
        waiting, working = list(runs), []
        try:
            while waiting or working:
                while waiting and len(working) < self.workers:
                    working.append(_Worker(task, waiting.pop(0), self.threads))
                ended = [worker for worker in working if worker.ended]
                for worker in ended:
                    working.remove(worker)
                    yield worker.run, worker.outcome()
                if not ended:
                    time.sleep(_POLL_SECONDS)
        finally:
            for worker in working:
                worker.kill()


class _Worker:
    """A process with a run to make."""

    def __init__(self, task: str, run: Run, threads: int) -> None:
        self.run, self._began = run, time.perf_counter()
        self._folder = tempfile.TemporaryDirectory(prefix="ipl-run-")
        place = Path(self._folder.name)
        self._answer, self._said = place / "outcome.json", place / "stderr.txt"
        job = {"task": task, "settings": dict(run.settings), "answer": str(self._answer), "threads": threads}
        with self._said.open("wb") as said:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _PROGRAM],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=said,
                env={**os.environ, "OMP_NUM_THREADS": str(threads)},
                start_new_session=True,  # Ctrl-C reaches the program alone, which then ends this
            )
        line = json.dumps({**job, "search": [os.path.abspath(p) for p in sys.path]})
        # The pipe stays open: its end tells the process that this one has ended, however that came.
        with contextlib.suppress(BrokenPipeError):  # it ended already, which its outcome says
            self._process.stdin.write(f"{line}\n".encode())
            self._process.stdin.flush()

    @property
    def ended(self) -> bool:
        """Whether the process is over."""
        return self._process.poll() is not None

    def outcome(self) -> Outcome:
        """What it left; an error where it left nothing."""
        self._close()
        with self._folder:
            if self._answer.is_file():
                return Outcome(**json.loads(self._answer.read_text(encoding="utf-8")))
            said = self._said.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        status = self._process.returncode
        why = f"by {signal.Signals(-status).name}" if status < 0 else f"with status {status}"
        last = f" ({shown(said[-1])})" if said else ""
        seconds = round(time.perf_counter() - self._began, 1)
        return Outcome(self.run.key, error=f"Its process ended {why}{last}.", circumstances={"seconds": seconds})

    def kill(self) -> None:
        """Ends the process and clears what it wrote."""
        self._process.kill()
        self._process.wait()
        self._close()
        self._folder.cleanup()

    def _close(self) -> None:
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()


def work(job: dict) -> None:
    """The whole life of a worker's process."""
    import torch

    threading.Thread(target=_end_with_the_program, daemon=True).start()
    torch.set_num_threads(job["threads"])
    outcome = attempt(job["task"], Run(job["settings"]))
    answer = Path(job["answer"])
    part = answer.with_suffix(".part")
    part.write_text(json.dumps(outcome.to_dict()), encoding="utf-8")
    os.replace(part, answer)


def _end_with_the_program() -> None:
    """Ends this process when the one that started it has ended: nobody would read what it makes."""
    sys.stdin.read()
    os._exit(1)
