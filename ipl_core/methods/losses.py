"""The losses of both stages, as the papers write them: pure functions of unit embeddings (B, D).

    L         = L_constr + λ L_domain                         stage 1, the prompts       IPL §3.2
    L_adapt   = mean(1 − cos(ΔI_i, ΔT_i))                     stage 2, the generator     IPL eq. 6
    L_global  = mean(1 − cos(E_I(G_t(w_i)), E_T(Y_t)))        the choice of layers       NADA eq. 1

IPL is Guo et al., CVPR 2023; NADA is StyleGAN-NADA, Gal et al., TOG 2022. The module knows nothing about CLIP, prompts
or generators. Every function returns a scalar tensor.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .directions import SHORTEST_MOVE, image_direction

# ----------------------------------------------------------------------------------------------------------------------
# L_constr (IPL §3.2): a picture and its own source prompt attract, a picture and another's source prompt repel


def contrastive_infonce(image: Tensor, prompt: Tensor, logit_scale: float) -> Tensor:
    """L_constr as the released code computes it: symmetric InfoNCE of pictures and their source prompts.

    image, prompt: unit (B, D); row i of one belongs to row i of the other. logit_scale: factor on the cosines.
    0 when every pair is told from all others; log B when none is.
    """
    logits = logit_scale * image @ prompt.T
    pairs = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits, pairs) + F.cross_entropy(logits.T, pairs)) / 2


def contrastive_difference(image: Tensor, prompt: Tensor) -> Tensor:
    """L_constr as the paper writes it: mean cosine of the pairs i≠j minus mean cosine of the pairs i=j.

    image, prompt: unit (B, D) with B ≥ 2. In [−2, 2]; 0 when the prompts say nothing about their pictures.
    """
    cosines = image @ prompt.T
    size = len(cosines)
    own = cosines.diagonal().mean()
    others = (cosines.sum() - cosines.diagonal().sum()) / (size * (size - 1))
    return others - own


def alignment_loss(image: Tensor, prompt: Tensor) -> Tensor:
    """The attracting half of L_constr, mean(1 − cos), for one prompt that all pictures share.

    image: unit (B, D). prompt: unit (1, D). A single prompt has no other pictures' prompts to repel, and either form
    of L_constr would no longer ask it to describe its pictures.
    """
    return (1 - (image * prompt).sum(-1)).mean()


# ----------------------------------------------------------------------------------------------------------------------
# L_domain (IPL §3.2): every target prompt stays inside the target domain


def domain_loss(target_prompt: Tensor, target_text: Tensor) -> Tensor:
    """L_domain = mean(1 − cos(E_T(M_t^i), E_T(Y_t))).

    target_prompt: unit (B, D). target_text: unit (1, D), the plain words of the target. In [0, 2].
    """
    return (1 - (target_prompt * target_text).sum(-1)).mean()


# ----------------------------------------------------------------------------------------------------------------------
# L_adapt (IPL eq. 6; with one ΔT for all pictures it is NADA's directional loss)


def adaptation_loss(
    adapted: Tensor, source: Tensor, text_directions: Tensor, shortest_move: float = SHORTEST_MOVE
) -> Tensor:
    """L_adapt = mean(1 − cos(ΔI_i, ΔT_i)), with ΔI_i = E_I(G_t(w_i)) − E_I(G_s(w_i)).

    adapted, source: unit (B, D), the embeddings of the adapted and of the source pictures. text_directions: unit
    (B, D), or (1, D) for one direction that all pictures share. shortest_move: see `directions.image_direction`.
    In [0, 2]; 1 for pictures that have not moved yet. A batch gives the mean of what its samples give one by one.
    """
    return (1 - (image_direction(source, adapted, shortest_move) * text_directions).sum(-1)).mean()


# ----------------------------------------------------------------------------------------------------------------------
# L_global (NADA eq. 1), which the adaptive choice of layers descends


def global_loss(image: Tensor, target_text: Tensor) -> Tensor:
    """L_global = mean(1 − cos(E_I(G_t(w_i)), E_T(Y_t))).

    image: unit (B, D). target_text: unit (1, D), the plain words of the target. In [0, 2].
    """
    return (1 - (image * target_text).sum(-1)).mean()


# ----------------------------------------------------------------------------------------------------------------------
# Measured beside the losses


def diversity(embeddings: Tensor) -> Tensor:
    """Mean of 1 − cos over all pairs of different rows: how varied a set of pictures is.

    embeddings: unit (N, D). 0 when all are alike, and for fewer than two rows.
    """
    size = len(embeddings)
    if size < 2:
        return embeddings.new_zeros(())
    # The sum of all N² cosines is the squared length of the summed rows; the N on the diagonal are 1.
    cosines = embeddings.sum(0).square().sum() - embeddings.square().sum()
    return 1 - cosines / (size * (size - 1))
