"""`scifar` and `smnist`: small files in the true formats, read and refused."""

import gzip
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest

from ssmspec.errors import UsageError
from ssmspec.training.tasks import TASKS
from ssmspec.training.tasks.base import TaskOptions
from tests.examples.tasks import write_cifar, write_mnist


def load(task, folder):
    return TASKS[task].load(TaskOptions(data=folder))


def everything(data):
    """All training and validation examples."""
    parts = [part.batch(np.arange(len(part))) for part in (data.train, data.validation)]
    return np.concatenate([p.x for p in parts])[..., 0], np.concatenate([p.y for p in parts])


@pytest.mark.parametrize("inner", ["", "cifar-10-batches-bin"])
def test_cifar_is_gray_row_by_row(tmp_path, inner):
    records = write_cifar(tmp_path / inner).reshape(-1, 3073)
    data = load("scifar", tmp_path)
    assert (len(data.train), len(data.validation), len(data.test)) == (90, 10, 20)
    assert (data.seq_len, data.row_stride, data.d_output) == (1024, 32, 10)
    x, y = everything(data)
    red, green, blue = (records[:, 1 + 1024 * i : 1025 + 1024 * i].astype(float) for i in range(3))
    gray = (0.299 * red + 0.587 * green + 0.114 * blue - 122.6) / 61.0
    order, expected = np.lexsort(x.T[:5]), np.lexsort(gray.T[:5])
    np.testing.assert_allclose(x[order], gray[expected], atol=1e-5)
    np.testing.assert_array_equal(y[order], records[expected, 0])


class Trap:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_the_pickled_version_of_cifar_is_never_opened(tmp_path):
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    (folder / "data_batch_1").write_bytes(pickle.dumps(Trap(tmp_path / "sprung")))
    for path in (tmp_path, folder):
        with pytest.raises(UsageError, match=r"has no data_batch_1.bin.*is a pickle"):
            load("scifar", path)
    assert not (tmp_path / "sprung").exists()


def test_damaged_cifar_is_said(tmp_path):
    write_cifar(tmp_path)
    file = tmp_path / "data_batch_3.bin"
    whole = file.read_bytes()
    file.write_bytes(whole[:-1])
    with pytest.raises(UsageError, match=r"data_batch_3.bin has 61,459 bytes"):
        load("scifar", tmp_path)
    file.write_bytes(b"\x0b" + whole[1:])
    with pytest.raises(UsageError, match="a class of 11"):
        load("scifar", tmp_path)
    file.unlink()
    with pytest.raises(UsageError, match=r"has no data_batch_3\.bin"):
        load("scifar", tmp_path)


@pytest.mark.parametrize(("packed", "inner"), [(False, ""), (True, ""), (True, "MNIST/raw")])
def test_mnist_is_read_row_by_row(tmp_path, packed, inner):
    images, labels = write_mnist(tmp_path / inner, packed=packed)
    data = load("smnist", tmp_path)
    assert (len(data.train), len(data.validation), len(data.test)) == (27, 3, 30)
    assert (data.seq_len, data.row_stride) == (784, 28)
    x, y = everything(data)
    gray = (images.reshape(30, 784) / 255 - 0.1307) / 0.3081
    order, expected = np.lexsort(x.T[:5]), np.lexsort(gray.T[:5])
    np.testing.assert_allclose(x[order], gray[expected], atol=1e-5)
    np.testing.assert_array_equal(y[order], labels[expected])


@pytest.mark.parametrize(
    ("name", "raw", "message"),
    [
        ("train-images-idx3-ubyte", b"", "does not begin as an idx file"),
        ("train-images-idx3-ubyte", struct.pack(">4I", 2049, 1, 28, 28), "does not begin"),
        ("train-images-idx3-ubyte", struct.pack(">4I", 2051, 2, 28, 28) + b"x", "has 1 values"),
        ("train-images-idx3-ubyte", struct.pack(">4I", 2051, 0, 28, 28), "has 0 values"),
        (
            "train-images-idx3-ubyte",
            struct.pack(">4I", 2051, 2**32 - 1, 2**32 - 1, 2**32 - 1),
            "has 0 values where",
        ),
        ("train-images-idx3-ubyte", struct.pack(">4I", 2051, 1, 2, 3) + b"abcdef", "images of"),
        ("train-labels-idx1-ubyte", struct.pack(">2I", 2049, 1) + b"\x01", "1 labels for 30"),
        ("train-labels-idx1-ubyte", struct.pack(">2I", 2049, 30) + b"\x0a" * 30, "label of 10"),
    ],
)
def test_damaged_mnist_is_said(tmp_path, name, raw, message):
    write_mnist(tmp_path)
    (tmp_path / name).write_bytes(raw)
    with pytest.raises(UsageError, match=message):
        load("smnist", tmp_path)


def test_a_cut_archive_is_damaged(tmp_path):
    write_mnist(tmp_path, packed=True)
    file = tmp_path / "t10k-labels-idx1-ubyte.gz"
    for raw in (file.read_bytes()[:-9], b"\x1f\x8b" + bytes(20), gzip.compress(b"")):
        file.write_bytes(raw)
        with pytest.raises(UsageError, match=r"t10k-labels-idx1-ubyte\.gz"):
            load("smnist", tmp_path)
    file.write_bytes(gzip.compress(bytes(2**26 + 1), 1))
    with pytest.raises(UsageError, match="unpacks to more than 67,108,864 bytes"):
        load("smnist", tmp_path)
    file.unlink()
    with pytest.raises(UsageError, match="has no t10k-labels-idx1-ubyte"):
        load("smnist", tmp_path)


def test_permuted_digits_have_the_same_pixels_in_another_order(tmp_path):
    write_mnist(tmp_path)
    plain = load("smnist", tmp_path)
    options = TaskOptions(data=tmp_path, settings=(("permuted", "true"),))
    data = TASKS["smnist"].load(options)
    (x, y), (rows, labels) = everything(data), everything(plain)
    np.testing.assert_array_equal(y, labels)
    assert not np.array_equal(x, rows)
    np.testing.assert_array_equal(np.sort(x, 1), np.sort(rows, 1))
    order = [int(np.flatnonzero((rows == column[:, None]).all(0))[0]) for column in x.T[:9]]
    np.testing.assert_array_equal(x[:, :9], rows[:, order])  # one order for all
    assert (plain.row_stride, data.row_stride) == (28, None)
    with pytest.raises(UsageError, match="permuted of smnist cannot be 'yes'"):
        TASKS["smnist"].load(TaskOptions(data=tmp_path, settings=(("permuted", "yes"),)))
