"""What every result has that was made of one model: where it came from and how it was read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ssmspec._version import __version__
from ssmspec.outcome import Skipped

SCHEMA_VERSION = 1

TOOL = {"name": "ssmspec", "version": __version__}


@dataclass(frozen=True)
class CheckpointSummary:
    """Where the numbers came from.

    Attributes:
        path: as given.
        container: id of the container format.
        size: bytes; None for a source in memory.
        tensors: how many it holds.
        fingerprint: SHA-256 over the names, dtypes and shapes of all tensors and over the poles
            and step sizes that were read: equal for two files only where they hold the same
            state-space layers. None where nothing was read, or it was not saved.
    """

    path: str
    container: str
    size: int | None
    tensors: int
    fingerprint: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """As in the JSON report."""
        return {
            "path": self.path,
            "container": self.container,
            "size": self.size,
            "tensors": self.tensors,
            "fingerprint": self.fingerprint,
        }


@dataclass(frozen=True, kw_only=True)
class OfOneModel:
    """The fields that `ssmspec.analysis.model.Model.about` fills.

    Attributes:
        checkpoint: where the numbers came from.
        skipped: what looked like a layer and was not measured, and why.
        assumptions: sentences about what the file does not say and was taken for granted.
        sequence_length: L in samples, or None.
        sample_rate: hertz, or None.
    """

    checkpoint: CheckpointSummary
    skipped: tuple[Skipped, ...] = ()
    assumptions: tuple[str, ...] = ()
    sequence_length: int | None = None
    sample_rate: float | None = None

    def head(self) -> dict[str, Any]:
        """How the JSON of each of them begins."""
        return {
            "schema_version": SCHEMA_VERSION,
            "tool": TOOL,
            "checkpoint": self.checkpoint.to_dict(),
            "assumptions": list(self.assumptions),
            "sequence_length": self.sequence_length,
            "sample_rate": self.sample_rate,
            "skipped": [entry.to_dict() for entry in self.skipped],
        }
