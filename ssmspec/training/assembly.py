"""Puts a run together: model, optimizer, monitor and recorder into a loop at step 0."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

from ssmspec.checkpoints.reading_note import NOTE
from ssmspec.live.monitor import SpectrumMonitor
from ssmspec.schemes import SCHEMES, Kind
from ssmspec.training.config import TrainConfig
from ssmspec.training.loop import Loop
from ssmspec.training.model.stack import SequenceModel
from ssmspec.training.recorder import Recorder
from ssmspec.training.result import OnProgress
from ssmspec.training.resume_file import Standing
from ssmspec.training.scoring import objective_for
from ssmspec.training.tasks.base import Data


def assemble(
    config: TrainConfig,
    folder: Path,
    data: Data,
    model: SequenceModel,
    accelerator: Accelerator,
    on_progress: OnProgress | None,
) -> Loop:
    """Everything that a run needs, at step 0."""
    if config.compile:
        model.compile()
    wrapped = accelerator.prepare_model(model)
    groups = model.parameter_groups(config.lr, config.pole_lr, config.weight_decay)
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
    recorder = Recorder(folder, model, optimizer, accelerator, metadata_of(config, data), monitor)
    return Loop(
        config=config,
        data=data,
        objective=objective_for(data.target),
        accelerator=accelerator,
        model=model,
        wrapped=wrapped,
        optimizer=optimizer,
        rates=rates,
        standing=Standing(),
        recorder=recorder,
        on_progress=on_progress,
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
