"""What a file is when it is no checkpoint that can be read: named, with what to do about it.

Most of these are met by everyone sooner or later: a Git LFS pointer instead of the file it stands
for, an error page saved under the file's name, another framework's format.
"""

from __future__ import annotations

import codecs
import io
import math
import os
import re
from pathlib import Path

from numpy.lib import format as npy

from ssmspec.checkpoints.files import is_there, open_regular, read_json, status
from ssmspec.naming import printable, shown

_CONVERT = "convert it to safetensors first"
_UNPACK = "unpack it first"
_ORBAX = (
    "restore it with orbax.checkpoint, and save it with flax.serialization.to_bytes or "
    "safetensors.flax.save_file"
)

_MAGIC: tuple[tuple[int, bytes, str, str], ...] = (
    (0, b"\x89HDF\r\n\x1a\n", "an HDF5 file (Keras, MATLAB)", _CONVERT),
    (0, b"\x0c\xdb\x3a\x2a", "the manifest of an Orbax checkpoint (OCDBT)", _ORBAX),
    (0, b"\x93NUMPY", "a single npy array without a name", "save named arrays with numpy.savez"),
    (
        0,
        b"PK\x03\x04",
        "a zip archive without tensors",
        "unpack it if a checkpoint is inside",
    ),
    (0, b"PK\x05\x06", "an empty zip archive", "save the checkpoint again"),
    (0, b"\x1f\x8b", "a gzip file", _UNPACK),
    (0, b"\x28\xb5\x2f\xfd", "a Zstandard file", _UNPACK),
    (0, b"BZh", "a bzip2 file", _UNPACK),
    (0, b"\xfd7zXZ\x00", "an xz file", _UNPACK),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", _UNPACK),
    (257, b"ustar", "a tar archive", _UNPACK),
    (0, b"\x7fELF", "a program", "give the checkpoint itself"),
)
"""(offset, bytes, what the file is, what to do)."""

_TABLE_FOOTER = bytes.fromhex("57fb808b247547db")  # ends every LevelDB table, TensorFlow's *.index
_TENSORFLOW = "part of a TensorFlow checkpoint"
_ORBAX_NAMES = frozenset({
    "_CHECKPOINT_METADATA", "manifest.ocdbt", "_METADATA", "_sharding", ".zarray", ".zgroup",
    "zarr.json",
})  # fmt: skip
MAX_CONFIG_BYTES = 2**20
_LFS = b"version https://git-lfs.github.com/spec/"


def explain(path: Path, head: bytes) -> str | None:
    """A sentence about a file that no container recognizes, or None when nothing is known of it.

    Args:
        path: the file.
        head: its first bytes.
    """
    if not head:
        return f"{shown(path)} is empty; copy or download it again"
    if head.startswith(_LFS):
        return _lfs_pointer(path, head)
    if _is_equinox(path, head):
        return (
            f"{shown(path)} holds the leaves of an Equinox model, which have no names; load it "
            f"with equinox.tree_deserialise_leaves, and save named arrays with numpy.savez"
        )
    for offset, magic, what, advice in _MAGIC:
        if head[offset:].startswith(magic):
            return f"{shown(path)} is {what}; {advice}"
    for what, advice, applies in (
        ("a web page, probably a download that failed", "download it again", _is_markup(head)),
        (_TENSORFLOW, _CONVERT, _is_tensorflow(path)),
        ("an ONNX model", "use the checkpoint it was exported from", _is_onnx(head)),
        ("a Python pickle", "unpickling runs code; save a state dict with torch.save or "
         "safetensors", head[:1] == b"\x80" and head[1:2] in b"\x02\x03\x04\x05"),
        ("a text file", "give the checkpoint itself", _is_text(head)),
    ):  # fmt: skip
        if applies:
            return f"{shown(path)} is {what}; {advice}"
    return None


def explain_folder(names: frozenset[str]) -> str | None:
    """What a folder without a readable checkpoint is, from the names in it, or None."""
    if names & {"saved_model.pb"} or any(re.search(r"\.data-\d{5}-of-\d{5}$", n) for n in names):
        return f"holds a TensorFlow checkpoint; {_CONVERT}"
    if names & _ORBAX_NAMES or any(name.startswith("ocdbt.process_") for name in names):
        return f"holds an orbax or zarr checkpoint; {_ORBAX}"
    if any(name.endswith(".distcp") for name in names):
        return "holds parts of a torch distributed checkpoint without its .metadata; copy it again"
    return None


def explain_prefix(path: Path) -> str | None:
    """A sentence about a path where nothing is: TensorFlow names a checkpoint by a prefix."""
    index = path.with_name(f"{path.name}.index") if path.name else path
    if not is_there(index):
        return None
    return f"{shown(path)} is the prefix of a TensorFlow checkpoint; {_CONVERT}"


def explain_adapter(path: Path) -> str | None:
    """A sentence about a file that holds what was added to a model by PEFT, not the model."""
    config = path.with_name("adapter_config.json")
    if not path.name.startswith("adapter_model.") or not is_there(config):
        return None
    stated = read_json(config, MAX_CONFIG_BYTES)
    table = stated if isinstance(stated, dict) else {}
    kind, base = (str(table.get(key, "")) for key in ("peft_type", "base_model_name_or_path"))
    of = f" of the base model {printable(base[:200])}" if base else ""
    return (
        f"{shown(path)} holds an adapter only ({printable(kind[:40]) or 'PEFT'}){of}; merge it "
        f"into its base (merge_and_unload), and give the model that was saved then"
    )


def _is_equinox(path: Path, head: bytes) -> bool:
    """Leaves one after the other, each as `numpy.save` writes it; perhaps a line of JSON before."""
    if path.suffix == ".eqx":
        return b"\x93NUMPY" in head
    if not head.startswith(b"\x93NUMPY\x01\x00"):
        return False
    try:
        file = io.BytesIO(head)
        npy.read_magic(file)
        shape, _, dtype = npy.read_array_header_1_0(file, max_header_size=len(head))
    except ValueError:
        return False
    return status(path).st_size > file.tell() + math.prod(shape) * dtype.itemsize


def _lfs_pointer(path: Path, head: bytes) -> str:
    size = re.search(rb"^size (\d{1,20})\s*$", head, re.MULTILINE)
    meant = f" to an object of {int(size[1]):,} bytes" if size else ""
    return (
        f"{shown(path)} is a Git LFS pointer of {status(path).st_size:,} bytes{meant}, not the "
        f"checkpoint itself; run `git lfs pull` in its repository"
    )


def _is_markup(head: bytes) -> bool:
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    return text.startswith((b"<!doctype", b"<html", b"<head", b"<?xml"))


def _is_tensorflow(path: Path) -> bool:
    if re.search(r"\.data-\d{5}-of-\d{5}$", path.name):
        return True
    with open_regular(path) as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - len(_TABLE_FOOTER)))
        return file.read() == _TABLE_FOOTER


def _is_onnx(head: bytes) -> bool:
    """Protobuf: field 1 (IR version, small), then field 2 (producer's name, text)."""
    return (
        len(head) > 4
        and head[0] == 0x08
        and head[1] < 32
        and head[2] == 0x12
        and len(head) >= 4 + head[3]
        and head[4 : 4 + head[3]].isascii()
    )


def _is_text(head: bytes) -> bool:
    try:  # step by step: the last character of the head may be cut in two
        text = codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return all(char.isprintable() or char.isspace() for char in text)
