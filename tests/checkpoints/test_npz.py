"""Oracle: numpy's own writer and `numpy.load`."""

import io
import struct
import time
import tracemalloc
import warnings
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ssmspec.checkpoints import zips
from ssmspec.checkpoints.npz import CONTAINER, NpzCheckpoint
from ssmspec.errors import CheckpointError, UnsafeCheckpointError

NUMBERS = [
    "<f8", ">f8", "<f4", ">f4", "<f2", ">f2", "<c8", ">c8", "<c16", "|b1",
    "<i8", ">i4", "<i2", "|i1", "<u8", "<u4", ">u2", "|u1",
]  # fmt: skip


def npy_header(descr="<f4", shape=(3,), fortran=False, version=(1, 0), length=None):
    text = repr({"descr": descr, "fortran_order": fortran, "shape": shape}).encode() + b"\n"
    return npy_raw(text, version, length)


def npy_raw(text, version=(1, 0), length=None):
    code = "<H" if version == (1, 0) else "<I"
    size = struct.pack(code, len(text) if length is None else length)
    return b"\x93NUMPY" + bytes(version) + size + text


def write_members(path, members, method=zipfile.ZIP_STORED):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zipfile warns about duplicate names
        with zipfile.ZipFile(path, "w", method) as archive:
            for name, content in members:
                archive.writestr(name, content)
    return path


@settings(max_examples=40, deadline=None)
@given(data=st.data(), packed=st.booleans())
def test_values_are_numpys(tmp_path_factory, data, packed):
    arrays = {}
    for i, code in enumerate(data.draw(st.lists(st.sampled_from(NUMBERS), max_size=4))):
        array = data.draw(hnp.arrays(code, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0)))
        arrays[f"layer__{i}/w"] = np.asfortranarray(array) if data.draw(st.booleans()) else array
    path = tmp_path_factory.mktemp("npz") / "x.npz"
    (np.savez_compressed if packed else np.savez)(path, **arrays)
    with NpzCheckpoint(path) as checkpoint, np.load(path) as expected:
        assert list(checkpoint.tensors) == list(expected)
        for name in expected:
            array, loaded = expected[name], checkpoint.load(name)
            assert checkpoint.info(name).dtype == array.dtype.name == loaded.dtype.name
            assert checkpoint.info(name).shape == array.shape == loaded.shape
            assert loaded.flags.c_contiguous
            assert loaded.tobytes() == array.astype(array.dtype.newbyteorder("<")).tobytes()
            kind = complex if array.dtype.kind == "c" else float
            np.testing.assert_array_equal(checkpoint.read(name), array.astype(kind))


def test_the_shared_flax_file_is_numpys(shared):
    path = shared / "mamba1_flax_typeseg.npz"
    with NpzCheckpoint(path) as checkpoint, np.load(path) as expected:
        assert set(checkpoint.tensors) == set(expected)
        for name in expected:
            np.testing.assert_array_equal(checkpoint.read(name), expected[name])


def test_arrays_without_numbers_are_listed_and_refused_by_name(tmp_path):
    class Bomb:
        def __reduce__(self):
            return exec, ("raise SystemExit('unpickled')",)

    np.savez(
        tmp_path / "x.npz",
        allow_pickle=True,
        things=np.array([Bomb()], object),
        words=np.array(["a"]),
        record=np.zeros(2, [("a", "<f4"), ("b", "<i4")]),
        raw=np.zeros(2, "V2"),
        day=np.zeros(2, "M8[s]"),
        good=np.ones(2),
    )
    with NpzCheckpoint(tmp_path / "x.npz") as checkpoint:
        assert checkpoint.read("good").tolist() == [1, 1]
        for name, words in [
            ("things", "objects"), ("words", "str"), ("record", "float32"),
            ("raw", "float32"), ("day", "datetime"),
        ]:  # fmt: skip
            with pytest.raises(CheckpointError, match=f"^{name}: .*{words}"):
                checkpoint.read(name)


def test_other_members_are_noted_and_names_keep_their_folders(tmp_path):
    content = io.BytesIO()
    np.save(content, np.arange(3.0))
    members = [
        ("README", b"hi"),
        ("a/b.npy", content.getvalue()),
        ("../up.npy", content.getvalue()),
    ]
    with NpzCheckpoint(write_members(tmp_path / "x", members)) as checkpoint:
        assert list(checkpoint.tensors) == ["a/b", "../up"]
        assert checkpoint.read("../up").tolist() == [0, 1, 2]
        assert checkpoint.notes == ("1 members that are no arrays were passed over",)


def test_headers_of_python_2_and_version_2_are_read(tmp_path):
    old = npy_raw(b"{'descr': '<f4', 'fortran_order': False, 'shape': (1L,)}\n") + b"\0\0\x80?"
    wide = npy_header(shape=(1,), version=(2, 0)) + b"\0\0\x80?"
    with NpzCheckpoint(write_members(tmp_path / "x", [("a.npy", old), ("b.npy", wide)])) as found:
        assert found.read("a") == found.read("b") == 1.0


HEADERS = {
    "not npy": b"hello",
    "empty": b"",
    "unknown version": b"\x93NUMPY\x09\x00\x00\x00",
    "version 3": npy_header(version=(3, 0)),
    "cut header": npy_header()[:-10],
    "4 GiB header": npy_header(version=(2, 0), length=2**32 - 1),
    "not a dict": npy_raw(b"[]"),
    "unary tower": npy_raw(b"-" * 9000 + b"1"),
    "parentheses": npy_raw(b"(" * 5000 + b")" * 5000),
    "long sum": npy_raw(b"1+" * 4000 + b"1"),
    "unhashable": npy_raw(b"{[]: 1}"),
    "code": npy_raw(b"__import__('os').abort()"),
    "negative axis": npy_header(shape=(-3,)),
    "no dtype": npy_header(descr="\x1b[31m"),
    "nested dtype": npy_raw(
        b"{'descr':" + b"(" * 80 + b"'<f4'" + b",)" * 80 + b",'fortran_order':False,'shape':()}"
    ),
}


def check_refusal(path, name=None, kind=CheckpointError):
    tracemalloc.start()
    began = time.process_time()
    try:
        with pytest.raises(kind) as caught, NpzCheckpoint(path) as checkpoint:
            checkpoint.read(name)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 500 + len(str(path))
    assert time.process_time() - began < 2
    return peak


@pytest.mark.parametrize("case", HEADERS)
def test_damaged_and_hostile_headers_are_refused(tmp_path, case):
    check_refusal(write_members(tmp_path / "x", [("a.npy", HEADERS[case] + bytes(12))]), "a")


@pytest.mark.parametrize("shape", [(4,), (2,), (2**62,), (2**40, 2**40), (0, 2**63, 2**63)])
def test_a_header_that_disagrees_with_the_archive_is_refused(tmp_path, shape):
    peak = check_refusal(
        write_members(tmp_path / "x", [("a.npy", npy_header(shape=shape) + bytes(12))]), "a"
    )
    assert peak < 2**20


def write_swelling(path, beginning):
    """One deflated member of 300 MiB, nearly all of it blanks."""
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("a.npy", "w", force_zip64=True) as member,
    ):
        member.write(beginning)
        for _ in range(300):
            member.write(b" " * 2**20)


def test_a_deflate_bomb_is_refused_without_being_inflated(tmp_path):
    path = tmp_path / "x"
    write_swelling(path, npy_header(descr="|u1", shape=(300 * 2**20,)))
    assert path.stat().st_size < 2**20
    assert check_refusal(path, "a", UnsafeCheckpointError) < 2**20


def test_a_bomb_in_the_header_is_not_inflated_either(tmp_path):
    path = tmp_path / "x"
    write_swelling(path, npy_header(version=(2, 0), length=2**32 - 1))
    assert check_refusal(path, "a") < 2**20


def test_a_member_that_claims_more_than_deflate_can_give_is_refused(tmp_path):
    content = npy_header(descr="|u1", shape=(50 * 2**20,)) + bytes(1000)
    path = write_members(tmp_path / "x", [("a.npy", content)], zipfile.ZIP_DEFLATED)
    size = struct.pack("<I", len(content) - 1000 + 50 * 2**20)
    path.write_bytes(path.read_bytes().replace(struct.pack("<I", len(content)), size))
    assert check_refusal(path, "a", UnsafeCheckpointError) < 2**20


def test_genuine_zeros_are_read(tmp_path):
    np.savez_compressed(tmp_path / "x.npz", a=np.zeros((1000, 500)))
    with NpzCheckpoint(tmp_path / "x.npz") as checkpoint:
        assert not checkpoint.read("a").any()


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_packing_methods_are_refused(tmp_path, method):
    content = npy_header() + bytes(12)
    check_refusal(write_members(tmp_path / "x", [("a.npy", content)], method), "a")


def test_encrypted_members_are_refused(tmp_path):
    path = write_members(tmp_path / "x", [("a.npy", npy_header() + bytes(12))])
    content = bytearray(path.read_bytes())
    content[6] |= 1
    content[content.rindex(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    check_refusal(path, "a")


def test_two_arrays_of_one_name_are_refused(tmp_path):
    content = npy_header() + bytes(12)
    check_refusal(write_members(tmp_path / "x", [("\x1b.npy", content), ("\x1b.npy", content)]))


def test_damage_is_noticed_by_the_checksum(tmp_path):
    np.savez(tmp_path / "x.npz", a=np.arange(100_000.0))
    content = bytearray((tmp_path / "x.npz").read_bytes())
    content[400_000] ^= 1
    (tmp_path / "x.npz").write_bytes(content)
    check_refusal(tmp_path / "x.npz", "a")


def test_every_truncation_is_refused(tmp_path):
    np.savez(tmp_path / "x.npz", a=np.arange(10.0), b=np.arange(3))
    content = (tmp_path / "x.npz").read_bytes()
    for size in range(0, len(content), 7):
        (tmp_path / "y").write_bytes(content[:size])
        check_refusal(tmp_path / "y", "a")


def test_a_huge_zip_directory_is_not_read(tmp_path):
    path = write_members(tmp_path / "x", [("a.npy", npy_header() + bytes(12))])
    body = path.read_bytes()
    start = body.rindex(b"PK\x01\x02")
    entry = body[start : body.rindex(b"PK\x05\x06")]
    directory = entry * (zips.MAX_DIRECTORY_BYTES // len(entry) + 1)
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, len(directory), start, 0)
    path.write_bytes(body[:start] + directory + end)
    assert check_refusal(path, "a", UnsafeCheckpointError) < 2**20


def test_reading_after_close_is_an_error(tmp_path):
    np.savez(tmp_path / "x.npz", a=np.arange(10.0))
    checkpoint = NpzCheckpoint(tmp_path / "x.npz")
    checkpoint.close()
    with pytest.raises(CheckpointError):
        checkpoint.read("a")


def test_recognized_by_content(tmp_path):
    def recognized(path):
        return CONTAINER.recognizes(path, path.read_bytes()[:512])

    array = ("x/a.npy", npy_header() + bytes(12))
    assert recognized(write_members(tmp_path / "a", [array]))
    assert recognized(write_members(tmp_path / "b", [("README", b""), array]))
    assert not recognized(write_members(tmp_path / "c", [("m/data.pkl", b""), array]))
    assert not recognized(write_members(tmp_path / "d", [("README", b"")]))
    (tmp_path / "e").write_bytes(b"PK\x03\x04" + bytes(20))
    assert not recognized(tmp_path / "e")
    (tmp_path / "f").write_bytes(b"")
    assert not recognized(tmp_path / "f")
