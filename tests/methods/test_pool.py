"""The pool gives what drawing and embedding would give, once, whatever is cached and whoever asks."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import torch

from ipl_core.clip.model import Critic
from ipl_core.generators.stylegan2.network import Generator
from ipl_core.methods import source_samples as pool
from ipl_core.methods.source_samples import (
    BLOCK,
    BLOCKS,
    SIZE,
    SourcePool,
    blocks_of,
    draw_indices,
    open_pool,
    pool_path,
)


def test_embeddings_are_those_of_the_latents(tiny_generator: Generator, tiny_critic: Critic) -> None:
    w, embeddings = SourcePool().take(torch.tensor([3, 40, 3]), tiny_generator, tiny_critic)
    expected = tiny_critic.encode_images(tiny_generator.synthesis(w, noise="const"))
    assert torch.allclose(embeddings, expected, atol=1e-5)
    assert torch.equal(w[0], w[2])
    assert not torch.equal(w[0], w[1])
    assert not embeddings.requires_grad


def test_only_the_blocks_asked_for_are_computed(tiny_generator: Generator, tiny_critic: Critic) -> None:
    samples = SourcePool()
    samples.take(torch.tensor([0, BLOCK - 1, 5 * BLOCK]), tiny_generator, tiny_critic)
    assert samples.present.nonzero().flatten().tolist() == [0, 5]


def test_a_sample_is_the_same_bits_in_any_order_and_from_disk(
    tiny_generator: Generator, tiny_critic: Critic, tmp_path: Path
) -> None:
    for random_noise in (False, True):
        one, other = SourcePool(random_noise), SourcePool(random_noise)
        wanted = torch.tensor([1, 12])
        first = one.take(wanted, tiny_generator, tiny_critic)
        other.take(torch.tensor([100, 9]), tiny_generator, tiny_critic)
        second = other.take(wanted, tiny_generator, tiny_critic)
        one.save(tmp_path / "pool.safetensors")
        third = SourcePool.load(tmp_path / "pool.safetensors", random_noise).take(wanted, tiny_generator, tiny_critic)
        for again in (second, third):
            assert all(torch.equal(a, b) for a, b in zip(first, again))


def test_random_noise_is_another_picture_of_the_same_latent(tiny_generator: Generator, tiny_critic: Critic) -> None:
    with torch.no_grad():
        for layer in tiny_generator.synthesis.layers:
            layer.noise_strength.fill_(1.0)
    wanted = torch.tensor([1, 2])
    w, constant = SourcePool(False).take(wanted, tiny_generator, tiny_critic)
    same_w, random = SourcePool(True).take(wanted, tiny_generator, tiny_critic)
    assert torch.equal(w, same_w)
    assert not torch.allclose(constant, random, atol=1e-4)


@pytest.mark.parametrize("content", [b"", b"damaged"])
def test_a_damaged_file_is_made_anew(content: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "pool.safetensors"
    path.write_bytes(content)
    assert not SourcePool.load(path, False).present.any()
    assert "made anew" in caplog.text


def test_a_disk_that_refuses_costs_only_a_warning(
    tiny_generator: Generator, tiny_critic: Critic, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("x")
    samples = SourcePool()
    samples.save(tmp_path / "file" / "pool.safetensors")  # nothing to keep yet
    assert not caplog.text
    samples.take(torch.tensor([0]), tiny_generator, tiny_critic)
    samples.save(tmp_path / "file" / "pool.safetensors")
    assert "can't be kept" in caplog.text


def test_every_sample_comes_once_before_any_comes_again() -> None:
    drawn = draw_indices(64, torch.Generator().manual_seed(0))
    rounds = [torch.cat([next(drawn) for _ in range(SIZE // 64)]) for _ in range(2)]
    for indices in rounds:
        assert indices.sort().values.tolist() == list(range(SIZE))
    assert not torch.equal(*rounds)


def test_the_first_batches_need_few_blocks() -> None:
    first = next(draw_indices(2 * BLOCK, torch.Generator().manual_seed(0)))
    assert len(torch.unique(first // BLOCK)) == 2


@pytest.mark.parametrize("batch", [2, 12, 100])
def test_the_blocks_ahead_are_those_that_batches_will_look_into(batch: int) -> None:
    drawn = draw_indices(batch, torch.Generator().manual_seed(3))
    batches = [next(drawn) for _ in range(9)]
    for first, last in [(0, 9), (4, 9), (0, 1), (9, 9)]:
        ahead = blocks_of(first * batch, last * batch, torch.Generator().manual_seed(3))
        looked_into = {int(index) // BLOCK for indices in batches[first:last] for index in indices}
        assert set(ahead.nonzero().flatten().tolist()) == looked_into
    assert blocks_of(0, 5 * SIZE, torch.Generator().manual_seed(3)).sum() == BLOCKS


def test_a_batch_may_be_larger_than_what_is_left_of_a_round() -> None:
    drawn = draw_indices(100, torch.Generator().manual_seed(0))
    assert all(len(next(drawn)) == 100 for _ in range(25))


def test_pools_are_shared_per_pair_of_models_and_few_are_held(tmp_path: Path) -> None:
    first = open_pool(tmp_path, "g", "c", False, "cpu")
    assert open_pool(tmp_path, "g", "c", False, "cpu") is first
    others = [("other", "c", False, "cpu"), ("g", "other", False, "cpu"), ("g", "c", True, "cpu")]
    paths = {pool_path(tmp_path, *facts) for facts in [("g", "c", False, "cpu"), ("g", "c", False, "cuda"), *others]}
    assert len(paths) == 5
    for index in range(10):
        open_pool(tmp_path, f"g{index}", "c", False, "cpu")
    assert len(pool._pools) <= 4
    assert open_pool(tmp_path, "g", "c", False, "cpu") is not first


def test_threads_may_share_a_pool(tiny_generator: Generator, tiny_critic: Critic) -> None:
    samples = SourcePool()
    found: list[torch.Tensor] = []

    def take() -> None:
        found.append(samples.take(torch.arange(3 * BLOCK), tiny_generator, tiny_critic)[1])

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert all(torch.equal(found[0], other) for other in found)
