"""Stands in for the package of that name on a Space with ZeroGPU, as far as a program can tell without a GPU.

A decorated generator runs in a process that is forked when it is called. Arguments and results are pickled; of an
error only the name of its class comes back. The process is killed when it has had the seconds that it was lent for.
Where STAND_IN_REUSES is 1, it is given the next call, too. Closing the generator ends the one over there after its
step. What was asked for is written to the file "calls" in STAND_IN_FOLDER, a JSON object a line; a file "quota" beside
it limits the seconds of a call.

As there, nothing may be imported before it that could have begun to use a GPU, and the process that calls must not
have computed gradients: its children would have no threads for a GPU's.
"""

from __future__ import annotations

import functools
import json
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

if "torch" in sys.modules:
    raise RuntimeError("PyTorch was imported before spaces.")

_LENDS = os.environ.get("SPACES_ZERO_GPU", "") == "true"
_REUSES = os.environ.get("STAND_IN_REUSES", "") == "1"
_FOLDER = Path(os.environ.get("STAND_IN_FOLDER", ""))
_fork = multiprocessing.get_context("fork")
_idle: list[_Process] = []
_computed_gradients = False


class _Process:
    """A forked process that waits for calls of one function. What it ends by itself is read as the end of its pipe."""

    def __init__(self, function: Callable[..., Iterator[Any]]) -> None:
        self._here, there = _fork.Pipe()
        self.stop = _fork.Event()
        self.process = _fork.Process(target=self._work, args=(function, there), daemon=True)
        self.process.start()
        there.close()

    def send(self, arguments: tuple[Any, ...]) -> None:
        self._here.send_bytes(pickle.dumps(arguments))

    def receive(self) -> tuple[str, Any]:
        try:
            return pickle.loads(self._here.recv_bytes())  # noqa: S301
        except (EOFError, OSError):
            return "aborted", None

    def _work(self, function: Callable[..., Iterator[Any]], pipe: Connection) -> None:
        self._here.close()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        while True:
            try:
                arguments = pickle.loads(pipe.recv_bytes())  # noqa: S301
            except EOFError:  # the program has ended
                return
            self.stop.clear()
            thread = threading.Thread(target=self._iterate, args=(function, arguments, pipe))
            thread.start()
            thread.join()
            pipe.send_bytes(pickle.dumps(("ended", None)))
            if not _REUSES:
                return

    def _iterate(self, function: Callable[..., Iterator[Any]], arguments: tuple[Any, ...], pipe: Connection) -> None:
        results = function(*arguments)
        while True:
            try:
                result = next(results)
            except StopIteration:
                return
            except Exception as error:
                pipe.send_bytes(pickle.dumps(("error", type(error).__name__)))
                return
            if self.stop.is_set():
                results.close()
                return
            pipe.send_bytes(pickle.dumps(("result", result)))


def GPU(task: Any = None, *, duration: Any = None, size: Any = None) -> Any:  # noqa: N802 – its name there
    """As there, for functions that yield: lends a GPU for `duration` seconds, or what that gives for the arguments."""
    if task is None:
        return functools.partial(GPU, duration=duration, size=size)
    if not _LENDS:
        return task
    _watch_gradients()

    @functools.wraps(task)
    def lent(*arguments: Any) -> Iterator[Any]:
        import gradio as gr
        from gradio.context import LocalContext

        seconds = duration(*arguments) if callable(duration) else duration or 60
        request = LocalContext.request.get(None)
        asked = {"seconds": seconds, "request": request is not None, "parent": os.getpid(), "at": time.time()}
        quota = _FOLDER / "quota"
        if quota.exists() and seconds > float(quota.read_text()):
            _note({**asked, "refused": True})
            raise gr.Error(
                f'You have exceeded your quota ({seconds}s requested). <a href="https://example.org">More</a>',
                title="ZeroGPU quota exceeded",
            )
        if _computed_gradients:
            raise RuntimeError("Gradients were computed before the fork: the GPU's would find no threads.")
        worker = _idle.pop() if _idle else _Process(task)
        _note({**asked, "worker": worker.process.pid})
        ending = threading.Timer(seconds, worker.process.kill)
        ending.start()
        worker.send(arguments)
        try:
            while True:
                kind, value = worker.receive()
                if kind == "ended":
                    break
                if kind in ("error", "aborted"):
                    raise gr.Error("GPU task aborted" if kind == "aborted" else value, title="ZeroGPU worker error")
                yield value
        except GeneratorExit:
            worker.stop.set()
            while worker.receive()[0] not in ("ended", "aborted"):
                pass
            raise
        finally:
            ending.cancel()
            if _REUSES and worker.process.is_alive():
                _idle.append(worker)
            else:
                worker.process.join()
            _note({"over": worker.process.pid, "at": time.time()})

    return lent


def _watch_gradients() -> None:
    import torch

    def watched(compute: Any) -> Any:
        @functools.wraps(compute)
        def call(*arguments: Any, **options: Any) -> Any:
            global _computed_gradients
            _computed_gradients = True
            return compute(*arguments, **options)

        return call

    torch.autograd.backward, torch.autograd.grad = watched(torch.autograd.backward), watched(torch.autograd.grad)


def _note(what: dict[str, Any]) -> None:
    with (_FOLDER / "calls").open("a", encoding="utf-8") as log:
        log.write(json.dumps(what) + "\n")
