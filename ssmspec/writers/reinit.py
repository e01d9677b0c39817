"""A re-initialization for a person: what changes layer by layer, what is kept, what to know."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence

from rich.text import Text

from ssmspec.choices import CPolicy
from ssmspec.naming import printable
from ssmspec.outcome import Measured, Outcome
from ssmspec.results.reinit import LayerChange, Reinitialization, StepSizes
from ssmspec.writers.base import Page
from ssmspec.writers.parts import terminal
from ssmspec.writers.parts.numbers import NOT_APPLICABLE, fixed, percent, samples, significant
from ssmspec.writers.parts.terminal import (
    Column,
    hanging,
    short_names,
    skipped_lines,
    some,
    titled,
    to_text,
)

Shown = Callable[[float | None], str]

_OSCILLATING: tuple[tuple[str, str, Shown, int], ...] = (
    ("aliased", "aliased_fraction", percent, 1),
    ("cover", "coverage", fixed, 1),
    ("flat", "spectral_flatness", fixed, 1),
    ("entangled", "entanglement", fixed, 2),
    ("W1", "frequency_w1", fixed, 5),
    ("tau", "time_constant_median", samples, 3),
)
_DECAYING: tuple[tuple[str, str, Shown, int], ...] = (
    ("tau 5 %", "time_constant_p05", samples, 2),
    ("median", "time_constant_median", samples, 1),
    ("95 %", "time_constant_p95", samples, 1),
    ("max |z|", "max_radius", lambda value: significant(value, 6), 3),
)

_STEP_SIZES = {
    StepSizes.KEPT: "step sizes are kept, and A holds the new poles at them",
    StepSizes.ONE: "step sizes are set to 1, and A is the log-pole itself",
    StepSizes.DRAWN: "step sizes are drawn anew",
    StepSizes.NONE: "there are no step sizes: discrete poles are stored",
}


def render_text(result: Reinitialization, page: Page) -> str:
    """The plan, or what was done, as text; ANSI styles only where the page has color."""
    return to_text(_lines(result, page), page)


def render_json(result: Reinitialization, page: Page) -> str:
    """`Reinitialization.to_dict()`; a NaN or an infinity is an error here."""
    del page  # JSON has no width, color or verbosity: it is always complete
    return json.dumps(result.to_dict(), indent=2, allow_nan=False, ensure_ascii=True) + "\n"


def _lines(result: Reinitialization, page: Page) -> Iterator[Text]:
    yield from _heading(result)
    for oscillates in (True, False):
        layers = [layer for layer in result.layers if layer.oscillates is oscillates]
        if layers:
            yield Text()
            yield from _table(layers, result, page)
    yield Text()
    for sentence in _sentences(result, page):
        yield from hanging(Text("- ", style="dim"), Text(sentence), page)
    for warning in result.warnings:
        yield from hanging(Text("warning ", style="yellow"), Text(warning), page)
    yield from titled("assumed", result.assumptions, page)
    yield from skipped_lines(result.skipped, page)
    yield Text()
    yield _outcome(result)


def _heading(result: Reinitialization) -> Iterator[Text]:
    length = "" if result.sequence_length is None else f", L = {result.sequence_length}"
    yield Text.assemble(
        (printable(result.path), "bold"),
        f"   {result.scheme_title} ({result.scheme}), seed {result.seed}{length}",
    )
    count = len(result.layers)
    layers = "1 layer gets new poles" if count == 1 else f"{count} layers get new poles"
    yield Text(f"{layers}; {result.copied} tensors are copied as they are")


def _outcome(result: Reinitialization) -> Text:
    if result.written:
        return Text(f"written to {printable(str(result.output))}", style="green")
    return Text("nothing was written (dry run)", style="dim")


def _table(layers: Sequence[LayerChange], result: Reinitialization, page: Page) -> list[Text]:
    names = [layer.name for layer in layers]
    labels, pattern = [printable(name) for name in names], ""
    if page.width is not None:
        labels, pattern = short_names(names)
    columns = [
        Column("layer", labels, right=False, style="bold"),
        Column("poles", [f"{layer.channels} x {layer.modes}" for layer in layers], rank=4),
    ]
    for header, metric, shown, rank in _OSCILLATING if layers[0].oscillates else _DECAYING:
        cells = [_change(layer, metric, shown) for layer in layers]
        columns.append(Column(header, cells, rank=rank))
    if result.c is CPolicy.FIT:
        kept = [percent(layer.kernel.kept) if layer.kernel else "-" for layer in layers]
        columns.append(Column("energy kept", kept, rank=1))
    if any(layer.xi for layer in layers):
        columns.append(Column("xi", [_xi(layer) for layer in layers], rank=3))
    lines = terminal.lines(columns, page.width)
    if pattern:
        lines.append(Text(f"layers are {pattern.replace('{}', '<layer>')}", style="dim"))
    return lines


def _change(layer: LayerChange, metric: str, shown: Shown) -> str:
    before, after = _number(layer.before[metric]), _number(layer.after[metric])
    if before is None and after is None:
        return NOT_APPLICABLE
    return f"{shown(before)} -> {shown(after)}"


def _number(outcome: Outcome) -> float | None:
    is_number = isinstance(outcome, Measured) and not isinstance(outcome.value, str)
    return outcome.value if is_number else None  # type: ignore[union-attr, return-value]


def _xi(layer: LayerChange) -> str:
    if layer.xi is None:
        return NOT_APPLICABLE
    return f"{significant(layer.xi.lowest)}-{significant(layer.xi.highest)}"


def _sentences(result: Reinitialization, page: Page) -> Iterator[str]:
    for tensors, layers in _by_leaves(result.layers).items():
        where = "every layer" if len(layers) == len(result.layers) else some(layers, page)
        yield f"changed in {where}: {tensors}"
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
            f"within {significant(worst)} half-widths of the scheme's"
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
        correlation = f": new and old kernels correlate {fixed(mean)}, mean over channels"
    if result.c is CPolicy.RESET:
        yield f"C is drawn anew, as the family's own code draws it{correlation}"
    elif result.c is CPolicy.FIT:
        yield (
            "C is the least-squares fit of the old kernels over the L lags, each residue paying "
            "for an error of a millionth of it (Tikhonov)"
        )
    elif matches:
        yield f"C stays as it is, for a model that will be trained again{correlation}"


def _by_leaves(layers: Sequence[LayerChange]) -> dict[str, list[str]]:
    """Names of changed tensors without what they share -> the layers that change them."""
    found: dict[str, list[str]] = {}
    for layer in layers:
        leaves = [
            name.removeprefix(layer.name).lstrip("._/")
            if name.startswith(layer.name)
            else name.replace("/", ".").rpartition(".")[2]
            for name in layer.tensors
        ]
        found.setdefault(", ".join(map(printable, leaves)) or "nothing", []).append(
            printable(layer.name)
        )
    return found
