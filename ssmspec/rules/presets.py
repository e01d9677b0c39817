"""Presets: named sets of levels and thresholds.

To add a preset, write one `Preset` record below; a third party publishes the same record under the
entry-point group `ssmspec.presets`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ssmspec.outcome import Level
from ssmspec.registry import Registry
from ssmspec.rules.settings import Setting


@dataclass(frozen=True)
class Preset:
    """Levels and thresholds that go together.

    Attributes:
        id: the name `--preset` takes.
        summary: one line for people: what it is for.
        rules: settings by code; rules that are not named are as their records say.
        floor: no finding stays below this level, unless a configuration names its rule's level.
    """

    id: str
    summary: str
    rules: Mapping[str, Setting] = field(default_factory=dict)
    floor: Level = Level.INFO

    @property
    def changes(self) -> tuple[str, ...]:
        """What it changes of the rules' own records, a clause each."""
        by_words: dict[str, list[str]] = {}
        for code, setting in self.rules.items():
            pairs = (("", setting.level), ("min ", setting.min), ("max ", setting.max))
            words = ", ".join(f"{key}{value}" for key, value in pairs if value is not None)
            by_words.setdefault(words, []).append(code)
        told = tuple(f"{', '.join(codes)}: {words}" for words, codes in by_words.items())
        floor = () if self.floor is Level.INFO else (f"no finding below {self.floor.value}",)
        return (*told, *floor)


QUIET: Mapping[str, Setting] = {"ENT001": Setting(level="off")}
"""It fires on every S4D ever trained, and so tells a trained one from none."""

RECOMMENDED = Preset(
    id="recommended",
    summary="for any model: what breaks training or inference; spectral shape is a note",
    rules=QUIET,
)

TRAINING_START = Preset(
    id="training-start",
    summary="for a fresh initialization: what the model cannot hear or remember is a warning",
    rules={
        **{code: Setting(level=Level.WARNING) for code in ("ALI001", "COV001", "COV002", "MEM002")},
        "INI001": Setting(level="off"),
    },
)

STRICT = Preset(id="strict", summary="every note is a warning", rules=QUIET, floor=Level.WARNING)

PRESETS: Registry[Preset] = Registry(
    "preset",
    "ssmspec.presets",
    (RECOMMENDED, TRAINING_START, STRICT),
    key=lambda preset: preset.id,
)
