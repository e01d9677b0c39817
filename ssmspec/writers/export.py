"""An export for a person: what stands in the file, and how far each recurrence is off."""

from __future__ import annotations

from collections.abc import Iterator

from ssmspec.registry import Registry
from ssmspec.results.export import Export
from ssmspec.writers.base import Page, Writer
from ssmspec.writers.formats import formats
from ssmspec.writers.parts import document as doc
from ssmspec.writers.parts import numbers as num
from ssmspec.writers.parts.terminal import Column, Name


def build(result: Export, page: Page) -> doc.Document:
    """What was written, as a document."""
    return doc.Document((Name(result.checkpoint.path), ""), tuple(_parts(result, page)))


def _parts(result: Export, page: Page) -> Iterator[doc.Part]:
    layers = result.layers
    yield doc.Line(f"{num.count(len(layers), 'layer')} as recurrences")
    labels, notes = doc.labelled([layer.name for layer in layers], page)
    yield doc.Grid(
        [
            Column("layer", labels, right=False, style="bold"),
            Column("in", [str(layer.inputs) for layer in layers], rank=2),
            Column("out", [str(layer.outputs) for layer in layers], rank=2),
            Column("states", [str(layer.states) for layer in layers], rank=1),
            Column("C", ["doubled" if x.doubled else "as is" for x in layers], rank=3),
            Column("directions", [" ".join(x.directions) or "one" for x in layers], rank=4),
            Column("D", ["no" if layer.feedthrough else "yes" for layer in layers], rank=3),
            Column("error", [f"{layer.error:.0e}" for layer in layers]),
        ],
        (
            *notes,
            f"error: largest difference of the recurrence from the kernel over {result.lags} lags, "
            f"relative to its largest tap; at most 1e-9",
        ),
    )
    without = [(layer.name, layer.feedthrough) for layer in layers if layer.feedthrough]
    yield doc.Listed("no D", doc.by_reason(without, page))
    yield from doc.footing(result.assumptions, result.skipped, page)
    yield doc.Line(("written to ", Name(result.output)), style="green")


EXPORT_WRITERS: Registry[Writer[Export]] = Registry(
    "format", "ssmspec.export_writers", formats(build), key=lambda writer: writer.id
)
