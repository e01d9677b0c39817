"""Rules: what a measurement means. The table below goes from what is broken to what is shape."""

from __future__ import annotations

from ssmspec.outcome import Finding
from ssmspec.registry import Registry
from ssmspec.rules import (
    initialization,
    kernel,
    memory,
    precision,
    regression,
    spectrum_shape,
    stability,
)
from ssmspec.rules.base import Evidence, Rule
from ssmspec.rules.presets import RECOMMENDED
from ssmspec.rules.settings import Setting

RULES: Registry[Rule] = Registry(
    "rule",
    "ssmspec.rules",
    (
        stability.STB001,
        stability.STB002,
        stability.LST001,
        kernel.DEA002,
        memory.ACC001,
        initialization.INI001,
        initialization.INI002,
        initialization.INI004,
        initialization.INI003,
        precision.PRC001,
        memory.MEM001,
        memory.MEM002,
        memory.MEM003,
        spectrum_shape.ALI001,
        spectrum_shape.COV001,
        spectrum_shape.COV002,
        spectrum_shape.ENT001,
        kernel.DEA001,
        kernel.RED001,
        kernel.LOC001,
        kernel.LOC002,
        kernel.RES001,
        regression.REG001,
    ),
    key=lambda rule: rule.code,
)


def judge(evidence: Evidence) -> list[Finding]:
    """What the rules find in one measured layer under the recommended preset, in table order."""
    return [finding for finding in judge_all(evidence) if not is_off(finding.code)]


def judge_all(evidence: Evidence) -> list[Finding]:
    """The same with the rules that the recommended preset leaves out, as `--verbose` shows them."""
    findings = (rule.apply(evidence) for rule in RULES.values())
    return [finding for finding in findings if finding is not None]


def is_off(code: str) -> bool:
    """Whether the recommended preset leaves a rule out."""
    return RECOMMENDED.rules.get(code, Setting()).level == "off"
