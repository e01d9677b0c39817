"""A finding in a few words: the number against its threshold, and what to do."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from ssmspec.naming import printable
from ssmspec.outcome import Finding
from ssmspec.rules.wording import compared, number, percent

_STATED = re.compile(r".*?\([^()]*threshold[^()]*\)|.*?(?=: |; |\. |$)", re.DOTALL)
"""What a message states before it explains: as far as what was judged, or its first clause."""


@dataclass(frozen=True)
class Brief:
    """A rule's finding in a few words.

    Attributes:
        says: a pattern found in the message of such a finding; the first that fits is taken, and a
            message that none fits is shortened.
        what: `{value}` stands for the number, `{share}` for it in percent; "" for the message's
            own first clause.
        advice: what to do.
    """

    says: str
    what: str
    advice: str


_BRIEFS: Mapping[str, tuple[Brief, ...]] = {
    "STB001": (
        Brief("e-fold.*rounding of", "a pole grows, {value} nat/sample", "store float32"),
        Brief("by a factor.*rounding of", "a pole grows, {value} times", "store float32"),
        Brief("e-fold", "a pole grows, {value} nat/sample", "make every pole decay"),
        Brief("factor of more", "a pole grows, over 1e+300 times", "make every pole decay"),
        Brief("by a factor", "a pole grows, {value} times", "make every pole decay"),
    ),
    "STB002": (
        Brief("logarithm once more", "", "convert without a second log"),
        Brief("the logarithm of 0", "", "write a small rate's log there"),
        Brief("infinities alone in float16", "", "store float32"),
        Brief("", "", "go back to the last finite file"),
    ),
    "LST001": (Brief("", "", "find what dropped it"),),
    "ACC001": (Brief("time constant", "remembers {value} samples", "test on longer inputs"),),
    "INI001": (Brief("never trained", "never trained, moved {value}", "check its gradients"),),
    "INI002": (Brief("lost their spread", "dt lost its spread, {value}", "set the dt bias last"),),
    "INI003": (Brief("", "", "check --dt-transform"),),
    "INI004": (Brief("", "", "leave A_log out of weight decay"),),
    "PRC001": (Brief("rounding", "rounding moves poles by {value}", "keep A and dt in float32"),),
    "MEM001": (
        Brief("below one.*Lower the damping", "{share} of modes forget at once", "lower damping"),
        Brief("below one sample", "{share} of modes forget at once", "lower dt"),
    ),
    "MEM002": (
        Brief("no mode.*Lower the damping", "memory over L is {value}", "lower damping"),
        Brief("no mode", "memory over L is {value}", "lower dt or damping"),
    ),
    "MEM003": (
        Brief("longer than.*Raise the damping", "{share} of modes outlast L", "raise damping"),
        Brief("longer than", "{share} of modes outlast L", "raise dt or damping"),
    ),
    "ALI001": (
        Brief("of the modes alias", "{share} of modes alias", "mask them or lower dt"),
        Brief("modes that alias hold", "{share} of energy aliases", "mask it or lower dt"),
    ),
    "COV001": (Brief("of the band", "{share} of the band reached", "widen dt or angles"),),
    "COV002": (Brief("unevenly", "flatness {value}", "a shape, no fault"),),
    "ENT001": (Brief("move together", "decay tied to frequency, R² {value}", "no fault"),),
    "DEA001": (Brief("are dead", "{share} of channels are silent", "prune them"),),
    "DEA002": (Brief("", "", "find what zeroed it"),),
    "RED001": (Brief("beside them", "{share} of modes repeat others", "use a smaller state"),),
    "LOC001": (Brief("kernel is local", "90 % of energy in {share} of L", "no fault"),),
    "LOC002": (Brief("row stride", "{share} of energy follows the rows", "no fault"),),
    "RES001": (Brief("lower rate", "{share} of energy would alias there", "mask these modes"),),
}


def brief(finding: Finding) -> tuple[str, str]:
    """What was found and what to do, each in a few words; the latter "" where none are known.

    A rule without words of its own (a third party's, say) is said by the first clause of its
    message.
    """
    known = _BRIEFS.get(finding.code, ())
    fitting = [one for one in known if re.search(one.says, finding.message, re.DOTALL)]
    value, threshold = finding.value, finding.threshold
    if fitting and fitting[0].what and value is not None and threshold is not None:
        form = percent if "{share}" in fitting[0].what else number
        sign = ">" if abs(value) > abs(threshold) else "<"
        shown, limit = compared(abs(value), abs(threshold), form)  # growth is a negative decay
        what = fitting[0].what.format(value=shown, share=shown)
        return f"{what} ({sign} {limit})", fitting[0].advice
    stated = _STATED.match(finding.message)
    words = printable(stated[0] if stated else finding.message)
    taken = fitting or known
    return words, taken[0].advice if taken else ""


def headline(finding: Finding) -> str:
    """What was found, without the numbers behind it: `94 % of modes alias`."""
    return re.split(r" \(|: |, ", brief(finding)[0])[0]
