"""Index files: shards are written with the safetensors library and torch."""

import json
import os
import time
import tracemalloc

import numpy as np
import pytest
import safetensors.numpy
import torch

from ssmspec.checkpoints import open_checkpoint, sharded
from ssmspec.errors import CheckpointError, UnsafeCheckpointError

INDEX = "model.safetensors.index.json"


def write_sharded(folder, shards, index=INDEX, metadata=None, save=safetensors.numpy.save_file):
    folder.mkdir(exist_ok=True)
    for name, tensors in shards.items():
        (folder / name).parent.mkdir(exist_ok=True)
        save(tensors, folder / name)
    weight_map = {tensor: name for name, tensors in shards.items() for tensor in tensors}
    document = {"metadata": metadata or {"total_size": 7}, "weight_map": weight_map}
    (folder / index).write_text(json.dumps(document))
    return folder / index


def write_index(folder, weight_map):
    (folder / INDEX).write_text(json.dumps({"weight_map": weight_map}))
    return folder / INDEX


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    return {f"layers.{i}.w": rng.standard_normal((i + 1, 2)) for i in range(12)}


def split(arrays, count):
    names = list(arrays)
    return {
        f"model-{k:05}-of-{count:05}.safetensors": {n: arrays[n] for n in names[k::count]}
        for k in range(count)
    }


def test_tensors_of_all_shards_in_the_order_of_the_index(tmp_path, arrays):
    index = write_sharded(tmp_path / "m", split(arrays, 12), metadata={"total_size": 9, "x": [1]})
    with open_checkpoint(index) as checkpoint:
        assert list(checkpoint.tensors) == list(json.loads(index.read_text())["weight_map"])
        for _ in range(2):
            for name, array in arrays.items():
                np.testing.assert_array_equal(checkpoint.read(name), array)
        assert checkpoint.size == sum(p.stat().st_size for p in index.parent.glob("*.safetensors"))
        assert checkpoint.metadata == {"total_size": "9"}
        assert checkpoint.container == "sharded"
        assert checkpoint.notes == ()
        assert set(checkpoint.placement.values()) == set(checkpoint.shards)


def test_torch_shards(tmp_path, arrays):
    shards = {
        f"pytorch_model-{k}.bin": {n: torch.from_numpy(a) for n, a in tensors.items()}
        for k, tensors in enumerate(split(arrays, 3).values())
    }
    index = write_sharded(tmp_path, shards, "pytorch_model.bin.index.json", save=torch.save)
    with open_checkpoint(tmp_path) as checkpoint:
        assert checkpoint.index == index
        for name, array in arrays.items():
            np.testing.assert_array_equal(checkpoint.read(name), array)


def test_each_shard_is_opened_once(tmp_path, arrays):
    shards = {f"{k}.bin": {n: torch.from_numpy(a)} for k, (n, a) in enumerate(arrays.items())}
    index = write_sharded(tmp_path, shards, "pytorch_model.bin.index.json", save=torch.save)
    opened = []

    def open_shard(path):
        opened.append(path.name)
        return open_checkpoint(path)

    with sharded.ShardedCheckpoint(index, open_shard) as checkpoint:
        for _ in range(2):
            for name in arrays:
                checkpoint.read(name)
    assert sorted(opened) == sorted(shards)


def test_a_missing_shard_is_named(tmp_path, arrays):
    index = write_sharded(tmp_path, split(arrays, 4))
    (tmp_path / "model-00001-of-00004.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"model-00001-of-00004\.safetensors, which is not"):
        open_checkpoint(index)
    (tmp_path / "model-00003-of-00004.safetensors").unlink()
    with pytest.raises(CheckpointError, match="and 1 more"):
        open_checkpoint(index)


def test_a_shard_that_is_a_pointer_is_named(tmp_path, arrays):
    index = write_sharded(tmp_path, split(arrays, 2))
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12345\n"
    (tmp_path / "model-00001-of-00002.safetensors").write_text(pointer)
    with pytest.raises(CheckpointError, match=r"model-00001-of-00002.*Git LFS pointer.*12,345"):
        open_checkpoint(index)


def test_a_tensor_that_its_shard_lacks_is_named(tmp_path):
    safetensors.numpy.save_file({"a": np.zeros(1)}, tmp_path / "s")
    with pytest.raises(CheckpointError, match="holds b"):
        open_checkpoint(write_index(tmp_path, {"a": "s", "b": "s"}))


def test_a_tensor_in_two_shards_comes_from_the_one_the_index_names(tmp_path):
    for name, value in (("s", 1.0), ("t", 2.0)):
        safetensors.numpy.save_file({"a": np.array([value]), name: np.zeros(1)}, tmp_path / name)
    with open_checkpoint(write_index(tmp_path, {"s": "s", "a": "t"})) as checkpoint:
        assert list(checkpoint.tensors) == ["s", "a"]
        assert checkpoint.read("a") == 2.0
        assert checkpoint.notes == ("2 tensors in the shards are not in the index: passed over",)


def test_a_shard_that_changes_is_noticed(tmp_path):
    shards = {f"{i}": {f"t{i}": np.zeros(4)} for i in range(6)}
    with open_checkpoint(write_sharded(tmp_path, shards)) as checkpoint:
        safetensors.numpy.save_file({"t0": np.zeros(5)}, tmp_path / "new")
        (tmp_path / "new").replace(tmp_path / "0")
        with pytest.raises(CheckpointError, match="changed while it was being read"):
            checkpoint.read("t0")


@pytest.mark.parametrize(
    "name",
    [
        "../up/s", "sub/../../up/s", "/etc/hostname", "..", "C:\\s", "C:s", "\\s",
        "\\\\host\\share\\s", "", ".", "s\0", "../\x1b[31m", "sub\\..\\..\\up",
    ],
)  # fmt: skip
def test_an_index_cannot_name_a_file_outside_its_folder(tmp_path, name):
    (tmp_path / "up").mkdir()
    (tmp_path / "m").mkdir()
    safetensors.numpy.save_file({"a": np.zeros(1)}, tmp_path / "up" / "s")
    with pytest.raises(UnsafeCheckpointError) as caught:
        open_checkpoint(write_index(tmp_path / "m", {"a": name}))
    assert str(caught.value).isprintable()


def test_shards_in_a_subfolder_and_behind_links_are_read(tmp_path):
    shards = {"sub/s": {"a": np.ones(1)}}
    (tmp_path / "blobs").mkdir()
    safetensors.numpy.save_file({"b": np.ones(1)}, tmp_path / "blobs" / "0abc")
    index = write_sharded(tmp_path / "m", shards)
    (tmp_path / "m" / "t").symlink_to(tmp_path / "blobs" / "0abc")
    with open_checkpoint(write_index(index.parent, {"a": "sub/s", "b": "t"})) as checkpoint:
        assert checkpoint.read("b") == 1


@pytest.mark.parametrize(
    "text",
    [
        "{}", "{", "[]", '{"weight_map": []}', '{"weight_map": {}}', '{"weight_map": {"a": 1}}',
        '{"weight_map": {"a": null}}', '{"weight_map": {"\\u001b": ["s"]}}', '{"weight_map": "s"}',
        '{"weight_map": {"a": "s", "a": "t"}}', '{"weight_map": {"a": "s"}', '{"a": NaN',
        '{"weight_map": {"a": "no\\u001b[31m such"}}', '{"weight_map": {"a": "\\ud800"}}',
        '{"weight_map": {"a": "' + INDEX + '"}}', '{"weight_map": {"a": "."}}',
        '{"x": ' + "9" * 10_000 + "}", '{"x": ' + "[" * 500_000 + "]" * 500_000 + "}",
        '{"weight_map": {"a": "' + "s" * 100_000 + '"}}',
    ],
)  # fmt: skip
def test_broken_indexes_are_refused_in_one_line_and_little_memory(tmp_path, text):
    (tmp_path / INDEX).write_text(text)
    tracemalloc.start()
    began = time.process_time()
    try:
        with pytest.raises(CheckpointError) as caught:
            open_checkpoint(tmp_path / INDEX)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 500 + 2 * len(str(tmp_path))
    assert peak < 2**20 + 20 * len(text)
    assert time.process_time() - began < 2


def test_an_index_that_is_not_utf_8_or_too_large_is_refused(tmp_path, monkeypatch):
    (tmp_path / INDEX).write_bytes(b'{"weight_map": {"\xff": "s"}}')
    with pytest.raises(CheckpointError, match="not UTF-8"):
        open_checkpoint(tmp_path / INDEX)
    monkeypatch.setattr(sharded, "MAX_INDEX_BYTES", 10)
    with pytest.raises(CheckpointError, match="larger than 10 bytes"):
        open_checkpoint(tmp_path / INDEX)


def test_a_shard_that_is_a_folder_or_pipe_is_refused(tmp_path):
    (tmp_path / "d").mkdir()
    os.mkfifo(tmp_path / "p")
    for name, what in (("d", "a folder"), ("p", "a pipe")):
        with pytest.raises(CheckpointError, match=what):
            open_checkpoint(write_index(tmp_path, {"a": name}))
