"""Notes beside public models: what nearly all of a family show, folded into one line.

Only notes are looked at, never warnings or errors: a common fault is still a fault.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from ssmspec.field import Place, place
from ssmspec.outcome import Finding, Level
from ssmspec.results.report import LayerReport, Report
from ssmspec.rules.wording import number, percent
from ssmspec.writers.parts.finding_groups import by_rule, worst
from ssmspec.writers.parts.numbers import numeric
from ssmspec.writers.report.briefs import headline

JUDGED = {
    "MEM001": ("memoryless_fraction", percent),
    "ALI001": ("aliased_fraction", percent),
    "COV002": ("spectral_flatness", number),
    "ENT001": ("entanglement", number),
    "DEA001": ("dead_channel_fraction", percent),
}
"""Code of a note -> the metric it judges, and how that is written."""
FLATNESS = "spectral_flatness"


def parted(report: Report) -> tuple[list[Finding], list[Finding]]:
    """The findings to name, and the notes that nearly all public models of the family give."""
    layers = _layers(report)
    named: list[Finding] = []
    typical: list[Finding] = []
    for finding in report.findings:
        layer = layers.get(finding.layer)
        is_typical = layer is not None and _is_typical(finding, layer)
        (typical if is_typical else named).append(finding)
    return named, typical


def folded(report: Report, typical: Sequence[Finding]) -> Iterator[str]:
    """One sentence a family; it names every code it stands for."""
    layers = _layers(report)
    families: dict[str, list[Finding]] = {}
    for finding in typical:
        families.setdefault(layers[finding.layer].family_title, []).append(finding)
    for title, findings in families.items():
        most = [worst(group) for group in by_rule(findings)]
        said = [f"{headline(finding)} ({finding.code})" for finding in most]
        layer = layers[most[0].layer]
        flatness = numeric(layer.metrics.get(FLATNESS))
        among = None if flatness is None else place(layer.family, FLATNESS, flatness)
        if flatness is not None and among and among.inside and _not_said(report, layer):
            said.append(f"flatness {flatness:.2f}")
        places = [_place(finding, layers[finding.layer]) for finding in most]
        recipes = min(among.sample.recipes for among in places if among)
        yield f"as in nearly every public {title}: {', '.join(said)}; {recipes} recipes seen"


def placed(finding: Finding, report: Report) -> str:
    """Where a note's number lies among public models, in a few words; "" where nothing is known."""
    layer = _layers(report).get(finding.layer)
    among = layer and _place(finding, layer)
    if not layer or not among:
        return ""
    sample = among.sample
    if not sample.quantiles:
        form = JUDGED[finding.code][1]
        seen = " .. ".join(dict.fromkeys((form(sample.least), form(sample.most))))
        recipes = f"{sample.recipes} recipe{'s' * (sample.recipes != 1)}"
        return f"public {layer.family_title}: {seen} ({recipes})"
    share = max(among.above, among.below)
    if share < 0.5:
        return ""
    which = "any" if share == 1.0 else f"{percent(share)} of"
    side = "more" if among.above > among.below else "less"
    layers = f"layer{'s' * (share < 1.0)} ({sample.recipes} recipes)"
    return f"{side} than {which} public {layer.family_title} {layers}"


def _layers(report: Report) -> Mapping[str, LayerReport]:
    return {layer.name: layer for layer in report.layers}


def _place(finding: Finding, layer: LayerReport) -> Place | None:
    """Where the number of a note lies; None where it is no note, or of a metric not compared."""
    metric, _ = JUDGED.get(finding.code, ("", number))
    if finding.level is not Level.INFO or finding.value is None:
        return None
    if numeric(layer.metrics.get(metric)) != finding.value:  # the rule judged something else
        return None
    return place(layer.family, metric, finding.value)


def _is_typical(finding: Finding, layer: LayerReport) -> bool:
    """Whether the number is inside, and three in four of the sample pass the threshold as well."""
    among, threshold = _place(finding, layer), finding.threshold
    if among is None or not among.inside or finding.value is None or threshold is None:
        return False
    low, high = among.sample.quantiles[1], among.sample.quantiles[3]
    return low > threshold if finding.value > threshold else high < threshold


def _not_said(report: Report, layer: LayerReport) -> bool:
    return all(f.code != "COV002" or f.layer != layer.name for f in report.findings)
