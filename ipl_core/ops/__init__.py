"""Signal-processing building blocks of StyleGAN2: FIR up-/down-sampling, blur, and the biased activation.

Everything here is plain, differentiable PyTorch (twice differentiable too, for gradient penalties) and runs the same
on every device; nothing is compiled. The filter is always the binomial [1, 3, 3, 1] that StyleGAN2 uses. This room
knows nothing about generators, latents or checkpoints.
"""

from ipl_core.ops.bias_act import LEAKY_SLOPE, SQRT2, bias_act
from ipl_core.ops.upfirdn import FIR_TAPS, blur, downsample, fir_kernel, upsample

__all__ = ["FIR_TAPS", "LEAKY_SLOPE", "SQRT2", "bias_act", "blur", "downsample", "fir_kernel", "upsample"]
