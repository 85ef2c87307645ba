"""Which device a request may run on, and which one to take; chooses nothing by itself."""

from __future__ import annotations

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


def choose_device() -> tuple[str, str]:
    """The fastest device of this machine, and why it is that one, in words."""
    if torch.cuda.is_available():
        return "cuda", f"a CUDA GPU was found, {torch.cuda.get_device_name()}"
    if torch.backends.mps.is_available():
        return "mps", "Metal was found and no CUDA GPU"
    threads = torch.get_num_threads()
    return "cpu", f"no CUDA GPU and no Metal was found; {threads} {'thread' if threads == 1 else 'threads'}"
