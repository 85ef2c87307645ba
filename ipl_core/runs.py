"""Make sure of a run: the one in the library if it is there, else a new one, kept."""

from __future__ import annotations

import threading
from collections.abc import Callable

from . import library
from .adapt import adapt
from .config import AdaptConfig
from .snapshot import Snapshot


def finished_run(
    config: AdaptConfig, stop: threading.Event | None = None, watch: Callable[[Snapshot], None] | None = None
) -> library.Entry:
    """The library's entry for `config`, after running it if it isn't there.

    stop: see `adapt`; a stopped run is kept too and is what comes back. watch: called with every Snapshot.
    Raises InputError for what can't be run or written, before the first step where that can be known.
    """
    library.check_writable(library.runs_folder())
    entry = library.find(config)
    if entry is not None:
        return entry
    run = library.Run(config)
    for snapshot in adapt(config, stop, preview_interval=float("inf")):
        run.add(snapshot)
        if watch is not None:
            watch(snapshot)
    return run.save()
