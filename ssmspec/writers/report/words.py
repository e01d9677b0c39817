"""The sentences of a report: what kind of model, and what its numbers come to in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from ssmspec.naming import printable
from ssmspec.results.report import LayerReport, Report
from ssmspec.writers.parts.numbers import byte_size, percent, time

REACHABLE = 0.999
"""Coverage from which every frequency is called reachable; below, the missing share is named."""


def model_line(report: Report) -> list[str]:
    """One line for each kind of layer: `4 x S4D, 128 channels x 32 modes, ZOH`."""
    kinds = Counter(
        (layer.family_title, layer.channels, layer.modes, layer.discretization)
        for layer in report.layers
    )
    described = [
        f"{count} x {title}, {_size(channels, modes)}{_rule(discretization)}"
        for (title, channels, modes, discretization), count in kinds.most_common(4)
    ]
    if len(kinds) > 4:
        described.append(f"and {len(kinds) - 4} more kinds of layer")
    return described


def _size(channels: int, modes: int) -> str:
    if channels == 1:
        return f"{modes} modes"
    return f"{channels} channels x {modes} mode{'s' * (modes > 1)}"


def _rule(discretization: str) -> str:
    return {"zoh": ", ZOH", "bilinear": ", bilinear", "native": ""}[discretization]


def length_note(report: Report) -> str:
    """`L = 1024 (given)`, that it is what the file says, or that it is not known."""
    if report.sequence_length is None:
        return "L not given"
    found = report.reading is not None and report.reading.seq_len is None
    return f"L = {report.sequence_length} ({'from the file' if found else 'given'})"


def file_line(report: Report) -> str:
    """Container, size and number of tensors."""
    source = report.checkpoint
    return f"{source.container}, {byte_size(source.size)}, {source.tensors} tensors"


def blocks_line(report: Report) -> str | None:
    """`6 of 52 blocks are state-space layers`, for a hybrid."""
    if report.blocks is None:
        return None
    ours, everything = report.blocks
    return f"{ours} of {everything} blocks are state-space layers"


def summary(report: Report) -> str:
    """Stability, reach and memory in words: `stable; every frequency reachable; ...`."""
    clauses = [_stability(report.layers), _reach(report.layers), _memory(report)]
    return "; ".join(clause for clause in clauses if clause)


def _stability(layers: Sequence[LayerReport]) -> str:
    broken = [layer for layer in layers if layer.value("unstable_fraction") is None]
    growing = [layer for layer in layers if (layer.value("unstable_fraction") or 0) > 0]
    if broken:
        return f"not measurable in {_layers(broken, layers)}: poles are NaN or infinite"
    if growing:
        return f"unstable: poles grow in {_layers(growing, layers)}"
    return "stable"


def _reach(layers: Sequence[LayerReport]) -> str:
    covers = [(c, layer) for layer in layers if (c := layer.value("coverage")) is not None]
    if not covers:
        return ""
    if all(cover >= REACHABLE for cover, _ in covers):
        return "every frequency reachable"
    short = [layer for cover, layer in covers if cover < REACHABLE]
    worst = min(cover for cover, _ in covers)
    if len(short) == 1:
        return f"{percent(1 - worst)} of the band out of reach in {_layers(short, layers)}"
    return f"up to {percent(1 - worst)} of the band out of reach in {_layers(short, layers)}"


def _memory(report: Report) -> str:
    nominal = " (nominal)" if all(layer.selective for layer in report.layers) else ""
    ratios = [
        (r, layer) for layer in report.layers if (r := layer.value("memory_ratio")) is not None
    ]
    if ratios:
        short = [layer for ratio, layer in ratios if ratio < 1]
        if not short:
            return f"memory longer than the sequence{nominal}"
        return f"memory shorter than the sequence in {_layers(short, report.layers)}{nominal}"
    longest = [t for layer in report.layers if (t := layer.value("time_constant_p95")) is not None]
    if not longest:
        return ""
    rates = {layer.sample_rate for layer in report.layers}
    [rate] = rates if len(rates) == 1 else [None]
    unit = " samples" if rate is None else ""
    return f"time constants up to about {time(max(longest), rate)}{unit}{nominal}"


def _layers(some: Sequence[LayerReport], everything: Sequence[LayerReport]) -> str:
    if len(some) == len(everything):
        return "every layer" if len(some) > 1 else "the layer"
    if len(some) == 1:
        return f"layer {printable(some[0].name)}"
    return f"{len(some)} of {len(everything)} layers"
