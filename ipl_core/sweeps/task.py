"""One run of a sweep, wherever it is made: settings in, an outcome out, an error among the outcomes."""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import platform
import subprocess
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..storage.words import reason

_ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Run:
    """A run to make. settings: ready for JSON, all that decides its scores."""

    settings: Mapping[str, Any]

    @property
    def key(self) -> str:
        """The first digits of a hash of the settings."""
        return hashlib.sha256(json.dumps(dict(self.settings), sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Outcome:
    """What became of a run. scores: by column; none where it failed, and `error` says why. circumstances: seconds it
    took, machine, threads, versions, commit."""

    key: str
    scores: Mapping[str, Any] = field(default_factory=dict)
    error: str = ""
    circumstances: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON; Outcome(**…) gives it back."""
        return asdict(self)


def attempt(task: str, run: Run) -> Outcome:
    """Makes a run by a task, "package.module:function". What it raises becomes the outcome's error."""
    began = time.perf_counter()
    scores, error = {}, ""
    try:
        module, _, name = task.partition(":")
        scores = getattr(importlib.import_module(module), name)(run.settings)
    except InputError as refused:
        error = str(refused)
    except Exception as failure:  # one run must not end the others
        error = f"{type(failure).__name__}: {reason(failure)}"
    return Outcome(run.key, scores, error, {"seconds": round(time.perf_counter() - began, 1), **circumstances()})


def circumstances() -> dict[str, Any]:
    """What the last digits of a score may depend on: machine, threads, versions, commit of the program."""
    import torch

    return {
        "machine": f"{platform.node()} {platform.machine()}, {os.cpu_count()} cores",
        "threads": torch.get_num_threads(),
        "torch": str(torch.__version__),
        "python": platform.python_version(),
        "commit": commit(),
    }


def commit() -> str:
    """The commit that the program is of, with “-dirty” where files were changed since; "" outside a checkout."""
    try:
        said = subprocess.run(
            ["git", "-C", str(_ROOT), "describe", "--always", "--dirty", "--exclude", "*"],
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return said.stdout.strip()
