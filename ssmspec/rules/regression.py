"""The rule that compares with a baseline; the gate applies it, for a layer alone cannot show it."""

from __future__ import annotations

from ssmspec.outcome import Level
from ssmspec.rules.base import Rule

REG001 = Rule(
    code="REG001",
    level=Level.ERROR,
    title="a metric got worse than the baseline allows",
    why=(
        "A metric is compared with an earlier measurement, layer by layer and for the model, when "
        "`ssmspec check --baseline REPORT --max-regression METRIC:5%` asks for it: downward where "
        "higher is healthier, upward where lower is, both ways where neither is. With several "
        "baselines the center is their mean and their spread (largest minus smallest) is allowed "
        "at least: that of 3 seeds leaves one further seed in 8 outside, that of 8 one in 56. "
        "A metric that the baseline has and that is no longer applicable counts as worse."
    ),
    advice=(
        "Find out what changed between the two models; where the change is meant, write a new "
        "baseline with --write-baseline."
    ),
    threshold=None,
    source="what is allowed comes from --max-regression and from the spread of the baselines",
    check=None,
)
