"""The spectrum monitor as a callback of Lightning (`lightning` or `pytorch-lightning`)."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Unpack

from ssmspec.analysis.model import ReadingOptions
from ssmspec.errors import MissingPackageError, SsmspecError
from ssmspec.live.monitor import OnFinding, SpectrumMonitor
from ssmspec.outcome import Level

if TYPE_CHECKING:
    from pytorch_lightning import Callback, LightningModule, Trainer
else:
    try:
        from lightning.pytorch import Callback
    except ImportError:
        try:
            from pytorch_lightning import Callback
        except ImportError:
            raise MissingPackageError(
                "this callback needs Lightning, which is not installed: "
                "pip install lightning, or pip install pytorch-lightning"
            ) from None


class SpectrumCallback(Callback):
    """Looks at the poles of a LightningModule while it is fitted.

    Where the run ends, by itself or by an exception, it looks once more and saves. What was seen
    goes into Lightning's checkpoints, and a resumed run goes on from there.

    Args:
        every: optimizer steps (`trainer.global_step`) from one look to the next.
        folder: where `spectrum.csv` and `trajectory.npz` go; None keeps everything in `monitor`.
        on_finding: as of `SpectrumMonitor`.
        raise_on: as of `SpectrumMonitor`; `fit` raises its error.
        channels_followed: as of `SpectrumMonitor`.
        force: replace the files of another run in `folder`.
        **options: fields of `Reading`: `seq_len`, `sample_rate`, `layers`, `family`, ...

    Attributes:
        monitor: the monitor, on the first process and once `fit` has started; else None.
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
        **options: Unpack[ReadingOptions],
    ) -> None:
        super().__init__()
        self._settings = {
            "every": every,
            "folder": folder,
            "on_finding": on_finding,
            "raise_on": raise_on,
            "channels_followed": channels_followed,
            "force": force,
        }
        self._options = options
        self._restored: dict[str, Any] = {}
        self.monitor: SpectrumMonitor | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look before the first step, or go on from what a checkpoint remembers."""
        if not trainer.is_global_zero:
            return
        settings: Any = self._settings
        self.monitor = SpectrumMonitor(pl_module, **settings, **self._options)
        if self._restored:
            self.monitor.load_state_dict(self._restored)
            self._restored = {}
        self.monitor.step(trainer.global_step)

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Look if it is time to; batches that only gather gradients take no step."""
        del pl_module, outputs, batch, batch_idx
        if self.monitor is not None:
            self.monitor.step(trainer.global_step)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look once more and save."""
        del pl_module
        if self.monitor is not None:
            self.monitor.finish(trainer.global_step)

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Save what was seen; where that fails too, the first exception is the one to hear of."""
        del trainer, pl_module, exception
        if self.monitor is not None:
            with suppress(SsmspecError):
                self.monitor.save()

    def state_dict(self) -> dict[str, Any]:
        """What was seen, for Lightning's checkpoint."""
        return self._restored if self.monitor is None else self.monitor.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Keep what a checkpoint remembers until the run starts."""
        self._restored = state_dict
