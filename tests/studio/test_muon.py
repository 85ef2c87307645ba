"""Muon moves weights as matrices, by a share of what they are; together with Adam it learns and can be interrupted."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ipl_core.studio.training.loop import Checkpoint
from ipl_core.studio.training.muon import Muon, MuonAdam, orthogonal


def _rms(values: Tensor) -> float:
    return float(values.square().mean().sqrt())


@pytest.mark.parametrize("shape", [(24, 40), (40, 24), (6, 200), (200, 6)])
def test_an_orthogonal_matrix_has_singular_values_about_1_and_keeps_its_directions(
    shape: tuple[int, int], rng: torch.Generator
) -> None:
    matrix = 37 * torch.randn(shape, generator=rng)
    result = orthogonal(matrix)
    assert result.shape == shape
    values = torch.linalg.svdvals(result)
    assert 0.6 < values.min() <= values.max() < 1.3
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    inner = u.T @ result @ v.T  # diagonal where the singular vectors are the same
    assert (inner - inner.diagonal().diag()).abs().max() < 1e-3
    assert inner.diagonal().min() > 0.6


@pytest.mark.parametrize("shape", [(32, 32), (48, 16), (16, 8, 3, 3)])
@pytest.mark.parametrize(("size", "slope"), [(1.0, 1.0), (0.01, 1e4), (100.0, 1e-4)])
def test_a_step_is_a_share_of_the_weight_whatever_its_size_and_its_gradients(
    shape: tuple[int, ...], size: float, slope: float, rng: torch.Generator
) -> None:
    weight = nn.Parameter(size * torch.randn(shape, generator=rng))
    before = weight.detach().clone()
    weight.grad = slope * torch.randn(shape, generator=rng)
    Muon([weight], lr=0.02).step()
    assert _rms(weight.detach() - before) / _rms(before) == pytest.approx(0.02, rel=0.25)
    assert ((weight.detach() - before) * weight.grad).sum() < 0


def test_weights_without_a_gradient_stay_and_decay_pulls_the_others(rng: torch.Generator) -> None:
    still, pulled = (nn.Parameter(torch.randn(4, 6, generator=rng)) for _ in range(2))
    before = still.detach().clone(), pulled.detach().clone()
    pulled.grad = torch.zeros(4, 6)
    Muon([still, pulled], lr=0.1, weight_decay=0.5).step()
    assert torch.equal(still, before[0])
    assert torch.allclose(pulled, before[1] * 0.95)


def _network() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 16, 6))


def _learn(network: nn.Module, optimiser: MuonAdam, steps: range, total: int) -> float:
    """Regression of the network onto fixed numbers; gives the last loss."""
    random = torch.Generator().manual_seed(4)
    pictures, wanted = torch.randn(24, 3, 4, 4, generator=random), torch.randn(24, 6, generator=random)
    for step in steps:
        optimiser.set_rate(1 - step / total)
        loss = F.mse_loss(network(pictures), wanted)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return float(loss.detach())


def test_a_small_regression_is_solved() -> None:
    network = _network()
    assert _learn(network, MuonAdam(network, 0.03, 2e-3), range(200), 200) < 1e-2


def test_together_survives_a_checkpoint(tmp_path: Path) -> None:
    whole, half, again = _network(), _network(), _network()
    optimisers = [MuonAdam(network, 0.02, 1e-3, decay=0.1) for network in (whole, half, again)]
    _learn(whole, optimisers[0], range(10), 10)
    _learn(half, optimisers[1], range(5), 10)
    Checkpoint(tmp_path / "a.pt", {"network": half, "optimiser": optimisers[1]}).save(5)
    assert Checkpoint(tmp_path / "a.pt", {"network": again, "optimiser": optimisers[2]}).resume() == 5
    _learn(again, optimisers[2], range(5, 10), 10)
    for one, other in zip(whole.parameters(), again.parameters()):
        assert torch.equal(one, other)


def test_muon_has_the_matrices_and_adam_the_rest_and_what_is_named() -> None:
    network = _network()
    convolution, linear = network[0], network[3]
    linear.bias.requires_grad_(False)
    together = MuonAdam(network, 0.02, 1e-3, [linear.weight])
    assert [id(p) for p in together.muon.param_groups[0]["params"]] == [id(convolution.weight)]
    assert {id(p) for p in together.adam.param_groups[0]["params"]} == {id(convolution.bias), id(linear.weight)}
    together.set_rate(0.25)
    assert together.muon.param_groups[0]["lr"] == pytest.approx(0.005)
    assert together.adam.param_groups[0]["lr"] == pytest.approx(2.5e-4)
