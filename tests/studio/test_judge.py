"""The judge reads batches as single pictures, survives the disk, and says when a file isn't one."""

import pytest
import torch

from ipl_core.checkpoints import save_tensors
from ipl_core.errors import InputError
from ipl_core.studio.captions import TRAITS
from ipl_core.studio.domains import NAMES
from ipl_core.studio.judge import Judge, load_judge, save_judge
from ipl_core.studio.train_judge import identity_loss


@pytest.fixture
def pictures() -> torch.Tensor:
    return torch.rand(5, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1


@pytest.fixture
def judge() -> Judge:
    torch.manual_seed(0)
    return Judge(widths=(8, 8, 12, 16)).eval()  # the real shape, narrower


def test_a_verdict_has_probabilities_unit_identities_and_does_not_depend_on_the_batch(judge, pictures):
    verdict = judge.read(pictures)
    assert verdict.domain.shape == (5, len(NAMES))
    assert len(verdict.traits) == len(TRAITS)
    assert torch.allclose(verdict.domain.sum(1), torch.ones(5))
    assert torch.allclose(verdict.identity.norm(dim=1), torch.ones(5), atol=1e-5)
    assert torch.allclose(judge.read(pictures, batch=1).domain, verdict.domain, atol=1e-5)


def test_a_judge_in_training_refuses_to_judge(judge, pictures):
    with pytest.raises(InputError, match="evaluation mode"):
        judge.train().read(pictures)


def test_a_judge_comes_back_from_disk(tmp_path, pictures):
    torch.manual_seed(1)
    judge = Judge().eval()
    save_judge(judge, tmp_path / "judge.safetensors", {"seed": "1"})
    again = load_judge(tmp_path / "judge.safetensors")
    assert torch.allclose(judge.read(pictures).domain, again.read(pictures).domain, atol=5e-3)


def test_another_file_is_no_judge(tmp_path):
    save_tensors({"a": torch.zeros(1)}, tmp_path / "other.safetensors", {"kind": "generator"})
    with pytest.raises(InputError, match="no judge"):
        load_judge(tmp_path / "other.safetensors")


def test_identity_loss_is_low_when_people_stand_apart_and_high_when_they_are_mixed_up():
    a, b = torch.eye(4)[:2]
    person = torch.tensor([0, 0, 1, 1])
    apart, mixed = torch.stack([a, a, b, b]), torch.stack([a, b, a, b])
    assert identity_loss(apart, person) < 0.1 < identity_loss(mixed, person)
