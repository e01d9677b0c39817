import json
import math

import numpy as np
import pytest
from numpy.testing import assert_allclose

import ssmspec
from ssmspec.analysis.against import _reference
from ssmspec.errors import UsageError
from ssmspec.outcome import Measured, NotApplicable
from ssmspec.reading import Discretization
from ssmspec.results.against import Contrast, Movement
from ssmspec.results.report import LayerReport
from ssmspec.schemes import SCHEMES
from ssmspec.spectrum import LayerSpectrum, Structure, Symmetry
from tests.examples.comparison import s4d

SAMPLES = "sample_checkpoints"


def only(sequence):
    assert len(sequence) == 1
    return sequence[0]


def numbers(layer):
    return {k: c.difference for k, c in layer.metrics.items() if c.difference is not None}


def test_the_dfout_reference_is_the_grid_of_the_layers_own_shape():
    layer = only(ssmspec.against(s4d(channels=16, modes=8, dt=0.05), "dfout").layers)
    metrics = layer.metrics
    assert metrics["frequency_w1"].reference.value == pytest.approx(0.5 / (16 * 8))
    assert metrics["discrepancy"].reference.value == pytest.approx(1 / (16 * 8))
    assert metrics["aliased_fraction"].reference.value == 0.0
    assert (layer.reference.channels, layer.reference.modes) == (16, 8)
    for item in metrics.values():
        if item.difference is not None:
            assert item.difference == item.value.value - item.reference.value
    assert metrics["step_size_median"].difference == 0.0  # the layer's own step sizes are kept
    angles = np.pi * np.arange(8) * 0.05 * np.linspace(1.0, 2.0, 16)[:, None]
    shares = np.sort(angles.ravel()) / np.pi
    grid = (np.arange(shares.size) + 0.5) / shares.size
    expected = np.abs(shares - grid).mean()  # W1 to the uniform law, up to half a step of it
    assert metrics["frequency_w1"].value.value == pytest.approx(expected, abs=1 / shares.size)


def test_a_continuous_scheme_stands_at_the_layers_own_step_sizes():
    dt = np.array([0.05, 0.1])
    comparison = ssmspec.against(s4d(channels=2, modes=4), "s4d-inv")
    metrics = only(comparison.layers).metrics
    assert_allclose(metrics["time_constant_median"].reference.value, np.median(2 / dt))
    n = np.arange(4)
    omega = dt[:, None] * 8 / np.pi * (8 / (2 * n + 1) - 1)
    assert_allclose(metrics["nyquist_headroom"].reference.value, np.pi / omega.max())
    assert any("at each layer's own step sizes" in note for note in comparison.assumptions)
    assert not any("seed" in note for note in comparison.assumptions)  # nothing was drawn


def test_an_untrained_file_is_its_own_scheme():
    comparison = ssmspec.against(f"{SAMPLES}/s4d_lin.safetensors", "s4d-lin", seq_len=1024)
    for layer in comparison.layers:
        assert layer.start.scheme == "s4d-lin"
        assert layer.start.drift < 1e-6
        for key, difference in numbers(layer).items():
            assert abs(difference) <= 1e-5 * abs(layer.metrics[key].value.value) + 1e-6, key
            assert layer.metrics[key].movement is Movement.AS_FAR


def test_layers_draw_their_own_damping_and_the_seed_decides():
    two = s4d("net.0", channels=8) | s4d("net.1", channels=8)
    first, second = (ssmspec.against(two, "dfout", seed=seed).layers for seed in (0, 1))
    taus = [layer.metrics["time_constant_median"].reference.value for layer in (*first, *second)]
    assert len(set(taus)) == 4
    again = ssmspec.against(two, "dfout", seed=0).layers
    assert [layer.reference for layer in again] == [layer.reference for layer in first]


def test_real_poles_beside_an_oscillating_scheme_are_not_applicable():
    comparison = ssmspec.against(f"{SAMPLES}/mamba1.safetensors", "dfout")
    for layer in comparison.layers:
        assert isinstance(layer.reference, NotApplicable)
        assert "s4d-real can be set beside them" in layer.reference.reason
        assert layer.metrics == {}
    assert comparison.model == {}


def test_real_poles_beside_s4d_real():
    comparison = ssmspec.against(f"{SAMPLES}/mamba1.safetensors", "s4d-real")
    for layer in comparison.layers:
        assert layer.start.scheme == "s4d-real"
        found = numbers(layer)
        assert found["time_constant_median"] == pytest.approx(0.0, abs=1e-4)
        assert isinstance(layer.metrics["coverage"].value, NotApplicable)


def test_a_real_scheme_beside_complex_poles_compares_what_both_have():
    layer = only(ssmspec.against(s4d(channels=2, modes=4), "s4d-real").layers)
    assert isinstance(layer.metrics["coverage"].reference, NotApplicable)
    assert layer.metrics["coverage"].movement is None
    taus = 1 / (np.array([[0.05], [0.1]]) * np.arange(1, 5))
    item = layer.metrics["time_constant_median"]
    assert item.reference.value == pytest.approx(np.median(taus))


def test_a_family_without_step_sizes_has_them_drawn():
    comparison = ssmspec.against(f"{SAMPLES}/lru.safetensors", "s4d-lin")
    assert any("dt from 0.001 to 0.1" in note for note in comparison.assumptions)
    for layer in comparison.layers:
        assert layer.start is None
        assert {item.movement for item in layer.metrics.values()} == {None}
        assert isinstance(layer.metrics["step_size_median"].reference, NotApplicable)
    assert any("started is not known" in note for note in comparison.assumptions)


def test_training_that_lost_damping_is_further_from_where_it_began():
    trained = s4d(channels=4, log_A_real=np.full((4, 3), math.log(0.5 / 1.3)))
    layer = only(ssmspec.against(trained, "s4d-lin").layers)
    tau = layer.metrics["time_constant_median"]
    assert tau.value.value == pytest.approx(1.3 * tau.reference.value)
    assert tau.movement is Movement.FURTHER
    assert layer.metrics["aliased_fraction"].movement is Movement.AS_FAR
    # moved by 0.3/1.3 of the decay, whose half-width it nearly is
    assert layer.start.drift == pytest.approx(0.3 / 1.3, rel=1e-2)


def test_a_layer_far_from_every_known_start_has_none():
    rng = np.random.default_rng(3)
    wild = s4d(channels=4, modes=8, A_imag=rng.uniform(-60, 60, (4, 8)))
    layer = only(ssmspec.against(wild, "dfout").layers)
    assert layer.start is None


@pytest.mark.parametrize(
    ("value", "start", "expected"),
    [
        (0.9, 0.5, Movement.CLOSER),
        (1.1, 0.5, Movement.CLOSER),
        (0.4, 0.5, Movement.FURTHER),
        (1.6, 0.5, Movement.FURTHER),
        (1.5, 0.5, Movement.AS_FAR),
        (0.502, 0.5, Movement.AS_FAR),  # 0.4 % of the distance
        (0.51, 0.5, Movement.CLOSER),  # 2 %
        (1.0, 1.0, Movement.AS_FAR),
        (1.0 + 1e-9, 1.0, Movement.AS_FAR),
        (1.1, 1.0, Movement.FURTHER),
    ],
)
def test_movement_is_seen_from_the_reference(value, start, expected):
    contrast = Contrast(Measured(value, "1"), Measured(1.0, "1"), Measured(start, "1"))
    assert contrast.movement is expected


def test_movement_needs_three_numbers_in_one_unit():
    one, name = Measured(1.0, "1"), Measured("s4d-lin", "scheme")
    absent, hertz = NotApplicable("why"), Measured(1.0, "Hz")
    for value, reference, start in (
        (one, one, None),
        (absent, one, one),
        (one, absent, one),
        (one, one, absent),
        (name, name, name),
        (one, hertz, one),
        (one, one, hertz),
    ):
        assert Contrast(value, reference, start).movement is None
    shown = Contrast(absent, one, None).to_dict()
    assert shown["value"] is None
    assert shown["not_applicable"] == {"value": "why"}
    assert "start" not in shown


def spectrum(log_poles, **changes):
    fields = {
        "name": "x",
        "family": "s4d",
        "discretization": Discretization.ZOH,
        "symmetry": Symmetry.HALF,
        "log_poles": np.asarray(log_poles, dtype=np.complex128),
        "dt": np.full((len(log_poles), 1), 0.1),
    }
    return LayerSpectrum(**fields | changes)


def test_layers_that_no_reference_fits():
    law = SCHEMES["dfout"]
    broken = spectrum([[complex(np.nan, 0.0)]])
    assert _reference(broken, law, (0, 0)) == NotApplicable("poles are NaN or infinite")
    stopped = spectrum([[-0.1 + 1j]], dt=np.zeros((1, 1)))
    assert isinstance(_reference(stopped, SCHEMES["s4d-lin"], (0, 0)), NotApplicable)
    assert isinstance(_reference(stopped, law, (0, 0)), LayerSpectrum)
    huge = spectrum(np.full((1, 5000), -0.1 + 1j))
    assert "s4d-inv" in _reference(huge, SCHEMES["s4d-legs"], (0, 0)).reason


def test_the_eigenvalues_of_a_dplr_layer_count_as_pairs():
    pairs = np.array([[-0.1 + 1j, -0.1 - 1j, -0.2 + 2j, -0.2 - 2j]])
    layer = spectrum(pairs, symmetry=Symmetry.FULL, structure=Structure.DPLR)
    reference = _reference(layer, SCHEMES["dfout"], (0, 0))
    assert_allclose(np.abs(reference.omega_unwrapped), [[0.0, np.pi / 2, 0.0, np.pi / 2]])
    assert reference.structure is Structure.DIAGONAL


def test_what_is_refused():
    with pytest.raises(UsageError, match="did you mean 'dfout'"):
        ssmspec.against(s4d(), "dfuot")
    with pytest.raises(UsageError, match="seed"):
        ssmspec.against(s4d(), "dfout", seed=-1)


@pytest.mark.parametrize("scheme", [s for s in SCHEMES if s != "s5-hippo"])
def test_every_scheme_can_be_set_beside_a_layer(scheme):
    comparison = ssmspec.against(s4d(channels=4, modes=8), scheme, seq_len=64)
    layer = only(comparison.layers)
    assert isinstance(layer.reference, LayerReport)
    assert "time_constant_median" in numbers(layer)
    json.dumps(comparison.to_dict(), allow_nan=False)


def test_real_training_moves_entanglement_and_leaves_angles(shared):
    comparison = ssmspec.against(shared / "s4d_cifar10.pth", "dfout", seq_len=1024)
    golden = {
        "aliased_fraction": [0.1077, 0.0784, 0.0845, 0.0779],
        "entanglement": [0.983, 0.983, 0.972, 0.978],
        "spectral_flatness": [0.665, 0.643, 0.581, 0.595],
    }
    for key, values in golden.items():
        found = [layer.metrics[key].value.value for layer in comparison.layers]
        assert found == pytest.approx(values, abs=1e-3)
    for layer in comparison.layers:
        assert layer.metrics["frequency_w1"].reference.value == pytest.approx(0.5 / 4096)
        assert layer.metrics["spectral_flatness"].reference.value > 0.99
        assert layer.metrics["entanglement"].movement is Movement.CLOSER
        assert layer.metrics["frequency_w1"].movement is Movement.AS_FAR
        assert layer.start.scheme == "s4d-lin"
        assert layer.start.drift == pytest.approx(0.5, abs=0.1)
    assert comparison.movements("entanglement") == {Movement.CLOSER: 4}
