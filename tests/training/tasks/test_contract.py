"""Every task of the table: what a batch looks like, that it comes again, and what is refused."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from ssmspec.errors import UsageError
from ssmspec.training.tasks import TASKS
from ssmspec.training.tasks.base import IGNORED, Target, TaskOptions
from tests.examples.tasks import small_options

IDS = (
    "digits", "delay", "copying", "gap", "chirps", "listops", "pathfinder-32", "pathfinder-64",
    "pathfinder-128", "pathfinder-256", "npz", "scifar", "smnist", "text", "speech-commands",
)  # fmt: skip


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    """Each task's options and data, loaded once."""
    folder = tmp_path_factory.mktemp("tasks")
    options = {name: small_options(name, folder) for name in TASKS}
    return {name: (options[name], TASKS[name].load(options[name])) for name in TASKS}


def test_the_table_holds_these_tasks():
    assert tuple(TASKS) == IDS
    for name, task in TASKS.items():
        assert task.id == name
        assert task.title
        assert task.source
        assert task.summary[-1] not in ".,"


@pytest.mark.parametrize("name", IDS)
def test_a_batch_is_what_the_target_says(name, loaded):
    _, data = loaded[name]
    for split in (data.train, data.validation, data.test):
        count = min(len(split), 5)
        assert count
        batch = split.batch(np.arange(count)[::-1])
        if data.vocabulary is None:
            assert batch.x.dtype == np.float32
            assert batch.x.shape == (count, data.seq_len, data.d_input)
            assert np.isfinite(batch.x).all()
        else:
            assert batch.x.dtype == np.int64
            assert batch.x.shape == (count, data.seq_len)
            assert batch.x.min() >= 0
            assert batch.x.max() < data.vocabulary
        shape = {
            Target.CLASS: (count,),
            Target.CLASS_PER_STEP: (count, data.seq_len),
            Target.VALUE_PER_STEP: (count, data.seq_len, data.d_output),
        }[data.target]
        assert batch.y.shape == shape
        if data.target is Target.VALUE_PER_STEP:
            assert batch.y.dtype == np.float32
        else:
            assert batch.y.dtype == np.int64
            asked = batch.y[batch.y != IGNORED]
            assert asked.size
            assert asked.min() >= 0
            assert asked.max() < data.d_output
        if batch.lengths is not None:
            assert batch.lengths.dtype == np.int64
            assert batch.lengths.shape == (count,)
            assert batch.lengths.max() <= data.seq_len


@pytest.mark.parametrize("name", IDS)
def test_examples_come_again_in_the_order_asked_for(name, loaded):
    options, data = loaded[name]
    again = TASKS[name].load(options)
    first, second = data.train.batch(np.array([0, 2, 1])), again.train.batch(np.array([1, 0]))
    np.testing.assert_array_equal(first.x[[2, 0]], second.x)
    np.testing.assert_array_equal(first.y[[2, 0]], second.y)


@pytest.mark.parametrize("name", [name for name in IDS if name not in ("smnist", "scifar")])
def test_no_example_is_in_two_splits(name, loaded):
    _, data = loaded[name]
    seen = [
        {row.tobytes() for row in split.batch(np.arange(len(split))).x}
        for split in (data.train, data.validation, data.test)
    ]
    assert not (seen[0] & seen[1]) | (seen[0] & seen[2]) | (seen[1] & seen[2])


@pytest.mark.parametrize("name", ["delay", "copying", "gap", "chirps", "listops", "pathfinder-32"])
def test_what_a_task_draws_follows_from_the_seed(name, loaded):
    options, data = loaded[name]
    other = TASKS[name].load(replace(options, seed=1))
    rows = np.arange(3)
    assert not np.array_equal(data.train.batch(rows).x, other.train.batch(rows).x)


@pytest.mark.parametrize("name", IDS)
def test_an_unknown_setting_is_refused(name, tmp_path):
    options = replace(small_options(name, tmp_path), settings=(("lagg", "3"),))
    with pytest.raises(UsageError, match="has no setting 'lagg'") as error:
        TASKS[name].load(options)
    if name == "delay":
        assert "did you mean 'lag'?" in str(error.value)


@pytest.mark.parametrize("name", [name for name in IDS if TASKS[name].needs])
def test_a_task_that_needs_data_says_what(name, tmp_path):
    with pytest.raises(UsageError, match="needs --data"):
        TASKS[name].load(TaskOptions())
    with pytest.raises(UsageError, match="does not exist"):
        TASKS[name].load(TaskOptions(data=tmp_path / "nowhere"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=r"needs --data|npz needs"):
        TASKS[name].load(TaskOptions(data=tmp_path / "empty"))


@pytest.mark.parametrize("name", [name for name in IDS if not TASKS[name].needs])
def test_a_task_that_needs_none_refuses_data(name, tmp_path):
    with pytest.raises(UsageError, match="reads none"):
        TASKS[name].load(replace(small_options(name, tmp_path), data=tmp_path))


@pytest.mark.parametrize("name", ["digits", "pathfinder-32", "scifar", "smnist", "npz"])
def test_a_fixed_length_is_fixed(name, tmp_path):
    with pytest.raises(UsageError, match="seq_len cannot be 65"):
        TASKS[name].load(replace(small_options(name, tmp_path), seq_len=65))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("lag", "x", "must be a whole number, got x"),
        ("lag", "-1", "must be at least 0"),
        ("lag", "4000", "must be below the sequence length"),
        ("cutoff", "nan", "must be above 0 and at most 0.5"),
        ("cutoff", "0.6", "must be above 0 and at most 0.5"),
        ("cutoff", "1e-9", "the band holds no frequency"),
        ("examples", "0", "must be at least 1"),
    ],
)
def test_a_setting_out_of_range_is_refused(name, value, message):
    with pytest.raises(UsageError, match=message):
        TASKS["delay"].load(TaskOptions(settings=((name, value),)))


def test_the_table_loads_neither_torch_nor_sklearn():
    code = (
        "import sys; from ssmspec.training.tasks import TASKS; list(TASKS); "
        "print([name for name in ('torch', 'sklearn', 'scipy') if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
