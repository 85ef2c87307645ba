"""A latent stands for a sitter, evenly over all sitters; labels and domains are a subject's own."""

from __future__ import annotations

import pytest
import torch

from ipl_core.errors import InputError
from ipl_core.studio.world.attributes import Continuous, Sitters
from ipl_core.studio.world.domains import DOMAINS, PHOTO, TARGETS
from ipl_core.studio.world.subject import DOGS, LATENT_WIDTH, PEOPLE, SUBJECTS, Subject, subject_named


@pytest.fixture(params=SUBJECTS, ids=lambda subject: subject.name)
def subject(request: pytest.FixtureRequest) -> Subject:
    return request.param


def _latents(count: int) -> torch.Tensor:
    return torch.randn(count, LATENT_WIDTH, generator=torch.Generator().manual_seed(6))


def test_random_latents_give_every_attribute_its_whole_range_evenly(subject: Subject) -> None:
    sitters = subject.sitters_from_latents(_latents(4_000))
    even = torch.linspace(0, 1, 4_000)
    for attribute in subject.attributes:
        values = sitters[attribute.name]
        if isinstance(attribute, Continuous):
            quantiles = ((values - attribute.low) / (attribute.high - attribute.low)).sort().values
            assert (quantiles - even).abs().max() < 0.05, attribute.name  # Kolmogorov's distance
        else:
            shares = torch.bincount(values, minlength=len(attribute.labels)) / len(values)
            assert (shares - torch.tensor(attribute.shares)).abs().max() < 0.03, attribute.name


def test_the_length_of_a_latent_carries_nothing(subject: Subject) -> None:
    z = _latents(50)
    plain, longer = subject.sitters_from_latents(z), subject.sitters_from_latents(4 * z)
    for name, values in plain.values.items():
        assert torch.allclose(values.float(), longer[name].float(), atol=1e-5), name


def test_a_latent_made_for_a_sitter_gives_that_sitter(subject: Subject) -> None:
    u = 0.02 + 0.96 * torch.rand(20, len(subject.attributes), generator=torch.Generator().manual_seed(7))
    z = torch.zeros(20, LATENT_WIDTH)
    z[:, : u.shape[1]] = torch.special.ndtri(u)
    # Whatever stands in the rest, all squares together make one on average.
    z[:, -1] = (LATENT_WIDTH - z.square().sum(1)).sqrt()
    assert z.isfinite().all()
    wanted, given = subject.sitters_from_unit(u), subject.sitters_from_latents(z)
    for name, values in wanted.values.items():
        assert torch.allclose(values.float(), given[name].float(), atol=1e-4), name


def test_every_attribute_has_room_in_a_latent_and_other_shapes_are_refused(subject: Subject) -> None:
    count = len(subject.attributes)
    assert count < LATENT_WIDTH
    for shape in ((2, count + 1), (count,)):
        with pytest.raises(InputError, match=rf"{subject.name.capitalize()} are drawn from points of shape"):
            subject.sitters_from_unit(torch.rand(shape))
    with pytest.raises(InputError, match=rf"\(B, {count}\)"):
        subject.sitters_from_latents(torch.randn(2, 16))


def test_random_sitters_repeat_with_their_seed(subject: Subject) -> None:
    first, second, other = (subject.random(3, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    name = subject.attributes[0].name
    assert len(first) == 3
    assert torch.equal(first[name], second[name])
    assert not torch.equal(first[name], other[name])


def test_labels_are_those_of_the_attributes_and_parted_at_the_edges(subject: Subject) -> None:
    sitters = subject.random(64, torch.Generator().manual_seed(3))
    labels = subject.labels(sitters)
    assert labels.shape == (64, len(subject.traits))
    for trait, column in zip(subject.traits, labels.T):
        assert 0 <= column.min() <= column.max() < len(trait.after)
        if not trait.edges:
            assert torch.equal(column, sitters[trait.attribute])
        for low, high in zip(trait.edges, trait.edges[1:]):
            between = (sitters[trait.attribute] > low) & (sitters[trait.attribute] < high)
            assert torch.equal(column == trait.edges.index(high), between), trait.attribute
    turn = next(i for i, trait in enumerate(subject.traits) if trait.attribute == "turn")
    turned = Sitters({**sitters.select(slice(3)).values, "turn": torch.tensor([-0.9, 0.0, 0.9])})
    assert subject.labels(turned)[:, turn].tolist() == [0, 1, 2]


def test_a_subject_is_portrayed_in_its_own_domains_only() -> None:
    for subject in SUBJECTS:
        assert tuple(DOMAINS[number] for number in subject.numbers) == subject.domains
        assert subject.domain("Photo") is PHOTO
        for domain in subject.domains:
            assert subject.domain(domain.wordings[-1]) is domain
    assert PEOPLE.domains == (PHOTO, *TARGETS)
    assert PEOPLE.domain("elf").name == "Tolkien elf"
    with pytest.raises(InputError, match="doesn't portray dogs as “elf”") as refused:
        DOGS.domain("elf")
    assert "pencil sketch" in str(refused.value)
    assert "werewolf" not in str(refused.value)
    with pytest.raises(InputError, match="no domain “submarine”"):
        DOGS.domain("submarine")


def test_what_only_a_picture_of_people_is_called_is_no_photo_of_a_dog() -> None:
    for words in PHOTO.of_people:
        assert PEOPLE.domain(words) is PHOTO
        with pytest.raises(InputError, match="doesn't portray dogs"):
            DOGS.domain(words.upper())


def test_a_picture_has_the_size_asked_for_and_the_range_of_a_generator(subject: Subject, rng: torch.Generator) -> None:
    pictures = subject.render(PHOTO, subject.random(2, rng), rng, 32, supersample=2)
    assert pictures.shape == (2, 3, 32, 32)
    assert pictures.min() >= -1
    assert pictures.max() <= 1


def test_subjects_are_found_by_name() -> None:
    assert [subject_named(name) for name in ("people", "dogs")] == [PEOPLE, DOGS]
    with pytest.raises(InputError, match="no subject “cats”; it has: people, dogs"):
        subject_named("cats")


def test_attributes_lead_to_a_latent_and_back(subject: Subject) -> None:
    u = torch.rand(500, len(subject.attributes), generator=torch.Generator().manual_seed(8))
    sitters = subject.sitters_from_unit(u)
    z = subject.latents_from_sitters(sitters)
    assert torch.allclose(z.square().mean(1), torch.ones(500), atol=1e-4)
    again = subject.sitters_from_latents(z)
    for attribute in subject.attributes:
        given, wanted = again[attribute.name], sitters[attribute.name]
        if isinstance(attribute, Continuous):
            # Numbers are drawn inwards where all together lie too far out, which is rare and never by much.
            off = (given - wanted).abs() / (attribute.high - attribute.low)
            assert off.max() < 0.12, attribute.name
            assert off.median() < 1e-3, attribute.name
        else:
            assert torch.equal(given, wanted), attribute.name


def test_labels_survive_at_the_ends_of_all_numbers(subject: Subject) -> None:
    for end in (0.0, 1.0):
        sitters = subject.sitters_from_unit(torch.full((1, len(subject.attributes)), end))
        again = subject.sitters_from_latents(subject.latents_from_sitters(sitters))
        for attribute in subject.attributes:
            if not isinstance(attribute, Continuous):
                assert torch.equal(again[attribute.name], sitters[attribute.name]), attribute.name
