"""The fast kernel and its gradient against the sum of exponentials, written out in float64."""

import math

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from ssmspec.training.model.kernel import vandermonde_kernel


def direct(decay, omega, residues, length):
    """2 Re sum_n c_n exp(k l_n) as it stands; arrays or tensors, in their own precision."""
    lags = torch.arange(length, dtype=decay.dtype)
    powers = torch.exp(torch.complex(-decay, omega).unsqueeze(-1) * lags)
    c = torch.view_as_complex(residues.to(decay.dtype))
    return 2.0 * torch.einsum("shn,hnk->shk", c, powers).real


def modes(kernels=1, channels=3, count=32, seed=0, dtype=torch.float32):
    """Decays over three decades, angles anywhere, complex normal residues."""
    draw = torch.Generator().manual_seed(seed)
    decay = 10.0 ** (-4.0 + 3.0 * torch.rand(channels, count, generator=draw, dtype=torch.float64))
    omega = 9.0 * torch.rand(channels, count, generator=draw, dtype=torch.float64) - 4.5
    residues = torch.randn(kernels, channels, count, 2, generator=draw, dtype=torch.float64)
    return decay.to(dtype), omega.to(dtype), residues.to(dtype)


def double(tensors):
    return tuple(tensor.double() for tensor in tensors)


def worst(found, wanted):
    """Largest error as a share of the largest value."""
    return ((found - wanted).abs().max() / wanted.abs().max()).item()


@pytest.mark.parametrize("length", [1, 2, 3, 37, 64, 1000, 4096])
@pytest.mark.parametrize("kernels", [1, 2])
def test_the_kernel_is_the_sum_of_its_modes_to_single_precision(length, kernels):
    given = modes(kernels)
    found = vandermonde_kernel(*given, length)
    assert found.shape == (kernels, 3, length)
    assert found.dtype == torch.float32
    assert worst(found, direct(*double(given), length)) < 1e-6


def test_phases_keep_their_digits_over_65536_lags():
    decay, omega, residues = modes(channels=2, count=16)
    decay[0] = 0.0  # nothing dies out, so that the last lags count as much as the first
    omega[0, :4] = torch.tensor([0.0, math.pi, 1e-5, -3.0])
    given = decay, omega, residues
    wanted = direct(*double(given), 65_536)
    assert wanted[0, 0, -1000:].abs().max() > 0.1 * wanted[0, 0].abs().max()
    assert worst(vandermonde_kernel(*given, 65_536), wanted) < 1e-6
    naive = direct(*given, 65_536)
    assert worst(naive, wanted) > 1e-3, "float32 phases would have done"


@pytest.mark.parametrize("decay", [0.0, 1e-9, 1.0, 30.0, 1e4])
def test_undamped_and_strongly_damped_modes(decay):
    _, omega, residues = modes(channels=2, count=8)
    given = torch.full_like(omega, decay), omega, residues
    found = vandermonde_kernel(*given, 3000)
    assert worst(found, direct(*double(given), 3000)) < 1e-6
    tiny = torch.finfo(torch.float32).tiny
    assert not ((found != 0.0) & (found.abs() < tiny)).any(), "denormal numbers are slow"


def test_float64_is_exact_to_its_own_precision():
    given = modes(2, dtype=torch.float64)
    assert worst(vandermonde_kernel(*given, 700), direct(*given, 700)) < 1e-12


@pytest.mark.parametrize("length", [1, 5, 33])
@pytest.mark.parametrize("kernels", [1, 2])
def test_gradients_are_those_of_finite_differences(length, kernels):
    decay, omega, residues = modes(kernels, channels=2, count=3, dtype=torch.float64)
    decay[0, 0], decay[0, 1], decay[1, 2] = 1e-3, 2.0, 40.0
    given = [tensor.requires_grad_() for tensor in (decay, omega, residues)]
    assert torch.autograd.gradcheck(lambda *of: vandermonde_kernel(*of, length), given)


def test_an_undamped_mode_has_a_gradient():
    given = [tensor.requires_grad_() for tensor in modes(dtype=torch.float64)]
    with torch.no_grad():
        given[0].zero_()
    weights = torch.randn(
        1, 3, 500, dtype=torch.float64, generator=torch.Generator().manual_seed(1)
    )
    found = torch.autograd.grad(vandermonde_kernel(*given, 500), given, weights)
    wanted = torch.autograd.grad(direct(*given, 500), given, weights)
    for ours, theirs in zip(found, wanted, strict=True):
        assert worst(ours, theirs) < 1e-11


@pytest.mark.parametrize("length", [500, 4096])
@pytest.mark.parametrize("kernels", [1, 2])
def test_gradients_in_single_precision_are_those_of_the_direct_formula(length, kernels):
    given = [tensor.requires_grad_() for tensor in modes(kernels)]
    exact = [tensor.detach().double().requires_grad_() for tensor in given]
    draw = torch.Generator().manual_seed(2)
    weights = torch.randn(kernels, 3, length, generator=draw)
    found = torch.autograd.grad(vandermonde_kernel(*given, length), given, weights)
    wanted = torch.autograd.grad(direct(*exact, length), exact, weights.double())
    for ours, theirs in zip(found, wanted, strict=True):
        assert ours.dtype == torch.float32
        assert worst(ours, theirs) < 3e-6


def test_frozen_poles_get_no_gradient_and_c_the_same():
    decay, omega, residues = modes()
    residues.requires_grad_()
    vandermonde_kernel(decay, omega, residues, 100).square().sum().backward()
    alone = residues.grad.clone()
    residues.grad = None
    decay.requires_grad_()
    vandermonde_kernel(decay, omega, residues, 100).square().sum().backward()
    torch.testing.assert_close(residues.grad, alone, rtol=0.0, atol=0.0)
    assert omega.grad is None
    assert decay.grad.abs().max() > 0.0


def test_autocast_changes_nothing():
    plain = [tensor.requires_grad_() for tensor in modes()]
    cast = [tensor.detach().clone().requires_grad_() for tensor in plain]
    wanted = vandermonde_kernel(*plain, 300)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = vandermonde_kernel(*cast, 300)
        found.sum().backward()  # inside, where the products of the gradient would be cast too
    wanted.sum().backward()
    torch.testing.assert_close(found, wanted, rtol=0.0, atol=0.0)
    for ours, theirs in zip(cast, plain, strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=0.0, atol=0.0)


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
def test_it_compiles_as_one_graph():
    given = [tensor.requires_grad_() for tensor in modes()]
    compiled = torch.compile(vandermonde_kernel, backend="aot_eager", fullgraph=True)
    found, wanted = compiled(*given, 200), vandermonde_kernel(*given, 200)
    torch.testing.assert_close(found, wanted)
    ours = torch.autograd.grad(found.square().sum(), given)
    theirs = torch.autograd.grad(wanted.square().sum(), given)
    for mine, other in zip(ours, theirs, strict=True):
        assert worst(mine, other) < 1e-6


class Largest(TorchDispatchMode):
    """The most numbers that any tensor made meanwhile holds."""

    numbers = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        made = function(*args, **(kwargs or {}))
        if isinstance(made, torch.Tensor):
            size = made.numel() * (2 if made.is_complex() else 1)
            self.numbers = max(self.numbers, size)
        return made


def test_nothing_as_large_as_modes_times_lags_is_ever_made():
    channels, count, length = 2, 32, 16_384
    given = [tensor.requires_grad_() for tensor in modes(channels=channels, count=count)]
    given = [tensor[..., :channels, :, :] if tensor.ndim == 4 else tensor for tensor in given]
    with Largest() as largest:
        vandermonde_kernel(*given, length).sum().backward()
    factors = 2 * channels * count * math.isqrt(length)
    assert largest.numbers <= max(factors, channels * length)
    assert largest.numbers < channels * count * length / 20


def test_a_shorter_kernel_is_the_start_of_a_longer_one():
    given = modes()
    longer = vandermonde_kernel(*given, 5000)
    for length in (1, 17, 1025, 4999):
        found = vandermonde_kernel(*given, length)
        assert (found - longer[..., :length]).abs().max() < 1e-6 * longer.abs().max()


def test_the_oracle_agrees_with_a_recurrence():
    decay, omega, residues = double(modes(channels=1, count=4))
    poles = np.exp(-decay.numpy()[0] + 1j * omega.numpy()[0])
    state = residues.numpy()[0, 0] @ np.array([1.0, 1j])
    steps = []
    for _ in range(50):
        steps.append(2.0 * state.sum().real)
        state = poles * state
    np.testing.assert_allclose(direct(decay, omega, residues, 50)[0, 0], steps, rtol=1e-10)
