"""The tables of the text report: layers that oscillate, and layers that only decay."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from ssmspec.outcome import Measured, NotApplicable
from ssmspec.results.report import LayerReport
from ssmspec.writers.parts import terminal
from ssmspec.writers.parts.numbers import (
    NOT_APPLICABLE,
    fixed,
    near_one,
    percent,
    rebin,
    samples,
    significant,
    span,
    strip,
    time,
)
from ssmspec.writers.parts.terminal import Column, Name

Rows = Sequence[tuple[str, LayerReport]]
"""(label, layer) for every line of a table."""

MANY = 16
"""More layers of one kind than this are collapsed to their median and their outliers."""
OUTLIER_TOLERANCE = 0.15
"""Heuristic: least relative distance from the median at which a layer is shown by itself."""
OUTLIER_SPREADS = 8.0
"""Heuristic: and the least distance in median absolute deviations, about 5 standard deviations."""
OUTLIERS_SHOWN = 12
LOCAL = 0.05
"""Share of L below which the energy horizon is called local, the threshold of LOC001."""
COMB = 3.0
"""Times chance above which stride energy is called a comb, the other threshold of LOC001."""


def _dt_range(layer: LayerReport) -> str:
    return span(layer.value("step_size_min"), layer.value("step_size_max"))


def _column(
    header: str, metric: str, shown: Callable[[float | None], str], rank: int
) -> tuple[str, Callable[[LayerReport], str], int]:
    return header, lambda layer: shown(layer.value(metric)), rank


def _time(header: str, metric: str, rank: int) -> tuple[str, Callable[[LayerReport], str], int]:
    return header, lambda layer: time(layer.value(metric), layer.sample_rate), rank


def _plain(value: float | None) -> str:
    return NOT_APPLICABLE if value is None else f"{value:.2f}"


def _scheme(layer: LayerReport) -> str:
    outcome = layer.metrics.get("init_scheme")
    return str(outcome.value) if isinstance(outcome, Measured) else NOT_APPLICABLE


def _stride(layer: LayerReport) -> str:
    stride, chance = layer.value("stride_energy"), layer.value("stride_energy_chance")
    if stride is None or chance is None:
        return NOT_APPLICABLE
    return f"{percent(stride)} ({percent(chance)})"


def _count(layer: LayerReport, metric: str) -> str:
    share = layer.value(metric)
    return NOT_APPLICABLE if share is None else str(round(share * layer.channels))


_FREQUENCY = (
    ("dt", _dt_range, 3),
    _time("tau", "time_constant_median", 2),
    _column("cover", "coverage", fixed, 1),
    _column("flat", "spectral_flatness", fixed, 1),
    _column("aliased", "aliased_fraction", percent, 1),
    _column("entangled", "entanglement", fixed, 2),
    _column("W1", "frequency_w1", _plain, 4),
    _column("low", "low_frequency_share", percent, 6),
    _column("max |z|", "max_radius", near_one, 7),
    _column("memory/L", "memory_ratio", significant, 8),
    ("init", _scheme, 9),
    _column("drift", "init_drift", significant, 9),
)
_HEARING = (
    _column("90 % within", "energy_horizon", samples, 1),
    _column("of L", "locality", percent, 1),
    ("stride (chance)", _stride, 1),
    _column("peak gain", "hinf_max", significant, 3),
    _column("dead", "dead_channel_fraction", percent, 2),
    _column("order", "effective_order", significant, 4),
    _column("aliased energy", "aliased_energy", percent, 6),
    _column("redundant", "redundant_mode_fraction", percent, 7),
    _column("dead modes", "dead_mode_fraction", percent, 8),
)
_GRID_METRICS = (
    "coverage", "spectral_flatness", "aliased_fraction", "entanglement", "frequency_w1",
    "low_frequency_share",
)  # fmt: skip
_DECAY = (
    ("dt", _dt_range, 1),
    _time("tau 5 %", "time_constant_p05", 1),
    _time("median", "time_constant_median", 1),
    _time("95 %", "time_constant_p95", 1),
    _column("< 1", "memoryless_fraction", percent, 2),
    _column("octaves", "timescale_coverage", percent, 3),
    ("local", lambda layer: _count(layer, "local_channel_fraction"), 4),
    ("global", lambda layer: _count(layer, "global_channel_fraction"), 4),
    _column("memory/L", "memory_ratio", significant, 4),
    _column("max |z|", "max_radius", near_one, 5),
    ("init", _scheme, 9),
    _column("drift", "init_drift", significant, 9),
)


_LEGEND = {
    "dt": "step size",
    "tau": "time constant, samples or as said",
    "tau 5 %": "time constants by quantile, samples or as said",
    "cover": "band reached",
    "flat": "evenness, 1 is even",
    "aliased": "modes past Nyquist",
    "entangled": "R² of decay and frequency",
    "W1": "distance from even, 0 is even",
    "low": "modes in the lowest tenth",
    "max |z|": "largest radius",
    "memory/L": "memory over sequence",
    "init": "nearest known start",
    "drift": "distance from it, half-widths",
    "< 1": "modes that forget within a sample",
    "octaves": "octaves of time covered",
    "90 % within": "lags that hold 90 % of the energy",
    "stride (chance)": "energy on multiples of the row stride",
    "dead": "silent channels",
    "order": "states that the kernel needs",
}
"""What the columns are, in the words of a legend; columns that say it themselves are not here."""


def legend(tables: Iterable[Sequence[Column]], width: int | None) -> str:
    """What the columns of some tables are, of those that a page has room for."""
    kept = [column.header for columns in tables for column in terminal.layout(columns, width)[0]]
    return "; ".join(f"{h} {_LEGEND[h]}" for h in dict.fromkeys(kept) if h in _LEGEND)


def frequency_table(rows: Rows, reference: LayerReport | None, width: int | None) -> list[Column]:
    """Columns for layers whose poles oscillate; the last line is the DFouT reference."""
    bins = 32 if width is None or width >= 120 else 16
    everything = [*rows, *([("DFouT", _shape_only(reference))] if reference else [])]
    strips = power_strips([layer.power for _, layer in everything], bins)
    return [*_columns(everything, _FREQUENCY), strips]


def power_strips(powers: Sequence[tuple[float, ...]], bins: int) -> Column:
    """Shares of the poles' power from 0 to Nyquist as strips of so many blocks, on one scale."""
    profiles = [rebin(power, bins) if power else [] for power in powers]
    densities = [[share * bins for share in profile] for profile in profiles]
    top = max((value for profile in densities for value in profile), default=1.0)
    return _strips("0 .. Nyquist", [strip(d, top) for d in densities])


def _strips(header: str, cells: Iterable[str]) -> Column:
    return Column(header, list(map(Name, cells)), right=False, style="cyan")


def hearing_table(rows: Rows) -> list[Column]:
    """Columns for layers whose kernels are known: what they do hear, by lag."""
    longest = max(len(layer.lags) for _, layer in rows)
    top = max(share for _, layer in rows for share in layer.lags)
    end = 2 ** (longest - 1)
    strips = _strips(
        f"lag 0 .. {end if end < 1024 else f'{end // 1024}k'}",
        [strip(list(layer.lags), top) for _, layer in rows],
    )
    words = Column("", [_reach_word(layer) for _, layer in rows], right=False)
    return [*_columns(rows, _HEARING), strips, words]


def _reach_word(layer: LayerReport) -> str:
    """`local` where LOC001 would say so of the energy horizon, else `spread`; `comb` by stride."""
    share, stride = layer.value("locality"), layer.value("stride_energy")
    chance = layer.value("stride_energy_chance")
    words = [] if share is None else ["local" if share < LOCAL else "spread"]
    if stride is not None and chance is not None and stride > COMB * chance:
        words.append("comb")
    return ", ".join(words)


def _shape_only(reference: LayerReport) -> LayerReport:
    """A reference without the numbers that come from its draw of damping, not from its grid."""
    kept = {key: reference.metrics[key] for key in _GRID_METRICS if key in reference.metrics}
    return replace(reference, metrics=kept, complete=False)


def decay_table(rows: Rows) -> list[Column]:
    """Columns for layers of real poles; the strip is over octaves of the time constant."""
    longest = max((_last(layer.timescales) for _, layer in rows), default=1)
    profiles = [layer.timescales[:longest] for _, layer in rows]
    top = max((share for profile in profiles for share in profile), default=1.0) or 1.0
    end = 2 ** (longest - 1)
    header = f"<1 .. {end if end < 1024 else f'{end // 1024}k'} samples"
    strips = _strips(header, [strip(list(profile), top) for profile in profiles])
    return [*_columns(rows, _DECAY), strips]


def _columns(
    rows: Rows, table: Sequence[tuple[str, Callable[[LayerReport], str], int]]
) -> list[Column]:
    columns = [Column("layer", [label for label, _ in rows], right=False, style="bold")]
    for header, cell, rank in table:
        columns.append(Column(header, [cell(layer) for _, layer in rows], rank=rank))
    return columns


def _last(profile: Sequence[float]) -> int:
    return max((i + 1 for i, share in enumerate(profile) if share > 0), default=1)


def collapse(rows: Rows) -> tuple[list[tuple[str, LayerReport]], int]:
    """Many layers of one kind as their outliers and one line of medians; and how many are hidden.

    Outliers stand in the order of the file, and at most `OUTLIERS_SHOWN` of a kind.
    """
    if len(rows) <= MANY:
        return list(rows), 0
    kinds: dict[tuple[str, int, int], list[tuple[str, LayerReport]]] = {}
    for label, layer in rows:
        kinds.setdefault((layer.family, layer.channels, layer.modes), []).append((label, layer))
    shown: list[tuple[str, LayerReport]] = []
    hidden = 0
    for members in kinds.values():
        layers = [layer for _, layer in members]
        middle = median_layer(layers)
        reach = _reach(layers, middle)
        far = sorted(((_distance(layer, middle, reach), i) for i, layer in enumerate(layers)))[::-1]
        outliers = sorted(i for d, i in far[:OUTLIERS_SHOWN] if d > 1.0)
        if len(members) - len(outliers) < 3:
            shown += members
            continue
        shown += [members[i] for i in outliers]
        alike = sum(d <= 1.0 for d, _ in far)
        hidden += len(members) - len(outliers) - alike
        shown.append((f"{alike} alike", middle))
    return shown, hidden


def median(values: Iterable[float]) -> float:
    """The median; `statistics` would load fractions, decimal and random for it."""
    ordered = sorted(values)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


def _numbers(layer: LayerReport) -> dict[str, float]:
    return {key: value for key in layer.metrics if (value := layer.value(key)) is not None}


_HEADLINE = (
    "time_constant_median", "time_constant_p05",
    "time_constant_p95", "coverage", "spectral_flatness", "aliased_fraction", "entanglement",
    "frequency_w1", "unstable_fraction", "memoryless_fraction",
)  # fmt: skip


def _reach(layers: Sequence[LayerReport], middle: LayerReport) -> dict[str, float]:
    """How far from its median a headline number may be before its layer stands by itself.

    `OUTLIER_SPREADS` median absolute deviations, and at least `OUTLIER_TOLERANCE` of the number
    (of 0.2 for a share near 0), so that the scatter of random draws is not news.
    """
    numbers = [_numbers(layer) for layer in layers]
    reach = {}
    for key, center in _numbers(middle).items():
        if key in _HEADLINE:
            spread = median(abs(n[key] - center) for n in numbers if key in n)
            scale = max(abs(center), 0.2 if abs(center) <= 1 else 0.0)
            reach[key] = max(OUTLIER_SPREADS * spread, OUTLIER_TOLERANCE * scale)
    return reach


def _distance(layer: LayerReport, middle: LayerReport, reach: Mapping[str, float]) -> float:
    """Largest distance of a headline number from its median, in units of its reach."""
    mine, theirs = _numbers(layer), _numbers(middle)
    if any((key in mine) != (key in theirs) for key in _HEADLINE):
        return math.inf
    return max((abs(mine[key] - theirs[key]) / reach[key] for key in reach), default=0.0)


def median_layer(layers: Sequence[LayerReport]) -> LayerReport:
    """A layer whose every number is the median over layers, for the line that stands for many."""
    first = layers[0]
    numbers = [_numbers(layer) for layer in layers]
    metrics: dict[str, Measured | NotApplicable] = {}
    for key, outcome in first.metrics.items():
        values = [n[key] for n in numbers if key in n]
        if len(values) * 2 > len(layers) and isinstance(outcome, Measured):
            metrics[key] = Measured(float(median(values)), outcome.unit)
        else:
            metrics[key] = NotApplicable("most of these layers have no number")
    return replace(
        first,
        metrics=metrics,
        complete=False,
        power=_median_profile([layer.power for layer in layers]),
        timescales=_median_profile([layer.timescales for layer in layers]),
        lags=_median_profile([layer.lags for layer in layers]),
    )


def _median_profile(profiles: Sequence[tuple[float, ...]]) -> tuple[float, ...]:
    full = [profile for profile in profiles if profile]
    return tuple(median(shares) for shares in zip(*full, strict=True)) if full else ()
