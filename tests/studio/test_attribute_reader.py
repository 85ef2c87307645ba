"""The reader of attributes: what it says of itself is checked, its readings lead to sitters, its training resumes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from ipl_core.errors import InputError
from ipl_core.generators.encoder import EncoderConfig, PictureEncoder, save_encoder
from ipl_core.storage.tensors import load_tensors
from ipl_core.studio.__main__ import main
from ipl_core.studio.judge import Judge, save_judge
from ipl_core.studio.reading import BINS, AttributeReader, ReaderConfig, Reading, columns, load_reader, save_reader
from ipl_core.studio.sitter_words import corrected, menus, parse, said_of, written
from ipl_core.studio.training.attribute_reader import begin_at, right, targets
from ipl_core.studio.world.attributes import Categorical
from ipl_core.studio.world.subject import DOGS, PEOPLE, SUBJECTS, Subject

SMALL = ReaderConfig(16, (4, 8), 8)


def points(subject: Subject, count: int) -> torch.Tensor:
    return torch.rand(count, len(subject.attributes), generator=torch.Generator().manual_seed(3))


def reading_of(subject: Subject, u: torch.Tensor) -> Reading:
    """A reading that is sure of these points."""
    return Reading(subject, {a.name: part for a, part in zip(subject.attributes, targets(subject, u))})


@pytest.fixture(params=SUBJECTS, ids=lambda subject: subject.name)
def subject(request: pytest.FixtureRequest) -> Subject:
    return request.param


def test_a_sure_reading_leads_back_to_the_sitter(subject: Subject) -> None:
    u = points(subject, 60)
    reading = reading_of(subject, u)
    shares = right(reading, u)
    assert all(share == 1 for share in shares.values()), shares
    for attribute in subject.attributes:
        sure = reading.confidence(attribute.name)
        assert (sure > 0.95).all(), attribute.name
        if isinstance(attribute, Categorical):
            assert torch.equal(reading.sitters()[attribute.name], subject.sitters_from_unit(u)[attribute.name]), (
                attribute.name
            )


def test_targets_are_probabilities_and_a_hue_comes_round() -> None:
    u = points(PEOPLE, 40)
    for attribute, part in zip(PEOPLE.attributes, targets(PEOPLE, u)):
        assert part.shape == (40, columns(attribute))
        assert torch.allclose(part.sum(1), torch.ones(40), atol=1e-5), attribute.name
    hue = [attribute.name for attribute in PEOPLE.attributes].index("clothes_hue")
    red = targets(PEOPLE, torch.zeros(1, len(PEOPLE.attributes)))[hue][0]
    assert red[0] == pytest.approx(0.5)
    assert red[-1] == pytest.approx(0.5)


def test_an_unsure_reading_gives_ordinary_people() -> None:
    even = {a.name: torch.full((1, columns(a)), 1 / columns(a)) for a in PEOPLE.attributes}
    reading = Reading(PEOPLE, even)
    u = reading.unit()
    spoken = [trait.attribute for trait in PEOPLE.traits]
    for column, attribute in enumerate(PEOPLE.attributes):
        if not isinstance(attribute, Categorical) and not attribute.circular and attribute.name not in spoken:
            assert float(u[0, column]) == pytest.approx(0.5, abs=1e-5)
    assert float(reading.confidence("jaw")[0]) == pytest.approx(4 / BINS, abs=1e-5)


def test_a_number_is_of_the_likeliest_label() -> None:
    even = {a.name: torch.full((1, columns(a)), 1 / columns(a)) for a in PEOPLE.attributes}
    # Smiles begin at 0.656 of the range. Each of them is unlikely, all together are likelier than the others.
    smile = torch.tensor([[0.0, 0.0, 0.0, 0.0, 0.0, 0.22, 0.22, 0.0, 0.14, 0.14, 0.14, 0.14]])
    reading = Reading(PEOPLE, {**even, "smile": smile})
    assert said_of(PEOPLE, reading.unit())["smile"] == menus(PEOPLE)["smile"][2]
    place = [attribute.name for attribute in PEOPLE.attributes].index("smile")
    assert float(reading.unit()[0, place]) == pytest.approx(10 / 12, abs=0.01)


def test_a_prior_moves_a_reading() -> None:
    reading = reading_of(PEOPLE, points(PEOPLE, 1))
    likely = {**reading.probabilities, "glasses": torch.tensor([[0.4, 0.1, 0.5, 0.0]])}
    weighed = Reading(PEOPLE, likely).with_prior("glasses", [1.0, 1.0, 0.1, 1.0])
    assert int(weighed.sitters()["glasses"]) == 0
    assert float(weighed.probabilities["glasses"].sum()) == pytest.approx(1)


def test_words_lead_to_labels_and_back(subject: Subject) -> None:
    u = points(subject, 1)
    for name, words in menus(subject).items():
        for word in words:
            said = said_of(subject, corrected(subject, u, {name: word}))
            assert said[name] == word
            others = {key: value for key, value in said.items() if key != name}
            assert others == {key: value for key, value in said_of(subject, u).items() if key != name}
    every = said_of(subject, u)
    assert parse(subject, written(every)) == every
    assert torch.equal(corrected(subject, u, every), u)


def test_what_cannot_be_said_is_refused() -> None:
    for text, words in (
        ("hair_cut", "NAME=WORD"),
        ("hair_cut=mohawk", "bald, buzz cut"),
        ("wings=none", "The names are"),
        ("ears=pricked", "The names are"),
    ):
        with pytest.raises(InputError, match=words):
            parse(PEOPLE, text)
    assert parse(PEOPLE, " hair cut = bun ,, hat=none ") == {"hair_cut": "bun", "hat": "none"}
    assert parse(DOGS, "") == {}


def test_saved_and_loaded_it_reads_the_same(tmp_path: Path) -> None:
    reader = AttributeReader(DOGS, SMALL).half().float().eval()
    save_reader(reader, tmp_path / "reader.safetensors", {"seed": "1"})
    loaded = load_reader(tmp_path / "reader.safetensors")
    assert loaded.subject is DOGS
    picture = torch.rand(2, 3, 40, 40, generator=torch.Generator().manual_seed(4)) * 2 - 1
    one, other = reader.read(picture), loaded.read(picture)
    for name, likely in one.probabilities.items():
        assert torch.allclose(likely, other.probabilities[name], atol=1e-4)
        assert torch.allclose(likely.sum(1), torch.ones(2), atol=1e-5)
    with pytest.raises(InputError, match="evaluation mode"):
        reader.train().read(picture)


def test_other_files_are_refused(tmp_path: Path) -> None:
    save_judge(Judge(PEOPLE), tmp_path / "judge.safetensors", {})
    with pytest.raises(InputError, match="no attribute reader"):
        load_reader(tmp_path / "judge.safetensors")
    reader = AttributeReader(PEOPLE, SMALL)
    reader.heads = torch.nn.Linear(8, 5)
    save_reader(reader, tmp_path / "other.safetensors", {})
    with pytest.raises(InputError, match="don't fit"):
        load_reader(tmp_path / "other.safetensors")
    with pytest.raises(InputError, match="from 1 to 4096"):
        ReaderConfig(features=0)


def test_it_begins_at_the_layers_of_the_encoder_that_see(tmp_path: Path) -> None:
    encoder = PictureEncoder(EncoderConfig(rows=2, w_dim=4, resolution=16, widths=(4, 8), features=8))
    save_encoder(encoder, tmp_path / "encoder.safetensors", {})
    reader = AttributeReader(PEOPLE, SMALL)
    heads = reader.heads.weight.clone()
    begin_at(reader, tmp_path / "encoder.safetensors")
    assert torch.allclose(reader.stem.weight, encoder.stem.weight, atol=1e-3)
    assert torch.allclose(reader.blocks[1].conv2.weight, encoder.blocks[1].conv2.weight, atol=1e-3)
    assert torch.equal(reader.heads.weight, heads)


def test_the_command_runs_and_is_not_begun_again(tmp_path: Path) -> None:
    encoder = tmp_path / "studio-people-encoder" / "model.safetensors"
    encoder.parent.mkdir()
    save_encoder(PictureEncoder(EncoderConfig(rows=2, w_dim=4)), encoder, {})
    options = ["train-attribute-reader", "--smoke", "--threads", "1", "--work", str(tmp_path / "work")]
    options += ["--out", str(tmp_path)]
    assert main(options) == 0
    folder = tmp_path / "studio-people-reader"
    report = json.loads((folder / "report.json").read_text())
    assert "as they are" in report["labels and numbers right, by kind"]
    assert report["held-out kinds, by attribute"].keys() == {attribute.name for attribute in PEOPLE.attributes}
    first, _ = load_tensors(folder / "model.safetensors")
    assert main(options) == 0
    again, _ = load_tensors(folder / "model.safetensors")
    assert all(torch.equal(again[name], first[name]) for name in first)
    assert load_reader(folder / "model.safetensors").subject is PEOPLE
