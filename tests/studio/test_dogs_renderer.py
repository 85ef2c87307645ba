"""Dogs are drawn as their attributes say, the same every time, and every attribute shows."""

import pytest
import torch

from ipl_core.studio.world.attributes import Categorical, Sitters, sitters_from_unit
from ipl_core.studio.world.dogs.attributes import ATTRIBUTES, TRAITS
from ipl_core.studio.world.dogs.renderer import draw_dogs
from ipl_core.studio.world.form import AS_THEY_ARE, Form

SIZE = 48
BY_NAME = {attribute.name: attribute for attribute in ATTRIBUTES}


def _points(count: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(count, len(ATTRIBUTES), generator=torch.Generator().manual_seed(seed))


def _column(name: str) -> int:
    return ATTRIBUTES.index(BY_NAME[name])


def _dogs(u: torch.Tensor) -> Sitters:
    return sitters_from_unit(ATTRIBUTES, u)


@pytest.mark.parametrize("size", [32, 64])
def test_layers_have_the_shapes_and_ranges_that_a_portrait_promises(size):
    layers = vars(draw_dogs(_dogs(_points(6)), size, AS_THEY_ARE))
    for name, layer in layers.items():
        assert layer.shape == (6, 3 if name in ("rgb", "albedo") else 1, size, size), name
        assert layer.isfinite().all(), name
        assert layer.min() >= 0, name
        assert layer.max() <= (1.5 if name == "light" else 1 + 1e-5), name
        assert layer.std() > 0.02, name


def test_a_dog_is_drawn_the_same_alone_and_in_company():
    u = _points(4)
    together = draw_dogs(_dogs(u), SIZE, AS_THEY_ARE).rgb
    alone = torch.cat([draw_dogs(_dogs(row[None]), SIZE, AS_THEY_ARE).rgb for row in u])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", sorted(BY_NAME))
def test_every_attribute_changes_the_picture(name):
    column = _column(name)
    low, high = _points(12, seed=1), _points(12, seed=1)
    for u in (low, high):  # what isn't worn can't show
        u[:, _column("markings")], u[:, _column("collar")] = 0.5, 0.7
    low[:, column], high[:, column] = 0.02, 0.5 if name.endswith("hue") else 0.98  # a hue is a circle
    a, b = (draw_dogs(_dogs(u), 96, AS_THEY_ARE).rgb for u in (low, high))
    change = (a - b).abs().amax((1, 2, 3))
    assert change.min() > 0.03
    assert change.mean() > 0.1


@pytest.mark.parametrize("name", sorted(a.name for a in ATTRIBUTES if isinstance(a, Categorical)))
def test_no_two_labels_look_the_same(name):
    labels = len(BY_NAME[name].labels)
    dog = _dogs(_points(1, seed=3).repeat(labels, 1)).values | {name: torch.arange(labels)}
    pictures = draw_dogs(Sitters(dog), SIZE, AS_THEY_ARE).rgb
    for i in range(labels):
        for j in range(i):
            assert (pictures[i] - pictures[j]).abs().amax() > 0.08, BY_NAME[name].labels[i]


def test_a_little_change_of_a_number_changes_the_picture_a_little():
    u = _points(4, seed=5)
    near = u.clone()
    numbers = [i for i, attribute in enumerate(ATTRIBUTES) if not isinstance(attribute, Categorical)]
    near[:, numbers] = (near[:, numbers] + 1e-3).clamp(0, 1)
    a, b = (draw_dogs(_dogs(v), SIZE, AS_THEY_ARE).rgb for v in (u, near))
    assert (a - b).abs().mean() < 2e-3


@pytest.mark.parametrize("name", ["turn", "tilt"])
def test_the_head_goes_where_captions_say(name):
    u = _points(1, seed=4).repeat(4, 1)
    u[:, _column("turn")], u[:, _column("tilt")] = 0.5, 0.5
    u[:, _column(name)] = torch.tensor([0.02, 0.02, 0.98, 0.98])
    u[:, _column("nose_colour")] = torch.tensor([0.1, 0.9, 0.1, 0.9])
    black_left, pink_left, black_right, pink_right = draw_dogs(_dogs(u), SIZE, AS_THEY_ARE).rgb

    def nose(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        """Where across the picture the nose is: only there do two noses differ."""
        change = (a - b).abs().sum((0, 1))
        return (change * torch.arange(SIZE)).sum() / change.sum()

    assert nose(black_right, pink_right) > nose(black_left, pink_left) + 1


def test_light_comes_from_the_side_that_it_says():
    u = _points(1, seed=6).repeat(2, 1)
    u[:, _column("light_side")] = torch.tensor([0.0, 1.0])
    portrait = draw_dogs(_dogs(u), SIZE, AS_THEY_ARE)
    lit = portrait.light * (portrait.head > 0.9)
    left, right = lit[..., : SIZE // 2].sum((1, 2, 3)), lit[..., SIZE // 2 :].sum((1, 2, 3))
    assert left[0] / right[0] > left[1] / right[1] * 1.2


def test_big_heads_and_big_eyes_show():
    dogs = _dogs(_points(4))
    plain = draw_dogs(dogs, SIZE, AS_THEY_ARE)
    assert draw_dogs(dogs, SIZE, Form(head=1.3)).head.mean() > 1.2 * plain.head.mean()
    assert (draw_dogs(dogs, SIZE, Form(eyes=1.5)).rgb - plain.rgb).abs().amax() > 0.2


def test_every_trait_has_words_for_every_label_of_an_attribute():
    for trait in TRAITS:
        attribute = BY_NAME[trait.attribute]
        labels = len(attribute.labels) if isinstance(attribute, Categorical) else len(trait.edges) + 1
        assert len(trait.before) == len(trait.after) == labels, trait.attribute
        spoken = [words for words in trait.after if words]
        assert len(spoken) >= 2, trait.attribute
        assert len(set(spoken)) == len(spoken), trait.attribute


def test_shares_of_labels_sum_to_one():
    for attribute in ATTRIBUTES:
        if isinstance(attribute, Categorical):
            assert len(attribute.shares) == len(attribute.labels)
            assert sum(attribute.shares) == pytest.approx(1)
