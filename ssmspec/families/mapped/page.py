"""The `--map` page: a TOML description of a layout that no family knows, parsed and checked.

`docs/mapping.md` is the reference for whoever writes a page. In short, each `[[layer]]` table names
the modules it fits, how they are discretized, which poles they store, and the tensors that hold
poles and step sizes. A stored number x becomes `scale * transform(x) + offset`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from ssmspec.arrays import Floats
from ssmspec.checkpoints.files import read_toml
from ssmspec.errors import CheckpointError, UsageError
from ssmspec.families.parts.diagonal import softplus, softplus_inverse
from ssmspec.naming import did_you_mean, printable
from ssmspec.reading import Discretization
from ssmspec.spectrum import Symmetry

Choice = TypeVar("Choice", bound=StrEnum)


@dataclass(frozen=True)
class Transform:
    """An increasing function of one stored number, and its inverse (NaN or inf outside its range).

    Attributes:
        id: its name on the page.
        forward: stored number -> value.
        inverse: value -> stored number.
    """

    id: str
    forward: Callable[[Floats], Floats]
    inverse: Callable[[Floats], Floats]


TRANSFORMS: dict[str, Transform] = {
    transform.id: transform
    for transform in (
        Transform("identity", lambda x: x, lambda y: y),
        Transform("exp", np.exp, np.log),
        Transform("softplus", softplus, softplus_inverse),
        Transform("sigmoid", lambda x: 1.0 / (1.0 + np.exp(-x)), lambda y: np.log(y / (1.0 - y))),
    )
}

OSCILLATING_FORMS = (("real", "imag"), ("complex",), ("radius", "angle"), ("decay", "angle"))
"""Which terms make a pole; radius, decay and angle are a discrete pole's."""
REAL_FORMS = (("real",), ("radius",), ("decay",))
"""Likewise for a pole without a frequency."""

POLE_TERMS = ("real", "imag", "complex", "radius", "decay", "angle")
CHANNELS, MODES, SINGLE = "channels", "modes", "1"


@dataclass(frozen=True)
class Term:
    """One number per mode (or channel, or state): a stored tensor, transformed, or a constant.

    Attributes:
        tensor: dotted name below the module; None for a constant.
        constant: the value where there is no tensor.
        transform: what is done to a stored number.
        scale: what the transformed number is multiplied by; not 0.
        offset: what is added to it last.
        component: index into a last axis of length 2 that holds real and imaginary parts.
        axes: what each axis of the tensor runs over, the component's axis not counted.
    """

    tensor: str | None
    constant: float
    transform: Transform
    scale: float
    offset: float
    component: int | None
    axes: tuple[str, ...]


@dataclass(frozen=True)
class Layout:
    """One `[[layer]]` table.

    Attributes:
        page: file name of the page, for messages.
        modules: glob of the module paths it fits; `*` also matches dots.
        label: ends the name of its layers, where several tables fit one module.
        discretization: how discrete poles come about; `NATIVE` where they are stored.
        symmetry: which poles are stored.
        selective: step sizes depend on the input; what is read is nominal.
        poles: role -> term, the roles of one of the forms above.
        dt: the step size; None where discrete poles are stored.
    """

    page: str
    modules: str
    label: str
    discretization: Discretization
    symmetry: Symmetry
    selective: bool
    poles: Mapping[str, Term]
    dt: Term | None

    @property
    def terms(self) -> Mapping[str, Term]:
        """Every term by its role, `dt` included."""
        return self.poles if self.dt is None else {**self.poles, "dt": self.dt}

    @property
    def tensors(self) -> tuple[str, ...]:
        """Relative names of all tensors it reads, each once."""
        named = (term.tensor for term in self.terms.values() if term.tensor is not None)
        return tuple(dict.fromkeys(named))


def load_layout(path: Path) -> tuple[Layout, ...]:
    """Parse and check a page.

    Raises:
        UsageError: the file cannot be read, is not TOML, or says something a page cannot say; the
            message names the table, the key and the valid names.
    """
    try:
        page = read_toml(path)
    except CheckpointError as error:
        raise UsageError(f"the map {error}; give a TOML page") from None
    table = _Table(path.name, page)
    table.only("layer")
    layers = page.get("layer")
    if not isinstance(layers, list) or not layers:
        raise table.error("needs at least one [[layer]] table")
    return tuple(
        _layout(path.name, _Table(f"{path.name}, layer {number}", layer))
        for number, layer in enumerate(layers, start=1)
    )


class _Table:
    """One TOML table together with the words that say where it stands."""

    def __init__(self, where: str, values: object) -> None:
        self.where = where
        if not isinstance(values, dict):
            raise self.error(f"must be a table, not {_kind(values)}")
        self.values: dict[str, Any] = values

    def error(self, problem: str) -> UsageError:
        return UsageError(f"the map {printable(self.where)}: {problem}")

    def only(self, *valid: str) -> None:
        for key in self.values:
            if key not in valid:
                raise self.error(f"no key is called {printable(key)!r}; {did_you_mean(key, valid)}")

    def table(self, key: str) -> _Table:
        return _Table(f"{self.where}, {key}", self.values[key])

    def text(self, key: str, default: str | None = None) -> str:
        value = self.values.get(key, default)
        if value is None:
            raise self.error(f"the key {key!r} is missing")
        if not isinstance(value, str):
            raise self.error(f"{key} must be a string, not {_kind(value)}")
        return value

    def choice(self, key: str, valid: type[Choice], default: str | None = None) -> Choice:
        value = self.text(key, default)
        names = [member.value for member in valid]
        if value not in names:
            raise self.error(f"{key} cannot be {printable(value)!r}; {did_you_mean(value, names)}")
        return valid(value)

    def flag(self, key: str) -> bool:
        value = self.values.get(key, False)
        if not isinstance(value, bool):
            raise self.error(f"{key} must be true or false, not {_kind(value)}")
        return value

    def number(self, key: str, default: float) -> float:
        value = self.values.get(key, default)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise self.error(f"{key} must be a number, not {_kind(value)}")
        if not math.isfinite(value):
            raise self.error(f"{key} must be a finite number, not {value}")
        return float(value)


def _layout(page: str, table: _Table) -> Layout:
    table.only("modules", "label", "discretization", "symmetry", "selective", "poles", "dt")
    discretization = table.choice("discretization", Discretization)
    symmetry = table.choice("symmetry", Symmetry)
    native = discretization is Discretization.NATIVE
    if "poles" not in table.values:
        raise table.error("the table 'poles' is missing")
    if native and "dt" in table.values:
        raise table.error("a native layer stores discrete poles and has no dt")
    if not native and "dt" not in table.values:
        raise table.error(f"a layer discretized with {discretization.value} needs a dt")
    layout = Layout(
        page=page,
        modules=table.text("modules", "*"),
        label=table.text("label", ""),
        discretization=discretization,
        symmetry=symmetry,
        selective=table.flag("selective"),
        poles=_poles(table.table("poles"), symmetry, native=native),
        dt=None if native else _term(table.table("dt"), default_axes=CHANNELS),
    )
    used = [(term.tensor, term.component) for term in layout.terms.values() if term.tensor]
    if len(set(used)) < len(used):
        raise table.error("two terms read the same tensor; give each its own component, 0 and 1")
    if not used:
        raise table.error("every term is a constant; at least one must be a tensor")
    return layout


def _poles(table: _Table, symmetry: Symmetry, *, native: bool) -> dict[str, Term]:
    table.only(*POLE_TERMS)
    given = tuple(name for name in POLE_TERMS if name in table.values)
    forms = REAL_FORMS if symmetry is Symmetry.REAL else OSCILLATING_FORMS
    valid = [form for form in forms if native or form[0] in ("real", "complex")]
    if given not in valid:
        choices = ", or ".join(" and ".join(form) for form in valid)
        kind = f"{'native' if native else 'continuous'} {symmetry.value} poles"
        raise table.error(f"{kind} are given by {choices}; got {' and '.join(given) or 'nothing'}")
    return {
        name: _term(table.table(name), default_axes=f"{CHANNELS}, {MODES}", plain=name == "complex")
        for name in given
    }


def _term(table: _Table, default_axes: str, *, plain: bool = False) -> Term:
    """One term; a `plain` one is a complex tensor, taken as it is stored."""
    if "value" in table.values and not plain:
        table.only("value")
        constant = table.number("value", 0.0)
        return Term(None, constant, TRANSFORMS["identity"], 1.0, 0.0, None, ())
    table.only("tensor", "axes", *(() if plain else ("transform", "scale", "offset", "component")))
    transform = table.text("transform", "identity")
    if transform not in TRANSFORMS:
        near = did_you_mean(transform, TRANSFORMS)
        raise table.error(f"transform cannot be {printable(transform)!r}; {near}")
    scale = table.number("scale", 1.0)
    if scale == 0.0:
        raise table.error("scale must not be 0")
    component = table.values.get("component")
    if component is not None and (isinstance(component, bool) or component not in (0, 1)):
        raise table.error(f"component must be 0 (real part) or 1, not {component!r}")
    return Term(
        tensor=table.text("tensor"),
        constant=0.0,
        transform=TRANSFORMS[transform],
        scale=scale,
        offset=table.number("offset", 0.0),
        component=component,
        axes=_axes(table, default_axes),
    )


def _axes(table: _Table, default: str) -> tuple[str, ...]:
    text = table.text("axes", default)
    axes = tuple(axis.strip() for axis in text.split(",")) if text.strip() else ()
    for axis in axes:
        if axis not in (CHANNELS, MODES, SINGLE):
            near = did_you_mean(axis, (CHANNELS, MODES, SINGLE))
            raise table.error(f"an axis cannot run over {printable(axis)!r}; {near}")
    if axes.count(CHANNELS) > 1 or axes.count(MODES) > 1:
        raise table.error(f"axes {text!r} name one axis twice")
    return axes


def _kind(value: object) -> str:
    names = {bool: "true or false", int: "a number", float: "a number", str: "a string",
             list: "an array", dict: "a table"}  # fmt: skip
    return names.get(type(value), "a date or time")
