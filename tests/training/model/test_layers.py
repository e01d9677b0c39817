"""The two SSM layers against recurrences, and against what the readers find in their tensors."""

import math

import numpy as np
import pytest
import torch

from ssmspec.checkpoints.memory import MemoryCheckpoint
from ssmspec.errors import SchemeError, UsageError
from ssmspec.families.catalog import Catalog
from ssmspec.families.find import find_layers
from ssmspec.kernel import impulse_response
from ssmspec.reading import Reading
from ssmspec.schemes import SCHEMES, SchemeOptions
from ssmspec.training.config import Freeze, InputGain, ModelConfig
from ssmspec.training.model.initialize import new_layer
from ssmspec.training.model.kernel import convolve, fast_length
from ssmspec.training.model.layers import DiscreteLayer, S4DLayer

HELD = [name for name in SCHEMES if name != "s5-hippo"]
KINDS = ["s4d-lin", "dfout", "dfout zoh", "lru-ring"]
SECOND = {False: "forward", True: "both directions"}


def layer(kind="dfout", *, channels=5, states=8, bidirectional=False, seed=0, **options):
    scheme, _, gain = kind.partition(" ")
    config = ModelConfig(
        scheme=scheme,
        options=SchemeOptions(**options),
        d_model=channels,
        d_state=states,
        bidirectional=bidirectional,
        input_gain=InputGain(gain or "unit-energy"),
    )
    return new_layer(config, seed, 0)


def pole_and_input(ssm):
    """Discrete poles and input gains by the formulas of the papers, complex128 numpy (H, M)."""
    get = {name: value.detach().double().numpy() for name, value in ssm.state_dict().items()}
    if isinstance(ssm, S4DLayer):
        A = -np.exp(get["log_A_real"]) + 1j * get["A_imag"]
        dt = np.exp(get["log_dt"])[:, None]
        return np.exp(dt * A), (np.exp(dt * A) - 1.0) / A
    log_xi = get["log_xi"].reshape(len(get["theta"]), -1)
    log_pole = -np.exp(log_xi) / 2.0 + 1j * get["theta"]
    pole = np.exp(log_pole)
    if get["unit_energy"]:
        return pole, np.sqrt(1.0 - np.abs(pole) ** 2)
    return pole, np.abs((pole - 1.0) / log_pole)


def outputs(ssm):
    C = ssm.C.detach().double().numpy() @ np.array([1.0, 1j])
    return C if C.ndim == 3 else C[None]


def scan(ssm, u):
    """y (B, H, L) of input u, state by state and step by step, both ways."""
    pole, gain = pole_and_input(ssm)
    C, D = outputs(ssm), ssm.D.detach().double().numpy()
    y = u * D[:, None]
    state = np.zeros((len(u), *pole.shape), dtype=complex)
    for t in range(u.shape[-1]):
        state = pole * state + gain * u[:, :, t, None]
        y[:, :, t] += 2.0 * (C[0] * state).sum(-1).real
    if len(C) == 2:
        state = np.zeros_like(state)
        for t in range(u.shape[-1] - 2, -1, -1):
            state = pole * state + gain * u[:, :, t + 1, None]
            y[:, :, t] += 2.0 * (C[1] * state).sum(-1).real
    return y


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bidirectional", SECOND, ids=SECOND.values())
def test_a_layer_is_its_recurrence(kind, bidirectional):
    ssm = layer(kind, bidirectional=bidirectional)
    u = noise(2, 5, 50)
    with torch.no_grad():
        np.testing.assert_allclose(ssm(u), scan(ssm, u.double().numpy()), atol=2e-5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bidirectional", SECOND, ids=SECOND.values())
def test_the_readers_find_the_kernels_that_the_layer_runs(kind, bidirectional):
    ssm = layer(kind, bidirectional=bidirectional)
    tensors = {f"blocks.0.ssm.{name}": value.numpy() for name, value in ssm.state_dict().items()}
    checkpoint = MemoryCheckpoint(tensors)
    (found,), skipped = find_layers(Catalog(checkpoint), Reading())
    assert not skipped
    assert found.family.id == ("s4d" if kind == "s4d-lin" else "dfout")
    spectrum = found.read(checkpoint, Reading())
    read = impulse_response(found.read_kernel(checkpoint, Reading(), spectrum), 300)
    run = ssm.kernels(300).detach()
    assert run.shape == (2 if bidirectional else 1, 5, 300)
    np.testing.assert_allclose(run, read, atol=1e-6 * np.abs(read).max())


@pytest.mark.parametrize("scheme", HELD)
def test_a_new_layer_has_the_poles_of_its_scheme(scheme):
    ssm = layer(scheme, channels=6, states=16, seed=3)
    draw = SCHEMES[scheme].draw(6, 8, (3, 0))
    decay, omega, _ = ssm.modes()
    np.testing.assert_allclose(decay.detach(), -draw.log_poles.real, rtol=2e-6)
    # angles as float32 parameters; lru-ring folded into the upper half-plane
    wanted = np.abs(draw.log_poles.imag)
    np.testing.assert_allclose(omega.detach(), wanted, rtol=2e-6, atol=1e-6)
    assert isinstance(ssm, S4DLayer if draw.dt is not None else DiscreteLayer)


def test_folding_a_ring_changes_no_kernel():
    draw = SCHEMES["lru-ring"].draw(3, 4, (0, 0))
    assert (draw.log_poles.imag < 0).any()
    c = noise(3, 4, 2).double().numpy() @ np.array([1.0, 1j])
    lags = np.arange(30)
    whole = (c[..., None] * np.exp(draw.log_poles[..., None] * lags)).real.sum(1)
    folded = draw.log_poles.real + 1j * np.abs(draw.log_poles.imag)
    c = np.where(draw.log_poles.imag < 0, c.conj(), c)
    np.testing.assert_allclose((c[..., None] * np.exp(folded[..., None] * lags)).real.sum(1), whole)


def test_damping_is_stored_once_a_channel_where_a_scheme_shares_it():
    assert layer("dfout").log_xi.shape == (5,)
    assert layer("lru-ring").log_xi.shape == (5, 4)


@pytest.mark.parametrize("kind", ["dfout", "dfout zoh", "dfout-single", "lru-ring", "s4d-lin"])
def test_white_noise_comes_out_about_as_loud_as_it_goes_in(kind):
    kernels = layer(kind, channels=64, states=64).kernels(8192).detach()
    assert 0.5 < kernels.square().sum(-1).mean() < 2.0


def test_seeds():
    first, same, other = (layer(seed=seed) for seed in (1, 1, 2))
    for name in ("C", "D", "log_xi"):
        assert torch.equal(first.get_parameter(name), same.get_parameter(name))
        assert not torch.equal(first.get_parameter(name), other.get_parameter(name))
    spread = layer(channels=64, states=64)
    assert abs(spread.D.mean().item()) < 0.5
    assert spread.D.std().item() == pytest.approx(1.0, rel=0.3)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bidirectional", SECOND, ids=SECOND.values())
@pytest.mark.parametrize("rate", [2, 3])
def test_a_slower_rate_holds_the_input(kind, bidirectional, rate):
    """The output at 1/R of the rate is that of the held input, read at the last held sample."""
    ssm = layer(kind, bidirectional=bidirectional)
    u = noise(2, 5, 40)
    held = scan(ssm, u.double().numpy().repeat(rate, axis=-1))
    with torch.no_grad():
        found = ssm(u, rate=float(rate))
    np.testing.assert_allclose(found, held[..., rate - 1 :: rate], atol=5e-5)


def test_a_rate_is_a_longer_step_or_a_power_of_the_pole():
    ssm = layer("s4d-lin")
    with torch.no_grad():
        wanted = ssm.kernels(60, rate=1.5)
        ssm.log_dt += math.log(1.5)
        torch.testing.assert_close(ssm.kernels(60), wanted)
    ssm = layer("dfout zoh")
    decay, omega, _ = ssm.modes()
    faster, wider, _ = ssm.modes(1.5)
    torch.testing.assert_close(faster, 1.5 * decay)
    torch.testing.assert_close(wider, 1.5 * omega)


@pytest.mark.parametrize("bidirectional", SECOND, ids=SECOND.values())
def test_taps_cut_every_kernel(bidirectional):
    ssm, u = layer(bidirectional=bidirectional), noise(2, 5, 40)
    kernels = ssm.kernels(40).detach().double().numpy()
    wanted = u.double().numpy() * ssm.D.detach().double().numpy()[:, None]
    for b, h in np.ndindex(2, 5):
        wanted[b, h] += np.convolve(u[b, h], kernels[0, h, :7])[:40]
        if bidirectional:
            late = np.convolve(u[b, h].flip(0), kernels[1, h, :7])[:40][::-1]
            wanted[b, h, :-1] += late[1:]
    with torch.no_grad():
        np.testing.assert_allclose(ssm(u, kernel_taps=7), wanted, atol=2e-5)
        torch.testing.assert_close(ssm(u, kernel_taps=40), ssm(u))
        torch.testing.assert_close(ssm(u, kernel_taps=9999), ssm(u))


@pytest.mark.parametrize("kind", ["s4d-lin", "dfout"])
def test_autocast_leaves_a_layer_in_single_precision(kind):
    ssm, u = layer(kind), noise(2, 5, 40)
    with torch.no_grad():
        wanted = ssm(u)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            torch.testing.assert_close(ssm(u), wanted, rtol=0.0, atol=0.0)
            rounded = ssm(u.bfloat16())
    assert rounded.dtype == torch.float32
    torch.testing.assert_close(rounded, ssm(u.bfloat16().float()).detach())


@pytest.mark.parametrize("kind", KINDS)
def test_every_parameter_learns(kind):
    ssm = layer(kind, bidirectional=True)
    ssm(noise(2, 5, 40)).square().sum().backward()
    for name, parameter in ssm.named_parameters():
        assert parameter.dtype == torch.float32
        assert torch.isfinite(parameter.grad).all(), name
        assert (parameter.grad != 0.0).any(), name


def test_freezing():
    frozen = {}
    for kind in ("s4d-lin", "dfout"):
        for what in Freeze:
            ssm = layer(kind)
            ssm.freeze(what)
            names = {name for name, value in ssm.named_parameters() if not value.requires_grad}
            frozen[kind, what.value] = names
    assert frozen == {
        ("s4d-lin", "none"): set(),
        ("s4d-lin", "angles"): {"log_dt", "A_imag"},
        ("s4d-lin", "poles"): {"log_dt", "log_A_real", "A_imag"},
        ("dfout", "none"): set(),
        ("dfout", "angles"): {"theta"},
        ("dfout", "poles"): {"log_xi", "theta"},
    }


def test_the_gain_is_part_of_the_state():
    one, other = layer("dfout"), layer("dfout zoh")
    other.load_state_dict(one.state_dict())
    torch.testing.assert_close(other.kernels(50), one.kernels(50))


def test_what_no_layer_holds_is_refused():
    with pytest.raises(SchemeError, match=r"one step size for each state.*choose from dfout, "):
        layer("s5-hippo")
    with pytest.raises(SchemeError, match="without damping"):
        layer("dfout", xi_min=0.0, xi_max=0.0)
    with pytest.raises(UsageError, match=r"input gain.*s4d-lin"):
        layer("s4d-lin zoh")
    with pytest.raises(UsageError, match="did you mean 'dfout'"):
        layer("dfuot")
    for rate in (0.0, -1.0, math.inf, math.nan):
        with pytest.raises(UsageError, match="rate"):
            layer()(noise(1, 5, 8), rate=rate)
    with pytest.raises(UsageError, match="at least 1 tap"):
        layer()(noise(1, 5, 8), kernel_taps=0)


@pytest.mark.parametrize("length", [1, 2, 9, 40])
def test_the_convolution_is_the_one_written_out(length):
    u, kernels, D = noise(3, 2, length), noise(2, 2, length, seed=1), noise(2, seed=2)
    wanted = (u * D[:, None]).double().numpy()
    for b, h, t in np.ndindex(3, 2, length):
        wanted[b, h, t] += sum(kernels[0, h, k] * u[b, h, t - k] for k in range(t + 1))
        wanted[b, h, t] += sum(kernels[1, h, k] * u[b, h, t + 1 + k] for k in range(length - t - 1))
    np.testing.assert_allclose(convolve(u, kernels, D), wanted, atol=1e-5)


@pytest.mark.parametrize("kernels", [1, 2])
@pytest.mark.parametrize("taps", [1, 4, 9])
def test_gradients_of_the_convolution_are_those_of_finite_differences(kernels, taps):
    given = [noise(2, 3, 9).double(), noise(kernels, 3, taps).double(), noise(3).double()]
    assert torch.autograd.gradcheck(convolve, [tensor.requires_grad_() for tensor in given])


def test_lengths_of_transforms():
    def is_good(size):
        for prime in (2, 3, 5):
            while size % prime == 0:
                size //= prime
        return size == 1

    for least in range(1, 2000):
        wanted = next(
            size for size in range(least, 2 * least + 2) if not size % 2 and is_good(size)
        )
        assert fast_length(least) == wanted
    assert fast_length(2 * 16_384) == 2 * 16_384
