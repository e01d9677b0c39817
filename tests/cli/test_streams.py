"""Streams that are closed, full or narrow change no verdict, and a crash never looks like one."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ssmspec.cli import COMMANDS, run, streams
from ssmspec.writers.parts.numbers import BLOCKS

ROOT = Path(__file__).resolve().parents[2]
LIN = ROOT / "sample_checkpoints" / "s4d_lin.safetensors"
CHECK = f"check {LIN} --fail-on warning --format json=report.json"


def program(arguments, folder, streams=""):
    return subprocess.run(
        ["/bin/sh", "-c", f"{sys.executable} -m ssmspec {arguments} {streams}"],
        cwd=folder, capture_output=True, text=True, check=False, timeout=60,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("where", "code"),
    [(">&- 2>&-", 1), (">/dev/full 2>/dev/full", 1), ("</dev/null 2>&-", 1)],
)
def test_a_failed_gate_is_told_and_its_files_are_kept_without_streams(tmp_path, where, code):
    assert program(CHECK, tmp_path, where).returncode == code
    assert (tmp_path / "report.json").read_text().endswith("}\n")


@pytest.mark.parametrize(
    ("arguments", "where"), [("analyze absent.pt", "2>&-"), (f"analyze {LIN}", ">/dev/full")]
)
def test_what_could_not_be_judged_or_told_is_never_one(tmp_path, arguments, where):
    done = program(arguments, tmp_path, where)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_modules_of_the_current_folder_are_not_imported(tmp_path):
    for name in ("typing", "json", "logging", "numpy", "subprocess", "typer"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit(1)")
    done = program(f"analyze {LIN}", tmp_path, f">{tmp_path}/out")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("encoding", ["ascii", "cp437", "cp1252", "utf-8"])
def test_what_a_stream_cannot_carry_is_drawn_in_ascii(monkeypatch, encoding):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding))
    assert run(["analyze", str(LIN)]) == 0
    shown = raw.getvalue().decode(encoding)
    monkeypatch.undo()
    drawn = any(block in shown for block in BLOCKS)
    assert drawn == (encoding == "utf-8")
    assert "s4_layers.0.kernel" in shown
    assert streams.BLOCKS == BLOCKS
    curves = {line.split("  ")[-1] for line in shown.splitlines() if line.startswith("s4_layers")}
    assert {len(curve) for curve in curves} == {32}


@pytest.mark.parametrize("code", [0, 1, "text", None])
def test_whatever_escapes_a_command_is_two(monkeypatch, code):
    def leave(**_):
        sys.exit(code)

    monkeypatch.setattr("ssmspec.cli.explain.command", leave)
    assert "explain" in COMMANDS
    assert run(["explain"]) == 2
