"""What a file may make the program allocate: no more than it holds, and eight mebibytes."""

import io
import json
import struct
import time
import zipfile

import numpy as np
import pytest
from safetensors.numpy import save_file

from ssmspec import analyze, errors
from ssmspec.checkpoints import open_checkpoint
from ssmspec.checkpoints.files import parse_json, read_toml
from ssmspec.checkpoints.torch.pickles import interpret
from ssmspec.errors import CheckpointError, SsmspecError, UnsafeCheckpointError
from ssmspec.naming import natural_key

KERNEL = "layers.0.layer.kernel"


def s4d(channels, modes, dtype, prefix="layers.0.kernel"):
    return {
        f"{prefix}.log_dt": np.full(channels, -3.0, np.float32),
        f"{prefix}.log_A_real": np.zeros((channels, modes), dtype),
        f"{prefix}.A_imag": np.ones((channels, modes), dtype),
    }


def tied(path, channels, modes):
    tensors = {
        "inv_dt": np.full((channels, 1), -3.0, np.float16),
        "A_real": np.zeros((1, modes), np.float16),
        "A_imag": np.ones((1, modes), np.float16),
    }
    save_file({f"{KERNEL}.{name}": values for name, values in tensors.items()}, path)
    return path


def test_an_honest_tied_layer_is_measured_and_one_out_of_proportion_is_not(tmp_path):
    (layer,) = analyze(tied(tmp_path / "honest.safetensors", 2048, 64)).layers
    assert (layer.channels, layer.modes) == (2048, 64)
    report = analyze(tied(tmp_path / "tied.safetensors", 20_000, 20_000))
    assert not report.layers
    assert "20,000 x 20,000, out of proportion" in report.skipped[0].reason


def test_layers_share_the_room(tmp_path):
    tensors = {}
    for i in range(6):
        path = tied(tmp_path / "one.safetensors", 512, 512)
        with open_checkpoint(path) as one:
            tensors |= {n.replace("layers.0", f"layers.{i}"): one.load(n) for n in one.tensors}
    save_file(tensors, tmp_path / "six.safetensors")
    report = analyze(tmp_path / "six.safetensors")
    assert (len(report.layers), len(report.skipped)) == (2, 4)  # 2 x 2**18 of 2**19 and 12 kB


def test_deflated_zeros_are_not_decoded(tmp_path):
    np.savez_compressed(tmp_path / "x.npz", **s4d(300, 10_000, np.int8))
    with open_checkpoint(tmp_path / "x.npz") as checkpoint:
        with pytest.raises(UnsafeCheckpointError, match="out of proportion"):
            checkpoint.read("layers.0.kernel.A_imag")
        assert checkpoint.read("layers.0.kernel.log_dt").shape == (300,)
    assert not analyze(tmp_path / "x.npz").layers


@pytest.mark.parametrize("suffix", ["npz", "pt"])
def test_members_made_of_the_same_bytes_are_refused(tmp_path, suffix):
    names = ("a.npy", "b.npy") if suffix == "npz" else ("a/data.pkl", "a/b")
    content = io.BytesIO()
    np.save(content, np.zeros(4))
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w") as archive:
        for name in names:
            archive.writestr(name, content.getvalue() if suffix == "npz" else b"\x80\x02}.")
    whole = bytearray(raw.getvalue())
    second = whole.rindex(b"PK\x01\x02")
    whole[second + 42 : second + 46] = struct.pack("<I", 0)  # where the first one is
    (tmp_path / f"x.{suffix}").write_bytes(whole)
    with pytest.raises(UnsafeCheckpointError, match="are the same bytes"):
        open_checkpoint(tmp_path / f"x.{suffix}")


def test_a_deflated_pickle_has_opcodes_in_proportion_to_its_bytes():
    pickle = b"\x80\x02" + b"]" * 300_000 + b"."
    assert interpret(pickle, {}, str).root == []
    with pytest.raises(UnsafeCheckpointError, match="more than 250,030 opcodes"):
        interpret(pickle, {}, str, stored=10)


def test_headers_and_keys_are_read_in_linear_time(tmp_path):
    header = b"{'descr':'<f8','fortran_order':False,'shape':(6,)}" + b" " * 9900 + b"$\n"
    with zipfile.ZipFile(tmp_path / "x.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        size = struct.pack("<H", len(header))
        archive.writestr("a.npy", b"\x93NUMPY\x01\x00" + size + header)
    began = time.process_time()
    with pytest.raises(CheckpointError, match="cannot be parsed"):
        open_checkpoint(tmp_path / "x.npz")
    keys = ",".join(f'"k{i}":1' for i in range(60_000))
    with pytest.raises(CheckpointError, match="'k59999' is there twice"):
        parse_json(f'{{{keys},"k59999":1}}'.encode(), tmp_path)
    (tmp_path / "x.toml").write_text(".".join("a" * 60_000) + "=1")
    with pytest.raises(CheckpointError, match="nested too deeply"):
        read_toml(tmp_path / "x.toml")
    assert time.process_time() - began < 10  # each took a minute or more


def test_headers_that_inflate_are_counted(tmp_path):
    text = b"{'descr':'<f8','fortran_order':False,'shape':(0,)}".ljust(9_999) + b"\n"
    member = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text
    with zipfile.ZipFile(tmp_path / "x.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        for i in range(140):
            archive.writestr(f"{i}.npy", member)
    with pytest.raises(UnsafeCheckpointError, match="headers of its arrays"):
        open_checkpoint(tmp_path / "x.npz")


def test_numbers_and_names_out_of_range(tmp_path):
    digits = "9" * 5000
    assert natural_key(f"a.2.{digits}") < natural_key(f"a.10.{digits}")
    tensors = s4d(3, 4, np.float32) | s4d(3, 4, np.float32, f"layers.{digits}.kernel")
    for seq_len in (10**400, -1, 0):
        note = {"ssmspec": json.dumps({"seq_len": seq_len})}
        save_file(tensors, tmp_path / "x.safetensors", metadata=note)
        report = analyze(tmp_path / "x.safetensors")
        assert report.sequence_length is None
        assert len(report.layers) == 2
    said = str(SsmspecError(f"{digits} and {'word ' * 2000}"))
    assert len(said) < 4100
    assert "... (5,000 characters)" in said
    assert errors.cut("a short one") == "a short one"
