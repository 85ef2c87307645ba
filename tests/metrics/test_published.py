"""Published networks with random weights beside independent implementations; what is said where a file is missing."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from fakes import foreign_files as foreign
from torch import Tensor

from ipl_core import InputError
from ipl_core.metrics.comparison import Comparison
from ipl_core.metrics.features import Pictures
from ipl_core.metrics.networks import Networks
from ipl_core.metrics.published import hed, inception, ir_se50
from ipl_core.metrics.registry import lacking, measure, metrics_of
from ipl_core.metrics.sifid import place_moments
from ipl_core.models import catalog

NARROW = (16, 16, 32, 32)


@pytest.fixture
def models(studio: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for networks of one's own, with nothing of the machine's beside it."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    for load in (inception.load_inception, hed.load_hed, ir_se50.load_ir_se50):
        load.cache_clear()
    folder = studio / "models"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def any_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    """Random weights have not the hash of the published ones."""
    monkeypatch.setattr(catalog, "_verify", lambda path, expected: None)


def filled(network: torch.nn.Module, name: str) -> torch.nn.Module:
    """The network with weights of the recipe that keep activations near 1."""
    with torch.no_grad():
        for key, tensor in network.state_dict().items():
            if key.endswith("num_batches_tracked"):
                continue
            value = foreign.recipe(tuple(tensor.shape), f"{name}.{key}")
            if key.endswith("running_var"):
                value = 1 + 0.5 * value.abs()
            elif key.endswith(("bias", "running_mean")):
                value = 0.1 * value
            elif value.ndim == 1:
                value = 1 + 0.1 * value
            else:
                value = value * (2 / value[0].numel()) ** 0.5
            tensor.copy_(value)
    return network.eval().requires_grad_(False)


def pictures(count: int, side: int) -> Tensor:
    return foreign.recipe((count, 3, side, side), f"pictures {side}").clamp(-2, 2) / 2


# ----------------------------------------------------------------------------------------------------------------------
# Inception


@pytest.mark.usefixtures("any_hash")
def test_inception_is_read_from_torchvisions_file_and_gives_its_classes(models: Path):
    published = filled(inception.empty_inception(), "inception")
    state = published.state_dict() | {"AuxLogits.fc.weight": torch.zeros(1000, 768)}
    torch.save(state, models / "inception_v3_google-0cc3c7bd.pth")
    looked = inception.InceptionFeatures(*inception.load_inception())(pictures(2, 64))
    large = F.interpolate(pictures(2, 64), (299, 299), mode="bilinear")
    torch.testing.assert_close(looked["logits"], published(large))
    torch.testing.assert_close(F.linear(looked["features"], published.fc.weight, published.fc.bias), looked["logits"])


def test_maps_for_sifid_are_those_of_torch_fidelitys_inception():
    fidelity = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3")
    published = filled(inception.empty_inception(), "inception")
    theirs = object.__new__(fidelity.FeatureExtractorInceptionV3)
    torch.nn.Module.__init__(theirs)
    x = pictures(2, 128)
    for name in ("Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "Conv2d_3b_1x1", "Conv2d_4a_3x3"):
        ours = getattr(published, name)
        conv, options = ours.conv, dict(kernel_size=ours.conv.kernel_size, stride=ours.conv.stride)
        layer = fidelity.BasicConv2d(conv.in_channels, conv.out_channels, padding=conv.padding, **options)
        layer.load_state_dict(ours.state_dict())
        x = layer.eval()(x)
        if name == "Conv2d_2b_3x3":
            x = F.max_pool2d(x, kernel_size=3, stride=2)
    maps = inception.InceptionMaps(published, "")(pictures(2, 128))["map"]
    assert maps.shape == (2, 192, 28, 28)
    torch.testing.assert_close(maps, x)
    assert place_moments(maps)[1].shape == (2, 192, 192)


# ----------------------------------------------------------------------------------------------------------------------
# HED


def hed_state() -> dict[str, Tensor]:
    """A state as published: VGG-16's convolutions under names of their own."""
    torchvision = pytest.importorskip("torchvision")
    trunk = filled(torchvision.models.vgg16(weights=None).features, "vgg")
    convs = [layer for layer in trunk if isinstance(layer, torch.nn.Conv2d)]
    numbers = [("One", (0, 2)), ("Two", (1, 3)), ("Thr", (1, 3, 5)), ("Fou", (1, 3, 5)), ("Fiv", (1, 3, 5))]
    state, left = {}, iter(convs)
    for part, places in numbers:
        for place in places:
            conv = next(left)
            state |= {f"moduleVgg{part}.{place}.weight": conv.weight, f"moduleVgg{part}.{place}.bias": conv.bias}
        state[f"moduleScore{part}.weight"] = 0.3 * foreign.recipe((1, conv.out_channels, 1, 1), f"hed.{part}")
        state[f"moduleScore{part}.bias"] = torch.zeros(1)
    state["moduleCombine.0.weight"] = foreign.recipe((1, 5, 1, 1), "hed.combine")
    state["moduleCombine.0.bias"] = torch.tensor([0.1])
    return {name: tensor.detach() for name, tensor in state.items()}


@pytest.mark.usefixtures("any_hash")
def test_hed_is_vgg_with_scores_at_five_depths(models: Path):
    torchvision = pytest.importorskip("torchvision")
    state = hed_state()
    assert len(state) == 38
    torch.save(state, models / "network-bsds500.pth")
    edges = hed.EdgeDetector(*hed.load_hed())(pictures(2, 48))["edges"]

    trunk = filled(torchvision.models.vgg16(weights=None).features, "vgg")
    x = (pictures(2, 48) + 1) / 2 * 255
    x = x[:, [2, 1, 0]] - torch.tensor([104.00698793, 116.66876762, 122.67891434]).view(1, 3, 1, 1)
    scores, parts = [], iter(("One", "Two", "Thr", "Fou", "Fiv"))
    for layer in trunk:
        if isinstance(layer, torch.nn.MaxPool2d):
            part = next(parts)
            score = F.conv2d(x, state[f"moduleScore{part}.weight"], state[f"moduleScore{part}.bias"])
            scores.append(F.interpolate(score, (48, 48), mode="bilinear", align_corners=False))
        x = layer(x)
    combined = F.conv2d(torch.cat(scores, 1), state["moduleCombine.0.weight"], state["moduleCombine.0.bias"])
    torch.testing.assert_close(edges, torch.sigmoid(combined)[:, 0], rtol=1e-4, atol=1e-5)


# ----------------------------------------------------------------------------------------------------------------------
# IR-SE50


def by_hand(state: dict[str, Tensor], x: Tensor, widths: tuple[int, ...]) -> Tensor:
    """IR-SE50 as its authors' names spell it out, with functions alone."""

    def norm(name: str, x: Tensor) -> Tensor:
        mean, variance = state[f"{name}.running_mean"], state[f"{name}.running_var"]
        return F.batch_norm(x, mean, variance, state[f"{name}.weight"], state[f"{name}.bias"], eps=1e-5)

    x = F.prelu(
        norm("input_layer.1", F.conv2d(x, state["input_layer.0.weight"], padding=1)), state["input_layer.2.weight"]
    )
    number, inner = 0, widths[0]
    for width, units in zip(widths, (3, 4, 14, 3)):
        for unit in range(units):
            stride, name = 2 if unit == 0 else 1, f"body.{number}"
            y = F.conv2d(norm(f"{name}.res_layer.0", x), state[f"{name}.res_layer.1.weight"], padding=1)
            y = F.prelu(y, state[f"{name}.res_layer.2.weight"])
            y = norm(f"{name}.res_layer.4", F.conv2d(y, state[f"{name}.res_layer.3.weight"], stride=stride, padding=1))
            gate = F.relu(F.conv2d(F.adaptive_avg_pool2d(y, 1), state[f"{name}.res_layer.5.fc1.weight"]))
            y = y * torch.sigmoid(F.conv2d(gate, state[f"{name}.res_layer.5.fc2.weight"]))
            if inner == width:
                x = y + F.max_pool2d(x, 1, stride)
            else:
                shortcut = F.conv2d(x, state[f"{name}.shortcut_layer.0.weight"], stride=stride)
                x = y + norm(f"{name}.shortcut_layer.1", shortcut)
            number, inner = number + 1, width
    x = norm("output_layer.0", x).flatten(1)
    x = norm("output_layer.4", F.linear(x, state["output_layer.3.weight"], state["output_layer.3.bias"]))
    return x / x.norm(dim=1, keepdim=True)


def test_ir_se50_is_what_its_names_say():
    network = filled(ir_se50.IrSe50(NARROW, vector=24), "ir")
    state = {
        ir_se50.their_name(name): tensor
        for name, tensor in network.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    faces = ir_se50.cropped(pictures(2, 128))
    assert faces.shape == (2, 3, 112, 112)
    torch.testing.assert_close(network(faces), by_hand(state, faces, NARROW), rtol=1e-4, atol=1e-5)


def test_ir_se50_has_the_published_names_and_shapes():
    with torch.device("meta"):
        network = ir_se50.IrSe50()
    shapes = {ir_se50.their_name(k): tuple(t.shape) for k, t in network.state_dict().items() if "tracked" not in k}
    assert len(shapes) == 343
    assert shapes["output_layer.3.weight"] == (512, 25088)
    assert shapes["body.3.shortcut_layer.0.weight"] == (128, 64, 1, 1)
    assert "body.0.shortcut_layer.0.weight" not in shapes
    assert shapes["body.23.res_layer.5.fc1.weight"] == (32, 512, 1, 1)


def test_the_crop_is_that_of_the_papers_sources():
    face = torch.zeros(1, 3, 256, 256)
    face[..., 35:223, 32:220] = 1.0
    assert ir_se50.cropped(face).min() == 1
    assert torch.equal(ir_se50.cropped(face.repeat_interleave(2, 2).repeat_interleave(2, 3)), ir_se50.cropped(face))


# ----------------------------------------------------------------------------------------------------------------------
# Files


def test_what_is_missing_is_said_with_where_to_get_it(models: Path):
    for name, file, load in (
        ("inception-imagenet", "inception_v3_google-0cc3c7bd.pth", inception.load_inception),
        ("hed", "network-bsds500.pth", hed.load_hed),
        ("ir-se50", "recognition_arcface_ir_se50.pth", ir_se50.load_ir_se50),
    ):
        assert not catalog.is_here(catalog.networks()[name])
        with pytest.raises(InputError, match=f"not here.*{file}.*https://.*{models}"):
            load()
    grey = Pictures("grey", 12, lambda places: torch.zeros(len(places), 3, 32, 32), kept=False)
    compared = Comparison(grey, grey, "elf", Networks("studio"))
    said = {metric.name: lacking(metric, compared) for metric in metrics_of("real")}
    assert "network-bsds500.pth" in said["scs_hed"]
    assert "LPIPS" in said["intra_lpips"]
    assert "true pictures" in said["fid_imagenet"] or "Inception" in said["fid_imagenet"]


def test_other_files_of_that_name_are_refused(models: Path, monkeypatch: pytest.MonkeyPatch):
    torch.save({"moduleCombine.0.bias": torch.zeros(1)}, models / "network-bsds500.pth")
    with pytest.raises(InputError, match="isn't the file it should be"):
        hed.load_hed()
    monkeypatch.setattr(catalog, "_verify", lambda path, expected: None)
    with pytest.raises(InputError, match="doesn't hold the weights of “hed”"):
        hed.load_hed()
    state = hed_state()
    state["moduleCombine.0.bias"] = torch.tensor([torch.nan])
    torch.save(state, models / "network-bsds500.pth")
    with pytest.raises(InputError, match="not finite"):
        hed.load_hed()


@pytest.mark.usefixtures("any_hash")
def test_the_real_family_measures_where_its_files_are(models: Path):
    torch.save(
        filled(inception.empty_inception(), "inception").state_dict(), models / "inception_v3_google-0cc3c7bd.pth"
    )
    torch.save(hed_state(), models / "network-bsds500.pth")
    drawn = pictures(6, 40)
    some = Pictures("some", 6, lambda places: drawn[list(places)], kept=False)
    others = Pictures("others", 3, lambda places: drawn[list(places)].flip(3), kept=False)
    compared = Comparison(some, some, "elf", Networks("studio"), truth=some, references=others)
    found = measure(metrics_of("real"), compared)
    assert set(found.lacking) == {"clip_distance", "id_arcface", "intra_lpips", "intra_lpips_medoid"}
    assert found.scores["scs_hed"] == pytest.approx(1)
    assert found.scores["fid_imagenet"] == pytest.approx(0, abs=1e-3)
    assert 1 <= found.scores["is_imagenet"] <= 6
    assert found.scores["sifid_imagenet.R1"] > 0
