"""Methods side by side: what generators adapted from one model make of the same fresh samples.

Unlike the table, which compares over seeds and keeps its figures, this measures a few samples for whoever waits, by
metrics of the registry. Pictures are drawn once and each network looks at them once, however many metrics ask.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..drawing.sampling import draw
from ..errors import InputError
from ..generators.stylegan2.network import Generator
from ..lpips import available
from ..models import catalog
from ..studio.world.domains import PHOTO
from .clip_distance import clip_distance
from .comparison import Comparison
from .features import Pictures
from .metric import Metric
from .networks import Networks
from .registry import METRICS, Measured, measure
from .reports.measured import CEILING, FLOOR, Studio
from .reports.methods import FIRST_SAMPLE_SEED


def _followed(comparison: Comparison) -> float:
    clip = comparison.need("clip")
    return clip_distance(comparison.target.seen(clip)["embedding"], clip.words(comparison.words))


#: It tells whether the loss was met, so no table of results has it; whoever waits wants to know just that.
FOLLOWED = Metric(
    "followed_distance", "CLIP distance, of the CLIP that was followed", "any", ("clip",), False, _followed
)
#: What can be measured here, by name.
OFFERED: dict[str, Metric] = {**METRICS, FOLLOWED.name: FOLLOWED}
#: What is measured unless somebody chooses: all of it from two networks that look once.
FIRST = ("domain_score", "diversity", "attributes", "identity", "direction_spread", "clip_diversity", FOLLOWED.name)
#: What a metric needs, and the file that the catalog knows it by.
_FILES = {"inception": "inception-imagenet", "hed": "hed", "ir-se50": "ir-se50"}
_JUDGED = ("judge", "domain", "truth", "references")


@dataclass(frozen=True)
class Figures:
    """One generator, measured against its source.

    judge, attributes: shares 0–1, and identity: cosine; None where no judge can read them. diversity: ratio to the
    source's, of the judge's identities where there is a judge, else of the critic's embeddings. distance: 0–2.
    """

    judge: float | None
    diversity: float
    attributes: float | None
    identity: float | None
    distance: float


#: The metric that each of the figures is.
METRIC_OF = {
    "judge": "domain_score",
    "diversity": "diversity",
    "attributes": "attributes",
    "identity": "identity",
    "distance": FOLLOWED.name,
}


def allowed(model: str) -> list[str]:
    """Names of the metrics that pictures of a model can be measured by: those whose networks are here.

    Whether a domain is one of the renderer's is told when it is named.
    """
    try:
        judged = catalog.own_judge(model) is not None
    except InputError:
        judged = False
    return [name for name, metric in OFFERED.items() if all(_is_here(need, judged) for need in metric.needs)]


def _is_here(need: str, judged: bool) -> bool:
    if need in _JUDGED:
        return judged
    if need == "lpips-vgg":
        return need in available()
    if need in _FILES:
        try:
            return catalog.find_network(_FILES[need]).is_file()
        except InputError:
            return False
    return need == "clip"  # one that no loss followed is named on the command line


class SideBySide:
    """Fresh samples of one source, ready to be compared with those of generators adapted from it to `target`.

    critic: name of the CLIP that adaptation follows, None for the model's own; it looks on `device`. psi: truncation
    of the samples. seeds: of these samples. no_judge: why there are no figures of a judge, "" where there are.
    """

    def __init__(
        self,
        model: str,
        target: str,
        source: Generator,
        critic: str | None = None,
        samples: int = 64,
        psi: float = 0.7,
        device: str = "cpu",
    ) -> None:
        self.seeds = range(FIRST_SAMPLE_SEED, FIRST_SAMPLE_SEED + samples)
        self._target, self._psi = target, psi
        self._networks = Networks(model, critic, device=device)
        self._studio, self.no_judge = None, ""
        try:
            catalog.load_judge(catalog.judge_of(model)).subject.domain(target)
            self._studio = Studio.of(model, target)
        except InputError as error:
            self.no_judge = str(error)
        self._before = self._drawn(source)
        self._latest: tuple[Generator | None, Pictures] = (None, self._before)

    def scores(self, metrics: Sequence[str], generator: Generator | None = None) -> Measured:
        """Metrics, names of OFFERED, of an adapted generator; None measures the source itself, which moves nowhere and
        so has no spread of ΔI."""
        if generator is None:
            metrics = [name for name in metrics if name != "direction_spread"]
        return self._measured(metrics, self._before, self._pictures(generator))

    def beside(self, metrics: Sequence[str]) -> dict[str, Measured]:
        """The same of FLOOR, the renderer's pictures of others, and of CEILING, its pictures of the sitters; {} where
        nobody renders the target.

        The sitters are those of untruncated latents, since the renderer knows no others. Raises InputError for a model
        whose latents are too narrow to stand for sitters.
        """
        if self._studio is None:
            return {}
        studio, count = self._studio, len(self.seeds)
        sitters = [studio.sitters(domain, count) for domain in (PHOTO, studio.domain)]
        return {
            FLOOR: self._measured(metrics, self._before, studio.true("floor", count)),
            CEILING: self._measured(metrics, *sitters),
        }

    def measure(self, generator: Generator | None = None) -> Figures:
        """The figures of an adapted generator; None measures the source itself, as what they start from."""
        found = self.scores(FIRST, generator).scores
        if self.no_judge:
            spread = found["clip_diversity"] / self.scores(["clip_diversity"]).scores["clip_diversity"]
            return Figures(None, spread, None, None, found[FOLLOWED.name])
        return Figures(**{figure: found[metric] for figure, metric in METRIC_OF.items()})

    def _measured(self, metrics: Sequence[str], before: Pictures, after: Pictures) -> Measured:
        chosen, studio = [OFFERED[name] for name in metrics], self._studio
        needs = {need for metric in chosen for need in metric.needs}
        comparison = Comparison(before, after, self._target, self._networks)
        if studio is not None:  # to know pictures of the renderer it draws some, so only what is needed
            comparison = replace(
                comparison,
                domain=studio.domain,
                truth=studio.true("true pictures", len(self.seeds)) if "truth" in needs else None,
                references=studio.references() if "references" in needs else None,
            )
        return measure(chosen, comparison)

    def _pictures(self, generator: Generator | None) -> Pictures:
        if generator is None:
            return self._before
        if generator is not self._latest[0]:
            self._latest = generator, self._drawn(generator)
        return self._latest[1]

    def _drawn(self, generator: Generator) -> Pictures:
        """Samples of a generator. They are known by nothing but themselves, so their features aren't kept on disk."""
        seeds = self.seeds
        return Pictures("", len(seeds), lambda places: draw(generator, [seeds[k] for k in places], self._psi), False)
