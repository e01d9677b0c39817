"""The use case behind `ssmspec train`: load, build or restore, train, measure, save.

Beneath `train` stand what it puts together at step 0 (`assemble`), what a file says of itself
(`metadata_of`), and how a stored run continues (`stored_state`, `restore`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

from ssmspec.errors import UsageError
from ssmspec.live.monitor import SpectrumMonitor
from ssmspec.naming import shown
from ssmspec.reading import NOTE
from ssmspec.schemes import SCHEMES, Kind
from ssmspec.training.batches import steps_per_epoch
from ssmspec.training.config import TrainConfig, require_rate
from ssmspec.training.data import load_data, shape_of, task_of
from ssmspec.training.engine import accelerated, choose_device, deterministic, own_random_numbers
from ssmspec.training.interruption import leave
from ssmspec.training.loop import Loop, weights_of
from ssmspec.training.model.initialize import new_layer
from ssmspec.training.model.stack import SequenceModel, build_model
from ssmspec.training.recorder import Board, Recorder
from ssmspec.training.result import OnProgress, Row, TrainResult
from ssmspec.training.resume_file import (
    Best,
    RunState,
    Standing,
    load_state,
    require_fitting,
)
from ssmspec.training.run_folder import (
    INITIAL,
    RESUME,
    layers_of,
    load_weights,
    prepare,
    read_config,
    read_document,
    require_free,
    write_config,
    write_weights,
)
from ssmspec.training.run_lock import locked
from ssmspec.training.schedule import Rate
from ssmspec.training.scoring import objective_for
from ssmspec.training.settings import to_settings
from ssmspec.training.tasks.base import Data, Tell, tell_nobody

MAY_CHANGE = (
    "epochs",
    "max_steps",
    "save_every",
    "keep_every",
    "patience",
    "data",
    "recompute",
    "tensorboard",
)
"""Settings that a resumed run may have otherwise: none of them changes what a step does."""


def train(
    config: TrainConfig,
    output: Path | str,
    *,
    resume: bool = False,
    force: bool = False,
    device: str | None = None,
    data: Data | None = None,
    on_progress: OnProgress | None = None,
    tell: Tell = tell_nobody,
) -> TrainResult:
    """Train a model and write all that a run writes into a folder.

    Under `torchrun` every process calls this with the same arguments; they share each batch, and
    the main one writes. On the CPU, the same arguments give the same weights, and a run that was
    resumed gives those of one that never stopped. Several processes follow the loss curve of one up
    to rounding; with dropout, or with batch norm, whose statistics are those of each share, they
    take a curve of their own.

    Args:
        config: the settings.
        output: folder; new or empty unless `resume` or `force`.
        resume: continue the run in the folder. Only when it ends, what it keeps and where its data
            are may differ from what it was started with.
        force: replace the files of a run that is there; other files are never touched.
        device: `cpu`, `cuda` or `cuda:N`; None takes a GPU where there is one.
        data: what to train on, in memory; `config.task` is then only what it is called. None takes
            the task's.
        on_progress: called after every step, in the main process.
        tell: takes a sentence on what is going on where data are made first, in the main process.

    Raises:
        UsageError: settings that make no sense together, missing data, or a folder that cannot be
            written to.
        DivergedError: the loss became NaN or infinite; the folder holds the last good checkpoint.
        KeyboardInterrupt: after Ctrl-C, once the step was finished and saved.
        SystemExit: likewise after SIGTERM, with code 143.
    """
    folder = Path(output)
    if resume and force:
        raise UsageError("to resume continues a run and force replaces it; choose one of them")
    with ExitStack() as held:
        is_held = _is_main() and folder.is_dir()
        if is_held:
            held.enter_context(locked(folder))
        if not resume:
            require_free(folder, force=force)
        stored = stored_state(folder, config) if resume else None
        choose_device(device)  # these before data are made and loaded for nothing
        if data is None:
            task_of(config)
        new_layer(config.model, config.seed, 0)
        accelerator = held.enter_context(accelerated(device, config.precision))
        held.enter_context(own_random_numbers(accelerator.device))
        held.enter_context(deterministic(config.deterministic))
        _require_shares(config, accelerator)
        with accelerator.main_process_first():  # one process makes what the others find in a cache
            if data is None:
                data = load_data(config, tell if accelerator.is_main_process else tell_nobody)
        model = build_model(config.model, data, config.seed)
        if config.init is not None and stored is None:
            _require_outside(config.init, folder)
            load_weights(model, config.init)
        epoch_steps = steps_per_epoch(len(data.train), config.batch_size)
        started = config.rate if stored is None else partial(stored_rate, folder, config)
        rate = started(epoch_steps)
        loop = assemble(config, folder, data, model, accelerator, on_progress, rate)
        if stored is not None:
            loop = restore(loop, stored)
        if accelerator.is_main_process:
            if not is_held:
                held.enter_context(locked(folder))
                require_free(folder, force=force)  # another run may have been quicker
            _open_folder(loop, resumed=resume)
        accelerator.wait_for_everyone()
        caught = loop.run()
        if caught:
            leave(caught, f"stopped after step {loop.standing.step:,} and saved")
        return _finish(loop)


def _is_main() -> bool:
    """Whether this is the only process, or the one that writes for all."""
    return os.environ.get("RANK", "0") == "0"


def _require_shares(config: TrainConfig, accelerator: Accelerator) -> None:
    pieces = config.accumulate * accelerator.num_processes
    if config.batch_size % pieces:
        raise UsageError(
            f"a batch of {config.batch_size} cannot be shared equally by "
            f"{accelerator.num_processes} processes in {config.accumulate} parts each; choose a "
            f"multiple of {pieces}"
        )


def _require_outside(init: Path, folder: Path) -> None:
    source, target = init.resolve(), folder.resolve()
    if target in (source, *source.parents):
        raise UsageError(
            f"{shown(init)} lies in the folder that the run would be written to; choose another "
            f"output"
        )


def _open_folder(loop: Loop, *, resumed: bool) -> None:
    """Make the folder ready: from here on a run in it can be resumed."""
    recorder, standing = loop.recorder, loop.standing
    folder = recorder.folder
    settings, init = to_settings(loop.config), loop.config.init
    if resumed:
        before = read_document(folder)
        told = before.get("started_from")
        resolved = _resolved(loop, {} if told is None else {"started_from": told})
        require_same(folder, before.get("data", {}), resolved["data"])
        write_config(folder, settings, resolved)
        if standing.best is not None:
            recorder.keep_best(standing.best)  # a killed run may have left a later one
        recorder.saved = standing.step
        return
    told = None if init is None else {"path": str(init.absolute()), "layers": layers_of(init)}
    resolved = _resolved(loop, {} if told is None else {"started_from": told})
    prepare(folder)
    write_weights(folder / INITIAL, loop.model.state_dict(), recorder.metadata)
    write_config(folder, settings, resolved)
    recorder.look(0)
    recorder.save(standing)


def _resolved(loop: Loop, started: Mapping[str, Any]) -> dict[str, Any]:
    """What `config.json` says beside the settings."""
    data, model = loop.data, loop.model
    splits = {"train": data.train, "validation": data.validation, "test": data.test}
    sizes = {f"{name}_examples": len(split) for name, split in splits.items()}
    return {
        **note_of(data),
        "data": {**shape_of(data), **sizes},
        **started,
        "metric": loop.objective.metric,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "pole_lr": loop.config.pole_lr,
        "steps_per_epoch": loop.epoch_steps,
        "steps": loop.total_steps,
        "warmup_steps": loop.rate.warmup,
        "schedule_steps": loop.rate.end,
    }


def _finish(loop: Loop) -> TrainResult:
    """Last measurements, which a resumed run makes again: they are no part of its state."""
    standing, recorder = loop.standing, loop.recorder
    rows = list(standing.rows)
    if standing.evaluated < standing.step or standing.best is None:
        rows.append(loop.validate())
    best = standing.best
    if best is None:  # validate() has seen to it
        raise AssertionError
    if recorder.monitor is not None:
        recorder.monitor.look(standing.step)
    rows.append(replace(_test(loop, best), step=best.step, epoch=loop.epoch_of(best.step)))
    recorder.write_tables(replace(standing, rows=rows))
    loop.accelerator.wait_for_everyone()
    return TrainResult(
        folder=recorder.folder,
        steps=standing.step,
        metric_name=loop.objective.metric,
        best_metric=best.metric,
        best_step=best.step,
        test_metric=rows[-1].metric,
        rows=tuple(rows),
        monitor=recorder.monitor,
    )


def _test(loop: Loop, best: Best) -> Row:
    """The best model on the test data; the model itself is left as it was."""
    last = weights_of(loop.model)
    loop.model.load_state_dict(dict(best.weights))
    row = loop.row("test", loop.measure(loop.data.test))
    loop.model.load_state_dict(last)
    return row


def assemble(
    config: TrainConfig,
    folder: Path,
    data: Data,
    model: SequenceModel,
    accelerator: Accelerator,
    on_progress: OnProgress | None,
    rate: Rate,
) -> Loop:
    """Everything that a run needs, at step 0."""
    model.recompute(config.recompute)
    if config.compile:
        model.compile(mode="reduce-overhead" if accelerator.device.type == "cuda" else "default")
    wrapped = accelerator.prepare_model(model)
    groups = model.parameter_groups(config.lr, config.pole_lr, config.weight_decay, config.decayed)
    rates = [group["lr"] for group in groups]
    optimizer = accelerator.prepare_optimizer(torch.optim.AdamW(groups))
    monitor = None
    if config.spectrum_every and accelerator.is_main_process:
        monitor = SpectrumMonitor(
            model,
            every=config.spectrum_every,
            folder=folder,
            seq_len=data.seq_len,
            sample_rate=data.sample_rate,
            force=True,  # the folder was cleared, or holds this very run
        )
    board = Board(folder) if config.tensorboard and accelerator.is_main_process else None
    recorder = Recorder(
        folder, model, optimizer, accelerator, metadata_of(config, data), monitor, board
    )
    return Loop(
        config=config,
        data=data,
        objective=objective_for(data.target),
        accelerator=accelerator,
        model=model,
        wrapped=wrapped,
        optimizer=optimizer,
        rates=rates,
        rate=rate,
        standing=Standing(),
        recorder=recorder,
        on_progress=on_progress,
        late=int(accelerator.device.type == "cuda"),
    )


def metadata_of(config: TrainConfig, data: Data) -> dict[str, str]:
    """Metadata of a run's `.safetensors` files: the parameterization, the same for every seed."""
    model = config.model
    is_discrete = SCHEMES.require(model.scheme).kind is Kind.DISCRETE
    note = {
        **note_of(data),
        "family": "dfout" if is_discrete else "s4d",
        "discretization": "native" if is_discrete else "zoh",
        "input_gain": model.input_gain.value if is_discrete else None,
        "bidirectional": model.bidirectional,
    }
    return {"format": "pt", NOTE: json.dumps(note, sort_keys=True)}


def note_of(data: Data) -> dict[str, Any]:
    """What a reader of the poles needs to know of the data."""
    return {
        "seq_len": data.seq_len,
        "sample_rate": data.sample_rate,
        "row_stride": data.row_stride,
    }


def stored_state(folder: Path, config: TrainConfig) -> RunState:
    """The state of the run in a folder, provided that this configuration continues it.

    Raises:
        UsageError: there is no run, or it was started otherwise.
        CheckpointError: the state is damaged.
    """
    before, now = to_settings(read_config(folder)), to_settings(config)
    require_same(folder, before, now, MAY_CHANGE)
    return load_state(folder / RESUME)


def stored_rate(folder: Path, config: TrainConfig, epoch_steps: int) -> Rate:
    """The learning rate that the run in a folder started with, of which its end is no part.

    Raises:
        UsageError: the run would go on at a rate of 0.
    """
    document = read_document(folder)
    warmup, end = document.get("warmup_steps"), document.get("schedule_steps")
    if not isinstance(warmup, int) or not isinstance(end, int | None):
        return config.rate(epoch_steps)
    require_rate(end, config.total_steps(epoch_steps))
    return Rate(warmup, end)


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
        CheckpointError: its tensors are not those of this model.
    """
    require_fitting(stored, loop.recorder.folder / RESUME, loop.model, loop.optimizer)
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
