"""Adapted generators in and out: exported and imported they are the same; what does not fit is refused with why."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from fakes import foreign_files as foreign
from fakes.kept_domains import entry_of

from ipl_core import InputError
from ipl_core.generators.files import save_generator
from ipl_core.generators.stylegan2.network import Generator, GeneratorConfig
from ipl_core.generators.stylegan2.rosinality import save_rosinality
from ipl_core.library import domain_folder, store
from ipl_core.library.import_export import export_generator, import_generator
from ipl_core.library.records import Imported
from ipl_core.models import catalog
from ipl_core.storage.tensors import read_metadata

pytestmark = pytest.mark.usefixtures("studio", "read_in_process")


def same(one: Generator, other: Generator) -> bool:
    mine, theirs = one.state_dict(), other.state_dict()
    return all(torch.equal(mine[name], theirs[name]) for name in mine)


@pytest.mark.parametrize("name", ["zombie.safetensors", "zombie.pt"])
def test_exported_and_imported_it_is_the_same_generator(name: str, tmp_path: Path) -> None:
    entry = entry_of("zombie", 0.3)
    path = export_generator(entry, tmp_path / name)
    assert same(catalog.load_generator(path), catalog.load_adapted(entry.path))
    imported = import_generator(path, "studio", target="undead")
    assert isinstance(imported.origin, Imported)
    assert imported.title == f"photo → undead (imported from {name})"
    assert not imported.origin.changes_mapping
    assert catalog.changed_weights(imported.path).keys() == catalog.changed_weights(entry.path).keys()
    assert same(catalog.load_adapted(imported.path), catalog.load_adapted(entry.path))
    assert imported.samples_picture.read_bytes() != imported.source_picture.read_bytes()
    assert imported.history() == []
    assert import_generator(path, "studio", target="undead") == imported
    assert {one.path for one in store.list_entries()} == {entry.path, imported.path}
    with pytest.raises(InputError, match="was imported, so there is no run behind it"):
        _ = imported.config


def test_our_files_say_themselves_what_they_are(tmp_path: Path) -> None:
    entry = entry_of("zombie", 0.3)
    path = export_generator(entry, tmp_path / "a.safetensors")
    assert read_metadata(path)["licence"] == "made by tests"
    for file in (path, entry.path / domain_folder.ADAPTED):
        imported = import_generator(file, "studio", called="b.safetensors")
        assert imported.target == "zombie"
        assert imported.origin.file == "b.safetensors"
        assert imported.origin.run["method"] == "nada", "the file says which run it came from"
        assert same(catalog.load_adapted(imported.path), catalog.load_adapted(entry.path))


def test_an_imported_entry_is_used_as_any_other_but_has_no_run(tmp_path: Path) -> None:
    path = export_generator(entry_of("zombie", 0.3), tmp_path / "a.pt")
    imported = import_generator(path, "studio", target="undead")
    again = export_generator(imported, tmp_path / "b.pt")
    assert same(catalog.load_generator(again), catalog.load_generator(path))
    with pytest.raises(InputError, match="was imported"):
        store.continuation(imported, 5)
    store.delete(store.rename(imported, "Ghouls"))
    assert len(store.list_entries()) == 1


def test_a_mean_that_the_reader_estimated_is_not_taken_for_an_adaptation(
    tiny_generator: Generator, tmp_path: Path
) -> None:
    with torch.no_grad():
        tiny_generator.synthesis.layers[1].bias.add_(0.2)
    save_rosinality(tiny_generator, tmp_path / "a.pt")
    state = torch.load(tmp_path / "a.pt", weights_only=True)
    torch.save({"g_ema": state["g_ema"]}, tmp_path / "b.pt")
    imported = import_generator(tmp_path / "b.pt", "studio", target="elf")
    assert list(catalog.changed_weights(imported.path)) == ["synthesis.layers.1.bias"]
    with torch.no_grad():
        tiny_generator.mapping[0].bias.add_(0.2)
    save_rosinality(tiny_generator, tmp_path / "c.pt")
    assert import_generator(tmp_path / "c.pt", "studio", target="elf").origin.changes_mapping


class Hostile:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (Path.touch, (self.path,))


def test_what_cannot_be_imported_is_refused_with_the_reason(tmp_path: Path, tiny_generator: Generator) -> None:
    (tmp_path / "hostile.pt").write_bytes(pickle.dumps({"g_ema": Hostile(tmp_path / "ran")}))
    (tmp_path / "words.pt").write_text("<html>")
    torch.save({"g_ema": foreign.rosinality_state({4: 6, 8: 4, 16: 3})}, tmp_path / "small.pt")
    save_generator(tiny_generator, tmp_path / "itself.safetensors")
    wide = Generator(
        GeneratorConfig(
            resolution=32, z_dim=16, w_dim=16, mapping_layers=2, channels=((4, 8), (8, 8), (16, 8), (32, 6))
        ),
        generator=torch.Generator().manual_seed(0),
    )
    save_generator(wide, tmp_path / "wide.safetensors")
    with torch.no_grad():
        tiny_generator.synthesis.layers[1].bias[0] = float("nan")
    save_generator(tiny_generator, tmp_path / "nan.safetensors")
    for name, words in {
        "hostile.pt": "hostile.pt",
        "words.pt": "web page",
        "nowhere.pt": "no file",
        "small.pt": "“small.pt” draws pictures of 16 pixels a side, but the model “studio” draws pictures of 32",
        "wide.safetensors": r"tensor synthesis.layers.5\S* has the shape .* not \(",
        "itself.safetensors": "is the model “studio” itself",
        "nan.safetensors": "not finite",
    }.items():
        with pytest.raises(InputError, match=words):
            import_generator(tmp_path / name, "studio", target="elf")
    assert not (tmp_path / "ran").exists()
    path = export_generator(entry_of("zombie", 0.3), tmp_path / "a.pt")
    with pytest.raises(InputError, match="Say which domain"):
        import_generator(path, "studio")
    with pytest.raises(InputError, match="no model “nobody”"):
        import_generator(path, "nobody", target="elf")
    with pytest.raises(InputError, match=r"\.safetensors or \.pt"):
        export_generator(store.list_entries()[0], tmp_path / "a.bin")
    assert len(store.list_entries()) == 1


def test_a_file_of_ours_for_other_weights_is_refused(tmp_path: Path, tiny_generator: Generator) -> None:
    path = export_generator(entry_of("zombie", 0.3), tmp_path / "a.safetensors")
    with torch.no_grad():
        tiny_generator.w_avg.add_(1)
    save_generator(tiny_generator, tmp_path / "other.safetensors")
    with pytest.raises(InputError, match=r"adapted from other weights than those of .* was called “studio” there"):
        import_generator(path, str(tmp_path / "other.safetensors"), critic="studio")
