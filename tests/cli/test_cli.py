import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from ssmspec.cli import run

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = ROOT / "sample_checkpoints"
LIN = str(SAMPLES / "s4d_lin.safetensors")


def program(*arguments, **options):
    return subprocess.run(
        [sys.executable, "-m", "ssmspec", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        **options,
    )


def fails(capsys, *arguments):
    """Run what must be refused; the one sentence it says."""
    assert run([str(argument) for argument in arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("ssmspec: error: ")
    assert err.count("\n") == 1
    assert "Traceback" not in err
    return err


def test_analyze_prints_a_report_and_exits_zero():
    done = program("analyze", LIN, "--seq-len", 1024)
    assert done.returncode == 0
    assert done.stderr == ""
    assert "s4_layers.0.kernel" in done.stdout
    assert "ALI001" in done.stdout


def test_the_installed_script_is_the_same_program():
    script = Path(sys.executable).with_name("ssmspec")
    if not script.exists():
        pytest.skip("ssmspec is not installed as a script in this environment")
    shown = subprocess.run([script, "analyze", LIN], capture_output=True, text=True, check=True)
    assert shown.stdout == program("analyze", LIN).stdout


def test_json_goes_to_a_file_whole_and_is_not_overwritten(tmp_path, capsys):
    target = tmp_path / "report.json"
    assert run(["analyze", LIN, "--format", "json", "--output", str(target)]) == 0
    before = target.read_bytes()
    assert json.loads(before)["layers"][0]["channels"] == 16
    assert "--force" in fails(capsys, "analyze", LIN, "--format", "csv", "-o", target)
    assert target.read_bytes() == before
    assert run(["analyze", LIN, "--format", "csv", "-o", str(target), "--force"]) == 0
    assert target.read_text().startswith("layer,family")
    assert [path.name for path in tmp_path.iterdir()] == ["report.json"]


def test_an_output_never_replaces_its_input(tmp_path, capsys):
    copy = tmp_path / "model.safetensors"
    copy.write_bytes(Path(LIN).read_bytes())
    fails(capsys, "analyze", copy, "-o", copy, "--force")
    assert copy.read_bytes() == Path(LIN).read_bytes()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["analyze", "no/such/file.pt"], "no/such/file.pt"),
        (["analyze", LIN, "--format", "jsno"], "did you mean 'json'?"),
        (["analyze", LIN, "--seq-len", "0"], "sequence length"),
        (["analyze", LIN, "--sample-rate", "nan"], "sample rate"),
        (["analyze", LIN, "--sample-rate", "-1"], "sample rate"),
        (["analyze", LIN, "--layer-rate", "16000"], "GLOB=HZ"),
        (["analyze", LIN, "--layers", "nothing*"], "nothing*"),
        (["analyze", LIN, "--family", "s4dd"], "did you mean 's4d'?"),
        (["analyze", LIN, "--family", "s5"], "holds no s5 layer"),
        (["analyze", LIN, "--family", "mapped"], "--map"),
        (["analyze", LIN, "--discretization", "bilinear"], "always zoh"),
        (["analyze", LIN, "--dt-transform", "softplus"], "does not apply"),
        (["analyze", LIN, "--map", "no/such/page.toml"], "no/such/page.toml"),
        (["check", LIN, "--baseline", "/dev/zero"], "/dev/zero is no regular file"),
        (["check", LIN, "--config", "/dev/zero"], "dev/zero is a character device, not a regular"),
        (["analyze", LIN, "--no-such-option"], "No such option"),
        (["analyze"], "Missing argument"),
        (["nonsense"], "No such command"),
        (["list", "nonsense"], "nonsense"),
    ],
)
def test_what_cannot_be_done_is_one_sentence_and_exit_two(capsys, arguments, says):
    assert says in fails(capsys, *arguments)


def test_a_file_without_state_space_layers_says_what_it_holds(tmp_path, capsys):
    path = tmp_path / "linear.safetensors"
    save_file({"fc.weight": np.ones((3, 4), np.float32)}, path)
    assert "fc.weight" in fails(capsys, "analyze", path)


def test_a_file_with_only_skipped_layers_still_gets_its_report(tmp_path, capsys):
    path = tmp_path / "m3.safetensors"
    names = ("dt_bias", "B_bias", "C_bias")
    save_file({f"layers.0.mixer.{name}": np.ones((4, 1, 8), np.float32) for name in names}, path)
    assert run(["analyze", str(path)]) == 2
    out, err = capsys.readouterr()
    assert "layers.0.mixer" in out
    assert "could be measured" in err
    assert run(["analyze", str(path), "--format", "json"]) == 2
    data = json.loads(capsys.readouterr().out)
    assert data["layers"] == []
    assert data["skipped"][0]["name"] == "layers.0.mixer"


def test_an_internal_error_is_exit_two_and_debug_shows_the_trace(capsys, monkeypatch):
    def broken(*_, **__):
        raise ZeroDivisionError("surprise")

    monkeypatch.setattr("ssmspec.analysis.report.analyze", broken)
    assert "internal error: ZeroDivisionError: surprise" in fails(capsys, "analyze", LIN)
    assert run(["analyze", LIN, "--debug"]) == 2
    assert "Traceback" in capsys.readouterr().err


def test_layer_rate_turns_gaps_into_hertz(capsys):
    def gaps(*options):
        assert run(["analyze", LIN, "--format", "json", *options]) == 0
        layers = json.loads(capsys.readouterr().out)["layers"]
        return [layer["metrics"]["largest_gap"] for layer in layers]

    plain = gaps()
    both = gaps("--sample-rate", "8000", "--layer-rate", "*.1.*=16000")
    assert [gap["unit"] for gap in plain + both] == ["cycles/sample"] * 2 + ["Hz"] * 2
    assert both[0]["value"] == pytest.approx(8000 * plain[0]["value"])
    assert both[1]["value"] == pytest.approx(16000 * plain[1]["value"])


def test_layers_selects_and_keeps_natural_order(tmp_path, capsys):
    state = {}
    for i in (0, 2, 10):
        state[f"net.{i}.kernel.log_dt"] = np.full(2, -4.0)
        state[f"net.{i}.kernel.log_A_real"] = np.full((2, 3), -0.7)
        state[f"net.{i}.kernel.A_imag"] = np.tile(np.arange(3.0), (2, 1))
    path = tmp_path / "m.safetensors"
    save_file(state, path)

    def names(*options):
        assert run(["analyze", str(path), "-f", "json", *options]) == 0
        return [layer["name"] for layer in json.loads(capsys.readouterr().out)["layers"]]

    assert names() == ["net.0.kernel", "net.2.kernel", "net.10.kernel"]
    assert names("--layers", "net.1*") == ["net.10.kernel"]


def test_a_reader_that_goes_away_is_no_crash():
    done = subprocess.run(  # noqa: S602
        f"{sys.executable} -m ssmspec analyze {LIN} --verbose | head -n 1; echo ${{PIPESTATUS[0]}}",
        shell=True,
        executable="/bin/bash",
        capture_output=True,
        text=True,
        check=True,
    )
    assert "Traceback" not in done.stderr
    assert done.stdout.splitlines()[-1] in ("0", "141")


def in_a_terminal(columns, *arguments, **environment):
    """What a terminal of this width receives."""
    leader, follower = pty.openpty()
    os.set_blocking(leader, True)
    import fcntl
    import struct
    import termios

    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    kept = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "COLUMNS", "TERM")}
    child = subprocess.Popen(
        [sys.executable, "-m", "ssmspec", *arguments],
        stdout=follower,
        stderr=subprocess.DEVNULL,
        env=kept | {"TERM": "xterm-256color"} | environment,
    )
    os.close(follower)
    chunks = []
    while True:
        try:
            chunk = os.read(leader, 65536)
        except OSError:
            break
        if not chunk:
            break
        chunks.append(chunk)
    os.close(leader)
    assert child.wait(timeout=60) == 0
    return b"".join(chunks).decode()


def test_a_terminal_gets_color_and_its_width_and_no_color_is_honored():
    colored = in_a_terminal(80, "analyze", LIN)
    assert "\x1b[" in colored
    plain = in_a_terminal(80, "analyze", LIN, NO_COLOR="1")
    assert "\x1b[" not in plain
    table = [line for line in plain.splitlines() if re.match(r"(layer|0|1|DFouT) ", line)]
    assert len(table) == 4
    assert max(map(len, plain.splitlines())) <= 80


def test_a_model_of_four_layers_fits_one_screen(shared):
    shown = in_a_terminal(80, "analyze", str(shared / "s4d_cifar10.pth"), "--seq-len", "1024")
    assert len(shown.splitlines()) <= 40


def test_list_and_json_tables(capsys):
    for what in ("families", "metrics", "rules", "schemes", "formats"):
        assert run(["list", what]) == 0
        assert len(capsys.readouterr().out.splitlines()) > 5
        assert run(["list", what, "--json"]) == 0
        assert len(json.loads(capsys.readouterr().out)) > 4


def test_version(capsys):
    import ssmspec

    assert run(["--version"]) == 0
    assert capsys.readouterr().out.strip() == f"ssmspec {ssmspec.__version__}"


def test_explain_covers_every_id_and_names_the_nearest(capsys):
    from ssmspec.cli.explain import _entries
    from ssmspec.families import FAMILIES
    from ssmspec.metrics import METRICS
    from ssmspec.rules import RULES
    from ssmspec.schemes import SCHEMES

    entries = list(_entries())
    assert {*SCHEMES, *METRICS, *RULES, *FAMILIES} <= {identifier for identifier, _ in entries}
    for identifier, (heading, lines) in entries:
        assert heading.startswith(identifier)
        assert len("".join(text for _, text in lines)) > 80
    for identifier, *_ in (SCHEMES, METRICS, RULES, FAMILIES):  # the first of each
        assert run(["explain", identifier]) == 0
        shown = " ".join(capsys.readouterr().out.split())
        assert shown.startswith(identifier)
        for heading, lines in (entry for known, entry in entries if known == identifier):
            assert heading in shown
            assert all(" ".join(text.split()) in shown for _, text in lines)
    assert run(["explain", "ali001"]) == 0
    assert "dfout" in capsys.readouterr().out
    assert run(["explain", "aliased_fraction"]) == 0
    known = "public S4D recipes: 5 % .. 95 % is 0 .. 0.123291 (8 recipes)"
    assert known in capsys.readouterr().out
    assert "did you mean 'dfout'?" in fails(capsys, "explain", "dfuot")
