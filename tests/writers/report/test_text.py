import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.cells import cell_len

import ssmspec
from ssmspec.cli.output import page_for
from ssmspec.outcome import Finding, Level, Measured, NotApplicable, Skipped
from ssmspec.results.base import CheckpointSummary
from ssmspec.results.report import LayerReport, Report
from ssmspec.writers import WRITERS, Page
from ssmspec.writers.parts.numbers import byte_size, fixed, percent, rebin, samples, strip
from ssmspec.writers.parts.terminal import Column, layout, lines, short_names

ANSI = re.compile(r"\x1b\[[0-9;]*m")


def layer(name="net.0.ssm", cover=0.5, symmetry="half", **metrics):
    values = {
        "step_size_min": 0.001,
        "step_size_max": 0.1,
        "unstable_fraction": 0.0,
        "time_constant_median": 140.0,
        "coverage": cover,
        "spectral_flatness": 0.67,
        "aliased_fraction": 0.108,
        "entanglement": 0.98,
        "frequency_w1": 0.25,
    } | metrics
    return LayerReport(
        name=name,
        family="s4d",
        family_title="S4D",
        discretization="zoh",
        symmetry=symmetry,
        channels=128,
        modes=32,
        selective=False,
        metrics={
            key: NotApplicable("no reason") if value is None else Measured(float(value), "1")
            for key, value in values.items()
        },
        power=tuple([0.5] + [0.5 / 127] * 127) if symmetry == "half" else (),
        timescales=(0.0, 0.5, 0.5, 0.0),
    )


def report(*layers, **fields):
    return Report(
        checkpoint=CheckpointSummary("some/model.pth", "torch-zip", 12345, 7),
        layers=layers,
        model={},
        **fields,
    )


def text(what, **page):
    return WRITERS["text"].render(what, Page(**page))


def test_a_table_row_holds_the_numbers_of_its_layer():
    shown = text(report(layer()), width=80)
    assert re.search(r"0\.001-0\.1 +140 +0\.50 +0\.67 +10\.8 % +0\.98 +0\.25 +█", shown)


@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
def test_nothing_is_wider_than_the_terminal_nor_cut(width):
    deep = [layer(f"encoder.blocks.{i}.mixer.kernel") for i in range(5)]
    shown = text(report(*deep, sequence_length=1024), width=width)
    assert max(cell_len(line) for line in shown.splitlines() if "analyze" not in line) <= width
    assert "…" not in shown


def test_a_pipe_gets_whole_names_and_no_styles():
    names = [f"encoder.blocks.{i}.a_rather_long_module_name.kernel" for i in range(40)]
    shown = text(report(*(layer(name) for name in names)))
    assert all(name in shown for name in names)
    assert "\x1b" not in shown


def test_color_changes_styles_only():
    plain = text(report(layer()), width=80)
    colored = text(report(layer()), width=80, color=True)
    assert "\x1b[" in colored
    assert ANSI.sub("", colored).split() == plain.split()


def test_many_layers_collapse_to_their_median_and_outliers():
    layers = [layer(f"net.{i}.ssm", cover=0.9 + 0.001 * (i % 3)) for i in range(40)]
    layers[17] = layer("net.17.ssm", cover=0.1)
    shown = text(report(*layers), width=80)
    rows = [line for line in shown.splitlines() if "█" in line]
    assert any(line.startswith("17 ") and "0.10" in line for line in rows)
    assert any(line.startswith("39 alike") and "0.90" in line for line in rows)
    assert len(rows) == 2
    assert text(report(*layers), width=80, verbose=True).count("0.90 ") >= 39


def test_findings_are_grouped_and_name_the_worst():
    found = [
        Finding("ALI001", Level.INFO, f"net.{i}.ssm", f"{share} of it", share, 0.01)
        for i, share in enumerate((0.1, 0.3, 0.2))
    ]
    layers = [layer(f"net.{i}.ssm") for i in range(4)]
    shown = text(report(*layers, findings=tuple(found)), width=100)
    assert "ALI001 note     3 of 4 layers (0, 1, 2), most in 1: 0.3 of it" in shown


def test_names_cannot_inject_markup_or_escapes():
    nasty = "a.[red]b[/red].\x1b[31mc\n\u202ed"
    shown = text(report(layer(nasty), skipped=(Skipped(nasty, "because"),)), width=100, color=False)
    assert "[red]b[/red]" in shown
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    assert "\\x1b[31mc\\n\\u202ed" in shown


def test_not_applicable_is_a_dash_with_its_reason_in_the_verbose_report():
    one = layer(entanglement=None)
    assert "entangled" not in text(report(one), width=80)
    both = text(report(one, layer("net.1.ssm")), width=80)
    assert re.search(r"10\.8 % +- +0\.25", both)
    assert "not applicable: no reason" in text(report(one), verbose=True)


def test_words_say_what_is_wrong():
    good = layer(cover=1.0, memory_ratio=8.0)
    assert "stable; every frequency reachable; memory longer than the sequence" in text(
        report(good)
    )
    growing = layer("net.1.ssm", cover=0.75, unstable_fraction=0.1, memory_ratio=0.5)
    words = text(report(good, growing))
    assert "unstable: poles grow in layer net.1.ssm" in words
    assert "25 % of the band out of reach in layer net.1.ssm" in words
    assert "memory shorter than the sequence in layer net.1.ssm" in words


def test_the_verdict_comes_first_in_its_color_and_no_praise_above_a_fault():
    shares = {"net.0.ssm": 0.94, "net.1.ssm": 0.5}
    found = [
        Finding("ALI001", Level.WARNING, name, f"{share:.0%} of the modes alias. Do.", share, 0.01)
        for name, share in shares.items()
    ]
    found.append(Finding("INI001", Level.WARNING, "net.0.ssm", "never trained. Look.", 0.0, 1e-6))
    what = report(layer(cover=1.0), layer("net.1.ssm", cover=1.0), findings=tuple(found))
    lines = text(what, width=80).splitlines()
    assert lines[0] == "WARN  94 % of modes alias; never trained"
    colored = text(what, width=80, color=True)
    assert colored.startswith("\x1b[33mWARN")
    (praise,) = [line for line in colored.splitlines() if "every frequency reachable" in line]
    assert "\x1b" not in praise
    assert text(report(layer(cover=1.0)), width=80, color=True).startswith("\x1b[32mPASS")
    one_line = (
        "ALI001 warning  both layers, most in 0: 94 % of modes alias (> 1 %); mask them or lower"
    )
    assert one_line in text(what, width=100)
    assert "94% of the modes alias. Do." in text(what, width=100, verbose=True)


def test_commands_stand_alone_and_dfout_is_named_where_it_helps():
    name = layer().name
    aliased = Finding("ALI001", Level.INFO, name, "10.8 % of the modes alias. Do.", 0.108, 0.01)
    reference = layer("DFouT", cover=1.0, aliased_fraction=0.0)
    what = report(layer(), findings=(aliased,), reference=reference)
    lines = text(what, width=100).splitlines()
    assert "ssmspec analyze some/model.pth --against dfout" in lines
    assert "ssmspec analyze some/model.pth --verbose" in lines
    assert lines[-1] == "ssmspec explain ALI001"
    for other in (
        report(layer(), reference=reference),
        report(layer(), findings=(aliased,), reference=replace(reference, metrics={})),
        report(layer(symmetry="real"), findings=(aliased,), reference=reference),
    ):
        assert "dfout" not in text(other, width=100)
    narrow = text(what, width=40).splitlines()
    start = narrow.index("ssmspec analyze some/model.pth \\")
    assert narrow[start + 1].strip() == "--seq-len L"


def test_the_legend_names_the_columns_that_are_there():
    shown = text(report(layer()), width=200)
    assert "dt step size; tau time constant" in shown
    assert "entangled R²" in shown
    assert "entangled R²" not in text(report(layer(entanglement=None)), width=200)


def test_a_ci_log_is_wrapped_and_whole(monkeypatch):
    for name in ("CI", "FORCE_COLOR", "NO_COLOR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    plain = page_for(None, verbose=False)
    assert plain == Page()
    monkeypatch.setenv("COLUMNS", "60")
    assert page_for(None, verbose=False) == plain
    monkeypatch.setenv("CI", "true")
    page = page_for(None, verbose=False)
    names = [f"encoder.blocks.{i}.a_rather_long_module_name.kernel" for i in range(20)]
    shown = WRITERS["text"].render(report(*map(layer, names), assumptions=("word " * 60,)), page)
    assert all(name in shown for name in names)
    words = [line for line in shown.splitlines() if "word" in line]
    assert len(words) > 1
    assert max(map(len, words)) <= 120
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert page_for(None, verbose=True) == Page(width=60, color=True, verbose=True)
    assert page_for(Path("x.txt"), verbose=False) == plain


def test_a_hybrid_says_how_many_blocks_are_ours():
    assert "6 of 52 blocks are state-space layers" in text(report(layer(), blocks=(6, 52)))


@pytest.mark.parametrize(
    ("names", "short", "pattern"),
    [
        (["m.0.k", "m.1.k"], ["0", "1"], "m.{}.k"),
        (["m.0.k", "m.10.k.x"], ["0.k", "10.k.x"], "m.{}"),
        (["a", "b"], ["a", "b"], ""),
        (["only.one"], ["only.one"], ""),
        (["m.a.fwd", "m.a.bwd"], ["fwd", "bwd"], "m.a.{}"),
        (["m.k", "m.k.k"], ["k", "k.k"], "m.{}"),
    ],
)
def test_short_names_rebuild_the_full_ones(names, short, pattern):
    found, found_pattern = short_names(names)
    assert (found, found_pattern) == (short, pattern)
    if pattern:
        assert [pattern.replace("{}", part) for part in found] == names


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (fixed(0.666), "0.67"),
        (fixed(0.006), "0.01"),
        (fixed(-0.006), "-0.01"),
        (fixed(0.0049), "<0.01"),
        (fixed(0.0049, 3), "0.005"),
        (fixed(0.0004, 3), "<0.001"),
        (fixed(0.0), "0.00"),
        (fixed(None), "-"),
        (percent(0.1077), "10.8 %"),
        (percent(0.0), "0 %"),
        (percent(1.0), "100 %"),
        (percent(0.0001), "<0.1 %"),
        (percent(0.99999), ">99.9 %"),
        (samples(0.72), "0.7"),
        (samples(140.2), "140"),
        (samples(12345.0), "12.3k"),
        (samples(999.9), "1.0k"),
        (samples(4.1e6), "4.1M"),
        (byte_size(816623), "817 kB"),
        (byte_size(12_000_000_000), "12.0 GB"),
        (byte_size(None), "in memory"),
    ],
)
def test_numbers_as_people_read_them(shown, expected):
    assert shown == expected


def test_a_strip_is_even_for_an_even_density_and_empty_where_silent():
    assert strip([1.0] * 4, 1.0) == "████"
    assert strip([4.0, 1.0, 0.0], 4.0) == "█▅ "  # amplitude: half of the height
    assert rebin((0.1, 0.2, 0.3, 0.4), 2) == pytest.approx([0.3, 0.7])


def test_grid_drops_the_least_important_column_and_keeps_rank_zero():
    columns = [
        Column("name", ["a", "b"], right=False),
        Column("main", ["12", "3"], rank=1),
        Column("extra", ["xxxx", "y"], rank=9),
        Column("empty", ["-", "-"], rank=2),
    ]
    assert [c.header for c in layout(columns, None)[0]] == ["name", "main", "extra"]
    assert [c.header for c in layout(columns, 12)[0]] == ["name", "main"]
    assert [c.header for c in layout(columns, 3)[0]] == ["name"]
    assert [line.plain for line in lines(columns, 12)] == ["name  main", "a       12", "b        3"]


def test_json_is_the_contract_and_csv_is_tidy(tmp_path):
    state = {
        "k.log_dt": np.log(np.full(4, 0.01)),
        "k.log_A_real": np.log(np.full((4, 3), 0.5)),
        "k.A_imag": np.tile(np.pi * np.arange(3), (4, 1)),
    }
    what = ssmspec.analyze(state)
    data = json.loads(WRITERS["json"].render(what, Page()))
    assert set(data) == {
        "schema_version", "tool", "checkpoint", "assumptions", "sequence_length", "sample_rate",
        "layers", "model", "findings", "skipped", "verdict",
    }  # fmt: skip
    assert isinstance(data["schema_version"], int)
    assert data["sequence_length"] is None
    (only,) = data["layers"]
    assert set(only) == {
        "name", "family", "discretization", "symmetry", "channels", "modes", "metrics",
    }  # fmt: skip
    assert (only["name"], only["channels"], only["modes"]) == ("k", 4, 3)
    assert set(only["metrics"]["aliased_fraction"]) == {"value", "unit"}
    assert set(only["metrics"]["memory_ratio"]) == {"not_applicable"}
    rows = WRITERS["csv"].render(what, Page()).splitlines()
    assert rows[0] == "layer,family,channels,modes,metric,value,unit,not_applicable"
    assert len(rows) == 1 + 2 * len(only["metrics"])
    frame = what.to_pandas()
    assert frame.loc["k", "aliased_fraction"] == only["metrics"]["aliased_fraction"]["value"]


def test_a_value_that_is_not_finite_cannot_reach_a_report():
    with pytest.raises(ssmspec.SsmspecError):
        Measured(float("nan"), "1")
    finding = Finding("X", Level.INFO, "l", "m", float("inf"), None)
    assert finding.to_dict()["value"] is None
