"""Mamba-1: its own recurrence, real trained layers, and what it can hold."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from ssmspec.checkpoints.memory import MemoryCheckpoint
from ssmspec.errors import LayoutError, SchemeError, UsageError
from ssmspec.families.base import LayerSource
from ssmspec.families.catalog import Catalog
from ssmspec.families.find import find_layers
from ssmspec.families.parts.diagonal import softplus, softplus_inverse
from ssmspec.reading import Discretization, DtTransform, Reading
from ssmspec.spectrum import Symmetry
from tests.examples.families_selective import EXAMPLES, mamba_mixer


def opened(tensors, reading=None):
    checkpoint = MemoryCheckpoint(tensors)
    layers, skipped = find_layers(Catalog(checkpoint), reading or Reading())
    return checkpoint, layers, skipped


def source_of(tensors, number=0, reading=None):
    reading = reading or Reading()
    checkpoint, layers, _ = opened(tensors, reading)
    layer = layers[number]
    return layer.family, LayerSource(checkpoint, layer.site, reading)


def one_mixer(**changes):
    mixer = mamba_mixer(np.random.default_rng(5), 6, 4) | changes
    return {f"layers.0.mixer.{leaf}": values for leaf, values in mixer.items()}


def with_poles(spectrum, decay, omega=0.0):
    poles = np.asarray(-np.broadcast_to(decay, spectrum.shape) + 1j * omega, dtype=np.complex128)
    return replace(spectrum, log_poles=poles)


def test_a_silent_input_makes_the_state_decay_by_the_poles():
    """The scan of the Mamba paper, h[t+1] = exp(dt A) h[t] + dt B x, run in torch with x = 0."""
    channels, states, rank = 6, 4, 2
    torch.manual_seed(0)
    projection = torch.nn.Linear(rank, channels).double()
    A_log = torch.randn(channels, states, dtype=torch.float64)
    state = torch.ones(channels, states, dtype=torch.float64)
    dt = torch.nn.functional.softplus(projection(torch.zeros(rank, dtype=torch.float64)))
    for _ in range(7):
        state = torch.exp(dt[:, None] * -torch.exp(A_log)) * state
    family, source = source_of(
        {
            "mixer.A_log": A_log,
            "mixer.dt_proj.weight": projection.weight.detach(),
            "mixer.dt_proj.bias": projection.bias.detach(),
        }
    )
    spectrum = family.read(source)
    np.testing.assert_allclose(
        np.exp(7 * spectrum.log_poles.real), state.detach().numpy(), rtol=1e-12
    )
    assert (spectrum.log_poles.imag == 0).all()
    assert spectrum.symmetry is Symmetry.REAL
    assert spectrum.selective


def test_it_says_that_its_step_sizes_are_nominal():
    family, source = source_of(one_mixer())
    (sentence,) = family.read(source).assumptions
    assert "nominal" in sentence
    assert "depend on the input" in sentence


def test_the_flax_floor_is_a_stated_assumption():
    family, source = source_of(EXAMPLES["mamba/flax"]().tensors)
    assert any("0.0001" in sentence for sentence in family.read(source).assumptions)


def test_a_trained_bidirectional_flax_model(shared):
    stored = np.load(shared / "mamba1_flax_typeseg.npz")
    tensors = {name: stored[name] for name in stored.files}
    checkpoint, layers, skipped = opened(tensors)
    assert not skipped
    assert [layer.site.name for layer in layers] == [
        f"CheckpointMambaBlock1D_{number}" for number in range(6)
    ]
    for number, layer in enumerate(layers):
        spectrum = layer.read(checkpoint, Reading())
        assert spectrum.shape == (256, 16)
        bias = torch.tensor(tensors[f"CheckpointMambaBlock1D_{number}__Dense_2__bias"]).double()
        dt = (torch.nn.functional.softplus(bias) + 1e-4)[:, None]
        A_log = torch.tensor(tensors[f"CheckpointMambaBlock1D_{number}__A_log"]).double()
        np.testing.assert_allclose(spectrum.dt, dt, rtol=1e-12)
        np.testing.assert_allclose(spectrum.decay, dt * torch.exp(A_log), rtol=1e-12)


def test_other_dense_layers_are_not_taken_for_a_step_size():
    tensors = EXAMPLES["mamba/flax"]().tensors
    kernel = "CheckpointMambaBlock1D_0__Dense_1__kernel"
    tensors[kernel] = np.concatenate([tensors[kernel]] * 2, axis=1)
    _, layers, skipped = opened(tensors)
    assert [layer.site.name for layer in layers] == ["CheckpointMambaBlock1D_1"]
    assert [item.name for item in skipped] == ["CheckpointMambaBlock1D_0"]


def test_parameters_in_bfloat16_are_read():
    A_log = torch.linspace(-2, 2, 24).reshape(6, 4).bfloat16()
    family, source = source_of(one_mixer(A_log=A_log))
    spectrum = family.read(source)
    np.testing.assert_allclose(
        spectrum.decay / spectrum.dt, A_log.double().exp().numpy(), rtol=1e-14
    )


def test_a_projection_without_bias_has_no_nominal_step_size():
    tensors = one_mixer()
    del tensors["layers.0.mixer.dt_proj.bias"]
    _, layers, (skipped,) = opened(tensors)
    assert not layers
    assert skipped.name == "layers.0.mixer"
    assert "no bias" in skipped.reason


@pytest.mark.parametrize("A_log", [np.zeros((2, 6, 4)), np.zeros(6)])
def test_another_number_of_dimensions_is_not_mamba_1(A_log):
    _, layers, skipped = opened(one_mixer(A_log=A_log))
    assert not layers
    assert [item.name for item in skipped] == ["layers.0.mixer"]
    assert "not in a layout that is known" in skipped[0].reason


def test_its_own_initialization_is_the_scheme_it_can_hold():
    family, source = source_of(one_mixer())
    assert family.known_inits == ("s4d-real",)
    spectrum = family.read(source)
    written = family.write(source, with_poles(spectrum, spectrum.dt * np.arange(1, 5)))
    (values,) = written.values()
    np.testing.assert_allclose(values, np.log([[1, 2, 3, 4]] * 6), atol=1e-14)


def test_the_bias_is_written_only_where_the_step_size_changes():
    family, source = source_of(one_mixer())
    spectrum = family.read(source)
    assert set(family.write(source, spectrum)) == {"layers.0.mixer.A_log"}
    written = family.write(source, replace(spectrum, dt=np.ones((6, 1))))
    np.testing.assert_allclose(written["layers.0.mixer.dt_proj.bias"], math.log(math.e - 1))


def test_an_oscillating_scheme_is_refused_with_the_one_that_fits():
    family, source = source_of(one_mixer())
    spectrum = with_poles(family.read(source), 0.1, omega=0.5)
    for refused in (spectrum, replace(spectrum, symmetry=Symmetry.HALF)):
        with pytest.raises(SchemeError, match=r"real poles.*s4d-real"):
            family.write(source, refused)


@pytest.mark.parametrize("decay", [0.0, -0.1])
def test_a_pole_without_damping_is_refused(decay):
    family, source = source_of(one_mixer())
    with pytest.raises(SchemeError, match="damping"):
        family.write(source, with_poles(family.read(source), decay))


@pytest.mark.parametrize("dt", [None, np.ones((1, 4)), np.ones((6, 4)), np.zeros((6, 1))])
def test_step_sizes_it_does_not_store_are_refused(dt):
    family, source = source_of(one_mixer())
    with pytest.raises(SchemeError, match="step size"):
        family.write(source, replace(family.read(source), dt=dt))


def test_directions_that_share_a_step_size_cannot_change_it():
    tensors = EXAMPLES["mamba/vim v1"]().tensors
    for number in (0, 1):
        family, source = source_of(tensors, number)
        spectrum = family.read(source)
        assert len(family.write(source, spectrum)) == 1
        with pytest.raises(SchemeError, match="share one step size"):
            family.write(source, replace(spectrum, dt=2 * spectrum.dt))


@pytest.mark.parametrize("smallest", [5e-5, 1e-4])
def test_a_step_size_at_or_below_the_flax_floor_is_refused(smallest):
    """dt = softplus(bias) + 1e-4 reaches the floor at a bias of -infinity only."""
    family, source = source_of(EXAMPLES["mamba/flax"]().tensors)
    spectrum = family.read(source)
    with pytest.raises(SchemeError, match=r"0\.0001"):
        family.write(source, replace(spectrum, dt=np.array([[0.1]] * 4 + [[smallest]])))
    just_above = replace(spectrum, dt=np.full((5, 1), np.nextafter(1e-4, 1)))
    for values in family.write(source, just_above).values():
        assert np.isfinite(values).all()


@pytest.mark.parametrize(
    "reading",
    [Reading(discretization=Discretization.BILINEAR), Reading(dt_transform=DtTransform.EXP)],
)
def test_options_that_do_not_apply_are_refused(reading):
    family, source = source_of(one_mixer(), reading=reading)
    with pytest.raises(UsageError):
        family.read(source)


def test_a_bias_of_another_size_is_a_layout_error():
    family, source = source_of(one_mixer(**{"dt_proj.bias": np.zeros(5)}))
    with pytest.raises(LayoutError, match=r"\(5,\), expected \(6,\)"):
        family.read(source)


def test_extreme_parameters_are_read_without_a_warning():
    A_log = np.array([[-800.0, 0.0, 800.0, 2.0]] * 6)
    bias = np.array([-800.0, -40.0, 0.0, 40.0, 800.0, 1e300])
    family, source = source_of(one_mixer(A_log=A_log, **{"dt_proj.bias": bias}))
    spectrum = family.read(source)
    np.testing.assert_allclose(
        spectrum.dt[:, 0], [0, math.exp(-40), math.log(2), 40, 800, 1e300], rtol=1e-14
    )
    np.testing.assert_allclose(spectrum.decay[:, 1], spectrum.dt[:, 0])


def test_softplus_and_its_inverse_keep_their_digits():
    values = np.array([-700.0, -37.0, -1.0, 0.0, 1.0, 37.0, 700.0])
    expected = [math.exp(-700), math.exp(-37), 0.31326168751822286, math.log(2),
                1.3132616875182228, 37 + math.exp(-37), 700.0]  # fmt: skip
    np.testing.assert_allclose(softplus(values), expected, rtol=1e-15)
    np.testing.assert_allclose(softplus_inverse(softplus(values)), values, rtol=1e-14, atol=1e-15)
    dt = np.array([1e-12, 1e-3, 0.1, 50.0])
    back = torch.nn.functional.softplus(torch.tensor(softplus_inverse(dt)), threshold=1e9)
    np.testing.assert_allclose(back, dt, rtol=1e-12)
    assert not np.isfinite(softplus_inverse(np.array([0.0, -1.0, np.nan]))).any()
