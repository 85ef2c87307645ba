"""The operators as compiled code: whether they were asked for, building them, and their gradients.

Nothing is compiled unless `use("compiled")` or the environment variable `IPL_OPS=compiled` asks for it, and then only
when a tensor on a CUDA GPU first needs it. The library is kept in `IPL_HOME/operators` and used from there afterwards.
Where it can't be had, the reason is logged once for each device, and plain PyTorch computes.

`native/elements.h` says what each operator is. Gradients of any order are made of the same operators: the gradient of
a filter is a filter, with up and down exchanged, and that of the activation is a gate that is its own gradient.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import logging
import math
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from ....errors import InputError
from ....storage import folders
from . import build

log = logging.getLogger(__name__)

PLAIN = "plain"
COMPILED = "compiled"
SWITCH = "IPL_OPS"
_LONGEST_BUILD = 1800.0  # seconds


class Unavailable(RuntimeError):
    """The compiled operators can't be had; the text says why."""


# ----------------------------------------------------------------------------------------------------------------------
# Choice

_lock = threading.Lock()
_chosen: str | None = None
_found: dict[torch.device, ModuleType | None] = {}


def use(choice: str | None) -> None:
    """Take the "plain" or the "compiled" operators from now on; None = what `IPL_OPS` says, by default "plain".

    What wasn't to be had before is tried again. Raises InputError for another choice.
    """
    global _chosen
    if choice is not None:
        _check(choice, "choice of operators")
    with _lock:
        _chosen = choice
        _found.clear()


def asked() -> str:
    """Which operators were asked for, "plain" or "compiled". Raises InputError if `IPL_OPS` says something else."""
    return _chosen or _check(os.environ.get(SWITCH) or PLAIN, f"environment variable {SWITCH}")


def _check(choice: str, what: str) -> str:
    if choice not in (PLAIN, COMPILED):
        raise InputError(f"The {what} must be {PLAIN} or {COMPILED}, got {choice!r}.")
    return choice


def library_for(device: torch.device) -> ModuleType | None:
    """The compiled operators for tensors on `device`, or None where plain PyTorch is to compute.

    The first call on a GPU builds them if need be, which takes a minute or so; others wait for it.
    """
    if asked() == PLAIN:
        return None
    try:
        return _found[device]
    except KeyError:
        with _lock:
            if device not in _found:
                _found[device] = _look_for(device)
            return _found[device]


def _look_for(device: torch.device) -> ModuleType | None:
    try:
        library = card_library(device)
    except Unavailable as reason:
        log.warning("Compiled operators were asked for; on %s plain PyTorch is used instead: %s", device, reason)
        return None
    log.info("Compiled operators are used on %s: they were asked for, and agree with the CPU.", device)
    return library


# ----------------------------------------------------------------------------------------------------------------------
# Library


def card_library(device: torch.device) -> ModuleType:
    """The library for a CUDA GPU, built if need be and tried. Raises Unavailable with the reason."""
    if device.type != "cuda":
        raise Unavailable(f"they are for CUDA GPUs, and {device.type} isn't one.")
    if torch.version.cuda is None:
        raise Unavailable("this PyTorch wasn't built with CUDA.")
    major, minor = torch.cuda.get_device_capability(device)
    library = load(f"{major}.{minor}")
    _try_out(library, device)
    return library


def load(capability: str | None) -> ModuleType:
    """The library for CUDA GPUs of `capability` ("9.0"), or for the CPU alone (None); built where it isn't kept yet.

    Raises Unavailable with the reason.
    """
    shelf = folders.home() / "operators"
    name = _name(capability)
    path = shelf / (name + (".pyd" if sys.platform == "win32" else ".so"))
    if not path.exists():
        log.info(
            "Compiling the operators for %s; this is done once.", f"CUDA {capability}" if capability else "the CPU"
        )
        try:
            with tempfile.TemporaryDirectory(prefix="ipl-operators-", ignore_cleanup_errors=True) as folder:
                _compile(name, folder, capability)
                folders.write_into(shelf, lambda to: shutil.copy2(Path(folder) / path.name, to))
        except (OSError, InputError) as error:
            raise Unavailable(f"they can't be kept: {error}") from error
    try:
        spec = importlib.util.spec_from_file_location(name, path)
        library = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(library)
    except ImportError as error:
        raise Unavailable(f"{path} can't be loaded ({error}); delete it, and it is built anew.") from error
    return library


def _name(capability: str | None) -> str:
    """A name that changes with everything that the compiled code depends on."""
    digest = hashlib.sha256()
    for path in sorted([Path(build.__file__), *build.NATIVE.iterdir()]):
        digest.update(path.read_bytes())
    for part in (torch.__version__, sysconfig.get_config_var("EXT_SUFFIX"), *platform.libc_ver()):
        digest.update(f"\0{part}".encode())
    kind = "cpu" if capability is None else "cuda" + capability.replace(".", "")
    return f"ipl_operators_{kind}_{digest.hexdigest()[:12]}"


def _compile(name: str, folder: str, capability: str | None) -> None:
    command = [sys.executable, build.__file__, name, folder, *([capability] if capability else [])]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL, timeout=_LONGEST_BUILD
        )
    except subprocess.TimeoutExpired:
        raise Unavailable(f"compiling them took more than {_LONGEST_BUILD / 60:.0f} minutes.") from None
    if done.returncode != 0:
        log.debug("The compiler's words:\n%s", done.stderr)
        raise Unavailable(f"compiling them failed: {_gist(done.stderr)}")


def _gist(words: str) -> str:
    """The line of a failed build that tells most: the compiler's first error, else the last one that isn't ninja's."""
    lines = [line.strip() for line in words.splitlines()]
    lines = [line for line in lines if line and not re.match(r"ninja: build stopped|\[\d+/\d+\] ", line)]
    errors = [line for line in lines if re.search(r"\berror( \w+)?: ", line)]
    return (errors or lines[-1:] or ["it said nothing."])[0]


def _try_out(library: ModuleType, device: torch.device) -> None:
    """Raises Unavailable unless the library computes on `device` what it computes on the CPU."""
    x = torch.linspace(-2, 2, 2 * 3 * 6 * 4).view(2, 3, 6, 4)
    taps = [0.25, 0.75, 0.5, 0.125]
    scale, bias, noise = x[:, :, 0, 0], x[0, :, 1, 1], x[:, :1].flip(2)
    calls = (
        ("filter", x, taps, 1, 1, 1, 5, 3),
        ("filter", x, taps, 2, 1, 2, 12, 8),
        ("filter", x, taps, 1, 2, 1, 3, 2),
        ("activation", x, scale, bias, noise, 0.2, 1.5, 2.0),
        ("gate", x.flip(3), x, 0.2, 1.5, 1.5),
    )
    for order in (torch.contiguous_format, torch.channels_last):
        for name, first, *rest in calls:
            call = getattr(library, name)
            first = first.contiguous(memory_format=order)
            expected = call(first, *rest)
            moved = [part.to(device) if isinstance(part, Tensor) else part for part in rest]
            try:
                found = call(first.to(device), *moved).cpu()
            except RuntimeError as error:
                words = (str(error).strip() or repr(error)).splitlines()[0]
                raise Unavailable(f"they don't run on this GPU: {words}") from error
            if not torch.allclose(found, expected, rtol=1e-5, atol=1e-5):
                raise Unavailable(f"{name} gives other numbers on this GPU than on the CPU.")


# ----------------------------------------------------------------------------------------------------------------------
# Operators


def filtered(
    library: ModuleType,
    x: Tensor,
    taps: Sequence[float],
    size: tuple[int, int],
    *,
    up: int = 1,
    down: int = 1,
    before: int = 0,
) -> Tensor:
    """Insert zeros, filter both axes, thin out.

    Args:
        library: see `load`.
        x: (B, C, H, W).
        taps: four weights for each axis.
        size: height and width of the result, which says how many zeros follow each axis.
        up, down: 1 and 1, 2 and 1, or 1 and 2.
        before: zeros in front of each axis.

    Returns:
        (B, C, *size), differentiable any number of times.
    """
    return _Filter.apply(library, x, tuple(taps), up, down, before, size)


def activated(
    library: ModuleType,
    x: Tensor,
    *,
    slope: float,
    gain: float = 1.0,
    clamp: float | None = None,
    scale: Tensor | None = None,
    bias: Tensor | None = None,
    noise: Tensor | None = None,
) -> Tensor:
    """``gain * leaky_relu(x * scale + bias + noise, slope)``, limited to [-clamp, clamp].

    Args:
        library: see `load`.
        x: (B, C) or (B, C, H, W).
        scale, bias, noise: (B, C), (C,) and (1 or B, 1, H, W); None = no such part.

    Returns:
        Tensor like ``x``, of the widest type among the operands; differentiable any number of times. Where the limit
        is reached, the gradient is zero.
    """
    operands = (x, scale, bias, noise)
    dtype = functools.reduce(torch.promote_types, (part.dtype for part in operands if part is not None))
    operands = (part if part is None else part.to(dtype) for part in operands)
    return _Activation.apply(library, *operands, slope, gain, math.inf if clamp is None else clamp)


class _Filter(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        library: ModuleType,
        x: Tensor,
        taps: tuple[float, ...],
        up: int,
        down: int,
        before: int,
        size: tuple[int, int],
    ) -> Tensor:
        # Output o sees input i through tap j = i * up + before - o * down, so input i sees output o through the
        # reversed tap 3 - j = o * down + (3 - before) - i * up: the same operator with up and down exchanged.
        ctx.library, ctx.size = library, tuple(x.shape[2:])
        ctx.adjoint = taps[::-1], down, up, len(taps) - 1 - before
        return library.filter(x, taps, up, down, before, *size)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        return None, _Filter.apply(ctx.library, grad, *ctx.adjoint, ctx.size), None, None, None, None, None


class _Activation(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        library: ModuleType,
        x: Tensor,
        scale: Tensor | None,
        bias: Tensor | None,
        noise: Tensor | None,
        *constants: float,
    ) -> Tensor:
        y = library.activation(x, scale, bias, noise, *constants)
        ctx.library, ctx.constants = library, constants
        ctx.shared_noise = noise is not None and noise.shape[0] == 1
        ctx.save_for_backward(x if ctx.needs_input_grad[2] else None, scale, y)
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, scale, y = ctx.saved_tensors
        grad = _Gate.apply(ctx.library, grad, y, *ctx.constants)
        to_x = to_scale = to_bias = to_noise = None
        pixels = tuple(range(2, grad.ndim))
        if ctx.needs_input_grad[1]:
            to_x = grad if scale is None else grad * scale.view(*scale.shape, *[1] * len(pixels))
        if ctx.needs_input_grad[2]:
            to_scale = (grad * x).sum(pixels) if pixels else grad * x
        if ctx.needs_input_grad[3]:
            to_bias = grad.sum((0, *pixels))
        if ctx.needs_input_grad[4]:
            to_noise = grad.sum((0, 1) if ctx.shared_noise else 1, keepdim=True)
        return None, to_x, to_scale, to_bias, to_noise, None, None, None


class _Gate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, library: ModuleType, grad: Tensor, y: Tensor, *constants: float) -> Tensor:
        ctx.library, ctx.constants = library, constants
        ctx.save_for_backward(y)
        return library.gate(grad, y, *constants)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        (y,) = ctx.saved_tensors
        return None, _Gate.apply(ctx.library, grad, y, *ctx.constants), None, None, None, None
