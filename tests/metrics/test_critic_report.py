"""What the critic's report says of the embedded critic before any run."""

import torch

from ipl_core.catalog import load_critic
from ipl_core.metrics.critic_report import attribute_retrieval
from ipl_core.studio.domains import PHOTO
from ipl_core.studio.subject import PEOPLE


def test_attributes_are_told_by_words_better_than_by_chance() -> None:
    random = torch.Generator().manual_seed(3)
    sitters = PEOPLE.random(48, random)
    photos, labels = PEOPLE.render(PHOTO, sitters, random), PEOPLE.labels(sitters)
    found = attribute_retrieval(load_critic("studio"), PEOPLE, photos, labels)
    assert set(found) <= {trait.attribute for trait in PEOPLE.traits}
    assert all(0 <= right <= 1 and 0 < chance <= 0.5 for right, chance in found.values())
    right, chance = torch.tensor(list(found.values())).mean(0)
    assert right > chance + 0.1
    # With the labels of other people it is a guess.
    strangers = attribute_retrieval(load_critic("studio"), PEOPLE, photos, labels.roll(1, 0))
    assert torch.tensor(list(strangers.values()))[:, 0].mean() < right - 0.1
