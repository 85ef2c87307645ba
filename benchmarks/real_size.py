"""What adapting a generator of real size costs: peak memory and seconds a step, with random weights of that size.

`python benchmarks/real_size.py` makes a config-F generator and a ViT-B/32 in a temporary folder, adapts the one by the
other for a few steps in a process of its own for each memory setting, and prints a table. Peak memory is exact; seconds
belong to the machine, so they are given as a ratio too.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
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
import json, sys
from ipl_core import AdaptConfig, adapt
for snapshot in adapt(AdaptConfig(**json.loads(sys.argv[1])), preview_interval=float("inf")):
    print(snapshot.phase, snapshot.step, snapshot.seconds, snapshot.remaining, flush=True)
"""


def make_weights(folder: Path, resolution: int) -> tuple[Path, Path]:
    """A generator's file and a critic's folder, with random weights."""
    import open_clip
    import torch
    from safetensors.torch import save_file

    from ipl_core.checkpoints import save_generator
    from ipl_core.clip import CONFIG_FILE, WEIGHTS_FILE
    from ipl_core.stylegan2 import Generator, GeneratorConfig

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


def measure(settings: dict, home: Path) -> tuple[float, dict[str, float]]:
    """Peak memory in GB of one run's process, and the seconds of the last step of each phase."""
    environment = {**os.environ, "IPL_HOME": str(home), "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, json.dumps(settings)], env=environment, stdout=subprocess.PIPE, text=True
    )
    seconds, before = {}, 0.0
    for line in process.stdout:
        phase, step, now, remaining = line.split()
        print(f"  {phase} {step}: {float(now):.0f} s, {float(remaining):.0f} s left", file=sys.stderr, flush=True)
        seconds[phase], before = float(now) - before, float(now)
    _, status, used = os.wait4(process.pid, 0)
    if os.waitstatus_to_exitcode(status):
        raise SystemExit(f"The run {settings} failed with status {os.waitstatus_to_exitcode(status)}.")
    return used.ru_maxrss / 1024**2, seconds


def main() -> None:
    parser = argparse.ArgumentParser(description="Peak memory and seconds a step at real size.")
    parser.add_argument("--resolution", type=int, default=1024, help="of the generator (%(default)s)")
    parser.add_argument("--method", default="ipl", help="%(default)s")
    parser.add_argument("--batch", type=int, default=4, help="pictures a step of stage 2 (%(default)s)")
    parser.add_argument("--layers", default="all", help="which layers stage 2 trains (%(default)s)")
    parser.add_argument("--steps", type=int, default=2, help="of each stage (%(default)s)")
    parser.add_argument("--memory", default="low,plain", help="settings, separated by commas (%(default)s)")
    parser.add_argument("--device", default="cpu", help="%(default)s")
    options = parser.parse_args()
    rows = {}
    with tempfile.TemporaryDirectory() as scratch:
        generator, critic = make_weights(Path(scratch), options.resolution)
        for memory in options.memory.split(","):
            settings = dict(
                target="pencil sketch",
                method=options.method,
                model=str(generator),
                critic=str(critic),
                mapper_steps=options.steps,
                steps=options.steps,
                batch=options.batch,
                layers=options.layers,
                layer_interval=1,
                preview_seeds=[0, 1],
                memory=memory,
                device=options.device,
            )
            rows[memory] = measure(settings, Path(scratch) / memory)
    first = next(iter(rows.values()))[1]["generator"]
    print("| memory | peak, GB | seconds a step of stage 1 | of stage 2 | ratio |")
    print("|---|--:|--:|--:|--:|")
    for memory, (peak, seconds) in rows.items():
        stage_1 = f"{seconds['prompts']:.1f}" if "prompts" in seconds else ""
        ratio = seconds["generator"] / first
        print(f"| {memory} | {peak:.2f} | {stage_1} | {seconds['generator']:.1f} | {ratio:.2f} |")


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    main()
