"""torch.distributed.checkpoint folders, against what two processes sharded and saved."""

import pickle
import random
import shutil

import numpy as np
import pytest
import torch
from torch.distributed.checkpoint.metadata import MetadataIndex

from ssmspec import analyze
from ssmspec.checkpoints import open_checkpoint
from ssmspec.checkpoints.torch import distributed
from ssmspec.errors import CheckpointError, UnsafeCheckpointError
from tests.examples import distributed as example
from tests.examples.torch_forgery import bounded

METADATA, RANK0, RANK1 = ".metadata", "__0_0.distcp", "__1_0.distcp"


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("written")
    example.write(folder)
    return folder / "dcp", torch.load(folder / "whole.pt")


@pytest.fixture
def folder(written, tmp_path):
    return shutil.copytree(written[0], tmp_path / "dcp")


def bits(tensor):
    return tensor.view(torch.uint16) if tensor.dtype == torch.bfloat16 else tensor


def read_all(folder):
    with open_checkpoint(folder) as checkpoint:
        for name in checkpoint.tensors:
            checkpoint.load(name)


def restate(folder, change):
    """Apply a change to the unpickled `.metadata`."""
    metadata = pickle.loads((folder / METADATA).read_bytes())
    change(metadata)
    (folder / METADATA).write_bytes(pickle.dumps(metadata))


def place(metadata, name, *offset):
    return metadata.storage_data[MetadataIndex(name, torch.Size(offset))]


def test_every_tensor_of_both_ranks_to_the_bit(written):
    folder, whole = written
    for source in (folder, folder / METADATA):
        with open_checkpoint(source) as checkpoint:
            assert checkpoint.container == "torch-distributed"
            assert checkpoint.path == str(source)
            assert checkpoint.size == sum(file.stat().st_size for file in folder.iterdir())
            assert len(checkpoint.files) == 3
            rest = set(checkpoint.tensors) - set(whole)
            assert rest
            assert all(name.startswith("optimizer.") for name in rest)
            for name, tensor in whole.items():
                loaded = checkpoint.load(name)
                np.testing.assert_array_equal(loaded, bits(tensor).numpy(), strict=True)
                assert checkpoint.info(name).dtype == str(tensor.dtype).removeprefix("torch.")


def test_a_model_that_fsdp_sharded_is_measured_and_its_optimizer_is_not(written):
    folder, whole = written
    own = {n: t.detach().numpy() for n, t in whole.items() if n.startswith("fsdp.")}
    read, expected = analyze(folder), analyze(own)
    assert [layer.name for layer in read.layers] == ["fsdp"]
    assert read.layers[0].metrics == expected.layers[0].metrics


def test_only_the_parts_of_the_tensors_asked_for_are_read(folder):
    metadata = pickle.loads((folder / METADATA).read_bytes())
    wanted = {
        (info.relative_path, info.offset, info.offset + info.length)
        for index, info in metadata.storage_data.items()
        if index.fqn == "tp.columns"
    }
    for name in (RANK0, RANK1):
        content = bytearray((folder / name).read_bytes())
        kept = bytearray(b"\xff" * len(content))
        for file, begin, end in wanted:
            if file == name:
                kept[begin:end] = content[begin:end]
        (folder / name).write_bytes(kept)
    with open_checkpoint(folder) as checkpoint:
        assert checkpoint.load("tp.columns").shape == (3, 4)
        with pytest.raises(CheckpointError):
            checkpoint.load("tp.rows")


def test_where_it_is_found(folder, tmp_path):
    (tmp_path / "checkpoint-500").mkdir()
    folder.rename(tmp_path / "checkpoint-500" / "pytorch_model_fsdp_0")  # as accelerate saves it
    with open_checkpoint(tmp_path / "checkpoint-500") as checkpoint:
        assert checkpoint.container == "torch-distributed"
    with pytest.raises(CheckpointError, match="one part of a torch distributed"):
        open_checkpoint(tmp_path / "checkpoint-500" / "pytorch_model_fsdp_0" / RANK0)


def drop(name):
    return lambda folder: (folder / name).unlink()


def cut(name):
    def apply(folder):
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: len(content) // 2])

    return apply


def stated(change):
    return lambda folder: restate(folder, change)


def move(metadata):
    here, there = place(metadata, "tp.rows", 0, 0), place(metadata, "tp.columns", 0, 0)
    there.offset, there.length = here.offset, here.length


def lead_out(metadata):
    place(metadata, "tp.rows", 0, 0).relative_path = "../dcp/__0_0.distcp"


def swap(metadata):
    one, two = place(metadata, "fsdp.D", 0), place(metadata, "tp.rows", 0, 0)
    one.offset, two.offset = two.offset, one.offset
    one.length, two.length = two.length, one.length


def resize(metadata):
    metadata.state_dict_metadata["tp.rows"].size = torch.Size([2**40, 4])


def enlarge(metadata):
    entry = metadata.state_dict_metadata["tp.plain"]
    entry.size = entry.chunks[0].sizes = torch.Size([2**40])


def overlap(metadata):
    chunks = metadata.state_dict_metadata["tp.rows"].chunks
    chunks[1].offsets, chunks[1].sizes = torch.Size([0, 0]), chunks[0].sizes


def pack(metadata):
    place(metadata, "tp.rows", 0, 0).transform_descriptors = ["zstd"]


def forget(metadata):
    del metadata.storage_data[MetadataIndex("tp.rows", torch.Size([0, 0]))]


def harm(folder):
    class Harm:
        def __reduce__(self):
            return eval, ("1",)

    (folder / METADATA).write_bytes(pickle.dumps(Harm()))


WRONG = {
    "no metadata": (drop(METADATA), "without its .metadata"),
    "a file is missing": (drop(RANK1), "needs the shard __1_0.distcp"),
    "a file is cut off": (cut(RANK1), "ends before byte"),
    "metadata is cut off": (cut(METADATA), "cannot be read"),
    "metadata of something else": (
        lambda folder: (folder / METADATA).write_bytes(pickle.dumps({"a": 1})),
        "a Metadata is missing",
    ),
    "code": (harm, "runs code"),
    "a way out": (stated(lead_out), "not a plain name"),
    "bytes used twice": (stated(move), "shares its bytes"),
    "parts exchanged": (stated(swap), "is not the part|more elements"),
    "a shape beyond its parts": (stated(resize), "hold 12 elements of 4,398,046,511,104"),
    "a shape beyond its bytes": (stated(enlarge), "more elements than its bytes hold"),
    "parts that overlap": (stated(overlap), "parts of tp.rows"),
    "packed parts": (stated(pack), "packed by an extension"),
    "a part without a place": (stated(forget), "in no file"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_cut_and_hostile_folders(folder, case):
    change, words = WRONG[case]
    change(folder)
    with bounded(20, 2.0), pytest.raises(CheckpointError, match=words) as caught:
        read_all(folder)
    assert str(caught.value).isprintable()


def test_types_that_cannot_be_read_are_passed_over(folder):
    def change(metadata):
        metadata.state_dict_metadata["tp.rows"].properties.dtype = torch.quint8

    restate(folder, change)
    with open_checkpoint(folder) as checkpoint:
        assert "tp.rows" not in checkpoint.tensors
        assert checkpoint.notes == ("passed over 1 tensors of kinds that cannot be read (quint8)",)


def test_seeded_mutations_end_in_numbers_or_one_sentence(folder):
    chance = random.Random(0)
    files = {name: (folder / name).read_bytes() for name in (METADATA, RANK0, RANK1)}
    outcomes = {"read": 0, "refused": 0}
    for _ in range(60):
        name = chance.choice([METADATA, METADATA, RANK0, RANK1])
        content = bytearray(files[name])
        for _ in range(chance.randint(1, 4)):
            content[chance.randrange(len(content))] = chance.randrange(256)
        (folder / name).write_bytes(content[: chance.choice([len(content)] * 5 + [999])])
        try:
            read_all(folder)
            outcomes["read"] += 1
        except CheckpointError:
            outcomes["refused"] += 1
        (folder / name).write_bytes(files[name])
    assert min(outcomes.values()) > 5


def test_a_metadata_without_an_end(folder, monkeypatch):
    monkeypatch.setattr(distributed, "MAX_METADATA_BYTES", 100)
    with pytest.raises(UnsafeCheckpointError, match="larger than 100 bytes"):
        open_checkpoint(folder)


def test_one_process_alone(tmp_path):
    import torch.distributed.checkpoint as dcp

    with pytest.warns(UserWarning, match="torch.distributed is disabled"):
        dcp.save({"model": {"w": torch.arange(6.0).reshape(2, 3).T}}, checkpoint_id=tmp_path)
    with open_checkpoint(tmp_path) as checkpoint:
        np.testing.assert_array_equal(
            checkpoint.load("model.w"), np.arange(6.0, dtype="f4").reshape(2, 3).T
        )
