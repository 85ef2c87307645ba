"""Tasks of tests: what a process that a sweep starts imports."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ipl_core import InputError


def square(settings: Mapping[str, Any]) -> dict[str, float]:
    """The square of a number, after noting in a folder that it was asked for."""
    number = settings["number"]
    if "log" in settings:
        with Path(settings["log"]).open("a") as file:
            file.write(f"{number}\n")
    if "alive" in settings:
        Path(settings["alive"]).write_text(str(os.getpid()))
    if number == 13:
        raise InputError("13 is unlucky: use another number.")
    if number == 14:
        raise ZeroDivisionError("fourteen")
    if number == 15:
        os.kill(os.getpid(), signal.SIGKILL)
    if number == 16:
        os._exit(7)
    if settings.get("wait"):
        time.sleep(settings["wait"])
    if "meet" in settings:
        meet(Path(settings["meet"]), number)
    return {"square": number * number / 1.0, "threads asked": float(os.environ.get("OMP_NUM_THREADS", 0))}


def meet(folder: Path, number: int) -> None:
    """Returns once three runs are here at the same time."""
    folder.mkdir(exist_ok=True)
    (folder / str(number)).touch()
    deadline = time.monotonic() + 300
    while len(list(folder.iterdir())) < 3:
        if time.monotonic() > deadline:
            raise TimeoutError("nobody else came")
        time.sleep(0.05)
