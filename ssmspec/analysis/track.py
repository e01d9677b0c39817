"""The use case behind `ssmspec track`: the checkpoints of one run, measured one after another."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias, Unpack

from ssmspec.analysis.model import Progress, ReadingOptions, chosen_reading
from ssmspec.analysis.report import analyze
from ssmspec.analysis.run_members import Member, members
from ssmspec.analysis.track_cache import key_of, load_cache, save_cache
from ssmspec.checkpoints.atomic import require_output
from ssmspec.checkpoints.remote import url_of
from ssmspec.errors import NoLayersError, UsageError
from ssmspec.naming import shown
from ssmspec.reading import Reading
from ssmspec.results.report import Report
from ssmspec.results.track import Track, TrackedStep

StrPath: TypeAlias = str | os.PathLike[str]


def track(
    run: StrPath | Sequence[StrPath],
    reading: Reading | None = None,
    *,
    cache: StrPath | None = None,
    progress: Progress | None = None,
    **options: Unpack[ReadingOptions],
) -> Track:
    """Measure the checkpoints of one run, in the order of their steps, as `analyze` does each.

    Args:
        run: a folder, a glob, or several of these or of checkpoints; two or more checkpoints,
            whose names say their steps.
        reading: how to read them; or its fields as keywords.
        cache: a file in which what was measured is kept, so that another call measures only what
            is new. A checkpoint counts as the same while its path, sizes and times are. One at an
            address is measured every time.
        progress: called after each checkpoint with (done, all).
        **options: fields of `Reading`.

    Returns:
        A report a step, and the first step at which each rule fires.

    Raises:
        UsageError: the checkpoints have no order, or are not of one run.
        CheckpointError: one cannot be read, or the cache is damaged.
        NoLayersError: nothing in one looks like a state-space layer, or none could be measured.
    """
    how = chosen_reading(reading, options)
    several = [run] if isinstance(run, str | os.PathLike) else run
    given = tuple(os.fspath(each) for each in several)
    counted, found, passed = members(given)
    kept = _Kept(None if cache is None else Path(cache), found, how)
    steps = []
    for place, member in enumerate(found):
        steps.append(kept.measured(member))
        _require_kin(steps[0], steps[-1])
        if progress is not None:
            progress(place + 1, len(found))
    notes = [kept.save()]
    if passed:
        names = ", ".join(map(shown, passed[:8])) + (", ..." if len(passed) > 8 else "")
        notes.append(f"passed over, because their names say no step as the others do: {names}")
    return Track(given, counted, tuple(steps), tuple(filter(None, notes)))


class _Kept:
    """What earlier calls measured, and what this one adds."""

    def __init__(self, path: Path | None, found: Sequence[Member], reading: Reading) -> None:
        self._path, self._reading = path, reading
        self._inputs = tuple(Path(m.path) for m in found if url_of(m.path) is None)
        self._together = Counter(path.resolve().parent for path in self._inputs)
        self._known: dict[str, Report] = {}
        self._added = False
        if path is not None:
            self._known = load_cache(path)
            require_output(path, force=True, inputs=self._inputs)

    def measured(self, member: Member) -> TrackedStep:
        """The checkpoint's numbers: those that are kept, or new ones."""
        key = None
        if self._path is not None:
            alone = self._together[Path(member.path).resolve().parent] > 1
            key = key_of(member.path, self._reading, alone=alone)
        if key in self._known and key is not None:
            return TrackedStep(member.step, member.path, self._known[key], kept=True)
        report = analyze(member.path, self._reading)
        if not report.layers:
            raise NoLayersError(
                f"no state-space layer of {shown(member.path)} could be measured; ssmspec analyze "
                f"says why"
            )
        if key is not None:
            self._known[key] = report
            self._added = True
        return TrackedStep(member.step, member.path, report)

    def save(self) -> str:
        """Keep what is new; why it was not kept, or ""."""
        if self._path is None or not self._added:
            return ""
        return save_cache(self._path, self._known, self._inputs)


def _require_kin(first: TrackedStep, other: TrackedStep) -> None:
    """Refuse two models that cannot be of one run.

    Raises:
        UsageError: they have no layer of one name and family in common.
    """
    one, another = (
        {(layer.name, layer.family) for layer in step.report.layers} for step in (first, other)
    )
    if not one & another:
        raise UsageError(
            f"{shown(first.path)} and {shown(other.path)} have no layer in common, so they are not "
            f"of one run; give the checkpoints of one run"
        )
