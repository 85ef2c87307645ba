"""Muon: momentum made orthogonal (Jordan et al. 2024), for the weights of the studio's small networks.

Adam trains the mapping network and the early layers of a small StyleGAN2 badly. Muon moves every singular direction of
a weight alike, so that rare attributes such as a hat are learnt with the common ones. PyTorch's Muon takes plain
matrices; this one takes convolutions, too, and scales its step by the weight that it moves, as equalised layers need.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

MOMENTUM = 0.95
#: Coefficients of the quintic iteration, which drives all singular values into about [0.7, 1.2].
_QUINTIC = (3.4445, -4.7750, 2.0315)
_ITERATIONS = 5


def orthogonal(matrix: Tensor) -> Tensor:
    """A matrix (M, N) with its singular values driven towards 1, by a Newton–Schulz iteration."""
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.t() if tall else matrix
    x = x / (x.norm() + 1e-12)
    a, b, c = _QUINTIC
    for _ in range(_ITERATIONS):
        gram = x @ x.t()
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.t() if tall else x


class Muon(torch.optim.Optimizer):
    """Moves weights of two or more dimensions, each as the matrix (outputs, everything else).

    lr is relative: a step changes a weight by lr times the root mean square that it had when it was first moved, so a
    weight that begins at zero stays there.
    """

    def __init__(self, params: Iterable[Tensor] | Iterable[dict], lr: float, weight_decay: float = 0.0) -> None:
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """One step along the orthogonal part of Nesterov's momentum; weights without a gradient stay."""
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                state = self.state[weight]
                if not state:
                    state["momentum"], state["unit"] = torch.zeros_like(weight), weight.square().mean().sqrt()
                momentum = state["momentum"].lerp_(weight.grad, 1 - MOMENTUM)
                matrix = weight.grad.lerp(momentum, MOMENTUM).flatten(1)
                # An orthogonal matrix has a root mean square of 1/√(its longer side).
                length = group["lr"] * state["unit"] * max(matrix.shape) ** 0.5
                weight.mul_(1 - group["lr"] * group["weight_decay"])
                weight.sub_(length * orthogonal(matrix).view_as(weight))


class MuonAdam:
    """Two optimisers as one: Muon for matrices and convolutions, Adam for the rest and for what the caller names.

    rates: set with `set_rate`, as a share of the rates given at the start.
    """

    def __init__(
        self,
        module: nn.Module,
        muon_rate: float,
        adam_rate: float,
        adam: Iterable[nn.Parameter] = (),
        decay: float = 0.0,
    ) -> None:
        named = {id(parameter) for parameter in adam}
        free = [parameter for parameter in module.parameters() if parameter.requires_grad]
        matrices = [p for p in free if p.ndim > 1 and id(p) not in named]
        rest = [p for p in free if p.ndim <= 1 or id(p) in named]
        self.muon = Muon(matrices, muon_rate, decay)
        self.adam = torch.optim.Adam(rest, adam_rate, betas=(0.9, 0.98))
        self._rates = (muon_rate, adam_rate)

    def set_rate(self, share: float) -> None:
        """Let both run at `share` of their rates."""
        for optimiser, rate in zip((self.muon, self.adam), self._rates):
            for group in optimiser.param_groups:
                group["lr"] = rate * share

    def zero_grad(self) -> None:
        """Forget the gradients."""
        self.muon.zero_grad(set_to_none=True)
        self.adam.zero_grad(set_to_none=True)

    def step(self) -> None:
        """One step of both."""
        self.muon.step()
        self.adam.step()

    def state_dict(self) -> dict[str, dict]:
        """The states of both, as a checkpoint keeps them."""
        return {"muon": self.muon.state_dict(), "adam": self.adam.state_dict()}

    def load_state_dict(self, state: dict[str, dict]) -> None:
        """Take back what state_dict gave."""
        self.muon.load_state_dict(state["muon"])
        self.adam.load_state_dict(state["adam"])
