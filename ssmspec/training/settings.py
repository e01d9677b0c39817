"""A run's configuration as one flat table: presets, TOML files, the command line, `config.json`.

The keys are the field names of `TrainConfig`, `ModelConfig` and `SchemeOptions`; `task_settings` is
a table of the task's own. Layers of such tables go over one another, and the last one counts; what
a layer says of when to stop (`epochs`, `max_steps`) replaces all that the layers below say of it,
and so do its words on the warm-up and on the schedule. A layer that changes the scheme drops the
options below it that the new scheme does not read.

A preset holds ranges for schemes of both kinds, and `read_preset` leaves those of one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias, get_args, get_type_hints

from ssmspec.checkpoints.files import read_toml
from ssmspec.errors import CheckpointError, UsageError
from ssmspec.naming import did_you_mean, printable, shown
from ssmspec.schemes import SCHEMES, Kind
from ssmspec.schemes.options import SchemeOptions
from ssmspec.training.config import ModelConfig, TrainConfig

Settings: TypeAlias = Mapping[str, Any]
"""Key to value, as TOML and JSON hold them; None is "not set"."""

TASK_SETTINGS = "task_settings"
LARGEST = 2**53
"""Whole numbers lie below; larger ones are no exact floats."""
_TOGETHER = (("epochs", "max_steps"), ("warmup", "warmup_steps"), ("schedule", "schedule_steps"))
"""Keys that say one thing: whoever gives one of them gives them all."""

_NESTED = ("model", "options", TASK_SETTINGS)
_PRESETS = Path(__file__).parent / "presets"
_RECORDS = (TrainConfig, ModelConfig, SchemeOptions)
_OPTIONS = frozenset({"input_gain", *(field.name for field in fields(SchemeOptions))})


def preset_names() -> tuple[str, ...]:
    """The presets that ship with the package."""
    return tuple(sorted(path.stem for path in _PRESETS.glob("*.toml")))


def read_preset(name: str, scheme: str | None = None) -> Settings:
    """The table of a preset.

    Args:
        name: of the preset.
        scheme: that it is used with; None for its own.

    Raises:
        UsageError: there is no such preset or scheme.
    """
    if name not in preset_names():
        near = did_you_mean(name, preset_names())
        raise UsageError(f"no preset is called {name!r}; {near}")
    table = read_file(_PRESETS / f"{name}.toml")
    return fitted(table, table.get("scheme") if scheme is None else scheme)


def fitted(table: Settings, scheme: str | None) -> dict[str, Any]:
    """A table without the options that a scheme does not read.

    Raises:
        UsageError: there is no such scheme.
    """
    record = SCHEMES.require(ModelConfig.scheme if scheme is None else scheme)
    reads = {*record.options, *(("input_gain",) if record.kind is Kind.DISCRETE else ())}
    return {key: value for key, value in table.items() if key not in _OPTIONS - reads}


def read_file(path: Path) -> Settings:
    """The table of a TOML file, with every key and value checked.

    Raises:
        UsageError: it cannot be read, is no TOML, or has a key or a value that makes no sense.
    """
    try:
        table = read_toml(path)
    except CheckpointError as error:
        raise UsageError(str(error)) from None
    return checked(table, shown(path))


def combine(*layers: Settings) -> dict[str, Any]:
    """Layers over one another, the last one on top; keys that are None count as not given."""
    result: dict[str, Any] = {}
    for layer in layers:
        given = {key: value for key, value in layer.items() if value is not None}
        for group in _TOGETHER:
            if any(key in given for key in group):
                result = {key: value for key, value in result.items() if key not in group}
        if given.get("scheme", result.get("scheme")) != result.get("scheme"):
            result = fitted(result, given["scheme"])
        if TASK_SETTINGS in given:
            given[TASK_SETTINGS] = {**result.get(TASK_SETTINGS, {}), **given[TASK_SETTINGS]}
        result |= given
    return result


def to_config(settings: Settings, where: str = "the configuration") -> TrainConfig:
    """The configuration that a table describes; what it does not say has its default.

    Args:
        settings: the table.
        where: what to call it in messages.

    Raises:
        UsageError: it names no task, or holds an unknown key or a value that makes no sense.
    """
    values = {key: value for key, value in checked(settings, where).items() if value is not None}
    if "task" not in values:
        raise UsageError("say what to train on: --task TASK (`ssmspec list tasks`) or --preset")
    run, model, options = (
        {field.name: values[field.name] for field in fields(record) if field.name in values}
        for record in _RECORDS
    )
    run[TASK_SETTINGS] = tuple(run.get(TASK_SETTINGS, {}).items())
    return TrainConfig(**run, model=ModelConfig(**model, options=SchemeOptions(**options)))


def to_settings(config: TrainConfig) -> dict[str, Any]:
    """The table of a configuration, with every key, as JSON can hold it."""
    records = (config, config.model, config.model.options)
    table = {
        field.name: _plain(getattr(record, field.name))
        for record in records
        for field in fields(record)
        if field.name not in _NESTED
    }
    return {**table, TASK_SETTINGS: dict(config.task_settings)}


def checked(settings: Settings, where: str) -> dict[str, Any]:
    """A table whose keys are known and whose values have the types of their fields.

    Raises:
        UsageError: a key or a value makes no sense; the message names the nearest valid one.
    """
    known = _types()
    result: dict[str, Any] = {}
    for key, value in settings.items():
        if key == TASK_SETTINGS:
            result[key] = _task_settings(value, where)
        elif key in known:
            result[key] = _converted(key, value, known[key], where)
        else:
            near = did_you_mean(key, (*known, TASK_SETTINGS))
            raise UsageError(f"{where} has an unknown key {printable(key)!r}; {near}")
    return result


@cache
def _types() -> Mapping[str, tuple[type, ...]]:
    """Key to the types its value may have; NoneType among them where it may be left open."""
    return {
        name: get_args(hint) or (hint,)
        for record in _RECORDS
        for name, hint in get_type_hints(record).items()
        if name not in _NESTED
    }


def _converted(key: str, value: Any, types: tuple[type, ...], where: str) -> Any:
    if isinstance(value, int) and abs(value) >= LARGEST:
        raise UsageError(f"{where}: {key} is too large for a number of this program")
    if isinstance(value, types) and not (isinstance(value, bool) and bool not in types):
        return value
    wanted = types[0]
    if isinstance(value, str) and issubclass(wanted, StrEnum):
        names = [member.value for member in wanted]
        if value not in names:
            raise UsageError(f"{where}: {key} is no {value!r}; {did_you_mean(value, names)}")
        return wanted(value)
    if isinstance(value, str) and issubclass(wanted, Path):
        return Path(value)
    if wanted is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    name = "a name" if wanted in (str, Path) or issubclass(wanted, StrEnum) else _NAMES[wanted]
    raise UsageError(f"{where}: {key} must be {name}, got {printable(repr(value))}")


_NAMES: Mapping[type, str] = {int: "a whole number", float: "a number", bool: "true or false"}


def _task_settings(value: Any, where: str) -> dict[str, str]:
    if not isinstance(value, Mapping):
        raise UsageError(f"{where}: {TASK_SETTINGS} must be a table of names and values")
    return {str(name): _text(setting) for name, setting in value.items()}


def _text(value: Any) -> str:
    """A setting as text: what `--set NAME=VALUE` would have been given."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value.absolute())
    return value.value if isinstance(value, StrEnum) else value
