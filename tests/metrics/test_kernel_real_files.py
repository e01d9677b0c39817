"""Kernel metrics of real checkpoints: published figures, and a second program that shares no code.

The kernels are computed by torch in float64, as the public layer computes them.
"""

import math

import numpy as np
import pytest
import torch

from ssmspec import analyze
from ssmspec.analysis.model import layer_views
from ssmspec.outcome import Measured, NotApplicable

LENGTH = 1024
STRIDES = {"s4d_cifar10.pth": 32, "s4d_untrained.pth": 32, "s4d_smnist.pth": 28}

# Computed by a program that is not ours.
PUBLISHED = {
    "s4d_cifar10.pth": {
        "energy_horizon": (35, 73, 121, 166),
        "stride_energy": (0.788, 0.579, 0.416, 0.271),
        "aliased_energy": (0.118, 0.062, 0.060, 0.024),
    },
    "s4d_untrained.pth": {
        "energy_horizon": (147, 111, 122, 139),
        "stride_energy": (0.202, 0.190, 0.196, 0.199),
    },
    "s4d_smnist.pth": {"energy_horizon": (118, 107, 219, 165)},
}


def stored_layers(path):
    state = torch.load(path, map_location="cpu", weights_only=False)
    while "model" in state or "state_dict" in state:
        state = state.get("model", state.get("state_dict"))
    for name in sorted(key.removesuffix("log_dt") for key in state if key.endswith(".log_dt")):
        leaves = ("log_dt", "log_A_real", "A_imag", "C")
        yield [state[name + leaf].double() for leaf in leaves]


def second_program(path, stride):
    """Metrics of each layer by torch, loops and dense matrices."""
    for log_dt, log_A_real, A_imag, C in stored_layers(path):
        dt, A = torch.exp(log_dt)[:, None], torch.complex(-torch.exp(log_A_real), A_imag)
        c = torch.view_as_complex(C) * (torch.exp(dt * A) - 1) / A
        lags = torch.arange(LENGTH)
        kernel = torch.stack(
            [2 * (c[h] @ torch.exp((dt * A)[h, :, None] * lags)).real for h in range(len(c))]
        )
        energy = (kernel**2).sum(0).numpy()
        near = [min(k % stride, -k % stride) <= 2 for k in range(LENGTH)]
        held = np.cumsum(energy) / energy.sum()
        r2 = torch.exp(2 * (dt * A).real)
        alone = (c.abs() ** 2 * (1 - r2**LENGTH) / (1 - r2)).numpy()
        angle = (dt * A).imag.numpy()
        folded = np.abs(np.angle(np.exp(1j * angle)))
        peaks = (c.abs() / (1 - torch.sqrt(r2))).numpy()
        dead = peaks < 1e-3 * peaks.max(axis=1, keepdims=True)
        yield {
            "energy_horizon": float(np.searchsorted(held, 0.9) + 1),
            "locality": (np.searchsorted(held, 0.9) + 1) / LENGTH,
            "stride_energy": energy[near].sum() / energy.sum(),
            "stride_energy_chance": sum(near) / LENGTH,
            "aliased_energy": alone[np.abs(angle) > math.pi * (1 + 1e-6)].sum() / alone.sum(),
            "resampling_risk": alone[2 * folded > math.pi].sum() / alone.sum(),
            "dead_mode_fraction": dead.mean(),
            "hinf_max": peak_gain((dt * A).numpy(), c.numpy()),
        }


def peak_gain(log_poles, c):
    highest = 0.0
    for h in range(len(c)):
        poles = np.exp(log_poles[h])[:, None]

        def response(omega, poles=poles, c=c[h]):
            z = np.exp(-1j * omega)
            return np.abs(c @ (1 / (1 - poles * z)) + c.conj() @ (1 / (1 - poles.conj() * z)))

        folded = np.abs(np.angle(np.exp(1j * log_poles[h].imag)))
        omega = np.union1d(np.linspace(0, np.pi, 3001), folded)
        place = response(omega).argmax()
        around = omega[[max(place - 1, 0), min(place + 1, omega.size - 1)]]
        highest = max(highest, response(np.linspace(*around, 1001)).max())
    return highest


@pytest.fixture(scope="module")
def measured(shared):
    """file -> (our report, the second program's values of each layer)."""
    return {
        name: (
            analyze(shared / name, seq_len=LENGTH, row_stride=stride, resample=2.0),
            list(second_program(shared / name, stride)),
        )
        for name, stride in STRIDES.items()
    }


@pytest.mark.parametrize("name", STRIDES)
def test_published_figures(measured, name):
    report, _ = measured[name]
    for identifier, values in PUBLISHED[name].items():
        found = [layer.value(identifier) for layer in report.layers]
        tolerance = 0.0 if identifier == "energy_horizon" else 0.00051
        assert found == pytest.approx(values, abs=tolerance, rel=0), identifier


@pytest.mark.parametrize("name", STRIDES)
def test_kernel_metrics_agree_with_a_second_program(measured, name):
    report, theirs = measured[name]
    assert len(report.layers) == len(theirs) == 4
    for layer, expected in zip(report.layers, theirs, strict=True):
        for identifier, value in expected.items():
            assert layer.value(identifier) == pytest.approx(value, rel=1e-6), identifier
        assert 1 <= layer.value("effective_order") <= 64


def test_the_row_stride_is_read_off_a_comb_and_said(shared):
    report = analyze(shared / "s4d_cifar10.pth", seq_len=LENGTH)
    assert [sentence for sentence in report.assumptions if "row stride" in sentence] == [
        "a row stride of 32 samples is read off the comb of the kernel of "
        "model.s4_layers.2.kernel (--row-stride changes it)"
    ]
    assert report.layers[0].value("stride_energy") == pytest.approx(0.788, abs=5e-4)
    assert report.layers[3].value("stride_energy") == pytest.approx(0.271, abs=5e-4)


@pytest.mark.parametrize("name", ["s4d_untrained.pth", "s4d_smnist.pth"])
def test_no_row_stride_is_made_up(shared, name):
    """Training on sequential MNIST left no comb in these kernels that stands out."""
    report = analyze(shared / name, seq_len=LENGTH)
    assert not any("row stride" in sentence for sentence in report.assumptions)
    for layer in report.layers:
        assert layer.metrics["stride_energy"] == NotApplicable(
            "the row stride is not known (--row-stride gives it)"
        )


def test_what_needs_an_option_waits_for_it(shared):
    report = analyze(shared / "s4d_cifar10.pth")
    for layer in report.layers:
        assert "--resample" in layer.metrics["resampling_risk"].reason
        assert "--seq-len" in layer.metrics["locality"].reason
        for identifier in ("hinf_max", "energy_horizon", "aliased_energy", "effective_order"):
            assert isinstance(layer.metrics[identifier], Measured), identifier


def test_the_first_layer_is_local_and_the_last_is_not(shared):
    report = analyze(shared / "s4d_cifar10.pth", seq_len=LENGTH, row_stride=32)
    local = {f.layer: f.message for f in report.findings if f.code == "LOC001"}
    assert local["model.s4_layers.0.kernel"].startswith(
        "the kernel is local: 90 % of its energy lies in the first 35 of 1,024 lags (3.42 %"
    )
    assert "model.s4_layers.3.kernel" not in local


def test_selective_models_have_poles_and_no_kernel(shared):
    report = analyze(shared / "mamba1_flax_typeseg.npz", seq_len=LENGTH, row_stride=32)
    for layer in report.layers:
        assert layer.metrics["energy_horizon"] == NotApplicable("B, C and dt depend on the input")
        assert isinstance(layer.metrics["max_radius"], Measured)


def test_the_peak_gain_of_a_wide_layer_is_at_the_nyquist_frequency(shared):
    """Estimates rank pi behind other frequencies; its singular value is the highest."""
    path, name = shared / "attenuate_denoiser.pt", "down_ssms.5.0.1"
    (kernel,) = (view.kernel for view in layer_views(path, layers=name))
    p = 1.0 / (1.0 + np.exp(kernel.spectrum.log_poles[0]))
    response = kernel.gain * ((kernel.output_matrix * p) @ kernel.input_matrix).real
    (layer,) = analyze(path, layers=name).layers
    assert layer.value("hinf_max") == pytest.approx(np.linalg.norm(response, 2), rel=1e-9)
