"""Adapted generators from files into the library, and from the library into files that other programs read.

A file comes from anywhere: it is read by `checkpoints`, which runs nothing of it, and has to fit the model that a
person says it was adapted from. What doesn't fit is refused with the reason.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from . import catalog, library
from .checkpoints import load_generator, load_tensors, read_metadata, write_generator
from .checkpoints.files import first_bytes, is_safetensors, readable_file
from .config import AdaptConfig
from .errors import InputError
from .sampling import draw
from .stylegan2 import Generator, GeneratorConfig

FORMATS = (".safetensors", ".pt")


def formats(config: GeneratorConfig) -> tuple[str, ...]:
    """Which of `FORMATS` can hold a generator of this configuration: rosinality's network has z as wide as w."""
    return FORMATS if config.z_dim == config.w_dim else FORMATS[:1]


def export_generator(entry: library.Entry, path: str | os.PathLike[str], step: int | None = None) -> Path:
    """Writes the whole adapted generator to a file that needs nothing else, and gives its path.

    path: ends in `.safetensors` (ours, with the entry's settings inside) or `.pt` (rosinality's). step: an earlier one
    that was kept. Raises InputError if the entry is damaged, its model isn't there, or the file can't be written.
    """
    path = Path(path).expanduser()
    generator = library.load_adapted(entry.path, step=step)
    known = catalog.generators().get(entry.config.model)
    settings = {name: entry.settings[name] for name in ("config", "critic", "model_sha256", "steps", "stopped")}
    write_generator(generator, path, {"adapted": settings, "licence": known.licence if known else ""})
    return path


def import_generator(
    path: str | os.PathLike[str],
    model: str,
    target: str = "",
    source: str = "",
    critic: str | None = None,
    called: str = "",
) -> library.Entry:
    """Takes an adapted generator from a file into the library and gives its entry; taken again, it is the same entry.

    path: a file that `export_generator` wrote, the `adapted.safetensors` of a run, rosinality's `.pt` (also what NADA
        and IPL save) or NVIDIA's `.pkl`. model: name or path of the generator that it was adapted from.
    target, source: the domain in words, and what the model draws; left blank, what the file says, else what the list of
        models says. critic: as in `AdaptConfig`. called: what errors call the file, its own name by default.
    Raises InputError for a file that can't be read, is no generator or no adapted one, or doesn't fit the model.
    """
    path = readable_file(Path(path).expanduser())
    called = called or path.name
    origin = _origin(path)
    digest = catalog.generator_digest(model)
    if origin and origin["model_sha256"] != digest:
        raise InputError(
            f"“{called}” was adapted from other weights than those of “{model}”: name the model that it was adapted "
            f"from, which was called “{str(origin['config'].get('model'))[:80]}” there."
        )
    base = catalog.load_generator(model)
    changed = _changed(path, base, called, model)
    config = _config(origin, model, target, source, critic, called)
    changes_mapping = any(name.startswith("mapping.") for name in changed)
    facts = {"file": called, "sha256": catalog.file_digest(path), "changes mapping": changes_mapping}
    library.apply_weights(adapted := catalog.load_generator(model), changed)
    before, after = (draw(generator, config.preview_seeds, config.preview_psi) for generator in (base, adapted))
    return library.keep_imported(config, facts, changed, before, after)


def _origin(path: Path) -> dict[str, Any] | None:
    """What one of our own files says about the run that it came from; None where it says nothing."""
    if not is_safetensors(first_bytes(path)):
        return None
    description = read_metadata(path)
    try:
        origin = description.get("adapted") or json.loads(description["settings"])
        return origin if isinstance(origin["config"], Mapping) and isinstance(origin["model_sha256"], str) else None
    except (KeyError, TypeError, ValueError):
        return None


def _changed(path: Path, base: Generator, called: str, model: str) -> dict[str, Tensor]:
    """The tensors in which the file differs from its model, checked against that."""
    weights = _run_weights(path)
    if weights is None:
        generator = load_generator(path)
        _compare_sizes(generator, base, called, model)
        weights = generator.state_dict()
    own = base.state_dict()
    for name, tensor in weights.items():
        if name not in own or own[name].shape != tensor.shape:
            expected = f", not {tuple(own[name].shape)}" if name in own else ", which the model doesn't have"
            raise InputError(
                f"“{called}” doesn't fit the model “{model}”: its tensor {name} has the shape "
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


def _run_weights(path: Path) -> dict[str, Tensor] | None:
    """The changed tensors, if the file is the weights of a run; None if it is something else."""
    if not is_safetensors(first_bytes(path)):
        return None
    return library.generator_tensors(*load_tensors(path))


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


def _config(
    origin: Mapping[str, Any] | None, model: str, target: str, source: str, critic: str | None, called: str
) -> AdaptConfig:
    """The configuration of an imported entry: the one in the file where there is one, for the model named here."""
    known = catalog.generators().get(model)
    told = dict(origin["config"]) if origin else {}
    told.update(model=model, device="cpu", critic=critic)
    if target.strip():
        told["target"] = target
    if source.strip() or "source" not in told:
        told["source"] = source.strip() or (known.source if known else "photo")
    if "target" not in told:
        raise InputError(f"Say which domain “{called}” draws, such as “pencil sketch”: the file doesn't.")
    return AdaptConfig.from_dict(told)
