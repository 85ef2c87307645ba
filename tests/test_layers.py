"""The order of the house: which module may import which, drawn from the code. Imports inside functions count, too."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

#: The rooms from the ground up, each with its modules and packages of `ipl_core`, or all of `tabs`. A room imports from
#: those above it in this table, that is from lower floors, and from itself.
ROOMS = {
    "errors": "errors version",
    "storage: files, folders, tensors": "storage fields",
    "machine: devices, memory, progress": "devices memory running running.steps running.modes running.time_left "
    "running.wrappers running.step_history commands.console",
    "words": "clip clip.vocabulary clip.nearest clip.ensemble",
    "statistics": "metrics.intervals",
    "seeds": "latents",
    "pictures": "pictures pictures.reading pictures.mending pictures.media",
    "hub": "models models.hub models.fetching",
    "the portrait studio": "studio studio.world studio.judge studio.way studio.data studio.training "
    "studio.training.augment studio.training.contrast studio.training.muon studio.training.loop "
    "studio.training.reader studio.training.photographs",
    "networks": "generators generators.stylegan2 generators.diffusion generators.learning generators.encoder "
    "generators.e4e clip.model lpips studio.training.towers",
    "directions": "methods methods.directions methods.losses methods.prompts methods.registry",
    "settings": "methods.config",
    "files of networks": "generators.base generators.files library library.quantised library.shipped "
    "library.records library.domain_folder studio.reading studio.sitter_words",
    "training": "methods.layers methods.source_samples methods.guidance methods.student methods.adapt",
    "drawing": "drawing drawing.rendering drawing.sampling drawing.framing pictures.faces drawing.people_by_seed "
    "library.latent_settings library.person_records",
    "catalog": "models.catalog",
    "runs": "generators.invert generators.portrait running.previews running.adapting running.inverting "
    "running.forecast",
    "what is kept": "library.store library.inversions models.licences library.import_export drawing.mixing "
    "library.examples study",
    "package": "ipl_core",
    "metrics of pictures": "metrics",
    "running": "library.find_or_run drawing.interpolate drawing.restyle",
    "sweeps: tables of runs": "sweeps",
    "measuring": "metrics.side_by_side metrics.reports",
    "training the embedded models": "studio.training.ends studio.training.supervised studio.training.adversaries "
    "studio.training.text_tower studio.training.judge studio.training.generator studio.training.encoder "
    "studio.training.diffusion studio.training.attribute_reader studio.training.clip studio.sheets studio.ship",
    "command line": "commands __main__ studio.commands studio.__main__",
    "app: who may do what": "tabs.access",
    "app: queue, jobs, loaded models": "tabs.service",
    "app: what is shown": "tabs.show",
    "app: requests": "tabs.requests",
    "app: parts of forms": "tabs.forms",
    "app": "tabs",
}


def module_names() -> dict[str, Path]:
    found = {}
    for package in ("ipl_core", "tabs"):
        for file in (ROOT / package).rglob("*.py"):
            parts = file.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


MODULES = module_names()


def imports(module: str, file: Path) -> Iterator[str]:
    """The project's modules that one imports, but for those that only its annotations need."""
    package = module.split(".") if file.name == "__init__.py" else module.split(".")[:-1]

    def inside(node: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, (ast.Import, ast.ImportFrom)):
                yield child
            elif not (isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)):
                yield from inside(child)

    for statement in inside(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(statement, ast.Import):
            named = [alias.name for alias in statement.names]
        else:
            above = package[: len(package) - statement.level + 1] if statement.level else []
            base = ".".join([*above, *([statement.module] if statement.module else [])])
            named = [f"{base}.{alias.name}" if f"{base}.{alias.name}" in MODULES else base for alias in statement.names]
        yield from (name for name in named if name in MODULES and name != module)


GRAPH = {module: set(imports(module, file)) for module, file in MODULES.items()}


def floor(module: str) -> int:
    """The place of a module's room: that which names it, or else the nearest package that it is in."""
    name = module.removeprefix("ipl_core.")
    while True:
        for place, modules in enumerate(ROOMS.values()):
            if name in modules.split():
                return place
        assert "." in name, f"no room has {module}"
        name = name.rpartition(".")[0]


def test_no_imports_go_in_a_circle() -> None:
    try:
        TopologicalSorter(GRAPH).prepare()
    except CycleError as error:
        pytest.fail(" → ".join(error.args[1]))


def test_each_room_imports_from_the_rooms_below_it() -> None:
    upwards = [
        f"{module} imports {other}, of “{list(ROOMS)[floor(other)]}”"
        for module, others in sorted(GRAPH.items())
        for other in sorted(others)
        if floor(other) > floor(module)
    ]
    assert not upwards, "\n".join(upwards)


def test_the_table_names_what_there_is() -> None:
    named = [name for modules in ROOMS.values() for name in modules.split()]
    assert len(named) == len(set(named))
    known = {module.removeprefix("ipl_core.") for module in MODULES}
    assert set(named) <= known
    assert len(GRAPH) > 100
    assert GRAPH["ipl_core.storage.folders"] >= {"ipl_core.storage.durable", "ipl_core.errors"}


def test_only_the_app_knows_gradio() -> None:
    for module, file in MODULES.items():
        if not module.startswith("tabs"):
            assert "gradio" not in file.read_text(encoding="utf-8").replace("gradio_api", ""), module


def test_what_measures_and_adapts_does_not_need_the_training_of_the_embedded_models() -> None:
    def reached(module: str) -> set[str]:
        found, to_see = set(), [module]
        while to_see:
            new = GRAPH[to_see.pop()] - found
            found |= new
            to_see += new
        return found

    for module in ("ipl_core.metrics.registry", "ipl_core.methods.adapt", "ipl_core.metrics.reports.methods"):
        assert not [name for name in reached(module) if name.startswith("ipl_core.studio.training")], module
