"""The published encoders for FFHQ faces: e4e (Tov et al., SIGGRAPH 2021) and pSp (Richardson et al., CVPR 2021).

A residual network with squeeze and excitation (IR-SE50) computes feature maps at three sizes. Small networks map them
to the rows of w_plus, coarse rows from the coarse map. In pSp the rows are independent; in e4e the first row is a w
that all rows share, and the others are offsets from it. Only the encoder is read from the released file.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..storage import apart
from ..storage.files import listed
from ..storage.pickles import Record, StoredTensor, Unreadable, opened
from ..storage.weights import MAX_TENSORS
from ..storage.words import quoted, reason
from .stylegan2.parts import FLOATS

SEEN_SIDE = 256
_UNITS = (3, 4, 14, 3)  # residual units at each width
_COARSE, _MIDDLE = 3, 7  # the first rows that come from the middle and from the fine map
_SQUEEZE = 16
_PARTS = {"Encoder4Editing": True, "GradualStyleEncoder": False}  # whether rows are offsets from the first
_PREFIX = "encoder."


class ResidualUnit(nn.Module):
    """Residual unit: norm, convolution, PReLU, strided convolution, norm; then channels are weighted (SE)."""

    def __init__(self, into: int, out: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.norm1, self.norm2 = nn.BatchNorm2d(into), nn.BatchNorm2d(out)
        self.conv1 = nn.Conv2d(into, out, 3, 1, 1, bias=False)
        self.conv2 = nn.Conv2d(out, out, 3, stride, 1, bias=False)
        self.act = nn.PReLU(out)
        self.squeeze = nn.Conv2d(out, max(1, out // _SQUEEZE), 1, bias=False)
        self.excite = nn.Conv2d(max(1, out // _SQUEEZE), out, 1, bias=False)
        self.skip = None
        if into != out:
            self.skip = nn.Sequential(nn.Conv2d(into, out, 1, stride, bias=False), nn.BatchNorm2d(out))

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm2(self.conv2(self.act(self.conv1(self.norm1(x)))))
        weight = torch.sigmoid(self.excite(F.relu(self.squeeze(y.mean((2, 3), keepdim=True)))))
        skip = x[..., :: self.stride, :: self.stride] if self.skip is None else self.skip(x)
        return skip + y * weight


def residual_stages(widths: tuple[int, int, int, int]) -> tuple[nn.Sequential, nn.ModuleList]:
    """The stem and the four stages of an IR-SE50 of these widths; each stage halves the side."""
    stem = nn.Sequential(nn.Conv2d(3, widths[0], 3, 1, 1, bias=False), nn.BatchNorm2d(widths[0]), nn.PReLU(widths[0]))
    stages = nn.ModuleList()
    for into, out, count in zip((widths[0], *widths), widths, _UNITS):
        later = (ResidualUnit(out, out, 1) for _ in range(count - 1))
        stages.append(nn.Sequential(ResidualUnit(into, out, 2), *later))
    return stem, stages


class _Style(nn.Module):
    """A feature map → one row: convolutions of stride 2 down to one pixel, then a linear layer."""

    def __init__(self, into: int, width: int, count: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(into if k == 0 else width, width, 3, 2, 1) for k in range(count))
        self.linear = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        for conv in self.convs:
            x = F.leaky_relu(conv(x), 0.01)
        return self.linear(x.flatten(1))


class E4e(nn.Module):
    """Pictures (B, 3, H, H) in [-1, 1], aligned as FFHQ's → w_plus (B, rows, w_dim); seen at 256×256.

    widths: channels of the residual stages, 64 to 512 in the released files. offsets: e4e's way, see the module.
    """

    def __init__(self, rows: int, w_dim: int, widths: tuple[int, int, int, int], offsets: bool = True) -> None:
        super().__init__()
        self.rows, self.w_dim, self.offsets = rows, w_dim, offsets
        self.stem, self.stages = residual_stages(widths)
        self.to_middle = nn.Conv2d(widths[2], widths[3], 1)
        self.to_fine = nn.Conv2d(widths[1], widths[3], 1)
        self.styles = nn.ModuleList(
            _Style(widths[3], w_dim, 4 if row < _COARSE else 5 if row < _MIDDLE else 6) for row in range(rows)
        )
        self.register_buffer("mean", torch.zeros(1, w_dim))

    def forward(self, pictures: Tensor) -> Tensor:
        if pictures.shape[-1] != SEEN_SIDE:
            pictures = F.interpolate(pictures, (SEEN_SIDE,) * 2, mode="bilinear", antialias=True, align_corners=False)
        maps = [self.stem(pictures)]
        for stage in self.stages:
            maps.append(stage(maps[-1]))
        coarse = maps[4]
        middle = _enlarged(coarse, maps[3]) + self.to_middle(maps[3])
        fine = _enlarged(middle, maps[2]) + self.to_fine(maps[2])
        rows = [
            style(coarse if row < _COARSE else middle if row < _MIDDLE else fine)
            for row, style in enumerate(self.styles)
        ]
        if self.offsets:
            rows[1:] = [rows[0] + row for row in rows[1:]]
        return torch.stack(rows, 1) + self.mean


def _enlarged(x: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(x, like.shape[2:], mode="bilinear", align_corners=True)


def read_e4e(path: Path, stop: threading.Event | None = None) -> E4e:
    """The encoder in a released file of e4e or pSp, read in a separate process (`apart`), which `stop` ends.

    Raises InputError if the file has no encoder, or one of another kind.
    """
    tensors, shape = apart.read(read_released, path, stop)
    with torch.device("meta"):
        network = E4e(**shape)
    network.mean = tensors["mean"]  # the shape is that of its own rows
    network.load_state_dict(tensors, assign=True)
    return network


def read_released(path: Path) -> apart.Contents:
    """The tensors of an E4e in a released file, and E4e's constructor arguments; a reader for `apart`.

    Raises InputError as `read_e4e` does.
    """
    with opened(path) as root:
        try:
            return _read(root, path.stat().st_size)
        except (TypeError, ValueError, KeyError, IndexError, AttributeError, RuntimeError) as error:
            raise Unreadable(f"its encoder is of an impossible form ({reason(error)})") from error


def _read(root: Any, size: int) -> apart.Contents:
    state = root.get("state_dict") if isinstance(root, Mapping) else None
    if not isinstance(state, Mapping) or f"{_PREFIX}input_layer.0.weight" not in state:
        raise Unreadable("it holds no encoder of e4e or pSp (state_dict with encoder.input_layer is missing)")
    options = _options(root.get("opts"))
    kind = options.get("encoder_type", "Encoder4Editing")
    if not isinstance(kind, str) or kind not in _PARTS:
        raise Unreadable(f"its encoder is of the kind {quoted(kind)}; {' and '.join(_PARTS)} are read")
    named = {name: tensor for name, tensor in state.items() if isinstance(name, str) and name.startswith(_PREFIX)}
    if len(named) > MAX_TENSORS:
        raise Unreadable(f"its encoder has more than {MAX_TENSORS} tensors")
    stored = {name[len(_PREFIX) :]: tensor for name, tensor in named.items()}
    stored = {name: tensor for name, tensor in stored.items() if not name.endswith("num_batches_tracked")}
    for name, tensor in stored.items():
        if not isinstance(tensor, StoredTensor) or tensor.storage.dtype not in FLOATS:
            raise Unreadable(f"what should be {quoted(name)} in it is no tensor of weights")

    if sum(tensor.nbytes for tensor in stored.values()) > size:
        raise Unreadable("its tensors claim more than the file holds")

    rows = 1 + max((int(m[1]) for m in (re.match(r"styles\.([0-9]{1,4})\.", name) for name in stored) if m), default=-1)
    first, w_dim = stored["input_layer.0.weight"].shape[0], stored["styles.0.linear.weight"].shape[0]
    ends = [sum(_UNITS[: k + 1]) - 1 for k in range(4)]
    widths = tuple(stored[f"body.{end}.res_layer.4.weight"].shape[0] for end in ends)
    if not (1 <= rows <= 18 and max(first, w_dim, *widths) <= 1024 and first == widths[0]):
        raise Unreadable(f"its encoder is of an impossible form ({rows} rows of {w_dim}, widths {widths})")
    shape = {"rows": rows, "w_dim": w_dim, "widths": list(widths), "offsets": _PARTS[kind]}
    with torch.device("meta"):
        network = E4e(**shape)
    tensors = {"mean": _mean(root, options, rows, w_dim)}
    for name, tensor in network.state_dict().items():
        if name in tensors:
            continue
        if name.endswith("num_batches_tracked"):  # a counter of training steps, not needed here
            tensors[name] = torch.zeros((), dtype=torch.long)
            continue
        theirs = released_name(name)
        if theirs not in stored:
            raise Unreadable(f"its encoder is incomplete: {theirs} is missing")
        if stored[theirs].shape != tuple(tensor.shape):
            raise Unreadable(f"what should be {theirs} in it has the shape {stored[theirs].shape}")
        tensors[name] = stored.pop(theirs).load().float()
        if not tensors[name].isfinite().all():
            raise Unreadable(f"{theirs} in it holds values that are not finite")
    if stored:
        raise Unreadable(f"its encoder has parts of an unknown kind: {listed(sorted(stored))}")
    for name, tensor in tensors.items():
        if name.endswith("linear.weight"):
            tensor.div_(
                tensor.shape[1] ** 0.5
            )  # equalised learning rate: the released network scales this weight whenever it uses it
    return tensors, shape


def _options(options: Any) -> Mapping[str, Any]:
    """The training options: a dict or a Namespace."""
    if isinstance(options, Record) and isinstance(options.state, Mapping):
        return options.state
    return options if isinstance(options, Mapping) else {}


def _mean(root: Mapping[str, Any], options: Mapping[str, Any], rows: int, w_dim: int) -> Tensor:
    """The mean latent (1 or rows, w_dim) to add to the rows, zero if the encoder wasn't trained relative to it."""
    if options.get("start_from_latent_avg") is False:
        return torch.zeros(1, w_dim)
    stored = root.get("latent_avg")
    if not isinstance(stored, StoredTensor) or stored.shape not in ((w_dim,), (1, w_dim), (rows, w_dim)):
        raise Unreadable("its mean latent (latent_avg) is missing, or has another shape than the encoder's latents")
    return stored.load().float().reshape(-1, w_dim)


def released_name(ours: str) -> str:
    """The name in released files, without prefix, of a tensor of E4e or of a network with the same stem and stages."""
    for pattern, theirs in _NAMES:
        match = re.fullmatch(pattern, ours)
        if match:
            return theirs(match)
    raise KeyError(ours)


def _unit(match: re.Match[str]) -> str:
    stage, unit, part = int(match[1]), int(match[2]), match[3]
    theirs = {
        "norm1": "res_layer.0", "conv1": "res_layer.1", "act": "res_layer.2", "conv2": "res_layer.3",
        "norm2": "res_layer.4", "squeeze": "res_layer.5.fc1", "excite": "res_layer.5.fc2",
        "skip.0": "shortcut_layer.0", "skip.1": "shortcut_layer.1",
    }  # fmt: skip
    return f"body.{sum(_UNITS[:stage]) + unit}.{theirs[part]}.{match[4]}"


_NAMES = (
    (r"stem\.(.+)", lambda m: f"input_layer.{m[1]}"),
    (r"stages\.(\d)\.(\d+)\.(\w+\d|act|squeeze|excite|skip\.\d)\.(\w+)", _unit),
    (r"to_middle\.(\w+)", lambda m: f"latlayer1.{m[1]}"),
    (r"to_fine\.(\w+)", lambda m: f"latlayer2.{m[1]}"),
    (r"styles\.(\d+)\.convs\.(\d)\.(\w+)", lambda m: f"styles.{m[1]}.convs.{2 * int(m[2])}.{m[3]}"),
    (r"(styles\.\d+\.linear\.\w+)", lambda m: m[1]),
)
