"""Compiles `native/` into a library; a program of its own, so that it can set up its environment as it needs.

    python build.py NAME FOLDER [CAPABILITY]

writes the Python module NAME into FOLDER. With a CAPABILITY ("9.0") it is for CUDA GPUs of that kind, else for the
CPU alone. What fails is raised, the compiler's own words in it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

NATIVE = Path(__file__).resolve().parent / "native"


def cuda_home() -> str | None:
    """Where the nvcc on the PATH says that its CUDA is; None without one.

    PyTorch takes the folder above that nvcc, which holds no CUDA where nvcc is a link or a script.
    """
    nvcc = shutil.which("nvcc")
    if nvcc is None:
        return None
    said = subprocess.run([nvcc, "--dryrun", "-x", "cu", "-c", os.devnull], capture_output=True, text=True).stderr
    tops = [line.partition("TOP=")[2].strip() for line in said.splitlines() if line.startswith("#$ TOP=")]
    return os.path.realpath(tops[0]) if tops else None


def build(name: str, folder: str, capability: str | None) -> None:
    """Compile and link, through ninja, and import the result once."""
    # A virtual environment that wasn't activated has its ninja here and not on the PATH.
    os.environ["PATH"] = os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", os.defpath)])
    sources = [NATIVE / "operators.cpp"]
    flags = ["-O3"]
    if capability is not None:
        os.environ["TORCH_CUDA_ARCH_LIST"] = capability
        if not (os.environ.get("CUDA_HOME") or os.environ.get("CUDA_PATH")):
            os.environ.update({"CUDA_HOME": home} if (home := cuda_home()) else {})
        sources.append(NATIVE / "card.cu")
        flags.append("-DIPL_CUDA")
    from torch.utils import cpp_extension  # looks for CUDA when it is imported

    cpp_extension.load(
        name,
        [str(path) for path in sources],
        extra_cflags=flags,
        extra_cuda_cflags=flags,
        build_directory=folder,
        with_cuda=capability is not None,
    )


if __name__ == "__main__":
    build(sys.argv[1], sys.argv[2], sys.argv[3] if len(sys.argv) > 3 else None)
