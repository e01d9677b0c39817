"""Tasks: one a file. The table below goes from what runs anywhere to what needs a data set."""

from __future__ import annotations

from ssmspec.registry import Registry
from ssmspec.training.tasks import (
    chirps,
    copying,
    delay,
    digits,
    gap,
    npz,
    scifar,
    smnist,
    speech_commands,
    text,
)
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
        gap.GAP,
        chirps.CHIRPS,
        listops.LISTOPS,
        *pathfinder.PATHFINDERS,
        npz.NPZ,
        scifar.SCIFAR,
        smnist.SMNIST,
        text.TEXT,
        speech_commands.SPEECH_COMMANDS,
    ),
    key=lambda task: task.id,
)
