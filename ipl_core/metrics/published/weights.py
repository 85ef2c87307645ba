"""Published weights into a network: read safely, compared name by name and shape by shape, with the file's hash."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from torch import Tensor, nn

from ...errors import InputError
from ...models.catalog import find_network
from ...storage import apart
from ...storage.digests import file_digest
from ...storage.files import first_bytes, is_safetensors
from ...storage.tensors import load_tensors
from ...storage.weights import read_weights
from ...storage.words import quoted


def load_published(name: str, network: nn.Module, renamed: Callable[[str], str | None]) -> str:
    """Fills `network` with the weights that the catalog knows as `name`; gives the file's sha256.

    renamed: a name in the file → the name in the network, None for what the network leaves out. Counters of training
    are left out in any case. The network is frozen and in evaluation mode afterwards. Raises InputError if the file
    isn't here or holds something else.
    """
    path = find_network(name)
    state: dict[str, Tensor] = {}
    for theirs, tensor in _tensors(path).items():
        ours = None if theirs.endswith("num_batches_tracked") else renamed(theirs)
        if ours is not None:
            state[ours] = tensor
    expected = {k: t.shape for k, t in network.state_dict().items() if not k.endswith("num_batches_tracked")}
    wrong = [key for key in {**expected, **state} if key not in state or state[key].shape != expected.get(key)]
    if wrong:
        raise InputError(f"{path} doesn't hold the weights of “{name}” ({quoted(wrong[0])}): get it anew.")
    if not all(tensor.isfinite().all() for tensor in state.values()):
        raise InputError(f"{path} holds values that are not finite: get it anew.")
    network.load_state_dict({key: tensor.float() for key, tensor in state.items()}, strict=False)
    network.eval().requires_grad_(False)
    return file_digest(path)


def _tensors(path: Path) -> dict[str, Tensor]:
    if is_safetensors(first_bytes(path)):
        return load_tensors(path)[0]
    return apart.read(read_weights, path)[0]
