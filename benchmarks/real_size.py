"""What adapting a generator of real size costs: peak memory and seconds a step, with random weights of that size.

`python benchmarks/real_size.py` makes a config-F generator and a ViT-B/32 in a temporary folder, adapts the one by the
other for a few steps in a process of its own for each memory setting, and prints a table; a second one compares the
time left that each stage said after its first step with the time that it then took. Peak memory is exact; seconds
belong to the machine, so they are given as a ratio too; where other programs take it up, `--clock computing` with one
thread (OMP_NUM_THREADS=1) counts a run's own. `--memory low --mapper-batch 4 --batch 2` takes minutes.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VIT_B_32 = {
    "embed_dim": 512,
    "quick_gelu": True,
    "vision_cfg": {"image_size": 224, "layers": 12, "width": 768, "patch_size": 32},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 512, "heads": 8, "layers": 12},
}
# Run in the process that is measured; prints the phase, step and seconds of every step.
RUN = """
import json, sys, time
if sys.argv[2] == "computing":
    time.perf_counter = time.process_time
from ipl_core import AdaptConfig, Step, adapt
for update in adapt(AdaptConfig(**json.loads(sys.argv[1])), preview_interval=float("inf")):
    phase, left = (update.phase, update.remaining) if isinstance(update, Step) else ("done", 0.0)
    print(phase, update.step, update.seconds, left, flush=True)
"""


def make_weights(folder: Path, resolution: int) -> tuple[Path, Path]:
    """A generator's file and a critic's folder, with random weights."""
    import open_clip
    import torch
    from safetensors.torch import save_file

    from ipl_core.clip.model import CONFIG_FILE, WEIGHTS_FILE
    from ipl_core.generators.files import save_generator
    from ipl_core.generators.stylegan2.network import Generator, GeneratorConfig

    generator, critic = folder / "generator.safetensors", folder / "critic"
    save_generator(Generator(GeneratorConfig(resolution), torch.Generator().manual_seed(0)), generator)
    critic.mkdir()
    torch.manual_seed(0)
    state = open_clip.CLIP(**VIT_B_32).state_dict()
    save_file({name: tensor.half().contiguous() for name, tensor in state.items()}, critic / WEIGHTS_FILE)
    preprocessing = {"mean": open_clip.OPENAI_DATASET_MEAN, "std": open_clip.OPENAI_DATASET_STD}
    description = {"model_cfg": VIT_B_32, "preprocess_cfg": preprocessing}
    (critic / CONFIG_FILE).write_text(json.dumps(description), encoding="utf-8")
    return generator, critic


@dataclass(frozen=True)
class Cost:
    """What one run's process took.

    peak: memory in GB. whole: seconds from its start to its end; busy: seconds of computing, of all cores together.
    steps: seconds of the last step of each stage. left: after the first step of each stage the seconds that were said
    to be left, and those that there were.
    """

    peak: float
    whole: float
    busy: float
    steps: dict[str, float]
    left: dict[str, tuple[float, float]]


def measure(settings: dict, clock: str, home: Path) -> Cost:
    """Adapt in a process of its own."""
    began = time.perf_counter()
    environment = {**os.environ, "IPL_HOME": str(home), "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, json.dumps(settings), clock], env=environment, stdout=subprocess.PIPE, text=True
    )
    seconds, said, before = {}, {}, 0.0
    for line in process.stdout:
        phase, step, now, remaining = line.split()
        print(f"  {phase} {step}: {float(now):.0f} s, {float(remaining):.0f} s left", file=sys.stderr, flush=True)
        seconds[phase], before = float(now) - before, float(now)
        if phase != "done":
            said.setdefault(phase, (float(now), float(remaining)))
    _, status, used = os.wait4(process.pid, 0)
    if os.waitstatus_to_exitcode(status):
        raise SystemExit(f"The run {settings} failed with status {os.waitstatus_to_exitcode(status)}.")
    left = {phase: (remaining, before - now) for phase, (now, remaining) in said.items()}
    busy = used.ru_utime + used.ru_stime
    return Cost(used.ru_maxrss / 1024**2, time.perf_counter() - began, busy, seconds, left)


def main() -> None:
    parser = argparse.ArgumentParser(description="Peak memory and seconds a step at real size.")
    parser.add_argument("--resolution", type=int, default=1024, help="of the generator (%(default)s)")
    parser.add_argument("--method", default="ipl", help="%(default)s")
    parser.add_argument("--mapper-batch", type=int, default=16, help="pictures a step of stage 1 (%(default)s)")
    parser.add_argument("--batch", type=int, default=4, help="pictures a step of stage 2 (%(default)s)")
    parser.add_argument("--layers", default="all", help="which layers stage 2 trains (%(default)s)")
    parser.add_argument("--steps", type=int, default=3, help="of each stage (%(default)s)")
    parser.add_argument("--memory", default="low,plain", help="settings, separated by commas (%(default)s)")
    parser.add_argument("--device", default="cpu", help="%(default)s")
    parser.add_argument("--clock", choices=("wall", "computing"), default="wall", help="of the run (%(default)s)")
    options = parser.parse_args()
    rows: dict[str, Cost] = {}
    with tempfile.TemporaryDirectory() as scratch:
        generator, critic = make_weights(Path(scratch), options.resolution)
        for memory in options.memory.split(","):
            settings = dict(
                target="pencil sketch",
                method=options.method,
                model=str(generator),
                critic=str(critic),
                mapper_steps=options.steps,
                mapper_batch=options.mapper_batch,
                steps=options.steps,
                batch=options.batch,
                layers=options.layers,
                layer_interval=1,
                preview_seeds=[0, 1],
                memory=memory,
                device=options.device,
            )
            rows[memory] = measure(settings, options.clock, Path(scratch) / memory)
    first = next(iter(rows.values())).steps["generator"]
    print("| memory | peak, GB | whole process, s | computing, s | a step of stage 1, s | of stage 2, s | ratio |")
    print("|---|--:|--:|--:|--:|--:|--:|")
    for memory, cost in rows.items():
        stage_1 = f"{cost.steps['prompts']:.1f}" if "prompts" in cost.steps else ""
        stage_2 = cost.steps["generator"]
        ratio = stage_2 / first
        print(
            f"| {memory} | {cost.peak:.2f} | {cost.whole:.0f} | {cost.busy:.0f} | {stage_1} | {stage_2:.1f} "
            f"| {ratio:.2f} |"
        )
    print("\n| memory | after the first step of | said to be left, s | were left, s |")
    print("|---|---|--:|--:|")
    for memory, cost in rows.items():
        for phase, (said, were) in cost.left.items():
            print(f"| {memory} | {phase} | {said:.0f} | {were:.0f} |")


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    main()
