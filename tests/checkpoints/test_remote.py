"""Remote sources, against a server on this machine that counts what it sends."""

import json
import re
import struct
import threading
import time
from http.server import ThreadingHTTPServer

import numpy as np
import pytest
import safetensors.numpy
import torch

from ssmspec import analyze, checkpoints
from ssmspec.checkpoints import files, open_checkpoint
from ssmspec.checkpoints.remote import http, url_of
from ssmspec.checkpoints.rewrite import rewrite
from ssmspec.cli import run
from ssmspec.errors import CheckpointError, MissingPackageError
from ssmspec.naming import ALIASES
from tests.examples.server import COMMIT, MIB, Handler
from tests.examples.torch_forgery import bounded


@pytest.fixture
def server(tmp_path, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads, server.block_on_close = True, False
    server.handle_error = lambda *_: None  # clients that went away
    server.root = tmp_path / "served"
    server.root.mkdir()
    server.requests, server.sent, server.after = [], 0, 0
    server.mode, server.target, server.dropped = "", None, False
    server.url = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()
    assert not files.MIRRORS
    assert not ALIASES


def layer(number=0, width=8):
    draw = np.random.default_rng(number)
    name = f"backbone.layers.{number}.mixer."
    return {
        f"{name}A_log": draw.normal(size=width).astype("f4"),
        f"{name}dt_bias": draw.normal(size=width).astype("f4") - 4,
        f"{name}D": np.ones(width, "f4"),
    }


def sparse(path, tensors, bulk):
    """A safetensors file whose last tensor is `bulk` bytes that take no room on the disk."""
    content, header, at = b"", {}, 0
    for name, array in tensors.items():
        end = at + array.nbytes
        header[name] = {"dtype": "F32", "shape": array.shape, "data_offsets": [at, end]}
        content, at = content + array.tobytes(), end
    header["weights"] = {"dtype": "U8", "shape": [bulk], "data_offsets": [at, at + bulk]}
    header[path.stem] = header.pop("weights")
    text = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + content)
        file.truncate(8 + len(text) + at + bulk)


def big_model(root, shards=8, bulk=2**30):
    placement = {}
    for number in range(shards):
        name = f"model-{number + 1:05d}-of-{shards:05d}.safetensors"
        sparse(root / name, layer(number), bulk)
        placement |= dict.fromkeys([*layer(number), name[:-12]], name)
    (root / "model.safetensors.index.json").write_text(json.dumps({"weight_map": placement}))
    (root / "config.json").write_text('{"time_step_limit": [0.0, 0.1]}')


def test_a_model_of_eight_gigabytes_with_a_thousandth_of_its_bytes(server, monkeypatch):
    big_model(server.root)
    total = sum(file.stat().st_size for file in server.root.iterdir())
    assert total > 8 * 2**30
    told = []
    monkeypatch.setattr(checkpoints, "PROGRESS", lambda *values: told.append(values))
    local = analyze(server.root)
    for source in ("hf://someone/model", f"{server.url}/model.safetensors.index.json"):
        server.sent = 0
        report = analyze(source)
        assert [one.metrics for one in report.layers] == [one.metrics for one in local.layers]
        assert report.checkpoint.path == source
        assert 0 < server.sent < total / 1000
        url, fetched, of, end = told[-1]
        assert source.startswith(url)
        assert fetched == server.sent or source.startswith("http")
        assert of > 8 * 2**30
        assert end


def test_on_the_command_line(server, capsys):
    big_model(server.root, shards=2)
    assert run(["analyze", "hf://someone/model"]) == 0
    said = capsys.readouterr()
    assert re.search(r"^ssmspec: read \d+ kB of 2\.\d GB of hf://someone/model$", said.err, re.M)
    assert "all other tensors were not scanned" in said.out
    assert run(["check", "hf://someone/model", "--quiet"]) in (0, 1)
    assert capsys.readouterr().err == ""
    for arguments in (["analyze", f"{server.url}/absent.pt"],
                      ["check", "hf://someone/model", "--offline"]):  # fmt: skip
        assert run(arguments) == 2
        assert "Traceback" not in capsys.readouterr().err
    sparse(server.root / "small.safetensors", layer(), MIB)
    small = f"{server.url}/small.safetensors"
    assert run(["compare", small, str(server.root / "small.safetensors"), "--quiet"]) == 0
    assert "error" not in capsys.readouterr().err
    server.sent = 0
    assert run(["compare", "hf://someone/model", str(server.root), "--quiet"]) == 0
    assert "too large to be fetched" in capsys.readouterr().out
    assert 0 < server.sent < MIB


def test_a_changed_copy_of_what_lies_elsewhere(server, tmp_path):
    sparse(server.root / "model.safetensors", layer(), MIB)
    output = tmp_path / "new.safetensors"
    scheme = ["--scheme", "s4d-lin", "--seq-len", "100", "--output", str(output)]
    code = run(["reinit", f"{server.url}/model.safetensors", *scheme])
    if code == 0:
        assert output.stat().st_size == (server.root / "model.safetensors").stat().st_size
    with open_checkpoint(f"{server.url}/model.safetensors") as checkpoint:
        rewrite(checkpoint, {}, tmp_path / "same.safetensors", force=False)
    same = (server.root / "model.safetensors").read_bytes()
    assert (tmp_path / "same.safetensors").read_bytes() == same


def save_all(root):
    tensors = layer()
    safetensors.numpy.save_file(tensors, root / "m.safetensors")
    np.savez(root / "m.npz", **tensors)
    torch.save({name: torch.from_numpy(array) for name, array in tensors.items()}, root / "m.pt")
    (root / "empty").touch()
    return tensors


def test_every_container_is_read_from_afar_as_from_a_disk(server):
    tensors = save_all(server.root)
    for name in ("m.safetensors", "m.npz", "m.pt"):
        with open_checkpoint(f"{server.url}/{name}?signature=1") as checkpoint:
            assert checkpoint.path == f"{server.url}/{name}?signature=1"
            for tensor, array in tensors.items():
                np.testing.assert_array_equal(checkpoint.load(tensor), array)
    assert all(path.endswith("?signature=1") for _, path, _ in server.requests)
    refusals = {
        f"{server.url}/absent.pt": "does not exist",
        f"{server.url}/empty": "empty is empty",
        f"{server.url}/": "is a folder, and web servers do not say what is in one",
        "http://name:word@127.0.0.1/m.pt": "with a password in it",
        "http://127.0.0.1:1/m.pt": "cannot be reached",
        "gopher://x/y": "addresses begin with hf, https, s3, gs or file, not gopher",
        "hf://someone": "is no address of a model",
        "hf://someone/../model": "is no address of a model",
        "hf://someone/absent": "no model someone/absent with a revision main",
        "hf://someone/model@v9": "with a revision v9",
        "hf://someone/model/absent.pt": "there is no absent.pt in",
        "hf://someone/model": "model holds 3 checkpoints",
        "someone/model": "does not exist; if it is a model on the .* give hf://someone/model",
    }
    for source, words in refusals.items():
        with pytest.raises(CheckpointError, match=words) as caught:
            open_checkpoint(source)
        assert str(caught.value).isprintable()
        assert "ssmspec-" not in str(caught.value)


WAYS = {
    "no ranges": "sends whole files only",
    "lies": "changed while it was being read|sent other bytes|not a whole",
    "other bytes": "sent other bytes",
    "changes": "changed while it was being read",
    "stalls": "stalled|did not answer",
    "drips": "stalled",
    "drops": "broke off .* try again",
    "401": r"may not be read \(401\).*HF_TOKEN",
    "503": "answered 503",
}


def read_one(source):
    with open_checkpoint(source) as checkpoint:
        checkpoint.load("backbone.layers.0.mixer.D")


@pytest.mark.parametrize("way", WAYS)
def test_servers_that_misbehave(server, monkeypatch, way):
    monkeypatch.setattr(http, "STALL", 0.5)
    monkeypatch.setattr(http, "PATIENCE", 0.3)
    monkeypatch.setattr(http, "PACE", 1 << 30)
    sparse(server.root / "m.safetensors", layer(width=40_000), 8 * MIB)
    server.mode = way
    for server.after in (0, 1):
        begin = time.monotonic()
        with pytest.raises(CheckpointError, match=WAYS[way]) as caught:
            read_one(f"{server.url}/m.safetensors")
        assert time.monotonic() - begin < 8
        assert str(caught.value).isprintable()
        assert server.sent < 4 * MIB or way == "no ranges"
        if way in ("401", "503"):
            break


def test_small_files_need_no_ranges_and_a_broken_line_is_tried_again(server):
    tensors = save_all(server.root)
    for server.mode in ("no ranges", "drops once"):
        with open_checkpoint(f"{server.url}/m.safetensors") as checkpoint:
            for tensor, array in tensors.items():
                np.testing.assert_array_equal(checkpoint.load(tensor), array)


def test_a_token_stays_with_its_host(server, monkeypatch):
    save_all(server.root)
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    server.mode = "elsewhere"
    with open_checkpoint("hf://someone/model@step-1000/m.pt") as checkpoint:
        assert checkpoint.path == "hf://someone/model@step-1000/m.pt"
        assert len(checkpoint.tensors) == 3
    tokens = {host.partition(":")[0]: set() for host, _, _ in server.requests}
    for host, path, token in server.requests:
        tokens[host.partition(":")[0]].add(token)
        assert COMMIT in path or path.startswith("/api/")
    assert tokens == {"127.0.0.1": {"Bearer hf_secret"}, "localhost": {None}}
    server.target = "ftp://127.0.0.1/m.pt"
    with pytest.raises(CheckpointError, match="no web address; it was not"):
        open_checkpoint("hf://someone/model/m.pt")
    server.mode = "nonsense"
    with pytest.raises(CheckpointError, match="does not answer as the hub does"):
        open_checkpoint("hf://someone/model")


def test_offline_reads_the_cache_of_the_hub_and_nothing_else(server, tmp_path):
    repository = tmp_path / "cache" / "hub" / "models--someone--model"
    (repository / "snapshots" / COMMIT).mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    safetensors.numpy.save_file(layer(), repository / "snapshots" / COMMIT / "model.safetensors")
    with open_checkpoint("hf://someone/model", offline=True) as checkpoint:
        assert checkpoint.path == "hf://someone/model"
        assert len(checkpoint.tensors) == 3
    for source in ("hf://someone/model@v2", f"{server.url}/m.pt", "s3://bucket/m.pt"):
        with pytest.raises(CheckpointError, match="--offline is set"):
            open_checkpoint(source, offline=True)
    assert server.requests == []


def test_what_the_cache_of_the_hub_holds_does_not_travel(server, tmp_path):
    sparse(server.root / "model.safetensors", layer(), MIB)
    kept = tmp_path / "cache" / "hub" / "models--someone--model" / "snapshots" / COMMIT
    kept.mkdir(parents=True)
    for name, requests in (("config.json", 2), ("model.safetensors", 1)):
        (kept / name).write_bytes((server.root / "model.safetensors").read_bytes())
        server.requests.clear()
        with open_checkpoint("hf://someone/model/model.safetensors") as checkpoint:
            checkpoint.load("backbone.layers.0.mixer.D")
        assert len(server.requests) == requests


HOSTILE_LISTS = [
    [["model.pt", 2**62]],
    [["a", 3], ["a/b", 3]],
    [["x" * 300, 3]],
    [["\ud800", 3]],
    [["model.pt", -1]],
    [["model.pt", "3"]],
    [["../../model.pt", 3], ["/model.pt", 3], ["a\0b", 3]],
    [[f"{n}.pt", 0] for n in range(10_001)],
]


@pytest.mark.parametrize("listed", HOSTILE_LISTS, ids=range(len(HOSTILE_LISTS)))
def test_lists_that_no_hub_gives(server, listed):
    server.mode = listed
    with bounded(60, 4.0), pytest.raises(CheckpointError) as caught:
        open_checkpoint("hf://someone/model")
    assert str(caught.value).isprintable()


def test_folders_of_parts_and_quantized_files_from_afar(server):
    import gguf
    import torch.distributed.checkpoint as dcp

    name = "backbone.layers.0.mixer."
    tensors = {key: torch.from_numpy(array) for key, array in layer().items()}
    with pytest.warns(UserWarning, match="torch.distributed is disabled"):
        dcp.save({"model": tensors}, checkpoint_id=server.root / "step")
    writer = gguf.GGUFWriter(server.root / "m.gguf", "mamba2")
    writer.add_tensor("blk.0.ssm_a", -np.exp(layer()[f"{name}A_log"])[:, None])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with open_checkpoint("hf://someone/model/step") as checkpoint:
        loaded = checkpoint.load(f"model.{name}A_log")
        np.testing.assert_array_equal(loaded, layer()[f"{name}A_log"])
    with open_checkpoint("hf://someone/model/m.gguf") as checkpoint:
        np.testing.assert_array_equal(checkpoint.load("blk.0.ssm_a")[:, 0], -np.exp(loaded))


def test_local_addresses_and_buckets(tmp_path, monkeypatch):
    import fsspec

    tensors = save_all(tmp_path)
    with open_checkpoint(f"file://{tmp_path}/m.pt") as checkpoint:
        assert len(checkpoint.tensors) == 3
    memory = fsspec.filesystem("memory")
    memory.pipe("/bucket/model/model.safetensors", (tmp_path / "m.safetensors").read_bytes())
    memory.pipe("/bucket/model/config.json", b'{"d_model": 3}')
    for source in ("memory://bucket/model", "memory://bucket/model/model.safetensors"):
        with open_checkpoint(source) as checkpoint:
            assert checkpoint.config == {"d_model": 3}
            for tensor, array in tensors.items():
                np.testing.assert_array_equal(checkpoint.load(tensor), array)
    with pytest.raises(CheckpointError, match="does not exist"):
        open_checkpoint("memory://bucket/absent")

    def missing(url):
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr("fsspec.core.url_to_fs", missing)
    with pytest.raises(MissingPackageError, match=r"pip install 'ssmspec\[remote\]'.*s3fs"):
        open_checkpoint("s3://bucket/m.pt")
    assert not files.MIRRORS


def test_what_is_an_address():
    for given, url in {
        "hf:/a/b": "hf://a/b",  # as pathlib leaves it
        "https://h/x": "https://h/x",
        "file:/tmp/x": "file:///tmp/x",
        "file:///tmp/x": "file:///tmp/x",
        "a/b": None, "/a:/b": None, "C:/x": None, "c:x": None,
    }.items():  # fmt: skip
        assert url_of(given) == url
