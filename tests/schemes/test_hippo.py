"""HiPPO spectra against dense matrices built from their definition."""

import numpy as np
import pytest

from ssmspec.errors import UsageError
from ssmspec.schemes import SCHEMES, SchemeOptions
from ssmspec.schemes.hippo import MAX_MODES, legs_frequencies


def hippo_legs(N):
    """A[n, k] = -sqrt((2n+1)(2k+1)) below the diagonal, -(n+1) on it."""
    A = np.zeros((N, N))
    for n in range(N):
        for k in range(n):
            A[n, k] = -np.sqrt((2 * n + 1) * (2 * k + 1))
        A[n, n] = -(n + 1)
    return A


def normal_part(N):
    p = np.sqrt(np.arange(N) + 0.5)
    return hippo_legs(N) + np.outer(p, p)


@pytest.mark.parametrize("N", [2, 8, 64, 256])
def test_legs_is_the_spectrum_of_the_dense_normal_matrix(N):
    dense = np.linalg.eigvals(normal_part(N))
    scale = np.abs(dense).max()
    np.testing.assert_allclose(dense.real, -0.5, atol=1e-13 * scale)
    expected = np.sort(dense.imag[dense.imag > 0])[::-1]
    poles = SCHEMES["s4d-legs"].draw(3, N // 2).poles
    assert (poles.real == -0.5).all()
    # A dense solver is accurate relative to the largest eigenvalue only.
    np.testing.assert_allclose(
        poles.imag, np.tile(expected, (3, 1)), rtol=1e-12, atol=1e-13 * scale
    )


@pytest.mark.parametrize("N", [8, 64, 256])
def test_legs_agrees_with_the_hermitian_solver(N):
    skew = normal_part(N) + 0.5 * np.eye(N)
    np.testing.assert_allclose(skew, -skew.T, atol=1e-9)
    expected = np.linalg.eigvalsh(-1j * skew)[::-1][: N // 2]
    np.testing.assert_allclose(legs_frequencies(N // 2), expected, rtol=1e-11)


def test_published_extremes_at_64_states():
    legs = SCHEMES["s4d-legs"].draw(1, 32).poles.imag[0]
    assert legs[0] == pytest.approx(1303.2738, abs=5e-5)
    assert legs[-1] == pytest.approx(0.26386, abs=5e-6)
    inv = SCHEMES["s4d-inv"].draw(1, 32).poles.imag[0]
    assert inv[0] == pytest.approx(1283.4255, abs=5e-5)
    assert inv[1] == pytest.approx(414.2273, abs=5e-5)


@pytest.mark.parametrize(
    ("name", "limit"), [("s4d-lin", 0.03226), ("s4d-inv", 0.00245), ("s4d-legs", 0.00241)]
)
def test_largest_step_size_without_aliasing_at_64_states(name, limit):
    poles = SCHEMES[name].draw(1, 32).poles
    assert np.pi / poles.imag.max() == pytest.approx(limit, abs=5e-6)


def test_real_poles_are_the_first_eigenvalues_of_the_hippo_matrix():
    expected = np.sort(np.linalg.eigvals(hippo_legs(6)).real)[::-1][:3]
    np.testing.assert_allclose(SCHEMES["s4d-real"].draw(1, 3).poles[0].real, expected, rtol=1e-9)


@pytest.mark.parametrize(("modes", "blocks"), [(64, 8), (192, 3), (20, 4), (7, 1), (7, 7)])
def test_s5_is_the_block_diagonal_spectrum(modes, blocks):
    block = normal_part(2 * modes // blocks)
    dense = np.linalg.eigvals(np.kron(np.eye(blocks), block))
    expected = np.sort(dense.imag[dense.imag > 0])
    draw = SCHEMES["s5-hippo"].draw(1, modes, options=SchemeOptions(blocks=blocks))
    np.testing.assert_allclose(np.sort(draw.poles.imag[0]), expected, rtol=1e-10)
    assert draw.dt.shape == (1, modes)
    assert len(np.unique(draw.dt)) == modes


@pytest.mark.parametrize(("modes", "blocks"), [(64, 8), (20, 4), (6, 2), (7, 1)])
def test_s5_default_block_count(modes, blocks):
    default = SCHEMES["s5-hippo"].draw(1, modes, 3).log_poles
    told = SCHEMES["s5-hippo"].draw(1, modes, 3, options=SchemeOptions(blocks=blocks)).log_poles
    np.testing.assert_array_equal(default, told)


def test_s5_references_try_every_block_count():
    dt = np.full((1, 12), 0.01)
    found = list(SCHEMES["s5-hippo"].references(1, 12, dt))
    largest = sorted(round(reference.imag.max() / 0.01, 6) for reference in found)
    expected = [np.linalg.eigvals(normal_part(2 * size)).imag.max() for size in (1, 2, 3, 4, 6, 12)]
    np.testing.assert_allclose(largest, expected, rtol=1e-6)


def test_a_large_spectrum_is_refused_rather_than_computed_for_hours():
    with pytest.raises(UsageError, match="at most 1024 stored modes"):
        SCHEMES["s4d-legs"].draw(1, MAX_MODES + 1)
    dt = np.ones((1, 1))
    assert list(SCHEMES["s4d-legs"].references(1, MAX_MODES + 1, dt)) == []
    sizes = [np.unique(r.imag).size for r in SCHEMES["s5-hippo"].references(1, 4096, dt)]
    assert max(sizes) == MAX_MODES


def test_the_shared_spectrum_cannot_be_changed_by_a_caller():
    with pytest.raises(ValueError, match="read-only"):
        legs_frequencies(8)[0] = 1.0
    SCHEMES["s4d-legs"].draw(1, 8).poles[0, 0] = 1.0
    assert legs_frequencies(8)[0] != 1.0


def test_s5_references_go_as_far_as_the_largest_block_and_no_further():
    """1,025 = 5 * 5 * 41 is the first number of modes that cannot be one block."""
    dt = np.full((1, 1), 0.01)
    for modes, blocks in [(MAX_MODES, 2 ** np.arange(11)), (MAX_MODES + 1, [5, 25, 41, 205, 1025])]:
        found = list(SCHEMES["s5-hippo"].references(1, modes, dt))
        counts = [modes // np.unique(reference.imag).size for reference in found]
        assert sorted(counts) == sorted(blocks)
