"""Caches: recently used generators, inverted people, measured speeds of runs, embeddings of people."""

from __future__ import annotations

import threading

from ipl_core import AdaptConfig, InputError
from ipl_core.drawing.people_by_seed import Likenesses
from ipl_core.drawing.restyle import Restyler
from ipl_core.generators.stylegan2.network import Generator
from ipl_core.models import catalog
from ipl_core.running.forecast import Speed, speed_key
from ipl_core.storage.lru import LRU

from ..access.roles import Roles
from .zero import Gpu

MAX_GENERATORS = 6  # kept in memory; the embedded one takes a few megabytes, one of 1024² 120
MAX_SPEEDS = 64
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
        key = f"{name} {inverted.record.latent.sha256}"
        with self._lock:
            return self._kept.made(key, lambda: Restyler(inverted, generator=self._generators.get(inverted.model)))


class Speeds:
    """How fast runs are, by models, method and prompts; measured once each, until a run has changed that."""

    def __init__(self, gpu: Gpu, device: str) -> None:
        self._gpu, self._device = gpu, device
        self._known: LRU[tuple[str, ...], Speed] = LRU(MAX_SPEEDS)
        self._lock = threading.Lock()

    def known(self, config: AdaptConfig) -> Speed | None:
        """The speed that was measured, None if none was."""
        return self._known.get(speed_key(config))

    def measure(self, config: AdaptConfig) -> Speed:
        """The pace, measured if need be. Raises InputError as `Gpu.measure` does."""
        key = speed_key(config)
        with self._lock:
            return self._known.made(key, lambda: self._gpu.measure(config))

    def with_open_critic(self, config: AdaptConfig) -> Speed:
        """The speed with a CLIP model of any words, see `forecast.with_open_critic`. Raises InputError likewise."""
        return self._gpu.with_open_critic(self.measure(config), config.method, self._device)

    def forget(self) -> None:
        """Forgets all, as after a run that has drawn source pictures for those to come."""
        with self._lock:
            self._known.clear()


class Crowds:
    """The people of the last few generators that CLIP models have seen, to tell who looks like whom."""

    def __init__(self, generators: Generators, device: str) -> None:
        self._generators, self._device = generators, device
        self._kept: LRU[tuple[str, float], Likenesses] = LRU(MAX_CROWDS)
        self._lock = threading.Lock()

    def get(self, model: str, psi: float) -> Likenesses:
        """The people of a model at a truncation, as its own CLIP model sees them. Raises InputError without it."""
        key = (catalog.generator_digest(model), psi)
        with self._lock:
            return self._kept.made(key, lambda: self._seen_by(catalog.critic_of(model), model, psi))

    def _seen_by(self, critic: str, model: str, psi: float) -> Likenesses:
        return Likenesses(self._generators.get(model), catalog.load_critic(critic, self._device), psi)
