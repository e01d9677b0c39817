from dataclasses import replace

import numpy as np
import pytest

from ssmspec.kernel import LayerKernel, MimoKernel, impulse_response
from ssmspec.reading import Discretization
from ssmspec.reinitialization.fitting import RIDGE, fit, match, search_decay
from ssmspec.schemes import SCHEMES
from ssmspec.spectrum import LayerSpectrum, Symmetry


def spectrum(log_poles, symmetry=Symmetry.HALF):
    return LayerSpectrum(
        name="layer",
        family="test",
        discretization=Discretization.NATIVE,
        symmetry=symmetry,
        log_poles=np.asarray(log_poles, dtype=np.complex128),
    )


def random_poles(rng, shape, symmetry=Symmetry.HALF, slowest=1e-3):
    decay = np.exp(rng.uniform(np.log(slowest), np.log(0.5), shape))
    angle = rng.uniform(0, np.pi, shape) if symmetry is not Symmetry.REAL else np.zeros(shape)
    if symmetry is Symmetry.FULL:
        angle *= rng.choice([-1.0, 1.0], shape)
    return spectrum(-decay + 1j * angle, symmetry)


def random_kernel(rng, shape, symmetry=Symmetry.HALF, systems=1, **options):
    residues = rng.normal(size=(systems, *shape)) + 1j * rng.normal(size=(systems, *shape))
    if symmetry is Symmetry.REAL:
        residues = residues.real + 0j
    return LayerKernel(random_poles(rng, shape, symmetry, **options), residues)


def random_mimo(rng, modes, inputs, outputs):
    def matrix(*shape):
        return rng.normal(size=shape) + 1j * rng.normal(size=shape)

    return MimoKernel(random_poles(rng, (1, modes)), matrix(outputs, modes), matrix(modes, inputs))


def with_ridge(columns, wanted, scale):
    """Least squares on the Vandermonde matrix itself, Tikhonov's term as further rows."""
    ridge = RIDGE * np.diag(scale)
    rows = np.concatenate([columns, ridge])
    right = np.concatenate([wanted, np.zeros((len(ridge), wanted.shape[1]))])
    return np.linalg.lstsq(rows, right, rcond=None)[0]


def columns_of(log_poles, gain, length):
    powers = gain * np.exp(np.multiply.outer(np.arange(length), log_poles))
    return np.concatenate([powers.real, -powers.imag], axis=1)


def brute_force(given, start, length):
    """The fitted kernels of SISO channels, one channel at a time."""
    wanted = impulse_response(given, length)
    fitted = np.empty_like(wanted)
    is_real = start.spectrum.symmetry is Symmetry.REAL
    for channel, log_poles in enumerate(start.spectrum.log_poles):
        columns = columns_of(log_poles, start.gain, length)
        norms = np.tile(np.hypot(*np.split(np.linalg.norm(columns, axis=0), 2)), 2)
        if is_real:
            columns, norms = np.split(columns, 2, 1)[0], np.split(norms, 2)[0]
        parts = with_ridge(columns, wanted[:, channel].T, norms)
        fitted[:, channel] = (columns @ parts).T
    return fitted


@pytest.mark.parametrize("symmetry", Symmetry)
@pytest.mark.parametrize("length", [5, 64, 700])
def test_a_fit_is_the_least_squares_solution(symmetry, length):
    rng = np.random.default_rng(length)
    given = random_kernel(rng, (3, 6), symmetry, systems=2)
    start = random_kernel(rng, (3, 6), symmetry, systems=2)
    found = fit(given, start, length)
    assert found.spectrum is start.spectrum
    wanted = brute_force(given, start, length)
    scale = np.abs(impulse_response(given, length)).max()
    np.testing.assert_allclose(impulse_response(found, length), wanted, atol=2e-6 * scale)
    if symmetry is Symmetry.REAL:
        assert not found.residues.imag.any()


def test_a_fit_of_a_mimo_layer_solves_for_c():
    rng = np.random.default_rng(0)
    given, start = random_mimo(rng, 5, 3, 4), random_mimo(rng, 5, 3, 4)
    length = 50
    found = fit(given, start, length)
    assert found.input_matrix is start.input_matrix
    wanted = impulse_response(given, length)  # (O, I, L)
    # One design matrix for every output: rows are (input, lag), columns the parts of C[o, :].
    modes = np.exp(np.multiply.outer(np.arange(length), start.spectrum.log_poles[0]))
    driven = start.gain * modes[:, None, :] * start.input_matrix.T
    columns = np.concatenate([driven.real, -driven.imag], axis=-1).reshape(-1, 10)
    norms = np.tile(np.hypot(*np.split(np.linalg.norm(columns, axis=0), 2)), 2)
    right = wanted.transpose(2, 1, 0).reshape(-1, 4)
    parts = with_ridge(columns, right, norms)
    C = (parts[:5] + 1j * parts[5:]).T
    np.testing.assert_allclose(found.output_matrix, C, rtol=1e-6, atol=1e-8)


def test_the_right_poles_give_back_the_kernel():
    rng = np.random.default_rng(1)
    given = random_kernel(rng, (4, 8), systems=2)
    found = fit(given, replace(given, residues=np.zeros_like(given.residues)), 400)
    assert match(given, found, 400).kept > 1 - 1e-9


def test_poles_at_both_ends_of_the_band_get_no_sine():
    rng = np.random.default_rng(2)
    poles = spectrum([[-0.01, -0.02 + 1j * np.pi, -0.03 + 1j]])
    given = random_kernel(rng, (1, 3))
    found = fit(given, LayerKernel(poles, np.zeros((1, 1, 3), complex)), 300)
    residues = found.residues[0, 0]
    assert residues[0].imag == 0.0
    # At pi the sine is some 1e-13 in floating point: its weight must do nothing one can hear.
    assert abs(residues[1].imag) < 1e-2
    assert np.abs(residues.real).max() > 1e-2


def test_parallel_columns_do_not_blow_up_the_residues():
    rng = np.random.default_rng(3)
    poles = spectrum([[-0.05 + 1j, -0.05 + (1 + 1e-9) * 1j, -0.05 + (1 - 1e-9) * 1j, -0.1 + 2j]])
    given = random_kernel(rng, (1, 4))
    found = fit(given, LayerKernel(poles, np.zeros((1, 1, 4), complex)), 300)
    # Without the ridge the two would cancel one another at about 1e9.
    assert np.abs(found.residues).max() < 1e4
    rounded = replace(found, residues=found.residues.astype(np.complex64).astype(np.complex128))
    assert match(found, rounded, 300).kept > 1 - 1e-6


def test_a_mode_without_input_stays_out():
    rng = np.random.default_rng(4)
    given, start = random_mimo(rng, 4, 2, 3), random_mimo(rng, 4, 2, 3)
    inputs = start.input_matrix.copy()
    inputs[2] = 0.0
    found = fit(given, replace(start, input_matrix=inputs), 60)
    assert not found.output_matrix[:, 2].any()
    assert np.isfinite(found.output_matrix).all()


def test_more_unknowns_than_lags_is_no_trouble():
    rng = np.random.default_rng(5)
    given, start = random_kernel(rng, (2, 32)), random_kernel(rng, (2, 32))
    found = fit(given, start, 10)
    np.testing.assert_allclose(
        impulse_response(found, 10), impulse_response(given, 10), rtol=1e-6, atol=1e-6
    )


@pytest.mark.parametrize("make", ["siso", "mimo"])
def test_a_search_takes_the_damping_that_keeps_most_energy(make):
    rng = np.random.default_rng(6)
    if make == "siso":
        given, start = (random_kernel(rng, (9, 5), systems=2) for _ in range(2))
    else:
        given, start = (random_mimo(rng, 5, 3, 2) for _ in range(2))
    decays, length = np.geomspace(1e-3, 0.5, 12), 200
    chosen = search_decay(given, start, decays, length)
    K = impulse_response(given, length)
    kept = []
    for decay in decays:
        poles = replace(start.spectrum, log_poles=-decay + 1j * start.spectrum.omega_unwrapped)
        rest = impulse_response(fit(given, replace(start, spectrum=poles), length), length) - K
        kept.append(-(rest**2).sum(axis=(0, 2) if make == "siso" else None))
    np.testing.assert_array_equal(chosen, decays[np.argmax(np.atleast_2d(np.array(kept).T), -1)])


def test_a_search_in_blocks_of_channels_is_the_same_search():
    rng = np.random.default_rng(7)
    channels, modes = 140, 32
    given, start = (random_kernel(rng, (channels, modes)) for _ in range(2))
    decays = np.geomspace(1e-2, 0.1, 4)
    whole = search_decay(given, start, decays, 100)
    for channel in (0, 127, 128, 139):
        some = [
            LayerKernel(
                replace(k.spectrum, log_poles=k.spectrum.log_poles[[channel]]),
                k.residues[:, [channel]],
            )
            for k in (given, start)
        ]
        assert search_decay(*some, decays, 100) == whole[channel]


@pytest.mark.parametrize("make", ["siso", "mimo"])
@pytest.mark.parametrize("length", [1, 40, 3000])
def test_a_match_is_that_of_the_kernels_themselves(make, length):
    rng = np.random.default_rng(length)
    if make == "siso":
        old, new = (random_kernel(rng, (4, 6), systems=2, slowest=0.01) for _ in range(2))
    else:
        old, new = (random_mimo(rng, 6, 3, 2) for _ in range(2))
    a, b = (impulse_response(kernel, length) for kernel in (old, new))
    axes = (0, 2) if make == "siso" else (0, 1, 2)
    found = match(old, new, length)
    assert found.kept == pytest.approx(1 - ((a - b) ** 2).sum() / (a**2).sum(), rel=1e-9)
    between = (a * b).sum(axes) / np.sqrt((a**2).sum(axes) * (b**2).sum(axes))
    assert found.correlation == pytest.approx(np.mean(between), rel=1e-9, abs=1e-12)


def test_without_a_length_all_lags_count():
    rng = np.random.default_rng(8)
    old, new = (random_kernel(rng, (3, 4), slowest=0.05) for _ in range(2))
    long, forever = match(old, new, 2000), match(old, new, None)
    assert forever.kept == pytest.approx(long.kept, rel=1e-12)
    assert forever.correlation == pytest.approx(long.correlation, rel=1e-12)


def test_what_never_ends_or_says_nothing_has_no_match():
    rng = np.random.default_rng(9)
    old = random_kernel(rng, (2, 3))
    undamped = LayerKernel(spectrum(1j * old.spectrum.omega_unwrapped), old.residues)
    assert match(old, undamped, None) is None
    assert match(old, undamped, 100) is not None
    silent = replace(old, residues=np.zeros_like(old.residues))
    assert match(silent, old, 100) is None
    growing = LayerKernel(spectrum(old.spectrum.log_poles + 10), old.residues)
    assert match(growing, old, 1000) is None


def test_a_silent_channel_has_no_say_in_the_correlation():
    rng = np.random.default_rng(10)
    old = random_kernel(rng, (2, 3))
    residues = old.residues.copy()
    residues[:, 1] = 0.0
    assert match(old, replace(old, residues=residues), 50).correlation == pytest.approx(1.0)


def test_undamped_and_growing_poles_can_be_fitted_to():
    rng = np.random.default_rng(11)
    poles = spectrum([[0.002 + 0.3j, 1j, -0.01 + 2j]])
    given = LayerKernel(poles, rng.normal(size=(1, 1, 3)) + 0j)
    draw = SCHEMES["dfout"].draw(1, 32)
    start = LayerKernel(spectrum(draw.log_poles), np.zeros((1, 1, 32), complex))
    found = fit(given, start, 128)
    assert np.isfinite(found.residues).all()
    assert match(given, found, 128).kept > 0.5


def test_conjugate_poles_share_the_residue_and_sound_the_same():
    rng = np.random.default_rng(3)
    half = random_poles(rng, (3, 4), slowest=1e-2).log_poles
    start = LayerKernel(
        spectrum(np.concatenate([half, half.conj()], axis=1), Symmetry.FULL),
        np.zeros((1, 3, 8), dtype=np.complex128),
    )
    given = random_kernel(rng, (3, 8), Symmetry.FULL)
    fitted = fit(given, start, 200)
    first, second = np.split(fitted.residues, 2, axis=-1)
    np.testing.assert_array_equal(first, second.conj())
    np.testing.assert_allclose(
        impulse_response(fitted, 200), brute_force(given, start, 200), atol=2e-4
    )
