"""S5 in its three layouts, against the original formulas, HiPPO-N and a matrix exponential."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.linalg
import torch

from ssmspec.checkpoints.memory import MemoryCheckpoint
from ssmspec.errors import LayoutError, SchemeError, UsageError
from ssmspec.families.base import LayerSource
from ssmspec.families.catalog import Catalog
from ssmspec.families.find import find_layers
from ssmspec.families.s5 import FAMILY
from ssmspec.reading import Discretization, DtTransform, Reading
from ssmspec.spectrum import Symmetry

ZOH = Reading(discretization=Discretization.ZOH)
BILINEAR = Reading(discretization=Discretization.BILINEAR)


def hippo_n(states):
    """Eigenvalues of the normal part of HiPPO-LegS as S5 sorts them, angles ascending."""
    p = np.sqrt(1 + 2 * np.arange(states))
    legs = np.diag(np.arange(states)) - np.tril(np.outer(p, p))
    low_rank = np.sqrt(np.arange(states) + 0.5)
    normal = legs + np.outer(low_rank, low_rank)
    return np.mean(np.diag(normal)) + 1j * np.linalg.eigh(normal * -1j)[0]


def jax_layer(poles, dt, **leaves):
    tensors = {
        "Lambda_re": poles.real.copy(),
        "Lambda_im": poles.imag.copy(),
        "log_step": np.log(dt)[:, None],
        "B": np.zeros((len(poles), 4, 2)),
    } | leaves
    return {f"params/layers_0/seq/{name}": values for name, values in tensors.items()}


def source_of(tensors, reading=None):
    checkpoint = MemoryCheckpoint(tensors)
    (site,) = FAMILY.find(Catalog(checkpoint))
    return LayerSource(checkpoint, site, reading or Reading())


def read(tensors, reading=None):
    return FAMILY.read(source_of(tensors, reading))


def steps(states):
    return np.geomspace(1e-3, 1e-1, states)


def said(spectrum, word):
    return any(word in text for text in spectrum.assumptions)


@pytest.mark.parametrize("disc", ["zoh", "bilinear"])
def test_discrete_poles_are_those_of_the_original_functions(disc):
    poles, dt = hippo_n(16)[:8], steps(8)
    spectrum = read(jax_layer(poles, dt), ZOH if disc == "zoh" else BILINEAR)
    A, step = torch.tensor(poles), torch.tensor(dt)
    bl = 1 / (1 - (step / 2.0) * A)
    expected = torch.exp(A * step) if disc == "zoh" else bl * (1 + (step / 2.0) * A)
    np.testing.assert_allclose(np.exp(spectrum.log_poles[0]), expected.numpy(), rtol=1e-12)
    assert spectrum.shape == (1, 8)
    assert spectrum.dt.shape == (1, 8)


def test_poles_are_those_of_a_recurrence_in_real_block_form():
    poles, dt = hippo_n(12)[:6], steps(6)
    spectrum = read(jax_layer(poles, dt))
    for n, (pole, step) in enumerate(zip(poles, dt, strict=True)):
        block = np.array([[pole.real, -pole.imag], [pole.imag, pole.real]])
        matrix, state = scipy.linalg.expm(step * block), np.array([1.0, 0.0])
        for k in range(50):
            impulse = np.exp(spectrum.log_poles[0, n] * k)
            np.testing.assert_allclose([impulse.real, impulse.imag], state, atol=1e-11)
            state = matrix @ state


def test_the_half_that_s5_stores_is_told_from_the_whole():
    whole = hippo_n(16)
    half = read(jax_layer(whole[:8], steps(8)))
    assert half.symmetry is Symmetry.HALF
    assert (half.omega_unwrapped < 0).all()
    assert said(half, "one pole of each conjugate pair")
    both = read(jax_layer(whole, steps(16)))
    assert both.symmetry is Symmetry.FULL
    assert said(both, "as many lie above")
    blocks = read(jax_layer(np.tile(whole[:8], 3), steps(24)))
    assert blocks.symmetry is Symmetry.HALF


def test_training_moves_the_two_poles_of_a_pair_apart_and_the_spectrum_stays_whole():
    rng = np.random.default_rng(0)
    trained = hippo_n(16) + 0.05 * (rng.normal(size=16) + 1j * rng.normal(size=16))
    assert read(jax_layer(trained, steps(16))).symmetry is Symmetry.FULL


def test_a_half_spectrum_with_a_pole_that_crossed_the_axis_stays_half():
    poles = hippo_n(16)[:8].copy()
    poles[-1] = poles[-1].conj()
    assert read(jax_layer(poles, steps(8))).symmetry is Symmetry.HALF


def test_an_odd_whole_spectrum_has_one_real_pole():
    assert read(jax_layer(hippo_n(9), steps(9))).symmetry is Symmetry.FULL
    assert read(jax_layer(hippo_n(2)[:1], steps(1))).symmetry is Symmetry.HALF


def test_a_growing_pole_is_read_raw_and_clipping_is_mentioned_where_it_matters():
    poles, dt = hippo_n(8)[:4].copy(), np.full(4, 0.05)
    assert not said(read(jax_layer(poles, dt)), "clip_eigs")
    poles[2] = np.log(1.0025) / 0.05 + 1j * poles[2].imag
    spectrum = read(jax_layer(poles, dt))
    np.testing.assert_allclose(np.exp(-spectrum.decay).max(), 1.0025, rtol=1e-12)
    assert spectrum.stable.tolist() == [[True, True, False, True]]
    assert said(spectrum, "clip_eigs")
    poles[2] = -1e-5 + 1j
    assert said(read(jax_layer(poles, dt)), "clip_eigs")


def test_the_discretization_is_an_assumption_until_it_is_given():
    tensors = jax_layer(hippo_n(8)[:4], steps(4))
    assert read(tensors).discretization is Discretization.ZOH
    assert said(read(tensors), "--discretization")
    assert not said(read(tensors, BILINEAR), "--discretization")
    with pytest.raises(UsageError, match="softplus"):
        read(tensors, Reading(dt_transform=DtTransform.SOFTPLUS))


def torch_layer(values, dt, prefix="seq."):
    return {
        f"{prefix}Lambda": values,
        f"{prefix}log_step": np.log(dt),
        f"{prefix}D": np.zeros(4),
    }


def test_the_torch_port_stores_every_pole_as_complex_numbers():
    poles, dt = hippo_n(8), steps(8)
    state = {
        key: torch.tensor(value.astype(np.complex64 if value.dtype.kind == "c" else np.float32))
        for key, value in torch_layer(poles, dt).items()
    }
    spectrum = read(state)
    np.testing.assert_allclose(spectrum.log_poles[0], poles * dt, rtol=1e-6)
    assert spectrum.symmetry is Symmetry.FULL
    assert spectrum.discretization is Discretization.ZOH


def test_the_port_that_stores_pairs_is_bilinear_unless_told_otherwise():
    poles, dt = hippo_n(8), steps(8)
    tensors = torch_layer(np.stack([poles.real, poles.imag], -1), dt)
    z = poles * dt / 2
    spectrum = read(tensors)
    assert spectrum.discretization is Discretization.BILINEAR
    np.testing.assert_allclose(np.exp(spectrum.log_poles[0]), (1 + z) / (1 - z), rtol=1e-12)
    assert said(spectrum, "bilinear")
    np.testing.assert_allclose(read(tensors, ZOH).log_poles[0], poles * dt, rtol=1e-14)


@pytest.mark.parametrize(
    ("tensors", "expected"),
    [
        (torch_layer(np.zeros(8), steps(8)), "expected"),
        (torch_layer(np.zeros((8, 3)), steps(8)), r"expected \(states, 2\)"),
        (torch_layer(np.zeros(8, complex), steps(7)), r"expected \(8, 1\)"),
        (jax_layer(hippo_n(8), steps(7)), r"expected \(8, 1\)"),
        (jax_layer(hippo_n(8), steps(8), Lambda_im=np.zeros(9)), r"expected \(8,\)"),
        (jax_layer(hippo_n(8), steps(8), Lambda_re=np.zeros((4, 8))), r"expected \(states,\)"),
    ],
)
def test_tensors_that_do_not_fit_name_the_shape(tensors, expected):
    with pytest.raises(LayoutError, match=expected):
        read(tensors)


def test_a_low_rank_term_makes_it_another_family():
    tensors = jax_layer(hippo_n(8), steps(8), P=np.zeros(8, complex))
    (found,), skipped = find_layers(Catalog(MemoryCheckpoint(tensors)), Reading())
    assert not skipped
    assert (found.family.id, found.site.name) == ("s4-dplr", "params.layers_0.seq")


def test_parameters_that_are_not_finite_are_read_and_show():
    for bad in (np.nan, np.inf, -np.inf):
        poles = hippo_n(8)[:4].copy()
        poles[1] = complex(-0.5, bad)
        assert read(jax_layer(poles, steps(4))).non_finite == 1
        assert read(torch_layer(poles, steps(4))).non_finite == 1
        dt = np.log(steps(4))
        dt[3] = bad
        assert read(jax_layer(hippo_n(8)[:4], steps(4), log_step=dt)).non_finite == 1


def test_undamped_and_growing_poles_can_be_written():
    source = source_of(jax_layer(hippo_n(8)[:4], steps(4)))
    before = FAMILY.read(source)
    wanted = replace(before, log_poles=np.array([[1j, 0.001 + 2j, 0j, -0.1 + 3j]]))
    found = read(jax_layer(hippo_n(8)[:4], steps(4)) | FAMILY.write(source, wanted))
    np.testing.assert_allclose(found.log_poles, wanted.log_poles, atol=1e-15)


def test_a_grid_is_written_at_one_step_size():
    source = source_of(jax_layer(hippo_n(8)[:4], steps(4)))
    before = FAMILY.read(source)
    grid = -0.01 + 1j * np.pi * np.arange(4)[None] / 4
    written = FAMILY.write(source, replace(before, log_poles=grid, dt=np.ones((1, 4))))
    path = "params/layers_0/seq"
    np.testing.assert_array_equal(written[f"{path}/log_step"], np.zeros((4, 1)))
    np.testing.assert_array_equal(written[f"{path}/Lambda_im"], grid.imag[0])
    np.testing.assert_array_equal(written[f"{path}/Lambda_re"], grid.real[0])


def test_a_symmetry_that_would_not_be_read_back_is_refused():
    source = source_of(jax_layer(hippo_n(8), steps(8)))
    whole = FAMILY.read(source)
    one_sided = replace(whole, log_poles=-0.1 + 1j * np.arange(1.0, 9.0)[None] / 3)
    with pytest.raises(SchemeError, match="read back"):
        FAMILY.write(source, one_sided)
    FAMILY.write(source, replace(one_sided, symmetry=Symmetry.HALF))
    with pytest.raises(SchemeError, match="read back"):
        FAMILY.write(source, replace(whole, symmetry=Symmetry.HALF))
    with pytest.raises(SchemeError, match="symmetry"):
        FAMILY.write(source, replace(whole, symmetry=Symmetry.REAL))
    port = source_of(torch_layer(hippo_n(8), steps(8)))
    with pytest.raises(SchemeError, match="symmetry full"):
        FAMILY.write(port, replace(FAMILY.read(port), symmetry=Symmetry.HALF))


def test_one_step_size_per_state_is_what_it_holds():
    source = source_of(jax_layer(hippo_n(8)[:4], steps(4)))
    before = FAMILY.read(source)
    shared = FAMILY.write(source, replace(before, dt=np.full((1, 1), 0.5)))
    np.testing.assert_array_equal(
        shared["params/layers_0/seq/log_step"], np.log(np.full((4, 1), 0.5))
    )
    with pytest.raises(SchemeError, match="positive"):
        FAMILY.write(source, replace(before, dt=np.full((1, 4), -0.5)))
    with pytest.raises(SchemeError, match="no step size"):
        FAMILY.write(source, replace(before, dt=None))


@pytest.mark.parametrize("states", [4, 8, 16])
def test_a_whole_spectrum_with_a_slow_pole_that_crossed_the_axis_stays_whole(states):
    poles = hippo_n(states).copy()
    slowest = np.argmin(np.where(poles.imag > 0, poles.imag, np.inf))
    poles[slowest] = poles[slowest].real - 0.02j
    assert read(jax_layer(poles, steps(states))).symmetry is Symmetry.FULL


def test_clipping_can_be_assumed_and_then_holds_no_growing_pole():
    poles, dt = hippo_n(8)[:4].copy(), np.full(4, 0.05)
    poles[2] = 0.3 + 1j * poles[2].imag
    clipped = Reading(assume=("clip-eigs",))
    tensors = jax_layer(poles, dt)
    spectrum = read(tensors, clipped)
    expected = np.minimum(poles.real, -1e-4) + 1j * poles.imag  # s5/ssm.py
    np.testing.assert_allclose(spectrum.log_poles[0], dt * expected, rtol=1e-12)
    assert not said(spectrum, "clip_eigs")
    assert said(read(tensors), "--assume clip-eigs")
    with pytest.raises(SchemeError, match="clip-eigs"):
        FAMILY.write(source_of(tensors, clipped), read(tensors))
