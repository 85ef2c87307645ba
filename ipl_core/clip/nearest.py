"""Suggestions for words that a CLIP model with a closed vocabulary doesn't know: the nearest domains that it knows.

Domains are compared by spelling, by common words, and by meaning if the model knows some of the words. This module
knows nothing about generators or the app.
"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .model import Critic

MAX_LETTERS = 60  # of each text that is compared; more would be slow without helping
_SAY_NOTHING = frozenset(
    ["a", "an", "and", "as", "by", "for", "from", "in", "like", "of", "on", "or", "style", "the", "to", "with"]
)
_IN_COMMON, _MEANING = 0.6, 0.4  # the weight of spelling is 1


def nearest_domains(critic: Critic, text: str, among: Sequence[str] | None = None, count: int = 4) -> list[str]:
    """The `count` domains of the CLIP model that are nearest to `text`, nearest first; [] for an open vocabulary.

    among: the domains to choose from; None for all that the model was trained on.
    """
    domains = {name: others for name, others in critic.domains.items() if among is None or name in among}
    words = " ".join(text.lower().split())[:MAX_LETTERS]
    if not domains or not words:
        return []
    meaning = _by_meaning(critic, words, list(domains))
    near = {
        name: max(_by_spelling(words, wording.lower()[:MAX_LETTERS]) for wording in (name, *others))
        + _MEANING * meaning[name]
        for name, others in domains.items()
    }
    return sorted(near, key=lambda name: -near[name])[:count]


def _by_spelling(text: str, wording: str) -> float:
    """Similarity of the letters, 0 to 1, plus a bonus for each common word."""
    told = [word for word in text.replace("-", " ").split() if word not in _SAY_NOTHING] or [text]
    known = wording.replace("-", " ").split()
    word_by_word = sum(max(_alike(one, other) for other in known) for one in told) / len(told)
    in_common = len(set(told) & set(known)) / len(told)
    return max(_alike(text, wording), word_by_word) + _IN_COMMON * in_common


def _alike(one: str, other: str) -> float:
    return SequenceMatcher(None, one, other, autojunk=False).ratio()


def _by_meaning(critic: Critic, text: str, domains: list[str]) -> dict[str, float]:
    """How near each domain is to the known words of `text`, 0 to 1; all 0 if the CLIP model knows none of them."""
    unknown = set(critic.unknown_words(text))
    known = [word for word in text.split() if word not in unknown and word not in _SAY_NOTHING]
    if not known:
        return dict.fromkeys(domains, 0.0)
    told, *others = critic.encode_texts([" ".join(known), *domains])
    cosines = [float(told @ other) for other in others]
    low, spread = min(cosines), max(max(cosines) - min(cosines), 1e-6)
    return {name: (cosine - low) / spread for name, cosine in zip(domains, cosines)}
