"""The spectrum monitor as a `TrainerCallback` of Hugging Face transformers."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ssmspec.errors import MissingPackageError
from ssmspec.live.monitor import OnFinding, SpectrumMonitor
from ssmspec.outcome import Level

if TYPE_CHECKING:
    from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
    from transformers.trainer_callback import ExportableState
else:
    try:
        from transformers import TrainerCallback
        from transformers.trainer_callback import ExportableState
    except ImportError:
        raise MissingPackageError(
            "this callback needs transformers, which is not installed: pip install transformers"
        ) from None


class SpectrumCallback(TrainerCallback, ExportableState):
    """Looks at the poles of a model while transformers' `Trainer` trains it.

    At the end it looks once more and saves. What was seen goes into `trainer_state.json` of every
    checkpoint, and `resume_from_checkpoint` goes on from there.

    Args:
        every: optimizer steps (`state.global_step`) from one look to the next.
        folder: where `spectrum.csv` and `trajectory.npz` go; None keeps everything in `monitor`.
        on_finding: as of `SpectrumMonitor`.
        raise_on: as of `SpectrumMonitor`; `train` raises its error.
        channels_followed: as of `SpectrumMonitor`.
        force: replace the files of another run in `folder`.
        seq_len: sequence length in samples.
        sample_rate: of the model's input in hertz.
        layers: glob that selects layers by name.
        family: id of the only family to look for.

    Attributes:
        monitor: the monitor, on the first process and once training has started; else None.
    """

    def __init__(
        self,
        *,
        every: int = 100,
        folder: str | os.PathLike[str] | None = None,
        on_finding: OnFinding | None = None,
        raise_on: Level | str | None = None,
        channels_followed: int = 16,
        force: bool = False,
        seq_len: int | None = None,
        sample_rate: float | None = None,
        layers: str | None = None,
        family: str | None = None,
    ) -> None:
        # All but the function can be JSON: transformers may make the callback anew from them.
        self._settings = {
            "every": every,
            "folder": None if folder is None else str(Path(folder)),
            "raise_on": None if raise_on is None else str(raise_on),
            "channels_followed": channels_followed,
            "force": force,
            "seq_len": seq_len,
            "sample_rate": sample_rate,
            "layers": layers,
            "family": family,
        }
        self._on_finding = on_finding
        self.monitor: SpectrumMonitor | None = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Look before the first step, or go on from what a checkpoint remembers."""
        del args, control
        # Declared as a list of callbacks, which transformers turns into their states by name.
        states: Any = state.stateful_callbacks
        saved = _seen(states.get(type(self).__name__)) if state.global_step else None
        # A checkpoint of a run without this callback has no place for its state.
        states.setdefault(type(self).__name__, self.state())
        if not state.is_world_process_zero:
            return
        settings: Any = self._settings
        self.monitor = SpectrumMonitor(kwargs["model"], on_finding=self._on_finding, **settings)
        if saved:
            self.monitor.load_state_dict(saved)
        self.monitor.step(state.global_step)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Look if it is time to."""
        del args, control, kwargs
        if self.monitor is not None:
            self.monitor.step(state.global_step)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Look once more and save."""
        del args, control, kwargs
        if self.monitor is not None:
            self.monitor.finish(state.global_step)

    def state(self) -> dict[str, Any]:
        """What was seen, for `trainer_state.json`."""
        seen = {} if self.monitor is None else self.monitor.state_dict()
        return {"args": self._settings, "attributes": {"seen": seen}}


def _seen(stored: Any) -> dict[str, Any] | None:
    """What a run's `trainer_state.json` holds of this callback.

    Of several callbacks of one name transformers keeps a list, and none can be told from another.
    """
    seen = stored.get("attributes", {}).get("seen") if isinstance(stored, dict) else None
    return seen if isinstance(seen, dict) else None
