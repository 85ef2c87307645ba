"""Losses that teach a CLIP model which words are true of which pictures; the truth is known."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F


def contrast(image: torch.Tensor, text: torch.Tensor, true: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """Symmetric cross-entropy with every true caption as a target, in the measure in which it is true.

    image (B, D), text (N, D) unit; true (B, N) in [0, 1]; rows and columns in which nothing is true don't count
    → scalar.
    """
    logits = scale * image @ text.T
    rows = -(true / true.sum(1, keepdim=True).clamp_min(1e-6) * logits.log_softmax(1)).sum(1).mean()
    columns = -(true / true.sum(0, keepdim=True).clamp_min(1e-6) * logits.log_softmax(0)).sum(0).mean()
    return (rows + columns) / 2


def label_losses(
    asked: Sequence[tuple[torch.Tensor, torch.Tensor, dict[int, str]]], texts: torch.Tensor, scale: torch.Tensor
) -> torch.Tensor:
    """Mean cross-entropy of the words for a trait's labels against each other, over several traits.

    asked: for each trait unit embeddings (B, D) of pictures, their labels (B,), and the sentences by label; pictures
    whose label has no words don't count. texts: unit embeddings of all those sentences, in that order.
    """
    losses = []
    for (images, labels, said), words in zip(asked, texts.split([len(said) for *_, said in asked])):
        places = {label: place for place, label in enumerate(said)}
        told = {row: places[label] for row, label in enumerate(labels.tolist()) if label in places}
        if len(said) > 1 and told:
            right = torch.tensor(list(told.values()), device=images.device)
            losses.append(F.cross_entropy(scale * images[list(told)] @ words.T, right))
    return torch.stack(losses).mean() if losses else texts.new_zeros(())
