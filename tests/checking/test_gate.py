"""`ssmspec check`: a table of exit codes, real files, outputs, and what a crash may look like."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

import ssmspec
from ssmspec.cli import run
from ssmspec.errors import UsageError
from ssmspec.metrics import METRICS
from ssmspec.rules import RULES
from tests.examples.comparison import s4d

SAMPLES = Path(__file__).resolve().parents[2] / "sample_checkpoints"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """A folder with no configuration in it, outside GitHub Actions."""
    monkeypatch.chdir(tmp_path)
    for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def sample(name):
    return str(SAMPLES / f"{name}.safetensors")


GOOD, WARNING, FAILING = sample("mamba2"), sample("s4d_lin"), sample("defect_unstable_s5")


@pytest.fixture
def cases(tmp_path):
    """Files that cannot be judged, each for a reason of its own."""
    (tmp_path / "broken.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0{broken}")
    save_file({"fc.weight": np.ones((3, 4), np.float32)}, tmp_path / "linear.safetensors")
    names = ("dt_bias", "B_bias", "C_bias")
    save_file(
        {f"layers.0.mixer.{name}": np.ones((4, 1, 8), np.float32) for name in names},
        tmp_path / "skipped.safetensors",
    )
    nan = s4d(dt=0.01)
    nan["layers.0.kernel.log_A_real"][0, 0] = math.nan
    save_file({k: v.astype(np.float32) for k, v in nan.items()}, tmp_path / "nan.safetensors")
    (tmp_path / "nan.toml").write_text("[rules]\nALI001 = { max = nan }\n")
    (tmp_path / "negative.toml").write_text("[rules]\nALI001 = { max = -0.1 }\n")
    (tmp_path / "strict.toml").write_text('preset = "strict"\nfail_on = "warning"\n')


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ([GOOD], 0),
        ([WARNING], 0),
        ([WARNING, "--fail-on", "warning"], 1),
        ([WARNING, "--fail-on", "warning", "--ignore", "INI"], 0),
        ([WARNING, "--fail-on", "info", "--select", "ALI"], 1),
        ([WARNING, "--fail-on", "info", "--select", "RES,ACC001"], 0),
        ([FAILING], 1),
        ([FAILING, "--exit-zero"], 0),
        ([FAILING, "--ignore", "STB001"], 0),
        ([FAILING, "--preset", "strict"], 1),
        ([WARNING, "--preset", "strict"], 0),
        ([WARNING, "--preset", "strict", "--fail-on", "warning"], 1),
        ([WARNING, "--config", "strict.toml"], 1),
        ([WARNING, "--config", "strict.toml", "--fail-on", "error"], 0),
        (["nan.safetensors"], 1),
        (["broken.safetensors"], 2),
        (["linear.safetensors"], 2),
        (["skipped.safetensors"], 2),
        (["absent.safetensors"], 2),
        ([GOOD, FAILING], 1),
        ([FAILING, "broken.safetensors"], 2),
        (["broken.safetensors", FAILING, GOOD], 2),
        ([FAILING, "skipped.safetensors", "--exit-zero"], 2),
        (["absent.safetensors", "--exit-zero"], 2),
        ([GOOD, "--config", "nan.toml"], 2),
        ([GOOD, "--config", "negative.toml"], 2),
        ([GOOD, "--config", "absent.toml"], 2),
        ([GOOD, "--baseline", "absent.json"], 2),
        ([GOOD, "--baseline", "absent.json", "--exit-zero"], 2),
        ([GOOD, "--baseline", "nan.toml"], 2),
        ([GOOD, "--max-regression", "coverage:5%"], 2),
        ([GOOD, "--preset", "recomended"], 2),
        ([GOOD, "--select", "ALX"], 2),
        ([GOOD, "--ignore", ""], 2),
        ([GOOD, "--fail-on", "note"], 2),
        ([GOOD, "--format", "jnuit"], 2),
        ([GOOD, "--format", "json", "--format", "text"], 2),
        ([GOOD, "--format", "json="], 2),
        ([GOOD, "--seq-len", "0"], 2),
        ([GOOD, "--no-such-option"], 2),
        ([], 2),
    ],
)
def test_exit_codes(cases, capsys, arguments, code):
    length = [] if "--seq-len" in arguments else ["--seq-len", "1024"]
    assert run(["check", *arguments, *length]) == code
    out, err = capsys.readouterr()
    assert "Traceback" not in out + err
    assert (code == 2) == ("ssmspec: error:" in err)
    assert sorted(Path().glob("*.json")) == []


@pytest.mark.parametrize("options", [[], ["--exit-zero"]])
@pytest.mark.parametrize("what", ["metric", "rule"])
def test_a_crash_of_an_extension_is_never_a_verdict(capsys, monkeypatch, what, options):
    def broken(*_):
        raise ZeroDivisionError("surprise")

    if what == "metric":
        crashing = replace(METRICS["coverage"], measure=broken)
        monkeypatch.setitem(METRICS._records, "coverage", crashing)
    else:
        monkeypatch.setitem(RULES._records, "ALI001", replace(RULES["ALI001"], check=broken))
    assert run(["check", WARNING, FAILING, *options]) == 2
    out, err = capsys.readouterr()
    assert out.count("internal error: ZeroDivisionError: surprise") >= 1
    assert err.count("\n") == 2
    assert "--debug" in err
    assert run(["check", FAILING, "--debug", *options]) == 2
    assert 'raise ZeroDivisionError("surprise")' in capsys.readouterr().err


@pytest.mark.parametrize("broken", [MemoryError(), OSError(5, "disk"), RecursionError()])
def test_what_goes_wrong_with_one_file_does_not_stop_the_next(monkeypatch, capsys, broken):
    from ssmspec.checking import gate

    def analyze(source, *arguments, **options):
        if str(source) == WARNING:
            raise broken
        return ssmspec.analyze(source, *arguments, **options)

    monkeypatch.setattr(gate, "analyze", analyze)
    assert run(["check", WARNING, FAILING, "--format", "json", "--seq-len", "1024"]) == 2
    first, second = json.loads(capsys.readouterr().out)["checkpoints"]
    assert (first["exit_code"], second["exit_code"]) == (2, 1)
    assert "report" not in first


def test_a_nan_metric_is_an_error_and_never_a_pass(monkeypatch, capsys):
    nan = replace(METRICS["coverage"], id="third_party", needs=(), measure=lambda *_: math.nan)
    monkeypatch.setitem(METRICS._records, "third_party", nan)
    assert run(["check", GOOD, "--format", "json"]) == 1
    (file,) = json.loads(capsys.readouterr().out)["checkpoints"]
    errors = [f for f in file["report"]["findings"] if f["level"] == "error"]
    assert {f["code"] for f in errors} == {"STB002"}
    assert all("third_party" in f["message"] for f in errors)
    monkeypatch.setitem(METRICS._records, "third_party", replace(nan, measure=lambda *_: math.inf))
    assert run(["check", GOOD]) == 0


def codes(file, level=None):
    return {f["code"] for f in file["report"]["findings"] if level is None or f["level"] == level}


def checked(capsys, *arguments):
    code = run(["check", *arguments, "--seq-len", "1024", "--format", "json"])
    (file,) = json.loads(capsys.readouterr().out)["checkpoints"]
    return code, file


def test_real_files(shared, capsys):
    code, untrained = checked(capsys, str(shared / "s4d_untrained.pth"))
    assert code == 0
    assert codes(untrained, "warning") == {"INI001"}
    assert "ALI001" in codes(untrained, "info")
    assert untrained["report"]["verdict"] == "warn"
    code, trained = checked(capsys, str(shared / "s4d_cifar10.pth"))
    assert code == 0
    assert codes(trained) == codes(trained, "info") != set()
    assert trained["report"]["verdict"] == "pass"


def test_planted_defects(capsys):
    code, zeroed = checked(capsys, sample("defect_zeroed_dt_mamba1"))
    assert code == 0
    assert codes(zeroed, "warning") == {"INI002"}
    code, growing = checked(capsys, FAILING)
    assert code == 1
    (finding,) = [f for f in growing["report"]["findings"] if f["level"] == "error"]
    assert finding["code"] == "STB001"
    # The file holds float32: 1.0025 to about 1e-7, raised to the 1,024th.
    assert finding["value"] == pytest.approx(1.0025**1024, rel=1e-3)
    assert growing["report"]["verdict"] == "fail"


def test_only_skipped_layers_still_give_a_report(cases, capsys):
    code, file = checked(capsys, "skipped.safetensors")
    assert code == 2
    assert file["report"]["layers"] == []
    assert file["report"]["skipped"][0]["name"] == "layers.0.mixer"
    assert file["report"]["verdict"] is None
    assert "layers.0.mixer" in file["error"]


def test_selected_rules_are_all_that_is_said_to_be_tested():
    run_ = ssmspec.check(WARNING, select=["STB,ali001"], ignore=["STB002"])
    (file,) = run_.files
    assert set(file.tested.values()) == {("STB001", "ALI001")}
    assert {f.finding.code for f in file.findings} == {"ALI001"}
    assert {f.code for f in file.report.findings} > {"ALI001", "INI001"}
    assert (run_.select, run_.ignore) == (("STB", "ALI001"), ("STB002",))


def test_findings_come_worst_first():
    (file,) = ssmspec.check(FAILING, seq_len=1024, preset="strict").files
    ranks = [f.finding.level.rank for f in file.findings]
    assert ranks == sorted(ranks)
    assert ranks[0] == 0


def test_several_formats_at_once_and_text_on_stdout(capsys):
    arguments = ["check", FAILING, "--seq-len", "1024"]
    files = ["--format", "json=a.json", "-f", "markdown=b.md", "-f", "junit=c.xml"]
    assert run([*arguments, *files]) == 1
    out = capsys.readouterr().out
    assert "STB001" in out
    assert not out.lstrip().startswith(("{", "<", "#"))
    assert json.loads(Path("a.json").read_text())["check"]["exit_code"] == 1
    assert "STB001" in Path("b.md").read_text()
    assert Path("c.xml").read_text().startswith("<?xml")
    assert sorted(path.name for path in Path().iterdir()) == ["a.json", "b.md", "c.xml"]
    assert run([*arguments, "-f", "json", "-f", "text=d.txt"]) == 1
    assert json.loads(capsys.readouterr().out)["tool"]["name"] == "ssmspec"


def refused(capsys, *arguments):
    """What must be refused before anything is measured or written; the one sentence it says."""
    before = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}
    assert run(["check", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("ssmspec: error: ")
    assert err.count("\n") == 1
    assert {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()} == before
    return err


def test_outputs_are_refused_before_work(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("ssmspec.checking.gate.analyze", None)  # whoever measures, crashes
    copy = tmp_path / "model.safetensors"
    copy.write_bytes(Path(GOOD).read_bytes())
    (tmp_path / "there.json").write_text("mine")
    assert "--force" in refused(capsys, GOOD, "-f", "json=there.json")
    assert "--force" in refused(capsys, GOOD, "--write-baseline", "there.json")
    assert "twice" in refused(capsys, GOOD, "-f", "json=a", "-f", "junit=./a")
    assert "twice" in refused(capsys, GOOD, "-f", "json=a", "--write-baseline", "a")
    for options in ([], ["--force"]):
        assert "input" in refused(capsys, copy.name, "-f", f"json={copy.name}", *options)
    assert "input" in refused(capsys, ".", "-f", f"json={copy.name}", "--force")
    assert "does not exist" in refused(capsys, GOOD, "-f", "json=no/such/a.json")
    assert "not a whole JSON report" in refused(capsys, GOOD, "--baseline", "there.json")


def test_a_format_that_crashes_leaves_no_file(monkeypatch, capsys):
    from ssmspec.writers.check import CHECK_WRITERS

    def broken(*_):
        raise ZeroDivisionError("surprise")

    crashing = replace(CHECK_WRITERS["junit"], render=broken)
    monkeypatch.setitem(CHECK_WRITERS._records, "junit", crashing)
    assert "surprise" in refused(
        capsys, FAILING, "-f", "json=a.json", "-f", "junit=b.xml", "--write-baseline", "c.json"
    )


def test_the_step_summary_is_appended_to_and_never_cut(tmp_path, monkeypatch, capsys):
    summary = tmp_path / "summary.md"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    assert run(["check", FAILING]) == 1
    assert not summary.exists()  # the variable alone is no GitHub Actions
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    summary.write_text("of an earlier step")
    assert run(["check", FAILING]) == 1
    text = summary.read_text()
    assert text.startswith("of an earlier step\n")
    assert "STB001" in text
    full = "x" * (1024 * 1024 - 50)
    summary.write_text(full)
    capsys.readouterr()
    assert run(["check", FAILING]) == 1
    assert summary.read_text().startswith(full)
    assert summary.stat().st_size < 1024 * 1024
    assert run(["check", FAILING]) == 1
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "no" / "such"))
    capsys.readouterr()
    assert run(["check", FAILING]) == 1
    assert "step summary was not written" in capsys.readouterr().err


def test_the_library_takes_what_analyze_takes(tmp_path):
    good, growing = s4d(), s4d(A_imag=np.zeros((2, 3)), log_A_real=np.full((2, 3), -40.0))
    both = ssmspec.check([good, growing], seq_len=64)
    assert [file.path for file in both.files] == [
        "a state dict in memory",
        "a state dict in memory (2)",
    ]
    assert both.exit_code == 0
    assert ssmspec.check(Path(FAILING), seq_len=1024).exit_code == 1
    assert len(ssmspec.check([FAILING, FAILING]).files) == 1
    with pytest.raises(UsageError, match="no checkpoint"):
        ssmspec.check([])
    with pytest.raises(UsageError, match="choose from error"):
        ssmspec.check(FAILING, fail_on="never")
    seen = []
    ssmspec.check([FAILING, GOOD], progress=lambda done, total: seen.append((done, total)))
    assert seen == sorted(seen)
    assert seen[-1] == (2000, 2000)


def test_help_names_every_option(capsys):
    assert run(["check", "--help"]) == 0
    shown = capsys.readouterr().out
    for option in (
        "--config", "--preset", "--fail-on", "--select", "--ignore", "--baseline", "--seq-len",
        "--max-regression", "--write-baseline", "--exit-zero", "--format", "--verbose", "--force",
    ):  # fmt: skip
        assert option in shown
