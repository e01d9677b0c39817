"""A check as JUnit XML, for the tab in which CI shows tests.

A suite is a checkpoint, a class is a layer, a test is a rule. What fails the gate is a failure and
nothing else is: a note must not turn a tab red, so any other finding is a test that passed and says
something. A checkpoint that could not be judged is an error, a layer that was not measured is a
skipped test.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass, replace

from ssmspec._version import __version__
from ssmspec.naming import printable
from ssmspec.outcome import Finding
from ssmspec.results.check import CheckedFile, CheckRun, JudgedFinding, Status
from ssmspec.writers.base import Page, Writer
from ssmspec.writers.parts.finding_groups import LEVEL_WORD
from ssmspec.writers.parts.verdicts import file_sentence, outcome

MOST_TESTS = 10_000
"""Tests of one checkpoint that are written one by one (a heuristic: 1 MB). Of a larger model those
that passed and say nothing are brought together, one a rule."""

JUDGED = "judged"
"""The test that fails where a checkpoint could not be judged."""
MEASURED = "measured"
"""The test that is skipped where a layer was not measured."""
CHECKPOINT = "checkpoint"
"""Stands for a class where there is no layer."""


@dataclass(frozen=True)
class _Test:
    """One test: a rule on a layer, and what came of it.

    `tag` is "" where it passed; else `failure`, `error` or `skipped`, with `type` and `message`.
    `output` is what a test that passed has to say.
    """

    layer: str
    name: str
    tag: str = ""
    type: str = ""
    message: str = ""
    output: str = ""


def render(run: CheckRun, page: Page) -> str:
    """One `testsuites` element; control characters of names are spelled out."""
    del page
    root = ET.Element("testsuites", {"name": "ssmspec check"})
    everything: list[_Test] = []
    for file in run.files:
        tests = list(_tests(file))
        everything += tests
        _suite(ET.SubElement(root, "testsuite"), file, run, tests)
    root.attrib |= _counts(everything)
    known = [file.seconds for file in run.files if file.seconds is not None]
    if len(known) == len(run.files):
        root.set("time", _seconds(sum(known)))
    ET.indent(root, " ")
    text = ET.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'


def _suite(suite: ET.Element, file: CheckedFile, run: CheckRun, tests: list[_Test]) -> None:
    suite.attrib |= {"name": printable(file.path), **_counts(tests)}
    if file.seconds is not None:
        suite.set("time", _seconds(file.seconds))
    properties = ET.SubElement(suite, "properties")
    for name, value in _properties(file, run):
        ET.SubElement(properties, "property", {"name": name, "value": printable(value)})
    for test in tests:
        _case(suite, test)
    ET.SubElement(suite, "system-out").text = f"{file_sentence(file)}\n{outcome(run)}"


def _case(suite: ET.Element, test: _Test) -> None:
    # Judging a rule takes microseconds once the layer is measured, which is the suite's own time.
    names = {
        "classname": printable(test.layer) or CHECKPOINT,
        "name": printable(test.name),
        "time": "0.000",
    }
    case = ET.SubElement(suite, "testcase", names)
    message = printable(test.message)
    if test.tag == "skipped":
        ET.SubElement(case, test.tag, {"message": message})
    elif test.tag:
        problem = ET.SubElement(case, test.tag, {"type": test.type, "message": message})
        problem.text = f"{printable(test.layer)}: {message}"
    if test.output:
        ET.SubElement(case, "system-out").text = printable(test.output)


def _counts(tests: list[_Test]) -> dict[str, str]:
    return {
        "tests": str(len(tests)),
        "failures": str(sum(test.tag == "failure" for test in tests)),
        "errors": str(sum(test.tag == "error" for test in tests)),
        "skipped": str(sum(test.tag == "skipped" for test in tests)),
    }


def _seconds(seconds: float) -> str:
    return f"{seconds:.3f}"


def _properties(file: CheckedFile, run: CheckRun) -> Iterator[tuple[str, str]]:
    yield "tool", f"ssmspec {__version__}"
    yield "preset", run.preset
    yield "fail-on", file.fail_on.value
    for baseline in run.baselines:
        yield "baseline", baseline
    if run.config is not None:
        yield "config", run.config
    if file.report is not None:
        if file.report.sequence_length is not None:
            yield "sequence-length", str(file.report.sequence_length)
        if file.report.checkpoint.fingerprint is not None:
            yield "fingerprint", file.report.checkpoint.fingerprint
        for assumption in file.report.assumptions:
            yield "assumption", assumption


def _tests(file: CheckedFile) -> Iterator[_Test]:
    if file.error is not None:
        yield _Test(CHECKPOINT, JUDGED, "error", "not judged", file.error)
    if file.report is not None:
        for entry in file.report.skipped:
            yield _Test(entry.name, MEASURED, "skipped", message=entry.reason)
    told = _told(file)
    many = sum(map(len, file.tested.values())) > MOST_TESTS
    silent: dict[str, int] = {}
    for layer, codes in file.tested.items():
        for code in codes:
            test = told.pop((layer, code), None)
            if test is not None:
                yield test
            elif many:
                silent[code] = silent.get(code, 0) + 1
            else:
                yield _Test(layer, code)
    for code, number in silent.items():
        yield _Test(f"{number} layers with nothing to say", code)
    yield from told.values()  # a rule that is not among those that judged, or a layer that is gone


def _told(file: CheckedFile) -> dict[tuple[str, str], _Test]:
    """Tests with something to say, by layer and rule. One rule may say several things."""
    failing = {id(finding) for finding in file.failing}
    told: dict[tuple[str, str], _Test] = {}
    for judged in file.findings:
        finding = judged.finding
        test = told.get((finding.layer, finding.code), _Test(finding.layer, finding.code))
        if id(finding) in failing:
            message = "; ".join(filter(None, (test.message, finding.message)))
            kind = test.type or LEVEL_WORD[finding.level]
            test = replace(test, tag="failure", type=kind, message=message)
        else:
            test = replace(test, output=_line(test.output, _output(judged)))
        told[finding.layer, finding.code] = test
    for finding in file.fixed:
        test = told.get((finding.layer, finding.code), _Test(finding.layer, finding.code))
        said = f"fixed: no longer found; the baseline said: {finding.message}"
        told[finding.layer, finding.code] = replace(test, output=_line(test.output, said))
    return told


def _output(judged: JudgedFinding) -> str:
    finding: Finding = judged.finding
    status = "unchanged, " if judged.status is Status.UNCHANGED else ""
    return f"{status}{LEVEL_WORD[finding.level]}: {finding.message}"


def _line(before: str, line: str) -> str:
    return f"{before}; {line}" if before else line


WRITER: Writer[CheckRun] = Writer(
    "junit", "XML for a CI's test tab: checkpoints, layers and rules", render
)
