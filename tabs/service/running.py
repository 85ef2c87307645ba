"""A run on its way to the screen: its weights fetched, its Snapshots, what they have shown so far.

What the tabs Adapt and Compare and the API share; knows no component.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing, suppress
from typing import Any

from torch import Tensor

from ipl_core import AdaptConfig, Snapshot, adapt
from ipl_core.clip.ensemble import members
from ipl_core.library import store as library
from ipl_core.methods.config import LEARNED
from ipl_core.models import catalog
from ipl_core.models.hub import Stopped
from ipl_core.running import step_history
from ipl_core.running.snapshot import Start
from ipl_core.storage import folders
from ipl_core.storage.words import size_words

from .. import show

SECONDS_BETWEEN_YIELDS = 0.4  # more often nobody sees, and every yield takes time from the run


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
    goes_on: library.Entry | None = None,
    start: Start | None = None,
    train: Callable[..., Iterator[Snapshot]] = adapt,
) -> Iterator[Snapshot | library.Entry]:
    """Runs `config`: every Snapshot, then the library entry that keeps the result.

    goes_on, start: the entry that the run goes on from, and where; see `library.continuation`. train: gives the
    Snapshots in the place of `adapt`. No entry comes if the run was stopped before the generator had changed. Closing
    the iterator ends the run and keeps nothing.
    """
    folders.check_writable(library.runs_folder())  # before the work, not after it
    library.check_room(config)
    run = library.Run(config, goes_on)
    with closing(train(config, stop, start=start)) as snapshots:
        for snapshot in snapshots:
            run.add(snapshot)
            yield snapshot
    if run.last.weights:
        yield run.save()


class Record:
    """What a run has shown so far, ready to be drawn."""

    def __init__(self, config: AdaptConfig) -> None:
        self._config = config
        self.stages = 2 if config.method in LEARNED else 1
        self.curves = {
            "prompts": show.Curve(config.mapper_steps),
            "generator": show.Curve(config.steps),
            "diversity": show.Curve(config.steps),
        }
        self.share = 0.0  # of all steps of both stages
        self.before: Tensor | None = None
        self.after: Tensor | None = None
        self.readings: dict[int, str] = {}  # what the watched people's prompts say, by seed
        self.stopped: str | None = None

    def recall(self, entry: library.Entry) -> None:
        """Takes over the curves of a run that is kept."""
        for row in entry.history():
            terms = step_history.terms(row)
            measured = {name: terms.pop(name) for name in ("diversity",) if name in terms}
            self.curves[row["stage"]].add(row["step"], terms)
            self.curves["diversity"].add(row["step"], measured)

    def add(self, snapshot: Snapshot) -> None:
        self.stopped = snapshot.stopped
        if snapshot.phase != "done":
            self.curves[snapshot.phase].add(snapshot.step, snapshot.losses)
            before = self._config.mapper_steps if self.stages == 2 else 0
            done = snapshot.step + (before if snapshot.phase == "generator" else 0)
            self.share = done / (before + self._config.steps)
        if snapshot.after is not None:
            self.before, self.after = snapshot.before, snapshot.after
            self.readings = snapshot.readings or {}
            if snapshot.diversity is not None and snapshot.phase != "prompts":
                self.curves["diversity"].add(snapshot.step, {"diversity": snapshot.diversity})

    def people(self) -> str:
        config = self._config
        adapted = f"{config.target}, {show.method_name(config)}"
        heading = show.heading(f"{config.source} → {adapted}", "the same people, above before and below after")
        readings = [self.readings.get(seed, "") for seed in config.preview_seeds]
        pictures = show.people(config.preview_seeds, self.before, config.source, self.after, adapted, readings=readings)
        return heading + pictures
