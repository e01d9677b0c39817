import io
import os
import struct
import zipfile
import zlib

import numpy as np
import pytest
import torch

from ssmspec.checkpoints import open_checkpoint
from ssmspec.checkpoints.files import StableFile
from ssmspec.checkpoints.torch import rewrite as module
from ssmspec.checkpoints.torch.checksums import checksums
from ssmspec.checkpoints.torch.rewrite import rewrite_torch
from ssmspec.errors import CheckpointError, UsageError


def save(path, value, **options):
    torch.save(value, path, **options)
    return path


def rewritten(path, changes, **options):
    output = path.with_name("out.pth")
    with open_checkpoint(path) as checkpoint:
        rewrite_torch(checkpoint, changes, output, **options)
    return output


def refusal(path, changes):
    with pytest.raises(CheckpointError) as caught:
        rewritten(path, changes)
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    return str(caught.value)


def load(path):
    return torch.load(path, weights_only=True)


def members(path):
    """Every member as the zip library sees it, checksums verified."""
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        return {info.filename: archive.read(info) for info in archive.infolist()}


def headers(path):
    """Bytes of the file outside of the members' contents, checksums blanked."""
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            name, extra = struct.unpack_from("<2H", content, info.header_offset + 26)
            begin = info.header_offset + 30 + name + extra
            end = begin + info.file_size
            crc = struct.pack("<I", info.CRC)
            content[begin:end] = bytes(info.file_size)
            assert content.count(crc) >= 2
            content = content.replace(crc, bytes(4))
    return bytes(content)


def test_new_values_are_loaded_and_everything_else_stays(tmp_path):
    state = {
        "layer.a": torch.arange(6.0).reshape(2, 3),
        "layer.b": torch.arange(5, dtype=torch.float64),
        "step": 7,
        "nested": {"c": torch.ones(3, dtype=torch.int64), "note": "as it was"},
    }
    path = save(tmp_path / "in.pth", state)
    before = path.read_bytes()
    new = np.linspace(-1, 1, 6).reshape(2, 3)
    output = rewritten(path, {"layer.a": new})
    found = load(output)
    assert torch.equal(found["layer.a"], torch.tensor(new, dtype=torch.float32))
    assert torch.equal(found["layer.b"], state["layer.b"])
    assert torch.equal(found["nested"]["c"], state["nested"]["c"])
    assert (found["step"], found["nested"]["note"]) == (7, "as it was")
    assert path.read_bytes() == before
    assert output.stat().st_size == path.stat().st_size
    was, now = members(path), members(output)
    assert list(now) == list(was)
    assert [name for name in was if was[name] != now[name]] == ["in/data/0"]
    assert headers(output) == headers(path)


def test_a_real_module_takes_the_result(tmp_path):
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.LayerNorm(4))
    path = save(tmp_path / "in.pth", model.state_dict())
    output = rewritten(path, {"0.weight": np.full((4, 3), 0.5)})
    model.load_state_dict(load(output))
    assert torch.equal(model[0].weight, torch.full((4, 3), 0.5))


@pytest.mark.parametrize(
    "dtype",
    [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.complex64,
     torch.complex128],
)  # fmt: skip
def test_values_are_rounded_to_the_stored_dtype(tmp_path, dtype):
    path = save(tmp_path / "in.pth", {"a": torch.zeros(7, dtype=dtype)})
    rng = np.random.default_rng(0)
    values = rng.normal(size=7)
    if dtype.is_complex:
        values = values + 1j * rng.normal(size=7)
    found = load(rewritten(path, {"a": values}))["a"]
    assert torch.equal(found, torch.tensor(values).to(dtype))


def test_a_value_the_dtype_cannot_hold_is_refused(tmp_path):
    path = save(tmp_path / "in.pth", {"a": torch.zeros(2, dtype=torch.float16)})
    assert "a: 1e+06 cannot be stored as float16" in refusal(path, {"a": np.array([1.0, 1e6])})


@pytest.mark.parametrize(
    "view",
    [
        lambda base: base.t(),
        lambda base: base[1:4, ::2],
        lambda base: base[:, 3],
        lambda base: base.reshape(2, 3, 4, 2)[1, :, ::3].permute(2, 0, 1),
        lambda base: base[2:3, 5:6],
        lambda base: base[4, 4],
        lambda base: base[:, :, None].expand(6, 8, 1),
    ],
)
def test_elements_of_a_strided_view_are_changed_where_they_are(tmp_path, view):
    base = torch.arange(48.0).reshape(6, 8)
    path = save(tmp_path / "in.pth", {"view": view(base), "other": torch.ones(3)})
    values = -1.0 - np.arange(view(base).numel()).reshape(view(base).shape)
    found = load(rewritten(path, {"view": values}))["view"]
    assert found.stride() == view(base).stride()
    assert found.tolist() == values.tolist()
    expected = base.clone()
    view(expected).copy_(torch.tensor(values))
    whole = torch.empty(0).set_(found.untyped_storage(), 0, (48,), (1,))
    assert torch.equal(whole, expected.reshape(-1))


def test_conjugate_and_negative_views_read_as_the_new_values(tmp_path):
    base = torch.randn(4, dtype=torch.complex64)
    path = save(tmp_path / "in.pth", {"conj": base.conj(), "imag": torch.randn(3).to(base.dtype)})
    with open_checkpoint(path) as checkpoint:
        assert checkpoint.stored["conj"].conjugated
    values = np.array([1 + 2j, -3j, 0.5, 4 - 1j])
    assert (
        load(rewritten(path, {"conj": values}))["conj"].resolve_conj().tolist() == values.tolist()
    )


def test_a_negative_view_reads_as_the_new_values(tmp_path):
    base = torch.randn(4, dtype=torch.complex64)
    path = save(tmp_path / "in.pth", {"imag": base.conj().imag})
    with open_checkpoint(path) as checkpoint:
        assert checkpoint.stored["imag"].negated
    values = np.array([1.0, -2.0, 0.25, 8.0])
    assert load(rewritten(path, {"imag": values}))["imag"].resolve_neg().tolist() == values.tolist()


def test_an_expanded_view_is_refused(tmp_path):
    path = save(tmp_path / "in.pth", {"a": torch.zeros(3, 1).expand(3, 4)})
    assert "a is an expanded or overlapping view" in refusal(path, {"a": np.ones((3, 4))})


def test_an_overlapping_view_is_refused(tmp_path):
    path = save(tmp_path / "in.pth", {"a": torch.zeros(8).as_strided((3, 3), (2, 1))})
    assert "overlapping" in refusal(path, {"a": np.ones((3, 3))})


def test_tensors_that_share_a_storage_without_touching_are_independent(tmp_path):
    flat = torch.arange(24.0)
    state = {"a": flat[:6].reshape(2, 3), "b": flat[6:10], "even": flat[10::2], "odd": flat[11::2]}
    path = save(tmp_path / "in.pth", state)
    found = load(rewritten(path, {"a": np.full((2, 3), -1.0), "odd": np.full(7, -2.0)}))
    assert found["a"].unique().tolist() == [-1]
    assert found["odd"].unique().tolist() == [-2]
    assert found["b"].tolist() == [6, 7, 8, 9]
    assert found["even"].tolist() == [10, 12, 14, 16, 18, 20, 22]


def test_a_tensor_that_is_to_stay_is_not_changed_through_another(tmp_path):
    flat = torch.arange(12.0)
    state = {"a": flat[:6], "b": flat[5:8]}
    path = save(tmp_path / "in.pth", state)
    message = refusal(path, {"a": np.ones(6)})
    assert message.startswith("a is stored in the same place as b, which is to stay as it is")
    state = {"a": flat[::3], "grid": flat.reshape(3, 4)[:, 1:3]}
    path = save(tmp_path / "in.pth", state)
    assert "grid" in refusal(path, {"a": np.ones(4)})  # element 6 is in both


def test_two_names_of_one_tensor_change_together(tmp_path):
    shared = torch.arange(4.0)
    path = save(tmp_path / "in.pth", {"a": shared, "b": shared})
    assert "b, which is to stay" in refusal(path, {"a": np.ones(4)})
    assert "to have other values" in refusal(path, {"a": np.ones(4), "b": np.zeros(4)})
    found = load(rewritten(path, {"a": np.ones(4), "b": np.ones(4)}))
    assert found["a"].tolist() == found["b"].tolist() == [1, 1, 1, 1]
    assert found["a"].data_ptr() == found["b"].data_ptr()


def test_views_of_other_types_count_byte_by_byte(tmp_path):
    raw = torch.zeros(16, dtype=torch.uint8)
    state = {"a": raw.view(torch.uint32)[:2], "b": raw.view(torch.uint16)[3:5]}
    path = save(tmp_path / "in.pth", state)
    assert "a is stored in the same place as b" in refusal(path, {"a": np.ones(2)})
    state = {"a": raw.view(torch.uint32)[:2], "b": raw.view(torch.uint16)[4:]}
    path = save(tmp_path / "in.pth", state)
    found = load(rewritten(path, {"a": np.array([3.0, 65538.0])}))
    assert found["a"].tolist() == [3, 65538]
    assert found["b"].tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize("chunk", [16, 48, 4096])
def test_chunks_of_any_size_give_the_same_file(tmp_path, monkeypatch, chunk):
    state = {"a": torch.zeros(31, 3).t(), "b": torch.zeros(5, dtype=torch.complex128)}
    path = save(tmp_path / "in.pth", state)
    rng = np.random.default_rng(0)
    changes = {"a": rng.normal(size=(3, 31)), "b": rng.normal(size=5) + 1j}
    whole = rewritten(path, changes).read_bytes()
    monkeypatch.setattr(module, "CHUNK", chunk)
    again = rewritten(path, changes, force=True)
    assert again.read_bytes() == whole
    members(again)


def repacked(path, **options):
    """The same members written by Python's zip library: checksums stand before the bytes."""
    packed = path.with_name("packed.pth")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(packed, "w", **options) as new:
        for info in old.infolist():
            new.writestr(info.filename, old.read(info))
    path.unlink()
    return packed


def test_an_archive_without_data_descriptors(tmp_path):
    path = repacked(save(tmp_path / "in.pth", {"a": torch.zeros(3)}))
    output = rewritten(path, {"a": np.arange(3.0)})
    assert load(output)["a"].tolist() == [0, 1, 2]
    members(output)
    local = output.read_bytes()
    at = local.index(b"in/data/0") - 30
    assert struct.unpack_from("<I", local, at + 14)[0] == zlib.crc32(
        np.arange(3, dtype="<f4").tobytes()
    )


def test_a_deflated_storage_is_refused(tmp_path):
    options = {"compression": zipfile.ZIP_DEFLATED}
    path = repacked(save(tmp_path / "in.pth", {"a": torch.zeros(3)}), **options)
    assert "packed with deflate" in refusal(path, {"a": np.ones(3)})


def test_a_descriptor_without_its_magic(tmp_path):
    path = save(tmp_path / "in.pth", {"a": torch.zeros(3)})
    content = path.read_bytes()
    crc = struct.pack("<I", zlib.crc32(bytes(12)))
    at = content.index(b"PK\x07\x08" + crc)
    # The four bytes of the magic go after the descriptor, so that no position moves.
    path.write_bytes(content[:at] + content[at + 4 : at + 16] + b"\0" * 4 + content[at + 16 :])
    output = rewritten(path, {"a": np.arange(3.0)})
    assert load(output)["a"].tolist() == [0, 1, 2]
    new = struct.pack("<I", zlib.crc32(np.arange(3, dtype="<f4").tobytes()))
    assert output.read_bytes()[at : at + 4] == new


def test_a_checksum_that_is_not_there_is_noticed(tmp_path):
    path = save(tmp_path / "in.pth", {"a": torch.zeros(3)})
    content = path.read_bytes()
    at = content.index(b"PK\x07\x08" + struct.pack("<I", zlib.crc32(bytes(12))))
    path.write_bytes(content[:at] + bytes(16) + content[at + 16 :])
    assert "laid out in a way torch never writes" in refusal(path, {"a": np.ones(3)})


def test_a_file_that_changes_meanwhile_is_noticed(tmp_path):
    path = save(tmp_path / "in.pth", {"a": torch.zeros(3)})
    with open_checkpoint(path) as checkpoint:
        path.write_bytes(path.read_bytes())
        with pytest.raises(CheckpointError, match="changed while it was being read"):
            rewrite_torch(checkpoint, {"a": np.ones(3)}, tmp_path / "out.pth")
    assert not (tmp_path / "out.pth").exists()


def widened(path):
    """The same archive, its positions stated in 64-bit fields as in files beyond 4 GiB."""
    content = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        infos = archive.infolist()
    directory = b""
    for info in infos:
        name = info.filename.encode()
        wide = struct.pack("<2H3Q", 1, 24, info.file_size, info.file_size, info.header_offset)
        other = struct.pack("<2H4s", 0x7777, 4, b"else")
        full = 0xFFFFFFFF
        directory += struct.pack(
            "<4s6H3I5H2I", b"PK\x01\x02", 45, 45, info.flag_bits, 0, 0, 0, info.CRC, full, full,
            len(name), len(other + wide), 0, 0, 0, 0, full,
        ) + name + other + wide  # fmt: skip
    begin, count = content.index(b"PK\x01\x02"), len(infos)
    end = begin + len(directory)
    path.write_bytes(
        content[:begin]
        + directory
        + struct.pack(
            "<4sQ2H2I4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, count, count, len(directory), begin
        )
        + struct.pack("<4sIQI", b"PK\x06\x07", 0, end, 1)
        + struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, full, full, 0)
    )
    return path


@pytest.mark.parametrize("plain", [False, True])
def test_an_archive_with_64_bit_positions(tmp_path, plain):
    path = save(tmp_path / "in.pth", {"a": torch.zeros(3), "b": torch.ones(2)})
    path = widened(repacked(path) if plain else path)
    output = rewritten(path, {"b": np.arange(2.0)})
    assert load(output)["b"].tolist() == [0, 1]
    was, now = members(path), members(output)
    assert [name for name in was if was[name] != now[name]] == ["in/data/1"]


@pytest.mark.parametrize("damage", ["prefix", "entry", "no end", "short entry"])
def test_a_directory_that_is_not_where_it_should_be_is_noticed(tmp_path, damage):
    content = save(tmp_path / "in.pth", {"a": torch.zeros(3)}).read_bytes()
    directory, end = content.index(b"PK\x01\x02"), content.index(b"PK\x06\x06")
    name = content.rindex(b"PK\x01\x02") + 28  # the length of the last member's name
    path = tmp_path / "damaged.pth"
    path.write_bytes({
        "prefix": b"\0" + content,
        "entry": content[:directory] + b"PK\x01\x03" + content[directory + 4 :],
        "no end": content[:end],
        "short entry": content[:name] + bytes([content[name] - 5]) + content[name + 1 :],
    }[damage])  # fmt: skip
    with pytest.raises(CheckpointError, match="laid out in a way torch never writes"):
        checksums(StableFile.seen(path))


def test_a_shape_that_does_not_fit_is_refused(tmp_path):
    path = save(tmp_path / "in.pth", {"a": torch.zeros(3)})
    assert "shape (3,)" in refusal(path, {"a": np.ones(4)})
    assert "holds no tensor b" in refusal(path, {"b": np.ones(4)})


def test_an_existing_output_and_the_input_are_left_alone(tmp_path):
    path = save(tmp_path / "in.pth", {"a": torch.zeros(3)})
    output = tmp_path / "out.pth"
    output.write_bytes(b"mine")
    with pytest.raises(UsageError, match="already exists"):
        rewritten(path, {"a": np.ones(3)})
    assert output.read_bytes() == b"mine"
    with open_checkpoint(path) as checkpoint, pytest.raises(UsageError, match="the input itself"):
        rewrite_torch(checkpoint, {"a": np.ones(3)}, path, force=True)
    assert load(rewritten(path, {"a": np.ones(3)}, force=True))["a"].tolist() == [1, 1, 1]


def test_empty_tensors_and_no_changes_copy_the_file(tmp_path):
    path = save(tmp_path / "in.pth", {"a": torch.zeros(0, 3), "b": torch.ones(2)})
    output = rewritten(path, {"a": np.zeros((0, 3))})
    assert output.read_bytes() == path.read_bytes()


def test_big_endian_archives_keep_their_order(tmp_path):
    path = tmp_path / "in.pth"
    buffer = io.BytesIO()
    torch.save({"a": torch.zeros(3)}, buffer)
    with zipfile.ZipFile(buffer) as old, zipfile.ZipFile(path, "w") as new:
        for info in old.infolist():
            content = old.read(info)
            new.writestr(info.filename, b"big" if info.filename.endswith("byteorder") else content)
    output = rewritten(path, {"a": np.array([1.0, -2.0, 3.5])})
    assert load(output)["a"].tolist() == [1.0, -2.0, 3.5]


@pytest.mark.skipif(os.name == "nt", reason="torch reads files it has mapped")
def test_memory_mapped_loading_takes_the_result(tmp_path):
    path = save(tmp_path / "in.pth", {"a": torch.zeros(300), "b": torch.ones(7)})
    output = rewritten(path, {"a": np.arange(300.0)})
    found = torch.load(output, weights_only=True, mmap=True)
    assert found["a"].tolist() == list(range(300))
    assert found["b"].tolist() == [1] * 7
