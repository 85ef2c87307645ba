"""A person in other domains: an inverted picture drawn by adapted generators, at any strength and mixed.

Weights are vectors here: the source generator's, plus what pivotal tuning added for this picture, plus a share of
what each domain added. Invert once, restyle often.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.func import functional_call

from . import catalog, library
from .errors import InputError
from .people import Inverted
from .stylegan2 import Generator

MAX_STRENGTH = 2.0
_MAX_DOMAINS = 8  # whose tensors stay in memory


class Restyler:
    """An inverted picture, ready to be drawn in any domain adapted from its model; may be used from many threads.

    generator: the source generator of the picture's model where it is loaded already; never changed.
    Raises InputError if the model isn't there or has other weights than when the picture was inverted.
    """

    def __init__(self, inverted: Inverted, device: str = "cpu", generator: Generator | None = None) -> None:
        inverted.check_model()
        self.inverted = inverted
        self._source = generator or catalog.load_generator(inverted.model, device)
        self._own = dict(self._source.named_parameters()) | dict(self._source.named_buffers())
        self._w_plus = inverted.w_plus.to(self._source.device)
        self._noise = inverted.noise_for(self._source)
        self._tuned = self._on_device(inverted.tuned, inverted.name)
        self._domains: OrderedDict[str, dict[str, Tensor]] = OrderedDict()
        self._lock = threading.Lock()

    @torch.no_grad()
    def draw(self, domains: Sequence[tuple[library.Entry, float]] = ()) -> Tensor:
        """The person, (1, 3, R, R) about [-1, 1] on the CPU, in a mix of domains.

        domains: entries of the library with a weight each, 0 (nothing of the domain) to 2; 1 is the adapted
            generator itself. None at all draw the inversion as it is.
        Raises InputError for a weight outside these or a domain of another model.
        """
        weights: dict[str, Tensor] = {}
        for entry, share in domains:
            if not 0 <= share <= MAX_STRENGTH:
                raise InputError(
                    f"The strength of a domain must be a number from 0 to {MAX_STRENGTH:g}, not {share:g}."
                )
            for name, adapted in self._domain(entry).items():
                source = self._own[name]
                if name in weights:
                    weights[name] = weights[name] + share * (adapted - source)
                else:
                    weights[name] = torch.lerp(source, adapted, share)  # exact at both ends, unlike a sum
        for name, tuned in self._tuned.items():
            weights[name] = weights[name] + (tuned - self._own[name]) if name in weights else tuned
        prefix = "synthesis."
        parts = {name[len(prefix) :]: value for name, value in weights.items() if name.startswith(prefix)}
        image = functional_call(self._source.synthesis, parts, (self._w_plus, self._noise))
        return image.cpu()

    def _domain(self, entry: library.Entry) -> dict[str, Tensor]:
        if entry.settings["model_sha256"] != self.inverted.settings["model_sha256"]:
            raise InputError(
                f"The domain “{entry.config.target}” in {entry.path} was adapted from another model than the one that "
                f"“{self.inverted.name}” was inverted with (“{self.inverted.model}”): invert the picture with it."
            )
        key = f"{entry.path} {entry.settings['weights']['sha256']}"
        with self._lock:
            if key not in self._domains:
                changed = library.changed_weights(entry.path)
                self._domains[key] = self._on_device(changed, entry.config.target)
                while len(self._domains) > _MAX_DOMAINS:
                    self._domains.popitem(last=False)
            self._domains.move_to_end(key)
            return self._domains[key]

    def _on_device(self, tensors: dict[str, Tensor], name: str) -> dict[str, Tensor]:
        for tensor_name, tensor in tensors.items():
            if tensor_name not in self._own or self._own[tensor_name].shape != tensor.shape:
                raise InputError(f"The tensor {tensor_name} of “{name}” doesn't fit the model “{self.inverted.model}”.")
        return {tensor_name: tensor.to(self._source.device) for tensor_name, tensor in tensors.items()}


def restyle(inverted: Inverted, entry: library.Entry, strength: float = 1.0, device: str = "cpu") -> Tensor:
    """An inverted picture in one domain, (1, 3, R, R) about [-1, 1]; see `Restyler`, which is cheaper for several.

    strength: 0 the inversion as it is, 1 the domain, between them the weights are interpolated.
    """
    return Restyler(inverted, device).draw([(entry, strength)])
