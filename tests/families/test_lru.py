"""LRU: natively discrete poles, angles around the whole circle, several models in one file."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from ssmspec.checkpoints.memory import MemoryCheckpoint
from ssmspec.errors import LayoutError, SchemeError, UsageError
from ssmspec.families.base import LayerSource
from ssmspec.families.catalog import Catalog
from ssmspec.families.find import find_layers
from ssmspec.families.lru import FAMILY, SMALLEST_ANGLE
from ssmspec.reading import Discretization, DtTransform, Reading
from ssmspec.spectrum import Symmetry


def layer(radius, theta, prefix="lru", **leaves):
    radius, theta = np.asarray(radius, dtype=float), np.asarray(theta, dtype=float)
    tensors = {
        "nu_log": np.log(-np.log(radius)),
        "theta_log": np.log(theta),
        "gamma_log": np.log(np.sqrt(1 - radius**2)),
        "B_re": np.zeros((radius.size, 2)),
        "C_re": np.zeros((2, radius.size)),
    } | leaves
    return {f"{prefix}.{name}": values for name, values in tensors.items()}


def source_of(tensors, reading=None):
    checkpoint = MemoryCheckpoint(tensors)
    (site,) = FAMILY.find(Catalog(checkpoint))
    return LayerSource(checkpoint, site, reading or Reading())


def read(tensors, reading=None):
    return FAMILY.read(source_of(tensors, reading))


def test_the_impulse_response_is_that_of_the_recurrence_written_in_torch():
    rng = np.random.default_rng(0)
    tensors = layer(rng.uniform(0.5, 0.999, 6), rng.uniform(0.01, 20.0, 6))
    nu, theta = (torch.tensor(tensors[f"lru.{name}"]) for name in ("nu_log", "theta_log"))
    modulus = torch.exp(-torch.exp(nu))
    pole = torch.complex(
        modulus * torch.cos(torch.exp(theta)), modulus * torch.sin(torch.exp(theta))
    )
    log_poles = read(tensors).log_poles
    state = torch.ones(6, dtype=torch.complex128)
    for k in range(60):
        np.testing.assert_allclose(np.exp(log_poles[0] * k), state.numpy(), atol=1e-12)
        state = pole * state


@pytest.mark.parametrize(
    ("theta", "angle"),
    [
        (0.3, 0.3),
        (np.pi, np.pi),
        (1.5 * np.pi, -0.5 * np.pi),
        (1.85 * np.pi, -0.15 * np.pi),
        (2.5 * np.pi, 0.5 * np.pi),
        (201.25 * np.pi, -0.75 * np.pi),
    ],
)
def test_an_angle_comes_back_into_half_a_turn_and_is_never_an_alias(theta, angle):
    spectrum = read(layer([0.9], [theta]))
    np.testing.assert_allclose(spectrum.omega_unwrapped, [[angle]], rtol=1e-12)
    np.testing.assert_allclose(spectrum.omega, [[abs(angle)]], rtol=1e-12)


def test_what_it_is():
    spectrum = read(layer([0.9, 0.5], [0.1, 4.0]))
    assert spectrum.shape == (1, 2)
    assert spectrum.symmetry is Symmetry.FULL
    assert spectrum.discretization is Discretization.NATIVE
    assert spectrum.dt is None
    np.testing.assert_allclose(np.exp(-spectrum.decay), [[0.9, 0.5]])


def test_long_memories_keep_their_digits():
    tensors = layer([0.5, 0.5], [0.1, 0.1], nu_log=np.log([1e-12, 1e-7]))
    np.testing.assert_allclose(read(tensors).decay, [[1e-12, 1e-7]], rtol=1e-13)


def test_several_models_in_one_file_are_several_layers():
    tensors = {}
    for model in (10, 2):
        tensors |= layer([0.9], [1.0], prefix=f"SSM_{model}_state_dict.ssm")
    layers, skipped = find_layers(Catalog(MemoryCheckpoint(tensors)), Reading())
    assert [found.site.name for found in layers] == [
        "SSM_2_state_dict.ssm",
        "SSM_10_state_dict.ssm",
    ]
    assert not skipped


def test_flax_paths():
    tensors = {
        name.replace("lru.", "params/encoder/layers_0/seq/"): values
        for name, values in layer([0.9], [1.0]).items()
    }
    layers, _ = find_layers(Catalog(MemoryCheckpoint(tensors)), Reading())
    assert [found.site.name for found in layers] == ["params.encoder.layers_0.seq"]


def test_written_angles_are_positive_and_the_normalization_follows():
    tensors = layer([0.9, 0.9, 0.9], [1.0, 1.0, 1.0])
    source = source_of(tensors)
    wanted = replace(FAMILY.read(source), log_poles=np.array([[-1e-9 + 1j, -0.5 - 1j, -3 - 3j]]))
    written = FAMILY.write(source, wanted)
    np.testing.assert_allclose(
        np.exp(written["lru.theta_log"]), [1.0, 2 * np.pi - 1, 2 * np.pi - 3], rtol=1e-14
    )
    np.testing.assert_allclose(np.exp(written["lru.nu_log"]), [1e-9, 0.5, 3.0], rtol=1e-13)
    # 1 - exp(-2e-9) = 2e-9 - 2e-18: the series, which plain subtraction has lost
    gamma = np.sqrt([2e-9 - 2e-18, 1 - np.exp(-1.0), 1 - np.exp(-6.0)])
    np.testing.assert_allclose(np.exp(written["lru.gamma_log"]), gamma, rtol=1e-13)
    found = read(tensors | written)
    np.testing.assert_allclose(found.log_poles, wanted.log_poles, rtol=1e-12)


def test_stored_numbers_come_back_where_angles_lie_in_one_turn():
    rng = np.random.default_rng(1)
    tensors = layer(rng.uniform(0.5, 0.999, 9), rng.uniform(0.01, 6.28, 9))
    source = source_of(tensors)
    for name, values in FAMILY.write(source, FAMILY.read(source)).items():
        np.testing.assert_allclose(values, tensors[name], rtol=1e-10, atol=1e-12)


def test_angle_zero_is_written_as_the_smallest_angle():
    source = source_of(layer([0.9, 0.9], [1.0, 1.0]))
    wanted = replace(FAMILY.read(source), log_poles=np.array([[-0.1 + 0j, -0.1 + 2j * np.pi]]))
    written = FAMILY.write(source, wanted)
    assert SMALLEST_ANGLE == 1e-6
    np.testing.assert_allclose(np.exp(written["lru.theta_log"]), [1e-6, 1e-6])


@pytest.mark.parametrize("decay", [0.0, -0.1])
def test_an_undamped_or_growing_pole_is_refused(decay):
    source = source_of(layer([0.9], [1.0]))
    wanted = replace(FAMILY.read(source), log_poles=np.array([[-decay + 1j]]))
    with pytest.raises(SchemeError, match="smallest damping above 0"):
        FAMILY.write(source, wanted)


def test_a_layer_without_normalization_and_one_of_another_shape():
    tensors = layer([0.9, 0.8], [1.0, 2.0])
    column = tensors | {"lru.gamma_log": tensors["lru.gamma_log"][:, None]}
    source = source_of(column)
    assert FAMILY.write(source, FAMILY.read(source))["lru.gamma_log"].shape == (2, 1)
    odd = source_of(tensors | {"lru.gamma_log": np.zeros(3)})
    with pytest.raises(LayoutError, match=r"lru\.gamma_log has shape \(3,\)"):
        FAMILY.write(odd, FAMILY.read(odd))
    del tensors["lru.gamma_log"]
    source = source_of(tensors)
    assert set(FAMILY.write(source, FAMILY.read(source))) == {"lru.nu_log", "lru.theta_log"}


@pytest.mark.parametrize("leaf", ["nu_log", "theta_log"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e4])
def test_parameters_that_are_not_finite_become_poles_that_are_not(leaf, bad):
    tensors = layer([0.9, 0.8], [1.0, 2.0])
    tensors[f"lru.{leaf}"][0] = bad
    assert read(tensors).non_finite == 1


@pytest.mark.parametrize(
    "leaves", [{"theta_log": np.zeros(3)}, {"nu_log": np.zeros((2, 1))}, {"nu_log": np.zeros(())}]
)
def test_tensors_that_do_not_fit(leaves):
    with pytest.raises(LayoutError, match="has shape"):
        read(layer([0.9, 0.8], [1.0, 2.0], **leaves))


@pytest.mark.parametrize(
    "reading",
    [Reading(discretization=Discretization.ZOH), Reading(dt_transform=DtTransform.EXP)],
)
def test_options_about_step_sizes_do_not_apply(reading):
    with pytest.raises(UsageError, match="does not apply"):
        read(layer([0.9], [1.0]), reading)


def test_a_half_spectrum_is_refused():
    source = source_of(layer([0.9], [1.0]))
    with pytest.raises(SchemeError, match="symmetry full"):
        FAMILY.write(source, replace(FAMILY.read(source), symmetry=Symmetry.HALF))


@pytest.mark.parametrize("port", ["Bp", "B_real"])
def test_the_kernel_is_the_same_under_the_names_of_ports(port):
    rng = np.random.default_rng(4)
    B = rng.normal(size=(6, 2)) + 1j * rng.normal(size=(6, 2))
    C = rng.normal(size=(3, 6)) + 1j * rng.normal(size=(3, 6))
    radius, theta = rng.uniform(0.5, 0.99, 6), rng.uniform(0.1, 6.0, 6)
    stored = {"Bp": B, "C": C}
    if port == "B_real":
        stored = {"B_real": B.real, "B_imag": B.imag, "C_real": C.real, "C_imag": C.imag}
    poles = {k: v for k, v in layer(radius, theta).items() if k[4:] not in ("B_re", "C_re")}
    source = source_of(poles | {f"lru.{name}": values for name, values in stored.items()})
    kernel = FAMILY.read_kernel(source, FAMILY.read(source))
    inputs = np.sqrt(1 - radius**2)[:, None] * B
    np.testing.assert_allclose(kernel.input_matrix, inputs, rtol=1e-12)
    np.testing.assert_array_equal(kernel.output_matrix, C)
