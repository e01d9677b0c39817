"""What most likely went wrong where a logarithm of rates is stored: negated, forgotten, repeated.

Mamba and its kin store A_log = log(-A), with A between -1 and -16 at the start. Three slips of
conversions leave numbers that cannot be told from a trained model one by one, but can all together.
"""

from __future__ import annotations

import numpy as np

from ssmspec.arrays import Floats
from ssmspec.rules.base import Evidence
from ssmspec.rules.wording import listed, number

LOG_RATES = frozenset({"A_log", "A_logs"})
"""Roles that hold the logarithm of rates which start between 1 and 16."""

NEGATED = -1.0
"""Median of a negative A_log from which on it looks like A itself. Heuristic: e^-1 is a rate no
initialization starts a median channel at, and -1 to -16 are those that A starts at."""
SPREAD = 2.0
"""Ratio of the largest to the smallest magnitude of such an A: 16 at the start. Heuristic."""
FORGOTTEN = 4.0
"""Median A_log above which the logarithm looks forgotten, where no ramp 1, 2, ... N tells it:
e^4 = 55, more than three times the largest rate of any initialization. Heuristic."""
RAMP = 0.25
"""Median distance of A_log from 1, 2, ... N up to which it is this ramp. Heuristic."""
RAMP_STATES = 4
"""With fewer states log n and n are too much alike."""
RELOGGED = 1.1
"""log(log 16) = 1.02: no logarithm of a logarithm of a rate is above."""


def likely_cause(evidence: Evidence) -> str:
    """A sentence on a slip in a stored logarithm of rates; empty where none shows."""
    values = _log_rates(evidence)
    if values is None or values.size < 2 or not np.isfinite(values).all():
        return ""
    [name] = evidence.stored_in("decay")
    least, most, median = float(values.min()), float(values.max()), float(np.median(values))
    if most < 0.0 and median <= NEGATED and least <= SPREAD * most:
        return (
            f"{name} is negative throughout ({number(least)} to {number(most)}), as A itself would "
            f"be: it may hold A = -exp(A_log), not A_log"
        )
    if _is_ramp(values):
        return (
            f"{name} counts 1, 2, ... {values.shape[-1]} in every channel, as -A does at the "
            f"start: the logarithm was probably forgotten, and A_log would be the log of it"
        )
    if (values.shape[-1] < RAMP_STATES or values.ndim == 1) and median > FORGOTTEN:
        return (
            f"{name} has a median of {number(median)}, where log rates start between 0 and 2.8: "
            f"the logarithm was probably forgotten"
        )
    return ""


def is_relogged(evidence: Evidence) -> bool:
    """Whether a loader took the logarithm of a logarithm: NaN where that was negative."""
    values = _log_rates(evidence)
    if values is None or evidence.scan is None:
        return False
    roles = evidence.stored_in("decay")
    others = [t for t in evidence.scan.broken if t.relative not in roles]
    known = values[~np.isnan(values)]
    return not others and 0 < known.size < values.size and float(known.max()) <= RELOGGED


def _log_rates(evidence: Evidence) -> Floats | None:
    family, source = evidence.family, evidence.source
    if family is None or source is None:
        return None
    held = [role for role in family.parameters.decay if source.has(role)]
    return evidence.values("decay") if len(held) == 1 and held[0] in LOG_RATES else None


def _is_ramp(values: Floats) -> bool:
    if values.ndim < 2 or values.shape[-1] < RAMP_STATES:
        return False
    ramp = np.arange(1, values.shape[-1] + 1)
    return bool(np.median(np.abs(values - ramp)) < RAMP)


def names_or(evidence: Evidence, kind: str, otherwise: str) -> str:
    """The tensors that set something, or words for them where the layer is in no file."""
    names = evidence.stored_in(kind)
    return listed(names) if names else otherwise
