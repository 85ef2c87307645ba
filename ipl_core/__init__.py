"""IPL Studio: adapt a generator to a domain named in words, by image-specific prompt learning.

>>> from ipl_core import AdaptConfig, adapt, load_generator
>>> for snapshot in adapt(AdaptConfig("pencil sketch")):
...     print(snapshot.phase, snapshot.step, snapshot.losses)
"""

# open_clip, which is slow to import, waits until a critic is loaded.
from .errors import InputError
from .generators.invert import invert
from .methods.adapt import adapt
from .methods.config import AdaptConfig, InvertConfig
from .models.catalog import load_generator
from .running.snapshot import Snapshot
from .version import __version__

__all__ = ["AdaptConfig", "InputError", "InvertConfig", "Snapshot", "__version__", "adapt", "invert", "load_generator"]
