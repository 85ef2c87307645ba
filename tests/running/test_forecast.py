"""How long a run will take: what counts, by how much, and that measuring changes nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from ipl_core import AdaptConfig, adapt
from ipl_core.methods.source_samples import SIZE
from ipl_core.running import forecast
from ipl_core.running.forecast import Speed, measure

CONFIG = AdaptConfig("pencil sketch", mapper_steps=10, mapper_batch=8, steps=20, batch=2, memory="plain")
SPEED = Speed(picture=0.1, prompts=0.01, missing=0.0, resolution=64)


def test_steps_pictures_and_the_way_back_add_up() -> None:
    generator = 20 * 2 * 3 * 0.1
    assert SPEED.seconds(replace(CONFIG, method="nada")) == pytest.approx(generator)
    assert SPEED.seconds(CONFIG) == pytest.approx(generator + 10 * 8 * 0.01)
    assert SPEED.seconds(replace(CONFIG, method="described")) == pytest.approx(generator + 20 * 2 * 0.01)
    assert SPEED.seconds(replace(CONFIG, memory="low", method="nada")) == pytest.approx(generator * 4 / 3)
    assert SPEED.seconds(replace(CONFIG, steps=40, method="nada")) == pytest.approx(2 * generator)


def test_a_described_picture_takes_its_sentences_twice_with_a_critic_of_any_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(forecast._Tower, "seconds", lambda tower, *_: 0.1 if tower is forecast._VISION else 0.001)
    described, learned = (forecast.with_open_critic(SPEED, method) for method in ("described", "ipl"))
    assert learned.prompts == SPEED.prompts, "one prompt there and back takes less than was measured"
    assert described.prompts == pytest.approx(2 * 6 * 0.001 * 2)
    config = replace(CONFIG, method="described")
    assert described.seconds(config) == described.seconds(replace(config, mapper_steps=500)), "there is no stage 1"
    more = described.seconds(config) - replace(described, prompts=0.0).seconds(config)
    assert more == pytest.approx(20 * 2 * described.prompts), "each picture is read where it is looked at"


def test_a_run_that_goes_on_has_no_stage_1() -> None:
    assert SPEED.first_stage(CONFIG) == pytest.approx(10 * 8 * 0.01)
    assert SPEED.first_stage(replace(CONFIG, method="nada")) == 0
    assert replace(SPEED, missing=1.0).first_stage(CONFIG) > SPEED.first_stage(CONFIG)
    assert SPEED.seconds(CONFIG, done=0) == pytest.approx(SPEED.seconds(CONFIG) - SPEED.first_stage(CONFIG))
    assert SPEED.seconds(CONFIG, done=15) == pytest.approx(5 * 2 * 3 * 0.1)


def test_a_first_run_draws_the_source_pictures_too_but_each_once() -> None:
    first = replace(SPEED, missing=1.0)
    more = [first.seconds(config) - SPEED.seconds(config) for config in (CONFIG, replace(CONFIG, steps=5000))]
    assert 0 < more[0] < more[1]
    assert more[1] == pytest.approx(SIZE * 0.1)


@pytest.mark.parametrize("method", ["nada", "shared", "ipl", "described"])
@pytest.mark.usefixtures("studio")
def test_measuring_says_something_and_changes_nothing(method: str) -> None:
    config = replace(CONFIG, method=method, mapper_steps=2, steps=2)
    weights = list(adapt(config))[-1].weights
    state = torch.random.get_rng_state()
    measured = measure(config)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert measured.picture > 0
    assert (measured.prompts > 0) == (method != "nada")
    assert measured.missing < 1, "the run before has drawn some"
    again = list(adapt(config))[-1].weights
    assert all(torch.equal(again[name], weights[name]) for name in weights)


def test_a_measurement_is_no_run(studio: Path) -> None:
    measure(CONFIG)
    assert not (studio / "runs").exists()
