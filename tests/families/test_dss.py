"""DSS: the kernels of its versions, its two step sizes and what one shared A can hold."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from ssmspec import analyze
from ssmspec.checkpoints.memory import MemoryCheckpoint
from ssmspec.errors import LayoutError, SchemeError
from ssmspec.families.base import LayerSource
from ssmspec.families.catalog import Catalog
from ssmspec.families.find import find_layers
from ssmspec.kernel import impulse_response
from ssmspec.reading import Reading
from ssmspec.spectrum import Symmetry

H, N, L = 3, 4, 50


def source_of(tensors, reading=None):
    checkpoint = MemoryCheckpoint(tensors)
    (layer,), skipped = find_layers(Catalog(checkpoint), Reading())
    assert not skipped
    return layer.family, LayerSource(checkpoint, layer.site, reading or Reading())


def drawn(seed=0):
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    A = torch.complex(-torch.exp(normal(N) - 1), 20 * normal(N).abs())
    return A, 0.05 * torch.exp(normal(H, 2)), normal(1, H, N, 2)


def original_kernel(A, dt, W, version):
    """The forward pass of the standalone DSS module in torch (no bound of a division needed)."""
    weights = torch.view_as_complex(W)
    dt_A = torch.complex(dt[:, :1] * A.real, dt[:, -1:] * A.imag)
    P = dt_A[..., None] * torch.arange(L)
    if version == "softmax":
        grows = A.real > 0
        P = P - (dt_A * (grows * (L - 1)))[..., None]
        falling = dt_A * (1 - 2 * grows.double())
        weights = weights * (falling.exp() - 1) / (((falling * L).exp() - 1) * A)
    else:
        weights = weights * (dt_A.exp() - 1) / A
    return torch.einsum("chn,hnl->chl", weights, P.exp()).real


@pytest.mark.parametrize("separate", [True, False])
def test_the_exp_kernel_is_that_of_the_original_code(separate):
    A, dt, W = drawn()
    dt = dt if separate else dt[:, :1]
    tensors = {
        "kernel.Lambda_log_neg_re": torch.log(-A.real),
        "kernel.Lambda_im": A.imag,
        "kernel.log_dt": torch.log(dt) if separate else torch.log(dt[:, 0]),
        "kernel.W": W,
    }
    family, source = source_of(tensors)
    spectrum = family.read(source)
    assert spectrum.symmetry is Symmetry.FULL
    kernel = impulse_response(family.read_kernel(source, spectrum), L)
    np.testing.assert_allclose(kernel, original_kernel(A, dt, W, "exp"), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("growing", [0, 2])
def test_the_softmax_kernel_is_that_of_the_original_code(growing):
    A, dt, W = drawn(1)
    A.real[:growing] *= -1
    tensors = {
        "kernel.Lambda": torch.view_as_real(A),
        "kernel.log_dt": torch.log(dt),
        "kernel.W": W,
    }
    family, source = source_of(tensors, Reading(seq_len=L))
    spectrum = family.read(source)
    kernel = impulse_response(family.read_kernel(source, spectrum), L)
    expected = original_kernel(A, dt, W, "softmax")
    np.testing.assert_allclose(kernel, expected, rtol=1e-4, atol=1e-6 * expected.abs().max())
    assert any("real parts above 0" in text for text in spectrum.assumptions) == (growing > 0)


def test_the_softmax_kernel_needs_the_length():
    A, dt, W = drawn()
    tensors = {"Lambda": torch.view_as_real(A), "log_dt": torch.log(dt), "W": W}
    family, source = source_of(tensors)
    with pytest.raises(LayoutError, match="--seq-len"):
        family.read_kernel(source, family.read(source))


def fresh(version="Lambda"):
    """The initialization of ag1988/dss: HiPPO's skew part, and one dt a channel."""
    n = 2 * 16
    root = np.sqrt(2 * np.arange(n) + 1.0)
    lower = np.tril(np.outer(root, root), -1)
    imag = np.linalg.eigvals((lower - lower.T) / 2).imag
    imag = np.sort(imag[imag > 0])[::-1]
    log_dt = np.random.default_rng(3).uniform(np.log(1e-3), np.log(1e-1), 8)
    leaves = {"log_dt": np.stack([log_dt, log_dt], -1), "W": np.ones((1, 8, 16, 2))}
    if version == "Lambda":
        leaves["Lambda"] = np.stack([np.full(16, -0.5), imag], -1)
    else:
        leaves |= {"Lambda_log_neg_re": np.full(16, np.log(0.5)), "Lambda_log_im": np.log(imag)}
    return {f"kernel.{leaf}": values.astype(np.float32) for leaf, values in leaves.items()}


@pytest.mark.parametrize("version", ["Lambda", "exp-re-im"])
def test_an_untrained_layer_is_recognized(version):
    report = analyze(fresh(version), seq_len=1024)
    assert report.layers[0].metrics["init_scheme"].value == "s4d-legs"
    assert [f.code for f in report.findings if f.level == "warning"] == ["INI001"]


def test_two_step_sizes_are_said_to_be_two():
    family, source = source_of(fresh())
    assert any("one for frequency" in text for text in family.read(source).assumptions)


def test_separate_steps_hold_a_decay_of_their_own_in_each_channel():
    family, source = source_of(fresh())
    spectrum = family.read(source)
    decay = np.exp(np.random.default_rng(0).uniform(-5, -1, (8, 1)))
    grid = np.pi * np.arange(16) / 16
    wanted = replace(spectrum, log_poles=-decay + 1j * grid + np.zeros((8, 16)), dt=np.ones((8, 1)))
    tensors = fresh() | family.write(source, wanted)
    family, source = source_of(tensors)
    np.testing.assert_allclose(family.read(source).log_poles, wanted.log_poles, rtol=1e-12)


def test_channels_that_disagree_on_the_shared_poles_are_refused():
    family, source = source_of(fresh())
    spectrum = family.read(source)
    grid = np.pi * np.arange(8 * 16).reshape(8, 16) / 128
    with pytest.raises(SchemeError, match="ties A across channels"):
        family.write(source, replace(spectrum, log_poles=-0.1 + 1j * grid))
    undamped = spectrum.log_poles.copy()
    undamped[3].real = 0.0
    with pytest.raises(SchemeError, match="shares Re A"):
        family.write(source, replace(spectrum, log_poles=undamped))


def test_logarithms_hold_neither_negative_frequencies_nor_zero_exactly():
    family, source = source_of(fresh("exp-re-im"))
    spectrum = family.read(source)
    with pytest.raises(SchemeError, match="negative"):
        family.write(source, replace(spectrum, log_poles=spectrum.log_poles.conj()))
    real = np.asarray(-spectrum.decay + 0j)
    written = family.write(source, replace(spectrum, log_poles=real))
    np.testing.assert_allclose(written["kernel.Lambda_log_im"], np.log(1e-6))


def test_growing_poles_have_no_logarithm():
    family, source = source_of(fresh("exp-re-im"))
    spectrum = family.read(source)
    grown = spectrum.log_poles - 2 * spectrum.log_poles.real
    with pytest.raises(SchemeError, match="logarithm of its damping"):
        family.write(source, replace(spectrum, log_poles=grown))


@pytest.mark.parametrize("layout", ["Lambda", "Lambda_log_neg_re"])
def test_a_version_can_be_assumed(layout):
    A, dt, W = drawn(2)
    if layout == "Lambda":
        A.real[0] = 0.4
        stored = {"Lambda": torch.view_as_real(A)}
    else:
        stored = {"Lambda_log_neg_re": torch.log(-A.real), "Lambda_im": A.imag}
    tensors = {f"k.{n}": v for n, v in (stored | {"log_dt": torch.log(dt), "W": W}).items()}
    clipped = torch.complex(A.real.clamp(max=1e-4), A.imag)
    dt_A = torch.complex(dt[:, :1] * A.real, dt[:, -1:] * A.imag)
    powers = (dt_A[..., None] * torch.arange(L)).exp()
    bare = torch.einsum("chn,hnl->chl", torch.view_as_complex(W), powers).real
    for name, wanted in (
        ("dss-no-scale", bare),
        ("dss-clip", original_kernel(clipped, dt, W, "exp")),
    ):
        family, source = source_of(tensors, Reading(assume=(name,)))
        spectrum = family.read(source)
        kernel = impulse_response(family.read_kernel(source, spectrum), L)
        np.testing.assert_allclose(kernel, wanted, rtol=1e-8, atol=1e-10)
        assert not any("version" in text for text in spectrum.assumptions)
    family, source = source_of(tensors)
    assert any(
        "--assume dss-no-scale" in t or "--assume dss-clip" in t
        for t in family.read(source).assumptions
    )
