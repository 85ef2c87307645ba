"""CLIP through open_clip: images, texts and learned context vectors become embeddings.

A `Critic` is a frozen CLIP. Gradients flow through it, to pictures and to context vectors, never into it.
This module knows nothing about generators, prompt schemes, losses or the catalog; its input is a directory
or the name of an open_clip model.
"""

from __future__ import annotations

import logging
import math
import os
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from ..errors import InputError
from ..memory import OutOfMemory, enough_memory
from ..storage import apart
from ..storage.files import first_bytes, is_pickle, readable_file
from ..storage.locks import new_lock
from ..storage.lru import LRU
from ..storage.paths import as_path, exists, in_utf8, is_file, is_folder
from ..storage.tensors import load_tensors, save_tensors
from ..storage.weights import read_weights
from ..storage.words import MAX_QUOTED_PATH, quoted, read_json, reason
from .nearest import nearest_domains

log = logging.getLogger(__name__)

CONFIG_FILE = "open_clip_config.json"
WEIGHTS_FILE = "open_clip_model.safetensors"
WORDS_FILE = "words.json"
_WEIGHTS_ENDINGS = (".pt", ".pth", ".bin", ".ckpt", ".safetensors")

_MAX_JSON = 16 * 2**20  # characters of a description or a word list; the embedded word list has 60,000
_MAX_LAYERS, _MAX_SIZE = (
    200,
    1_000_000,
)  # layers; widths, picture sizes, vocabularies (up to 250,000)
_MAX_CACHED_TEXTS = 8192  # raw features of at most a few kilobytes each
_MAX_LISTED = 40  # names in an error message; more would hide the sentence
_PUNCTUATION = ".,;:!?\"'()[]{}“”‘’…"


class Critic:
    """A frozen CLIP model with differentiable preprocessing that also accepts learned context vectors.

    name: the name it was loaded under. device: where it computes. image_size: side of its input in pixels.
    context_length: tokens its text tower takes, start and end included. token_width: width of a token
    embedding, None where the text tower can't take learned vectors. embed_dim: width D of its embeddings.
    logit_scale: the factor on cosines in its own training (the exponential of the stored parameter).
    known_words: every word it was trained on, None for an open vocabulary. domains: the domain wordings it was
    trained on, each with its synonyms; empty for an open vocabulary.
    """

    def __init__(
        self,
        model: nn.Module,
        tokenizer: Callable[[list[str]], torch.Tensor],
        name: str = "clip",
        device: torch.device | str = "cpu",
        known_words: Sequence[str] | None = None,
        domains: dict[str, list[str]] | None = None,
    ) -> None:
        """Wrap and freeze an open_clip model that is already on `device`.

        model: anything with open_clip's `visual`, `encode_image`, `encode_text` and `logit_scale`.
        tokenizer: open_clip's tokenizer for it. Raises nothing: a method that needs more than the text tower can do
            raises its own InputError.
        """
        self.model = model.eval().requires_grad_(False)
        self.tokenizer = tokenizer
        self.name = name
        self.device = torch.device(device)
        self.domains = dict(domains or {})
        self.known_words = None if known_words is None else frozenset(word.lower() for word in known_words)

        self._text = getattr(model, "text", model)
        self.context_length = int(getattr(self._text, "context_length", None) or tokenizer.context_length)
        self._takes_vectors = _takes_vectors(self._text, tokenizer)
        self.token_width = int(self._text.token_embedding.weight.shape[1]) if self._takes_vectors else None
        self.logit_scale = float(model.logit_scale.detach().exp().mean())

        visual = model.visual
        size = visual.image_size
        self.image_size = int(size[0] if isinstance(size, (tuple, list)) else size)
        mean, std = (torch.tensor(values, dtype=torch.float32) for values in _mean_std(visual))
        # [-1, 1] -> [0, 1] -> zero mean and unit deviation, folded into one multiplication and one addition
        self._scale = (0.5 / std).view(1, 3, 1, 1).to(self.device)
        self._shift = ((0.5 - mean) / std).view(1, 3, 1, 1).to(self.device)

        self._features: LRU[str, torch.Tensor] = LRU(_MAX_CACHED_TEXTS)
        self._lock = threading.Lock()
        self.embed_dim = int(self.encode_texts(["a"]).shape[1])

    def __repr__(self) -> str:
        return f"Critic({self.name!r}, image_size={self.image_size}, embed_dim={self.embed_dim}, device={self.device})"

    # ---- images ------------------------------------------------------------------------------------------

    def encode_images(
        self, images: torch.Tensor, views: Callable[[torch.Tensor], torch.Tensor] | None = None
    ) -> torch.Tensor:
        """Embed pictures; differentiable in them.

        images: (B, 3, H, W) about [-1, 1], any size; the shorter side is resized (bicubic, antialiased, as
            CLIP's own preprocessing) and the middle square taken. Values outside the range are not clipped,
            so that their gradient survives.
        views: augmentation of the resized pictures (B, 3, image_size, image_size) before normalisation; use
            the same one for both pictures of a pair.
        Returns unit embeddings (B, D), or as many rows as `views` makes.
        """
        images = self._resize(images.to(self.device, torch.float32))
        if views is not None:
            images = views(images)
        return F.normalize(self.model.encode_image(images * self._scale + self._shift), dim=-1)

    def encode_layers(self, images: torch.Tensor, count: int = 3) -> tuple[list[torch.Tensor], torch.Tensor]:
        """Feature maps of the image tower's layers, and the embeddings; differentiable in the pictures.

        images: as for `encode_images`. Returns at most `count` feature maps (B, C, h, w) from evenly spaced depths,
        shallow ones first, and unit embeddings (B, D). A tower that doesn't expose its layers gives no maps.
        """
        images = self._resize(images.to(self.device, torch.float32)) * self._scale + self._shift
        visual = self.model.visual
        if not hasattr(visual, "forward_intermediates"):
            return [], F.normalize(self.model.encode_image(images), dim=-1)
        seen = visual.forward_intermediates(images)
        maps = seen["image_intermediates"]
        depths = sorted({round((len(maps) - 1) * (k + 1) / (count + 1)) for k in range(count)})
        return [maps[depth] for depth in depths], F.normalize(seen["image_features"], dim=-1)

    def _resize(self, images: torch.Tensor) -> torch.Tensor:
        size, (height, width) = self.image_size, images.shape[-2:]
        if min(height, width) != size:
            ratio = size / min(height, width)
            height, width = max(size, round(height * ratio)), max(size, round(width * ratio))
            images = F.interpolate(images, (height, width), mode="bicubic", antialias=True, align_corners=False)
        top, left = (height - size) // 2, (width - size) // 2
        return images[..., top : top + size, left : left + size]

    # ---- texts -------------------------------------------------------------------------------------------

    def encode_texts(self, texts: Sequence[str], normalise: bool = True) -> torch.Tensor:
        """Embed fixed texts without gradients; each text is computed once and cached.

        Returns (N, D): unit embeddings, or with normalise=False the text tower's raw features.
        Raises InputError for a text that is longer than the context; texts are never cut.
        """
        texts = list(texts)
        with self._lock:
            found = {text: self._features[text] for text in texts if text in self._features}
        missing = [text for text in dict.fromkeys(texts) if text not in found]
        if missing:
            # Cached tensors must be usable in any later graph, so they can't be inference tensors.
            with torch.inference_mode(False), torch.no_grad():
                found.update((text, self._encode(text)) for text in missing)
            with self._lock:
                self._features.update((text, found[text]) for text in missing)
        features = torch.stack([found[text] for text in texts])
        return F.normalize(features, dim=-1) if normalise else features

    def _encode(self, text: str) -> torch.Tensor:
        """Raw features (D,) of a whole text, computed in a batch of one without padding.

        Other texts in the batch, and padding, change the last digits of the features; a run's weights would then
        depend on what the process had computed before.
        """
        if not self._takes_vectors:
            return self.model.encode_text(self.tokenizer([text]).to(self.device))[0]
        row = self._start + self.token_ids(text) + self._end
        length = len(row)
        self._check_length(length, text)
        hidden = self._text.token_embedding(torch.tensor([row], device=self.device))
        hidden = hidden + self._text.positional_embedding[:length]
        hidden = self._text.transformer(hidden, attn_mask=self._text.attn_mask[:length, :length])
        return self._project(hidden[0, -1])

    def context_vectors(self, context: str) -> torch.Tensor:
        """Token embeddings (n, token_width) of a context phrase, n its number of tokens (words may split).

        Raises InputError for a blank phrase or a model whose text tower can't take learned vectors.
        """
        self._require_vectors()
        ids = self.token_ids(context)
        if not ids:
            raise InputError("The context of a learned prompt is blank; give it words, such as “a photo of a”.")
        return self.token_vectors(ids)

    def token_vectors(self, ids: Sequence[int]) -> torch.Tensor:
        """Embeddings (n, token_width) of tokens; raises as `context_vectors` does."""
        self._require_vectors()
        return self._text.token_embedding.weight.detach()[torch.tensor(ids, device=self.device)].clone()

    def encode_prompts(self, context: torch.Tensor, words: str | Sequence[str]) -> torch.Tensor:
        """Raw features of [start, context vectors, tokens of `words`, end]; differentiable in `context`.

        context: (B, n, token_width). words: one class wording, or several that share the same contexts.
        Returns (B, D) for one wording, (K, B, D) for K of them.

        The tower is causal, so the sequence stops at the end token. Several wordings share the start token and
        the context, which are computed once: the wordings follow one another in one sequence, each with its own
        positions, and the attention mask hides them from each other.
        Raises InputError when a prompt is longer than the context or the tower can't take vectors.
        """
        self._require_vectors()
        several = [words] if isinstance(words, str) else list(words)
        endings = [self.token_ids(wording) + self._end for wording in several]
        batch, n = context.shape[:2]
        prefix = 1 + n
        for wording, ending in zip(several, endings):
            self._check_length(prefix + len(ending), wording)

        owner = [-1] * prefix + [k for k, ending in enumerate(endings) for _ in ending]
        position = list(range(prefix)) + [prefix + i for ending in endings for i in range(len(ending))]
        ends = [prefix + sum(map(len, endings[: k + 1])) - 1 for k in range(len(endings))]

        embedding = self._text.token_embedding
        start = embedding(torch.tensor(self._start, device=self.device))
        tail = embedding(torch.tensor([i for ending in endings for i in ending], device=self.device))
        tokens = torch.cat([start.expand(batch, -1, -1), context.to(start), tail.expand(batch, -1, -1)], dim=1)
        tokens = tokens + self._text.positional_embedding[torch.tensor(position, device=self.device)]

        owners = torch.tensor(owner, device=self.device)
        same = (owners[None, :] == owners[:, None]) | (owners[None, :] == -1)
        mask = torch.full((len(owner), len(owner)), -math.inf, device=self.device)
        mask = mask.masked_fill(same.tril(), 0.0)

        hidden = self._text.transformer(tokens, attn_mask=mask)
        features = self._project(hidden[:, ends].transpose(0, 1))
        return features[0] if isinstance(words, str) else features

    def fits(self, text: str) -> bool:
        """Whether the text tower can read a text to its end."""
        return not hasattr(self.tokenizer, "encode") or 2 + len(self.token_ids(text)) <= self.context_length

    def token_ids(self, text: str) -> list[int]:
        """Token numbers of a text without start and end marks; [] for a blank text."""
        return [int(i) for i in self.tokenizer.encode(text)]

    def _project(self, hidden: torch.Tensor) -> torch.Tensor:
        hidden, projection = self._text.ln_final(hidden), self._text.text_projection
        if projection is None:
            return hidden
        return projection(hidden) if isinstance(projection, nn.Module) else hidden @ projection

    @property
    def _start(self) -> list[int]:
        return [self.tokenizer.sot_token_id]

    @property
    def _end(self) -> list[int]:
        return [self.tokenizer.eot_token_id]

    def _require_vectors(self) -> None:
        if not self._takes_vectors:
            raise InputError(
                f"The text tower of “{self.name}” can't take learned prompts (it is not a causal CLIP tower); "
                "choose the method “nada”, or another CLIP model such as ViT-B-32."
            )

    def _check_length(self, tokens: int, text: str) -> None:
        if tokens > self.context_length:
            raise InputError(
                f"“{_shorten(text)}” is too long: it makes {tokens} tokens, start and end included, and "
                f"“{self.name}” reads at most {self.context_length}. Use fewer words."
            )

    # ---- checks of what a person typed -------------------------------------------------------------------

    def unknown_words(self, text: str) -> list[str]:
        """Words of `text` that the CLIP model wasn't trained on, in order, each once; [] for an open vocabulary.

        A hyphenated word is known if the whole word or each of its parts is known.
        """
        if self.known_words is None:
            return []
        return [word for word in dict.fromkeys(_words(text)) if not self._knows(word)]

    def _knows(self, word: str) -> bool:
        if word in self.known_words:
            return True
        parts = [part for part in word.removesuffix("'s").removesuffix("’s").split("-") if part]
        return bool(parts) and all(part in self.known_words for part in parts)

    def check_text(self, text: str, within: Sequence[str] = ("{}",), field: str = "text") -> None:
        """Check that this CLIP model can read a domain wording.

        within: the templates that the wording will be put into at "{}"; the longest one decides whether it fits.
            field: the field's name for the message ("target", "source").
        Raises InputError for a wording that is blank, too long for the context or contains CLIP's reserved marks,
            and for words that the model wasn't trained on (the message lists them and the words that it knows).
        """
        if not _words(text):
            raise InputError(f"The {field} is blank; describe it in words, such as “pencil sketch”.")
        if hasattr(self.tokenizer, "encode"):
            ids = self.token_ids(text)
            if self._takes_vectors and set(ids) & {*self._start, *self._end}:
                raise InputError(
                    f"The {field} “{_shorten(text)}” contains a mark that is reserved for CLIP; use words."
                )
            phrases = [phrase.replace("{}", text) for phrase in within]
            self._check_length(2 + max((len(self.token_ids(phrase)) for phrase in phrases), default=len(ids)), text)
        unknown = self.unknown_words(text)
        if unknown:
            raise InputError(self._unknown_message(field, text, unknown))

    def _unknown_message(self, field: str, text: str, unknown: list[str]) -> str:
        taught = sorted(self.domains) or sorted(self.known_words or ())
        more = f", and {len(taught) - _MAX_LISTED} more" if len(taught) > _MAX_LISTED else ""
        listed = ", ".join(taught[:_MAX_LISTED]) + more
        named = ", ".join(repr(_shorten(word)) for word in unknown[:8])
        near = nearest_domains(self, text)
        nearest = f"Nearest to it: {', '.join(near)}. " if near else ""
        return (
            f"The CLIP model “{self.name}” was never taught {named} (in the {field} “{_shorten(text)}”). "
            f"{nearest}For any other words choose ViT-B-32, OpenAI's CLIP, which is downloaded once (on the "
            f"command line --critic ViT-B-32). “{self.name}” knows: {listed}."
        )


# ---- loading ---------------------------------------------------------------------------------------------

_MAX_LOADED = 3
_loaded: LRU[tuple[Any, ...], Critic] = LRU(_MAX_LOADED)
_loading = new_lock()


def load_critic(name_or_path: str | Path, device: torch.device | str = "cpu") -> Critic:
    """Load a CLIP model and freeze it; a repeated request returns the same object.

    name_or_path: a directory with open_clip_config.json, a safetensors file beside it and, for a closed
        vocabulary, words.json ({"words": [...], "domains": {words: [other wordings]}}); or the name of any
        open_clip model, optionally with a colon and a pretraining tag or a weights file:
        "ViT-B-32" (OpenAI's weights), "ViT-B-32:laion2b_s34b_b79k", "ViT-B-32:/models/clip.safetensors".
    Raises InputError: nothing of that name, a missing or damaged file, a download that failed.
    """
    device = torch.device(device)
    name, path = str(name_or_path), as_path(name_or_path)
    there = exists(name)
    local = is_folder(name)
    if not local and (there or path.is_absolute()):
        raise InputError(_no_folder(path, there))
    with _loading:
        key = (*(_directory_key(path) if local else (name,)), str(device))
        with torch.inference_mode(False):
            return _loaded.made(key, lambda: _from_directory(path, device) if local else _from_name(name, device))


def _no_folder(path: Path, there: bool) -> str:
    """The error for a CLIP model's path that can't be used."""
    called = quoted(str(path), MAX_QUOTED_PATH)
    if there:
        return (
            f"The CLIP model {called} is not a directory; give one that holds {CONFIG_FILE}, or say whose weights the "
            "file "
            "holds, such as ViT-B-32:/path/to/the/file."
        )
    return f"There is no directory {called}; give one of a CLIP model, with {CONFIG_FILE}, or a name such as ViT-B-32."


def _directory_key(path: Path) -> tuple[Any, ...]:
    """A cache key that changes with any file in the directory, so that retrained weights are read again."""
    stats = [(file.name, file.stat().st_mtime_ns, file.stat().st_size) for file in sorted(path.iterdir())]
    return (str(path.resolve()), *stats)


def _from_directory(path: Path, device: torch.device) -> Critic:
    if not (path / CONFIG_FILE).is_file():
        raise InputError(f"The directory “{path}” has no {CONFIG_FILE}; it is not an open_clip model.")
    if not any(path.glob("*.safetensors")):
        raise InputError(f"The directory “{path}” has no weights; put {WEIGHTS_FILE} into it.")
    words: dict[str, Any] = {}
    try:
        if (path / WORDS_FILE).is_file():
            words = read_json((path / WORDS_FILE).read_text(encoding="utf-8"), WORDS_FILE, _MAX_JSON)
            known = [str(word) for word in words["words"]]
            domains = {str(k): [str(v) for v in wordings] for k, wordings in words.get("domains", {}).items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"The word list “{path / WORDS_FILE}” is damaged ({error}); restore the file.") from error

    _check_description(path / CONFIG_FILE)
    with in_utf8(path) as link:
        model, tokenizer = _opened(
            f"local-dir:{link}", device, lambda why: f"The CLIP model in “{path}” can't be read ({why}): restore it."
        )
    log.info("critic %s from %s on %s", path.name, path, device)
    if not words:
        return Critic(model, tokenizer, path.name, device)
    wordings = [wording for name, others in domains.items() for wording in (name, *others)]
    taught = [word for wording in wordings for word in _words(wording)]
    return Critic(model, tokenizer, path.name, device, known_words=[*known, *taught], domains=domains)


def _check_description(path: Path) -> None:
    """Raises InputError if a description asks for a network that is too large to build in memory."""
    try:
        level = [read_json(path.read_text(encoding="utf-8"), CONFIG_FILE, _MAX_JSON)]
    except (OSError, ValueError) as error:
        raise InputError(
            f"The CLIP model in “{path.parent}” can't be read ({reason(error)}); restore its files."
        ) from error
    while level:
        fields = [item for outer in level if isinstance(outer, dict) for item in outer.items()]
        for name, value in fields:
            limit = _MAX_LAYERS if name == "layers" else _MAX_SIZE
            for number in value if isinstance(value, list) else [value]:
                if isinstance(number, (int, float)) and not abs(number) <= limit:
                    raise InputError(
                        f"The CLIP model in “{path.parent}” can't be read ({CONFIG_FILE} has {quoted(number)} as "
                        f"{quoted(name)}, more than {limit}); restore its files."
                    )
        level = [value for _, value in fields]


def _opened(
    architecture: str, device: torch.device, complaint: Callable[[str], str], **options: Any
) -> tuple[nn.Module, Any]:
    """open_clip's model and tokenizer; complaint: turns the first line of an error into an error message."""
    import open_clip

    try:
        with enough_memory():
            model = open_clip.create_model(
                architecture, device=device, precision="fp32", require_pretrained=True, **options
            )
            return model, open_clip.get_tokenizer(architecture)
    except OutOfMemory:
        raise
    except Exception as error:  # errors of the network, the hub, the disk and the format, raised by several libraries
        raise InputError(complaint(_first_line(error))) from error


def _from_name(name: str, device: torch.device) -> Critic:
    architecture, weights = _architecture_and_weights(name)

    def complaint(why: str) -> str:
        if is_file(weights):
            return (
                f"The file {quoted(weights, MAX_QUOTED_PATH)} can't be read as weights of the CLIP model "
                f"“{architecture}” ({why}): it is damaged, or belongs to another model. Get it anew, or "
                "name the model it belongs to."
            )
        fetched = _fetched(architecture, weights)
        if fetched is not None:
            return (
                f"The weights “{weights}” of the CLIP model “{architecture}” can't be read ({why}): they were "
                f"fetched to {quoted(fetched, MAX_QUOTED_PATH)}, which is damaged. Remove it and what it "
                "links to, and they are fetched anew."
            )
        return (
            f"The weights “{weights}” of the CLIP model “{architecture}” could not be had ({why}). "
            f"Check the network; or fetch the file elsewhere and name it: --critic {architecture}:/path/to/weights."
        )

    with _readable(weights) as readable:
        model, tokenizer = _opened(architecture, device, complaint, pretrained=readable)
    log.info("critic %s (%s) on %s", architecture, weights, device)
    return Critic(model, tokenizer, name, device)


def _fetched(architecture: str, tag: str) -> str | None:
    """Where open_clip's weights of that tag are cached; None if they weren't fetched from the hub."""
    import open_clip
    from huggingface_hub import try_to_load_from_cache
    from open_clip.constants import HF_SAFE_WEIGHTS_NAME, HF_WEIGHTS_NAME

    where = (open_clip.get_pretrained_cfg(architecture, tag) or {}).get("hf_hub", "")
    repository, _, file = where.rpartition("/")
    names = [file] if file else [HF_SAFE_WEIGHTS_NAME, HF_WEIGHTS_NAME]
    found = (try_to_load_from_cache(repository, name) for name in names if repository)
    return next((path for path in found if isinstance(path, str)), None)


@contextmanager
def _readable(weights: str) -> Iterator[str]:
    """Weights that open_clip can read safely: the user's own file is given as a file that ends in .safetensors.

    A pickle is converted in a process of its own. Any other format is refused, whatever the file's name. Raises
    InputError if the file can't be read.
    """
    path = Path(weights)
    pickled = path.is_file() and is_pickle(first_bytes(path))
    if not path.is_file() or (path.suffix == ".safetensors" and not pickled):
        yield weights
        return
    if pickled:
        tensors, _ = apart.read(read_weights, readable_file(path), inside="state_dict")
    else:
        tensors, _ = load_tensors(readable_file(path))
    with tempfile.TemporaryDirectory(prefix="ipl-critic-") as folder:
        copy = Path(folder) / "weights.safetensors"
        save_tensors(tensors, copy)
        yield str(copy)


def _architecture_and_weights(name: str) -> tuple[str, str]:
    """open_clip's model name, and pretraining tag or file, for a CLIP model as a person names it."""
    import open_clip

    architecture, _, weights = name.partition(":")
    architecture = architecture.replace("/", "-")
    known = open_clip.list_models()
    if architecture not in known:
        close = [model for model in known if architecture.lower() in model.lower()] or ["ViT-B-32", "ViT-B-16", "RN50"]
        raise InputError(
            f"There is no CLIP model named “{name}”: neither a directory nor a model of open_clip. "
            f"Some that exist: {', '.join(close[:8])}."
        )
    if weights and is_file(weights):
        return architecture, str(as_path(weights))
    if weights and _looks_like_a_file(weights):
        called = quoted(weights, MAX_QUOTED_PATH)
        wrong = f"{called} is a folder" if exists(weights) else f"There is no file {called}"
        raise InputError(f"{wrong}: give the file with the weights of the CLIP model “{architecture}” after the colon.")
    tags = open_clip.list_pretrained_tags_by_model(architecture)
    weights = weights or ("openai" if "openai" in tags else "")
    if weights not in tags:
        given = f"has no weights “{weights}”" if weights else "needs a choice of weights"
        raise InputError(
            f"The CLIP model “{architecture}” {given}. Name one after a colon, {architecture}:{(tags or ['file'])[0]} "
            f"say; there are: {', '.join(tags) or 'none to download, only files of your own'}."
        )
    # OpenAI's weights were trained with QuickGELU, a slightly different GELU; the plain architecture would be wrong.
    if weights == "openai" and f"{architecture}-quickgelu" in known:
        architecture += "-quickgelu"
    return architecture, weights


def _looks_like_a_file(weights: str) -> bool:
    """Whether the text after a CLIP model's colon is meant as a path rather than as one of open_clip's tags."""
    return "/" in weights or os.sep in weights or Path(weights).suffix in _WEIGHTS_ENDINGS


def _takes_vectors(text: nn.Module, tokenizer: Any) -> bool:
    """Whether a text tower is built like CLIP's: causal, read at the end token, with CLIP's own tokenizer."""
    if not all(hasattr(text, name) for name in ("token_embedding", "positional_embedding", "transformer", "ln_final")):
        return False
    if not all(hasattr(tokenizer, name) for name in ("encode", "sot_token_id", "eot_token_id")):
        return False
    pool = getattr(text, "pool_type", getattr(text, "text_pool_type", ""))
    end = getattr(text, "eos_id", getattr(text, "text_eos_id", None))
    at_end = pool == "argmax" or (pool == "eos" and end == tokenizer.eot_token_id)
    return at_end and text.attn_mask is not None and getattr(text, "cls_emb", None) is None


def _mean_std(visual: nn.Module) -> tuple[Sequence[float], Sequence[float]]:
    from open_clip import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD

    mean = getattr(visual, "image_mean", None) or OPENAI_DATASET_MEAN
    return mean, getattr(visual, "image_std", None) or OPENAI_DATASET_STD


def _words(text: str) -> list[str]:
    """Lower-case words of a text, without the punctuation around them."""
    return [word for word in (chunk.strip(_PUNCTUATION) for chunk in text.lower().split()) if word]


def _shorten(text: str, limit: int = 60) -> str:
    text = " ".join(text.split())  # always one line
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
