"""What people expect of a trainer: an early end, snapshots, the same bits, their own data."""

import os
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from ssmspec.errors import UsageError
from ssmspec.training import TrainConfig, train
from ssmspec.training.config import InputGain
from ssmspec.training.engine import choose_device, to_tensors
from ssmspec.training.run_folder import layers_of
from ssmspec.training.tasks.base import Batch, Data, Target
from tests.examples.training_runs import SMALL, rows_of, tensors, tiny


def test_patience_ends_a_run_that_gets_no_better(tmp_path):
    config = tiny(max_steps=200, eval_every=2, lr=1e-9, ssm_lr=1e-9, patience=3, spectrum_every=0)
    result = train(config, tmp_path / "run")
    checks = [row for row in result.rows if row.split == "validation"]
    assert result.steps < 200
    assert [row.step for row in checks][-1] == result.best_step + 6
    # it is over, and to go on is to be over again; a longer patience goes on
    before = rows_of(tmp_path / "run")
    assert train(config, tmp_path / "run", resume=True).steps == result.steps
    assert rows_of(tmp_path / "run") == before
    longer = replace(config, patience=4)
    assert train(longer, tmp_path / "run", resume=True).steps == result.steps + 2


def test_snapshots_are_the_weights_of_their_steps(tmp_path):
    train(tiny(keep_every=5), tmp_path / "run")
    kept = sorted(path.name for path in (tmp_path / "run" / "snapshots").iterdir())
    assert kept == ["step-00000005.safetensors", "step-00000010.safetensors"]
    train(tiny(max_steps=5), tmp_path / "five")
    ours = (tmp_path / "run" / "snapshots" / kept[0]).read_bytes()
    assert ours == (tmp_path / "five" / "model.safetensors").read_bytes()
    train(tiny(max_steps=2), tmp_path / "run", force=True)
    assert not list((tmp_path / "run" / "snapshots").iterdir())


def test_deterministic_is_for_the_run_alone(tmp_path, monkeypatch):
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    seen = []
    train(
        tiny(deterministic=True, max_steps=2),
        tmp_path / "run",
        on_progress=lambda _: seen.append(torch.are_deterministic_algorithms_enabled()),
    )
    assert seen == [True, True]
    assert not torch.are_deterministic_algorithms_enabled()
    assert "CUBLAS_WORKSPACE_CONFIG" not in os.environ


def test_without_tensorboard_one_sentence_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(UsageError, match="pip install tensorboard"):
        train(tiny(tensorboard=True), tmp_path / "run")


class Ramps:
    """Rising or falling lines, and which of the two."""

    def __len__(self):
        return 40

    def batch(self, indices):
        sign = np.where(indices % 2, 1.0, -1.0)
        x = sign[:, None, None] * np.linspace(0, 1, 16)[None, :, None]
        return Batch(x.astype(np.float32), (indices % 2).astype(np.int64))


def test_data_of_ones_own(tmp_path):
    split = Ramps()
    data = Data(split, split, split, Target.CLASS, d_input=1, d_output=2, seq_len=16)
    config = TrainConfig("ramps", SMALL, max_steps=30, batch_size=8, lr=0.02, spectrum_every=0)
    result = train(config, tmp_path / "run", data=data)
    assert result.test_metric == 1.0
    assert rows_of(tmp_path / "run", "test")
    with pytest.raises(UsageError, match="ramps"):
        train(config, tmp_path / "run", resume=True)
    assert train(config, tmp_path / "run", resume=True, data=data).steps == 30


def test_a_checkpoint_tells_what_layers_start_from_it(tmp_path):
    train(tiny({"input_gain": "zoh"}, max_steps=1), tmp_path / "run")
    path = tmp_path / "run" / "model.safetensors"
    assert layers_of(path) == {"scheme": "dfout", "input_gain": InputGain.ZOH}
    assert tensors(path)


def test_padded_batches_end_with_their_longest_sequence():
    x, y = np.zeros((3, 500, 2), np.float32), np.zeros(3, np.int64)
    here = torch.device("cpu")
    assert to_tensors(Batch(x, y, np.array([70, 5, 128])), here)[0].shape == (3, 128, 2)
    assert to_tensors(Batch(x, y, np.array([500, 5, 12])), here)[0].shape == (3, 500, 2)
    assert to_tensors(Batch(x, y), here)[0].shape == (3, 500, 2)
    each = np.zeros((3, 500), np.int64)  # answers for every sample stay beside their samples
    assert to_tensors(Batch(x, each, np.array([70, 5, 12])), here)[0].shape == (3, 500, 2)


def test_devices_by_number(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert [choose_device(name) for name in (None, "cuda", "cuda:1", "cpu")] == [
        "cuda", "cuda", "cuda:1", "cpu",
    ]  # fmt: skip
    with pytest.raises(UsageError, match="no cuda:2 here; the last one is cuda:1"):
        choose_device("cuda:2")
    with pytest.raises(UsageError, match="no device is called 'cuda:x'"):
        choose_device("cuda:x")
