"""A configuration that exists is valid, and says in plain words why another one can't exist."""

from __future__ import annotations

import json
import math
import re

import numpy as np
import pytest

from ipl_core.errors import InputError
from ipl_core.methods.config import INVERT_PRESETS, PRESETS, AdaptConfig, InvertConfig


@pytest.mark.parametrize("preset", PRESETS)
def test_preset_fills_what_was_left_open_and_nothing_else(preset: str) -> None:
    config = AdaptConfig("pencil sketch", preset=preset, steps=7)
    assert config.steps == 7
    for name, value in PRESETS[preset].items():
        if name != "steps":
            assert getattr(config, name) == value


def test_official_preset_is_the_released_code() -> None:
    config = AdaptConfig("pencil sketch", preset="official")
    assert (config.mapper_steps, config.mapper_batch, config.mapper_lr) == (300, 32, 0.05)
    assert (config.steps, config.batch, config.learning_rate) == (300, 2, 0.002 * 0.8)
    assert (config.layers, config.layer_interval, config.ema) == ("adaptive-released", 1, 0.99)
    assert (config.residual, config.shortest_move) == ("official", 1e-8)
    assert (config.contrastive, config.templates, config.context) == ("infonce", "imagenet", "a photo of a")


def test_words_are_kept_without_stray_spaces() -> None:
    assert AdaptConfig("  pencil \n sketch ").target == "pencil sketch"


def test_round_trip_through_json() -> None:
    config = AdaptConfig("werewolf", method="nada", preset="paper", lambda_domain=2, preview_seeds=[3, 1])
    again = AdaptConfig.from_dict(json.loads(json.dumps(config.to_dict())))
    assert again == config
    assert hash(again) == hash(config)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"target": "  "}, "target is blank"),
        ({"target": None}, "must be text"),
        ({"target": 5}, "must be text, not 5"),
        ({"target": "a" * 301}, "301 characters"),
        ({"target": "pencil\x00sketch"}, "can't be shown"),
        ({"target": "Photo"}, "nothing to adapt"),
        ({"source": ""}, "source is blank"),
        ({"context": " "}, "context is blank"),
        ({"model": ""}, "model is blank"),
        ({"critic": ""}, "CLIP model is blank"),
        ({"method": "gan"}, "one of nada, shared, ipl, described, not “gan”"),
        ({"method": None}, "Method must be one of"),
        ({"preset": "best"}, "Preset must be one of official, paper, default"),
        ({"preset": ["default"]}, "Preset must be one of"),
        ({"layers": "all of them"}, "Layers that learn (layers) must be one of"),
        ({"residual": 1}, "Residual must be one of"),
        ({"steps": 0}, "Steps of stage 2 (steps) must be a whole number from 1 to 5000, not 0"),
        ({"steps": 10**400}, "Steps of stage 2 (steps) must be a whole number"),
        ({"steps": "ten"}, "not “ten”"),
        ({"steps": 2.5}, "not 2.5"),
        ({"steps": True}, "not True"),
        ({"steps": math.nan}, "not nan"),
        ({"steps": math.inf}, "not inf"),
        ({"mapper_steps": -1}, "mapper_steps"),
        ({"mapper_batch": 1}, "from 2 to 128, not 1"),
        ({"batch": 65}, "Pictures a step (batch) must be a whole number from 1 to 64"),
        ({"lambda_domain": math.nan}, "λ"),
        ({"lambda_domain": -0.1}, "λ"),
        ({"lambda_domain": 1001}, "λ"),
        ({"lambda_domain": "3"}, "λ"),
        ({"seed": -1}, "Seed must be a whole number from 0"),
        ({"seed": 2**32}, "Seed must be a whole number from 0 to 4294967295"),
        ({"seed": None}, "Seed must be"),
        ({"ema": 1.0}, "EMA"),
        ({"learning_rate": 0}, "Learning rate"),
        ({"layer_interval": 0}, "Layer interval"),
        ({"share_noise": 1}, "true or false"),
        ({"device": "tpu"}, "Device must be"),
        ({"device": 0}, "Device must be"),
        ({"preview_psi": 2}, "truncation"),
        ({"preview_seeds": []}, "from 1 to 64 of them, not 0"),
        ({"preview_seeds": range(65)}, "not 65"),
        ({"preview_seeds": "0-3"}, "list of whole numbers"),
        ({"preview_seeds": [0.5]}, "preview seed"),
        ({"preview_seeds": 4}, "list of whole numbers"),
    ],
)
def test_bad_setting_is_refused_by_name_and_value(settings: dict, said: str) -> None:
    with pytest.raises(InputError, match="(?i)" + re.escape(said)):
        AdaptConfig(**{"target": "pencil sketch", **settings})


def test_numbers_of_other_kinds_are_understood() -> None:
    config = AdaptConfig("werewolf", steps=20.0, seed=np.int64(3), lambda_domain=np.float32(2), batch=2)
    assert (config.steps, config.seed, config.lambda_domain) == (20, 3, 2.0)
    assert type(config.steps) is int
    assert type(config.seed) is int
    assert type(config.lambda_domain) is float


def test_from_dict_names_what_it_does_not_know() -> None:
    with pytest.raises(InputError, match="no setting named “stepz”"):
        AdaptConfig.from_dict({"target": "werewolf", "stepz": 3})
    with pytest.raises(InputError, match="target is missing"):
        AdaptConfig.from_dict({"method": "ipl"})
    with pytest.raises(InputError, match="by name"):
        AdaptConfig.from_dict(["werewolf"])


# ----------------------------------------------------------------------------------------------------------------------
# Inversion


def test_inversion_fills_what_is_open_from_its_preset_and_comes_back_from_json() -> None:
    for preset, values in INVERT_PRESETS.items():
        config = InvertConfig(preset=preset)
        assert all(getattr(config, name) == value for name, value in values.items())
        assert InvertConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    assert InvertConfig(preset="fast", tune=True, steps=5.0).steps == 5
    assert InvertConfig().tune_until == 0.001
    assert InvertConfig(view="lpips-alex").tune_until == 0.06


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"preset": "slow"}, "preset must be one of fast, good, best, not “slow”"),
        ({"space": "z"}, "Latent space (space) must be one of w, w+"),
        ({"steps": 0}, "Steps of the latent (steps) must be a whole number from 1 to 20000, not 0"),
        ({"starts": -1}, "starts must be a whole number from 0"),
        ({"seed": 1.5}, "seed"),
        ({"perceptual": math.nan}, "perceptual"),
        ({"tune_rate": 1}, "tune_rate"),
        ({"tune_further": -1}, "tune_further"),
        ({"tune_until": 3}, "tune_until"),
        ({"tune": 1}, "Pivotal tuning (tune) must be true or false, not 1"),
        ({"noise": "yes"}, "noise must be true or false, not “yes”"),
        ({"model": " "}, "model is blank"),
        ({"pixel": 0, "multiscale": 0, "perceptual": 0}, "nothing is compared"),
        ({"device": "tpu"}, "Device must be"),
    ],
)
def test_bad_settings_of_inversion_are_refused(settings: dict, said: str) -> None:
    with pytest.raises(InputError, match="(?i)" + re.escape(said)):
        InvertConfig(**settings)


def test_from_dict_of_inversion_names_what_it_does_not_know() -> None:
    with pytest.raises(InputError, match="no setting named “target”"):
        InvertConfig.from_dict({"target": "werewolf"})
