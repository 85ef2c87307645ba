"""Domain words become prompts, in three schemes behind one interface: manual, one shared, one per image.

A scheme answers one question for stage 2, `text_directions(w)`, and, if it has something to learn, gives
stage 1 its `losses`. NADA, the shared prompt and IPL differ here and nowhere else. This room knows nothing
about generators beyond the width of w, and nothing about pictures beyond their embeddings.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import nn

from .config import RESIDUALS, AdaptConfig
from .directions import normalise, text_direction, turned_away
from .errors import InputError
from .losses import alignment_loss, contrastive_difference, contrastive_infonce, domain_loss
from .stylegan2 import EqualLinear, initialise, pixel_norm

if TYPE_CHECKING:
    from .clip import Critic

#: A short neutral list for critics with a small vocabulary, style words left out on purpose.
STUDIO_TEMPLATES = ("{}", "a {}", "a picture of a {}", "an image of a {}", "a portrait, {}", "a photo of a {}")
#: NADA's list is the 80 templates of CLIP's ImageNet evaluation less this one, whose plural suits no domain.
NOT_IN_NADA = "a photo of many {}."

MAPPER_LAYERS = 4
MAPPER_LR_MULTIPLIER = 0.01
#: Change of a context vector, in units of the context's own size, per unit of the shared prompt's parameter:
#: about what one Adam step of the same rate does to a mapper's output, so that one rate suits both schemes.
SHARED_RATE = 0.2


def templates(name: str) -> list[str]:
    """Manual templates by name, each with one "{}": "studio" (6) or "imagenet" (the 79 that NADA uses).

    Raises InputError for any other name.
    """
    if name == "studio":
        return list(STUDIO_TEMPLATES)
    if name == "imagenet":
        from open_clip import OPENAI_IMAGENET_TEMPLATES

        return [text for text in (template("{}") for template in OPENAI_IMAGENET_TEMPLATES) if text != NOT_IN_NADA]
    raise InputError(f"There are no templates named “{name}”; choose “studio” or “imagenet”.")


def fill(phrases: Sequence[str], words: str) -> list[str]:
    """Put the words into each phrase's "{}"; a phrase without one stays as it is."""
    return [phrase.replace("{}", words) for phrase in phrases]


class PromptScheme(nn.Module):
    """What the two stages ask of any scheme. Its state dict holds what stage 1 learnt, never CLIP.

    needs_training: whether stage 1 has anything to do. avoided: unit (1, D), the direction that stage 2 is kept from
    leading along; None for none.
    """

    needs_training: bool = False
    avoided: torch.Tensor | None = None

    def directions(self, w: torch.Tensor) -> torch.Tensor:
        """What stage 2 follows: `text_directions`, turned away from what is to be avoided."""
        directions = self.text_directions(w)
        return directions if self.avoided is None else turned_away(directions, self.avoided)

    def text_directions(self, w: torch.Tensor) -> torch.Tensor:
        """ΔT for latents w (B, w_dim): unit (1, D) if all images share it, else (B, D). No gradient."""
        raise NotImplementedError

    def losses(self, w: torch.Tensor, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """Stage 1's loss terms and their weighted sum "total", differentiable in the scheme's parameters.

        w: (B, w_dim) latents. images: unit (B, D), the embeddings of the source pictures of the same latents.
        """
        raise NotImplementedError(f"{type(self).__name__} has nothing to learn")


class ManualPrompts(PromptScheme):
    """StyleGAN-NADA: one fixed direction from hand-written templates (NADA eq. 2).

    ΔT is the mean over templates of E_T(target) − E_T(source), unit length.
    """

    def __init__(self, critic: Critic, source: str, target: str, phrases: Sequence[str]) -> None:
        super().__init__()
        sources, targets = (critic.encode_texts(fill(phrases, words)) for words in (source, target))
        direction = text_direction(sources.mean(0, keepdim=True), targets.mean(0, keepdim=True))
        self.register_buffer("direction", direction, persistent=False)

    def text_directions(self, w: torch.Tensor) -> torch.Tensor:
        return self.direction


class LearnedPrompts(PromptScheme):
    """Common part of the learned schemes: context vectors → prompt features → losses and directions.

    context: the phrase whose token embeddings the learned vectors replace or start from.
    phrases: templates of the plain target words, for the domain term.
    residual: raw features added to a prompt's own before normalisation, so that a prompt starts near the
        words it stands for. "official" adds E_T("a photo of a Y.") in stage 1 and, as the released code does
        by a slip, E_T("a photo of a") on both sides in stage 2; "class-aware" adds E_T("a photo of a Y.") in
        both stages; "templates" adds in both the mean of the phrases with Y, so that prompts begin where the manual
        ones lead; "none" adds nothing.
    contrastive: "infonce" or "difference", see losses.py. lambda_domain: weight λ of the domain term.
    """

    needs_training = True

    def __init__(
        self,
        critic: Critic,
        source: str,
        target: str,
        context: str = "a photo of a",
        *,
        phrases: Sequence[str] = STUDIO_TEMPLATES,
        residual: str = "class-aware",
        contrastive: str = "infonce",
        lambda_domain: float = 1.0,
    ) -> None:
        super().__init__()
        if residual not in RESIDUALS:
            raise InputError(f"There is no residual “{residual}”; choose one of {', '.join(RESIDUALS)}.")
        if contrastive not in ("infonce", "difference"):
            raise InputError(f"There is no contrastive form “{contrastive}”; choose “infonce” or “difference”.")
        self._critic = critic
        self.words = (source, target)
        self.contrastive = contrastive
        self.lambda_domain = lambda_domain

        def constant(name: str, value: torch.Tensor) -> None:  # recomputed from words, so not part of what is saved
            self.register_buffer(name, value, persistent=False)

        constant("context", critic.context_vectors(context))
        # Typical size of a context vector's entries: the unit in which learned offsets are measured.
        constant("context_scale", self.context.square().mean().sqrt())
        constant("target_text", normalise(critic.encode_texts(fill(phrases, target)).mean(0, keepdim=True)))
        stage_1, stage_2 = self._residuals(residual, context, phrases)
        constant("_residual_1", stage_1)
        constant("_residual_2", stage_2)

    def _residuals(self, kind: str, context: str, phrases: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:
        """What is added in stage 1 and in stage 2, each (2, D) for the source and the target words."""

        def mean_of(forms: Sequence[str]) -> torch.Tensor:
            raw = [self._critic.encode_texts(fill(forms, words), normalise=False).mean(0) for words in self.words]
            return torch.stack(raw)

        if kind == "templates":
            return (mean_of(phrases),) * 2
        with_class = mean_of([f"{context} {{}}."])
        if kind == "official":
            return with_class, mean_of([context])
        return (with_class if kind == "class-aware" else torch.zeros_like(with_class),) * 2

    def contexts(self, w: torch.Tensor) -> torch.Tensor:
        """Context vectors (B, n, width) for latents w (B, w_dim); (1, n, width) where all images share them."""
        raise NotImplementedError

    def features(self, w: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Stage 1's prompt features: unit (B, D) or (1, D) of the source and of the target prompts."""
        return self._features(w, self._residual_1)

    def _features(self, w: torch.Tensor, residual: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        raw = self._critic.encode_prompts(self.contexts(w), self.words)
        source, target = normalise(raw + residual[:, None])
        return source, target

    @torch.no_grad()
    def text_directions(self, w: torch.Tensor) -> torch.Tensor:
        return text_direction(*self._features(w, self._residual_2))

    def losses(self, w: torch.Tensor, images: torch.Tensor) -> dict[str, torch.Tensor]:
        source, target = self.features(w)
        contrastive = self._contrastive(images, source)
        domain = domain_loss(target, self.target_text)
        return {"contrastive": contrastive, "domain": domain, "total": contrastive + self.lambda_domain * domain}

    def _contrastive(self, images: torch.Tensor, source: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError


class SharedPrompt(LearnedPrompts):
    """CoOp-style baseline: one learned context for all images, starting at the context phrase.

    With a single prompt there are no mismatched pairs, so of L_constr only the pulling half is left
    (`alignment_loss`), whichever contrastive form was chosen.
    """

    def __init__(self, critic: Critic, source: str, target: str, context: str = "a photo of a", **options) -> None:
        super().__init__(critic, source, target, context, **options)
        self.offset = nn.Parameter(torch.zeros_like(self.context))

    def contexts(self, w: torch.Tensor) -> torch.Tensor:
        return (self.context + SHARED_RATE * self.context_scale * self.offset)[None]

    def _contrastive(self, images: torch.Tensor, source: torch.Tensor) -> torch.Tensor:
        return alignment_loss(images, source)


class ImagePrompts(LearnedPrompts):
    """IPL: a latent mapper F gives every image a context of its own (IPL §3.2).

    w_dim: width of the generator's w. generator: draws the mapper's first weights.
    around_context: False, as released: the mapper's output is the context vectors. True: the output is an
        offset from the context phrase, zero at the start, in units of the phrase's own vectors; training
        then begins at the manual prompt "a photo of a Y" for every image.
    """

    def __init__(
        self,
        critic: Critic,
        source: str,
        target: str,
        context: str = "a photo of a",
        *,
        w_dim: int,
        generator: torch.Generator,
        around_context: bool = False,
        **options,
    ) -> None:
        super().__init__(critic, source, target, context, **options)
        self.around_context = around_context
        self.mapper = Mapper(w_dim, *self.context.shape, generator=generator)
        if around_context:
            self.mapper.start_at_zero()

    def contexts(self, w: torch.Tensor) -> torch.Tensor:
        vectors = self.mapper(w)
        return self.context + self.context_scale * vectors if self.around_context else vectors

    def _contrastive(self, images: torch.Tensor, source: torch.Tensor) -> torch.Tensor:
        if self.contrastive == "difference":
            return contrastive_difference(images, source)
        return contrastive_infonce(images, source, self._critic.logit_scale)


class Mapper(nn.Module):
    """The latent mapper F: w (B, w_dim) → context vectors (B, vectors, width).

    Pixel norm, then four equalised linear layers with scaled leaky ReLU and learning-rate multiplier 0.01,
    the last one as wide as all vectors together: the released code's shape.
    """

    def __init__(self, w_dim: int, vectors: int, width: int, *, generator: torch.Generator) -> None:
        super().__init__()
        widths = [w_dim] * MAPPER_LAYERS + [vectors * width]
        self.layers = nn.Sequential(
            *(
                EqualLinear(inputs, outputs, lr_multiplier=MAPPER_LR_MULTIPLIER, activate=True)
                for inputs, outputs in zip(widths, widths[1:])
            )
        )
        self.shape = (vectors, width)
        initialise(self.layers, generator)

    @torch.no_grad()
    def start_at_zero(self) -> None:
        """Make every output zero, while the gradient of the last layer's weights is not."""
        self.layers[-1].weight.zero_()
        self.layers[-1].bias.zero_()

    def forward(self, w: torch.Tensor) -> torch.Tensor:
        return self.layers(pixel_norm(w)).unflatten(1, self.shape)


def make_prompts(config: AdaptConfig, critic: Critic, w_dim: int, generator: torch.Generator) -> PromptScheme:
    """The scheme that `config.method` names, on the critic's device, before any training.

    w_dim: width of the generator's w. generator: random numbers for the mapper's first weights. Words to avoid turn the
    directions of any scheme, learned or not, away from theirs; prompts are learnt as without them.
    Raises InputError for words that the critic can't judge, see `Critic.check_text`, and for a source and a
    target, or a source and words to avoid, that are the same to it.
    """
    scheme = _scheme(config, critic, w_dim, generator)
    if config.avoid:
        phrases = templates(config.templates)
        critic.check_text(config.avoid, within=phrases, field="domain to avoid")
        source, avoided = (critic.encode_texts(fill(phrases, words)) for words in (config.source, config.avoid))
        if torch.allclose(source, avoided, atol=1e-6):
            raise InputError(
                f"“{config.avoid}” can't be avoided: to the critic it is the same as the source “{config.source}”."
            )
        scheme.avoided = text_direction(source.mean(0, keepdim=True), avoided.mean(0, keepdim=True))
    return scheme


def _scheme(config: AdaptConfig, critic: Critic, w_dim: int, generator: torch.Generator) -> PromptScheme:
    phrases = templates(config.templates)
    learned = config.method != "nada"
    within = [*phrases, f"{config.context} {{}}."] if learned else phrases
    critic.check_text(config.source, within=within, field="source")
    critic.check_text(config.target, within=within, field="target")
    if torch.allclose(*critic.encode_texts([config.source, config.target]), atol=1e-6):
        raise InputError(
            f"The source “{config.source}” and the target “{config.target}” are the same words to the critic; "
            "name a target that differs."
        )
    if not learned:
        return ManualPrompts(critic, config.source, config.target, phrases)
    critic.check_text(config.context, field="context")
    options = dict(
        phrases=phrases,
        residual=config.residual,
        contrastive=config.contrastive,
        lambda_domain=config.lambda_domain,
    )
    words = (critic, config.source, config.target, config.context)
    if config.method == "shared":
        return SharedPrompt(*words, **options).to(critic.device)
    return ImagePrompts(*words, w_dim=w_dim, generator=generator, around_context=config.around_context, **options).to(
        critic.device
    )
