"""`smnist`: MNIST's handwritten digits, one pixel after the other.

Reads the four idx-ubyte files, packed or not (Y. LeCun, C. Cortes and C. Burges): big-endian magic
number 2051 (images) or 2049 (labels), sizes, bytes. Gray values are scaled by the usual mean 0.1307
and deviation 0.3081. Read row by row they make 784 samples. A tenth of the 60,000 training digits
is held out for validation, the same whatever the run's seed.

With `permuted` the pixels of every digit come in one random order, the same for all and for every
seed (permuted MNIST, arXiv 1504.00941), so that nothing is left of the rows.
"""

from __future__ import annotations

import gzip
import io
import zlib
from pathlib import Path

import numpy as np

from ssmspec.arrays import Array
from ssmspec.checkpoints.files import read_whole
from ssmspec.errors import UsageError
from ssmspec.naming import printable
from ssmspec.training.tasks.base import Data, Target, Task, TaskOptions
from ssmspec.training.tasks.folders import damaged, data_folder
from ssmspec.training.tasks.settings import fixed_length, read_settings
from ssmspec.training.tasks.splits import ArraySplit, held_out_rows

IMAGES, LABELS = 2051, 2049
WANTED = (
    "MNIST's train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and "
    "t10k-labels-idx1-ubyte, each packed (.gz) or not, in it or in MNIST/raw as torchvision puts "
    "them"
)
MOST_BYTES = 2**26
"""Largest idx file, packed or not; MNIST's largest has 47,040,016 bytes."""
SIDE = 28
MEAN, DEVIATION = 0.1307, 0.3081
HELD_OUT, SPLIT_SEED = 0.1, 0
SETTINGS = (("permuted", "false"),)


def load(options: TaskOptions) -> Data:
    """The digits as sequences.

    Raises:
        UsageError: files are missing or damaged.
    """
    settings = read_settings("smnist", SETTINGS, options)
    permuted = settings.choice("permuted", ("false", "true")) == "true"
    length = fixed_length("smnist", options, SIDE * SIDE)
    folder = data_folder("smnist", options, WANTED)
    if (folder / "MNIST" / "raw").is_dir():
        folder = folder / "MNIST" / "raw"
    x, y = _part(folder, "train")
    rows, held = held_out_rows(len(y), HELD_OUT, SPLIT_SEED)
    prepare = _permuted if permuted else _samples
    return Data(
        train=ArraySplit(x, y, prepare, rows=rows),
        validation=ArraySplit(x, y, prepare, rows=held),
        test=ArraySplit(*_part(folder, "t10k"), prepare),
        target=Target.CLASS,
        d_input=1,
        d_output=10,
        seq_len=length,
        row_stride=None if permuted else SIDE,
    )


def _part(folder: Path, part: str) -> tuple[Array, Array]:
    path = _find(folder, f"{part}-images-idx3-ubyte")
    images = _read(path, IMAGES, 3)
    if images.shape[1:] != (SIDE, SIDE):
        raise damaged(path, f"has images of {images.shape[1:]}, not {SIDE} x {SIDE}")
    path = _find(folder, f"{part}-labels-idx1-ubyte")
    labels = _read(path, LABELS, 1)
    if len(labels) != len(images):
        raise damaged(path, f"has {len(labels):,} labels for {len(images):,} images")
    if labels.max() > 9:
        raise damaged(path, f"has a label of {labels.max()}, above 9")
    return images.reshape(len(images), -1), labels.astype(np.int64)


def _find(folder: Path, name: str) -> Path:
    for ending in ("", ".gz"):
        if (folder / f"{name}{ending}").is_file():
            return folder / f"{name}{ending}"
    raise UsageError(
        f"{printable(str(folder))} has no {name}; smnist needs --data FOLDER with {WANTED}"
    )


def _read(path: Path, magic: int, axes: int) -> Array:
    """The bytes of an idx file in their shape."""
    try:
        raw = read_whole(path, MOST_BYTES)
        if path.suffix == ".gz":
            with gzip.open(io.BytesIO(raw)) as packed:
                raw = packed.read(MOST_BYTES + 1)
            if len(raw) > MOST_BYTES:
                raise damaged(path, f"unpacks to more than {MOST_BYTES:,} bytes")
    except (OSError, EOFError, zlib.error) as error:
        raise damaged(path, f"cannot be unpacked ({printable(str(error))})") from None
    header = np.frombuffer(raw[: 4 * (axes + 1)], dtype=">u4")
    if header.size != axes + 1 or header[0] != magic:
        raise damaged(path, f"does not begin as an idx file of kind {magic}")
    shape = tuple(int(size) for size in header[1:])
    data = np.frombuffer(raw, dtype=np.uint8, offset=4 * (axes + 1))
    if not data.size or data.size != int(np.prod(shape, dtype=object)):
        raise damaged(path, f"has {data.size:,} values where its header says {shape}")
    return data.reshape(shape)


def _samples(gray: Array) -> Array:
    scaled = (gray / 255.0 - MEAN) / DEVIATION
    return scaled.astype(np.float32)[..., None]


def _permuted(gray: Array) -> Array:
    order = np.random.Generator(np.random.PCG64(SPLIT_SEED)).permutation(SIDE * SIDE)
    return _samples(gray[:, order])


SMNIST = Task(
    id="smnist",
    title="Sequential MNIST",
    summary="784 pixels of a handwritten digit in, its class out",
    source="Y. LeCun, C. Cortes and C. Burges, the MNIST database",
    load=load,
    needs="--data FOLDER with MNIST's four idx-ubyte files, packed or not",
    settings=SETTINGS,
)
