"""The worked examples of docs/extending.md, installed as a distribution and used."""

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
FILE = re.compile(r"<!-- file: (\S+) -->\n```\w+\n(.*?)```", re.DOTALL)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """`run(*arguments)`: ssmspec in a folder where the page's distribution is installed."""
    site = tmp_path_factory.mktemp("site")
    for name, text in FILE.findall(PAGE):
        path = site / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    (site / "ssmspec_example" / "__init__.py").touch()
    project = tomllib.loads((site / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    info = site / f"ssmspec_example-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: ssmspec-example\nVersion: 1.0\n")
    lines = []
    for group, points in project["entry-points"].items():
        lines += [f"[{group}]", *(f"{name} = {value}" for name, value in points.items())]
    (info / "entry_points.txt").write_text("\n".join(lines))

    def python(*arguments):
        return subprocess.run(
            [sys.executable, *map(str, arguments)],
            cwd=site, env=os.environ | {"PYTHONPATH": f"{site}{os.pathsep}{ROOT}"},
            capture_output=True, text=True, check=False,
        )  # fmt: skip

    def call(*arguments):
        return python("-m", "ssmspec", *arguments)

    call.site, call.python = site, python
    return call


@pytest.fixture(scope="module")
def model(run):
    """A checkpoint of resonators, as text: 2 channels of 3 modes."""
    path = run.site / "bank.tensors"
    path.write_text(
        "# tensors\n"
        "bank.log_tau 2 3\n" + " ".join(map(str, np.log([10, 20, 30, 40, 50, 4000]))) + "\n"
        "bank.cycles 2 3\n0.1 0.2 0.3 0.15 0.25 0.35\n"
    )
    return path


def test_a_family_a_container_a_metric_and_a_rule(run, model):
    done = run("analyze", model, "--format", "json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    (layer,) = report["layers"]
    assert (layer["family"], layer["channels"], layer["modes"]) == ("resonator", 2, 3)
    assert report["checkpoint"]["container"] == "text"
    # Decays 1/tau: smallest 1/4000; the median of six lies halfway between 1/30 and 1/40.
    expected = (1 / 4000) / ((1 / 30 + 1 / 40) / 2)
    assert layer["metrics"]["loudest_mode"]["value"] == pytest.approx(expected)
    assert "EXA001" in {finding["code"] for finding in report["findings"]}


def test_a_format(run, model):
    assert run("analyze", model, "--format", "lines").stdout == "bank 6\n"


def test_a_scheme_in_a_family(run):
    path = run.site / "bank.npz"
    np.savez(path, **{"bank.log_tau": np.zeros((2, 3)), "bank.cycles": np.zeros((2, 3))})
    done = run(
        "reinit", path, "--scheme", "harmonic", "--xi-max", "0.2",
        "--output", run.site / "new.safetensors",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    new = load_file(run.site / "new.safetensors")
    np.testing.assert_allclose(np.exp(-new["bank.log_tau"]), 0.1)
    cycles = np.array([[1, 2, 3], [2, 4, 6]]) / 12  # omega / 2 pi, up to Nyquist
    np.testing.assert_allclose(new["bank.cycles"], cycles)


def test_a_preset_and_a_format_of_the_gate(run, model):
    arguments = ("check", model, "--format", "codes", "--fail-on", "warning")
    done = run(*arguments)
    codes = done.stdout.split()
    assert codes[0] == "0"
    assert "EXA001" in codes  # a note, which does not fail the gate
    strict = run(*arguments, "--preset", "resonators")
    assert strict.returncode == 1, strict.stderr
    assert strict.stdout.startswith("1 ")


def test_a_figure(run, model):
    done = run("plot", model, "--kind", "sizes", "--output", run.site / "sizes.svg")
    assert done.returncode == 0, done.stderr
    assert "<svg" in (run.site / "sizes.svg").read_text(encoding="utf-8")


def test_a_task_is_trained(run):
    done = run(
        "train", "--task", "louder", "--output", run.site / "run", "--max-steps", "3",
        "--batch-size", "8", "--d-model", "4", "--d-state", "8", "--n-layers", "1", "--quiet",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (run.site / "run" / "model.safetensors").exists()


RECORDS = {
    "families": ["resonator"], "metrics": ["loudest_mode"], "rules": ["EXA001"],
    "schemes": ["harmonic"], "formats": ["lines", "text", "codes"], "presets": ["resonators"],
    "plots": ["sizes"], "tasks": ["louder"],
}  # fmt: skip


def test_every_record_is_listed_and_explained(run):
    """All in one process: each command line by itself would take half a second to start."""
    commands = [["list", table, "--json"] for table in RECORDS] + [["explain", "EXA001"]]
    script = f"from ssmspec.cli import run\nfor line in {commands}:\n    run(line); print(chr(0))"
    done = run.python("-c", script)
    *tables, explained, end = done.stdout.split("\0\n")
    assert end == "", done.stderr
    for (table, entries), listed in zip(RECORDS.items(), tables, strict=True):
        ids = {next(iter(row.values())) for row in json.loads(listed)}
        assert ids.issuperset(entries), table
    assert "one mode outlasts the others" in explained


def test_every_table_of_the_package_is_on_the_page():
    """A table that third parties can extend and the page does not name would be a secret."""
    groups = set()
    for path in (ROOT / "ssmspec").rglob("*.py"):
        groups |= set(re.findall(r'^    "(ssmspec\.\w+)",$', path.read_text("utf-8"), re.MULTILINE))
    assert {group for group in groups if group not in PAGE} == set()
