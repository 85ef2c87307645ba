"""What made an entry is a type; settings.json of earlier versions is read, and what is written they can read."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fakes.kept_domains import entry_of

from ipl_core import AdaptConfig, InputError
from ipl_core.drawing.mixing import Mixer
from ipl_core.library import store
from ipl_core.library.records import Domain, Imported, Mixed, Picked, Resumed, Trained, read_record

pytestmark = pytest.mark.usefixtures("studio")


def settings_of_an_earlier_version(**more: Any) -> dict[str, Any]:
    """settings.json as it was written when mixes and imports held the configuration of a run that never was."""
    config = AdaptConfig("zombie", seed=3).to_dict()
    for name in ("shortest_move", "precision", "avoid", "prompts", "vocabulary"):
        del config[name]
    return {
        **{"format": "ipl-studio-run", "version": 1, "created": "2026-01-31T12:00:00+00:00"},
        **{"config": config, "critic": "studio", "model_sha256": "1", "critic_sha256": "2"},
        **{"steps": {"generator": 4}, "stopped": None, "seconds": 1.5, "diversity": None},
        "weights": {"bytes": 7, "sha256": "3"},
        **more,
    }


def test_a_run_of_an_earlier_version_is_read() -> None:
    record = read_record(settings_of_an_earlier_version())
    assert isinstance(record.origin, Trained)
    assert (record.origin.generator_steps, record.origin.prompt_steps, record.origin.seconds) == (4, 0, 1.5)
    assert (record.origin.config.seed, record.origin.config.prompts, record.origin.in_one_go) == (3, "vectors", True)
    assert (record.title, record.key, record.earlier, record.readings, record.left_out) == ("", "", {}, {}, False)
    assert (record.weights.bytes, record.weights.sha256, record.training, record.measured) == (7, "3", None, None)


def test_the_origin_says_what_made_an_entry() -> None:
    facts = {"file": "a.pt", "sha256": "9", "changes mapping": True}
    imported = read_record(settings_of_an_earlier_version(imported=facts))
    assert imported.origin == Imported("a.pt", "9", changes_mapping=True)
    assert imported.domain.target == "zombie"
    part = {"entry": "one", "share": 0.5, "config": AdaptConfig("werewolf").to_dict()}
    mixed = read_record(settings_of_an_earlier_version(mixed=[part])).origin
    assert isinstance(mixed, Mixed)
    assert mixed.written() == [part]
    assert isinstance(read_record(settings_of_an_earlier_version(stopped="picked")).origin, Picked)
    resumed = Resumed("before", 2, exactly=True, as_one_run=False)
    origin = read_record(settings_of_an_earlier_version(resumed=resumed.written())).origin
    assert (origin.resumed, origin.in_one_go) == (resumed, False)


@pytest.mark.parametrize("damage", [{"steps": {}}, {"mixed": []}, {"imported": 3}, {"weights": {"bytes": 1}}])
def test_damage_is_found(damage: dict[str, Any]) -> None:
    with pytest.raises((ValueError, KeyError)):
        read_record(settings_of_an_earlier_version(**damage))


def test_what_a_mix_writes_an_earlier_version_reads() -> None:
    kept = Mixer("studio").keep([(entry_of("zombie", 0.3), 0.5)])
    written = json.loads((kept.path / "settings.json").read_text())
    assert AdaptConfig.from_dict(written["config"]).target == "50 % zombie"
    assert written["steps"] == {"prompts": 0, "generator": 0}
    assert {"critic", "stopped", "seconds", "diversity", "mixed", "key"} <= written.keys()
    assert kept.record.domain == Domain.named("50 % zombie", "photo", "studio", "studio")
    with pytest.raises(InputError, match="was mixed, so there is no run behind it"):
        _ = kept.config
    assert store.open_entry(kept.path).made_by == "mixed"
