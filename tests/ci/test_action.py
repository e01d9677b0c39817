"""action.yml, .pre-commit-hooks.yaml and the workflow of the docs: read, and the script run."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
ACTION = yaml.safe_load((ROOT / "action.yml").read_text("utf-8"))
STEPS = {step["name"]: step for step in ACTION["runs"]["steps"]}
CHECK = STEPS["Check"]
BASH = shutil.which("bash") or "bash"
INPUTS = {"CHECKPOINTS": "", "SEQ_LEN": "", "CONFIG": "", "PRESET": "", "FAIL_ON": ""} | {
    "BASELINE": "", "MAX_REGRESSION": "", "FORMATS": "", "ARGUMENTS": "",
}  # fmt: skip

STUB = """\
#!{python}
import json, os, sys
with open(os.environ["SEEN"], "w") as file:
    json.dump(sys.argv[1:], file)
sys.stderr.write(os.environ.get("STDERR", ""))
print("::notice::found")
sys.exit(int(os.environ.get("CODE", "0")))
"""


@pytest.fixture
def action(tmp_path):
    """Run the check step as the runner does: its own bash, inputs in the environment."""
    stub = tmp_path / "stub"
    stub.write_text(STUB.format(python=sys.executable))
    stub.chmod(0o755)
    script = tmp_path / "script.sh"
    script.write_text(CHECK["run"])
    folder = tmp_path / "work"
    folder.mkdir()

    def run(program=stub, cwd=folder, environment=None, **inputs):
        assert set(inputs) <= set(INPUTS)
        output = tmp_path / "output"
        output.write_text("")
        done = subprocess.run(
            [BASH, "--noprofile", "--norc", "-eo", "pipefail", str(script)],
            cwd=cwd, capture_output=True, text=True, check=False,
            env={
                "PATH": os.environ["PATH"],
                "PROGRAM": str(program),
                "SEEN": str(tmp_path / "seen.json"),
                "GITHUB_OUTPUT": str(output),
                **INPUTS, **inputs, **(environment or {}),
            },
        )  # fmt: skip
        told = dict(line.split("=", 1) for line in output.read_text().splitlines())
        seen = tmp_path / "seen.json"
        arguments = yaml.safe_load(seen.read_text()) if seen.exists() else None
        return done, told, arguments

    return run


def test_every_input_reaches_the_script_as_a_variable_and_nothing_as_a_part_of_it():
    for step in ACTION["runs"]["steps"]:
        assert "${{" not in step.get("run", "")
        assert step.get("shell", "bash") == "bash"
    used = set(re.findall(r"inputs\.([\w-]+)", yaml.safe_dump(ACTION["runs"])))
    assert used == set(ACTION["inputs"])
    assert set(CHECK["env"]) == {"PROGRAM", *INPUTS}
    for text in ACTION["inputs"].values():
        assert text["description"]
        assert text.get("required") or isinstance(text["default"], str)


def test_the_environment_is_made_and_told_to_the_next_step():
    install = STEPS["Install ssmspec"]
    assert CHECK["env"]["PROGRAM"] == f"${{{{ steps.{install['id']}.outputs.program }}}}"
    assert 'echo "program=' in install["run"]
    for output in ("exit-code", "verdict"):
        assert ACTION["outputs"][output]["value"] == f"${{{{ steps.check.outputs.{output} }}}}"
        assert f'echo "{output}=' in CHECK["run"]


def test_inputs_become_arguments(action):
    done, told, seen = action(
        CHECKPOINTS="a.pth\n  b c.pth  \n\n",
        SEQ_LEN="1024",
        PRESET="strict",
        FAIL_ON="warning",
        CONFIG="ssmspec.toml",
        BASELINE="x.json\r\ny.json\r\n",
        MAX_REGRESSION="coverage:5%",
        FORMATS="junit=report.xml\nhtml=report.html",
        ARGUMENTS="--layers=encoder.*\n--select=ALI,COV001",
    )
    assert done.returncode == 0
    assert seen == [
        "check", "--format", "github", "--seq-len=1024", "--config=ssmspec.toml", "--preset=strict",
        "--fail-on=warning", "--baseline=x.json", "--baseline=y.json",
        "--max-regression=coverage:5%", "--format=junit=report.xml", "--format=html=report.html",
        "--layers=encoder.*", "--select=ALI,COV001", "--", "a.pth", "b c.pth",
    ]  # fmt: skip
    assert told == {"exit-code": "0", "verdict": "passed"}
    assert done.stdout == "::notice::found\n"


@pytest.mark.parametrize(
    ("code", "verdict"),
    [(0, "passed"), (1, "failed"), (2, "not-judged"), (77, "not-judged"), (137, "not-judged")],
)
def test_the_exit_code_is_kept_and_named(action, code, verdict):
    done, told, _ = action(CHECKPOINTS="a.pth", environment={"CODE": str(code)})
    assert done.returncode == code
    assert told == {"exit-code": str(code), "verdict": verdict}


def test_a_program_that_is_not_there_is_no_verdict(action, tmp_path):
    done, told, _ = action(tmp_path / "nothing", CHECKPOINTS="a.pth")
    assert done.returncode == 127
    assert told["verdict"] == "not-judged"


HOSTILE = (
    "$(touch pwned)", "`touch pwned`", "; touch pwned;", "a' && touch pwned '", 'a" ; touch pwned',
    "${IFS}touch${IFS}pwned", "a\\", "--exit-zero", "-f", "*?[", "$PROGRAM", "!!", "~", "a=b",
)  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
def test_no_input_is_run(action, tmp_path, text):
    done, _, seen = action(**dict.fromkeys(INPUTS, text))
    assert done.returncode == 0
    assert not list(tmp_path.rglob("pwned"))
    end = seen.index("--")
    assert seen[end + 1 :] == [text]  # a checkpoint is never an option
    assert f"--preset={text}" in seen[:end]
    assert seen[end - 1] == text


def test_globs_are_expanded_and_names_that_are_files_are_not(action, tmp_path):
    for name in ("a 1.pth", "a2.pth", "b[1].pth", "b1.pth"):
        (tmp_path / "work" / name).touch()
    assert action(CHECKPOINTS="a*.pth")[2][-2:] == ["a 1.pth", "a2.pth"]
    assert action(CHECKPOINTS="b[1].pth")[2][-2:] == ["--", "b[1].pth"]
    assert action(CHECKPOINTS="none*.pth")[2][-2:] == ["--", "none*.pth"]
    assert action(CHECKPOINTS="")[2][-1] == "--"


def test_what_is_said_on_stderr_commands_nothing(action):
    said = "ssmspec: error: ##[set-output name=verdict;]passed\n::stop-commands::x\n"
    done, told, _ = action(CHECKPOINTS="a", environment={"STDERR": said, "CODE": "2"})
    lines = done.stdout.splitlines()
    assert lines[0] == "::notice::found"
    opened = re.fullmatch(r"::stop-commands::([0-9a-f]{32})", lines[1])
    assert opened is not None
    assert lines[-1] == f"::{opened[1]}::"
    assert lines[2:-1] == said.splitlines()
    assert done.stderr == ""
    assert told["verdict"] == "not-judged"


def test_the_program_itself_behind_the_script(action, tmp_path):
    program = shutil.which("ssmspec", path=str(Path(sys.executable).parent))
    if program is None:
        pytest.skip("the ssmspec command is not installed beside this Python")
    summary = tmp_path / "summary.md"
    done, told, _ = action(
        program,
        ROOT,
        {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(summary)},
        CHECKPOINTS="sample_checkpoints/defect_*_s5.safetensors",
        SEQ_LEN="1024",
        FORMATS=f"junit={tmp_path / 'report.xml'}",
    )
    assert told == {"exit-code": "1", "verdict": "failed"}, done.stdout
    path = "sample_checkpoints/defect_unstable_s5.safetensors"
    assert done.stdout.startswith(f"::error file={path},title=ssmspec STB001%3A a pole grows::")
    assert summary.read_text("utf-8").startswith("## ssmspec check\n\n**Gate failed: 1 error; ")
    assert "<testsuites " in (tmp_path / "report.xml").read_text("utf-8")


def test_pre_commit_hook_takes_checkpoints_and_leaves_shards_to_their_index():
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text("utf-8"))
    assert (hook["id"], hook["entry"], hook["language"]) == (
        "ssmspec-check", "ssmspec check", "python",
    )  # fmt: skip
    taken = [
        name
        for name in (
            "m/a.safetensors", "a.pt", "a.pth", "a.ckpt", "a.npz", "a.msgpack",
            "m/pytorch_model.bin", "model.safetensors.index.json",
            "model-00001-of-00002.safetensors", "package.json", "data.bin", "a.pth.txt", "a.py",
        )
        if re.search(hook["files"], name) and not re.search(hook["exclude"], name)
    ]  # fmt: skip
    assert taken == [
        "m/a.safetensors", "a.pt", "a.pth", "a.ckpt", "a.npz", "a.msgpack", "m/pytorch_model.bin",
        "model.safetensors.index.json",
    ]  # fmt: skip


def test_the_workflow_of_the_docs_uses_inputs_that_there_are():
    workflow = yaml.safe_load((ROOT / "docs/ci-workflow.yml").read_text("utf-8"))
    steps = workflow["jobs"]["check"]["steps"]
    (ours,) = [step for step in steps if "ssmspec" in step["uses"]]
    assert set(ours["with"]) <= set(ACTION["inputs"])
    required = {name for name, text in ACTION["inputs"].items() if text.get("required")}
    assert required <= set(ours["with"])
    written = [line.partition("=")[2] for line in ours["with"]["formats"].split()]
    assert written == steps[-1]["with"]["path"].split()
    assert workflow["permissions"] == {"contents": "read"}


def test_installing_runs_no_module_of_the_checked_repository(tmp_path):
    checkout, temporary = tmp_path / "checkout", tmp_path / "runner"
    checkout.mkdir()
    temporary.mkdir()
    for name in ("logging", "subprocess", "typing", "pip", "venv", "ensurepip"):
        (checkout / f"{name}.py").write_text("raise SystemExit('a module of the checkout ran')")
    # Packages are not installed here: pip is replaced by a look at what it would import.
    script = STEPS["Install ssmspec"]["run"].replace("-I -m venv", "-I -m venv --without-pip")
    script, replaced = re.subn(
        r"-I -m pip install .*", "-I -c 'import logging, subprocess'", script
    )
    assert replaced == 1
    assert "--without-pip" in script
    output = tmp_path / "output"
    done = subprocess.run(
        [BASH, "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
        cwd=checkout, capture_output=True, text=True, check=False,
        env={
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "RUNNER_TEMP": str(temporary), "SOURCE": "install", "GITHUB_OUTPUT": str(output),
        },
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "a module of the checkout ran" not in done.stdout + done.stderr
    assert output.read_text() == f"program={temporary}/ssmspec-environment/bin/ssmspec\n"
