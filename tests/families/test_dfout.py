"""The discrete layer of the trainer: poles, gains, and what a file of it can be made to hold."""

from dataclasses import replace

import numpy as np
import pytest

import ssmspec
from ssmspec.checkpoints.memory import MemoryCheckpoint
from ssmspec.errors import SchemeError
from ssmspec.families import FAMILIES
from ssmspec.families.base import LayerSource
from ssmspec.families.catalog import Catalog
from ssmspec.families.dfout import FAMILY
from ssmspec.families.find import find_layers
from ssmspec.kernel import LayerKernel, impulse_response
from ssmspec.outcome import NotApplicable
from ssmspec.reading import Reading
from ssmspec.schemes import SCHEMES
from ssmspec.spectrum import Symmetry
from tests.examples.reinit import saved, spectra


def layer(channels=2, modes=3, seed=0, **leaves):
    rng = np.random.default_rng(seed)
    tensors = {
        "log_xi": np.log(rng.uniform(0.01, 0.5, channels)),
        "theta": rng.uniform(-3.0, 3.0, (channels, modes)),
        "C": rng.normal(size=(channels, modes, 2)),
        "unit_energy": np.array(True),
    } | leaves
    return {
        f"ssm.{name}": np.asarray(value) for name, value in tensors.items() if value is not None
    }


def opened(tensors):
    checkpoint = MemoryCheckpoint(tensors)
    (found,), skipped = find_layers(Catalog(checkpoint), Reading())
    assert not skipped
    assert found.family is FAMILIES["dfout"] is FAMILY
    return LayerSource(checkpoint, found.site, Reading()), found


def read(tensors):
    source, _ = opened(tensors)
    return FAMILY.read(source)


def kernel_of(tensors):
    source, found = opened(tensors)
    return found.read_kernel(source.checkpoint, Reading(), FAMILY.read(source))


@pytest.mark.parametrize("per_mode", [False, True])
@pytest.mark.parametrize("unit_energy", [False, True])
@pytest.mark.parametrize("kernels", [1, 2])
def test_the_kernel_is_that_of_a_recurrence(per_mode, unit_energy, kernels):
    rng = np.random.default_rng(1)
    log_xi = np.log(rng.uniform(0.01, 0.5, (2, 3) if per_mode else 2))
    C = rng.normal(size=(2, 2, 3, 2)) if kernels == 2 else rng.normal(size=(2, 3, 2))
    tensors = layer(log_xi=log_xi, C=C, unit_energy=np.array(unit_energy))
    found = impulse_response(kernel_of(tensors), 40)
    assert found.shape == (kernels, 2, 40)
    for s, h in np.ndindex(kernels, 2):
        for n in range(3):
            xi = np.exp(log_xi[h, n] if per_mode else log_xi[h])
            pole = np.exp(-xi / 2 + 1j * tensors["ssm.theta"][h, n])
            held = abs((pole - 1) / np.log(pole))
            gain = np.sqrt(1 - abs(pole) ** 2) if unit_energy else held
            state = gain * (C.reshape(kernels, 2, 3, 2)[s, h, n] @ [1, 1j])
            for k in range(40):
                found[s, h, k] -= 2 * state.real
                state *= pole
    np.testing.assert_allclose(found, 0.0, atol=1e-12)


def test_a_mode_of_unit_energy():
    pole = np.exp(-0.05 + 0.7j)
    tensors = layer(1, 1, log_xi=np.log([0.1]), theta=[[0.7]], C=[[[1.0, 0.0]]])
    # 2 Re c l^k has energy 2 |c|^2 / (1 - r^2) + 2 Re(c^2 / (1 - l^2))
    gain = 1 - abs(pole) ** 2
    wanted = 2 * gain / (1 - abs(pole) ** 2) + 2 * (gain / (1 - pole**2)).real
    energy = np.sum(impulse_response(kernel_of(tensors), 5000) ** 2)
    assert energy == pytest.approx(wanted, rel=1e-12)


def test_angles_around_the_circle_are_one_pole():
    inside = np.array([[0.0, np.pi, -3.0]])
    turned = inside + 2 * np.pi * np.array([[2, 1, -3]])
    first, second = (read(layer(1, theta=theta)) for theta in (inside, turned))
    np.testing.assert_array_equal(first.omega_unwrapped, inside)
    np.testing.assert_allclose(np.exp(second.log_poles), np.exp(first.log_poles), atol=1e-12)
    assert (np.abs(second.omega_unwrapped) <= np.pi + 1e-12).all()
    assert first.symmetry is Symmetry.HALF
    assert first.dt is None


def test_weak_damping_keeps_its_digits():
    assert read(layer(1, 1, log_xi=[np.log(2e-12)])).decay[0, 0] == pytest.approx(1e-12, rel=1e-12)


@pytest.mark.parametrize("missing", ["C", "unit_energy"])
def test_without_c_or_its_gain_there_are_poles_but_no_kernel(missing):
    tensors = layer(**{missing: None})
    assert np.isfinite(read(tensors).log_poles).all()
    unknown = kernel_of(tensors)
    assert isinstance(unknown, NotApplicable)
    assert missing in unknown.reason


@pytest.mark.parametrize("gain", [np.array(2.0), np.array([1.0, 0.0]), np.array(np.nan)])
def test_a_gain_that_is_neither_is_not_guessed(gain):
    unknown = kernel_of(layer(unit_energy=gain))
    assert isinstance(unknown, NotApplicable)
    assert "must be a single 0 or 1" in unknown.reason


def test_what_a_channel_cannot_hold():
    source, _ = opened(layer())
    spectrum = FAMILY.read(source)
    for decay, reason in (
        (0.0, "without damping"),
        (-0.1, "without damping"),
        (None, "differently"),
    ):
        poles = spectrum.log_poles.copy()
        poles[1, 2] = -(2 * spectrum.decay[1, 2] if decay is None else decay) + 1j
        with pytest.raises(SchemeError, match=reason):
            FAMILY.write(source, replace(spectrum, log_poles=poles))
    with pytest.raises(SchemeError, match="symmetry half"):
        FAMILY.write(source, replace(spectrum, symmetry=Symmetry.FULL))


def test_a_drawn_c_has_kernels_of_unit_energy():
    for unit_energy in (True, False):
        source, found = opened(
            layer(200, 16, C=np.zeros((200, 16, 2)), unit_energy=np.array(unit_energy))
        )
        spectrum = FAMILY.read(source)
        written = FAMILY.reset_kernel(source, spectrum, np.random.default_rng(0))
        checkpoint = MemoryCheckpoint(layer(200, 16, unit_energy=np.array(unit_energy)) | written)
        kernel = found.read_kernel(checkpoint, Reading(), spectrum)
        assert isinstance(kernel, LayerKernel)
        energy = np.sum(impulse_response(kernel, 4000) ** 2, axis=-1)
        assert energy.mean() == pytest.approx(1.0, rel=0.1)


def untrained(tmp_path, scheme, seed=0):
    tensors = {}
    for number in range(2):
        poles = SCHEMES[scheme].draw(8, 4, (seed, number)).log_poles
        decay = -poles.real if scheme == "lru-ring" else -poles.real[:, 0]
        rng = np.random.default_rng(number)
        tensors |= {
            f"blocks.{number}.ssm.log_xi": np.log(2 * decay),
            f"blocks.{number}.ssm.theta": np.abs(poles.imag),
            f"blocks.{number}.ssm.C": rng.normal(size=(8, 4, 2)),
            f"blocks.{number}.ssm.unit_energy": np.array(1.0),
        }
    return saved(tmp_path, tensors, f"{scheme}.safetensors")


@pytest.mark.parametrize("scheme", ["dfout", "dfout-single", "dfout-batched", "dfout-token"])
def test_an_untrained_layer_is_recognized(tmp_path, scheme):
    report = ssmspec.analyze(untrained(tmp_path, scheme))
    for measured in report.layers:
        assert measured.metrics["init_scheme"].value == scheme
        assert measured.metrics["init_drift"].value < 1e-4


@pytest.mark.parametrize("scheme", [name for name in SCHEMES if name != "lru-ring"])
def test_reinit_writes_what_fits_one_damping_a_channel(tmp_path, scheme):
    source, target = untrained(tmp_path, "dfout"), tmp_path / "out.safetensors"
    if scheme == "s5-hippo":  # one step size, and so one damping, for each state
        with pytest.raises(SchemeError, match=r"differently.*can hold: dfout, "):
            ssmspec.reinit(source, scheme, target, seed=3)
        return
    if scheme == "s4d-real":  # decays 1, 2, 3, ...
        with pytest.raises(SchemeError, match="differently"):
            ssmspec.reinit(source, scheme, target, seed=3)
        return
    ssmspec.reinit(source, scheme, target, seed=3)
    for number, found in enumerate(spectra(target)):
        wanted = SCHEMES[scheme].draw(8, 4, (3, number)).log_poles
        np.testing.assert_allclose(found.decay, -wanted.real, rtol=1e-5)
        np.testing.assert_allclose(np.exp(found.log_poles), np.exp(wanted), atol=2e-5)


def test_a_layer_with_a_damping_for_each_mode_holds_them_all(tmp_path):
    source = untrained(tmp_path, "lru-ring")
    for scheme in ("lru-ring", "s5-hippo", "s4d-real", "dfout"):
        target = tmp_path / f"{scheme}-out.safetensors"
        ssmspec.reinit(source, scheme, target, seed=3)
        for number, found in enumerate(spectra(target)):
            wanted = SCHEMES[scheme].draw(8, 4, (3, number)).log_poles
            np.testing.assert_allclose(found.decay, -wanted.real, rtol=1e-5)
            np.testing.assert_allclose(found.omega, np.abs(np.angle(np.exp(wanted))), atol=2e-5)
