"""Domain words become prompts, in schemes behind one interface: manual, one shared, one per image, learned or read.

A scheme answers one question for stage 2, `text_directions(w, images)`, and, if it has something to learn, gives
stage 1 its `losses`. Methods differ in their scheme and in nothing else; `registry.METHODS` names the scheme of each.
The module knows nothing about generators beyond the width of w, and nothing about pictures beyond their embeddings.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn.utils import skip_init

from ..clip.vocabulary import Group, Phrase
from ..errors import InputError
from ..generators.stylegan2.network import EqualLinear, initialise, pixel_norm
from .directions import normalise, text_direction, turned_away
from .losses import alignment_loss, contrastive_difference, contrastive_infonce, domain_loss

if TYPE_CHECKING:
    from ..clip.model import Critic
    from .config import AdaptConfig

#: Forms of L_constr, see losses.py: the released code's and the paper's.
CONTRASTIVE_FORMS = ("infonce", "difference")
#: What is added to the features of a learned prompt, see `LearnedPrompts`.
RESIDUALS = ("official", "class-aware", "templates", "none")
#: Manual templates by name; descriptions are made of a vocabulary.
TEMPLATE_SETS = ("studio", "imagenet", "descriptions")

#: A short list for CLIP models with a small vocabulary, without words for a style.
STUDIO_TEMPLATES = ("{}", "a {}", "a picture of a {}", "an image of a {}", "a portrait, {}", "a photo of a {}")
#: NADA's list is the 80 templates of CLIP's ImageNet evaluation less this one, whose plural suits no domain.
NOT_IN_NADA = "a photo of many {}."

MAPPER_LAYERS = 4
MAPPER_LR_MULTIPLIER = 0.01
#: Change of a context vector, in units of the context's own size, per unit of the shared prompt's parameter:
#: about what one Adam step of the same rate does to a mapper's output, so that one rate suits both schemes.
SHARED_RATE = 0.2

#: Places of a prompt that are made of words, and the width of the mapper that chooses them.
PLACES, WORD_MAPPER_WIDTH = 6, 128
#: Score that a word read off the picture starts with; the others start at 0. Of 60 words it then has half the share.
FIRST_SCORE = 4.0
#: A prompt that begins at a description reads a word whose share is this far from the even share towards 1.
_READ_OUT = 0.25
#: Sentences that a described picture is described by, and groups of the vocabulary that one of them speaks of.
SENTENCES, SAID_AT_ONCE = 6, 4
#: Descriptions of nobody in particular that are the templates “descriptions”.
DESCRIPTIONS = 96
#: How many words of a description are shown, the surest first.
READ_WORDS = 6


def templates(name: str) -> list[str]:
    """Manual templates by name, each with one "{}": "studio" (6) or "imagenet" (the 79 that NADA uses).

    Raises InputError for any other name; `descriptions` are made of a vocabulary.
    """
    if name == "studio":
        return list(STUDIO_TEMPLATES)
    if name == "imagenet":
        from open_clip import OPENAI_IMAGENET_TEMPLATES

        return [text for text in (template("{}") for template in OPENAI_IMAGENET_TEMPLATES) if text != NOT_IN_NADA]
    raise InputError(f"There are no templates named “{name}”; choose “studio” or “imagenet”.")


def descriptions(critic: Critic, groups: Sequence[Group], context: str, words: Sequence[str]) -> list[str]:
    """The templates “descriptions”: DESCRIPTIONS random descriptions of people, each with one "{}".

    With them, NADA's direction is the mean of the directions of single descriptions, still one for all pictures. Each
    is as long as the CLIP model's context allows with any of `words`. The same vocabulary gives the same descriptions.
    """
    random, phrases = torch.Generator().manual_seed(0), []
    for _ in range(DESCRIPTIONS):
        of = torch.randperm(len(groups), generator=random)[:SAID_AT_ONCE].tolist()
        chosen = [groups[g][int(torch.randint(len(groups[g]), (1,), generator=random))] for g in of]
        phrases.append(f"{context} {_fitting(critic, chosen, context, words).of('{}')}")
    return phrases


def _fitting(critic: Critic, chosen: Sequence[Sequence[Phrase]], context: str, words: Sequence[str]) -> Phrase:
    """One phrase that says as many of these alternatives as fit into the CLIP model's context with any of `words`."""
    for count in range(len(chosen), 0, -1):
        # A form in front of the noun for the even ones, behind it for the odd, where there are both.
        forms = [alternatives[k % len(alternatives)] for k, alternatives in enumerate(chosen[:count])]
        before = " ".join(form.before for form in forms if form.before)
        phrase = Phrase(before, " and ".join(form.behind for form in forms if form.behind))
        if all(critic.fits(f"{context} {phrase.of(noun)}") for noun in words):
            return phrase
    return Phrase("", "")


def fill(phrases: Sequence[str], words: str) -> list[str]:
    """Put the words into each phrase's "{}"; a phrase without one stays as it is."""
    return [phrase.replace("{}", words) for phrase in phrases]


@dataclass(frozen=True)
class Ingredients:
    """What a scheme is made from.

    phrases: manual templates, each with one "{}". groups: the vocabulary, () where nothing describes people. w_dim:
    width of the generator's w. generator: random numbers for the first weights of what is learned.
    """

    critic: Critic
    config: AdaptConfig
    phrases: Sequence[str]
    groups: Sequence[Group]
    w_dim: int
    generator: torch.Generator

    @property
    def words(self) -> tuple[Critic, str, str, str]:
        """The CLIP model, then source, target and context in words: what most schemes begin with."""
        return self.critic, self.config.source, self.config.target, self.config.context

    @property
    def learning(self) -> dict[str, Any]:
        """What the schemes that learn are told beside words, by name."""
        config = self.config
        options = {name: getattr(config, name) for name in ("residual", "contrastive", "lambda_domain")}
        return {"phrases": self.phrases, **options}


class PromptScheme(nn.Module):
    """What the two stages ask of any scheme. Its state dict holds what stage 1 learnt, never CLIP.

    needs_training: whether stage 1 has anything to do. per_image: whether each picture has a direction of its own.
    readable: whether `readings` has anything to say, in words of a vocabulary. has_context: whether its prompts begin
    with the context phrase. unread: settings of stage 1 that it never reads, though it may have a stage 1.
    avoided: unit (1, D), the direction that stage 2 is kept from leading along; None for none.
    """

    needs_training: bool = False
    per_image: bool = False
    readable: bool = False
    has_context: bool = True
    unread: tuple[str, ...] = ()
    avoided: torch.Tensor | None = None

    @classmethod
    def make(cls, given: Ingredients) -> PromptScheme:
        """The scheme before any training."""
        raise NotImplementedError

    @classmethod
    def count_places(cls, critic: Critic, groups: Sequence[Group]) -> int:
        """How many places behind the context phrase are made of words."""
        return 0

    def directions(self, w: torch.Tensor, images: torch.Tensor | None = None) -> torch.Tensor:
        """What stage 2 follows: `text_directions`, turned away from what is to be avoided."""
        directions = self.text_directions(w, images)
        return directions if self.avoided is None else turned_away(directions, self.avoided)

    def text_directions(self, w: torch.Tensor, images: torch.Tensor | None = None) -> torch.Tensor:
        """ΔT for latents w (B, w_dim): unit (1, D) if all images share it, else (B, D). No gradient.

        images: unit embeddings (B, D) of the source pictures of the same latents; DescribedPrompts and ReadPrompts need
            them.
        """
        raise NotImplementedError

    def readings(self, w: torch.Tensor, images: torch.Tensor) -> list[str]:
        """What each image's prompt says of it, in words, for a scheme that is readable.

        w, images: as for `text_directions`.
        """
        raise NotImplementedError(f"{type(self).__name__} says nothing in words")

    def losses(self, w: torch.Tensor, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """Stage 1's loss terms and their weighted sum "total", differentiable in the scheme's parameters.

        w: (B, w_dim) latents. images: unit (B, D), the embeddings of the source pictures of the same latents.
        """
        raise NotImplementedError(f"{type(self).__name__} has nothing to learn")


class ManualPrompts(PromptScheme):
    """StyleGAN-NADA: one fixed direction from hand-written templates (NADA eq. 2).

    ΔT is the mean over templates of E_T(target) − E_T(source), unit length.
    """

    has_context = False

    def __init__(self, critic: Critic, source: str, target: str, phrases: Sequence[str]) -> None:
        super().__init__()
        sources, targets = (critic.encode_texts(fill(phrases, words)) for words in (source, target))
        direction = text_direction(sources.mean(0, keepdim=True), targets.mean(0, keepdim=True))
        self.register_buffer("direction", direction, persistent=False)

    @classmethod
    def make(cls, given: Ingredients) -> ManualPrompts:
        return cls(given.critic, given.config.source, given.config.target, given.phrases)

    def text_directions(self, w: torch.Tensor, images: torch.Tensor | None = None) -> torch.Tensor:
        return self.direction


class DescribedPrompts(PromptScheme):
    """A direction for each picture from the words that CLIP reads off it; nothing is learned.

    From each group of the vocabulary, CLIP chooses the alternative that is nearest to the picture (zero-shot). A few
    sentences say the chosen words, once with the source's noun and once with the target's; ΔT is the direction between
    the means of the two. All pictures use the same groups and phrases in each sentence, so pictures that read alike
    have the same direction.
    """

    readable = True
    per_image = True

    def __init__(
        self, critic: Critic, source: str, target: str, context: str = "a photo of a", *, groups: Sequence[Group]
    ) -> None:
        super().__init__()
        self._critic, self.words, self._context = critic, (source, target), context
        self._groups = list(groups)
        # Each alternative is known by the mean of its phrases.
        self._alternatives = [torch.stack([self._embedded(forms) for forms in group]) for group in groups]
        self._sentences = _sentences(len(self._groups))
        self._phrase_of: dict[tuple[tuple[int, int], ...], Phrase] = {}  # by the group and the alternative of each part

    @classmethod
    def make(cls, given: Ingredients) -> DescribedPrompts:
        return cls(*given.words, groups=given.groups)

    def _embedded(self, forms: Sequence[Phrase]) -> torch.Tensor:
        return normalise(self._critic.encode_texts([self._filled(phrase, 0) for phrase in forms]).mean(0))

    def _filled(self, phrase: Phrase, side: int) -> str:
        return f"{self._context} {phrase.of(self.words[side])}"

    @torch.no_grad()
    def read(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The nearest alternative of each group to each picture (B, groups), and how sure that is (B, groups).

        How sure: its probability, with CLIP's logit scale, divided by that of a random choice.
        """
        chosen, sure = [], []
        for alternatives in self._alternatives:
            cosines = images @ alternatives.T
            probabilities = (self._critic.logit_scale * cosines).softmax(1)
            best = probabilities.max(1)
            chosen.append(best.indices)
            sure.append(best.values * len(alternatives))
        return torch.stack(chosen, 1), torch.stack(sure, 1)

    @torch.no_grad()
    def text_directions(self, w: torch.Tensor, images: torch.Tensor | None = None) -> torch.Tensor:
        if images is None:
            raise ValueError("Pictures are described by what is seen of them: give their embeddings.")
        sides: tuple[list[str], list[str]] = ([], [])
        for chosen in self.read(images)[0].tolist():
            for groups in self._sentences:
                phrase = self._sentence(tuple((g, chosen[g]) for g in groups))
                for side, texts in enumerate(sides):
                    texts.append(self._filled(phrase, side))
        means = [self._critic.encode_texts(texts).unflatten(0, (len(images), -1)).mean(1) for texts in sides]
        return text_direction(*means)

    def _sentence(self, parts: tuple[tuple[int, int], ...]) -> Phrase:
        """One phrase for these alternatives of groups, made once: pictures that read alike share it, and each is seen
        many times."""
        if parts not in self._phrase_of:
            chosen = [self._groups[group][number] for group, number in parts]
            self._phrase_of[parts] = _fitting(self._critic, chosen, self._context, self.words)
        return self._phrase_of[parts]

    def readings(self, w: torch.Tensor, images: torch.Tensor) -> list[str]:
        chosen, sure = self.read(images)
        said = []
        for labels, order in zip(chosen.tolist(), sure.argsort(1, descending=True).tolist()):
            words = [str(self._groups[g][labels[g]][0]) for g in order]
            words.sort(key=lambda phrase: phrase.startswith("without "))  # what somebody lacks tells least
            said.append(", ".join(words[:READ_WORDS]))
        return said


def _sentences(groups: int) -> list[list[int]]:
    """Which groups each sentence of a description speaks of: all in turn, in an order of no meaning."""
    count = min(SAID_AT_ONCE, groups)
    order: list[int] = []
    while len(order) < SENTENCES * count:
        random = torch.Generator().manual_seed(len(order))
        order += torch.randperm(groups, generator=random).tolist()
    return [list(dict.fromkeys(order[k * count : (k + 1) * count])) for k in range(SENTENCES)]


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
        if contrastive not in CONTRASTIVE_FORMS:
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

    def contexts(self, w: torch.Tensor, images: torch.Tensor | None = None) -> torch.Tensor:
        """Context vectors (B, n, width) for latents w (B, w_dim); (1, n, width) where all images share them.

        images: as for `text_directions`; ReadPrompts alone needs them.
        """
        raise NotImplementedError

    def features(self, w: torch.Tensor, images: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """Stage 1's prompt features: unit (B, D) or (1, D) of the source and of the target prompts."""
        return self._features(w, images, self._residual_1)

    def _features(
        self, w: torch.Tensor, images: torch.Tensor | None, residual: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        raw = self._critic.encode_prompts(self.contexts(w, images), self.words)
        source, target = normalise(raw + residual[:, None])
        return source, target

    @torch.no_grad()
    def text_directions(self, w: torch.Tensor, images: torch.Tensor | None = None) -> torch.Tensor:
        return text_direction(*self._features(w, images, self._residual_2))

    def losses(self, w: torch.Tensor, images: torch.Tensor) -> dict[str, torch.Tensor]:
        source, target = self.features(w, images)
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

    unread = ("contrastive", "around_context", "prompts")

    @classmethod
    def make(cls, given: Ingredients) -> SharedPrompt:
        return cls(*given.words, **given.learning)

    def __init__(self, critic: Critic, source: str, target: str, context: str = "a photo of a", **options) -> None:
        super().__init__(critic, source, target, context, **options)
        self.offset = nn.Parameter(torch.zeros_like(self.context))

    def contexts(self, w: torch.Tensor, images: torch.Tensor | None = None) -> torch.Tensor:
        return (self.context + SHARED_RATE * self.context_scale * self.offset)[None]

    def _contrastive(self, images: torch.Tensor, source: torch.Tensor) -> torch.Tensor:
        return alignment_loss(images, source)


class PromptPerImage(LearnedPrompts):
    """Common part of the schemes that learn a context for each image, and so can tell images apart (IPL §3.2)."""

    per_image = True

    def _contrastive(self, images: torch.Tensor, source: torch.Tensor) -> torch.Tensor:
        if self.contrastive == "difference":
            return contrastive_difference(images, source)
        return contrastive_infonce(images, source, self._critic.logit_scale)


class ImagePrompts(PromptPerImage):
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

    @classmethod
    def make(cls, given: Ingredients) -> ImagePrompts:
        around = given.config.around_context
        return cls(*given.words, w_dim=given.w_dim, generator=given.generator, around_context=around, **given.learning)

    def contexts(self, w: torch.Tensor, images: torch.Tensor | None = None) -> torch.Tensor:
        vectors = self.mapper(w)
        return self.context + self.context_scale * vectors if self.around_context else vectors


class WordPrompts(PromptPerImage):
    """IPL with prompts made of words: the mapper attends to the words of a vocabulary.

    Behind the context phrase stand PLACES further ones, each a mixture of the vocabulary's token embeddings, whose
    shares (a softmax) the mapper gives. So a prompt stays where the text tower was taught, and can be read.
    groups: of them the phrases that stand in front of the noun make the vocabulary.
    """

    readable = True
    unread = ("around_context",)

    def __init__(
        self,
        critic: Critic,
        source: str,
        target: str,
        context: str = "a photo of a",
        *,
        w_dim: int,
        generator: torch.Generator,
        groups: Sequence[Group],
        **options,
    ) -> None:
        super().__init__(critic, source, target, context, **options)
        phrases = [phrase.before for group in groups for forms in group for phrase in forms if not phrase.behind]
        spelt = {word: critic.token_ids(word) for phrase in phrases for word in phrase.split()}
        tokens = list(dict.fromkeys(token for ids in spelt.values() for token in ids))
        if len(tokens) < 2:
            raise InputError(
                "The vocabulary has fewer than two words that stand in front of a noun, which prompts of words are "
                "made of: add some, such as “smiling, frowning”."
            )
        # A token that is only a piece of a word reads as the first word that has it.
        longest_first = sorted(spelt.items(), key=lambda item: -len(item[1]))
        names = {token: word for word, ids in longest_first for token in reversed(ids)}
        self._names, self._phrases = [names[token] for token in tokens], [f" {phrase} " for phrase in phrases]
        self.register_buffer("vocabulary", critic.token_vectors(tokens), persistent=False)
        self._places = {token: place for place, token in enumerate(tokens)}
        self.mapper = WordMapper(w_dim, self.count_places(critic, groups), len(tokens), generator=generator)

    @classmethod
    def make(cls, given: Ingredients) -> WordPrompts:
        return cls(*given.words, w_dim=given.w_dim, generator=given.generator, groups=given.groups, **given.learning)

    @classmethod
    def count_places(cls, critic: Critic, groups: Sequence[Group]) -> int:
        return PLACES

    def contexts(self, w: torch.Tensor, images: torch.Tensor | None = None) -> torch.Tensor:
        words = self._scores(w, images).softmax(-1) @ self.vocabulary
        return torch.cat([self.context.expand(len(w), -1, -1), words], 1)

    def _scores(self, w: torch.Tensor, images: torch.Tensor | None) -> torch.Tensor:
        """Scores (B, places, words), whose softmax the shares are."""
        return self.mapper(w)

    @torch.no_grad()
    def readings(self, w: torch.Tensor, images: torch.Tensor) -> list[str]:
        shares = self._scores(w, images).softmax(-1)
        found = zip(shares.argmax(-1).tolist(), (shares.amax(-1) >= self._least_read()).tolist())
        return [self._said([self._names[k] for k, sure in zip(*row) if sure]) for row in found]

    def _least_read(self) -> float:
        """Share from which on a word is read: any, so that every place says its first."""
        return 0.0

    def _said(self, words: Sequence[str]) -> str:
        """Words as a person would list them: those that a phrase of the vocabulary has together stay so, each once."""
        said: list[str] = []
        for word, _ in itertools.groupby(words):
            joined = f"{said[-1]} {word}" if said else word
            if said and any(f" {joined} " in phrase for phrase in self._phrases):
                said[-1] = joined
            else:
                said.append(word)
        return ", ".join(dict.fromkeys(said))


class ReadPrompts(WordPrompts):
    """Prompts of words that begin at a description: stage 1 starts from what CLIP reads off each picture.

    Each group of the vocabulary whose words can stand in front of the noun has places of its own. At these places, the
    words that DescribedPrompts reads off the picture start with the score FIRST_SCORE, all other words with 0.
    """

    def __init__(self, critic: Critic, source: str, target: str, context: str = "a photo of a", **options) -> None:
        super().__init__(critic, source, target, context, **options)
        groups = options["groups"]
        self._reader = DescribedPrompts(critic, source, target, context, groups=groups)
        self._rows = [(number, self._first_scores(forms)) for number, forms in _in_front(critic, groups)]

    @classmethod
    def count_places(cls, critic: Critic, groups: Sequence[Group]) -> int:
        return sum(max(map(len, forms)) for _, forms in _in_front(critic, groups))

    def _least_read(self) -> float:
        even = 1 / len(self._names)
        return even + _READ_OUT * (1 - even)

    def _first_scores(self, forms: Sequence[Sequence[int]]) -> torch.Tensor:
        """Scores (alternatives, places, words) of one group. A shorter phrase says its last word again; one that can't
        stand in front of the noun says nothing."""
        scores = torch.zeros(len(forms), max(map(len, forms)), len(self._names))
        for number, tokens in enumerate(forms):
            for place in range(scores.shape[1] if tokens else 0):
                scores[number, place, self._places[tokens[min(place, len(tokens) - 1)]]] = FIRST_SCORE
        return scores.to(self._critic.device)

    def _scores(self, w: torch.Tensor, images: torch.Tensor | None) -> torch.Tensor:
        if images is None:
            raise ValueError("Prompts begin at what is seen of the pictures: give their embeddings.")
        chosen, _ = self._reader.read(images)
        return self.mapper(w) + torch.cat([scores[chosen[:, number]] for number, scores in self._rows], 1)


def _in_front(critic: Critic, groups: Sequence[Group]) -> list[tuple[int, list[list[int]]]]:
    """The groups of which two alternatives or more can stand in front of the noun: number, and the tokens of each
    alternative, none for one that can't."""
    found = []
    for number, group in enumerate(groups):
        words = [next((form.before for form in forms if not form.behind), "") for forms in group]
        if sum(map(bool, words)) > 1:
            found.append(
                (number, [[token for word in said.split() for token in critic.token_ids(word)] for said in words])
            )
    return found


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


class WordMapper(nn.Module):
    """w (B, w_dim) → scores (B, places, words): pixel norm and three linear layers, the last of small weights, so that
    at first every word has about the same share."""

    def __init__(self, w_dim: int, places: int, words: int, *, generator: torch.Generator) -> None:
        super().__init__()
        widths = (w_dim, WORD_MAPPER_WIDTH, WORD_MAPPER_WIDTH, places * words)
        self.layers = nn.ModuleList(skip_init(nn.Linear, a, b) for a, b in zip(widths, widths[1:]))
        self.shape = (places, words)
        with torch.no_grad():
            for layer in self.layers:
                layer.weight.copy_(torch.randn(layer.weight.shape, generator=generator) / layer.in_features**0.5)
                layer.bias.zero_()
            self.layers[-1].weight.mul_(0.1)

    def forward(self, w: torch.Tensor) -> torch.Tensor:
        x = pixel_norm(w)
        for layer in self.layers[:-1]:
            x = nn.functional.gelu(layer(x))
        return self.layers[-1](x).unflatten(1, self.shape)
