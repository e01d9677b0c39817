"""S4D v3: bilinear by default, tied rows, a stale copy of A beside the real one."""

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
from ssmspec.families.s4d_v3 import FAMILY
from ssmspec.reading import Discretization, DtTransform, Reading
from ssmspec.spectrum import Symmetry

ZOH = Reading(discretization=Discretization.ZOH)


def layer(channels=4, rows=2, modes=3, seed=0):
    rng = np.random.default_rng(seed)
    return {
        "kernel.kernel.log_dt": rng.uniform(-6, -1, channels),
        "kernel.kernel.inv_A_real": rng.uniform(-2, 0, (rows, modes)),
        "kernel.kernel.A_imag": rng.uniform(-30, 90, (rows, modes)),
        "kernel.kernel.A": rng.normal(size=(rows, modes, 2)),
        "kernel.kernel.B": rng.normal(size=(rows, modes, 2)),
        "kernel.kernel.C": rng.normal(size=(1, channels, modes, 2)),
    }


def source_of(tensors, reading=None):
    checkpoint = MemoryCheckpoint(tensors)
    (site,) = FAMILY.find(Catalog(checkpoint))
    return LayerSource(checkpoint, site, reading or Reading())


def torch_poles_bar(tensors, disc):
    """The parameters as the original kernel prepares them, in double precision."""
    stored = {key.rpartition(".")[2]: torch.tensor(value) for key, value in tensors.items()}
    dt = torch.exp(stored["log_dt"])
    A = torch.complex(-torch.exp(stored["inv_A_real"]), stored["A_imag"])
    # einops 't n -> (v t) n' puts whole copies of the rows after one another
    A = torch.cat([A] * (len(dt) // len(A)), dim=0)
    dtA = A * dt[:, None]
    return (torch.exp(dtA) if disc == "zoh" else (1 + dtA / 2) / (1 - dtA / 2)).numpy()


@pytest.mark.parametrize("rows", [1, 2, 4])
@pytest.mark.parametrize("disc", ["zoh", "bilinear"])
def test_poles_are_those_of_the_original_kernel(rows, disc):
    tensors = layer(rows=rows)
    reading = ZOH if disc == "zoh" else Reading()
    spectrum = FAMILY.read(source_of(tensors, reading))
    assert spectrum.discretization == disc
    np.testing.assert_allclose(
        np.exp(spectrum.log_poles), torch_poles_bar(tensors, disc), rtol=1e-11, atol=1e-13
    )


def test_the_impulse_response_is_that_of_a_bilinear_recurrence():
    tensors = layer()
    spectrum = FAMILY.read(source_of(tensors))
    dt = np.exp(tensors["kernel.kernel.log_dt"])
    for h, n in np.ndindex(4, 3):
        re = -np.exp(tensors["kernel.kernel.inv_A_real"][h % 2, n])
        im = tensors["kernel.kernel.A_imag"][h % 2, n]
        half = dt[h] / 2 * np.array([[re, -im], [im, re]])
        step = scipy.linalg.solve(np.eye(2) - half, np.eye(2) + half)
        state = np.array([1.0, 0.0])
        for k in range(40):
            impulse = np.exp(spectrum.log_poles[h, n] * k)
            np.testing.assert_allclose([impulse.real, impulse.imag], state, atol=1e-11)
            state = step @ state


def test_the_bilinear_rule_keeps_angles_on_the_circle_and_digits_of_slow_modes():
    tensors = layer(rows=4)
    tensors["kernel.kernel.A_imag"] *= 1e4
    spectrum = FAMILY.read(source_of(tensors))
    assert np.abs(spectrum.omega_unwrapped).max() <= np.pi
    tensors = layer(rows=4)
    tensors["kernel.kernel.inv_A_real"][:] = np.log(1e-12)
    tensors["kernel.kernel.A_imag"][:] = 0.0
    decay = FAMILY.read(source_of(tensors)).decay
    dt = np.exp(tensors["kernel.kernel.log_dt"])[:, None]
    np.testing.assert_allclose(decay, 1e-12 * dt * np.ones(3), rtol=1e-12)


def test_the_stale_copy_of_a_is_not_read():
    tensors = layer()
    expected = FAMILY.read(source_of(tensors)).log_poles
    tensors["kernel.kernel.A"][:] = np.nan
    np.testing.assert_array_equal(FAMILY.read(source_of(tensors)).log_poles, expected)


def test_what_the_file_does_not_say_is_said():
    told = FAMILY.read(source_of(layer())).assumptions
    assert any("bilinear" in text and "--discretization" in text for text in told)
    assert any("real_type" in text for text in told)
    told = FAMILY.read(source_of(layer(), ZOH)).assumptions
    assert not any("--discretization" in text for text in told)


def test_bandlimit_is_mentioned_where_it_would_matter():
    loud = layer()
    loud["kernel.kernel.A_imag"][0, 0] = 1e5
    quiet = layer()
    quiet["kernel.kernel.A_imag"][:] = 0.1
    for tensors, reading, expected in [(loud, ZOH, True), (quiet, ZOH, False), (loud, None, False)]:
        told = FAMILY.read(source_of(tensors, reading)).assumptions
        assert any("bandlimit" in text for text in told) is expected


def test_rows_that_do_not_divide_the_channels():
    with pytest.raises(LayoutError, match="3 rows, which do not divide 4 channels"):
        FAMILY.read(source_of(layer(channels=4, rows=3)))


def test_softplus_does_not_apply():
    with pytest.raises(UsageError, match="softplus"):
        FAMILY.read(source_of(layer(), Reading(dt_transform=DtTransform.SOFTPLUS)))


def test_the_low_rank_kernel_of_the_same_version_is_another_family():
    tensors = {
        "kernel.kernel.log_dt": np.zeros(4),
        "kernel.kernel.inv_w_real": np.zeros((1, 3)),
        "kernel.kernel.w_imag": np.zeros((1, 3)),
        "kernel.kernel.P": np.zeros((1, 1, 3, 2)),
    }
    (found,), skipped = find_layers(Catalog(MemoryCheckpoint(tensors)), Reading())
    assert not skipped
    assert (found.family.id, found.site.name) == ("s4-dplr", "kernel.kernel")


def test_a_tied_layer_holds_one_a_and_refuses_a_grid_over_the_layer():
    source = source_of(layer(rows=2))
    before = FAMILY.read(source)
    A = np.array([[-0.5 + 3j, -0.4 + 9j, -0.2 - 1j], [-0.3 + 4j, -1 + 2j, -0.1 + 7j]])
    z = before.dt / 2 * A[[0, 1, 0, 1]]
    wanted = replace(before, log_poles=np.log((1 + z) / (1 - z)))
    written = FAMILY.write(source, wanted)
    np.testing.assert_allclose(written["kernel.kernel.A_imag"], A.imag, rtol=1e-9)
    np.testing.assert_allclose(np.exp(written["kernel.kernel.inv_A_real"]), -A.real, rtol=1e-9)
    grid = np.pi * (np.arange(3) + np.arange(4)[:, None] / 4) / 3
    with pytest.raises(SchemeError, match=r"n_ssm = 2 < 4.*dfout-single"):
        FAMILY.write(source, replace(before, log_poles=-0.1 + 1j * grid, dt=np.ones((4, 1))))


def test_the_bilinear_rule_reaches_nyquist_and_no_further():
    source = source_of(layer(rows=4))
    before = FAMILY.read(source)
    at_nyquist = replace(before, log_poles=np.full((4, 3), -0.1 + 1j * np.pi))
    changed = source_of(layer(rows=4) | FAMILY.write(source, at_nyquist))
    np.testing.assert_allclose(np.exp(FAMILY.read(changed).log_poles), -np.exp(-0.1), rtol=1e-12)
    for angle in (-3.2, 4.0):
        wanted = replace(before, log_poles=np.full((4, 3), -0.1 + 1j * angle))
        with pytest.raises(SchemeError, match="Nyquist"):
            FAMILY.write(source, wanted)
    zoh = source_of(layer(rows=4), ZOH)
    assert FAMILY.write(zoh, wanted)
    assert before.symmetry is Symmetry.HALF
