"""The three schemes: NADA = IPL with constant prompts, residuals, λ, frozen CLIP, batch = one by one."""

from __future__ import annotations

import pytest
import torch

from ipl_core.clip.model import Critic, load_critic
from ipl_core.clip.vocabulary import parse
from ipl_core.errors import InputError
from ipl_core.methods.config import AdaptConfig
from ipl_core.methods.directions import normalise, text_direction
from ipl_core.methods.prompts import (
    RESIDUALS,
    DescribedPrompts,
    ImagePrompts,
    ManualPrompts,
    Mapper,
    ReadPrompts,
    SharedPrompt,
    WordPrompts,
    _sentences,
    descriptions,
    fill,
    templates,
)
from ipl_core.methods.registry import WORD_PROMPTS, make_prompts

W_DIM = 16
CONTEXT = "a photo of a"
WORDS = ("photo", "pencil sketch")


def image_prompts(critic: Critic, seed: int = 0, **options) -> ImagePrompts:
    return ImagePrompts(critic, *WORDS, CONTEXT, w_dim=W_DIM, generator=torch.Generator().manual_seed(seed), **options)


@pytest.fixture
def w(rng: torch.Generator) -> torch.Tensor:
    return torch.randn(6, W_DIM, generator=rng)


@pytest.fixture
def images(tiny_critic: Critic, rng: torch.Generator) -> torch.Tensor:
    return normalise(torch.randn(6, tiny_critic.embed_dim, generator=rng))


def train(scheme, w: torch.Tensor, images: torch.Tensor, steps: int = 40, rate: float = 0.1) -> dict[str, float]:
    optimiser = torch.optim.Adam(scheme.parameters(), lr=rate)
    for _ in range(steps):
        optimiser.zero_grad()
        scheme.losses(w, images)["total"].backward()
        optimiser.step()
    return {name: value.item() for name, value in scheme.losses(w, images).items()}


# ---- templates


def test_template_lists() -> None:
    imagenet, studio = templates("imagenet"), templates("studio")
    assert (len(imagenet), len(studio)) == (79, 6)
    assert all(text.count("{}") == 1 for text in imagenet + studio)
    assert "a photo of a {}." in imagenet
    assert "a photo of many {}." not in imagenet
    with pytest.raises(InputError, match="nonsense"):
        templates("nonsense")


# ---- directions


def test_manual_direction_is_the_mean_difference_over_templates(tiny_critic: Critic, w: torch.Tensor) -> None:
    phrases = templates("studio")
    scheme = ManualPrompts(tiny_critic, *WORDS, phrases)
    difference = sum(
        tiny_critic.encode_texts([p.replace("{}", WORDS[1])]) - tiny_critic.encode_texts([p.replace("{}", WORDS[0])])
        for p in phrases
    )
    torch.testing.assert_close(scheme.text_directions(w), normalise(difference))
    assert not scheme.needs_training
    assert not list(scheme.parameters())
    assert not scheme.state_dict()


def test_constant_prompts_give_nadas_direction(tiny_critic: Critic, w: torch.Tensor) -> None:
    nada = ManualPrompts(tiny_critic, *WORDS, [CONTEXT + " {}"]).text_directions(w)
    ipl = image_prompts(tiny_critic, around_context=True, residual="none").text_directions(w)
    shared = SharedPrompt(tiny_critic, *WORDS, CONTEXT, residual="none").text_directions(w)
    torch.testing.assert_close(ipl, nada.expand(6, -1), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(shared, nada, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("residual", RESIDUALS)
def test_directions_are_unit_and_one_per_image(tiny_critic: Critic, w: torch.Tensor, residual: str) -> None:
    directions = image_prompts(tiny_critic, residual=residual).text_directions(w)
    torch.testing.assert_close(directions.norm(dim=-1), torch.ones(6))
    assert not directions.requires_grad
    assert (directions[0] - directions[1]).norm() > 1e-3
    shared = SharedPrompt(tiny_critic, *WORDS, CONTEXT, residual=residual).text_directions(w)
    assert shared.shape == (1, tiny_critic.embed_dim)


def test_residuals_are_what_they_say(tiny_critic: Critic, w: torch.Tensor) -> None:
    official, aware, none = (image_prompts(tiny_critic, residual=r) for r in ("official", "class-aware", "none"))
    raw = tiny_critic.encode_prompts(none.contexts(w), WORDS)
    with_class = tiny_critic.encode_texts([f"{CONTEXT} {words}." for words in WORDS], normalise=False)
    without = tiny_critic.encode_texts([CONTEXT], normalise=False)
    stage_1 = normalise(raw + with_class[:, None])
    for scheme in (official, aware):
        torch.testing.assert_close(torch.stack(scheme.features(w)), stage_1)
    torch.testing.assert_close(torch.stack(none.features(w)), normalise(raw))
    torch.testing.assert_close(aware.text_directions(w), text_direction(*stage_1))
    torch.testing.assert_close(official.text_directions(w), text_direction(*normalise(raw + without)))
    phrases = ("{}", "a drawing of a {}")
    ensemble = image_prompts(tiny_critic, residual="templates", phrases=phrases)
    manual = torch.stack([tiny_critic.encode_texts(fill(phrases, words), normalise=False).mean(0) for words in WORDS])
    expected = normalise(raw + manual[:, None])
    torch.testing.assert_close(torch.stack(ensemble.features(w)), expected)
    torch.testing.assert_close(ensemble.text_directions(w), text_direction(*expected))


def test_a_batch_gives_what_its_latents_give_one_by_one(tiny_critic: Critic, w: torch.Tensor) -> None:
    scheme = image_prompts(tiny_critic)
    alone = torch.cat([scheme.text_directions(row[None]) for row in w])
    torch.testing.assert_close(scheme.text_directions(w), alone, atol=1e-5, rtol=1e-5)


# ---- stage 1


@pytest.mark.parametrize("contrastive", ["infonce", "difference"])
def test_lambda_zero_serves_the_pictures_and_lambda_large_the_domain(tiny_critic, w, images, contrastive) -> None:
    free = train(image_prompts(tiny_critic, lambda_domain=0.0, contrastive=contrastive), w, images)
    bound = train(image_prompts(tiny_critic, lambda_domain=1000.0, contrastive=contrastive), w, images)
    assert free["total"] == pytest.approx(free["contrastive"])
    assert free["contrastive"] < bound["contrastive"]
    assert bound["domain"] < free["domain"]


@pytest.mark.parametrize("around", [False, True])
def test_training_teaches_prompts_their_pictures(tiny_critic, w, images, around: bool) -> None:
    scheme = image_prompts(tiny_critic, around_context=around, lambda_domain=0.0, residual="none")
    before = scheme.losses(w, images)["contrastive"].item()
    assert train(scheme, w, images)["contrastive"] < before - 0.2


def test_shared_prompt_learns_to_describe_its_pictures(tiny_critic, w, images) -> None:
    scheme = SharedPrompt(tiny_critic, *WORDS, CONTEXT, lambda_domain=1.0, residual="none")
    before = {name: value.item() for name, value in scheme.losses(w, images).items()}
    assert train(scheme, w, images)["total"] < before["total"]


def test_gradients_reach_every_parameter_and_nothing_of_clip(tiny_critic, w, images) -> None:
    for scheme in (image_prompts(tiny_critic), SharedPrompt(tiny_critic, *WORDS, CONTEXT)):
        terms = scheme.losses(w, images)
        assert set(terms) == {"contrastive", "domain", "total"}
        terms["total"].backward()
        assert all(p.grad.abs().sum() > 0 for p in scheme.parameters())
    assert all(p.grad is None for p in tiny_critic.model.parameters())


def test_zero_start_still_learns_in_every_layer_but_the_first_ones_wait(tiny_critic, w, images) -> None:
    scheme = image_prompts(tiny_critic, around_context=True)
    torch.testing.assert_close(scheme.contexts(w), scheme.context.expand(6, -1, -1))
    scheme.losses(w, images)["total"].backward()
    assert scheme.mapper.layers[-1].weight.grad.abs().sum() > 0


# ---- mapper and state


def test_mapper_shape_scale_and_seed(rng: torch.Generator) -> None:
    w = torch.randn(64, 32, generator=rng)
    mapper = Mapper(32, 4, 24, generator=torch.Generator().manual_seed(1))
    again = Mapper(32, 4, 24, generator=torch.Generator().manual_seed(1))
    other = Mapper(32, 4, 24, generator=torch.Generator().manual_seed(2))
    assert mapper(w).shape == (64, 4, 24)
    assert torch.equal(mapper(w), again(w))
    assert not torch.equal(mapper(w), other(w))
    torch.testing.assert_close(mapper(w), mapper(5 * w), msg="only the direction of w matters")
    assert 0.3 < mapper(w).square().mean().sqrt() < 3
    assert len(mapper.layers) == 4


def test_state_holds_the_mapper_and_restores_the_directions(tiny_critic: Critic, w: torch.Tensor) -> None:
    first, second = image_prompts(tiny_critic, seed=1), image_prompts(tiny_critic, seed=2)
    state = first.state_dict()
    assert all(name.startswith("mapper.") for name in state)
    assert not torch.equal(first.text_directions(w), second.text_directions(w))
    second.load_state_dict(state)
    assert torch.equal(first.text_directions(w), second.text_directions(w))
    assert list(SharedPrompt(tiny_critic, *WORDS, CONTEXT).state_dict()) == ["offset"]


# ---- make_prompts


@pytest.mark.parametrize(("method", "kind"), [("nada", ManualPrompts), ("shared", SharedPrompt), ("ipl", ImagePrompts)])
@pytest.mark.parametrize("preset", ["official", "paper", "default"])
def test_make_prompts_builds_what_is_asked(tiny_critic, w, images, rng, method: str, kind: type, preset: str) -> None:
    config = AdaptConfig("pencil sketch", method=method, preset=preset)
    scheme = make_prompts(config, tiny_critic, W_DIM, rng)
    assert type(scheme) is kind
    assert scheme.needs_training == (method != "nada")
    assert scheme.text_directions(w).shape[1] == tiny_critic.embed_dim
    if scheme.needs_training:
        terms = scheme.losses(w, images)
        torch.testing.assert_close(terms["total"], terms["contrastive"] + config.lambda_domain * terms["domain"])


def test_make_prompts_refuses_what_the_critic_cannot_judge(tiny_critic: Critic, rng: torch.Generator) -> None:
    with pytest.raises(InputError, match="too long"):
        make_prompts(AdaptConfig("dog " * 29), tiny_critic, W_DIM, rng)
    with pytest.raises(InputError, match="same words"):
        make_prompts(AdaptConfig("photo!", source="photo !"), tiny_critic, W_DIM, rng)


@pytest.mark.parametrize("method", ["nada", "shared", "ipl"])
def test_every_scheme_is_turned_away_from_what_is_to_be_avoided(tiny_critic: Critic, w, rng, method: str) -> None:
    plain = make_prompts(AdaptConfig("pencil sketch", method=method), tiny_critic, W_DIM, rng)
    assert torch.equal(plain.directions(w), plain.text_directions(w))
    config = AdaptConfig("pencil sketch", method=method, avoid="pencil drawing")
    scheme = make_prompts(config, tiny_critic, W_DIM, rng)
    along = (scheme.text_directions(w) * scheme.avoided).sum(-1)
    assert (along > 0).all()
    assert (scheme.directions(w) * scheme.avoided).sum(-1).abs().max() < 1e-6
    assert list(scheme.state_dict()) == list(plain.state_dict())


def test_what_is_the_source_itself_cannot_be_avoided(tiny_critic: Critic, rng: torch.Generator) -> None:
    with pytest.raises(InputError, match="can't be avoided"):
        make_prompts(AdaptConfig("pencil sketch", avoid="Photo"), tiny_critic, W_DIM, rng)
    with pytest.raises(InputError, match="too long"):
        make_prompts(AdaptConfig("pencil sketch", avoid="dog " * 40), tiny_critic, W_DIM, rng)
    with pytest.raises(InputError, match="What to avoid is blank"):
        AdaptConfig("pencil sketch", avoid=" ")


# ---- prompts of words, and described pictures

GROUPS = parse("bald, curly, long haired / {} with long hair; young, old / {} with wrinkles; {} with glasses, {} alone")


def word_prompts(critic: Critic, seed: int = 0, **options) -> WordPrompts:
    generator = torch.Generator().manual_seed(seed)
    return WordPrompts(critic, *WORDS, CONTEXT, w_dim=W_DIM, generator=generator, groups=GROUPS, **options)


def test_a_prompt_of_words_is_the_context_and_then_mixtures_of_words(tiny_critic: Critic, w: torch.Tensor) -> None:
    state = torch.random.get_rng_state()
    scheme = word_prompts(tiny_critic)
    assert torch.equal(torch.random.get_rng_state(), state)  # nobody else's random numbers
    contexts = scheme.contexts(w)
    places = len(tiny_critic.context_vectors(CONTEXT))
    assert torch.equal(contexts[0, :places], tiny_critic.context_vectors(CONTEXT))
    assert contexts.shape == (len(w), places + 6, tiny_critic.token_width)
    words = list(dict.fromkeys(tiny_critic.token_ids("bald curly long haired young old")))
    vectors = tiny_critic.token_vectors(words)
    # Every mixture is a point of the words' simplex: solve for its shares.
    shares = torch.linalg.lstsq(vectors.T, contexts[:, places:].flatten(0, 1).T).solution
    assert shares.min() > 0
    torch.testing.assert_close(shares.sum(0), torch.ones(shares.shape[1]), atol=1e-4, rtol=0)
    with torch.no_grad():  # a mapper that is sure of one word gives that word
        scheme.mapper.layers[-1].weight.zero_()
        scheme.mapper.layers[-1].bias.view(6, -1)[:, words.index(tiny_critic.token_ids("old")[0])] = 100.0
    alone = tiny_critic.encode_texts([f"{CONTEXT} old old old old old old {word}" for word in WORDS])
    direction = word_prompts(tiny_critic, residual="none")
    direction.load_state_dict(scheme.state_dict())
    torch.testing.assert_close(direction.text_directions(w)[0], text_direction(*alone), atol=1e-4, rtol=1e-4)
    assert scheme.readings(w, w) == ["old"] * len(w)


def test_prompts_of_words_learn_to_tell_pictures_apart(tiny_critic, w, images) -> None:
    scheme = word_prompts(tiny_critic, lambda_domain=0.0, residual="none")
    before = scheme.losses(w, images)["total"].item()
    assert train(scheme, w, images, rate=0.05)["total"] < before
    assert (scheme.text_directions(w).std(0) > 0).any()
    again = word_prompts(tiny_critic, seed=1, lambda_domain=0.0, residual="none")
    again.load_state_dict(scheme.state_dict())
    assert torch.equal(again.text_directions(w), scheme.text_directions(w))
    assert not any("vocabulary" in name for name in scheme.state_dict())


def test_words_that_a_phrase_has_together_are_read_together(tiny_critic: Critic) -> None:
    scheme = word_prompts(tiny_critic)
    assert scheme._said(["long", "haired", "young", "old", "young"]) == "long haired, young, old"
    assert scheme._said(["long", "young", "haired"]) == "long, young, haired"
    assert scheme._said(["long", "haired", "haired", "old"]) == "long haired, old"  # a place more than its words


def test_a_piece_of_a_word_reads_as_the_word(tiny_critic: Critic, w: torch.Tensor, rng: torch.Generator) -> None:
    assert len(tiny_critic.token_ids("unshaven")) > 1
    groups = parse("unshaven, bald")
    scheme = WordPrompts(tiny_critic, *WORDS, CONTEXT, w_dim=W_DIM, generator=rng, groups=groups)
    assert set(scheme._names) == {"unshaven", "bald"}
    assert all(set(line.split(", ")) <= {"unshaven", "bald"} for line in scheme.readings(w, w))


def test_prompts_of_words_want_words_in_front_of_the_noun(tiny_critic: Critic, rng: torch.Generator) -> None:
    groups = parse("{} with glasses, {} alone")
    with pytest.raises(InputError, match="fewer than two words"):
        WordPrompts(tiny_critic, *WORDS, CONTEXT, w_dim=W_DIM, generator=rng, groups=groups)


def described(critic: Critic, groups=GROUPS) -> DescribedPrompts:
    return DescribedPrompts(critic, *WORDS, CONTEXT, groups=groups)


def test_a_picture_gets_the_words_that_are_nearest_to_it(tiny_critic: Critic, w: torch.Tensor) -> None:
    scheme = described(tiny_critic)
    said = [f"{CONTEXT} curly photo", f"{CONTEXT} old photo", f"{CONTEXT} photo with glasses"]
    images = tiny_critic.encode_texts(said)
    chosen, sure = scheme.read(images)
    assert (chosen[0, 0], chosen[2, 2]) == (1, 0)
    assert (sure >= 1).all()  # no alternative is less sure than chance
    lines = scheme.readings(w, images)
    assert all(line.count(",") == len(GROUPS) - 1 for line in lines)
    assert "curly" in lines[0]
    assert "with glasses" in lines[2]


def test_what_somebody_lacks_is_said_last(tiny_critic: Critic, w, images) -> None:
    groups = parse("{} without a hat, {} without any; young, old; curly, bald; a, b; c, d; e, f; g, h")
    for line in described(tiny_critic, groups).readings(w, images):
        assert len(line.split(", ")) == 6
        assert "without" not in line


def test_a_described_direction_is_that_of_sentences_which_differ_in_the_domain_alone(tiny_critic, w, images) -> None:
    scheme = described(tiny_critic, parse("young, old"))
    directions = scheme.text_directions(w, images)
    for chosen, direction in zip(scheme.read(images)[0][:, 0].tolist(), directions):
        pair = [f"{CONTEXT} {('young', 'old')[chosen]} {word}" for word in WORDS]
        torch.testing.assert_close(direction, text_direction(*tiny_critic.encode_texts(pair)), atol=1e-5, rtol=1e-5)
    whole = described(tiny_critic)
    alone = torch.cat([whole.text_directions(w[:1], row[None]) for row in images])
    torch.testing.assert_close(whole.text_directions(w, images), alone, atol=1e-6, rtol=1e-6)
    assert not list(whole.parameters())
    assert not whole.state_dict()
    with pytest.raises(ValueError, match="embeddings"):
        whole.text_directions(w)


def test_what_is_said_of_a_picture_is_put_together_and_encoded_once(
    tiny_critic: Critic, w: torch.Tensor, images: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheme = described(tiny_critic)
    first = scheme.text_directions(w, images)
    monkeypatch.setattr(tiny_critic, "token_ids", lambda text: pytest.fail(f"“{text}” is made of tokens once more"))
    assert torch.equal(scheme.text_directions(w, images), first)


def test_sentences_speak_of_every_group_and_fit_the_context(make_critic_folder, tmp_path) -> None:
    for groups in (1, 3, 4, 19, 40):
        sentences = _sentences(groups)
        assert all(len(said) == len(set(said)) <= 4 for said in sentences)
        assert {g for said in sentences for g in said} == set(range(groups)) or groups > 24
    text = {"context_length": 14, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1}
    short = load_critic(make_critic_folder(tmp_path / "short", text_cfg=text))
    scheme = described(short, parse("{} with very long curly hair, {} with none; {} wearing glasses, {} without any"))
    images = short.encode_texts([CONTEXT])
    assert scheme.text_directions(torch.zeros(1, W_DIM), images).isfinite().all()


def test_schemes_say_whether_they_can_be_read(tiny_critic: Critic) -> None:
    for scheme in (image_prompts(tiny_critic), SharedPrompt(tiny_critic, *WORDS, CONTEXT)):
        assert not scheme.readable
    assert word_prompts(tiny_critic).readable
    assert described(tiny_critic).readable


def test_a_vocabulary_is_the_one_that_suits_unless_it_is_named(tiny_critic: Critic, w, images, rng) -> None:
    def lines(suited: str, **settings) -> list[str]:
        config = AdaptConfig("pencil sketch", method="described", **settings)
        return make_prompts(config, tiny_critic, W_DIM, rng, suited).readings(w, images)

    assert lines("faces") == lines("animals", vocabulary="faces")
    assert lines("animals") != lines("faces")
    assert set(lines("faces", vocabulary="grumpy, cheerful")) <= {"grumpy", "cheerful"}


def read_prompts(critic: Critic, seed: int = 0, **options) -> ReadPrompts:
    generator = torch.Generator().manual_seed(seed)
    return ReadPrompts(critic, *WORDS, CONTEXT, w_dim=W_DIM, generator=generator, groups=GROUPS, **options)


def test_prompts_that_begin_at_a_description_say_it_before_they_have_learnt(tiny_critic, w, images) -> None:
    scheme = read_prompts(tiny_critic)
    chosen, _ = DescribedPrompts(tiny_critic, *WORDS, CONTEXT, groups=GROUPS).read(images)
    # Two groups can stand in front of the noun: of the first a phrase of two words, so three places in all.
    cut, age = ["bald", "curly", "long haired"], ["young", "old"]
    expected = [f"{cut[first]}, {age[second]}" for first, second, _ in chosen.tolist()]
    assert scheme.readings(w, images) == expected
    places = len(tiny_critic.context_vectors(CONTEXT))
    assert scheme.contexts(w, images).shape[1] == places + 3
    with pytest.raises(ValueError, match="give their embeddings"):
        scheme.text_directions(w)


def test_words_that_leave_no_room_for_the_places_of_a_prompt_are_refused(tiny_critic: Critic, w, images, rng) -> None:
    # The context holds 32 tokens: start, end, full stop, “a photo of a” and 6 places of words leave 19.
    target = "dog " * 19
    worded = make_prompts(AdaptConfig(target, method="ipl", prompts="words"), tiny_critic, W_DIM, rng)
    assert worded.losses(w, images)["total"].isfinite()
    with pytest.raises(InputError, match="too long"):
        make_prompts(AdaptConfig(target, method="ipl", prompts="read"), tiny_critic, W_DIM, rng)


def test_prompts_that_begin_at_a_description_differ_by_picture_and_learn(tiny_critic, w, images) -> None:
    scheme = read_prompts(tiny_critic, lambda_domain=0.0, residual="none")
    assert len(set(scheme.readings(w, images))) > 1
    assert scheme.text_directions(w, images).shape == images.shape
    before = scheme.losses(w, images)["total"].item()
    assert train(scheme, w, images, rate=WORD_PROMPTS["mapper_lr"])["total"] < before
    again = read_prompts(tiny_critic, seed=1, lambda_domain=0.0, residual="none")
    again.load_state_dict(scheme.state_dict())
    assert torch.equal(again.text_directions(w, images), scheme.text_directions(w, images))


def test_what_cannot_stand_in_front_of_the_noun_begins_as_any_word(tiny_critic, w, images, rng) -> None:
    groups = parse("bald, curly, {} with braids; {} with glasses, {} alone")
    scheme = ReadPrompts(tiny_critic, *WORDS, CONTEXT, w_dim=W_DIM, generator=rng, groups=groups)
    scheme._reader.read = lambda images: (torch.tensor([[2, 0], [1, 0]]), None)
    assert scheme.readings(w[:2], images[:2]) == ["", "curly"]


def test_the_templates_of_descriptions_are_the_mean_of_what_is_said(tiny_critic: Critic) -> None:
    config = AdaptConfig("pencil sketch", method="nada", templates="descriptions", vocabulary="bald, curly; young, old")
    phrases = descriptions(tiny_critic, parse(config.vocabulary), config.context, WORDS)
    assert len(phrases) == 96
    assert set(phrases) == {f"a photo of a {a} {b} {{}}" for a in ("bald", "curly") for b in ("young", "old")} | {
        f"a photo of a {b} {a} {{}}" for a in ("bald", "curly") for b in ("young", "old")
    }
    rng = torch.Generator().manual_seed(0)
    scheme = make_prompts(config, tiny_critic, W_DIM, rng)
    means = [
        tiny_critic.encode_texts([p.replace("{}", word) for p in phrases]).mean(0) for word in ("photo", config.target)
    ]
    torch.testing.assert_close(scheme.text_directions(None)[0], text_direction(*means))


def test_descriptions_are_as_long_as_the_context_has_room_for(tiny_critic: Critic) -> None:
    groups = parse(";".join(f"{'bald ' * 12}, {'old ' * 12}" for _ in range(8)))
    phrases = descriptions(tiny_critic, groups, "a photo of a", WORDS)
    assert not tiny_critic.fits("a photo of a " + "bald " * 48 + WORDS[0])
    assert all(tiny_critic.fits(text) for words in WORDS for text in fill(phrases, words))
    assert all(phrase.endswith(" {}") for phrase in phrases)
