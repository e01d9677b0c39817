"""Tasks: one a file. The table below goes from what runs anywhere to what needs a data set."""

from __future__ import annotations

from ssmspec.registry import Registry
from ssmspec.training.tasks import copying, delay, digits, npz, scifar, smnist, speech_commands
from ssmspec.training.tasks.base import Task
from ssmspec.training.tasks.listops import task as listops
from ssmspec.training.tasks.pathfinder import task as pathfinder

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
