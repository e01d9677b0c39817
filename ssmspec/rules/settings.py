"""How one rule is set: switched off, at another level, against another threshold."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

from ssmspec.errors import UsageError
from ssmspec.outcome import Level
from ssmspec.rules.base import Bound, Rule

Switch: TypeAlias = Level | Literal["off"]


@dataclass(frozen=True)
class Setting:
    """What a preset or a configuration says of one rule; None leaves a key as it was.

    Attributes:
        level: the level of all findings of the rule, also of those whose check sets a level of
            its own; or "off".
        min: the threshold of a rule that fires below it.
        max: the threshold of a rule that fires above it.
    """

    level: Switch | None = None
    min: float | None = None
    max: float | None = None

    @property
    def threshold(self) -> float | None:
        """The threshold, whichever key sets it."""
        return self.max if self.min is None else self.min

    def over(self, other: Setting) -> Setting:
        """This setting where it says something, else the other."""
        return Setting(
            level=other.level if self.level is None else self.level,
            min=other.min if self.min is None else self.min,
            max=other.max if self.max is None else self.max,
        )

    def require_fits(self, rule: Rule) -> None:
        """Refuse a threshold that the rule does not have or that makes no sense.

        Raises:
            UsageError: `min` for a rule with a `max` or the other way round, either for a rule
                without a threshold, or a number that is NaN, infinite or too small.
        """
        for key, value in (("min", self.min), ("max", self.max)):
            if value is None:
                continue
            if rule.bound is Bound.NONE:
                raise UsageError(
                    f"{rule.code} has no threshold, so {key} cannot be set; "
                    f"only its level can (error, warning, info or off)"
                )
            if rule.bound != key:
                side = "above" if rule.bound is Bound.MAX else "below"
                raise UsageError(
                    f"{rule.code} fires {side} its threshold, which {rule.bound.value} sets; "
                    f"use {{ {rule.bound.value} = {value:g} }}, not {key}"
                )
            if not (math.isfinite(value) and value >= rule.lowest):
                raise UsageError(
                    f"the {key} of {rule.code} must be a finite number of at least "
                    f"{rule.lowest:g}, got {value}"
                )
