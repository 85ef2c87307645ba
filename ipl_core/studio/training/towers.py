"""The studio's CLIP model in training: its shape, its two towers on tensors, its first weights, and its files."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from ...clip.model import CONFIG_FILE, WEIGHTS_FILE, WORDS_FILE
from ...errors import InputError
from ...storage.tensors import load_tensors
from ..world.captions import known_words
from ..world.domains import DOMAINS, TARGETS
from .loop import half_precision

#: The context holds the longest caption, in which all traits are said (101 tokens).
MODEL: dict[str, Any] = {
    "embed_dim": 128,
    "vision_cfg": {"image_size": 64, "layers": 6, "width": 192, "head_width": 48, "patch_size": 8},
    "text_cfg": {"context_length": 104, "vocab_size": 49408, "width": 128, "heads": 4, "layers": 4},
}
MEAN = STD = (0.5, 0.5, 0.5)
#: Longest logit scale: beyond it the contrast only sharpens what is already told apart.
MAX_SCALE = 50.0
_IMAGE_LAYERS = "visual.transformer.resblocks."
_PLACES = "positional_embedding"
_TEXTS_AT_ONCE = 32


class Towers:
    """The open_clip model with short text batches: the tower is causal, so padding after the longest text is cut.

    bfloat16: whether it computes in that precision; embeddings are float32 in any case.
    """

    def __init__(self, model: nn.Module, tokenizer: Any) -> None:
        self.model, self.tokenizer, self.bfloat16 = model, tokenizer, False

    def precision(self) -> torch.autocast:
        """The block in which the model, and a generator that is adapted against it, compute."""
        return half_precision(self.model.logit_scale.device, self.bfloat16)

    def attention(self) -> AbstractContextManager:
        """The block for training: over so few places, fused attention is slower on a CPU than matrix products."""
        return sdpa_kernel(SDPBackend.MATH) if self.model.logit_scale.device.type == "cpu" else nullcontext()

    def images(self, pictures: torch.Tensor) -> torch.Tensor:
        """(B, 3, R, R) in [−1, 1] → unit (B, D)."""
        with self.precision():
            embedded = self.model.encode_image(pictures)
        return F.normalize(embedded.float(), dim=-1)

    def texts(self, texts: list[str]) -> torch.Tensor:
        """Sentences → unit (N, D). Those of about the same length go together, so that few places stay empty."""
        tokens = self.tokenizer(texts).to(self.model.logit_scale.device)
        ends = tokens.argmax(1)  # the end token has the highest number
        order = ends.argsort(stable=True)
        encoded = torch.cat([self._texts(tokens[part], ends[part]) for part in order.split(_TEXTS_AT_ONCE)])
        return encoded[order.argsort()]

    def _texts(self, tokens: torch.Tensor, ends: torch.Tensor) -> torch.Tensor:
        length, m = int(ends.max()) + 1, self.model
        with self.precision():
            x = m.token_embedding(tokens[:, :length]) + m.positional_embedding[:length]
            x = m.ln_final(m.transformer(x, attn_mask=m.attn_mask[:length, :length]))
            x = x[torch.arange(len(tokens), device=x.device), ends] @ m.text_projection
        return F.normalize(x.float(), dim=-1)

    def scale(self) -> torch.Tensor:
        """The factor on cosines."""
        return self.model.logit_scale.exp().clamp(max=MAX_SCALE)


def build_model(seed: int, model: dict[str, Any] = MODEL) -> Towers:
    """An untrained model and its tokenizer; open_clip draws weights from the global seed, so it is set and restored."""
    from open_clip import CLIP, SimpleTokenizer

    state = torch.random.get_rng_state()
    torch.manual_seed(seed)
    network = CLIP(**model)
    torch.random.set_rng_state(state)
    with torch.no_grad():
        network.logit_scale.fill_(math.log(10.0))
    return Towers(network, SimpleTokenizer(context_length=model["text_cfg"]["context_length"]))


def take_weights(model: nn.Module, state: dict[str, torch.Tensor]) -> None:
    """Load the weights of a trained model; further image layers begin so that they change next to nothing.

    Where the trained model reads shorter texts, each further place of the context begins as its last one.
    Raises InputError for weights of a model that differs in anything else.
    """
    places, lacking = state.get(_PLACES), 0
    if places is not None:
        lacking = model.get_parameter(_PLACES).shape[0] - places.shape[0]
    if lacking > 0:
        state = {**state, _PLACES: torch.cat([places, places[-1:].expand(lacking, -1)])}
    try:
        missing, strange = model.load_state_dict(state, strict=False)
    except RuntimeError as error:  # a shape that differs
        raise InputError(f"The CLIP model to go on from has another shape: {error}") from error
    if strange or any(not name.startswith(_IMAGE_LAYERS) for name in missing):
        names = ", ".join([*strange, *missing][:3])
        raise InputError(
            f"The CLIP model to go on from differs in more than the number of its image layers: {names}, …"
        )
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name in missing and name.rsplit(".", 2)[1] in ("out_proj", "c_proj"):
                parameter.mul_(0.1)  # not 0: Muon's steps are relative


def average_clips(folders: Sequence[Path], out: Path) -> None:
    """Write the mean of the weights of several CLIP models that were trained on from the same one.

    Each round of adversaries makes a model safe from what fooled the one before, and a little less safe from what
    fooled earlier ones; the mean keeps more of both (weight averaging, Izmailov et al., UAI 2018, along rounds).
    Raises InputError for fewer than two folders, or for models of different shapes.
    """
    if len(folders) < 2:
        raise InputError(f"A mean needs two CLIP models or more, not {len(folders)}: name their folders.")
    models = []
    for folder in folders:
        models.append(build_model(0).model)
        state = load_tensors(folder / WEIGHTS_FILE)[0]
        if state.keys() != models[-1].state_dict().keys():
            raise InputError(
                f"The CLIP model in {folder} has other layers than this program's: first train it further, by "
                "train-clip --start."
            )
        take_weights(models[-1], state)
    with torch.no_grad():
        for mean, *others in zip(*(model.parameters() for model in models)):
            mean.copy_(torch.stack([mean, *others]).mean(0))
    write_clip(models[0], out)


def write_clip(model: nn.Module, out: Path) -> None:
    """Write an open_clip model directory: configuration, half-precision weights, known words."""
    out.mkdir(parents=True, exist_ok=True)
    (out / CONFIG_FILE).write_text(
        json.dumps({"model_cfg": MODEL, "preprocess_cfg": {"mean": MEAN, "std": STD}}, indent=1), encoding="utf-8"
    )
    state = {
        k: v.half().cpu().contiguous() if v.is_floating_point() else v.cpu() for k, v in model.state_dict().items()
    }
    state["logit_scale"] = model.logit_scale.detach().clamp(max=math.log(MAX_SCALE)).float().cpu()
    save_file(state, out / WEIGHTS_FILE)
    domains = {d.name: [w for w in d.wordings if w != d.name] for d in (*TARGETS, DOMAINS[0])}
    (out / WORDS_FILE).write_text(
        json.dumps({"words": known_words(), "domains": domains}, indent=1, ensure_ascii=False), encoding="utf-8"
    )
