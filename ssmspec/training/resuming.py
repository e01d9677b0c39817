"""Going on with a run that is in a folder: what must be as it was, and putting it back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ssmspec.errors import UsageError
from ssmspec.naming import shown
from ssmspec.training.config import TrainConfig
from ssmspec.training.loop import Loop
from ssmspec.training.resume_file import RunState, load_state
from ssmspec.training.run_folder import RESUME, read_config
from ssmspec.training.settings import to_settings

MAY_CHANGE = ("epochs", "max_steps", "save_every", "data")
"""Settings that a resumed run may have otherwise: none of them changes what a step does."""


def stored_state(folder: Path, config: TrainConfig) -> RunState:
    """The state of the run in a folder, provided that this configuration continues it.

    Raises:
        UsageError: there is no run, or it was started otherwise.
        CheckpointError: the state is damaged.
    """
    before, now = to_settings(read_config(folder)), to_settings(config)
    require_same(folder, before, now, MAY_CHANGE)
    return load_state(folder / RESUME)


def require_same(
    folder: Path, before: Mapping[str, Any], now: Mapping[str, Any], free: tuple[str, ...] = ()
) -> None:
    """Refuse what differs from how a run was started, except in the keys that are free.

    Raises:
        UsageError: it names what differs.
    """
    changed = [
        f"{key} = {_said(before.get(key))}, not {_said(value)}"
        for key, value in now.items()
        if key not in free and before.get(key) != value
    ]
    if changed:
        raise UsageError(
            f"{shown(folder)} cannot be resumed so: it was started with {'; '.join(changed)}"
        )


def _said(value: Any) -> str:
    return "none" if value is None else str(json.dumps(value))


def restore(loop: Loop, stored: RunState) -> Loop:
    """The loop where the stored run stood.

    Raises:
        UsageError: it stood beyond the last step.
    """
    loop.model.load_state_dict(dict(stored.model))
    loop.optimizer.load_state_dict(dict(stored.optimizer))
    if loop.accelerator.scaler is not None and stored.scaler is not None:
        loop.accelerator.scaler.load_state_dict(dict(stored.scaler))
    if loop.recorder.monitor is not None and stored.monitor is not None:
        loop.recorder.monitor.load_state_dict(stored.monitor)
    if stored.standing.step > loop.total_steps:
        raise UsageError(
            f"{shown(loop.recorder.folder)} stands at step {stored.standing.step:,} already, and "
            f"the run is to last {loop.total_steps:,} steps; raise max_steps or epochs"
        )
    return replace(loop, standing=stored.standing)
