"""The docs say what the program does: generated parts are current, commands and code run."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
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
