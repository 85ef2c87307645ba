"""Adapted generators from files into the library, and from the library into files that other programs read.

A file comes from anywhere: it is read by `generators.files`, which runs nothing of it, and has to fit the model that a
person says it was adapted from. What doesn't fit is refused with the reason.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..drawing.sampling import draw
from ..errors import InputError
from ..fields import settings
from ..generators.files import generator_from, load_generator, write_generator
from ..generators.stylegan2.network import Generator, GeneratorConfig
from ..methods.config import AdaptConfig
from ..models import catalog
from ..storage import apart, digests
from ..storage.files import first_bytes, is_pickle, readable_file
from ..storage.paths import as_path
from ..storage.tensors import MAX_HEADER, load_tensors
from ..storage.words import clean_line, quoted, read_json, readable
from . import domain_folder, store
from .records import Domain, Imported, Trained

FORMATS = (".safetensors", ".pt")


def formats(config: GeneratorConfig) -> tuple[str, ...]:
    """Which of `FORMATS` can hold a generator of this configuration: rosinality's network has z as wide as w."""
    return FORMATS if config.z_dim == config.w_dim else FORMATS[:1]


def export_generator(entry: store.Entry, path: str | os.PathLike[str], step: int | None = None) -> Path:
    """Writes the whole adapted generator to a file that needs nothing else, and gives its path.

    path: ends in `.safetensors` (ours, with the entry's settings inside) or `.pt` (rosinality's). step: an earlier one
    that was kept. Raises InputError if the entry is damaged, its model isn't there, or the file can't be written.
    """
    path = as_path(path)
    generator = catalog.load_adapted(entry.path, step=step)
    known = catalog.generators().get(entry.model)
    facts = {name: entry.settings[name] for name in ("config", "critic", "model_sha256", "steps", "stopped")}
    facts["made"] = entry.origin.made
    write_generator(generator, path, {"adapted": facts, "licence": known.licence if known else ""})
    return path


def import_generator(
    path: str | os.PathLike[str],
    model: str,
    target: str = "",
    source: str = "",
    critic: str | None = None,
    called: str = "",
    stop: threading.Event | None = None,
) -> store.Entry:
    """Takes an adapted generator from a file into the library and gives its entry; taken again, it is the same entry.

    path: a file that `export_generator` wrote, the `adapted.safetensors` of a run, rosinality's `.pt` (also what NADA
        and IPL save) or NVIDIA's `.pkl`. model: name or path of the generator that it was adapted from.
    target, source: the domain in words, and what the model draws; left blank, what the file says, else what the list of
        models says. critic: as in `AdaptConfig`. called: what errors call the file, its own name by default. stop: ends
        the reading, which takes place in a process of its own (`storage.apart`).
    Raises InputError for a file that can't be read, is no generator or no adapted one, or doesn't fit the model.
    """
    for field, value in (("model", model), ("target", target), ("source", source)):
        if not isinstance(value, str) or "\0" in value:
            raise InputError(f"The {field} must be text, not {quoted(value)}.")
    path = readable_file(as_path(path))
    called = clean_line(readable(called or path.name), "The name of the file", 255) or "file"
    digest = catalog.generator_digest(model)
    try:
        contents, origin = _read(path, stop)
    except InputError as error:  # the folder of a file that a visitor sent is nobody's business
        raise type(error)(str(error).replace(str(path), f"“{called}”")) from error
    if origin and origin["model_sha256"] != digest:
        raise InputError(
            f"“{called}” was adapted from other weights than those of “{model}”: name the model that it was adapted "
            f"from, which was called {quoted(origin['config'].get('model'))} there."
        )
    base = catalog.load_generator(model)
    changed = _changed(contents, base, called, model)
    run = _run_of(origin, model, target, source, critic, called)
    domain = Domain.of(run)
    changes_mapping = any(name.startswith("mapping.") for name in changed)
    from_run = origin is not None and origin.get("made", Trained.made) == Trained.made
    imported = Imported(called, digests.file_digest(path), changes_mapping, run.to_dict() if from_run else {})
    domain_folder.apply_weights(adapted := catalog.load_generator(model), changed)
    before, after = (draw(generator, domain.preview_seeds, domain.preview_psi) for generator in (base, adapted))
    return store.keep_imported(domain, imported, changed, before, after)


def _read(path: Path, stop: threading.Event | None) -> tuple[Generator | dict[str, Tensor], Mapping[str, Any] | None]:
    """A whole generator, or the changed tensors of a run, and what the file says about the run that they came from."""
    if is_pickle(first_bytes(path)):
        return load_generator(path, stop=stop), None
    tensors, description = apart.read(load_tensors, path, stop)
    weights = domain_folder.generator_tensors(tensors, description)
    return generator_from(tensors, description, path) if weights is None else weights, _origin(description)


def _origin(description: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """What one of our own files says about the run that it came from; None where it says nothing."""
    try:
        origin = description.get("adapted") or read_json(description["settings"], "What it says", MAX_HEADER)
        return origin if isinstance(origin["config"], Mapping) and isinstance(origin["model_sha256"], str) else None
    except (KeyError, TypeError, InputError):
        return None


def _changed(contents: Generator | dict[str, Tensor], base: Generator, called: str, model: str) -> dict[str, Tensor]:
    """The tensors in which a file's contents differ from its model, checked against that."""
    if isinstance(contents, Generator):
        _compare_sizes(contents, base, called, model)
        weights = contents.state_dict()
    else:
        weights = contents
    own = base.state_dict()
    for name, tensor in weights.items():
        if name not in own or own[name].shape != tensor.shape:
            expected = f", not {tuple(own[name].shape)}" if name in own else ", which the model doesn't have"
            raise InputError(
                f"“{called}” doesn't fit the model “{model}”: its tensor {quoted(name)[1:-1]} has the shape "
                f"{tuple(tensor.shape)}{expected}. Name the model that it was adapted from."
            )
        if not torch.isfinite(tensor).all():
            raise InputError(f"“{called}” holds numbers that are not finite ({name}): it is of no use.")
    changed = {name: tensor.float() for name, tensor in weights.items() if not torch.equal(tensor.float(), own[name])}
    # The mean w belongs to the mapping. Where that is the same, another mean is one that the reader had to estimate.
    if not any(name.startswith("mapping.") for name in changed):
        changed.pop("w_avg", None)
    if not changed:
        raise InputError(f"“{called}” is the model “{model}” itself: nothing in it was adapted.")
    return changed


def _compare_sizes(generator: Generator, base: Generator, called: str, model: str) -> None:
    """The refusal that says most where the networks differ as a whole."""
    theirs, ours = generator.config, base.config
    for name, words in (("resolution", "draws pictures of {} pixels a side"), ("w_dim", "has latents of {} numbers")):
        one, other = getattr(theirs, name), getattr(ours, name)
        if one != other:
            raise InputError(
                f"“{called}” {words.format(one)}, but the model “{model}” {words.format(other)}: "
                "name the model that it was adapted from."
            )


def _run_of(
    origin: Mapping[str, Any] | None, model: str, target: str, source: str, critic: str | None, called: str
) -> AdaptConfig:
    """The settings of the run that a file says it came from, for the model and the words named here; else the usual.

    Raises InputError where nothing names the domain, and for settings that can't be.
    """
    known = catalog.generators().get(model)
    told = {name: value for name, value in origin["config"].items() if name in settings(AdaptConfig)} if origin else {}
    told.update(model=model, device="cpu", critic=critic)
    if target.strip():
        told["target"] = target
    if source.strip() or "source" not in told:
        told["source"] = source.strip() or (known.source if known else "photo")
    if "target" not in told:
        raise InputError(f"Say which domain “{called}” draws, such as “pencil sketch”: the file doesn't.")
    return AdaptConfig.from_dict(told)
