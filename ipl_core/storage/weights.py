"""Reads the state dict of any network from a pickle."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from .apart import Contents
from .pickles import StoredTensor, Unreadable, opened

MAX_TENSORS = 10_000  # of one network; rosinality's generator of 1024×1024 has 180
MAX_NAME = 200


def read_weights(path: Path, start: str = "", inside: str = "") -> Contents:
    """The tensors whose names begin with `start`, which is removed from the names; a reader for `apart`.

    inside: the key of the state dict in files that hold more. Floating-point tensors are converted to float32, others
    stay as they are. Raises InputError if the file is damaged or of another kind, or if such an entry isn't a tensor.
    """
    with opened(path) as root:
        if not isinstance(root, Mapping):
            raise Unreadable("it holds no weights")
        state = root[inside] if isinstance(root.get(inside), Mapping) else root
        found = {
            name[len(start) :]: tensor
            for name, tensor in state.items()
            if isinstance(name, str) and name.startswith(start) and len(name) <= MAX_NAME
        }
        if len(found) > MAX_TENSORS:
            raise Unreadable(f"it has more than {MAX_TENSORS} tensors, which no network needs")
        if not found or not all(isinstance(tensor, StoredTensor) for tensor in found.values()):
            raise Unreadable("what should be weights in it is something else")
        if sum(tensor.nbytes for tensor in found.values()) > path.stat().st_size:
            raise Unreadable("its tensors claim more than the file holds")
        loaded = {name: tensor.load() for name, tensor in found.items()}
        return {name: t.float() if t.is_floating_point() else t for name, t in loaded.items()}, {}
