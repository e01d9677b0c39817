"""The gate's configuration: where it is looked for, what it may say, and how it is refused."""

import json
import os

import numpy as np
import pytest
from safetensors.numpy import save_file

import ssmspec
from ssmspec.checking.config import KEYS, Config, nearest_config, read_config
from ssmspec.cli import run
from ssmspec.errors import UsageError
from ssmspec.outcome import Level
from ssmspec.rules.book import Override
from ssmspec.rules.settings import Setting
from tests.examples.comparison import s4d

FULL = """
preset = "training-start"
fail_on = "warning"
seq_len = 512
sample_rate = 8_000
row_stride = 28
resample = 2.5
select = ["ALI", "cov001,ENT"]
ignore = ["ALI002", "ENT001"]

[rules]
ALI001 = "off"
COV001 = "error"
COV002 = { level = "warning", min = 0.25 }
MEM001 = { max = 1 }

[[overrides]]
layers = "encoder.*"
rules = { ALI001 = "info" }

[[overrides]]
layers = "encoder.3"
[overrides.rules]
COV001 = { min = 0.5 }
"""


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def written(folder, name, text):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_every_key_is_understood(tmp_path):
    text = FULL.replace('"ALI002", ', "")
    path = written(tmp_path, "ssmspec.toml", text)
    config = read_config(path)
    assert config == Config(
        path=path,
        preset="training-start",
        fail_on=Level.WARNING,
        select=("ALI", "COV001", "ENT"),
        ignore=("ENT001",),
        reading=ssmspec.Reading(seq_len=512, sample_rate=8000.0, row_stride=28, resample=2.5),
        rules={
            "ALI001": Setting("off"),
            "COV001": Setting(Level.ERROR),
            "COV002": Setting(Level.WARNING, min=0.25),
            "MEM001": Setting(max=1.0),
        },
        overrides=(
            Override("encoder.*", {"ALI001": Setting(Level.INFO)}),
            Override("encoder.3", {"COV001": Setting(min=0.5)}),
        ),
    )
    project = text.replace("[rules]", "[tool.ssmspec.rules]")
    project = project.replace("[[overrides]]", "[[tool.ssmspec.overrides]]")
    project = project.replace("[overrides.rules]", "[tool.ssmspec.overrides.rules]")
    other = written(tmp_path, "pyproject.toml", f"[project]\nname='x'\n[tool.ssmspec]\n{project}")
    assert read_config(other) == Config(**{**vars(config), "path": other})
    assert all(key in text for key in KEYS)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('prset = "strict"', "did you mean 'preset'"),
        ('preset = "strikt"', "did you mean 'strict'"),
        ("preset = 3", "text in quotes"),
        ('fail_on = "warn"', "did you mean 'warning'"),
        ('fail_on = "off"', "no level is called 'off'"),
        ("seq_len = 1.5", "whole number"),
        ("seq_len = true", "whole number"),
        ("seq_len = 0", "at least 1 sample"),
        ('sample_rate = "8000"', "must be a number"),
        ("sample_rate = nan", "positive number of hertz"),
        ("sample_rate = 1" + "0" * 400, "too large"),
        ("row_stride = 2", "row stride"),
        ("resample = 0", "resampling factor"),
        ('select = "ALI"', "list of codes"),
        ('select = ["ALX001"]', "did you mean 'ALI001'"),
        ("ignore = [1]", "list of codes"),
        ('ignore = [""]', "no rule"),
        ("rules = 3", "must be a table"),
        ('[rules]\nALI01 = "off"', "did you mean 'ALI001'"),
        ('[rules]\nALI001 = "of"', "did you mean 'off'"),
        ("[rules]\nALI001 = 0.5", "a level, or a table"),
        ("[rules]\nALI001 = { mx = 0.5 }", "did you mean 'max'"),
        ("[rules]\nALI001 = { min = 0.5 }", "use { max = 0.5 }"),
        ("[rules]\nSTB002 = { max = 0.5 }", "no threshold"),
        ("[rules]\nALI001 = { max = nan }", "finite"),
        ("[rules]\nALI001 = { max = inf }", "finite"),
        ("[rules]\nALI001 = { max = -1 }", "at least 0"),
        ("[rules]\nALI001 = { max = true }", "must be a number"),
        ("[rules]\nALI001 = { max = '1' }", "must be a number"),
        ("[overrides]\nlayers = '*'", "[[overrides]]"),
        ("[[overrides]]\nlayers = '*'", "needs layers"),
        ("[[overrides]]\nrules = {}", "needs layers"),
        ("[[overrides]]\nlayers = ''\nrules = {}", "needs layers"),
        ("[[overrides]]\nlayers = '*'\nrule = {}", "did you mean 'rules'"),
        ("[[overrides]]\nlayers = '*'\nrules = { ALI001 = { max = nan } }", "finite"),
        ("overrides = [3]", "must be a table"),
        ("preset = ", "not valid TOML"),
        ("a = " + "[" * 100_000, "not valid TOML"),
        ("\x00", "not valid TOML"),
    ],
)
def test_what_makes_no_sense_is_one_sentence_that_names_the_file(tmp_path, capsys, text, says):
    path = written(tmp_path, "mine.toml", text)
    with pytest.raises(UsageError) as caught:
        read_config(path)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    assert run(["check", "model.safetensors", "--config", "mine.toml"]) == 2
    assert "mine.toml" in capsys.readouterr().err


def test_the_nearest_wins_and_ssmspec_toml_goes_first(tmp_path):
    deep = tmp_path / "a" / "b" / "c"
    deep.mkdir(parents=True)
    assert nearest_config(deep) is None
    far = written(tmp_path, "pyproject.toml", "[tool.ssmspec]\n")
    assert nearest_config(deep) == far
    written(tmp_path / "a" / "b", "pyproject.toml", "[project]\nname = 'x'\n[tool.other]\n")
    assert nearest_config(deep) == far
    beside = written(tmp_path, "ssmspec.toml", "")
    assert nearest_config(deep) == beside
    near = written(tmp_path / "a", "pyproject.toml", "[tool.ssmspec]\nseq_len = 3\n")
    assert nearest_config(deep) == near
    written(deep, "pyproject.toml", "[tool.ssmspec")
    with pytest.raises(UsageError, match="not valid TOML"):
        nearest_config(deep)


def test_a_named_project_without_the_table_is_refused(tmp_path):
    for text in ("[project]\nname = 'x'\n", "tool = 3\n", "[tool]\nssmspec = 3\n"):
        with pytest.raises(UsageError, match=r"\[tool.ssmspec\]"):
            read_config(written(tmp_path, "pyproject.toml", text))


def test_a_configuration_that_cannot_be_opened_is_refused(tmp_path):
    for path in (tmp_path, tmp_path / "absent.toml"):
        with pytest.raises(UsageError, match=path.name):
            read_config(path)


@pytest.fixture
def model(tmp_path):
    # A mode that decays by 1 nat a sample, one by 2 and one by 4: two of three hold no memory.
    rates = np.log(np.tile([1.0, 2.0, 4.0], (2, 1)))
    tensors = s4d(log_A_real=rates, log_dt=np.zeros(2)) | s4d("layers.1.kernel")
    path = tmp_path / "model.safetensors"
    save_file({key: value.astype(np.float32) for key, value in tensors.items()}, path)
    return path.name


def judged(capsys, *arguments):
    code = run(["check", *arguments, "--format", "json"])
    out, err = capsys.readouterr()
    document = json.loads(out)
    findings = document["checkpoints"][0]["report"]["findings"]
    return code, document, {(f["code"], f["layer"]): f for f in findings}, err


def test_options_override_what_the_file_says(model, tmp_path, capsys):
    written(tmp_path, "ssmspec.toml", 'preset = "strict"\nfail_on = "warning"\nseq_len = 100\n')
    code, document, _, _ = judged(capsys, model)
    assert code == 1
    assert document["check"]["preset"] == "strict"
    assert document["check"]["fail_on"] == "warning"
    assert document["check"]["config"] == "ssmspec.toml"
    assert document["checkpoints"][0]["report"]["sequence_length"] == 100
    options = ["--preset", "recommended", "--fail-on", "error", "--seq-len", "64"]
    code, document, _, _ = judged(capsys, model, *options)
    assert code == 0
    assert document["check"]["preset"] == "recommended"
    assert document["checkpoints"][0]["report"]["sequence_length"] == 64


def test_the_configuration_is_found_from_a_folder_below(model, tmp_path, capsys, monkeypatch):
    written(tmp_path, "pyproject.toml", "[tool.ssmspec]\nseq_len = 100\n")
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    _, document, _, _ = judged(capsys, f"../{model}")
    assert document["check"]["config"] == os.path.join("..", "pyproject.toml")  # noqa: PTH118
    assert document["checkpoints"][0]["report"]["sequence_length"] == 100


def test_select_of_an_option_replaces_that_of_the_file(model, tmp_path, capsys):
    written(tmp_path, "ssmspec.toml", 'select = ["ENT"]\nignore = ["INI"]\n')
    _, document, findings, _ = judged(capsys, model)
    assert {code for code, _ in findings} <= {"ENT001"}
    assert document["check"]["select"] == ["ENT"]
    _, document, findings, _ = judged(capsys, model, "--select", "MEM,ENT")
    assert ("MEM001", "layers.0.kernel") in findings
    assert document["check"]["ignore"] == ["INI"]


def test_rules_and_overrides_reach_the_findings(model, tmp_path, capsys):
    _, _, findings, _ = judged(capsys, model)
    assert findings["MEM001", "layers.0.kernel"]["value"] == pytest.approx(2 / 3)
    assert ("MEM001", "layers.1.kernel") not in findings
    text = "[rules]\nMEM001 = { max = 0.7 }\n"
    written(tmp_path, "ssmspec.toml", text)
    assert ("MEM001", "layers.0.kernel") not in judged(capsys, model)[2]
    text += '[[overrides]]\nlayers = "*.0.*"\nrules = { MEM001 = { level = "error", max = 0.6 } }\n'
    written(tmp_path, "ssmspec.toml", text)
    code, _, findings, err = judged(capsys, model)
    assert code == 1
    assert findings["MEM001", "layers.0.kernel"]["threshold"] == 0.6
    assert findings["MEM001", "layers.0.kernel"]["level"] == "error"
    assert err == ""


def test_an_override_that_fits_no_layer_is_told(model, tmp_path, capsys):
    text = '[[overrides]]\nlayers = "layer.0.*"\nrules = { MEM001 = "off" }\n'
    written(tmp_path, "ssmspec.toml", text)
    _, document, _, err = judged(capsys, model)
    assert "'layer.0.*' fits no layer" in err
    assert "'layer.0.*' fits no layer" in document["check"]["hints"][0]
    assert judged(capsys, model, "--quiet")[3] == ""
