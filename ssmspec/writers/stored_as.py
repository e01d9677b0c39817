"""Poles under a coarse type: one line a layer, one a tensor, and what to keep in float32."""

from __future__ import annotations

from collections.abc import Iterator

from ssmspec.naming import printable
from ssmspec.outcome import NotApplicable
from ssmspec.registry import Registry
from ssmspec.results.stored_as import Shift, StoredAs
from ssmspec.writers.base import Page, Writer
from ssmspec.writers.formats import formats
from ssmspec.writers.parts import document as doc
from ssmspec.writers.parts import numbers as num
from ssmspec.writers.parts.terminal import Column
from ssmspec.writers.parts.tidy import Row


def build(result: StoredAs, page: Page) -> doc.Document:
    """The whole result as a document."""
    title = (doc.file_name(result.checkpoint.path, page), f": poles stored as {result.type}")
    return doc.Document(title, tuple(_parts(result, page)))


def _parts(result: StoredAs, page: Page) -> Iterator[doc.Part]:
    yield doc.Line("distances in half-widths of each pole; outside: on the unit circle or beyond")
    layers = result.layers
    labels, notes = doc.labelled([layer.name for layer in layers], page)
    columns = [
        Column("layer", labels, right=False, style="bold"),
        Column("poles", [f"{layer.channels} x {layer.modes}" for layer in layers], rank=3),
        *_columns([layer.together for layer in layers]),
        Column("rms if kept", [_shown(layer.kept)[0] for layer in layers], rank=1),
    ]
    yield doc.Grid(columns, notes)
    rows = [(layer, tensor) for layer in layers for tensor in layer.tensors]
    if rows:
        names, also = doc.labelled([tensor.name for _, tensor in rows], page)
        columns = [
            Column("tensor", names, right=False, style="bold"),
            Column("is", [tensor.dtype for _, tensor in rows], rank=2),
            *_columns([tensor.shift for _, tensor in rows]),
            Column("keep", ["yes" if tensor.keep else "" for _, tensor in rows]),
        ]
        yield doc.Grid(columns, also)
    reasons = [
        (tensor.name, tensor.shift.reason)
        for _, tensor in rows
        if isinstance(tensor.shift, NotApplicable)
    ]
    yield doc.Listed("not told", doc.by_reason(reasons, page))
    yield from doc.footing(result.assumptions, result.skipped, page)
    if result.pattern:
        yield doc.Line(f"keep in float32 ({num.count(len(result.keep), 'tensor')}):")
        yield doc.Line(printable(result.pattern))
    elif layers:
        yield doc.Line(f"no tensor needs float32: {result.type} moves poles by at most "
                       f"{result.threshold:g} half-widths rms")  # fmt: skip


def _columns(shifts: list[Shift | NotApplicable]) -> list[Column]:
    cells = [_shown(shift) for shift in shifts]
    return [
        Column("rms", [cell[0] for cell in cells]),
        Column("largest", [cell[1] for cell in cells]),
        Column("outside", [cell[2] for cell in cells]),
    ]


def _shown(shift: Shift | NotApplicable) -> tuple[str, str, str]:
    if isinstance(shift, NotApplicable):
        return (num.NOT_APPLICABLE,) * 3
    return num.significant(shift.rms), num.significant(shift.largest), str(shift.outside)


HEADER = (
    "layer", "family", "tensor", "dtype", "stored_as", "half_widths_rms", "half_widths_max",
    "modes_outside", "keep_float32", "not_applicable",
)  # fmt: skip


def rows(result: StoredAs) -> Iterator[Row]:
    """Rows of `HEADER`; a layer's own has no tensor."""
    for layer in result.layers:
        place = (layer.name, layer.family)
        yield (*place, "", "", result.type.value, *_numbers(layer.together, ""))
        for t in layer.tensors:
            keep = "yes" if t.keep else "no"
            yield (*place, t.name, t.dtype, result.type.value, *_numbers(t.shift, keep))


def _numbers(shift: Shift | NotApplicable, keep: str) -> Row:
    if isinstance(shift, NotApplicable):
        return (None, None, None, keep, shift.reason)
    return (shift.rms, shift.largest, shift.outside, keep, "")


STORED_AS_WRITERS: Registry[Writer[StoredAs]] = Registry(
    "format",
    "ssmspec.stored_as_writers",
    formats(build, ("one row for every tensor that sets poles", HEADER, rows)),
    key=lambda writer: writer.id,
)
