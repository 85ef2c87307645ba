"""Saving memory changes no gradient, and a lack of it ends in advice."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from ipl_core import AdaptConfig, InputError, adapt, memory
from ipl_core.clip import model as clip
from ipl_core.clip.model import Critic
from ipl_core.commands.main import main
from ipl_core.devices import check_precision, choose_device, cores
from ipl_core.drawing import sampling
from ipl_core.generators.stylegan2.network import Generator
from ipl_core.latents import generator_from_seed
from ipl_core.library import store
from ipl_core.memory import OutOfMemory, enough_memory, pictures_at_once, saves_memory
from ipl_core.methods import adapt as loops
from ipl_core.methods import source_samples
from ipl_core.methods.adapt import adapt_generator
from ipl_core.methods.directions import SHORTEST_MOVE
from ipl_core.methods.guidance import Guide, generator_samples
from ipl_core.methods.registry import make_prompts
from ipl_core.methods.source_samples import SourcePool
from ipl_core.methods.student import Student
from ipl_core.models import catalog
from ipl_core.running import adapting
from ipl_core.running.steps import Step
from ipl_core.running.time_left import TimeLeft
from ipl_core.running.wrappers import seconds_between
from ipl_core.storage.locks import new_lock

TINY = dict(mapper_steps=2, mapper_batch=4, steps=2, batch=3, preview_seeds=(0, 1))
CONFIG = AdaptConfig("pencil sketch", method="nada", **TINY)


def gradients_and_kept(generator: Generator, w: Tensor, recompute: bool) -> tuple[list[Tensor], int]:
    """Gradients of a sum over the pictures, and how many numbers were kept for them."""
    kept: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        kept[tensor.data_ptr()] = tensor.numel()
        return tensor

    generator.requires_grad_(True)
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        images = generator.synthesis(w, recompute=recompute)
    return list(torch.autograd.grad(images.square().mean(), [*generator.synthesis.parameters(), w])), sum(kept.values())


def test_recomputing_gives_the_same_bits_and_keeps_less(tiny_generator: Generator, rng: torch.Generator) -> None:
    w = torch.randn(2, 16, generator=rng, requires_grad=True)
    plain, much = gradients_and_kept(tiny_generator, w, recompute=False)
    again, little = gradients_and_kept(tiny_generator, w, recompute=True)
    assert len(plain) == len(again)
    assert all(torch.equal(one, other) for one, other in zip(plain, again))
    assert little < 0.5 * much


def stepped(config: AdaptConfig, source: Generator, critic: Critic) -> tuple[float, Tensor]:
    """Loss and gradients of a first step."""
    scheme = make_prompts(config, critic, 16, generator_from_seed(0))
    student, guides = Student(config, source), [Guide(critic, scheme, SourcePool(not config.share_noise))]
    step = next(adapt_generator(config, student, guides, generator_samples(config, source, guides)))
    loss = step.losses["adaptation"]
    parameters = student.network.synthesis.parameters()
    return loss, torch.cat([parameter.grad.flatten() for parameter in parameters if parameter.grad is not None])


@pytest.mark.parametrize("settings", [{}, {"share_noise": False}, {"layers": "adaptive"}, {"method": "ipl"}])
@pytest.mark.parametrize("at_once", [1, 2])
def test_parts_of_a_batch_give_the_gradient_of_the_whole(
    tiny_generator: Generator, tiny_critic: Critic, settings: dict, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(CONFIG, **settings)
    loss, expected = stepped(replace(config, memory="plain"), tiny_generator, tiny_critic)
    monkeypatch.setattr(memory, "PIXELS_AT_ONCE", at_once * 32**2)
    saved_loss, saved = stepped(replace(config, memory="low"), tiny_generator, tiny_critic)
    assert saved_loss == pytest.approx(loss, abs=1e-4)
    assert torch.nn.functional.cosine_similarity(saved, expected, dim=0) > 0.9999
    assert saved.norm().item() == pytest.approx(expected.norm().item(), rel=1e-2)


def test_a_whole_batch_in_one_part_gives_the_same_weights(studio: Path) -> None:
    plain, low = (
        list(adapt(replace(CONFIG, method="ipl", memory=kind), preview_interval=1e9))[-1].weights
        for kind in ("plain", "low")
    )
    assert all(torch.equal(plain[name], low[name]) for name in plain)


def test_memory_is_no_part_of_a_run_and_precision_is(studio: Path) -> None:
    key = store.run_key(CONFIG)
    assert store.run_key(replace(CONFIG, memory="low")) == key
    assert store.run_key(replace(CONFIG, precision="bfloat16")) != key
    assert store.run_key(replace(CONFIG, shortest_move=0.01)) != key
    assert store.run_key(replace(CONFIG, avoid="cartoon")) != key


def test_a_run_kept_before_a_setting_was_there_says_what_it_did(studio: Path) -> None:
    run = store.Run(replace(CONFIG, preset="official", shortest_move=SHORTEST_MOVE))
    for update in adapt(run.config):
        run.add(update)
    entry = run.save()
    for name in ("shortest_move", "precision", "memory", "avoid"):
        del entry.settings["config"][name]
    assert (entry.config.shortest_move, entry.config.precision, entry.config.avoid) == (0.05, "float32", "")


def test_auto_saves_where_a_batch_is_large() -> None:
    assert not saves_memory("auto", 64, 64)
    assert not saves_memory("auto", 512, 4)
    assert saves_memory("auto", 1024, 2)
    assert saves_memory("low", 8, 1)
    assert not saves_memory("plain", 1024, 64)
    assert [pictures_at_once(size) for size in (64, 256, 512, 1024)] == [128, 8, 2, 1]


def test_what_is_drawn_in_parts_is_the_same(tiny_generator: Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = sampling.draw(tiny_generator, range(5))
    monkeypatch.setattr(memory, "PIXELS_AT_ONCE", 2 * 32**2)
    assert torch.allclose(sampling.draw(tiny_generator, range(5)), whole, atol=1e-5)


# ----------------------------------------------------------------------------------------------------------------------
# Precision


def test_half_the_digits_give_nearly_the_same_gradient(tiny_generator: Generator, tiny_critic: Critic) -> None:
    """By hand, since a run would refuse it on this processor."""
    _, full = stepped(CONFIG, tiny_generator, tiny_critic)
    loss, half = stepped(replace(CONFIG, precision="bfloat16"), tiny_generator, tiny_critic)
    assert loss == pytest.approx(1.0, abs=0.05)
    assert half.dtype == torch.float32
    assert not torch.equal(half, full)
    assert torch.nn.functional.cosine_similarity(half, full, dim=0) > 0.98


def test_precision_that_gains_nothing_is_refused(studio: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for device in ("cpu", "mps"):
        with pytest.raises(InputError, match=f"on {device} it would save no time.*Use float32"):
            check_precision("bfloat16", torch.device(device))
    with pytest.raises(InputError, match="for CUDA GPUs"):
        next(adapt(replace(CONFIG, precision="bfloat16")))
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **options: False)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Tesla K80")
    with pytest.raises(InputError, match="Tesla K80 has no bfloat16"):
        check_precision("bfloat16", torch.device("cuda"))
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **options: True)
    check_precision("bfloat16", torch.device("cuda"))
    check_precision("float32", torch.device("cpu"))
    with pytest.raises(InputError, match="Precision must be one of float32, bfloat16"):
        replace(CONFIG, precision="float16")
    with pytest.raises(InputError, match="Memory must be one of auto, plain, low"):
        replace(CONFIG, memory="tiny")


# ----------------------------------------------------------------------------------------------------------------------
# A lack of memory


LACKS = [
    (torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), "GPU is not enough.*device cpu"),
    (RuntimeError("MPS backend out of memory (MPS allocated: 8.00 GB)"), "GPU is not enough"),
    (RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory"), "this machine is"),
    (RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes."), "this machine is"),
    (MemoryError(), "this machine is"),
    (OSError("Cannot allocate memory (os error 12)"), "this machine is"),
]


@pytest.mark.parametrize(("error", "said"), LACKS)
def test_a_lack_of_memory_becomes_advice(error: Exception, said: str) -> None:
    with pytest.raises(OutOfMemory, match=said) as caught, enough_memory():
        raise error
    for advice in ("smaller batch", "“low”", "smaller pictures"):
        assert advice in str(caught.value)


def test_other_errors_stay_what_they_are() -> None:
    for error in (RuntimeError("shapes don't fit"), ValueError("out of memory, says nobody"), InputError("no")):
        with pytest.raises(type(error)) as caught, enough_memory():
            raise error
        assert caught.value is error


def test_a_true_lack_of_memory_is_recognised() -> None:
    with pytest.raises(OutOfMemory), enough_memory():
        torch.empty(2**60, dtype=torch.uint8)


@pytest.mark.parametrize("where", ["adaptation_loss", "load_critic"])
def test_a_run_that_lacks_memory_ends_in_a_sentence(
    where: str, studio: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def lacking(*arguments: Any) -> Any:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(loops if where == "adaptation_loss" else adapting, where, lacking)
    request = ["adapt", "werewolf", "--method", "nada", "--steps", "1", "--memory", "low", "--out", str(tmp_path / "o")]
    assert main(request) == 2
    said = capsys.readouterr().err
    assert "The memory of the GPU is not enough" in said
    assert "Traceback" not in said
    assert store.list_entries() == []


def test_drawing_that_lacks_memory_ends_in_a_sentence(
    studio: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def lacking(*arguments: Any, **options: Any) -> Any:
        raise MemoryError

    monkeypatch.setattr(Generator, "forward", lacking)
    assert main(["sample", "studio", "--seeds", "0", "--out", str(tmp_path / "a.png")]) == 2
    assert "The memory of this machine is not enough" in capsys.readouterr().err


# ----------------------------------------------------------------------------------------------------------------------
# Devices, and time left


def test_auto_says_why_it_is_that_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    device, why = choose_device()
    assert device == "cpu"
    assert why.startswith("no CUDA GPU and no Metal was found")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert choose_device() == ("mps", "Metal was found and no CUDA GPU")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Tesla K80")
    ones = torch.ones
    monkeypatch.setattr(torch, "ones", lambda *sizes, device: ones(*sizes))
    assert choose_device() == ("cuda", "a CUDA GPU was found, Tesla K80")

    def too_old(*sizes: int, device: str) -> Tensor:
        raise RuntimeError("CUDA error: no kernel image is available\nmore lines")

    monkeypatch.setattr(torch, "ones", too_old)
    assert choose_device() == (
        "mps",
        "Metal was found and no CUDA GPU that computes (Tesla K80: CUDA error: no kernel image is available)",
    )


@pytest.mark.parametrize(
    ("said", "count"),
    [("200000 100000", 2), ("150000 100000", 2), ("10000 100000", 1), ("1600000 100000", 6), ("max 100000", 6)],
)
def test_a_container_has_the_cores_whose_time_it_is_given(
    said: str, count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda process: set(range(6)), raising=False)
    quota = tmp_path / "cpu.max"
    quota.write_text(f"{said}\n")
    assert cores(quota) == count
    quota.write_text("who knows\nwhat")
    assert cores(quota) == cores(tmp_path / "none") == 6


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_fork_waits_for_a_lock_and_leaves_it_open() -> None:
    lock, held = new_lock(), threading.Event()

    def hold() -> None:
        with lock:
            held.set()
            time.sleep(0.3)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    began = time.monotonic()
    child = os.fork()
    if child == 0:
        os._exit(0 if lock.acquire(timeout=5) else 1)
    assert time.monotonic() - began > 0.2
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert lock.acquire(timeout=5)
    lock.release()  # or no test after this one could fork
    thread.join()


def test_a_slow_first_step_does_not_spoil_the_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter([0.0, 50.0, 51.0, 52.0, 53.0])
    monkeypatch.setattr("ipl_core.running.time_left.time.perf_counter", lambda: next(now))
    time_left = TimeLeft({"prompts": 100, "generator": 10}, {"generator": 3.0})
    left = [time_left.after(Step(step, 100, "prompts")) for step in (1, 2, 3, 4)]
    assert left[0] == 99 * 50.0 + 30.0  # nothing else is known yet
    assert left[1:] == [98 * 25.5 + 30.0, 97 * 1.0 + 30.0, 96 * 1.0 + 30.0]


@pytest.mark.usefixtures("studio")
def test_source_pictures_are_drawn_once_and_so_they_are_forecast(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pool of 64 pictures at 5 s a block of 8, two blocks a step of stage 1; what else a step does takes 1 s."""
    monkeypatch.setattr("ipl_core.methods.source_samples.BLOCKS", 8)
    monkeypatch.setattr("ipl_core.methods.source_samples.SIZE", 64)
    clock = [0.0]
    monkeypatch.setattr("time.perf_counter", lambda: clock[0])
    take, check = source_samples.take_samples, loops.require_finite

    def slow_take(pools: Any, *rest: Any) -> Any:
        before = int(pools[0][0].present.sum())
        taken = take(pools, *rest)
        clock[0] += 5.0 * (int(pools[0][0].present.sum()) - before)
        return taken

    def slow_check(*rest: Any) -> None:
        check(*rest)
        clock[0] += 1.0

    monkeypatch.setattr(source_samples, "take_samples", slow_take)
    monkeypatch.setattr(loops, "require_finite", slow_check)
    config = replace(CONFIG, method="ipl", mapper_batch=16, mapper_steps=7, steps=6)
    *steps, done = adapt(config)
    assert done.seconds == 7 + 6 + 8 * 5
    unforeseen = 6.0  # stage 2's own steps: their forecast is made from previews, which take no time here
    for step in steps:
        left = done.seconds - step.seconds
        assert step.remaining == left - (unforeseen if step.phase == "prompts" else 0.0)


def test_large_previews_take_a_fifth_of_the_time_at_most() -> None:
    assert seconds_between(1.0, 0.1) == 1.0
    assert seconds_between(1.0, 10.0) == 40.0
    assert seconds_between(0.0, 10.0) == 0.0
    assert seconds_between(float("inf"), 10.0) == float("inf")


@pytest.mark.usefixtures("studio")
def test_a_critic_that_memory_has_no_room_for_is_not_called_damaged(monkeypatch: pytest.MonkeyPatch) -> None:
    import open_clip

    def full(*_: Any, **__: Any) -> None:
        raise OSError("Cannot allocate memory (os error 12)")  # as reading weights says it

    monkeypatch.setattr(open_clip, "create_model", full)
    folder = catalog.pretrained_folder() / catalog.registry()["critics"]["studio"]["dir"]
    for read, what in ((clip._from_directory, folder), (clip._from_name, "ViT-B-32")):
        with pytest.raises(OutOfMemory, match="a smaller CLIP model"):
            read(what, torch.device("cpu"))


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc gives threads heaps of their own")
def test_threads_share_two_heaps() -> None:
    """In a process of its own, as it lasts: many threads that allocate leave no more than two heaps behind."""
    program = (
        "import ctypes, threading; from ipl_core.memory import share_heaps; share_heaps();"
        "all_at_work = threading.Barrier(8);"
        "work = lambda: (all_at_work.wait(), [bytearray(1000) for _ in range(1000)], all_at_work.wait());"
        "threads = [threading.Thread(target=work) for _ in range(8)];"
        "[one.start() for one in threads]; [one.join() for one in threads];"
        "ctypes.CDLL(None).malloc_stats()"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    heaps = [line for line in done.stderr.splitlines() if line.startswith("Arena")]
    assert 1 <= len(heaps) <= 2, done.stderr
