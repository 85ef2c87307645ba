"""Restyling: draws an inverted picture with adapted generators, at any strength and mixed.

A picture is inverted once and restyled often; `mixing` mixes the weights.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ..generators.stylegan2.network import Generator
from ..library import store
from ..library.inversions import Inverted
from .mixing import Mixer, Share


class Restyler:
    """Draws an inverted picture in any domain adapted from its model; may be used from many threads.

    generator: the source generator of the picture's model, if already loaded; it isn't changed.
    Raises InputError if the model isn't there or has other weights than when the picture was inverted.
    """

    def __init__(self, inverted: Inverted, device: str = "cpu", generator: Generator | None = None) -> None:
        inverted.check_model()
        self.inverted = inverted
        self.mixer = Mixer(inverted.model, device, generator)
        self._noise = inverted.noise_for(self.mixer.source)
        self._tuned = self.mixer.fitted(inverted.tuned, inverted.name)

    def draw(self, domains: Sequence[Share] = ()) -> Tensor:
        """The person, (1, 3, R, R) about [-1, 1] on the CPU, in a mix of domains.

        domains: entries of the library with their weights, see `Mixer.weights`; an empty list draws the inversion
            itself.
        Raises InputError for a weight outside 0 to 2 or a domain of another model.
        """
        weights = self.mixer.weights(domains, [(self._tuned, 1.0)])
        return self.mixer.draw(self.inverted.w_plus, weights, self._noise)


def restyle(inverted: Inverted, entry: store.Entry, strength: float = 1.0, device: str = "cpu") -> Tensor:
    """An inverted picture in one domain, (1, 3, R, R) about [-1, 1]; see `Restyler`, which is cheaper for several.

    strength: 0 draws the inversion itself, 1 the domain; the weights are interpolated between them.
    """
    return Restyler(inverted, device).draw([(entry, strength)])
