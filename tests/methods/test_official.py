"""The preset “official” computes what IPL's released code computes.

The released code can't be part of this project. It was run once beside it, on a CPU in float32, with the same random
CLIP (golden_clip.py), mapper, latents and pictures, all drawn by the recipe of `foreign_files`, and gave the numbers
below. One loop of it, which writes into a tensor that autograd still needs in float32, was written as a stack. For the
choice of layers, its generator's table of channels was cut to CHANNELS, and the array of latents copied that it keeps
for comparison, since on a CPU it would be the one that is trained.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from fakes import foreign_files as foreign
from fakes.golden_clip import golden_critic
from torch import Tensor

from ipl_core import AdaptConfig
from ipl_core.clip.model import Critic
from ipl_core.generators.files import load_generator
from ipl_core.generators.stylegan2.network import Generator
from ipl_core.methods.adapt import distance_to_target
from ipl_core.methods.guidance import Guide
from ipl_core.methods.layers import choose_layers, movement, released_groups
from ipl_core.methods.losses import adaptation_loss
from ipl_core.methods.prompts import ManualPrompts, PromptScheme, templates
from ipl_core.methods.registry import make_prompts
from ipl_core.methods.source_samples import SourcePool
from ipl_core.methods.student import Student

PICTURES = 5
# By the side of the pictures: 32 is the CLIP's own, 101 is resized.
STAGE_1 = {(32, 1.0): 1.897175, (32, 5.0): 2.339297, (101, 1.0): 2.025724, (101, 5.0): 2.467846}
STAGE_2 = {(32, "far"): 0.924492, (32, "near"): 0.826375, (101, "far"): 1.018211, (101, "near"): 1.020171}
#: Every fifth number of the five text directions.
DIRECTIONS = [
    [-0.05329, -0.218122, -0.272082, 0.155382, -0.192016],
    [-0.250161, -0.249734, -0.121955, 0.205048, -0.01151],
    [-0.224498, -0.09398, -0.158437, 0.149163, -0.090399],
    [-0.300306, -0.047611, -0.269836, 0.086945, -0.107412],
    [-0.146103, 0.003725, -0.120486, 0.015682, -0.317848],
]
NADA_DIRECTION = [-0.503396, 0.219323, -0.133484, 0.338839, 0.310463]
CHANNELS = {4: 16, 8: 16, 16: 12, 32: 8}
#: By how far the student's convolutions are from the source's: each row's share of the mean absolute gradients of eight
#: latents, and the modules that are then trained.
LAYERS = {
    0.0: (
        [0.017399, 0.093748, 0.065326, 0.162014, 0.137832, 0.205926, 0.179635, 0.13812],
        {"convs.1", "convs.2", "convs.3", "convs.4", "convs.5"},
    ),
    0.5: (
        [0.017205, 0.128884, 0.102364, 0.193977, 0.172036, 0.136891, 0.143879, 0.104763],
        {"to_rgb1", "convs.1", "convs.2", "convs.3", "convs.4"},
    ),
}
#: What those modules are called here.
OURS = {"to_rgb1": "synthesis.torgb.0", **{f"convs.{k}": f"synthesis.layers.{k + 1}" for k in range(6)}}


@pytest.fixture(scope="module")
def critic() -> Critic:
    return golden_critic()


def official(critic: Critic, **settings: object) -> tuple[AdaptConfig, PromptScheme]:
    config = AdaptConfig("Tolkien elf", source="photo", preset="official", **settings)
    scheme = make_prompts(config, critic, 512, torch.Generator().manual_seed(0))
    with torch.no_grad():
        for index, layer in enumerate(scheme.mapper.layers, start=1):  # layer 0 of the released mapper is pixel norm
            layer.weight.copy_(100 * foreign.recipe(tuple(layer.weight.shape), f"mapper.mapping.{index}.weight"))
            layer.bias.copy_(10 * foreign.recipe(tuple(layer.bias.shape), f"mapper.mapping.{index}.bias"))
    return config, scheme


def pictures(size: int) -> tuple[Tensor, Tensor]:
    """Source pictures and how they change."""
    shape = (PICTURES, 3, size, size)
    return 0.5 * foreign.recipe(shape, f"images {size}"), 0.4 * foreign.recipe(shape, f"changed {size}")


@pytest.mark.parametrize(("size", "lambda_domain"), STAGE_1)
def test_stage_1_loss(critic: Critic, size: int, lambda_domain: float) -> None:
    _, scheme = official(critic, lambda_domain=lambda_domain)
    losses = scheme.losses(foreign.recipe((PICTURES, 512), "w"), critic.encode_images(pictures(size)[0]))
    assert losses["total"].item() == pytest.approx(STAGE_1[size, lambda_domain], abs=1e-5)


def test_text_directions(critic: Critic) -> None:
    _, scheme = official(critic)
    directions = scheme.text_directions(foreign.recipe((PICTURES, 512), "w"))
    torch.testing.assert_close(directions[:, ::5], torch.tensor(DIRECTIONS), rtol=0, atol=1e-5)
    manual = ManualPrompts(critic, "photo", "Tolkien elf", templates("imagenet"))
    torch.testing.assert_close(manual.direction[:, ::5], torch.tensor([NADA_DIRECTION]), rtol=0, atol=1e-5)


@pytest.mark.parametrize(("size", "change"), STAGE_2)
def test_stage_2_loss(critic: Critic, size: int, change: str) -> None:
    """“near” moves the embeddings by 0.003 to 0.008, which other presets hold to be no direction."""
    config, scheme = official(critic)
    source, difference = pictures(size)
    changed = source + difference * {"far": 1.0, "near": 0.02}[change]
    directions = scheme.text_directions(foreign.recipe((PICTURES, 512), "w"))
    embeddings = critic.encode_images(changed), critic.encode_images(source)
    loss = adaptation_loss(*embeddings, directions, config.shortest_move)
    # The shorter the move, the more of the last bits is in its direction.
    assert loss.item() == pytest.approx(STAGE_2[size, change], abs=1e-5 if change == "far" else 1e-4)


@pytest.mark.parametrize("change", LAYERS)
def test_the_choice_of_layers(critic: Critic, change: float, tmp_path: Path) -> None:
    """At a noise of strength 0, since the released code draws a new one for every picture."""
    state = foreign.rosinality_state(CHANNELS, 512, 8)
    for name, tensor in state.items():
        if name.endswith("noise.weight"):
            tensor.zero_()
        elif name.endswith("conv.weight"):
            tensor += change * foreign.recipe(tuple(tensor.shape), f"change {name}")
    torch.save({"g_ema": state}, tmp_path / "student.pt")
    student = load_generator(tmp_path / "student.pt").requires_grad_(False)
    config, scheme = official(critic)
    guides = [Guide(critic, scheme, SourcePool(random_noise=True))]
    distance = distance_to_target(config, Student(config, student), guides)
    shares, modules = LAYERS[change]
    w = student.mapping(foreign.recipe((8, 512), "layer choice z"))
    moved = movement(student, w, distance)
    torch.testing.assert_close(moved / moved.sum(), torch.tensor(shares), rtol=0, atol=1e-5)
    groups = released_groups(student)
    rows = choose_layers(student, w, distance, rows=len(groups))
    chosen = {name for row in rows for name in groups[row]}
    prefixes = tuple(f"{OURS[module]}." for module in modules)
    assert chosen == {name for name, _ in student.named_parameters() if name.startswith(prefixes)}


def test_each_picture_of_the_choice_has_a_noise_of_its_own(critic: Critic, tiny_generator: Generator) -> None:
    for layer in tiny_generator.synthesis.layers:
        layer.noise_strength.fill_(1.0)
    w = tiny_generator.mapping(foreign.recipe((1, tiny_generator.config.z_dim), "layer choice z"))
    for preset, alike in [("official", False), ("paper", True)]:
        config = AdaptConfig("Tolkien elf", preset=preset, method="nada")
        scheme = make_prompts(config, critic, 16, torch.Generator().manual_seed(0))
        guides = [Guide(critic, scheme, SourcePool(not config.share_noise))]
        distance = distance_to_target(config, Student(config, tiny_generator), guides)
        one, other = (movement(tiny_generator, w, distance) for _ in range(2))
        assert torch.equal(one, other) == alike


def test_rows_choose_what_they_choose_in_the_released_code(tiny_generator: Generator) -> None:
    groups = released_groups(tiny_generator)
    assert len(groups) == tiny_generator.num_layers
    assert {name.rsplit(".", 1)[0] for name in groups[1] if "affine" not in name} == {"synthesis.torgb.0"}
    assert groups[0] == tiny_generator.layer_parameters(0)
    assert groups[2:] == [tiny_generator.layer_parameters(k) for k in range(1, tiny_generator.num_layers - 1)]
    assert AdaptConfig("elf", preset="official").layers == "adaptive-released"
