"""Diffusion Autoencoders: layers and sampler give the reference's numbers, and every bad number of steps a sentence."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from fakes import diffae_oracle as oracle
from fakes import foreign_files as foreign
from fakes.small_diffusion import EMBEDDED
from torch import Tensor

from ipl_core.errors import InputError
from ipl_core.generators.diffusion.model import (
    DiffusionAutoencoder,
    DiffusionConfig,
    LatentNetConfig,
)
from ipl_core.generators.diffusion.network import UNetConfig, time_features
from ipl_core.generators.diffusion.released import released_config, released_names
from ipl_core.generators.diffusion.sampler import downwards, step, travel, upwards
from ipl_core.generators.diffusion.schedule import (
    PREDICTIONS,
    Schedule,
    constant_alphas,
    cosine_alphas,
    linear_alphas,
    strided,
    up_to,
)

# What phizaz/diffae (00c57d3) computed on the CPU with PyTorch 2.14 and the recipe's weights (diffae_oracle.weight) for
# BeatGANsAutoencConfig(image_size=32, model_channels=32, channel_mult=(1, 1, 2), enc_channel_mult=(1, 1, 2, 2),
# embed_channels=64, enc_out_channels=64, attention_resolutions=(16,), enc_pool="adaptivenonzero",
# resnet_two_cond=True, resblock_updown=True) and a latent net of 4 layers of 128, as templates.py sets the rest.
# Pictures are half the recipe's "pictures", clipped. "encoder": code [0, ::9]. "u-net": ε of the recipe's "noise" at
# t = 37 and 801 [1, :, ::11, ::13]. "x_t": of ddim_reverse_sample_loop in ten steps, "decoded": of sample from there,
# both [0, :, ::11, ::13]. "latent net": of the recipe's "z" at those t [1, ::9]. "latent": sampled in 20 [0, ::9].
# All in double precision, which its GroupNorm and time features were kept from lowering: a network that knows no
# pictures blows rounding errors up 60 times at t = 900.
GOLDEN = {
    "encoder": [-0.09261, -0.291288, 0.293522, 0.104842, 0.087296, 0.097267, -0.029763, 0.319979],
    "u-net": [
        -0.559494, -0.757916, 0.14041, -0.328147, 0.443864, -0.430248, -0.609574, 0.178564, -0.187922,
        0.175731, 0.612734, 1.046104, 0.13884, -0.208079, 0.186445, -0.397324, 0.540354, -0.120251,
        -0.215327, 0.510359, 0.14636, 0.192367, 0.250647, 0.213454, -0.687751, 1.388647, -0.127561,
    ],
    "x_t": [
        -0.237736, -0.156543, -0.25014, -0.366344, -0.913671, -0.135258, -0.201731, -0.505622, -2.224273,
        0.266245, 0.989232, 0.301005, -0.361399, -0.587445, 0.424201, -0.57324, 0.017187, -0.572152,
        0.517965, 0.33738, -0.059127, 0.728906, 0.922481, 0.323251, -0.141887, -0.052313, -0.549385,
    ],
    "decoded": [
        -0.794638, -0.212092, 0.454696, -0.959625, 1.0, 0.188398, 0.80952, -0.998394, -0.326894, 0.227604,
        0.777858, 0.833485, 0.555662, -1.0, 1.0, -1.0, 0.574486, 0.082897, 0.344739, -0.619931, -1.0,
        -0.550017, 1.0, -1.0, -0.25829, 0.638332, 0.935315,
    ],
    "latent net": [-0.025943, 0.398404, 0.757339, -0.095343, 0.34806, 0.889379, -0.135917, -1.432348],
    "latent": [
        -43.205271, 189.304096, 2.683224, -49.677652, 275.960652, 63.948628, 26.756921, -165.143132,
    ],
}  # fmt: skip
LINEAR_BETAS = [1e-4 + (0.02 - 1e-4) * t / 999 for t in range(1000)]


def close(found: Tensor, wanted: Tensor | list[float], atol: float = 1e-4) -> None:
    torch.testing.assert_close(found, torch.as_tensor(wanted).to(found), rtol=1e-4, atol=atol)


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    """Weights of the recipe for the small model of golden numbers, under the released names."""
    small = oracle.SMALL
    found = oracle.shapes(small["widths"], small["encoder"], 32, small["code"], small["latent"])
    return {name: tensor.double() for name, tensor in oracle.state_of(found).items()}


@pytest.fixture(scope="module")
def model(state: dict[str, Tensor]) -> DiffusionAutoencoder:
    """The product's model with those weights, in double precision."""
    layouts = [
        UNetConfig(widths, (1,), time_features=32, time_width=64)
        for widths in (oracle.SMALL["widths"], oracle.SMALL["encoder"])
    ]
    codes = Schedule(constant_alphas(), "epsilon", clamp=False)
    config = DiffusionConfig(
        32, *layouts, Schedule(linear_alphas(), "epsilon"), LatentNetConfig(codes, 128, 4, 64, 64, 20), 64, 64, 10, 10
    )
    made = DiffusionAutoencoder(config, torch.Generator().manual_seed(0)).eval().double()
    made.load_state_dict({ours: state[theirs] for theirs, ours in released_names(made)}, strict=False)
    return made


def embedded(seed: int = 0) -> DiffusionAutoencoder:
    """A tiny model of the embedded layout whose zero-started layers have been filled, so that codes matter."""
    random = torch.Generator().manual_seed(seed)
    made = DiffusionAutoencoder(EMBEDDED, random)
    with torch.no_grad():
        for parameter in made.synthesis.parameters():
            if not parameter.any():
                parameter.copy_(torch.randn(parameter.shape, generator=random) * 0.05)
    return made.eval()


def pictures() -> Tensor:
    return (numbers("pictures", 3, 32, 32) * 0.5).clamp(-1, 1)


def numbers(name: str, *shape: int) -> Tensor:
    """Two of the recipe's tensors, in double precision."""
    return foreign.recipe((2, *shape), name).double()


# ----------------------------------------------------------------------------------------------------------------------
# The released layout


@pytest.mark.parametrize(
    ("resolution", "widths", "encoder", "tensors", "parameters"),
    [
        (256, (128, 128, 256, 256, 512, 512), (128, 128, 256, 256, 512, 512, 512), 706, (138_341_891, 30_150_400)),
        (128, (128, 128, 256, 384, 512), (128, 128, 256, 384, 512, 512), 608, (103_871_619, 24_673_536)),
    ],
)
def test_the_released_models_have_these_tensors_and_no_others(
    resolution: int,
    widths: tuple[int, ...],
    encoder: tuple[int, ...],
    tensors: int,
    parameters: tuple[int, int],
) -> None:
    with torch.device("meta"):
        made = DiffusionAutoencoder(released_config(resolution, latent=True))
    ours = made.state_dict()
    found = {theirs: tuple(ours[name].shape) for theirs, name in released_names(made)}
    assert found == oracle.shapes(widths, encoder, resolution, latent=(2048, 10))
    assert sum(name.startswith("latent_net.") for name in found) == 78
    assert len(found) == tensors + 78
    left_out = {"mapping.mean", "mapping.std", "synthesis.noise.0"}
    assert ours.keys() - {name for _, name in released_names(made)} == left_out
    parts = (made.synthesis.unet, made.encoder, made.mapping.net)
    assert [sum(p.numel() for p in part.parameters()) for part in parts] == [*parameters, 54_109_696]
    scales = [shape[0] for name, shape in found.items() if name.endswith("cond_emb_layers.1.bias")]
    assert (sum(scales), len(scales)) == ((12_928, 42) if resolution == 256 else (10_240, 35))


def test_forward_passes_are_those_of_the_reference(model: DiffusionAutoencoder) -> None:
    t, noise, z = torch.tensor([37, 801]), numbers("noise", 3, 32, 32), numbers("z", 64)
    with torch.no_grad():
        code = model.encoder(pictures())
        close(code[0, ::9], GOLDEN["encoder"])
        close(model.synthesis.unet(noise, t, code)[1, :, ::11, ::13].flatten(), GOLDEN["u-net"])
        w_plus, (x_t,) = model.encode(pictures(), 10)
        assert torch.equal(w_plus[:, 0], code)
        close(x_t[0, :, ::11, ::13].flatten(), GOLDEN["x_t"])
        close(model.synthesis(w_plus, [x_t], steps=10)[0, :, ::11, ::13].flatten(), GOLDEN["decoded"])
        close(model.mapping.net(z, t)[1, ::9], GOLDEN["latent net"])
        close(model.mapping(z)[0, ::9], GOLDEN["latent"])


def test_forward_passes_are_those_of_the_oracle(model: DiffusionAutoencoder, state: dict[str, Tensor]) -> None:
    plain = oracle.Oracle(state)
    seen, noise, z = pictures(), numbers("other", 3, 32, 32), numbers("z", 64)
    with torch.no_grad():
        code = plain.encoder(seen)
        close(model.encoder(seen), code)
        for t in (0, 500, 999):
            times = torch.full((2,), t)
            close(model.synthesis.unet(noise, times, code), plain.noise(noise, t, code))
            close(model.mapping.net(z, times), plain.latent(z, t))

        def predicted(x: Tensor, t: int) -> Tensor:
            return plain.noise(x, t, code)

        x_t = oracle.ddim(predicted, seen, 10, True, LINEAR_BETAS, clip=True)
        close(model.encode(seen, 10)[1][0], x_t)
        decoded = oracle.ddim(predicted, x_t, 10, False, LINEAR_BETAS, clip=True)
        close(model.synthesis(code, [x_t], steps=10), decoded)
        drawn = oracle.ddim(plain.latent, z, 20, False, [0.008] * 1000, clip=False)
        close(model.mapping(z), drawn)


def test_the_code_gets_a_gradient_once_the_zero_started_layers_have_moved() -> None:
    made = DiffusionAutoencoder(EMBEDDED, torch.Generator().manual_seed(0)).train()
    unet = made.synthesis.unet
    optimiser = torch.optim.Adam(unet.parameters(), 1e-2)
    random = torch.Generator().manual_seed(1)
    sizes = []
    for _ in range(4):
        code = torch.randn(4, 12, generator=random).requires_grad_(True)
        x = torch.randn(4, 3, 16, 16, generator=random)
        optimiser.zero_grad()
        (unet(x, torch.full((4,), 50), code) - x).square().mean().backward()
        sizes.append(float(code.grad.norm()))
        optimiser.step()
    assert sizes[0] == 0 < sizes[-1]


# ----------------------------------------------------------------------------------------------------------------------
# The embedded layout and the interface of generators


def test_the_embedded_layout_draws_and_finds_codes() -> None:
    made = embedded()
    z = torch.randn(3, 6, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        w = made.mapping(z)
        assert w.shape == (3, 12)
        drawn = made(z)
        assert drawn.shape == (3, 3, 16, 16)
        assert drawn.abs().max() <= 1
        assert torch.equal(made.synthesis(made.to_w_plus(w)), drawn)
        assert not torch.allclose(made.synthesis(w.flip(0)), drawn)  # the code matters
        seen = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(6)) - 0.5
        w_plus, noise = made.encode(seen, 100)
        assert torch.equal(w_plus, made.to_w_plus(made.encoder(seen)))
        close(made.synthesis(w_plus, noise, steps=100), seen, atol=0.05)
    truncated = made.truncate(w, 0.5)
    close(truncated, (w + made.w_avg) / 2)
    assert made.truncate(w, 1.0) is w


def test_a_sample_is_the_same_in_any_batch() -> None:
    made = embedded()
    z = torch.randn(5, 6, generator=torch.Generator().manual_seed(5))

    def noise(seeds: range) -> list[Tensor]:
        return made.make_noise([torch.Generator().manual_seed(seed) for seed in seeds])

    with torch.no_grad():
        together = made(z, noise=noise(range(5)))
        alone = torch.cat([made(z[i : i + 1], noise=noise(range(i, i + 1))) for i in range(5)])
        again = made(z, noise="random", generator=[torch.Generator().manual_seed(seed) for seed in range(5)])
    assert torch.equal(noise(range(5))[0][3:], noise(range(3, 5))[0])
    assert torch.equal(together, again)
    close(alone, together, atol=1e-5)


def test_recomputing_gives_the_same_gradient() -> None:
    made = embedded()
    z = torch.randn(2, 6, generator=torch.Generator().manual_seed(5))
    gradients = []
    for recompute in (False, True):
        made.zero_grad()
        made.synthesis(made.mapping(z), steps=4, recompute=recompute).square().mean().backward()
        gradients.append([p.grad.clone() for p in made.synthesis.parameters()])
    for plain, again in zip(*gradients):
        close(again, plain, atol=1e-6)


def test_latents_and_noise_of_another_shape_are_refused() -> None:
    made = embedded()
    with pytest.raises(ValueError, match=r"w must be \(B, 12\) or \(B, 1, 12\)"):
        made.synthesis(torch.zeros(1, 2, 12))
    for noise in ("none", [torch.zeros(1)] * 2):
        with pytest.raises(ValueError, match="one x_T"):
            made.synthesis(torch.zeros(1, 12), noise)
    with pytest.raises(ValueError, match=r"torch\.Generator"):
        made.synthesis(torch.zeros(1, 12), "random")
    with pytest.raises(ValueError, match="one per sample"):
        made.make_noise([torch.Generator()], 2)


def test_a_picture_that_is_not_square_is_refused_and_another_size_resampled() -> None:
    made = embedded()
    with pytest.raises(InputError, match="has 20×16 pixels: cut a square first"):
        made.encode(torch.zeros(1, 3, 16, 20))
    with torch.no_grad():
        w_plus, (x_t,) = made.encode(torch.zeros(1, 3, 40, 40))
    assert (w_plus.shape, x_t.shape) == ((1, 1, 12), (1, 3, 16, 16))


def test_without_a_latent_net_nothing_is_drawn_of_a_seed() -> None:
    made = DiffusionAutoencoder(
        DiffusionConfig(16, EMBEDDED.unet, EMBEDDED.encoder, EMBEDDED.schedule, None, 12, 12, 10, 10),
        torch.Generator().manual_seed(0),
    )
    with pytest.raises(InputError, match="its latent net is missing"):
        made(torch.zeros(1, 12))


def test_descriptions_are_read_back_and_nonsense_is_refused(model: DiffusionAutoencoder) -> None:
    for config in (EMBEDDED, model.config, released_config(128)):
        assert DiffusionConfig.from_dict(config.to_dict()) == config
    good = EMBEDDED.to_dict()
    for place, value, says in (
        (("resolution",), 17, "multiple of 4"),
        (("resolution",), "16", "resolution is a whole number"),
        (("steps",), 60, "choose 50 or 100 steps"),
        (("encoder", "kind"), "vae", "no part of the kind “vae”"),
        (("unet", "widths"), (8, 17), "multiples of its 4 groups"),
        (("unet", "up_blocks"), 3, "one block more"),
        (("unet", "attention"), (2,), r"attention\[0\]"),
        (("schedule", "prediction"), "flow", "epsilon, sample, v_prediction"),
        (("schedule", "alphas"), [0.5, 0.6], "fall"),
        (("schedule", "alphas"), [0.5, float("nan")], "between 0 and 1"),
        (("mapping", "width"), 0, "mapping's width"),
        (("mapping", "layers"), 65, "mapping's layers is a whole number from 1 to 64"),
        (("encoder", "w_dim"), 13, "codes of 13 numbers, not 12"),
        (("unet", "depth"), 3, "unknown"),
    ):
        values = EMBEDDED.to_dict()
        part = values
        for name in place[:-1]:
            part = part[name]
        part[place[-1]] = value
        with pytest.raises(InputError, match=says):
            DiffusionConfig.from_dict(values)
    with pytest.raises(InputError, match="as wide as its codes, 64, not 6"):
        replace(model.config, z_dim=6)
    del good["unet"]
    with pytest.raises(InputError, match="lacks a part"):
        DiffusionConfig.from_dict(good)


# ----------------------------------------------------------------------------------------------------------------------
# Schedule and sampler


def test_schedules_are_those_of_the_papers() -> None:
    product = 1.0
    for t, beta in enumerate(LINEAR_BETAS):
        product *= 1 - beta
        assert math.isclose(linear_alphas()[t], product, rel_tol=1e-9)
        assert math.isclose(constant_alphas()[t], 0.992 ** (t + 1), rel_tol=1e-9)
    plain, shifted = (torch.tensor(cosine_alphas(1000, shift), dtype=torch.float64).logit() for shift in (0.0, -1.5))
    torch.testing.assert_close(shifted, plain - 1.5)
    assert math.isclose(cosine_alphas(1000)[499], math.cos(math.pi / 2 * 0.4995) ** 2, rel_tol=1e-9)


def test_strides_are_the_smallest_that_give_the_number_of_steps() -> None:
    assert strided(1000, 20) == list(range(0, 1000, 50))
    assert strided(1000, 20)[-1] == 950
    assert strided(1000, 7) == list(range(0, 1000, 143))
    existing = [n for n in range(1, 1001) if _exists(n)]
    assert existing[:35] == list(range(2, 37))
    assert {40, 50, 100, 125, 200, 250, 500, 1000} <= set(existing)
    assert not {37, 60} & set(existing)


def _exists(steps: int) -> bool:
    try:
        return len(strided(1000, steps)) == steps
    except InputError:
        return False


@pytest.mark.parametrize(
    ("steps", "says"),
    [(37, "choose 36 or 38"), (60, "choose 59 or 63"), (0, "from 2 to 1000, got 0"), (1, "got 1"), (1001, "got 1001")],
)
def test_steps_that_no_stride_gives_are_refused_with_those_that_exist(steps: int, says: str) -> None:
    with pytest.raises(InputError, match=says):
        downwards(Schedule(linear_alphas()), steps)


@pytest.mark.parametrize("t0", [0, -1, 1000, 1001, 2.5, True, "400"])
def test_a_t0_outside_the_schedule_is_refused(t0: object) -> None:
    for way in (upwards, downwards):
        with pytest.raises(InputError, match="t0 must be a whole number from 1 to 999"):
            way(Schedule(linear_alphas()), 6, t0)


def test_parts_of_the_way_are_evenly_spaced_and_end_at_t0() -> None:
    schedule = Schedule(linear_alphas())
    assert up_to(400, 6) == [0, 80, 160, 240, 320, 400]
    up, down = list(upwards(schedule, 4, 400)), list(downwards(schedule, 5, 400))
    assert [t for t, _ in up] == [0, 100, 200, 300]
    assert up[-1][1] == schedule.alphas[400]
    assert [t for t, _ in down] == [400, 300, 200, 100, 0]
    assert down[-1][1] == 1
    assert list(downwards(schedule, 1, 400)) == [(400, 1.0)]
    for steps in (0, 401):
        with pytest.raises(InputError, match="from 1 to 400 steps"):
            upwards(schedule, steps, 400)


@pytest.mark.parametrize(("prediction", "spread"), [*((kind, None) for kind in PREDICTIONS), ("v_prediction", 0.2)])
def test_every_prediction_implies_the_same_picture_and_noise(prediction: str, spread: float | None) -> None:
    schedule = Schedule(cosine_alphas(1000), prediction, clamp=False, spread=spread)
    random = torch.Generator().manual_seed(0)
    x0, noise = torch.randn(2, 4, 3, 8, 8, generator=random).double()
    t = torch.tensor([0, 300, 700, 990])
    x = schedule.noised(x0, t, noise)
    found = schedule.clean(x, t, schedule.target(x0, t, noise))
    torch.testing.assert_close(found, x0, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(schedule.noise(x, t, x0), noise, rtol=1e-6, atol=1e-6)


def test_a_spread_takes_the_linear_part_of_v_from_the_network() -> None:
    """An error of the output is the same error of v; without an output, x̂_0 is the linear guess around nothing."""
    plain, skipping = (Schedule(cosine_alphas(1000), "v_prediction", False, spread) for spread in (None, 0.2))
    random = torch.Generator().manual_seed(0)
    x0, noise, error = torch.randn(3, 4, 3, 8, 8, generator=random).double()
    t = torch.tensor([0, 300, 700, 990])
    x = plain.noised(x0, t, noise)
    for schedule in (plain, skipping):
        found = schedule.clean(x, t, schedule.target(x0, t, noise) + error)
        _, sigma = schedule.signal_and_noise(t, x)
        torch.testing.assert_close(found, x0 - sigma * error, rtol=1e-6, atol=1e-6)
    # With x_0 of that spread, what is left for the network is uncorrelated with x_t and about as large everywhere.
    spread_out = 0.2 * torch.randn(4, 3, 256, 256, generator=random).double()
    fresh = torch.randn(4, 3, 256, 256, generator=random).double()
    left, noised = skipping.target(spread_out, t, fresh).flatten(1), skipping.noised(spread_out, t, fresh).flatten(1)
    assert ((left * noised).mean(1).abs() < 0.02).all()
    assert ((left.std(1) > 0.19) & (left.std(1) < 1.01)).all()
    for bad in (0.0, 1.5, 1, "0.2"):
        with pytest.raises(InputError, match="spread is a number above 0"):
            Schedule(cosine_alphas(10), "v_prediction", True, bad)
    with pytest.raises(InputError, match="v_prediction alone"):
        Schedule(cosine_alphas(10), "epsilon", True, 0.2)


def test_the_clean_picture_is_held_in_bounds_and_noise_derived_from_it_again() -> None:
    schedule = Schedule(linear_alphas(), "sample")
    x = torch.full((1, 3, 2, 2), 0.3)

    def predict(x: Tensor, t: Tensor) -> Tensor:
        return torch.full_like(x, 3.0)

    after, x0 = step(predict, schedule, x, 500, schedule.alphas[250])
    assert torch.equal(x0, torch.ones_like(x))
    alpha, following = schedule.alphas[500], schedule.alphas[250]
    noise = (0.3 - math.sqrt(alpha)) / math.sqrt(1 - alpha)
    close(after, torch.full_like(x, math.sqrt(following) + math.sqrt(1 - following) * noise), atol=1e-6)
    _, free = step(predict, schedule, x, 500, schedule.alphas[250], clamp=False)
    assert torch.equal(free, torch.full_like(x, 3.0))


def test_the_way_up_ends_in_the_last_noise_and_leads_back() -> None:
    """With a network that knows the picture, both ways are exact."""
    schedule = Schedule(linear_alphas(), "sample")
    picture = torch.rand(1, 3, 4, 4, generator=torch.Generator().manual_seed(0)) * 2 - 1

    def predict(x: Tensor, t: Tensor) -> Tensor:
        return picture

    noise = travel(predict, schedule, picture * 0.9, upwards(schedule, 10))
    expected = schedule.noise(picture * 0.9, torch.tensor([0]), picture)
    close(noise, expected, atol=1e-3)  # ε of the first step is carried to the end
    close(travel(predict, schedule, noise, downwards(schedule, 10)), picture, atol=1e-6)


def test_times_become_cosines_and_then_sines() -> None:
    found = time_features(torch.tensor([0, 250]), 8)
    close(found[0], [1.0] * 4 + [0.0] * 4, atol=1e-6)
    angles = [250 * 10_000 ** (-k / 4) for k in range(4)]
    close(found[1], [*map(math.cos, angles), *map(math.sin, angles)], atol=1e-4)
