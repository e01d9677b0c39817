"""Oracle: the arrays themselves, and torch's own conversion to float64."""

import types
from collections import OrderedDict

import numpy as np
import pytest
import torch

from ssmspec.checkpoints.memory import MAX_DEPTH, MemoryCheckpoint
from ssmspec.errors import CheckpointError

TORCH_DTYPES = [
    "float64", "float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2",
    "int64", "int32", "int16", "int8", "uint8", "uint16", "uint32", "uint64", "bool",
]  # fmt: skip


@pytest.mark.parametrize("name", TORCH_DTYPES)
@pytest.mark.parametrize("shape", [(), (3,), (0, 2), (2, 3, 4)])
def test_torch_tensors_of_every_type(name, shape):
    tensor = (torch.arange(torch.Size(shape).numel()).reshape(shape) % 3).to(getattr(torch, name))
    checkpoint = MemoryCheckpoint({"x": tensor})
    assert checkpoint.info("x").dtype == name
    assert checkpoint.info("x").shape == shape
    read = checkpoint.read("x")
    assert read.dtype == np.float64
    np.testing.assert_array_equal(read, tensor.to(torch.float64).numpy())


@pytest.mark.parametrize("name", ["complex64", "complex128"])
def test_conjugated_and_negated_views(name):
    tensor = torch.randn(4, 3, dtype=getattr(torch, name))
    lazy = {"conj": tensor.conj(), "neg": tensor.conj().imag, "mT": tensor.mT}
    assert lazy["conj"].is_conj()
    assert lazy["neg"].is_neg()
    checkpoint = MemoryCheckpoint(lazy)
    np.testing.assert_array_equal(checkpoint.read("conj"), np.conj(tensor.numpy()))
    np.testing.assert_array_equal(checkpoint.read("neg"), -tensor.numpy().imag)
    np.testing.assert_array_equal(checkpoint.read("mT"), tensor.numpy().T)
    assert checkpoint.load("mT").flags.c_contiguous


def test_parameters_that_require_grad_and_strided_bfloat16():
    base = torch.randn(6, 4).to(torch.bfloat16)
    checkpoint = MemoryCheckpoint({"p": torch.nn.Parameter(base)[1::2].T})
    np.testing.assert_array_equal(checkpoint.read("p"), base[1::2].T.double().numpy())


@pytest.mark.parametrize("code", ["<f8", ">f8", ">f4", "<f2", ">c8", "<c16", ">i2", "|b1", ">u8"])
def test_numpy_arrays_of_either_byte_order(code):
    array = np.asfortranarray(np.arange(12).reshape(3, 4) % 2).astype(code)
    checkpoint = MemoryCheckpoint({"x": array, "scalar": array[0, 1]})
    assert checkpoint.info("x").dtype == np.dtype(code).name
    assert (
        checkpoint.load("x").tobytes() == array.astype(np.dtype(code).newbyteorder("<")).tobytes()
    )
    assert checkpoint.read("scalar") == complex(array[0, 1])
    assert checkpoint.read("scalar").shape == ()


def test_names_are_joined_and_what_is_no_tensor_is_noted():
    zeros = np.zeros(2)
    module = torch.nn.Linear(2, 1)
    state = OrderedDict(
        model=types.MappingProxyType({"a": zeros, "layers": {0: zeros, 10: {"w": zeros}}}),
        net=module, epoch=3, history=[zeros], name="x",
    )  # fmt: skip
    state["params", "dense", "kernel"] = zeros
    checkpoint = MemoryCheckpoint(state)
    assert list(checkpoint.tensors) == [
        "model.a", "model.layers.0", "model.layers.10.w", "net.weight", "net.bias",
        "params.dense.kernel",
    ]  # fmt: skip
    assert checkpoint.notes == ("3 values that are no tensors were passed over",)
    assert checkpoint.size is None
    assert checkpoint.container == "memory"


def test_cycles_are_cut_and_shared_subtrees_kept():
    shared = {"w": np.ones(1)}
    tree = {"a": shared, "b": shared}
    tree["self"] = tree
    shared["up"] = tree
    assert list(MemoryCheckpoint(tree).tensors) == ["a.w", "b.w"]


def test_nesting_too_deep_and_clashing_names_are_refused():
    tree = {"w": np.ones(1)}
    for _ in range(100_000):
        tree = {"x": tree}
    with pytest.raises(CheckpointError, match=str(MAX_DEPTH)):
        MemoryCheckpoint(tree)
    with pytest.raises(CheckpointError, match=r"a\.b"):
        MemoryCheckpoint({"a.b": np.ones(1), "a": {"b": np.ones(1)}})
    while tree:  # dismantled step by step: the interpreter would recurse
        tree = tree.get("x", {})


class ShapeOnly:
    shape = (2,)
    dtype = np.dtype("float32")


@pytest.mark.parametrize(
    "value",
    [
        torch.eye(3).to_sparse(),
        torch.empty(3, device="meta"),
        torch.empty(3, device="meta", dtype=torch.bfloat16),
        ShapeOnly(),
        np.array(["text"]),
        np.array([None]),
        np.zeros(2, [("a", "f4")]),
    ],
)
def test_what_has_no_numbers_is_listed_and_refused_by_name(value):
    checkpoint = MemoryCheckpoint({"x\x1b": value})
    assert checkpoint.info("x\x1b").shape == tuple(value.shape)
    with pytest.raises(CheckpointError) as caught:
        checkpoint.read("x\x1b")
    assert str(caught.value).isprintable()
    assert str(caught.value).startswith("x\\x1b")


def test_the_owners_memory_is_safe():
    array = np.zeros(3)
    checkpoint = MemoryCheckpoint({"x": array})
    checkpoint.read("x")[:] = 1
    with pytest.raises(ValueError, match="read-only"):
        checkpoint.load("x")[:] = 1
    assert not array.any()


class Bfloat16Array:
    """An array library with its own two-byte type, as ml_dtypes gives to jax."""

    def __init__(self, bits):
        self.bits = bits
        self.shape = bits.shape
        self.dtype = types.SimpleNamespace(name="bfloat16")

    def __array__(self, dtype=None, copy=None):
        return self.bits.view("V2")


def test_arrays_of_other_libraries_give_their_bits():
    bits = np.array([0x3F80, 0xC000], np.uint16)
    assert MemoryCheckpoint({"x": Bfloat16Array(bits)}).read("x").tolist() == [1.0, -2.0]
