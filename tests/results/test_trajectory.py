"""The file of the poles' paths: what it holds, and what is no such file."""

import numpy as np
import pytest

from ssmspec.errors import CheckpointError
from ssmspec.results.trajectory import LayerPaths, Trajectory, load_trajectory, save_trajectory


def paths(steps=3, channels=2, modes=4):
    rng = np.random.default_rng(0)
    shape = (steps, channels, modes)
    return Trajectory(
        np.arange(steps) * 10,
        tuple(
            LayerPaths(name, rng.uniform(0, 1, shape), rng.uniform(0, np.pi, shape))
            for name in ("block.2.ssm", "block.10.ssm")
        ),
    )


def arrays(**changes):
    """The arrays of a file as its format says, put together here."""
    whole = {
        "steps": np.array([0, 5]),
        "names": np.array(["a"]),
        "decay_0": np.full((2, 1, 3), 0.1, np.float32),
        "omega_0": np.full((2, 1, 3), 2.0, np.float32),
    }
    return {key: value for key, value in {**whole, **changes}.items() if value is not None}


def written(folder, **changes):
    np.savez(folder / "trajectory.npz", **arrays(**changes))
    return folder / "trajectory.npz"


def test_read_what_was_written(tmp_path):
    there = paths()
    there.layers[0].decay[1, 0, 0] = np.nan
    save_trajectory(there, tmp_path / "trajectory.npz")
    back = load_trajectory(tmp_path / "trajectory.npz")
    assert back.steps.tolist() == [0, 10, 20]
    assert [layer.name for layer in back.layers] == ["block.2.ssm", "block.10.ssm"]
    for layer, original in zip(back.layers, there.layers, strict=True):
        assert layer.decay.dtype == layer.omega.dtype == np.float64
        np.testing.assert_allclose(layer.decay, original.decay, rtol=1e-7)
        np.testing.assert_allclose(layer.omega, original.omega, rtol=1e-7)


def test_the_format_is_the_documented_one(tmp_path):
    save_trajectory(paths(), tmp_path / "trajectory.npz")
    with np.load(tmp_path / "trajectory.npz", allow_pickle=False) as file:
        assert sorted(file) == ["decay_0", "decay_1", "names", "omega_0", "omega_1", "steps"]
        assert file["decay_1"].shape == (3, 2, 4)
        assert file["decay_1"].dtype == file["omega_1"].dtype == np.float32
    back = load_trajectory(written(tmp_path))
    assert back.steps.tolist() == [0, 5]
    assert back.layers[0].omega.tolist() == [[[2.0, 2.0, 2.0]]] * 2


def test_no_file_says_what_writes_one(tmp_path):
    with pytest.raises(CheckpointError, match="--spectrum-every"):
        load_trajectory(tmp_path / "trajectory.npz")
    with pytest.raises(CheckpointError, match="regular file"):
        load_trajectory(tmp_path)


@pytest.mark.parametrize(
    "changes",
    [
        {"steps": None},
        {"omega_0": None},
        {"steps": np.array([0, 5, 10])},
        {"steps": np.array([5, 0])},
        {"steps": np.array([0, 0])},
        {"steps": np.array([-5, 0])},
        {"steps": np.array([0.0, 5.0])},
        {"steps": np.array([[0, 5]])},
        {"steps": np.array([], dtype=int)},
        {"names": np.array([], dtype=str)},
        {"names": np.array(["a", "b"])},
        {"omega_0": np.zeros((2, 1, 4), np.float32)},
        {"decay_0": np.zeros((2, 3), np.float32), "omega_0": np.zeros((2, 3), np.float32)},
        {"decay_0": np.zeros((2, 1, 0)), "omega_0": np.zeros((2, 1, 0))},
        {"decay_0": np.zeros((2, 1, 3), complex)},
        {"decay_0": np.full((2, 1, 3), "x")},
        {"decay_0": np.full((2, 1, 3), None, dtype=object)},
    ],
    ids=str,
)
def test_something_else_is_refused(tmp_path, changes):
    with pytest.raises(CheckpointError, match="does not hold the paths of poles"):
        load_trajectory(written(tmp_path, **changes))


@pytest.mark.parametrize("keep", [0, 3, 100, 300, -1])
def test_a_damaged_file_is_refused(tmp_path, keep):
    path = written(tmp_path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(CheckpointError, match="does not hold the paths of poles"):
        load_trajectory(path)


def test_bytes_that_changed_are_refused(tmp_path):
    path = written(tmp_path)
    whole = path.read_bytes()
    place = whole.index(np.float32(0.1).tobytes())
    path.write_bytes(whole[:place] + b"\x00" + whole[place + 1 :])
    with pytest.raises(CheckpointError, match="does not hold the paths of poles"):
        load_trajectory(path)
    np.save(tmp_path / "other.npy", np.zeros(3))
    with pytest.raises(CheckpointError, match="does not hold the paths of poles"):
        load_trajectory(tmp_path / "other.npy")
