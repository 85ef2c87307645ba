"""The renderer draws what the attributes say, the same every time, and every domain keeps the person."""

import pytest
import torch

from ipl_core.errors import InputError
from ipl_core.studio.attributes import ATTRIBUTES, COUNT, people_from_latents, people_from_unit, random_people
from ipl_core.studio.data import latents_of_people
from ipl_core.studio.domains import DOMAINS, TARGETS, domain_number, render_domain
from ipl_core.studio.renderer import render


def _people(count: int = 3):
    return random_people(count, torch.Generator().manual_seed(4))


def _with(name: str, quantile: float):
    u = torch.full((1, COUNT), 0.5)
    u[0, [a.name for a in ATTRIBUTES].index(name)] = quantile
    return people_from_unit(u)


@pytest.mark.parametrize("name", [a.name for a in ATTRIBUTES])
def test_every_attribute_changes_the_picture(name):
    # Three quantiles: hues come full circle, and most people wear neither hat nor glasses.
    pictures = [render(_with(name, quantile), 64).rgb for quantile in (0.02, 0.6, 0.99)]
    assert max(float((a - b).abs().max()) for a in pictures for b in pictures) > 0.05


def test_hair_colour_shows_on_hair_and_brows_only_slightly_elsewhere():
    black, blond = _with("hair_colour", 0.02), _with("hair_colour", 0.8)
    for people in (black, blond):
        people.values["hair_cut"][:] = 4
    difference = (render(black, 64).rgb - render(blond, 64).rgb).abs().mean(1, keepdim=True)
    hair = render(black, 64).hair > 0.9
    assert difference[hair].mean() > 5 * difference[~hair].mean()


@pytest.mark.parametrize("domain", DOMAINS, ids=lambda d: d.name)
def test_domains_draw_finite_pictures_in_range_and_repeat(domain):
    people = _people()
    first, second = (render_domain(domain, people, torch.Generator().manual_seed(1), 32) for _ in range(2))
    assert first.shape == (3, 3, 32, 32)
    assert torch.isfinite(first).all()
    assert first.min() >= -1
    assert first.max() <= 1
    assert torch.equal(first, second)


@pytest.mark.parametrize("domain", TARGETS, ids=lambda d: d.name)
def test_every_domain_differs_from_the_photo(domain):
    people, random = _people(), torch.Generator().manual_seed(1)
    photo = render_domain(DOMAINS[0], people, random)
    assert (render_domain(domain, people, random) - photo).abs().mean() > 0.01


def test_resolution_changes_sharpness_not_the_scene():
    people = _people()
    large = torch.nn.functional.avg_pool2d(render(people, 128, supersample=1).rgb, 4)
    small = torch.nn.functional.avg_pool2d(render(people, 64, supersample=1).rgb, 2)
    assert (large - small).abs().mean() < 0.02


def test_latents_and_people_are_each_others_inverse():
    u = torch.rand(50, COUNT, generator=torch.Generator().manual_seed(0)) * 0.9 + 0.05
    wanted, found = people_from_unit(u), people_from_latents(latents_of_people(u, 64, seed=1))
    for attribute in ATTRIBUTES:
        assert torch.allclose(wanted[attribute.name].float(), found[attribute.name].float(), atol=2e-3), attribute.name


def test_people_need_points_of_the_right_width():
    with pytest.raises(InputError, match=r"\(2, 5\)"):
        people_from_unit(torch.rand(2, 5))


def test_a_wording_leads_to_its_domain_and_a_strange_one_is_refused():
    for number, domain in enumerate(DOMAINS):
        assert domain_number(domain.name.upper()) == number
    assert domain_number("wolf  man") == domain_number("werewolf")
    with pytest.raises(InputError, match="watercolor"):
        domain_number("submarine")


def test_no_wording_belongs_to_two_domains():
    wordings = [w.lower() for d in DOMAINS for w in d.wordings]
    assert len(wordings) == len(set(wordings))
    assert all(len(d.wordings) >= 6 for d in DOMAINS)
