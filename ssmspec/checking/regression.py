"""Regressions: a metric that got worse than its baselines allow (REG001).

Worse is downward where higher is healthier, upward where lower is, and both where neither is. The
center is the mean of the baselines; the change allowed is what was asked for, and at least the
baselines' own spread (largest minus smallest), because even the seed of an initialization moves
metrics: aliased_fraction by a standard deviation of 0.018 at 128 channels. The spread of few
baselines is itself uncertain: where only the seed differs, 3 of them leave one further seed in 8
outside in one direction, 5 one in 21 and 8 one in 56 (measured for aliased_fraction, per layer).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from ssmspec.checking.baseline import Earlier, length_of
from ssmspec.errors import UsageError
from ssmspec.metrics import METRICS
from ssmspec.naming import printable
from ssmspec.outcome import Direction, Finding, Level, Measured, NotApplicable, Outcome
from ssmspec.results.check import WHOLE_MODEL
from ssmspec.results.report import Report
from ssmspec.rules.regression import REG001
from ssmspec.rules.wording import compared, number
from ssmspec.units import DIMENSIONLESS, FRACTION

ROUNDING = 1e-9
"""Heuristic: the relative change that another machine's arithmetic may make, which is no
regression even where none is allowed."""


@dataclass(frozen=True)
class Allowance:
    """By how much a metric may get worse.

    Attributes:
        metric: its id.
        amount: in the metric's unit, or a share of the baseline; None for the spread of several
            baselines alone.
        is_share: whether `amount` is a share of the baseline.

    Raises:
        UsageError: no metric has this id, or the amount is negative or no number.
    """

    metric: str
    amount: float | None = None
    is_share: bool = False

    def __post_init__(self) -> None:
        METRICS.require(self.metric)
        if self.amount is not None and not (math.isfinite(self.amount) and self.amount >= 0.0):
            raise UsageError(
                f"a regression of {self.metric} can be allowed by 0 or more, got {self.amount}"
            )


def parse_allowance(text: str) -> Allowance:
    """`coverage:5%` (of the baseline), `coverage:0.05` (in its unit), or `coverage`.

    Raises:
        UsageError: it is none of these.
    """
    metric, separator, amount = text.partition(":")
    if not separator:
        return Allowance(metric)
    METRICS.require(metric)
    is_share = amount.endswith("%")
    try:
        value = float(amount.removesuffix("%"))
    except ValueError:
        raise UsageError(
            f"--max-regression takes METRIC:AMOUNT, such as {metric}:5% or {metric}:0.05, "
            f"not {text!r}"
        ) from None
    return Allowance(metric, value / 100.0 if is_share else value, is_share)


def require_baselines(earlier: Sequence[Earlier], allowances: Sequence[Allowance]) -> None:
    """Refuse to compare what the baselines do not hold.

    Raises:
        UsageError: a metric was measured in no baseline, or is no number, or its allowance needs
            several baselines.
    """
    for allowance in allowances:
        metric = allowance.metric
        held = [
            outcome
            for each in earlier
            for outcome in (
                _of_model(each.report, metric),
                *(layer.metrics.get(metric) for layer in each.report.layers),
            )
            if isinstance(outcome, Measured)
        ]
        if not held:
            names = ", ".join(printable(str(each.run.path)) for each in earlier)
            why = next(_reasons(earlier, metric), "it was not measured")
            raise UsageError(f"the baseline {names} has no {metric}: {why}")
        if any(isinstance(outcome.value, str) for outcome in held):
            raise UsageError(f"{metric} is a name and not a number, so it cannot get worse")
        if allowance.amount is None and len(earlier) < 2:
            raise UsageError(
                f"--max-regression {metric} takes its tolerance from the spread of several "
                f"baselines; give an amount ({metric}:5%) or several times --baseline"
            )


def regressions(
    report: Report,
    earlier: Sequence[Earlier],
    allowances: Sequence[Allowance],
    level_of: Callable[[str], Level | None],
) -> Iterator[Finding]:
    """What got worse than allowed: in each layer that a baseline has by name, and in the model.

    Args:
        report: what was measured now.
        earlier: what the baselines hold of this checkpoint.
        allowances: which metrics may change by how much.
        level_of: the level of REG001 on a layer, None where it is off.

    Raises:
        UsageError: the two were measured in ways that cannot be compared.
    """
    for each in earlier:
        if each.report.sequence_length != report.sequence_length:
            raise UsageError(
                f"metrics cannot be compared with the baseline {printable(str(each.run.path))}: "
                f"it was measured at {length_of(each.report)}, this at {length_of(report)}; give "
                f"both the same --seq-len"
            )
    layers = {layer.name: layer.metrics for layer in report.layers}
    then = [{layer.name: layer.metrics for layer in each.report.layers} for each in earlier]
    for allowance in allowances:
        metric = allowance.metric
        places = [
            (name, metrics[metric], [old[name].get(metric) for old in then if name in old])
            for name, metrics in layers.items()
        ]
        model = report.model[metric].outcome
        places.append((WHOLE_MODEL, model, [_of_model(each.report, metric) for each in earlier]))
        for place, now, before in places:
            level = level_of(place)
            worse = None if level is None else _worse(allowance, place, now, before)
            if level is not None and worse is not None:
                message, value, limit = worse
                yield Finding(
                    REG001.code, level, place, f"{message}. {REG001.advice}", value, limit
                )


def uncompared_layers(report: Report, earlier: Sequence[Earlier]) -> tuple[str, ...]:
    """Layers that no baseline has by name, whose metrics count for the model only."""
    known = {layer.name for each in earlier for layer in each.report.layers}
    return tuple(layer.name for layer in report.layers if layer.name not in known)


def _worse(
    allowance: Allowance, place: str, now: Outcome, before: Sequence[Outcome | None]
) -> tuple[str, float | None, float | None] | None:
    """Message, value and limit of a regression; None where there is none."""
    measured = [outcome for outcome in before if isinstance(outcome, Measured)]
    values = [outcome.value for outcome in measured if not isinstance(outcome.value, str)]
    metric = METRICS[allowance.metric]
    if not values:
        return None
    if allowance.amount is None and len(values) < 2:
        raise UsageError(
            f"only one baseline has {metric.id} of {printable(place)}, so there is no spread to "
            f"allow; give an amount ({metric.id}:5%)"
        )
    center = math.fsum(values) / len(values)
    unit = measured[0].unit
    was = f"{number(center)}{_suffix(unit)}" + _mean_of(len(values))
    if isinstance(now, NotApplicable):
        return f"{metric.id} was {was} and is no longer measured: {now.reason}", None, None
    if isinstance(now.value, str) or {outcome.unit for outcome in measured} != {now.unit}:
        raise UsageError(
            f"{metric.id} of {printable(place)} is in {now.unit} now and in {unit} in the "
            f"baseline; measure both with the same --sample-rate"
        )
    asked = (allowance.amount or 0.0) * (abs(center) if allowance.is_share else 1.0)
    allowed = max(asked, max(values) - min(values))
    change = now.value - center
    if _badness(change, metric.direction) <= allowed + ROUNDING * abs(center):
        return None
    limit = center + math.copysign(allowed, change)
    shown, most = compared(now.value, limit)
    share = f" ({100.0 * change / abs(center):+.3g} %)" if center else ""
    return (
        f"{metric.id} is {shown}{_suffix(unit)} and was {was}: a change of {change:+.3g}{share}, "
        f"where {number(allowed)} {_WAY[metric.direction]} is allowed (to {most})",
        now.value,
        limit,
    )


_WAY = {
    Direction.HIGHER: "downward",
    Direction.LOWER: "upward",
    Direction.NEITHER: "either way",
}


def _badness(change: float, direction: Direction) -> float:
    """How much of a change is for the worse."""
    if direction is Direction.NEITHER:
        return abs(change)
    return change if direction is Direction.LOWER else -change


def _mean_of(count: int) -> str:
    return " in the baseline" if count == 1 else f" on average over {count} baselines"


def _suffix(unit: str) -> str:
    return "" if unit in (DIMENSIONLESS, FRACTION) else f" {unit}"


def _of_model(report: Report, metric: str) -> Outcome | None:
    found = report.model.get(metric)
    return None if found is None else found.outcome


def _reasons(earlier: Sequence[Earlier], metric: str) -> Iterator[str]:
    for each in earlier:
        outcome = _of_model(each.report, metric)
        if isinstance(outcome, NotApplicable):
            yield outcome.reason
