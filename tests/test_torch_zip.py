import io
import pickle
import shutil
import struct
import sys
import time
import tracemalloc
import types
import warnings
import zipfile
import zlib
from collections import OrderedDict
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn

from ssmspec.checkpoints.dtypes import DTYPES
from ssmspec.checkpoints.torch_zip import CONTAINER, TorchZipCheckpoint, legacy_problem
from ssmspec.errors import CheckpointError, UnsafeCheckpointError

MIB = 2**20


# Files that torch writes, with torch as the oracle.


def bits_of(tensor):
    """A torch tensor's elements as the little-endian bits that a file would hold."""
    tensor = tensor.detach().resolve_conj().resolve_neg().contiguous()
    integers = {torch.bfloat16: torch.int16, torch.float8_e4m3fn: torch.uint8}
    integers[torch.float8_e5m2] = torch.uint8
    return tensor.view(integers.get(tensor.dtype, tensor.dtype)).numpy()


def assert_holds(checkpoint, expected):
    assert set(checkpoint.tensors) == set(expected)
    for name, tensor in expected.items():
        info, array = checkpoint.info(name), checkpoint.load(name)
        assert info.dtype == str(tensor.dtype).removeprefix("torch.")
        assert info.shape == array.shape == tuple(tensor.shape)
        assert array.dtype == DTYPES[info.dtype].storage
        assert array.flags.c_contiguous
        assert array.tobytes() == bits_of(tensor).tobytes()
        numbers = torch.complex128 if tensor.is_complex() else torch.float64
        wide = tensor.detach().to(numbers).resolve_conj().resolve_neg().numpy()
        np.testing.assert_array_equal(checkpoint.read(name), wide)


def saved(tmp_path, value, **options):
    path = tmp_path / "model.pt"
    torch.save(value, path, **options)
    return TorchZipCheckpoint(path)


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


def test_twenty_thousand_tensors_take_seconds_at_most(tmp_path):
    shared = torch.randn(8)
    checkpoint_path = tmp_path / "model.pt"
    torch.save({f"layers.{i}.weight": shared[:4] for i in range(20_000)}, checkpoint_path)
    begin = time.perf_counter()
    checkpoint = TorchZipCheckpoint(checkpoint_path)
    assert time.perf_counter() - begin < 15
    assert len(checkpoint.tensors) == 20_000


# Files that torch would not write.


@contextmanager
def bounded(mib, seconds):
    tracemalloc.start()
    begin = time.perf_counter()
    try:
        yield
        elapsed = time.perf_counter() - begin
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < mib * MIB
    assert elapsed < seconds


@dataclass(frozen=True)
class FakeStorage:
    key: object = "0"
    numel: object = 4
    kind: object = torch.FloatStorage


@dataclass
class FakeTensor:
    shape: object = (4,)
    stride: object = (1,)
    offset: object = 0
    storage: object = FakeStorage()
    extra: tuple = ()


class Forger(pickle.Pickler):
    """Writes tensor records with any numbers in them, and persistent ids of any form."""

    def persistent_id(self, value):
        if isinstance(value, FakeStorage):
            return ("storage", value.kind, value.key, "cpu", value.numel)
        return value.value if isinstance(value, RawIdentifier) else None

    def reducer_override(self, value):
        if not isinstance(value, FakeTensor):
            return NotImplemented
        args = (value.storage, value.offset, value.shape, value.stride, False, OrderedDict())
        return torch._utils._rebuild_tensor_v2, args + value.extra


@dataclass
class RawIdentifier:
    value: object


def forge(tmp_path, value, storages=None, *, raw=None, method=zipfile.ZIP_STORED):
    buffer = io.BytesIO()
    Forger(buffer, 2).dump(value)
    path = tmp_path / "forged.pt"
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("forged/data.pkl", buffer.getvalue() if raw is None else raw)
        for key, data in ({"0": bytes(16)} if storages is None else storages).items():
            archive.writestr(f"forged/data/{key}", data)
    return path


def load_all(path):
    checkpoint = TorchZipCheckpoint(path)
    return {name: checkpoint.load(name) for name in checkpoint.tensors}


def assert_refused(path, kind=CheckpointError, match=None):
    with bounded(50, 30), pytest.raises(kind, match=match) as refusal:
        load_all(path)
    message = str(refusal.value)
    assert str(path) in message
    assert "\n" not in message
    assert len(message) < 600


def test_an_honest_forgery_is_read(tmp_path):
    data = np.arange(4, dtype="<f4").tobytes()
    checkpoint = TorchZipCheckpoint(forge(tmp_path, {"w": FakeTensor((2, 2), (1, 2))}, {"0": data}))
    assert checkpoint.load("w").tolist() == [[0, 2], [1, 3]]


@pytest.mark.parametrize("tensor", [
    FakeTensor((5,)), FakeTensor(offset=1), FakeTensor(stride=(2,)), FakeTensor(offset=2**62),
    FakeTensor((2, 2), (1, 3)), FakeTensor((), (), 4), FakeTensor((2**40,), (2**40,)),
    FakeTensor(stride=(2**500,)),
])  # fmt: skip
def test_views_that_leave_their_storage_are_refused(tmp_path, tensor):
    assert_refused(forge(tmp_path, {"w": tensor}), UnsafeCheckpointError, "reach element")


@pytest.mark.parametrize("tensor", [
    FakeTensor((-1,)), FakeTensor(stride=(-1,)), FakeTensor(offset=-1), FakeTensor((2, 2), (1,)),
    FakeTensor((1,) * 64, (1,) * 64), FakeTensor((2.0,)), FakeTensor("ab"), FakeTensor([4], [1]),
    FakeTensor(storage="0"), FakeTensor(offset=None), FakeTensor((True,)),
])  # fmt: skip
def test_records_that_are_no_tensors_are_refused(tmp_path, tensor):
    assert_refused(forge(tmp_path, {"w": tensor}), match="never writes")


@pytest.mark.parametrize("shape", [(10**12,), (10**6, 10**6), (2**30, 0, 2**33), (2**60,)])
def test_zero_strides_that_claim_the_world_are_refused(tmp_path, shape):
    tensor = FakeTensor(shape, (0,) * len(shape))
    assert_refused(forge(tmp_path, {"w": tensor}), UnsafeCheckpointError)


def test_many_expanded_tensors_are_bounded_together(tmp_path):
    tensors = {f"w{i}": FakeTensor((10**6,), (0,)) for i in range(1000)}
    assert_refused(forge(tmp_path, tensors), UnsafeCheckpointError, "claim 4,000,000,000 bytes")


def test_many_wide_spans_are_bounded_together(tmp_path):
    storage = FakeStorage(numel=4 * MIB)
    tensors = {f"w{i}": FakeTensor((2,), (4 * MIB - 1,), storage=storage) for i in range(100)}
    path = forge(tmp_path, tensors, {"0": bytes(16 * MIB)})
    assert_refused(path, UnsafeCheckpointError, "claim")


@pytest.mark.parametrize("numel", [3, 5, 2**62, 0])
def test_storages_of_another_size_than_their_member_are_refused(tmp_path, numel):
    tensor = FakeTensor((0,), (1,), storage=FakeStorage(numel=numel))
    assert_refused(forge(tmp_path, {"w": tensor}), UnsafeCheckpointError, "should have")


@pytest.mark.parametrize("identifier", [
    "storage", ("storage",), ("storage", torch.FloatStorage, "0", "cpu"), 7, None, [1],
    ("module", torch.FloatStorage, "0", "cpu", 4), ("storage", "FloatStorage", "0", "cpu", 4),
    ("storage", torch.FloatStorage, 0, "cpu", 4), ("storage", torch.FloatStorage, "0", "cpu", -4),
    ("storage", torch.FloatStorage, "0", "cpu", "4"), ("storage", OrderedDict, "0", "cpu", 4),
])  # fmt: skip
def test_malformed_persistent_ids_are_refused(tmp_path, identifier):
    if identifier is None:
        path = forge(tmp_path, None, raw=b"\x80\x02NQ.")
    else:
        path = forge(tmp_path, {"w": FakeTensor(storage=RawIdentifier(identifier))})
    assert_refused(path, match="never writes")


def test_a_missing_storage_is_named(tmp_path):
    path = forge(tmp_path, {"w": FakeTensor(storage=FakeStorage("../../x"))})
    assert_refused(path, match=r"forged/data/\.\./\.\./x is missing")


class Command:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        import os

        return os.system, (f"touch {self.path}",)


def test_a_command_is_not_run(tmp_path):
    sentinel = tmp_path / "sentinel"
    path = tmp_path / "evil.pt"
    torch.save({"w": torch.ones(2), "x": Command(sentinel)}, path)
    assert_refused(path, UnsafeCheckpointError, "nothing was executed")
    assert not sentinel.exists()


def test_errors_in_the_pickle_name_the_file(tmp_path):
    assert_refused(forge(tmp_path, None, raw=b"\x80\x02\x8e" + b"\xff" * 7 + b"\x00."))
    assert_refused(forge(tmp_path, None, raw=b""))
    assert_refused(forge(tmp_path, None, raw=b"\x80\x02}"))


def test_deflate_bombs_are_refused(tmp_path):
    tensor = FakeTensor((64 * MIB,), storage=FakeStorage(numel=64 * MIB))
    storages = {"0": bytes(256 * MIB)}
    path = forge(tmp_path, {"w": tensor}, storages, method=zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < MIB
    assert_refused(path, UnsafeCheckpointError, "100 times")
    path = forge(tmp_path, None, {}, raw=bytes(256 * MIB), method=zipfile.ZIP_DEFLATED)
    assert_refused(path, UnsafeCheckpointError, "100 times")


def edited(path, edit):
    """The archive with its last directory entry, and that entry's local header, changed."""
    data = bytearray(path.read_bytes())
    entry = data.rindex(b"PK\x01\x02")
    edit(data, entry, struct.unpack_from("<I", data, entry + 42)[0])
    path.write_bytes(data)
    return path


def test_members_that_unpack_to_another_size_are_refused(tmp_path):
    def shrink(data, entry, local):
        struct.pack_into("<I", data, entry + 24, 16)

    noise = np.random.default_rng(1).bytes(4000)
    path = forge(tmp_path, {"w": FakeTensor()}, {"0": noise}, method=zipfile.ZIP_DEFLATED)
    assert_refused(edited(path, shrink), UnsafeCheckpointError, "another size")


def test_damaged_deflate_is_refused(tmp_path):
    def scramble(data, entry, local):
        name_length = struct.unpack_from("<H", data, local + 26)[0]
        data[local + 30 + name_length] = 0xFF

    path = forge(tmp_path, {"w": FakeTensor()}, method=zipfile.ZIP_DEFLATED)
    assert_refused(edited(path, scramble), match="damaged")


def test_encrypted_members_are_refused(tmp_path):
    def encrypt(data, entry, local):
        data[entry + 8] |= 1

    assert_refused(edited(forge(tmp_path, {"w": FakeTensor()}), encrypt), match="encrypted")


def test_members_packed_by_other_methods_are_refused(tmp_path):
    path = forge(tmp_path, {"w": FakeTensor()}, method=zipfile.ZIP_LZMA)
    assert_refused(path, match="other than deflate")


@pytest.mark.parametrize("field", [20, 24, 42], ids=["packed", "size", "place"])
def test_sizes_that_do_not_fit_the_file_are_refused(tmp_path, field):
    def inflate(data, entry, local):
        struct.pack_into("<I", data, entry + field, 0x7FFFFFF0)

    assert_refused(edited(forge(tmp_path, {"w": FakeTensor()}), inflate), UnsafeCheckpointError)


def test_a_member_that_is_elsewhere_is_refused(tmp_path):
    def move(data, entry, local):
        struct.pack_into("<I", data, entry + 42, local + 1)

    assert_refused(edited(forge(tmp_path, {"w": FakeTensor()}), move), match="not where")


def test_two_members_of_one_name_are_refused(tmp_path):
    path = forge(tmp_path, {"w": FakeTensor()})
    with warnings.catch_warnings(), zipfile.ZipFile(path, "a") as archive:
        warnings.simplefilter("ignore")
        archive.writestr("forged/data/0", bytes(16))
    assert_refused(path, UnsafeCheckpointError, "two members of one name")


def test_two_pickles_are_refused(tmp_path):
    path = forge(tmp_path, {"w": FakeTensor()})
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("other/data.pkl", b"\x80\x02N.")
    assert_refused(path, match="one pickle")


@pytest.mark.parametrize("order", [b"", b"middle", b"little-endian"])
def test_unknown_byte_orders_are_refused(tmp_path, order):
    path = forge(tmp_path, {"w": FakeTensor()})
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("forged/byteorder", order)
    assert_refused(path, match="byte order")


@pytest.mark.parametrize("kept", [0.05, 0.5, 0.9, 0.99])
def test_a_file_that_is_cut_off_is_recognized_and_refused(tmp_path, kept):
    path = tmp_path / "model.pt"
    torch.save({"w": torch.randn(1000)}, path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * kept)])
    assert CONTAINER.recognizes(path, path.read_bytes()[:512])
    assert_refused(path, match="copy or download it again")


def test_a_file_that_shrinks_after_it_was_opened(tmp_path):
    checkpoint = saved(tmp_path, {"w": torch.randn(1000)})
    path = tmp_path / "model.pt"
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(CheckpointError, match="changed"):
        checkpoint.load("w")


@pytest.mark.parametrize("seed", range(150))
def test_damaged_bytes_never_raise_anything_else(tmp_path, seed):
    path = tmp_path / "model.pt"
    torch.save({"a": torch.randn(3, 4), "b": {"c": torch.arange(5).bfloat16()}}, path)
    rng = np.random.default_rng(seed)
    data = bytearray(path.read_bytes())
    # The pickle's bytes, or the whole file's.
    places = rng.integers(60 if seed % 2 else 0, 500 if seed % 2 else len(data), 3)
    data[places[0]], data[places[1]], data[places[2]] = rng.bytes(3)
    path.write_bytes(data)
    try:
        load_all(path)
    except CheckpointError as error:
        assert "\n" not in str(error)  # noqa: PT017


def test_other_archives_are_not_recognized(tmp_path):
    np.savez(tmp_path / "a.npz", w=np.ones(3))
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.writestr("notes.txt", "hello")
    (tmp_path / "c.pt").write_bytes(b"PK\x05\x06" + bytes(18))
    for path in (tmp_path / "a.npz", tmp_path / "b.zip", tmp_path / "c.pt"):
        assert not CONTAINER.recognizes(path, path.read_bytes()[:512])


def test_files_of_old_torch_are_explained(tmp_path):
    path = tmp_path / "old.pt"
    torch.save({"w": torch.ones(2)}, path, _use_new_zipfile_serialization=False)
    assert "save it again with torch.save" in legacy_problem(path.read_bytes()[:512])
    tar = b"sys_info".ljust(257, b"\0") + b"ustar\x0000".ljust(255, b"\0")
    assert "before version 1.6" in legacy_problem(tar)
    for other in (b"", b"PK\x03\x04", pickle.dumps([1]), b"x".ljust(257, b"\0") + b"ustar"):
        assert legacy_problem(other) is None


def test_reading_imports_no_torch(shared):
    import subprocess

    code = (
        "import sys; from pathlib import Path\n"
        "from ssmspec.checkpoints.torch_zip import TorchZipCheckpoint\n"
        f"c = TorchZipCheckpoint(Path({str(shared / 's4d_smnist.pth')!r}))\n"
        "[c.read(name) for name in c.tensors]\n"
        "print(sorted({'torch', 'scipy', 'pickle'} & set(sys.modules) - before))"
    )
    code = "import sys, numpy; before = set(sys.modules)\n" + code
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_checksums_may_be_left_out(tmp_path):
    tensors = {"w": torch.randn(5)}
    checkpoint_path = tmp_path / "model.pt"
    torch.save(tensors, checkpoint_path)
    data = bytearray(checkpoint_path.read_bytes())
    crc = struct.pack("<I", zlib.crc32(tensors["w"].numpy().tobytes()))
    assert crc in data
    checkpoint_path.write_bytes(data.replace(crc, b"\1\2\3\4"))
    assert_holds(TorchZipCheckpoint(checkpoint_path), tensors)
