"""The data of a run, and the numbers that only the data can tell."""

from __future__ import annotations

from collections.abc import Mapping

from ssmspec.errors import UsageError
from ssmspec.naming import did_you_mean
from ssmspec.training.config import TrainConfig
from ssmspec.training.tasks import TASKS
from ssmspec.training.tasks.base import Data, Task, TaskOptions, Tell, tell_nobody


def task_of(config: TrainConfig) -> Task:
    """The task of a run, with all settings known to it.

    Raises:
        UsageError: there is no such task, or it has no such setting.
    """
    task = TASKS.require(config.task)
    known = [name for name, _ in task.settings]
    for name, _ in config.task_settings:
        if name not in known:
            hint = did_you_mean(name, known) if known else "it has none"
            raise UsageError(f"the task {task.id} has no setting {name!r}; {hint}")
    return task


def load_data(config: TrainConfig, tell: Tell = tell_nobody) -> Data:
    """What a run trains on.

    Args:
        config: the run.
        tell: takes a sentence on what is going on, where data are made first.

    Raises:
        UsageError: there is no such task, it has no such setting, or its data are not there.
    """
    return task_of(config).load(
        TaskOptions(
            seq_len=config.seq_len,
            seed=config.seed,
            data=config.data,
            settings=config.task_settings,
            tell=tell,
        )
    )


def shape_of(data: Data) -> Mapping[str, str | int | float | bool | None]:
    """What of the data decides the shape and the reading of a model, for `config.json`."""
    return {
        "seq_len": data.seq_len,
        "target": data.target.value,
        "readout": data.readout.value,
        "d_input": data.d_input,
        "d_output": data.d_output,
        "vocabulary": data.vocabulary,
        "sample_rate": data.sample_rate,
        "row_stride": data.row_stride,
        "causal": data.causal,
    }
