"""What is heard, against direct sums over lags and a fine grid of frequencies."""

import numpy as np
import pytest

from ssmspec.kernel import LayerKernel, MimoKernel
from ssmspec.metrics import METRICS, Context
from ssmspec.metrics.heard import gain_by_bin
from ssmspec.reading import Discretization
from ssmspec.spectrum import LayerSpectrum, Symmetry

BINS = 128


def layer(log_poles, symmetry):
    return LayerSpectrum("layer", "x", Discretization.NATIVE, symmetry, log_poles)


def poles(r, channels, modes, slowest=-5.0):
    return -np.exp(r.uniform(slowest, 0.5, (channels, modes))) + 1j * r.uniform(
        -np.pi, np.pi, (channels, modes)
    )


def complex_normal(r, *shape):
    return r.normal(size=shape) + 1j * r.normal(size=shape)


def lags(residues, log_poles, gain, count):
    """(S, H, count), one exponential for each mode and lag."""
    powers = np.exp(log_poles[..., None] * np.arange(count))
    return gain * np.einsum("shm,hmk->shk", residues, powers).real


def averaged(response, points):
    """Mean of the squared response in 128 bins, by the midpoint rule."""
    step = np.pi / (BINS * points)
    omega = step * (np.arange(BINS * points) + 0.5)
    turn = np.exp(-1j * np.outer(np.arange(response.shape[-1]), omega))
    return (np.abs(response @ turn) ** 2).reshape(*response.shape[:-1], BINS, points).mean(-1)


@pytest.mark.parametrize("symmetry", [Symmetry.HALF, Symmetry.FULL])
@pytest.mark.parametrize("outputs", [1, 2])
def test_power_of_channels_against_a_direct_transform(symmetry, outputs):
    r = np.random.default_rng(outputs)
    log_poles = poles(r, 3, 4)
    residues = complex_normal(r, outputs, 3, 4)
    kernel = LayerKernel(layer(log_poles, symmetry), residues)
    response = lags(residues, log_poles, kernel.gain, 6000)
    expected = averaged(response, 40).sum(axis=0).mean(axis=0)
    np.testing.assert_allclose(gain_by_bin(kernel), expected, rtol=2e-2)
    power, context = gain_by_bin(kernel), Context(50, kernel=kernel)
    heard = METRICS["heard_coverage"](kernel.spectrum, context).value
    assert heard == np.mean(power >= power.max() / 10)
    flat = METRICS["heard_flatness"](kernel.spectrum, context).value
    assert flat == pytest.approx(np.exp(np.log(power).mean()) / power.mean())
    beyond = METRICS["energy_beyond"](kernel.spectrum, context).value
    energy = (response**2).sum(axis=(0, 1))
    assert beyond == pytest.approx(energy[50:].sum() / energy.sum(), rel=1e-9)


def test_power_of_a_mimo_layer_is_that_of_its_frobenius_norm():
    r = np.random.default_rng(7)
    log_poles, C, B = poles(r, 1, 5), complex_normal(r, 2, 5), complex_normal(r, 5, 3)
    kernel = MimoKernel(layer(log_poles, Symmetry.FULL), C, B)
    residues = (C[:, None, :] * B.T[None, :, :]).reshape(6, 1, 5)
    response = lags(residues, log_poles, 1.0, 6000)
    expected = averaged(response, 40).sum(axis=(0, 1))
    np.testing.assert_allclose(gain_by_bin(kernel), expected, rtol=2e-2)


def test_a_resonance_narrower_than_any_grid_is_all_there():
    # |c|^2 (1 / 2d), the power of one undamped-looking mode, lies whole in its bin
    decay = 1e-9
    kernel = LayerKernel(
        layer(np.array([[-decay + 1.0j]]), Symmetry.FULL), np.ones((1, 1, 1), dtype=complex)
    )
    power = gain_by_bin(kernel)
    assert np.argmax(power) == int(1.0 / np.pi * BINS)
    # K[k] = exp(-d k) cos k; its energy 1/(4 d) is the mean of the power over [0, pi]
    assert power.mean() == pytest.approx(1 / (4 * decay), rel=1e-6)
    assert power.max() / BINS == pytest.approx(power.mean(), rel=1e-6)


def test_silence_and_overflow_are_no_numbers():
    spectrum = layer(np.array([[-0.1 + 1j, -0.2 + 2j]]), Symmetry.HALF)
    for size, word in ((0.0, "zero"), (1e60, None)):
        context = Context(10, kernel=LayerKernel(spectrum, np.full((1, 1, 2), size, dtype=complex)))
        for metric in ("heard_coverage", "heard_flatness", "energy_beyond"):
            outcome = METRICS[metric](spectrum, context)
            assert (word in outcome.reason) if word else np.isfinite(outcome.value)


def test_a_trained_file_hears_what_an_independent_program_says(shared):
    from ssmspec import analyze

    report = analyze(shared / "s4d_cifar10.pth", seq_len=1024)
    heard = [round(layer.value("heard_coverage"), 2) for layer in report.layers]
    assert heard == [1.0, 1.0, 0.97, 0.16]
