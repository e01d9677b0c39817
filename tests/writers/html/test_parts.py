import itertools
import math
import re
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

import ssmspec
from ssmspec.cli import run
from ssmspec.outcome import Level
from ssmspec.reading import Reading
from ssmspec.results.saved import load_report
from ssmspec.writers import WRITERS, Page
from ssmspec.writers.html.figures import most_telling, shared_out, spread
from ssmspec.writers.html.strips import HEIGHT, octave_strips, power_strips
from tests.examples.html_pages import cells, finding, layer, page, parsed, render

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


# Figures and strips


def test_each_layer_has_its_figure(analyzed_page):
    articles = list(analyzed_page.all("article", class_="layer"))
    assert len(articles) == 2
    for i, article in enumerate(articles):
        assert article["id"] == f"L{i}"
        assert article.one("h3").text == f"s4_layers.{i}.kernel"
        assert len(list(article.one("svg").all("path"))) > 5


def test_figures_of_layers_that_are_alike_share_no_id():
    one = {
        "log_dt": np.log([0.01, 0.02]),
        "log_A_real": np.zeros((2, 4)),
        "A_imag": np.pi * np.arange(4) * np.ones((2, 1)),
    }
    twins = {f"{i}.{name}": array for i in range(2) for name, array in one.items()}
    ids = [e["id"] for e in page(ssmspec.analyze(twins)).all() if "id" in e.attributes]
    assert sum(i.startswith("L") for i in ids) > 2
    assert len(ids) == len(set(ids))


def test_a_saved_report_has_no_figures_and_says_why(analyzed, tmp_path):
    saved = tmp_path / "report.json"
    saved.write_text(WRITERS["json"].render(analyzed, Page()))
    tree = page(load_report(saved))
    assert not list(tree.all("article", class_="layer"))
    assert "a saved report holds numbers and no poles" in tree.one("section", id="layers").text
    assert "0 to Nyquist" not in tree.one("section", id="overview").one("thead").text
    assert cells(tree)["0"]["coverage"].text == cells(page(analyzed))["0"]["coverage"].text


def test_a_checkpoint_that_is_gone_costs_the_figures_and_nothing_else(tmp_path):
    copy = tmp_path / "model.safetensors"
    copy.write_bytes((SAMPLES / "lru.safetensors").read_bytes())
    analyzed = ssmspec.analyze(copy)
    copy.unlink()
    tree = page(analyzed)
    assert "could not be read again" in tree.one("section", id="layers").text
    assert cells(tree)


def test_the_worst_layers_are_drawn_and_the_rest_counted(monkeypatch):
    monkeypatch.setattr("ssmspec.writers.html.page.MOST_FIGURES", 1)
    analyzed = ssmspec.analyze(SAMPLES / "defect_unstable_s5.safetensors", seq_len=1024)
    tree = page(analyzed)
    (drawn,) = tree.all("article", class_="layer")
    assert drawn.one("h3").text == "encoder.layers_1.seq"  # the unstable one
    assert "1 more are not" in tree.one("section", id="layers").text
    assert tree.one("table", class_="numbers").one("tr", id="L0")  # linked to its row instead


def test_most_telling_is_the_worst_then_the_richest_then_spread_evenly():
    layers = [layer(f"a.{i}") for i in range(6)]
    found = [
        finding(level=Level.INFO, where="a.2"),
        finding("COV001", Level.INFO, "a.2"),
        finding(level=Level.ERROR, where="a.5"),
        finding(level=Level.INFO, where="a.0"),
        finding(level=Level.ERROR, where="(model)"),
    ]
    assert most_telling(layers, found) == ["a.5", "a.2", "a.0", "a.1", "a.4", "a.3"]


@pytest.mark.parametrize("count", [1, 2, 3, 7, 48, 100])
def test_spread_names_all_once_and_the_first_few_are_far_apart(count):
    names = [str(i) for i in range(count)]
    order = [int(name) for name in spread(names)]
    assert sorted(order) == list(range(count))
    if count == 100:
        first = sorted(order[:12])
        assert max(b - a for a, b in itertools.pairwise(first)) <= 15


def test_several_checkpoints_share_the_figures():
    assert shared_out([["a", "b", "c"], [], ["x"]], 3) == [["a", "b"], [], ["x"]]


def heights(path):
    """Heights of the bars of a strip's outline, one a unit of width."""
    level, at, result = None, 0, []
    for command, number in re.findall(r"([HV])([\d.]+)", path):
        if command == "H":
            result += [HEIGHT - level] * (int(number) - at)
            at = int(number)
        else:
            level = float(number)
    return result


def test_a_strip_is_the_square_root_of_the_density_on_a_shared_scale():
    sharp = replace(layer("a.0"), power=(1.0,) + (0.0,) * 127)
    even = replace(layer("a.1"), power=(1 / 128,) * 128)
    tall, flat = power_strips([sharp, even], even)
    assert heights(tall.bars) == [HEIGHT] + [0.0] * 31
    assert heights(flat.bars) == pytest.approx([HEIGHT / math.sqrt(32)] * 32, abs=0.05)
    assert tall.reference == flat.reference
    assert float(re.match(r"M0 ([\d.]+)H32$", flat.reference)[1]) == pytest.approx(
        HEIGHT - HEIGHT / math.sqrt(32), abs=0.05
    )
    assert "most at 0 to 3 %, 32.0 times even" in tall.label


def test_octaves_end_where_the_last_share_is():
    one, none = octave_strips([(0.0, 0.25, 1.0, 0.0), ()], "time constants")
    assert heights(one.bars) == [0.0, HEIGHT / 2, HEIGHT]
    assert none is None
    assert "from 2 to 4 samples" in one.label


# How it is made again


def test_the_command_on_the_page_writes_the_same_page(
    analyzed_page, analyzed_text, tmp_path, monkeypatch
):
    import shlex

    line = analyzed_page.one("pre").text.strip()
    words = shlex.split(line)
    assert words[:2] == ["ssmspec", "analyze"]
    monkeypatch.chdir(tmp_path)
    assert run(words[1:]) == 0
    assert (tmp_path / "report.html").read_text() == analyzed_text


def _keeping(taken):
    def command(reading):
        taken.append(reading)

    return command


def test_every_option_of_a_reading_is_on_the_command_line(tmp_path):
    import typer

    from ssmspec.cli.options import reading_options
    from ssmspec.writers.html.commands import reading_arguments

    asked = Reading(
        seq_len=100, sample_rate=16000.5, row_stride=28, resample=2.0, layers="a*", family="s4d",
        layer_rates=(ssmspec.LayerRate("enc.*", 0.1), ssmspec.LayerRate("x=y", 3.0)),
        discretization=ssmspec.Discretization.BILINEAR, layout=tmp_path / "a map.toml",
        dt_transform=ssmspec.reading.DtTransform.EXP, part="ema", assume=("clip-eigs",),
        scan=ssmspec.reading.Scan.LAYER,
    )  # fmt: skip
    assert all(getattr(asked, field.name) not in (None, ()) for field in fields(Reading))
    taken = []
    app = typer.Typer()
    app.command()(reading_options(_keeping(taken)))
    app(args=reading_arguments(asked), standalone_mode=False)
    assert taken == [asked]


def test_a_model_in_memory_is_reproduced_by_a_call():
    model = {
        "s.log_dt": np.log([0.01, 0.02]),
        "s.log_A_real": np.zeros((2, 4)),
        "s.A_imag": np.ones((2, 4)),
    }
    analyzed = ssmspec.analyze(model, seq_len=64, family="s4d")
    call = page(analyzed).one("pre").text.strip()
    assert eval(call, {"ssmspec": ssmspec, "model": model}) == analyzed  # noqa: S307


def test_tool_fingerprint_and_options_are_there(analyzed, analyzed_page):
    facts = analyzed_page.one("section", id="reproduce").text
    assert ssmspec.__version__ in facts
    assert analyzed.checkpoint.fingerprint in facts
    assert "--seq-len 1024" in facts
