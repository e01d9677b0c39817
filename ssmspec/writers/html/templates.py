"""The templates of this package, filled: everything is escaped, nothing is left undefined."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from ssmspec.naming import printable


def fill(name: str, **values: object) -> str:
    """A template with its values, each escaped unless it is markup."""
    return _environment().get_template(name).render(**values)


@cache
def source(name: str) -> str:
    """A file of the templates' folder as it is."""
    return (files("ssmspec.writers.html") / "templates" / name).read_text(encoding="utf-8")


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FunctionLoader(source),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["breakable"] = _breakable
    return environment


def _breakable(name: str) -> Markup:
    """A name that may be broken after its separators, where a line is short."""
    return Markup("<wbr>").join(re.split(r"(?<=[._/])", printable(name)))


def _shown(value: object) -> object:
    """What a template may print: text without control characters; markup as it is; never None."""
    if value is None:
        raise TypeError("a template printed None")
    if isinstance(value, str) and not isinstance(value, Markup):
        return printable(value)
    return value
