"""A C drawn anew, against the draws of the public code."""

import numpy as np
import pytest
import torch

from ssmspec.reading import Reading
from tests.families.test_kernel import PUBLIC, opened


def wide(family):
    """A layer with so many numbers in C that their deviations can be told."""
    rng = np.random.default_rng(6)
    H, M = 60, 200
    if family == "s4d":
        return {
            "k.log_dt": np.full(H, -4.0),
            "k.log_A_real": np.zeros((H, M)),
            "k.A_imag": np.ones((H, M)),
            "k.C": np.zeros((H, M, 2)),
        }
    if family == "s4d-v3":
        return {
            "k.log_dt": np.full(H, -4.0),
            "k.inv_A_real": np.zeros((1, M)),
            "k.A_imag": np.ones((1, M)),
            "k.B": np.stack([np.full((1, M), 3.0), np.zeros((1, M))], axis=-1),
            "k.C": np.zeros((1, H, M, 2)),
        }
    if family == "s4d-v4":
        return {
            "k.inv_dt": np.full((H, 1), -4.0),
            "k.A_real": np.zeros((1, M)),
            "k.A_imag": np.ones((1, M)),
            "k.B": np.ones((1, 1, M, 2)),
            "k.C": np.zeros((1, H, M, 2)),
        }
    if family == "s5":
        return {
            "k.Lambda_re": -np.ones(M),
            "k.Lambda_im": -rng.random(M),
            "k.log_step": np.full((M, 1), -4.0),
            "k.B": np.ones((M, 3, 2)),
            "k.C": np.zeros((H, M, 2)),
        }
    return {
        "k.nu_log": np.zeros(M),
        "k.theta_log": np.zeros(M),
        "k.gamma_log": np.zeros(M),
        "k.B_re": np.ones((M, 3)),
        "k.B_im": np.ones((M, 3)),
        "k.C_re": np.zeros((H, M)),
        "k.C_im": np.zeros((H, M)),
    }


@pytest.mark.parametrize("family", PUBLIC)
def test_a_c_drawn_anew_has_the_public_codes_deviation(family):
    torch.manual_seed(0)
    public = torch.randn(60, 200, dtype=torch.cfloat)  # S4D, v3 (times B) and v4
    deviation = {
        "s4d": public.real.std().item(),
        "s4d-v3": 3.0 * public.real.std().item(),
        "s4d-v4": public.real.std().item(),
        "s5": 0.5**0.5,  # jax.nn.initializers.normal(stddev=0.5 ** 0.5) on both parts
        "lru": (torch.randn(60, 200) / 200**0.5).std().item(),
    }[family]
    [(layer, source)] = opened(wide(family), Reading())
    assert layer.family.id == family
    drawn = layer.family.reset_kernel(source, layer.family.read(source), np.random.default_rng(0))
    for values in drawn.values():
        assert values.std() == pytest.approx(deviation, rel=0.03)
        assert abs(values.mean()) < 0.05 * deviation


def test_s5_torch_draws_half_the_variance_a_part():
    torch.manual_seed(0)
    public = torch.normal(0, 0.5**0.5, (400, 40), dtype=torch.complex64)
    tensors = {
        "s.Lambda": -np.ones(40) + 0j,
        "s.log_step": np.zeros(40),
        "s.B": np.ones((40, 3, 2)),
        "s.C": np.zeros((400, 40), dtype=complex),
    }
    [(layer, source)] = opened(tensors, Reading())
    (drawn,) = layer.family.reset_kernel(source, None, np.random.default_rng(0)).values()
    assert drawn.real.std() == pytest.approx(public.real.std().item(), rel=0.03)
