import numpy as np
import pytest

from ssmspec.checkpoints.memory import MemoryCheckpoint
from ssmspec.errors import CheckpointError
from ssmspec.reinitialization.overlay import Overlay


@pytest.fixture
def base():
    return MemoryCheckpoint({
        "a": np.arange(3, dtype=np.float32),
        "b": np.ones((2, 2)),
        "half": np.ones(2, np.float16),
    })  # fmt: skip


def test_what_is_not_changed_shows_through(base):
    overlay = Overlay(base)
    assert overlay.tensors == base.tensors
    assert overlay.changes == {}
    assert overlay.read("a").tolist() == [0, 1, 2]
    assert overlay.load("a").dtype == np.float32


def test_changes_are_rounded_to_the_stored_dtype(base):
    overlay = Overlay(base)
    overlay.change({"a": np.array([0.1, 0.2, 0.3]), "half": np.array([1 / 3, 2.0])})
    assert overlay.read("a").tolist() == np.float32([0.1, 0.2, 0.3]).tolist()
    assert overlay.read("half").tolist() == [float(np.float16(1 / 3)), 2.0]
    assert overlay.load("half").dtype == np.float16
    assert list(overlay.changes) == ["a", "half"]
    assert base.read("a").tolist() == [0, 1, 2]


def test_values_that_are_there_already_are_no_change(base):
    overlay = Overlay(base)
    overlay.change({"b": np.ones((2, 2)) * (1 + 1e-14)})
    assert overlay.changes == {}
    overlay.change({"b": np.ones((2, 2)) * (1 + 1e-10)})
    assert list(overlay.changes) == ["b"]


def test_a_later_change_is_made_on_top(base):
    overlay = Overlay(base)
    overlay.change({"a": np.array([5.0, 6.0, 7.0])})
    overlay.change({"a": np.array([5.0, 6.0, 8.0])})
    assert overlay.read("a").tolist() == [5, 6, 8]


def test_what_does_not_fit_is_refused(base):
    overlay = Overlay(base)
    with pytest.raises(CheckpointError, match="holds no tensor c"):
        overlay.change({"c": np.zeros(1)})
    with pytest.raises(CheckpointError, match=r"a has shape \(3,\)"):
        overlay.change({"a": np.zeros(4)})
    with pytest.raises(CheckpointError, match="half: 1e\\+06 cannot be stored as float16"):
        overlay.change({"half": np.array([1e6, 0.0])})
    assert overlay.changes == {}
