"""The commands that make what `pretrained/` holds: `python -m ipl_core.studio COMMAND`.

Every command resumes from its work folder, runs on two CPU cores and has a smoke version (--smoke) that takes
seconds and proves nothing but that the script runs.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from ..commands.console import lasting_output
from ..devices import usable_device
from ..errors import InputError
from ..library import shipped
from ..models.catalog import pretrained_folder
from ..storage.tables import write_csv

_SMOKE = {
    "photos": 4, "sitters": 5, "held_out": 2, "mapping_steps": 3, "mapping_batch": 16, "steps_at_32": 2,
    "steps_at_64": 1, "steps_at_128": 1, "further_steps": 2, "adversarial_steps": 2, "r1_interval": 2,
    "reader_steps": 2, "reader_batch": 4, "further_a_step": (2, 2),
    "warm_steps": 1, "robust_steps": 1, "fooling_steps": 2, "sitters_a_step": (2, 2), "adaptation_batch": 2,
    "steps": 2, "batch": 4, "save_every": 2,
    "supervised_sitters": 2, "supervised_steps": 1, "keep_after": 0, "drawn": 4, "fooled": 2, "adaptation_steps": 6,
    "taught": (4, 4), "tested": 2, "rendered": 4, "compared": 2, "photo_steps": 1, "photos_kept": 2,
    "sheet_every": 2, "shown": 2, "redraw_steps": 2,
}  # fmt: skip


def _recipe(kind: type, options: argparse.Namespace) -> object:
    """The recipe of a script: its defaults, or with --smoke the smallest that still runs every line."""
    if not options.smoke:
        return kind()
    names = {field.name for field in dataclasses.fields(kind)}
    return kind(**{name: value for name, value in _SMOKE.items() if name in names})


def _file(options: argparse.Namespace, subject: str, model: str) -> Path:
    """Where a subject's generator, judge or encoder goes."""
    return options.out / f"studio-{subject}-{model}" / "model.safetensors"


def _generator(options: argparse.Namespace) -> None:
    from .training.generator import GeneratorRecipe, train_generator
    from .world.subject import subject_named

    recipe, out = _recipe(GeneratorRecipe, options), _file(options, options.subject, "generator")
    train_generator(subject_named(options.subject), recipe, options.work, out, options.device, start=options.start)


def _clip(options: argparse.Namespace) -> None:
    if options.text_only:
        _text(options)
        return
    from .training.clip import ClipRecipe, train_clip
    from .training.ends import library_ends
    from .world.subject import SUBJECTS

    generators = {subject.name: _file(options, subject.name, "generator") for subject in SUBJECTS}
    ends = {s.name: library_ends(s, _model(s.name)) for s in SUBJECTS} if options.runs else {}
    out, recipe = options.out / "studio-clip", _recipe(ClipRecipe, options)
    if options.steps is not None:
        if options.start is None or options.steps < 1:
            raise InputError("--steps is a number from 1, of a critic that is gone on with: give --start, too.")
        recipe = dataclasses.replace(recipe, further_steps=options.steps)
    train_clip(recipe, options.work, generators, out, options.device, options.start, ends)


def _clip_pictures(options: argparse.Namespace) -> None:
    from ..generators.files import load_generator
    from .training.attempts import Cast
    from .training.clip import ClipRecipe
    from .world.subject import subject_named

    recipe = _recipe(ClipRecipe, options)
    source = load_generator(_file(options, options.subject, "generator"), options.device).requires_grad_(False)
    Cast(subject_named(options.subject), recipe, options.work).meet(source, recipe, options.work)


def _text(options: argparse.Namespace) -> None:
    """The step of train-clip that teaches a trained critic's text tower alone."""
    from .training.text_tower import TextRecipe, train_text

    if options.start is None:
        raise InputError(
            "--text-only teaches the text tower of a critic that is trained already: give its folder by --start, such "
            f"as --start {pretrained_folder() / 'studio-clip'}."
        )
    if options.runs:
        raise InputError("--text-only looks at no library runs: leave --runs out.")
    recipe = _recipe(TextRecipe, options)
    if options.steps is not None:
        if options.steps < 1:
            raise InputError(f"--steps is a number from 1, not {options.steps}.")
        recipe = dataclasses.replace(recipe, steps=options.steps)
    train_text(recipe, options.work, options.start, options.out / "studio-clip", options.device)


def _average(options: argparse.Namespace) -> None:
    from .training.towers import average_clips

    average_clips(options.of, options.out / "studio-clip")


def _judge(options: argparse.Namespace) -> None:
    from .training.judge import JudgeRecipe, train_judge

    _reader(options, "judge", JudgeRecipe, train_judge)


def _encoder(options: argparse.Namespace) -> None:
    from .training.encoder import EncoderRecipe, train_encoder

    _reader(options, "encoder", EncoderRecipe, train_encoder)


def _diffusion(options: argparse.Namespace) -> None:
    from .training.diffusion import DiffusionRecipe, train_diffusion
    from .world.subject import subject_named

    encoder, out = _file(options, options.subject, "encoder"), _file(options, options.subject, "diffusion")
    recipe = _recipe(DiffusionRecipe, options)
    if options.steps is not None:
        if options.start is None or options.steps < 1:
            raise InputError("--steps is a number from 1, of a model that is gone on with: give --start, too.")
        recipe = dataclasses.replace(recipe, further_steps=options.steps)
    places = (options.work, encoder, out, options.device)
    figures = train_diffusion(subject_named(options.subject), recipe, *places, start=options.start)
    write_report(figures, out.parent / "report.json")
    sys.stdout.write(json.dumps(figures, indent=1) + "\n")


def _reader(options: argparse.Namespace, model: str, kind: type, train: Callable[..., dict[str, object]]) -> None:
    """Train a network that reads the pictures of a subject's generator, and keep its report beside it."""
    from .world.subject import subject_named

    generator, out = _file(options, options.subject, "generator"), _file(options, options.subject, model)
    recipe = _recipe(kind, options)
    figures = train(subject_named(options.subject), recipe, options.work, generator, out, options.device)
    write_report(figures, out.parent / "report.json")
    sys.stdout.write(json.dumps(figures, indent=1) + "\n")


def _model(subject: str) -> str:
    """The name by which the registry knows a subject's generator."""
    return "studio" if subject == "people" else f"studio-{subject}"


def _generator_report(options: argparse.Namespace) -> None:
    from ..metrics.reports.generator import generator_report
    from .sheets import sample_sheet

    figures = generator_report(_model(options.subject), 8 if options.smoke else 5_000)
    folder = _file(options, options.subject, "generator").parent
    write_report(figures, folder / "report.json")
    sample_sheet(folder / "samples.jpg", _model(options.subject), 4 if options.smoke else 64)
    sys.stdout.write(json.dumps(figures, indent=1) + "\n")


def write_report(figures: dict[str, object], path: Path) -> None:
    """A report as JSON, rounded to four places."""
    rounded = json.loads(json.dumps(figures), parse_float=lambda text: round(float(text), 4))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(rounded, indent=1) + "\n", encoding="utf-8")


def _critic_report(options: argparse.Namespace) -> None:
    from ..metrics.reports.clip_model import critic_report

    for line in critic_report(_model(options.subject), smoke=options.smoke):
        sys.stdout.write(line + "\n")
        sys.stdout.flush()


#: What is shown of the direction report: headings over columns of the file, which has more beside them.
_DIRECTION_COLUMNS = {
    "cosine with the true ΔI": {
        "nada": "nada", "best": "best", "shared": "shared", "described": "descr.", "ipl": "ipl",
        "vectors": "vect.", "words": "words", "begun": "begun", "read": "read", "descriptions": "mean",
    },
    "against the person": {
        "true_against": "true", "described_against": "descr.",
        "ipl_against": "ipl", "words_against": "words", "begun_against": "begun", "read_against": "read",
    },
    "last loss of stage 1": {
        "ipl_loss_last": "ipl", "ipl_loss_chance": "chance", "words_loss_last": "words", "words_loss_chance": "chance",
    },
}  # fmt: skip
_COLUMN_WIDTH = 7


#: The same of the report without a renderer.
_COLUMNS_WITHOUT_RENDERER = {
    "spread of ΔT": {
        "vectors_spread": "vect.", "words_spread": "words", "begun_spread": "begun", "read_spread": "read",
    },
    "against the person": {
        "vectors_against": "vect.", "words_against": "words", "begun_against": "begun", "read_against": "read",
    },
    "reads": {"read_sure": "sure"},
}  # fmt: skip


def _direction_report(options: argparse.Namespace) -> None:
    from ..metrics.reports.directions import direction_report, mean_row, report_without_renderer
    from .world.subject import subject_named

    if options.model and not options.domains:
        raise InputError(f"What should “{options.model}” become? Name the domains with --domains.")
    rows: list[dict[str, str | float | None]] = []
    columns = _COLUMNS_WITHOUT_RENDERER if options.model else _DIRECTION_COLUMNS
    heads = [(head, len(below) * _COLUMN_WIDTH) for head, below in columns.items()]
    sys.stdout.write(f"{'':16}" + "".join(f"{head:>{width}}" for head, width in heads) + "\n")
    shown = {column: short for below in columns.values() for column, short in below.items()}
    _write_direction_row({"domain": "domain", **shown}, shown)
    met = 4 if options.smoke else options.sitters
    settings = dict(seed=options.seed, learned=options.learned, device=options.device)
    settings["mapper_steps"] = 2 if options.smoke else None
    if options.model:
        report = report_without_renderer(options.model, options.critic, options.domains, met, **settings)
    else:
        subject = subject_named(options.subject)
        report = direction_report(subject, _model(options.subject), options.critic, options.domains, met, **settings)
    for row in report:
        rows.append(row)
        _write_direction_row(row, shown)
        if options.csv is not None:
            write_rows(rows, options.csv)
    if len(rows) > 1:
        _write_direction_row(mean_row(rows), shown)


def _write_direction_row(row: Mapping[str, str | float | None], shown: Iterable[str]) -> None:
    figures = (f"{row[name]:.3f}" if isinstance(row[name], float) else row[name] or "" for name in shown)
    sys.stdout.write(f"{row['domain']:16}" + "".join(f"{figure:>{_COLUMN_WIDTH}}" for figure in figures) + "\n")
    sys.stdout.flush()


def write_rows(rows: Sequence[dict[str, str | float | None]], path: Path) -> None:
    """Rows as CSV, figures to five places, nothing where there is none."""
    figures = [
        {name: f"{value:.5f}" if isinstance(value, float) else value for name, value in row.items()} for row in rows
    ]
    write_csv(figures, list(rows[0]), path)


def _sheet(options: argparse.Namespace) -> None:
    from .sheets import domain_sheet
    from .world.subject import subject_named

    file = options.out / f"{options.subject}-domains.jpg"
    domain_sheet(file, subject_named(options.subject))
    sys.stdout.write(f"{file}\n")


#: What the picture of methods shows.
SHOWN = {
    "people": ("pencil sketch", "werewolf", "pop art", "cartoon", "zombie", "neon", "Tolkien elf", "anime painting"),
    "dogs": ("cartoon", "pointillism", "cubism", "watercolor"),
}


def _ship(options: argparse.Namespace) -> None:
    from ..commands.library import named_entry
    from .ship import described, ship

    samples = 4 if options.smoke else options.samples
    for shipment in ship([named_entry(run) for run in options.runs], options.out, options.bits, samples):
        sys.stdout.write(described(shipment) + "\n")
        sys.stdout.flush()


def _method_sheet(options: argparse.Namespace) -> None:
    from .sheets import method_sheet

    file = options.out / f"{options.subject}-methods.jpg"
    method_sheet(file, _model(options.subject), SHOWN[options.subject])
    sys.stdout.write(f"{file}\n")


def _example_portraits(options: argparse.Namespace) -> None:
    from .sheets import example_portraits

    for file in example_portraits(options.out):
        sys.stdout.write(f"{file}\n")


COMMANDS: dict[str, tuple[str, Callable[[argparse.Namespace], None]]] = {
    "train-generator": ("train a subject's StyleGAN2: studio-SUBJECT-generator/", _generator),
    "clip-pictures": ("make a subject's pictures for train-clip ahead: a process a subject", _clip_pictures),
    "train-clip": ("train the critic, after the generators: studio-clip/", _clip),
    "average-clip": ("take the mean of critics that were gone on with from one start: studio-clip/", _average),
    "train-judge": ("train a subject's judge, after its generator: studio-SUBJECT-judge/", _judge),
    "train-encoder": ("train a subject's encoder, after its generator: studio-SUBJECT-encoder/", _encoder),
    "train-diffusion": (
        "train a subject's Diffusion Autoencoder, after its encoder: studio-SUBJECT-diffusion/",
        _diffusion,
    ),
    "generator-report": ("Fréchet distance of a subject's generator, and a sheet of its samples", _generator_report),
    "critic-report": ("true renders and adapted generators in the critic's and the judge's eyes", _critic_report),
    "direction-report": ("how far text directions follow each person, without any adaptation", _direction_report),
    "example-portraits": ("draw people that no training saw, to be inverted: portrait-1.png …", _example_portraits),
    "method-sheet": ("draw the same seeds by NADA and by described prompts: SUBJECT-methods.jpg", _method_sheet),
    "ship": ("make finished models that come with the app, from runs of the library: DOMAIN-METHOD", _ship),
    "domain-sheet": ("draw a subject in every domain: SUBJECT-domains.jpg", _sheet),
}

#: Commands that can begin at weights that are at hand, and with what.
STARTED = {
    "train-generator": "a trained generator's file, to go on with at its full size",
    "train-clip": "a trained critic's folder, to go on from with generators' attempts only, or with --text-only",
    "train-diffusion": "a trained model's file, to go on with at its full size; no optimiser's state is needed",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; exit status 0 done, 2 bad input."""
    with lasting_output():
        return _main(arguments)


def _main(arguments: Sequence[str] | None) -> int:
    parser = argparse.ArgumentParser(prog="python -m ipl_core.studio", description="Make the embedded models anew.")
    words = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (help_, _) in COMMANDS.items():
        word = words.add_parser(name, help=help_, description=help_)
        word.add_argument(
            "--work", type=Path, default=Path("studio-work"), help="renders, checkpoints and logs (%(default)s)"
        )
        out = shipped.folder() if name == "ship" else pretrained_folder()
        word.add_argument("--out", type=Path, default=out, help="where the models go (%(default)s)")
        word.add_argument("--subject", default="people", help="people or dogs, where it matters (%(default)s)")
        word.add_argument("--threads", type=int, default=os.cpu_count(), help="CPU threads (%(default)s)")
        word.add_argument("--device", default="cpu", help="where training computes, such as cuda (%(default)s)")
        if name in STARTED:
            word.add_argument("--start", type=Path, help=STARTED[name])
        if name == "train-clip":
            word.add_argument(
                "--runs", action="store_true", help="begin attempts on the way to where the library's runs ended, too"
            )
            word.add_argument(
                "--text-only",
                action="store_true",
                help="teach the text tower of the critic in --start what becomes of people in each domain",
            )
        if name in ("train-clip", "train-diffusion"):
            word.add_argument("--steps", type=int, help="of a model that is gone on with; else the recipe's")
        if name == "average-clip":
            word.add_argument("--of", type=Path, nargs="+", required=True, metavar="DIR", help="the critics' folders")
        if name == "ship":
            word.add_argument("runs", nargs="+", metavar="RUN", help="a name in the library, or the path of a folder")
            word.add_argument("--bits", type=int, default=shipped.BITS, help="of each number, 2 to 8 (%(default)s)")
            word.add_argument("--samples", type=int, default=200, help="to measure, as evaluate does (%(default)s)")
        if name == "direction-report":
            word.add_argument("--critic", help="a critic's name or folder (the generator's own)")
            word.add_argument("--model", help="any other generator: what can be said without a renderer")
            word.add_argument("--domains", nargs="+", metavar="WORDS", help="such as “pencil sketch” (all)")
            word.add_argument("--sitters", type=int, default=100, help="people or dogs to look at (%(default)s)")
            word.add_argument("--seed", type=int, default=0, help="of the sitters and of stage 1 (%(default)s)")
            word.add_argument("--csv", type=Path, metavar="FILE", help="write every figure, a row a domain")
            word.add_argument(
                "--learned", action=argparse.BooleanOptionalAction, default=True, help="learn prompts by stage 1, too"
            )
        word.add_argument("--smoke", action="store_true", help="a few steps only, to see that it runs")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    import torch

    from .world.subject import subject_named

    torch.set_num_threads(options.threads)
    try:
        subject_named(options.subject)
        usable_device(options.device)
        COMMANDS[options.command][1](options)
    except InputError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
