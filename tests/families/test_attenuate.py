"""aTENNuate and lrnnx's S5: kernels of the original code, and the published denoiser."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn.functional import softplus

from ssmspec import analyze, read_spectra
from ssmspec.checkpoints import open_checkpoint
from ssmspec.checkpoints.memory import MemoryCheckpoint
from ssmspec.errors import SchemeError
from ssmspec.families.base import LayerSource
from ssmspec.families.catalog import Catalog
from ssmspec.families.find import find_layers
from ssmspec.kernel import impulse_response
from ssmspec.reading import LayerRate, Reading
from ssmspec.spectrum import Symmetry

K, INPUTS, OUTPUTS, L = 6, 3, 2, 40


def source_of(tensors):
    checkpoint = MemoryCheckpoint(tensors)
    (layer,), skipped = find_layers(Catalog(checkpoint), Reading())
    assert not skipped
    return layer.family, LayerSource(checkpoint, layer.site, Reading())


def drawn(*, complex_inputs=False, complex_outputs=False):
    torch.manual_seed(0)
    return {
        "A": torch.randn(K, 2, dtype=torch.float64) * torch.tensor([1.0, 30.0]),
        "log_dt": torch.randn(K, dtype=torch.float64) - 3,
        "B": torch.randn(K, INPUTS, *([2] if complex_inputs else []), dtype=torch.float64),
        "C": torch.randn(OUTPUTS, K, *([2] if complex_outputs else []), dtype=torch.float64),
    }


def test_the_kernel_is_that_of_the_original_code():
    tensors = drawn()
    log_A_real, A_imag = tensors["A"].T
    dt, lags = tensors["log_dt"].exp(), torch.arange(L)
    basis = (-dt * softplus(log_A_real))[:, None] * lags
    basis = basis.exp() * torch.cos((dt * A_imag)[:, None] * lags)
    expected = torch.einsum("dn,nc,nl->dcl", tensors["C"], tensors["B"] * dt[:, None], basis)
    family, source = source_of(tensors)
    spectrum = family.read(source)
    assert spectrum.symmetry is Symmetry.HALF
    assert spectrum.shape == (1, K)
    assert spectrum.assumptions == ()
    kernel = impulse_response(family.read_kernel(source, spectrum), L)
    np.testing.assert_allclose(kernel, expected, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("events", [False, True])
def test_the_kernel_of_lrnnx_is_that_of_its_recurrence(events):
    """x[t] = exp(dt A) x[t-1] + (exp(dt A) - 1) / A B u[t], y = Re(C x)."""
    tensors = drawn(complex_inputs=events, complex_outputs=True)
    real, imag = tensors["A"].T
    A = torch.complex(real if events else -softplus(real), imag)
    A_bar = torch.exp(tensors["log_dt"].exp() * A)
    B = torch.view_as_complex(tensors["B"]) if events else tensors["B"] + 0j
    state = ((A_bar - 1) / A)[:, None] * B
    expected = []
    for _ in range(L):
        expected.append((torch.view_as_complex(tensors["C"]) @ state).real)
        state = A_bar[:, None] * state
    family, source = source_of(tensors)
    spectrum = family.read(source)
    assert spectrum.symmetry is Symmetry.FULL
    assert any("lrnnx" in text and "zoh" in text for text in spectrum.assumptions)
    kernel = impulse_response(family.read_kernel(source, spectrum), L)
    np.testing.assert_allclose(kernel, torch.stack(expected, -1), rtol=1e-9, atol=1e-12)


def test_other_shapes_of_b_and_c_are_not_claimed():
    tensors = drawn(complex_inputs=True)
    layers, (skipped,) = find_layers(Catalog(MemoryCheckpoint(tensors)), Reading())
    assert not layers
    assert "not in a layout that is known" in skipped.reason


def test_damping_through_softplus_needs_damping():
    family, source = source_of(drawn())
    spectrum = family.read(source)
    for real in (0.0, 0.1):
        refused = replace(spectrum, log_poles=real + 1j * spectrum.log_poles.imag)
        with pytest.raises(SchemeError, match="damping"):
            family.write(source, refused)
    family, source = source_of(drawn(complex_inputs=True, complex_outputs=True))
    spectrum = family.read(source)
    grown = replace(spectrum, log_poles=np.abs(spectrum.log_poles.real) + 0j)
    assert len(family.write(source, grown)) == 2


def test_a_healthy_initialization_raises_no_warning():
    """num_coeffs 16 by repeat 16, as the published denoiser was built."""
    A = np.stack([np.full(16, math.log(math.expm1(0.5))), math.pi * np.arange(16)], -1)
    tensors = {
        "A": np.tile(A, (16, 1)),
        "log_dt": np.repeat(np.linspace(math.log(1e-3), math.log(1e-1), 16), 16),
        "B": np.ones((256, 1)),
        "C": np.random.default_rng(0).normal(size=(1, 256)) / 16,
    }
    report = analyze(tensors, seq_len=2048)
    assert [f.code for f in report.findings if f.level != "info"] == []


def test_the_published_denoiser(shared):
    with open_checkpoint(shared / "attenuate_denoiser.pt") as checkpoint:
        layers, skipped = find_layers(Catalog(checkpoint), Reading())
        assert not skipped
        assert len(layers) == 16
        first = LayerSource(checkpoint, layers[0].site, Reading())
        spectrum = layers[0].family.read(first)
        stored = {role: torch.from_numpy(checkpoint.read(name)) for role, name in
                  layers[0].site.tensors.items()}  # fmt: skip
    dt = torch.exp(stored["log_dt"])
    expected = -dt * softplus(stored["A"][:, 0]) + 1j * dt * stored["A"][:, 1]
    np.testing.assert_allclose(spectrum.log_poles[0], expected, rtol=1e-12)


def test_the_aliased_shares_of_the_published_denoiser(shared):
    spectra = read_spectra(shared / "attenuate_denoiser.pt")
    shares = [np.mean(np.abs(spectrum.omega_unwrapped) > np.pi) for spectrum in spectra]
    assert len(shares) == 16
    assert min(shares) == 6 / 256
    assert max(shares) == 44 / 256


def test_layers_are_reported_in_hertz_at_their_own_rates(shared):
    path, glob = shared / "attenuate_denoiser.pt", "*_ssms.0.?.0"
    rates = (LayerRate("up_ssms.*", 4000.0),)
    first, second = analyze(path, sample_rate=16000.0, layers=glob, layer_rates=rates).layers
    plain_first, plain_second = analyze(path, layers=glob).layers
    for layer, plain, rate in [(first, plain_first, 16e3), (second, plain_second, 4e3)]:
        gap = layer.metrics["largest_gap"]
        assert gap.unit == "Hz"
        assert gap.value == pytest.approx(rate * plain.value("largest_gap"))
