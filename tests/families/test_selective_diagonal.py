"""The selective diagonal SSM: which function of what is stored A is, and when dt is fixed."""

import numpy as np
import pytest

import ssmspec
from tests.examples.families_more import elementwise, selective_diagonal


@pytest.mark.parametrize(
    ("make", "assume", "function"),
    [
        (elementwise, (), lambda x: np.log1p(np.exp(x))),
        (elementwise, "softplus-a", lambda x: np.log1p(np.exp(x))),
        (elementwise, "exp-a", np.exp),
        (selective_diagonal, (), np.exp),
        (selective_diagonal, "softplus-a", lambda x: np.log1p(np.exp(x))),
    ],
)
def test_a_is_the_function_that_is_assumed(make, assume, function):
    tensors = make().tensors
    (layer,) = ssmspec.read_spectra(tensors, assume=assume)
    rate = function(tensors["A_log"])
    decay = (rate if rate.ndim > 1 else rate[:, None]) * layer.dt
    np.testing.assert_allclose(layer.decay, decay, rtol=1e-12)
    assert any("A is taken as -" in each and "--assume" in each for each in layer.assumptions)


def test_a_step_size_of_zero_weights_is_not_selective():
    tensors = elementwise().tensors
    (fixed,) = ssmspec.read_spectra(tensors)
    assert not fixed.selective
    tensors["Wdelta"] = np.eye(5)
    (selective,) = ssmspec.read_spectra(tensors)
    assert selective.selective
    np.testing.assert_array_equal(fixed.log_poles, selective.log_poles)
