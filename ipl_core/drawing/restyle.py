"""A person in other domains: an inverted picture drawn by adapted generators, at any strength and mixed.

Invert once, restyle often; how weights are mixed is the business of `mixing`.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ..generators.stylegan2.network import Generator
from ..library import store
from ..library.inversions import Inverted
from .mixing import Mixer, Share


class Restyler:
    """An inverted picture, ready to be drawn in any domain adapted from its model; may be used from many threads.

    generator: the source generator of the picture's model where it is loaded already; never changed.
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

        domains: entries of the library with a weight each, see `Mixer.weights`. None at all draw the inversion as it
            is.
        Raises InputError for a weight outside 0 to 2 or a domain of another model.
        """
        weights = self.mixer.weights(domains, [(self._tuned, 1.0)])
        return self.mixer.draw(self.inverted.w_plus, weights, self._noise)


def restyle(inverted: Inverted, entry: store.Entry, strength: float = 1.0, device: str = "cpu") -> Tensor:
    """An inverted picture in one domain, (1, 3, R, R) about [-1, 1]; see `Restyler`, which is cheaper for several.

    strength: 0 the inversion as it is, 1 the domain, between them the weights are interpolated.
    """
    return Restyler(inverted, device).draw([(entry, strength)])
