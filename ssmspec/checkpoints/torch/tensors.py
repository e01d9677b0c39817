"""Tensors as torch pickles them: views of storages.

The pickle holds no numbers: a tensor in it is a storage's key with an offset, a shape and strides.
Those are checked here, before anything is viewed through them. Arguments can be shared between any
number of calls, so no function here copies or walks one whose length it has not bounded.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from ssmspec.checkpoints.dtypes import DTYPES
from ssmspec.checkpoints.torch.machine import Call, Global, Items
from ssmspec.errors import CheckpointError, UnsafeCheckpointError

# numpy 1.26 knows no more axes than this.
_MAX_AXES = 32

_MAX_METADATA_ITEMS = 16

_STORAGE_DTYPES = {
    "DoubleStorage": "float64", "FloatStorage": "float32", "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16", "ComplexDoubleStorage": "complex128",
    "ComplexFloatStorage": "complex64", "LongStorage": "int64", "IntStorage": "int32",
    "ShortStorage": "int16", "CharStorage": "int8", "ByteStorage": "uint8",
    "BoolStorage": "bool", "UntypedStorage": "uint8",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Storage:
    """A run of elements that tensors are views of.

    Attributes:
        key: its number in the archive, the member `data/<key>`.
        dtype: canonical dtype name of its elements; "uint8" for untyped storages. A type that
            cannot be decoded keeps torch's name of the storage class.
        numel: number of elements.
    """

    key: str
    dtype: str
    numel: int


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """Where one tensor's elements are.

    Element (i, j, ...) is number `offset + i * stride[0] + j * stride[1] + ...` of the storage
    seen as elements of `dtype`; all of them lie inside it.

    Attributes:
        storage: what it is a view of.
        dtype: canonical dtype name of its elements.
        offset: in elements of `dtype`.
        shape: empty for a scalar.
        stride: in elements of `dtype`; not negative, zero along an expanded axis.
        conjugated: whether the tensor is the complex conjugate of what is stored.
        negated: whether the tensor is the negative of what is stored.
    """

    storage: Storage
    dtype: str
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    conjugated: bool = False
    negated: bool = False

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def span(self) -> int:
        """Number of stored elements from the first to the last, 0 for an empty tensor."""
        return span(self.shape, self.stride)


def span(shape: tuple[int, ...], stride: tuple[int, ...]) -> int:
    """Number of stored elements from a view's first to its last, both included."""
    if 0 in shape:
        return 0
    return 1 + sum((size - 1) * step for size, step in zip(shape, stride, strict=True))


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A tensor that is there but cannot be given; `kind` says what it is."""

    kind: str


def storage_from_id(identifier: object) -> Storage:
    """The storage a persistent id of `torch.save` stands for.

    Raises:
        CheckpointError: the id is not one that torch writes.
    """
    match identifier:
        case ("storage", Global(module=module, name=name), str(key), _, int(numel)) if (
            module in ("torch", "torch.cuda", "torch.storage") and numel >= 0
        ):
            return Storage(key, _STORAGE_DTYPES.get(name, name), numel)
    raise CheckpointError("its pickle refers to a storage in a way that torch.save never writes")


def _view(args: tuple[object, ...], dtype: str, metadata: object) -> StoredTensor | Unreadable:
    """The tensor of the arguments (storage, offset, shape, stride, ...), checked."""
    storage, offset, shape, stride = args[:4]
    if not (isinstance(storage, Storage) and type(offset) is int):
        raise _not_a_tensor()
    for name in (storage.dtype, dtype):
        if name not in DTYPES:
            return Unreadable(name)
    shape, stride = _whole_numbers(shape), _whole_numbers(stride)
    if len(shape) != len(stride) or offset < 0:
        raise _not_a_tensor()
    itemsize = DTYPES[dtype].itemsize
    if math.prod(n for n in shape if n) * itemsize >= 1 << 62:
        raise UnsafeCheckpointError("it holds a tensor whose shape is beyond any memory")
    held = storage.numel * DTYPES[storage.dtype].itemsize // itemsize
    end = offset + span(shape, stride)
    if 0 not in shape and end > held:
        raise UnsafeCheckpointError(
            f"it holds a tensor whose offset and strides reach element {end - 1} of a storage of "
            f"{held}"
        )
    conjugated = DTYPES[dtype].is_complex and _has_bit(metadata, "conj")
    negated = dtype != "bool" and _has_bit(metadata, "neg")
    return StoredTensor(storage, dtype, offset, shape, stride, conjugated, negated)


def _has_bit(metadata: object, bit: str) -> bool:
    """Whether a lazy operation's bit is set in the last argument of a tensor record."""
    if not isinstance(metadata, Items) or len(metadata) > _MAX_METADATA_ITEMS:
        return False
    return any(
        isinstance(key, str) and key == bit and value is True for key, value in metadata.pairs()
    )


def _whole_numbers(values: object) -> tuple[int, ...]:
    if not isinstance(values, tuple) or len(values) > _MAX_AXES:
        raise _not_a_tensor()
    for value in values:
        if type(value) is not int or value < 0:
            raise _not_a_tensor()
    return values


def _not_a_tensor() -> CheckpointError:
    return CheckpointError("its pickle holds a tensor record that torch.save never writes")


def _tensor_v2(args: tuple[object, ...]) -> object:
    if len(args) < 4 or not isinstance(args[0], Storage):
        raise _not_a_tensor()
    return _view(args, args[0].dtype, args[6] if len(args) > 6 else None)


def _tensor_v3(args: tuple[object, ...]) -> object:
    if len(args) < 7 or not isinstance(dtype := args[6], Global):
        raise _not_a_tensor()
    return _view(args, dtype.name, args[7] if len(args) > 7 else None)


_VIEWS: dict[str, Call] = {
    "torch._utils._rebuild_tensor": _tensor_v2,
    "torch._utils._rebuild_tensor_v2": _tensor_v2,
    "torch._utils._rebuild_tensor_v3": _tensor_v3,
}


def _of_subclass(args: tuple[object, ...]) -> object:
    """A tensor with Python attributes: (function, class, its arguments, state)."""
    match args:
        case (Global() as function, _, tuple(inner), *_) if function.path in _VIEWS:
            return _VIEWS[function.path](inner)
        case (Global() as function, *_):
            return Unreadable(function.name.removeprefix("_rebuild_"))
    raise _not_a_tensor()


def _first(args: tuple[object, ...]) -> object:
    if not args:
        raise _not_a_tensor()
    return args[0]


def _ordered_dict(args: tuple[object, ...]) -> object:
    return args[0] if args else Items()


def _set(args: tuple[object, ...]) -> object:
    return args[0] if args else []


def _unreadable(kind: str) -> Call:
    return lambda args: Unreadable(kind)


CALLS: dict[str, Call] = {
    **_VIEWS,
    "torch._tensor._rebuild_from_type_v2": _of_subclass,
    "torch._tensor._rebuild_from_type": _of_subclass,
    "torch._utils._rebuild_parameter": _first,
    "torch._utils._rebuild_parameter_with_state": _first,
    "torch._utils._rebuild_device_tensor_from_cpu_tensor": _first,
    "torch.nn.parameter.Parameter": _first,
    "torch.Size": _first,
    "torch._utils._rebuild_qtensor": _unreadable("quantized"),
    "torch._utils._rebuild_sparse_tensor": _unreadable("sparse"),
    "torch._utils._rebuild_nested_tensor": _unreadable("nested"),
    "torch._utils._rebuild_meta_tensor_no_storage": _unreadable("meta"),
    "torch._utils._rebuild_wrapper_subclass": _unreadable("wrapper"),
    "torch._utils._rebuild_device_tensor_from_numpy": _unreadable("device"),
    "collections.OrderedDict": _ordered_dict,
    # Protocol 2 uses the module's name from Python 2.
    "builtins.set": _set,
    "builtins.frozenset": _set,
    "__builtin__.set": _set,
    "__builtin__.frozenset": _set,
    # TorchScript's typed lists and dicts: (value, name of the type).
    "torch.jit._pickle.restore_type_tag": _first,
    "torch.jit._pickle.build_tensorlist": _first,
    "torch.jit._pickle.build_intlist": _first,
    "torch.jit._pickle.build_doublelist": _first,
    "torch.jit._pickle.build_boollist": _first,
}
