"""IPL Studio: adapt a generator to a domain named in words, by image-specific prompt learning.

>>> from ipl_core import AdaptConfig, adapt, load_generator
>>> for snapshot in adapt(AdaptConfig("pencil sketch")):
...     print(snapshot.phase, snapshot.step, snapshot.losses)
"""

# Imported here and not on first use: `adapt` is a module too, and only this order binds the name to the function.
# open_clip, which is slow to import, waits until a critic is loaded.
from .adapt import adapt
from .catalog import load_generator
from .config import AdaptConfig, InvertConfig
from .errors import InputError
from .invert import invert
from .snapshot import Snapshot
from .version import __version__

__all__ = ["AdaptConfig", "InputError", "InvertConfig", "Snapshot", "__version__", "adapt", "invert", "load_generator"]
