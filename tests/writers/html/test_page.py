import base64
import hashlib
import itertools
import re
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import ssmspec
from ssmspec.outcome import Level, NotApplicable, Skipped
from ssmspec.reading import Reading
from ssmspec.rules import RULES
from ssmspec.writers.html.metrics import metric_table
from tests.examples.html_pages import HOSTILE, cells, finding, layer, page, parsed, render, report

ROOT = Path(__file__).resolve().parents[3]
SAMPLES = ROOT / "sample_checkpoints"


@pytest.fixture(scope="module")
def analyzed():
    return ssmspec.analyze(SAMPLES / "s4d_lin.safetensors", seq_len=1024)


@pytest.fixture(scope="module")
def analyzed_text(analyzed):
    return render(analyzed)


@pytest.fixture(scope="module")
def analyzed_page(analyzed_text):
    return parsed(analyzed_text)


# One file that loads nothing


def test_nothing_is_fetched(analyzed_text, analyzed_page):
    assert not [e for e in analyzed_page.all() if e.tag in ("link", "iframe", "object", "img")]
    for element in analyzed_page.all():
        assert "src" not in element.attributes
        for name in ("href", "xlink:href"):
            if element.get(name):
                assert element[name].startswith("#" if element.tag != "image" else "data:")
    style = analyzed_page.one("style").text
    assert "@import" not in style
    assert "url(" not in style
    assert all(address.startswith("#") for address in re.findall(r"url\(([^)]*)", analyzed_text))


def test_every_link_leads_somewhere_and_no_id_comes_twice(analyzed_page):
    ids = [e["id"] for e in analyzed_page.all() if "id" in e.attributes]
    assert len(ids) == len(set(ids))
    links = {e["href"] for e in analyzed_page.all("a")}
    uses = {e["href"] for e in analyzed_page.all("use")}
    assert {f"#{i}" for i in ids} >= links | uses
    assert "#L0" in links


def test_the_policy_allows_our_script_and_nothing_else(analyzed_page):
    meta = next(
        e for e in analyzed_page.all("meta") if e.get("http-equiv") == "Content-Security-Policy"
    )
    policy = dict(part.split(None, 1) for part in meta["content"].split("; "))
    digest = hashlib.sha256(analyzed_page.one("script").text.encode()).digest()
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == f"'sha256-{base64.b64encode(digest).decode()}'"
    assert policy["img-src"] == "data:"


def test_the_same_report_gives_the_same_page(analyzed, analyzed_text):
    assert render(analyzed) == analyzed_text


# What it says, and in which order


def test_verdict_first_then_findings_figures_numbers_assumptions_and_how(analyzed):
    text = render(replace(analyzed, assumptions=("dt was assumed",), skipped=(Skipped("a", "b"),)))
    wanted = [
        "<h1>s4d_lin.safetensors",
        "<strong",
        ">Findings</h2>",
        ">Overview</h2>",
        ">Layers</h2>",
        ">All numbers</h2>",
        "dt was assumed",
        ">Skipped</h2>",
        ">How to reproduce it</h2>",
    ]
    places = [text.index(part) for part in wanted]
    assert places == sorted(places)


def test_headings_descend_one_level_at_a_time(analyzed_page):
    levels = [int(e.tag[1]) for e in analyzed_page.all() if re.fullmatch(r"h\d", e.tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(later <= earlier + 1 for earlier, later in itertools.pairwise(levels))


def test_findings_are_grouped_by_rule_with_their_layers_and_their_advice():
    advice = RULES["ALI001"].advice
    layers = [layer(f"net.{i}.ssm") for i in range(3)]
    found = [
        finding("STB001", Level.ERROR, "net.2.ssm", 5.0),
        finding("ALI001", Level.INFO, "net.0.ssm", 0.2, f"20 % alias. {advice}"),
        finding("ALI001", Level.INFO, "net.1.ssm", 0.4, f"40 % alias. {advice}"),
    ]
    tree = page(report(*layers, findings=tuple(found)))
    error, note = tree.all("article", class_="finding")
    assert "error" in error["class"].split()
    assert "STB001" in error.one("h3").text
    assert "fail" in tree.one("div", class_="verdict")["class"].split()
    assert "2 of 3 layers, most in 1" in note.text
    assert "40 % alias." in note.text
    assert "20 % alias" not in note.text
    assert note.one("p", class_="advice").text == f"What to do {advice}"
    assert note.text.count(advice) == 1
    places = [li.text.strip() for li in note.one("ul", class_="places").all("li")]
    assert places == ["by layer", "0: 0.2", "1: 0.4"]
    assert RULES["ALI001"].why in note.one("details").text


def test_a_long_list_of_layers_is_folded_and_counted():
    layers = [layer(f"net.{i}.ssm") for i in range(300)]
    found = tuple(finding("ALI001", Level.INFO, one.name, 0.2) for one in layers)
    article = page(report(*layers, findings=found)).one("article", class_="finding")
    shown, folded = article.all("ul", class_="places")
    assert len(list(shown.all("li"))) == 1 + 24
    assert len(list(folded.all("li"))) == 200 - 24 + 1
    assert "and 100 more" in folded.text
    assert "276 more layers" in article.text


def test_a_rule_that_is_not_installed_is_shown_all_the_same():
    found = finding("ZZZ999", message="something is odd")
    assert "something is odd." in page(report(layer(), findings=(found,))).one("article").text


# The full table


def test_every_metric_of_every_layer_is_in_the_table(analyzed, analyzed_page):
    rows = cells(analyzed_page)
    assert list(rows) == ["0", "1"]
    absent = {
        code.text
        for code in analyzed_page.one("section", id="numbers")
        .one("dl", class_="absent")
        .all("code")
    }
    for row, measured in zip(rows.values(), analyzed.layers, strict=True):
        for key in measured.metrics:
            value = measured.value(key)
            assert (key in row) != (key in absent)
            if value is not None:
                assert float(row[key].get("data-v") or row[key].text) == pytest.approx(value, 1e-8)


def test_what_is_not_applicable_says_why_in_place_and_below():
    two = page(report(layer("a.0"), layer("a.1", coverage=None, entanglement=None)))
    cell = cells(two)["1"]["coverage"]
    assert cell["title"] == "there is no reason"
    assert cell.text == "n/aa"
    (reason,) = two.one("dl", class_="reasons").all("div")
    assert reason.one("sup").text == "a"
    assert reason.one("dd").text == "there is no reason"


def test_a_metric_that_no_layer_has_is_listed_by_its_reason():
    tree = page(report(layer("a.0", coverage=None), layer("a.1", coverage=None)))
    assert "coverage" not in cells(tree)["0"]
    (absent,) = tree.one("section", id="numbers").one("dl", class_="absent").all("div")
    assert absent.one("dt").text == "there is no reason"
    assert absent.one("dd").text == "coverage"


def test_more_reasons_than_letters_still_have_a_mark():
    reasons = [f"reason {i}" for i in range(70)]
    odd = [
        replace(
            layer(f"a.{i}"),
            metrics=layer().metrics | {"coverage": NotApplicable(reason)},
        )
        for i, reason in enumerate(reasons)
    ]
    tree = page(report(*odd, layer("a.70")))
    marks = [cells(tree)[str(i)]["coverage"].one("sup").text for i in range(70)]
    assert marks[:3] == ["a", "b", "c"]
    assert marks[25:28] == ["z", "aa", "ab"]
    assert set(marks[60:]) == {"+"}
    assert "n/a+" in tree.one("dl", class_="reasons").text


def test_a_large_table_keeps_the_headline_and_the_most_telling_layers():
    layers = [layer(f"a.{i}") for i in range(30)]
    many = report(*layers)
    labels = {one.name: one.name for one in layers}
    worst = ["a.7", "a.3", *labels]
    by_columns = metric_table(many, labels, worst, most_cells=200)
    assert len(by_columns.rows) == 30
    assert {"coverage", "aliased_fraction"} <= {c.id for c in by_columns.columns}
    assert "unstable_fraction" not in {c.id for c in by_columns.columns}
    assert "3 further metrics" in by_columns.left_out[0]
    by_rows = metric_table(many, labels, worst, most_cells=10)
    assert [row.name for row in by_rows.rows] == ["a.3", "a.7"]
    assert "28 more are not" in by_rows.left_out[1]


# Names


def test_hostile_names_are_text_everywhere():
    bad = layer(f"net.{HOSTILE}.ssm", family=HOSTILE)
    hostile = report(
        bad,
        layer("net.1.ssm", coverage=None),
        path=f"folder/{HOSTILE}",
        findings=(finding(where=bad.name, message=HOSTILE), finding(where=HOSTILE)),
        assumptions=(HOSTILE,),
        skipped=(Skipped(HOSTILE, HOSTILE),),
        reading=Reading(layers=HOSTILE),
    )
    text = render(hostile)
    tree = parsed(text)
    assert len(list(tree.all("script"))) == 1
    assert not list(tree.all("img"))
    assert not [e for e in tree.all() if any(name.startswith("on") for name in e.attributes)]
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "{{7*7}}" in tree.text
    shown = HOSTILE.replace("\u202e", "\\u202e").replace("\x1b", "\\x1b")
    assert tree.text.count(shown) >= 8


def test_hostile_names_are_text_in_figures():
    rng = np.random.default_rng(0)
    name = "<b>&amp;$x_1$.'\"]]>"
    tensors = {
        f"{name}.log_dt": np.log(rng.uniform(0.001, 0.1, 4)),
        f"{name}.log_A_real": np.full((4, 8), np.log(0.5)),
        f"{name}.A_imag": np.pi * np.arange(8) * np.ones((4, 1)),
        f"{name}.C": rng.standard_normal((4, 8, 2)),
    }
    tree = page(ssmspec.analyze(tensors, seq_len=64))
    article = tree.one("article", class_="layer")
    assert article.one("h3").text == name
    assert not list(article.all("b"))
    assert len(list(tree.all("script"))) == 1


# Colors


def luminance(color):
    channels = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_every_text_color_has_enough_contrast_in_light_and_dark(analyzed_page):
    style = analyzed_page.one("style").text
    schemes = [
        {
            name: value if len(value) == 7 else "#" + "".join(2 * c for c in value[1:])
            for name, value in re.findall(r"--([\w-]+):\s*(#[0-9a-f]{3}(?:[0-9a-f]{3})?)\b", block)
        }
        for block in re.findall(r":root\s*\{([^}]*--paper[^}]*)\}", style)
    ]
    assert len(schemes) == 2
    for scheme in schemes:
        for ground in ("paper", "sheet"):
            for name in ("ink", "muted", "link", "error", "warning", "info", "pass"):
                light, dark = sorted(map(luminance, (scheme[name], scheme[ground])))[::-1]
                assert (light + 0.05) / (dark + 0.05) >= 4.5, (name, ground)


# Weight


def test_two_thousand_layers_are_a_page_of_a_few_megabytes_in_seconds():
    extra = {f"metric_{i}": 0.123456789 for i in range(40)}
    layers = [layer(f"net.{i}.ssm", coverage=i / 2000, **extra) for i in range(2000)]
    found = tuple(finding("ALI001", Level.INFO, one.name, 0.2) for one in layers)
    start = time.process_time()
    text = render(report(*layers, findings=found, sequence_length=1024))
    assert time.process_time() - start < 15
    assert len(text.encode()) < 2_500_000
    assert "layers as their outliers and their median" in text


def test_other_formats_load_no_templates_and_no_figures():
    script = (
        "from ssmspec.cli import run; import sys\n"
        "for form in ('text', 'json', 'csv', 'markdown'):\n"
        "    assert run(['analyze', 'sample_checkpoints/lru.safetensors', '-f', form]) == 0\n"
        "print(*{m.split('.')[0] for m in sys.modules} & {'jinja2', 'markupsafe', 'matplotlib'})"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.splitlines()[-1] == ""


def test_a_page_without_layers_is_a_page():
    tree = page(report(skipped=(Skipped("odd.layer", "no dt was found"),)))
    assert "Could not be judged" in tree.one("div", class_="verdict").text
    assert "no dt was found" in tree.one("section", id="skipped").text
