"""What every tab shares: how its events are queued, Stop, the device, loaded generators, errors in plain words.

One model job runs at a time, see `turns`; what belongs to a visitor is found by the session hash of the request and
forgotten when the job ends or the visitor leaves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import gradio as gr
from torch import Tensor

from ipl_core import AdaptConfig, AdaptResult, InputError, InvertConfig, InvertResult, Step
from ipl_core.library import inversions, store
from ipl_core.models import catalog
from ipl_core.pictures.faces import Crop
from ipl_core.running.steps import Start

from ..access.policy import Policy
from ..access.roles import Roles
from .loaded import Crowds, Generators, Restylers, Speeds
from .running import fetched, job
from .stops import Stop, Stops, ended_early
from .zero import Gpu


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
        self.speeds = Speeds(self.gpu, self.device)
        self.crowds = Crowds(self.generators, self.device)

    def _edge(self, model: str) -> int:
        """Pixels a side of what a model of the catalog draws."""
        return catalog.generators()[model].resolution or self.generators.get(model).config.resolution

    def load_first(self) -> None:
        """Loads the generator that visitors see first; its CLIP model and judge are loaded for what the page offers.

        Where that can't be done, whoever asks for it is told.
        """
        model = next(iter(catalog.generators().values()))
        if catalog.is_here(model):
            with suppress(InputError):
                self.generators.get(model.name)

    def fetched(self, config: AdaptConfig | InvertConfig, stop: Stop) -> Iterator[str]:
        """Fetches what a run needs and isn't here, for who asks; see `running.fetched`."""
        return fetched(config, stop, self.roles.check_run)

    def run(
        self, config: AdaptConfig, stop: Stop, goes_on: store.Entry | None = None, start: Start | None = None
    ) -> Iterator[Step | AdaptResult | store.Entry]:
        """The run of `config` for who asks, where it can be computed best; see `running.job` and `Roles.runs`."""
        config = self.gpu.placed(config)
        return self.roles.runs(config, job(config, stop, goes_on, start, self.gpu.adapt))

    def inversion(
        self, config: InvertConfig, aligned: Tensor, name: str, crop: Crop, stop: Stop, keep: Any = None
    ) -> Iterator[Step | InvertResult | inversions.Inverted]:
        """The same for an inversion; see `Roles.inversion`."""
        return self.roles.inversion(self.gpu.placed(config), aligned, name, crop, stop, keep, self.gpu.invert)

    def forget(self, request: gr.Request) -> None:
        """Forgets a visitor whose page is closed."""
        self.stops.leave(request.session_hash)
        self.roles.leave(request.session_hash)

    def checkpoint(self, session: str) -> Callable[[], None]:
        """What the session's job, which has no result before its end, calls now and then: raises InputError once it is
        stopped."""
        stop = self.stops.running(session)

        def check() -> None:
            if stop.is_set():
                raise ended_early(stop)

        return check
