"""How a run reports while it trains: a line an evaluation, and in a terminal a bar below them."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import TYPE_CHECKING, Self

from ssmspec.cli.options import Session

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

    from ssmspec.training import Progress


class TrainingProgress:
    """Called after every step; a context manager that puts the terminal back."""

    def __init__(self, session: Session) -> None:
        self._quiet = session.quiet
        self._in_terminal = sys.stderr.isatty()
        self._bar: Bar | None = None
        self._task: TaskID | None = None
        self._validation = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, progress: Progress) -> None:
        """Show where the run stands."""
        if self._quiet:
            return
        if progress.validation is not None:
            shown = told(progress.metric_name, progress.validation)
            self._validation = f"validation {shown}"
        if self._in_terminal:
            self._draw(progress)
        if progress.validation is not None or progress.step == progress.steps:
            self._keep(self._line(progress))

    def _keep(self, line: str) -> None:
        """Write a line that remains."""
        if self._bar is not None:
            self._bar.console.print(line, markup=False, highlight=False)
        else:
            sys.stderr.write(f"{line}\n")
            sys.stderr.flush()

    def hello(self, task: str, scheme: str) -> None:
        """Say in a terminal that something happens, before torch is loaded and data are."""
        if self._in_terminal:
            self.tell(f"{task} from {scheme}: loading")

    def tell(self, sentence: str) -> None:
        """Say what is going on before the first step."""
        if not self._quiet:
            sys.stderr.write(f"{sentence}\n")
            sys.stderr.flush()

    def _draw(self, progress: Progress) -> None:
        if self._bar is None:
            from rich.console import Console  # noqa: PLC0415 - only where there is a terminal
            from rich.progress import BarColumn, TextColumn  # noqa: PLC0415
            from rich.progress import Progress as Bar  # noqa: PLC0415

            self._bar = Bar(
                BarColumn(bar_width=None),
                TextColumn("{task.description}", markup=False),
                console=Console(stderr=True),
                refresh_per_second=4,
                transient=True,
            )
            self._bar.start()
            self._task = self._bar.add_task("", total=progress.steps)
        if self._task is not None:
            self._bar.update(
                self._task, completed=progress.step, description=self._line(progress, short=True)
            )

    def _line(self, progress: Progress, *, short: bool = False) -> str:
        metric = f"{progress.metric_name} {told(progress.metric_name, progress.metric)}"
        if short and (self._validation or progress.metric_name == "mse"):
            metric = ""  # the newer one says more; the loss is the squared error
        parts = [
            f"step {progress.step:,}/{progress.steps:,}",
            "" if short else f"epoch {progress.epoch:,}",
            f"loss {progress.loss:.4g}",
            metric,
            self._validation,
            f"{progress.steps_per_second:.3g} steps/s",
            f"ETA {_clock(progress.seconds_left)}",
        ]
        return "  ".join(part for part in parts if part)


def told(metric: str, value: float) -> str:
    """A metric for people: accuracy in percent."""
    return f"{100 * value:.1f} %" if metric == "accuracy" else f"{value:.4g}"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
