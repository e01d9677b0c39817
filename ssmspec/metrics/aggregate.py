"""One number for the model from one outcome a layer."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from ssmspec.metrics.base import Aggregate, Metric
from ssmspec.outcome import Measured, NotApplicable, Outcome
from ssmspec.results.report import ModelMetric

REASONS_SHOWN = 2
"""Different reasons a model's "not applicable" names before it counts the rest."""


def combine(metric: Metric, layers: Sequence[tuple[int, Outcome]]) -> ModelMetric:
    """A metric over the whole model.

    Layers where the metric is not applicable are left out, and the aggregate's text says how many
    layers went in.

    Args:
        metric: says how layers are brought together.
        layers: (number of modes H M, outcome) of every layer.

    Returns:
        The model's outcome; not applicable with the layers' own reasons where no layer has a
        value, and where values in different units or different names have nothing in common.
    """
    measured = [(weight, item) for weight, item in layers if isinstance(item, Measured)]
    text = str(metric.aggregate)
    if 0 < len(measured) < len(layers):
        text = text.replace("layers", f"{len(measured)} of {len(layers)} layers")
    return ModelMetric(_outcome(metric, layers, measured), text)


def _outcome(
    metric: Metric,
    layers: Sequence[tuple[int, Outcome]],
    measured: Sequence[tuple[int, Measured]],
) -> Outcome:
    if not measured:
        reasons = [item.reason for _, item in layers if isinstance(item, NotApplicable)]
        return NotApplicable(_summary(reasons) or "the model has no layer")
    units = sorted({item.unit for _, item in measured})
    if len(units) > 1:
        return NotApplicable(f"the layers are measured in different units ({', '.join(units)})")
    numbers = [(w, item.value) for w, item in measured if not isinstance(item.value, str)]
    if metric.aggregate is Aggregate.COMMON or len(numbers) < len(measured):
        return _common([item for _, item in measured])
    return Measured(_number(metric.aggregate, numbers), units[0])


def _number(aggregate: Aggregate, values: Sequence[tuple[int, float]]) -> float:
    if aggregate is Aggregate.MAX:
        return max(value for _, value in values)
    if aggregate is Aggregate.MIN:
        return min(value for _, value in values)
    total = sum(weight for weight, _ in values)
    return math.fsum(value * (weight / total) for weight, value in values)


def _common(values: Sequence[Measured]) -> Outcome:
    counts = Counter(item.value for item in values)
    if len(counts) == 1:
        return values[0]
    listed = ", ".join(f"{value} in {count}" for value, count in counts.most_common())
    return NotApplicable(f"the layers differ: {listed}")


def _summary(reasons: Sequence[str]) -> str:
    """The most frequent reasons, with the number of layers where they are not the same."""
    counts = Counter(reasons).most_common()
    if len(counts) <= 1:
        return "".join(reasons[:1])
    shown = [
        f"{reason} ({count} layer{'s' * (count > 1)})" for reason, count in counts[:REASONS_SHOWN]
    ]
    rest = sum(count for _, count in counts[REASONS_SHOWN:])
    return "; ".join([*shown, f"other reasons in {rest} more"] if rest else shown)
