"""GGUF files as the package `gguf` writes them."""

import random
import struct

import numpy as np
import pytest

from ssmspec import read_spectra
from ssmspec.checkpoints import open_checkpoint
from ssmspec.errors import CheckpointError
from tests.examples.torch_forgery import bounded

gguf = pytest.importorskip("gguf")
KINDS = gguf.GGMLQuantizationType


def tensors():
    draw = np.random.default_rng(0)
    return {
        "blk.0.ssm_a": -np.exp(draw.normal(size=(8, 16))).astype("f4"),
        "blk.0.ssm_d": np.ones(8, "f4"),
        "blk.0.ssm_dt.bias": draw.normal(size=8).astype("f2"),
        "blk.1.ssm_a": -np.exp(draw.normal(size=(8, 1))).astype("f4"),
        "blk.1.count": np.arange(6, dtype="i4").reshape(1, 2, 3),
        "blk.1.wide": draw.normal(size=(2, 3)),
    }


def write(path, **quantized):
    writer = gguf.GGUFWriter(path, "mamba")
    writer.add_block_count(2)
    writer.add_name("tiny")
    writer.add_token_list(["a", "", "\u00e9"] * 50)
    writer.add_token_scores([0.5] * 150)
    for name, array in tensors().items():
        writer.add_tensor(name, array)
    for name, (array, kind) in quantized.items():
        writer.add_tensor(name, gguf.quants.quantize(array, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_plain_types_to_the_bit(tmp_path):
    with open_checkpoint(write(tmp_path / "m.gguf")) as checkpoint:
        assert checkpoint.container == "gguf"
        assert list(checkpoint.tensors) == list(tensors())
        assert checkpoint.metadata["general.architecture"] == "mamba"
        assert checkpoint.metadata["mamba.block_count"] == "2"
        for name, array in tensors().items():
            np.testing.assert_array_equal(checkpoint.load(name), array, strict=True)


def test_blocks_as_gguf_itself_dequantizes_them(tmp_path):
    rows = np.random.default_rng(1).normal(size=(4, 64)).astype("f4")
    kinds = {"eight": KINDS.Q8_0, "half": KINDS.BF16, "four": KINDS.Q4_0}
    path = write(tmp_path / "m", **{name: (rows, kind) for name, kind in kinds.items()})
    with open_checkpoint(path) as checkpoint:
        for name in ("eight", "half"):
            stored = gguf.quants.quantize(rows, kinds[name])
            expected = gguf.quants.dequantize(stored, kinds[name])
            assert checkpoint.info(name).shape == (4, 64)
            np.testing.assert_array_equal(checkpoint.read(name), expected)
        assert checkpoint.info("four").shape == (4, 64)
        with pytest.raises(CheckpointError, match=r"four is quantized \(q4_0\)"):
            checkpoint.read("four")
        assert checkpoint.notes == (
            "1 tensors in blocks of 8 bits are read as the float32 they stand for",
        )


def test_a_mamba_is_measured_as_the_checkpoint_it_was_made_from(tmp_path):
    draw = np.random.default_rng(3)
    own = {
        "A_log": draw.normal(size=(8, 16)).astype("f4"),
        "dt_proj.bias": draw.normal(size=8).astype("f4") - 4,
        "dt_proj.weight": np.ones((8, 2), "f4"),
        "x_proj.weight": np.ones((34, 8), "f4"),
        "D": np.ones(8, "f4"),
        "conv1d.weight": np.ones((8, 1, 4), "f4"),
    }
    names = {"dt_proj.bias": "ssm_dt.bias", "dt_proj.weight": "ssm_dt.weight", "D": "ssm_d"}
    writer = gguf.GGUFWriter(tmp_path / "m.gguf", "mamba")
    writer.add_tensor("blk.0.ssm_a", -np.exp(own["A_log"]))
    writer.add_tensor("blk.0.ssm_x.weight", own["x_proj.weight"])
    for name, meant in names.items():
        writer.add_tensor(f"blk.0.{meant}", own[name])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    (read,) = read_spectra(tmp_path / "m.gguf")
    (expected,) = read_spectra({f"layers.0.mixer.{name}": array for name, array in own.items()})
    assert (read.name, read.family) == ("blk.0", "mamba")
    np.testing.assert_allclose(read.log_poles, expected.log_poles, rtol=1e-6)
    np.testing.assert_array_equal(read.dt, expected.dt)


def text(value):
    return struct.pack("<Q", len(value)) + value


def header(count, *values, version=3, entries=b""):
    return b"GGUF" + struct.pack("<IQQ", version, count, len(values)) + b"".join(values) + entries


def entry(name=b"x", shape=(4,), kind=0, offset=0):
    axes = struct.pack(f"<I{len(shape)}Q", len(shape), *shape)
    return text(name) + axes + struct.pack("<IQ", kind, offset)


def align(value):
    return text(b"general.alignment") + struct.pack("<II", 4, value)


WRONG = {
    "version 1": (header(0, version=1), "version 1"),
    "big-endian": (b"GGUF\0\0\0\x03" + bytes(99), "other byte order"),
    "cut off": (header(5)[:20], "ends before byte"),
    "many tensors": (header(2**60), "which no model needs"),
    "a long name": (header(1, entries=text(b"x" * 5000)), "a name of 5,000 bytes"),
    "no UTF-8": (header(1, entries=entry(b"\xff\xff")), "not UTF-8"),
    "many axes": (header(1, entries=entry(shape=(1,) * 9)), "9 axes"),
    "a vast shape": (header(1, entries=entry(shape=(2**40, 2**40))), "beyond any memory"),
    "beyond the end": (header(1, entries=entry(offset=2**50) + bytes(99)), "before the end of x"),
    "one twice": (header(2, entries=entry() * 2 + bytes(99)), "two tensors are called x"),
    "shared": (header(2, entries=entry() + entry(b"y") + bytes(99)), "share their bytes"),
    "no power": (header(0, align(3)), "no power of two"),
    "half a block": (header(1, entries=entry(kind=8) + bytes(99)), "no whole number of blocks"),
    "unknown value": (header(0, text(b"k") + struct.pack("<I", 77)), "kind 77"),
    "a list of lists": (header(0, text(b"k") + struct.pack("<IIQ", 9, 9, 2)), "list of kind 9"),
    "texts": (header(0, text(b"k") + struct.pack("<IIQ", 9, 8, 2**40)), "4,000,000 texts"),
    "numbers": (header(0, text(b"k") + struct.pack("<IIQ", 9, 4, 2**62)), "ends before byte"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_cut_and_hostile_files(tmp_path, case):
    content, words = WRONG[case]
    (tmp_path / "m.gguf").write_bytes(content)
    with bounded(5, 1.0), pytest.raises(CheckpointError, match=words) as caught:
        open_checkpoint(tmp_path / "m.gguf")
    assert str(caught.value).isprintable()


def test_one_part_of_several_is_named(tmp_path):
    count = text(b"split.count") + struct.pack("<IH", 2, 3)
    number = text(b"split.no") + struct.pack("<IH", 2, 1)
    (tmp_path / "m.gguf").write_bytes(header(1, count, number, entries=entry() + bytes(99)))
    with open_checkpoint(tmp_path / "m.gguf") as checkpoint:
        assert checkpoint.notes[0].startswith("this is part 2 of 3")


def test_seeded_mutations_end_in_numbers_or_one_sentence(tmp_path):
    chance = random.Random(0)
    path = write(tmp_path / "m.gguf")
    before = path.read_bytes()
    outcomes = {"read": 0, "refused": 0}
    for _ in range(300):
        content = bytearray(before)
        for _ in range(chance.randint(1, 4)):
            content[chance.randrange(len(content))] = chance.randrange(256)
        path.write_bytes(content[: chance.choice([len(content)] * 9 + [700])])
        try:
            with open_checkpoint(path) as checkpoint:
                for name in checkpoint.tensors:
                    checkpoint.load(name)
            outcomes["read"] += 1
        except CheckpointError:
            outcomes["refused"] += 1
    assert min(outcomes.values()) > 20
