"""Weights mixed for any latents: sums, ends, files, and a source that nobody changes."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from fakes.kept_domains import entry_of

from ipl_core import InputError
from ipl_core.drawing.mixing import Mixer
from ipl_core.drawing.sampling import draw, seed_latents
from ipl_core.library import store
from ipl_core.models import catalog
from ipl_core.storage.tensors import read_metadata

pytestmark = pytest.mark.usefixtures("studio")


def test_the_ends_are_the_source_and_the_adapted_generator() -> None:
    mixer, entry = Mixer("studio"), entry_of("zombie", 0.3)
    w_plus = seed_latents(mixer.source, [0, 1], psi=0.7)
    assert torch.equal(mixer.draw(w_plus), draw(mixer.source, [0, 1]))
    assert torch.equal(mixer.draw(w_plus, mixer.weights([(entry, 0.0)])), draw(mixer.source, [0, 1]))
    adapted = draw(catalog.load_adapted(entry.path), [0, 1])
    assert torch.equal(mixer.draw(w_plus, mixer.weights([(entry, 1.0)])), adapted)
    w = mixer.source.truncate(mixer.source.mapping(torch.zeros(1, mixer.source.config.z_dim)), 0.7)
    assert torch.equal(mixer.draw(w), mixer.draw(mixer.source.to_w_plus(w)))


def test_what_domains_and_tuning_changed_adds_up() -> None:
    mixer = Mixer("studio")
    one, other = entry_of("zombie", 0.3), entry_of("mosaic", -0.2)
    own = dict(mixer.source.named_parameters())
    tuned = mixer.fitted({name: own[name] + 0.5 for name in mixer.source.layer_parameters(2)}, "Ada")
    mixed = mixer.weights([(one, 0.5), (other, 2.0)], [(tuned, 0.1)])
    assert mixed.keys() == set(mixer.source.layer_parameters(2))
    for name, tensor in mixed.items():
        assert torch.allclose(tensor - own[name], torch.full_like(tensor, 0.15 - 0.4 + 0.05), atol=1e-6)


def test_a_mix_becomes_a_generator_of_its_own(tmp_path: Path) -> None:
    mixer, entry = Mixer("studio"), entry_of("zombie", 0.3)
    path = mixer.save([(entry, 0.5)], tmp_path / "half.safetensors")
    half = catalog.load_generator(path)
    expected = mixer.draw(seed_latents(mixer.source, [3]), mixer.weights([(entry, 0.5)]))
    assert torch.equal(draw(half, [3]), expected)
    note = read_metadata(path)
    assert note["model"] == "studio"
    assert [(part["share"], part["config"]["target"]) for part in note["domains"]] == [(0.5, "zombie")]


def test_a_mix_is_kept_as_an_entry_of_its_own() -> None:
    mixer, one, other = Mixer("studio"), entry_of("zombie", 0.3), entry_of("mosaic", -0.2)
    kept = mixer.keep([(one, 0.5), (other, 1.5), (entry_of("neon", 1.0), 0.0)])
    assert kept.title == "photo → 50 % zombie + 150 % mosaic (mixed)"
    assert (kept.made_by, kept.from_run, kept.finished) == ("mixed", False, True)
    assert [(part.share, part.config["target"]) for part in kept.origin.parts] == [(0.5, "zombie"), (1.5, "mosaic")]
    expected = mixer.draw(seed_latents(mixer.source, [3]), mixer.weights([(one, 0.5), (other, 1.5)]))
    torch.testing.assert_close(draw(catalog.load_adapted(kept.path), [3]), expected)
    assert mixer.keep([(one, 0.5), (other, 1.5)], "Dead tiles").title == "Dead tiles"
    assert len(store.list_entries()) == 4
    assert Mixer("studio").weights([(kept, 1.0)]).keys() == set(mixer.source.layer_parameters(2))
    with pytest.raises(InputError, match="was mixed, so there is no run"):
        store.continuation(kept, 5)
    with pytest.raises(InputError, match="at least one domain"):
        mixer.keep([(one, 0.0)])
    for title in ("x" * 81, "half \ud83d", "dead TILES"):
        with pytest.raises(InputError, match="title"):
            mixer.keep([(one, 0.25)], title)
    assert len(store.list_entries()) == 4, "a mix that can't be called so is not kept"
    assert mixer.keep([(one, 0.5), (other, 1.5)], "Dead tiles").title == "Dead tiles", "its own title is no collision"


@pytest.mark.parametrize("title", ["x" * 81, "half \ud83d", 7, "ZOMBIES of mine"])
def test_a_mix_with_a_title_that_cannot_be_is_not_kept(title: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    mixer, entry = Mixer("studio"), entry_of("zombie", 0.3)
    store.rename(entry, "Zombies of mine")
    monkeypatch.setattr(mixer, "generator", lambda parts: pytest.fail("the work was begun"))
    with pytest.raises(InputError, match="title"):
        mixer.keep([(entry, 0.5)], title)
    assert [kept.path for kept in store.list_entries()] == [entry.path]


def test_a_mix_may_be_kept_again_under_its_own_title() -> None:
    mixer, entry = Mixer("studio"), entry_of("zombie", 0.3)
    kept = mixer.keep([(entry, 0.5)], "Half a zombie")
    assert mixer.keep([(entry, 0.5)], "Half a zombie") == kept


def test_drawing_a_mix_leaves_the_source_alone_for_other_threads() -> None:
    source = catalog.load_generator("studio")
    mixer, entry = Mixer("studio", generator=source), entry_of("zombie", 3.0)
    w_plus, weights = seed_latents(source, [0]), mixer.weights([(entry, 1.0)])
    expected = mixer.draw(w_plus)
    done = threading.Event()

    def mix() -> None:
        while not done.is_set():
            mixer.draw(w_plus, weights)

    other = threading.Thread(target=mix)
    other.start()
    try:
        drawn = [source.synthesis(w_plus) for _ in range(100)]
    finally:
        done.set()
        other.join()
    assert all(torch.equal(picture, expected) for picture in drawn)


def test_what_cannot_be_mixed_is_said() -> None:
    mixer, entry = Mixer("studio"), entry_of("zombie", 0.3)
    for share in (-0.1, 2.1, float("nan")):
        with pytest.raises(InputError, match="from 0 to 2"):
            mixer.weights([(entry, share)])
    foreign = store.Entry(entry.path, {**entry.settings, "model_sha256": "0"})
    with pytest.raises(InputError, match="adapted from another model"):
        mixer.weights([(foreign, 1.0)])
    for tensors in ({"w_avg": torch.zeros(16)}, {"synthesis.input": torch.zeros(1)}):
        with pytest.raises(InputError, match="of “Ada” doesn't fit"):
            mixer.fitted(tensors, "Ada")
