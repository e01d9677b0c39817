"""Diagonal plus low-rank matrices: eigenvalues, condition numbers, sensitivity, resolvent."""

import numpy as np
import pytest
import scipy.linalg
from scipy.optimize import linear_sum_assignment

from ssmspec.families.parts import dplr
from ssmspec.families.parts.dplr import DiagonalLowRank, spectrum_of, unreliable
from ssmspec.units import decay_to_half_width
from tests.examples.families_dplr import completed, complex_normal, dense


def random_matrix(rng, heads=5, modes=6, rank=2, *, is_half=True, scale=0.8):
    D = -rng.uniform(0.2, 2, (heads, modes)) + 1j * rng.uniform(-20, 20, (heads, modes))
    P, Q = (complex_normal(rng, (heads, modes, rank), scale) for _ in range(2))
    return DiagonalLowRank(D, P, Q, is_half)


def scipy_matrix(matrix, head):
    whole = completed if matrix.is_half else np.asarray
    return dense(
        whole(matrix.diagonal[head]),
        [whole(column) for column in matrix.left[head].T],
        [whole(column) for column in matrix.right[head].T],
    )


@pytest.mark.parametrize("is_half", [True, False])
def test_eigenvalues_and_condition_numbers_are_those_of_scipy(is_half):
    matrix = random_matrix(np.random.default_rng(51), is_half=is_half)
    found = spectrum_of(matrix)
    for head in range(5):
        wanted, left, right = scipy.linalg.eig(scipy_matrix(matrix, head), left=True)
        overlap = np.abs((left.conj() * right).sum(axis=0))
        condition = 1 / overlap  # scipy's vectors have norm one
        distance = np.abs(found.poles[head][:, None] - wanted[None])
        rows, columns = linear_sum_assignment(distance)
        assert distance[rows, columns].max() < 1e-11
        np.testing.assert_allclose(found.condition[head][rows], condition[columns], rtol=1e-8)


@pytest.mark.parametrize("is_half", [True, False])
def test_eigenvectors_are_those_of_the_completed_matrix(is_half):
    matrix = random_matrix(np.random.default_rng(52), is_half=is_half)
    ((_, system),) = dplr.eigensystems(matrix)
    for head in range(5):
        A = scipy_matrix(matrix, head)
        again = system.right[head] @ np.diag(system.poles[head]) @ system.left[head]
        np.testing.assert_allclose(again, A, atol=1e-11)


def test_chunks_of_heads_make_no_difference(monkeypatch):
    matrix = random_matrix(np.random.default_rng(53), heads=7)
    whole = spectrum_of(matrix)
    monkeypatch.setattr(dplr, "CHUNK", 2 * 12**2)
    parts = list(dplr.eigensystems(matrix))
    assert [len(system.poles) for _, system in parts] == [2, 2, 2, 1]
    pieces = spectrum_of(matrix)
    np.testing.assert_allclose(pieces.poles, whole.poles, rtol=1e-12)
    np.testing.assert_allclose(pieces.condition, whole.condition, rtol=1e-9)


def test_conjugate_poles_stand_one_half_apart():
    found = spectrum_of(random_matrix(np.random.default_rng(54), heads=20)).poles
    first, second = found[:, :6], found[:, 6:]
    paired = first.imag != 0
    np.testing.assert_array_equal(second[paired], first[paired].conj())
    assert not second[~paired].imag.any()
    assert (np.diff(np.abs(first.imag)) >= 0).all()


@pytest.mark.parametrize("is_half", [True, False])
def test_rounding_moves_poles_as_far_as_predicted(is_half):
    rng = np.random.default_rng(55)
    matrix = random_matrix(rng, heads=3, is_half=is_half, scale=1.5)
    found = spectrum_of(matrix)

    def rounded(values):
        noise = rng.uniform(-1, 1, (2, *values.shape)) * 2.0**-24
        return values.real * (1 + noise[0]) + 1j * values.imag * (1 + noise[1])

    squares = np.zeros(found.poles.shape)
    for _ in range(300):
        shaken = DiagonalLowRank(
            rounded(matrix.diagonal), rounded(matrix.left), rounded(matrix.right), is_half
        )
        moved = spectrum_of(shaken).poles
        for head in range(3):
            distance = np.abs(found.poles[head][:, None] - moved[head][None])
            rows, columns = linear_sum_assignment(distance)
            squares[head, rows] += distance[rows, columns] ** 2 / 300
    ratio = np.sqrt(squares) / found.shift
    # D, P and Q of a conjugate are rounded together with it, which the estimate leaves out
    assert ((ratio > 0.4) & (ratio < 1.6)).all()


def test_unreliable_is_half_a_half_width_of_the_log_pole():
    log_poles = np.array([[-0.01 + 0.5j, -0.01 + 0.5j, -0.5 + 2j]])
    poles = 2 * np.tanh(log_poles / 2)
    step = 1e-7
    derivative = np.abs((2 * np.arctanh((poles + step) / 2) - log_poles) / step)
    limit = 0.5 * decay_to_half_width(-log_poles.real) / derivative
    near = np.array([[0.999, 1.001, 1.001]]) * limit
    np.testing.assert_array_equal(unreliable(log_poles, near), [[False, True, True]])


def test_a_head_without_a_low_rank_part_is_its_diagonal():
    matrix = random_matrix(np.random.default_rng(56), heads=3)
    matrix.left[1] = 0
    matrix.right[2] = 0
    found = spectrum_of(matrix)
    for head in (1, 2):
        np.testing.assert_array_equal(found.poles[head], completed(matrix.diagonal[head]))
        np.testing.assert_array_equal(found.condition[head], 1.0)
    assert (found.condition[0] > 1.0).all()


def test_matrices_that_overflow_or_are_not_finite_have_no_poles():
    matrix = random_matrix(np.random.default_rng(57), heads=4)
    matrix.diagonal[1, 2] = np.nan
    matrix.left[2] *= 1e200
    matrix.right[2] *= 1e200
    found = spectrum_of(matrix).poles
    assert np.isnan(found[[1, 2]]).all()
    assert np.isfinite(found[[0, 3]]).all()


def test_a_defective_matrix_has_no_condition_to_speak_of():
    left = np.zeros((1, 2, 1), complex)
    right = left.copy()
    left[0, 0], right[0, 1] = -1, 1  # A = [[-1, 1], [0, -1]]
    found = spectrum_of(DiagonalLowRank(np.full((1, 2), -1 + 0j), left, right, is_half=False))
    np.testing.assert_array_equal(found.poles, [[-1, -1]])
    assert (found.condition > 1e15).all()


def test_the_resolvent_needs_no_eigenvectors():
    rng = np.random.default_rng(58)
    for is_half in (True, False):
        matrix = random_matrix(rng, is_half=is_half)
        states = matrix.states
        C, B = (
            complex_normal(rng, (2, 5, states)),
            complex_normal(rng, (5, states)),
        )
        points = 1j * np.linspace(-9, 9, 4) + 0.3
        found = dplr.response(matrix, C, B, points)
        for head in range(5):
            A = scipy_matrix(matrix, head)
            for index, s in enumerate(points):
                wanted = C[:, head] @ np.linalg.solve(s * np.eye(states) - A, B[head])
                np.testing.assert_allclose(found[:, head, index], wanted, rtol=1e-10)
