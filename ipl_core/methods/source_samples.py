"""Source latents and the embeddings of their images, made once and used by every run with the same two models.

Both stages need only `w` and `E_I(G_s(w))` of a source image, never its pixels, and neither depends on target, method
or settings. So each is computed when it is first drawn, and then kept in memory and on disk. The module knows nothing
about prompts, losses or training.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor

from ..clip.model import Critic
from ..errors import InputError
from ..generators.stylegan2.network import Generator
from ..latents import latents_from_seeds, noise_from_seeds
from ..memory import pictures_at_once
from ..running.modes import mixed
from ..storage.locks import new_lock
from ..storage.lru import LRU
from ..storage.tensors import load_tensors, save_tensors

log = logging.getLogger(__name__)

# A block is computed as one batch whichever of its samples is asked for, so that its numbers don't depend on
# which run came first or on what the disk held: the same seed gives the same weights either way.
BLOCK = 8
BLOCKS = 128
SIZE = BLOCK * BLOCKS
_FIRST_SEED = 1_000_003  # away from the small seeds that people look at, so that previews are fresh samples
_IN_MEMORY = 4  # pools; at 1024 samples of 512 + 512 numbers each takes 4 MB

# One for all pools: an ensemble of critics fills several at a time, and samples are never computed twice.
_lock = new_lock()


class SourcePool:
    """`SIZE` source samples: latent w (w_dim,) and unit image embedding (D,) of each.

    random_noise: each image with a noise of its own instead of the generator's constant noise.
    """

    def __init__(self, random_noise: bool = False) -> None:
        self.random_noise = random_noise
        self.w: Tensor | None = None
        self.embeddings: Tensor | None = None
        self.present = torch.zeros(BLOCKS, dtype=torch.bool)
        self._saved = 0

    def take(self, indices: Tensor, generator: Generator, critic: Critic) -> tuple[Tensor, Tensor]:
        """w (B, w_dim) and embeddings (B, D) of the samples `indices` (B,), on the generator's device.

        `generator` and `critic` must be the ones the pool was opened for; blocks not seen yet are computed by them.
        """
        w, (embeddings,) = take_samples([(self, critic)], indices, generator)
        return w, embeddings

    def _fill(self, block: int, w: Tensor, embeddings: Tensor) -> None:
        if self.w is None:
            self.w = torch.zeros(SIZE, w.shape[1])
            self.embeddings = torch.zeros(SIZE, embeddings.shape[1])
        rows = slice(block * BLOCK, (block + 1) * BLOCK)
        self.w[rows] = w.cpu()
        self.embeddings[rows] = embeddings.cpu()
        self.present[block] = True

    def save(self, path: Path) -> None:
        """Writes what has been computed to `path`, unless nothing is new. A disk that refuses costs only time later."""
        with _lock:
            count = int(self.present.sum())
            if count == self._saved:
                return
            tensors = {"w": self.w, "embeddings": self.embeddings, "present": self.present.to(torch.uint8)}
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                save_tensors(tensors, path, {"format": "ipl-studio-pool"})
            except (OSError, InputError) as error:
                log.warning("The pool of source images can't be kept at %s: %s", path, error)
                return
            self._saved = count

    @classmethod
    def load(cls, path: Path, random_noise: bool) -> SourcePool:
        """The pool kept at `path`, or an empty one if there is none or it is damaged (which is logged)."""
        pool = cls(random_noise)
        if not path.is_file():
            return pool
        try:
            tensors, _ = load_tensors(path)
            present = tensors["present"].bool()
            w, embeddings = tensors["w"].float(), tensors["embeddings"].float()
            if present.shape != (BLOCKS,) or len(w) != SIZE or len(embeddings) != SIZE:
                raise InputError(f"{path} has the wrong size.")
        except (InputError, KeyError) as error:
            log.warning("The pool of source images at %s is damaged and is made anew: %s", path, error)
            return pool
        pool.w, pool.embeddings, pool.present, pool._saved = w, embeddings, present, int(present.sum())
        return pool


@torch.no_grad()
def take_samples(
    pools: Sequence[tuple[SourcePool, Critic]], indices: Tensor, generator: Generator
) -> tuple[Tensor, list[Tensor]]:
    """w (B, w_dim) of the samples `indices` (B,), and each pool's embeddings (B, D), on the generator's device.

    pools: each with the CLIP model it was opened for; all of one generator and one kind of noise. A picture that
    several of them lack is drawn once.
    """
    with _lock:
        for block in torch.unique(indices // BLOCK).tolist():
            lacking = [(pool, critic) for pool, critic in pools if not pool.present[block]]
            if lacking:
                w, images = _draw(block, generator, lacking[0][0].random_noise)
                for pool, critic in lacking:
                    pool._fill(block, w, critic.encode_images(images))
        w = pools[0][0].w[indices].to(generator.device)
        return w, [pool.embeddings[indices].to(generator.device) for pool, _ in pools]


def _draw(block: int, generator: Generator, random_noise: bool) -> tuple[Tensor, Tensor]:
    """w (BLOCK, w_dim) and pictures (BLOCK, 3, R, R) of a block."""
    seeds = [_FIRST_SEED + block * BLOCK + index for index in range(BLOCK)]
    z = latents_from_seeds(seeds, generator.config.z_dim).to(generator.device)
    with torch.autocast(generator.device.type, enabled=False):  # the same latents, whatever draws them
        w = generator.mapping(z)
    images = []
    for part in torch.arange(BLOCK).split(pictures_at_once(generator.config.resolution)):
        noise = noise_from_seeds([seeds[index] for index in part], generator) if random_noise else "const"
        images.append(generator.synthesis(w[part], noise=noise))
    return w, torch.cat(images)


class SampleStream:
    """The source samples that the steps of one stage look at, batch by batch.

    pools: a pool and the CLIP model it was opened for, one pair or more. order: draws the order of the samples.
    steps, batch: steps that the stage has, and samples that each of them takes. precision: that of the run.
    seconds, blocks: what drawing those samples took that no pool had yet, and how many blocks of a pool they were.
    """

    def __init__(
        self,
        source: Generator,
        pools: Sequence[tuple[SourcePool, Critic]],
        order: torch.Generator,
        steps: int,
        batch: int,
        precision: str = "float32",
    ) -> None:
        self._source, self._pools, self._precision = source, pools, precision
        self._steps, self._batch = steps, batch
        self._order = order.get_state()
        self._indices = draw_indices(batch, self._again())
        self._looked_into = blocks_of(0, steps * batch, self._again())
        self.seconds, self.blocks = 0.0, 0

    def _again(self) -> torch.Generator:
        """The random numbers of the order, from their beginning."""
        order = torch.Generator()
        order.set_state(self._order)
        return order

    def skip(self, steps: int) -> None:
        """Leaves out the batches that an earlier run has had."""
        for _ in range(steps):
            next(self._indices)
        self._looked_into = blocks_of(steps * self._batch, self._steps * self._batch, self._again())

    def take(self) -> tuple[Tensor, list[Tensor]]:
        """w (B, w_dim) of the next batch, and each pool's embeddings (B, D) of its pictures, on the source's device."""
        lacking, began = int(self.lacking().sum()), time.perf_counter()
        # In the student's own precision, so that what it loses is lost on both sides of a pair.
        with mixed(self._source.device, self._precision):
            taken = take_samples(self._pools, next(self._indices), self._source)
        self.seconds += time.perf_counter() - began
        self.blocks += lacking - int(self.lacking().sum())
        return taken

    def lacking(self) -> Tensor:
        """Which blocks (BLOCKS,) the stage looks into and some pool lacks."""
        return self._looked_into & ~torch.stack([pool.present for pool, _ in self._pools]).all(0)


def seconds_of_drawing(streams: Sequence[SampleStream], seconds_a_block: float) -> tuple[float, float]:
    """What drawing source samples took so far, and what those will take that the streams still lack.

    seconds_a_block: what a block is expected to take, for as long as none has been drawn.
    """
    seconds, blocks = sum(stream.seconds for stream in streams), sum(stream.blocks for stream in streams)
    to_come = int(torch.stack([stream.lacking() for stream in streams]).any(0).sum())
    return seconds, to_come * (seconds / blocks if blocks else seconds_a_block)


_pools: LRU[str, SourcePool] = LRU(_IN_MEMORY)


def open_pool(folder: Path, generator_digest: str, critic_digest: str, random_noise: bool, device: str) -> SourcePool:
    """The pool of these two models: from memory, else from `folder`, else empty."""
    path = pool_path(folder, generator_digest, critic_digest, random_noise, device)
    with _lock:
        return _pools.made(str(path), lambda: SourcePool.load(path, random_noise))


def pool_path(folder: Path, generator_digest: str, critic_digest: str, random_noise: bool, device: str) -> Path:
    """Where the pool of these two models is kept. Devices and precisions round differently, so each has its own."""
    noise = "random" if random_noise else "constant"
    identity = f"{generator_digest} {critic_digest} {noise} {device} {_FIRST_SEED} {SIZE}"
    return folder / f"{hashlib.sha256(identity.encode()).hexdigest()[:20]}.safetensors"


def blocks_of(first: int, last: int, generator: torch.Generator) -> Tensor:
    """Which blocks hold the samples number `first` up to but without `last` of those that `draw_indices` gives.

    generator: as there. Gives (BLOCKS,), True or False.
    """
    order = torch.randperm(BLOCKS, generator=generator)
    looked_into = torch.zeros(BLOCKS, dtype=torch.bool)
    looked_into[order[first // BLOCK : -(-last // BLOCK)]] = first < last
    return looked_into


def draw_indices(batch: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Endless batches (batch,) of sample numbers: every sample comes once before any comes again.

    The first round goes block by block, in an order drawn from `generator`, so that no image is computed before it
    is needed and a short run never pays for the whole pool; later rounds are plain permutations.
    """
    blocks = torch.randperm(BLOCKS, generator=generator)
    order = (blocks[:, None] * BLOCK + torch.arange(BLOCK)).flatten()
    while True:
        while len(order) >= batch:
            yield order[:batch]
            order = order[batch:]
        order = torch.cat([order, torch.randperm(SIZE, generator=generator)])
