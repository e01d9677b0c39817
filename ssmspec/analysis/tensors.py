"""Every tensor of two checkpoints, one pair at a time: same, moved, reshaped, retyped or gone.

A pair whose bytes are equal is never decoded. Memory follows the largest pair, not the files.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from ssmspec.analysis.matching import Matching, match_renamed
from ssmspec.arrays import Array
from ssmspec.checkpoints import Checkpoint, TensorInfo
from ssmspec.checkpoints.dtypes import DTYPES, decode, encode
from ssmspec.errors import CheckpointError
from ssmspec.families.catalog import Catalog
from ssmspec.families.find import FoundLayer
from ssmspec.results.tensors import Change, Stored, TensorComparison, TensorDifference, ValueChange

MAX_FETCHED = 2**20
"""Bytes of a tensor outside the state-space layers up to which it is fetched to be compared."""

_CHUNK = 2**20
"""Elements that are compared, or decoded to float64, at once."""

_INTEGERS = frozenset(
    name for name, dtype in DTYPES.items() if dtype.to_numpy is None and dtype.storage.kind in "iu"
)


@dataclass(frozen=True)
class Parameters:
    """The tensors of one checkpoint by dotted name, optimizer state left out.

    Attributes:
        checkpoint: what holds them.
        tensors: dotted name -> its entry.
        owners: name as in the file -> (state-space layer, role of the tensor in it).
        optimizer_tensors: how many were left out.
    """

    checkpoint: Checkpoint
    tensors: Mapping[str, TensorInfo]
    owners: Mapping[str, tuple[str, str]]
    optimizer_tensors: int


def parameters(catalog: Catalog, layers: tuple[FoundLayer, ...]) -> Parameters:
    """The model's tensors, and which of them are parameters of its state-space layers."""
    entries = catalog.checkpoint.tensors
    return Parameters(
        checkpoint=catalog.checkpoint,
        tensors={
            f"{path}.{leaf}" if path else leaf: entries[name]
            for path, leaves in catalog.modules.items()
            for leaf, name in leaves.items()
        },
        owners={
            name: (layer.site.name, role)
            for layer in layers
            for role, name in layer.site.tensors.items()
        },
        optimizer_tensors=catalog.optimizer_tensors,
    )


def compare_tensors(
    a: Parameters,
    b: Parameters,
    progress: Callable[[int, int], None] | None = None,
    renamed: Mapping[str, str] | None = None,
) -> tuple[TensorComparison, Matching]:
    """Compare every tensor of A with the one of the same name in B.

    Args:
        a: tensors of the first checkpoint.
        b: tensors of the second.
        progress: called after each pair with (pairs done, pairs in all).
        renamed: path in B -> path in A, of layers that go by other names.

    Returns:
        What differs, and how names were matched.

    Raises:
        CheckpointError: a tensor's bytes cannot be read.
    """
    matching = match_renamed(tuple(a.tensors), tuple(b.tensors), renamed or {})
    differences = []
    state_space = 0
    for done, (name_a, name_b) in enumerate(matching.pairs, start=1):
        info_a, info_b = a.tensors[name_a], b.tensors[name_b]
        owner = a.owners.get(info_a.name) or b.owners.get(info_b.name)
        state_space += owner is not None
        difference = _compared(a.checkpoint, info_a, b.checkpoint, info_b, owner)
        if difference is not None:
            differences.append(difference)
        if progress is not None:
            progress(done, len(matching.pairs))
    result = TensorComparison(
        matched=len(matching.pairs),
        identical=len(matching.pairs) - len(differences),
        differences=(
            *differences,
            *(_alone(Change.ONLY_A, a, name) for name in matching.only_a),
            *(_alone(Change.ONLY_B, b, name) for name in matching.only_b),
        ),
        state_space=state_space,
    )
    return result, matching


def _alone(change: Change, side: Parameters, name: str) -> TensorDifference:
    info = side.tensors[name]
    layer, role = side.owners.get(info.name, (None, None))
    stored = _stored(info)
    a, b = (stored, None) if change is Change.ONLY_A else (None, stored)
    return TensorDifference(change, a, b, layer=layer, role=role)


def _compared(
    a: Checkpoint,
    info_a: TensorInfo,
    b: Checkpoint,
    info_b: TensorInfo,
    owner: tuple[str, str] | None,
) -> TensorDifference | None:
    layer, role = owner or (None, None)

    def differs(
        change: Change, values: ValueChange | None = None, *, rounded: bool = False
    ) -> TensorDifference:
        sides = _stored(info_a), _stored(info_b)
        return TensorDifference(change, *sides, values, layer, role, rounded)

    if info_a.shape != info_b.shape:
        return differs(Change.SHAPE)
    if info_a.dtype not in DTYPES or info_b.dtype not in DTYPES:
        return differs(Change.UNREAD)
    if owner is None and (_stays_afar(a, info_a) or _stays_afar(b, info_b)):
        return differs(Change.UNREAD)
    left, right = a.load(info_a.name).reshape(-1), b.load(info_b.name).reshape(-1)
    if info_a.dtype != info_b.dtype:
        values = _value_change(left, info_a.dtype, right, info_b.dtype)
        rounded = _is_rounded(left, info_a.dtype, right, info_b.dtype)
        return differs(Change.DTYPE, values, rounded=rounded)
    if _same_bytes(left, right):
        return None
    values = _value_change(left, info_a.dtype, right, info_b.dtype)
    return differs(Change.VALUES, values) if values.elements else None


def _stays_afar(checkpoint: Checkpoint, info: TensorInfo) -> bool:
    """Whether a tensor would have to travel, and is too large to."""
    return checkpoint.is_remote and info.nbytes > MAX_FETCHED


def _is_rounded(left: Array, dtype_a: str, right: Array, dtype_b: str) -> bool:
    """Whether either side is the other, rounded to its own type."""
    sides = ((left, dtype_a, right, dtype_b), (right, dtype_b, left, dtype_a))
    return any(_rounds_to(*side) for side in sides)


def _rounds_to(wide: Array, dtype: str, narrow: Array, narrow_dtype: str) -> bool:
    for start in range(0, wide.size, _CHUNK):
        values = decode(wide[start : start + _CHUNK], dtype)
        kept = decode(narrow[start : start + _CHUNK], narrow_dtype)
        try:
            rounded = decode(encode(values, narrow_dtype), narrow_dtype)
        except CheckpointError:
            return False
        if not np.array_equal(rounded, kept, equal_nan=True):
            return False
    return True


def _same_bytes(left: Array, right: Array) -> bool:
    return all(
        np.array_equal(
            left[start : start + _CHUNK].view(np.uint8),
            right[start : start + _CHUNK].view(np.uint8),
        )
        for start in range(0, left.size, _CHUNK)
    )


def _value_change(left: Array, dtype_a: str, right: Array, dtype_b: str) -> ValueChange:
    """How far two flat arrays of stored elements are apart."""
    elements, finite = 0, 0
    largest: float | None = None
    squares = 0.0
    with np.errstate(over="ignore", invalid="ignore"):  # infinities are looked at below
        for start in range(0, left.size, _CHUNK):
            raw_a, raw_b = left[start : start + _CHUNK], right[start : start + _CHUNK]
            a, b = decode(raw_a, dtype_a), decode(raw_b, dtype_b)
            # Integers beyond 2^53 are told apart as stored, not as float64.
            exact = dtype_a == dtype_b and dtype_a in _INTEGERS
            unequal = (raw_a != raw_b) if exact else (a != b)
            unequal &= ~(np.isnan(a) & np.isnan(b))
            elements += int(np.count_nonzero(unequal))
            known = np.isfinite(a)
            finite += int(np.count_nonzero(known))
            squares += float(np.square(np.abs(a[known])).sum())
            both = unequal & known & np.isfinite(b)
            if both.any():
                largest = max(largest or 0.0, float(np.abs(b[both] - a[both]).max()))
    rms = math.sqrt(squares / finite) if finite else None
    return ValueChange(elements, _finite(largest), _finite(rms))


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _stored(info: TensorInfo) -> Stored:
    return Stored(info.name, info.dtype, info.shape)
