"""LPIPS from its published files gives the reference's numbers; without them, a sentence says what is missing."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from fakes import foreign_files as foreign

from ipl_core import InputError, InvertConfig, invert, lpips
from ipl_core.drawing.sampling import draw
from ipl_core.models import catalog

# What the package lpips 0.1.4 computed with the weights of the recipe, of the pictures "lpips.a" and "lpips.b".
GOLDEN = [1.377404, 1.366307]


@pytest.fixture
def models(studio: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for models of one's own, with nothing of the machine's beside it."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(lpips, "find_spec", lambda name: None)
    folder = studio / "models"
    folder.mkdir(parents=True)
    return folder


def put(models: Path) -> None:
    torch.save(foreign.alexnet_state(), models / "alexnet-owt-7be5be79.pth")
    torch.save(foreign.lpips_state(), models / "alex.pth", _use_new_zipfile_serialization=False)


def test_distances_are_those_of_the_reference(models: Path) -> None:
    put(models)
    assert lpips.available() == ["lpips-alex"]
    network = lpips.load_lpips("lpips-alex")
    one, other = (foreign.recipe((2, 3, 96, 96), f"lpips.{name}").clamp(-2, 2) / 2 for name in "ab")
    distance = network.distance(network.features(one), network.features(other))
    torch.testing.assert_close(distance, torch.tensor(GOLDEN), rtol=0, atol=1e-4)
    view = lpips.lpips_view(network)(one[:1])
    assert float(view(one[:1])) == 0
    large = torch.nn.functional.interpolate(one[:1], (512, 512), mode="bicubic")
    assert float(view(other[:1])) > 0
    assert network.features(large)[0].shape[-1] == network.features(large[..., ::2, ::2])[0].shape[-1]


def test_both_networks_have_the_published_shapes() -> None:
    torchvision = pytest.importorskip("torchvision")
    with torch.device("meta"):
        published = {"lpips-alex": torchvision.models.alexnet(), "lpips-vgg": torchvision.models.vgg16()}
        for name, network in published.items():
            expected = [tuple(tensor.shape) for tensor in network.features.state_dict().values()]
            ours = lpips.Lpips(lpips.NETWORKS[name])
            assert [tuple(p.shape) for p in ours.convs.parameters()] == expected
            assert len(ours.weights) == 5


def test_what_is_missing_is_said(models: Path) -> None:
    with pytest.raises(InputError, match=r"needs alexnet-owt-7be5be79.pth and alex.pth, which are not here: get them"):
        lpips.load_lpips("lpips-alex")
    put(models)
    (models / "alex.pth").unlink()
    with pytest.raises(InputError, match=r"needs alex.pth, which is not here") as said:
        next(iter(invert(InvertConfig(view="lpips-alex", steps=1), torch.zeros(1, 3, 32, 32))))
    assert str(models) in str(said.value)
    assert lpips.available() == []
    with pytest.raises(InputError, match="must be one of critic, lpips-alex, lpips-vgg"):
        InvertConfig(view="lpips-squeeze")


@pytest.mark.usefixtures("read_in_process")
def test_files_of_another_kind_are_refused(models: Path) -> None:
    put(models)
    torch.save({"features.0.weight": torch.zeros(64, 3, 3, 3)}, models / "alexnet-owt-7be5be79.pth")
    with pytest.raises(InputError, match="doesn't hold the weights of LPIPS with AlexNet"):
        lpips.load_lpips("lpips-alex")
    (models / "alexnet-owt-7be5be79.pth").write_bytes(b"<html>")
    with pytest.raises(InputError, match="can't be read"):
        lpips.load_lpips("lpips-alex")


def test_an_inversion_may_look_with_it(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(models)
    monkeypatch.setattr("ipl_core.generators.invert.load_critic", None)  # the critic has no part then
    picture = draw(catalog.load_generator("studio"), [3])
    *_, last = invert(InvertConfig(preset="fast", view="lpips-alex", steps=2, starts=2), picture)
    assert last.stopped is None
    assert last.distances["perceptual"] > 0
