"""What one part of the app accepts, the others do: seeds, and files that content decides about."""

from __future__ import annotations

import shutil
from pathlib import Path

import gradio as gr
import pytest
from gradio.data_classes import FileData

from ipl_core import AdaptConfig, InputError, InvertConfig, adapt
from ipl_core.drawing.people_by_seed import SeedPerson
from ipl_core.generators.stylegan2.network import Generator
from ipl_core.generators.stylegan2.rosinality import save_rosinality
from ipl_core.latents import MAX_SEED, generator_from_seed, parse_seeds
from ipl_core.library import import_export

pytestmark = pytest.mark.usefixtures("studio")


def test_a_seed_that_is_drawn_can_be_used_everywhere() -> None:
    assert parse_seeds(str(MAX_SEED)) == [MAX_SEED]
    assert SeedPerson("studio", MAX_SEED).seed == MAX_SEED
    generator_from_seed(MAX_SEED)
    assert InvertConfig(seed=MAX_SEED).seed == MAX_SEED
    tiny = dict(steps=1, batch=2, method="nada")
    run = list(adapt(AdaptConfig("werewolf", seed=MAX_SEED, preview_seeds=(MAX_SEED, 2**31), **tiny)))
    assert run[-1].pictures.after.shape[0] == 2
    for wrong in ({"seed": MAX_SEED + 1}, {"preview_seeds": (MAX_SEED + 1,)}):
        with pytest.raises(InputError, match=f"from 0 to {MAX_SEED}"):
            AdaptConfig("werewolf", **wrong)
    with pytest.raises(InputError, match=f"from 0 to {MAX_SEED}"):
        InvertConfig(seed=MAX_SEED + 1)


@pytest.mark.parametrize("name", ["wolf.pth", "wolf.PT", "wolf.ckpt", "wolf.bin", "wolf", "wolf.pt.download"])
def test_the_content_of_a_file_decides_and_not_its_name(name: str, tmp_path: Path, tiny_generator: Generator) -> None:
    for tensor in tiny_generator.state_dict().values():
        tensor.add_(0.01)
    save_rosinality(tiny_generator, tmp_path / "made.pt")
    file = shutil.move(tmp_path / "made.pt", tmp_path / name)
    assert import_export.import_generator(file, "studio", "wolf").target == "wolf"


def test_the_tabs_take_files_of_any_name(tmp_path: Path) -> None:
    from app import build

    blocks = build()
    uploads = [block for block in blocks.blocks.values() if isinstance(block, (gr.File, gr.UploadButton))]
    taken = [block for block in uploads if getattr(block, "interactive", True) is not False]
    (tmp_path / "wolf.pth").write_bytes(b"anything")
    assert len(taken) >= 2
    for block in taken:
        data = FileData(path=str(tmp_path / "wolf.pth"), orig_name="wolf.pth")
        assert str(block.preprocess(data)).endswith("wolf.pth")
