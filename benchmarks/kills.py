"""Kills children, the command line and the app while they keep, name, replace, export and delete; says what was lost.

    python benchmarks/kills.py [KILLS]

KILLS: how many at random moments, 200 by default; those at every rename come on top. It is all of
tests/library/test_kills.py; its exit status is 0 if nothing was lost.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    """Runs the tests with their figures on the screen."""
    environment = {**os.environ, "IPL_KILLS": sys.argv[1] if len(sys.argv) > 1 else "200"}
    words = [sys.executable, "-m", "pytest", "-q", "tests/library/test_kills.py", "--log-cli-level=INFO"]
    return subprocess.run(words, cwd=ROOT, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
