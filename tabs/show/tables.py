"""What was measured, as tables."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from ipl_core.metrics.reports.measured import CEILING, FLOOR
from ipl_core.metrics.side_by_side import OFFERED

from .text import note, percent

_BETTER = {True: " ↑", False: " ↓", None: ""}
#: What floor and ceiling are, above their columns.
BESIDE = {FLOOR: "Floor: others, rendered", CEILING: "Ceiling: these people, rendered"}


def metric_title(name: str) -> str:
    """A metric as a person reads it, with an arrow that says what is better."""
    metric = OFFERED[name]
    return metric.title[:1].upper() + metric.title[1:] + _BETTER[metric.higher]


def figures(measured: Mapping[str, Mapping[str, float]], remark: str) -> str:
    """What was measured as a table with a remark below: a line a metric, a column a name.

    measured: scores by the names of metrics, for each column; a dash stands where one has none.
    """
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in ("", *measured))
    body = ""
    for metric in OFFERED:
        if any(metric in scores for scores in measured.values()):
            cells = "".join(f"<td>{_score(metric, scores.get(metric))}</td>" for scores in measured.values())
            body += f'<tr><th scope="row">{escape(metric_title(metric))}</th>{cells}</tr>'
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f'<div class="figures">{table}{note(remark)}</div>'


def _score(metric: str, value: float | None) -> str:
    form = OFFERED[metric].form
    return percent(value) if value is None or form.endswith("%") else format(value, form)


def kept_diversity(kept: Mapping[str, float], samples: int) -> str:
    """How much of the source's diversity is kept, a share by the name of each method, in words that say what it means.

    samples: of each, that were measured.
    """
    parts = [f"{name} {'' if place else 'keeps '}{percent(share)}" for place, (name, share) in enumerate(kept.items())]
    listed = f"{', '.join(parts[:-1])} and {parts[-1]}"
    return note(
        f"Finished models that come with the app. Of the source’s diversity, {listed}, as the judge (a classifier of "
        f"domains and attributes) finds it in {samples} samples of each. The less a model keeps, the more alike people "
        "grow: that is collapse."
    )


def figures_remark(samples: int, no_judge: str, unmeasured: Mapping[str, str], beside: str = "") -> str:
    """What the figures are of, and why some are missing, if they are.

    unmeasured: why metrics could not measure, by their names. beside: of floor and ceiling, or why they are missing.
    """
    words = [f"Measured on {samples} fresh samples; ↑ higher is better, ↓ lower is."]
    if no_judge:
        words.append(no_judge)
    else:
        words.append(
            "The domain score is the share of samples that the judge, a classifier of domains and attributes, calls "
            "the target. The spread of identities is how varied people are, the source being 1."
        )
    if beside:
        words.append(beside)
    for why in dict.fromkeys(unmeasured.values()):
        names = [OFFERED[name].title for name, reason in unmeasured.items() if reason == why]
        if why != no_judge:
            words.append(f"Not measured ({', '.join(names)}): {why}")
    return " ".join(words)


def beside_remark(samples: int, floor_and_ceiling: bool) -> str:
    """What floor and ceiling are, or why there are none."""
    if not floor_and_ceiling:
        return "There is neither floor nor ceiling, since nobody can render true pictures of this domain by this model."
    return (
        f"Floor and ceiling are the renderer’s own {samples} pictures in the domain: of other people, which keep "
        "nobody, and of the same people, which is as good as it gets; those people are drawn without truncation."
    )
