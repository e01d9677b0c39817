"""Tasks: one a file. The table below goes from what runs anywhere to what needs a data set."""

from __future__ import annotations

from ssmspec.registry import Registry
from ssmspec.training.tasks import (
    copying,
    delay,
    digits,
    listops,
    npz,
    pathfinder,
    scifar,
    smnist,
    speech_commands,
)
from ssmspec.training.tasks.base import Task

TASKS: Registry[Task] = Registry(
    "task",
    "ssmspec.tasks",
    (
        digits.DIGITS,
        delay.DELAY,
        copying.COPYING,
        listops.LISTOPS,
        *pathfinder.PATHFINDERS,
        npz.NPZ,
        scifar.SCIFAR,
        smnist.SMNIST,
        speech_commands.SPEECH_COMMANDS,
    ),
    key=lambda task: task.id,
)
