"""A state dict that is already in memory: names to arrays, or a module that has one.

Tensors of any library are taken through `numpy.asarray`; torch tensors are detached and moved to
the CPU by their own methods, so torch itself is never imported here.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ssmspec.arrays import Array
from ssmspec.checkpoints.base import Checkpoint, TensorInfo, shaped
from ssmspec.checkpoints.dtypes import DTYPES
from ssmspec.errors import CheckpointError
from ssmspec.naming import printable

MAX_DEPTH = 64
"""Deepest nesting of mappings that is followed; a heuristic, far beyond any module tree."""


class MemoryCheckpoint(Checkpoint):
    """A mapping of names to arrays; mappings and modules nested in it become dotted names.

    Args:
        tensors: names to arrays. Keys that are tuples (flattened flax trees) are joined with dots;
            values that are neither arrays, mappings nor modules are passed over.
        path: what to call the source in reports.

    Raises:
        CheckpointError: two values have the same dotted name, or mappings nest too deeply.
    """

    container = "memory"

    def __init__(self, tensors: Mapping[Any, Any], path: str = "a state dict in memory") -> None:
        super().__init__(path, size=None)
        self._values: dict[str, Any] = {}
        others = 0
        for name, value in _leaves(tensors):
            if not (hasattr(value, "shape") and hasattr(value, "dtype")):
                others += 1
            elif name in self._values:
                raise CheckpointError(f"two tensors in {path} are called {printable(name)}")
            else:
                self._values[name] = value
        self.tensors = {
            name: TensorInfo(name, _dtype_name(value), tuple(int(n) for n in value.shape))
            for name, value in self._values.items()
        }
        if others:
            self.notes = (f"{others} values that are no tensors were passed over",)

    def _load(self, info: TensorInfo) -> Array:
        if info.dtype not in DTYPES:
            raise CheckpointError(
                f"{printable(info.name)}: tensors of dtype {printable(info.dtype)} cannot be "
                f"decoded; convert it to float32 first"
            )
        try:
            return _stored(self._values[info.name], info)
        except (TypeError, ValueError, RuntimeError, AttributeError) as error:  # sparse, meta, ...
            cause = printable(str(error).partition("\n")[0])[:200]
            raise CheckpointError(
                f"{printable(info.name)} cannot be turned into an array: {cause}"
            ) from None


def _leaves(tensors: Mapping[Any, Any]) -> Iterator[tuple[str, Any]]:
    """Everything that is no mapping, in order, by dotted name; a mapping inside itself is cut."""
    pending: list[tuple[str, Any, frozenset[int]]] = [("", tensors, frozenset())]
    while pending:
        name, value, ancestors = pending.pop()
        children = _children(value)
        if children is None:
            yield name, value
        elif id(value) not in ancestors:
            if len(ancestors) >= MAX_DEPTH:
                raise CheckpointError(f"mappings are nested deeper than {MAX_DEPTH} levels")
            within = ancestors | {id(value)}
            prefix = f"{name}." if name else ""
            pending += [
                (prefix + _key_name(key), child, within)
                for key, child in reversed(list(children.items()))
            ]


def _children(value: Any) -> Mapping[Any, Any] | None:
    if isinstance(value, Mapping):
        return value
    state_dict = getattr(value, "state_dict", None)
    if not callable(state_dict) or isinstance(value, type):
        return None
    state = state_dict()
    return state if isinstance(state, Mapping) else None


def _key_name(key: Any) -> str:
    return ".".join(str(part) for part in key) if isinstance(key, tuple) else str(key)


def _dtype_name(value: Any) -> str:
    """Canonical name of a numpy, jax, TensorFlow or torch dtype."""
    name = getattr(value.dtype, "name", None)
    return name if isinstance(name, str) else str(value.dtype).removeprefix("torch.")


def _stored(value: Any, info: TensorInfo) -> Array:
    for method in ("detach", "cpu", "resolve_conj", "resolve_neg"):
        if hasattr(value, method):
            value = getattr(value, method)()
    dtype = DTYPES[info.dtype]
    torch = sys.modules.get("torch")
    if dtype.to_numpy is not None and torch is not None and isinstance(value, torch.Tensor):
        # numpy has no such type: take the bits through torch's own reinterpretation
        value = value.view(torch.uint8 if dtype.itemsize == 1 else torch.int16)
    array = np.asarray(value)
    if dtype.to_numpy is not None:
        array = np.ascontiguousarray(array).view(dtype.storage)
    elif array.dtype.name != info.dtype:
        raise TypeError(f"it became an array of {array.dtype}")
    view = shaped(array.astype(dtype.storage, copy=False), info).view()
    view.flags.writeable = False  # it may be the owner's own memory
    return view
