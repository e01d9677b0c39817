"""`npz`: what y asks by its type and shape, how examples are held out, and what is refused."""

import pickle
from pathlib import Path

import numpy as np
import pytest

from ssmspec.errors import UsageError
from ssmspec.training.tasks import TASKS
from ssmspec.training.tasks.base import IGNORED, Readout, Target, TaskOptions

N, L = 30, 6


def load(path, **settings):
    return TASKS["npz"].load(TaskOptions(data=path, settings=tuple(settings.items())))


@pytest.fixture
def save(tmp_path):
    """Write arrays and give the path."""

    def save(**arrays):
        np.savez(tmp_path / "data.npz", **arrays)
        return tmp_path / "data.npz"

    return save


def numbers(*shape):
    return np.random.default_rng(0).standard_normal(shape)


CLASSES = np.arange(N) % 4


@pytest.mark.parametrize(
    ("x", "y", "target", "sizes"),
    [
        (numbers(N, L), CLASSES, Target.CLASS, (1, 4, None)),
        (numbers(N, L, 3).astype("f2"), CLASSES.astype("u1"), Target.CLASS, (3, 4, None)),
        (np.arange(N * L).reshape(N, L), CLASSES, Target.CLASS, (1, 4, N * L)),
        (numbers(N, L), np.ones((N, L), int), Target.CLASS_PER_STEP, (1, 2, None)),
        (numbers(N, L), numbers(N, L), Target.VALUE_PER_STEP, (1, 1, None)),
        (numbers(N, L), numbers(N, L, 5), Target.VALUE_PER_STEP, (1, 5, None)),
    ],
)
def test_y_says_what_is_asked(save, x, y, target, sizes):
    data = load(save(x=x, y=y))
    assert data.target is target
    assert (data.d_input, data.d_output, data.vocabulary) == sizes
    assert data.seq_len == L
    batch = data.train.batch(np.array([1]))
    row = np.flatnonzero((x.reshape(N, -1) == batch.x.reshape(1, -1).astype(x.dtype)).all(axis=1))
    assert batch.x.dtype == (np.float32 if x.dtype.kind == "f" else np.int64)
    if x.dtype == np.float16 or x.dtype.kind == "i":
        np.testing.assert_array_equal(y[row], batch.y)


def test_examples_are_held_out_the_same_for_every_run(save):
    x = np.arange(N * L, dtype=float).reshape(N, L)
    path = save(x=x, y=CLASSES)
    parts = []
    for seed in (0, 1):
        data = TASKS["npz"].load(TaskOptions(data=path, seed=seed))
        splits = (data.train, data.validation, data.test)
        parts.append([part.batch(np.arange(len(part))).x[:, 0, 0].tolist() for part in splits])
        assert [len(part) for part in splits] == [24, 3, 3]
    assert parts[0] == parts[1]
    assert sorted(number for part in parts[0] for number in part) == x[:, 0].tolist()
    other = load(path, split_seed="1")
    assert other.test.batch(np.arange(3)).x[:, 0, 0].tolist() != parts[0][2]


def test_given_parts_are_used_as_they_are(save):
    x, held = numbers(N, L), numbers(4, L)
    part = {"x_val": held, "y_val": CLASSES[:4]}
    both = load(save(x=x, y=CLASSES, x_test=x[:5], y_test=CLASSES[:5], **part))
    assert [len(part) for part in (both.train, both.validation, both.test)] == [30, 4, 5]
    np.testing.assert_allclose(both.validation.batch(np.arange(4)).x[..., 0], held, rtol=1e-6)
    only_val = load(save(x=x, y=CLASSES, **part))
    assert only_val.test is only_val.validation
    only_test = load(save(x=x, y=CLASSES, x_test=held, y_test=CLASSES[:4]))
    assert [len(p) for p in (only_test.train, only_test.validation, only_test.test)] == [27, 3, 4]


def test_a_folder_stays_on_disk(tmp_path):
    np.save(tmp_path / "x.npy", numbers(N, L))
    np.save(tmp_path / "y.npy", CLASSES)
    data = load(tmp_path)
    assert isinstance(data.train.x, np.memmap)
    assert data.train.batch(np.array([0])).x.shape == (1, L, 1)


def test_lengths_and_settings_are_passed_on(save):
    path = save(x=numbers(N, L), y=CLASSES, lengths=np.full(N, 4))
    data = load(path, readout="last", sample_rate="16000", row_stride="3")
    assert data.train.batch(np.array([0])).lengths.tolist() == [4]
    assert data.readout is Readout.LAST
    assert (data.sample_rate, data.row_stride) == (16000.0, 3)
    assert load(path).sample_rate is None
    with pytest.raises(UsageError, match="did you mean 'mean'"):
        load(path, readout="means")


def test_what_is_not_asked_is_left_out(save):
    y = np.full((N, L), IGNORED)
    y[:, -1] = CLASSES
    assert load(save(x=numbers(N, L), y=y)).d_output == 4
    values = np.full((N, L, 2), np.nan)
    values[:, -1] = 1.0
    data = load(save(x=numbers(N, L), y=values))
    assert np.isnan(data.train.batch(np.array([0])).y[0, :-1]).all()


def with_nan():
    x = numbers(N, L)
    x[3, 2] = np.nan
    return x


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"y": CLASSES}, "has no x"),
        ({"x": numbers(N, L)}, "has no y"),
        ({"x": numbers(N, L), "y": CLASSES, "x_val": numbers(2, L)}, "has no y_val"),
        ({"x": numbers(N, L), "y": CLASSES, "x_valid": numbers(2, L)}, "'x_valid', which means"),
        ({"x": numbers(N), "y": CLASSES}, r"x .* has shape \(30,\)"),
        ({"x": numbers(N, 0), "y": CLASSES}, "must be .n, L. or"),
        ({"x": numbers(N, L) * 1j, "y": CLASSES}, "is complex128; store numbers as floats"),
        ({"x": np.ones((N, L, 2), int), "y": CLASSES}, "tokens have shape"),
        ({"x": -np.ones((N, L), int), "y": CLASSES}, "token below 0"),
        ({"x": with_nan(), "y": CLASSES}, r"NaN or infinite in float32 at \[3, 2\]"),
        ({"x": np.full((N, L), 1e300), "y": CLASSES}, r"at \[0, 0\]"),
        ({"x": numbers(N, L), "y": CLASSES[:9]}, "but x has 30 examples"),
        ({"x": numbers(N, L), "y": np.ones((N, L + 1), int)}, "sequences have 6 samples"),
        ({"x": numbers(N, L), "y": CLASSES - 1}, "class of -1"),
        ({"x": numbers(N, L), "y": np.zeros(N, int)}, "single class"),
        ({"x": numbers(N, L), "y": np.full((N, L), IGNORED)}, "nothing is asked"),
        ({"x": numbers(N, L), "y": CLASSES + 0.5}, "one number a sequence"),
        ({"x": numbers(N, L), "y": np.full((N, L), np.nan)}, "NaN everywhere"),
        ({"x": numbers(N, L), "y": np.full((N, L), np.inf)}, "is infinite"),
        ({"x": numbers(N, L), "y": np.array(["a"] * N)}, "hold no numbers"),
        ({"x": numbers(N, L), "y": CLASSES, "lengths": np.zeros(N, int)}, "must lie in 1 to 6"),
        ({"x": numbers(N, L), "y": CLASSES, "lengths": np.ones(3, int)}, "must be integers"),
        (
            {"x": numbers(N, L), "y": CLASSES, "x_val": numbers(2, 5), "y_val": CLASSES[:2]},
            "they must be alike",
        ),
        ({"x": numbers(2, L), "y": CLASSES[:2]}, "too few to hold some out"),
    ],
)
def test_what_does_not_fit_is_said(save, arrays, message):
    with pytest.raises(UsageError, match=message):
        load(save(**arrays))


class Trap:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_nothing_is_unpickled(save, tmp_path):
    sprung = tmp_path / "sprung"
    with pytest.raises(UsageError, match="unpickling them would run code"):
        load(save(x=np.array([Trap(sprung)], dtype=object), y=CLASSES))
    path = tmp_path / "x.npz"
    path.write_bytes(pickle.dumps(Trap(sprung)))
    with pytest.raises(UsageError, match=r"it is no \.npz file"):
        load(path)
    folder = tmp_path / "folder"
    folder.mkdir()
    np.save(folder / "x.npy", np.array([Trap(sprung)], dtype=object))
    with pytest.raises(UsageError, match="never unpickled"):
        load(folder)
    assert not sprung.exists()


def test_counts_out_of_proportion_are_one_sentence(save, tmp_path):
    classes = CLASSES.copy()
    classes[0] = 10**9
    with pytest.raises(UsageError, match="the model would need 1,000,000,001 classes"):
        load(save(x=numbers(N, L), y=classes))
    header = repr({"descr": "<f4", "fortran_order": False, "shape": (10**9, 10**9)}).encode()
    claimed = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
    (tmp_path / "x.npy").write_bytes(claimed)
    with pytest.raises(UsageError, match="should hold"):
        load(tmp_path)


def test_a_cut_file_is_damaged(save):
    path = save(x=numbers(N, L), y=CLASSES)
    raw = path.read_bytes()
    path.write_bytes(raw[: len(raw) // 2])
    with pytest.raises(UsageError, match="cannot be read as numpy arrays"):
        load(path)
