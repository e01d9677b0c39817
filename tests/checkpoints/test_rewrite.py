"""Oracles: byte comparison with the source, the safetensors library's own writer, `kill -9`."""

import json
import os
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import safetensors
import safetensors.numpy
import safetensors.torch
import torch

from ssmspec.checkpoints import open_checkpoint
from ssmspec.checkpoints import rewrite as module
from ssmspec.checkpoints.rewrite import rewrite
from ssmspec.errors import CheckpointError, UsageError

ROOT = Path(__file__).parents[2]
INDEX = "model.safetensors.index.json"


def tensors_of_many_types():
    generator = torch.Generator().manual_seed(0)
    tensors = {
        f"layers.{i}.{str(dtype).removeprefix('torch.')}": torch.randn(
            5, i + 1, generator=generator
        ).to(dtype)
        for i, dtype in enumerate(
            [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.complex64,
             torch.int64, torch.uint8, torch.bool, torch.float8_e4m3fn]
        )
    }  # fmt: skip
    return tensors | {
        "scalar": torch.tensor(3.5),
        "empty": torch.zeros(0, 4),
        "[b]\x1b\né": torch.ones(1),
    }


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "source.safetensors"
    safetensors.torch.save_file(tensors_of_many_types(), path, {"format": "pt"})
    return path


def rewrite_path(path, changes, output, *, force=False, metadata=None):
    with open_checkpoint(path) as checkpoint:
        rewrite(checkpoint, changes, output, force=force, metadata=metadata)


def loaded(path):
    tensors = safetensors.torch.load_file(path)
    return {name: (t.dtype, t.shape, bytes(t.untyped_storage())) for name, t in tensors.items()}


def test_without_changes_the_file_is_the_same(tmp_path, source):
    before = source.read_bytes()
    rewrite_path(source, {}, tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == before == source.read_bytes()


@pytest.mark.parametrize("metadata", [None, {"made": "[b]\x1b\né", "by": "us"}])
@pytest.mark.parametrize("in_system", [True, False])
def test_only_changed_tensors_change(tmp_path, source, monkeypatch, metadata, in_system):
    if not in_system:
        monkeypatch.setattr(module, "_copy_in_system", lambda *args: 0)
        monkeypatch.setattr(module, "_BUFFER", 7)
    changes = {
        "layers.1.float32": np.random.default_rng(0).standard_normal((5, 2)),
        "layers.3.bfloat16": np.random.default_rng(1).standard_normal((5, 4)),
        "layers.4.complex64": np.full((5, 5), 1 + 2j),
        "scalar": np.array(-1.0),
        "empty": np.zeros((0, 4)),
    }
    rewrite_path(source, changes, tmp_path / "out", metadata=metadata)
    expected = tensors_of_many_types()
    for name, values in changes.items():
        expected[name] = torch.from_numpy(values).to(expected[name].dtype)
    safetensors.torch.save_file(expected, tmp_path / "expected")
    assert loaded(tmp_path / "out") == loaded(tmp_path / "expected")
    with safetensors.safe_open(tmp_path / "out", "pt") as file:
        assert file.metadata() == {"format": "pt"} | (metadata or {})
    if metadata is None:
        differing = np.frombuffer(source.read_bytes(), "u1") != np.frombuffer(
            (tmp_path / "out").read_bytes(), "u1"
        )
        with open_checkpoint(source) as checkpoint:
            for name, (begin, end) in checkpoint.offsets.items():
                assert not differing[begin:end].any() or name in changes
            assert not differing[: checkpoint.data_start].any()


def test_types_that_cannot_be_decoded_are_copied(tmp_path):
    header = b'{"a":{"dtype":"F8_E8M0","shape":[4],"data_offsets":[0,4]}}'
    (tmp_path / "x").write_bytes(len(header).to_bytes(8, "little") + header + b"\1\2\3\4")
    rewrite_path(tmp_path / "x", {}, tmp_path / "out", metadata={"k": "v"})
    with safetensors.safe_open(tmp_path / "out", "np") as file:
        assert file.get_slice("a").get_dtype() == "F8_E8M0"
    assert (tmp_path / "out").read_bytes().endswith(b"\1\2\3\4")


def test_other_containers_become_what_the_library_would_write(tmp_path):
    tensors = tensors_of_many_types()
    expected = safetensors.torch.save(tensors)
    torch.save({"model": {}} | tensors, tmp_path / "x.pt")
    rewrite_path(tmp_path / "x.pt", {}, tmp_path / "from_torch")
    assert (tmp_path / "from_torch").read_bytes() == expected
    rewrite_path(tensors, {}, tmp_path / "from_memory")
    assert (tmp_path / "from_memory").read_bytes() == expected
    arrays = {
        n: t.numpy()
        for n, t in tensors.items()
        if t.dtype not in (torch.bfloat16, torch.float8_e4m3fn)
    }
    np.savez_compressed(tmp_path / "x.npz", **arrays)
    rewrite_path(tmp_path / "x.npz", {"scalar": np.array(2.0)}, tmp_path / "from_npz")
    assert (tmp_path / "from_npz").read_bytes() == safetensors.numpy.save(
        arrays | {"scalar": np.array(2.0, "f4")}
    )


def write_sharded(folder):
    folder.mkdir()
    rng = np.random.default_rng(0)
    shards = {
        f"model-{k}.safetensors": {
            f"layers.{k}.{leaf}": rng.standard_normal(4).astype("f4") for leaf in "ab"
        }
        for k in range(3)
    }
    for name, tensors in shards.items():
        safetensors.numpy.save_file(tensors | {f"extra.{name}": np.ones(1)}, folder / name)
    weight_map = {tensor: name for name, tensors in shards.items() for tensor in tensors}
    document = {"metadata": {"total_size": 96}, "weight_map": weight_map}
    (folder / INDEX).write_text(json.dumps(document))
    (folder / "config.json").write_text('{"d_model": 4}')
    return folder


def contents(folder):
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()
    }


@pytest.mark.parametrize("form", ["", INDEX])
def test_sharded_in_sharded_out(tmp_path, form):
    folder = write_sharded(tmp_path / "in")
    before = contents(folder)
    rewrite_path(folder / form, {}, tmp_path / "same")
    assert contents(tmp_path / "same") == before
    change = {"layers.1.a": np.arange(4.0)}
    rewrite_path(folder / form, change, tmp_path / "out", metadata={"made": "by us"})
    after = contents(tmp_path / "out")
    assert {n for n in before if after[n] != before[n]} == {"model-1.safetensors", INDEX}
    assert json.loads(after[INDEX]) == json.loads(before[INDEX]) | {
        "metadata": {"total_size": 96, "made": "by us"}
    }
    expected = safetensors.numpy.load(before["model-1.safetensors"]) | {
        "layers.1.a": np.arange(4, dtype="f4")
    }
    found = safetensors.numpy.load(after["model-1.safetensors"])
    assert {n: a.tobytes() for n, a in found.items()} == {
        n: a.tobytes() for n, a in expected.items()
    }
    assert contents(folder) == before
    with open_checkpoint(tmp_path / "out") as checkpoint:
        assert checkpoint.config == {"d_model": 4}


def test_sharded_outputs_are_folders_clear_of_the_input(tmp_path):
    folder = write_sharded(tmp_path / "in")
    with pytest.raises(UsageError, match=r"3 shards.*without \.safetensors"):
        rewrite_path(folder, {}, tmp_path / "x.safetensors")
    for output in (folder, tmp_path):
        with pytest.raises(UsageError, match="contains the input"):
            rewrite_path(folder, {}, output, force=True)
    rewrite_path(folder, {}, tmp_path / "out")
    with pytest.raises(UsageError, match="--force"):
        rewrite_path(folder, {}, tmp_path / "out")
    rewrite_path(folder, {"layers.0.b": np.zeros(4)}, tmp_path / "out", force=True)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in", "out"]


def test_sharded_torch_files_become_one_file(tmp_path):
    tensors = {"a": torch.ones(2), "b": torch.zeros(3)}
    for name, tensor in tensors.items():
        torch.save({name: tensor}, tmp_path / f"{name}.bin")
    index = tmp_path / "pytorch_model.bin.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "a.bin", "b": "b.bin"}}))
    rewrite_path(index, {}, tmp_path / "out.safetensors")
    assert (tmp_path / "out.safetensors").read_bytes() == safetensors.torch.save(tensors)


def test_the_input_is_never_the_output(tmp_path, source):
    (tmp_path / "hard").hardlink_to(source)
    torch.save({"a": torch.ones(1)}, tmp_path / "model.pt")
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "model.pt").hardlink_to(tmp_path / "model.pt")
    for given, output in [
        (source, source),
        (source, tmp_path / "hard"),
        (tmp_path / "model.pt", tmp_path / "model.pt"),
        (tmp_path / "d", tmp_path / "model.pt"),
    ]:
        before = output.read_bytes()
        with pytest.raises(UsageError, match="is the input itself"):
            rewrite_path(given, {}, output, force=True)
        assert output.read_bytes() == before


@pytest.mark.parametrize(
    ("tensors", "changes", "words"),
    [
        ({"a": np.ones(2)}, {"b": np.ones(2)}, "holds no tensor b"),
        ({"a": np.ones(2)}, {"a": np.ones((2, 1))}, r"shape \(2,\)"),
        ({"a": np.ones(2, "f2")}, {"a": np.full(2, 1e9)}, "a: 1e.09 cannot be stored as float16"),
        ({"a": np.ones(2)}, {"a": np.full(2, 1j)}, "a: complex"),
        ({"a": np.ones(2, complex)}, {}, "complex128"),
        ({"a": np.array(["x"])}, {}, "^a: .*str"),
        ({"__metadata__": np.ones(1)}, {}, "__metadata__"),
        ({"\ud800": np.ones(1)}, {}, "Unicode"),
        ({"a": torch.eye(2).to_sparse()}, {}, "^a cannot be turned"),
    ],
)
def test_what_cannot_be_written_leaves_nothing(tmp_path, tensors, changes, words):
    with pytest.raises(CheckpointError, match=words) as caught:
        rewrite_path(tensors, changes, tmp_path / "out")
    assert str(caught.value).isprintable()
    assert list(tmp_path.iterdir()) == []


def test_a_source_that_changes_meanwhile_leaves_nothing(tmp_path, source):
    checkpoint = open_checkpoint(source)
    os.utime(source, ns=(0, 1))
    with pytest.raises(CheckpointError, match="changed while"):
        rewrite(checkpoint, {}, tmp_path / "out", force=False)
    folder = write_sharded(tmp_path / "in")
    sharded = open_checkpoint(folder)
    safetensors.numpy.save_file({"layers.2.a": np.ones(1)}, folder / "model-2.safetensors")
    with pytest.raises(CheckpointError, match="changed while"):
        rewrite(sharded, {}, tmp_path / "out", force=False)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in", source.name]


@pytest.mark.parametrize("in_system", [True, False])
def test_memory_does_not_grow_with_the_file(tmp_path, monkeypatch, in_system):
    if not in_system:
        monkeypatch.setattr(module, "_copy_in_system", lambda *args: 0)
    size = 200 * 2**20
    header = json.dumps({
        "big": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]},
        "small": {"dtype": "F32", "shape": [1], "data_offsets": [size, size + 4]},
    }).encode()  # fmt: skip
    with (tmp_path / "x").open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(8 + len(header) + size + 4)
    tracemalloc.start()
    rewrite_path(tmp_path / "x", {"small": np.array([2.0])}, tmp_path / "out")
    assert tracemalloc.get_traced_memory()[1] < 20 * 2**20
    tracemalloc.stop()
    assert (tmp_path / "out").stat().st_size == (tmp_path / "x").stat().st_size
    with open_checkpoint(tmp_path / "out") as checkpoint:
        assert checkpoint.read("small") == 2.0


KILLED_EVERYWHERE = """
import os, signal, sys
from pathlib import Path
import numpy as np
from ssmspec.checkpoints import open_checkpoint
from ssmspec.checkpoints.rewrite import rewrite

source, output, force = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3] == "force"
stride = int(sys.argv[4])

def whole():
    if not os.path.lexists(output):
        return None
    files = [output] if output.is_file() else sorted(p for p in output.rglob("*") if p.is_file())
    return [(p.name, p.read_bytes()) for p in files]

def run(steps):
    left = steps
    def count(frame, event, function):
        nonlocal left
        if event == "c_call":  # before every call into the system or a library
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
    with open_checkpoint(source) as checkpoint:
        name = next(n for n in checkpoint.tensors if n.startswith("layers.1"))
        changes = {name: np.zeros(checkpoint.info(name).shape)}
        sys.setprofile(count)
        rewrite(checkpoint, changes, output, force=force)
        sys.setprofile(None)

old = whole()
killed = steps = 0
states = set()
while True:
    steps += stride
    child = os.fork()
    if not child:
        run(steps)
        os._exit(0)
    if os.waitpid(child, 0)[1] == 0:
        break
    killed += 1
    now = whole()
    states.add("none" if now is None else "old" if now == old else repr(now))
    if now != old:  # done, or the old folder is aside: start afresh
        if now is not None:
            (output.unlink() if output.is_file() else __import__("shutil").rmtree(output))
        if old is not None:
            if output.suffix:
                output.write_bytes(old[0][1])
            else:
                output.mkdir()
                for name, content in old:
                    (output / name).write_bytes(content)
final = repr(whole())
print(killed, *sorted("new" if state == final else state[:40] for state in states))
"""


@pytest.mark.parametrize("force", ["force", "no"])
@pytest.mark.parametrize("kind", ["file", "folder"])
def test_killed_at_any_step_it_leaves_no_output_or_a_whole_one(tmp_path, source, kind, force):
    given = source if kind == "file" else write_sharded(tmp_path / "in")
    output = tmp_path / ("out.safetensors" if kind == "file" else "out")
    if force == "force":
        rewrite_path(given, {}, output)
    before = source.read_bytes()
    stride = "1" if kind == "file" else "17"
    done = subprocess.run(
        [sys.executable, "-c", KILLED_EVERYWHERE, given, output, force, stride],
        capture_output=True, text=True, check=True, cwd=ROOT,
    )  # fmt: skip
    killed, *states = done.stdout.split()
    assert int(killed) > 30
    possible = {"old" if force == "force" else "none", "new"}
    if kind == "folder":
        possible |= {"none"}  # for a moment the old folder is aside and the new one not yet there
    assert {"new"} < set(states) <= possible
    assert source.read_bytes() == before
