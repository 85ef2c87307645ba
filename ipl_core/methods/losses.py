"""The losses of both stages, each named after its equation: pure functions of unit embeddings (B, D).

Knows nothing about CLIP, prompts or generators. Every function returns a scalar tensor.
Sources: IPL (CVPR 2023) for stage 1 and L_adapt, StyleGAN-NADA (TOG 2022) for the directional loss.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F


def contrastive_infonce(image: torch.Tensor, prompt: torch.Tensor, logit_scale: float) -> torch.Tensor:
    """L_constr as the released code computes it: symmetric InfoNCE of pictures and their source prompts.

    image, prompt: unit (B, D), row i of one belongs to row i of the other. logit_scale: factor on cosines.
    Zero when every pair is told from all others; log B when nothing is.
    """
    logits = logit_scale * image @ prompt.T
    pairs = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits, pairs) + F.cross_entropy(logits.T, pairs)) / 2


def contrastive_difference(image: torch.Tensor, prompt: torch.Tensor) -> torch.Tensor:
    """L_constr as the paper writes it: cosines of strangers (i≠j) minus cosines of pairs (i=j), as means.

    image, prompt: unit (B, D) with B ≥ 2. In [−2, 2]; 0 when the prompts say nothing about their pictures.
    """
    cosines = image @ prompt.T
    size = len(cosines)
    pairs = cosines.diagonal().mean()
    strangers = (cosines.sum() - cosines.diagonal().sum()) / (size * (size - 1))
    return strangers - pairs


def alignment_loss(image: torch.Tensor, prompt: torch.Tensor) -> torch.Tensor:
    """The pulling half of L_constr, mean(1 − cos), for a prompt that all pictures share.

    image: unit (B, D). prompt: unit (1, D). With one prompt there are no strangers to push away, and either
    form of L_constr would no longer ask the prompt to describe its pictures.
    """
    return (1 - (image * prompt).sum(-1)).mean()


def domain_loss(target_prompt: torch.Tensor, target_text: torch.Tensor) -> torch.Tensor:
    """L_domain = mean(1 − cos(E_T(M_t), E_T(Y_t))): every target prompt stays inside the target domain.

    target_prompt: unit (B, D). target_text: unit (1, D), the plain words of the target. In [0, 2].
    """
    return (1 - (target_prompt * target_text).sum(-1)).mean()


def directional_loss(image_direction: torch.Tensor, text_direction: torch.Tensor) -> torch.Tensor:
    """L_adapt = mean(1 − cos(ΔI_i, ΔT_i)).

    image_direction: (B, D) from `directions.image_direction`. text_direction: unit (B, D), or (1, D) for one
    direction shared by all pictures (NADA). In [0, 2]; 1 for a picture that has not moved yet.
    """
    return (1 - (image_direction * text_direction).sum(-1)).mean()


def diversity(embeddings: torch.Tensor) -> torch.Tensor:
    """Mean of 1 − cos over all pairs of different rows: how varied a set of pictures is.

    embeddings: unit (N, D). 0 when all are alike, and for fewer than two rows.
    """
    size = len(embeddings)
    if size < 2:
        return embeddings.new_zeros(())
    # the sum of all N² cosines is the squared length of the summed rows; the N on the diagonal are 1
    cosines = embeddings.sum(0).square().sum() - embeddings.square().sum()
    return 1 - cosines / (size * (size - 1))
