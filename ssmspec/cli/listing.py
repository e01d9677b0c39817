"""`ssmspec list`: what there is to choose from, out of the tables themselves."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Annotated

import typer

from ssmspec.cli.options import Session, session_options
from ssmspec.cli.output import page_for
from ssmspec.cli.streams import put

Row = Sequence[str]
TableRows = tuple[Row, Sequence[Row]]


def _families() -> TableRows:
    from ssmspec.families import FAMILIES  # noqa: PLC0415

    rows = [(f.id, f.title, f.summary, f.formula) for f in FAMILIES.values()]
    return ("family", "name", "layout", "poles"), rows


def _metrics() -> TableRows:
    from ssmspec.metrics import METRICS  # noqa: PLC0415

    rows = [
        (
            m.id,
            m.unit,
            m.direction.value,
            m.summary,
            ", ".join(need.label for need in m.needs) or "all",
        )
        for m in METRICS.values()
    ]
    return ("metric", "unit", "healthier", "what it says", "needs"), rows


def _rules() -> TableRows:
    from ssmspec.rules import RULES  # noqa: PLC0415

    rows = [
        (
            r.code,
            r.level.value,
            "" if r.threshold is None else f"{r.bound.value} {r.threshold:g}",
            r.title,
        )
        for r in RULES.values()
    ]
    return ("rule", "level", "threshold", "fires when"), rows


def _presets() -> TableRows:
    from ssmspec.rules.presets import PRESETS  # noqa: PLC0415

    return ("preset", "what it is for", "what it changes"), [
        (p.id, p.summary, "; ".join(p.changes) or "nothing") for p in PRESETS.values()
    ]


def _schemes() -> TableRows:
    from ssmspec.schemes import SCHEMES  # noqa: PLC0415

    return ("scheme", "poles", "what it is"), [
        (s.id, s.formula, s.summary) for s in SCHEMES.values()
    ]


def _formats() -> TableRows:
    from ssmspec.checkpoints import CONTAINERS  # noqa: PLC0415
    from ssmspec.writers import FORMATS  # noqa: PLC0415

    rows = [(w.id, made, w.title) for made, table in FORMATS.items() for w in table().values()]
    rows += [
        (c.id, "checkpoint", f"{c.title} ({', '.join(c.suffixes)})") for c in CONTAINERS.values()
    ]
    return ("format", "of", "what it is"), rows


def _tasks() -> TableRows:
    from ssmspec.training.settings import preset_names, read_preset  # noqa: PLC0415
    from ssmspec.training.tasks import TASKS  # noqa: PLC0415

    presets: dict[str, list[str]] = {}
    for name in preset_names():
        presets.setdefault(read_preset(name).get("task", ""), []).append(name)
    rows = [
        (
            t.id,
            t.summary,
            ", ".join(f"{name}={value}" for name, value in t.settings),
            ", ".join(presets.get(t.id, [])),
            t.needs,
        )
        for t in TASKS.values()
    ]
    return ("task", "what it is", "--set", "--preset", "needs"), rows


def _plots() -> TableRows:
    from ssmspec.plots import KINDS  # noqa: PLC0415

    return ("figure", "of", "what it shows"), [
        (k.id, k.subject.value, k.summary) for k in KINDS.values()
    ]


class Table(StrEnum):
    """What can be listed."""

    FAMILIES = "families"
    METRICS = "metrics"
    RULES = "rules"
    PRESETS = "presets"
    SCHEMES = "schemes"
    FORMATS = "formats"
    PLOTS = "plots"
    TASKS = "tasks"


_TABLES: dict[Table, Callable[[], TableRows]] = {
    Table.FAMILIES: _families,
    Table.METRICS: _metrics,
    Table.RULES: _rules,
    Table.PRESETS: _presets,
    Table.SCHEMES: _schemes,
    Table.FORMATS: _formats,
    Table.PLOTS: _plots,
    Table.TASKS: _tasks,
}


@session_options
def command(
    what: Annotated[Table, typer.Argument(help="Which table.", show_default=False)],
    session: Session,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """List families, metrics, rules, presets, schemes, formats, plots or tasks."""
    del session
    header, rows = _TABLES[what]()
    if as_json:
        records = [dict(zip(header, row, strict=True)) for row in rows]
        put(json.dumps(records, indent=2) + "\n")
        return
    width = page_for(None, verbose=False).width
    for line in _aligned([header, *rows], width):
        put(f"{line}\n")


def _aligned(rows: Sequence[Row], width: int | None) -> list[str]:
    """Rows in columns; in a terminal the last columns continue on indented lines of their own."""
    import textwrap  # noqa: PLC0415

    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    full = sum(widths) + 2 * (len(widths) - 1)
    if width is None or full <= width:
        return [
            "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows
        ]
    lines = []
    for row in rows[1:]:
        head = f"{row[0].ljust(widths[0])}  {row[1]}"
        lines += textwrap.wrap(head, width, subsequent_indent="    ") or [""]
        for cell in row[2:]:
            lines += textwrap.wrap(cell, width, initial_indent="    ", subsequent_indent="    ")
    return lines
