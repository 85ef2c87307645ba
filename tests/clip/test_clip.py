"""The critic: exact insertion of context vectors, preprocessing, vocabulary, loading and its errors."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from ipl_core.clip.model import CONFIG_FILE, WEIGHTS_FILE, WORDS_FILE, Critic, load_critic
from ipl_core.errors import InputError
from ipl_core.storage.tensors import load_tensors

EMBEDDED = Path(__file__).resolve().parents[2] / "pretrained" / "studio-clip"
WORDS = {
    "words": ["photo", "a", "of", "Sketch", "pencil", "werewolf"],
    "domains": {"pencil sketch": ["pencil sketch", "graphite drawing"], "ukiyo-e": ["woodblock print"]},
}


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory, make_critic_folder) -> Critic:
    return load_critic(make_critic_folder(tmp_path_factory.mktemp("taught") / "taught-clip", WORDS))


def tokens(critic: Critic, *texts: str) -> torch.Tensor:
    return critic.tokenizer(list(texts))


# ---- texts


def test_short_batches_equal_the_towers_own_full_length_features(tiny_critic: Critic) -> None:
    texts = ["photo", "a photo of a werewolf", "ukiyo-e, in the pointillism manner!"]
    expected = tiny_critic.model.encode_text(tokens(tiny_critic, *texts))
    torch.testing.assert_close(tiny_critic.encode_texts(texts, normalise=False), expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(tiny_critic.encode_texts(texts).norm(dim=-1), torch.ones(3))


def test_texts_are_encoded_once(critic_folder, monkeypatch: pytest.MonkeyPatch) -> None:
    critic = load_critic(critic_folder)
    first = critic.encode_texts(["a rare wording", "another rare wording", "a rare wording"])
    assert torch.equal(first[0], first[2])
    monkeypatch.setattr(critic, "_encode", lambda text: pytest.fail(f"encoded again: {text}"))
    assert torch.equal(critic.encode_texts(["another rare wording", "a rare wording"]), first[[1, 0]])


def test_a_texts_features_do_not_depend_on_the_texts_beside_it() -> None:
    read = load_critic(EMBEDDED)
    texts = ["photo", "a photo of a werewolf", "a photo of a zombie", "pencil sketch of a bald person with a hat"]
    together = read.encode_texts(texts)
    for text, feature in zip(texts, together):
        alone = Critic(read.model, read.tokenizer)  # which remembers nothing yet
        assert torch.equal(alone.encode_texts([text])[0], feature)


def test_texts_first_seen_in_inference_mode_serve_later_graphs(tiny_critic: Critic) -> None:
    with torch.inference_mode():
        tiny_critic.encode_texts(["first seen in inference mode"])
    weight = torch.ones(16, requires_grad=True)
    (tiny_critic.encode_texts(["first seen in inference mode"]) * weight).sum().backward()
    assert weight.grad is not None


@pytest.mark.parametrize("context", ["a photo of a", "photo", "a pointillistic photorealism of an"])
@pytest.mark.parametrize("words", ["dog", "ukiyo-e", "round ear Tolkien elf", "Pixar's werewolf"])
def test_real_token_embeddings_as_context_give_the_sentence(tiny_critic: Critic, context: str, words: str) -> None:
    vectors = tiny_critic.context_vectors(context)
    assert vectors.shape == (len(tiny_critic.token_ids(context)), tiny_critic.token_width)
    prompt = tiny_critic.encode_prompts(vectors[None], words)
    expected = tiny_critic.model.encode_text(tokens(tiny_critic, f"{context} {words}"))
    torch.testing.assert_close(prompt, expected, atol=1e-5, rtol=1e-5)


def test_the_test_above_covers_split_words(tiny_critic: Critic) -> None:
    assert len(tiny_critic.context_vectors("a pointillistic photorealism of an")) > 5
    assert len(tiny_critic.token_ids("ukiyo-e")) > 2


def test_several_wordings_in_one_pass_equal_one_by_one(tiny_critic: Critic, rng: torch.Generator) -> None:
    context = torch.randn(3, 4, tiny_critic.token_width, generator=rng)
    wordings = ["photo", "round ear Tolkien elf", "ukiyo-e"]
    together = tiny_critic.encode_prompts(context, wordings)
    assert together.shape == (3, 3, tiny_critic.embed_dim)
    for k, words in enumerate(wordings):
        for b in range(3):
            alone = tiny_critic.encode_prompts(context[b : b + 1], words)
            torch.testing.assert_close(together[k, b], alone[0], atol=1e-5, rtol=1e-5)


def test_gradients_reach_context_and_pictures_but_never_clip(tiny_critic: Critic, rng: torch.Generator) -> None:
    context = torch.randn(2, 4, tiny_critic.token_width, generator=rng, requires_grad=True)
    pictures = torch.rand(2, 3, 48, 48, generator=rng).mul(2).sub(1).requires_grad_()
    texts = tiny_critic.encode_texts(["photo", "sketch"])
    loss = (tiny_critic.encode_prompts(context, "dog") * tiny_critic.encode_images(pictures) * texts).sum()
    loss.backward()
    assert context.grad.abs().amax(dim=(1, 2)).min() > 0
    assert pictures.grad.abs().amax(dim=(1, 2, 3)).min() > 0
    assert all(p.grad is None and not p.requires_grad for p in tiny_critic.model.parameters())
    assert not tiny_critic.model.training


def test_a_prompt_longer_than_the_context_is_refused(tiny_critic: Critic) -> None:
    context = torch.zeros(1, 28, tiny_critic.token_width)
    tiny_critic.encode_prompts(context, "dog sketch")
    with pytest.raises(InputError, match=r"33 tokens.*at most 32"):
        tiny_critic.encode_prompts(context, "dog sketch photo")
    with pytest.raises(InputError, match="at most 32"):
        tiny_critic.encode_texts(["dog " * 31])
    with pytest.raises(InputError, match="blank"):
        tiny_critic.context_vectors("  ")


# ---- pictures


def test_images_of_the_right_size_are_only_normalised(tiny_critic: Critic, rng: torch.Generator) -> None:
    pictures = torch.rand(2, 3, 32, 32, generator=rng) * 2 - 1  # mean and deviation 0.5 leave [-1, 1] as it is
    expected = torch.nn.functional.normalize(tiny_critic.model.encode_image(pictures), dim=-1)
    torch.testing.assert_close(tiny_critic.encode_images(pictures), expected)


@pytest.mark.parametrize("size", [(16, 16), (64, 64), (100, 100), (64, 96), (33, 32)])
def test_any_size_is_resized_and_a_batch_gives_what_its_pictures_give(tiny_critic: Critic, size, rng) -> None:
    pictures = torch.rand(3, 3, *size, generator=rng) * 2 - 1
    batch = tiny_critic.encode_images(pictures)
    torch.testing.assert_close(batch.norm(dim=-1), torch.ones(3))
    alone = torch.cat([tiny_critic.encode_images(picture[None]) for picture in pictures])
    torch.testing.assert_close(batch, alone, atol=1e-5, rtol=1e-5)


def test_resizing_follows_clips_own_preprocessing(tiny_critic: Critic, rng: torch.Generator) -> None:
    from open_clip import image_transform
    from torchvision.transforms.functional import to_pil_image

    pixels = torch.rand(3, 8, 10, generator=rng).repeat_interleave(9, 1).repeat_interleave(9, 2)
    expected = image_transform(32, is_train=False, mean=(0.5,) * 3, std=(0.5,) * 3)(to_pil_image(pixels))
    resized = tiny_critic._resize(pixels[None] * 2 - 1)[0].clamp(-1, 1)  # a PIL picture is clipped, too
    assert (resized - expected).abs().max() < 0.03


def test_views_see_resized_pictures(tiny_critic: Critic, rng: torch.Generator) -> None:
    pictures = torch.rand(2, 3, 64, 64, generator=rng)
    flipped = tiny_critic.encode_images(pictures, views=lambda x: x.flip(-1))
    torch.testing.assert_close(flipped, tiny_critic.encode_images(pictures.flip(-1)), atol=1e-5, rtol=1e-5)
    both = tiny_critic.encode_images(pictures, views=lambda x: torch.cat([x, x.flip(-1)]))
    assert both.shape == (4, tiny_critic.embed_dim)


# ---- what may be asked for


def test_open_vocabulary_knows_everything(tiny_critic: Critic) -> None:
    assert tiny_critic.known_words is None
    assert tiny_critic.unknown_words("xyzzy plugh") == []
    tiny_critic.check_text("xyzzy plugh 🙂")


def test_closed_vocabulary(taught: Critic) -> None:
    assert taught.unknown_words("Pencil sketch of a WEREWOLF's photo, ukiyo-e; pencil-sketch!") == []
    assert taught.unknown_words("graphite drawing") == [], "words of the domains' wordings are known too"
    assert taught.unknown_words("steampunk dragon photo steampunk 🙂") == ["steampunk", "dragon", "🙂"]


def test_unknown_words_are_named_with_what_is_known_and_the_way_out(taught: Critic) -> None:
    with pytest.raises(InputError) as caught:
        taught.check_text("steampunk\nphoto", field="target")
    for part in ("steampunk", "target", "pencil sketch", "ukiyo-e", "--critic ViT-B-32", "taught-clip"):
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "   ", "\t\n", "?!", '"" .'])
def test_blank_texts_are_refused(tiny_critic: Critic, text: str) -> None:
    with pytest.raises(InputError, match="target is blank"):
        tiny_critic.check_text(text, field="target")


def test_length_counts_the_phrases_around_the_words(tiny_critic: Critic) -> None:
    words = "dog " * 28
    tiny_critic.check_text(words)
    with pytest.raises(InputError, match=r"34 tokens.*at most 32"):
        tiny_critic.check_text(words, within=("{}", "a photo of {} now"))


def test_reserved_marks_are_refused(tiny_critic: Critic) -> None:
    with pytest.raises(InputError, match="reserved"):
        tiny_critic.check_text("dog <end_of_text> cat")


# ---- loading


def test_same_request_same_object_and_changed_files_a_new_one(tmp_path, make_critic_folder) -> None:
    folder = make_critic_folder(tmp_path / "clip")
    first = load_critic(folder)
    assert load_critic(str(folder)) is first
    assert (first.image_size, first.context_length, first.token_width, first.embed_dim) == (32, 32, 32, 16)
    assert first.logit_scale == pytest.approx(1 / 0.07, rel=1e-2)
    assert {p.dtype for p in first.model.parameters()} == {torch.float32}
    make_critic_folder(folder, WORDS)
    assert load_critic(folder).known_words is not None


@pytest.mark.parametrize("name", [CONFIG_FILE, WEIGHTS_FILE, WORDS_FILE])
def test_damaged_files_are_named(tmp_path, make_critic_folder, name: str) -> None:
    folder = make_critic_folder(tmp_path / "clip", WORDS)
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match="restore") as caught:
        load_critic(folder)
    assert "clip" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_word_list_of_the_wrong_shape_is_refused(tmp_path, make_critic_folder) -> None:
    folder = make_critic_folder(tmp_path / "clip")
    for wrong in ([], {}, {"words": 3}, {"words": ["a"], "domains": ["b"]}):
        (folder / WORDS_FILE).write_text(json.dumps(wrong), encoding="utf-8")
        with pytest.raises(InputError, match="word list"):
            load_critic(folder)


@pytest.mark.parametrize("name", [CONFIG_FILE, WEIGHTS_FILE])
def test_missing_files_are_named(tmp_path, make_critic_folder, name: str) -> None:
    folder = make_critic_folder(tmp_path / "clip")
    (folder / name).unlink()
    with pytest.raises(InputError, match=name):
        load_critic(folder)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("ViT-Z-99", "no CLIP model named"),
        ("/nowhere/at/all", "directory"),
        ("ViT-B-32:no_such_tag", "laion2b"),
        ("EVA01-g-14", "needs a choice"),
    ],
)
def test_names_that_mean_nothing_get_an_answer(name: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        load_critic(name)


def test_openai_weights_get_their_own_activation() -> None:
    from ipl_core.clip.model import _architecture_and_weights

    assert _architecture_and_weights("ViT-B-32") == ("ViT-B-32-quickgelu", "openai")
    assert _architecture_and_weights("ViT-B/16:laion2b_s34b_b88k") == ("ViT-B-16", "laion2b_s34b_b88k")


def test_pickled_weights_of_ones_own_are_read_apart(tmp_path: Path) -> None:
    from ipl_core.clip.model import _readable

    path = tmp_path / "clip.pt"
    state = {"visual.proj": torch.randn(2, 3).half(), "bn.num_batches_tracked": torch.tensor(4)}
    torch.save({"epoch": 3, "state_dict": state}, path)
    with _readable(str(path)) as readable:
        tensors, _ = load_tensors(readable)
    assert not Path(readable).exists()
    assert torch.equal(tensors["visual.proj"], state["visual.proj"].float())
    assert torch.equal(tensors["bn.num_batches_tracked"], state["bn.num_batches_tracked"])
    path.write_bytes(b"\x80\x02cos\nsystem\nX\x04\0\0\0true\x85R.")
    with pytest.raises(InputError, match=r"os\.system.*nothing was run"), _readable(str(path)):
        pass
    with _readable("openai") as tag:
        assert tag == "openai"


def test_a_critic_too_large_for_any_machine_is_refused(tmp_path: Path, make_critic_folder) -> None:
    folder = make_critic_folder(tmp_path / "clip")
    file = folder / "open_clip_config.json"
    description = json.loads(file.read_text())
    for tower, field, value in (
        ("text_cfg", "layers", 10**9),
        ("vision_cfg", "width", 10**12),
        ("text_cfg", "x", 1e300),
    ):
        odd = json.loads(json.dumps(description))
        odd["model_cfg"][tower][field] = value
        file.write_text(json.dumps(odd))
        with pytest.raises(InputError, match=rf"open_clip_config\.json has .* as “{field}”"):
            load_critic(folder)


def test_a_failed_download_says_what_and_how_to_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    import open_clip

    def offline(*_, **__):
        raise RuntimeError("no route to host\nmore lines")

    monkeypatch.setattr(open_clip, "create_model", offline)
    with pytest.raises(InputError, match=r"no route to host.*--critic ViT-B-32-quickgelu:/path") as caught:
        load_critic("ViT-B-32")
    assert "\n" not in str(caught.value)


def test_other_text_towers_take_vectors_where_they_can_and_say_so_where_not(tiny_clip_config) -> None:
    import open_clip

    custom = open_clip.CustomTextCLIP(**tiny_clip_config)
    critic = Critic(custom, open_clip.SimpleTokenizer(context_length=32), "custom")
    expected = custom.encode_text(critic.tokenizer(["a photo of a dog"]))
    prompt = critic.encode_prompts(critic.context_vectors("a photo of a")[None], "dog")
    torch.testing.assert_close(prompt, expected, atol=1e-5, rtol=1e-5)

    tiny_clip_config["text_cfg"]["no_causal_mask"] = True
    both_ways = open_clip.CustomTextCLIP(**tiny_clip_config)
    critic = Critic(both_ways, open_clip.SimpleTokenizer(context_length=32), "both-ways")
    assert critic.token_width is None
    assert critic.encode_texts(["a dog"]).shape == (1, 16)
    with pytest.raises(InputError, match="nada"):
        critic.context_vectors("a photo of a")
