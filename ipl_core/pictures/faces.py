"""Finds faces and cuts out the square crop on which face generators are trained.

Methods are tried in order: a landmark network if its file is present, OpenCV's cascades, the centre square. A `Crop`
states the method and the corners, so that a person can check and move it. This module knows nothing about generators;
positions are in pixels of the upright picture, x to the right and y down.
"""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from ..errors import InputError
from ..storage.folders import home
from ..storage.paths import as_path
from ..storage.values import choice, number
from .reading import to_tensor

log = logging.getLogger(__name__)

Point = tuple[float, float]

CROPS = ("auto", "center", "none")
NETWORK_FILES = "face_detection_yunet_*.onnx"  # OpenCV's model zoo names them by year and month
NETWORK_VARIABLE = "IPL_FACE_NETWORK"
_SEARCH_SIDE = 1024  # detectors see at most this many pixels a side
_SURE = 0.6  # of the network's score, from which a face counts
_MOVES = {"right": (-1.0, 1.0), "down": (-1.0, 1.0), "zoom": (0.25, 4.0), "turn": (-180.0, 180.0)}
# Where eyes lie in the box of the frontal cascade, and how far the mouth is from them, in distances between the eyes:
# proportions of a mean face.
_BOX_EYES = ((0.31, 0.4), (0.69, 0.4))
_MOUTH_DISTANCE = 1.15


@dataclass(frozen=True)
class Face:
    """A face as a detector found it.

    left_eye, right_eye: on the picture's left and right. mouth: its middle. box: left, top, width, height.
    confidence: 0 to 1, comparable within one detector only. detector: "network", "cascade with eyes" or "cascade".
    """

    left_eye: Point
    right_eye: Point
    mouth: Point
    box: tuple[float, float, float, float]
    confidence: float
    detector: str


@dataclass(frozen=True)
class Crop:
    """The square to cut out, and how it was chosen.

    quad: its corners, top left, bottom left, bottom right, top right; it may be turned and reach outside the picture.
    method: "network", "cascade with eyes", "cascade", "centre" or "whole". confidence: the detector's, None without a
    face. face, faces: number of the chosen face, from 1 with the largest first, and number of faces; 0 and 0 if none.
    note: a sentence about the crop for the user.
    """

    quad: tuple[Point, Point, Point, Point]
    method: str
    note: str
    confidence: float | None = None
    face: int = 0
    faces: int = 0

    @property
    def side(self) -> float:
        """Length of a side in pixels."""
        (left, top), _, _, (right, end) = self.quad
        return math.hypot(right - left, end - top)

    def moved(self, right: float = 0.0, down: float = 0.0, zoom: float = 1.0, turn: float = 0.0) -> Crop:
        """The crop, shifted, scaled and turned.

        right, down: how far it moves, along its own sides, in sides (-1 to 1). zoom: above 1 the face grows
        (0.25 to 4). turn: degrees clockwise about its middle (-180 to 180). Raises InputError outside these.
        """
        for name, value in (("right", right), ("down", down), ("zoom", zoom), ("turn", turn)):
            number(value, f"The crop's {name}", *_MOVES[name])
        corners = np.array(self.quad)
        across, along = corners[3] - corners[0], corners[1] - corners[0]
        middle = corners.mean(0) + right * across + down * along
        angle = math.radians(turn)
        rotation = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        corners = middle + (corners - corners.mean(0)) @ rotation.T / zoom
        return replace(self, quad=_points(corners))


# ----------------------------------------------------------------------------------------------------------------------
# Geometry


def face_quad(left_eye: Point, right_eye: Point, mouth: Point) -> tuple[Point, Point, Point, Point]:
    """Corners of the square that FFHQ and CelebA-HQ cut for a face (Karras et al., ICLR 2018, appendix C).

    With e the way from eye to eye and m the way from the mouth's middle up to that of the eyes: the square's
    horizontal runs along e - rot90(m), which averages the tilt of both; its side is the larger of 4 |e| and 3.6 |m|;
    its middle lies a tenth of |m| below the eyes. Raises InputError for points that coincide.
    """
    left, right, lips = (np.array(point, dtype=float) for point in (left_eye, right_eye, mouth))
    eyes = (left + right) / 2
    e, m = right - left, eyes - lips
    across = e - np.array([m[1], -m[0]])  # m points up: turned clockwise by a quarter it points to the right
    length = float(np.linalg.norm(across))
    if not math.isfinite(length) or length < 1e-6:
        raise InputError("The eyes and the mouth of this face coincide, so no crop follows from them.")
    side = max(4.0 * float(np.linalg.norm(e)), 3.6 * float(np.linalg.norm(m)))
    x = across / length * side / 2
    y = np.array([-x[1], x[0]])
    middle = eyes - 0.1 * m
    return _points(np.stack([middle - x - y, middle - x + y, middle + x + y, middle + x - y]))


def centre_quad(width: int, height: int) -> tuple[Point, Point, Point, Point]:
    """Corners of the largest square in the middle of a picture."""
    side = min(width, height)
    left, top = (width - side) / 2, (height - side) / 2
    return ((left, top), (left, top + side), (left + side, top + side), (left + side, top))


@torch.no_grad()
def cut(picture: Image.Image, crop: Crop, size: int) -> Tensor:
    """The picture inside the crop, as (1, 3, size, size) in [-1, 1].

    Areas outside the picture are filled by reflection. It is sampled at least as finely as the picture's pixels and
    then averaged, to avoid aliasing.
    """
    corners = np.array(crop.quad)
    # Only the part that is looked at becomes floating-point numbers, and it is halved until it is not much too fine.
    box = (corners.min(0) - 2, corners.max(0) + 2)
    left, top = (int(max(0, min(value, limit - 2))) for value, limit in zip(np.floor(box[0]), picture.size))
    right, bottom = (int(min(limit, max(value, 2))) for value, limit in zip(np.ceil(box[1]), picture.size))
    part = picture.crop((left, top, max(right, left + 2), max(bottom, top + 2)))
    shrink = max(1, min(int(crop.side / (2 * size)), min(part.size) // 2))
    if shrink > 1:
        part = part.reduce(shrink)
    corners = (corners - [left, top]) / shrink
    values = to_tensor(part)

    finer = max(1, math.ceil(crop.side / shrink / size))
    steps = (torch.arange(size * finer, dtype=torch.float64) + 0.5) / (size * finer)
    origin, across, down = (torch.from_numpy(v) for v in (corners[0], corners[3] - corners[0], corners[1] - corners[0]))
    places = origin + steps[:, None, None] * down + steps[None, :, None] * across
    grid = places * 2 / torch.tensor(part.size, dtype=torch.float64) - 1
    sampled = F.grid_sample(values, grid[None].float(), mode="bilinear", padding_mode="reflection", align_corners=False)
    return F.avg_pool2d(sampled, finer)


def _points(corners: np.ndarray) -> tuple[Point, ...]:
    return tuple((float(x), float(y)) for x, y in corners)


# ----------------------------------------------------------------------------------------------------------------------
# Finding


def find_faces(picture: Image.Image) -> list[Face]:
    """All faces in the picture, the largest first, found by the best available detector; [] if there are none.

    The landmark network is used where `network_file` finds its file, else OpenCV's cascades, where OpenCV is there.
    """
    for detector in (_by_network, _by_cascades):
        faces = detector(picture)
        if faces:
            return sorted(faces, key=lambda face: face.box[2] * face.box[3], reverse=True)
    return []


def choose_crop(picture: Image.Image, mode: str = "auto", face: int = 1, found: Sequence[Face] | None = None) -> Crop:
    """The crop for a mode.

    mode: "auto" looks for a face and takes the centre square where none is found, which the note says; "center" is
        the centre square; "none" takes the whole picture, which must then be a square that is aligned already.
    face: which face to take where there are several; 1 is the largest.
    found: what `find_faces` gave for this picture, where that is known already.
    Raises InputError for another mode, a face that isn't there, or a picture that is no square with "none".
    """
    choice(mode, "The crop", CROPS)
    width, height = picture.size
    if mode == "none":
        if width != height:
            raise InputError(f"Without a crop the picture must be a square, not {width}×{height}: use auto or center.")
        return Crop(centre_quad(width, height), "whole", "The whole picture is taken as it is.")
    if mode == "center":
        return Crop(centre_quad(width, height), "centre", "The centre square of the picture is taken.")
    faces = find_faces(picture) if found is None else found
    if not faces:
        if face != 1:
            raise InputError(f"No face was found in this picture, so there is no face {face} to take.")
        return Crop(
            centre_quad(width, height),
            "centre",
            "No face was found in this picture, so its centre square is taken: move and scale the crop, "
            "or take a picture that shows the face from the front.",
        )
    if not 1 <= face <= len(faces):
        count = "1 face" if len(faces) == 1 else f"{len(faces)} faces"
        raise InputError(f"There is no face {face}: {count} found in this picture. 1 is the largest.")
    chosen = faces[face - 1]
    return Crop(
        face_quad(chosen.left_eye, chosen.right_eye, chosen.mouth),
        chosen.detector,
        f"{_FOUND_BY[chosen.detector]}{'' if len(faces) == 1 else f' It is number {face} of {len(faces)} faces.'}",
        chosen.confidence,
        face,
        len(faces),
    )


_FOUND_BY = {
    "network": "The face was found with eyes and mouth by the landmark network.",
    "cascade with eyes": "The face and its eyes were found by OpenCV's cascades; the mouth is assumed below them.",
    "cascade": "The face was found by OpenCV's cascades without its eyes: check the crop, it may be tilted.",
}


def network_file() -> Path | None:
    """The landmark network's file (YuNet as ONNX): `IPL_FACE_NETWORK`, or the last by name in `IPL_HOME/models`."""
    chosen = os.environ.get(NETWORK_VARIABLE)
    if chosen:
        path = as_path(chosen)
        if path.is_file():
            return path
        log.warning("%s says the face network is %s, but no such file exists", NETWORK_VARIABLE, path)
        return None
    return max((home() / "models").glob(NETWORK_FILES), default=None)


def _by_network(picture: Image.Image) -> list[Face]:
    path = network_file()
    cv2 = _opencv() if path else None
    if cv2 is None:
        return []
    pixels, scale = _searched(picture)
    try:
        network = cv2.FaceDetectorYN.create(str(path), "", pixels.shape[1::-1], _SURE)
        _, rows = network.detect(np.ascontiguousarray(pixels[..., ::-1]))
    except cv2.error as error:
        log.warning("The face network %s can't be used (%s)", path, str(error).strip().splitlines()[-1])
        return []
    faces = []
    for row in [] if rows is None else np.asarray(rows, dtype=float):
        # A row is the box, then right eye, left eye, nose, right and left corner of the mouth (the person's), score.
        box, marks = row[:4] / scale, row[4:14].reshape(5, 2) / scale
        (left, right), lips = marks[:2], (marks[3] + marks[4]) / 2
        faces.append(Face(*_points(np.stack([left, right, lips])), tuple(box.tolist()), float(row[14]), "network"))
    return faces


def _by_cascades(picture: Image.Image) -> list[Face]:
    """Viola and Jones' boosted cascades (CVPR 2001) for the face, then for the eyes in its upper part."""
    cv2 = _opencv()
    if cv2 is None:
        return []
    if not hasattr(cv2, "CascadeClassifier"):
        log.warning("OpenCV %s has no cascades; install opencv-python-headless below version 5", cv2.__version__)
        return []
    pixels, scale = _searched(picture)
    grey = cv2.equalizeHist(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY))
    shortest = max(24, min(grey.shape) // 12)
    boxes, agreeing = _cascade(cv2, "haarcascade_frontalface_alt2").detectMultiScale2(
        grey, scaleFactor=1.1, minNeighbors=4, minSize=(shortest, shortest)
    )
    eyes = _cascade(cv2, "haarcascade_eye_tree_eyeglasses"), _cascade(cv2, "haarcascade_eye")
    faces = []
    for box, count in zip(np.asarray(boxes, dtype=float).reshape(-1, 4), np.asarray(agreeing).reshape(-1)):
        pair = _eyes_in(grey, box, eyes)
        detector = "cascade" if pair is None else "cascade with eyes"
        if pair is None:
            pair = box[:2] + np.array(_BOX_EYES) * box[2:]
        across = pair[1] - pair[0]
        lips = pair.mean(0) + _MOUTH_DISTANCE * np.array([-across[1], across[0]])
        sure = float(count / (count + 5))  # how many overlapping windows agree, put between 0 and 1
        marks = np.stack([*pair, lips]) / scale
        faces.append(Face(*_points(marks), tuple((box / scale).tolist()), sure, detector))
    return faces


def _eyes_in(grey: np.ndarray, box: np.ndarray, cascades: tuple) -> np.ndarray | None:
    """Left and right eye (2, 2) in a face's box, or None where no believable pair is found."""
    x, y, width, height = box.astype(int)
    upper = grey[y + height // 6 : y + int(height * 0.6), x : x + width]
    expected = np.array(_BOX_EYES) * [width, height]
    best, least = None, 0.35  # in widths of the face: how far a pair may lie from where eyes are expected
    for cascade in cascades:
        least_side = max(8, width // 10)
        found = cascade.detectMultiScale(upper, scaleFactor=1.05, minNeighbors=2, minSize=(least_side, least_side))
        middles = [np.array([ex + ew / 2, ey + eh / 2 + height // 6]) for ex, ey, ew, eh in found]
        for left in middles:
            for right in middles:
                e = right - left
                if not 0.25 * width <= e[0] <= 0.6 * width or abs(e[1]) > 0.45 * e[0]:
                    continue
                off = float(np.linalg.norm(np.stack([left, right]) - expected, axis=1).sum()) / width
                if off < least:
                    best, least = np.stack([left, right]) + np.array([x, y]), off
        if best is not None:
            return best
    return None


def _searched(picture: Image.Image) -> tuple[np.ndarray, float]:
    """Pixels for a detector, RGB (H, W, 3), and how many of them make one of the picture's."""
    scale = min(1.0, _SEARCH_SIDE / max(picture.size))
    if min(picture.size) * scale < 160:  # cascades know faces of 20 pixels and more; small portraits are enlarged
        scale = 160 / min(picture.size)
    size = tuple(max(1, round(side * scale)) for side in picture.size)
    smaller = picture if scale == 1 else picture.resize(size, Image.Resampling.BICUBIC, reducing_gap=2.0)
    return np.ascontiguousarray(np.asarray(smaller.convert("RGB"))), scale


def _cascade(cv2, name: str):
    # Made anew each time: a cascade keeps its search in itself, so threads may not share one.
    return cv2.CascadeClassifier(str(Path(cv2.data.haarcascades) / f"{name}.xml"))


def _opencv():
    """The cv2 module, imported when first needed; None if it isn't installed."""
    try:
        import cv2
    except ImportError as error:
        log.warning("OpenCV isn't there (%s), so no faces are looked for", error)
        return None
    return cv2
