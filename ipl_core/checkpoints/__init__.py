"""Generators on disk: our safetensors, rosinality's `.pt` and NVIDIA's `.pkl` are read, the first two are written.

What is in a file is found by its content, not by its name. Pickles are read by an interpreter of our own that runs
nothing they name, see `storage.pickles`. These modules know tensors and the generator's configuration, not what the
weights were trained for.
"""

from .generators import GENERATOR_KIND, generator_from, load_generator, load_weights, save_generator, write_generator
from .rosinality import save_rosinality

__all__ = [
    "GENERATOR_KIND",
    "generator_from",
    "load_generator",
    "load_weights",
    "save_generator",
    "save_rosinality",
    "write_generator",
]
