"""Vocabularies: how they are written, and what of them a critic knows."""

import pytest

from ipl_core.clip.model import Critic
from ipl_core.clip.vocabulary import LISTS, MAX_TEXT, Phrase, known_to, parse
from ipl_core.errors import InputError
from ipl_core.models.catalog import load_critic
from ipl_core.studio.world.subject import DOGS, PEOPLE, Subject


def test_groups_alternatives_and_forms() -> None:
    hair, mood = parse("bald / {} with  a bald head, curly ;\n smiling, sad; alone;")
    assert hair == ((Phrase("bald", ""), Phrase("", "with a bald head")), (Phrase("curly", ""),))
    assert mood == ((Phrase("smiling", ""),), (Phrase("sad", ""),))
    assert hair[0][1].of("photo") == "photo with a bald head"
    assert parse("a {} b, c")[0][0][0].of("dog") == "a dog b"
    assert str(hair[0][1]) == "with a bald head"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no group of two"),
        ("bald; curly", "no group of two"),
        ("{} and {}, b", "once at most"),
        ("{}, b", "once at most"),
        (f"a, {'b' * 81}", "at most 80"),
        ("a, b; " * MAX_TEXT, "at most 20000 characters"),
    ],
)
def test_what_is_no_vocabulary_is_refused(text: str, why: str) -> None:
    with pytest.raises(InputError, match=why):
        parse(text)


@pytest.mark.parametrize(("name", "subject"), [("faces", PEOPLE), ("animals", DOGS)])
def test_the_embedded_critic_knows_what_it_was_taught_of_its_list(name: str, subject: Subject) -> None:
    said = [
        [{before and f"{before} {{}}", behind and f"{{}} {behind}"} - {""} for before, behind in zip(t.before, t.after)]
        for t in subject.traits
    ]
    expected = [[forms for forms in labels if forms] for labels in said]
    groups = known_to(load_critic("studio"), name)
    assert [[{phrase.of("{}") for phrase in forms} for forms in group] for group in groups] == expected


def test_an_open_vocabulary_knows_every_word(tiny_critic: Critic) -> None:
    for name, text in LISTS.items():
        assert known_to(tiny_critic, name) == parse(text)
    assert known_to(tiny_critic, "grumpy, cheerful") == parse("grumpy, cheerful")


def test_words_of_ones_own_must_be_known(make_critic_folder, tmp_path) -> None:
    from ipl_core.clip.model import load_critic as load

    critic = load(make_critic_folder(tmp_path / "closed", words={"words": ["photo", "young", "old"], "domains": {}}))
    assert known_to(critic, "young, old") == parse("young, old")
    with pytest.raises(InputError, match="never taught “grumpy”"):
        known_to(critic, "young, grumpy")
    assert known_to(critic, "faces") == parse("young, old")
    with pytest.raises(InputError, match="too few words of the vocabulary “animals”"):
        known_to(critic, "animals")
