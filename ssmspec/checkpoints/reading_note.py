"""What a checkpoint says of how it is to be read: the sequence length and rate of its training.

`ssmspec train` leaves them as JSON in the metadata of its safetensors files, where a copy, a better
or a re-initialized model keeps them.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from ssmspec.checkpoints.base import Checkpoint
from ssmspec.errors import UsageError
from ssmspec.reading import Reading

NOTE = "ssmspec"
"""Key of the metadata entry."""

_TITLES = {
    "seq_len": "sequence length",
    "sample_rate": "sample rate in hertz",
    "row_stride": "row stride",
}


def completed(reading: Reading, checkpoint: Checkpoint) -> Reading:
    """The reading, with what it leaves open taken from the checkpoint's own note where it has one.

    Entries that make no sense are passed over: a note is a convenience, not a part of the model.
    """
    text = checkpoint.metadata.get(NOTE)
    if text is None:
        return reading
    try:
        note = json.loads(text)
        return replace(
            reading,
            seq_len=_count(note.get("seq_len")) if reading.seq_len is None else reading.seq_len,
            sample_rate=_rate(note.get("sample_rate"))
            if reading.sample_rate is None
            else reading.sample_rate,
            row_stride=_count(note.get("row_stride"))
            if reading.row_stride is None
            else reading.row_stride,
        )
    except (ValueError, AttributeError, OverflowError, RecursionError, UsageError):
        return reading


def taken_over(asked: Reading, used: Reading) -> tuple[str, ...]:
    """Sentences for a report: what was read from a note because nobody said otherwise."""
    return tuple(
        f"the {title}, {getattr(used, name):g}, is what the file says of its training "
        f"(--{name.replace('_', '-')} changes it)"
        for name, title in _TITLES.items()
        if getattr(asked, name) != getattr(used, name)
    )


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _rate(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
