"""Filtering and activation against slow, direct references in float64."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from ipl_core.generators.stylegan2.ops import bias_act, blur, fir_kernel, styled_act, upsample


def reference_upfirdn(x, kernel, up=1, down=1, before=0, after=0):
    """Insert zeros, pad, convolve (flipped kernel), keep every ``down``-th sample; one output at a time."""
    batch, channels, height, width = x.shape
    stuffed = torch.zeros(batch, channels, height * up + before + after, width * up + before + after, dtype=x.dtype)
    for row, column in itertools.product(range(height), range(width)):
        stuffed[:, :, row * up + before, column * up + before] = x[:, :, row, column]
    size = kernel.shape[0]
    flipped = kernel.flip(0, 1)
    rows = range(0, stuffed.shape[2] - size + 1, down)
    columns = range(0, stuffed.shape[3] - size + 1, down)
    out = torch.zeros(batch, channels, len(rows), len(columns), dtype=x.dtype)
    for (i, row), (j, column) in itertools.product(enumerate(rows), enumerate(columns)):
        out[:, :, i, j] = (stuffed[:, :, row : row + size, column : column + size] * flipped).sum((2, 3))
    return out


@pytest.fixture
def picture():
    return torch.randn(2, 3, 6, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.fixture
def taps():
    one = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=torch.float64) / 8
    return torch.outer(one, one)


def test_kernel_sums_to_its_gain():
    assert fir_kernel().sum().item() == pytest.approx(1.0)
    assert fir_kernel(4.0).sum().item() == pytest.approx(4.0)
    assert torch.equal(fir_kernel(), fir_kernel().t())


@pytest.mark.parametrize("padding", [(1, 1), (2, 2), (2, 1), (1, 2)])
def test_blur_is_the_direct_convolution(picture, taps, padding):
    expected = reference_upfirdn(picture, taps * 4, before=padding[0], after=padding[1])
    torch.testing.assert_close(blur(picture, padding, gain=4.0), expected)


def test_upsample_is_the_direct_convolution(picture, taps):
    expected = reference_upfirdn(picture, taps * 4, up=2, before=2, after=1)
    assert expected.shape[-2:] == (12, 12)
    torch.testing.assert_close(upsample(picture), expected)


def test_flat_pictures_keep_their_brightness_inside():
    flat = torch.full((1, 1, 8, 8), 0.7)
    torch.testing.assert_close(upsample(flat)[..., 2:-2, 2:-2], torch.full((1, 1, 12, 12), 0.7))


@pytest.mark.parametrize("function", [upsample, lambda x: blur(x, (1, 1))])
def test_gradients_of_first_and_second_order(function):
    x = torch.randn(1, 2, 4, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(function, x)
    assert torch.autograd.gradgradcheck(function, x)


def test_filters_work_in_any_layout_and_after_inference_mode(picture):
    with torch.inference_mode():
        inside = upsample(picture.float())
    x = picture.float().contiguous(memory_format=torch.channels_last).requires_grad_()
    outside = upsample(x)
    outside.sum().backward()  # fails when a cached filter was made as an inference tensor
    torch.testing.assert_close(inside, outside.detach())


@pytest.mark.parametrize("shape", [(4, 3), (2, 3, 5, 5)])
def test_bias_act(shape):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(2))
    before = x.clone()
    bias = torch.tensor([0.5, -1.0, 2.0])
    shifted = x + bias.view(1, 3, *[1] * (len(shape) - 2))
    expected = torch.where(shifted > 0, shifted, 0.2 * shifted) * math.sqrt(2)
    torch.testing.assert_close(bias_act(x, bias), expected)
    torch.testing.assert_close(bias_act(shifted), expected)
    torch.testing.assert_close(bias_act(x, bias, gain=1.0), expected / math.sqrt(2))
    assert torch.equal(x, before)


@pytest.mark.parametrize("clamp", [None, 1.0])
@pytest.mark.parametrize("noisy", [False, True])
def test_styled_act(noisy, clamp):
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(2, 3, 4, 5, generator=generator)
    scale, bias = torch.rand(2, 3, generator=generator), torch.randn(3, generator=generator)
    noise = torch.randn(1, 1, 4, 5, generator=generator) if noisy else None
    before = x.clone()
    expected = x * scale[:, :, None, None] + bias[:, None, None] + (noise if noisy else 0.0)
    expected = torch.where(expected > 0, expected, 0.2 * expected)
    expected = expected if clamp is None else expected.clip(-clamp, clamp)
    torch.testing.assert_close(styled_act(x, scale, bias, noise, clamp), expected)
    torch.testing.assert_close(styled_act(x.requires_grad_(), scale, bias, noise, clamp), expected)
    assert torch.equal(x, before)
