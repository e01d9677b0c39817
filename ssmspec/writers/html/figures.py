"""Figures of a page: which layers are drawn, and the panels themselves.

A figure costs tens of kilobytes and a good part of a second, so a page draws the layers that have
something to say and names the rest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from ssmspec.errors import SsmspecError
from ssmspec.naming import printable
from ssmspec.outcome import Finding, Level
from ssmspec.results.report import LayerReport, Report

MOST_FIGURES = 48
"""Layers drawn on one page, over all its checkpoints."""

_LABEL = "poles, power and reach along the band, decay against frequency, energy by lag"


@dataclass(frozen=True)
class Figures:
    """The drawn layers of one report.

    Attributes:
        svg: inline SVG by layer name.
        missing: why layers that should be drawn are not; "" where they are.
    """

    svg: Mapping[str, str]
    missing: str = ""


def most_telling(layers: Sequence[LayerReport], findings: Sequence[Finding]) -> list[str]:
    """Names of all layers: worst findings first, then most findings, then spread over the depth."""
    worst = dict.fromkeys((layer.name for layer in layers), len(Level))
    count = dict.fromkeys(worst, 0)
    for finding in findings:
        if finding.layer in worst:
            worst[finding.layer] = min(worst[finding.layer], finding.level.rank)
            count[finding.layer] += 1
    ordered = sorted(worst, key=lambda name: (worst[name], -count[name]))
    alike = groupby(ordered, key=lambda name: (worst[name], count[name]))
    return [name for _, names in alike for name in spread(list(names))]


def spread(names: Sequence[str]) -> list[str]:
    """Names so ordered that any first few of them are spread evenly: ends, middle, quarters, ..."""
    taken: dict[int, None] = {}
    step = max(1, len(names) - 1)
    while len(taken) < len(names):
        taken |= dict.fromkeys((*range(0, len(names), step), len(names) - 1))
        step = max(1, step // 2)
    return [names[i] for i in taken]


def shared_out(wanted: Sequence[Sequence[str]], most: int) -> list[list[str]]:
    """How many layers of each of several reports are drawn: one each in turn until all are used.

    Args:
        wanted: for each report its layers, the most telling first.
        most: layers in all.
    """
    drawn: list[list[str]] = [[] for _ in wanted]
    for turn in range(max((len(names) for names in wanted), default=0)):
        for names, chosen in zip(wanted, drawn, strict=True):
            if turn < len(names) and sum(map(len, drawn)) < most:
                chosen.append(names[turn])
    return drawn


def layer_id(anchor: str, index: int) -> str:
    """The id of a layer on a page, and the prefix of the ids in its figure."""
    return f"{anchor}L{index}"


def draw(report: Report, names: Sequence[str], anchor: str) -> Figures:
    """Panels of some layers, read again one at a time.

    Args:
        report: the analysis.
        names: layers to draw.
        anchor: prefix of the ids, different for each checkpoint of a page.
    """
    if not names:
        return Figures({})
    if report.origin is None:
        return Figures({}, "a saved report holds numbers and no poles; draw from the checkpoint")
    from ssmspec.plots.files import to_svg  # noqa: PLC0415 - matplotlib, for whoever draws
    from ssmspec.plots.parts.panel import layer_panel  # noqa: PLC0415

    index = {layer.name: i for i, layer in enumerate(report.layers)}
    left = set(names)
    svg: dict[str, str] = {}
    undrawn: dict[str, str] = {}
    try:
        for view in report.origin():
            name = view.spectrum.name
            if name in left:
                left.discard(name)
                prefix = f"{layer_id(anchor, index[name])}-"
                try:
                    svg[name] = to_svg(layer_panel(view), prefix=prefix, label=_LABEL)
                except (ArithmeticError, LookupError, TypeError, ValueError) as error:
                    undrawn[name] = type(error).__name__
            if not left:
                break
    except (SsmspecError, OSError) as error:
        reason = error.strerror or "" if isinstance(error, OSError) else str(error)
        return Figures(svg, f"the checkpoint could not be read again: {printable(reason)}")
    if undrawn:
        name, cause = next(iter(undrawn.items()))
        more = f" and {len(undrawn) - 1} more" if len(undrawn) > 1 else ""
        return Figures(
            svg, f"the numbers of {printable(name)}{more} lie beyond what can be drawn ({cause})"
        )
    return Figures(svg, "the checkpoint no longer holds all its layers" if left else "")
