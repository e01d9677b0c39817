"""Oracles: the safetensors library's own writers and readers, and torch for its dtypes."""

import json
import struct
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ssmspec.checkpoints.dtypes import DTYPES
from ssmspec.checkpoints.safetensors_file import (
    CODES,
    CONTAINER,
    SafetensorsCheckpoint,
    code_to_dtype,
    dtype_to_code,
)
from ssmspec.errors import CheckpointError

NUMPY_DTYPES = [
    "float64", "float32", "float16", "complex64", "bool",
    "int64", "int32", "int16", "int8", "uint64", "uint32", "uint16", "uint8",
]  # fmt: skip


def write_raw(path, header, data=b"", length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + data)
    return path


def entry(dtype, shape, begin, end):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_values_are_the_librarys(tmp_path_factory, data):
    dtypes = data.draw(st.lists(st.sampled_from(NUMPY_DTYPES), max_size=4))
    shapes = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)
    tensors = {f"{name}.{i}": data.draw(hnp.arrays(name, shapes)) for i, name in enumerate(dtypes)}
    path = tmp_path_factory.mktemp("st") / "x"
    safetensors.numpy.save_file(tensors, path)
    expected = safetensors.numpy.load_file(path)
    with SafetensorsCheckpoint(path) as checkpoint:
        assert set(checkpoint.tensors) == set(expected)
        for name, array in expected.items():
            loaded = checkpoint.load(name)
            assert checkpoint.info(name).dtype == array.dtype.name == name.split(".")[0]
            assert loaded.shape == array.shape == checkpoint.info(name).shape
            assert loaded.tobytes() == array.tobytes()
            np.testing.assert_array_equal(
                checkpoint.read(name),
                array.astype(complex if array.dtype.kind == "c" else float),
            )


@pytest.mark.parametrize("name", ["bfloat16", "float8_e4m3fn", "float8_e5m2"])
def test_types_that_numpy_lacks_are_torchs(tmp_path, name):
    tensor = torch.randn(3, 5, generator=torch.Generator().manual_seed(0)).to(getattr(torch, name))
    safetensors.torch.save_file({"x": tensor}, tmp_path / "x")
    with SafetensorsCheckpoint(tmp_path / "x") as checkpoint:
        assert checkpoint.info("x").dtype == name
        np.testing.assert_array_equal(checkpoint.read("x"), tensor.to(torch.float64).numpy())


def test_offsets_are_absolute_and_hold_the_bytes(tmp_path):
    tensors = {"b": np.arange(7, dtype=np.int16), "a": np.arange(3.0), "s": np.array(2, "f4")}
    safetensors.numpy.save_file(tensors, tmp_path / "x", metadata={"format": "np", "k": "v"})
    content = (tmp_path / "x").read_bytes()
    with SafetensorsCheckpoint(tmp_path / "x") as checkpoint:
        assert checkpoint.metadata == {"format": "np", "k": "v"}
        assert checkpoint.size == len(content)
        for name, array in tensors.items():
            begin, end = checkpoint.offsets[name]
            assert content[begin:end] == array.tobytes()


def test_every_code_of_the_library_is_listed_and_only_known_ones_are_read(tmp_path):
    with pytest.raises(Exception, match="unknown variant") as caught:
        safetensors.deserialize(
            write_raw(tmp_path / "x", {"a": entry("?", [1], 0, 1)}).read_bytes()
        )
    codes = set(str(caught.value).split("`")[3::2])
    assert set(CODES) <= codes
    bits = {"F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "F8_E8M0": 8}
    for code in codes - set(CODES):
        size = 8 * bits.get(code, 8) // 8
        write_raw(tmp_path / "x", {"a": entry(code, [8], 0, size)}, bytes(size))
        with SafetensorsCheckpoint(tmp_path / "x") as checkpoint:
            assert checkpoint.info("a").dtype == code.lower()
            assert dtype_to_code(code_to_dtype(code)) == code
            with pytest.raises(CheckpointError, match=f"^a: .*{code.lower()}"):
                checkpoint.read("a")
    assert all(DTYPES[name] for name in CODES.values())
    with pytest.raises(CheckpointError, match="complex128"):
        dtype_to_code("complex128")


F32 = entry("F32", [1], 0, 4)
F32_TEXT = json.dumps(F32).encode()
HOSTILE = {
    "header length 2^62": (b"{}", b"", 2**62),
    "header length past the end": (b'{"a"', b"", 100),
    "header length in another byte order": (b"{}", b"", 2 << 56),
    "invalid UTF-8": (b'{"\xff":' + F32_TEXT + b"}", bytes(4), None),
    "deep nesting": (b'{"a":' + b"[" * 10**6 + b"]" * 10**6 + b"}", bytes(4), None),
    "deep ignored nesting": (
        b'{"a":%b,"x":%b}}' % (F32_TEXT[:-1], b"[" * 10**5 + b"]" * 10**5),
        bytes(4),
        None,
    ),
    "not an object": (b"[]", b"", None),
    "no dtype": ({"a": {"shape": [1], "data_offsets": [0, 4]}}, bytes(4), None),
    "unknown dtype": ({"a": entry("\x1b[31mX", [1], 0, 4)}, bytes(4), None),
    "negative axis": ({"a": entry("F32", [-1], 0, 4)}, bytes(4), None),
    "fractional axis": ({"a": entry("F32", [1.0], 0, 4)}, bytes(4), None),
    "size overflow": ({"a": entry("F32", [2**62, 4], 0, 0)}, b"", None),
    "shape against range": ({"a": entry("F32", [3], 0, 4)}, bytes(4), None),
    "overlap": ({"a": F32, "b": entry("F32", [1], 2, 6)}, bytes(6), None),
    "hole": ({"a": F32, "b": entry("F32", [1], 8, 12)}, bytes(12), None),
    "offsets past the end": ({"a": entry("F32", [1], 2**62, 2**62 + 4)}, bytes(4), None),
    "reversed offsets": ({"a": entry("F32", [1], 4, 0)}, bytes(4), None),
    "truncated data": ({"a": entry("F32", [3], 0, 12)}, bytes(8), None),
    "bytes after the data": ({"a": F32}, bytes(12), None),
    "metadata that is no text": ({"__metadata__": {"x": 1}, "a": F32}, bytes(4), None),
    "one name twice, same bytes": (
        b'{"[red]\\n":%b,"[red]\\n":%b}' % ((F32_TEXT,) * 2), bytes(4), None,
    ),
    "one name twice": (
        b'{"a":%b,"a":%b}' % (F32_TEXT, F32_TEXT.replace(b"[0, 4]", b"[4, 8]")),
        bytes(8), None,
    ),
    "a name with escapes": ({"[red]\x1b[2J\n\u202e": entry("F32", [2], 0, 4)}, bytes(4), None),
}  # fmt: skip


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_headers_are_refused_in_one_line_and_little_memory(tmp_path, case):
    header, data, length = HOSTILE[case]
    path = write_raw(tmp_path / "x", header, data, length)
    tracemalloc.start()
    began = time.process_time()
    try:
        with pytest.raises(CheckpointError) as caught:
            SafetensorsCheckpoint(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 300 + len(str(path))
    assert peak < 2**20 + 20 * path.stat().st_size
    assert time.process_time() - began < 2


def test_names_are_kept_and_only_escaped_in_messages(tmp_path):
    name = "[red]\x1b[31m\n\x00x"
    path = write_raw(tmp_path / "x", {name: entry("F8_E8M0", [4], 0, 4)}, bytes(4))
    with SafetensorsCheckpoint(path) as checkpoint:
        assert list(checkpoint.tensors) == [name]
        for ask in (name, name + "2"):
            with pytest.raises(CheckpointError) as caught:
                checkpoint.read(ask)
            assert str(caught.value).isprintable()


@pytest.mark.parametrize("shape", [[1] * 5000, [0, 2**64 - 1], [0, 2**62, 2**62]])
def test_shapes_no_array_can_have_open_and_fail_when_read(tmp_path, shape):
    size = 0 if 0 in shape else 4
    path = write_raw(tmp_path / "x", {"a": entry("F32", shape, 0, size)}, bytes(size))
    with SafetensorsCheckpoint(path) as checkpoint:
        assert checkpoint.info("a").shape == tuple(shape)
        with pytest.raises(CheckpointError, match=r"^a: ") as caught:
            checkpoint.read("a")
        assert len(str(caught.value)) < 300


def test_a_file_that_changes_is_noticed(tmp_path):
    path = tmp_path / "x"
    safetensors.numpy.save_file({"a": np.zeros(4)}, path)
    checkpoint = SafetensorsCheckpoint(path)
    safetensors.numpy.save_file({"a": np.ones(4)}, tmp_path / "y")
    (tmp_path / "y").replace(path)
    with pytest.raises(CheckpointError, match="changed while it was being read"):
        checkpoint.read("a")
    path.unlink()
    with pytest.raises(CheckpointError, match="does not exist"):
        checkpoint.read("a")


def test_opening_reads_no_tensor_of_a_sparse_12_gb_file(tmp_path):
    size = 12 * 2**30
    path = write_raw(
        tmp_path / "x",
        {"big": entry("F32", [size // 4], 0, size), "end": entry("F32", [2], size, size + 8)},
    )
    end = path.stat().st_size + size
    with path.open("r+b") as file:
        file.truncate(end)
        file.seek(end)
        file.write(np.float32([1.5, -2.5]).tobytes())
    tracemalloc.start()
    began = time.process_time()
    with SafetensorsCheckpoint(path) as checkpoint:
        np.testing.assert_array_equal(checkpoint.read("end"), [1.5, -2.5])
    assert time.process_time() - began < 5  # to read 12 GiB would take longer
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


def test_no_file_stays_open(tmp_path):
    safetensors.numpy.save_file({"a": np.zeros(4)}, tmp_path / "x")
    before = open_files()
    checkpoint = SafetensorsCheckpoint(tmp_path / "x")
    checkpoint.read("a")
    assert open_files() == before


def open_files():
    folder = Path("/proc/self/fd")
    return len(list(folder.iterdir())) if folder.is_dir() else 0


def test_recognized_by_content(tmp_path):
    good = safetensors.numpy.save({"a": np.zeros(4)})
    for head, expected in [
        (good[:512], True),
        (struct.pack("<Q", 2**62) + b"{}", True),
        (b'{"abcd":{"x":1}}', False),
        (b"{}", False),
        (b"", False),
        (bytes(512), False),
    ]:
        assert CONTAINER.recognizes(tmp_path / "any.name", head) is expected
