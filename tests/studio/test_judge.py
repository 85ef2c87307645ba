"""The judge reads batches as single pictures, survives the disk, and says when a file isn't one."""

import pytest
import torch

from ipl_core.errors import InputError
from ipl_core.storage.tensors import load_tensors, save_tensors
from ipl_core.studio.judge import Judge, load_judge, save_judge
from ipl_core.studio.training.judge import identity_loss
from ipl_core.studio.world.subject import DOGS, PEOPLE, SUBJECTS, Subject


@pytest.fixture
def pictures() -> torch.Tensor:
    return torch.rand(5, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1


def _narrow(subject: Subject = PEOPLE) -> Judge:
    """The real shape with fewer channels."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Judge(subject, widths=(8, 8, 12, 16)).eval()


@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: subject.name)
def test_a_verdict_has_its_subjects_probabilities_and_does_not_depend_on_the_batch(subject, pictures):
    judge = _narrow(subject)
    verdict = judge.read(pictures)
    assert verdict.subject is subject
    assert verdict.domain.shape == (5, len(subject.domains))
    assert [t.shape for t in verdict.traits] == [(5, len(trait.after)) for trait in subject.traits]
    for probabilities in (verdict.domain, *verdict.traits):
        assert torch.allclose(probabilities.sum(1), torch.ones(5), atol=1e-5)
    assert torch.allclose(verdict.identity.norm(dim=1), torch.ones(5), atol=1e-5)
    assert verdict.features.shape == (5, 16)
    assert torch.allclose(judge.read(pictures, batch=1).domain, verdict.domain, atol=1e-5)


def test_pictures_of_its_own_size_are_read_as_they_are_and_clipped_as_a_screen_would(pictures):
    judge = _narrow()
    large = torch.nn.functional.interpolate(pictures, scale_factor=2)
    assert large.shape[-1] == judge.resolution
    assert torch.equal(judge.read(large).features, judge(large)[3])
    assert torch.equal(judge.read(large * 3).features, judge.read((large * 3).clamp(-1, 1)).features)


def test_a_judge_in_training_refuses_to_judge(pictures):
    with pytest.raises(InputError, match="evaluation mode"):
        _narrow().train().read(pictures)


def test_a_judge_comes_back_from_disk_and_remembers_whose_it_is(tmp_path, pictures):
    torch.manual_seed(1)
    judge = Judge(DOGS).eval()
    save_judge(judge, tmp_path / "judge.safetensors", {"seed": "1"})
    again = load_judge(tmp_path / "judge.safetensors")
    assert again.subject is DOGS
    assert torch.allclose(judge.read(pictures).domain, again.read(pictures).domain, atol=5e-3)


def test_another_file_is_no_judge(tmp_path):
    save_tensors({"a": torch.zeros(1)}, tmp_path / "other.safetensors", {"kind": "generator"})
    with pytest.raises(InputError, match="no judge"):
        load_judge(tmp_path / "other.safetensors")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"domains": ["photo"]}, "other domains or traits"),
        ({"traits": {}}, "other domains or traits"),
        ({"subject": "dogs"}, "other domains or traits"),
        ({"subject": "cats"}, "no subject “cats”"),
        ({}, "doesn't fit this version"),
    ],
)
def test_a_judge_of_another_version_is_refused(tmp_path, change, message):
    file = tmp_path / "judge.safetensors"
    save_judge(_narrow(), file, {})
    tensors, description = load_tensors(file)
    save_tensors({"domain_head.bias": tensors["domain_head.bias"]}, file, {**description, **change})
    with pytest.raises(InputError, match=message):
        load_judge(file)


def test_identity_loss_is_low_when_people_stand_apart_and_high_when_they_are_mixed_up():
    a, b = torch.eye(4)[:2]
    person = torch.tensor([0, 0, 1, 1])
    apart, mixed = torch.stack([a, a, b, b]), torch.stack([a, b, a, b])
    assert identity_loss(apart, person) < 0.1 < identity_loss(mixed, person)
