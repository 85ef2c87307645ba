"""NVIDIA's pickles: read without its packages or its code, the same pictures, and refused with the reason."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from fakes import foreign_files as foreign

from ipl_core.errors import InputError
from ipl_core.generators.files import load_generator

pytestmark = pytest.mark.usefixtures("read_in_process")

SMALL = {4: 6, 8: 4, 16: 3}

# What NVlabs/stylegan2-ada-pytorch drew on the CPU (its reference operators, force_fp32, constant noise) with the
# weights of the recipe for Generator(32, 0, 32, 32, 3, mapping num_layers=3, synthesis channel_base=256,
# channel_max=16, conv_clamp=3.0): values [0, :, ::11, ::13] of the z "z" at truncation 0.7 and of the W+ "w+".
GOLDEN_CHANNELS = {4: 16, 8: 16, 16: 16, 32: 8}
GOLDEN_Z = [
    -2.752234, -4.518481, -2.110271, -5.267113, -3.771587, -4.03403, -4.46141, -3.478952, -3.369378,
    3.220272, 1.43595, 5.331341, 2.952225, 4.5391, 6.550747, 2.510804, 4.739434, 7.103635,
    1.256544, -0.220847, 1.004272, 1.79018, 0.887614, 3.188388, -1.479113, 4.208132, 3.077846,
]  # fmt: skip
GOLDEN_W_PLUS = [
    -2.545787, -2.382354, -2.006568, -2.886008, -2.98228, -4.8079, -1.534191, -5.181541, -4.155776,
    1.107161, 2.060165, 1.63814, 1.268206, 1.948779, 2.870251, 0.933807, 4.319258, 2.355403,
    0.281626, -0.435126, -0.882369, -1.002987, 0.137932, 0.404259, -0.625321, 2.440907, 0.756813,
]  # fmt: skip


def snapshot(path: Path, protocol: int = 4, **form: Any) -> Path:
    generator = foreign.nvidia_generator(SMALL, **form)
    contents = {
        "G": foreign.nvidia_generator(SMALL),
        "D": foreign.discriminator(),
        "G_ema": generator,
        "augment_pipe": None,
        "training_set_kwargs": foreign.EasyDict(path="photos.zip", use_labels=False),
    }
    return foreign.write_nvidia(path, contents, protocol)


def test_pictures_are_those_of_the_reference(tmp_path: Path) -> None:
    generator = foreign.nvidia_generator(GOLDEN_CHANNELS, 32, 32, 3, clamp=3.0)
    loaded = load_generator(foreign.write_nvidia(tmp_path / "network.pkl", {"G_ema": generator}))
    assert loaded.config.conv_clamp == 3.0
    with torch.no_grad():
        from_z = loaded(foreign.recipe((2, 32), "z"), psi=0.7)
        from_w_plus = loaded.synthesis(foreign.recipe((1, 8, 32), "w+"))
    for images, golden in ((from_z, GOLDEN_Z), (from_w_plus, GOLDEN_W_PLUS)):
        torch.testing.assert_close(images[0, :, ::11, ::13].flatten(), torch.tensor(golden), rtol=0, atol=1e-4)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_every_tensor_arrives(tmp_path: Path, protocol: int) -> None:
    theirs = foreign.nvidia_generator(SMALL).state_dict()
    loaded = load_generator(snapshot(tmp_path / "a.pkl", protocol))
    ours = loaded.state_dict()
    assert "torch_utils" not in sys.modules
    assert torch.equal(ours["w_avg"], theirs["mapping.w_avg"])
    assert torch.equal(ours["mapping.1.weight"], theirs["mapping.fc1.weight"])
    assert torch.equal(ours["synthesis.layers.3.weight"], theirs["synthesis.b16.conv0.weight"])
    assert torch.equal(ours["synthesis.noise.4"][0, 0], theirs["synthesis.b16.conv1.noise_const"])
    assert torch.equal(ours["synthesis.torgb.2.affine.bias"], theirs["synthesis.b16.torgb.affine.bias"])
    assert loaded.config.to_dict() == {
        "resolution": 16, "z_dim": 8, "w_dim": 8, "mapping_layers": 2, "channels": [[4, 6], [8, 4], [16, 3]],
    }  # fmt: skip


def test_other_learning_rates_and_widths_and_no_noise(tmp_path: Path) -> None:
    form = dict(z_dim=5, mapping_layers=3)
    usual = load_generator(snapshot(tmp_path / "a.pkl", **form))
    scaled = load_generator(snapshot(tmp_path / "b.pkl", multiplier=1.0, **form))
    assert usual.config.z_dim == 5
    torch.testing.assert_close(scaled.state_dict()["mapping.2.bias"], usual.state_dict()["mapping.2.bias"] * 100)
    silent = load_generator(snapshot(tmp_path / "c.pkl", noise=False))
    assert all(layer.noise_strength.item() == 0 for layer in silent.synthesis.layers)


def test_a_bare_generator_and_a_file_of_pytorch_that_holds_one(tmp_path: Path) -> None:
    generator = foreign.nvidia_generator(SMALL)
    bare = load_generator(foreign.write_nvidia(tmp_path / "bare.pkl", generator))
    with foreign.nvidia_packages():
        torch.save({"G_ema": generator}, tmp_path / "saved.pt")
    saved = load_generator(tmp_path / "saved.pt")
    assert all(torch.equal(a, b) for a, b in zip(bare.state_dict().values(), saved.state_dict().values()))


def _changed(change: Any) -> Any:
    generator = foreign.nvidia_generator(SMALL)
    change(generator)
    return {"G_ema": generator}


class _StyleGAN3(foreign.Layer):
    def __init__(self) -> None:
        super().__init__("Generator", c_dim=0)
        self.mapping = foreign.Layer("MappingNetwork", c_dim=0)
        self.synthesis = foreign.Layer("SynthesisNetwork", img_channels=3)
        self.synthesis.input = foreign.Layer("SynthesisInput")
        self.synthesis.L0_36_512 = foreign.Layer("SynthesisLayer")


@pytest.mark.parametrize(
    ("contents", "reason"),
    [
        (lambda: {"G_ema": foreign.nvidia_generator(SMALL, labels=10)}, "conditional .*label of 10"),
        (lambda: {"G_ema": foreign.nvidia_generator(SMALL, architecture="resnet")}, "architecture “resnet”"),
        (lambda: {"G_ema": _StyleGAN3()}, "StyleGAN3"),
        (lambda: {"D": foreign.discriminator()}, "a discriminator but no generator"),
        (lambda: {"G_ema": foreign.discriminator()}, "without a StyleGAN2 generator"),
        (lambda: {"G": foreign.nvidia_generator(SMALL), "D": foreign.discriminator()}, "what it holds: G, D"),
        (lambda: {}, "nothing at all"),
        (lambda: _changed(lambda g: g.synthesis.b8.conv0.resample_filter.mul_(torch.eye(4))), "another filter"),
        (lambda: _changed(lambda g: g.synthesis.b8.conv0.__dict__.update(conv_clamp=5)), "clamps .* several ways"),
        (lambda: _changed(lambda g: g.mapping.fc0.__dict__.update(activation="relu")), "activation “relu”"),
        (lambda: _changed(lambda g: g.synthesis.__dict__.update(img_channels=1)), "of 1 channels"),
        (lambda: _changed(lambda g: g.synthesis.b8.register_buffer("extra", torch.ones(1))), "unknown kind.*extra"),
        (lambda: _changed(lambda g: delattr(g.synthesis.b8.torgb, "bias")), "b8.torgb.bias is missing"),
        (lambda: _changed(lambda g: g.mapping.fc0.__dict__.update(bias_gain="x")), "multiplier “x”"),
        (lambda: _changed(lambda g: g.synthesis.b16.conv1.bias.fill_(float("inf"))), "not finite"),
    ],
)
def test_refusals(tmp_path: Path, contents: Any, reason: str) -> None:
    path = foreign.write_nvidia(tmp_path / "network.pkl", contents())
    with pytest.raises(InputError, match=reason) as caught:
        load_generator(path)
    assert str(path) in str(caught.value)
