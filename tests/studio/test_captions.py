"""Captions say what is true, of people and of dogs, and `truth` knows of which pictures."""

import random
from collections.abc import Callable, Iterable

import pytest
import torch

from ipl_core.clip.model import _words
from ipl_core.studio.training.towers import MODEL
from ipl_core.studio.world.captions import (
    _FIGURE,
    BROKEN_INDEX,
    PLAIN,
    PLAINLY,
    Caption,
    caption,
    claims,
    describe,
    facts,
    known_words,
    truth,
)
from ipl_core.studio.world.domains import DOMAINS, PHOTO, TARGETS, domain_number
from ipl_core.studio.world.subject import DOGS, PEOPLE, SUBJECTS, Subject

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
                and sum(
                    claim != SILENT and (claim == int(label) or (trait.colour and not DOMAINS[number].colours))
                    for trait, claim, label in zip(subject.traits, own, traits)
                )
                == spoken
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


def test_colours_are_said_in_domains_that_lose_them_and_count_for_nothing_there(subject):
    rng, labels = random.Random(2), _labels(subject)
    trait = next(i for i, trait in enumerate(subject.traits) if trait.colour)
    sketch, photo = next(n for n in subject.numbers if not DOMAINS[n].colours), 0
    assert any(
        claimed != SILENT
        for traits in labels
        for trait_, claimed in zip(subject.traits, _trait_claims(subject, caption(subject, sketch, traits, rng)))
        if trait_.colour
    )
    right, wrong = int(labels[0, trait]), (int(labels[0, trait]) + 1) % len(subject.traits[trait].after)
    for number, told in ((photo, False), (sketch, True)):
        known = facts(subject, torch.tensor([number]), labels[:1])
        said = torch.stack([claims(subject, number, {trait: label}, True) for label in (right, wrong)])
        assert truth(known, said).tolist() == [[True, told]]
    seen = next(i for i, trait in enumerate(subject.traits) if not trait.colour)
    false = {trait: right, seen: (int(labels[0, seen]) + 1) % len(subject.traits[seen].after)}
    known = facts(subject, torch.tensor([sketch]), labels[:1])
    assert not truth(known, claims(subject, sketch, false, True)[None]).any()


@pytest.mark.parametrize("in_front", [True, False])
def test_a_description_is_true_of_the_sitter_and_says_as_much_as_is_asked(subject, in_front):
    rng = random.Random(5)
    for traits in _labels(subject):
        speakable = [
            bool(trait.before[int(label)] or (trait.after[int(label)] and not in_front))
            for trait, label in zip(subject.traits, traits)
        ]
        for count in (0, 3, len(subject.traits)):
            said = describe(subject, traits, count, rng, in_front=in_front)
            assert len(said.labels) == min(count, sum(speakable))
            assert not (in_front and said.behind)
            before, behind = said.before, said.behind
            for i, label in said.labels.items():
                trait = subject.traits[i]
                assert label == int(traits[i])
                assert (trait.before[label] and trait.before[label] in before) or trait.after[label] in behind
    assert describe(subject, traits, 0, rng) == PLAINLY
    assert PLAINLY.of("photo") == "photo"


def longest_caption(length: Callable[[str], int]) -> int:
    """The most tokens that a caption can have, start and end included."""

    def longest(phrases: Iterable[str]) -> int:
        return max(map(length, phrases))

    frame = longest((*PLAIN, *(figure.format("", "") for figure in _FIGURE)))
    wording = longest(words for domain in DOMAINS for words in domain.wordings)
    whole = 0
    for subject in SUBJECTS:
        said = sum(longest((*trait.before, *(f"and {words}" for words in trait.after))) for trait in subject.traits)
        whole = max(whole, said + longest((subject.noun, *subject.nouns)))
    return 2 + frame + wording + whole


def test_the_longest_caption_fits_the_context_of_the_critic():
    from open_clip import SimpleTokenizer

    tokenizer, rng = SimpleTokenizer(), random.Random(7)
    longest = longest_caption(lambda text: len(tokenizer.encode(text)))
    assert longest <= MODEL["text_cfg"]["context_length"]
    for subject in SUBJECTS:
        for number in subject.numbers:
            for traits in _labels(subject, 20):
                assert len(tokenizer.encode(caption(subject, number, traits, rng).text)) + 2 <= longest


def test_every_word_of_every_caption_is_a_known_word(subject):
    known, rng = set(known_words()), random.Random(3)
    for number in [*subject.numbers, BROKEN_INDEX]:
        for traits in _labels(subject, 20):
            said = [caption(subject, number, traits, rng).text]
            if number != BROKEN_INDEX:
                said.append(describe(subject, traits, len(subject.traits), rng).of(DOMAINS[number].name))
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
