"""Two processes on the CPU: the same loss curve as one, at the same batch."""

import subprocess
import sys
from pathlib import Path

import pytest

from ssmspec.training import train
from tests.examples.training_runs import FILES, left_in, rows_of, tensors, tiny

ROOT = Path(__file__).resolve().parents[2]

SCRIPT = """
import os, sys
from pathlib import Path
sys.path[:0] = {paths!r}
from ssmspec.training import train
from tests.examples.training_runs import tiny

progress = []
config = tiny({{"dropout": 0.0}}, log_every=1, accumulate=2)
result = train(config, Path({folder!r}), device="cpu", on_progress=progress.append)
assert len(progress) == (12 if os.environ["RANK"] == "0" else 0)
assert result.steps == 12
"""


def test_two_processes_give_the_curve_of_one(tmp_path):
    folder = tmp_path / "two"
    script = tmp_path / "script.py"
    script.write_text(
        SCRIPT.format(paths=[str(ROOT), str(ROOT / "tests")], folder=str(folder)), encoding="utf-8"
    )
    done = subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"),
            *("--standalone", "--local-addr", "127.0.0.1", str(script)),  # on a port of its own
        ],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
        timeout=120,
    )
    if "Operation not permitted" in done.stderr or "Permission denied" in done.stderr:
        pytest.skip("this machine does not let processes talk to each other")
    assert done.returncode == 0, done.stderr[-3000:]
    config = tiny({"dropout": 0.0}, log_every=1, accumulate=2)
    train(config, tmp_path / "one")
    assert {path.name for path in folder.iterdir()} == FILES
    one, two = rows_of(tmp_path / "one"), rows_of(folder)
    assert [(r["step"], r["split"]) for r in one] == [(r["step"], r["split"]) for r in two]
    for a, b in zip(one, two, strict=True):
        assert float(a["loss"]) == pytest.approx(float(b["loss"]), abs=1e-5)
        assert float(a["metric"]) == pytest.approx(float(b["metric"]), abs=1e-6)
    # The names in the file are the model's own, not those of the wrapper around it.
    assert (
        tensors(folder / "model.safetensors").keys()
        == tensors(tmp_path / "one" / "model.safetensors").keys()
    )
    # A run of two processes goes on with one, and starts alike.
    before = left_in(folder)
    assert train(config, folder, resume=True).steps == 12
    assert left_in(folder)["model.safetensors"] == before["model.safetensors"]
