"""A crop is brought to what the generator draws: on one of its own samples, within a larger picture."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from ipl_core.drawing.framing import fitted
from ipl_core.drawing.sampling import draw
from ipl_core.models import catalog
from ipl_core.pictures.faces import Crop
from ipl_core.pictures.media import to_uint8

MARGIN, SIDE = 40, 128


@pytest.mark.parametrize("off", [{"zoom": 1.25, "right": 0.04}, {"zoom": 0.8, "down": 0.03}])
def test_a_crop_that_is_off_is_brought_back(off: dict[str, float]) -> None:
    generator = catalog.load_generator("studio")
    encoder = catalog.load_encoder("studio-people", "studio", generator.config)
    sample = to_uint8(draw(generator, [3], psi=0.7))[0].numpy()
    picture = Image.fromarray(np.pad(sample, ((MARGIN, MARGIN), (MARGIN, MARGIN), (0, 0)), mode="edge"))
    low, high = MARGIN, MARGIN + SIDE
    right = Crop(((low, low), (low, high), (high, high), (high, low)), "cascade", "Found.", 0.9, 1, 1)
    found = fitted(right.moved(**off), picture, generator, encoder)
    assert found.side == pytest.approx(SIDE, rel=0.06)
    assert np.abs(np.array(found.quad) - np.array(right.quad)).max() < 0.06 * SIDE
    assert found.note.startswith("Found.")
    assert (found.method, found.face, found.faces) == ("cascade", 1, 1)
