"""Mixes generators by adding weight differences to the source: those of adapted domains and of pivotal tuning.

    source + Σ share · (adapted − source) + Σ share · (tuned − source)

All domains must be adapted from one model. This module knows nothing about the latents' origin.
"""

from __future__ import annotations

import copy
import os
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call

from ..errors import InputError
from ..generators.files import save_generator
from ..generators.stylegan2.network import Generator
from ..library import domain_folder, store
from ..library.records import Domain
from ..memory import pictures_at_once
from ..methods.config import MAX_TEXT
from ..models import catalog
from ..storage.lru import LRU
from ..storage.values import number
from .sampling import draw, seed_latents

#: A domain of the library and its share.
Share = tuple[store.Entry, float]

MAX_STRENGTH = 2.0
_MAX_DOMAINS = 8  # domains whose tensors stay in memory
_SYNTHESIS = "synthesis."


class Mixer:
    """Draws pictures with mixed weights of a source generator; may be used from many threads.

    model: name or path of the source generator. generator: the same, if already loaded; it isn't changed.
    Raises InputError if the model can't be found.
    """

    def __init__(self, model: str, device: str = "cpu", generator: Generator | None = None) -> None:
        self.model = model
        self.source = generator or catalog.load_generator(model, device)
        self.model_sha256 = catalog.generator_digest(model)
        self._own = dict(self.source.named_parameters()) | dict(self.source.named_buffers())
        # Weights are swapped in place while drawing, so this is a copy of the modules that shares the tensors.
        self._synthesis = copy.deepcopy(self.source.synthesis, {id(tensor): tensor for tensor in self._own.values()})
        self._domains: LRU[str, dict[str, Tensor]] = LRU(_MAX_DOMAINS)
        self._lock = threading.Lock()

    def weights(
        self, domains: Sequence[Share] = (), tuned: Sequence[tuple[Mapping[str, Tensor], float]] = ()
    ) -> dict[str, Tensor]:
        """The tensors of the mix that differ from the source, by state-dict name, on its device.

        domains: entries of the library with their shares, 0 to 2; 1 gives the adapted generator itself. tuned: tensors
            checked by `fitted` with their shares, such as those from pivotal tuning.
        Raises InputError for a share out of range or a domain of another model.
        """
        parts = []
        for entry, share in domains:
            share = number(share, "The strength of a domain", 0, MAX_STRENGTH)
            parts.append((self._domain(entry), share))
        return self._blend([*parts, *tuned])

    @torch.no_grad()
    def _blend(self, parts: Sequence[tuple[Mapping[str, Tensor], float]]) -> dict[str, Tensor]:
        weights: dict[str, Tensor] = {}
        for changed, share in parts:
            for name, tensor in changed.items():
                source = self._own[name]
                if name in weights:
                    weights[name] = weights[name] + share * (tensor - source)
                else:
                    weights[name] = torch.lerp(source, tensor, share)  # exact at both ends, unlike a sum
        return weights

    @torch.no_grad()
    def draw(
        self, w: Tensor, weights: Mapping[str, Tensor] | None = None, noise: Sequence[Tensor] | str = "const"
    ) -> Tensor:
        """Pictures (N, 3, R, R), about [-1, 1], on the CPU, of latents w_plus (N, rows, w_dim) or w (N, w_dim).

        weights: a result of the method `weights`; None draws the source. noise: as for `Generator.synthesis`.
        """
        parts = {name[len(_SYNTHESIS) :]: tensor for name, tensor in (weights or {}).items()}
        device = self.source.device
        maps = noise if isinstance(noise, str) else [one.to(device) for one in noise]
        with self._lock:
            return functional_call(self._synthesis, parts, (w.to(device), maps)).cpu()

    def draw_seeds(self, seeds: Sequence[int], psi: float, weights: Mapping[str, Tensor] | None = None) -> Tensor:
        """Pictures of `seeds` as from `draw`, computed in batches that fit in memory. psi: truncation, 1 for none."""
        latents = seed_latents(self.source, seeds, psi).split(pictures_at_once(self.source.config.resolution))
        return torch.cat([self.draw(part, weights) for part in latents])

    def generator(self, domains: Sequence[Share]) -> Generator:
        """The mix as a generator of its own. Raises InputError as `weights` does."""
        mixed = copy.deepcopy(self.source)
        domain_folder.apply_weights(mixed, self.weights(domains))
        return mixed

    def save(self, domains: Sequence[Share], path: str | os.PathLike[str]) -> Path:
        """Writes the mix as a generator file, whole or not at all, for `load_generator` and `--model`.

        The file describes the mix. Raises InputError as `weights` does, or if the file can't be written.
        """
        save_generator(self.generator(domains), path, self.described(domains))
        return Path(path)

    def keep(self, domains: Sequence[Share], title: str = "") -> store.Entry:
        """Saves the mix in the library and returns its entry; saving the same mix again returns the same entry.

        title: its title; "" gives a default such as “60 % zombie + 40 % neon”. Raises InputError as `weights` does, for
        no domains, for a title as `store.check_title` does, and if the library can't be written; then nothing is saved.
        """
        if not any(share for _, share in domains):
            raise InputError("A mix needs at least one domain with a share above 0.")
        parts = [(entry, share) for entry, share in domains if share]
        first = parts[0][0]
        target = " + ".join(f"{100 * share:.0f} % {entry.target}" for entry, share in parts)[:MAX_TEXT]
        domain = Domain.named(target, first.source, self.model, first.record.critic)
        title = store.check_title(title, store.mixed_path(domain, parts))  # checked before the work
        mixed = self.generator(parts)
        pictures = [draw(generator, domain.preview_seeds, domain.preview_psi) for generator in (self.source, mixed)]
        weights = {name: tensor.cpu() for name, tensor in self.weights(parts).items()}
        entry = store.keep_mixed(domain, parts, weights, *pictures)
        return store.rename(entry, title) if title else entry

    def described(self, domains: Sequence[Share]) -> dict[str, Any]:
        """The mix as JSON-able values, for the settings inside a picture or a file."""
        return {
            "model": self.model,
            "model_sha256": self.model_sha256,
            "domains": [{"share": share, "config": entry.settings["config"]} for entry, share in domains],
        }

    def fitted(self, tensors: Mapping[str, Tensor], of: str) -> dict[str, Tensor]:
        """`tensors` on the source's device. Raises InputError, naming `of`, for one that the source doesn't have."""
        for name, tensor in tensors.items():
            fits = name.startswith(_SYNTHESIS) and name in self._own and self._own[name].shape == tensor.shape
            if not fits:
                raise InputError(f"The tensor {name} of “{of}” doesn't fit the model “{self.model}”.")
        return {name: tensor.to(self.source.device) for name, tensor in tensors.items()}

    def _domain(self, entry: store.Entry) -> dict[str, Tensor]:
        if entry.record.model_sha256 != self.model_sha256:
            raise InputError(
                f"The domain “{entry.target}” in {entry.path} was adapted from another model than "
                f"“{self.model}”, so their weights can't be mixed: choose domains of one model."
            )
        key = f"{entry.path} {entry.record.weights.sha256}"
        with self._lock:
            return self._domains.made(key, lambda: self.fitted(catalog.changed_weights(entry.path), entry.target))
