"""A run on its way to the screen: its weights fetched, and the library entry that keeps what came of it.

What the tabs Adapt and Compare and the API share; knows no component.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing, suppress
from typing import Any

from ipl_core import AdaptConfig, AdaptResult, Step, adapt
from ipl_core.clip.ensemble import members
from ipl_core.library import store
from ipl_core.models import catalog
from ipl_core.models.hub import Stopped
from ipl_core.running.steps import Start
from ipl_core.storage import folders
from ipl_core.storage.words import size_words

SECONDS_BETWEEN_YIELDS = 0.4  # more often nobody sees, and every yield takes time from the run


class Throttle:
    """Says which of many updates are worth showing: the first, and then one every SECONDS_BETWEEN_YIELDS."""

    def __init__(self) -> None:
        self._last: float | None = None

    @property
    def unused(self) -> bool:
        """Whether no update has passed."""
        return self._last is None

    def passes(self, always: bool = False) -> bool:
        """Whether the update at hand is to be shown. always: whenever it comes, such as one with new pictures."""
        now = time.monotonic()
        if self._last is not None and not always and now - self._last < SECONDS_BETWEEN_YIELDS:
            return False
        self._last = now
        return True


def fetched(config: AdaptConfig, stop: threading.Event, check: Callable[[Any], None]) -> Iterator[str]:
    """Makes sure of the weights that `config` needs; yields how far that is, in words, while something is fetched.

    check: called with `config` before anything is fetched; raises InputError if the visitor may not run it. Ends
    early, keeping the part that has come, when `stop` is set. Raises InputError for what can't be had.
    """
    model = catalog.generators()[config.model]
    critics = [catalog.critics().get(name) for name, _ in members(config.critic or model.critic)]
    fetches = [(model, catalog.find_generator), *((critic, catalog.fetch_critic) for critic in critics)]
    for entry, fetch in fetches:
        if entry is not None and entry.offer is not None and not catalog.is_here(entry) and not stop.is_set():
            check(config)
            yield from _fetched(entry, fetch, stop)


def _fetched(
    entry: catalog.GeneratorEntry | catalog.CriticEntry, fetch: Callable[..., Any], stop: threading.Event
) -> Iterator[str]:
    here, total, left = 0, entry.size, threading.Event()

    def watch(have: int, size: int) -> None:
        nonlocal here, total
        if stop.is_set() or left.is_set():
            raise Stopped
        here, total = have, size or total

    with ThreadPoolExecutor(1) as pool:
        fetching = pool.submit(fetch, entry.name, watch)
        try:
            while not fetching.done():
                far = f"{size_words(here)} of {size_words(total)}"
                yield f"Fetching {entry.title}, once: {far}. Licence: {entry.licence}."
                wait([fetching], SECONDS_BETWEEN_YIELDS)
        finally:
            left.set()  # the visitor may have gone
        with suppress(Stopped):
            fetching.result()


def job(
    config: AdaptConfig,
    stop: threading.Event,
    goes_on: store.Entry | None = None,
    start: Start | None = None,
    train: Callable[..., Iterator[Step | AdaptResult]] = adapt,
) -> Iterator[Step | AdaptResult | store.Entry]:
    """Runs `config`: what `adapt` yields, then the library entry that keeps the result.

    goes_on, start: the entry that the run goes on from, and where; see `store.continuation`. train: takes the
    place of `adapt`. No entry comes if the run was stopped before the generator had changed. Closing
    the iterator ends the run and keeps nothing.
    """
    folders.check_writable(store.runs_folder())  # before the work, not after it
    store.check_room(config)
    run = store.Run(config, goes_on)
    with closing(train(config, stop, start=start)) as updates:
        for update in updates:
            run.add(update)
            yield update
    if run.last.weights:
        yield run.save()
