import numpy as np
import pytest

import ssmspec
from ssmspec.errors import CheckpointError, NoLayersError, UsageError
from ssmspec.outcome import NotApplicable, Verdict


def s4d(prefix="kernel", channels=4, modes=8, dt=0.01, real=-0.5):
    return {
        f"{prefix}.log_dt": np.log(np.full(channels, dt)),
        f"{prefix}.log_A_real": np.log(np.full((channels, modes), -real)),
        f"{prefix}.A_imag": np.tile(np.pi * np.arange(modes), (channels, 1)),
    }


def test_spectra_of_a_path_a_mapping_and_a_module_are_the_same(tmp_path):
    import torch
    from safetensors.torch import save_file

    class Kernel(torch.nn.Module):
        def __init__(self):
            super().__init__()
            for name, value in s4d(prefix="").items():
                tensor = torch.tensor(value, dtype=torch.float32)
                setattr(self, name.lstrip("."), torch.nn.Parameter(tensor))

    model = torch.nn.Sequential(Kernel())
    path = tmp_path / "m.safetensors"
    save_file(model.state_dict(), path)
    torch.save(model.state_dict(), tmp_path / "m.pt")
    sources = (path, str(path), tmp_path / "m.pt", model, model.state_dict())
    spectra = [ssmspec.read_spectra(source)[0] for source in sources]
    for spectrum in spectra:
        assert spectrum.name == "0"
        np.testing.assert_array_equal(spectrum.log_poles, spectra[0].log_poles)
    expected = 0.01 * (-0.5 + 1j * np.pi * np.arange(8))
    np.testing.assert_allclose(spectra[0].log_poles, np.tile(expected, (4, 1)), rtol=1e-6)


def test_an_open_checkpoint_is_left_open():
    with ssmspec.open_checkpoint(s4d()) as checkpoint:
        first = ssmspec.analyze(checkpoint)
        again = ssmspec.analyze(checkpoint)
    assert first.layers[0].metrics == again.layers[0].metrics


def test_options_reach_the_metrics():
    report = ssmspec.analyze(s4d(), seq_len=100, sample_rate=10.0)
    (layer,) = report.layers
    assert report.sequence_length == 100
    assert layer.value("memory_ratio") == pytest.approx(np.log(100) / 0.005 / 100)
    assert layer.metrics["largest_gap"].unit == "Hz"
    with pytest.raises(UsageError):
        ssmspec.analyze(s4d(), ssmspec.Reading(), seq_len=3)


def test_the_model_names_how_layers_were_combined():
    report = ssmspec.analyze(s4d("a.0") | s4d("a.1", channels=12, dt=0.5))
    one, two = report.layers
    combined = report.model["aliased_fraction"]
    assert combined.outcome.value == max(
        one.value("aliased_fraction"), two.value("aliased_fraction")
    )
    assert "max" in combined.aggregate
    mean = report.model["coverage"].outcome.value
    weighted = (32 * one.value("coverage") + 96 * two.value("coverage")) / 128
    assert mean == pytest.approx(weighted)


def test_a_hybrid_counts_its_blocks():
    state = s4d("blocks.3.ssm") | {f"blocks.{i}.attn.weight": np.ones((2, 2)) for i in range(10)}
    assert ssmspec.analyze(state).blocks == (1, 10)
    assert ssmspec.analyze(s4d("blocks.0.ssm")).blocks is None


def test_progress_is_called_for_every_layer():
    seen = []
    state = {}
    for i in range(3):
        state |= s4d(f"net.{i}")
    ssmspec.analyze(state, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_nan_parameters_are_an_error_finding_and_hide_no_other_channel():
    state = s4d()
    state["kernel.A_imag"][1, 2] = np.nan
    report = ssmspec.analyze(state)
    assert report.verdict is Verdict.FAIL
    assert "STB002" in {finding.code for finding in report.findings}
    # the channel that holds it is left out, and the others are measured
    state = {k: np.delete(v, 1, axis=0) for k, v in s4d().items()}
    healthy = ssmspec.analyze(state).layers[0]
    for key in ("max_radius", "coverage", "hinf_max"):
        assert report.layers[0].metrics[key] == healthy.metrics[key]
    assert any("channels; the others hold NaN" in told for told in report.assumptions)


def test_a_broken_layer_is_skipped_with_its_reason_and_the_rest_is_measured():
    state = s4d("good") | s4d("bad")
    state["bad.A_imag"] = np.zeros((3, 5))
    report = ssmspec.analyze(state)
    assert [layer.name for layer in report.layers] == ["good"]
    assert [entry.name for entry in report.skipped] == ["bad"]
    assert "(3, 5)" in report.skipped[0].reason


def test_optimizer_state_is_never_a_model():
    state = s4d("net.kernel")
    optimizer = {f"optimizer.state.{k}": v for k, v in s4d("net.kernel").items()}
    assert len(ssmspec.read_spectra(state | optimizer)) == 1
    with pytest.raises(NoLayersError, match="optimizer"):
        ssmspec.analyze(optimizer)


def test_nothing_to_measure_is_an_error_that_says_what_is_there():
    with pytest.raises(NoLayersError, match=r"fc\.weight"):
        ssmspec.analyze({"fc.weight": np.ones((2, 3))})
    with pytest.raises(CheckpointError):
        ssmspec.analyze(42)


def test_the_reference_is_a_dfout_layer_of_the_same_shape():
    report = ssmspec.analyze(s4d(channels=16, modes=32))
    reference = report.reference
    assert (reference.channels, reference.modes) == (16, 32)
    assert reference.value("aliased_fraction") == 0
    assert reference.value("discrepancy") == pytest.approx(1 / 512)
    assert reference.value("frequency_w1") == pytest.approx(0.5 / 512)


HOLDS = {
    "attenuate_denoiser.pt": ("attenuate", 16),
    "gated_deltanet_pickled_config.pt": ("gated-deltanet", 3),
    "mamba1_flax_typeseg.npz": ("mamba", 6),
    "s4_dplr_v4_ppg.pth": ("s4-dplr", 4),
    "s4_nplr_v2.pth": ("s4-dplr", 4),
    "s4d_cifar10.pth": ("s4d", 4),
    "s4d_smnist.pth": ("s4d", 4),
    "s4d_untrained.pth": ("s4d", 4),
}
"""Family and layers of each, as their README and their tensors' names say."""


def test_every_shared_file_is_read_and_its_first_layer_measured(shared):
    """Of each only one layer is measured: peak gains of MIMO and DPLR layers take a second each."""
    files = {path.name: path for path in sorted(shared.iterdir()) if path.name in HOLDS}
    assert files.keys() == HOLDS.keys()
    for name, path in files.items():
        first, *others = ssmspec.read_spectra(path)
        assert (first.family, 1 + len(others)) == HOLDS[name]
        report = ssmspec.analyze(path, layers=first.name)
        assert [layer.name for layer in report.layers] == [first.name]
        outcomes = report.layers[0].metrics.values()
        assert len(outcomes) > 25
        for outcome in outcomes:
            if isinstance(outcome, NotApplicable):
                assert outcome.reason
            else:
                assert isinstance(outcome.value, str) or np.isfinite(outcome.value)


PLANTED = {
    "defect_aliased_s4d": "ALI001",
    "defect_unstable_s5": "STB001",
    "defect_zeroed_dt_mamba1": "INI002",
}


def test_planted_defects_show_and_healthy_samples_do_not():
    from tests.cli.test_cli import SAMPLES

    healthy = ["s4d_lin", "s4d_inv", "s4d_dfout", "s5", "lru", "mamba1", "mamba2"]
    reports = {
        name: ssmspec.analyze(SAMPLES / f"{name}.safetensors", seq_len=1024)
        for name in [*healthy, *PLANTED]
    }

    def worst(name, metric):
        return reports[name].model[metric].outcome.value

    for name, code in PLANTED.items():
        assert code in {finding.code for finding in reports[name].findings}
    assert worst("defect_aliased_s4d", "aliased_fraction") == pytest.approx(0.9375)
    assert worst("defect_unstable_s5", "max_radius") == pytest.approx(1.0025, abs=1e-6)
    assert worst("defect_zeroed_dt_mamba1", "step_size_min") == pytest.approx(np.log(2))
    assert worst("defect_zeroed_dt_mamba1", "step_size_max") == pytest.approx(np.log(2))
    for name in healthy:
        codes = {finding.code for finding in reports[name].findings}
        assert codes.isdisjoint({"STB001", "STB002", "INI002", "ACC001"})
        assert reports[name].verdict is not Verdict.FAIL
        if name in ("s4d_lin", "s4d_inv", "s4d_dfout", "s5"):
            assert worst(name, "aliased_fraction") < 0.2


def test_known_real_files(shared):
    untrained = ssmspec.analyze(shared / "s4d_untrained.pth", seq_len=1024)
    trained = ssmspec.analyze(shared / "s4d_cifar10.pth", seq_len=1024)
    for layer in untrained.layers:
        assert layer.metrics["init_scheme"].value == "s4d-lin"
        assert layer.value("init_drift") < 1e-6
    for layer in trained.layers:
        assert layer.metrics["init_scheme"].value == "s4d-lin"
        assert 0.3 < layer.value("init_drift") < 0.7
    assert {f.code for f in untrained.findings} >= {"INI001", "ALI001"}
    assert "INI001" not in {f.code for f in trained.findings}
    assert trained.verdict is Verdict.PASS


def comb(rng, row=28):
    """A layer whose kernel is a comb with teeth a row apart."""
    omega = 2 * np.pi * np.arange(32) / row
    teeth = omega <= np.pi
    residues = np.zeros((4, 32, 2))
    residues[..., 0] = teeth
    return np.tile(np.where(teeth, omega, 0.1), (4, 1)), np.full((4, 32), 0.004), residues


def spread(rng, row=None):
    """A layer of random resonances."""
    omega, decay = rng.uniform(0, np.pi, (4, 32)), rng.uniform(0.01, 0.1, (4, 32))
    return omega, decay, rng.normal(size=(4, 32, 2))


def stacked(*makers):
    state = {}
    for i, make in enumerate(makers):
        omega, decay, C = make(np.random.default_rng(7))
        layer = {"log_dt": np.zeros(4), "log_A_real": np.log(decay), "A_imag": omega, "C": C}
        state |= {f"layers.{i}.kernel.{k}": v.astype(np.float32) for k, v in layer.items()}
    return state


def test_what_a_layer_measures_does_not_depend_on_the_layers_before_it():
    one, other = (
        ssmspec.analyze(stacked(*order), seq_len=784) for order in ((comb, spread), (spread, comb))
    )
    assert one.layers[0].metrics == other.layers[1].metrics
    assert one.layers[1].metrics == other.layers[0].metrics
    told = ssmspec.analyze(stacked(comb, spread), seq_len=784, row_stride=28)
    for found, given in zip(one.layers, told.layers, strict=True):
        for key, outcome in given.metrics.items():
            if key.startswith("stride"):
                assert found.value(key) == pytest.approx(given.value(key), rel=1e-12)
            else:
                assert found.metrics[key] == outcome
    codes = [
        {f.code for f in report.findings if f.layer == name}
        for report, name in ((one, "layers.0.kernel"), (other, "layers.1.kernel"))
    ]
    assert codes[0] == codes[1]
    assert [f.code for f in one.findings] == [f.code for f in told.findings]
    assert any("row stride of 28" in text and "layers.1" in text for text in other.assumptions)


def test_the_stride_is_that_of_the_sharpest_comb(shared):
    def blunt(rng):
        """A comb of another row with noise on it."""
        omega, decay, C = comb(rng, row=32)
        return omega, decay, C + 0.35 * rng.normal(size=C.shape)

    for order in ((blunt, comb, blunt), (comb, blunt)):
        report = ssmspec.analyze(stacked(*order), seq_len=784)
        assert any("row stride of 28" in text for text in report.assumptions)
    cifar = ssmspec.analyze(shared / "s4d_cifar10.pth", seq_len=1024)  # 32 x 32 pixels
    assert any("row stride of 32" in text for text in cifar.assumptions)


def test_no_stride_is_looked_for_where_too_much_would_have_to_be_kept(monkeypatch):
    monkeypatch.setattr("ssmspec.analysis.combs.MOST_KEPT", 1_500)
    report = ssmspec.analyze(stacked(comb, comb), seq_len=784)
    assert not any("row stride of" in text for text in report.assumptions)
    assert all(layer.value("stride_energy") is None for layer in report.layers)
