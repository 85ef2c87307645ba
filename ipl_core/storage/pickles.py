"""Reads pickles and PyTorch files without running any code that they name.

A pickle is a small program for a stack machine. Python's own unpickler imports and calls whatever the file names. The
one here only builds containers, numbers, texts and `StoredTensor`s; an object of any other class becomes an inert
`Record` of its class, arguments and state. Functions that are not listed are refused. The module reads PyTorch's zip
format, its predecessor, and bare pickles with tensors inside, such as NVIDIA's; it knows nothing about generators.

Tensors stay in the file until `StoredTensor.load` is called, so optimisers and discriminators cost nothing. A shape is
checked against the bytes in the file before memory is allocated. A file has an `Allowance` of instructions and bytes,
many times what real files need. Errors quote only short texts and numbers, because a few bytes of pickle can build
values that would fill any memory when they are printed, compared or hashed.
"""

from __future__ import annotations

import contextlib
import io
import math
import pickletools
import struct
import sys
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from ..errors import InputError
from .files import ZIP, explanation, first_bytes
from .words import quoted, reason

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C  # first object of files written before PyTorch 1.6
LEGACY_PROTOCOL = 1001

#: Limit of instructions in one file, including nested pickles. A training checkpoint of a 1024×1024
#: generator with discriminator and optimisers needs about 50,000.
MAX_STEPS = 500_000
#: Limit of bytes read from one file, as a multiple of its size: several tensors may share one storage.
MAX_READING = 4
#: Limit in bytes of one text or array in a pickle: a layer of 2048×2048×3×3 numbers in single precision has 151 MB.
MAX_PIECE = 2**28
#: Limit in bytes of a zip archive's directory: 10,000 tensors take about 1 MB.
MAX_DIRECTORY = 4 * 2**20
MAX_DIMENSIONS = 8  # of a tensor; a convolution's weights have 4, or 5 in rosinality's files
MAX_NAME = 200  # characters of a class or function with its module
_MAX_BITS = 128  # of a whole number; the largest in a real file is PyTorch's magic number of 80

_STORAGES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "UntypedStorage": torch.uint8,
    "BoolStorage": torch.bool,
}

# Built-in types that only hold values.
_VALUES = (
    *("object", "int", "long", "float", "complex", "bool", "str", "unicode", "bytes", "bytearray"),
    *("list", "tuple", "dict", "set", "frozenset", "slice", "range"),
)
# Names that occur in generators' files besides those in _CALLS. They are never looked up or called.
_INERT_NAMES = {
    *(f"torch.{name}" for name in _STORAGES),
    *(f"torch.storage.{name}" for name in ("TypedStorage", "UntypedStorage", "_TypedStorage", "_UntypedStorage")),
    *(f"torch.{dtype}" for dtype in ("float16", "float32", "float64", "bfloat16", "int64", "int32", "uint8", "bool")),
    *("torch.Tensor", "torch.device", "torch.dtype", "torch._C._TensorBase", "torch._tensor.Tensor"),
    *("argparse.Namespace", "collections.Counter", "collections.defaultdict", "types.SimpleNamespace"),
    *("pathlib.Path", "pathlib.PosixPath", "pathlib.WindowsPath", "pathlib.PurePosixPath"),
    *(f"datetime.{name}" for name in ("date", "datetime", "time", "timedelta", "timezone")),
    *(f"{module}.{name}" for module in ("builtins", "__builtin__") for name in _VALUES),
}
_INERT_MODULES = ("torch.nn.", "torch.optim.", "torch_utils.", "dnnlib.", "training.", "numpy.")
_TENSORFLOW_MODULES = ("dnnlib.tflib", "tfutil")
#: Modules of the standard library whose classes only hold values; names from its other modules are refused.
_VALUE_MODULES = {
    "argparse",
    "collections",
    "dataclasses",
    "datetime",
    "decimal",
    "enum",
    "fractions",
    "pathlib",
    "uuid",
}
_OLD_MODULES = {"__builtin__", "cPickle", "commands", "copy_reg", "popen2"}  # of Python 2


class Unreadable(Exception):
    """A file can't be read; the message completes the sentence "FILE can't be read: …"."""


@dataclass(frozen=True)
class Name:
    """The name of a class or function in a pickle.

    foreign: whether it isn't on the lists above. Its objects are ignored beside a generator, and refused in place of
    data that is needed.
    """

    name: str
    foreign: bool = False


class Allowance:
    """The remaining budget of instructions and bytes for one file. Raises Unreadable when it is exhausted."""

    def __init__(self, size: int) -> None:
        self._steps, self._bytes = MAX_STEPS, MAX_READING * size

    def step(self, count: int = 1) -> None:
        """Counts `count` instructions, or objects that one instruction copies."""
        self._steps -= count
        if self._steps < 0:
            raise Unreadable(f"it is a program of more than {MAX_STEPS} instructions, which no file of weights needs")

    def read(self, count: int) -> None:
        """Counts `count` bytes that are read or copied."""
        self._bytes -= count
        if self._bytes < 0:
            raise Unreadable("its tensors claim more than the file holds, as they look at the same numbers many times")


class Record(dict):
    """An object in a pickle: its class, its constructor arguments, its state, and its items if it is a dict."""

    def __init__(self, name: str, made_from: tuple[Any, ...] = (), state: Any = None, foreign: bool = False) -> None:
        super().__init__()
        self.name, self.made_from, self.state, self.foreign = name, made_from, state, foreign


def refuse_foreign(value: Any) -> None:
    """Raises Unreadable if `value`, which can't be ignored, is of a class that isn't on the lists."""
    if not isinstance(value, (Name, Record)) or not value.foreign:
        return
    state = value.state if isinstance(value, Record) else None
    if isinstance(state, dict) and {"_parameters", "_modules"} <= state.keys():
        raise Unreadable(
            f"it was saved as a whole network ({quoted(value.name)}), which takes that program to be read; save its "
            'state there: torch.save({"g_ema": network.state_dict()}, "generator.pt")'
        )
    raise _harmful(value.name)


def _harmful(name: str) -> Unreadable:
    return Unreadable(
        f"it names {quoted(name)}, which no generator's file needs and which may be meant to do harm; nothing was run"
    )


@dataclass(frozen=True)
class Storage:
    """An array of numbers of one type in the file; `read` returns their bytes."""

    dtype: torch.dtype
    count: int
    read: Callable[[], bytes]

    @property
    def nbytes(self) -> int:
        """Size in bytes."""
        return self.count * self.dtype.itemsize


@dataclass(frozen=True)
class StoredTensor:
    """A tensor that hasn't been loaded from the file: a strided view of a storage."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        """Bytes that the tensor takes in memory, in its type on disk."""
        return math.prod(self.shape) * self.storage.dtype.itemsize

    def load(self) -> Tensor:
        """Load the tensor, contiguous in its own memory. Raises Unreadable if part of it is missing in the file."""
        raw = self.storage.read()
        if len(raw) != self.storage.nbytes:
            raise Unreadable("it is damaged or cut short (the numbers of a tensor are missing)")
        if not raw or 0 in self.shape:
            raise Unreadable("a tensor in it has no numbers")
        flat = torch.frombuffer(bytearray(raw), dtype=self.storage.dtype)
        return flat.as_strided(self.shape, self.stride, self.offset).clone(memory_format=torch.contiguous_format)


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Any]:
    """The object in a `.pt`, `.pth` or `.pkl` file; its tensors can be loaded until the block ends.

    Raises:
        InputError: the file is damaged, cut short or of another kind, or it names code that no file of weights needs.
            `Unreadable` and `MemoryError` raised in the block become InputErrors too.
    """
    start = first_bytes(path)
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            allowance = Allowance(size)
            zipped = start.startswith(ZIP)
            root = _read_zip(file, size, allowance) if zipped else _read_stream(_Whole(file), allowance)
            refuse_foreign(root)
            yield root
    except Unreadable as error:
        raise InputError(f"{path} can't be read: {error}.") from error
    except MemoryError:
        raise InputError(f"{path} can't be read: it asks for more memory than there is.") from None
    except OSError as error:
        raise InputError(f"{path} can't be read: {reason(error)}.") from error


# ----------------------------------------------------------------------------------------------------------------------
# Containers


class _Whole:
    """A file that reads the requested number of bytes or raises, so that a false length allocates no memory."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.size = file.seek(0, io.SEEK_END)
        file.seek(0)

    def read(self, count: int) -> bytes:
        if count > MAX_PIECE:
            raise Unreadable(f"it is damaged, or has a text or an array of more than {MAX_PIECE >> 20} MB in one piece")
        return self.take(count)

    def take(self, count: int) -> bytes:
        """As `read`, for a tensor's numbers, which may exceed the limit for one piece of a pickle."""
        if count > self.size - self._file.tell():
            raise Unreadable("it is damaged or cut short")
        return self._file.read(count)

    def readline(self) -> bytes:
        return self._file.readline(65536)

    def tell(self) -> int:
        return self._file.tell()

    def seek(self, position: int) -> None:
        self._file.seek(position)


class _Bounded:
    """The file that zipfile reads from; it limits one read to `limit` bytes, None for no limit."""

    def __init__(self, file: BinaryIO, limit: int | None) -> None:
        self._file, self.limit = file, limit
        self.seek, self.tell, self.seekable = file.seek, file.tell, file.seekable

    def read(self, count: int = -1) -> bytes:
        if self.limit is None:
            return self._file.read(count)
        if count > self.limit:
            raise Unreadable(f"it is a zip archive with a directory of more than {MAX_DIRECTORY >> 20} MB")
        return self._file.read(self.limit if count < 0 else count)


#: What zipfile raises for damaged archives.
_ZIP_ERRORS = (
    *(zipfile.BadZipFile, ValueError, NotImplementedError, EOFError, struct.error),
    *(IndexError, KeyError, TypeError, OverflowError, RuntimeError),
)


def _read_zip(file: BinaryIO, size: int, allowance: Allowance) -> Any:
    """The object in PyTorch's zip format: data.pkl, plus an archive member with raw numbers for each storage."""
    bounded = _Bounded(file, MAX_DIRECTORY)
    try:
        archive = zipfile.ZipFile(bounded)
        members = {entry.filename.partition("/")[2]: entry for entry in archive.infolist()}
    except _ZIP_ERRORS as error:
        raise Unreadable(f"it is a zip archive, but damaged or cut short ({reason(error)})") from error
    bounded.limit = None
    if "constants.pkl" in members or any(name.startswith("code/") for name in members):
        raise Unreadable("it is a TorchScript program; give the checkpoint that it was made from")
    # PyTorch doesn't compress. A compressed archive could unpack to more than fits into memory.
    packed = any(entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1 for entry in members.values())
    if packed or sum(entry.file_size for entry in members.values()) > size:
        raise Unreadable("it is a zip archive of another program: PyTorch's are not compressed")
    if "data.pkl" not in members:
        raise Unreadable("it is a zip archive, but not one of PyTorch's (data.pkl is missing)")

    def member(name: str) -> bytes:
        if name not in members:
            raise Unreadable(f"it is damaged or cut short ({quoted(name)} is missing)")
        allowance.read(members[name].file_size)
        try:
            return archive.read(members[name])
        except _ZIP_ERRORS as error:
            raise Unreadable(f"it is damaged or cut short ({reason(error)})") from error

    if "byteorder" in members and member("byteorder") != b"little":
        raise Unreadable("it was written on a machine of another byte order")

    def storage(fields: tuple[Any, ...]) -> Storage:
        dtype, key, count = _storage_fields(fields)
        return Storage(dtype, count, lambda: member(f"data/{key}"))

    return evaluate(_Whole(io.BytesIO(member("data.pkl"))), storage, allowance)


def _read_stream(file: _Whole, allowance: Allowance, nested: bool = False) -> Any:
    """The object of a bare pickle or of PyTorch's format before 1.6: five pickles, then the numbers."""
    root = evaluate(file, _no_storage, allowance, nested)
    if not isinstance(root, int) or root != LEGACY_MAGIC:
        return root
    protocol, system = (evaluate(file, _no_storage, allowance, nested) for _ in range(2))
    if protocol != LEGACY_PROTOCOL or not isinstance(system, dict) or system.get("little_endian") is False:
        raise Unreadable("it is an old PyTorch file of an unknown version or another byte order")
    found: dict[str, tuple[torch.dtype, int]] = {}
    places: dict[str, int] = {}

    def storage(fields: tuple[Any, ...]) -> Storage:
        dtype, key, count = _storage_fields(fields)
        if len(fields) > 5 and fields[5] is not None:
            raise Unreadable("it is an old PyTorch file with views of storages; save it anew with a newer PyTorch")
        if found.setdefault(key, (dtype, count)) != (dtype, count):
            raise Unreadable("it is damaged (one storage has two sizes)")

        def read() -> bytes:
            if key not in places:
                raise Unreadable("it is damaged or cut short (the numbers of a tensor are missing)")
            file.seek(places[key])
            allowance.read(count * dtype.itemsize)
            return file.take(count * dtype.itemsize)

        return Storage(dtype, count, read)

    root = evaluate(file, storage, allowance, nested)
    keys = evaluate(file, _no_storage, allowance, nested)
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise Unreadable("it is damaged (no list of storages)")
    for key in keys:
        (count,) = struct.unpack("<q", file.read(8))
        if key not in found:
            raise Unreadable("it is damaged (a storage that nothing uses)")
        dtype, expected = found[key]
        if count != expected:
            raise Unreadable("it is damaged (a storage of another size)")
        places[key] = file.tell()
        end = places[key] + count * dtype.itemsize
        if end > file.size:
            raise Unreadable("it is cut short")
        file.seek(end)
    return root


def _storage_fields(fields: tuple[Any, ...]) -> tuple[torch.dtype, str, int]:
    """Type, key and number of elements of ("storage", class, key, device, elements, …)."""
    if len(fields) < 5 or fields[0] != "storage" or not isinstance(fields[1], Name):
        raise Unreadable("it is damaged (a reference that is no storage)")
    kind, key, count = fields[1].name.rpartition(".")[2], fields[2], fields[4]
    if kind not in _STORAGES or not isinstance(key, str) or not _natural(count):
        raise Unreadable(f"it holds numbers of an unknown kind ({quoted(kind)})")
    return _STORAGES[kind], key, count


def _no_storage(fields: tuple[Any, ...]) -> Storage:
    raise Unreadable("it is damaged (a reference to a storage where none can be)")


# ----------------------------------------------------------------------------------------------------------------------
# The stack machine

_KEYS = (
    str,
    int,
    float,
    bytes,
    type(None),
)  # dictionary keys are limited to simple types: hashing nested ones could recurse too deeply
_MAX_KEY = 2**48  # larger numbers can be chosen to have equal hashes, which makes a dictionary very slow


def evaluate(
    file: _Whole, storage: Callable[[tuple[Any, ...]], Storage], allowance: Allowance, nested: bool = False
) -> Any:
    """Evaluate one pickle from ``file`` and return its object; the file position is then just after it.

    storage: makes a Storage from a persistent reference. allowance: the whole file's. nested: whether this is a pickle
    inside another pickle's bytes, which can't contain further ones. Raises Unreadable for damage, for names that
    aren't allowed, and for sizes beyond the limits.
    """
    try:
        return _run(file, storage, allowance, nested)
    except Unreadable:
        raise
    # Errors of ill-formed programs: missing operands, operands of the wrong type, bad numbers.
    except (
        *(ValueError, IndexError, KeyError, TypeError, AttributeError, OverflowError, EOFError),
        *(struct.error, RecursionError),
    ) as error:
        raise Unreadable(explanation(b"?", error)) from error


def _run(file: _Whole, storage: Callable[[tuple[Any, ...]], Storage], allowance: Allowance, nested: bool) -> Any:
    stack: list[Any] = []
    below: list[list[Any]] = []  # the stacks that were saved at each mark
    memo: dict[int, Any] = {}

    def to_mark() -> list[Any]:  # changes `stack`, so its result is kept before anything is pushed
        nonlocal stack
        items, stack = stack, below.pop()
        return items

    for opcode, argument, _ in pickletools.genops(file):
        allowance.step()
        if isinstance(argument, int) and argument.bit_length() > _MAX_BITS:
            raise Unreadable(f"it holds a number of {argument.bit_length()} bits, which no file of weights needs")
        match opcode.name:
            case "PROTO" | "FRAME":
                pass
            case "STOP":
                return stack.pop()
            case "MARK":
                below.append(stack)
                stack = []
            case "POP":
                stack.pop() if stack else to_mark()
            case "POP_MARK":
                to_mark()
            case "DUP":
                stack.append(stack[-1])
            case "NONE":
                stack.append(None)
            case "NEWTRUE" | "NEWFALSE":
                stack.append(opcode.name == "NEWTRUE")
            case "EMPTY_LIST" | "EMPTY_SET":  # sets become lists: only names and numbers are hashed here
                stack.append([])
            case "EMPTY_TUPLE":
                stack.append(())
            case "EMPTY_DICT":
                stack.append({})
            case "LIST" | "FROZENSET":
                items = to_mark()
                stack.append(items)
            case "TUPLE":
                items = to_mark()
                stack.append(tuple(items))
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                count = int(opcode.name[-1])
                if len(stack) < count:
                    raise IndexError("stack underflow")
                stack[-count:] = [tuple(stack[-count:])]
            case "DICT":
                items = to_mark()
                stack.append({})
                _set_items(stack[-1], items)
            case "APPEND":
                _extend(stack[-2], [stack.pop()])
            case "APPENDS" | "ADDITEMS":
                items = to_mark()
                _extend(stack[-1], items)
            case "SETITEM":
                value, key = stack.pop(), stack.pop()
                _set_items(stack[-1], [key, value])
            case "SETITEMS":
                items = to_mark()
                _set_items(stack[-1], items)
            case "PUT" | "BINPUT" | "LONG_BINPUT":
                memo[argument] = stack[-1]
            case "MEMOIZE":
                memo[len(memo)] = stack[-1]
            case "GET" | "BINGET" | "LONG_BINGET":
                stack.append(memo[argument])
            case "GLOBAL":
                stack.append(_named(*argument.split(" ", 1)))
            case "STACK_GLOBAL":
                name, module = stack.pop(), stack.pop()
                stack.append(_named(module, name))
            case "INST":
                items = to_mark()
                stack.append(_call(_named(*argument.split(" ", 1)), tuple(items), allowance, nested))
            case "OBJ":
                called, *operands = to_mark()
                stack.append(_call(called, tuple(operands), allowance, nested))
            case "REDUCE" | "NEWOBJ":
                operands, called = stack.pop(), stack.pop()
                stack.append(_call(called, operands, allowance, nested))
            case "NEWOBJ_EX":
                _, operands, called = stack.pop(), stack.pop(), stack.pop()
                stack.append(_call(called, operands, allowance, nested))
            case "BUILD":
                state = stack.pop()
                if isinstance(stack[-1], Record):
                    stack[-1].state = state
            case "BINPERSID":
                fields = stack.pop()
                if not isinstance(fields, tuple):
                    raise TypeError("a reference that is no tuple")
                # Old files store a network's class this way, with its source code, which is ignored.
                stack.append(fields[1] if fields[:1] == ("module",) and len(fields) == 4 else storage(fields))
            case name if opcode.arg is not None and opcode.stack_after and not opcode.stack_before:
                if name.startswith("EXT") or name in ("PERSID", "NEXT_BUFFER", "BYTEARRAY8"):
                    raise Unreadable(f"it is a pickle of a kind that no generator's file is ({name})")
                stack.append(argument)  # a number, text or bytes
            case name:
                raise Unreadable(f"it is a pickle of a kind that no generator's file is ({name})")
    raise Unreadable("it is cut short")


def _extend(target: Any, items: list[Any]) -> None:
    if isinstance(target, list):
        target.extend(items)
    elif not isinstance(target, Record):
        raise TypeError("items for what is no list")


def _set_items(target: Any, items: list[Any]) -> None:
    if not isinstance(target, dict) or len(items) % 2:
        raise TypeError("items for what is no dictionary")
    target.update((key, value) for key, value in zip(items[::2], items[1::2]) if _is_key(key))


def _is_key(value: Any) -> bool:
    return isinstance(value, _KEYS) and (not isinstance(value, int) or abs(value) < _MAX_KEY)


def _named(module: Any, name: Any) -> Name:
    """The Name for a module and a name in the file. Raises Unreadable if it isn't allowed."""
    if not isinstance(module, str) or not isinstance(name, str):
        raise TypeError("a name that is no text")
    if len(module) + len(name) >= MAX_NAME:
        raise Unreadable(f"it names something of {len(module) + len(name)} characters, which no generator's file needs")
    full = f"{module}.{name}"
    if module.startswith(_TENSORFLOW_MODULES):
        raise Unreadable(
            "it is a TensorFlow pickle of StyleGAN; convert it first, with legacy.py of NVIDIA's stylegan2-ada-pytorch "
            "or convert_weight.py of rosinality's stylegan2-pytorch, or get the converted file"
        )
    if full in _CALLS or full in _INERT_NAMES or full.startswith(_INERT_MODULES):
        return Name(full)
    if _is_class_of_a_program(module, name):
        return Name(full, foreign=True)
    raise _harmful(full)


def _is_class_of_a_program(module: str, name: str) -> bool:
    """Whether a name may be a third-party class whose objects are stored beside weights, such as options or paths.

    Functions are excluded by the convention that only classes begin with a capital; so is the standard library.
    """
    package = module.partition(".")[0]
    brought = package in sys.stdlib_module_names or package in _OLD_MODULES
    return name[:1].isupper() and (not brought or package in _VALUE_MODULES)


# ----------------------------------------------------------------------------------------------------------------------
# Replacements for the functions that files call; a call of anything else becomes a Record


def _call(called: Any, operands: Any, allowance: Allowance, nested: bool) -> Any:
    if not isinstance(called, Name) or not isinstance(operands, tuple):
        raise TypeError("a call of what is no name")
    if called.name == _TYPED:  # a tensor of a custom class; such tensors aren't nested
        called, operands = operands[0], operands[2]
        if not isinstance(called, Name) or not isinstance(operands, tuple) or called.name == _TYPED:
            raise TypeError("a tensor within a tensor")
    allowance.step(sum(len(operand) for operand in operands if isinstance(operand, (list, tuple, dict))))
    allowance.read(sum(len(operand) for operand in operands if isinstance(operand, str)))
    if called.name == "torch.storage._load_from_bytes":
        if nested or not isinstance(operands[0], bytes):
            raise Unreadable("it is damaged (pickles within pickles)")
        inner = _read_stream(_Whole(io.BytesIO(operands[0])), allowance, nested=True)
        if not isinstance(inner, Storage):
            raise Unreadable("it is damaged (a storage that is none)")
        return inner
    return _CALLS.get(called.name, lambda *values: Record(called.name, values, foreign=called.foreign))(*operands)


def _ordered_dict(pairs: Any = ()) -> Record:
    items = Record("collections.OrderedDict")
    for key, value in pairs if isinstance(pairs, (list, tuple)) else ():
        _set_items(items, [key, value])
    return items


def _tensor(storage: Any, offset: Any, shape: Any, stride: Any, *_: Any) -> StoredTensor:
    if isinstance(shape, Record) and shape.made_from:  # torch.Size((…))
        (shape,) = shape.made_from
    if not isinstance(storage, Storage) or not isinstance(shape, tuple) or not isinstance(stride, tuple):
        raise TypeError("a tensor without storage or shape")
    if len(shape) > MAX_DIMENSIONS:
        raise ValueError(f"a tensor of {len(shape)} dimensions, more than {MAX_DIMENSIONS}")
    if len(shape) != len(stride) or not all(map(_natural, (offset, *shape, *stride))):
        raise ValueError("a tensor of impossible shape")
    last = offset + sum((size - 1) * step for size, step in zip(shape, stride))
    # A view may not be larger than its storage, so repeated elements (stride 0) can't fill the memory.
    if math.prod(shape) and (last >= storage.count or math.prod(shape) > storage.count):
        raise ValueError("a tensor larger than its storage")
    return StoredTensor(storage, offset, shape, stride)


def _parameter(data: Any, *_: Any) -> Any:
    return data


def _persistent(meta: Any) -> Record:
    """NVIDIA's modules: class name, state and source code. The code is ignored."""
    if not isinstance(meta, dict) or not isinstance(meta.get("state"), dict):
        raise TypeError("a module without state")
    name = meta.get("class_name")
    return Record(name if isinstance(name, str) else "", state=meta["state"])


def _reconstructed(kind: Any, *_: Any) -> Record:
    return Record(kind.name, foreign=kind.foreign)


def _numpy_scalar(dtype: Any, raw: Any = b"", *_: Any) -> Any:
    code = dtype.made_from[0] if isinstance(dtype, Record) and dtype.made_from else None
    form = {"f4": "<f", "f8": "<d", "i4": "<i", "i8": "<q"}.get(code) if isinstance(code, str) else None
    if isinstance(raw, str):
        raw = raw.encode("latin-1")
    return struct.unpack(form, raw)[0] if form else Record("numpy.scalar")


def _encoded(text: Any, *_: Any) -> bytes:
    return text.encode("latin-1")


def _sequence(items: Any = ()) -> list[Any]:
    return list(items) if isinstance(items, (list, tuple)) else []


def _natural(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**48


_TYPED = "torch._tensor._rebuild_from_type_v2"
_CALLS: dict[str, Callable[..., Any]] = {
    "collections.OrderedDict": _ordered_dict,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
    _TYPED: _parameter,  # see _call
    "torch.storage._load_from_bytes": _parameter,  # see _call
    "torch.Size": lambda shape=(): shape,
    "torch_utils.persistence._reconstruct_persistent_obj": _persistent,
    "copyreg._reconstructor": _reconstructed,
    "copy_reg._reconstructor": _reconstructed,
    "numpy.core.multiarray.scalar": _numpy_scalar,
    "numpy._core.multiarray.scalar": _numpy_scalar,
    "_codecs.encode": _encoded,
    **{f"{module}.{name}": _sequence for module in ("builtins", "__builtin__") for name in ("set", "frozenset")},
}
