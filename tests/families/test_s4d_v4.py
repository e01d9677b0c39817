"""S4D v4: the opposite sign of A_imag, two dt transforms, tied rows, real layers, lrnnx's names."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.linalg
import torch

from ssmspec.checkpoints.memory import MemoryCheckpoint
from ssmspec.errors import LayoutError, SchemeError
from ssmspec.families.base import LayerSource
from ssmspec.families.catalog import Catalog
from ssmspec.families.find import find_layers
from ssmspec.families.s4d_v4 import FAMILY
from ssmspec.kernel import impulse_response
from ssmspec.reading import Discretization, DtTransform, Reading
from ssmspec.spectrum import Symmetry

BILINEAR = Reading(discretization=Discretization.BILINEAR)
SOFTPLUS = Reading(dt_transform=DtTransform.SOFTPLUS)


def layer(*, channels=6, rows=6, modes=3, steps=1, module="layer.kernel"):
    rng = np.random.default_rng(0)
    leaves = {
        "inv_dt": rng.uniform(-6, 0, (channels, steps)),
        "A_real": rng.uniform(-2, 0, (rows, modes)),
        "A_imag": rng.uniform(-10, 60, (rows, modes)),
        "B": rng.normal(size=(1, rows, modes, 2)),
        "C": rng.normal(size=(1, channels, modes, 2)),
    }
    return {f"{module}.{leaf}": values for leaf, values in leaves.items()}


def source_of(tensors, reading=None):
    checkpoint = MemoryCheckpoint(tensors)
    (site,) = FAMILY.find(Catalog(checkpoint))
    return LayerSource(checkpoint, site, reading or Reading())


def read(tensors, reading=None):
    return FAMILY.read(source_of(tensors, reading))


def torch_kernel(tensors, disc, dt_transform, length):
    """The convolution kernel of the original forward pass, in double precision, C = B = 1."""
    stored = {key.rpartition(".")[2]: torch.tensor(value) for key, value in tensors.items()}
    inv_dt = stored["inv_dt"]
    dt = torch.exp(inv_dt) if dt_transform == "exp" else torch.nn.functional.softplus(inv_dt)
    A = -torch.exp(stored["A_real"]) - 1j * stored["A_imag"]
    A = torch.cat([A] * (len(dt) // len(A)), dim=0)  # 't n -> (v t) n'
    dtA = dt * A
    if disc == "zoh":
        weights, log_poles = (torch.exp(dtA) - 1.0) / A, dtA
    else:
        weights = (1.0 - dtA / 2).reciprocal() * dt
        log_poles = ((1.0 + dtA / 2) / (1.0 - dtA / 2)).log()
    powers = torch.exp(log_poles[..., None] * torch.arange(length))
    return 2 * torch.einsum("hn,hnl->hl", weights.to(powers.dtype), powers).real


def kernel_of(spectrum, tensors, disc, length):
    """The same from our poles: A recovered from pole_bar, powers of pole_bar."""
    dt = spectrum.dt
    poles_bar = np.exp(spectrum.log_poles)
    if disc == "zoh":
        weights = (poles_bar - 1) / (spectrum.log_poles / dt)
    else:
        weights = dt * (poles_bar + 1) / 2  # 1 / (1 - z) with z = (p - 1) / (p + 1)
    powers = poles_bar[..., None] ** np.arange(length)
    return 2 * (weights[..., None] * powers).sum(axis=1).real


@pytest.mark.parametrize("rows", [1, 2, 6])
@pytest.mark.parametrize("disc", ["zoh", "bilinear"])
@pytest.mark.parametrize("transform", ["exp", "softplus"])
@pytest.mark.parametrize("steps", [1, 3])
def test_kernels_are_those_of_the_original_forward_pass(rows, disc, transform, steps):
    tensors = layer(rows=rows, steps=steps)
    reading = Reading(discretization=Discretization(disc), dt_transform=DtTransform(transform))
    spectrum = read(tensors, reading)
    expected = torch_kernel(tensors, disc, transform, 50).numpy()
    np.testing.assert_allclose(kernel_of(spectrum, tensors, disc, 50), expected, atol=1e-10)
    assert spectrum.dt.shape == (6, steps)


def test_poles_are_those_of_a_recurrence_in_real_block_form():
    tensors = layer(rows=2)
    spectrum = read(tensors)
    dt = np.exp(tensors["layer.kernel.inv_dt"])[:, 0]
    for h, n in np.ndindex(6, 3):
        re = -np.exp(tensors["layer.kernel.A_real"][h % 2, n])
        im = -tensors["layer.kernel.A_imag"][h % 2, n]
        step = scipy.linalg.expm(dt[h] * np.array([[re, -im], [im, re]]))
        state = np.array([1.0, 0.0])
        for k in range(40):
            impulse = np.exp(spectrum.log_poles[h, n] * k)
            np.testing.assert_allclose([impulse.real, impulse.imag], state, atol=1e-10)
            state = step @ state


def test_the_stored_angle_has_the_opposite_sign():
    spectrum = read(layer())
    stored = layer()["layer.kernel.A_imag"]
    assert (np.sign(spectrum.omega_unwrapped) == -np.sign(stored)).all()
    written = FAMILY.write(source_of(layer()), spectrum)
    np.testing.assert_allclose(written["layer.kernel.A_imag"], stored)


def test_what_the_file_does_not_say_is_said():
    told = read(layer()).assumptions
    assert any("zoh" in text and "--discretization" in text for text in told)
    assert any("exp" in text and "--dt-transform" in text for text in told)
    assert any("real_transform" in text for text in told)
    told = read(layer(), Reading(None, dt_transform=DtTransform.EXP)).assumptions
    assert not any("--dt-transform" in text for text in told)
    assert any("bandlimit" in text for text in told)


def test_exp_and_softplus_differ_by_half_a_step():
    tensors = layer()
    by_exp, by_softplus = read(tensors).dt, read(tensors, SOFTPLUS).dt
    small = by_exp < 0.05
    np.testing.assert_allclose((by_exp / by_softplus - 1)[small], (by_exp / 2)[small], rtol=0.02)


def test_very_small_and_large_steps_survive_softplus():
    source = source_of(layer(), SOFTPLUS)
    before = FAMILY.read(source)
    dt = np.array([[1e-12], [1e-6], [0.1], [1.0], [30.0], [800.0]])
    wanted = replace(before, dt=dt)
    written = FAMILY.write(source, wanted)
    changed = source_of(layer() | written, SOFTPLUS)
    np.testing.assert_allclose(FAMILY.read(changed).dt, dt, rtol=1e-12)


@pytest.mark.parametrize(
    ("leaf", "shape"),
    [
        ("inv_dt", (6,)),
        ("inv_dt", (6, 2)),
        ("A_real", (6, 3, 1)),
        ("A_imag", (6, 4)),
        ("A_imag", (1, 3)),
    ],
)
def test_shapes_that_do_not_fit(leaf, shape):
    with pytest.raises(LayoutError, match=leaf):
        read(layer() | {f"layer.kernel.{leaf}": np.zeros(shape)})


def test_a_real_layer_decays_and_refuses_to_oscillate():
    tensors = layer()
    del tensors["layer.kernel.A_imag"]
    source = source_of(tensors)
    spectrum = FAMILY.read(source)
    assert spectrum.symmetry is Symmetry.REAL
    assert (spectrum.omega_unwrapped == 0).all()
    expected = np.exp(tensors["layer.kernel.A_real"]) * np.exp(tensors["layer.kernel.inv_dt"])
    np.testing.assert_allclose(spectrum.decay, expected)
    oscillating = replace(spectrum, log_poles=np.full((6, 3), -0.1 + 1j))
    with pytest.raises(SchemeError, match="real poles"):
        FAMILY.write(source, oscillating)
    with pytest.raises(SchemeError, match="real poles"):
        FAMILY.write(source, replace(oscillating, symmetry=Symmetry.HALF))


def test_a_fast_real_mode_flips_its_sign_under_the_bilinear_rule():
    tensors = layer()
    del tensors["layer.kernel.A_imag"]
    tensors["layer.kernel.inv_dt"][:] = np.log(10.0)
    tensors["layer.kernel.A_real"][:] = np.log(0.5)
    source = source_of(tensors, BILINEAR)
    spectrum = FAMILY.read(source)
    np.testing.assert_allclose(np.exp(spectrum.log_poles), (1 - 2.5) / (1 + 2.5), rtol=1e-12)
    written = FAMILY.write(source, spectrum)
    np.testing.assert_allclose(written["layer.kernel.A_real"], np.log(0.5))


def test_the_low_rank_kernel_of_the_same_version_is_another_family(shared):
    tensors = layer() | {"layer.kernel.P": np.zeros((1, 6, 3, 2))}
    (found,), skipped = find_layers(Catalog(MemoryCheckpoint(tensors)), Reading())
    assert not skipped
    assert (found.family.id, found.site.name) == ("s4-dplr", "layer.kernel")
    state = torch.load(shared / "s4_dplr_v4_ppg.pth", map_location="cpu", weights_only=True)
    layers, skipped = find_layers(Catalog(MemoryCheckpoint(state)), Reading())
    assert not skipped
    assert [found.family.id for found in layers] == ["s4-dplr"] * 4


def test_a_tied_layer_holds_one_a_per_row():
    source = source_of(layer(rows=2))
    before = FAMILY.read(source)
    A = np.array([[-0.5 + 3j, -0.4 + 9j, -0.2 - 1j], [-0.3 + 4j, -1 + 2j, -0.1 + 7j]])
    wanted = replace(before, log_poles=A[[0, 1, 0, 1, 0, 1]] * before.dt)
    written = FAMILY.write(source, wanted)
    assert written["layer.kernel.A_real"].shape == (2, 3)
    np.testing.assert_allclose(written["layer.kernel.A_imag"], -A.imag)
    swapped = replace(before, log_poles=A[[0, 1, 0, 1, 1, 0]] * before.dt)
    with pytest.raises(SchemeError, match="n_ssm = 2 < 6"):
        FAMILY.write(source, swapped)


def test_equal_angles_and_unequal_decays_do_not_fit_a_tied_layer():
    source = source_of(layer(rows=1))
    before = FAMILY.read(source)
    angles = 1j * np.pi * np.arange(3) / 3
    decay = np.geomspace(1e-3, 1e-1, 6)[:, None] / 2
    single = replace(before, log_poles=-decay + angles, dt=np.ones((6, 1)))
    with pytest.raises(SchemeError, match="one decay"):
        FAMILY.write(source, single)
    level = replace(single, log_poles=np.broadcast_to(-0.01 + angles, (6, 3)).copy())
    found = FAMILY.read(source_of(layer(rows=1) | FAMILY.write(source, level)))
    np.testing.assert_allclose(found.log_poles, level.log_poles, atol=1e-15)


def test_rounding_of_float32_does_not_untie_a_layer():
    stored = {key: values.astype(np.float32) for key, values in layer(rows=2).items()}
    source = source_of(stored, BILINEAR)
    written = FAMILY.write(source, FAMILY.read(source))
    np.testing.assert_allclose(
        written["layer.kernel.A_imag"], stored["layer.kernel.A_imag"], rtol=1e-6
    )


def test_a_parameter_with_two_names_is_one_layer_and_both_names_are_written():
    outer = layer(module="net.0")
    both = outer | {
        key.replace("net.0", "net.0.layer.kernel"): values for key, values in outer.items()
    }
    layers, skipped = find_layers(Catalog(MemoryCheckpoint(both)), Reading())
    assert [found.site.name for found in layers] == ["net.0"]
    assert not skipped
    source = source_of(both)
    spectrum = FAMILY.read(source)
    written = FAMILY.write(source, replace(spectrum, log_poles=spectrum.log_poles / 2))
    assert len(written) == 6
    for leaf in ("inv_dt", "A_real", "A_imag"):
        np.testing.assert_array_equal(
            written[f"net.0.{leaf}"], written[f"net.0.layer.kernel.{leaf}"]
        )


def test_the_usual_nesting_is_not_taken_for_a_second_name():
    tensors = layer(module="s4_layers.0.layer.kernel") | layer(module="s4_layers.1.layer.kernel")
    layers, _ = find_layers(Catalog(MemoryCheckpoint(tensors)), Reading())
    assert len(layers) == 2


def test_damping_zero_has_no_logarithm():
    source = source_of(layer())
    with pytest.raises(SchemeError, match="smallest damping above 0"):
        FAMILY.write(source, replace(FAMILY.read(source), log_poles=np.full((6, 3), 1j)))


@pytest.mark.parametrize("steps", [1, 3])
def test_the_dss_discretization_is_that_of_the_original_forward_pass(steps):
    tensors, length = layer(steps=steps), 40
    for name in ("B", "C"):  # as far as the bound of its division does not matter
        tensors[f"layer.kernel.{name}"][..., 0] += 2.0
    stored = {key.rpartition(".")[2]: torch.tensor(value) for key, value in tensors.items()}
    A = -torch.exp(stored["A_real"]) - 1j * stored["A_imag"]
    dtA = torch.exp(stored["inv_dt"]) * A
    C = torch.view_as_complex(stored["B"] * 1.0) * torch.view_as_complex(stored["C"] * 1.0)
    ratio = ((dtA).exp() - 1) / (((dtA * length).exp() - 1) * A)
    powers = (dtA[..., None] * torch.arange(length)).exp()
    wanted = 2 * torch.einsum("chn,hnl->chl", C * ratio, powers).real
    source = source_of(tensors, Reading(seq_len=length, assume=("dss",)))
    spectrum = FAMILY.read(source)
    kernel = FAMILY.read_kernel(source, spectrum)
    np.testing.assert_allclose(impulse_response(kernel, length), wanted, rtol=1e-3, atol=1e-5)
    np.testing.assert_array_equal(spectrum.log_poles, read(tensors).log_poles)
    written = FAMILY.write_kernel(source, kernel)
    np.testing.assert_allclose(
        written["layer.kernel.C"], tensors["layer.kernel.C"], rtol=1e-9, atol=1e-9
    )
    with pytest.raises(LayoutError, match="--seq-len"):
        FAMILY.read_kernel(source_of(tensors, Reading(assume=("dss",))), spectrum)
