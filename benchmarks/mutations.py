"""Small valid files of every container, with bytes, headers or opcodes changed at random."""

from __future__ import annotations

import io
import json
import random
import struct
import tempfile
import warnings
import zipfile
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import msgpack  # type: ignore[import-untyped]
import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

Tensors = Mapping[str, NDArray[Any]]
Mutate = Callable[[random.Random], bytes]

NOTE = {"ssmspec": json.dumps({"seq_len": 64})}
_INTERESTING = (0, 1, 2, 3, 127, 128, 255, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**53)
_HUGE: tuple[Any, ...] = (
    -1,
    0,
    1,
    2**31,
    2**63,
    2**64,
    10**30,
    1e20,
    1e-310,
    "x",
    None,
    True,
    [],
    {},
    "9" * 5000,
)


def tensors(dtype: str = "<f4") -> Tensors:
    """A small S4D layer and a tensor beside it."""
    prefix = "layers.0.kernel."
    return {
        f"{prefix}log_dt": np.full(3, -3.0, dtype),
        f"{prefix}log_A_real": np.full((3, 4), -0.7, dtype),
        f"{prefix}A_imag": (np.pi * np.arange(4) * np.ones((3, 1))).astype(dtype),
        f"{prefix}C": np.ones((3, 4, 2), dtype),
        "decoder.weight": np.arange(6, dtype=dtype).reshape(2, 3),
    }


def flipped(raw: bytes, rng: random.Random) -> bytes:
    """Bytes changed, removed, doubled, or set to numbers at which counters turn over."""
    data = bytearray(raw)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        if not data:
            break
        at, kind = rng.randrange(len(data)), rng.randrange(6)
        if kind == 0:
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            data[at] = rng.randrange(256)
        elif kind == 2:
            del data[at : at + rng.choice((1, 4, 64, len(data)))]
        elif kind == 3:
            data[at:at] = data[at : at + rng.choice((1, 8, 200))]
        elif kind == 4:
            width = rng.choice((1, 2, 4, 8))
            number = rng.choice(_INTERESTING) % (1 << 8 * width)
            data[at : at + width] = number.to_bytes(width, rng.choice(("little", "big")))
        else:
            data[at:at] = rng.randbytes(rng.choice((1, 3, 40)))
    return bytes(data)


def _reshaped(value: Any, rng: random.Random) -> Any:
    """A JSON value with one place in it changed."""
    if isinstance(value, dict) and value and rng.random() < 0.85:
        key = rng.choice(list(value))
        new = {**value, key: _reshaped(value[key], rng)}
        if rng.random() < 0.1:
            new[rng.choice(("", "\u202e\x1b[31m", "a/../b", "x" * 700, "=1"))] = new.pop(key)
        return new
    if isinstance(value, list) and value and rng.random() < 0.7:
        at = rng.randrange(len(value))
        return [*value[:at], _reshaped(value[at], rng), *value[at + rng.choice((1, 1, 0, 2)) :]]
    return rng.choice(_HUGE)


def safetensors(rng: random.Random) -> bytes:
    """Its bytes, or its JSON header with a length that fits again."""
    raw = save(dict(tensors()), metadata=NOTE)
    if rng.random() < 0.4:
        return flipped(raw, rng)
    (length,) = struct.unpack("<Q", raw[:8])
    header = json.dumps(_reshaped(json.loads(raw[8 : 8 + length]), rng)).encode()
    header += b" " * (-len(header) % 8)
    return struct.pack("<Q", len(header)) + header + raw[8 + length :]


def _zipped(members: Mapping[str, bytes], rng: random.Random) -> bytes:
    method = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    raw = out.getvalue()
    return flipped(raw, rng) if rng.random() < 0.3 else raw


def npz(rng: random.Random) -> bytes:
    """A member's bytes, mostly in its header."""
    members = {}
    for name, array in tensors().items():
        out = io.BytesIO()
        np.save(out, array)
        members[f"{name}.npy"] = out.getvalue()
    name = rng.choice(list(members))
    whole = members[name]
    members[name] = flipped(whole[:128], rng) + whole[128:]
    return _zipped(members, rng)


def torch_pickle(layout: Tensors) -> bytes:
    """The pickle that `torch.save` writes for a state dict, without torch."""
    names = {"f": "FloatStorage"}

    def text(value: str) -> bytes:
        return b"X" + struct.pack("<I", len(value)) + value.encode()

    def integer(value: int) -> bytes:
        return b"M" + struct.pack("<H", value)

    out = b"\x80\x02}("
    for key, (name, array) in enumerate(layout.items()):
        steps = [stride // array.itemsize for stride in array.strides]
        kind = f"ctorch\n{names[array.dtype.kind]}\n".encode()
        place = b"(" + text("storage") + kind + text(str(key)) + text("cpu") + integer(array.size)
        shape = b"(" + b"".join(map(integer, array.shape)) + b"t"
        stride = b"(" + b"".join(map(integer, steps)) + b"t"
        view = (
            b"("
            + place
            + b"tQ"
            + integer(0)
            + shape
            + stride
            + b"\x89ccollections\nOrderedDict\n)Rt"
        )
        out += text(name) + b"ctorch._utils\n_rebuild_tensor_v2\n" + view + b"R"
    return out + b"u."


def torch_zip(rng: random.Random) -> bytes:
    """Opcodes and arguments of its pickle, or bytes of its archive."""
    layout = tensors()
    pickle = torch_pickle(layout)
    if rng.random() < 0.8:
        data = bytearray(pickle)
        for _ in range(rng.choice((1, 1, 2, 5))):
            at = rng.randrange(len(data))
            opcode = rng.choice(
                b"().0123abcehjlqrstuNQRX]}KMJG\x80\x81\x85\x86\x87\x88\x8a\x8c\x93"
            )
            if rng.random() < 0.5:
                data[at] = opcode
            else:
                data[at:at] = bytes([opcode]) * rng.choice((1, 1, 3, 400))
        pickle = bytes(data) if rng.random() < 0.6 else flipped(pickle, rng)
    members = {"a/data.pkl": pickle}
    members |= {f"a/data/{key}": array.tobytes() for key, array in enumerate(layout.values())}
    return _zipped(members, rng)


def flax(rng: random.Random) -> bytes:
    """Its bytes; every one of them is a header of something."""
    tree: dict[str, Any] = {}
    for name, array in tensors().items():
        packed = msgpack.packb((array.shape, array.dtype.name, array.tobytes()), use_bin_type=True)
        *path, leaf = name.split(".")
        place = tree
        for part in path:
            place = place.setdefault(part, {})
        place[leaf] = msgpack.ExtType(1, packed)
    return flipped(msgpack.packb(tree, use_bin_type=True), rng)


def index(rng: random.Random) -> bytes:
    """The JSON of an index whose one shard is whole."""
    document = {"metadata": {"total_size": 1}, "weight_map": dict.fromkeys(tensors(), "shard")}
    if rng.random() < 0.5:
        return flipped(json.dumps(document).encode(), rng)
    return json.dumps(_reshaped(document, rng)).encode()


def gguf(rng: random.Random) -> bytes:
    """Its bytes, or its header alone."""

    def text(value: str) -> bytes:
        return struct.pack("<Q", len(value)) + value.encode()

    draw = np.random.default_rng(0)
    held = {
        "blk.0.ssm_a": -np.exp(draw.normal(size=(8, 16))).astype("<f4"),
        "blk.0.ssm_d": np.ones(8, "<f4"),
        "blk.0.ssm_dt.bias": draw.normal(size=8).astype("<f4"),
    }
    header = b"GGUF" + struct.pack("<IQQ", 3, len(held), 3)
    header += text("general.architecture") + struct.pack("<I", 8) + text("mamba")
    header += text("mamba.block_count") + struct.pack("<II", 4, 1)
    header += text("tokens") + struct.pack("<IIQ", 9, 8, 2) + text("a") + text("b")
    offset = 0
    for name, array in held.items():
        sizes = array.shape[::-1]
        header += text(name) + struct.pack(f"<I{len(sizes)}QIQ", len(sizes), *sizes, 0, offset)
        offset += array.nbytes  # each a multiple of 32, as it is aligned
    if rng.random() < 0.7:
        header = flipped(header, rng)
    raw = header + bytes(-len(header) % 32) + b"".join(map(np.ndarray.tobytes, held.values()))
    return raw if rng.random() < 0.7 else flipped(raw, rng)


@cache
def distributed_files() -> tuple[bytes, Mapping[str, bytes]]:
    """The .metadata of a small sharded model as torch writes it, and the files beside it."""
    import torch
    from torch.distributed.checkpoint.state_dict_saver import save as save_distributed

    with tempfile.TemporaryDirectory() as name, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is not sharded, and torch says so
        state = {key: torch.from_numpy(array) for key, array in tensors().items()}
        save_distributed(state, checkpoint_id=name, no_dist=True)
        files = {file.name: file.read_bytes() for file in Path(name).iterdir()}
    return files.pop(METADATA), files


def distributed(rng: random.Random) -> bytes:
    """The pickle that says where everything is."""
    return flipped(distributed_files()[0], rng)


METADATA = ".metadata"
CONTAINERS: Mapping[str, tuple[str, Mutate]] = {
    "safetensors": ("x.safetensors", safetensors),
    "npz": ("x.npz", npz),
    "torch-zip": ("x.pt", torch_zip),
    "flax-msgpack": ("x.msgpack", flax),
    "sharded": ("x.index.json", index),
    "gguf": ("x.gguf", gguf),
    "torch-distributed": (f"dcp/{METADATA}", distributed),
}
