"""Archives that torch saves, archives forged to be refused, and bounds on refusing them."""

import io
import pickle
import time
import tracemalloc
import zipfile
from collections import OrderedDict
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from ssmspec.checkpoints.dtypes import DTYPES
from ssmspec.checkpoints.torch.archive import TorchZipCheckpoint
from ssmspec.errors import CheckpointError

MIB = 2**20


@contextmanager
def bounded(mib, seconds):
    tracemalloc.start()
    begin = time.process_time()  # of this process: a busy machine is no failure
    try:
        yield
        elapsed = time.process_time() - begin
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
