"""A small CLIP of OpenAI's shape whose weights come from a recipe, so that golden numbers can be checked by anyone.

Its tensors are called as in OpenAI's files; see `foreign_files.recipe` for the numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from fakes import foreign_files as foreign
from ipl_core.clip.model import Critic

#: As OpenAI's own class for CLIP takes it.
CLIP_SHAPE = dict(
    embed_dim=24,
    image_resolution=32,
    vision_layers=2,
    vision_width=64,  # one head is 64 wide there
    vision_patch_size=8,
    context_length=77,
    vocab_size=49408,
    transformer_width=64,
    transformer_heads=1,
    transformer_layers=2,
)


def clip_weights(shapes: Mapping[str, Sequence[int]]) -> dict[str, torch.Tensor]:
    """The recipe for each tensor, in a size that keeps a transformer's activations near 1."""
    return {name: _weight(tuple(shape), name) for name, shape in shapes.items()}


def _weight(shape: tuple[int, ...], name: str) -> torch.Tensor:
    value = foreign.recipe(shape, f"clip.{name}")
    if name == "logit_scale":
        return torch.tensor(3.0)
    if name.endswith("bias"):
        return 0.1 * value
    if "ln_" in name:
        return 1 + 0.1 * value
    if "embedding" in name:
        return 0.5 * value
    return value / value[0].numel() ** 0.5 if value.ndim > 1 else value


def golden_critic() -> Critic:
    """That CLIP as a critic, through open_clip."""
    import open_clip

    shape = CLIP_SHAPE
    model = open_clip.CLIP(
        embed_dim=shape["embed_dim"],
        vision_cfg={
            "image_size": shape["image_resolution"],
            "layers": shape["vision_layers"],
            "width": shape["vision_width"],
            "head_width": 64,
            "patch_size": shape["vision_patch_size"],
        },
        text_cfg={
            "context_length": shape["context_length"],
            "vocab_size": shape["vocab_size"],
            "width": shape["transformer_width"],
            "heads": shape["transformer_heads"],
            "layers": shape["transformer_layers"],
        },
        quick_gelu=True,
    )
    model.load_state_dict(clip_weights({name: tensor.shape for name, tensor in model.state_dict().items()}))
    return Critic(model, open_clip.SimpleTokenizer(context_length=shape["context_length"]), "golden")
