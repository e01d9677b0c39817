"""The gate's configuration: `[tool.ssmspec]` of pyproject.toml, or the keys of ssmspec.toml.

| key | what it is |
|---|---|
| `preset`, `fail_on`, `select`, `ignore` | as the options of `ssmspec check` |
| `seq_len`, `sample_rate`, `row_stride`, `resample` | as the options that read a checkpoint |
| `[rules]` | `CODE = "off"`, `CODE = LEVEL` or `CODE = { level = LEVEL, min = x }` (or `max`) |
| `[[overrides]]` | `layers = GLOB` and `rules`; the last match wins |
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from ssmspec.checking.selection import Selection, codes_in
from ssmspec.checkpoints.files import read_toml
from ssmspec.errors import CheckpointError, UsageError
from ssmspec.naming import did_you_mean, printable, shown
from ssmspec.outcome import Level
from ssmspec.reading import Reading
from ssmspec.rules.book import Override, RuleBook
from ssmspec.rules.presets import PRESETS
from ssmspec.rules.settings import Setting, Switch

OWN_NAME = "ssmspec.toml"
PROJECT_NAME = "pyproject.toml"

LEVELS: Final[Mapping[str, Switch]] = {**{level.value: level for level in Level}, "off": "off"}
GATES: Final = tuple(level.value for level in Level)
NUMBERS: Final[Mapping[str, type]] = {
    "seq_len": int,
    "sample_rate": float,
    "row_stride": int,
    "resample": float,
}
KEYS = ("preset", "fail_on", "select", "ignore", "rules", "overrides", *NUMBERS)


@dataclass(frozen=True)
class Config:
    """What a configuration says; None where it says nothing.

    Attributes:
        path: the file; None where there is none.
        preset: id of a rule preset.
        fail_on: the level from which a finding fails the gate.
        select: codes and prefixes, or None.
        ignore: likewise.
        reading: `seq_len`, `sample_rate`, `row_stride` and `resample`.
        rules: settings by code, for all layers.
        overrides: settings for some layers, in order.
    """

    path: Path | None = None
    preset: str | None = None
    fail_on: Level | None = None
    select: tuple[str, ...] | None = None
    ignore: tuple[str, ...] | None = None
    reading: Reading = field(default_factory=Reading)
    rules: Mapping[str, Setting] = field(default_factory=dict)
    overrides: tuple[Override, ...] = ()


def nearest_config(folder: Path) -> Path | None:
    """The configuration that holds for a folder: its own, or that of the nearest folder above.

    In one folder ssmspec.toml goes first; a pyproject.toml without `[tool.ssmspec]` is passed over.

    Raises:
        UsageError: a pyproject.toml on the way cannot be read.
    """
    here = folder.resolve()
    for place in (here, *here.parents):
        own, project = place / OWN_NAME, place / PROJECT_NAME
        if os.path.isfile(own):  # noqa: PTH113 - Path.is_file raises in a folder it may not enter
            return own
        if os.path.isfile(project) and _own_table(_parsed(project)) is not None:  # noqa: PTH113
            return project
    return None


def read_config(path: Path) -> Config:
    """The configuration in a file.

    Raises:
        UsageError: it cannot be read, or says something unknown or senseless; the message begins
            with the file's name and names the nearest valid word.
    """
    table = _parsed(path)
    if path.name == PROJECT_NAME:
        own = _own_table(table)
        if own is None:
            raise UsageError(f"{shown(path)} has no [tool.ssmspec] table; add one")
        table = own
    try:
        return _understood(path, table)
    except UsageError as error:
        raise UsageError(f"{shown(path)}: {error}") from None


def _parsed(path: Path) -> Mapping[str, Any]:
    try:
        return read_toml(path)
    except CheckpointError as error:
        raise UsageError(f"{error}; give a configuration with --config") from None


def _own_table(project: Mapping[str, Any]) -> Mapping[str, Any] | None:
    tools = project.get("tool")
    table = tools.get("ssmspec") if isinstance(tools, dict) else None
    return table if isinstance(table, dict) else None


def _understood(path: Path, table: Mapping[str, Any]) -> Config:
    _require_known(table, KEYS, "")
    preset = _text(table, "preset")
    fail_on = _text(table, "fail_on")
    rules = _rules(_table(table.get("rules", {}), "rules"), "rules")
    overrides = table.get("overrides", [])
    if not isinstance(overrides, list):
        raise UsageError("overrides is a list of tables, each begun by [[overrides]]")
    config = Config(
        path=path,
        preset=preset,
        fail_on=None if fail_on is None else Level(_one_of(fail_on, GATES, "fail_on")),
        select=_codes(table, "select"),
        ignore=_codes(table, "ignore"),
        reading=Reading(**{key: _number(table, key, kind) for key, kind in NUMBERS.items()}),
        rules=rules,
        overrides=tuple(_override(item, i) for i, item in enumerate(overrides, start=1)),
    )
    book = RuleBook(rules=config.rules, overrides=config.overrides)
    if preset is not None:
        book = RuleBook(PRESETS.require(preset), book.rules, book.overrides)
    Selection(config.select or (), config.ignore or ())
    return config


def _override(item: Any, place: int) -> Override:
    where = f"override {place}"
    table = _table(item, where)
    _require_known(table, ("layers", "rules"), f" in {where}")
    layers = _text(table, "layers")
    if not layers or "rules" not in table:
        raise UsageError(f"{where} needs layers, a glob of layer names, and rules")
    return Override(layers, _rules(_table(table["rules"], f"rules of {where}"), where))


def _rules(table: Mapping[str, Any], where: str) -> dict[str, Setting]:
    return {code: _setting(value, f"{printable(code)} in {where}") for code, value in table.items()}


def _setting(value: Any, where: str) -> Setting:
    if isinstance(value, str):
        return Setting(level=LEVELS[_one_of(value, LEVELS, where)])
    if not isinstance(value, dict):
        raise UsageError(
            f'{where} is "off", a level, or a table such as {{ level = "warning", max = 0.1 }}'
        )
    _require_known(value, ("level", "min", "max"), f" of {where}")
    level = _text(value, "level")
    return Setting(
        level=None if level is None else LEVELS[_one_of(level, LEVELS, where)],
        min=_number(value, "min", float),
        max=_number(value, "max", float),
    )


def _require_known(table: Mapping[str, Any], keys: Iterable[str], where: str) -> None:
    for key in table:
        if key not in keys:
            raise UsageError(f"unknown key {printable(key)!r}{where}; {did_you_mean(key, keys)}")


def _table(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise UsageError(f"{where} must be a table")
    return value


def _text(table: Mapping[str, Any], key: str) -> str | None:
    value = table.get(key)
    if value is not None and not isinstance(value, str):
        raise UsageError(f"{key} must be text in quotes, not {value!r}")
    return value


def _one_of(value: str, valid: Iterable[str], where: str) -> str:
    if value not in valid:
        raise UsageError(f"{where}: no level is called {value!r}; {did_you_mean(value, valid)}")
    return value


def _codes(table: Mapping[str, Any], key: str) -> tuple[str, ...] | None:
    value = table.get(key)
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise UsageError(f'{key} is a list of codes, such as ["ALI", "COV001"]')
    return codes_in(value)


def _number(table: Mapping[str, Any], key: str, kind: type) -> Any:
    """An int or a float; a whole number does for either."""
    value = table.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, kind)):
        noun = "a whole number" if kind is int else "a number"
        raise UsageError(f"{key} must be {noun}, not {value!r}")
    try:
        return kind(value)
    except OverflowError:
        raise UsageError(f"{key} is too large for a number") from None
