"""People are drawn as their attributes say: the same every time, each attribute and each form to be seen."""

from dataclasses import fields

import pytest
import torch

from ipl_core.studio.world.attributes import Categorical, Sitters, sitters_from_unit
from ipl_core.studio.world.form import AS_THEY_ARE, Form
from ipl_core.studio.world.people.attributes import ATTRIBUTES, TRAITS
from ipl_core.studio.world.people.renderer import draw_people
from ipl_core.studio.world.portrait import Portrait

NAMES = [a.name for a in ATTRIBUTES]
CATEGORICAL = [a for a in ATTRIBUTES if isinstance(a, Categorical)]
FORMS = [
    Form(eyes=1.9),
    Form(iris=1.3),
    Form(head=1.1),
    Form(ears=0.26),
    Form(muzzle=1.0),
    Form(fur=0.9),
    Form(nose=1.5),
    Form(lips=1.6),
    Form(hollow=1.0),
    Form(smooth=1.0),
    Form(skin=(0.5, 0.9, 0.5), skin_share=0.8),
    Form(eye_white=(0.9, 0.8, 0.1)),
    Form(glow=1.0),
]


def _people(count: int = 4) -> Sitters:
    return sitters_from_unit(ATTRIBUTES, torch.rand(count, len(ATTRIBUTES), generator=torch.Generator().manual_seed(4)))


def _plain(count: int = 1) -> dict[str, torch.Tensor]:
    """Somebody in the middle of every range with short hair, who wears nothing but clothes; age shows."""
    u = torch.full((count, len(ATTRIBUTES)), 0.5)
    u[:, NAMES.index("age")] = 0.8
    values = sitters_from_unit(ATTRIBUTES, u).values
    for name in ("glasses", "beard", "hat", "earrings", "background"):
        values[name] = torch.zeros_like(values[name])
    values["hair_cut"] = torch.full_like(values["hair_cut"], 2)
    return values


def _difference(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a - b).abs().max())


def test_there_are_enough_attributes_and_traits_name_all_labels():
    assert 36 <= len(ATTRIBUTES) <= 42
    assert len(set(NAMES)) == len(NAMES)
    known = {a.name: a for a in ATTRIBUTES}
    for trait in TRAITS:
        count = len(trait.edges) + 1 if trait.edges else len(known[trait.attribute].labels)
        assert len(trait.before) == len(trait.after) == count, trait.attribute
    for attribute in CATEGORICAL:
        assert len(attribute.labels) == len(attribute.shares)
        assert sum(attribute.shares) == pytest.approx(1)


def test_layers_have_their_shapes_and_ranges_and_repeat():
    first, second = (draw_people(_people(), 48, AS_THEY_ARE) for _ in range(2))
    for field in fields(Portrait):
        layer = getattr(first, field.name)
        assert layer.shape == (4, 3 if field.name in ("rgb", "albedo") else 1, 48, 48), field.name
        assert torch.isfinite(layer).all(), field.name
        assert layer.min() >= 0, field.name
        assert layer.max() <= (1.5 if field.name == "light" else 1), field.name
        assert torch.equal(layer, getattr(second, field.name)), field.name


def test_a_picture_does_not_depend_on_who_else_is_drawn():
    people = _people(12)
    together, alone = draw_people(people, 48, AS_THEY_ARE), draw_people(people.select(slice(7, 8)), 48, AS_THEY_ARE)
    assert torch.allclose(together.rgb[7:8], alone.rgb, atol=1e-4)


@pytest.mark.parametrize("attribute", ATTRIBUTES, ids=NAMES)
def test_every_attribute_and_each_pair_of_labels_can_be_told_apart(attribute):
    if isinstance(attribute, Categorical):
        count = len(attribute.labels)
        settings = torch.arange(count)
    else:
        # Three places: hues come full circle.
        count, settings = 3, torch.tensor([0.0, 0.55, 1.0]) * (attribute.high - attribute.low) + attribute.low
    pictures = draw_people(Sitters(_plain(count) | {attribute.name: settings}), 64, AS_THEY_ARE).rgb
    pairs = [_difference(pictures[i], pictures[j]) for i in range(count) for j in range(i)]
    assert (min(pairs) if isinstance(attribute, Categorical) else max(pairs)) > 0.08


@pytest.mark.parametrize(
    "form", FORMS, ids=lambda f: next(k for k, v in vars(f).items() if v != getattr(AS_THEY_ARE, k))
)
def test_every_form_changes_the_picture(form):
    plain = Sitters(_plain())
    assert _difference(draw_people(plain, 64, form).rgb, draw_people(plain, 64, AS_THEY_ARE).rgb) > 0.08


def test_hair_colour_shows_on_hair_and_only_slightly_elsewhere():
    values = _plain(2) | {"hair_colour": torch.tensor([0, 5]), "hair_cut": torch.tensor([6, 6])}
    portrait = draw_people(Sitters(values), 64, AS_THEY_ARE)
    difference = (portrait.rgb[0] - portrait.rgb[1]).abs().mean(0)
    hair = portrait.hair[0, 0] > 0.9
    assert difference[hair].mean() > 5 * difference[~hair].mean()


def test_resolution_changes_sharpness_not_the_scene():
    large, small = (draw_people(_people(), size, AS_THEY_ARE).rgb for size in (128, 64))
    pooled = torch.nn.functional.avg_pool2d(large, 2)
    assert (pooled - small).abs().mean() < 0.02


def test_the_lit_side_of_the_head_is_brighter():
    values = _plain(2) | {"light_side": torch.tensor([-1.0, 1.0]), "turn": torch.zeros(2)}
    portrait = draw_people(Sitters(values), 64, AS_THEY_ARE)
    balance = ((portrait.light * portrait.head)[..., 32:] - (portrait.light * portrait.head)[..., :32]).mean((1, 2, 3))
    assert balance[0] < -0.02
    assert balance[1] > 0.02
