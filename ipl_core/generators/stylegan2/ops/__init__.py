"""Signal-processing building blocks of StyleGAN2: FIR up-/down-sampling, blur, and the biased activation.

Everything here is differentiable (twice too, for gradient penalties) and runs in plain PyTorch on every device. Who
asks for it gets compiled operators on CUDA GPUs, behind the same functions; see compiled.py. The filter is always the
binomial [1, 3, 3, 1] that StyleGAN2 uses. This room knows nothing about generators, latents or checkpoints.
"""

from .bias_act import LEAKY_SLOPE, SQRT2, bias_act, styled_act
from .compiled import use
from .upfirdn import FIR_TAPS, blur, fir_kernel, upsample

__all__ = [
    "FIR_TAPS",
    "LEAKY_SLOPE",
    "SQRT2",
    "bias_act",
    "blur",
    "fir_kernel",
    "styled_act",
    "upsample",
    "use",
]
