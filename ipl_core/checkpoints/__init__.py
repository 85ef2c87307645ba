"""Weights on disk: our safetensors, rosinality's `.pt` and NVIDIA's `.pkl` are read, the first two are written.

What is in a file is found by its content, not by its name. Every file of this program goes through `atomic_path`, so
a crash, a full disk or a second writer never leaves half a file behind; and every file that can't be read ends in an
`InputError` that names it and says why. Pickles are read by an interpreter of our own that runs nothing they name, see
`pickles`. The room knows tensors and the generator's configuration, not what the weights were trained for.
"""

from ..storage.files import atomic_path
from ..storage.tensors import METADATA_KEY, load_tensors, read_metadata, read_shapes, save_tensors
from .generators import GENERATOR_KIND, generator_from, load_generator, load_weights, save_generator, write_generator
from .rosinality import save_rosinality

__all__ = [
    "GENERATOR_KIND",
    "METADATA_KEY",
    "atomic_path",
    "generator_from",
    "load_generator",
    "load_tensors",
    "load_weights",
    "read_metadata",
    "read_shapes",
    "save_generator",
    "save_rosinality",
    "save_tensors",
    "write_generator",
]
