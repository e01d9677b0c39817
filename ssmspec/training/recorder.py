"""Writes a run's files while it trains, `metrics.csv` among them; in the main process only.

Each file appears whole or not at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, field, fields
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from torch import nn
from torch.optim import Optimizer

from ssmspec.errors import UsageError
from ssmspec.live.monitor import SpectrumMonitor
from ssmspec.naming import shown
from ssmspec.training.result import Row
from ssmspec.training.resume_file import Best, RunState, Standing, save_state
from ssmspec.training.run_folder import (
    BEST,
    INITIAL,
    METRICS,
    MODEL,
    RESUME,
    SNAPSHOTS,
    write_text,
    write_weights,
)
from ssmspec.writers.parts.tidy import to_csv

COLUMNS = tuple(field.name for field in fields(Row))


def metrics_table(rows: Iterable[Row]) -> str:
    """The rows of `metrics.csv`; a number that was not measured is an empty cell."""
    return to_csv(COLUMNS, (astuple(row) for row in rows))


class Board:
    """Rows of `metrics.csv` in TensorBoard's files, by torch's own writer.

    Args:
        folder: of the run; the files are in `tensorboard` below it.

    Raises:
        UsageError: TensorBoard is not installed.
    """

    def __init__(self, folder: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415 - only where asked
        except ImportError:
            raise UsageError(
                "--tensorboard needs the package tensorboard; install it with "
                "pip install tensorboard"
            ) from None
        self._writer: Any = SummaryWriter(str(folder / "tensorboard"))
        self._last = 0

    def write(self, rows: Sequence[Row]) -> None:
        """Write the rows that came since the last time."""
        for row in rows[self._last :]:
            for name in ("loss", "metric", "lr", "grad_norm"):
                value = getattr(row, name)
                if value is not None:
                    self._writer.add_scalar(f"{name}/{row.split}", value, row.step)
        self._last = len(rows)
        self._writer.flush()


@dataclass(eq=False)
class Recorder:
    """The files of one run.

    Attributes:
        folder: of the run.
        model: its weights are written.
        optimizer: its state is.
        accelerator: tells the main process; the scaler of fp16 is in it.
        metadata: of the `.safetensors` files.
        monitor: looks at the poles; None where nobody does, and in all but the main process.
        board: takes rows for TensorBoard; likewise.
        saved: step of the last save.
    """

    folder: Path
    model: nn.Module
    optimizer: Optimizer
    accelerator: Accelerator
    metadata: Mapping[str, str]
    monitor: SpectrumMonitor | None = None
    board: Board | None = None
    saved: int = field(default=0, init=False)

    def look(self, step: int) -> None:
        """Let the monitor look where it is time to."""
        if self.monitor is not None:
            self.monitor.step(step)

    def keep_best(self, best: Best) -> None:
        """Write `best.safetensors`."""
        if self.accelerator.is_main_process:
            write_weights(self.folder / BEST, best.weights, self.metadata)

    def keep(self, step: int, every: int | None) -> None:
        """Write a snapshot of the weights where it is time to."""
        if every and step % every == 0 and self.accelerator.is_main_process:
            folder = self.folder / SNAPSHOTS
            try:
                folder.mkdir(exist_ok=True)
            except OSError as error:
                raise UsageError(
                    f"{shown(folder)} cannot be made: {error.strerror or error}"
                ) from None
            path = folder / f"step-{step:08d}.safetensors"
            write_weights(path, self.model.state_dict(), self.metadata)

    def save(self, standing: Standing) -> None:
        """Write everything: `resume.pt` last, since it alone decides where a run continues.

        Raises:
            UsageError: a file cannot be written; those that were there stay as they were.
        """
        if not self.accelerator.is_main_process:
            return
        scaler = self.accelerator.scaler
        write_weights(self.folder / MODEL, self.model.state_dict(), self.metadata)
        self.write_tables(standing)
        state = RunState(
            standing,
            self.model.state_dict(),
            self.optimizer.state_dict(),
            scaler=None if scaler is None else scaler.state_dict(),
            monitor=None if self.monitor is None else self.monitor.state_dict(),
        )
        save_state(state, self.folder / RESUME)
        self.saved = standing.step

    def write_tables(self, standing: Standing) -> None:
        """Write `metrics.csv`, and what the monitor saw."""
        if not self.accelerator.is_main_process:
            return
        write_text(self.folder / METRICS, metrics_table(standing.rows))
        if self.board is not None:
            self.board.write(standing.rows)
        if self.monitor is not None:
            self.monitor.save()

    def last_before(self, step: int, standing: Standing) -> str:
        """The last checkpoint of fewer steps, for messages."""
        if self.saved < step:
            name, saved = MODEL, self.saved
        elif standing.best is not None:
            name, saved = BEST, standing.best.step
        else:
            name, saved = INITIAL, 0
        return f"{shown(self.folder / name)}, of step {saved:,}"
