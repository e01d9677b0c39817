import pickle
import struct
import sys
import warnings
import zipfile
import zlib
from collections import OrderedDict

import numpy as np
import pytest
import torch

from ssmspec.checkpoints.torch.archive import CONTAINER, TorchZipCheckpoint, legacy_problem
from ssmspec.errors import CheckpointError, UnsafeCheckpointError
from tests.examples.torch_forgery import (
    FakeStorage,
    FakeTensor,
    RawIdentifier,
    assert_holds,
    assert_refused,
    forge,
    load_all,
    saved,
)

MIB = 2**20


# Files that torch writes, with torch as the oracle.


def test_an_honest_forgery_is_read(tmp_path):
    data = np.arange(4, dtype="<f4").tobytes()
    checkpoint = TorchZipCheckpoint(forge(tmp_path, {"w": FakeTensor((2, 2), (1, 2))}, {"0": data}))
    assert checkpoint.load("w").tolist() == [[0, 2], [1, 3]]


@pytest.mark.parametrize("tensor", [
    FakeTensor((5,)), FakeTensor(offset=1), FakeTensor(stride=(2,)), FakeTensor(offset=2**62),
    FakeTensor((2, 2), (1, 3)), FakeTensor((), (), 4), FakeTensor((2**40,), (2**40,)),
    FakeTensor(stride=(2**500,)),
])  # fmt: skip
def test_views_that_leave_their_storage_are_refused(tmp_path, tensor):
    assert_refused(forge(tmp_path, {"w": tensor}), UnsafeCheckpointError, "reach element")


@pytest.mark.parametrize("tensor", [
    FakeTensor((-1,)), FakeTensor(stride=(-1,)), FakeTensor(offset=-1), FakeTensor((2, 2), (1,)),
    FakeTensor((1,) * 64, (1,) * 64), FakeTensor((2.0,)), FakeTensor("ab"), FakeTensor([4], [1]),
    FakeTensor(storage="0"), FakeTensor(offset=None), FakeTensor((True,)),
])  # fmt: skip
def test_records_that_are_no_tensors_are_refused(tmp_path, tensor):
    assert_refused(forge(tmp_path, {"w": tensor}), match="never writes")


@pytest.mark.parametrize("shape", [(10**12,), (10**6, 10**6), (2**30, 0, 2**33), (2**60,)])
def test_zero_strides_that_claim_the_world_are_refused(tmp_path, shape):
    tensor = FakeTensor(shape, (0,) * len(shape))
    assert_refused(forge(tmp_path, {"w": tensor}), UnsafeCheckpointError)


def test_many_expanded_tensors_are_bounded_together(tmp_path):
    tensors = {f"w{i}": FakeTensor((10**6,), (0,)) for i in range(1000)}
    assert_refused(forge(tmp_path, tensors), UnsafeCheckpointError, "claim 4,000,000,000 bytes")


def test_many_wide_spans_are_bounded_together(tmp_path):
    storage = FakeStorage(numel=4 * MIB)
    tensors = {f"w{i}": FakeTensor((2,), (4 * MIB - 1,), storage=storage) for i in range(100)}
    path = forge(tmp_path, tensors, {"0": bytes(16 * MIB)})
    assert_refused(path, UnsafeCheckpointError, "claim")


@pytest.mark.parametrize("numel", [3, 5, 2**62, 0])
def test_storages_of_another_size_than_their_member_are_refused(tmp_path, numel):
    tensor = FakeTensor((0,), (1,), storage=FakeStorage(numel=numel))
    assert_refused(forge(tmp_path, {"w": tensor}), UnsafeCheckpointError, "should have")


@pytest.mark.parametrize("identifier", [
    "storage", ("storage",), ("storage", torch.FloatStorage, "0", "cpu"), 7, None, [1],
    ("module", torch.FloatStorage, "0", "cpu", 4), ("storage", "FloatStorage", "0", "cpu", 4),
    ("storage", torch.FloatStorage, 0, "cpu", 4), ("storage", torch.FloatStorage, "0", "cpu", -4),
    ("storage", torch.FloatStorage, "0", "cpu", "4"), ("storage", OrderedDict, "0", "cpu", 4),
])  # fmt: skip
def test_malformed_persistent_ids_are_refused(tmp_path, identifier):
    if identifier is None:
        path = forge(tmp_path, None, raw=b"\x80\x02NQ.")
    else:
        path = forge(tmp_path, {"w": FakeTensor(storage=RawIdentifier(identifier))})
    assert_refused(path, match="never writes")


def test_a_missing_storage_is_named(tmp_path):
    path = forge(tmp_path, {"w": FakeTensor(storage=FakeStorage("../../x"))})
    assert_refused(path, match=r"forged/data/\.\./\.\./x is missing")


class Command:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        import os

        return os.system, (f"touch {self.path}",)


def test_a_command_is_not_run(tmp_path):
    sentinel = tmp_path / "sentinel"
    path = tmp_path / "evil.pt"
    torch.save({"w": torch.ones(2), "x": Command(sentinel)}, path)
    assert_refused(path, UnsafeCheckpointError, "nothing was executed")
    assert not sentinel.exists()


def test_errors_in_the_pickle_name_the_file(tmp_path):
    assert_refused(forge(tmp_path, None, raw=b"\x80\x02\x8e" + b"\xff" * 7 + b"\x00."))
    assert_refused(forge(tmp_path, None, raw=b""))
    assert_refused(forge(tmp_path, None, raw=b"\x80\x02}"))


def test_deflate_bombs_are_refused(tmp_path):
    tensor = FakeTensor((64 * MIB,), storage=FakeStorage(numel=64 * MIB))
    storages = {"0": bytes(256 * MIB)}
    path = forge(tmp_path, {"w": tensor}, storages, method=zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < MIB
    assert_refused(path, UnsafeCheckpointError, "100 times")
    path = forge(tmp_path, None, {}, raw=bytes(256 * MIB), method=zipfile.ZIP_DEFLATED)
    assert_refused(path, UnsafeCheckpointError, "100 times")


def edited(path, edit):
    """The archive with its last directory entry, and that entry's local header, changed."""
    data = bytearray(path.read_bytes())
    entry = data.rindex(b"PK\x01\x02")
    edit(data, entry, struct.unpack_from("<I", data, entry + 42)[0])
    path.write_bytes(data)
    return path


def test_members_that_unpack_to_another_size_are_refused(tmp_path):
    def shrink(data, entry, local):
        struct.pack_into("<I", data, entry + 24, 16)

    noise = np.random.default_rng(1).bytes(4000)
    path = forge(tmp_path, {"w": FakeTensor()}, {"0": noise}, method=zipfile.ZIP_DEFLATED)
    assert_refused(edited(path, shrink), UnsafeCheckpointError, "another size")


def test_damaged_deflate_is_refused(tmp_path):
    def scramble(data, entry, local):
        name_length = struct.unpack_from("<H", data, local + 26)[0]
        data[local + 30 + name_length] = 0xFF

    path = forge(tmp_path, {"w": FakeTensor()}, method=zipfile.ZIP_DEFLATED)
    assert_refused(edited(path, scramble), match="damaged")


def test_encrypted_members_are_refused(tmp_path):
    def encrypt(data, entry, local):
        data[entry + 8] |= 1

    assert_refused(edited(forge(tmp_path, {"w": FakeTensor()}), encrypt), match="encrypted")


def test_members_packed_by_other_methods_are_refused(tmp_path):
    path = forge(tmp_path, {"w": FakeTensor()}, method=zipfile.ZIP_LZMA)
    assert_refused(path, match="other than deflate")


@pytest.mark.parametrize("field", [20, 24, 42], ids=["packed", "size", "place"])
def test_sizes_that_do_not_fit_the_file_are_refused(tmp_path, field):
    def inflate(data, entry, local):
        struct.pack_into("<I", data, entry + field, 0x7FFFFFF0)

    assert_refused(edited(forge(tmp_path, {"w": FakeTensor()}), inflate), UnsafeCheckpointError)


def test_a_member_that_is_elsewhere_is_refused(tmp_path):
    def move(data, entry, local):
        struct.pack_into("<I", data, entry + 42, local + 1)

    assert_refused(edited(forge(tmp_path, {"w": FakeTensor()}), move), match="not where")


def test_two_members_of_one_name_are_refused(tmp_path):
    path = forge(tmp_path, {"w": FakeTensor()})
    with warnings.catch_warnings(), zipfile.ZipFile(path, "a") as archive:
        warnings.simplefilter("ignore")
        archive.writestr("forged/data/0", bytes(16))
    assert_refused(path, UnsafeCheckpointError, "two members of one name")


def test_two_pickles_are_refused(tmp_path):
    path = forge(tmp_path, {"w": FakeTensor()})
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("other/data.pkl", b"\x80\x02N.")
    assert_refused(path, match="one pickle")


@pytest.mark.parametrize("order", [b"", b"middle", b"little-endian"])
def test_unknown_byte_orders_are_refused(tmp_path, order):
    path = forge(tmp_path, {"w": FakeTensor()})
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("forged/byteorder", order)
    assert_refused(path, match="byte order")


@pytest.mark.parametrize("kept", [0.05, 0.5, 0.9, 0.99])
def test_a_file_that_is_cut_off_is_recognized_and_refused(tmp_path, kept):
    path = tmp_path / "model.pt"
    torch.save({"w": torch.randn(1000)}, path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * kept)])
    assert CONTAINER.recognizes(path, path.read_bytes()[:512])
    assert_refused(path, match="copy or download it again")


def test_a_file_that_shrinks_after_it_was_opened(tmp_path):
    checkpoint = saved(tmp_path, {"w": torch.randn(1000)})
    path = tmp_path / "model.pt"
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(CheckpointError, match="changed"):
        checkpoint.load("w")


@pytest.mark.parametrize("seed", range(150))
def test_damaged_bytes_never_raise_anything_else(tmp_path, seed):
    path = tmp_path / "model.pt"
    torch.save({"a": torch.randn(3, 4), "b": {"c": torch.arange(5).bfloat16()}}, path)
    rng = np.random.default_rng(seed)
    data = bytearray(path.read_bytes())
    # The pickle's bytes, or the whole file's.
    places = rng.integers(60 if seed % 2 else 0, 500 if seed % 2 else len(data), 3)
    data[places[0]], data[places[1]], data[places[2]] = rng.bytes(3)
    path.write_bytes(data)
    try:
        load_all(path)
    except CheckpointError as error:
        assert "\n" not in str(error)  # noqa: PT017


def test_other_archives_are_not_recognized(tmp_path):
    np.savez(tmp_path / "a.npz", w=np.ones(3))
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.writestr("notes.txt", "hello")
    (tmp_path / "c.pt").write_bytes(b"PK\x05\x06" + bytes(18))
    for path in (tmp_path / "a.npz", tmp_path / "b.zip", tmp_path / "c.pt"):
        assert not CONTAINER.recognizes(path, path.read_bytes()[:512])


def test_files_of_old_torch_are_explained(tmp_path):
    path = tmp_path / "old.pt"
    torch.save({"w": torch.ones(2)}, path, _use_new_zipfile_serialization=False)
    assert "save it again with torch.save" in legacy_problem(path.read_bytes()[:512])
    tar = b"sys_info".ljust(257, b"\0") + b"ustar\x0000".ljust(255, b"\0")
    assert "before version 1.6" in legacy_problem(tar)
    for other in (b"", b"PK\x03\x04", pickle.dumps([1]), b"x".ljust(257, b"\0") + b"ustar"):
        assert legacy_problem(other) is None


def test_reading_imports_no_torch(shared):
    import subprocess

    code = (
        "import sys; from pathlib import Path\n"
        "from ssmspec.checkpoints.torch.archive import TorchZipCheckpoint\n"
        f"c = TorchZipCheckpoint(Path({str(shared / 's4d_smnist.pth')!r}))\n"
        "[c.read(name) for name in c.tensors]\n"
        "print(sorted({'torch', 'scipy', 'pickle'} & set(sys.modules) - before))"
    )
    code = "import sys, numpy; before = set(sys.modules)\n" + code
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_checksums_may_be_left_out(tmp_path):
    tensors = {"w": torch.randn(5)}
    checkpoint_path = tmp_path / "model.pt"
    torch.save(tensors, checkpoint_path)
    data = bytearray(checkpoint_path.read_bytes())
    crc = struct.pack("<I", zlib.crc32(tensors["w"].numpy().tobytes()))
    assert crc in data
    checkpoint_path.write_bytes(data.replace(crc, b"\1\2\3\4"))
    assert_holds(TorchZipCheckpoint(checkpoint_path), tensors)
