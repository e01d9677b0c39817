"""`digits` and `copying`: against scikit-learn's own images, and the definition read aloud."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

from ssmspec.errors import UsageError
from ssmspec.training.tasks import TASKS
from ssmspec.training.tasks.base import IGNORED, TaskOptions

PARTS = ("train", "validation", "test")


def test_digits_are_the_images_row_by_row():
    data = TASKS["digits"].load(TaskOptions())
    shown = {image.tobytes(): number for image, number in zip(*_images(), strict=True)}
    total = 0
    for part in PARTS:
        split = getattr(data, part)
        batch = split.batch(np.arange(len(split)))
        pixels = (batch.x[:, :, 0] + 1) * 8
        assert all(
            shown[row.reshape(8, 8).astype(np.float64).tobytes()] == number
            for row, number in zip(pixels, batch.y, strict=True)
        )
        total += len(split)
    assert total == len(shown) == 1797
    assert (data.row_stride, data.seq_len) == (8, 64)


def _images():
    digits = load_digits()
    return digits.images, digits.target


def test_digits_are_split_in_proportion_and_the_same_for_every_seed():
    first = TASKS["digits"].load(TaskOptions(seed=0))
    second = TASKS["digits"].load(TaskOptions(seed=9))
    everything = np.bincount(_images()[1])
    for part, share in zip(PARTS, (0.7, 0.1, 0.2), strict=True):
        split = getattr(first, part)
        rows = np.arange(len(split))
        counts = np.bincount(split.batch(rows).y)
        assert np.abs(counts - share * everything).max() <= 1.5
        np.testing.assert_array_equal(split.batch(rows).x, getattr(second, part).batch(rows).x)


def test_copying_recalls_what_it_was_told():
    options = TaskOptions(seq_len=30, settings=(("memorize", "4"), ("symbols", "5")))
    data = TASKS["copying"].load(options)
    batch = data.train.batch(np.arange(500))
    told, recalled = batch.x[:, :4], batch.y[:, -4:]
    np.testing.assert_array_equal(told, recalled)
    assert (batch.x[:, 4:25] == 5).all()
    assert (batch.x[:, 25] == 6).all()
    assert (batch.x[:, 26:] == 5).all()
    assert (batch.y[:, :26] == IGNORED).all()
    assert np.bincount(told.ravel(), minlength=5) == pytest.approx(400, abs=6 * np.sqrt(320))
    assert (data.vocabulary, data.d_output, data.causal) == (7, 5, True)


def test_copying_needs_room():
    with pytest.raises(UsageError, match="at least 21, got 20"):
        TASKS["copying"].load(TaskOptions(seq_len=20))
