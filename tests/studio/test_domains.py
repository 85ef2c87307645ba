"""Every domain draws every sitter it is meant for, differs from all others, and is found by what people call it."""

import pytest
import torch

from ipl_core.errors import InputError
from ipl_core.studio.world.domains import DOMAINS, NAMES, PHOTO, TARGETS, domain_number
from ipl_core.studio.world.subject import SUBJECTS


def _drawn(subject, domain, seed: int = 1, resolution: int = 64) -> torch.Tensor:
    sitters = subject.random(3, torch.Generator().manual_seed(4))
    return subject.render(domain, sitters, torch.Generator().manual_seed(seed), resolution)


@pytest.fixture(scope="module", params=SUBJECTS, ids=lambda s: s.name)
def gallery(request) -> tuple[object, dict[str, torch.Tensor]]:
    """A subject, and the same three sitters in every domain of it."""
    return request.param, {domain.name: _drawn(request.param, domain) for domain in request.param.domains}


def test_pictures_are_finite_and_in_range(gallery):
    for name, pictures in gallery[1].items():
        assert pictures.shape == (3, 3, 64, 64), name
        assert torch.isfinite(pictures).all(), name
        assert pictures.abs().max() <= 1, name
        assert pictures.std() > 0.1, name


def test_every_domain_differs_from_the_photo_and_from_every_other(gallery):
    names = list(gallery[1])
    flat = torch.stack([pictures.flatten() for pictures in gallery[1].values()])
    apart = (flat[:, None] - flat[None]).abs().mean(-1) + torch.eye(len(names))
    i, j = divmod(int(apart.argmin()), len(names))
    assert apart.min() > 0.05, f"{names[i]} and {names[j]} differ by {float(apart.min()):.3f} only"


def test_every_domain_shows_who_sits(gallery):
    for name, pictures in gallery[1].items():
        assert (pictures[0] - pictures[1]).abs().mean() > 0.05, name


def test_a_seed_repeats_a_picture_and_another_changes_little(gallery):
    subject, pictures = gallery
    for domain in subject.domains:
        assert torch.equal(_drawn(subject, domain), pictures[domain.name]), domain.name
        assert (_drawn(subject, domain, seed=2) - pictures[domain.name]).abs().mean() < 0.05, domain.name


@pytest.mark.parametrize("domain", TARGETS, ids=lambda d: d.name)
def test_resolution_changes_sharpness_not_the_picture(domain):
    small, large = (_drawn(SUBJECTS[0], domain, resolution=resolution) for resolution in (64, 128))
    shrunk, blurred = (torch.nn.functional.adaptive_avg_pool2d(pictures, 8) for pictures in (large, small))
    assert (shrunk - blurred).abs().mean() < 0.12


def test_shape_domains_are_for_people_and_the_photo_is_for_all():
    for subject in SUBJECTS:
        assert subject.domains[0] is PHOTO
    bent = {"Pixar character", "Tolkien elf", "werewolf", "zombie", "vampire", "avatar alien"}
    assert {domain.name for domain in DOMAINS if domain.subjects == ("people",)} == bent


def test_no_wording_belongs_to_two_domains_and_every_domain_has_seven():
    wordings = [w.lower() for d in DOMAINS for w in d.wordings + d.of_people]
    assert len(wordings) == len(set(wordings))
    for domain in DOMAINS:
        assert len(domain.wordings) >= 7, domain.name
        assert domain.name in domain.wordings


def test_a_wording_leads_to_its_domain_and_a_strange_one_is_refused():
    for number, domain in enumerate(DOMAINS):
        assert domain_number(domain.name.upper()) == number
        assert {domain_number(w) for w in domain.wordings} == {number}
    assert domain_number("wolf  man") == NAMES.index("werewolf")
    assert domain_number("human") == domain_number("person") == 0
    with pytest.raises(InputError, match="watercolor"):
        domain_number("submarine")
