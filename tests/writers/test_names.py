"""Names out of a file do no harm in any output: no escapes, no formulas, no commands of a log."""

import csv
import io
from pathlib import Path

import numpy as np
import pytest

from ssmspec.analysis.report import analyze
from ssmspec.checkpoints.memory import MemoryCheckpoint
from ssmspec.writers import WRITERS, Page
from ssmspec.writers.check.github import _command
from ssmspec.writers.html import figures
from ssmspec.writers.parts.tidy import to_csv

NAMES = (
    "a\r=HYPERLINK(1)",
    "\x1b[31mred\u202e",
    "\ud800",
    "=1+1",
    "@x",
    "::error::x",
    "##[group]x",
)


def model(name):
    prefix = f"{name}.kernel."
    return MemoryCheckpoint({
        f"{prefix}log_dt": np.full(3, -3.0),
        f"{prefix}log_A_real": np.zeros((3, 4)),
        f"{prefix}A_imag": np.ones((3, 4)),
    })  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_no_format_carries_what_a_reader_would_obey(name):
    report = analyze(model(name))
    for writer in WRITERS.values():
        if writer.id == "html":
            continue  # a page of its own tests
        text = writer.render(report, Page())
        text.encode()
        assert "\x1b" not in text
        assert "\u202e" not in text
        assert "\r" not in text
    cells = list(csv.reader(io.StringIO(WRITERS.require("csv").render(report, Page()))))
    assert not [cell for row in cells for cell in row if cell[:1] in "=+@" and cell]


def test_every_text_cell_is_cleaned_and_numbers_are_not():
    assert to_csv(("a", "b"), [("-x", -1.5), ("=1", None)]) == "a,b\n'-x,-1.5\n'=1,\n"


def test_a_path_is_no_command_of_a_log():
    assert "##[" not in _command("error", "text", file="a##[add-mask]b")


def test_a_figure_that_cannot_be_drawn_is_left_out_and_said(monkeypatch):
    def undrawable(view):
        raise ValueError("math domain error")

    path = Path(__file__).parents[2] / "sample_checkpoints" / "s4d_lin.safetensors"
    report = analyze(path)
    monkeypatch.setattr("ssmspec.plots.parts.panel.layer_panel", undrawable)
    drawn = figures.draw(report, [layer.name for layer in report.layers], "x")
    assert drawn.svg == {}
    assert "beyond what can be drawn (ValueError)" in drawn.missing
    assert "and 1 more" in drawn.missing
