"""A photo as a studio portrait: told from pictures of the world, drawn as read or as a person says, kept and found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from ipl_core import InputError, InvertConfig, invert
from ipl_core.drawing.sampling import draw
from ipl_core.generators import portrait
from ipl_core.generators.portrait import PortraitSearch, areas, colourless, decide, read_photo, unexplained, w_plus_of
from ipl_core.library import inversions as people
from ipl_core.library.find_or_run import finished_inversion
from ipl_core.models import catalog
from ipl_core.pictures.media import to_uint8
from ipl_core.studio.reading import AttributeReader, ReaderConfig, Reading
from ipl_core.studio.sitter_words import said_of
from ipl_core.studio.training.attribute_reader import targets
from ipl_core.studio.world.domains import PHOTO
from ipl_core.studio.world.subject import PEOPLE, Subject


class Sure(AttributeReader):
    """A reader that reads these points, whatever it sees."""

    def __init__(self, subject: Subject, u: Tensor) -> None:
        super().__init__(subject, ReaderConfig(16, (4,), 4))
        self.u = u

    def read(self, pictures: Tensor, batch: int = 64) -> Reading:
        return Reading(
            self.subject, {a.name: part for a, part in zip(self.subject.attributes, targets(self.subject, self.u))}
        )


def noise(seed: int = 0) -> Tensor:
    return torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def point(seed: int = 0) -> Tensor:
    return torch.rand(1, len(PEOPLE.attributes), generator=torch.Generator().manual_seed(seed))


def tiny(**settings: Any) -> InvertConfig:
    return InvertConfig(**{"preset": "fast", "starts": 2, "steps": 2, **settings})


# ----------------------------------------------------------------------------------------------------------------------


def test_the_decision_follows_the_residual_and_can_be_chosen(readable: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for residual, aim, words in ((0.1, "pixels", "is a picture of"), (0.95, "portrait", "no picture of")):
        monkeypatch.setattr(portrait, "residual_of", lambda *_, found=residual: found)
        decision = decide(tiny(), noise())
        assert (decision.aim, decision.residual) == (aim, residual)
        assert words in decision.why
        assert f"{residual:.0%}" in decision.why
    assert decide(tiny(aim="pixels"), noise()).aim == "pixels"
    assert decide(tiny(aim="portrait"), noise()).aim == "portrait"


@pytest.mark.usefixtures("studio")
def test_a_model_without_a_reader_follows_pixels() -> None:
    decision = decide(tiny(), noise())
    assert decision.aim == "pixels"
    assert "no reader" in decision.why
    with pytest.raises(InputError, match="no reader"):
        decide(tiny(aim="portrait"), noise())
    with pytest.raises(InputError, match="Aim"):
        tiny(aim="sideways")


def test_what_the_guess_explains_is_of_the_world(tiny_generator: Any) -> None:
    picture = draw(tiny_generator, [5])
    w = tiny_generator.mapping(torch.randn(1, 16, generator=torch.Generator().manual_seed(1)))

    def knows(pictures: Tensor) -> Tensor:
        return w.expand(len(pictures), -1)

    drawn = tiny_generator.synthesis(w).clamp(-1, 1)
    assert float(unexplained(drawn, tiny_generator, knows)) == pytest.approx(0, abs=1e-4)
    # Its contrast and its light don't matter, another picture does.
    assert float(unexplained(0.5 * drawn + 0.2, tiny_generator, knows)) == pytest.approx(0, abs=0.05)
    assert float(unexplained(picture.flip(3), tiny_generator, knows)) > 0.2


def test_the_portrait_is_of_whom_the_reader_sees(readable: Path) -> None:
    u, generator = point(), catalog.load_generator("studio")
    search = PortraitSearch(tiny(aim="portrait"), generator, noise(), Sure(PEOPLE, u))
    assert {name: trait["word"] for name, trait in search.sitter().items()} == said_of(PEOPLE, u)
    expected = generator.synthesis(w_plus_of(generator, PEOPLE, search.u))
    assert torch.equal(search.draw(generator), expected)


def test_colours_come_to_those_of_the_picture(readable: Path) -> None:
    u = point(4)
    shown = PEOPLE.render(PHOTO, PEOPLE.sitters_from_unit(u), torch.Generator(), 64)
    places = {attribute.name: place for place, attribute in enumerate(PEOPLE.attributes)}
    other = u.clone()
    for name, wrong in (("background_light", 0.05), ("clothes_light", 0.95), ("background_hue", 0.5)):
        other[:, places[name]] = (u[:, places[name]] + wrong).remainder(1)

    class Doubtful(Sure):
        """One that has no idea of colours."""

        def read(self, pictures: Tensor, batch: int = 64) -> Reading:
            found = super().read(pictures)
            even = {
                name: torch.full_like(likely, 1 / likely.shape[1]) if "hue" in name or "light" in name else likely
                for name, likely in found.probabilities.items()
            }
            return Reading(self.subject, even)

    search = PortraitSearch(tiny(aim="portrait"), catalog.load_generator("studio"), shown, Doubtful(PEOPLE, other))
    losses = [search() for _ in range(search.steps)]
    assert all(loss["colour"] <= loss["colour before"] + 0.1 for loss in losses)

    def off(points: Tensor) -> float:
        return float((areas(PEOPLE, points)[0] - areas(PEOPLE, u)[0]).abs().mean())

    assert losses[0]["colour"] < 0.15
    assert off(search.u) < 0.25


def test_what_a_person_says_is_drawn_and_stays(readable: Path) -> None:
    u = point(1)
    words = said_of(PEOPLE, u)
    hair = "bun" if words["hair_cut"] != "bun" else "bob"
    config = tiny(aim="portrait", sitter=f"hair_cut={hair}, hair_colour=red")
    search = PortraitSearch(config, catalog.load_generator("studio"), noise(), Sure(PEOPLE, u))
    for _ in range(search.steps):
        search()
    sitter = search.sitter()
    assert (sitter["hair_cut"]["word"], sitter["hair_colour"]["word"]) == (hair, "red")
    assert sitter["hair_cut"]["said"]
    assert not sitter["glasses"]["said"]
    assert sitter["glasses"]["word"] == words["glasses"]


def test_hair_without_colours_is_of_a_natural_one() -> None:
    u = point(2)
    place = [attribute.name for attribute in PEOPLE.attributes].index("hair_colour")
    u[:, place] = 0.92  # blue
    reader = Sure(PEOPLE, u)
    hesitant = reader.read(noise())
    hesitant.probabilities["hair_colour"][0] = torch.tensor([0.1, 0.0, 0.1, 0, 0, 0, 0, 0, 0.8, 0])
    reader.read = lambda pictures: hesitant
    grey = noise().mean(1, keepdim=True).expand(-1, 3, -1, -1)
    assert colourless(grey)
    assert not colourless(noise())
    assert int(read_photo(reader, grey).sitters()["hair_colour"]) in (0, 2)
    assert int(read_photo(reader, noise()).sitters()["hair_colour"]) == 8


def test_a_portrait_is_kept_with_how_it_was_taken_and_found_again(readable: Path, tmp_path: Path) -> None:
    aligned = to_uint8(noise())
    inverted = finished_inversion(tiny(aim="portrait"), aligned, "Ada")
    assert inverted.record.origin.portrait
    assert "portrait of a photo" in inverted.title
    assert inverted.settings["steps"] == {"latent": 3, "tuning": 0}
    assert inverted.settings["sitter"].keys() == {trait.attribute for trait in PEOPLE.traits}
    assert not inverted.tuned
    assert not inverted.noise
    again = finished_inversion(tiny(aim="portrait", preset="good", seed=5), aligned, "Ada")
    assert again.path == inverted.path  # no other setting matters
    said = finished_inversion(tiny(aim="portrait", sitter="hat=knitted"), aligned, "Ada")
    assert said.path != inverted.path
    assert said.settings["sitter"]["hat"] == {**said.settings["sitter"]["hat"], "word": "knitted", "said": True}
    copy = people.read_latent(people.save(said, tmp_path / "out").path / people.INVERTED)
    assert copy.record.origin.portrait
    assert copy.settings["sitter"] == said.settings["sitter"]


def test_people_of_older_versions_open_and_are_found(readable: Path) -> None:
    aligned = to_uint8(noise())
    inverted = finished_inversion(tiny(aim="pixels"), aligned, "Ada")
    assert inverted.settings["aim"] == "pixels"
    path = inverted.path / "settings.json"
    settings = json.loads(path.read_text(encoding="utf-8"))
    for name in ("aim", "why", "residual", "sitter"):
        del settings[name]
    del settings["config"]["aim"], settings["config"]["sitter"]
    path.write_text(json.dumps(settings), encoding="utf-8")
    old = people.load(inverted.path)
    assert old.config == tiny(aim="pixels")
    assert not old.record.origin.portrait
    assert people.find(tiny(aim="pixels"), aligned).path == inverted.path
    assert [one.name for one in people.list_people()] == ["Ada"]


def test_a_sitter_that_is_none_is_damage(readable: Path) -> None:
    inverted = finished_inversion(tiny(aim="portrait"), to_uint8(noise()), "Ada")
    path = inverted.path / "settings.json"
    settings = json.loads(path.read_text(encoding="utf-8"))
    settings["sitter"]["hat"]["sure"] = "very"
    path.write_text(json.dumps(settings), encoding="utf-8")
    with pytest.raises(InputError, match="damaged"):
        people.load(inverted.path)


def test_steps_say_how_colours_went(readable: Path) -> None:
    *steps, last = invert(tiny(aim="portrait"), noise())
    assert [step.step for step in steps] == [1, 2, 3]
    assert all(step.losses.keys() == {"colour", "colour before"} for step in steps)
    assert last.notes["aim"] == "portrait"
    assert last.total == 3
    assert last.latent.keys() == {"w_plus"}
