"""Captions say what is true, of people and of dogs, and `truth` knows of which pictures."""

import random

import pytest
import torch

from ipl_core.clip import _words
from ipl_core.studio.captions import BROKEN_INDEX, Caption, adjectives, caption, facts, known_words, truth
from ipl_core.studio.domains import DOMAINS, PHOTO, TARGETS, domain_number
from ipl_core.studio.subject import DOGS, PEOPLE, SUBJECTS, Subject

SILENT = -1
FIRST_TRAIT = {"people": 2, "dogs": 2 + len(PEOPLE.traits)}


@pytest.fixture(params=SUBJECTS, ids=lambda subject: subject.name)
def subject(request: pytest.FixtureRequest) -> Subject:
    return request.param


def _labels(subject: Subject, count: int = 40) -> torch.Tensor:
    return subject.labels(subject.random(count, torch.Generator().manual_seed(2)))


def _trait_claims(subject: Subject, said: Caption) -> list[int]:
    """What a caption claims of each of the subject's traits; of another subject's it must claim nothing."""
    first = FIRST_TRAIT[subject.name]
    own = said.claims[first : first + len(subject.traits)].tolist()
    assert sum(claim != SILENT for claim in own) == sum(claim != SILENT for claim in said.claims[2:].tolist())
    return own


def test_a_caption_is_true_of_its_own_picture_and_only_of_pictures_that_fit():
    rng, rows, captions = random.Random(0), [], []
    for subject in SUBJECTS:
        for i, traits in enumerate(_labels(subject)):
            number = subject.numbers[i % len(subject.numbers)]
            rows.append((subject, number, traits))
            captions.append(caption(subject, number, traits, rng))
    known = torch.cat([facts(s, torch.tensor([d]), t[None]) for s, d, t in rows])
    true = truth(known, torch.stack([c.claims for c in captions]))
    assert true.diagonal().all()
    for i, (subject, number, traits) in enumerate(rows):
        first = FIRST_TRAIT[subject.name]
        for j, said in enumerate(captions):
            about, domain, *claims = said.claims.tolist()
            own = claims[first - 2 : first - 2 + len(traits)]
            spoken = sum(claim != SILENT for claim in claims)
            fits = (
                about in (SILENT, SUBJECTS.index(subject))
                and domain == number
                and sum(claim != SILENT and claim == int(label) for claim, label in zip(own, traits)) == spoken
            )
            assert bool(true[i, j]) == fits, (captions[j].text, i, j)


def test_captions_mention_what_they_claim(subject):
    rng = random.Random(1)
    for traits in _labels(subject):
        said = caption(subject, 1, traits, rng)
        for trait, claimed in zip(subject.traits, _trait_claims(subject, said)):
            if claimed != SILENT:
                assert any(words and words in said.text for words in (trait.before[claimed], trait.after[claimed]))


def test_a_caption_that_names_who_sits_or_a_trait_is_about_that_subject_alone(subject):
    rng, seen = random.Random(4), set()
    for traits in _labels(subject):
        said = caption(subject, 1, traits, rng)
        claims = _trait_claims(subject, said)
        # "a pencil sketch of a dog": the wordings of sketches themselves name nobody.
        named = any(f"a {noun}" in said.text or said.text.endswith(noun) for noun in (subject.noun, *subject.nouns))
        if named or any(claim != SILENT for claim in claims):
            assert said.claims[0] == SUBJECTS.index(subject), said.text
        seen.add(int(said.claims[0]))
    assert seen == {SILENT, SUBJECTS.index(subject)}


def test_a_sketch_of_somebody_fits_both_subjects_until_it_says_whose():
    silent = torch.full((2 + len(PEOPLE.traits) + len(DOGS.traits),), SILENT)
    silent[1] = 1
    of_a_dog = silent.clone()
    of_a_dog[0] = SUBJECTS.index(DOGS)
    known = torch.cat([facts(s, torch.tensor([1]), _labels(s, 1)) for s in SUBJECTS])
    assert truth(known, torch.stack([silent, of_a_dog])).tolist() == [[True, False], [True, True]]


def test_domains_without_colours_never_speak_of_them(subject):
    rng = random.Random(2)
    for number in subject.numbers:
        if not DOMAINS[number].colours:
            for traits in _labels(subject):
                claims = _trait_claims(subject, caption(subject, number, traits, rng))
                assert all(c == SILENT for trait, c in zip(subject.traits, claims) if trait.colour)
                spoken = adjectives(subject, traits, DOMAINS[number], rng)
                colours = [t.before[int(k)] for t, k in zip(subject.traits, traits) if t.colour and t.before[int(k)]]
                assert not any(words in spoken for words in colours), spoken


def test_adjectives_are_true_of_the_sitter(subject):
    rng = random.Random(5)
    for traits in _labels(subject):
        true = {trait.before[int(label)] for trait, label in zip(subject.traits, traits)} - {""}
        rest = adjectives(subject, traits, PHOTO, rng)
        assert bool(rest) == bool(true)
        for words in sorted(true, key=len, reverse=True):
            rest = rest.replace(words, "", 1)
        assert not rest.strip()


def test_every_word_of_every_caption_is_a_known_word(subject):
    known, rng = set(known_words()), random.Random(3)
    for number in [*subject.numbers, BROKEN_INDEX]:
        for traits in _labels(subject, 20):
            said = [caption(subject, number, traits, rng).text]
            if number != BROKEN_INDEX:
                said.append(adjectives(subject, traits, DOMAINS[number], rng))
            words = [word for text in said for word in _words(text)]
            assert all(w in known or all(part in known for part in w.split("-")) for w in words), words


def test_what_a_photo_of_people_is_called_is_known_and_said_of_no_dog():
    assert PHOTO.of_people
    known = set(known_words())
    for words in PHOTO.of_people:
        assert domain_number(words) == 0
        assert set(_words(words)) <= known, words
    rng = random.Random(6)
    for traits in _labels(DOGS):
        text = caption(DOGS, 0, traits, rng).text
        assert not any(words in text for words in PHOTO.of_people), text
    assert not any(domain.of_people for domain in TARGETS)


def test_a_broken_picture_claims_nothing_about_who_sits(subject):
    said = caption(subject, BROKEN_INDEX, _labels(subject, 1)[0], random.Random(0))
    assert said.claims[1] == BROKEN_INDEX
    assert (said.claims[[0, *range(2, len(said.claims))]] == SILENT).all()
    known = facts(subject, torch.tensor([0, BROKEN_INDEX]), _labels(subject, 2))
    assert truth(known, said.claims[None])[:, 0].tolist() == [False, True]
