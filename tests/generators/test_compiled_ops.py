"""The compiled operators against the plain ones: values, gradients of both orders, and what is said without them.

The CPU's loop and the GPU's kernels run the same arithmetic. The loop is tested wherever there is a C++ compiler, the
kernels wherever there is a GPU too; whether they compile, wherever there is an nvcc.
"""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
import sysconfig
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch
from torch import Tensor

from ipl_core.errors import InputError
from ipl_core.generators.stylegan2.network import Generator, GeneratorConfig
from ipl_core.generators.stylegan2.ops import LEAKY_SLOPE, bias_act, blur, compiled, styled_act, upsample, use

ROOT = Path(__file__).parents[2]


def skip_without_compiler() -> None:
    compiler = os.environ.get("CXX", "c++")
    if shutil.which(compiler) is None:
        pytest.skip(f"there is no C++ compiler {compiler}")
    if not Path(sysconfig.get_paths()["include"], "Python.h").exists():
        pytest.skip("this Python has no header files")


def skip_without_nvcc() -> None:
    if torch.version.cuda is None:
        pytest.skip("this PyTorch was built without CUDA")
    if shutil.which("nvcc") is None and not (os.environ.get("CUDA_HOME") or os.environ.get("CUDA_PATH")):
        pytest.skip("there is no nvcc")


@pytest.fixture(scope="session")
def kept_at(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An IPL_HOME in which the libraries are built once for all tests."""
    return tmp_path_factory.mktemp("operators")


@pytest.fixture(autouse=True)
def from_scratch(monkeypatch: pytest.MonkeyPatch, kept_at: Path) -> Iterator[None]:
    monkeypatch.setenv("IPL_HOME", str(kept_at))
    monkeypatch.delenv("IPL_OPS", raising=False)
    use(None)
    yield
    use(None)


@pytest.fixture
def cpu_library() -> ModuleType:
    skip_without_compiler()
    return compiled.load(None)


@pytest.fixture(params=["cpu", "cuda"])
def device(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where `use("compiled")` gives compiled operators; on the CPU, which users don't get them on, by this fixture."""
    if request.param == "cuda":
        if not torch.cuda.is_available():
            pytest.skip("there is no CUDA GPU")
        skip_without_compiler()
        skip_without_nvcc()
    else:
        library = request.getfixturevalue("cpu_library")
        monkeypatch.setattr(compiled, "card_library", lambda device: library)
    return request.param


def both(function: Callable[..., Tensor | tuple[Tensor, ...]], *tensors: Tensor | None) -> tuple[list[Tensor], ...]:
    """Results of plain and of compiled operators."""
    results = []
    for choice in ("plain", "compiled"):
        use(choice)
        given = [t if t is None else t.clone().detach().requires_grad_(t.requires_grad) for t in tensors]
        result = function(*given)
        results.append([result] if isinstance(result, Tensor) else list(result))
    assert all(library is not None for library in compiled._found.values())
    assert compiled._found
    return tuple(results)


def draw(*shape: int, seed: int = 0, device: str = "cpu", dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64).to(device, dtype)


FILTERS = {
    "blur 1 1": lambda x: blur(x, (1, 1), gain=4.0),
    "blur 2 2": lambda x: blur(x, (2, 2)),
    "blur 2 1": lambda x: blur(x, (2, 1)),
    "blur 0 3": lambda x: blur(x, (0, 3)),
    "upsample": upsample,
}
LAYOUTS = {"contiguous": torch.contiguous_format, "channels last": torch.channels_last}
TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5, torch.float16: 2e-2, torch.bfloat16: 1e-1}


# ----------------------------------------------------------------------------------------------------------------------
# Values


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("function", FILTERS.values(), ids=FILTERS)
def test_filters_give_the_plain_values(device, function, layout, dtype):
    x = draw(2, 3, 7, 10, device=device).to(dtype).contiguous(memory_format=layout)
    use("plain")
    expected = function(x.double())  # no rounding, and no cuDNN shortcuts
    use("compiled")
    found = function(x)
    assert found.dtype == dtype
    assert found.is_contiguous(memory_format=layout)
    torch.testing.assert_close(found.double(), expected, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])


def test_filters_take_slices_and_single_channels(device):
    x = draw(2, 6, 9, 12, device=device)[:, 1:2, ::2, 1:9]
    for function in FILTERS.values():
        torch.testing.assert_close(*both(function, x))


ENDINGS = [
    {},
    {"noise": (1, 1, 5, 4)},
    {"noise": (2, 1, 5, 4), "clamp": 1.5},
    {"clamp": 0.8},
]


def ending(layout: torch.memory_format, device: str, noise=None, **_) -> list[Tensor | None]:
    x = draw(2, 3, 5, 4, seed=1, device=device).contiguous(memory_format=layout).requires_grad_()
    scale = (draw(2, 3, seed=2, device=device).abs() + 0.3).requires_grad_()
    bias = draw(3, seed=3, device=device).requires_grad_()
    return [x, scale, bias, None if noise is None else draw(*noise, seed=4, device=device).requires_grad_()]


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("options", ENDINGS, ids=str)
def test_the_end_of_a_layer_gives_the_plain_values(device, layout, options):
    inputs = ending(layout, device, **options)
    plain, found = both(lambda *inputs: styled_act(*inputs, clamp=options.get("clamp")), *inputs)
    assert found[0].is_contiguous(memory_format=layout)
    torch.testing.assert_close(found, plain)
    if "clamp" in options:
        limit = options["clamp"]
        assert found[0].abs().max() == limit
        assert (found[0].abs() < limit).any()


@pytest.mark.parametrize("shape", [(4, 3), (2, 3, 5), (2, 3, 5, 5), (0, 3, 5, 5)])
def test_bias_act_gives_the_plain_values(device, shape):
    x, bias = draw(*shape, device=device), draw(3, seed=1, device=device)
    torch.testing.assert_close(*both(bias_act, x, bias))
    torch.testing.assert_close(*both(bias_act, x))
    torch.testing.assert_close(*both(lambda x: bias_act(x, bias, gain=0.7), x))


def test_what_is_no_number_stays_visible(device):
    x = torch.tensor([[float("nan"), float("inf"), -float("inf")]], device=device)
    ones, zeros = torch.ones(1, 3, device=device), torch.zeros(3, device=device)
    plain, found = both(lambda x: styled_act(x[..., None, None], ones, zeros, None, 4.0).flatten(), x)
    torch.testing.assert_close(found, plain, equal_nan=True)
    assert found[0].isnan().tolist() == [True, False, False]


def test_narrow_features_and_wide_parameters_give_wide_results_as_in_plain(device):
    inputs = ending(torch.channels_last, device)
    inputs = [inputs[0].bfloat16(), *(part.float() for part in inputs[1:3]), None]
    plain, found = both(styled_act, *inputs)
    assert found[0].dtype == plain[0].dtype == torch.float32
    torch.testing.assert_close(found, plain)


# ----------------------------------------------------------------------------------------------------------------------
# Gradients


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("function", FILTERS.values(), ids=FILTERS)
def test_filters_have_right_gradients_of_both_orders(device, function, layout):
    use("compiled")
    x = draw(1, 2, 5, 6, device=device).contiguous(memory_format=layout).requires_grad_()
    assert torch.autograd.gradcheck(function, x)
    assert torch.autograd.gradgradcheck(function, x)


@pytest.mark.parametrize("options", ENDINGS, ids=str)
def test_the_end_of_a_layer_has_right_gradients_of_both_orders(device, options):
    use("compiled")
    inputs = ending(torch.channels_last, device, **options)

    def function(*inputs: Tensor | None) -> Tensor:
        return styled_act(*inputs, clamp=options.get("clamp"))

    assert torch.autograd.gradcheck(function, inputs)
    assert torch.autograd.gradgradcheck(function, inputs)


def test_bias_act_has_right_gradients_of_both_orders(device):
    use("compiled")
    for shape in ((4, 3), (2, 3, 4, 4)):
        inputs = draw(*shape, device=device).requires_grad_(), draw(3, seed=1, device=device).requires_grad_()
        assert torch.autograd.gradcheck(bias_act, inputs)
        assert torch.autograd.gradgradcheck(bias_act, inputs)


def test_gradients_through_everything_are_the_plain_ones(device):
    """A filter, a layer's end and a filter; the gradient's norm as a penalty, and its gradient."""

    def penalty(x: Tensor, scale: Tensor, bias: Tensor, noise: Tensor) -> tuple[Tensor, ...]:
        y = blur(styled_act(upsample(x), scale, bias, noise, clamp=2.0), (1, 1)).square().sum()
        first = torch.autograd.grad(y, (x, scale, bias, noise), create_graph=True)
        second = torch.autograd.grad(sum(part.square().sum() for part in first), (x, scale, bias, noise))
        return (*first, *second)

    inputs = [draw(2, 3, 4, 6), draw(2, 3, seed=1).abs(), draw(3, seed=2), draw(1, 1, 8, 12, seed=3)]
    plain, found = both(penalty, *(part.to(device).requires_grad_() for part in inputs))
    torch.testing.assert_close(found, plain)
    assert all(part.abs().max() > 0 for part in found)


def test_only_the_gradients_that_are_wanted_are_computed(device):
    use("compiled")
    x, scale, bias, _ = ending(torch.channels_last, device)
    y = styled_act(x.detach(), scale.detach(), bias, None)
    assert y.grad_fn.saved_tensors[0] is None  # x is only for the gradient of scale
    (gradient,) = torch.autograd.grad(y.sum(), bias)
    assert gradient.shape == bias.shape


def test_networks_draw_and_learn_the_same(device):
    config = GeneratorConfig(16, z_dim=8, w_dim=8, mapping_layers=2, channels=((4, 4), (8, 4), (16, 3)), conv_clamp=3.0)
    generator = Generator(config, generator=torch.Generator().manual_seed(0)).double().to(device)
    for name, parameter in generator.named_parameters():
        if name.endswith("noise_strength"):
            parameter.data.fill_(0.3)

    def step(z: Tensor) -> tuple[Tensor, ...]:
        images = generator(z)
        score = images.tanh().square().sum()
        (slope,) = torch.autograd.grad(score, images, create_graph=True)
        return images, *torch.autograd.grad(score + slope.square().sum(), [*generator.parameters()])

    plain, found = both(step, draw(3, 8, device=device))
    torch.testing.assert_close(found, plain)


def test_compiled_operators_work_after_inference_mode(device):
    use("compiled")
    x = draw(1, 2, 4, 4, device=device)
    with torch.inference_mode():
        inside = upsample(x)
    x.requires_grad_()
    outside = upsample(x)
    outside.sum().backward()
    torch.testing.assert_close(inside, outside.detach())


# ----------------------------------------------------------------------------------------------------------------------
# Wrong operands


def test_wrong_operands_are_refused_with_their_shapes(cpu_library):
    x = torch.zeros(2, 3, 4, 4)
    taps = (0.25, 0.25, 0.25, 0.25)
    for arguments, words in (
        ((x[0], taps, 1, 1, 0, 1, 1), r"x must be \(B, C, H, W\), got \[3, 4, 4\]"),
        ((x, taps, 2, 2, 0, 4, 4), "up and down must be .* got 2 and 2"),
        ((x, taps, 1, 1, 0, 0, 4), "size 0 by 4"),
    ):
        with pytest.raises(RuntimeError, match=words):
            cpu_library.filter(*arguments)
    for parts, words in (
        ((torch.zeros(2, 4), None, None), r"scale must be \(B, C\)"),
        ((None, torch.zeros(2), None), r"bias must be \(C,\)"),
        ((None, None, torch.zeros(1, 1, 4, 5)), r"noise must be .* got \[1, 1, 4, 5\]"),
        ((None, torch.zeros(3, dtype=torch.float64), None), "bias must be on cpu with numbers of type Float"),
    ):
        with pytest.raises(RuntimeError, match=words):
            cpu_library.activation(x, *parts, 0.2, 1.0, 1.0)
    with pytest.raises(RuntimeError, match="must be like y"):
        cpu_library.gate(x, x[:1], 0.2, 1.0, 1.0)


# ----------------------------------------------------------------------------------------------------------------------
# Choice


def forbidden(*_: object) -> None:
    raise AssertionError("nothing was to be built")


def test_nothing_is_built_unless_asked_for(monkeypatch):
    monkeypatch.setattr(compiled, "card_library", forbidden)
    assert compiled.asked() == "plain"
    upsample(torch.zeros(1, 1, 4, 4))
    monkeypatch.setenv("IPL_OPS", "compiled")
    assert compiled.asked() == "compiled"
    use("plain")  # a call is more than the environment
    upsample(torch.zeros(1, 1, 4, 4))


def test_other_choices_are_refused(monkeypatch):
    with pytest.raises(InputError, match="must be plain or compiled, got 'fast'"):
        use("fast")
    monkeypatch.setenv("IPL_OPS", "1")
    with pytest.raises(InputError, match="IPL_OPS must be plain or compiled, got '1'"):
        upsample(torch.zeros(1, 1, 4, 4))


def test_on_a_cpu_the_plain_path_is_taken_and_why_is_said_once(monkeypatch, caplog):
    monkeypatch.setenv("IPL_OPS", "compiled")
    x = torch.randn(1, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    first, second = upsample(x), upsample(x)
    assert torch.equal(first, second)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "on cpu plain PyTorch is used instead: they are for CUDA GPUs, and cpu isn't one" in record.getMessage()


def test_what_is_in_use_is_said(cpu_library, monkeypatch, caplog):
    monkeypatch.setattr(compiled, "card_library", lambda device: cpu_library)
    use("compiled")
    with caplog.at_level(logging.INFO):
        upsample(torch.zeros(1, 1, 4, 4))
        blur(torch.zeros(1, 1, 4, 4), (2, 1))
    assert [record.getMessage()[:43] for record in caplog.records] == ["Compiled operators are used on cpu: they we"]


def test_a_build_that_fails_says_why_and_plain_computes(monkeypatch, caplog, tmp_path):
    monkeypatch.setenv("IPL_HOME", str(tmp_path))
    monkeypatch.setenv("CXX", str(tmp_path / "no-such-compiler"))
    monkeypatch.setattr(compiled, "card_library", lambda device: compiled.load(None))
    x = torch.randn(1, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    expected = upsample(x)
    use("compiled")
    assert torch.equal(upsample(x), expected)
    assert torch.equal(upsample(x), expected)
    (warning,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert "plain PyTorch is used instead: compiling them failed: " in warning
    assert "no-such-compiler" in warning
    assert not list(tmp_path.rglob("ipl_operators*"))


def test_the_first_error_of_a_compiler_is_the_reason(monkeypatch, tmp_path):
    skip_without_compiler()
    native = tmp_path / "native"
    native.mkdir()
    (native / "operators.cpp").write_text("#include <no_such_header>\nint main() { return 0; }\n")
    monkeypatch.setenv("IPL_HOME", str(tmp_path / "home"))
    program = tmp_path / "build.py"
    shutil.copy(compiled.build.__file__, program)
    monkeypatch.setattr(compiled, "build", SimpleNamespace(__file__=str(program), NATIVE=native))
    with pytest.raises(compiled.Unavailable, match=r"compiling them failed: .*error: .*no_such_header"):
        compiled.load(None)


def test_a_build_that_hangs_is_given_up(monkeypatch, tmp_path):
    monkeypatch.setenv("IPL_HOME", str(tmp_path))
    program = tmp_path / "build.py"
    program.write_text("import time\ntime.sleep(60)\n")
    monkeypatch.setattr(compiled, "build", SimpleNamespace(__file__=str(program), NATIVE=compiled.build.NATIVE))
    monkeypatch.setattr(compiled, "_LONGEST_BUILD", 0.2)
    with pytest.raises(compiled.Unavailable, match="took more than"):
        compiled.load(None)


def test_where_nothing_can_be_kept_that_is_the_reason(cpu_library, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("IPL_HOME", str(tmp_path / "file"))
    monkeypatch.setattr(compiled, "_compile", lambda name, folder, capability: Path(folder, name + ".so").touch())
    with pytest.raises(compiled.Unavailable, match=r"can't be kept: .*file"):
        compiled.load(None)


def test_a_library_is_built_once_and_a_damaged_one_is_named(cpu_library, monkeypatch, kept_at, tmp_path):
    monkeypatch.setattr(compiled, "_compile", forbidden)
    assert compiled.load(None).filter is not None
    (library,) = (kept_at / "operators").glob("ipl_operators_cpu_*")
    monkeypatch.setenv("IPL_HOME", str(tmp_path))
    damaged = tmp_path / "operators" / library.name
    damaged.parent.mkdir()
    damaged.write_bytes(b"no library")
    with pytest.raises(compiled.Unavailable, match=r"can't be loaded .*delete it"):
        compiled.load(None)


def test_other_sources_have_another_name(monkeypatch, tmp_path):
    before = compiled._name(None), compiled._name("8.0"), compiled._name("9.0")
    native = shutil.copytree(compiled.build.NATIVE, tmp_path / "native")
    with (native / "elements.h").open("a") as file:
        file.write("// changed\n")
    monkeypatch.setattr(compiled, "build", SimpleNamespace(__file__=compiled.build.__file__, NATIVE=native))
    assert len({*before, compiled._name(None)}) == 4


def test_many_threads_build_once(cpu_library, monkeypatch):
    built = []

    def slow(device: torch.device) -> ModuleType:
        built.append(device)
        time.sleep(0.2)
        return cpu_library

    monkeypatch.setattr(compiled, "card_library", slow)
    use("compiled")
    results = []
    threads = [
        threading.Thread(target=lambda: results.append(upsample(torch.ones(1, 1, 4, 4)).sum().item())) for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(built) == 1
    assert len(set(results)) == 1
    assert len(results) == 6


def test_a_gpu_that_computes_something_else_is_not_used(cpu_library):
    compiled._try_out(cpu_library, torch.device("cpu"))
    calls = []

    def sometimes(*arguments: object) -> Tensor:
        calls.append(arguments)
        return cpu_library.filter(*arguments) + (1e-3 if len(calls) % 2 == 0 else 0.0)  # every second is the GPU's

    def crashing(*arguments: object) -> Tensor:
        raise RuntimeError("no kernel image is available\nand more")

    others = {"activation": cpu_library.activation, "gate": cpu_library.gate}
    with pytest.raises(compiled.Unavailable, match="filter gives other numbers on this GPU"):
        compiled._try_out(SimpleNamespace(filter=sometimes, **others), torch.device("cpu"))
    crashes_there = iter([cpu_library.filter, crashing])
    with pytest.raises(compiled.Unavailable, match=r"don't run on this GPU: no kernel image is available$"):
        compiled._try_out(
            SimpleNamespace(filter=lambda *arguments: next(crashes_there)(*arguments), **others), torch.device("cpu")
        )


def test_importing_compiles_and_loads_nothing():
    code = (
        "import sys, ipl_core.generators.stylegan2.ops\n"
        "assert 'torch.utils.cpp_extension' not in sys.modules\n"
        "assert not any(name.startswith('ipl_operators') for name in sys.modules)\n"
    )
    environment = {**os.environ, "IPL_OPS": "compiled", "CXX": "no-such-compiler"}
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, check=True)


# ----------------------------------------------------------------------------------------------------------------------
# CUDA without a GPU


def test_the_kernels_compile_for_a_gpu_that_need_not_be_here():
    skip_without_compiler()
    skip_without_nvcc()
    library = compiled.load("9.0")
    x = draw(1, 2, 4, 4)
    torch.testing.assert_close(
        library.activation(x, None, None, None, LEAKY_SLOPE, 1.0, 10.0), torch.nn.functional.leaky_relu(x, LEAKY_SLOPE)
    )
