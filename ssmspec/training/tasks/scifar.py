"""`scifar`: CIFAR-10 as gray pixels, one after the other.

Reads the binary version, `cifar-10-batches-bin`: records of a class byte and 3,072 bytes of red,
green and blue planes of 32 x 32 (A. Krizhevsky, Learning multiple layers of features from tiny
images, 2009). The Python version of the files is a pickle, which is never opened.

Gray is 0.299 R + 0.587 G + 0.114 B, as ITU-R BT.601 has it, shifted and scaled by the training
set's mean and deviation, 122.6 and 61.0 of 255, as public S4 code does. Read row by row it makes
1,024 samples. A tenth of the 50,000 training images is held out for validation, the same whatever
the run's seed. Long Range Arena's Image task is the same data.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ssmspec.arrays import Array, Floats
from ssmspec.training.tasks.base import Data, Target, Task, TaskOptions
from ssmspec.training.tasks.folders import damaged, data_folder, require_files
from ssmspec.training.tasks.settings import fixed_length, read_settings
from ssmspec.training.tasks.splits import ArraySplit, held_out_rows

TRAIN_FILES = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
TEST_FILE = "test_batch.bin"
WANTED = (
    f"the binary version of CIFAR-10 ({TRAIN_FILES[0]} to {TRAIN_FILES[-1]} and {TEST_FILE}, in it "
    f"or in its cifar-10-batches-bin), from https://www.cs.toronto.edu/~kriz/cifar.html"
)
SIDE = 32
RECORD = 1 + 3 * SIDE * SIDE
LUMA = np.array([0.299, 0.587, 0.114])
MEAN, DEVIATION = 122.6, 61.0
HELD_OUT, SPLIT_SEED = 0.1, 0


def load(options: TaskOptions) -> Data:
    """The images as gray sequences.

    Raises:
        UsageError: files are missing or damaged.
    """
    read_settings("scifar", (), options)
    length = fixed_length("scifar", options, SIDE * SIDE)
    folder = data_folder("scifar", options, WANTED)
    if (folder / "cifar-10-batches-bin").is_dir():
        folder = folder / "cifar-10-batches-bin"
    hint = WANTED
    if any((place / "data_batch_1").exists() for place in (folder, folder / "cifar-10-batches-py")):
        hint += "; the Python version that is there is a pickle, which is never opened"
    require_files("scifar", folder, (*TRAIN_FILES, TEST_FILE), hint)
    parts = [_read(folder / name) for name in TRAIN_FILES]
    x, y = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    rows, held = held_out_rows(len(y), HELD_OUT, SPLIT_SEED)
    return Data(
        train=ArraySplit(x, y, _samples, rows=rows),
        validation=ArraySplit(x, y, _samples, rows=held),
        test=ArraySplit(*_read(folder / TEST_FILE), _samples),
        target=Target.CLASS,
        d_input=1,
        d_output=10,
        seq_len=length,
        row_stride=SIDE,
    )


def _read(path: Path) -> tuple[Array, Array]:
    """Gray values float32 (n, 1024) in [0, 255] and classes int64 (n,)."""
    raw = np.fromfile(path, dtype=np.uint8)
    if not raw.size or raw.size % RECORD:
        raise damaged(path, f"has {raw.size:,} bytes, not a multiple of {RECORD:,}")
    records = raw.reshape(-1, RECORD)
    classes = records[:, 0].astype(np.int64)
    if classes.max() > 9:
        raise damaged(path, f"has a class of {classes.max()}, above 9")
    planes = records[:, 1:].reshape(-1, 3, SIDE * SIDE)
    gray = np.empty((len(planes), SIDE * SIDE), dtype=np.float32)
    for row in range(0, len(planes), 1000):
        gray[row : row + 1000] = LUMA @ planes[row : row + 1000]
    return gray, classes


def _samples(gray: Array) -> Array:
    scaled: Floats = (gray - MEAN) / DEVIATION
    return scaled.astype(np.float32)[..., None]


SCIFAR = Task(
    id="scifar",
    title="Sequential CIFAR-10, gray",
    summary="1,024 gray pixels of a photograph in, one of ten classes out",
    source="A. Krizhevsky 2009; Long Range Arena's Image task (arXiv 2011.04006)",
    load=load,
    needs="--data FOLDER with CIFAR-10's binary version (data_batch_1.bin to test_batch.bin)",
)
