"""Tasks that are made here: sweeps, a digit before a gap; and reviews from a folder."""

import numpy as np

from ssmspec.training.tasks import TASKS
from ssmspec.training.tasks.base import Readout, TaskOptions
from ssmspec.training.tasks.chirps import sweep
from tests.examples.tasks import write_reviews


def test_a_sweep_has_the_frequencies_it_should():
    """By the zero crossings in a window, which know nothing of the formula."""
    for exponential, middle in ((False, 3650.0), (True, np.sqrt(300.0 * 7000.0))):
        x = sweep(300.0, 7000.0, 65_536, exponential=exponential, phase=1.0)
        rising = np.flatnonzero((x[:-1] < 0) & (x[1:] >= 0))
        for centre, wanted in ((2000, None), (32_768, middle), (63_500, None)):
            inside = rising[abs(rising - centre) < 1500]
            found = 16_000.0 * (len(inside) - 1) / (inside[-1] - inside[0])
            share = centre / 65_536
            law = 300.0 * (7000.0 / 300.0) ** share if exponential else 300.0 + 6700.0 * share
            assert abs(found / law - 1.0) < 0.03
            assert wanted is None or abs(found / wanted - 1.0) < 0.03


def test_chirps_are_eight_kinds_of_which_each_comes():
    data = TASKS["chirps"].load(TaskOptions())
    batch = data.train.batch(np.arange(200))
    assert set(batch.y.tolist()) == set(range(8))
    power = np.abs(np.fft.rfft(batch.x[..., 0])) ** 2
    frequency = np.fft.rfftfreq(1024, 1 / 16_000)
    centroid = (power * frequency).sum(1) / power.sum(1)
    assert centroid[batch.y % 2 == 0].max() < centroid[batch.y % 2 == 1].min()
    assert (data.sample_rate, data.d_output) == (16_000.0, 8)


def test_the_gap_is_noise_after_the_digit():
    digits, data = TASKS["digits"].load(TaskOptions()), TASKS["gap"].load(TaskOptions(seed=3))
    rows = np.array([5, 2, 9])
    plain, batch = digits.train.batch(rows), data.train.batch(rows)
    np.testing.assert_array_equal(batch.x[:, :64], plain.x)
    np.testing.assert_array_equal(batch.y, plain.y)
    tail = batch.x[:, 64:, 0]
    assert tail.shape == (3, 448)
    assert abs(tail.std() - 0.5) < 0.05
    assert abs(np.corrcoef(tail)[0, 1]) < 0.2
    assert (data.seq_len, data.readout, data.causal) == (512, Readout.LAST, True)
    validation = data.validation.batch(rows).x[:, 64:]
    assert not np.array_equal(validation, batch.x[:, 64:])


def test_reviews_are_bytes(tmp_path):
    write_reviews(tmp_path / "aclImdb")
    data = TASKS["text"].load(TaskOptions(data=tmp_path, seq_len=50))
    assert (len(data.train), len(data.validation), len(data.test)) == (18, 2, 20)
    batch = data.test.batch(np.array([0, 19]))
    assert batch.x.shape == (2, 50)
    assert bytes(batch.x[0, : batch.lengths[0]].astype(np.uint8)) == b"test neg 0 "
    assert bytes(batch.x[1].astype(np.uint8)) == (b"test pos 9 " * 10)[:50]
    assert batch.y.tolist() == [0, 1]
    assert batch.lengths.tolist() == [11, 50]
