"""What every tab shares: the queue of model jobs, Stop, the device, loaded generators, errors in plain words.

One model job runs at a time; what belongs to a visitor is found by the session hash of the request and
forgotten when the job ends or the visitor leaves.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from html import escape
from typing import Any

import gradio as gr

from ipl_core import AdaptConfig, InputError, catalog, forecast, library, people
from ipl_core.devices import choose_device
from ipl_core.forecast import Pace
from ipl_core.restyle import Restyler
from ipl_core.sitters import Likenesses
from ipl_core.stylegan2 import Generator

#: Every handler that computes with a model is registered with these, so that one runs at a time.
MODEL_JOB: dict[str, Any] = {"concurrency_id": "model", "concurrency_limit": 1}
#: A listener of the page itself, not an endpoint of the API, and never in the queue behind model jobs.
AT_ONCE: dict[str, Any] = {"queue": False, "api_visibility": "private", "show_progress": "hidden"}

MAX_GENERATORS = 6  # kept in memory; the embedded one takes a few megabytes, one of 1024² 120
MAX_PACES = 64
MAX_CROWDS = 4  # a few megabytes each when thousands were seen
MAX_RESTYLERS = 4  # each with the domains that it has drawn, about as large as those generators


class Stops:
    """The stop flags of the jobs that wait or run, by session hash; a visitor has one job at a time of each kind.

    kind: "" for a run, else the name of a tab whose jobs are stopped by themselves.
    """

    def __init__(self) -> None:
        self._flags: dict[tuple[str, str], threading.Event] = {}  # in the order in which they were asked for
        self._running: set[tuple[str, str]] = set()
        self._lock = threading.Lock()

    def begin(self, session: str, kind: str = "") -> threading.Event:
        """The flag of the job that the session waits for; a new one if it has none."""
        with self._lock:
            return self._flags.setdefault((session, kind), threading.Event())

    def run(self, session: str, kind: str = "") -> threading.Event:
        """The same, for a job whose turn has come."""
        with self._lock:
            self._running.add((session, kind))
            return self._flags.setdefault((session, kind), threading.Event())

    def ahead(self, session: str, kind: str = "") -> int | None:
        """How many jobs are before the session's; None if it has none that waits."""
        with self._lock:
            if (session, kind) not in self._flags or (session, kind) in self._running:
                return None
            return list(self._flags).index((session, kind))

    def end(self, session: str, kind: str = "") -> None:
        """Forgets the session's flag, if it has one."""
        with self._lock:
            self._flags.pop((session, kind), None)
            self._running.discard((session, kind))

    def leave(self, session: str) -> None:
        """Forgets all flags of a session."""
        with self._lock:
            self._flags = {key: flag for key, flag in self._flags.items() if key[0] != session}
            self._running = {key for key in self._running if key[0] != session}

    def stop(self, session: str, kind: str = "") -> bool:
        """Sets the session's flag; False if it has no such job."""
        with self._lock:
            flag = self._flags.get((session, kind))
        if flag is not None:
            flag.set()
        return flag is not None

    def __len__(self) -> int:
        """How many jobs wait or run."""
        return len(self._flags)


class Generators:
    """The last few generators that were asked for; each is loaded once however many ask at the same time."""

    def __init__(self, device: str) -> None:
        self._device = device
        self._kept: OrderedDict[tuple[str, str], Generator] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, model: str) -> Generator:
        """The generator of a catalog name or of a library entry's folder.

        Raises InputError if it can't be loaded, as when a library entry was deleted meanwhile.
        """
        key = (model, catalog.generator_digest(model))
        with self._lock:
            if key not in self._kept:
                self._kept[key] = catalog.load_generator(model, self._device)
                while len(self._kept) > MAX_GENERATORS:
                    self._kept.popitem(last=False)
            self._kept.move_to_end(key)
            return self._kept[key]


class Restylers:
    """The last few inverted people, ready to be drawn in any domain."""

    def __init__(self, generators: Generators) -> None:
        self._generators = generators
        self._kept: OrderedDict[str, Restyler] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, name: str) -> Restyler:
        """The person in the folder called `name`. Raises InputError if there is none, or their model isn't here."""
        inverted = people.open_person(name)
        known = catalog.generators().get(inverted.model)
        if known is not None and not catalog.is_here(known):
            raise InputError(
                f"“{inverted.name}” was inverted with the model “{inverted.model}”, which isn't here any more: "
                f"fetch it again by “python -m ipl_core models fetch {inverted.model}”."
            )
        key = f"{name} {inverted.settings['latent']['sha256']}"
        with self._lock:
            if key not in self._kept:
                self._kept[key] = Restyler(inverted, generator=self._generators.get(inverted.model))
                while len(self._kept) > MAX_RESTYLERS:
                    self._kept.popitem(last=False)
            self._kept.move_to_end(key)
            return self._kept[key]


class Paces:
    """How fast runs are, by model, critics and method; measured once each, until a run has changed that."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str, ...], Pace] = OrderedDict()
        self._lock = threading.Lock()

    def known(self, config: AdaptConfig) -> Pace | None:
        """The pace that was measured, None if none was."""
        return self._known.get(self._key(config))

    def measure(self, config: AdaptConfig) -> Pace:
        """The pace, measured if need be. Raises InputError as `forecast.measure` does."""
        key = self._key(config)
        with self._lock:
            if key not in self._known:
                self._known[key] = forecast.measure(config)
                while len(self._known) > MAX_PACES:
                    self._known.popitem(last=False)
            return self._known[key]

    def forget(self) -> None:
        """Forgets all, as after a run that has drawn source pictures for those to come."""
        with self._lock:
            self._known.clear()

    def _key(self, config: AdaptConfig) -> tuple[str, ...]:
        return catalog.generator_digest(config.model), str(config.critic), config.method


class Crowds:
    """Whom the critics have seen of the last few generators, to tell who looks like whom."""

    def __init__(self, generators: Generators, device: str) -> None:
        self._generators, self._device = generators, device
        self._kept: OrderedDict[tuple[str, float], Likenesses] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, model: str, psi: float) -> Likenesses:
        """The people of a model at a truncation, in the eyes of its own critic. Raises InputError if it isn't here."""
        key = (catalog.generator_digest(model), psi)
        with self._lock:
            if key not in self._kept:
                critic = catalog.load_critic(catalog.critic_of(model), self._device)
                self._kept[key] = Likenesses(self._generators.get(model), critic, psi)
                while len(self._kept) > MAX_CROWDS:
                    self._kept.popitem(last=False)
            self._kept.move_to_end(key)
            return self._kept[key]


class Service:
    """What the tabs of one app share."""

    def __init__(self) -> None:
        self.device, self.why = choose_device()
        self.stops = Stops()
        self.generators = Generators(self.device)
        self.restylers = Restylers(self.generators)
        self.paces = Paces()
        self.crowds = Crowds(self.generators, self.device)


def find_entry(name: str) -> library.Entry:
    """The library entry in the folder called `name`; a path is no name, so nothing outside the library is read.

    Raises InputError if there is none.
    """
    for entry in library.list_entries():
        if entry.path.name == name:
            return entry
    if not name:
        raise InputError("Choose an adapted model first; the list fills as soon as a run has ended in the tab Adapt.")
    raise InputError(f"The library has no entry “{name}”: it was deleted, or is damaged. Choose another one.")


def refusal(error: InputError) -> gr.Error:
    """The error for whoever called: one plain sentence that stays until it is closed."""
    return gr.Error(escape(str(error), quote=False), title="Not possible", duration=None, print_exception=False)
