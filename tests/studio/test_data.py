"""Training sets are rendered once: pictures of what their latents stand for, read back after that."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ipl_core.clip.model import Critic
from ipl_core.studio import data
from ipl_core.studio.data import halved, photos, portrayed, scattered, to_bytes, to_float
from ipl_core.studio.world.domains import PHOTO
from ipl_core.studio.world.subject import DOGS, LATENT_WIDTH, PEOPLE


def test_a_photo_is_of_the_sitter_that_its_latent_stands_for(tmp_path: Path) -> None:
    z, pictures = photos(PEOPLE, 3, 32, 5, tmp_path)
    assert z.shape == (3, LATENT_WIDTH)
    assert (pictures.shape, pictures.dtype) == ((3, 3, 32, 32), torch.uint8)
    drawn = PEOPLE.render(PHOTO, PEOPLE.sitters_from_latents(z), torch.Generator(), 32)
    assert (to_float(pictures) - drawn).abs().max() < 1 / 127


def test_everyone_is_portrayed_in_every_domain_and_chunks_do_not_show(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    z, pictures = portrayed(DOGS, 3, 32, 5, tmp_path)
    assert (pictures.shape, pictures.dtype) == ((len(DOGS.domains), 3, 3, 32, 32), torch.uint8)
    assert pictures.float().flatten(2).std(2).min() > 5  # no picture is empty
    assert torch.equal(z, photos(DOGS, 3, 32, 5, tmp_path)[0])
    assert torch.equal(pictures[0], photos(DOGS, 3, 32, 5, tmp_path)[1])
    monkeypatch.setattr(data, "_CHUNK", 2)
    assert (to_float(photos(DOGS, 3, 32, 5, tmp_path / "other")[1]) - to_float(pictures[0])).abs().max() < 0.02


def test_scattered_sitters_are_those_of_the_photos_each_in_one_domain(tmp_path: Path) -> None:
    _, everywhere = portrayed(DOGS, 6, 32, 5, tmp_path)
    places, pictures = scattered(DOGS, 6, 32, 5, tmp_path)
    assert pictures.shape == (6, 3, 32, 32)
    assert 1 <= places.min() <= places.max() < len(DOGS.domains)
    for sitter, (place, picture) in enumerate(zip(places.tolist(), pictures)):
        off = (to_float(everywhere[place]) - to_float(picture)).abs().mean((1, 2, 3))
        assert off.argmin() == sitter  # grain and strokes are drawn anew
    again = scattered(DOGS, 6, 32, 5, tmp_path)
    assert all(torch.equal(one, other) for one, other in zip(again, (places, pictures)))


def test_a_set_is_rendered_once_and_another_seed_is_another_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    z, pictures = photos(DOGS, 2, 16, 1, tmp_path)
    other, _ = photos(DOGS, 2, 16, 2, tmp_path)
    assert not torch.equal(z, other)
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "dogs-photos-2-16-1.safetensors",
        "dogs-photos-2-16-2.safetensors",
    ]
    monkeypatch.setattr(data, "_render", None)
    again = photos(DOGS, 2, 16, 1, tmp_path)
    assert torch.equal(again[0], z)
    assert torch.equal(again[1], pictures)


def test_an_interrupted_rendering_leaves_no_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(tensors: dict[str, torch.Tensor], path: Path) -> None:
        path.write_bytes(b"half of it")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(data, "save_file", interrupted)
        with pytest.raises(KeyboardInterrupt):
            photos(DOGS, 2, 16, 1, tmp_path)
    assert photos(DOGS, 2, 16, 1, tmp_path)[1].shape == (2, 3, 16, 16)


def test_bytes_and_numbers_are_the_same_picture_and_half_the_size_is_what_a_critic_sees(tiny_critic: Critic) -> None:
    levels = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16).expand(1, 3, 16, 16)
    assert torch.equal(to_bytes(to_float(levels)), levels)
    assert to_bytes(torch.tensor([-3.0, -1.0, 0.0, 1.0, 3.0])).tolist() == [0, 0, 128, 255, 255]
    small = halved(levels.repeat(70, 1, 1, 1))
    assert small.shape == (70, 3, 8, 8)
    pictures = torch.randint(256, (2, 3, 2 * tiny_critic.image_size, 2 * tiny_critic.image_size), dtype=torch.uint8)
    seen, large = (tiny_critic.encode_images(to_float(p)) for p in (halved(pictures), pictures))
    assert (seen * large).sum(1).min() > 0.999
