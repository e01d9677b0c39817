"""A comparison of two models for a person at a terminal; plain and complete in a pipe."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from rich.text import Text

from ssmspec.naming import printable
from ssmspec.outcome import NotApplicable, Outcome
from ssmspec.results.comparison import Comparison, LayerPair, PolesMoved, Side, SideKind
from ssmspec.writers.base import Page, Writer
from ssmspec.writers.comparison_words import (
    count,
    grouped,
    layers_sentence,
    poles_sentence,
    tensors_sentence,
    warning,
    what_changed,
)
from ssmspec.writers.parts import terminal
from ssmspec.writers.parts.numbers import (
    HEADLINE,
    byte_size,
    compact,
    fixed,
    percent,
    samples,
    shown,
    signed,
    significant,
    unit_label,
)
from ssmspec.writers.parts.terminal import (
    Column,
    hanging,
    short_names,
    skipped_lines,
    some,
    titled,
    to_text,
)

LAYERS_SHOWN = 16
GROUPS_SHOWN = 12
"""Lines a terminal is given of a longer table, those that moved most, unless --verbose."""

_PAIRED: tuple[tuple[str, str, Callable[[float | None], str], int], ...] = (
    ("tau", "time_constant_median", samples, 1),
    ("cover", "coverage", fixed, 2),
    ("flat", "spectral_flatness", fixed, 2),
    ("aliased", "aliased_fraction", percent, 3),
    ("entangled", "entanglement", fixed, 4),
    ("dt", "step_size_median", significant, 6),
    ("memory/L", "memory_ratio", compact, 7),
    ("drift", "init_drift", compact, 8),
)


def render(comparison: Comparison, page: Page) -> str:
    """The whole comparison as text."""
    return to_text(_lines(comparison, page), page)


def _lines(comparison: Comparison, page: Page) -> Iterator[Text]:
    for label, side in (("A", comparison.a), ("B", comparison.b)):
        yield from hanging(Text(f"{label}  ", style="bold"), Text(_side(side)), page)
    sentences = [layers_sentence(comparison), poles_sentence(comparison)]
    yield Text("; ".join(sentence for sentence in sentences if sentence))
    if comparison.layers:
        yield from _layer_table(comparison.layers, page)
        yield from _model_table(comparison, page)
    yield from _tensors(comparison, page)
    if page.verbose:
        yield from _every_metric(comparison.layers, page)
    for names, label in ((comparison.only_a, "A"), (comparison.only_b, "B")):
        if names:
            yield from titled(f"only {label}", [some(list(map(printable, names)), page)], page)
    yield from titled("assumed", comparison.assumptions, page)
    yield from skipped_lines((*comparison.a.skipped, *comparison.b.skipped), page)


def _side(side: Side) -> str:
    source = side.checkpoint
    kind = source.container
    if side.kind is SideKind.REPORT:
        kind = f"saved report of {printable(source.path)}"
    elif source.size is not None:
        kind += f", {byte_size(source.size)}"
    counts = f"{count(source.tensors, 'tensor')}, {count(side.layers, 'layer')} measured"
    return f"{printable(side.path)}   {kind}, {counts}"


def _layer_table(pairs: Sequence[LayerPair], page: Page) -> Iterator[Text]:
    names = [pair.a.name for pair in pairs]
    labels, pattern = short_names(names) if page.width is not None else (names, "")
    rows = [(printable(label), pair) for label, pair in zip(labels, pairs, strict=True)]
    hidden = 0
    if page.width is not None and not page.verbose and len(rows) > LAYERS_SHOWN:
        farthest = sorted(rows, key=lambda row: _distance(row[1]), reverse=True)[:LAYERS_SHOWN]
        chosen = {id(pair) for _, pair in farthest}
        hidden = len(rows) - LAYERS_SHOWN
        rows = [row for row in rows if id(row[1]) in chosen]
    yield Text()
    yield from terminal.lines(_columns(rows), page.width)
    if any(isinstance(pair.poles, PolesMoved) for _, pair in rows):
        yield Text("moved: rms and largest distance of the poles in half-widths of A", style="dim")
    if pattern:
        yield Text(f"layers are {pattern.replace('{}', '<layer>')}", style="dim")
    if hidden:
        yield Text(f"{hidden} layers whose poles moved less (--verbose)", style="dim")


def _columns(rows: Sequence[tuple[str, LayerPair]]) -> list[Column]:
    columns = [
        Column("layer", [label for label, _ in rows], right=False, style="bold"),
        Column("moved", [_moved(pair, lambda poles: poles.rms) for _, pair in rows], rank=1),
        Column("largest", [_moved(pair, lambda poles: poles.largest) for _, pair in rows], rank=5),
    ]
    for header, metric, form, rank in _PAIRED:
        cells = [_change(pair, metric, form) for _, pair in rows]
        columns.append(Column(header, cells, rank=rank, right=False))
    return columns


def _moved(pair: LayerPair, figure: Callable[[PolesMoved], float]) -> str:
    if isinstance(pair.poles, NotApplicable):
        return "-"
    return "0" if pair.poles.moved == 0 else compact(figure(pair.poles))


def _change(pair: LayerPair, metric: str, form: Callable[[float | None], str]) -> str:
    """`0.67 → 0.65`, or one number where both are shown alike."""
    a, b = form(pair.a.value(metric)), form(pair.b.value(metric))
    return a if a == b else f"{a} → {b}"


def _distance(pair: LayerPair) -> float:
    return pair.poles.rms if isinstance(pair.poles, PolesMoved) else float("inf")


def _model_table(comparison: Comparison, page: Page) -> Iterator[Text]:
    present = [key for key in HEADLINE if key in comparison.model and _has_number(comparison, key)]
    if len(comparison.layers) < 2 or not present:
        return
    pairs = [comparison.model[key] for key in present]
    yield Text()
    yield from terminal.lines(
        [
            Column("whole model", present, right=False, style="bold"),
            Column("A", [shown(pair.a) for pair in pairs]),
            Column("B", [shown(pair.b) for pair in pairs]),
            Column("B - A", [signed(pair.b, pair.a) for pair in pairs]),
            Column("unit", [unit_label(pair.unit) for pair in pairs], rank=1, right=False),
        ],
        page.width,
    )


def _has_number(comparison: Comparison, key: str) -> bool:
    pair = comparison.model[key]
    return any(not isinstance(outcome, NotApplicable) for outcome in (pair.a, pair.b))


def _tensors(comparison: Comparison, page: Page) -> Iterator[Text]:
    tensors = comparison.tensors
    if isinstance(tensors, NotApplicable):
        yield from titled("tensors", [f"not compared: {tensors.reason}"], page)
        return
    yield Text()
    caution = warning(tensors)
    style = "yellow" if caution else ""
    for i, sentence in enumerate(filter(None, (tensors_sentence(tensors), caution))):
        label = "tensors  " if i == 0 else " " * 9
        yield from hanging(Text(label, style="dim"), Text(f"{sentence}.", style=style), page)
    groups = list(grouped(tensors.differences))
    whole = page.width is None or page.verbose
    for pattern, change, members in groups if whole else groups[:GROUPS_SHOWN]:
        many = f" ({len(members)} tensors)" if len(members) > 1 else ""
        ours = ", state-space" if any(member.layer is not None for member in members) else ""
        body = f"{pattern}{many}: {change.value}{ours}, {what_changed(members)}"
        yield from hanging(Text(" " * 9), Text(body), page)
    if not whole and len(groups) > GROUPS_SHOWN:
        yield Text(f"{' ' * 9}and {len(groups) - GROUPS_SHOWN} more (--verbose)", style="dim")


def _every_metric(pairs: Sequence[LayerPair], page: Page) -> Iterator[Text]:
    for pair in pairs:
        yield Text()
        yield Text(printable(pair.a.name), style="bold")
        if isinstance(pair.poles, PolesMoved):
            p = pair.poles
            yield Text(
                f"  {p.moved} of {p.modes} poles moved: {p.rms:.6g} half-widths rms, "
                f"{p.largest:.6g} at most"
            )
        else:
            yield Text(f"  poles not compared: {pair.poles.reason}", style="dim")
        for key, item in pair.metrics.items():
            if isinstance(item.a, NotApplicable) and isinstance(item.b, NotApplicable):
                why = Text(_reasons(item.a, item.b), style="dim")
                yield from hanging(Text(f"  {key:<24} "), why, page)
                continue
            difference = signed(item.b, item.a)
            line = f"  {key:<24} {shown(item.a):>10} {shown(item.b):>10} {difference:>10}"
            yield Text.assemble(
                f"{line} {unit_label(item.unit)} ", (_reasons(item.a, item.b), "dim")
            )


def _reasons(a: Outcome, b: Outcome) -> str:
    """Why a side has no number, each reason once."""
    reasons = {
        side: outcome.reason
        for side, outcome in (("A", a), ("B", b))
        if isinstance(outcome, NotApplicable)
    }
    if len(reasons) == 2 and reasons["A"] == reasons["B"]:
        return f"not applicable: {reasons['A']}"
    return "; ".join(f"{side} not applicable: {reason}" for side, reason in reasons.items())


WRITER = Writer("text", "for a person: plain in a pipe, styled in a terminal", render)
