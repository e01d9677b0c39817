"""Starting from the weights of another checkpoint."""

import numpy as np
import pytest
from safetensors.numpy import save_file

from ssmspec import read_spectra, reinit
from ssmspec.errors import CheckpointError, UsageError
from ssmspec.training import train
from tests.examples.training_runs import tensors, tiny


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "trained"
    train(tiny(), folder)
    return folder


def test_a_run_starts_from_the_weights_it_was_given(tmp_path, trained):
    train(tiny(init=trained, seed=9, max_steps=1), tmp_path / "again")
    start = tensors(tmp_path / "again" / "initial.safetensors")
    for name, value in tensors(trained / "model.safetensors").items():
        assert start[name].tobytes() == value.tobytes(), name


def test_poles_that_reinit_wrote_are_trained_from(tmp_path, trained):
    other = tmp_path / "other.safetensors"
    reinit(trained, "dfout", other, seed=5)
    train(tiny(init=other, max_steps=2), tmp_path / "run")
    (given,), (start,) = read_spectra(other), read_spectra(tmp_path / "run/initial.safetensors")
    assert np.array_equal(given.log_poles, start.log_poles)
    (old,) = read_spectra(trained)
    assert not np.array_equal(given.log_poles, old.log_poles)


def test_a_resumed_run_does_not_need_the_start_any_more(tmp_path, trained):
    start = tmp_path / "start.safetensors"
    start.write_bytes((trained / "model.safetensors").read_bytes())
    train(tiny(init=start, max_steps=2), tmp_path / "run")
    start.unlink()
    assert train(tiny(init=start, max_steps=3), tmp_path / "run", resume=True).steps == 3


def without(tensors, *names):
    return {name: value for name, value in tensors.items() if name not in names}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda t: {**t, "encoder.weight": np.zeros((8, 2), np.float32)},
            r"encoder.weight has shape \(8, 1\) in the model and \(8, 2\) in the file",
        ),
        (lambda t: without(t, "norm.bias"), r"the file has no norm.bias"),
        (lambda t: {**t, "extra": np.zeros(1, np.float32)}, r"the model has no extra"),
        (
            lambda t: {**t, "blocks.0.ssm.unit_energy": np.array(False)},
            r"unit_energy is False in the file and True in the model",
        ),
        (lambda t: {"a\n": t["norm.bias"]}, r"the file has no .* and \d+ more"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path, trained, change, message):
    save_file(change(tensors(trained / "model.safetensors")), tmp_path / "other.safetensors")
    with pytest.raises(UsageError, match=message) as refused:
        train(tiny(init=tmp_path / "other.safetensors"), tmp_path / "run")
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "run").exists()


def test_another_size_names_the_tensors(tmp_path, trained):
    with pytest.raises(UsageError, match=r"shape \(16, 1\) in the model and \(8, 1\) in the file"):
        train(tiny({"d_model": 16}, init=trained), tmp_path / "run")


def test_a_start_that_is_not_there_or_would_be_replaced(tmp_path, trained):
    with pytest.raises(CheckpointError, match="does not exist"):
        train(tiny(init=tmp_path / "none.safetensors"), tmp_path / "run")
    before = (trained / "model.safetensors").read_bytes()
    for start in (trained, trained / "model.safetensors"):
        with pytest.raises(UsageError, match="lies in the folder that the run would be written to"):
            train(tiny(init=start), trained, force=True)
    assert (trained / "model.safetensors").read_bytes() == before
