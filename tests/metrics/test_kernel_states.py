"""Order, redundancy and dead modes against dense Hankel matrices and loops over pairs."""

import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, settings
from hypothesis import strategies as st

from ssmspec.kernel import LayerKernel, impulse_response
from ssmspec.metrics import METRICS, Context
from ssmspec.metrics.kernel_hankel import hankel_singular_values
from ssmspec.metrics.kernel_redundancy import redundant_modes
from ssmspec.outcome import NotApplicable
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


@QUICK
@given(seed=seeds, symmetry=symmetries, kernels=st.integers(1, 2))
def test_hankel_singular_values_against_a_dense_hankel_matrix(seed, symmetry, kernels):
    kernel = random_siso(np.random.default_rng(seed), (2, 4), symmetry, kernels, slowest=0.05)
    half = 500  # exp(-0.05 * 500) = 1e-11 of the operator is cut off
    response = impulse_response(kernel, 2 * half)
    found = hankel_singular_values(kernel)
    orders = []
    for channel in range(2):
        dense = np.concatenate(
            [scipy.linalg.hankel(k[:half], k[half - 1 : -1]) for k in response[:, channel]]
        )
        values = np.linalg.svd(dense, compute_uv=False)[:8]
        np.testing.assert_allclose(found[channel], values, atol=1e-8 * values[0])
        kept = np.cumsum(values) / values.sum()
        orders.append(next(r for r, share in enumerate(kept, 1) if share >= 0.99 - 1e-12))
    assert value("effective_order", kernel) == np.median(orders)


@pytest.mark.parametrize("symmetry", [Symmetry.HALF, Symmetry.FULL])
def test_hankel_singular_values_of_a_mimo_layer(symmetry):
    kernel = random_mimo(np.random.default_rng(12), 3, 2, 3, symmetry, slowest=0.1)
    half = 250
    response = impulse_response(kernel, 2 * half)
    dense = np.block([[response[:, :, i + j] for j in range(half)] for i in range(half)])
    values = np.linalg.svd(dense, compute_uv=False)[:6]
    np.testing.assert_allclose(hankel_singular_values(kernel)[0], values, atol=1e-8 * values[0])


def test_order_of_kernels_that_are_made_of_less():
    spectrum = spectrum_of([[-0.1 + 1j, -0.2 + 2j, -0.1 + 1j]] * 3)
    # One resonance is two states; the same pole twice is still one resonance.
    residues = np.array([[[1, 0, 0], [1, 0, 1j], [0, 0, 0]]], dtype=complex)
    values = hankel_singular_values(LayerKernel(spectrum, residues))
    assert (values[:2, 2:] < 1e-14 * values[:2, :1]).all()
    assert value("effective_order", LayerKernel(spectrum, residues)) == 2.0
    silent = LayerKernel(spectrum, 0 * residues)
    assert reason("effective_order", silent) == "the kernel is zero"


def test_slow_and_crowded_poles_keep_a_basis():
    """The basis must stay orthonormal: the rows' products are 1 / (1 - l l*)."""
    from ssmspec.metrics.kernel_hankel import kautz_basis

    log_poles = -(10.0 ** np.linspace(-9, -1, 12)[None]) + 1j * np.linspace(0, 0.2, 12) ** 3
    basis = kautz_basis(log_poles)[0]
    gram = basis @ basis.conj().T
    exact = -1.0 / np.expm1(log_poles[0][:, None] + log_poles[0].conj())
    scale = np.sqrt(np.outer(exact.diagonal().real, exact.diagonal().real))
    np.testing.assert_allclose(gram / scale, exact / scale, atol=1e-6)


def pseudo_hyperbolic(a, b):
    return 0.0 if a == b else abs(a - b) / abs(1 - a.conjugate() * b)


@QUICK
@given(seed=seeds, symmetry=symmetries)
def test_redundant_modes(seed, symmetry):
    rng = np.random.default_rng(seed)
    base = random_siso(rng, (2, 4), symmetry, slowest=1e-3).spectrum
    nudge = 1 + rng.choice([0.0, 0.03, 0.15], (2, 4))
    poles = np.concatenate([base.log_poles, base.log_poles * nudge], axis=1)
    if symmetry is not Symmetry.REAL:
        poles[:, 4:] = np.where(rng.random((2, 4)) < 0.5, poles[:, 4:], poles[:, 4:].conj())
    spectrum = spectrum_of(poles, symmetry)
    expected = np.zeros(spectrum.shape, dtype=bool)
    for h, row in enumerate(np.exp(poles)):
        for n, a in enumerate(row):
            others = [b for m, b in enumerate(row) if m != n]
            if symmetry is Symmetry.HALF:
                others += [b.conjugate() for b in others]
            expected[h, n] = any(pseudo_hyperbolic(a, b) < 0.05 for b in others)
    np.testing.assert_array_equal(redundant_modes(spectrum), expected)
    assert METRICS["redundant_mode_fraction"](spectrum, Context()).value == expected.mean()


def test_redundant_modes_of_a_wide_channel_are_compared_in_parts(monkeypatch):
    from ssmspec.metrics import kernel_redundancy

    poles = random_siso(np.random.default_rng(13), (3, 25), slowest=1e-3).spectrum.log_poles
    spectrum = spectrum_of(np.concatenate([poles, poles[:, :15], poles[::-1, 15:]], axis=1))
    whole = redundant_modes(spectrum)
    assert 0 < whole.mean() < 1
    monkeypatch.setattr(kernel_redundancy, "_BLOCK", 170)
    np.testing.assert_array_equal(redundant_modes(spectrum), whole)
    monkeypatch.setattr(kernel_redundancy, "MOST_COMPARISONS", 7499)
    found = METRICS["redundant_mode_fraction"](spectrum, Context())
    assert found == NotApplicable("7,500 pairs of modes are too many to compare")


def test_undamped_and_growing_twins():
    spectrum = spectrum_of([[1j, 1j, 2j, 0.1 + 1j, 0.1 + 1j, -0.1 + 1j]])
    assert redundant_modes(spectrum).tolist() == [[True, True, False, True, True, False]]


def test_dead_modes():
    """Peaks |c| / (1 - r) of 1, 1.01e-3, 0.99e-3 and 0 in one channel; another without any."""
    decay = np.array([0.1, 0.2, 0.3, 0.4])
    peaks = np.array([1.0, 1.01e-3, 0.99e-3, 0.0])
    residues = np.stack([peaks * -np.expm1(-decay), np.zeros(4)])[None] * 1j
    kernel = LayerKernel(spectrum_of(np.tile(-decay + 1j, (2, 1))), residues)
    assert value("dead_mode_fraction", kernel) == 6 / 8
    silent = LayerKernel(kernel.spectrum, 0 * residues)
    assert reason("dead_mode_fraction", silent) == "the kernel is zero"
