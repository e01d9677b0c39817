import collections
import shutil
import sys
import time
import types
import warnings
import zipfile
from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import nn

from ssmspec.checkpoints.dtypes import DTYPES
from ssmspec.checkpoints.torch.archive import CONTAINER, TorchZipCheckpoint
from ssmspec.errors import CheckpointError
from tests.examples.torch_forgery import assert_holds, bounded, saved

MIB = 2**20


# Files that torch writes, with torch as the oracle.


def leaves(value, prefix=""):
    if isinstance(value, torch.Tensor):
        return {prefix: value}
    children = value.items() if isinstance(value, dict) else ()
    if isinstance(value, list | tuple):
        children = enumerate(value)
    found = {}
    for key, child in children:
        found |= leaves(child, f"{prefix}.{key}" if prefix else str(key))
    return found


def every_dtype():
    floats = torch.tensor([0.0, -0.0, 1.5, -2.75, 1e-3, float("inf"), float("nan"), 300.0])
    tensors = {name: floats.to(getattr(torch, name)) for name in DTYPES if "float" in name}
    for name in ("complex64", "complex128"):
        tensors[name] = torch.complex(floats, floats.flip(0)).to(getattr(torch, name))
    for name in DTYPES:
        if name not in tensors:
            whole = torch.tensor([[0, 1, 2], [100, 3, 127]])
            tensors[name] = whole.to(getattr(torch, name))
    assert set(tensors) == set(DTYPES)
    return tensors


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_every_dtype(tmp_path, protocol):
    tensors = every_dtype()
    assert_holds(saved(tmp_path, tensors, pickle_protocol=protocol), tensors)


def test_views_and_shared_storages(tmp_path):
    base = torch.arange(60, dtype=torch.float32).reshape(3, 4, 5)
    tensors = {
        "base": base,
        "transposed": base.transpose(0, 2),
        "permuted": base.permute(1, 2, 0),
        "sliced": base[1:, ::2, 1:4],
        "row": base[2],
        "column": base[:, 0, 3],
        "diagonal": base[0].diagonal(),
        "overlapping": base.flatten().unfold(0, 6, 2),
        "expanded": base[:, :1, :1].expand(3, 7, 2),
        "scalar": base[1, 2, 3],
        "one_of_one": torch.as_strided(base, (1, 2), (10**6, 1), 5),
        "empty": base[:0],
        "empty_column": torch.empty(3, 0, 2),
        "zero_dim": torch.tensor(7),
    }
    checkpoint = saved(tmp_path, tensors)
    assert_holds(checkpoint, tensors)
    assert len({checkpoint.stored[name].storage for name in tensors if "empty_c" not in name}) == 2
    assert checkpoint.stored["column"].offset == 3
    assert checkpoint.stored["column"].stride == (20,)


@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128])
def test_conjugate_and_negative_bits(tmp_path, dtype):
    value = torch.randn(4, 3, dtype=dtype, generator=torch.Generator().manual_seed(1))
    other = value.clone()  # torch saves no storage under two types
    tensors = {
        "plain": value,
        "conj": value.conj(),
        "adjoint": value.mH,
        "neg": other.conj().imag,
        "real": other.conj().real,
    }
    assert tensors["conj"].is_conj()
    assert tensors["neg"].is_neg()
    assert_holds(saved(tmp_path, tensors), tensors)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float8_e5m2, torch.float16])
def test_a_negative_bit_on_any_float(tmp_path, dtype):
    value = torch._neg_view(torch.tensor([1.5, -2.0, 0.0]).to(dtype))
    checkpoint = saved(tmp_path, {"w": value})
    np.testing.assert_array_equal(checkpoint.read("w"), [-1.5, 2.0, 0.0])


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList([nn.Linear(3, 2), nn.BatchNorm1d(2)])
        self.A = nn.Parameter(torch.randn(4, dtype=torch.complex64))
        self.register_buffer("steps", torch.arange(5))
        self.plain = torch.ones(2)
        self.name = "net"


@pytest.fixture
def net(monkeypatch):
    module = types.ModuleType("a_users_model")
    module.Net = Net
    monkeypatch.setitem(sys.modules, "a_users_model", module)
    monkeypatch.setattr(Net, "__module__", "a_users_model")
    return Net()


@pytest.mark.parametrize("protocol", [2, 4])
def test_whole_modules(tmp_path, net, monkeypatch, protocol):
    checkpoint = saved(tmp_path, net, pickle_protocol=protocol)
    monkeypatch.delitem(sys.modules, "a_users_model")
    assert_holds(checkpoint, {**net.state_dict(), "plain": net.plain})
    assert next(iter(checkpoint.tensors)) == "A"
    assert "a_users_model" not in sys.modules
    assert checkpoint.notes == (
        "holds objects of unknown classes that were not executed: a_users_model.Net",
    )


def test_modules_inside_wrappers(tmp_path, net):
    value = {"model": nn.DataParallel(net), "ema": [net.blocks[0]], "epoch": 3}
    checkpoint = saved(tmp_path, value)
    expected = {f"model.module.{k}": v for k, v in net.state_dict().items()}
    # An object that was listed already is not listed again.
    assert_holds(checkpoint, {**expected, "model.module.plain": net.plain})
    assert checkpoint.metadata["epoch"] == "3"


def test_state_dict_of_a_module_with_tied_weights(tmp_path):
    net = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    net[1].weight = net[0].weight
    assert_holds(saved(tmp_path, net.state_dict()), net.state_dict())


def test_parameters_and_tensors_with_attributes(tmp_path):
    plain = nn.Parameter(torch.randn(3))
    frozen = nn.Parameter(torch.randn(2, 2), requires_grad=False)
    noted = nn.Parameter(torch.randn(2))
    noted.learning_rate = 0.1
    attached = torch.randn(5).bfloat16()
    attached.note = "here"
    tensors = {"plain": plain, "frozen": frozen, "noted": noted, "attached": attached}
    tensors["buffer"] = nn.Buffer(torch.randn(4).double())
    assert_holds(saved(tmp_path, tensors), tensors)


def test_training_checkpoint_with_optimizer_and_hyper_parameters(tmp_path):
    net = nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.01)
    net(torch.randn(1, 3)).sum().backward()
    optimizer.step()
    value = {
        "epoch": 12,
        "pytorch-lightning_version": "2.4",
        "state_dict": OrderedDict((f"model.{k}", v) for k, v in net.state_dict().items()),
        "optimizer_states": [optimizer.state_dict()],
        "hyper_parameters": {"d_state": 64, "prenorm": True, "lr": 1e-3, "path": None},
        "rng": torch.get_rng_state(),
    }
    checkpoint = saved(tmp_path, value)
    assert_holds(checkpoint, leaves(value))
    assert "optimizer_states.0.state.0.exp_avg" in checkpoint.tensors
    assert checkpoint.metadata["hyper_parameters.d_state"] == "64"
    assert checkpoint.metadata["epoch"] == "12"
    assert checkpoint.notes == ()


def test_a_bare_tensor_and_a_list(tmp_path):
    assert_holds(saved(tmp_path, torch.ones(3)), {"tensor": torch.ones(3)})
    pair = [torch.ones(2), (torch.zeros(1),)]
    assert_holds(saved(tmp_path, pair), {"0": pair[0], "1.0": pair[1][0]})


def test_kinds_of_tensors_that_cannot_be_given_are_named(tmp_path):
    meta = torch.empty(3, device="meta")
    sparse = torch.eye(3).to_sparse()
    packed = torch.tensor([1.0, 2.0]).to(torch.float8_e4m3fnuz)
    value = {"w": torch.ones(2), "a.meta": meta, "a.sparse": sparse, "odd": packed}
    checkpoint = saved(tmp_path, value)
    assert_holds(checkpoint, {"w": value["w"]})
    (note,) = checkpoint.notes
    assert note == (
        "passed over 3 tensors of kinds that cannot be read (float8_e4m3fnuz, meta, sparse): "
        "a.meta, a.sparse, odd"
    )


class Scripted(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(2, 3), nn.Linear(3, 2)])
        self.register_buffer("steps", torch.arange(3))
        self.scale = torch.ones(2)
        self.table = {"a": torch.zeros(2)}

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x * self.scale + self.table["a"]


def test_torchscript(tmp_path):
    net, path = Scripted(), tmp_path / "scripted.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.script(net), path)
    assert CONTAINER.recognizes(path, path.read_bytes()[:512])
    expected = {**net.state_dict(), "scale": net.scale, "table.a": net.table["a"]}
    assert_holds(TorchZipCheckpoint(path), expected)


REAL = [
    "attenuate_denoiser.pt",
    "s4_dplr_v4_ppg.pth",
    "s4_nplr_v2.pth",
    "s4d_cifar10.pth",
    "s4d_smnist.pth",
    "s4d_untrained.pth",
]


@pytest.mark.parametrize("name", REAL)
def test_real_checkpoints(shared, name):
    path = shared / name
    assert CONTAINER.recognizes(path, path.read_bytes()[:512])
    expected = torch.load(path, map_location="cpu", weights_only=True)
    assert_holds(TorchZipCheckpoint(path), leaves(expected))


def test_a_real_checkpoint_with_a_pickled_config(shared, monkeypatch):
    path = shared / "gated_deltanet_pickled_config.pt"
    checkpoint = TorchZipCheckpoint(path)
    assert "model.Qwen35MoEConfig" in checkpoint.notes[0]
    model = types.ModuleType("model")
    model.Qwen35MoEConfig = type("Qwen35MoEConfig", (), {"__module__": "model"})
    monkeypatch.setitem(sys.modules, "model", model)
    expected = torch.load(path, map_location="cpu", weights_only=False)
    assert_holds(checkpoint, leaves(expected))
    assert checkpoint.metadata["config.n_layer"] == str(expected["config"].n_layer)


def test_big_endian_storages(tmp_path):
    tensors = {k: v for k, v in every_dtype().items() if v.dtype.itemsize > 1}
    saved(tmp_path, tensors)
    swapped = tmp_path / "big.pt"
    dtypes = {}
    with TorchZipCheckpoint(tmp_path / "model.pt") as checkpoint:
        for stored in checkpoint.stored.values():
            dtypes[checkpoint.member(stored.storage)] = DTYPES[stored.dtype].storage
    with zipfile.ZipFile(tmp_path / "model.pt") as old, zipfile.ZipFile(swapped, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            if name in dtypes:
                data = np.frombuffer(data, dtypes[name]).byteswap().tobytes()
            new.writestr(name, b"big" if name.endswith("/byteorder") else data)
    assert_holds(TorchZipCheckpoint(swapped), tensors)


def test_an_archive_packed_again_with_compression(tmp_path):
    tensors = {"a": torch.randn(100, 30), "zeros": torch.zeros(1000), "b": torch.arange(50)}
    tensors["part"] = tensors["a"][5:9, 3]
    saved(tmp_path, tensors)
    packed = repack(tmp_path, zipfile.ZIP_DEFLATED)
    checkpoint = TorchZipCheckpoint(packed)
    assert_holds(checkpoint, tensors)
    assert checkpoint.position(checkpoint.stored["a"].storage) is None


def repack(tmp_path, method):
    packed = tmp_path / "packed.pt"
    old, new = zipfile.ZipFile(tmp_path / "model.pt"), zipfile.ZipFile(packed, "w", method)
    with old, new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    return packed


def test_only_the_bytes_asked_for_are_read(tmp_path):
    base = torch.arange(4 * MIB, dtype=torch.float32)
    checkpoint = saved(tmp_path, {"base": base, "few": base[-9:], "other": torch.ones(3)})
    with bounded(0.1, 5):
        assert checkpoint.load("few").tolist() == list(range(4 * MIB - 9, 4 * MIB))
        assert checkpoint.load("other").tolist() == [1, 1, 1]


def test_stored_places_allow_a_copy_to_be_patched(tmp_path):
    tensors = {"w": torch.arange(12.0).reshape(3, 4), "row": torch.arange(12.0)[4:8]}
    tensors["row"] = tensors["w"][1]
    checkpoint = saved(tmp_path, tensors)
    place = checkpoint.stored["row"]
    copy = tmp_path / "copy.pt"
    shutil.copy(checkpoint.path, copy)
    with copy.open("r+b") as file:
        file.seek(checkpoint.position(place.storage) + place.offset * 4)
        file.write(np.full(4, -1, "<f4").tobytes())
    expected = tensors["w"].clone()
    expected[1] = -1
    assert torch.equal(torch.load(copy)["w"], expected)


def test_a_closed_checkpoint_cannot_be_read(tmp_path):
    with saved(tmp_path, {"w": torch.ones(1)}) as checkpoint:
        pass
    with pytest.raises(CheckpointError, match="closed"):
        checkpoint.load("w")


def test_five_thousand_tensors_take_a_second_at_most(tmp_path):
    shared = torch.randn(8)
    checkpoint_path = tmp_path / "model.pt"
    torch.save({f"layers.{i}.weight": shared[:4] for i in range(5_000)}, checkpoint_path)
    begin = time.process_time()
    checkpoint = TorchZipCheckpoint(checkpoint_path)
    assert time.process_time() - begin < 5  # 0.2 on a quiet machine
    assert len(checkpoint.tensors) == 5_000


# Files that torch would not write.


@pytest.mark.parametrize("kind", [dict, list, set, tuple])
def test_a_plain_type_is_no_unknown_class(tmp_path, kind):
    held = {"w": torch.ones(2), "callbacks": collections.defaultdict(kind)}
    assert saved(tmp_path, held).notes == ()
