"""Words that the embedded critic doesn't know: what lies near them, and how long a critic of any words would take."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ipl_core import AdaptConfig, InputError
from ipl_core.clip.model import Critic, load_critic
from ipl_core.clip.nearest import nearest_domains
from ipl_core.models import catalog
from ipl_core.running.forecast import Speed, with_open_critic


@pytest.fixture(scope="module")
def embedded() -> Critic:
    return catalog.load_critic("studio")


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        *[("pencil scetch", "pencil sketch"), ("waterclour", "watercolor"), ("zombi", "zombie")],
        *[("weerwolf", "werewolf"), ("cartoonish", "cartoon"), ("manga", "anime painting"), ("draculla", "vampire")],
        *[("stain glas", "stained glass"), ("old foto", "vintage photo"), ("Rembrant", "oil painting")],
        *[
            ("blade runner neon city", "neon"),
            ("sketchy pencil thing", "pencil sketch"),
            ("PIXAR-like", "Pixar character"),
        ],
        *[("ghost of a marble", "marble statue"), ("polygons, low", "low-poly"), ("a hokusai wave", "ukiyo-e")],
    ],
)
def test_what_is_meant_comes_first(embedded: Critic, typed: str, meant: str) -> None:
    found = nearest_domains(embedded, typed)
    assert found[0] == meant
    assert len(found) == len(set(found)) == 4


@pytest.mark.parametrize("typed", ["🎭", "x" * 300, "word " * 60, "e\u0301", "<b>", "…", "a the of"])
def test_anything_gets_an_answer(embedded: Critic, typed: str) -> None:
    assert len(nearest_domains(embedded, typed, count=3)) == 3


def test_only_what_may_be_named_is(embedded: Critic, tiny_critic: Critic) -> None:
    assert set(nearest_domains(embedded, "zombi", ["neon", "mosaic", "no domain"])) == {"neon", "mosaic"}
    assert nearest_domains(embedded, "zombi", []) == []
    assert nearest_domains(embedded, " ") == []
    assert nearest_domains(tiny_critic, "zombi") == []  # it knows any words


def test_the_refusal_names_them(embedded: Critic, make_critic_folder: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"never taught 'scetch'.*Nearest to it: pencil sketch, .*knows: Disney"):
        embedded.check_text("pencil scetch", field="target")
    without = load_critic(make_critic_folder(tmp_path / "no-domains", words={"words": ["photo"]}))
    with pytest.raises(InputError, match=r"\)\. For any other words .* knows: photo"):
        without.check_text("zombi")


def test_the_time_with_a_critic_of_any_words_is_measured_here() -> None:
    own = Speed(picture=0.01, prompts=0.002, missing=0.0, resolution=128)
    other = with_open_critic(own, "ipl")
    assert other.picture > own.picture
    assert other.prompts >= own.prompts
    assert (other.missing, other.resolution) == (1.0, 128)
    config = AdaptConfig("zombie", steps=10, batch=2, mapper_steps=2, mapper_batch=2)
    assert other.seconds(config) > own.seconds(config)
    assert with_open_critic(Speed(0.01, 0.0, 0.0, 128), "nada").prompts == 0.0  # of NADA, which learns none
