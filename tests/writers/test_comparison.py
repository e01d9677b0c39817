import csv
import io
import json
import re

import numpy as np
import pytest
from rich.cells import cell_len

import ssmspec
from ssmspec.naming import printable
from ssmspec.outcome import Measured
from ssmspec.results.comparison import OutcomePair
from ssmspec.writers import FORMATS, WRITERS, Page
from ssmspec.writers.against import AGAINST_WRITERS
from ssmspec.writers.comparison import COMPARISON_WRITERS, explanations, grouped, tensors_sentence
from ssmspec.writers.parts.markdown import bullets, code, prose, table
from ssmspec.writers.parts.numbers import compact, count, near_one, number, shown, signed, span
from ssmspec.writers.sweep import SWEEP_WRITERS, factor_label
from tests.examples.comparison import mamba2, s4d

HOSTILE = "=net|[red]x`y<b>*\n\x1b[31m@team\u202e.0"
NAMES = ("text", "json", "csv", "markdown", "html")


def hostile(name=HOSTILE, **changes):
    return s4d(name, channels=4, **changes) | {"other|[bold]": np.ones(3)}


@pytest.fixture(scope="module")
def subjects():
    """Every kind of report of a model with a hostile name, its writers and a quiet one."""
    before, after = hostile(), hostile(dt=0.1) | {"new.w`|": np.ones(2)}
    return {
        "analysis": (WRITERS, ssmspec.analyze(before, seq_len=64)),
        "comparison": (COMPARISON_WRITERS, ssmspec.compare(before, after, seq_len=64)),
        "against": (AGAINST_WRITERS, ssmspec.against(before, "dfout", seq_len=64)),
        "sweep": (SWEEP_WRITERS, ssmspec.sweep(before, "dt", seq_len=64)),
    }


KINDS = ("analysis", "comparison", "against", "sweep")
PAGES = (Page(), Page(verbose=True), Page(width=80), Page(width=80, color=True, verbose=True))


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_report_has_the_same_formats(subjects, kind):
    writers, _ = subjects[kind]
    assert set(NAMES) <= set(writers)


@pytest.mark.parametrize("kind", KINDS[1:])
def test_a_page_is_whole_and_its_names_are_no_markup(subjects, kind):
    writers, report = subjects[kind]
    text = writers["html"].render(report, Page(verbose=True))
    assert text.count("<table") == text.count("</table>") > 1
    assert text.count("<tr>") == text.count("</tr>")
    for markup in ("<b>", "\x1b", "\u202e"):
        assert markup not in text
    assert "[red]x`y&lt;b&gt;" in text
    assert ("<svg" in text) == (kind == "sweep")


def test_one_table_lists_the_formats_of_every_result():
    assert list(FORMATS) == [
        "report", "against", "sweep", "stored-as", "track", "check", "comparison", "reinit",
        "export", "evaluation",
    ]  # fmt: skip
    for written, formats in FORMATS.items():
        assert {"text", "json", "markdown", "html"} <= set(formats()), written
    assert FORMATS["sweep"]() is SWEEP_WRITERS


@pytest.mark.parametrize("kind", KINDS)
def test_json_is_the_report_itself(subjects, kind):
    writers, report = subjects[kind]
    content = json.loads(writers["json"].render(report, Page()), parse_constant=pytest.fail)
    assert content == json.loads(json.dumps(report.to_dict()))
    assert content["schema_version"] == 1
    assert content["tool"]["name"] == "ssmspec"


@pytest.mark.parametrize("kind", KINDS)
def test_csv_is_rectangular_and_inert(subjects, kind):
    writers, report = subjects[kind]
    rows = list(csv.reader(io.StringIO(writers["csv"].render(report, Page()), newline="")))
    assert len({len(row) for row in rows}) == 1
    assert len(rows) > 10
    assert not any(cell[:1] in ("=", "@") for row in rows for cell in row)
    assert any(cell == f"'{printable(HOSTILE)}" for row in rows for cell in row)


def tables(text):
    """The tables of a Markdown text, each as rows of cells split at bars that are not escaped."""
    found, rows = [], []
    for line in [*text.split("\n"), ""]:
        if line.startswith("|"):
            assert line.endswith("|")
            rows.append(re.split(r"(?<!\\)\|", line)[1:-1])
        elif rows:
            found.append(rows)
            rows = []
    return found


@pytest.mark.parametrize("verbose", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_markdown_tables_are_whole_and_names_are_no_markup(subjects, kind, verbose):
    writers, report = subjects[kind]
    text = writers["markdown"].render(report, Page(verbose=verbose))
    found = tables(text)
    assert found
    for rows in found:
        assert len({len(row) for row in rows}) == 1
        assert all(set(cell.strip()) <= set("-:") for cell in rows[1])
        assert len(rows) > 2
    for markup in ("[red]", "<b>", "\x1b", "\u202e", "`y<", "]x`", "@team", "*\\n"):
        assert markup not in text
    assert "\n\n\n" not in text
    assert text.endswith("\n")


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("kind", KINDS)
def test_text_shows_names_as_they_are_and_obeys_none_of_them(subjects, kind, page):
    writers, report = subjects[kind]
    text = writers["text"].render(report, page)
    bare = re.sub(r"\x1b\[[0-9;]*m", "", text) if page.color else text
    assert "\x1b" not in bare
    assert "\u202e" not in bare
    if kind != "sweep" or page.verbose:
        assert "[red]" in bare


@pytest.mark.parametrize("kind", KINDS)
def test_text_fits_eighty_columns(kind):
    before, after = mamba2(layers=3), mamba2(layers=3, seed=1)
    lin = s4d("backbone.layers.0.mixer", channels=4) | s4d("backbone.layers.1.mixer", channels=4)
    subject = {
        "analysis": (WRITERS, ssmspec.analyze(lin)),
        "comparison": (COMPARISON_WRITERS, ssmspec.compare(before, after, seq_len=64)),
        "against": (AGAINST_WRITERS, ssmspec.against(lin, "dfout", seq_len=64)),
        "sweep": (SWEEP_WRITERS, ssmspec.sweep(lin, "dt", seq_len=64)),
    }[kind]
    for verbose in (False, True):
        text = subject[0]["text"].render(subject[1], Page(width=80, verbose=verbose))
        assert max(map(cell_len, text.splitlines())) <= 80
    plain = subject[0]["text"].render(subject[1], Page())
    assert "…" not in plain
    if kind != "sweep":
        assert "backbone.layers.1.mixer" in plain


def test_csv_of_a_comparison_keeps_every_digit():
    before, after = mamba2(), mamba2(seed=1)
    comparison = ssmspec.compare(before, after, seq_len=64)
    text = COMPARISON_WRITERS["csv"].render(comparison, Page())
    rows = list(csv.DictReader(io.StringIO(text)))
    pair = comparison.layers[0]
    found = {
        row["quantity"]: row
        for row in rows
        if (row["subject"], row["name_a"]) == ("layer", pair.a.name)
    }
    item = pair.metrics["time_constant_median"]
    assert float(found["time_constant_median"]["a"]) == item.a.value
    assert float(found["time_constant_median"]["difference"]) == item.difference
    assert found["coverage"]["a"] == ""
    assert "real poles do not oscillate" in found["coverage"]["note"]
    assert float(found["poles_moved_rms"]["difference"]) == pair.poles.rms
    tensors = {row["name_a"]: row for row in rows if row["subject"] == "tensor"}
    changed = {name for name in before if not np.array_equal(before[name], after[name])}
    assert set(tensors) == changed
    name = "backbone.layers.1.mixer.dt_bias"
    gap = np.abs(after[name].astype(float) - before[name]).max()
    assert float(tensors[name]["difference"]) == gap
    assert tensors[name]["note"] == "dt_bias of backbone.layers.1.mixer"


def test_csv_of_the_others_keeps_every_digit():
    model = s4d("net", channels=4)
    contrast = ssmspec.against(model, "dfout")
    rows = csv.DictReader(io.StringIO(AGAINST_WRITERS["csv"].render(contrast, Page())))
    by_metric = {row["metric"]: row for row in rows if row["layer"] == "net"}
    item = contrast.layers[0].metrics["spectral_flatness"]
    row = by_metric["spectral_flatness"]
    assert float(row["value"]) == item.value.value
    assert float(row["reference"]) == item.reference.value
    assert float(row["start"]) == item.start.value
    assert row["training_moved_it"] == "about as far"
    swept = ssmspec.sweep(model, "xi")
    rows = list(csv.DictReader(io.StringIO(SWEEP_WRITERS["csv"].render(swept, Page()))))
    found = [
        float(row["value"])
        for row in rows
        if (row["layer"], row["metric"]) == ("(model)", "coverage")
    ]
    assert found == [point.metrics["coverage"].value for point in swept.model]
    assert float(rows[0]["factor"]) == 1 / 16


def test_a_dt_bias_set_anew_is_said_in_plain_words():
    saved = mamba2(layers=3)
    loaded = {k: v + np.float32(k.endswith("dt_bias")) for k, v in saved.items()}
    comparison = ssmspec.compare(saved, loaded)
    sentence = (
        f"{len(saved) - 3} of {len(saved)} tensors are identical; "
        f"only state-space parameters changed: dt_bias in 3 layers"
    )
    assert tensors_sentence(comparison.tensors) == sentence
    assert "initializer" in explanations(comparison)[0]
    text = COMPARISON_WRITERS["text"].render(comparison, Page())
    assert f"{sentence}." in text
    assert "backbone.layers.*.mixer.dt_bias (3 tensors): values, state-space, by up to 1 (" in text
    assert "initializer" in COMPARISON_WRITERS["markdown"].render(comparison, Page())
    assert COMPARISON_WRITERS["json"].render(comparison, Page()).count('"dt_bias"') == 3


def test_other_changes_are_told_apart():
    model = s4d() | {"w": np.ones(3)}
    unchanged = ssmspec.compare(model, model)
    same = unchanged.tensors
    assert tensors_sentence(same) == "all 5 tensors are identical"
    assert explanations(unchanged) == []
    other = ssmspec.compare(model, model | {"w": np.zeros(3)}).tensors
    assert "no state-space parameter changed" in tensors_sentence(other)
    both = ssmspec.compare(model, s4d(dt=0.1) | {"w": np.zeros(3)}).tensors
    assert tensors_sentence(both) == (
        "3 of 5 tensors are identical; of the state-space parameters these changed: "
        "log_dt in 1 layer"
    )
    grown = ssmspec.compare(model, s4d(modes=4) | {"w": np.ones(3)}).tensors
    assert "only state-space parameters changed: log_A_real in 1 layer" in tensors_sentence(grown)
    more = ssmspec.compare(model, model | {"v": np.ones(1)}).tensors
    assert tensors_sentence(more) == "5 of 5 tensors are identical"


def test_tensors_are_grouped_by_name_and_kind():
    a = {f"net.{i}.w": np.ones(2) for i in range(12)} | {"net.x.w": np.ones(2)}
    b = {f"net.{i}.w": np.full(2, 1.0 + i) for i in range(12)} | {"net.x.w": np.zeros(2)}
    differences = ssmspec.compare(a | s4d(), b | s4d()).tensors.differences
    groups = [(pattern, len(members)) for pattern, _, members in grouped(differences)]
    assert groups == [("net.*.w", 11), ("net.x.w", 1)]


def test_a_long_list_of_layers_is_shortened_in_a_terminal_only():
    before = {}
    after = {}
    for i in range(20):
        before |= s4d(f"net.{i}.kernel", dt=0.05)
        after |= s4d(f"net.{i}.kernel", dt=0.05 * (1 + i / 20))
    comparison = ssmspec.compare(before, after)
    short = COMPARISON_WRITERS["text"].render(comparison, Page(width=80))
    assert "4 layers whose poles moved less" in short
    shown_rows = re.findall(r"^(\d+) +[\d.]", short, flags=re.MULTILINE)
    assert shown_rows == [str(i) for i in range(4, 20)]  # those that moved most, in order
    assert "net.3.kernel" in COMPARISON_WRITERS["text"].render(comparison, Page())
    contrast = ssmspec.against(before, "dfout")
    assert "median of 20" in AGAINST_WRITERS["text"].render(contrast, Page(width=80))
    assert "net.3.kernel" in AGAINST_WRITERS["text"].render(contrast, Page())


def test_against_without_a_match_gives_the_reason():
    comparison = ssmspec.against(mamba2(), "dfout")
    for form in ("text", "markdown", "csv"):
        text = AGAINST_WRITERS[form].render(comparison, Page())
        assert "s4d-real" in text
        assert "backbone.layers.1.mixer" in text


def test_names_in_markdown():
    assert code("net.0.kernel") == "`net.0.kernel`"
    assert code("a|b`c") == "<code>a&#124;b&#96;c</code>"
    assert code("") == ""
    assert code("a\nb") == "<code>a&#92;nb</code>"
    apart = "&#8203;"
    assert prose("see http://x [y] #3 @z") == (
        f"see http:{apart}//x &#91;y&#93; &#35;{apart}3 &#64;{apart}z"
    )
    assert table(["a", "b"], [["1", "2"]]) == "| a | b |\n| --- | ---: |\n| 1 | 2 |\n"
    assert bullets("None", []) == ""


def test_numbers_in_tables():
    assert shown(Measured("s4d-lin", "scheme")) == "s4d-lin"
    assert number(0.99964, "1") == "0.99964"
    assert number(1619.2, "samples") == "1619"
    assert number(26_377.0, "samples") == "26.4k"
    assert number(0.33333, "fraction") == "0.333"
    assert signed(Measured(1.0, "1"), Measured(3.0, "1")) == "-2"
    assert signed(Measured(3.5, "samples"), Measured(3.0, "samples")) == "+0.5"
    assert signed(Measured(1.0, "1"), Measured(1.0, "1")) == "0"
    assert signed(Measured(1.0, "1"), Measured(1.0 + 1e-9, "1")) == "~0"
    assert signed(Measured(1.0, "1"), Measured(1.0, "Hz")) == "-"
    assert (compact(None), compact(0.4512), compact(1543.0)) == ("-", "0.45", "1.5k")
    assert (factor_label(0.0625), factor_label(1.0), factor_label(16.0)) == ("1/16", "1", "16")
    assert factor_label(0.3) == "0.3"
    assert [span(*ends) for ends in ((0.08, 1.54), (0.001, 0.0999), (1, 1), (None, 1))] == [
        "0.08-1.5", "0.001-0.1", "1", "-",
    ]  # fmt: skip
    assert (near_one(1 - 1e-9), near_one(1.0), near_one(0.5)) == ("0.999999999", "1", "0.5")
    assert number(0.9999999, "1") == "0.9999999"
    assert (count(1, "layer"), count(2, "layer")) == ("1 layer", "2 layers")


def test_a_difference_beyond_floats_is_none():
    assert OutcomePair(Measured(-1.7e308, "1"), Measured(1.7e308, "1")).difference is None
