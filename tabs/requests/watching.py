"""What is to be seen before and after a run: a model's people, examples, the watched people at a step."""

from __future__ import annotations

import logging

from ipl_core import AdaptConfig, InputError
from ipl_core.drawing.sampling import draw
from ipl_core.library import domain_folder, examples, store
from ipl_core.models import catalog
from ipl_core.pictures.media import to_uint8

from .. import show
from ..service.service import Service
from ..show.record import Record
from .models import is_slow

log = logging.getLogger(__name__)

FIRST_SEEDS = AdaptConfig.preview_seeds
LAST = 0  # among steps


def example_prompts(model: catalog.GeneratorEntry, device: str) -> list[str]:
    """Domains that the model's CLIP model was taught, as a visitor may type them; none if its weights are missing.

    Where a judge knows in which domains the model's subject can be portrayed, these only: no dog is an elf.
    """
    try:
        taught = [words for words in catalog.load_critic(model.critic, device).domains if words != model.source]
    except InputError as error:
        log.warning("No example prompts: %s", error)
        return []
    try:
        portrayed = {domain.name for domain in catalog.load_judge(catalog.judge_of(model.name)).subject.domains}
    except InputError:  # nothing is known of what the model draws
        return taught
    return [words for words in taught if words in portrayed]


def source_people(service: Service, model: catalog.GeneratorEntry) -> str:
    """People of the model as it is, as HTML. Raises InputError if its weights can't be had."""
    generator = service.generators.get(model.name)
    seeds = FIRST_SEEDS[:2] if is_slow(generator, service.device) else FIRST_SEEDS
    heading = show.heading("What this model draws", f"before anything is changed: {model.source}")
    return heading + show.people(seeds, to_uint8(draw(generator, seeds)), model.source)


def examples_row(model: str) -> str:
    """Its people in the domains of the examples; "" where there are none of this model's weights, which is logged."""
    try:
        row = examples.read(model)
    except InputError as error:
        log.warning("No examples on the start screen: %s", error)
        return ""
    return show.examples(row.domains, row.people, row.seeds)


def drawn(service: Service, entry: store.Entry, step: int = LAST) -> Record:
    """The watched people of a run at one of its steps. Raises InputError if that can't be drawn."""
    config, record = entry.config, Record(entry.config)
    path = entry.path if step == LAST else entry.path / domain_folder.step_file(step)
    seeds, psi = config.preview_seeds, config.preview_psi
    record.before = to_uint8(draw(service.generators.get(config.model), seeds, psi))
    record.after = to_uint8(draw(service.generators.get(str(path)), seeds, psi))
    record.readings = entry.readings
    return record


def about(service: Service, model: catalog.GeneratorEntry) -> str:
    """The line that says what is in use, and why. Raises InputError if the model's weights can't be had."""
    edge = service.generators.get(model.name).config.resolution
    return show.facts(
        {
            "Model": f"{model.name}, {edge} × {edge}",
            "CLIP model": model.critic,
            "Device": f"{service.device}, float32 ({service.why})",
            "Licence": model.licence,
        }
    )
