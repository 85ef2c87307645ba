"""What a first run costs: seconds and memory of IPL and NADA from an empty library, and of the import.

`python benchmarks/first_run.py` prints a table; times are also given as ratios within the same call, since
seconds belong to one machine.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def _timed(arguments: list[str], home: Path) -> tuple[float, float]:
    """Seconds and peak memory in GB of one Python process."""
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, *arguments], cwd=ROOT, env={**os.environ, "IPL_HOME": str(home)}, stdout=subprocess.DEVNULL
    )
    _, status, used = os.wait4(process.pid, 0)
    if os.waitstatus_to_exitcode(status):
        raise SystemExit(f"{' '.join(arguments)} failed with status {os.waitstatus_to_exitcode(status)}")
    return time.perf_counter() - began, used.ru_maxrss / 1024**2


def _imports(repeats: int, home: Path) -> tuple[float, float]:
    """Median seconds of importing torch, and of importing torch and then ipl_core, taken in turns."""
    alone, both = [], []
    for _ in range(repeats):
        alone.append(_timed(["-c", "import torch"], home)[0])
        both.append(_timed(["-c", "import torch, ipl_core"], home)[0])
    return statistics.median(alone), statistics.median(both)


def main() -> None:
    parser = argparse.ArgumentParser(description="Seconds and memory of a first run.")
    parser.add_argument("--target", default="pencil sketch")
    parser.add_argument("--imports", type=int, default=5, help="repeats of the import (%(default)s)")
    options = parser.parse_args()
    rows = {}
    with tempfile.TemporaryDirectory() as scratch:
        for method in ("nada", "ipl"):
            home = Path(scratch) / method  # each from an empty library and an empty pool
            rows[method] = _timed(
                ["-m", "ipl_core", "adapt", options.target, "--method", method, "--out", str(home / "out")], home
            )
        torch_alone, with_core = _imports(options.imports, Path(scratch))
    print("| what | seconds | ratio to NADA | peak memory, GB |")
    print("|---|--:|--:|--:|")
    for method, (seconds, memory) in rows.items():
        print(f"| {method.upper()}, whole process | {seconds:.1f} | {seconds / rows['nada'][0]:.2f} | {memory:.2f} |")
    print(f"| import ipl_core over import torch ({torch_alone:.2f} s) | {with_core - torch_alone:.2f} | | |")


if __name__ == "__main__":
    main()
