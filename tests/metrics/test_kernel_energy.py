"""Energy by lag and by mode against plain sums over long kernels."""

import cmath
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssmspec.errors import UsageError
from ssmspec.kernel import LayerKernel, MimoKernel
from ssmspec.metrics import kernel_lags
from ssmspec.metrics.kernel_lags import comb_energy, energy_by_lag, lag_energy
from ssmspec.reading import Discretization, Reading
from ssmspec.spectrum import Symmetry
from tests.examples.kernels import (
    horizon,
    long_energy,
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
@given(seed=seeds, symmetry=symmetries, kernels=st.integers(1, 2), length=st.integers(1, 300))
def test_energy_horizon_over_a_sequence(seed, symmetry, kernels, length):
    kernel = random_siso(np.random.default_rng(seed), (3, 4), symmetry, kernels)
    expected = horizon(long_energy(kernel, length))
    assert value("energy_horizon", kernel, length) == expected
    assert value("locality", kernel, length) == expected / length


@QUICK
@given(seed=seeds, symmetry=symmetries, kernels=st.integers(1, 2))
def test_energy_horizon_over_all_lags(seed, symmetry, kernels):
    kernel = random_siso(np.random.default_rng(seed), (3, 4), symmetry, kernels)
    energy = long_energy(kernel, 3000)  # slowest decay 0.02: exp(-120) is left
    assert energy_by_lag(kernel, None).total == pytest.approx(energy.sum(), rel=1e-8)
    assert value("energy_horizon", kernel) == horizon(energy)


@pytest.mark.parametrize("symmetry", [Symmetry.HALF, Symmetry.FULL])
def test_energy_of_a_mimo_layer_is_that_of_frobenius_norms(symmetry):
    kernel = random_mimo(np.random.default_rng(7), 6, 3, 4, symmetry)
    energy = long_energy(kernel, 5000)
    np.testing.assert_allclose(lag_energy(kernel, 5000), energy, atol=1e-12 * energy.sum())
    assert energy_by_lag(kernel, None).total == pytest.approx(energy.sum(), rel=1e-10)
    assert value("energy_horizon", kernel) == horizon(energy)
    assert value("energy_horizon", kernel, 40) == horizon(energy[:40])


@pytest.mark.parametrize("make", [random_siso, random_mimo])
@pytest.mark.parametrize("length", [None, 1, 7, 500])
def test_few_lags_and_closed_forms_agree(monkeypatch, make, length):
    shape = ((3, 4),) if make is random_siso else (4, 2, 3)
    kernel = make(np.random.default_rng(8), *shape)
    stride = 9
    summed = long_energy(kernel, length or 4000)
    monkeypatch.setattr(kernel_lags, "MOST_LAGS", 0)
    closed = energy_by_lag(kernel, length)
    assert closed.total == pytest.approx(summed.sum(), rel=1e-10)
    for lags in (0, 1, min(5, summed.size)):
        assert closed.before(lags) == pytest.approx(summed[:lags].sum(), rel=1e-9, abs=1e-12)
    offsets = {0, 1, 8}
    expected = sum(summed[offset::stride].sum() for offset in offsets)
    assert comb_energy(kernel, length, stride, offsets) == pytest.approx(expected, rel=1e-10)
    assert value("energy_horizon", kernel, length) == horizon(summed)


def test_a_sequence_too_long_to_sum_lag_by_lag():
    kernel = random_siso(np.random.default_rng(9), (2, 3))
    assert value("energy_horizon", kernel, 10**15) == value("energy_horizon", kernel)
    growing = LayerKernel(spectrum_of([[1e-16 + 1j, -0.1]]), np.ones((1, 1, 2), dtype=complex))
    assert "does not decay" in reason("energy_horizon", growing, 10**15)


def test_a_horizon_of_many_samples():
    """One real pole of decay d: the energy falls as exp(-2 d k), to a tenth at ln(10) / 2d."""
    decay = 1e-9
    kernel = LayerKernel(spectrum_of([[-decay]], Symmetry.REAL), np.ones((1, 1, 1), dtype=complex))
    found = value("energy_horizon", kernel)
    assert found == pytest.approx(math.log(10) / (2 * decay), abs=100)


@QUICK
@given(seed=seeds, length=st.integers(1, 200), stride=st.integers(6, 40))
def test_stride_energy_and_chance(seed, length, stride):
    kernel = random_siso(np.random.default_rng(seed), (2, 3))
    energy = long_energy(kernel, length)
    near = [min(lag % stride, -lag % stride) <= 2 for lag in range(length)]
    share = math.fsum(energy[near]) / math.fsum(energy)
    assert value("stride_energy", kernel, length, row_stride=stride) == pytest.approx(
        share, rel=1e-9
    )
    chance = value("stride_energy_chance", kernel, length, row_stride=stride)
    assert chance == pytest.approx(sum(near) / length, rel=1e-12)


def test_stride_energy_over_all_lags():
    kernel = random_siso(np.random.default_rng(10), (2, 3))
    energy, lags = long_energy(kernel, 4000), np.arange(4000)
    near = np.minimum(lags % 11, -lags % 11) <= 2
    found = value("stride_energy", kernel, row_stride=11)
    assert found == pytest.approx(energy[near].sum() / energy.sum(), rel=1e-9)
    assert value("stride_energy_chance", kernel, row_stride=11) == 5 / 11


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"row_stride": 5}, "at least 6 samples"),
        ({"row_stride": -1}, "at least 6 samples"),
        ({"resample": 0.0}, "above 0"),
        ({"resample": 1.0}, "not 1"),
        ({"resample": math.nan}, "above 0"),
        ({"resample": math.inf}, "above 0"),
    ],
)
def test_options_that_make_no_sense(options, expected):
    with pytest.raises(UsageError, match=expected):
        Reading(**options)


def mode_energies(kernel, length):
    for (h, n), pole in np.ndenumerate(kernel.spectrum.log_poles):
        r2 = math.exp(2 * pole.real)
        if isinstance(kernel, MimoKernel):
            C, B = kernel.output_matrix[:, n], kernel.input_matrix[n]
            c2 = sum(abs(x * y) ** 2 for x in C for y in B)
        else:
            c2 = sum(abs(c) ** 2 for c in kernel.residues[:, h, n])
        if length is None:
            yield pole, c2 / (1 - r2)
        else:
            yield pole, c2 * math.fsum(r2**k for k in range(length))


@pytest.mark.parametrize("length", [None, 1, 64])
@pytest.mark.parametrize("make", [random_siso, random_mimo])
def test_shares_of_the_modes_energy(make, length):
    shape = ((2, 9), Symmetry.HALF, 2) if make is random_siso else (9, 2, 3)
    for seed in range(5):
        kernel = make(np.random.default_rng(seed), *shape)
        modes = list(mode_energies(kernel, length))
        total = math.fsum(energy for _, energy in modes)
        aliased = math.fsum(e for pole, e in modes if abs(pole.imag) > math.pi * (1 + 1e-6))
        folded = [(abs(cmath.phase(cmath.exp(1j * pole.imag))), e) for pole, e in modes]
        lowered = math.fsum(e for f, e in folded if 3.0 * f > math.pi)
        assert value("aliased_energy", kernel, length) == pytest.approx(aliased / total)
        risk = value("resampling_risk", kernel, length, resample=3.0)
        assert risk == pytest.approx(lowered / total)


def test_modes_that_do_not_decay_have_energy_over_a_sequence():
    """Energies 10, 10 and (exp(0.2 * 10) - 1) / (exp(0.2) - 1); the first aliases."""
    spectrum = spectrum_of([[4j, 1j, 0.1 + 2j]])
    kernel = LayerKernel(spectrum, np.ones((1, 1, 3), dtype=complex))
    growing = math.expm1(2.0) / math.expm1(0.2)
    assert value("aliased_energy", kernel, 10) == pytest.approx(10 / (20 + growing))
    assert value("energy_horizon", kernel, 10) == horizon(long_energy(kernel, 10))
    assert "3 of 3 modes do not decay, and the sequence" in reason("aliased_energy", kernel)
    for identifier in ("hinf_max", "effective_order", "dead_mode_fraction"):
        assert reason(identifier, kernel, 10) == "3 of 3 modes do not decay"
    for identifier in ("aliased_energy", "energy_horizon"):
        assert "beyond what a float holds" in reason(identifier, kernel, 10**4)


def test_bilinear_and_discrete_layers_do_not_alias():
    rng = np.random.default_rng(11)
    siso = random_siso(rng, (1, 2))
    for kind, word in ((Discretization.BILINEAR, "bilinear"), (Discretization.NATIVE, "discrete")):
        spectrum = spectrum_of(siso.spectrum.log_poles, discretization=kind)
        kernel = LayerKernel(spectrum, siso.residues)
        for identifier in ("aliased_energy", "resampling_risk"):
            assert word in reason(identifier, kernel, 10, resample=2.0)
