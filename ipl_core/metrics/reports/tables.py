"""Tables of runs: the paper's, with ten rows, and its ablations. A new table is a line of TABLES."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...errors import InputError
from ...methods.config import AdaptConfig
from ...storage.words import quoted
from ...sweeps.task import Run
from .measured import BESIDE, SOURCE, Measuring, is_rendered, run_settings

#: Columns of a table's CSV that say which run a row is.
SHOWN = ("row", "target", "method", "level", "seed", "weights")
#: What every other method is compared with.
BASELINE = "nada"


@dataclass(frozen=True)
class PaperRow:
    """A row of the paper's table. source: its words. embedded, real: the model that plays the source's part."""

    target: str
    source: str
    embedded: str
    real: str

    @property
    def title(self) -> str:
        """As the paper heads it."""
        return f"{self.source}→{self.target}"


_PEOPLE, _DOGS = ("studio", "ffhq-1024"), ("studio-dogs", "afhq-dog-512")
#: The ten rows of the paper, of FFHQ and of AFHQ's dogs.
PAPER_ROWS = (
    *(PaperRow(target, "photo", *_PEOPLE) for target in ("Disney", "anime painting", "wall painting", "ukiyo-e")),
    *(PaperRow(target, "human", *_PEOPLE) for target in ("Pixar character", "Tolkien elf", "werewolf")),
    *(PaperRow(target, "photo", *_DOGS) for target in ("cartoon", "pointillism", "cubism")),
)
PAPER_METHODS = ("nada", "shared", "ipl", "ipl-words")
#: What the ablations adapt to unless targets are given: a style, a style with a shape, a shape.
_ABLATED = ("ukiyo-e", "Disney", "werewolf")


@dataclass(frozen=True)
class Ablation:
    """One thing that varies. levels: name → method and settings that it stands for; reference: the level that the
    others are paired with."""

    title: str
    levels: Mapping[str, Mapping[str, Any]]
    reference: str


def _of(setting: str, values: Iterable[Any], method: str = "ipl") -> dict[str, dict[str, Any]]:
    return {
        f"{value:g}" if isinstance(value, float) else str(value): {"method": method, setting: value} for value in values
    }


#: The ablations of the slides, by name.
ABLATIONS: dict[str, Ablation] = {
    "scheme": Ablation(
        "prompt scheme: manual (NADA), shared, image-specific",
        {
            "manual": {"method": "nada"},
            "shared": {"method": "shared"},
            "image-specific": {"method": "ipl"},
            "image-specific, of words": {"method": "ipl-words"},
        },
        "manual",
    ),
    "lambda": Ablation("λ, weight of the domain loss", _of("lambda_domain", (0.0, 0.1, 1.0, 3.0, 10.0, 30.0)), "1"),
    "contrastive": Ablation("form of the contrastive loss", _of("contrastive", ("infonce", "difference")), "infonce"),
    "residual": Ablation(
        "residual of learned prompts", _of("residual", ("none", "official", "class-aware", "templates")), "none"
    ),
    "layers": Ablation("trained layers", _of("layers", ("all", "adaptive", "coarse", "middle", "fine")), "all"),
    # As many vectors as words: the prompt starts from them.
    "contexts": Ablation(
        "number of context vectors",
        {
            str(len(words.split())): {"method": "ipl", "context": words}
            for words in ("a", "a photo", "a photo of a", "a photo of the face of a person")
        },
        "4",
    ),
    "steps": Ablation("steps of stage 2", _of("steps", (50, 100, 200, 300, 600)), "300"),
}
#: Every table by name: its title.
TABLES: dict[str, str] = {
    "paper": "the paper's table: ten rows, four methods",
    **{name: f"ablation: {ablation.title}" for name, ablation in ABLATIONS.items()},
}


def table_runs(
    name: str,
    seeds: Sequence[int],
    measuring: Measuring,
    targets: Sequence[str] = (),
    methods: Sequence[str] = (),
    changes: Mapping[str, Any] | None = None,
) -> list[Run]:
    """The runs of a table in the order of its rows: for every target what stands beside, then methods and seeds.

    name: of TABLES. targets: of the table alone, none for all; an ablation takes others. methods: of the paper's table.
    changes: settings of AdaptConfig for all runs, such as a preset; in an ablation what varies goes before them.
    Raises InputError for a name, target or method that the table doesn't have.
    """
    changes = dict(changes or {})
    if name == "paper":
        return _paper_runs(seeds, measuring, targets, methods or PAPER_METHODS, changes)
    if name not in ABLATIONS:
        raise InputError(f"There is no table {quoted(name)}: use {', '.join(TABLES)}.")
    if methods:
        raise InputError(f"The table “{name}” says itself which methods it compares: leave them out.")
    changes = {"model": "studio" if measuring.family == "embedded" else "ffhq-1024", **changes}
    runs = []
    for target in targets or _ABLATED:
        runs += _beside(target, target, measuring, changes)
        for level, settings in ABLATIONS[name].levels.items():
            rest = {**changes, **{key: value for key, value in settings.items() if key != "method"}}
            runs += [
                Run(run_settings(target, settings["method"], seed, measuring, level=level, **rest)) for seed in seeds
            ]
    return runs


def target_runs(
    targets: Sequence[str],
    methods: Sequence[str],
    seeds: Sequence[int],
    measuring: Measuring,
    changes: Mapping[str, Any],
) -> list[Run]:
    """The runs of a table of one's own: any targets of one model, by methods and seeds."""
    runs = []
    for target in targets:
        runs += _beside(target, target, measuring, changes)
        runs += [Run(run_settings(target, method, seed, measuring, **changes)) for method in methods for seed in seeds]
    return runs


def _paper_runs(
    seeds: Sequence[int],
    measuring: Measuring,
    targets: Sequence[str],
    methods: Sequence[str],
    changes: Mapping[str, Any],
) -> list[Run]:
    known = {row.target.casefold(): row for row in PAPER_ROWS}
    unknown = [target for target in targets if target.casefold() not in known]
    if unknown:
        has = ", ".join(row.target for row in PAPER_ROWS)
        raise InputError(f"The paper's table has no row {quoted(unknown[0])}: it has {has}.")
    rows = [known[target.casefold()] for target in targets] or PAPER_ROWS
    runs = []
    for row in rows:
        # The embedded CLIP was taught every domain beside “photo”; the published ones know what the paper says.
        own = {"model": row.embedded} if measuring.family == "embedded" else {"model": row.real, "source": row.source}
        settings = {**own, **changes}
        runs += _beside(row.target, row.title, measuring, settings)
        runs += [
            Run(run_settings(row.target, method, seed, measuring, row=row.title, **settings))
            for method in methods
            for seed in seeds
        ]
    return runs


def _beside(target: str, title: str, measuring: Measuring, changes: Mapping[str, Any]) -> list[Run]:
    """Source, floor and ceiling of a target; the source alone where nobody renders it."""
    which = BESIDE if is_rendered(changes.get("model", AdaptConfig.model), target) else (SOURCE,)
    return [Run(run_settings(target, method, 0, measuring, row=title, **changes)) for method in which]
