import re
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from junitparser import Error, Failure, JUnitXml, Skipped

from ssmspec.outcome import Level
from ssmspec.results.check import WHOLE_MODEL, Status
from ssmspec.rules import RULES
from ssmspec.writers import Page
from ssmspec.writers.check import CHECK_WRITERS
from ssmspec.writers.check.junit import MOST_TESTS
from tests.examples import check as made
from tests.examples.check import HOSTILE, checked, finding, layer, run, unread

XML_TEXT = re.compile("[\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]*")
"""What XML 1.0 allows in a document."""


def xml(what):
    return CHECK_WRITERS["junit"].render(what, Page())


def parsed(what):
    text = xml(what)
    assert XML_TEXT.fullmatch(text)
    suites = JUnitXml.fromstring(text.encode())
    for each in (suites, *suites):
        cases = list(each) if each is not suites else [case for suite in suites for case in suite]
        assert each.tests == len(cases)
        for name, kind in (("failures", Failure), ("errors", Error), ("skipped", Skipped)):
            count = sum(any(isinstance(r, kind) for r in case.result) for case in cases)
            assert getattr(each, name) == count, name
    return suites


def cases(suite):
    return {(case.classname, case.name): case for case in suite}


def test_a_suite_is_a_checkpoint_a_class_a_layer_and_a_test_a_rule():
    names = ["net.0.ssm", "net.1.ssm"]
    suites = list(parsed(run(checked("a.pth", [layer(name) for name in names]), checked("b.pth"))))
    assert [suite.name for suite in suites] == ["a.pth", "b.pth"]
    found = cases(suites[0])
    assert set(found) == {(name, code) for name in names for code in RULES}
    assert all(case.is_passed for case in found.values())


def test_only_what_fails_the_gate_is_red():
    found = [
        finding("STB001", Level.ERROR, value=3.0),
        finding("MEM002", Level.WARNING),
        finding("ALI001"),
    ]
    (suite,) = parsed(run(checked(findings=found)))
    tests = cases(suite)
    broken = tests["net.0.ssm", "STB001"]
    (failure,) = broken.result
    assert (failure.message, failure.type) == ("3.0 of it, too much. Do less", "error")
    assert "net.0.ssm" in failure.text
    assert tests["net.0.ssm", "MEM002"].is_passed
    assert tests["net.0.ssm", "MEM002"].system_out == "warning: 0.2 of it, too much. Do less"
    assert tests["net.0.ssm", "ALI001"].system_out == "note: 0.2 of it, too much. Do less"
    assert (suite.tests, suite.failures) == (len(RULES), 1)
    (suite,) = parsed(run(checked(findings=found, fail_on=Level.WARNING), fail_on=Level.WARNING))
    assert suite.failures == 2


def test_the_baseline_keeps_what_it_holds_green():
    (suite,) = parsed(made.compared())
    tests = cases(suite)
    assert not tests["net.0.ssm", "STB001"].is_passed
    assert tests["net.3.ssm", "STB002"].is_passed
    assert tests["net.3.ssm", "STB002"].system_out.startswith("unchanged, error: ")
    assert tests["net.2.ssm", "COV001"].system_out.startswith("fixed: no longer found; ")
    assert ("baseline", "base.json") in {(p.name, p.value) for p in suite.properties()}


def test_two_things_that_one_rule_says_of_a_layer_are_one_failure():
    found = [
        replace(finding("REG001", Level.ERROR, WHOLE_MODEL), message=f"{metric} fell")
        for metric in ("coverage", "locality")
    ]
    (suite,) = parsed(run(checked(findings=found)))
    (failure,) = cases(suite)[WHOLE_MODEL, "REG001"].result
    assert failure.message == "coverage fell; locality fell"
    assert suite.tests == len(RULES) + 1


def test_what_could_not_be_judged_is_an_error_and_what_was_skipped_is_skipped():
    first, second = parsed(run(unread(), checked(skipped=["net.9.ssm"])))
    (case,) = first
    (error,) = case.result
    assert isinstance(error, Error)
    assert error.message == "lost.pth: No such file or directory"
    (skipped,) = cases(second)["net.9.ssm", "measured"].result
    assert isinstance(skipped, Skipped)
    assert skipped.message == "it is not diagonal"


def test_times_are_those_that_were_measured():
    known = [checked("a.pth", seconds=1.25), checked("b.pth", seconds=0.5)]
    suites = parsed(run(*known))
    assert [suite.time for suite in suites] == [1.25, 0.5]
    assert suites.time == 1.75
    assert 'time="' not in xml(run(unread(), checked())).split("<testcase")[0]


def test_a_big_model_keeps_its_findings_and_brings_the_silent_tests_together():
    names = [f"backbone.layers.{i}.mixer.ssm" for i in range(2_000)]
    found = [finding("STB001", Level.ERROR, name) for name in names[:7]]
    what = run(checked("big.pth", [layer(name) for name in names], found))
    (suite,) = parsed(what)
    assert 2_000 * len(RULES) > MOST_TESTS
    assert suite.failures == 7
    assert suite.tests == 7 + len(RULES)
    assert cases(suite)["1993 layers with nothing to say", "STB001"].is_passed
    assert len(xml(what)) < 10_000
    assert len(xml(made.big(2_000))) < 2_000_000


@pytest.mark.parametrize("name", [HOSTILE, "", "]]>", "\ufffe\ud800\x00\x85", "&amp;\"'<a/>"])
def test_any_name_makes_a_document_that_reads_back(name):
    found = [replace(finding(layer=name), message=name), finding("STB001", Level.ERROR, name)]
    file = checked(name, [layer(name)], found, skipped=[name], assumptions=[name])
    suites = parsed(run(file, unread(name, name), baselines=(name,), config=name))
    assert sum(suite.tests for suite in suites) == len(RULES) + 2


@settings(max_examples=30, deadline=None)
@given(name=st.text(max_size=40))
def test_any_text_at_all(name):
    what = run(checked(name, [layer(name)], [finding(layer=name)]))
    root = ET.fromstring(xml(what))  # noqa: S314 - our own text
    (suite,) = root
    assert len(suite.findall("testcase")) == len(RULES)


def test_real_checkpoints():
    paths = [f"sample_checkpoints/{n}.safetensors" for n in ("s5", "defect_unstable_s5")]
    good, bad = parsed(made.analyzed(*paths, seq_len=1024))
    assert good.failures == 0
    assert [case.name for case in bad if not case.is_passed] == ["STB001"]
    assert Status.NEW.value not in xml(made.analyzed(paths[0]))
