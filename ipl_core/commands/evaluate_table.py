"""`evaluate --table`: tables of runs by the registry's metrics, made in this process, in others, or on a cluster."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..latents import parse_seeds
from ..methods.config import AdaptConfig
from ..metrics.reports.differences import table_markdown
from ..metrics.reports.measured import Measuring, described
from ..metrics.reports.tables import ABLATIONS, BASELINE, PAPER_METHODS, SHOWN, TABLES, table_runs, target_runs
from ..models.catalog import own_judge
from ..storage import folders
from ..storage.files import atomic_path
from ..storage.paths import as_path
from ..storage.values import choice, whole
from ..sweeps.engines import Engine, InProcess, Subprocesses, sweep
from ..sweeps.ray_engine import Ray
from ..sweeps.results import Results, read_rows
from ..sweeps.task import Run
from .options import number

_TASK = "ipl_core.metrics.reports.measured:measure_run"
ENGINES = ("process", "subprocess", "ray")
#: Of a table that has no name of its own.
_TARGETS = "targets"


def options(parser: argparse.ArgumentParser) -> None:
    """The options of evaluate that belong to tables."""
    add = parser.add_argument
    add("--table", help="a table of runs by all metrics: paper, or an ablation (scheme, lambda, residual …)")
    add(
        "--models",
        default="embedded",
        help="models of a table: embedded, or real where their files are here (%(default)s)",
    )
    add("--metrics", help="metrics, separated by commas; left out, all that can be measured")
    add(
        "--judge-clip",
        default="",
        metavar="NAME",
        help="a CLIP model that adaptation doesn't follow, for CLIP distance",
    )
    add("--references", default="", metavar="DIR", help="folders of reference pictures by target, for real models")
    add("--truth", default="", metavar="DIR", help="folders of true pictures by target, for real models")
    add("--engine", default="process", help=f"what makes the runs of a table: {', '.join(ENGINES)} (%(default)s)")
    add("--workers", type=number, default=1, help="runs at a time, for --engine subprocess (%(default)s)")
    add(
        "--threads",
        type=number,
        default=1,
        help="CPU threads of each run, for --engine subprocess or ray (%(default)s)",
    )
    add("--address", default="auto", help="address of the Ray cluster; local starts one here (%(default)s)")
    add("--gpus", type=number, default=0, help="GPUs that a run takes, for --engine ray (%(default)s)")
    add(
        "--memory",
        type=number,
        default=0,
        help="memory in GB that a run takes, for --engine ray; 0 for any (%(default)s)",
    )


def is_asked_for(options: argparse.Namespace) -> bool:
    """Whether the registry's metrics are wanted: by a table, by an option of theirs, or as the model has no judge."""
    chosen = options.table or options.metrics or options.judge_clip or options.engine != ENGINES[0]
    return bool(chosen) or own_judge(options.model) is None


def evaluate_table(options: argparse.Namespace, changes: Mapping[str, Any]) -> int:
    """Makes a table and shows each row; gives the exit status, 1 where a run failed."""
    measuring = _measuring(options)
    runs = _runs(options, changes, measuring)
    engine = _engine(options)
    folders.check_writable(options.out)
    name = options.table or _TARGETS
    noted = _described(runs)
    results = Results(as_path(options.out) / f"{name}.csv", name, measuring.to_dict(), SHOWN, {"metrics": noted})
    missing = results.missing(runs)
    done, failures = len(runs) - len(missing), 0
    if done:
        print(f"{done}/{len(runs)} are in {results.path} already.", flush=True)
    for row in sweep(_TASK, runs, results, engine):
        done += 1
        _write_markdown(results.path, name)
        failures += row["status"] != "done"
        _show(row, f"{done}/{len(runs)}")
    _write_markdown(results.path, name)
    print(f"{results.path}, compared with {BASELINE} in {results.path.with_suffix('.md').name}")
    return 1 if failures else 0


def _measuring(options: argparse.Namespace) -> Measuring:
    family = options.models if options.table else "embedded"
    rendered = family == "embedded" and (options.table is not None or own_judge(options.model) is not None)
    samples = 500 if options.samples is None else options.samples
    return Measuring(
        family=family,
        samples=samples,
        # Only without truncation the renderer knows whom a latent stands for; RSSA's samples are truncated.
        psi=(1.0 if rendered else 0.7) if options.psi is None else options.psi,
        true=samples,
        judge_clip=options.judge_clip,
        metrics=tuple(filter(None, (options.metrics or "").split(","))),
        references=options.references,
        truth=options.truth,
    )


def _runs(options: argparse.Namespace, changes: Mapping[str, Any], measuring: Measuring) -> list[Run]:
    methods = (options.methods or "").split(",") if options.methods else []
    settings = {"preset": options.preset, **changes}
    seeds = parse_seeds(options.seeds)
    if options.table:
        if options.model != "studio":
            settings["model"] = options.model
        return table_runs(options.table, seeds, measuring, options.targets, methods, settings)
    if options.models != "embedded":
        raise InputError("--models chooses the models of a table: name one (--table), or a model (--model).")
    judge = own_judge(options.model)
    if not options.targets and judge is None:
        raise InputError(f"Nobody has a list of domains for “{options.model}”: name the targets, such as “sketch”.")
    settings["model"] = options.model
    targets = options.targets or [domain.name for domain in judge.subject.domains[1:]]
    return target_runs(targets, methods or PAPER_METHODS, seeds, measuring, settings)


def _engine(options: argparse.Namespace) -> Engine:
    engine = choice(options.engine, "The engine", ENGINES)
    threads = whole(options.threads, "Threads", 1, 1000)
    if engine == "process":
        return InProcess()
    if engine == "subprocess":
        return Subprocesses(whole(options.workers, "Workers", 1, 1000), threads)
    return Ray(options.address, threads, options.gpus, int(options.memory * 2**30))


def _write_markdown(csv: Path, name: str) -> None:
    rows = read_rows(csv)
    if name in ABLATIONS:
        text = table_markdown(rows, ABLATIONS[name].reference, "level")
    else:
        text = table_markdown(rows, BASELINE)
    title = TABLES.get(name, "targets by methods")
    with atomic_path(csv.with_suffix(".md")) as temporary:
        temporary.write_text(f"# {title[:1].upper()}{title[1:]}\n\n{text}", encoding="utf-8")


def _show(row: Mapping[str, str], count: str) -> None:
    which = ", ".join(filter(None, (row["row"], row["method"], row.get("level", ""), f"seed {row['seed']}")))
    if row["status"] != "done":
        print(f"{count} {which} failed: {row['error']}", file=sys.stderr, flush=True)
        return
    shown = ("domain_score", "is", "scs", "identity", "sifid", "is_imagenet", "scs_hed", "id_arcface", "clip_diversity")
    scores = ", ".join(f"{name} {float(row[name]):.3f}" for name in shown if name in row)
    print(f"{count} {which}: {scores}; {row['seconds']} s", flush=True)


def _described(runs: Sequence[Run]) -> dict[str, Any]:
    """How the rows of each model are measured; says what can't be."""
    found: dict[str, Any] = {}
    for run in runs:
        model = run.settings["changes"].get("model", AdaptConfig.model)
        if model not in found:
            found[model], lacking = described(run.settings)
            for name, why in lacking.items():
                print(f"{model}: {name} isn't measured. {why}", flush=True)
    return found
