"""The two steps of IPL's released code, written down plainly: the baseline that run.py measures, used by nothing else.

Nothing that could be done once is done once here, as there: every step encodes all fixed texts anew and draws its
source pictures anew at full size; prompts pass the text tower one at a time, 77 tokens each; CLIP's own weights keep
their gradients, and so do the generator's while layers are chosen; a convolution has weights of its own for every
picture of a batch; optimiser and running average pass over every tensor. Where it is open whether a gradient is kept,
none is, which favours the baseline. The arithmetic is that of the preset “official”, which a test compares it with.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ipl_core.clip.model import Critic
from ipl_core.generators.stylegan2.network import DEMODULATION_EPS, Generator, SynthesisLayer, SynthesisNetwork, ToRGB
from ipl_core.generators.stylegan2.ops import bias_act, blur, upsample
from ipl_core.methods.layers import LAYER_CHOICE_LATENTS
from ipl_core.methods.prompts import Mapper, templates
from ipl_core.methods.student import GENERATOR_BETAS

CONTEXT = "a photo of a"
CONTEXT_VECTORS = 4
MAPPER_RATE, RATE, EMA = 0.05, 0.002 * 0.8, 0.99


def synthesise(network: SynthesisNetwork, w_plus: Tensor, noise: Sequence[Tensor]) -> Tensor:
    """Pictures (B, 3, R, R) of w_plus (B, rows, w_dim), with modulated weights for each picture (StyleGAN2 §2.2).

    noise: (B, 1, h, w) for every layer.
    """
    x = network.input.repeat(len(w_plus), 1, 1, 1)
    x = _styled(network.layers[0], x, w_plus[:, 0], noise[0])
    rgb = _to_rgb(network.torgb[0], x, w_plus[:, 1])
    for i in range(1, len(network.torgb)):
        k = 2 * i - 1
        x = _styled(network.layers[k], x, w_plus[:, k], noise[k])
        x = _styled(network.layers[k + 1], x, w_plus[:, k + 1], noise[k + 1])
        rgb = upsample(rgb) + _to_rgb(network.torgb[i], x, w_plus[:, k + 2])
    return rgb


def _styled(layer: SynthesisLayer, x: Tensor, w: Tensor, noise: Tensor) -> Tensor:
    batch, channels, height, width = x.shape
    weight = layer.scale * layer.weight[None] * layer.affine(w)[:, None, :, None, None]  # (B, out, in, 3, 3)
    weight = weight * torch.rsqrt(weight.square().sum((2, 3, 4), keepdim=True) + DEMODULATION_EPS)
    x = x.reshape(1, batch * channels, height, width)
    if layer.up:
        x = F.conv_transpose2d(x, weight.transpose(1, 2).flatten(0, 1), stride=2, groups=batch)
        x = blur(x.unflatten(1, (batch, -1))[0], (1, 1), gain=4.0)
    else:
        x = F.conv2d(x, weight.flatten(0, 1), padding=1, groups=batch).unflatten(1, (batch, -1))[0]
    return bias_act(x + layer.noise_strength * noise, layer.bias)


def _to_rgb(layer: ToRGB, x: Tensor, w: Tensor) -> Tensor:
    batch, channels, height, width = x.shape
    weight = layer.scale * layer.weight[None] * layer.affine(w)[:, None, :, None, None]
    rgb = F.conv2d(x.reshape(1, batch * channels, height, width), weight.flatten(0, 1), groups=batch)
    return rgb.unflatten(1, (batch, -1))[0] + layer.bias[:, None, None]


class Released:
    """Both steps, on copies of a generator and of a critic's CLIP that nothing else touches.

    random: draws latents and noise. seed: of the mapper's first weights.
    """

    def __init__(
        self, generator: Generator, critic: Critic, source: str, target: str, random: torch.Generator, seed: int = 0
    ) -> None:
        self.source, self.student, self.averaged = (copy.deepcopy(generator) for _ in range(3))
        self.source.requires_grad_(False)
        self.averaged.requires_grad_(False)
        self.student.requires_grad_(True)
        self.student.mapping.requires_grad_(False)
        self.critic, self.random = critic, random
        self.clip: nn.Module = copy.deepcopy(critic.model).requires_grad_(True)
        self.words = (source, target)
        width = critic.token_width
        start = torch.Generator().manual_seed(seed)
        self.mapper = Mapper(generator.config.w_dim, CONTEXT_VECTORS, width, generator=start)
        self.mapper_optimiser = torch.optim.Adam(self.mapper.parameters(), lr=MAPPER_RATE)
        synthesis = self.student.synthesis
        self.optimiser = torch.optim.Adam(synthesis.parameters(), lr=RATE, betas=GENERATOR_BETAS)

    # ---- CLIP ------------------------------------------------------------------------------------------------------

    def images(self, pictures: Tensor) -> Tensor:
        """Unit embeddings (B, D) of pictures (B, 3, H, W) about [-1, 1]."""
        size = self.critic.image_size
        pictures = F.interpolate(pictures, (size, size), mode="bicubic", antialias=True, align_corners=False)
        pictures = pictures * self.critic._scale + self.critic._shift
        return F.normalize(self.clip.encode_image(pictures), dim=-1)

    @torch.no_grad()
    def texts(self, texts: Sequence[str]) -> Tensor:
        """Raw features (N, D) of whole texts, each of all the tokens that the tower takes."""
        return self.clip.encode_text(self.critic.tokenizer(list(texts)))

    def prompt(self, vectors: Tensor, words: str) -> Tensor:
        """Raw features (D,) of one prompt: context vectors (n, width) before words, of all tokens."""
        tokens = self.critic.tokenizer([f"{CONTEXT} {words}"])  # the vectors stand where the context's tokens do
        embedded = self.clip.token_embedding(tokens)
        embedded = torch.cat([embedded[:, :1], vectors[None], embedded[:, 1 + len(vectors) :]], 1)
        hidden = self.clip.transformer(embedded + self.clip.positional_embedding, attn_mask=self.clip.attn_mask)
        return self.clip.ln_final(hidden)[0, tokens[0].argmax()] @ self.clip.text_projection

    def prompts(self, w: Tensor, words: str, residual: str) -> Tensor:
        """Unit features (B, D) of the prompts of latents w (B, w_dim), one by one, with those of a text added."""
        raw = torch.stack([self.prompt(vectors, words) for vectors in self.mapper(w)])
        return F.normalize(raw + self.texts([residual]), dim=-1)

    # ---- stage 1 ---------------------------------------------------------------------------------------------------

    def draw(self, generator: Generator, w: Tensor) -> Tensor:
        """Pictures with a noise of their own."""
        noise = generator.make_noise(self.random, len(w))
        return synthesise(generator.synthesis, generator.to_w_plus(w) if w.ndim == 2 else w, noise)

    def latents(self, count: int) -> Tensor:
        """w (count, w_dim) of fresh z."""
        z = torch.randn(count, self.source.config.z_dim, generator=self.random)
        with torch.no_grad():
            return self.source.mapping(z)

    def prompt_losses(self, w: Tensor, images: Tensor) -> tuple[Tensor, Tensor]:
        """Contrastive and domain loss of latents w (B, w_dim) and unit embeddings (B, D) of their pictures."""
        source, target = self.words
        phrases = [[form.replace("{}", words) for form in templates("imagenet")] for words in self.words]
        _, plain = (F.normalize(self.texts(texts), dim=-1).mean(0) for texts in phrases)  # the source's go unused
        as_source = self.prompts(w, source, f"{CONTEXT} {source}.")
        as_target = self.prompts(w, target, f"{CONTEXT} {target}.")
        logits = self.critic.logit_scale * images @ as_source.T
        pairs = torch.arange(len(w))
        contrastive = (F.cross_entropy(logits, pairs) + F.cross_entropy(logits.T, pairs)) / 2
        domain = (1 - as_target @ F.normalize(plain, dim=0)).mean()
        return contrastive, domain

    def prompts_step(self, batch: int) -> float:
        """One step of stage 1 on `batch` new pictures; gives its loss."""
        w = self.latents(batch)
        with torch.no_grad():
            images = self.images(self.draw(self.source, w))
        contrastive, domain = self.prompt_losses(w, images)
        loss = contrastive + domain
        self.mapper_optimiser.zero_grad()
        self.clip.zero_grad()
        loss.backward()
        self.mapper_optimiser.step()
        return loss.item()

    # ---- stage 2 ---------------------------------------------------------------------------------------------------

    def choose(self, w: Tensor) -> list[int]:
        """The rows of w+ that one step towards the target's words moves most; see `layers.choose_layers`."""
        count = int(2 * (2 * math.log2(self.student.config.resolution) - 2) / 3)
        w_plus = self.student.to_w_plus(w).detach().clone().requires_grad_(True)
        step = torch.optim.SGD([w_plus], lr=0.01)
        text = F.normalize(self.texts([self.words[1]]), dim=-1)
        self.student.synthesis.requires_grad_(True)
        loss = (1 - (self.images(self.draw(self.student, w_plus)) * text).sum(-1)).mean()
        self.student.zero_grad()
        self.clip.zero_grad()
        before = w_plus.detach().clone()
        loss.backward()
        step.step()
        moved = (w_plus.detach() - before).abs().mean((0, 2))
        return sorted(moved.topk(count).indices.tolist())

    def thaw(self, rows: Sequence[int]) -> None:
        """Let only the parameters that these rows stand for learn, by the released code's table."""
        network = self.student.synthesis
        network.requires_grad_(False)
        groups = [network.layers[0], network.torgb[0], *network.layers[1:]]
        for row in rows:
            groups[row].requires_grad_(True)

    def adaptation_loss(self, w: Tensor) -> Tensor:
        """Mean of 1 − cos(ΔI, ΔT) of latents w (B, w_dim); source and student draw with noise of their own."""
        with torch.no_grad():
            pictures = self.draw(self.source, w)
        before, after = self.images(pictures), self.images(self.draw(self.student, w))
        with torch.no_grad():
            as_source, as_target = (self.prompts(w, words, CONTEXT) for words in self.words)
        moved, said = F.normalize(after - before, dim=-1), F.normalize(as_target - as_source, dim=-1)
        return (1 - (moved * said).sum(-1)).mean()

    def generator_step(self, batch: int) -> float:
        """One step of stage 2, layers chosen anew; gives its loss."""
        self.thaw(self.choose(self.latents(LAYER_CHOICE_LATENTS)))
        loss = self.adaptation_loss(self.latents(batch))
        self.optimiser.zero_grad()
        self.clip.zero_grad()
        loss.backward()
        self.optimiser.step()
        with torch.no_grad():
            for mean, value in zip(self.averaged.parameters(), self.student.parameters()):
                mean.mul_(EMA).add_(value, alpha=1 - EMA)
        return loss.item()
