"""The layer for models of one's own: its recurrence is its convolution."""

import numpy as np
import pytest
import torch

import ssmspec
from ssmspec.errors import UsageError
from ssmspec.nn import DiagonalSSM


@pytest.mark.parametrize("scheme", ["dfout", "s4d-lin", "lru-ring", "s4d-real"])
def test_step_by_step_is_all_at_once(scheme):
    layer = DiagonalSSM(5, 16, scheme, seed=1)
    x = torch.randn(2, 300, 5, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        at_once, state, steps = layer(x), None, []
        for t in range(300):
            y, state = layer.step(x[:, t], state)
            steps.append(y)
    by_steps = torch.stack(steps, 1)
    assert by_steps.dtype == at_once.dtype == torch.float32
    scale = at_once.abs().max()
    assert (by_steps - at_once).abs().max() < 1e-5 * scale
    # and both are the direct sum over lags, in float64
    kernel = layer.kernels(300)[0].double().detach().numpy()
    skip = layer.ssm.D.double().detach().numpy()
    for channel in range(5):
        u = x[0, :, channel].double().numpy()
        direct = np.convolve(u, kernel[channel])[:300] + skip[channel] * u
        np.testing.assert_allclose(by_steps[0, :, channel], direct, atol=1e-5 * float(scale))


def test_options_seeds_and_what_has_no_recurrence():
    layer = DiagonalSSM(4, 8, xi_min=0.5, xi_max=0.5, freeze="angles")
    torch.testing.assert_close(layer.ssm.log_xi.exp(), torch.full((4,), 0.5))
    assert not layer.ssm.theta.requires_grad
    same, other = (DiagonalSSM(4, 8, number=number) for number in (0, 1))
    assert torch.equal(same.ssm.C, DiagonalSSM(4, 8).ssm.C)
    assert not torch.equal(same.ssm.C, other.ssm.C)
    both = DiagonalSSM(4, 8, bidirectional=True)
    assert both(torch.zeros(1, 9, 4)).shape == (1, 9, 4)
    with pytest.raises(UsageError, match="samples to come"):
        both.step(torch.zeros(1, 4))
    assert ssmspec.read_spectra(both)[0].family == "dfout"
