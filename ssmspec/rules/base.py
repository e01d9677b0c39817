"""What a rule is: a stable code, a level, and a check of one measured layer.

To add a rule, write one `Rule` record in the file of its topic and add it to the table in
`ssmspec/rules/__init__.py`; a third party publishes the same record under the entry-point group
`ssmspec.rules`.

Rules compare metrics, which are finite or not applicable; a metric that is not applicable fires
nothing, so whatever keeps the poles from being measured must be a rule of its own (STB002), and so
must a metric that came out as NaN (STB002 again).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

import numpy as np

from ssmspec.arrays import Floats
from ssmspec.errors import SsmspecError
from ssmspec.families.base import Family, LayerSource
from ssmspec.families.precision import Rounding
from ssmspec.families.scan import LayerScan
from ssmspec.metrics.base import Context
from ssmspec.outcome import Finding, Level
from ssmspec.results.report import LayerReport
from ssmspec.rules.wording import compared, number, short_name
from ssmspec.spectrum import LayerSpectrum


class Bound(StrEnum):
    """Which side of its threshold a rule fires on, by the name of the setting that moves it.

    `MAX`: the threshold is the most that passes. `MIN`: it is the least that passes. `NONE`: the
    rule has no threshold.
    """

    MAX = "max"
    MIN = "min"
    NONE = "none"


@dataclass(frozen=True)
class Evidence:
    """What a rule sees: the poles, what was measured of them, and what is known around them.

    Attributes:
        spectrum: the poles, those that are no numbers included.
        layer: what was measured of those that are.
        context: what was known to the metrics.
        rounding: how far a coarse type moved the poles, or None where all are stored well enough.
        family: the family's record, or None where the layer is in no file.
        source: where the layer is stored, or None likewise.
        scan: what its tensors hold, or None where nobody looked.
        peers: what the tensors of the model's other layers of this family hold.
        told: sentences on what was left out or taken for granted; no rule looks at them.
        lost: layers like this one that lack a tensor this one has: (name, what is missing).
    """

    spectrum: LayerSpectrum
    layer: LayerReport
    context: Context
    rounding: Rounding | None = None
    family: Family | None = None
    source: LayerSource | None = None
    scan: LayerScan | None = None
    peers: tuple[LayerScan, ...] = ()
    lost: tuple[tuple[str, tuple[str, ...]], ...] = ()
    told: tuple[str, ...] = ()

    def stored_in(self, kind: str) -> tuple[str, ...]:
        """Names of the tensors that set something, below the layer's own name.

        Args:
            kind: `decay`, `angle` or `step`; see `Parameters`.
        """
        if self.family is None or self.source is None:
            return ()
        tensors = self.source.site.tensors
        held = [role for role in getattr(self.family.parameters, kind) if role in tensors]
        return tuple(short_name(tensors[role], self.layer.name) for role in held)

    def values(self, kind: str) -> Floats | None:
        """The real tensor that sets something, in its stored shape; None unless it is just one."""
        if self.family is None or self.source is None:
            return None
        held = [r for r in getattr(self.family.parameters, kind) if self.source.has(r)]
        if len(held) != 1:
            return None
        values = self.source.read(held[0])
        return None if np.iscomplexobj(values) else values


@dataclass(frozen=True)
class Fired:
    """A rule that fired.

    Attributes:
        message: what, where in the layer, how much against which threshold; one sentence without
            a full stop and without the layer's name, which the finding carries.
        value: the number that was judged; None or not finite where it has none to report.
        threshold: what it was judged against, where that is not the rule's own number (10 times
            a sequence length, say).
        level: set where the rule's own level does not apply, e.g. to a selective family.
        advice: set where the rule's own advice does not apply.
        layer: the layer it is about, where that is another one than the evidence's.
    """

    message: str
    value: float | None
    threshold: float | None = None
    level: Level | None = None
    advice: str | None = None
    layer: str | None = None


Check: TypeAlias = Callable[[Evidence, float], Fired | None]


@dataclass(frozen=True)
class Rule:
    """One check with a stable code, as linters have.

    Attributes:
        code: three letters and three digits.
        level: how much it matters under the `recommended` preset.
        title: what it means, a few words.
        why: why it matters, one or two sentences.
        advice: what to do about it, one sentence that ends a finding's message.
        threshold: the number that is compared against; None where there is none.
        source: where the rule comes from.
        check: given evidence and the threshold (0.0 where there is none), what fired, or None.
            None for a rule that does not judge one layer by itself: the gate applies it.
        bound: which side of the threshold it fires on; a rule with a threshold has one.
        lowest: the smallest threshold that makes sense.
        counsel: the advice for the layer at hand, by its own parameters; None or empty where the
            usual one holds.
    """

    code: str
    level: Level
    title: str
    why: str
    advice: str
    threshold: float | None
    source: str
    check: Check | None
    bound: Bound = Bound.NONE
    lowest: float = 0.0
    counsel: Callable[[Evidence], str] | None = None

    def __post_init__(self) -> None:
        if (self.threshold is None) != (self.bound is Bound.NONE):
            raise SsmspecError(
                f"rule {self.code} must have both a threshold and a bound (max or min), or neither"
            )

    def apply(self, evidence: Evidence, threshold: float | None = None) -> Finding | None:
        """The finding of this rule on one layer, or None when it does not fire.

        Args:
            evidence: the layer.
            threshold: used in place of the rule's own.
        """
        if threshold is None:
            threshold = self.threshold
        fired = self.check and self.check(evidence, 0.0 if threshold is None else threshold)
        if fired is None:
            return None
        counsel = self.counsel(evidence) if self.counsel else ""
        return Finding(
            code=self.code,
            level=fired.level or self.level,
            layer=fired.layer or evidence.layer.name,
            message=f"{fired.message}. {fired.advice or counsel or self.advice}",
            value=fired.value,
            threshold=threshold if fired.threshold is None else fired.threshold,
        )


def above(metric: str, message: str, form: Callable[[float, int], str] = number) -> Check:
    """A check that fires when a metric is above the threshold.

    Args:
        metric: the metric's id.
        message: text with `{value}` and `{threshold}`.
        form: writes a number with so many significant digits.
    """

    def check(evidence: Evidence, threshold: float) -> Fired | None:
        value = evidence.layer.value(metric)
        if value is None or value <= threshold:
            return None
        return Fired(_filled(message, value, threshold, form), value)

    return check


def below(metric: str, message: str, form: Callable[[float, int], str] = number) -> Check:
    """A check that fires when a metric is below the threshold; arguments as of `above`."""

    def check(evidence: Evidence, threshold: float) -> Fired | None:
        value = evidence.layer.value(metric)
        if value is None or value >= threshold:
            return None
        return Fired(_filled(message, value, threshold, form), value)

    return check


def in_several_channels(check: Check) -> Check:
    """The same check, for layers of two or more channels only.

    Properties of a whole layer's spectrum mean little where one channel holds a handful of poles.
    """
    return lambda evidence, threshold: (
        check(evidence, threshold) if evidence.spectrum.channels >= 2 else None
    )


def _filled(message: str, value: float, threshold: float, form: Callable[[float, int], str]) -> str:
    shown, limit = compared(value, threshold, form)
    return message.format(value=shown, threshold=limit)
