import json
import subprocess
import sys

import numpy as np
import pytest
from safetensors.numpy import save_file

from ssmspec.cli import run
from tests.examples.comparison import mamba2, s4d

LIN = "sample_checkpoints/s4d_lin.safetensors"
DFOUT = "sample_checkpoints/s4d_dfout.safetensors"
MAMBA = "sample_checkpoints/mamba1.safetensors"


def succeeds(capsys, *arguments):
    assert run([str(argument) for argument in arguments]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out


def fails(capsys, *arguments):
    assert run([str(argument) for argument in arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("ssmspec: error: ")
    assert err.count("\n") == 1
    return err


@pytest.mark.parametrize("form", ["text", "json", "csv", "markdown"])
@pytest.mark.parametrize(
    "arguments",
    [
        ("compare", LIN, DFOUT),
        ("compare", LIN, LIN),
        ("analyze", LIN, "--against", "dfout"),
        ("analyze", LIN, "--sweep", "dt"),
        ("analyze", LIN, "--sweep", "xi", "--verbose"),
        ("analyze", LIN),
    ],
)
def test_every_report_in_every_format(capsys, arguments, form):
    out = succeeds(capsys, *arguments, "--seq-len", 64, "--format", form)
    assert out.endswith("\n")
    if form == "json":
        assert json.loads(out)["sequence_length"] == 64


def test_a_difference_is_no_failure_and_a_saved_report_is_a_side(tmp_path, capsys):
    saved, loaded, report = (tmp_path / n for n in ("a.safetensors", "b.safetensors", "a.json"))
    model = mamba2()
    save_file(model, saved)
    save_file({k: v + np.float32(k.endswith("dt_bias")) for k, v in model.items()}, loaded)
    out = succeeds(capsys, "compare", saved, loaded)
    assert "only state-space parameters changed: dt_bias in 2 layers" in out
    assert run(["analyze", str(saved), "--format", "json", "--output", str(report)]) == 0
    out = succeeds(capsys, "compare", report, loaded)
    assert "saved report of" in out
    assert "a saved report holds no tensors" in out


def test_a_report_goes_to_a_file_and_never_over_an_input(tmp_path, capsys):
    a, b = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    save_file(s4d(), a)
    save_file(s4d(dt=0.1), b)
    target = tmp_path / "difference.md"
    arguments = ("compare", a, b, "-f", "markdown", "-o", target)
    assert succeeds(capsys, *arguments) == ""
    first = target.read_text()
    assert first.startswith("# ")
    assert "--force" in fails(capsys, *arguments)
    assert target.read_text() == first
    before = b.read_bytes()
    fails(capsys, "compare", a, b, "--force", "-o", b)
    assert b.read_bytes() == before


def test_what_cannot_be_read_exits_two(tmp_path, capsys):
    absent = tmp_path / "absent.safetensors"
    assert "absent.safetensors" in fails(capsys, "compare", LIN, absent)
    assert "absent.safetensors" in fails(capsys, "compare", absent, LIN)
    torn = tmp_path / "torn.json"
    torn.write_text('{"schema_version": 1, "layers"')
    assert "not a whole JSON report" in fails(capsys, "compare", torn, LIN)
    plain = tmp_path / "plain.safetensors"
    save_file({"linear.weight": np.ones((2, 2))}, plain)
    assert "no state-space layer" in fails(capsys, "compare", LIN, plain)


def test_a_side_whose_layers_were_all_skipped_exits_two_after_the_report(tmp_path, capsys):
    broken = tmp_path / "broken.safetensors"
    save_file(s4d() | {"layers.0.kernel.log_dt": np.zeros(5)}, broken)
    assert run(["compare", LIN, str(broken)]) == 2
    out, err = capsys.readouterr()
    assert "skipped" in out
    assert "could be measured" in err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("analyze", LIN, "--against", "dfout", "--sweep", "dt"), "one of them"),
        (("analyze", LIN, "--against", "dfuot"), "did you mean 'dfout'"),
        (("analyze", LIN, "--sweep", "tau"), "--sweep"),
        (("analyze", LIN, "--against", "dfout", "--format", "jason"), "did you mean 'json'"),
        (("compare", LIN, LIN, "--format", "jason"), "did you mean 'json'"),
        (("compare", LIN), "B"),
        (("compare", LIN, LIN, "--layers", "nothing"), "nothing"),
    ],
)
def test_usage_errors_exit_two(capsys, arguments, says):
    assert says in fails(capsys, *arguments)


def test_real_poles_against_an_oscillating_scheme_are_reported_not_refused(capsys):
    said = succeeds(capsys, "analyze", MAMBA, "--against", "dfout")
    assert "s4d-real can be set beside them" in " ".join(said.split())  # wrapped where CI is set


def test_none_of_it_loads_torch():
    program = (
        "import sys; from ssmspec.cli import run;"
        f"run(['compare', {LIN!r}, {DFOUT!r}]);"
        f"run(['analyze', {LIN!r}, '--against', 'dfout']);"
        f"run(['analyze', {LIN!r}, '--sweep', 'dt']);"
        "sys.exit(bool({'torch', 'scipy', 'pandas', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
