"""How a run goes, in words and bars: stage, step, losses, time left, diversity."""

from __future__ import annotations

from html import escape

from ipl_core import Step
from ipl_core.drawing.interpolate import Frame

from .text import duration, roughly

STAGE_NAMES = {
    "prompts": "learning the prompts",
    "generator": "adapting the generator",
    "latent": "looking for the latent",
    "tuning": "tuning the generator about it",
}
_FIRST_STAGES = ("prompts", "latent")

# Diversity below these shares of the source's is called narrowing, and collapse; above the last, wider.
NARROWING, COLLAPSING, WIDER = 0.7, 0.4, 1.3


def progress(step: Step, stages: int, done: float) -> str:
    """Stage, step, losses and time left in words and in a bar; `done` is the share of the whole run, 0 to 1."""
    number = 1 if step.phase in _FIRST_STAGES else stages
    losses = "".join(f" · {escape(name)} {value:.3f}" for name, value in step.losses.items())
    return (
        f'<div class="run"><div class="line"><strong>Stage {number} of {stages}: {STAGE_NAMES[step.phase]}</strong>'
        f"<span>{duration(step.remaining)} left</span></div>{bar(done, 'Share of the run that is done')}"
        f'<div class="line facts"><span>step {step.step} of {step.total}{losses}</span>'
        f"<span>{duration(step.seconds)} so far</span></div></div>"
    )


def waiting(ahead: int) -> str:
    """What a visitor reads who has just asked for a job, with `ahead` others before it."""
    return f"Waiting for {ahead} other {'run' if ahead == 1 else 'runs'} to end …" if ahead else "Getting ready …"


def seen(count: int, total: int) -> str:
    """How many people have been looked at."""
    line = bar(count / total, "Share of the people that were looked at")
    return f'<div class="run"><div class="line"><strong>{count} of {total} people seen</strong></div>{line}</div>'


def frame_progress(frame: Frame) -> str:
    """How many frames of an animation there are, and the time left."""
    return (
        f'<div class="run"><div class="line"><strong>Frame {frame.number} of {frame.total}</strong>'
        f"<span>{duration(frame.remaining)} left</span></div>"
        f"{bar(frame.number / frame.total, 'Share of the frames that are drawn')}</div>"
    )


def ended(words: str, details: str, done: float = 1.0) -> str:
    """How a run ended, over its bar as it then stood."""
    return (
        f'<div class="run"><div class="line"><strong>{escape(words)}</strong></div>'
        f"{bar(done, 'Share of the run that is done')}"
        f'<div class="line facts"><span>{escape(details)}</span></div></div>'
    )


def bar(share: float, label: str) -> str:
    """A bar that is filled by a share from 0 to 1."""
    return f'<progress max="1" value="{share:.3f}" aria-label="{label}">{100 * share:.0f} %</progress>'


def diversity(value: float | None) -> str:
    """The spread of the adapted people over that of their sources, in words that say what it means."""
    if value is None:
        return ""
    state, words = _diversity_words(value)
    return (
        f'<div class="run meter {state}"><div class="line"><strong>Diversity {100 * value:.0f} %</strong>'
        f'<span class="facts">of the source’s</span></div>'
        f'{bar(min(value, 1.0), "Diversity as a share of the source’s")}<div class="facts">{words}</div></div>'
    )


def _diversity_words(value: float) -> tuple[str, str]:
    if value < COLLAPSING:
        return "alike", (
            "The people are growing alike: the model is collapsing onto one picture of the domain. "
            "Fewer steps or a lower learning rate keep more of each."
        )
    if value < NARROWING:
        return "narrowing", "The people differ less than they did; if this keeps falling, the model is collapsing."
    if value > WIDER:
        return "varied", "The people differ more than they did before."
    return "varied", "The people differ about as much as they did before."


def forecast(seconds: float) -> str:
    """How long a run will take, no more exactly than that can be known."""
    return f'<p class="about">A run with these settings takes about {roughly(seconds)} here.</p>'
