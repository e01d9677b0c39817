"""Peak gains against fine grids, python-control and dense singular values."""

import control
import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, settings
from hypothesis import strategies as st

from ssmspec.kernel import LayerKernel, MimoKernel
from ssmspec.metrics import kernel_gain, kernel_response
from ssmspec.metrics.kernel_response import peak_gains
from ssmspec.spectrum import Symmetry
from tests.examples.kernels import (
    random_mimo,
    random_siso,
    reason,
    spectrum_of,
    value,
)

QUICK = settings(max_examples=25, deadline=None)
seeds = st.integers(0, 2**32 - 1)
symmetries = st.sampled_from(Symmetry)


def fine_peak(kernel, channel, points=60_001):
    """Peak gain of one channel on a fine grid, the pole frequencies and a second grid around."""
    poles = np.exp(kernel.spectrum.log_poles[channel])[:, None]
    gain = {Symmetry.HALF: 2.0}.get(kernel.spectrum.symmetry, 1.0)

    def response(omega):
        z = np.exp(1j * omega)
        sums = [
            c @ (1 / (1 - poles / z)) + c.conj() @ (1 / (1 - poles.conj() / z))
            for c in kernel.residues[:, channel]
        ]
        return gain / 2 * np.sqrt((np.abs(sums) ** 2).sum(axis=0))

    omega = np.union1d(np.linspace(0, np.pi, points), kernel.spectrum.omega[channel])
    coarse = response(omega)
    best = 0.0
    for place in np.argsort(-coarse)[:20]:
        low, high = omega[max(place - 1, 0)], omega[min(place + 1, omega.size - 1)]
        best = max(best, response(np.linspace(low, high, 4001)).max())
    return best


@QUICK
@given(seed=seeds, symmetry=symmetries, kernels=st.integers(1, 2))
def test_peak_gains_against_fine_grids(seed, symmetry, kernels):
    rng = np.random.default_rng(seed)
    kernel = random_siso(rng, (2, 5), symmetry, kernels, slowest=1e-5)
    expected = [fine_peak(kernel, channel) for channel in range(2)]
    found = peak_gains(kernel)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert value("hinf_max", kernel) == pytest.approx(max(expected), rel=1e-6)


def test_a_peak_between_two_resonances_inside_one_step_of_the_grid():
    step = np.pi / kernel_response.GRID
    decay = 2e-4
    omega = (500.3 * step, 500.3 * step + 1.5 * decay)
    spectrum = spectrum_of([[-decay + 1j * w for w in omega]])
    kernel = LayerKernel(spectrum, np.array([[[1.0, -1j]]], dtype=complex))
    assert value("hinf_max", kernel) == pytest.approx(fine_peak(kernel, 0), rel=1e-6)


def test_the_gain_of_one_narrow_resonance():
    """A single real pair: |K| peaks at about 1 / decay, far narrower than the grid."""
    decay = 1e-9
    kernel = LayerKernel(spectrum_of([[-decay + 1.0j]]), np.ones((1, 1, 1), dtype=complex))
    assert value("hinf_max", kernel) == pytest.approx(1.0 / decay, rel=1e-6)


def block_form(kernel, channel):
    """Real A, B, C of one channel: a 2 x 2 rotation for each stored mode, read as K = C A^k B."""
    poles = np.exp(kernel.spectrum.log_poles[channel])
    A = scipy.linalg.block_diag(*[[[p.real, -p.imag], [p.imag, p.real]] for p in poles])
    B = np.tile([[1.0], [0.0]], (len(poles), 1))
    c = 2.0 * kernel.residues[0, channel]
    return A, B, np.stack([c.real, -c.imag], axis=1).reshape(1, -1)


@pytest.mark.parametrize("seed", range(4))
def test_peak_gain_against_python_control_on_the_real_block_form(seed):
    kernel = random_siso(np.random.default_rng(seed), (1, 6), slowest=0.01)
    A, B, C = block_form(kernel, 0)
    # K[0] = C B is direct; what comes after it is C A (zI - A)^-1 B.
    system = control.ss(A, B, C @ A, C @ B, 1.0)
    expected = control.system_norm(system, p="inf", tol=1e-9)
    assert value("hinf_max", kernel) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("symmetry", [Symmetry.HALF, Symmetry.FULL])
@pytest.mark.parametrize("shape", [(3, 2, 4), (6, 20, 3), (5, 1, 1)])
def test_mimo_peak_gain_against_dense_singular_values(shape, symmetry):
    modes, outputs, inputs = shape
    for seed in range(3):
        kernel = random_mimo(np.random.default_rng(seed), modes, outputs, inputs, symmetry, 0.003)
        gain = {Symmetry.HALF: 2.0}.get(symmetry, 1.0)
        poles = np.exp(kernel.spectrum.log_poles[0])

        def largest(omega, kernel=kernel, poles=poles, gain=gain):
            z = np.exp(1j * omega)
            C, B = kernel.output_matrix, kernel.input_matrix
            total = C @ np.diag(1 / (1 - poles / z)) @ B
            total = total + C.conj() @ np.diag(1 / (1 - poles.conj() / z)) @ B.conj()
            return gain / 2 * np.linalg.svd(total, compute_uv=False)[0]

        omega = np.union1d(np.linspace(0, np.pi, 3001), kernel.spectrum.omega[0])
        coarse = np.array([largest(w) for w in omega])
        place = coarse.argmax()
        around = np.linspace(omega[max(place - 1, 0)], omega[min(place + 1, omega.size - 1)], 801)
        expected = max(largest(w) for w in around)
        assert value("hinf_max", kernel) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("symmetry", Symmetry)
@pytest.mark.parametrize("shape", [(3, 2, 4), (6, 20, 3), (2, 3, 9), (5, 1, 1), (4, 3, 3)])
def test_what_the_search_for_a_mimo_peak_takes_for_bounds_are_bounds(shape, symmetry):
    """Entry by entry: the norm of the response from above, power iteration from below."""
    modes, outputs, inputs = shape
    rng = np.random.default_rng(modes)
    kernel = random_mimo(rng, modes, outputs, inputs, symmetry, 0.003)
    poles = np.exp(kernel.spectrum.log_poles[0])
    omega = np.concatenate([rng.uniform(0, np.pi, 20), kernel.spectrum.omega[0], [0.0, np.pi]])
    half = {Symmetry.HALF: 1.0}.get(symmetry, 0.5)
    largest, norms = [], []
    for z in np.exp(1j * omega):
        response = np.zeros((outputs, inputs), dtype=complex)
        for n in range(modes):
            product = np.outer(kernel.output_matrix[:, n], kernel.input_matrix[n])
            response += half * product / (1 - poles[n] / z)
            response += half * product.conj() / (1 - poles[n].conj() / z)
        largest.append(np.linalg.svd(response, compute_uv=False)[0])
        norms.append(np.linalg.norm(response))
    system = kernel_gain._System.of(kernel)
    _, bound = kernel_gain.frobenius_bounds(kernel, 64, omega)
    np.testing.assert_allclose(bound, norms, rtol=1e-6, atol=1e-6)
    assert (bound >= largest).all()
    estimates, _ = system.best_vectors(omega, 12, np.random.default_rng(0))
    assert (estimates <= np.multiply(largest, 1 + 1e-9)).all()
    exact = [system.gain(w) for w in omega]
    np.testing.assert_allclose(exact, largest, rtol=1e-9)


def test_a_mimo_layer_with_one_input_and_output_is_a_siso_channel():
    kernel = random_mimo(np.random.default_rng(5), 7, 1, 1)
    residues = (kernel.output_matrix * kernel.input_matrix.T)[None]
    siso = LayerKernel(kernel.spectrum, residues)
    for identifier in (
        "hinf_max", "aliased_energy", "energy_horizon", "locality", "stride_energy",
        "resampling_risk", "effective_order", "dead_mode_fraction",
    ):  # fmt: skip
        ours = value(identifier, kernel, 50, row_stride=8, resample=2.0)
        assert ours == pytest.approx(
            value(identifier, siso, 50, row_stride=8, resample=2.0), rel=1e-9
        )


def test_dead_channels():
    kernel = random_siso(np.random.default_rng(6), (8, 3))
    loud = peak_gains(kernel)
    # Relative peaks 1, 1.01e-3, 0.99e-3, 0, 1e-6 and three more of 1.
    wanted = np.array([1, 1.01e-3, 0.99e-3, 0, 1e-6, 1, 1, 1])
    scaled = LayerKernel(kernel.spectrum, kernel.residues * (wanted / loud)[:, None])
    assert value("dead_channel_fraction", scaled) == 3 / 8
    silent = LayerKernel(kernel.spectrum, 0 * kernel.residues)
    assert reason("dead_channel_fraction", silent) == "the kernel is zero"
    assert value("hinf_max", silent) == 0.0
    mimo = random_mimo(np.random.default_rng(6), 3, 2, 2)
    assert "one channel" in reason("dead_channel_fraction", mimo)


def test_a_mimo_peak_beside_a_notch_at_zero():
    """G is even in frequency: at 0 its slope is 0, be it a peak or a notch."""
    spectrum = spectrum_of([[-1e-3, -4e-4]], Symmetry.REAL)
    C = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, -0.39]], dtype=complex)
    kernel = MimoKernel(spectrum, C[2:], np.ones((2, 1), dtype=complex))
    siso = LayerKernel(spectrum, C[2:][None] * 1.0)
    assert value("hinf_max", kernel) == pytest.approx(fine_peak(siso, 0), rel=1e-6)
    assert value("hinf_max", siso) == pytest.approx(fine_peak(siso, 0), rel=1e-6)


@pytest.mark.parametrize("seed", range(0, 60, 5))
def test_mimo_peak_gain_of_wide_and_almost_degenerate_systems(seed):
    """Never below exact singular values on a grid, and around every pole, by more than 1e-6."""
    rng = np.random.default_rng(seed)
    modes, outputs, inputs = (int(rng.integers(20, 40)) for _ in range(3))
    decay = np.exp(rng.uniform(np.log(10.0 ** -rng.integers(1, 6)), 0.0, modes))
    angle = rng.uniform(-np.pi, np.pi, modes)
    if seed % 2:  # several resonances inside one step
        angle = angle[0] + 2.0 * decay * rng.normal(size=modes)
    C, B = (
        np.linalg.qr(rng.normal(size=shape) + 1j * rng.normal(size=shape))[0]
        for shape in ((outputs, modes), (modes, inputs))
    )
    C, B = np.resize(C, (outputs, modes)), np.resize(B, (modes, inputs))
    spectrum = spectrum_of((-decay + 1j * angle)[None], Symmetry.HALF)
    found = value("hinf_max", MimoKernel(spectrum, C, B))
    near = spectrum.omega[0] + decay * np.linspace(-3, 3, 7)[:, None]
    omega = np.concatenate([np.linspace(0, np.pi, 301), np.clip(near, 0, np.pi).ravel()])
    turn, poles = np.exp(-1j * omega)[:, None, None], np.exp(spectrum.log_poles[0])
    response = (C / (1 - poles * turn)) @ B + (C.conj() / (1 - poles.conj() * turn)) @ B.conj()
    grid = np.sqrt(np.linalg.eigvalsh(response @ response.conj().swapaxes(1, 2))[:, -1].max())
    assert found >= grid * (1 - 1e-6)
    assert found <= grid * 1.05
