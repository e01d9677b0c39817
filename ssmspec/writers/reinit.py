"""A re-initialization for a person: what changes layer by layer, what is kept, what to know."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from ssmspec.naming import printable
from ssmspec.registry import Registry
from ssmspec.results.reinit import CPolicy, LayerChange, Reinitialization, StepSizes
from ssmspec.writers.base import Page, Writer
from ssmspec.writers.formats import formats
from ssmspec.writers.parts import document as doc
from ssmspec.writers.parts import numbers as num
from ssmspec.writers.parts.terminal import Column, Name

Shown = Callable[[float | None], str]

_OSCILLATING: tuple[tuple[str, str, Shown, int], ...] = (
    ("aliased", "aliased_fraction", num.percent, 1),
    ("cover", "coverage", num.fixed, 1),
    ("flat", "spectral_flatness", num.fixed, 1),
    ("entangled", "entanglement", num.fixed, 2),
    ("W1", "frequency_w1", num.fixed, 5),
    ("tau", "time_constant_median", num.samples, 3),
)
_DECAYING: tuple[tuple[str, str, Shown, int], ...] = (
    ("tau 5 %", "time_constant_p05", num.samples, 2),
    ("median", "time_constant_median", num.samples, 1),
    ("95 %", "time_constant_p95", num.samples, 1),
    ("max |z|", "max_radius", num.near_one, 3),
)

_STEP_SIZES = {
    StepSizes.KEPT: "step sizes are kept, and A holds the new poles at them",
    StepSizes.ONE: "step sizes are set to 1, and A is the log-pole itself",
    StepSizes.DRAWN: "step sizes are drawn anew",
    StepSizes.NONE: "there are no step sizes: discrete poles are stored",
}


def build(result: Reinitialization, page: Page) -> doc.Document:
    """The plan, or what was done, as a document."""
    length = "" if result.sequence_length is None else f", L = {result.sequence_length}"
    about = f"   {result.scheme_title} ({result.scheme}), seed {result.seed}{length}"
    return doc.Document((Name(result.checkpoint.path), about), tuple(_parts(result, page)))


def _parts(result: Reinitialization, page: Page) -> Iterator[doc.Part]:
    layers = f"{num.count(len(result.layers), 'layer')} get{'s' * (len(result.layers) == 1)}"
    yield doc.Line(f"{layers} new poles; {result.copied} tensors are copied as they are")
    for oscillates in (True, False):
        kind = [layer for layer in result.layers if layer.oscillates is oscillates]
        if kind:
            yield _table(kind, result.c, page)
    yield doc.Listed("changes", [*_changed(result.layers, page), *_sentences(result)])
    yield doc.Listed("warning", result.warnings)
    yield from doc.footing(result.assumptions, result.skipped, page)
    if result.written:
        yield doc.Line(("written to ", Name(str(result.output))), style="green")
    else:
        yield doc.Line("nothing was written (dry run)", style="dim")


def _table(layers: Sequence[LayerChange], c: CPolicy, page: Page) -> doc.Grid:
    labels, notes = doc.labelled([layer.name for layer in layers], page)
    columns = [
        Column("layer", labels, right=False, style="bold"),
        Column("poles", [f"{layer.channels} x {layer.modes}" for layer in layers], rank=4),
    ]
    for header, metric, shown, rank in _OSCILLATING if layers[0].oscillates else _DECAYING:
        cells = [_change(layer, metric, shown) for layer in layers]
        columns.append(Column(header, cells, rank=rank))
    if c is CPolicy.FIT:
        kept = [num.percent(layer.kernel.kept if layer.kernel else None) for layer in layers]
        columns.append(Column("energy kept", kept, rank=1))
    columns.append(Column("xi", [_xi(layer) for layer in layers], rank=3))
    return doc.Grid(columns, notes)


def _change(layer: LayerChange, metric: str, shown: Shown) -> str:
    before, after = num.numeric(layer.before[metric]), num.numeric(layer.after[metric])
    if before is None and after is None:
        return num.NOT_APPLICABLE
    return f"{shown(before)} -> {shown(after)}"


def _xi(layer: LayerChange) -> str:
    return num.span(layer.xi.lowest, layer.xi.highest) if layer.xi else num.NOT_APPLICABLE


def _changed(layers: Sequence[LayerChange], page: Page) -> Iterator[doc.Words]:
    """Which tensors change, by their names without the layer's."""
    found: dict[str, list[str]] = {}
    for layer in layers:
        leaves = [
            name.removeprefix(layer.name).lstrip("._/")
            if name.startswith(layer.name)
            else name.replace("/", ".").rpartition(".")[2]
            for name in layer.tensors
        ]
        found.setdefault(", ".join(map(printable, leaves)) or "nothing", []).append(layer.name)
    for tensors, names in found.items():
        everywhere = len(names) == len(layers)
        where = ("every layer",) if everywhere else doc.joined(names, page)
        yield ("changed in ", *where, ": ", Name(tensors))


def _sentences(result: Reinitialization) -> Iterator[str]:
    for step_sizes in dict.fromkeys(layer.step_sizes for layer in result.layers):
        yield _STEP_SIZES[step_sizes]
    yield from _about_c(result)
    if any(layer.xi for layer in result.layers):
        yield (
            "xi was chosen for each channel from a logarithmic grid, so that the fitted C keeps "
            "most energy; angles are the scheme's"
        )
    deviations = [layer.deviation for layer in result.layers if layer.deviation is not None]
    if deviations:
        worst = max(deviations)
        near = (
            f"within {num.significant(worst)} half-widths of the scheme's"
            if worst
            else "where the scheme puts them"
        )
        yield f"as stored, poles lie {near}"
    yield from result.notes


def _about_c(result: Reinitialization) -> Iterator[str]:
    matches = [layer.kernel for layer in result.layers if layer.kernel is not None]
    correlation = ""
    if matches:
        mean = sum(match.correlation for match in matches) / len(matches)
        correlation = f": new and old kernels correlate {num.fixed(mean)}, mean over channels"
    if result.c is CPolicy.RESET:
        yield f"C is drawn anew, as the family's own code draws it{correlation}"
    elif result.c is CPolicy.FIT:
        yield (
            "C is the least-squares fit of the old kernels over the L lags, each residue paying "
            "for an error of a millionth of it (Tikhonov)"
        )
    elif matches:
        yield f"C stays as it is, for a model that will be trained again{correlation}"


REINIT_WRITERS: Registry[Writer[Reinitialization]] = Registry(
    "format", "ssmspec.reinit_writers", formats(build), key=lambda writer: writer.id
)
