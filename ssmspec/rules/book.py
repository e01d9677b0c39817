"""The rule book: which rules judge which layer, at which level and against which threshold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from ssmspec.errors import UsageError
from ssmspec.naming import matches
from ssmspec.outcome import Finding, Level
from ssmspec.rules import RULES
from ssmspec.rules.base import Evidence
from ssmspec.rules.presets import RECOMMENDED, Preset
from ssmspec.rules.settings import Setting


@dataclass(frozen=True)
class Override:
    """Settings for the layers whose name fits a glob."""

    layers: str
    rules: Mapping[str, Setting]


@dataclass(frozen=True)
class RuleBook:
    """The rules in force: a preset, what a configuration changes of it, and for which layers.

    Settings are laid over one another key by key: rule, preset, `rules`, then each of the
    `overrides` that fits the layer, so that the last match wins.

    Attributes:
        preset: where to start from.
        rules: settings for all layers, by code.
        overrides: settings for some layers.

    Raises:
        UsageError: a code is unknown, or a threshold does not fit its rule.
    """

    preset: Preset = RECOMMENDED
    rules: Mapping[str, Setting] = field(default_factory=dict)
    overrides: tuple[Override, ...] = ()

    def __post_init__(self) -> None:
        places = [
            (f"preset {self.preset.id}", self.preset.rules),
            ("rules", self.rules),
            *((f"the override for layers {o.layers!r}", o.rules) for o in self.overrides),
        ]
        for place, settings in places:
            for code, setting in settings.items():
                try:
                    setting.require_fits(RULES.require(code))
                except UsageError as error:
                    raise UsageError(f"{place}: {error}") from None

    def judge(self, evidence: Evidence) -> list[Finding]:
        """What the rules in force find in one measured layer, in table order."""
        return list(self._findings(evidence))

    def _findings(self, evidence: Evidence) -> Iterator[Finding]:
        for code, rule in RULES.items():
            layer = evidence.layer.name
            if self.level_of(code, layer) is None:
                continue
            finding = rule.apply(evidence, self._setting_of(code, layer).threshold)
            if finding is not None:
                level = self.level_of(code, layer, finding.level) or finding.level
                yield replace(finding, level=level)

    def level_of(self, code: str, layer: str, own: Level | None = None) -> Level | None:
        """The level of a rule's finding on one layer; None where the rule is switched off there.

        Args:
            code: the rule.
            layer: name of the layer.
            own: the level that its check came to, where that is not the rule's own.
        """
        named = self._setting_of(code, layer).level
        if named == "off":
            return None
        level = named or own or RULES[code].level
        if self._configured(code, layer).level is not None:
            return level
        return min(level, self.preset.floor, key=lambda each: each.rank)

    def _setting_of(self, code: str, layer: str) -> Setting:
        return self._configured(code, layer).over(self.preset.rules.get(code, Setting()))

    def _configured(self, code: str, layer: str) -> Setting:
        """What the configuration says of one rule on one layer, the preset left out."""
        setting = self.rules.get(code, Setting())
        for override in self.overrides:
            if code in override.rules and matches(layer, override.layers):
                setting = override.rules[code].over(setting)
        return setting

    def codes_for(self, layer: str) -> tuple[str, ...]:
        """Codes of the rules that judge a layer by itself, in table order."""
        return tuple(
            code
            for code, rule in RULES.items()
            if rule.check is not None and self.level_of(code, layer) is not None
        )

    def unused_overrides(self, layers: frozenset[str]) -> tuple[str, ...]:
        """Globs of overrides that fit none of these layers."""
        return tuple(
            override.layers
            for override in self.overrides
            if not any(matches(layer, override.layers) for layer in layers)
        )
