"""What is generated is made once, whole, and never trusted when it is damaged."""

import pickle
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ssmspec.training.config import TrainConfig
from ssmspec.training.data import load_data
from ssmspec.training.tasks import TASKS
from ssmspec.training.tasks.base import TaskOptions
from ssmspec.training.tasks.cache import another_tenth, user_cache

SETTINGS = (("examples", "5"), ("held_out", "2"), ("min_length", "4"))


@pytest.fixture
def load(tmp_path):
    """Load a small listops; what was told and the rows of the first batch."""

    def load(settings=SETTINGS, folder=tmp_path / "cache"):
        told = []
        options = TaskOptions(seq_len=40, cache=folder, settings=settings, tell=told.append)
        data = TASKS["listops"].load(options)
        return told, data.train.batch(np.arange(5)).x

    return load


def test_the_second_time_it_is_read(load, tmp_path):
    told, first = load()
    assert told[0].startswith("making ")
    (file,) = (tmp_path / "cache").iterdir()
    assert file.name == "listops-v1-length4-40-depth10-args10-n5-2-seed0.npz"
    before = file.read_bytes()
    told, second = load()
    assert told == []
    np.testing.assert_array_equal(first, second)
    assert file.read_bytes() == before


class Trap:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def cut(file):
    file.write_bytes(file.read_bytes()[:-200])


def flip(file):
    raw = bytearray(file.read_bytes())
    raw[len(raw) // 2] ^= 0xFF
    file.write_bytes(bytes(raw))


def empty(file):
    file.write_bytes(b"")


def one_array(file):
    with file.open("wb") as out:
        np.save(out, np.zeros(3))


def other_arrays(file):
    with file.open("wb") as out:
        np.savez(out, x0=np.zeros(3))


def other_tokens(file):
    with np.load(file) as archive:
        arrays = {**archive}
    arrays["x0"] = arrays["x0"] + np.uint8(20)
    with file.open("wb") as out:
        np.savez(out, **arrays)


@pytest.mark.parametrize("damage", [cut, flip, empty, one_array, other_arrays, other_tokens])
def test_a_damaged_file_is_made_anew_and_said(load, tmp_path, damage):
    _, first = load()
    (file,) = (tmp_path / "cache").iterdir()
    damage(file)
    told, second = load()
    assert told[0].endswith("is damaged and is made anew")
    np.testing.assert_array_equal(first, second)
    assert load()[0] == []


def test_a_pickle_in_the_cache_is_never_opened(load, tmp_path):
    load()
    (file,) = (tmp_path / "cache").iterdir()
    sprung = tmp_path / "sprung"
    with file.open("wb") as out:
        np.savez(out, x0=np.array([Trap(sprung)], dtype=object))
    load()
    file.write_bytes(pickle.dumps(Trap(sprung)))
    load()
    assert not sprung.exists()


def test_a_cache_that_cannot_be_written_costs_only_time(load, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    told, first = load(folder=blocked / "cache")
    assert "not kept for the next time" in told[-1]
    np.testing.assert_array_equal(first, load()[1])


def test_other_settings_are_another_file(load, tmp_path):
    load()
    load(settings=(*SETTINGS, ("max_args", "5")))
    assert len(list((tmp_path / "cache").iterdir())) == 2


def test_a_damaged_pathfinder_cache_is_made_anew(tmp_path):
    told = []
    settings = (("examples", "2"), ("held_out", "1"), ("contour_length", "6"))
    options = TaskOptions(cache=tmp_path, settings=settings)
    first = TASKS["pathfinder-128"].load(options).train.batch(np.arange(2))
    (file,) = tmp_path.iterdir()
    flip(file)
    again = TASKS["pathfinder-128"].load(replace(options, tell=told.append))
    assert told[0].endswith("is damaged and is made anew")
    np.testing.assert_array_equal(first.x, again.train.batch(np.arange(2)).x)


def test_the_folder_is_the_systems_own(monkeypatch, tmp_path):
    monkeypatch.delenv("SSMSPEC_CACHE", raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert user_cache() == tmp_path / "ssmspec"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert user_cache() == Path.home() / ".cache" / "ssmspec"
    monkeypatch.setattr(sys, "platform", "darwin")
    assert user_cache() == Path.home() / "Library" / "Caches" / "ssmspec"
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path))
    assert user_cache() == tmp_path / "ssmspec"
    monkeypatch.setenv("SSMSPEC_CACHE", str(tmp_path / "mine"))
    assert user_cache() == tmp_path / "mine"


def test_a_run_says_what_is_made_first(monkeypatch, tmp_path):
    monkeypatch.setenv("SSMSPEC_CACHE", str(tmp_path))
    told = []
    config = TrainConfig("listops", seq_len=40, task_settings=SETTINGS)
    load_data(config, told.append)
    assert told[0].startswith(f"making {tmp_path}")
    assert told[1] == "5 of 5 expressions drawn"


def test_progress_is_told_ten_times():
    told = sum(another_tenth(made - 1, made, 1000) for made in range(1, 1001))
    assert told == 10
