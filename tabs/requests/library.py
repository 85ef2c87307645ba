"""The library's entries by name: found, named, picked from, exported, imported."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ipl_core import InputError
from ipl_core.library import find_or_run, store
from ipl_core.library.import_export import FORMATS, export_generator, import_generator
from ipl_core.methods.config import MAX_TEXT
from ipl_core.methods.registry import METHODS
from ipl_core.storage.values import whole
from ipl_core.storage.words import clean_line, quoted

from ..access.files import inside
from ..service.service import Service
from .models import find_entry, known_model

MAX_STEP = 100_000


def exported(name: str, suffix: Any, step: Any, folder: Path) -> Path:
    """The library entry called `name`, at a step that was kept or, for 0, the last, as a file in `folder`.

    Raises InputError.
    """
    entry = find_entry(name)
    if not isinstance(suffix, str) or suffix not in FORMATS:
        raise InputError(f"Generators are exported as one of {', '.join(FORMATS)}, not {quoted(suffix)}.")
    step = whole(step, "The step", 0, MAX_STEP)
    return export_generator(entry, inside(folder, f"{name}{f'-step-{step}' if step else ''}{suffix}"), step or None)


def taken_in(service: Service, path: str | None, model: Any, target: Any, stop: threading.Event) -> store.Entry:
    """The library entry of an adapted generator in an uploaded file. Raises InputError, also once `stop` is set.

    Visitors name models, never paths.
    """
    service.roles.check_import(path)
    service.roles.check_room()
    model = known_model(model)
    target = "" if target is None else clean_line(target, "The target", MAX_TEXT)
    if not path:
        raise InputError("Choose a file with an adapted generator first: .safetensors, .pt or .pkl.")
    return service.roles.claimed(import_generator(path, model, target, stop=stop))


def said(entry: store.Entry, seeds: Sequence[int], psi: float) -> dict[int, str]:
    """What the prompts of a run say of these people, by seed: as it was noted, else read; {} where they say nothing."""
    if not (entry.from_run and entry.config.readable):
        return {}
    noted = entry.readings if entry.config.preview_psi == psi else {}
    return noted if noted.keys() >= set(seeds) else find_or_run.readings(entry, seeds, psi)


def finished_models() -> dict[str, store.Entry]:
    """The finished models of the domain that most methods come with, by method; none where there is no such two."""
    groups: dict[tuple[Any, ...], dict[str, store.Entry]] = {}
    for entry in store.list_entries():
        if entry.shipped:
            config, samples = entry.config, entry.measured.samples
            same = (entry.record.model_sha256, config.source, config.target, config.seed, samples)
            groups.setdefault(same, {})[config.method] = entry
    most = max(groups.values(), key=len, default={})
    return {method: most[method] for method in METHODS if method in most} if len(most) > 1 else {}
