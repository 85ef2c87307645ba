"""Reads untrusted files in a separate process, with limits on time and memory.

A reader is a module-level function that takes a path and returns tensors by name and a JSON-able description. It runs
in a new Python process, and its result comes back as a safetensors file, so a hostile file can harm that process only.
This module knows nothing about formats or generators.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from ..errors import InputError
from .files import unwritable
from .locks import new_lock
from .lru import LRU
from .tensors import MAX_HEADER, load_tensors
from .words import read_json, reason

#: A file's tensors by name, and a JSON-able description of them.
Contents = tuple[dict[str, Tensor], dict[str, Any]]
Reader = Callable[..., Contents]

START_SECONDS = 120.0  # until the new process has imported what it needs; about 1.5 where nothing else runs
READ_SECONDS = 120.0  # a training checkpoint of 1 GB takes about 10
BASE_MEMORY = 512 * 2**20  # bytes of address space in addition to the imports
MEMORY_EACH = (
    5  # bytes of memory for each byte of the file: half precision is converted to single, with a copy during reading
)
MOST_MEMORY = 8 * 2**30
REMEMBERED_BYTES = 256 * 2**20
_POLL_SECONDS = 0.03
_TENSORS, _ANSWER, _READY = "tensors.safetensors", "answer.json", "ready"
# -I keeps environment and working folder out of the search path; the process gets this program's search path.
_PROGRAM = (
    "import json, sys; job = json.loads(sys.stdin.read()); sys.path[:] = job['search']; "
    "from ipl_core.storage import apart; apart.work(job)"
)
_PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "SYSTEMROOT", "TMPDIR", "TEMP", "TMP")


class ReadingStopped(InputError):
    """Reading a file was stopped before it finished."""


def read(
    reader: Reader,
    path: str | os.PathLike[str],
    stop: threading.Event | None = None,
    *,
    seconds: float = READ_SECONDS,
    memory: int | None = None,
    remember: bool = False,
    **options: Any,
) -> Contents:
    """The result of `reader(path, **options)`, run in a process of its own.

    stop: once set, ends the reading within a tenth of a second. seconds: time limit for reading, without the start of
    the process. memory: limit in bytes, by default from the file's size; only time is limited on systems without
    memory limits. remember: cache the result, so that the same file is read once; the tensors must not be changed.
    Raises InputError if the reader does, if it takes too much time or memory, or if it crashes; and ReadingStopped.
    """
    path = Path(path)
    facts = path.stat()
    key = (reader.__qualname__, json.dumps(options), str(path.resolve()), facts.st_mtime_ns, facts.st_size)
    if remember and (known := _remembered(key)) is not None:
        return known
    if memory is None:
        memory = BASE_MEMORY + min(MEMORY_EACH * facts.st_size, MOST_MEMORY)
    with tempfile.TemporaryDirectory(prefix="ipl-read-") as folder:
        job = {
            **{"reader": [reader.__module__, reader.__qualname__], "file": str(path), "options": options},
            **{
                "folder": folder,
                "seconds": seconds,
                "memory": memory,
                "search": [os.path.abspath(p) for p in sys.path],
            },
        }
        status = _run(job, path, stop, seconds)
        contents = _result(Path(folder), path, status, seconds)
    if remember:
        _remember(key, contents)
    return contents


# ----------------------------------------------------------------------------------------------------------------------
# The calling process


def _run(job: Mapping[str, Any], path: Path, stop: threading.Event | None, seconds: float) -> int:
    """Starts the process, waits for it and returns its exit status; kills it at the deadline or when stopped."""
    environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    # One thread, since each thread takes address space, which is limited. Files are read without a GPU.
    environment |= {"OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2", "CUDA_VISIBLE_DEVICES": "", "PYTHONUTF8": "1"}
    process = subprocess.Popen(
        [sys.executable, "-I", "-c", _PROGRAM],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment,
        start_new_session=True,  # Ctrl-C reaches only the main program, which then ends this process
    )
    try:
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(json.dumps(job).encode())
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
        ready = Path(job["folder"]) / _READY
        deadline, started = time.monotonic() + START_SECONDS, False
        while process.poll() is None:
            if not started and ready.exists():
                deadline, started = time.monotonic() + seconds, True
            if time.monotonic() > deadline:
                raise _too_long(path, seconds) if started else _not_started(path)
            if stop is not None and stop.is_set():
                raise ReadingStopped(f"Reading {path} was stopped.")
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_POLL_SECONDS)
        return process.returncode
    finally:
        process.kill()
        process.wait()


def _result(folder: Path, path: Path, status: int, seconds: float) -> Contents:
    """The result that the process wrote to its folder. Raises InputError if it wrote a refusal or nothing."""
    if not (folder / _ANSWER).is_file():
        if hasattr(signal, "SIGXCPU") and status == -signal.SIGXCPU:
            raise _too_long(path, seconds)
        raise InputError(
            f"{path} can't be read: its reader ended without a result (status {status}). Use another file."
        )
    answer = read_json((folder / _ANSWER).read_bytes(), f"What was read from {path}", 8 * MAX_HEADER)
    if "refused" in answer:
        raise InputError(answer["refused"])
    tensors, _ = load_tensors(folder / _TENSORS)
    return tensors, answer["description"]


def _too_long(path: Path, seconds: float) -> InputError:
    return InputError(
        f"{path} isn't read: that took more than {seconds:g} seconds, and no file of weights needs so long."
    )


def _not_started(path: Path) -> InputError:
    return InputError(
        f"{path} isn't read: the process that reads files did not start within {START_SECONDS:g} seconds. The machine "
        "may be busy: try again when less is running."
    )


_recent: LRU[tuple[Any, ...], Contents] = LRU(REMEMBERED_BYTES, lambda contents: _nbytes(contents[0]))
_recent_lock = new_lock()


def _remembered(key: tuple[Any, ...]) -> Contents | None:
    with _recent_lock:
        if key not in _recent:
            return None
        tensors, description = _recent[key]
        return dict(tensors), dict(description)


def _remember(key: tuple[Any, ...], contents: Contents) -> None:
    with _recent_lock:
        _recent[key] = dict(contents[0]), dict(contents[1])


def _nbytes(tensors: Mapping[str, Tensor]) -> int:
    return sum(tensor.nbytes for tensor in tensors.values())


# ----------------------------------------------------------------------------------------------------------------------
# The reading process


def work(job: Mapping[str, Any]) -> None:
    """The main function of the reading process: reads one file and writes the result to a folder."""
    module, name = job["reader"]
    reader = getattr(importlib.import_module(module), name)
    folder, path = Path(job["folder"]), Path(job["file"])
    _limit(job["memory"], job["seconds"])
    (folder / _READY).touch()
    try:
        tensors, description = reader(path, **job["options"])
        _store(tensors, folder / _TENSORS)
        answer = {"description": description}
    except InputError as error:
        answer = {"refused": str(error)}
    except Exception as error:  # a damaged file can make its reader raise anything
        why = f"it is damaged ({type(error).__name__})"
        if isinstance(error, MemoryError) or "alloc" in reason(error):
            why = "it takes more memory than a file of its size needs"
        answer = {"refused": f"{path} can't be read: {why}. Use another file."}
    (folder / _ANSWER).write_text(json.dumps(answer), encoding="utf-8")
    os._exit(0)  # freeing the objects that a file has built may take long


def _store(tensors: Mapping[str, Tensor], path: Path) -> None:
    try:
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
    except (OSError, SafetensorError) as error:
        raise unwritable(path, error) from error


def _limit(memory: int, seconds: float) -> None:
    """Limits memory and time of this process, as far as the system supports it."""
    try:
        import resource
    except ImportError:  # Windows, where only the parent's deadline ends it
        return
    used = resource.getrusage(resource.RUSAGE_SELF)
    processor = int(used.ru_utime + used.ru_stime + seconds) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (processor, processor + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.alarm(int(seconds) + 5)  # in case the parent has ended by then
    with contextlib.suppress(OSError, ValueError):  # macOS has neither the file nor the limit
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + memory,) * 2)
