"""What the critic's report says of the embedded critic before any run."""

import torch

from ipl_core.metrics.reports.clip_model import attribute_retrieval, domain_names, zero_shot
from ipl_core.models.catalog import load_critic
from ipl_core.studio.world.domains import PHOTO
from ipl_core.studio.world.subject import PEOPLE


def test_what_the_critic_sees_of_people_is_told_from_what_it_says_of_anybody() -> None:
    random = torch.Generator().manual_seed(3)
    sitters = PEOPLE.random(80, random)
    photos, labels = PEOPLE.render(PHOTO, sitters, random), PEOPLE.labels(sitters)
    critic = load_critic("studio")
    found = attribute_retrieval(critic, PEOPLE, photos, labels)
    assert set(found) <= {trait.attribute for trait in PEOPLE.traits}
    assert all(0 <= right <= 1 and 0 < commonest <= 1 for right, commonest in found.values())
    strangers = attribute_retrieval(critic, PEOPLE, photos, labels.roll(1, 0))
    for trait in ("skin_tone", "hair_colour"):
        right, commonest = found[trait]
        assert right > commonest + 0.1
        assert strangers[trait][0] < right - 0.1


def test_domains_are_named_from_true_renders_alone() -> None:
    random = torch.Generator().manual_seed(4)
    sitters, critic = PEOPLE.random(12, random), load_critic("studio")
    places = {domain.name: place for place, domain in enumerate(PEOPLE.domains)}
    names = domain_names(critic, PEOPLE)
    assert len(names) == len(PEOPLE.domains)
    pictures = PEOPLE.render(PEOPLE.domains[places["marble statue"]], sitters, random)
    assert zero_shot(critic, names, pictures, places["marble statue"]) > 0.9
    assert zero_shot(critic, names, pictures, places["neon"]) < 0.1
