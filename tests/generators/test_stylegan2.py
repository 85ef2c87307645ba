"""The generator and discriminator against the definitions in the StyleGAN papers."""

from __future__ import annotations

import copy
import json
import math

import pytest
import torch
import torch.nn.functional as F

from ipl_core.errors import InputError
from ipl_core.generators.stylegan2.network import (
    EqualLinear,
    Generator,
    GeneratorConfig,
    SynthesisLayer,
    ToRGB,
    config_f_channels,
    initialise,
    pixel_norm,
)
from ipl_core.generators.stylegan2.ops import fir_kernel, upsample
from ipl_core.latents import latents_from_seeds, noise_from_seeds

TABLE = ((4, 6), (8, 5), (16, 4), (32, 3))


def tiny_config() -> GeneratorConfig:
    return GeneratorConfig(resolution=32, z_dim=8, w_dim=7, mapping_layers=2, channels=TABLE)


def shaken(network: torch.nn.Module, seed: int = 9) -> torch.nn.Module:
    """Move every weight off its start, so that biases and noise strengths of zero hide nothing."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.3)
    return network


@pytest.fixture
def generator():
    generator = shaken(Generator(tiny_config(), torch.Generator().manual_seed(0))).eval()
    generator.estimate_w_avg(torch.Generator().manual_seed(1), samples=64)
    return generator


def random_tensor(*shape, seed=0, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


# ----------------------------------------------------------------------------------------------------------------------
# Layers against per-sample references


def reference_modulated_conv(x, weight, styles, *, up, demodulate):
    """One sample at a time, with weights made for that sample (Karras et al. 2020, eq. 1 and 3)."""
    kernel = weight.shape[-1]
    out = []
    for sample, style in zip(x, styles):
        scaled = weight / math.sqrt(weight[0].numel()) * style[None, :, None, None]
        if demodulate:
            scaled = scaled / torch.sqrt(scaled.square().sum((1, 2, 3), keepdim=True) + 1e-8)
        if up:
            # Zeros between the pixels, then true convolution, then the FIR filter with gain 4.
            channels, height, width = sample.shape
            stuffed = torch.zeros(channels, 2 * height - 1, 2 * width - 1, dtype=x.dtype)
            stuffed[:, ::2, ::2] = sample
            wide = F.conv2d(stuffed[None], scaled.flip(2, 3), padding=kernel - 1)
            fir = fir_kernel(4.0, dtype=x.dtype).expand(wide.shape[1], 1, 4, 4)
            out.append(F.conv2d(F.pad(wide, (1, 1, 1, 1)), fir, groups=wide.shape[1]))
        else:
            out.append(F.conv2d(sample[None], scaled, padding=kernel // 2))
    return torch.cat(out)


@pytest.mark.parametrize("up", [False, True])
def test_activation_scaling_equals_per_sample_weights(up):
    layer = SynthesisLayer(4, 5, 6, 8, up=up).double()
    initialise(layer, torch.Generator().manual_seed(0))
    shaken(layer)
    size = 4 if up else 8
    x, w = random_tensor(3, 4, size, size, dtype=torch.float64), random_tensor(3, 6, seed=1, dtype=torch.float64)
    noise = random_tensor(3, 1, 8, 8, seed=2, dtype=torch.float64)
    result = layer(x, w, noise)
    expected = reference_modulated_conv(x, layer.weight, layer.affine(w), up=up, demodulate=True)
    # Noise before bias before activation.
    expected = expected + layer.noise_strength * noise + layer.bias[None, :, None, None]
    expected = F.leaky_relu(expected, 0.2) * math.sqrt(2)
    torch.testing.assert_close(result, expected)

    parameters = list(layer.parameters())
    direction = random_tensor(*result.shape, seed=3, dtype=torch.float64)
    ours = torch.autograd.grad((result * direction).sum(), parameters)
    theirs = torch.autograd.grad((expected * direction).sum(), parameters)
    torch.testing.assert_close(ours, theirs)


def test_demodulated_activations_keep_unit_variance_whatever_the_style():
    layer = SynthesisLayer(64, 64, 4, 16, up=False)
    initialise(layer, torch.Generator().manual_seed(0))
    for scale in (0.01, 1.0, 100.0):
        # A bias far above the activations keeps them on the linear side of the leaky ReLU.
        with torch.no_grad():
            layer.affine.bias.fill_(scale)
            layer.bias.fill_(100.0)
        out = layer(random_tensor(2, 64, 16, 16), torch.zeros(2, 4), None)
        inner = out[:, :, 1:-1, 1:-1] / math.sqrt(2) - 100.0
        assert inner.std().item() == pytest.approx(1.0, abs=0.1)


def test_torgb_is_modulated_but_not_demodulated():
    layer = ToRGB(4, 6).double()
    initialise(layer, torch.Generator().manual_seed(0))
    shaken(layer)
    x, w = random_tensor(3, 4, 5, 5, dtype=torch.float64), random_tensor(3, 6, seed=1, dtype=torch.float64)
    expected = reference_modulated_conv(x, layer.weight, layer.affine(w), up=False, demodulate=False)
    torch.testing.assert_close(layer(x, w), expected + layer.bias[None, :, None, None])


@pytest.mark.parametrize("multiplier", [1.0, 0.01])
def test_equalised_learning_rate(multiplier):
    layer = EqualLinear(400, 300, bias_init=1.0, lr_multiplier=multiplier)
    initialise(layer, torch.Generator().manual_seed(0))
    assert layer.weight.std().item() == pytest.approx(1 / multiplier, rel=0.02)
    x = random_tensor(50, 400, seed=1)
    out = layer(x)
    torch.testing.assert_close(out, x @ layer.weight.t() * multiplier / 20 + layer.bias * multiplier)
    assert (out - 1).std().item() == pytest.approx(1.0, rel=0.05)  # unit variance in, unit variance out
    assert layer.bias[0].item() * multiplier == pytest.approx(1.0)


def test_pixel_norm_gives_unit_mean_square():
    torch.testing.assert_close(pixel_norm(random_tensor(4, 8) * 7).square().mean(1), torch.ones(4))


def test_mapping_forgets_the_length_of_z(generator):
    z = random_tensor(3, 8)
    torch.testing.assert_close(generator.mapping(z), generator.mapping(z * 5), rtol=1e-4, atol=1e-5)


# ----------------------------------------------------------------------------------------------------------------------
# Configuration


@pytest.mark.parametrize("resolution", [8, 32, 64, 128, 256, 512, 1024])
def test_every_resolution_builds_with_the_published_channels(resolution):
    with torch.device("meta"):
        config = GeneratorConfig(resolution)
        generator = Generator(config)
    steps = int(math.log2(resolution))
    assert generator.num_layers == 2 * steps - 2
    assert len(generator.synthesis.layers) == generator.num_layers - 1
    assert len(generator.synthesis.torgb) == steps - 1
    assert generator.synthesis.layers[-1].resolution == resolution


def test_config_f_table_and_size():
    table = dict(config_f_channels(1024))
    assert table == {4: 512, 8: 512, 16: 512, 32: 512, 64: 512, 128: 256, 256: 128, 512: 64, 1024: 32}
    with torch.device("meta"):
        generator = Generator(GeneratorConfig(1024))
    assert generator.num_layers == 18
    # The published size of config F, 30.37 million numbers (mapping 2.10 million among them).
    assert sum(parameter.numel() for parameter in generator.parameters()) == 30_370_060


@pytest.mark.parametrize("resolution", [32, 1024])
def test_every_size_draws_pictures(resolution):
    steps = int(math.log2(resolution))
    config = GeneratorConfig(resolution, 4, 4, 1, tuple((2**i, 2) for i in range(2, steps + 1)))
    generator = Generator(config, torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert generator(random_tensor(1, 4)).shape == (1, 3, resolution, resolution)


def test_config_survives_json():
    for config in (tiny_config(), GeneratorConfig(256)):
        assert GeneratorConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize(
    "arguments",
    [
        {"resolution": 100},
        {"resolution": 4},
        {"resolution": 4096},
        {"resolution": 64.0},
        {"resolution": 32, "z_dim": 0},
        {"resolution": 32, "channels": ((4, 8), (8, 8))},
        {"resolution": 8, "channels": ((4, 8), (8, 0))},
    ],
)
def test_impossible_configurations_are_refused(arguments):
    with pytest.raises(InputError):
        GeneratorConfig(**arguments)


@pytest.mark.parametrize("values", [{}, {"resolution": 32, "depth": 3}, {"resolution": 32, "channels": [[4]]}])
def test_damaged_descriptions_are_refused(values):
    with pytest.raises(InputError):
        GeneratorConfig.from_dict(values)


# ----------------------------------------------------------------------------------------------------------------------
# Latents


def test_w_and_equal_rows_of_w_plus_are_the_same_picture(generator):
    w = generator.mapping(random_tensor(2, 8))
    w_plus = generator.to_w_plus(w)
    assert w_plus.shape == (2, generator.num_layers, 7)
    assert generator.to_w_plus(w_plus) is w_plus
    # Up to rounding: some processors round a matrix product by where its rows lie in memory.
    assert torch.allclose(generator.synthesis(w), generator.synthesis(w_plus), rtol=0, atol=2e-6)


def test_each_row_of_w_plus_drives_its_layers_only(generator):
    # Rows filled with their own number; each affine layer is asked which number it was given.
    rows = torch.arange(generator.num_layers, dtype=torch.float32)
    received: dict[str, int] = {}
    for name, module in generator.synthesis.named_modules():
        if isinstance(module, EqualLinear):
            module.register_forward_pre_hook(
                lambda _module, inputs, name=name: received.update({name: int(inputs[0][0, 0])})
            )
    generator.synthesis(rows[None, :, None].expand(1, -1, 7))
    expected = {f"layers.{k}.affine": k for k in range(generator.num_layers - 1)}
    expected.update({f"torgb.{i}.affine": 2 * i + 1 for i in range(generator.num_layers // 2)})
    assert received == expected


def test_truncation(generator):
    w = generator.mapping(random_tensor(3, 8))
    assert torch.equal(generator.truncate(w, 1.0), w)
    torch.testing.assert_close(generator.truncate(w, 0.0), generator.w_avg.expand(3, -1))
    torch.testing.assert_close(generator.truncate(w, 0.7), generator.w_avg + 0.7 * (w - generator.w_avg))
    w_plus = generator.to_w_plus(w)
    torch.testing.assert_close(generator.truncate(w_plus, 0.7), generator.to_w_plus(generator.truncate(w, 0.7)))
    z = random_tensor(3, 8)
    assert torch.equal(generator(z, psi=0.7), generator.synthesis(generator.truncate(generator.mapping(z), 0.7)))


def test_mean_latent_is_the_mean(generator):
    draws = torch.randn(64, 8, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(generator.w_avg, generator.mapping(draws).mean(0).detach())
    assert not generator.w_avg.requires_grad


def test_wrong_shapes_are_named(generator):
    for shape in ((2, 6), (2, 3, 7), (7,)):
        with pytest.raises(ValueError, match="w must be"):
            generator.synthesis(torch.zeros(shape))


# ----------------------------------------------------------------------------------------------------------------------
# Noise


def test_noise_modes(generator):
    w = generator.mapping(random_tensor(2, 8))
    constant = generator.synthesis(w)
    assert torch.equal(constant, generator.synthesis(w, "const"))
    assert torch.equal(constant, generator.synthesis(w, list(generator.synthesis.noise.buffers())))
    silent = generator.synthesis(w, None)
    zeros = [torch.zeros_like(buffer) for buffer in generator.synthesis.noise.buffers()]
    torch.testing.assert_close(silent, generator.synthesis(w, zeros))
    assert not torch.allclose(silent, constant)
    random = generator.synthesis(w, "random", torch.Generator().manual_seed(3))
    assert torch.equal(random, generator.synthesis(w, generator.make_noise(torch.Generator().manual_seed(3), 2)))
    assert not torch.allclose(random, constant)


def test_noise_is_the_sample_s_own(generator):
    shapes = [tuple(noise.shape) for noise in generator.make_noise(torch.Generator().manual_seed(0), 2)]
    assert shapes == [(2, 1, size, size) for size in (4, 8, 8, 16, 16, 32, 32)]
    together = noise_from_seeds([5, 6, 7], generator)
    alone = noise_from_seeds([6], generator)
    assert all(torch.equal(many[1:2], one) for many, one in zip(together, alone))
    assert not torch.equal(together[0][0], together[0][1])
    pair = [torch.Generator().manual_seed(seed) for seed in (1, 2)]
    w = generator.mapping(random_tensor(2, 8))
    assert generator.synthesis(w, "random", pair).shape == (2, 3, 32, 32)


def test_noise_requests_that_make_no_sense(generator):
    w = torch.zeros(2, 7)
    with pytest.raises(ValueError, match="Generator"):
        generator.synthesis(w, "random")
    with pytest.raises(ValueError, match="const"):
        generator.synthesis(w, "loud")
    with pytest.raises(ValueError, match="7 tensors"):
        generator.synthesis(w, [torch.zeros(1, 1, 4, 4)])
    with pytest.raises(ValueError, match="one per sample"):
        generator.synthesis(w, "random", [torch.Generator()])


def test_constant_noise_travels_in_the_state_dict(generator):
    assert "synthesis.noise.0" in generator.state_dict()
    other = Generator(tiny_config())
    other.load_state_dict(generator.state_dict())
    z = random_tensor(2, 8)
    assert torch.equal(generator(z), other(z))


# ----------------------------------------------------------------------------------------------------------------------
# Behaviour of the whole


def test_a_batch_is_its_samples(generator):
    z = latents_from_seeds([0, 1, 2, 3], 8)
    noise = noise_from_seeds([0, 1, 2, 3], generator)
    batch = generator(z, psi=0.8, noise=noise)
    for i in range(4):
        one = generator(z[i : i + 1], psi=0.8, noise=[layer[i : i + 1] for layer in noise])
        torch.testing.assert_close(batch[i : i + 1], one, rtol=1e-4, atol=1e-5)


def test_weights_come_from_the_generator_passed_in():
    torch.manual_seed(0)
    state = torch.random.get_rng_state()
    first = Generator(tiny_config(), torch.Generator().manual_seed(4))
    second = Generator(tiny_config(), torch.Generator().manual_seed(4))
    third = Generator(tiny_config(), torch.Generator().manual_seed(5))
    assert torch.equal(state, torch.random.get_rng_state())
    assert all(torch.equal(a, b) for a, b in zip(first.state_dict().values(), second.state_dict().values()))
    assert not torch.equal(first.synthesis.input, third.synthesis.input)
    assert first.synthesis.layers[0].affine.bias.eq(1).all()


def test_state_dict_names_are_stable():
    names = set(Generator(GeneratorConfig(8, 4, 4, 2, ((4, 2), (8, 2)))).state_dict())
    layer = ("weight", "bias", "noise_strength", "affine.weight", "affine.bias")
    expected = {"w_avg", "synthesis.input"}
    expected |= {f"mapping.{i}.{name}" for i in range(2) for name in ("weight", "bias")}
    expected |= {f"synthesis.layers.{k}.{name}" for k in range(3) for name in layer}
    expected |= {f"synthesis.torgb.{i}.{name}" for i in range(2) for name in layer if name != "noise_strength"}
    expected |= {f"synthesis.noise.{k}" for k in range(3)}
    assert names == expected


def test_every_parameter_belongs_to_one_part(generator):
    listed = [*generator.mapping_parameters(), "synthesis.input", *generator.torgb_parameters()]
    for k in range(7):
        listed += generator.layer_parameters(k)
    assert sorted(listed) == sorted(name for name, _ in generator.named_parameters())
    assert "synthesis.layers.3.affine.weight" in generator.layer_parameters(3)
    for k in (-1, 7):
        with pytest.raises(ValueError, match="0 to 6"):
            generator.layer_parameters(k)


def test_gradients_reach_every_parameter_and_only_wanted_ones(generator):
    generator(random_tensor(2, 8)).square().mean().backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in generator.parameters())

    frozen = copy.deepcopy(generator).requires_grad_(False)
    w_plus = frozen.to_w_plus(frozen.mapping(random_tensor(2, 8))).requires_grad_()
    frozen.synthesis(w_plus).square().mean().backward()
    assert w_plus.grad.abs().sum((0, 2)).gt(0).all()
    assert all(parameter.grad is None or parameter.grad.abs().sum() > 0 for parameter in frozen.parameters())


def test_path_length_gradient_of_second_order(generator):
    w = generator.mapping(random_tensor(2, 8))
    pictures = generator.synthesis(w)
    (slope,) = torch.autograd.grad((pictures * random_tensor(*pictures.shape)).sum(), w, create_graph=True)
    slope.square().sum().backward()
    assert generator.synthesis.layers[2].weight.grad.abs().sum() > 0


def test_synthesis_stopped_early_gives_the_picture_that_the_full_one_is_built_on():
    config = GeneratorConfig(32, 8, 8, 2, ((4, 8), (8, 8), (16, 8), (32, 4)))
    generator = Generator(config, torch.Generator().manual_seed(0))
    w = torch.randn(2, 8, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        early = generator.synthesis(w, resolution=16)
        generator.synthesis.torgb[-1].weight.zero_()
        full = generator.synthesis(w)
    assert early.shape == (2, 3, 16, 16)
    assert torch.allclose(upsample(early), full, atol=1e-6)


# ----------------------------------------------------------------------------------------------------------------------
# Networks that limit their activations


def test_a_limit_of_activations_holds_and_lets_gradients_through():
    channels = ((4, 4), (8, 3))
    free = Generator(GeneratorConfig(8, 4, 4, 2, channels), torch.Generator().manual_seed(0))
    limited = Generator(GeneratorConfig(8, 4, 4, 2, channels, conv_clamp=0.5), torch.Generator().manual_seed(0))
    z = torch.randn(2, 4, generator=torch.Generator().manual_seed(1))
    seen = []
    for layer in limited.synthesis.layers:
        layer.register_forward_hook(lambda module, inputs, output: seen.append(output.abs().max().item()))
    images = limited(z)
    assert seen == [0.5, 0.5, 0.5]
    assert images.abs().max() <= 1.0  # two toRGB of at most 0.5 each
    assert not torch.allclose(images, free(z))
    images.square().mean().backward()
    assert limited.synthesis.layers[0].weight.grad.abs().sum() > 0
    high = Generator(GeneratorConfig(8, 4, 4, 2, channels, conv_clamp=1e6), torch.Generator().manual_seed(0))
    assert torch.equal(high(z), free(z))


def test_the_limit_is_part_of_the_description_where_there_is_one():
    limited = GeneratorConfig(8, conv_clamp=256)
    assert GeneratorConfig.from_dict(limited.to_dict()) == limited
    assert "conv_clamp" not in GeneratorConfig(8).to_dict()
    for nonsense in (0, -1, float("inf"), float("nan"), "256"):
        with pytest.raises(InputError, match="conv_clamp"):
            GeneratorConfig(8, conv_clamp=nonsense)
