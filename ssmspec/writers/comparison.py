"""A comparison of two models: its sentences, its document, and its rows as tidy CSV."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence

from ssmspec.checkpoints.dtypes import DTYPES
from ssmspec.naming import printable
from ssmspec.outcome import NotApplicable, Outcome
from ssmspec.registry import Registry
from ssmspec.results.comparison import (
    Comparison,
    LayerPair,
    OutcomePair,
    PolesMoved,
    Side,
    SideKind,
)
from ssmspec.results.tensors import Change, TensorComparison, TensorDifference
from ssmspec.writers.base import Page, Writer
from ssmspec.writers.formats import formats
from ssmspec.writers.parts import document as doc
from ssmspec.writers.parts import numbers as num
from ssmspec.writers.parts.terminal import Column, Name
from ssmspec.writers.parts.tidy import MODEL, Row

LAYERS_SHOWN = 16
GROUPS_SHOWN = 12
"""Lines a terminal is given of a longer table, those that moved most, unless --verbose."""

NAMES_SHOWN = 3
"""Leaf names a sentence lists before it counts the rest."""

_PAIRED: tuple[tuple[str, str, Callable[[float | None], str], int], ...] = (
    ("tau", "time_constant_median", num.samples, 1),
    ("cover", "coverage", num.fixed, 2),
    ("flat", "spectral_flatness", num.fixed, 2),
    ("aliased", "aliased_fraction", num.percent, 3),
    ("entangled", "entanglement", num.fixed, 4),
    ("dt", "step_size_median", num.significant, 6),
    ("memory/L", "memory_ratio", num.compact, 7),
    ("drift", "init_drift", num.compact, 8),
)

_NUMBER = re.compile(r"(?<![^./])\d+(?![^./])")
"""A component of a name that is a number."""


def build(comparison: Comparison, page: Page) -> doc.Document:
    """The whole comparison as a document."""
    title = (Name(comparison.a.path), " (A) and ", Name(comparison.b.path), " (B)")
    return doc.Document(title, tuple(_parts(comparison, page)))


def _parts(comparison: Comparison, page: Page) -> Iterator[doc.Part]:
    for label, side in (("A", comparison.a), ("B", comparison.b)):
        yield doc.Line((f"{label}: ", *_side(side)))
    sentences = [layers_sentence(comparison), poles_sentence(comparison)]
    yield doc.Line("; ".join(filter(None, sentences)))
    for sentence in explanations(comparison):
        yield doc.Line(f"{sentence}.", style="yellow" if comparison.causes else "")
    if comparison.layers:
        yield _layers(comparison.layers, page)
    pairs = {
        key: pair
        for key, pair in comparison.model.items()
        if (key in num.HEADLINE or page.verbose) and not _empty(pair)
    }
    if len(comparison.layers) > 1 and pairs:
        columns = zip(*map(_cells, pairs.values()), strict=True)
        yield doc.metric_grid("whole model", pairs, dict(zip(_HEADER, columns, strict=True)))
    yield from _tensors(comparison.tensors, page)
    for names, label in ((comparison.only_a, "A"), (comparison.only_b, "B")):
        yield doc.Listed(f"only {label}", [doc.joined(names, page)] if names else [])
    skipped = (*comparison.a.skipped, *comparison.b.skipped)
    yield from doc.footing(comparison.assumptions, skipped, page)
    if page.verbose:
        for pair in comparison.layers:
            rows = {k: (_cells(m), num.why_missing(_sides(m))) for k, m in pair.metrics.items()}
            yield from doc.metric_parts(Name(pair.a.name), _HEADER, rows)
            yield doc.Line(_poles(pair))


def _side(side: Side) -> tuple[str, ...]:
    source = side.checkpoint
    counts = f"{num.count(source.tensors, 'tensor')}, {num.count(side.layers, 'layer')} measured"
    if side.kind is SideKind.REPORT:
        return "saved report of ", Name(source.path), f", {counts}"
    size = "" if source.size is None else f", {num.byte_size(source.size)}"
    return (f"{source.container}{size}, {counts}",)


def _layers(pairs: Sequence[LayerPair], page: Page) -> doc.Grid:
    labels, notes = doc.labelled([pair.a.name for pair in pairs], page)
    rows = list(zip(labels, pairs, strict=True))
    if any(isinstance(pair.poles, PolesMoved) for pair in pairs):
        moved = "moved: rms and largest distance of the poles in half-widths of A"
        notes = (moved, *notes)
    if page.width is not None and not page.verbose and len(rows) > LAYERS_SHOWN:
        order = sorted(range(len(rows)), key=lambda i: _distance(pairs[i]), reverse=True)
        notes += (f"{len(rows) - LAYERS_SHOWN} layers whose poles moved less (--verbose)",)
        rows = [rows[i] for i in sorted(order[:LAYERS_SHOWN])]
    columns = [
        Column("layer", [label for label, _ in rows], right=False, style="bold"),
        Column("moved", [_moved(pair, lambda poles: poles.rms) for _, pair in rows], rank=1),
        Column("largest", [_moved(pair, lambda poles: poles.largest) for _, pair in rows], rank=5),
    ]
    for header, metric, form, rank in _PAIRED:
        cells = [_change(pair, metric, form) for _, pair in rows]
        columns.append(Column(header, cells, rank=rank, right=False))
    return doc.Grid(columns, notes)


def _moved(pair: LayerPair, figure: Callable[[PolesMoved], float]) -> str:
    if isinstance(pair.poles, NotApplicable):
        return num.NOT_APPLICABLE
    return "0" if pair.poles.moved == 0 else num.compact(figure(pair.poles))


def _change(pair: LayerPair, metric: str, form: Callable[[float | None], str]) -> str:
    """`0.67 → 0.65`, or one number where both are shown alike."""
    a, b = form(pair.a.value(metric)), form(pair.b.value(metric))
    return a if a == b else f"{a} → {b}"


def _distance(pair: LayerPair) -> float:
    return pair.poles.rms if isinstance(pair.poles, PolesMoved) else float("inf")


def _poles(pair: LayerPair) -> str:
    poles = pair.poles
    if isinstance(poles, NotApplicable):
        return f"poles not compared: {poles.reason}"
    return (
        f"{poles.moved} of {poles.modes} poles moved: {poles.rms:.6g} half-widths rms, "
        f"{poles.largest:.6g} at most"
    )


_HEADER = ("A", "B", "B - A", "unit")


def _cells(pair: OutcomePair) -> tuple[str, ...]:
    difference = num.signed(pair.b, pair.a)
    return num.shown(pair.a), num.shown(pair.b), difference, num.unit_label(pair.unit)


def _sides(pair: OutcomePair) -> Mapping[str, Outcome]:
    return {"A": pair.a, "B": pair.b}


def _empty(pair: OutcomePair) -> bool:
    return all(isinstance(outcome, NotApplicable) for outcome in (pair.a, pair.b))


def _tensors(tensors: TensorComparison | NotApplicable, page: Page) -> Iterator[doc.Part]:
    if isinstance(tensors, NotApplicable):
        yield doc.Listed("tensors", [f"not compared: {tensors.reason}"])
        return
    items: list[doc.Words] = [f"{tensors_sentence(tensors)}."]
    groups = list(grouped(tensors.differences))
    most = len(groups) if page.width is None or page.verbose else GROUPS_SHOWN
    for pattern, change, members in groups[:most]:
        many = f" ({len(members)} tensors)" if len(members) > 1 else ""
        ours = ", state-space" if any(member.layer is not None for member in members) else ""
        items.append((Name(pattern), f"{many}: {change.value}{ours}, {what_changed(members)}"))
    if len(groups) > most:
        items.append(f"and {len(groups) - most} more (--verbose)")
    yield doc.Listed("tensors", items)


def explanations(comparison: Comparison) -> list[str]:
    """Whether the two are the same model, where that was asked, and what made them differ."""
    told = [cause.sentence for cause in comparison.causes]
    return told if comparison.judgment is None else [comparison.judgment, *told]


def poles_sentence(comparison: Comparison) -> str:
    """How far poles moved, over all layers that could be compared."""
    moved = [pair.poles for pair in comparison.layers if isinstance(pair.poles, PolesMoved)]
    if not moved:
        reasons = [p.poles.reason for p in comparison.layers if isinstance(p.poles, NotApplicable)]
        return f"poles cannot be compared: {reasons[0]}" if reasons else ""
    if not any(poles.moved for poles in moved):
        return "no pole moved"
    farthest = max(poles.rms for poles in moved)
    layers = sum(poles.moved > 0 for poles in moved)
    return (
        f"poles moved in {layers} of {len(comparison.layers)} layers, "
        f"up to {num.compact(farthest)} half-widths rms"
    )


def layers_sentence(comparison: Comparison) -> str:
    """How many layers were matched, and whether one side has more."""
    parts = [f"{num.count(len(comparison.layers), 'layer')} in both"]
    for names, side in ((comparison.only_a, "A"), (comparison.only_b, "B")):
        if names:
            parts.append(f"{len(names)} only in {side}")
    return ", ".join(parts)


def tensors_sentence(tensors: TensorComparison) -> str:
    """`46 of 48 tensors are identical; only these differ: dt_bias in 2 layers (...)`."""
    if not tensors.differences:
        return f"all {tensors.matched} tensors are identical"
    head = f"{tensors.identical} of {tensors.matched} tensors are identical"
    changed = tensors.changed
    if not changed:
        return head
    if tensors.only_state_space_changed:
        return f"{head}; only state-space parameters changed: {changed_leaves(changed)}"
    ours = [difference for difference in changed if difference.layer is not None]
    if not ours:
        return f"{head}; no state-space parameter changed"
    return f"{head}; of the state-space parameters these changed: {changed_leaves(ours)}"


def changed_leaves(differences: Sequence[TensorDifference]) -> str:
    """`dt_bias in 24 layers, A_log in 1 layer`."""
    layers: dict[str, set[str | None]] = {}
    for difference in differences:
        layers.setdefault(difference.leaf, set()).add(difference.layer)
    parts = [
        f"{printable(leaf)} in {num.count(len(found), 'layer')}" for leaf, found in layers.items()
    ]
    if len(parts) > NAMES_SHOWN:
        parts = [*parts[:NAMES_SHOWN], f"and {len(parts) - NAMES_SHOWN} more"]
    return ", ".join(parts)


def grouped(
    differences: Sequence[TensorDifference],
) -> Iterator[tuple[str, Change, list[TensorDifference]]]:
    """Differences of one kind in tensors whose names differ by a number only: `layers.*.bias`."""
    groups: dict[tuple[str, Change], list[TensorDifference]] = {}
    for difference in differences:
        pattern = _NUMBER.sub("*", printable(difference.name))
        groups.setdefault((pattern, difference.change), []).append(difference)
    for (pattern, change), members in groups.items():
        yield (pattern if len(members) > 1 else printable(members[0].name)), change, members


def what_changed(members: Sequence[TensorDifference]) -> str:
    """The largest change of values, or the change of shape or dtype, of tensors of one group."""
    storage = list(dict.fromkeys(_storage(member) for member in members))
    shown = storage[0] + (" and others" if len(storage) > 1 else "")
    values = _largest(members) if members[0].change in (Change.VALUES, Change.DTYPE) else ""
    return "; ".join(text for text in (shown, values) if text)


def _storage(difference: TensorDifference) -> str:
    """How a tensor is stored, as far as its change is one of storage."""
    a, b = difference.a, difference.b
    if a is None or b is None:
        stored = a or b
        return f"{stored.dtype} {_shape(stored.shape)}" if stored else ""
    if difference.change is Change.SHAPE:
        return f"{_shape(a.shape)} to {_shape(b.shape)}"
    if difference.change is Change.UNREAD:
        if {a.dtype, b.dtype} <= DTYPES.keys():
            return f"{a.dtype} {_shape(a.shape)}, too large to be fetched"
        return f"{a.dtype} and {b.dtype} cannot both be decoded"
    return f"{a.dtype} to {b.dtype}" if difference.change is Change.DTYPE else ""


def _largest(members: Sequence[TensorDifference]) -> str:
    values = [m.values for m in members if m.values and m.values.elements]
    if not values:
        return "values are the same"
    known = [v.largest for v in values if v.largest is not None]
    if not known:
        return "values are NaN or infinite on one side"
    ratios = [v.relative for v in values if v.relative is not None]
    relative = f" ({max(ratios):.2g} times the tensor's rms)" if ratios else ""
    return f"by up to {max(known):.2g}{relative}"


def _shape(shape: tuple[int, ...]) -> str:
    return f"({', '.join(map(str, shape))})"


HEADER = ("subject", "name_a", "name_b", "quantity", "a", "b", "difference", "unit", "note")
"""`subject` is layer, model or tensor. Rows of tensors are about those that differ."""


def rows(comparison: Comparison) -> Iterator[Row]:
    """Rows of `HEADER`."""
    for pair in comparison.layers:
        names = (pair.a.name, pair.b.name)
        yield from _metric_rows("layer", names, pair.metrics)
        yield from _poles_rows(names, pair.poles)
    for name in comparison.only_a:
        yield ("layer", name, "", "presence", "present", "absent", None, "", "")
    for name in comparison.only_b:
        yield ("layer", "", name, "presence", "absent", "present", None, "", "")
    yield from _metric_rows("model", (MODEL, MODEL), comparison.model)
    if not isinstance(comparison.tensors, NotApplicable):
        yield from map(_tensor_row, comparison.tensors.differences)


def _metric_rows(
    subject: str, names: tuple[str, str], metrics: Mapping[str, OutcomePair]
) -> Iterator[Row]:
    for key, item in metrics.items():
        reasons = [
            f"{side} not applicable: {outcome.reason}"
            for side, outcome in (("a", item.a), ("b", item.b))
            if isinstance(outcome, NotApplicable)
        ]
        cells = (num.tidy(item.a), num.tidy(item.b), item.difference, item.unit)
        yield (subject, *names, key, *cells, "; ".join(reasons))


def _poles_rows(names: tuple[str, str], poles: PolesMoved | NotApplicable) -> Iterator[Row]:
    if isinstance(poles, NotApplicable):
        note = f"not applicable: {poles.reason}"
        yield ("layer", *names, "poles_moved_rms", None, None, None, "half-widths", note)
        return
    for quantity, figure, unit in (
        ("poles_moved_rms", poles.rms, "half-widths"),
        ("poles_moved_largest", poles.largest, "half-widths"),
        ("poles_moved_share", poles.moved / poles.modes, "fraction"),
    ):
        yield ("layer", *names, quantity, None, None, figure, unit, "")


def _tensor_row(item: TensorDifference) -> Row:
    names = (item.a.name if item.a else "", item.b.name if item.b else "")
    stored = [
        f"{side.dtype} {'x'.join(map(str, side.shape)) or 'scalar'}" if side else "absent"
        for side in (item.a, item.b)
    ]
    note = f"{item.role} of {item.layer}" if item.layer is not None else ""
    largest = item.values.largest if item.values else None
    return ("tensor", *names, item.change.value, *stored, largest, "", note)


COMPARISON_WRITERS: Registry[Writer[Comparison]] = Registry(
    "format",
    "ssmspec.comparison_writers",
    formats(build, ("one row for every metric of every layer, and every tensor", HEADER, rows)),
    key=lambda writer: writer.id,
)
