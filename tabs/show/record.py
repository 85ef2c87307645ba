"""What a run has shown so far, ready to be drawn."""

from __future__ import annotations

from torch import Tensor

from ipl_core import AdaptConfig, AdaptResult, Step
from ipl_core.library import store
from ipl_core.running import step_history

from .curves import Curve
from .entries import method_name
from .pictures import people
from .text import heading


class Record:
    """What a run has shown so far, ready to be drawn."""

    def __init__(self, config: AdaptConfig) -> None:
        self._config = config
        self.stages = 2 if config.learns else 1
        self.curves = {
            "prompts": Curve(config.mapper_steps),
            "generator": Curve(config.steps),
            "diversity": Curve(config.steps),
        }
        self.share = 0.0  # of all steps of both stages
        self.before: Tensor | None = None
        self.after: Tensor | None = None
        self.readings: dict[int, str] = {}  # what the watched people's prompts say, by seed
        self.stopped: str | None = None

    def recall(self, entry: store.Entry) -> None:
        """Takes over the curves of a run that is kept."""
        for row in entry.history():
            terms = step_history.terms(row)
            measured = {name: terms.pop(name) for name in ("diversity",) if name in terms}
            self.curves[row["stage"]].add(row["step"], terms)
            self.curves["diversity"].add(row["step"], measured)

    def add(self, update: Step | AdaptResult) -> None:
        """Takes in what a run yields."""
        phase = None
        if isinstance(update, AdaptResult):
            self.stopped = update.stopped
        else:
            phase = update.phase
            self.curves[phase].add(update.step, update.losses)
            before = self._config.mapper_steps if self.stages == 2 else 0
            done = update.step + (before if phase == "generator" else 0)
            self.share = done / (before + self._config.steps)
        if update.pictures is not None:
            shown = update.pictures
            self.before, self.after, self.readings = shown.before, shown.after, shown.readings or {}
            if shown.diversity is not None and phase != "prompts":
                self.curves["diversity"].add(update.step, {"diversity": shown.diversity})

    def people(self) -> str:
        """The watched people as HTML, before and after."""
        config = self._config
        adapted = f"{config.target}, {method_name(config)}"
        above = heading(f"{config.source} → {adapted}", "the same people, above before and below after")
        readings = [self.readings.get(seed, "") for seed in config.preview_seeds]
        pictures = people(config.preview_seeds, self.before, config.source, self.after, adapted, readings=readings)
        return above + pictures
