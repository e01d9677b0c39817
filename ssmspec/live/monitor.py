"""`SpectrumMonitor`: what the poles of a model do while it trains, in anybody's training loop.

    monitor = SpectrumMonitor(model, every=100, seq_len=1024, folder="run", raise_on="error")
    monitor.step(0)                         # before training
    for step, batch in enumerate(batches, start=1):
        ...                                 # forward, backward, optimizer.step()
        monitor.step(step)                  # looks where a multiple of `every` was reached
    monitor.finish(step)                    # writes run/spectrum.csv, run/trajectory.npz
    print(monitor.summary())

A look reads the poles and step sizes of every layer and measures them; it neither changes the model
nor draws a random number. Nothing here imports torch.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Unpack

from ssmspec.analysis.measure import measure
from ssmspec.analysis.model import ReadingOptions
from ssmspec.errors import SsmspecError, UsageError
from ssmspec.live import state as monitor_state
from ssmspec.live.files import SPECTRUM_FILE, require_no_files, thinned, trajectory_of, write_files
from ssmspec.live.layers import LiveLayers, Watched
from ssmspec.live.look import (
    NEVER_TRAINED,
    Event,
    LayerLook,
    Look,
    Seen,
    Start,
    followed,
    pole_metrics,
    values_of,
)
from ssmspec.live.summary import summarize
from ssmspec.naming import printable
from ssmspec.outcome import Finding, Level, Skipped
from ssmspec.reading import Reading
from ssmspec.results.trajectory import Trajectory
from ssmspec.rules import judge

OnFinding = Callable[[int, Finding], None]
"""Called with the step and a finding that the layer did not have at the look before."""


class UnhealthySpectrumError(SsmspecError):
    """A finding at the level a monitor was told to stop at.

    Attributes:
        step: where it was found.
        findings: those at or above the level.
    """

    def __init__(self, message: str, step: int, findings: tuple[Finding, ...]) -> None:
        super().__init__(message)
        self.step = step
        self.findings = findings


class SpectrumMonitor:
    """Looks at a model's poles every so many steps and keeps what it saw.

    Args:
        model: a module, bare or wrapped (compiled, data-parallel), or a mapping of names to
            tensors that change in place. Of a model whose parameters are sharded over processes,
            give the mapping with the whole tensors.
        every: steps from one look to the next.
        folder: where `save` writes; None keeps everything in memory.
        on_finding: told of every finding that is new on a layer.
        raise_on: "error", "warning" or "info": a finding at this level or above stops the loop
            with `UnhealthySpectrumError`, after everything was saved. None never does.
        channels_followed: channels of a layer whose poles' paths are kept at most, evenly chosen;
            so are their modes, up to 512 poles a layer and 4096 of the whole model.
        force: replace the files of another run in `folder`.
        **options: fields of `Reading`: `seq_len`, `sample_rate`, `layers`, `family`, ...

    Attributes:
        events: every rule that began to fire on a layer, in order.

    Raises:
        CheckpointError: the model has no state dict.
        NoLayersError: it holds no state-space layer that can be measured.
        UsageError: an option's value makes no sense.
    """

    def __init__(
        self,
        model: Watched,
        *,
        every: int = 100,
        folder: str | os.PathLike[str] | None = None,
        on_finding: OnFinding | None = None,
        raise_on: Level | str | None = None,
        channels_followed: int = 16,
        force: bool = False,
        **options: Unpack[ReadingOptions],
    ) -> None:
        for name, value in (("every", every), ("channels_followed", channels_followed)):
            if value < 1:
                raise UsageError(f"{name} must be at least 1, got {value}")
        self._reading = Reading.of(options)
        self._layers = LiveLayers(model, self._reading)
        self._every = every
        self._folder = None if folder is None else Path(folder)
        self._on_finding = on_finding
        self._raise_on = _level(raise_on)
        self._channels = channels_followed
        self._owns_files = force
        self._looks: list[Look] = []
        self._start: dict[str, Start] = {}
        self._findings: tuple[Finding, ...] = ()
        self.events: tuple[Event, ...] = ()

    @property
    def every(self) -> int:
        """Steps from one look to the next."""
        return self._every

    @property
    def looks(self) -> tuple[Look, ...]:
        """Every look so far, by ascending step."""
        return tuple(self._looks)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What the rules found at the last look, worst first; their messages are `analyze`'s."""
        return self._findings

    @property
    def skipped(self) -> tuple[Skipped, ...]:
        """What looked like a state-space layer and is not watched, and why."""
        return self._layers.skipped

    def step(self, step: int) -> Look | None:
        """Look if it is time to.

        Args:
            step: optimizer steps taken so far; 0 before training.

        Returns:
            The look, or None where it was not time: the first call looks, and from then on every
            call by which a multiple of `every` was reached since the last look.

        Raises:
            UnhealthySpectrumError: as `raise_on` says.
        """
        self._rewind(step, keep=True)
        last = self._looks[-1].step if self._looks else None
        if last is not None and step // self._every <= last // self._every:
            return None
        return self.look(step)

    def look(self, step: int) -> Look:
        """Look now.

        A step that is not after the last one means that the run went back to an earlier state:
        looks at later steps are forgotten.

        Args:
            step: optimizer steps taken so far.

        Raises:
            UsageError: the step is negative, or the folder holds the files of another run.
            UnhealthySpectrumError: as `raise_on` says.
        """
        self._rewind(step, keep=False)
        if not self._looks and self._folder is not None and not self._owns_files:
            require_no_files(self._folder)
        before = self._looks[-1] if self._looks else None
        layers: list[LayerLook] = []
        findings: list[Finding] = []
        for layer in self._layers.read():
            spectrum = layer.spectrum
            evidence = measure(
                layer.found.family,
                spectrum,
                self._reading,
                rounding=layer.rounding(),
                metrics=pole_metrics(),
            )
            fired = tuple(judge(evidence))
            if before is None:
                fired = tuple(finding for finding in fired if finding.code != NEVER_TRAINED)
                self._start[spectrum.name] = Start.of(spectrum)
            moved = self._start[spectrum.name].moved(spectrum)
            layers.append(
                LayerLook(
                    spectrum.name,
                    values_of(evidence.layer.metrics, moved),
                    tuple(finding.code for finding in fired),
                    followed(spectrum, self._channels, len(self._layers.found)),
                )
            )
            findings += fired
        look = Look(step, tuple(layers))
        self._looks = thinned([*self._looks, look])
        self._findings = tuple(sorted(findings, key=lambda finding: finding.level.rank))
        self._tell(look, before)
        return look

    def finish(self, step: int) -> tuple[Path, ...]:
        """The end of a run: look, unless that was just done, and save.

        Args:
            step: optimizer steps taken in all.

        Returns:
            What was written.

        Raises:
            UsageError: as of `look` and `save`.
            UnhealthySpectrumError: as `raise_on` says.
        """
        if not self._looks or self._looks[-1].step != step:
            self.look(step)
        return self.save()

    def save(self) -> tuple[Path, ...]:
        """Write `spectrum.csv` and `trajectory.npz` into the folder, each whole or not at all.

        `spectrum.csv` has a row for each look and layer: `step`, `layer`, how far the poles moved
        (`poles_moved`, rms in half-widths; `poles_moved_share`, beyond one half-width), one column
        for each metric that needs no kernel, empty where it is not applicable, and the codes of
        the rules that fired.

        Returns:
            What was written: nothing without a folder or before the first look.

        Raises:
            UsageError: the folder cannot be written to; earlier files stay as they were.
        """
        if self._folder is None or not self._looks:
            return ()
        written = write_files(self._folder, self._looks)
        self._owns_files = True
        return written

    def trajectory(self) -> Trajectory:
        """The paths of the poles that are followed: at most 257 looks, evenly chosen.

        Raises:
            UsageError: there was no look yet.
        """
        self._require_looks()
        return trajectory_of(self._looks)

    def summary(self, width: int | None = 80) -> str:
        """The first look against the last, layer by layer, and when each finding appeared.

        Args:
            width: columns to fit into; None for a file or a pipe, where nothing is shortened.

        Raises:
            UsageError: there was no look yet.
        """
        self._require_looks()
        events = [(event.step, event.finding) for event in self.events]
        return summarize(self._looks, events, width)

    def state_dict(self) -> dict[str, Any]:
        """Everything seen so far, in numbers, strings, lists and dicts: for torch.save or JSON."""
        seen = Seen(tuple(self._looks), self._start, self.events, self._findings)
        return monitor_state.pack(seen)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where a monitor of the same model was when `state_dict` was called.

        Raises:
            UsageError: it is no such state, or one of other layers.
        """
        seen = monitor_state.unpack(state, self._layers.shapes)
        self._looks, self._start = list(seen.looks), dict(seen.start)
        self.events, self._findings = seen.events, seen.findings
        self._owns_files = True

    def _rewind(self, step: int, *, keep: bool) -> None:
        """Forget looks after a step, and unless `keep`, at that step."""
        if step < 0:
            raise UsageError(f"the step must not be negative, got {step}")
        limit = step + 1 if keep else step
        if self._looks and self._looks[-1].step >= limit:
            self._looks = [look for look in self._looks if look.step < limit]
            self.events = tuple(event for event in self.events if event.step < limit)

    def _tell(self, look: Look, before: Look | None) -> None:
        known = {} if before is None else {layer.name: layer.codes for layer in before.layers}
        new = [
            finding
            for finding in self._findings
            if finding.code not in known.get(finding.layer, ())
        ]
        since = None if before is None else before.step
        self.events += tuple(Event(look.step, since, finding) for finding in new)
        if self._on_finding is not None:
            for finding in new:
                self._on_finding(look.step, finding)
        self._stop(look, since)

    def _stop(self, look: Look, since: int | None) -> None:
        """Raise where a finding is serious enough; one that was there before raised before."""
        level = self._raise_on
        serious = tuple(f for f in self._findings if level and f.level.rank <= level.rank)
        if not serious:
            return
        worst = serious[0]
        sentences = [
            f"step {look.step:,}: {printable(worst.layer)}: {worst.code}: {worst.message}",
        ]
        if since is not None:
            sentences.append(f"It was not so at step {since:,}.")
        if len(serious) > 1:
            sentences.append(f"There are {len(serious) - 1} findings more.")
        with suppress(SsmspecError):  # a full disk must not hide why the run stops
            if self.save():
                folder = printable(str(self._folder))
                sentences.append(f"{SPECTRUM_FILE} in {folder} tells what came before.")
        raise UnhealthySpectrumError(" ".join(sentences), look.step, serious)

    def _require_looks(self) -> None:
        if not self._looks:
            raise UsageError("the monitor has not looked yet; call step(0) before training")


def _level(level: Level | str | None) -> Level | None:
    if level is None or level in list(Level):
        return None if level is None else Level(level)
    raise UsageError(f"raise_on is error, warning or info, not {level!r}")
