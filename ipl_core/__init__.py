"""IPL Studio: adapt a generator to a domain named in words, by image-specific prompt learning.

>>> from ipl_core import AdaptConfig, adapt, load_generator
>>> *steps, result = adapt(AdaptConfig("pencil sketch"))
>>> steps[-1].losses, sorted(result.weights)
"""

# open_clip, which is slow to import, waits until a critic is loaded.
from .errors import InputError
from .methods.config import AdaptConfig, InvertConfig
from .models.catalog import load_generator
from .running.adapting import adapt
from .running.inverting import invert
from .running.steps import AdaptResult, InvertResult, Result, Step
from .version import __version__

__all__ = [
    "AdaptConfig",
    "AdaptResult",
    "InputError",
    "InvertConfig",
    "InvertResult",
    "Result",
    "Step",
    "__version__",
    "adapt",
    "invert",
    "load_generator",
]
