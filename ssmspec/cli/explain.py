"""`ssmspec explain`: one metric, rule, scheme, family, preset or task in words and symbols."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Annotated

import typer

from ssmspec.cli.options import Session, session_options
from ssmspec.cli.output import page_for
from ssmspec.cli.streams import put
from ssmspec.errors import UsageError
from ssmspec.naming import did_you_mean

Entry = tuple[str, list[tuple[str, str]]]
"""A heading, and (label, text) paragraphs; an empty label is plain text."""

_INDENT = 12
_WIDEST = 100


def _entries() -> Iterator[tuple[str, Entry]]:
    yield from _schemes()
    yield from _metrics()
    yield from _rules()
    yield from _presets()
    yield from _families()
    yield from _tasks()


def _schemes() -> Iterator[tuple[str, Entry]]:
    from ssmspec.schemes import SCHEMES  # noqa: PLC0415

    for s in SCHEMES.values():
        lines = [("poles", s.formula), ("", s.explanation)]
        lines += [("options", ", ".join(s.options))] if s.options else []
        yield s.id, (f"{s.id}: {s.title}, an initialization scheme", [*lines, ("source", s.source)])


def _metrics() -> Iterator[tuple[str, Entry]]:
    from ssmspec.metrics import METRICS  # noqa: PLC0415

    for m in METRICS.values():
        healthier = {"higher": "higher is healthier", "lower": "lower is healthier"}
        lines = [
            ("", f"{m.summary[0].upper()}{m.summary[1:]}."),
            ("definition", m.formula),
            ("unit", f"{m.unit}; {healthier.get(m.direction.value, 'neither is healthier')}"),
            ("needs", ", ".join(n.label for n in m.needs) or "nothing more than finite poles"),
            ("model", m.aggregate.value),
            *_field(m.id),
        ]
        lines += [("mind", m.note)] if m.note else []
        yield m.id, (f"{m.id}, a metric", lines)


def _field(metric: str) -> Iterator[tuple[str, str]]:
    from ssmspec.families import FAMILIES  # noqa: PLC0415
    from ssmspec.field import table  # noqa: PLC0415
    from ssmspec.writers.parts.numbers import near_one  # noqa: PLC0415

    for (family, name), sample in table().items():
        if name == metric and sample.quantiles:
            low, high = (near_one(sample.quantiles[i]) for i in (0, -1))
            who = f"public {FAMILIES[family].title} recipes"
            yield "", f"{who}: 5 % .. 95 % is {low} .. {high} ({sample.recipes} recipes)"


def _rules() -> Iterator[tuple[str, Entry]]:
    from ssmspec.rules import RULES, is_off  # noqa: PLC0415

    for r in RULES.values():
        sides = {"max": "fires above", "min": "fires below"}
        side = sides.get(r.bound.value, "")
        threshold = "" if r.threshold is None else f", {side} {r.threshold:g}"
        setting = "" if r.threshold is None else f", {r.bound.value} = {r.threshold:g}"
        lines = [
            ("", r.why),
            (
                "level",
                f"{'off; as asked for ' if is_off(r.code) else ''}{r.level.value}{threshold}",
            ),
            ("to set it", f'{r.code} = {{ level = "{r.level.value}"{setting} }} or "off"'),
            ("what to do", r.advice),
            ("source", r.source),
        ]
        yield r.code, (f"{r.code}: {r.title}", lines)


def _presets() -> Iterator[tuple[str, Entry]]:
    from ssmspec.rules.presets import PRESETS  # noqa: PLC0415

    for p in PRESETS.values():
        changes = "; ".join(p.changes) or "nothing: every rule as its record says"
        yield (
            p.id,
            (
                f"{p.id}, a rule preset",
                [
                    ("", f"{p.summary[0].upper()}{p.summary[1:]}."),
                    ("changes", changes),
                    ("to use it", f'ssmspec check --preset {p.id}, or preset = "{p.id}"'),
                ],
            ),
        )


def _families() -> Iterator[tuple[str, Entry]]:
    from ssmspec.families import FAMILIES  # noqa: PLC0415

    for f in FAMILIES.values():
        lines = [
            ("", f"{f.summary[0].upper()}{f.summary[1:]}."),
            ("poles", f.formula),
            ("starts from", ", ".join(f.known_inits) or "none that a file is compared with"),
            ("source", f.source),
        ]
        yield f.id, (f"{f.id}: {f.title}, a family", lines)


def _tasks() -> Iterator[tuple[str, Entry]]:
    from ssmspec.training.settings import preset_names, read_preset  # noqa: PLC0415
    from ssmspec.training.tasks import TASKS  # noqa: PLC0415

    for t in TASKS.values():
        presets = [name for name in preset_names() if read_preset(name).get("task") == t.id]
        lines = [("", f"{t.summary[0].upper()}{t.summary[1:]}.")]
        lines += [("needs", t.needs)] if t.needs else []
        lines += [("--set", ", ".join("=".join(pair) for pair in t.settings))] if t.settings else []
        lines += [("--preset", ", ".join(presets))] if presets else []
        yield t.id, (f"{t.id}: {t.title}, a task", [*lines, ("source", t.source)])


@session_options
def command(
    what: Annotated[
        str,
        typer.Argument(
            metavar="CODE|METRIC|SCHEME|FAMILY|PRESET|TASK", help="Its id, such as ALI001 or dfout."
        ),
    ],
    session: Session,
) -> None:
    """Explain a rule, a metric, a scheme, a family, a preset or a task."""
    del session
    entries = list(_entries())
    found = [entry for key, entry in entries if key.lower() == what.lower()]
    if not found:
        names = [key for key, _ in entries]
        raise UsageError(
            f"there is nothing called {what!r} to explain; {did_you_mean(what, names)}"
        )
    width = page_for(None, verbose=False).width
    for i, (heading, paragraphs) in enumerate(found):  # a scheme and a family may share a name
        put(f"\n\n{heading}\n" if i else f"{heading}\n")
        for label, text in paragraphs:
            lead = f"{label:<{_INDENT}}" if label else ""
            put(f"\n{_wrapped(lead, text, width)}\n")


def _wrapped(lead: str, text: str, width: int | None) -> str:
    """Label and text, with further lines indented; one line each in a pipe."""
    if width is None:
        return lead + text
    return textwrap.fill(
        lead + text,
        min(width, _WIDEST),
        subsequent_indent=" " * len(lead),
        break_long_words=False,
        break_on_hyphens=False,
    )
