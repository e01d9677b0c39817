"""How a checkpoint is to be read: what the file does not say and the user does.

One frozen record, shared by every command and library function that opens a checkpoint. What it
leaves open is filled in once, best knowledge first: the options, a configuration, and what the file
notes of its own training (`ssmspec train` leaves that as JSON in the metadata of its files, where a
copy, a better or a re-initialized model keeps it).
"""

from __future__ import annotations

import json
import math
import operator
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

from ssmspec.errors import UsageError
from ssmspec.naming import did_you_mean, matches


class Discretization(StrEnum):
    """How a layer's discrete poles come about.

    `ZOH`: pole_bar = exp(dt A). `BILINEAR`: (1 + dt A/2) / (1 - dt A/2). `NATIVE`: the family
    stores discrete poles and has no step size.
    """

    ZOH = "zoh"
    BILINEAR = "bilinear"
    NATIVE = "native"


class DtTransform(StrEnum):
    """How a stored number becomes a step size."""

    EXP = "exp"
    SOFTPLUS = "softplus"


class Scan(StrEnum):
    """Which tensors are looked through for NaN: what is read anyway, or all of every layer."""

    POLES = "poles"
    LAYER = "layer"


SHORTEST_ROW = 6
"""Samples of the shortest row stride: with fewer, every lag lies within 2 of a multiple."""


LARGEST = 2**53
"""Numbers of samples lie below: floats hold no larger whole number exactly."""


@dataclass(frozen=True)
class LayerRate:
    """A sample rate in hertz for the layers whose name fits a glob."""

    glob: str
    sample_rate: float


@dataclass(frozen=True)
class Reading:
    """Options that any checkpoint can be opened with; `None` means "as the file says".

    Attributes:
        seq_len: sequence length L in samples.
        sample_rate: rate of the model's input in hertz.
        layer_rates: rates of single layers, for models that change rate; the last match wins.
        row_stride: samples from one row of an image to the next, where a sequence is one.
        resample: how many times lower the sample rate of a coming run is; below 1 it is higher.
        layers: glob that selects layers by name.
        family: id of the only family to look for.
        discretization: `ZOH` or `BILINEAR`, for families that can be either.
        dt_transform: for families whose step sizes can be stored either way.
        layout: TOML page that describes an unknown layout (`--map`).
        part: which copy of a model to read, where one file holds several (`--part`).
        assume: what to take for granted that files do not say, by the names that the assumptions
            of a report give (`--assume clip-eigs`).
        offline: reach for nothing that is not on this machine.
        scan: which tensors are looked through for NaN; by default what is read and what is small.

    Text stands for the choices it names (`dt_transform="exp"`), a path may be text, and whole
    numbers may be numpy's. Anything else of another type is refused.
    """

    seq_len: int | None = None
    sample_rate: float | None = None
    layer_rates: tuple[LayerRate, ...] = ()
    row_stride: int | None = None
    resample: float | None = None
    layers: str | None = None
    family: str | None = None
    discretization: Discretization | None = None
    dt_transform: DtTransform | None = None
    layout: Path | None = None
    part: str | None = None
    assume: tuple[str, ...] = ()
    offline: bool = False
    scan: Scan | None = None

    def __post_init__(self) -> None:
        for name, convert in _CONVERSIONS.items():
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, convert(name, value))
        if self.seq_len is not None and self.seq_len < 1:
            raise UsageError(f"the sequence length must be at least 1 sample, got {self.seq_len}")
        if max(self.seq_len or 0, self.row_stride or 0) >= LARGEST:
            raise UsageError("the sequence length or the row stride is too large for a number")
        if self.row_stride is not None and self.row_stride < SHORTEST_ROW:
            raise UsageError(
                f"the row stride must be at least {SHORTEST_ROW} samples, because what lies within "
                f"2 of a multiple is counted; got {self.row_stride}"
            )
        if self.resample is not None and not (
            math.isfinite(self.resample) and self.resample > 0 and self.resample != 1
        ):
            raise UsageError(
                f"the resampling factor says how many times lower the rate is and must be above 0 "
                f"and not 1, "
                f"got {self.resample}"
            )
        rates = [("the sample rate", self.sample_rate)]
        rates += [(f"the rate of layers {r.glob!r}", r.sample_rate) for r in self.layer_rates]
        for what, rate in rates:
            if rate is not None and not (math.isfinite(rate) and rate > 0):
                raise UsageError(f"{what} must be a positive number of hertz, got {rate}")
        if self.discretization is Discretization.NATIVE:
            raise UsageError("the discretization can be set to zoh or bilinear, not to native")

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Reading:
        """A reading out of keywords.

        Raises:
            UsageError: one of them is no field; the message names the nearest.
        """
        valid = [field.name for field in fields(cls)]
        for name in options:
            if name not in valid:
                raise UsageError(
                    f"there is no reading option {name!r}; {did_you_mean(name, valid)}"
                )
        return cls(**options)

    def rate_of(self, layer: str) -> float | None:
        """The sample rate of one layer in hertz, or None when it was not given."""
        for rate in reversed(self.layer_rates):
            if matches(layer, rate.glob):
                return rate.sample_rate
        return self.sample_rate

    def or_else(self, other: Reading) -> Reading:
        """The same reading, with what it leaves open taken from another one."""
        left_open = {
            field.name: getattr(other, field.name)
            for field in fields(self)
            if getattr(self, field.name) == field.default
        }
        return replace(self, **left_open)


NOTE = "ssmspec"
"""Key of the metadata entry in which a file notes how it was trained."""

_NOTED = {
    "seq_len": "sequence length",
    "sample_rate": "sample rate in hertz",
    "row_stride": "row stride",
}


def noted(text: str | None) -> Reading:
    """What a file notes of its own training.

    Entries that make no sense are passed over: a note is a convenience, not a part of the model.

    Args:
        text: the metadata entry `NOTE`, or None where there is none.
    """
    try:
        note = json.loads(text or "{}")
        return Reading(**{name: note.get(name) for name in _NOTED})
    except (ValueError, AttributeError, OverflowError, RecursionError, UsageError):
        return Reading()


def taken_over(asked: Reading, used: Reading) -> tuple[str, ...]:
    """Sentences for a report: what was read from a note because nobody said otherwise."""
    return tuple(
        f"the {title}, {getattr(used, name):g}, is what the file says of its training "
        f"(--{name.replace('_', '-')} changes it)"
        for name, title in _NOTED.items()
        if getattr(asked, name) != getattr(used, name)
    )


Choice = TypeVar("Choice", bound=StrEnum)


def _refused(name: str, wanted: str, value: object) -> UsageError:
    return UsageError(f"{name} takes {wanted}, got {value!r} ({type(value).__name__})")


def _whole(name: str, value: Any) -> int:
    if isinstance(value, bool):
        raise _refused(name, "a whole number", value)
    try:
        return operator.index(value)
    except TypeError:
        raise _refused(name, "a whole number", value) from None


def _number(name: str, value: Any) -> float:
    if isinstance(value, bool | str | bytes):
        raise _refused(name, "a number", value)
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        raise _refused(name, "a number", value) from None


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise _refused(name, "text", value)
    return value


def _path(name: str, value: Any) -> Path:
    if not isinstance(value, str | os.PathLike):
        raise _refused(name, "a path", value)
    return Path(value)


def _choice(kind: type[Choice]) -> Callable[[str, Any], Choice]:
    def convert(name: str, value: Any) -> Choice:
        valid = [choice.value for choice in kind]
        if not isinstance(value, str):
            raise _refused(name, f"one of {', '.join(valid)}", value)
        try:
            return kind(value.lower())
        except ValueError:
            raise UsageError(f"{name} cannot be {value!r}; {did_you_mean(value, valid)}") from None

    return convert


def _flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise _refused(name, "True or False", value)
    return value


def _texts(name: str, value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    if not isinstance(value, Iterable):
        raise _refused(name, "text, or several", value)
    return tuple(_text(name, item) for item in value)


def _rates(name: str, value: Any) -> tuple[LayerRate, ...]:
    pairs = value.items() if isinstance(value, Mapping) else value
    try:
        return tuple(
            pair
            if isinstance(pair, LayerRate)
            else LayerRate(_text(name, pair[0]), _number(name, pair[1]))
            for pair in pairs
        )
    except (TypeError, IndexError, KeyError):
        raise _refused(name, "LayerRate records or pairs of a glob and a rate", value) from None


_CONVERSIONS: Mapping[str, Callable[[str, Any], Any]] = {
    "seq_len": _whole,
    "sample_rate": _number,
    "layer_rates": _rates,
    "row_stride": _whole,
    "resample": _number,
    "layers": _text,
    "family": _text,
    "discretization": _choice(Discretization),
    "dt_transform": _choice(DtTransform),
    "layout": _path,
    "part": _text,
    "assume": _texts,
    "offline": _flag,
    "scan": _choice(Scan),
}
"""How each field's value is made what it must be, or refused."""
