"""The sentences of a comparison with a scheme."""

from __future__ import annotations

from ssmspec.outcome import Measured, NotApplicable
from ssmspec.results.against import Contrast, Movement, SchemeComparison
from ssmspec.results.report import LayerReport, Report
from ssmspec.writers.parts.numbers import HEADLINE

NO_VERDICT = (
    "closer and further say which way training moved a number, not which value is better: no "
    "scheme wins every task"
)


def measured_report(comparison: SchemeComparison) -> Report:
    """The measured side alone, for the lines that head a report."""
    return Report(
        checkpoint=comparison.checkpoint,
        layers=tuple(layer.layer for layer in comparison.layers),
        model={},
        sequence_length=comparison.sequence_length,
        sample_rate=comparison.sample_rate,
    )


def headline(comparison: SchemeComparison) -> list[str]:
    """The headline metrics that the model and its references both have."""
    return [
        key
        for key in HEADLINE
        if key in comparison.model
        and comparison.model[key].difference is not None
        and not key.startswith("step_size")  # a reference has the layer's own
    ]


def movement_words(comparison: SchemeComparison, metric: str) -> str:
    """`closer in 3 layers, further in 1`, or a dash where no start is known."""
    counts = comparison.movements(metric)
    if not counts:
        return "-"
    if len(counts) == 1 and len(comparison.layers) == counts.total() > 1:
        (movement,) = counts
        return f"{movement.value} in all layers"
    parts = [f"{m.value} in {counts[m]}" for m in Movement if counts[m]]
    return ", ".join(parts)


def movement_word(contrast: Contrast) -> str:
    """One word, or a dash."""
    return contrast.movement.value if contrast.movement else "-"


def absent(comparison: SchemeComparison) -> dict[str, list[str]]:
    """Names of the layers without a reference, by reason."""
    reasons: dict[str, list[str]] = {}
    for layer in comparison.layers:
        if isinstance(layer.reference, NotApplicable):
            reasons.setdefault(layer.reference.reason, []).append(layer.layer.name)
    return reasons


def compared(comparison: SchemeComparison) -> list[tuple[LayerReport, LayerReport]]:
    """(measured, reference) of every layer that has a reference."""
    return [
        (layer.layer, layer.reference)
        for layer in comparison.layers
        if isinstance(layer.reference, LayerReport)
    ]


def note(contrast: Contrast) -> str:
    """Why there is no difference, where there is none."""
    reasons = {
        side: outcome.reason
        for side, outcome in (("measured", contrast.value), ("reference", contrast.reference))
        if isinstance(outcome, NotApplicable)
    }
    if len(set(reasons.values())) == 1 and len(reasons) == 2:
        return f"not applicable: {reasons['measured']}"
    if not reasons and isinstance(contrast.value, Measured) and contrast.difference is None:
        return "no difference of names or of different units"
    return "; ".join(f"{side} not applicable: {reason}" for side, reason in reasons.items())
