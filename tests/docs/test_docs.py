"""The docs say what the program does: generated parts are current, commands and code run."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ssmspec.checking.config import read_config

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_generated_parts_are_up_to_date():
    done = subprocess.run(
        [sys.executable, "docs/generate.py", "--check"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_readme_code_runs(monkeypatch, capsys):
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    monkeypatch.chdir(ROOT)
    arrays = {
        "log_dt": np.full(4, -5.0),
        "log_A_real": np.full((4, 8), -0.7),
        "A_imag": np.tile(np.pi * np.arange(8), (4, 1)),
    }
    exec(compile(code, "README.md", "exec"), dict(arrays))  # noqa: S102
    assert "(4, 8)" in capsys.readouterr().out


def test_the_training_page_s_parts_fit_together(monkeypatch, tmp_path, capsys):
    page = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"<!-- file: parts.py -->\n```python\n(.*?)```", page, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "training.md", "exec"), {"__name__": "parts"})  # noqa: S102
    shape, layers, groups = capsys.readouterr().out.splitlines()
    assert shape == "torch.Size([2, 100, 8])"
    assert layers == "['0.ssm.ssm', '1.ssm.ssm']"
    assert groups == "['poles', 'plain', 'decayed']"


def test_the_training_page_s_loop_runs(monkeypatch, tmp_path, capsys):
    page = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"<!-- file: loop.py -->\n```python\n(.*?)```", page, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "training.md", "exec"), {"__name__": "loop"})  # noqa: S102
    assert "poles" in capsys.readouterr().out
    assert {file.name for file in (tmp_path / "watched").iterdir()} == {
        "spectrum.csv",
        "trajectory.npz",
    }


def test_the_ci_page_s_configuration_is_understood(tmp_path):
    page = (ROOT / "docs" / "ci.md").read_text(encoding="utf-8")
    (text,) = re.findall(r"<!-- file: ssmspec.toml -->\n```toml\n(.*?)```", page, re.DOTALL)
    path = tmp_path / "ssmspec.toml"
    path.write_text(text, encoding="utf-8")
    config = read_config(path)
    assert config.reading.seq_len == 1024
    assert set(config.rules) == {"INI001", "ALI001", "COV001", "ENT001"}


@pytest.mark.parametrize("name", ["reading.md", "ci.md"])
def test_python_on_the_pages_runs(name, monkeypatch):
    page = (ROOT / "docs" / name).read_text(encoding="utf-8")
    monkeypatch.chdir(ROOT)
    for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        code = compile(block, name, "exec")
        if "import Client" not in block:  # a cluster is elsewhere
            exec(code, {})  # noqa: S102


def test_readme_commands_are_make_targets():
    targets = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert re.search(r"^demo:", targets, re.MULTILINE)
    assert re.search(r"^test:", targets, re.MULTILINE)
    assert "make test" in README


def test_links_lead_somewhere():
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")):
        for link in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / link).exists(), f"{page.name}: {link}"


def test_every_source_file_is_short():
    long = {
        str(path.relative_to(ROOT)): count
        for folder in ("ssmspec", "tests", "docs", "benchmarks", "sample_checkpoints")
        for path in (ROOT / folder).rglob("*.py")
        if (count := len(path.read_text(encoding="utf-8").splitlines())) > 400
    }
    assert long == {}
