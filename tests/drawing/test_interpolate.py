"""Frames along a path: where it starts, that it closes, that it stops, and what it refuses."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest
import torch
from fakes.kept_domains import entry_of
from torch import Tensor

from ipl_core import InputError, InvertConfig
from ipl_core.drawing.interpolate import EASINGS, MAX_FRAMES, Walk, described, through_domains, through_people
from ipl_core.drawing.mixing import Mixer
from ipl_core.drawing.people_by_seed import SeedPerson, draw_people
from ipl_core.drawing.sampling import draw
from ipl_core.library import inversions, store
from ipl_core.library.find_or_run import finished_inversion
from ipl_core.models import catalog
from ipl_core.pictures.media import to_uint8

pytestmark = pytest.mark.usefixtures("studio")
EVEN = Walk(frames=8, easing="even")


@pytest.fixture
def mixer() -> Mixer:
    """The tiny model, ready to be mixed."""
    return Mixer("studio")


def kept_person(**settings: bool) -> inversions.Inverted:
    picture = to_uint8(draw(catalog.load_generator("studio"), [3]))
    return finished_inversion(InvertConfig(preset="fast", starts=2, steps=2, tune_steps=2, **settings), picture, "Ada")


def pictures(frames: object) -> Tensor:
    return torch.stack([frame.picture for frame in frames])


def close(one: Tensor, other: Tensor) -> bool:
    """Whether bytes differ by no more than rounding does."""
    return one.shape == other.shape and int((one.int() - other.int()).abs().max()) <= 1


# ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("easing", EASINGS)
@pytest.mark.parametrize("loop", [True, False])
def test_positions_go_from_point_to_point(easing: str, loop: bool) -> None:
    walk = Walk(frames=13, loop=loop, easing=easing)
    positions = walk.positions(3)
    assert len(positions) == 13
    assert positions[0] == (0, 1, 0.0)
    assert {(start, end) for start, end, _ in positions} == ({(0, 1), (1, 2), (2, 0)} if loop else {(0, 1), (1, 2)})
    far = [start + t for start, _, t in positions]
    assert far == sorted(far)
    assert all(0 <= t <= 1 for _, _, t in positions)
    if loop:
        assert far[-1] < 3, "the first point is shown twice"
    else:
        assert positions[6] == (1, 2, 0.0)
        assert positions[-1] == (1, 2, 1.0)


def test_all_but_the_even_easing_rest_at_the_points() -> None:
    for name, ease in EASINGS.items():
        assert (ease(0.0), ease(0.5), ease(1.0)) == (0.0, 0.5, 1.0)
        assert (ease(0.02) < 0.004) == (name != "even")


@pytest.mark.parametrize("space", ["z", "w"])
def test_a_path_passes_its_seeds(mixer: Mixer, space: str) -> None:
    found = list(through_people(mixer, [4, 9], replace(EVEN, space=space)))
    assert [(frame.number, frame.total) for frame in found] == [(k, 8) for k in range(1, 9)]
    assert found[-1].remaining == 0
    assert all(one.seconds <= other.seconds for one, other in zip(found, found[1:]))
    shown, seeds = pictures(found), to_uint8(draw(mixer.source, [4, 9]))
    assert close(shown[0], seeds[0])
    assert close(shown[4], seeds[1])
    assert close(shown[1], shown[7]), "out and back are the same way"
    assert not close(shown[2], seeds[0])
    open_ended = pictures(through_people(mixer, [4, 9], replace(EVEN, space=space, loop=False)))
    assert close(open_ended[-1], seeds[1])


def test_the_two_spaces_are_different_ways(mixer: Mixer) -> None:
    straight, round_ = (pictures(through_people(mixer, [4, 9], replace(EVEN, space=space))) for space in ("w", "z"))
    assert not close(straight[2], round_[2])


def test_an_adapted_model_alone_or_beside_its_source(mixer: Mixer) -> None:
    entry = entry_of("zombie", 0.3)
    before = pictures(through_people(mixer, [4, 9], EVEN))
    after = pictures(through_people(mixer, [4, 9], EVEN, [(entry, 1.0)]))
    assert close(after[0], to_uint8(draw(catalog.load_adapted(entry.path), [4]))[0])
    both = pictures(through_people(mixer, [4, 9], EVEN, [(entry, 1.0)], side_by_side=True))
    assert torch.equal(both, torch.cat([before, after], dim=2))


def test_kept_people_bring_their_weights_and_noise_along(mixer: Mixer) -> None:
    person = kept_person(tune=True, noise=True)
    entry = entry_of("zombie", 0.3)
    shown = pictures(through_people(mixer, [person, 4], EVEN))
    assert close(shown[0], person.picture[0])
    assert close(shown[4], to_uint8(draw(mixer.source, [4]))[0])
    both = pictures(through_people(mixer, [person, 4], EVEN, [(entry, 1.0)], side_by_side=True))
    assert torch.equal(both[:, :, :32], shown)
    assert not close(both[0, :, 32:], shown[0])


def test_a_person_by_seed_keeps_their_own_truncation_and_layers(mixer: Mixer) -> None:
    person = SeedPerson("studio", 4, 0.3, fine=9, crossover=3)
    first, *_ = through_people(mixer, [person, 5], replace(EVEN, psi=1.0))
    assert torch.equal(first.picture, to_uint8(draw_people(mixer.source, [person]))[0])
    assert described(mixer, [person, 5], EVEN)["people"] == ["studio 4~0.3+9@3", 5]
    for stranger, walk, words in (
        (SeedPerson("dogs", 4), EVEN, "drawn by the model “dogs”"),
        (person, replace(EVEN, space="z"), "choose the space w"),
    ):
        with pytest.raises(InputError, match=words):
            through_people(mixer, [stranger, 5], walk)


def test_from_domain_to_domain_at_one_person(mixer: Mixer) -> None:
    zombie, mosaic = entry_of("zombie", 0.3), entry_of("mosaic", -0.2)
    shown = pictures(through_domains(mixer, 4, [None, zombie, mosaic], replace(EVEN, frames=9)))
    for number, entry in ((3, zombie), (6, mosaic)):
        assert close(shown[number], to_uint8(draw(catalog.load_adapted(entry.path), [4]))[0])
    assert close(shown[0], to_uint8(draw(mixer.source, [4]))[0])
    half = mixer.weights([(zombie, 0.5), (mosaic, 0.5)])
    between = pictures(through_domains(mixer, 4, [zombie, mosaic], EVEN, side_by_side=True))
    expected = to_uint8(mixer.draw(mixer.source.truncate(mixer.source.mapping(seed(4)), 0.7), half))[0]
    assert close(between[2, :, 32:], expected)
    assert all(torch.equal(frame[:, :32], between[0, :, :32]) for frame in between)
    person = kept_person(tune=True, noise=True)
    assert close(pictures(through_domains(mixer, person, [None, zombie], EVEN))[0], person.picture[0])


def seed(number: int) -> Tensor:
    from ipl_core.latents import latents_from_seeds

    return latents_from_seeds([number], 16)


def test_stop_ends_after_the_frame_under_way(mixer: Mixer) -> None:
    stop = threading.Event()
    numbers = []
    for frame in through_people(mixer, [1, 2], EVEN, stop=stop):
        numbers.append(frame.number)
        if frame.number == 3:
            stop.set()
    assert numbers == [1, 2, 3]


def test_gradients_of_the_caller_are_left_alone(mixer: Mixer) -> None:
    with torch.enable_grad():
        for frame in through_people(mixer, [1, 2], EVEN, [(entry_of("zombie", 0.3), 1.0)]):
            assert torch.is_grad_enabled()
            assert not frame.picture.requires_grad


def test_what_it_shows_can_be_written_down(mixer: Mixer) -> None:
    entry = entry_of("zombie", 0.3)
    note = described(mixer, [4, kept_person()], EVEN, [(entry, 0.5)], side_by_side=True)
    assert note["people"] == [4, "Ada"]
    assert (note["frames"], note["easing"], note["side by side"], note["model"]) == (8, "even", True, "studio")
    assert note["domains"][0]["config"]["target"] == "zombie"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"frames": 1}, "from 2 to 600"),
        ({"frames": MAX_FRAMES + 1}, "from 2 to 600"),
        ({"frames": 9.5}, "whole number"),
        ({"easing": "bouncy"}, "smooth, slow, even"),
        ({"space": "s"}, "z, w"),
        ({"psi": -1}, "Truncation"),
        ({"psi": float("nan")}, "Truncation"),
    ],
)
def test_a_walk_that_cannot_be_meant_is_refused(settings: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        Walk(**settings)


def test_what_cannot_be_drawn_is_said_before_the_first_frame(mixer: Mixer, monkeypatch: pytest.MonkeyPatch) -> None:
    person, entry = kept_person(), entry_of("zombie", 0.3)
    with pytest.raises(InputError, match="1 is given"):
        through_people(mixer, [1], EVEN)
    with pytest.raises(InputError, match="at least 9 frames"):
        through_people(mixer, list(range(9)), EVEN)
    with pytest.raises(InputError, match="Side by side"):
        through_people(mixer, [1, 2], EVEN, side_by_side=True)
    with pytest.raises(InputError, match="has no z"):
        through_people(mixer, [1, person], replace(EVEN, space="z"))
    foreign = replace(person, settings={**person.settings, "model_sha256": "0"})
    with pytest.raises(InputError, match="inverted with another model"):
        through_people(mixer, [1, foreign], EVEN)
    other = store.Entry(entry.path, {**entry.settings, "model_sha256": "0"})
    with pytest.raises(InputError, match="adapted from another model"):
        through_domains(mixer, 1, [None, other], EVEN)
    monkeypatch.setattr("ipl_core.drawing.interpolate.MAX_BYTES", 5 * 32 * 32 * 3)
    with pytest.raises(InputError, match="at most 5"):
        through_people(mixer, [1, 2], EVEN)
