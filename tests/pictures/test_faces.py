"""The crop puts eyes and mouth where FFHQ has them, and every rung of the ladder says that it was used."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from ipl_core.errors import InputError
from ipl_core.pictures import faces
from ipl_core.pictures.faces import Crop, Face, centre_quad, choose_crop, cut, face_quad, find_faces
from ipl_core.pictures.media import to_pictures
from ipl_core.studio.world.domains import PHOTO
from ipl_core.studio.world.subject import PEOPLE

WIDE = Image.new("RGB", (300, 200), "grey")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No landmark network of the machine's own."""
    monkeypatch.setenv("IPL_HOME", str(tmp_path))
    monkeypatch.delenv(faces.NETWORK_VARIABLE, raising=False)


def marked(size: tuple[int, int], points: list[tuple[float, float]], colours: list[str]) -> Image.Image:
    picture = Image.new("RGB", size, "black")
    for (x, y), colour in zip(points, colours):
        ImageDraw.Draw(picture).ellipse((x - 6, y - 6, x + 6, y + 6), fill=colour)
    return picture


def centroid(weights: torch.Tensor) -> tuple[float, float]:
    """Middle of what is bright, in shares of the picture's side."""
    size = weights.shape[-1]
    axis = (torch.arange(size) + 0.5) / size
    return (
        float((weights.sum(0) * axis).sum() / weights.sum()),
        float((weights.sum(1) * axis).sum() / weights.sum()),
    )


@pytest.mark.parametrize("angle", [0.0, 0.3, -0.7])
@pytest.mark.parametrize("distance", [30.0, 55.0])
def test_eyes_and_mouth_end_where_ffhq_has_them(angle: float, distance: float) -> None:
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    upright = np.array([[-distance / 2, 0.0], [distance / 2, 0.0], [0.0, 60.0]])
    points = [tuple(p) for p in (upright @ turn.T + [300, 260])]
    quad = face_quad(*points)
    picture = marked((600, 600), points, ["red", "lime", "blue"])
    image = (cut(picture, Crop(quad, "network", ""), 128)[0] + 1) / 2
    side = max(4 * distance, 3.6 * 60)
    eye_y, mouth_y = 0.5 - 6 / side, 0.5 + 54 / side
    expected = [(0.5 - distance / 2 / side, eye_y), (0.5 + distance / 2 / side, eye_y), (0.5, mouth_y)]
    for channel, place in enumerate(expected):
        assert centroid(image[channel]) == pytest.approx(place, abs=0.008)


def test_a_tilted_mouth_and_tilted_eyes_share_the_tilt() -> None:
    top_left, bottom_left, _, top_right = np.array(face_quad((0, 0), (40, 0), (8, 60)))
    across, down = top_right - top_left, bottom_left - top_left
    assert across @ down == pytest.approx(0, abs=1e-6)
    assert np.linalg.norm(across) == pytest.approx(np.linalg.norm(down))
    tilt = math.atan2(across[1], across[0])
    assert 0 < tilt < math.atan2(12, 60)


def test_points_that_coincide_are_refused() -> None:
    with pytest.raises(InputError, match="coincide"):
        face_quad((1, 1), (1, 1), (1, 1))


def test_the_whole_square_comes_back_as_it_was() -> None:
    picture = Image.effect_noise((64, 64), 80).convert("RGB")
    crop = choose_crop(picture, "none")
    assert to_pictures(cut(picture, crop, 64))[0].tobytes() == picture.tobytes()
    assert (crop.method, crop.confidence, crop.face) == ("whole", None, 0)


def test_fine_stripes_become_grey_and_not_wider_stripes() -> None:
    levels = np.zeros((1024, 1024, 3), np.uint8)
    levels[:, ::2] = 255
    picture = Image.fromarray(levels)
    image = cut(picture, choose_crop(picture, "none").moved(turn=10, zoom=1.3), 64)
    assert image.abs().max() < 0.1


def test_outside_the_picture_is_its_mirror_image() -> None:
    picture = Image.linear_gradient("L").resize((100, 100)).convert("RGB")
    image = cut(picture, choose_crop(picture, "center").moved(down=0.25), 100)[0, 0, :, 50]
    assert torch.allclose(image[75:], image[50:75].flip(0), atol=0.02)


def test_a_crop_is_moved_scaled_and_turned() -> None:
    crop = Crop(centre_quad(300, 200), "centre", "")
    assert crop.quad == ((50, 0), (50, 200), (250, 200), (250, 0))
    assert crop.side == 200
    assert np.allclose(crop.moved(0.1, -0.2).quad, np.array(crop.quad) + np.array([20, -40]))
    closer = crop.moved(zoom=2)
    assert closer.side == pytest.approx(100)
    assert np.allclose(np.mean(closer.quad, 0), [150, 100])
    assert np.allclose(crop.moved(turn=90).quad[0], crop.quad[3])
    for move in ({"right": 2}, {"zoom": 0.1}, {"zoom": math.nan}, {"turn": 200}):
        with pytest.raises(InputError, match=f"crop's {next(iter(move))} must be a number from"):
            crop.moved(**move)


# ----------------------------------------------------------------------------------------------------------------------
# The ladder


def face(size: float, detector: str = "network") -> Face:
    return Face((90, 80), (130, 80), (110, 120), (60, 40, size, size), 0.9, detector)


def test_the_largest_face_comes_first_and_another_can_be_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faces, "_by_network", lambda picture: [face(50), face(90), face(70)])
    assert [found.box[2] for found in find_faces(WIDE)] == [90, 70, 50]
    crop = choose_crop(WIDE, face=2)
    assert (crop.method, crop.face, crop.faces, crop.confidence) == ("network", 2, 3, 0.9)
    assert "number 2 of 3" in crop.note
    assert choose_crop(WIDE, face=2, found=[face(90), face(70)]).faces == 2
    for wrong in (0, 4):
        with pytest.raises(InputError, match=f"no face {wrong}: 3 faces found"):
            choose_crop(WIDE, face=wrong)


def test_without_the_network_the_cascades_are_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faces, "_by_cascades", lambda picture: [face(50, "cascade")])
    crop = choose_crop(WIDE)
    assert crop.method == "cascade"
    assert "check the crop" in crop.note


def test_no_face_is_said_and_the_centre_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faces, "_by_cascades", lambda picture: [])
    crop = choose_crop(WIDE)
    assert (crop.method, crop.face, crop.faces) == ("centre", 0, 0)
    assert crop.quad == centre_quad(300, 200)
    assert "No face was found" in crop.note
    with pytest.raises(InputError, match="no face 2"):
        choose_crop(WIDE, face=2)


def test_modes() -> None:
    assert choose_crop(WIDE, "center").method == "centre"
    with pytest.raises(InputError, match="must be a square, not 300×200"):
        choose_crop(WIDE, "none")
    with pytest.raises(InputError, match="one of auto, center, none, not “left”"):
        choose_crop(WIDE, "left")


def test_without_opencv_no_faces_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "cv2", None)
    assert find_faces(WIDE) == []


def test_the_cascades_find_the_face_of_a_rendered_portrait() -> None:
    pytest.importorskip("cv2")
    random = torch.Generator().manual_seed(0)
    pictures = to_pictures(PEOPLE.render(PHOTO, PEOPLE.random(4, random), random, 256))
    found = [find_faces(picture) for picture in pictures]
    hits = [some[0] for some in found if some]
    assert len(hits) >= 2
    for hit in hits:
        assert hit.detector in ("cascade", "cascade with eyes")
        assert 0 < hit.confidence < 1
        assert hit.left_eye[0] < 128 < hit.right_eye[0]
        assert hit.left_eye[1] < 128 < hit.mouth[1]
    # Two people in one picture are two faces.
    index = next(i for i, some in enumerate(found) if some)
    pair = Image.new("RGB", (512, 256))
    pair.paste(pictures[index], (0, 0))
    pair.paste(pictures[index].resize((200, 200)), (300, 20))
    both = find_faces(pair)
    assert len(both) == 2
    assert both[0].box[2] > both[1].box[2]


def test_the_network_is_used_where_its_file_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row = [10, 20, 40, 50, 15, 30, 35, 31, 25, 40, 18, 55, 34, 55, 0.93]
    asked: dict[str, Any] = {}

    class Network:
        def detect(self, pixels: np.ndarray) -> tuple[int, np.ndarray]:
            asked["shape"] = pixels.shape
            return 1, np.array([row], dtype=np.float32)

    def create(path: str, config: str, size: tuple[int, int], *rest: float) -> Network:
        asked.update(path=path, size=tuple(size))
        return Network()

    fake = SimpleNamespace(FaceDetectorYN=SimpleNamespace(create=create), error=RuntimeError)
    monkeypatch.setattr(faces, "_opencv", lambda: fake)
    file = tmp_path / "models" / "face_detection_yunet_2026may.onnx"
    file.parent.mkdir()
    file.write_bytes(b"onnx")
    (found,) = find_faces(WIDE)
    assert asked == {"path": str(file), "size": (300, 200), "shape": (200, 300, 3)}
    assert (found.left_eye, found.right_eye, found.mouth) == ((15, 30), (35, 31), (26, 55))
    assert found.detector == "network"
    assert found.confidence == pytest.approx(0.93)


def test_a_damaged_network_leaves_it_to_the_cascades(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("cv2")
    file = tmp_path / "broken.onnx"
    file.write_bytes(b"not a network")
    monkeypatch.setenv(faces.NETWORK_VARIABLE, str(file))
    monkeypatch.setattr(faces, "_by_cascades", lambda picture: [face(50, "cascade")])
    assert choose_crop(WIDE).method == "cascade"
