"""Which device a request may run on, and which one to take; chooses nothing by itself."""

from __future__ import annotations

import math
import os
from pathlib import Path

import torch

from .errors import InputError


def usable_device(name: str) -> torch.device:
    """The device called `name` ("cpu", "cuda", "cuda:1", "mps").

    Raises InputError if this machine doesn't have it.
    """
    try:
        device = torch.device(name)
    except RuntimeError:
        raise InputError(f"There is no device called “{name}”: use cpu, cuda, cuda:1 or mps.") from None
    if device.type == "cuda":
        count = torch.cuda.device_count()
        if (device.index or 0) >= count:
            raise InputError(f"The device {name} isn't there: this machine has {count} CUDA devices. Use cpu.")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise InputError("The device mps isn't there: this machine has no Metal support. Use cpu.")
    if device.type not in ("cpu", "cuda", "mps"):
        raise InputError(f"The device {name} isn't supported: use cpu, cuda or mps.")
    return device


def check_precision(precision: str, device: torch.device) -> None:
    """Raises InputError where a precision other than float32 would gain nothing on `device`."""
    if precision == "float32":
        return
    if device.type != "cuda":
        raise InputError(
            f"The precision {precision} is for CUDA GPUs: on {device.type} it would save no time, and on many "
            "processors take several times as long. Use float32."
        )
    if not torch.cuda.is_bf16_supported(including_emulation=False):
        name = torch.cuda.get_device_name(device)
        raise InputError(f"The GPU {name} has no {precision} arithmetic, so it would gain nothing. Use float32.")


def choose_device() -> tuple[str, str]:
    """The fastest device of this machine that computes, and why it is that one, in words."""
    found = "no CUDA GPU"
    if torch.cuda.is_available():
        name, trouble = torch.cuda.get_device_name(), _trouble("cuda")
        if trouble is None:
            return "cuda", f"a CUDA GPU was found, {name}"
        found = f"no CUDA GPU that computes ({name}: {trouble})"
    if torch.backends.mps.is_available():
        return "mps", f"Metal was found and {found}"
    threads = torch.get_num_threads()
    return "cpu", f"{found} and no Metal was found; {threads} {'thread' if threads == 1 else 'threads'}"


def cores(quota: str | os.PathLike[str] = "/sys/fs/cgroup/cpu.max") -> int:
    """How many processor cores this process may use, at least 1.

    A container sees all cores of its machine, even where it is given the time of two: PyTorch then starts far more
    threads than can run, which wait for each other. quota: where Linux says what time the container is given.
    """
    here = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        time, period = Path(quota).read_text(encoding="ascii").split()
        return here if time == "max" else max(1, min(here, math.ceil(int(time) / int(period))))
    except (OSError, ValueError, ZeroDivisionError):  # no container, or one that says it otherwise
        return here


def _trouble(device: str) -> str | None:
    """Why a device that was found can't be used, such as a GPU too old for this torch; None if it can."""
    try:
        torch.ones(1, device=device).add(1).item()
    except RuntimeError as error:
        return str(error).strip().splitlines()[0]
    return None
