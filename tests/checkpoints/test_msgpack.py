"""Oracle: the msgpack package with the extension types of flax.serialization, written out here."""

import struct
import time
import tracemalloc

import msgpack
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ssmspec import analyze
from ssmspec.checkpoints import open_checkpoint
from ssmspec.checkpoints.msgpack import file as msgpack_file
from ssmspec.checkpoints.msgpack.file import CONTAINER, MsgpackCheckpoint
from ssmspec.errors import CheckpointError, UnsafeCheckpointError
from tests.examples.families import EXAMPLES

NUMBERS = [
    "float64", "float32", "float16", "complex64", "complex128", "bool",
    "int64", "int32", "int16", "int8", "uint64", "uint32", "uint16", "uint8",
]  # fmt: skip


def array_payload(array, dtype=None):
    parts = (array.shape, dtype or array.dtype.name, array.tobytes("C"))
    return msgpack.packb(parts, use_bin_type=True)


def extension(value):
    if isinstance(value, np.ndarray):
        return msgpack.ExtType(1, array_payload(value))
    if isinstance(value, np.generic):
        return msgpack.ExtType(3, array_payload(np.asarray(value)))
    if isinstance(value, complex):
        return msgpack.ExtType(2, msgpack.packb((value.real, value.imag)))
    return value


def packed(tree):
    return msgpack.packb(tree, default=extension, strict_types=True)


def chunked(array, size):
    flat = array.reshape(-1)
    pieces = [flat[i : i + size] for i in range(0, flat.size, size)]
    return {
        "__msgpack_chunked_array__": True,
        "shape": {str(i): n for i, n in enumerate(array.shape)},
        "chunks": {str(i): piece for i, piece in enumerate(pieces)},
    }


def opened(tmp_path, content):
    path = tmp_path / "x.msgpack"
    path.write_bytes(content if isinstance(content, bytes) else packed(content))
    return MsgpackCheckpoint(path)


def flattened(tree, prefix=""):
    for key, value in tree.items():
        name = f"{prefix}/{key}" if prefix else key
        yield from flattened(value, name) if isinstance(value, dict) else [(name, value)]


keys = st.text(st.characters(exclude_characters="/", exclude_categories=["Cs"]), max_size=8)
arrays = st.sampled_from(NUMBERS).flatmap(
    lambda code: hnp.arrays(code, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0))
)
trees = st.recursive(arrays, lambda inner: st.dictionaries(keys, inner, max_size=4), max_leaves=8)


@settings(max_examples=60, deadline=None)
@given(tree=st.dictionaries(keys, trees, max_size=5))
def test_values_are_those_that_were_packed(tmp_path_factory, tree):
    checkpoint = opened(tmp_path_factory.mktemp("x"), tree)
    expected = dict(flattened(tree))
    if len(expected) != len(list(flattened(tree))):  # "" and nesting can spell one name twice
        return
    assert list(checkpoint.tensors) == [name or "tensor" for name in expected]
    for name, array in expected.items():
        info, loaded = checkpoint.info(name or "tensor"), checkpoint.load(name or "tensor")
        assert (info.dtype, info.shape) == (array.dtype.name, array.shape)
        assert loaded.dtype == array.dtype
        assert loaded.shape == array.shape
        assert loaded.tobytes() == array.tobytes("C")


def test_scalars_of_every_kind(tmp_path):
    tree = {"x": np.float32(1.5), "z": 2.0 - 3.0j, "n": 7, "s": "text", "none": None, "f": 0.25,
            "neg": -5, "big": 2**40, "yes": True, "bytes": b"abc", "long": "y" * 300}  # fmt: skip
    with opened(tmp_path, tree) as checkpoint:
        assert list(checkpoint.tensors) == ["x", "z"]
        assert checkpoint.read("x") == 1.5
        assert checkpoint.read("z") == 2.0 - 3.0j
        assert checkpoint.info("z").dtype == "complex128"
        assert checkpoint.metadata == {
            "n": "7", "s": "text", "f": "0.25", "neg": "-5", "big": str(2**40), "yes": "True",
        }  # fmt: skip


def test_bfloat16_and_float8_are_decoded(tmp_path):
    bits = np.array([0x3F80, 0xC000], np.uint16)
    tree = {
        "b": msgpack.ExtType(1, array_payload(bits, "bfloat16")),
        "f": msgpack.ExtType(1, array_payload(np.array([0x38], np.uint8), "float8_e4m3fn")),
        "old": msgpack.ExtType(1, msgpack.packb(((2,), b"bfloat16", bits.tobytes()))),
    }
    with opened(tmp_path, tree) as checkpoint:
        assert checkpoint.read("b").tolist() == [1.0, -2.0]
        assert checkpoint.read("f").tolist() == [1.0]
        assert checkpoint.read("old").tolist() == [1.0, -2.0]


def test_a_dtype_that_is_not_known_is_listed_and_refused_by_name(tmp_path):
    tree = {"w": np.array(["ab", "c"]), "good": np.ones(2)}
    with opened(tmp_path, tree) as checkpoint:
        assert checkpoint.info("w").dtype == "str64"
        with pytest.raises(CheckpointError, match=r"^w: .*str64"):
            checkpoint.read("w")
        assert checkpoint.read("good").tolist() == [1.0, 1.0]


def test_lists_and_integer_keys_become_names(tmp_path):
    tree = {"opt": [np.ones(1), {"mu": np.zeros(2)}], "layers": {3: np.ones(3)}}
    with opened(tmp_path, msgpack.packb(tree, default=extension)) as checkpoint:
        assert list(checkpoint.tensors) == ["opt/0", "opt/1/mu", "layers/3"]


def test_an_array_that_is_the_whole_file_has_a_name(tmp_path):
    with opened(tmp_path, packed(np.arange(3.0))) as checkpoint:
        assert checkpoint.read("tensor").tolist() == [0, 1, 2]


@pytest.mark.parametrize("nested", [True, False])
@pytest.mark.parametrize("shape", [(5, 4), (21,), (1, 1, 13)])
def test_chunks_are_one_array(tmp_path, shape, nested):
    array = np.random.default_rng(0).normal(size=shape)
    pieces = chunked(array, 4)
    tree = {"a": np.ones(1), "model": {"w": pieces}, "z": np.ones(1)} if nested else pieces
    with opened(tmp_path, tree) as checkpoint:
        name = "model/w" if nested else "tensor"
        assert list(checkpoint.tensors) == (["a", name, "z"] if nested else [name])
        assert checkpoint.info(name).shape == shape
        np.testing.assert_array_equal(checkpoint.read(name), array)


def broken_chunks():
    whole = chunked(np.ones((4, 3)), 4)
    mixed = chunked(np.ones((4, 3)), 4)
    mixed["chunks"]["1"] = np.ones(4, np.float32)
    return {
        "none": whole | {"chunks": {}},
        "one is missing": whole | {"chunks": {k: whole["chunks"][k] for k in ("0", "2")}},
        "shape": whole | {"shape": {"0": 4, "1": 4}},
        "no shape": whole | {"shape": {}},
        "negative": whole | {"shape": {"0": -4, "1": -3}},
        "types": mixed,
        "many axes": whole | {"shape": {str(i): 2**62 for i in range(5000)}},
    }


@pytest.mark.parametrize("which", broken_chunks())
def test_chunks_that_do_not_fit_are_refused(tmp_path, which):
    with pytest.raises(CheckpointError, match="chunks"):
        opened(tmp_path, {"w": broken_chunks()[which]})


@pytest.mark.parametrize("key", ["s5", "lru", "s5/full"])
def test_a_flax_model_is_measured(tmp_path, key):
    example = EXAMPLES[key]()
    tree: dict = {}
    for name, values in example.tensors.items():
        *path, leaf = name.replace(".", "/").split("/")
        branch = tree
        for part in path:
            branch = branch.setdefault(part, {})
        branch[leaf] = values
    path = tmp_path / "checkpoint_100"
    path.write_bytes(packed(tree))
    report = analyze(path, seq_len=64)
    assert report.checkpoint.container == "flax-msgpack"
    assert [layer.name for layer in report.layers] == list(example.log_poles)
    plain = analyze(example.tensors, seq_len=64)
    assert [layer.metrics for layer in report.layers] == [layer.metrics for layer in plain.layers]


def test_it_is_recognized_by_what_it_holds(tmp_path):
    trees = [{"params": {"a": np.ones(2)}}, {"step": 1, **{f"k{i}": i for i in range(20)}}]
    for tree in trees:
        path = tmp_path / "weights"
        path.write_bytes(packed(tree))
        with open_checkpoint(path) as checkpoint:
            assert checkpoint.container == "flax-msgpack"
    for head in (b"\x81\xa3a\nb", b"\x81\xa5ab", b"\x81\x81\xa1a", b"hello", b"\x90", b"\x81\xd9"):
        assert not CONTAINER.recognizes(tmp_path / "x", head)


def test_a_long_name_may_come_first(tmp_path):
    assert CONTAINER.recognizes(tmp_path, packed({"k" * 40: 1}))
    assert CONTAINER.recognizes(tmp_path, b"\xdf\x00\x00\x00\x01\xa1a\x01")


MODEL = {"params": {"ssm": {"A": np.arange(6.0).reshape(2, 3), "n": 3}, "z": 1j, "s": "abc"}}


def test_a_file_that_is_cut_off_anywhere_is_refused(tmp_path):
    content = packed(MODEL)
    for length in range(1, len(content)):
        with pytest.raises(CheckpointError, match="flax msgpack"):
            opened(tmp_path, content[:length])


def test_bytes_after_the_end_are_refused(tmp_path):
    with pytest.raises(CheckpointError, match="2 bytes follow"):
        opened(tmp_path, packed(MODEL) + b"\xc0\xc0")


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_no_damage_gives_anything_but_a_clear_error_or_arrays(tmp_path_factory, data):
    content = bytearray(packed(MODEL | {"c": chunked(np.ones(9), 4)}))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    folder = tmp_path_factory.mktemp("x")
    try:
        checkpoint = opened(folder, bytes(content))
        loaded = {name: checkpoint.load(name) for name in checkpoint.tensors}
    except CheckpointError:
        return
    for name, info in checkpoint.tensors.items():
        assert info.nbytes <= len(content)
        assert loaded[name].shape == info.shape


def ext32(code, payload):
    return b"\xc9" + struct.pack(">Ib", len(payload), code) + payload


HOSTILE = {
    "a list of four billion": b"\x81\xa1a\xdd\xff\xff\xff\xff",
    "a map of four billion": b"\x81\xa1a\xdf\xff\xff\xff\xff",
    "a text of four billion": b"\x81\xa1a\xdb\xff\xff\xff\xff",
    "an array of four billion": b"\x81\xa1a\xc9\xff\xff\xff\xff\x01\x93",
    "bytes beyond the array": b"\x81\xa1a" + ext32(
        1, b"\x93\x91\xce\x00\x01\x00\x00\xa5uint8\xc6\x00\x01\x00\x00"
    ),
    "bytes beyond the payload": b"\x81\xa1a" + ext32(
        1, b"\x93\x91\x04\xa5uint8\xc4\x04ab"
    ) + b"cdef",
    "a shape larger than the bytes": packed(
        {"a": msgpack.ExtType(1, msgpack.packb(((2**31, 2**31), "float32", b"1234")))}
    ),
    "a negative shape": packed({"a": msgpack.ExtType(1, msgpack.packb(((-1, -4), "int8", b"ab")))}),
    "a shape of texts": packed({"a": msgpack.ExtType(1, msgpack.packb((("2",), "int8", b"ab")))}),
    "a shape of booleans": packed(
        {"a": msgpack.ExtType(1, msgpack.packb(((True,), "int8", b"a")))}
    ),
    "too many axes": packed(
        {"a": msgpack.ExtType(1, msgpack.packb(((1,) * 65, "int8", b"a")))}
    ),
    "two parts": packed({"a": msgpack.ExtType(1, msgpack.packb(((1,), "int8")))}),
    "an empty array": packed({"a": msgpack.ExtType(1, b"")}),
    "three parts of a number": packed({"a": msgpack.ExtType(2, msgpack.packb((1.0, 2.0, 3.0)))}),
    "a text in a number": packed({"a": msgpack.ExtType(2, msgpack.packb((1.0, "x")))}),
    "a byte that begins nothing": b"\x81\xa1a\xc1",
    "a key that is a list": b"\x81\x91\x01\x02",
    "a key that is no UTF-8": b"\x81\xa1\xff\x01",
    "a text that is no UTF-8": b"\x81\xa1a\xa1\xff",
    "a key of megabytes": b"\x81\xdb\x00\x10\x00\x00" + bytes(2**20) + b"\x01",
    "a dtype of megabytes": packed(
        {"a": msgpack.ExtType(1, msgpack.packb(((1,), "x" * 2**20, b"a")))}
    ),
    "two arrays of one name": b"\x82" + 2 * (b"\xa1a" + packed(np.ones(1))),
    "an array and chunks of one name": b"\x82\xa1a" + packed(np.ones(1)) + b"\xa1a" + packed(
        chunked(np.ones(9), 4)
    ),
}  # fmt: skip


@pytest.mark.parametrize("which", HOSTILE)
def test_hostile_files_are_refused_at_once(tmp_path, which):
    path = tmp_path / "x"
    path.write_bytes(HOSTILE[which])
    tracemalloc.start()
    start = time.process_time()
    with pytest.raises(CheckpointError) as caught:
        MsgpackCheckpoint(path)
    assert time.process_time() - start < 5
    assert tracemalloc.get_traced_memory()[1] < 2**20 + 12 * len(HOSTILE[which])
    tracemalloc.stop()
    assert len(str(caught.value)) < 400
    assert "\n" not in str(caught.value)


def test_deep_nesting_is_refused(tmp_path):
    for opening in (b"\x91", b"\x81\xa1a"):
        opened(tmp_path, b"\x81\xa1a" + 63 * opening + b"\x01")
        with pytest.raises(UnsafeCheckpointError, match="deeper than 64"):
            opened(tmp_path, b"\x81\xa1a" + 64 * opening + b"\x01")
        with pytest.raises(UnsafeCheckpointError, match="deeper than 64"):
            opened(tmp_path, b"\x81\xa1a" + 10**6 * opening)


def test_names_cannot_outgrow_the_file(tmp_path):
    level = b"\x81\xd9\xff" + b"k" * 255
    leaves = b"\xdd" + struct.pack(">I", 10_000) + b"\x01" * 10_000
    with pytest.raises(UnsafeCheckpointError, match="names"):
        opened(tmp_path, 60 * level + leaves)


def test_numbers_of_values_and_arrays_are_bounded(tmp_path, monkeypatch):
    tree = {"a": [np.ones(1)] * 50}
    monkeypatch.setattr(msgpack_file, "MAX_ARRAYS", 50)
    assert len(opened(tmp_path, tree).tensors) == 50
    monkeypatch.setattr(msgpack_file, "MAX_ARRAYS", 49)
    with pytest.raises(UnsafeCheckpointError, match="more than 49 arrays"):
        opened(tmp_path, tree)
    monkeypatch.setattr(msgpack_file, "MAX_OBJECTS", 20)
    with pytest.raises(UnsafeCheckpointError, match="more than 20 values"):
        opened(tmp_path, {"a": list(range(20))})


def test_only_the_array_that_is_asked_for_is_read(tmp_path):
    big = np.zeros(4 * 2**20, np.uint8)
    checkpoint = opened(tmp_path, {"a": big, "b": np.ones(3), "c": big})
    tracemalloc.start()
    again = MsgpackCheckpoint(tmp_path / "x.msgpack")
    assert again.read("b").tolist() == [1, 1, 1]
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()
    assert checkpoint.read("a").sum() == 0


def test_a_file_that_changes_is_noticed(tmp_path):
    checkpoint = opened(tmp_path, MODEL)
    (tmp_path / "x.msgpack").write_bytes(packed(MODEL | {"more": 1}))
    with pytest.raises(CheckpointError, match="changed"):
        checkpoint.load("params/ssm/A")
