"""Dispatch: what a source is, by its content, and what is said about everything else."""

import io
import json
import os
import pathlib
import socket
import struct
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import safetensors.numpy
import torch

from ssmspec.checkpoints import CONTAINERS, directory, open_checkpoint
from ssmspec.errors import CheckpointError

ARRAYS = {"layers.0.A_log": np.arange(6.0).reshape(2, 3), "layers.0.D": np.ones(2, "f4")}

ROOT = pathlib.Path(__file__).parents[2]


def save_as(kind, path):
    if kind == "safetensors":
        safetensors.numpy.save_file(ARRAYS, path)
    elif kind == "npz":
        with path.open("wb") as file:
            np.savez(file, **ARRAYS)
    else:
        torch.save({name: torch.from_numpy(array) for name, array in ARRAYS.items()}, path)
    return path


def refusal(source):
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(source)
    assert str(caught.value).isprintable()
    return str(caught.value)


@pytest.mark.parametrize("kind", ["safetensors", "npz", "torch-zip"])
@pytest.mark.parametrize("name", ["m.safetensors", "m.pth", "m.npz", "m", "m.index.json", "m.json"])
@pytest.mark.parametrize("form", [str, os.fsencode, pathlib.Path])
def test_content_decides_and_not_the_name(tmp_path, kind, name, form):
    path = save_as(kind, tmp_path / name)
    with open_checkpoint(form(path)) as checkpoint:
        assert checkpoint.container == kind
        assert checkpoint.path == str(path)
        assert checkpoint.size == path.stat().st_size
        for tensor, array in ARRAYS.items():
            np.testing.assert_array_equal(checkpoint.read(tensor), array)


def test_the_path_stays_as_given(tmp_path, monkeypatch):
    save_as("npz", tmp_path / "m.npz")
    monkeypatch.chdir(tmp_path)
    for given in ("./m.npz", "m.npz", "."):
        with open_checkpoint(given) as checkpoint:
            assert checkpoint.path == given
    assert refusal("") == "the path of the checkpoint is empty"


def test_sources_in_memory():
    class Model:
        def state_dict(self):
            return ARRAYS

    for source, path in [
        (ARRAYS, "a state dict in memory"),
        (Model(), "a Model in memory"),
        (torch.nn.Linear(1, 1), "a Linear in memory"),
    ]:
        with open_checkpoint(source) as checkpoint:
            assert checkpoint.path == path
            assert checkpoint.size is None
            assert len(checkpoint.tensors) == 2
    for source in (3, None, [ARRAYS], Model):
        assert "not " + type(source).__name__ in refusal(source)


def test_the_table_is_complete():
    assert list(CONTAINERS) == [
        "safetensors", "npz", "torch-distributed", "torch-zip", "torch-ranks", "deepspeed-zero3",
        "sharded", "flax-msgpack", "gguf",
    ]  # fmt: skip
    for container in CONTAINERS.values():
        assert container.title
        assert container.suffixes or container.id in ("torch-ranks", "deepspeed-zero3")


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 816623\n"
_LEAVES = io.BytesIO()
for leaf in ARRAYS.values():
    np.save(_LEAVES, leaf)
EQUINOX = _LEAVES.getvalue()  # what equinox.tree_serialise_leaves writes
FOREIGN = {
    "empty": (b"", "is empty"),
    "git lfs": (LFS, f"pointer of {len(LFS)} bytes to an object of 816,623 bytes.*git lfs pull"),
    "git lfs without size": (LFS.split(b"size")[0], "pointer of .*git lfs pull"),
    "html": (b"\n<!DOCTYPE html><html><title>404", "web page.*download it again"),
    "html in capitals": (b"<HTML>", "web page"),
    "xml": (b'<?xml version="1.0"?><Error><Code>AccessDenied', "web page"),
    "hdf5": (b"\x89HDF\r\n\x1a\n" + bytes(99), "HDF5"),
    "npy": (b"\x93NUMPY\x01\x00" + bytes(99), "npy.*numpy.savez"),
    "gzip": (b"\x1f\x8b\x08" + bytes(99), "gzip.*unpack"),
    "xz": (b"\xfd7zXZ\x00" + bytes(99), "xz"),
    "tar": (b"x".ljust(257, b"\0") + b"ustar" + bytes(250), "tar archive"),
    "onnx": (b"\x08\x07\x12\x07pytorch\x1a\x05" + bytes(99), "ONNX"),
    "pickle": (b"\x80\x04\x95" + bytes(99), "pickle"),
    "text": (b"hello\nworld\n", "text file"),
    "text cut in a character": (("\u00e9" * 400).encode(), "text file"),
    "program": (b"\x7fELF" + bytes(99), "program"),
    "noise": (bytes(range(256)) * 3, "no format that can be read"),
    "zeros": (bytes(4096), "no format that can be read"),
    "short": (b"abc\x01", "no format that can be read"),
    "config": (b'{"d_model": 3}', "JSON without a weight_map"),
    "tensorflow": (bytes(500) + bytes.fromhex("57fb808b247547db"), "TensorFlow"),
    "ocdbt": (b"\x0c\xdb\x3a\x2a" + bytes(99), "Orbax checkpoint .*restore it with orbax"),
    "equinox": (EQUINOX, "Equinox model.*numpy.savez"),
    "safetensors header of 2^62 bytes": (struct.pack("<Q", 2**62) + b"{}", "safetensors"),
}


@pytest.mark.parametrize("case", FOREIGN)
def test_everything_else_is_named_with_a_next_step(tmp_path, case):
    content, words = FOREIGN[case]
    path = tmp_path / "m\x1b[31m.safetensors"
    path.write_bytes(content)
    message = refusal(path)
    with pytest.raises(CheckpointError, match=words):
        raise CheckpointError(message)


def test_zips_without_tensors_are_named(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("model.safetensors", b"")
    with zipfile.ZipFile(tmp_path / "b.zip", "w"):
        pass
    assert "zip archive without tensors" in refusal(tmp_path / "a.zip")
    assert "empty zip" in refusal(tmp_path / "b.zip")


def test_legacy_torch_files_are_named(tmp_path):
    torch.save({"a": torch.ones(2)}, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    assert "before version 1.6" in refusal(tmp_path / "old.pt")


def test_tensorflow_data_files_are_named(tmp_path):
    (tmp_path / "model.ckpt.data-00000-of-00001").write_bytes(b"\x00\x01\xff" * 9)
    (tmp_path / "checkpoint").write_text("x")
    assert "TensorFlow" in refusal(tmp_path / "model.ckpt.data-00000-of-00001")
    assert "TensorFlow" in refusal(tmp_path)


def test_paths_that_lead_nowhere(tmp_path):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "file").write_text("x")
    assert "does not exist" in refusal(tmp_path / "none")
    assert "does not exist" in refusal(tmp_path / "file" / "below")
    assert "cannot be reached" in refusal("http://127.0.0.1:1/mamba-130m")
    for path in (tmp_path / "loop", "a\0b", tmp_path / ("x" * 5000)):
        assert "cannot be read" in refusal(path)


def test_forbidden_files(tmp_path, monkeypatch):
    path = save_as("npz", tmp_path / "m.npz")
    path.chmod(0)
    if os.access(path, os.R_OK):  # the superuser reads everything: refuse in the system's stead

        def forbid(*args, **kwargs):
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(os, "open", forbid)
    assert "permission denied" in refusal(path)


def test_special_files_are_refused_at_once(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as listening:
        monkeypatch.chdir(tmp_path)  # a socket's path must be short
        listening.bind("s")
        for path, what in [
            (tmp_path / "pipe", "a pipe"),
            ("/dev/zero", "a character device"),
            (tmp_path / "link", "a character device"),
            (tmp_path / "s", "a socket"),
        ]:
            assert what in refusal(path)


@pytest.mark.skipif(not pathlib.Path("/proc/self/maps").exists(), reason="needs Linux")
def test_a_file_of_the_system_that_does_not_seek_is_named():
    assert "/proc/self/maps cannot be read: Invalid argument" in refusal("/proc/self/maps")


def test_a_usual_name_is_preferred_in_a_folder(tmp_path):
    for name in ("pytorch_model.bin", "optimizer.pt", "model.safetensors"):
        save_as("torch-zip" if "t" in name[-2:] else "safetensors", tmp_path / name)
        with open_checkpoint(tmp_path) as checkpoint:
            assert checkpoint.path == str(tmp_path)
    assert checkpoint.container == "safetensors"
    assert checkpoint.notes == ("model.safetensors was read; passed over: pytorch_model.bin",)
    index = {"weight_map": {"layers.0.D": "model.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    with open_checkpoint(tmp_path) as checkpoint:
        assert checkpoint.container == "sharded"


def test_the_only_checkpoint_of_a_folder_is_found(tmp_path):
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "sub").mkdir()
    os.mkfifo(tmp_path / "pipe")
    save_as("npz", tmp_path / "weights")
    with open_checkpoint(tmp_path) as checkpoint:
        assert checkpoint.container == "npz"
        assert checkpoint.config == {}
    save_as("npz", tmp_path / "other\x1b")
    assert "2 checkpoints: other\\x1b, weights; name one" in refusal(tmp_path)


def test_an_unusual_index_wins_over_its_shards(tmp_path):
    for name in ("a.fp16-1.safetensors", "a.fp16-2.safetensors"):
        save_as("safetensors", tmp_path / name)
    index = {"weight_map": {"layers.0.D": "a.fp16-1.safetensors"}}
    (tmp_path / "a.safetensors.index.json").write_text(json.dumps(index))
    with open_checkpoint(tmp_path) as checkpoint:
        assert checkpoint.container == "sharded"


def test_folders_without_a_checkpoint(tmp_path, monkeypatch):
    assert "empty folder" in refusal(tmp_path)
    (tmp_path / "checkpoint-500").mkdir()
    assert "only checkpoint-500; name" in refusal(tmp_path)
    (tmp_path / "_CHECKPOINT_METADATA").write_text("x")
    assert "orbax" in refusal(tmp_path)
    (tmp_path / "_CHECKPOINT_METADATA").write_text("{}")  # as Orbax writes it today
    assert "restore it with orbax.checkpoint" in refusal(tmp_path)
    (tmp_path / "__0_0.distcp").write_text("x")
    monkeypatch.setattr(directory, "MAX_ENTRIES", 2)
    assert "more than 2 files" in refusal(tmp_path)


def test_an_adapter_is_no_model(tmp_path):
    save_as("safetensors", tmp_path / "adapter_model.safetensors")
    config = tmp_path / "adapter_config.json"
    config.write_text('{"peft_type": "LORA", "base_model_name_or_path": "someone/mamba-small"}')
    for source in (tmp_path, tmp_path / "adapter_model.safetensors"):
        said = refusal(source)
        assert "an adapter only (LORA) of the base model someone/mamba-small; merge it" in said
    config.write_text("[1]")
    assert "an adapter only (PEFT); merge it" in refusal(tmp_path)
    config.unlink()
    with open_checkpoint(tmp_path) as checkpoint:
        assert len(checkpoint.tensors) == 2


def test_tensorflow_names_a_checkpoint_by_a_prefix(tmp_path):
    (tmp_path / "ckpt-7.index").write_bytes(bytes(500) + bytes.fromhex("57fb808b247547db"))
    (tmp_path / "ckpt-7.data-00000-of-00001").write_bytes(bytes(8))
    assert "the prefix of a TensorFlow checkpoint; convert" in refusal(tmp_path / "ckpt-7")
    assert "does not exist" in refusal(tmp_path / "ckpt-8")


def test_config_json_belongs_to_usual_names_only(tmp_path):
    (tmp_path / "config.json").write_text('{"d_model": 64, "ssm_cfg": {"layer": "Mamba2"}}')
    save_as("torch-zip", tmp_path / "pytorch_model.bin")
    save_as("torch-zip", tmp_path / "experiment7.pth")
    expected = {"d_model": 64, "ssm_cfg": {"layer": "Mamba2"}}
    for source, config in [
        (tmp_path, expected),
        (tmp_path / "pytorch_model.bin", expected),
        (tmp_path / "experiment7.pth", {}),
    ]:
        with open_checkpoint(source) as checkpoint:
            assert checkpoint.config == config
            assert checkpoint.notes == ()


@pytest.mark.parametrize(
    "text",
    ["", "{", "[1]", "[" * 10**5, '"\x1b"', LFS.decode(), '{"a": 1, "a": 2}', "x" * 5 * 2**20],
)
def test_a_config_that_cannot_be_used_is_a_note(tmp_path, text):
    (tmp_path / "config.json").write_text(text)
    save_as("safetensors", tmp_path / "model.safetensors")
    with open_checkpoint(tmp_path) as checkpoint:
        assert checkpoint.config == {}
        (note,) = checkpoint.notes
        assert note.startswith("config.json was not used: ")
        assert note.isprintable()


def test_opening_imports_no_heavy_library(tmp_path):
    paths = [str(save_as(kind, tmp_path / kind)) for kind in ("safetensors", "npz", "torch-zip")]
    code = (
        "import sys; from ssmspec.checkpoints import open_checkpoint\n"
        "for path in sys.argv[1:]:\n"
        "    with open_checkpoint(path) as c: [c.read(name) for name in c.tensors]\n"
        "print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *paths], capture_output=True, text=True, check=True, cwd=ROOT
    )
    loaded = set(done.stdout.split())
    assert "numpy" in loaded
    assert not loaded & {"torch", "scipy", "pandas", "matplotlib", "tensorflow", "jax"}
