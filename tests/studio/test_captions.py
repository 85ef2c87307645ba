"""Captions say what is true, and `truth` knows of which pictures."""

import random

import torch

from ipl_core.clip import _words
from ipl_core.studio.attributes import random_people
from ipl_core.studio.captions import BROKEN_INDEX, TRAITS, caption, known_words, labels, truth
from ipl_core.studio.domains import DOMAINS, TARGETS


def _labels(count: int = 40) -> torch.Tensor:
    return labels(random_people(count, torch.Generator().manual_seed(2)))


def test_a_caption_is_true_of_its_own_picture_and_only_of_pictures_that_fit():
    traits, rng = _labels(), random.Random(0)
    domains = torch.tensor([i % len(DOMAINS) for i in range(len(traits))])
    captions = [caption(int(d), t, rng) for d, t in zip(domains, traits)]
    true = truth(domains, traits, torch.stack([c.claims for c in captions]))
    assert true.diagonal().all()
    for i in range(len(traits)):
        for j, c in enumerate(captions):
            fits = c.claims[0] == domains[i] and all(
                v < 0 or v == traits[i, k] for k, v in enumerate(c.claims[1:].tolist())
            )
            assert bool(true[i, j]) == bool(fits)


def test_captions_mention_what_they_claim():
    traits, rng = _labels(), random.Random(1)
    for t in traits:
        c = caption(1, t, rng)
        for trait, claimed in zip(TRAITS, c.claims[1:].tolist()):
            if claimed >= 0:
                assert any(words and words in c.text for words in (trait.before[claimed], trait.after[claimed]))


def test_domains_without_colours_never_speak_of_them():
    rng = random.Random(2)
    for number, domain in enumerate(TARGETS, start=1):
        if not domain.colours:
            for t in _labels():
                claims = caption(number, t, rng).claims[1:]
                assert all(c < 0 for trait, c in zip(TRAITS, claims.tolist()) if trait.colour)


def test_every_word_of_every_caption_is_a_known_word():
    known, rng = set(known_words()), random.Random(3)
    for number in [*range(len(DOMAINS)), BROKEN_INDEX]:
        for t in _labels():
            words = _words(caption(number, t, rng).text)
            assert all(w in known or all(part in known for part in w.split("-")) for w in words), words


def test_a_broken_picture_claims_nothing_about_people():
    c = caption(BROKEN_INDEX, _labels(1)[0], random.Random(0))
    assert c.claims[0] == BROKEN_INDEX
    assert (c.claims[1:] == -1).all()
