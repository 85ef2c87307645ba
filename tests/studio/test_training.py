"""Every training command runs from nothing, resumes, and writes models that the rest of the project can use."""

from __future__ import annotations

import json
import shutil
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F

from ipl_core.clip.model import WEIGHTS_FILE, load_critic
from ipl_core.errors import InputError
from ipl_core.generators.files import load_generator
from ipl_core.generators.stylegan2.network import Generator, GeneratorConfig
from ipl_core.models import catalog
from ipl_core.storage.tensors import load_tensors, save_tensors
from ipl_core.studio.commands.main import main
from ipl_core.studio.data import to_bytes, to_float
from ipl_core.studio.training.adversaries import FIRST_AGREEMENT, Adversaries, Cast, ReplayBuffer, wanted_agreement
from ipl_core.studio.training.augment import nuisance, roughen
from ipl_core.studio.training.clip import ClipRecipe, MeanDirections, Trainer
from ipl_core.studio.training.contrast import contrast
from ipl_core.studio.training.generator import (
    GENERATOR,
    GeneratorRecipe,
    attribute_code,
    open_mapping,
    regression_loss,
    train_generator,
    train_mapping,
)
from ipl_core.studio.training.loop import Checkpoint, FigureLog, half_precision
from ipl_core.studio.training.supervised import supervised
from ipl_core.studio.training.text_tower import Embedded, TextRecipe, lesson, train_text
from ipl_core.studio.training.towers import MODEL, build_model, take_weights, write_clip
from ipl_core.studio.world.attributes import Categorical
from ipl_core.studio.world.captions import known_words, truth
from ipl_core.studio.world.domains import DOMAINS, PHOTO
from ipl_core.studio.world.subject import DOGS, LATENT_WIDTH, PEOPLE, SUBJECTS, Subject

REGISTRY = Path(__file__).resolve().parents[2] / "pretrained" / catalog.REGISTRY
#: Names of the embedded generators in the registry.
MODELS = {"people": "studio", "dogs": "studio-dogs"}
TINY = GeneratorConfig(
    resolution=128,
    z_dim=LATENT_WIDTH,
    w_dim=128,
    mapping_layers=2,
    channels=((4, 8), (8, 8), (16, 8), (32, 8), (64, 4), (128, 4)),
)

each_subject = pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: subject.name)


def smoke(command: str, subject: str, work: Path, out: Path, *more: str) -> int:
    """One command in its smoke version."""
    places = ["--work", str(work), "--out", str(out)]
    return main([command, "--subject", subject, "--smoke", "--threads", "1", *places, *more])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Work folder and models of both subjects, made by the smoke versions of their commands."""
    work, out = tmp_path_factory.mktemp("work"), tmp_path_factory.mktemp("out")
    for command, subject in (
        ("train-generator", "people"),
        ("train-generator", "dogs"),
        ("train-clip", "people"),  # it is trained on both
        ("train-judge", "people"),
        ("train-judge", "dogs"),
    ):
        assert smoke(command, subject, work, out) == 0
    shutil.copy(REGISTRY, out / catalog.REGISTRY)
    return work, out


@each_subject
def test_the_registry_finds_what_the_commands_made(
    made: tuple[Path, Path], subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, out = made
    monkeypatch.setenv("IPL_PRETRAINED", str(out))
    model = MODELS[subject.name]
    generator, critic = catalog.load_generator(model), catalog.load_critic(catalog.critic_of(model))
    judge = catalog.load_judge(catalog.judge_of(model))
    assert generator.config == GENERATOR
    assert catalog.generators()[model].resolution == generator.config.resolution == judge.resolution
    assert judge.subject is subject
    with torch.no_grad():
        pictures = generator(torch.randn(2, LATENT_WIDTH, generator=torch.Generator().manual_seed(0)))
    assert critic.encode_images(pictures).shape == (2, critic.embed_dim)
    assert judge.read(pictures).domain.shape == (2, len(subject.domains))
    report = json.loads((out / f"studio-{subject.name}-judge" / "report.json").read_text())
    assert set(report["domain accuracy by domain"]) == {domain.name for domain in subject.domains}
    assert set(report["trait accuracy on photos"]) == {trait.attribute for trait in subject.traits}
    assert all(0 <= share <= 1 for share in report["trait accuracy in all domains"].values())
    assert 0 <= report["domain accuracy"] <= 1
    assert 0 <= report["sitters recognised from their photo"] <= 1


def test_the_critic_knows_the_words_of_every_domain_and_subject_and_no_others(
    made: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IPL_PRETRAINED", str(made[1]))
    critic = catalog.load_critic("studio")
    assert set(critic.domains) == {domain.name for domain in DOMAINS}
    for domain in DOMAINS:
        assert critic.unknown_words(" ".join(("a photo of a", *domain.wordings, *domain.of_people))) == []
    assert critic.unknown_words("a pencil sketch of a bearded person, a puppy with its tongue out") == []
    assert critic.unknown_words("a submarine") == ["submarine"]


def test_a_critic_is_gone_on_with_for_as_many_steps_as_are_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from ipl_core.studio.training import clip as train_clip

    recipes = []
    monkeypatch.setattr(train_clip, "train_clip", lambda recipe, *_: recipes.append(recipe))
    command = ["train-clip", "--threads", "1", "--work", str(tmp_path), "--out", str(tmp_path)]
    assert main([*command, "--start", str(tmp_path), "--steps", "130"]) == 0
    assert main([*command, "--start", str(tmp_path)]) == 0
    assert [recipe.further_steps for recipe in recipes] == [130, ClipRecipe().further_steps]
    for wrong in (["--steps", "130"], ["--start", str(tmp_path), "--steps", "0"]):
        assert main([*command, *wrong]) == 2
        assert "--steps is a number from 1" in capsys.readouterr().err


def test_a_critic_is_the_mean_of_several(
    made: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second, out = made[1] / "studio-clip", tmp_path / "second", tmp_path / "out"
    trained, other = load_tensors(first / WEIGHTS_FILE)[0], build_model(3).model
    write_clip(other, second)
    command = ["average-clip", "--threads", "1", "--out", str(out), "--of"]
    assert main([*command, str(first), str(second)]) == 0
    mean = load_tensors(out / "studio-clip" / WEIGHTS_FILE)[0]
    assert mean.keys() == trained.keys()
    for name, tensor in other.state_dict().items():
        expected = (trained[name].float() + tensor.half().float()) / 2
        assert torch.allclose(mean[name].float(), expected, rtol=2e-3, atol=1e-3), name
    assert {file.name for file in (out / "studio-clip").iterdir()} == {file.name for file in second.iterdir()}
    assert main([*command, str(first)]) == 2
    assert "two CLIP models or more" in capsys.readouterr().err
    shallow = {name: tensor for name, tensor in trained.items() if ".resblocks.5." not in name}
    save_tensors(shallow, second / WEIGHTS_FILE, {})
    assert main([*command, str(first), str(second)]) == 2
    assert "other layers" in capsys.readouterr().err


def test_a_generator_is_reported_beside_true_renders_with_a_sheet_of_its_samples(
    made: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    work, out = made
    monkeypatch.setenv("IPL_PRETRAINED", str(out))
    assert smoke("generator-report", "dogs", work, out) == 0
    figures = json.loads((out / "studio-dogs-generator" / "report.json").read_text())
    assert json.loads(capsys.readouterr().out).keys() == figures.keys()
    assert figures["distance"] > figures["floor"] > 0  # a few steps teach no generator
    assert (out / "studio-dogs-generator" / "samples.jpg").stat().st_size > 1_000


@pytest.mark.parametrize(("command", "file"), [("train-generator", "generator-dogs.pt"), ("train-clip", "clip.pt")])
def test_a_finished_training_is_not_begun_again(made: tuple[Path, Path], command: str, file: str) -> None:
    work, out = made
    before = (work / file).stat().st_mtime_ns
    assert smoke(command, "dogs", work, out) == 0
    assert (work / file).stat().st_mtime_ns == before


def test_critic_and_judge_see_the_same_of_what_the_generator_draws(made: tuple[Path, Path]) -> None:
    for subject in SUBJECTS:
        (file,) = made[0].glob(f"{subject.name}-supervised-*.safetensors")
        made_at = file.stat().st_mtime_ns
        assert smoke("clip-pictures", subject.name, *made) == 0
        assert file.stat().st_mtime_ns == made_at, "made ahead, they would be others"
        assert len(list(made[0].glob(f"{subject.name}-supervised-*"))) == 1
    assert not list(made[0].glob("*.part"))


def test_a_command_says_what_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert smoke("train-judge", "cats", tmp_path, tmp_path) == 2
    assert "no subject “cats”; it has: people, dogs" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_judge_wants_its_subjects_generator(
    made: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert smoke("train-judge", "dogs", made[0], tmp_path) == 2
    assert "studio-dogs-generator" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "file", "log", "steps"),
    [
        ("train-generator", "studio-dogs-generator/model.safetensors", "generator-dogs.csv", 2),
        ("train-clip", "studio-clip", "clip.csv", 2),
    ],
)
def test_what_is_trained_can_be_gone_on_with(
    made: tuple[Path, Path], tmp_path: Path, command: str, file: str, log: str, steps: int
) -> None:
    work, out = tmp_path / "work", tmp_path / "out"
    work.mkdir()
    for renders in made[0].glob("*.safetensors"):
        shutil.copy(renders, work)
    shutil.copytree(made[1], out)
    assert smoke(command, "dogs", work, out, "--start", str(made[1] / file)) == 0
    name = "clip.pt" if command == "train-clip" else "generator-dogs.pt"
    assert torch.load(work / name, weights_only=True)["step"] == steps
    weights = Path(file) / "open_clip_model.safetensors" if command == "train-clip" else Path(file)
    before, after = (load_tensors(folder / weights)[0] for folder in (made[1], out))
    moved = torch.cat([(after[n].double() - before[n].double()).flatten() for n in before if before[n].ndim > 1])
    size = torch.cat([before[n].double().flatten() for n in before if before[n].ndim > 1])
    assert 0 < moved.norm() / size.norm() < 0.3


def test_the_text_tower_is_taught_alone_and_an_interruption_changes_nothing(
    made: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, outs = made[1] / "studio-clip", []
    save = Checkpoint.save

    def interrupted(self: Checkpoint, step: int) -> None:
        save(self, step)
        if step == 1:
            raise KeyboardInterrupt

    recipe = TextRecipe(taught=(4, 4), tested=2, steps=2, sitters_a_step=(3, 2), save_every=1)
    before = load_tensors(start / WEIGHTS_FILE)[0]
    for name in ("whole", "parts"):
        work, out = tmp_path / name, tmp_path / name / "studio-clip"
        if name == "parts":
            start = shutil.copytree(start, out)  # what it begins with is what it writes
            for embedded in (tmp_path / "whole").glob("*-views-*"):
                shutil.copy(embedded, work)
            monkeypatch.setattr(Checkpoint, "save", interrupted)
            with pytest.raises(KeyboardInterrupt):
                train_text(recipe, work, start, out)
            monkeypatch.setattr(Checkpoint, "save", save)
        train_text(recipe, work, start, out)
        outs.append(load_tensors(out / WEIGHTS_FILE)[0])
    whole, parts = outs
    for name, tensor in whole.items():
        assert torch.equal(tensor, parts[name]), name
        if name.startswith("visual.") or name == "logit_scale":
            assert torch.equal(tensor, before[name]), name
    assert not torch.equal(whole["text_projection"], before["text_projection"])
    record = json.loads((tmp_path / "whole" / "text.json").read_text())
    assert record["recipe"]["seed"] == recipe.seed
    assert record["recipe"]["data_seed"] == recipe.data_seed
    assert len((tmp_path / "whole" / "text.csv").read_text().splitlines()) == 2
    monkeypatch.setattr(
        "ipl_core.studio.training.text_tower.embedded",
        lambda *_: pytest.fail("sitters are rendered before the refusal"),
    )
    with pytest.raises(InputError, match="began with another CLIP model"):
        train_text(recipe, tmp_path / "whole", tmp_path / "whole" / "studio-clip", tmp_path / "other")


def test_the_text_tower_is_taught_by_command(
    made: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start = str(made[1] / "studio-clip")
    assert smoke("train-clip", "people", tmp_path, tmp_path, "--text-only", "--start", start, "--steps", "1") == 0
    assert load_critic(tmp_path / "studio-clip").context_length == MODEL["text_cfg"]["context_length"]


def test_the_text_tower_of_no_critic_is_refused_before_anything_is_rendered(
    made: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start = str(made[1] / "studio-clip")
    for wrong, words in (
        ([], "give its folder by --start"),
        (["--start", start, "--runs"], "leave --runs out"),
        (["--start", start, "--steps", "0"], "--steps is a number from 1"),
        (["--start", str(tmp_path)], "no file"),
    ):
        assert smoke("train-clip", "people", tmp_path / "work", tmp_path / "out", "--text-only", *wrong) == 2
        assert words in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_what_is_said_of_a_sitter_is_the_same_in_both_pictures_and_true_of_them() -> None:
    import random

    traits = PEOPLE.labels(PEOPLE.random(12, torch.Generator().manual_seed(0)))
    images = F.normalize(torch.randn(len(PEOPLE.numbers), 12, 8, generator=torch.Generator().manual_seed(1)), dim=-1)
    part = lesson(Embedded(PEOPLE, images, traits), 6, TextRecipe(), random.Random(3))
    assert torch.equal(part.photo_claims[:, 2:], part.portrait_claims[:, 2:])
    assert truth(part.photo_facts, part.photo_claims).diagonal().all()
    assert truth(part.portrait_facts, part.portrait_claims).diagonal().all()
    for photo, portrait, claims in zip(part.photos, part.portraits, part.portrait_claims):
        who = int((images[0] == photo).all(1).nonzero())
        assert torch.equal(images[PEOPLE.numbers.index(int(claims[1])), who], portrait)


def test_a_start_that_is_not_there_is_named(
    made: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert smoke("train-generator", "dogs", made[0], tmp_path, "--start", str(tmp_path / "none")) == 2
    assert f"There is no file {tmp_path / 'none'}" in capsys.readouterr().err


# ----------------------------------------------------------------------------------------------------------------------
# Interruptions


def test_a_checkpoint_gives_back_weights_random_numbers_and_step(tmp_path: Path) -> None:
    layer, random = torch.nn.Linear(2, 2), torch.Generator().manual_seed(5)
    checkpoint = Checkpoint(tmp_path / "a.pt", {"layer": layer, "random": random})
    assert checkpoint.resume() == 0
    checkpoint.save(7)
    weight, drawn = layer.weight.detach().clone(), torch.rand(3, generator=random)
    with torch.no_grad():
        layer.weight.zero_()
    assert checkpoint.resume() == 7
    assert torch.equal(layer.weight, weight)
    assert torch.equal(torch.rand(3, generator=random), drawn)


def test_an_interrupted_generator_becomes_what_it_would_have_been(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = GeneratorRecipe(
        photos=4, mapping_steps=2, mapping_batch=8, steps_at_32=2, steps_at_64=1, steps_at_128=1,
        batch=2, save_every=1, reader_steps=2, reader_batch=2,
    )  # fmt: skip
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train_generator(DOGS, recipe, whole, whole / "model.safetensors", config=TINY)
    parts.mkdir()
    shutil.copy(next(whole.glob("dogs-photos-*")), parts)
    save, saved = Checkpoint.save, []

    def interrupted(self: Checkpoint, step: int) -> None:
        save(self, step)
        saved.append((self.path.stem, step))
        if saved[-1] in (("generator-dogs", 2), ("generator-dogs", 3)):
            raise KeyboardInterrupt

    monkeypatch.setattr(Checkpoint, "save", interrupted)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            train_generator(DOGS, recipe, parts, parts / "model.safetensors", config=TINY)
    train_generator(DOGS, recipe, parts, parts / "model.safetensors", config=TINY)
    drawing = [("generator-dogs", step) for step in (1, 2, 3, 4)]
    assert saved == [*drawing[:3], ("reader-dogs", 2), drawing[3]]
    one, other = (load_tensors(folder / "model.safetensors")[0] for folder in (whole, parts))
    for name, tensor in one.items():
        assert torch.equal(tensor, other[name]), name
    assert load_generator(parts / "model.safetensors").config == TINY


@pytest.mark.parametrize(("capability", "wanted", "used"), [
    ("AVX512", True, True), ("AVX512_VNNI", True, True), ("AVX2", True, False), ("DEFAULT", True, False),
    ("AVX512", False, False),
])  # fmt: skip
def test_a_cpu_trains_in_bfloat16_only_where_that_is_faster(
    monkeypatch: pytest.MonkeyPatch, capability: str, wanted: bool, used: bool
) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    with half_precision(torch.device("cpu"), wanted):
        product = torch.ones(2, 2) @ torch.ones(2, 2)
    assert product.dtype == (torch.bfloat16 if used else torch.float32)


def test_figures_are_appended_to_what_is_there(tmp_path: Path) -> None:
    for step in (1, 2):
        FigureLog(tmp_path / "figures.csv").write(step=step, loss=0.123456789)
    header, *rows = (tmp_path / "figures.csv").read_text().splitlines()
    assert header == "step,loss,seconds"
    assert [row.rsplit(",", 1)[0] for row in rows] == ["1,0.12346", "2,0.12346"]


def test_the_memory_of_fooling_pictures_is_bounded_and_survives(rng: torch.Generator) -> None:
    import random

    memory, again = ReplayBuffer(size=5), ReplayBuffer(size=5)
    assert memory.state_dict() == {}
    again.load_state_dict({})
    assert again.kept == []
    pictures = torch.rand(4, 3, 8, 8, generator=rng) * 2 - 1
    for domain in (1, 2):
        memory.add(pictures, 1, domain, torch.arange(4), random.Random(0))
    assert len(memory.kept) == 5
    again.load_state_dict(memory.state_dict())
    for one, other in zip(memory.kept, again.kept):
        assert torch.equal(one[0], other[0])
        assert one[1:] == other[1:]
        assert torch.equal(one[0], to_bytes(pictures[one[3]]))


# ----------------------------------------------------------------------------------------------------------------------
# What the trainings are made of


def test_the_opened_mapping_keeps_every_coordinate_of_z_apart() -> None:
    generator = Generator(GENERATOR, torch.Generator().manual_seed(0))
    open_mapping(generator.mapping)
    z = torch.randn(4, LATENT_WIDTH, generator=torch.Generator().manual_seed(1))
    w, z = generator.mapping(z), z * z.square().mean(1, keepdim=True).rsqrt()
    assert torch.allclose(w[:, :64].clamp_min(0), z.clamp_min(0), atol=1e-4)
    assert torch.allclose(w[:, 64:128].clamp_min(0), (-z).clamp_min(0), atol=1e-4)
    assert w.isfinite().all()


@each_subject
def test_the_code_of_attributes_has_a_column_a_number_or_label_each_of_variance_1(subject: Subject) -> None:
    sitters = subject.random(8_000, torch.Generator().manual_seed(0))
    code = attribute_code(subject, sitters)
    columns = sum(len(a.labels) if isinstance(a, Categorical) else 1 for a in subject.attributes)
    assert code.shape == (8_000, columns)
    assert code.mean(0).abs().max() < 0.06
    assert (code.var(0) - 1).abs().max() < 0.25


def test_the_mapping_network_learns_the_attributes(tmp_path: Path) -> None:
    generator = Generator(GENERATOR, torch.Generator().manual_seed(0))
    open_mapping(generator.mapping)
    recipe = GeneratorRecipe(mapping_steps=120, mapping_batch=64)
    assert train_mapping(DOGS, generator.mapping, recipe, FigureLog(tmp_path / "figures.csv")) < 0.8


def test_regression_goes_from_small_pictures_to_large() -> None:
    recipe = GeneratorRecipe(steps_at_32=3, steps_at_64=2, steps_at_128=1)
    assert recipe.regression_steps == 6
    assert [recipe.resolution(step) for step in range(1, 7)] == [32, 32, 32, 64, 64, 128]


def test_losses_are_zero_or_small_for_what_is_right() -> None:
    picture = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    assert float(regression_loss(picture, picture)) == 0
    # A shift in brightness has no differences: pixels and pooled pixels alone count.
    assert float(regression_loss(picture, picture + 0.1)) == pytest.approx(0.2, abs=1e-5)
    unit = torch.eye(3)
    assert float(contrast(unit, unit, torch.eye(3), torch.tensor(30.0))) < 1e-6
    # Two captions that are both true of both pictures cost no more than the choice between them.
    same = unit[[0, 0]]
    assert float(contrast(same, same, torch.ones(2, 2), torch.tensor(1.0))) == pytest.approx(0.6931, abs=1e-3)
    assert float(contrast(same, same, torch.zeros(2, 2), torch.tensor(1.0))) == 0


def test_a_critic_takes_the_weights_of_one_with_fewer_image_layers_and_of_no_other() -> None:
    def sized(layers: int, width: int = 96) -> dict:
        vision = MODEL["vision_cfg"] | {"layers": layers, "width": width}
        return MODEL | {"vision_cfg": vision}

    trained, deeper = build_model(0, sized(1)), build_model(1, sized(3))
    pictures = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad():
        before = trained.images(pictures)
        assert (deeper.images(pictures) * before).sum(1).max() < 0.9
        take_weights(deeper.model, trained.model.state_dict())
        assert (deeper.images(pictures) * before).sum(1).min() > 0.99
    shorter = MODEL["text_cfg"] | {"context_length": 20}
    read = build_model(2, sized(1) | {"text_cfg": shorter})
    take_weights(trained.model, read.model.state_dict())
    with torch.no_grad():
        assert torch.allclose(trained.texts(["a bald zombie"]), read.texts(["a bald zombie"]), atol=1e-6)
        assert trained.texts(["a bald zombie with glasses " * 6]).isfinite().all()
    with pytest.raises(InputError, match="has another shape"):
        take_weights(read.model, trained.model.state_dict())
    with pytest.raises(InputError, match="number of its image layers"):
        take_weights(trained.model, deeper.model.state_dict())
    with pytest.raises(InputError, match="has another shape"):
        take_weights(build_model(0, sized(1, 48)).model, trained.model.state_dict())


@each_subject
def test_pairs_are_named_by_the_domain_alone_or_with_words_of_the_sitters_own(subject: Subject) -> None:
    import random

    domains = [0, subject.numbers[2], 0, subject.numbers[3]]
    labels = subject.labels(subject.random(4, torch.Generator().manual_seed(0)))
    batch = SimpleNamespace(
        pairs=torch.tensor([[0, 1], [2, 3]]), domains=torch.tensor(domains), subjects=[subject] * 4, traits=labels
    )
    for share in (0.0, 1.0):
        trainer = SimpleNamespace(rng=random.Random(2), recipe=ClipRecipe(own_words=share))
        said, places = Trainer._pair_words(trainer, batch)
        for (photo, other), d in zip(places.tolist(), domains[1::2]):
            # The two are alike but for the domain's name.
            names = [(a, b) for a in (PHOTO.name, *PHOTO.wordings) for b in (DOMAINS[d].name, *DOMAINS[d].wordings)]
            assert any(said[photo].replace(a, b) == said[other] for a, b in names), (said[photo], said[other])
            assert (photo >= len(DOMAINS)) == (other >= len(DOMAINS)) == bool(share)


def test_plain_words_are_asked_for_the_mean_direction_of_people_alone() -> None:
    means = MeanDirections(2)
    said = torch.tensor([[1.0, 0.0]]).expand(len(DOMAINS), -1)
    assert means.loss(said) == 0
    means.update([0, 1], [3, 3], torch.tensor([[0.6, 0.8], [1.0, 0.0]]))
    assert means.loss(said) == pytest.approx((0.4 + 0) / 2)
    means.update([0], [3], torch.tensor([[0.6, -0.8]]))
    expected = F.normalize(torch.tensor([0.6, 0.8 - 0.05 * 1.6]), dim=0)
    assert means.loss(said) == pytest.approx(float(1 - expected[0]) / 2, abs=1e-6)
    assert not any(parameter.requires_grad for parameter in means.state_dict().values())


def test_an_attempt_can_begin_on_the_way_to_where_one_ended_or_should(tiny_generator: Generator) -> None:
    import random

    own = tiny_generator.synthesis.state_dict()
    ended, shown = ({name: tensor + by for name, tensor in own.items()} for by in (1, -1))
    cast = SimpleNamespace(source=tiny_generator, subject=DOGS, shown={3: [shown]})
    for on_the_way, gone_on_with, low, high in ((0, 0, 0, 1e-6), (0, 1, 0.2, 1.0), (1, 1, -1.0, -0.2)):
        recipe = ClipRecipe(on_the_way=on_the_way, gone_on_with=gone_on_with)
        fooling = Adversaries([cast], recipe, ReplayBuffer(size=4), {"dogs": {3: [ended]}})
        generator, _, done, life = fooling._fresh(0, 3, random.Random(0))
        moved = torch.cat([(t - own[name]).flatten() for name, t in generator.synthesis.state_dict().items()])
        assert low <= moved.min() <= moved.max() <= high
        assert done == 0 < life
    assert set(fooling.excess[0]) == set(DOGS.numbers[1:])
    fooling.excess[0] |= {DOGS.numbers[3]: 0.7, DOGS.numbers[2]: 0.9}
    worst, second = (DOGS.domains[place].name for place in (2, 3))
    assert fooling.weakest(2) == f"{worst} of dogs 0.90, {second} of dogs 0.70"


def test_where_runs_of_the_library_ended_is_looked_at(tiny_generator: Generator) -> None:
    import random

    number, numbers = DOGS.numbers[3], torch.Generator().manual_seed(0)
    ended = {name: tensor + 0.1 for name, tensor in tiny_generator.synthesis.state_dict().items()}
    cast = SimpleNamespace(
        source=tiny_generator,
        subject=DOGS,
        w=tiny_generator.mapping(torch.randn(5, tiny_generator.config.z_dim, generator=numbers)),
        drawn=torch.randint(256, (len(DOGS.domains), 5, 3, 16, 16), dtype=torch.uint8, generator=numbers),
        drawn_traits=DOGS.labels(DOGS.random(5, numbers)),
        places={n: place for place, n in enumerate(DOGS.numbers)},
    )
    cast.way_done = partial(Cast.way_done, cast)
    towers = SimpleNamespace(
        precision=nullcontext,
        images=lambda pictures: F.normalize(pictures.flatten(1)[:, :8], dim=1),
        texts=lambda texts: F.normalize(torch.randn(len(texts), 8, generator=numbers), dim=1),
    )
    for runs, kept in (({}, 0), ({"dogs": {number: [ended]}}, 4)):
        memory = ReplayBuffer(size=9)
        fooling = Adversaries([cast], ClipRecipe(adaptation_batch=4), memory, runs)
        before = dict(fooling.excess[0])
        fooling.look_at_run(towers, numbers, random.Random(0))
        assert [(subject, domain) for _, subject, domain, _ in memory.kept] == [(0, number)] * kept
        changed = {d for d, value in fooling.excess[0].items() if value != before[d]}
        assert changed == ({number} if kept else set())


@pytest.mark.parametrize(("own", "several", "sentences"), [(0, 1, 0), (1, 0, 1), (1, 1, 3)])
def test_attempts_follow_directions_as_the_methods_make_them(own: float, several: float, sentences: int) -> None:
    import random

    numbers = torch.Generator().manual_seed(0)
    cast = SimpleNamespace(subject=DOGS, drawn_traits=DOGS.labels(DOGS.random(5, numbers)))
    said, embedded = [], {}

    def texts(asked: list[str]) -> torch.Tensor:
        said.extend(asked)
        for text in asked:
            embedded.setdefault(text, F.normalize(torch.randn(8, generator=numbers), dim=0))
        return torch.stack([embedded[text] for text in asked])

    recipe = ClipRecipe(own_words=own, several=several, sentences=3)
    fooling, index = Adversaries([cast], recipe, ReplayBuffer(size=4), {}), torch.tensor([4, 0])
    found = fooling._directions(cast, DOGS.numbers[3], index, SimpleNamespace(texts=texts), random.Random(0))
    count = max(1, sentences * len(index))
    assert len(said) == 2 * count
    photo, domain = said[:count], said[count:]
    assert all(words.replace("photo", "") != words for words in photo)
    means = [torch.stack([embedded[text] for text in side]).unflatten(0, (-1, max(1, sentences))).mean(1)
             for side in (photo, domain)]  # fmt: skip
    assert torch.allclose(found, F.normalize(means[1] - means[0], dim=1))
    assert found.shape == (len(index) if sentences else 1, 8)


def test_agreement_is_wanted_as_far_as_a_picture_has_come() -> None:
    # Moving away is worse than standing still, and standing still worse than the smallest step on the way.
    wanted = wanted_agreement(torch.tensor([-5.0, -0.5, 0.0, 0.5, 1.0]))
    assert wanted[2] == pytest.approx(FIRST_AGREEMENT)
    assert wanted[-1] == pytest.approx(1)
    assert (wanted[1:] > wanted[:-1]).all()
    assert wanted[0] >= -1


def test_the_source_draws_the_photos_and_copies_of_it_the_domains(tiny_generator: Generator, tmp_path: Path) -> None:
    random = torch.Generator().manual_seed(0)
    z = torch.randn(3, tiny_generator.config.z_dim, generator=random)
    pictures = torch.randint(256, (len(DOGS.domains), 3, 3, 32, 32), dtype=torch.uint8, generator=random)
    before = {name: tensor.clone() for name, tensor in tiny_generator.state_dict().items()}
    drawn, ends = supervised(DOGS, tiny_generator, z, pictures, tmp_path, steps=2)
    assert (drawn.shape, drawn.dtype) == (pictures.shape, torch.uint8)
    assert torch.equal(drawn[0], to_bytes(tiny_generator(z)))
    assert all((rows != drawn[0]).any() for rows in drawn[1:])
    for name, tensor in tiny_generator.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    (file,) = tmp_path.iterdir()
    made = file.stat().st_mtime_ns
    assert torch.equal(supervised(DOGS, tiny_generator, z, pictures, tmp_path, steps=2).drawn, drawn)
    assert file.stat().st_mtime_ns == made
    # The weights are those that drew, but for their precision.
    assert list(ends) == list(DOGS.numbers[1:])
    number, w = DOGS.numbers[2], tiny_generator.mapping(z)
    (shown,) = ends[number]
    tiny_generator.synthesis.load_state_dict(shown)
    assert (tiny_generator.synthesis(w).clamp(-1, 1) - to_float(drawn[2])).abs().mean() < 0.02
    tiny_generator.load_state_dict(before)
    # Another generator's pictures, and those of other sitters, have another name.
    supervised(DOGS, tiny_generator, z + 1, pictures, tmp_path, steps=2)
    with torch.no_grad():
        tiny_generator.synthesis.input.add_(1)
    supervised(DOGS, tiny_generator, z, pictures, tmp_path, steps=2)
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize("change", [nuisance, roughen])
def test_augmentations_keep_shape_range_and_the_scene(change) -> None:
    coarse = torch.rand(6, 3, 8, 8, generator=torch.Generator().manual_seed(2))
    pictures = F.interpolate(coarse, size=(64, 64), mode="bicubic").clamp(0, 1) * 2 - 1
    changed = change(pictures, torch.Generator().manual_seed(0))
    assert changed.shape == pictures.shape
    assert torch.isfinite(changed).all()
    assert not torch.equal(changed, pictures)
    assert torch.corrcoef(torch.stack([changed.flatten(), pictures.flatten()]))[0, 1] > 0.4
    assert torch.equal(changed, change(pictures, torch.Generator().manual_seed(0)))


# ----------------------------------------------------------------------------------------------------------------------
# What is committed


def test_every_embedded_model_is_there_with_its_card() -> None:
    folder, known = catalog.pretrained_folder(), catalog.registry()
    files = [
        facts["file"] for kind in ("generators", "judges", "encoders", "readers") for facts in known[kind].values()
    ]
    files += [f"{facts['dir']}/open_clip_model.safetensors" for facts in known["critics"].values()]
    assert len(files) == len(set(files)) == 8
    for file in files:
        assert (folder / file).is_file(), f"{file} is missing"
        assert (folder / file).with_name("README.md").is_file(), f"{file} has no model card"
    # Nothing is carried along that no name leads to.
    assert {path.parent.name for path in folder.glob("*/*.safetensors")} == {Path(file).parent.name for file in files}


def test_the_embedded_critic_knows_every_word_of_the_captions() -> None:
    critic = catalog.load_critic("studio")
    assert critic.unknown_words(" ".join(known_words())) == []
    assert set(critic.domains) == {domain.name for domain in DOMAINS}


@each_subject
def test_an_embedded_generator_draws_whom_its_latents_mean(subject: Subject) -> None:
    model = MODELS[subject.name]
    generator, judge = catalog.load_generator(model), catalog.load_judge(catalog.judge_of(model))
    assert generator.config == GENERATOR
    assert judge.subject is subject
    z = torch.randn(8, LATENT_WIDTH, generator=torch.Generator().manual_seed(77))
    with torch.no_grad():
        drawn = generator(z)
    sitters = subject.sitters_from_latents(z)
    true = subject.render(PHOTO, sitters, torch.Generator().manual_seed(0), generator.config.resolution)
    apart = (drawn[:, None] - true[None]).abs().mean((2, 3, 4))
    assert apart.argmin(1).tolist() == list(range(8))
    verdict = judge.read(drawn)
    assert (verdict.domain.argmax(1) == 0).float().mean() >= 0.75  # photos
    read = torch.stack([trait.argmax(1) for trait in verdict.traits], 1)
    assert (read == subject.labels(sitters)).float().mean() > 0.65
