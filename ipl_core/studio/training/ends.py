"""The weights where finished runs of an embedded generator ended, from the library.

A run of full length at a user's settings goes further than the adversaries of CLIP's training have time for. When the
CLIP model is trained further, adversaries can start on the way to these weights, which fooled it before.
"""

from __future__ import annotations

import logging

from torch import Tensor

from ...errors import InputError
from ...library.store import list_entries
from ...models.catalog import changed_weights
from ..world.domains import DOMAINS
from ..world.subject import Subject

log = logging.getLogger(__name__)
_ROOM = "synthesis."

#: For each domain, by its number in domains.DOMAINS, the weights of the synthesis network where runs to it ended.
Ends = dict[int, list[dict[str, Tensor]]]


def library_ends(subject: Subject, model: str) -> Ends:
    """The ends of the library's finished runs of the generator `model` to domains of its subject.

    Runs whose source is another version of that generator are left out, which is logged; so are finished models that
    come with the app, whose weights are not exactly those of a run.
    """
    ends: Ends = {}
    for entry in list_entries():
        if entry.model != model or not entry.from_run or not entry.finished or entry.shipped:
            continue
        config = entry.config
        try:
            domain, weights = subject.domain(config.target), changed_weights(entry.path)
        except InputError as error:
            log.info("%s", error)
            continue
        drawn = {name.removeprefix(_ROOM): tensor for name, tensor in weights.items() if name.startswith(_ROOM)}
        ends.setdefault(DOMAINS.index(domain), []).append(drawn)
    return ends
