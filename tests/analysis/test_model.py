"""Reading a report's layers again, and the fingerprint that says what was read."""

import numpy as np
import pytest
from safetensors.numpy import save_file

from ssmspec import analyze, open_checkpoint
from ssmspec.analysis.model import layer_views
from ssmspec.errors import CheckpointError
from ssmspec.results.saved import load_report
from ssmspec.writers import WRITERS, Page


def state(seed=0, layers=2):
    rng = np.random.default_rng(seed)
    return {
        f"layers.{i}.{leaf}": value.astype(np.float32)
        for i in range(layers)
        for leaf, value in {
            "log_dt": rng.uniform(-6, -3, 4),
            "log_A_real": np.full((4, 8), np.log(0.5)),
            "A_imag": np.tile(np.pi * np.arange(8), (4, 1)),
            "C": rng.normal(size=(4, 8, 2)),
        }.items()
    }


def test_views_hold_the_poles_and_the_kernel_of_the_file():
    tensors = state()
    views = list(layer_views(tensors, seq_len=64, sample_rate=100.0))
    assert [view.spectrum.name for view in views] == ["layers.0", "layers.1"]
    for i, view in enumerate(views):
        dt = np.exp(tensors[f"layers.{i}.log_dt"].astype(float))[:, None]
        A = -0.5 + 1j * tensors[f"layers.{i}.A_imag"].astype(float)
        np.testing.assert_allclose(view.spectrum.log_poles, dt * A, rtol=1e-6)
        C = tensors[f"layers.{i}.C"] @ [1, 1j]
        np.testing.assert_allclose(view.kernel.residues[0], C * np.expm1(dt * A) / A, rtol=1e-5)
        assert (view.sequence_length, view.sample_rate) == (64, 100.0)


def test_a_view_without_c_says_why():
    tensors = {name: value for name, value in state().items() if not name.endswith(".C")}
    (view, _) = layer_views(tensors)
    assert view.kernel is None
    assert "C" in view.no_kernel


def test_a_report_reads_its_layers_again_and_a_saved_one_cannot(tmp_path):
    save_file(state(), tmp_path / "m.safetensors")
    report = analyze(tmp_path / "m.safetensors", seq_len=64)
    assert [view.spectrum.name for view in report.origin()] == [x.name for x in report.layers]
    (tmp_path / "r.json").write_text(WRITERS["json"].render(report, Page()))
    saved = load_report(tmp_path / "r.json")
    assert saved.origin is None
    assert saved.checkpoint.fingerprint == report.checkpoint.fingerprint


def test_an_open_checkpoint_stays_the_source(tmp_path):
    save_file(state(), tmp_path / "m.safetensors")
    with open_checkpoint(tmp_path / "m.safetensors") as checkpoint:
        report = analyze(checkpoint)
        assert len(list(report.origin())) == 2


def test_a_file_that_has_gone_is_an_error(tmp_path):
    path = tmp_path / "m.safetensors"
    save_file(state(), path)
    report = analyze(path)
    path.unlink()
    with pytest.raises(CheckpointError, match="does not exist"):
        list(report.origin())


def test_the_fingerprint_is_that_of_the_layers():
    def fingerprint(tensors):
        return analyze(tensors).checkpoint.fingerprint

    same, other = fingerprint(state()), fingerprint(state(seed=1))
    assert same == fingerprint(dict(reversed(state().items())))
    assert len(same) == 64
    moved = state()
    moved["layers.1.A_imag"][0, 0] += 0.01
    renamed = {name.replace("layers", "blocks"): value for name, value in state().items()}
    more = state() | {"head.weight": np.zeros(3)}
    assert len({same, other, *map(fingerprint, (moved, renamed, more))}) == 5
