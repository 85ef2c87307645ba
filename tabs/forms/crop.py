"""A picture of a visitor, and the square that is cut from it: uploaded, shown, dragged, turned."""

from __future__ import annotations

from typing import Any

import gradio as gr

from ipl_core import InputError
from ipl_core.pictures.faces import Crop, cut
from ipl_core.pictures.media import to_pictures, to_uint8
from ipl_core.storage.values import number

from .. import show
from ..access.files import uploaded
from ..access.gate import detail
from ..requests.pictures import Seen, called, chosen_crop, example_pictures, seen_by
from ..service.jobs import LOOK
from ..service.service import Service

MAX_MOVE = 100  # sides of the crop, which a picture dragged far leaves behind
PIECE_SIDE = 192

#: The square follows the finger; where it is let go is told in its own sides, as `faces.Crop.moved` counts.
_DRAG = """
let start = null;
const corners = (frame) => frame.getAttribute('points').split(' ').map((point) => point.split(',').map(Number));
const inPicture = (event) => {
  const svg = element.querySelector('svg');
  const box = svg.getBoundingClientRect();
  const { width, height } = svg.viewBox.baseVal;
  return [((event.clientX - box.left) / box.width) * width, ((event.clientY - box.top) / box.height) * height];
};
const way = (event) => inPicture(event).map((value, axis) => value - start.at[axis]);
element.addEventListener('pointerdown', (event) => {
  const frame = event.target.closest('.frame');
  if (!frame) return;
  start = { at: inPicture(event), corners: corners(frame) };
  frame.setPointerCapture(event.pointerId);
  event.preventDefault();
});
element.addEventListener('pointermove', (event) => {
  if (!start) return;
  const [x, y] = way(event);
  const outline = start.corners.map((corner) => `${corner[0] + x},${corner[1] + y}`).join(' ');
  const shade = element.querySelector('.shade');
  element.querySelector('.frame').setAttribute('points', outline);
  shade.setAttribute('d', shade.getAttribute('d').replace(/Z M.*Z$/, `Z M${outline}Z`));
});
const drop = (event) => {
  if (!start) return;
  const [x, y] = way(event);
  const [topLeft, bottomLeft, , topRight] = start.corners;
  const share = (end) => {
    const side = [end[0] - topLeft[0], end[1] - topLeft[1]];
    return (x * side[0] + y * side[1]) / (side[0] ** 2 + side[1] ** 2);
  };
  start = null;
  trigger('input', { right: share(topRight), down: share(bottomLeft) });
};
element.addEventListener('pointerup', drop);
element.addEventListener('pointercancel', drop);
"""


def picture_field(**options: Any) -> gr.Image:
    """A field for pictures that hands over the path of the uploaded file as it came, whatever it is.

    Gradio would open the file first, and what can't be opened then ends in an error of its own that names no file.
    """
    field = gr.Image(type="filepath", image_mode=None, **options)
    # On the instance: Gradio writes a stub file beside every module with a subclass of its components.
    field.preprocess = lambda payload: None if payload is None or payload.path is None else str(uploaded(payload.path))
    return field


class CropForm:
    """The field of the picture, what is seen of it, and the fields of the crop; build it inside `gr.Blocks`.

    picture: the field, which gives a path. where: the fields of the crop, as `chosen_crop` takes their values.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self.picture = picture_field(
            label="A picture of one person", sources=["upload", "webcam", "clipboard"], height=230, buttons=[]
        )
        self._crop_by = gr.Radio(
            [("By the face", "auto"), ("Centre square", "center"), ("Whole picture", "none")],
            value="auto",
            label="Crop",
            render=False,
        )
        samples = example_pictures()
        if samples:
            gr.Examples(
                samples,
                [self.picture, self._crop_by],
                label="Or one of these",
                cache_examples=False,
                visible_columns=[0],
                api_visibility="private",
            )
        self._view = gr.HTML(js_on_load=_DRAG)
        self._face = gr.Radio([], label="Which face?", visible=False)
        with gr.Accordion("Adjust the crop", open=False):
            self._crop_by.render()
            with gr.Row():
                self._right = gr.Slider(-1, 1, 0, step=0.01, label="Left or right", min_width=140)
                self._down = gr.Slider(-1, 1, 0, step=0.01, label="Up or down", min_width=140)
            with gr.Row():
                self._zoom = gr.Slider(0.25, 4, 1, step=0.05, label="Zoom", min_width=140)
                self._turn = gr.Slider(-180, 180, 0, step=1, label="Turn, degrees", min_width=140)
        self.where = [self._crop_by, self._face, self._right, self._down, self._zoom, self._turn]

    def listen(self, model: gr.Dropdown, name: gr.Textbox, announcer: gr.HTML) -> None:
        """Shows each picture and each change. model: the field of the model that it is for. name: gets the file's
        name. announcer: tells whoever listens how the crop was found."""
        self._name, self._announcer = name, announcer
        self.picture.change(
            self._take,
            [self.picture, model, self._crop_by],
            [self._view, announcer, *self.where, name],
            **LOOK,
        )
        gr.on(
            [field.input for field in (*self.where, model)],
            self._recrop,
            [self.picture, model, *self.where],
            self._view,
            trigger_mode="always_last",
            **LOOK,
        )
        self._view.input(self._drop, [self.picture, model, *self.where], [self._right, self._down, self._view], **LOOK)

    def _take(self, path: str | None, model: str, crop_by: str) -> dict[Any, Any]:
        """A new picture: where its faces are, with the crop at its proposed place."""
        afresh = {self._right: 0, self._down: 0, self._zoom: 1, self._turn: 0, self._face: gr.Radio(visible=False)}
        if path is None:
            return {**afresh, self._view: "", self._announcer: "", self._crop_by: "auto"}
        try:
            seen = seen_by(self._service, path)
            if crop_by == "none" and seen.view.width != seen.view.height:  # as the picture before was taken
                crop_by = "auto"
            html, note = crop_view(seen, chosen_crop(seen, model, crop_by))
        except InputError as error:
            return {**afresh, self._view: show.trouble(error), self._announcer: show.spoken(error)}
        count = len(seen.faces)
        faces = [(f"{number}{', the largest' if number == 1 else ''}", number) for number in range(1, count + 1)]
        return {
            **afresh,
            self._crop_by: crop_by,
            self._view: html,
            self._announcer: show.spoken(note),
            self._face: gr.Radio(faces, value=1 if count else None, visible=count > 1),
            self._name: called("", path),
        }

    def _recrop(self, path: str | None, model: str, *where: Any) -> str:
        if path is None:
            return ""
        try:
            seen = seen_by(self._service, path)
            return crop_view(seen, chosen_crop(seen, model, *where))[0]
        except InputError as error:
            return show.trouble(error)

    def _drop(
        self,
        event: gr.EventData,
        path: str | None,
        model: str,
        crop_by: str,
        face: int | None,
        right: float,
        down: float,
        *rest: Any,
    ) -> tuple[float, float, str]:
        moved = (number(detail(event, way), f"The move {way}", -MAX_MOVE, MAX_MOVE) for way in ("right", "down"))
        right, down = (
            min(1.0, max(-1.0, round(number(now, "The crop’s place", -1, 1) + way, 3)))
            for now, way in zip((right, down), moved)
        )
        return right, down, self._recrop(path, model, crop_by, face, right, down, *rest)


def crop_view(seen: Seen, crop: Crop) -> tuple[str, str]:
    """The crop over its picture as HTML, and the words on how it was found."""
    piece = to_pictures(to_uint8(cut(seen.view, crop, PIECE_SIDE)))[0]
    others = [face.box for number, face in enumerate(seen.faces, start=1) if crop.face and number != crop.face]
    note = f"{crop.note} Drag the square to move it."
    return show.crop(seen.view, crop.quad, others, piece, note), note
