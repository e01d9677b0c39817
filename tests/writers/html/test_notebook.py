import re
from dataclasses import replace

import pytest

import ssmspec
from ssmspec.outcome import Level, Skipped
from ssmspec.writers.parts.numbers import BLOCKS
from tests.examples.html_pages import HOSTILE, finding, layer, parsed, report

LIMIT = 30_000


def cell(what):
    return parsed(what._repr_html_())


def rows(tree):
    return [
        [entry.text for entry in line.children if getattr(entry, "tag", "") in ("th", "td")]
        for line in tree.all("tr")
    ]


def test_a_report_shows_itself_with_numbers_and_strips(shared):
    report = ssmspec.analyze(shared / "s4d_cifar10.pth", seq_len=1024)
    tree = cell(report)
    header, first, *_, reference = rows(tree)
    assert header[:2] == ["layer", "family"]
    numbers = dict(zip(header, first, strict=True))
    assert numbers["family"] == "S4D"
    assert numbers["aliased"] == "10.8 %"  # 0.1077 by a program that is not ours
    assert numbers["entangled"] == "0.98"
    assert numbers["flat"] == "0.67"
    assert re.fullmatch(rf"[{BLOCKS} ]{{16}}", numbers["0 .. Nyquist"])
    assert reference[0] == "DFouT"
    assert "Pass (7 notes): stable" in tree.text
    assert "ALI001 note, all 4 layers, most in 0" in tree.text


def test_layers_of_real_poles_have_a_table_of_their_own():
    tree = cell(report(layer("a.0"), layer("a.1", symmetry="real")))
    oscillating, decaying = tree.all("table")
    assert "0 .. Nyquist" in oscillating.text
    assert "<1 .. 4 samples" in decaying.text


def test_nothing_that_a_notebook_strips_is_needed():
    text = report(layer(), findings=(finding(),))._repr_html_()
    tags = {element.tag for element in parsed(text).all()}
    assert tags <= {"div", "b", "span", "table", "tr", "th", "td", "code"}
    assert "url(" not in text
    assert "#" not in re.sub(r"&#\d+;", "", text)  # no color of its own, light or dark


def test_hostile_names_are_text():
    bad = layer(f"net.{HOSTILE}", family=HOSTILE)
    what = report(
        bad,
        path=HOSTILE,
        findings=(finding(where=HOSTILE, message=HOSTILE),),
        skipped=(Skipped("a", "b"),),
    )
    text = what._repr_html_()
    tree = parsed(text)
    assert not list(tree.all("script")) + list(tree.all("img"))
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "{{7*7}}" in tree.text
    assert "<script>window.pwned=1</script>" in tree.text


@pytest.mark.parametrize("length", [1, 400])
def test_forty_eight_layers_are_shown_in_thirty_kilobytes(length):
    layers = [layer("<" * length + f".{i}.ssm", family="<" * length) for i in range(48)]
    found = [finding(f"ALI00{i}", Level.INFO, one.name, 0.2) for i in range(9) for one in layers]
    text = report(*layers, findings=tuple(found), path="<" * length)._repr_html_()
    assert len(text.encode()) < LIMIT
    tree = parsed(text)
    shown = len(list(tree.all("tr"))) - 1
    if length == 1:
        assert shown == 48
        assert "more layers" not in tree.text
    else:
        assert f"and {48 - shown} more layers" in tree.text
    assert "and 4 more kinds of finding" in tree.text


def test_two_thousand_layers_are_their_outliers_and_their_median():
    layers = [layer(f"a.{i}") for i in range(2000)]
    layers[1234] = layer("a.1234", coverage=0.1)
    text = report(*layers)._repr_html_()
    assert len(text.encode()) < LIMIT
    labels = [line[0] for line in rows(parsed(text))]
    assert labels == ["layer", "1234", "1999 alike"]


def test_without_layers_it_says_so():
    tree = cell(report(skipped=(Skipped("a", "b"),)))
    assert "Could not be judged" in tree.text
    assert "1 skipped" in tree.text


def test_only_a_report_that_can_be_drawn_says_how():
    drawable = replace(report(layer()), origin=lambda: iter(()))
    assert "report.plot.poles()" in cell(drawable).text
    assert "report.plot" not in cell(report(layer())).text
