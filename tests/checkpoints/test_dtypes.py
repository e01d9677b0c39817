"""Oracle: torch, which has every one of these types, and exact rational rounding."""

import warnings
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ssmspec.checkpoints.dtypes import DTYPES, decode, dtype_named, encode
from ssmspec.errors import CheckpointError


def bits_of(tensor):
    integers = {1: torch.uint8, 2: torch.int16}[tensor.itemsize]
    unsigned = {1: np.uint8, 2: np.uint16}[tensor.itemsize]
    return tensor.view(integers).numpy().view(unsigned)


@pytest.mark.parametrize("name", ["float8_e4m3fn", "float8_e5m2"])
def test_every_float8_code_is_what_torch_says(name):
    codes = np.arange(256, dtype=np.uint8)
    expected = torch.from_numpy(codes).view(getattr(torch, name)).to(torch.float64).numpy()
    np.testing.assert_array_equal(decode(codes, name), expected)


def test_every_bfloat16_is_what_torch_says():
    codes = np.arange(2**16, dtype=np.uint16)
    tensor = torch.from_numpy(codes.view(np.int16)).view(torch.bfloat16)
    np.testing.assert_array_equal(decode(codes, "bfloat16"), tensor.to(torch.float64).numpy())


@pytest.mark.parametrize("name", [n for n in DTYPES if hasattr(torch, n)])
def test_names_and_sizes_are_torchs(name):
    assert DTYPES[name].itemsize == getattr(torch, name).itemsize
    assert DTYPES[name].is_complex == getattr(torch, name).is_complex


@pytest.mark.parametrize("name", ["float16", "float32", "bfloat16"])
def test_signaling_nans_decode_without_a_warning(name):
    bits = {
        "float16": np.array([0x7D01], "<u2").view("<f2"),
        "float32": np.array([0x7F800001], "<u4").view("<f4"),
        "bfloat16": np.array([0x7F81], "<u2"),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isnan(decode(bits[name], name)).all()


def nearest_bfloat16(value):
    """Brute force: the neighbours on the bfloat16 grid, compared exactly; ties to even."""
    with np.errstate(over="ignore"):
        low = (np.float32(value).view(np.uint32) >> np.uint32(16)).astype(np.int64)
    codes = [c for c in (low - 1, low, low + 1) if 0 <= c < 2**16 and (c & 0x7FFF) < 0x7F80]
    number = {c: Fraction(float(decode(np.array([c], np.uint16), "bfloat16")[0])) for c in codes}
    return min(codes, key=lambda c: (abs(number[c] - Fraction(value)), c & 1))


@given(st.floats(-1e38, 1e38, allow_subnormal=False))
def test_bfloat16_is_rounded_once(value):
    encoded = encode(np.array([value]), "bfloat16")
    assert decode(encoded, "bfloat16") == decode(np.array([nearest_bfloat16(value)]), "bfloat16")


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("beside", [0.0, 2.0**-40, -(2.0**-40)])
@pytest.mark.parametrize("low", [1.0, 1 + 2.0**-7])  # an even and an odd neighbour below
def test_bfloat16_ties_and_what_lies_just_beside_them(low, beside, sign):
    """float32 loses 2^-40 and sees a tie, which must not be rounded a second time."""
    value = sign * (low + 2.0**-8 + beside)
    up = beside > 0 or (beside == 0 and low > 1)  # ties go to the even one
    stored = decode(encode(np.array([value]), "bfloat16"), "bfloat16")
    assert stored == sign * (low + up * 2.0**-7)


@pytest.mark.parametrize("name", ["float16", "bfloat16", "float32", "float64"])
def test_encode_agrees_with_torch_on_float32_values(name):
    values = np.random.default_rng(0).standard_normal(1000).astype(np.float32)
    values = np.append(values, np.float32([0.0, -0.0, np.inf, -np.inf, np.nan, 1e-40]))
    expected = torch.from_numpy(values).to(getattr(torch, name)).to(torch.float64).numpy()
    encoded = encode(values.astype(np.float64), name)
    assert encoded.dtype == DTYPES[name].storage
    np.testing.assert_array_equal(decode(encoded, name), expected)


@pytest.mark.parametrize("name", [n for n in DTYPES if not n.startswith("float8")])
def test_what_a_type_holds_survives_the_round_trip(name):
    values = np.array([[0.0, 1.0], [1.0, 0.0]], order="F")
    encoded = encode(values, name)
    assert encoded.flags.c_contiguous
    np.testing.assert_array_equal(decode(encoded, name), values)


@pytest.mark.parametrize(
    ("values", "name"),
    [
        (np.array([1e300]), "float32"),
        (np.array([1e5]), "float16"),
        (np.array([-3.4e38 * 1.01]), "bfloat16"),
        (np.array([0.5]), "int32"),
        (np.array([-1.0]), "uint8"),
        (np.array([300.0]), "int8"),
        (np.array([np.nan]), "int64"),
        (np.array([1j]), "float64"),
        (np.array([1.0]), "float8_e5m2"),
    ],
)
def test_encode_refuses_what_a_type_cannot_hold(values, name):
    with pytest.raises(CheckpointError):
        encode(values, name)


def test_an_unknown_type_is_named():
    with pytest.raises(CheckpointError, match="'f4'"):
        dtype_named("f4")
