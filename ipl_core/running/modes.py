"""The modes of PyTorch that training computes in, and the check that its numbers are finite."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from ..memory import enough_memory


class NotFinite(ArithmeticError):
    """A step met NaN or infinity; it has changed nothing."""


@contextlib.contextmanager
def own_modes(device: torch.device) -> Iterator[None]:
    """Gradients on and full precision, whatever the caller's modes are.

    Leave it before a yield, or the modes leak to the caller. Raises OutOfMemory where memory runs out.
    """
    with (
        torch.inference_mode(False),
        torch.enable_grad(),
        torch.autocast(device.type, enabled=False),
        enough_memory(),
    ):
        yield


def mixed(device: torch.device, precision: str) -> torch.autocast:
    """Autocast for a run's precision: convolutions and matrix products compute in it, sensitive operations in float32.

    bfloat16 has float32's range, so losses need no scaling and StyleGAN2's large activations don't overflow.
    """
    return torch.autocast(device.type, torch.bfloat16, enabled=precision != "float32")


def require_finite(loss: Tensor, parameters: Iterable[Tensor]) -> None:
    """Raises NotFinite if the loss or a gradient isn't finite; call it before the optimiser's step."""
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    if not torch.isfinite(loss):
        raise NotFinite("The loss is not finite")
    # Adam's step is no longer than its rate allows, so finite gradients leave finite weights.
    if not torch.isfinite(torch.nn.utils.get_total_norm(gradients)):
        raise NotFinite("The gradients are not finite")
