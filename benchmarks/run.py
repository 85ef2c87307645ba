"""How much faster and lighter a run is than the released code's steps, and what else the project promises of speed.

    python benchmarks/run.py [--only NAME ...] [--rounds 5] [--out benchmarks/results.md]

Each comparison takes turns, one measurement of the baseline (released_step.py) and one of the project, in this one
process with the same models of random weights, and gives the median and the spread of the ratios. Peak memory is that
of a process of its own for each. Everything else is measured alone. The table goes to --out with the machine that made
it; what fell short of its goal is said at the end, and the exit status is then 1.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402

from benchmarks.real_size import make_weights  # noqa: E402
from benchmarks.released_step import Released  # noqa: E402
from ipl_core import AdaptConfig, InvertConfig, Step  # noqa: E402
from ipl_core.generators.invert import LatentSearch, PictureLoss, search_latent, view_of  # noqa: E402
from ipl_core.methods.adapt import adapt_generator, learn_prompts  # noqa: E402
from ipl_core.methods.guidance import generator_samples, prompt_samples  # noqa: E402
from ipl_core.methods.source_samples import SampleStream, seconds_of_drawing  # noqa: E402
from ipl_core.methods.student import Student  # noqa: E402
from ipl_core.models.catalog import load_critic, load_encoder, load_generator, starting_encoder  # noqa: E402
from ipl_core.running.adapting import open_guides  # noqa: E402

TARGET = "Tolkien elf"
#: The released code's, and how often layers are chosen where speed is asked for.
STEPS, STAGE_1_BATCH, BATCH, SPARING = 300, 32, 2, 10
HIGHEST, LOWEST = "≥", "≤"


@dataclass(frozen=True)
class Finding:
    """What was measured: the figures, and beside the goal the one that counts, with its unit."""

    what: str
    goal: float
    sense: str
    value: float
    unit: str
    figures: str

    @property
    def reached(self) -> bool:
        return self.value >= self.goal if self.sense == HIGHEST else self.value <= self.goal


def seconds(step: Callable[[], object]) -> float:
    began = time.perf_counter()
    step()
    return time.perf_counter() - began


@dataclass(frozen=True)
class Setting:
    """Generator and critic of one size, and the baseline's step on them."""

    resolution: int
    generator: Path
    critic: Path
    home: Path

    def config(self, **settings: object) -> AdaptConfig:
        models = dict(model=str(self.generator), critic=str(self.critic), preset="official")
        return AdaptConfig(TARGET, **models, **settings)

    def released(self) -> Released:
        source, critic = load_generator(str(self.generator)), load_critic(str(self.critic))
        return Released(source, critic, "photo", TARGET, torch.Generator().manual_seed(0))

    def ours(self, stage: int, **settings: object) -> Ours:
        """The steps of stage 1 or 2, by the project."""
        config = self.config(**settings)
        source = load_generator(str(self.generator))
        guides, _ = open_guides(config, source)
        if stage == 1:
            samples = prompt_samples(config, source, guides)
            return Ours(learn_prompts(config, guides, samples), samples)
        samples = generator_samples(config, source, guides)
        return Ours(adapt_generator(config, Student(config, source), guides, samples), samples)


@dataclass(frozen=True)
class Ours:
    """The steps of a stage by the project, and the source samples that they draw."""

    steps: Iterator[Step]
    samples: SampleStream

    def seconds(self) -> float:
        """Of one step: what it took without new source samples, and its share of drawing them once for the run."""
        drawn = self.samples.seconds
        took = seconds(lambda: next(self.steps)) - (self.samples.seconds - drawn)
        spent, to_come = seconds_of_drawing([self.samples], 0.0)
        return took + (spent + to_come) / STEPS


def in_turns(baseline: Callable[[], float], ours: Callable[[], float], rounds: int) -> tuple[list[float], str]:
    """Ratios of the baseline's seconds to the project's, taken in turns after a first one of each that isn't counted;
    and the medians of both in words."""
    baseline(), ours()
    pairs = [(baseline(), ours()) for _ in range(rounds)]
    ratios = [released / own for released, own in pairs]
    released, own = (statistics.median(column) for column in zip(*pairs))
    spread = f"{min(ratios):.1f} to {max(ratios):.1f}"
    return ratios, f"{released:.2f} s and {own:.2f} s; ratio {spread}"


def stage_1(setting: Setting, rounds: int) -> Finding:
    released, ours = setting.released(), setting.ours(stage=1)
    ratios, words = in_turns(lambda: seconds(lambda: released.prompts_step(STAGE_1_BATCH)), ours.seconds, rounds)
    what = f"stage 1 step, {setting.resolution}², batch {STAGE_1_BATCH}"
    return Finding(what, 10, HIGHEST, statistics.median(ratios), "×", words)


def stage_2(setting: Setting, rounds: int, interval: int = 1) -> Finding:
    """interval: steps between two choices of layers; where it is more than one, a measurement is that many steps."""
    released, ours = setting.released(), setting.ours(stage=2, layer_interval=interval)
    ratios, words = in_turns(
        lambda: seconds(lambda: released.generator_step(BATCH)),
        lambda: statistics.mean(ours.seconds() for _ in range(interval)),
        rounds,
    )
    what = f"stage 2 step, {setting.resolution}², batch {BATCH}, layers chosen every " + (
        "step" if interval == 1 else f"{interval} steps"
    )
    return Finding(what, 4 if interval == 1 else 8, HIGHEST, statistics.median(ratios), "×", words)


def peak_memory(setting: Setting) -> Finding:
    """Of a step of each stage, in GB, each side in a process of its own."""
    peaks = {}
    for side in ("released", "ours"):
        arguments = [str(setting.resolution), str(setting.generator), str(setting.critic), str(setting.home)]
        done = subprocess.run(
            [sys.executable, str(Path(__file__)), "--steps-of", side, *arguments], stdout=subprocess.PIPE, text=True
        )
        peaks[side] = float(done.stdout) if done.returncode == 0 else None
    what = f"peak memory of a step of each stage at {setting.resolution}², of the baseline's"
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    if peaks["ours"] is None:
        raise SystemExit("The project's own steps didn't fit into this machine's memory.")
    # Where the baseline doesn't fit at all, its peak was more than the machine has.
    released = peaks["released"] or machine
    said = f"{released:.1f} GB" if peaks["released"] else f"more than this machine's {machine:.0f} GB"
    return Finding(what, 0.5, LOWEST, peaks["ours"] / released, "×", f"{said} and {peaks['ours']:.1f} GB")


def steps_of(side: str, setting: Setting) -> None:
    """A step of each stage, and the peak memory of this process in GB."""
    if side == "released":
        released = setting.released()
        released.prompts_step(STAGE_1_BATCH)
        released.generator_step(BATCH)
    else:
        next(setting.ours(stage=1).steps)
        next(setting.ours(stage=2).steps)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)


def embedded_run(home: Path) -> Finding:
    """A default run of IPL on the embedded models by the command line, from an empty cache."""
    environment = {**os.environ, "IPL_HOME": str(home / "run")}
    command = ["-m", "ipl_core", "adapt", "pencil sketch", "--method", "ipl", "--out", str(home / "out")]
    began = time.perf_counter()
    subprocess.run([sys.executable, *command], cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL)
    return Finding("embedded run of IPL, whole process", 60, LOWEST, time.perf_counter() - began, "s", "")


def embedded_sampling(rounds: int) -> Finding:
    generator = load_generator("studio")
    w = generator.mapping(torch.randn(64, generator.config.z_dim))

    @torch.no_grad()
    def draw() -> None:
        for part in w.split(8):
            generator.synthesis(part)

    draw()
    rate = 64 / statistics.median(seconds(draw) for _ in range(rounds))
    return Finding("embedded sampling, 128²", 60, HIGHEST, rate, "pictures a second", "")


def inversion_step(rounds: int) -> Finding:
    """A step of an embedded inversion beside the generator's forward and backward pass alone."""
    many = 10
    config, generator = InvertConfig(steps=many * (rounds + 1)), load_generator("studio")
    name = starting_encoder(config.model, config.start, config.encoder)
    encoder = None if name is None else load_encoder(name, config.model, generator.config, config.device)
    with torch.no_grad():
        target = generator(torch.randn(1, generator.config.z_dim, generator=torch.Generator().manual_seed(3)))
    search = LatentSearch(config, generator, PictureLoss(config, target.clamp(-1, 1), view_of(config)), encoder)
    steps = search_latent(config, search)

    def bare() -> None:
        w_plus = search.w_plus.detach().requires_grad_(True)
        generator.synthesis(w_plus).square().mean().backward()

    ratios, words = in_turns(
        lambda: seconds(lambda: [bare() for _ in range(many)]),
        lambda: seconds(lambda: [next(steps) for _ in range(many)]),
        rounds,
    )
    share = 100 * statistics.median(ratios)
    return Finding("inversion, speed of the generator's passes alone", 70, HIGHEST, share, "%", words)


def measurements(home: Path, rounds: int, resolutions: list[int]) -> Iterator[tuple[str, Callable[[], Finding]]]:
    """Name and measurement of everything that is promised."""
    yield "sampling", lambda: embedded_sampling(rounds)
    yield "inversion", lambda: inversion_step(rounds)
    yield "run", lambda: embedded_run(home)
    for resolution in resolutions:
        folder = home / str(resolution)
        folder.mkdir()
        setting = Setting(resolution, *make_weights(folder, resolution), folder)
        if resolution == resolutions[0]:
            yield f"stage-1-{resolution}", lambda setting=setting: stage_1(setting, rounds)
        yield f"stage-2-{resolution}", lambda setting=setting: stage_2(setting, rounds)
        yield f"sparing-{resolution}", lambda setting=setting: stage_2(setting, rounds, SPARING)
        yield f"memory-{resolution}", lambda setting=setting: peak_memory(setting)


def machine() -> str:
    """The machine in a line: processor, vector extensions, threads, PyTorch."""
    facts, name, flags = Path("/proc/cpuinfo"), platform.processor() or platform.machine(), set()
    if facts.exists():
        lines = dict(line.split(":", 1) for line in facts.read_text().splitlines() if ":" in line)
        lines = {key.strip(): value.strip() for key, value in lines.items()}
        name, flags = lines.get("model name", name), set(lines.get("flags", "").split())
    vectors = [word for word in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if word in flags]
    return (
        f"{name}, {os.cpu_count()} cores, {', '.join(vectors) or 'no vector extensions known'}, "
        f"{torch.get_num_threads()} threads, PyTorch {torch.__version__}, Python {platform.python_version()}"
    )


def table(found: list[Finding]) -> str:
    lines = ["| what | goal | found | figures |", "|---|--:|--:|---|"]
    lines += [f"| {f.what} | {f.sense} {f.goal:g} {f.unit} | {f.value:.3g} {f.unit} | {f.figures} |" for f in found]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description="Speed and memory beside the released code's steps.")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="such as stage-1-256, sparing-1024, sampling")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each comparison (%(default)s)")
    parser.add_argument("--resolutions", type=int, nargs="+", default=[256, 1024], help="of the generators")
    parser.add_argument("--out", type=Path, help="a file for the table")
    parser.add_argument("--steps-of", nargs=5, metavar="…", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.steps_of:
        side, resolution, *places = options.steps_of
        steps_of(side, Setting(int(resolution), *map(Path, places)))
        return 0
    found: list[Finding] = []
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["IPL_HOME"] = str(Path(scratch) / "home")
        for name, measure in measurements(Path(scratch), options.rounds, options.resolutions):
            if options.only is None or name in options.only:
                found.append(measure())
                print(f"{name}: {found[-1].value:.3g} {found[-1].unit}", file=sys.stderr, flush=True)
    written = f"{machine()}.\n\n{table(found)}\n"
    print(written)
    if options.out:
        options.out.write_text(f"# Speed and memory\n\n`python {' '.join(sys.argv)}` on {written}", encoding="utf-8")
    short = [f.what for f in found if not f.reached]
    print("All goals are reached." if not short else f"Short of its goal: {'; '.join(short)}.")
    return 1 if short else 0


if __name__ == "__main__":
    sys.exit(main())
