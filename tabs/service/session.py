"""What every tab shares: how its events are queued, Stop, the device, loaded generators, errors in plain words.

One model job runs at a time, see `turns`; what belongs to a visitor is found by the session hash of the request and
forgotten when the job ends or the visitor leaves.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from torch import Tensor

from ipl_core import AdaptConfig, InputError, InvertConfig, Snapshot
from ipl_core.drawing.restyle import Restyler
from ipl_core.drawing.seed_people import Likenesses
from ipl_core.generators.stylegan2.network import Generator
from ipl_core.library import inversions as people
from ipl_core.library import store as library
from ipl_core.models import catalog
from ipl_core.pictures.faces import Crop
from ipl_core.running.forecast import Pace, pace_key
from ipl_core.running.snapshot import Start
from ipl_core.storage.lru import LRU
from ipl_core.storage.words import quoted

from ..access.policy import Policy
from ..access.roles import Roles
from .running import job
from .turns import MODEL, Stop, Stops, ended_early
from .zero import Gpu

#: Every handler that computes with a model is registered with these, so that one runs at a time.
MODEL_JOB: dict[str, Any] = {"concurrency_id": MODEL, "concurrency_limit": 1}
#: What takes a moment of the processor or some memory, such as looking at a picture: two at a time, beside a model job.
A_MOMENT: dict[str, Any] = {"concurrency_id": "moment", "concurrency_limit": 2}
#: What reads or changes a list: many at a time, never behind a model job.
A_LIST: dict[str, Any] = {"concurrency_id": "list", "concurrency_limit": 8}
#: A listener of the page itself, not an endpoint of the API, and in no queue: it has to be over in no time.
AT_ONCE: dict[str, Any] = {"queue": False, "api_visibility": "private", "show_progress": "hidden"}
#: A listener of the page itself that takes a moment.
LOOK: dict[str, Any] = {**A_MOMENT, "api_visibility": "private", "show_progress": "hidden"}

MAX_GENERATORS = 6  # kept in memory; the embedded one takes a few megabytes, one of 1024² 120
MAX_PACES = 64
MAX_CROWDS = 4  # a few megabytes each when thousands were seen
MAX_RESTYLERS = 4  # each with the domains that it has drawn, about as large as those generators


class Generators:
    """The last few generators that were asked for; each is loaded once however many ask at the same time."""

    def __init__(self, device: str) -> None:
        self._device = device
        self._kept: LRU[tuple[str, str], Generator] = LRU(MAX_GENERATORS)
        self._lock = threading.Lock()

    def get(self, model: str) -> Generator:
        """The generator of a catalog name or of a library entry's folder.

        Raises InputError if it can't be loaded, as when a library entry was deleted meanwhile.
        """
        key = (model, catalog.generator_digest(model))
        with self._lock:
            return self._kept.made(key, lambda: catalog.load_generator(model, self._device))


class Restylers:
    """The last few inverted people, ready to be drawn in any domain."""

    def __init__(self, generators: Generators, roles: Roles) -> None:
        self._generators, self._roles = generators, roles
        self._kept: LRU[str, Restyler] = LRU(MAX_RESTYLERS)
        self._lock = threading.Lock()

    def get(self, name: str) -> Restyler:
        """The person in the folder called `name`.

        Raises InputError if there is none whom who asks may see, or their model isn't here.
        """
        inverted = self._roles.open_person(name)
        known = catalog.generators().get(inverted.model)
        if known is not None and not catalog.is_here(known):
            raise InputError(
                f"“{inverted.name}” was inverted with the model “{inverted.model}”, which isn't here any more: "
                f"fetch it again by “python -m ipl_core models fetch {inverted.model}”."
            )
        key = f"{name} {inverted.settings['latent']['sha256']}"
        with self._lock:
            return self._kept.made(key, lambda: Restyler(inverted, generator=self._generators.get(inverted.model)))


class Paces:
    """How fast runs are, by model, critics, method and prompts; measured once each, until a run has changed that."""

    def __init__(self, gpu: Gpu, device: str) -> None:
        self._gpu, self._device = gpu, device
        self._known: LRU[tuple[str, ...], Pace] = LRU(MAX_PACES)
        self._lock = threading.Lock()

    def known(self, config: AdaptConfig) -> Pace | None:
        """The pace that was measured, None if none was."""
        return self._known.get(pace_key(config))

    def measure(self, config: AdaptConfig) -> Pace:
        """The pace, measured if need be. Raises InputError as `Gpu.measure` does."""
        key = pace_key(config)
        with self._lock:
            return self._known.made(key, lambda: self._gpu.measure(config))

    def with_open_critic(self, config: AdaptConfig) -> Pace:
        """The pace with a critic of any words, see `forecast.with_open_critic`. Raises InputError likewise."""
        return self._gpu.with_open_critic(self.measure(config), config.method, self._device)

    def forget(self) -> None:
        """Forgets all, as after a run that has drawn source pictures for those to come."""
        with self._lock:
            self._known.clear()


class Crowds:
    """Whom the critics have seen of the last few generators, to tell who looks like whom."""

    def __init__(self, generators: Generators, device: str) -> None:
        self._generators, self._device = generators, device
        self._kept: LRU[tuple[str, float], Likenesses] = LRU(MAX_CROWDS)
        self._lock = threading.Lock()

    def get(self, model: str, psi: float) -> Likenesses:
        """The people of a model at a truncation, in the eyes of its own critic. Raises InputError if it isn't here."""
        key = (catalog.generator_digest(model), psi)
        with self._lock:
            return self._kept.made(key, lambda: self._seen_by(catalog.critic_of(model), model, psi))

    def _seen_by(self, critic: str, model: str, psi: float) -> Likenesses:
        return Likenesses(self._generators.get(model), catalog.load_critic(critic, self._device), psi)


class Service:
    """What the tabs of one app share. policy: what its visitors may do."""

    def __init__(self, policy: Policy | None = None) -> None:
        self.policy = policy or Policy.from_environment()
        self.gpu = Gpu(self.policy)
        self.device, self.why = self.gpu.choose_device()
        self.stops = Stops()
        self.generators = Generators(self.device)
        self.roles = Roles(self.policy, self._edge)
        self.restylers = Restylers(self.generators, self.roles)
        self.paces = Paces(self.gpu, self.device)
        self.crowds = Crowds(self.generators, self.device)

    def _edge(self, model: str) -> int:
        """Pixels a side of what a model of the catalog draws."""
        return catalog.generators()[model].resolution or self.generators.get(model).config.resolution

    def load_first(self) -> None:
        """Loads the generator that visitors see first; its critic and judge are loaded for what the page offers.

        Where that can't be done, whoever asks for it is told.
        """
        model = next(iter(catalog.generators().values()))
        if catalog.is_here(model):
            with suppress(InputError):
                self.generators.get(model.name)

    def run(
        self, config: AdaptConfig, stop: Stop, goes_on: library.Entry | None = None, start: Start | None = None
    ) -> Iterator[Snapshot | library.Entry]:
        """The run of `config` for who asks, where it can be computed best; see `running.job` and `Roles.runs`."""
        config = self.gpu.placed(config)
        return self.roles.runs(config, job(config, stop, goes_on, start, self.gpu.adapt))

    def inversion(
        self, config: InvertConfig, aligned: Tensor, name: str, crop: Crop, stop: Stop, keep: Any = None
    ) -> Iterator[Snapshot | people.Inverted]:
        """The same for an inversion; see `Roles.inversion`."""
        return self.roles.inversion(self.gpu.placed(config), aligned, name, crop, stop, keep, self.gpu.invert)

    def checkpoint(self, session: str) -> Callable[[], None]:
        """What the session's job, which has no result before its end, calls now and then: raises InputError once it is
        stopped."""
        stop = self.stops.running(session)

        def check() -> None:
            if stop.is_set():
                raise ended_early(stop)

        return check


def find_entry(name: str) -> library.Entry:
    """The library entry in the folder called `name`; a path is no name, so nothing outside the library is read.

    Raises InputError if there is none.
    """
    for entry in library.list_entries():
        if entry.name == name:
            return entry
    if not name:
        raise InputError("Choose an adapted model first; the list fills as soon as a run has ended in the tab Adapt.")
    raise InputError(f"The library has no entry {quoted(name)}: it was deleted, or is damaged. Choose another one.")
