"""Element types that checkpoints store, under one set of names, and their decoding to float64.

numpy has no bfloat16 and no float8: those are loaded as bit patterns and decoded here, exactly
(every bfloat16 and float8 value is a float32 value).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ssmspec.arrays import Array
from ssmspec.errors import CheckpointError


def _bfloat16_to_float32(bits: Array) -> Array:
    return (bits.astype(np.uint32) << 16).view(np.float32)


def _float8_to_float32(
    exponent_bits: int, bias: int, *, has_infinity: bool
) -> Callable[[Array], Array]:
    """A decoder by table: 256 entries from sign, exponent and mantissa fields."""
    mantissa_bits = 7 - exponent_bits
    codes = np.arange(256)
    sign = np.where(codes & 0x80, -1.0, 1.0)
    exponent = (codes >> mantissa_bits) & (2**exponent_bits - 1)
    mantissa = (codes & (2**mantissa_bits - 1)) / 2**mantissa_bits
    normal = (1.0 + mantissa) * np.exp2(exponent - float(bias))
    table = sign * np.where(exponent == 0, mantissa * np.exp2(1.0 - bias), normal)
    if has_infinity:
        top = exponent == 2**exponent_bits - 1
        table = np.where(top, np.where(mantissa == 0, sign * np.inf, np.nan), table)
    else:
        table = np.where((codes & 0x7F) == 0x7F, np.nan, table)
    lookup = table.astype(np.float32)
    return lambda bits: lookup[bits]


@dataclass(frozen=True)
class Dtype:
    """One element type.

    Attributes:
        name: canonical name, as in torch and numpy.
        storage: little-endian numpy dtype of the stored bits.
        to_numpy: turns loaded bits into numbers; None where they are numbers already.
    """

    name: str
    storage: np.dtype[np.generic]
    to_numpy: Callable[[Array], Array] | None = None

    @property
    def itemsize(self) -> int:
        """Bytes of one element."""
        return self.storage.itemsize

    @property
    def is_complex(self) -> bool:
        """Whether elements have an imaginary part."""
        return self.storage.kind == "c"


_PLAIN = {
    "float64": "<f8", "float32": "<f4", "float16": "<f2", "complex128": "<c16", "complex64": "<c8",
    "int64": "<i8", "int32": "<i4", "int16": "<i2", "int8": "<i1",
    "uint64": "<u8", "uint32": "<u4", "uint16": "<u2", "uint8": "<u1", "bool": "|b1",
}  # fmt: skip

DTYPES: dict[str, Dtype] = {
    **{name: Dtype(name, np.dtype(code)) for name, code in _PLAIN.items()},
    "bfloat16": Dtype("bfloat16", np.dtype("<u2"), _bfloat16_to_float32),
    "float8_e4m3fn": Dtype(
        "float8_e4m3fn", np.dtype("u1"), _float8_to_float32(4, 7, has_infinity=False)
    ),
    "float8_e5m2": Dtype(
        "float8_e5m2", np.dtype("u1"), _float8_to_float32(5, 15, has_infinity=True)
    ),
}


def dtype_named(name: str) -> Dtype:
    """The element type of this canonical name.

    Raises:
        CheckpointError: the type is not one that can be decoded.
    """
    try:
        return DTYPES[name]
    except KeyError:
        raise CheckpointError(f"tensors of dtype {name!r} cannot be decoded") from None


def decode(stored: Array, name: str) -> Array:
    """Stored elements of any shape as float64, or complex128 for complex types."""
    dtype = dtype_named(name)
    numbers = dtype.to_numpy(stored) if dtype.to_numpy else stored
    with np.errstate(invalid="ignore"):  # a signaling NaN is a NaN, not worth a warning
        return numbers.astype(np.complex128 if dtype.is_complex else np.float64)


def encode(values: Array, name: str) -> Array:
    """float64 or complex128 values of any shape in a stored type, rounded to nearest, ties to even.

    Raises:
        CheckpointError: the type cannot hold them: complex into real, a finite value beyond its
            range, a fraction into integers, or a type without an encoder (float8).
    """
    dtype = dtype_named(name)
    if np.iscomplexobj(values) and not dtype.is_complex:
        raise CheckpointError(f"complex values cannot be stored as {name}")
    if name == "bfloat16":
        stored = _float64_to_bfloat16(values)
    elif dtype.to_numpy is not None:
        raise CheckpointError(f"values cannot be written as {name}")
    else:
        with np.errstate(over="ignore", invalid="ignore"):  # checked below
            stored = values.astype(dtype.storage, order="C")
    kept = decode(stored, name)
    exact = dtype.storage.kind in "iub" and name != "bfloat16"
    lost = (kept != values) if exact else (np.isfinite(values) & ~np.isfinite(kept))
    if np.any(lost):
        raise CheckpointError(f"{values[lost].flat[0]:g} cannot be stored as {name}")
    return stored


def _float64_to_bfloat16(values: Array) -> Array:
    """One correct rounding: float32 in between is rounded to odd, so that no tie is invented."""
    wide = values.astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        near = wide.astype(np.float32)
    bits = near.view(np.uint32)
    away = np.abs(near.astype(np.float64)) > np.abs(wide)
    odd = (bits - away.astype(np.uint32)) | (near.astype(np.float64) != wide).astype(np.uint32)
    rounded = (odd + np.uint32(0x7FFF) + ((odd >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)
    return np.where(np.isnan(wide), np.uint32(0x7FC0), rounded).astype("<u2", order="C")
