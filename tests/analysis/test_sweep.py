import json
import math

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import ssmspec
from ssmspec.analysis.sweep import FACTORS, SWEPT_METRICS, scaled
from ssmspec.errors import UsageError
from ssmspec.outcome import Measured, NotApplicable
from ssmspec.reading import Discretization
from ssmspec.results.sweep import Knob
from ssmspec.schemes import SCHEMES
from ssmspec.spectrum import LayerSpectrum, Symmetry
from tests.examples.comparison import mamba2, s4d

SAMPLES = "sample_checkpoints"


def only(sequence):
    assert len(sequence) == 1
    return sequence[0]


def values(points, metric):
    return [point.metrics[metric].value for point in points]


def spectrum(log_poles, **changes):
    fields = {
        "name": "x",
        "family": "s4d",
        "discretization": Discretization.ZOH,
        "symmetry": Symmetry.HALF,
        "log_poles": np.asarray(log_poles, dtype=np.complex128),
        "dt": np.ones((len(log_poles), 1)),
    }
    return LayerSpectrum(**fields | changes)


def dfout_model(channels=128, modes=32, seed=0):
    """A DFouT layer at dt = 1, written by hand into the standalone S4D layout."""
    poles = SCHEMES["dfout"].draw(channels, modes, seed).log_poles
    return s4d(
        channels=channels,
        modes=modes,
        log_dt=np.zeros(channels),
        log_A_real=np.log(-poles.real),
        A_imag=poles.imag,
    )


def test_factors_run_from_a_sixteenth_to_sixteen_in_powers_of_two():
    assert FACTORS == (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1, 2, 4, 8, 16)


@pytest.mark.parametrize("factor", [1 / 16, 0.5, 4.0])
def test_a_scaled_dt_is_what_a_file_with_that_dt_measures(factor):
    model = s4d(channels=4, modes=8)
    scaled_file = s4d(channels=4, modes=8, dt=0.05 * factor)
    point = only(only(ssmspec.sweep(model, "dt", factors=(factor,), seq_len=77).layers).points)
    measured = only(ssmspec.analyze(scaled_file, seq_len=77).layers).metrics
    for key in SWEPT_METRICS:
        expected = measured[key]
        if isinstance(expected, NotApplicable):
            assert point.metrics[key] == expected
        else:
            assert point.metrics[key].value == pytest.approx(expected.value, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("factor", [1 / 16, 0.5, 2.0, 16.0])
def test_under_the_bilinear_rule_poles_are_formed_anew(factor):
    A = np.array([[-0.5 + 3j, -0.25 + 40j]])
    dt = 0.1
    log_poles = np.log((1 + dt * A / 2) / (1 - dt * A / 2))
    layer = spectrum(log_poles, discretization=Discretization.BILINEAR, dt=np.full((1, 1), dt))
    turned = scaled(layer, Knob.DT, factor)
    step = dt * factor * A / 2
    np.testing.assert_allclose(np.exp(turned.log_poles), (1 + step) / (1 - step), rtol=1e-12)
    assert turned.dt[0, 0] == pytest.approx(dt * factor)
    assert (np.abs(turned.omega_unwrapped) <= np.pi).all()


def test_a_pole_that_the_bilinear_rule_sends_to_zero_is_not_applicable():
    A_dt = np.array([[-1.0 + 0j, -0.5 + 1j]])  # dt A = -2 at twice the step
    layer = spectrum(
        np.log((1 + A_dt / 2) / (1 - A_dt / 2)), discretization=Discretization.BILINEAR
    )
    assert scaled(layer, Knob.DT, 2.0).non_finite == 1


def test_scaled_decays_leave_every_angle_as_it_is():
    rng = np.random.default_rng(0)
    layer = spectrum(-rng.uniform(1e-4, 1, (5, 7)) + 1j * rng.uniform(-9, 9, (5, 7)))
    for factor in FACTORS:
        turned = scaled(layer, Knob.XI, factor)
        assert_array_equal(turned.omega_unwrapped, layer.omega_unwrapped)
        assert_array_equal(turned.decay, layer.decay * factor)
        assert_array_equal(turned.dt, layer.dt)


def test_time_constants_go_with_one_over_the_factor():
    for knob in Knob:
        swept = ssmspec.sweep(s4d(channels=4), knob, seq_len=100)
        for points in (swept.model, only(swept.layers).points):
            for metric in ("time_constant_median", "time_constant_p95", "memory_ratio"):
                at_one = points[4].metrics[metric].value
                assert values(points, metric) == pytest.approx([at_one / f for f in FACTORS])


def test_a_dfout_grid_under_xi_stays_flat_and_keeps_its_angles():
    for seed in range(5):
        points = ssmspec.sweep(dfout_model(seed=seed), Knob.XI).model
        assert min(values(points, "spectral_flatness")) > 0.99
        assert values(points, "frequency_w1") == pytest.approx([0.5 / 4096] * 9, rel=1e-9)
        assert len(set(values(points, "frequency_w1"))) == 1
        assert set(values(points, "aliased_fraction")) == {0.0}


def test_dt_moves_everything_of_the_same_grid():
    points = ssmspec.sweep(dfout_model(), Knob.DT).model
    grid = np.pi * np.arange(4096) / 4096
    aliased = [(f * grid > np.pi * (1 + 1e-6)).mean() for f in FACTORS]
    assert values(points, "aliased_fraction") == pytest.approx(aliased)
    # below 1 the grid is squeezed into the lowest part of the band: W1 = 1/2 - f/2 of it, nearly
    for i, factor in enumerate(FACTORS[:4]):
        assert values(points, "frequency_w1")[i] == pytest.approx((1 - factor) / 2, abs=2e-4)
        # and so is what it reaches, but for the width of the last resonances
        assert values(points, "coverage")[i] == pytest.approx(factor, abs=0.02)
    assert values(points, "spectral_flatness")[0] < 0.01
    assert values(points, "spectral_flatness")[4] > 0.99


def test_the_sample_grid_under_xi():
    points = ssmspec.sweep(f"{SAMPLES}/s4d_dfout.safetensors", "xi", seq_len=1024).model
    # 16 channels hold few draws of damping, so the power tilts a little with them
    assert min(values(points, "spectral_flatness")) > 0.985
    assert values(points, "frequency_w1") == pytest.approx([0.5 / 512] * 9, rel=1e-4)


def test_a_family_without_step_sizes_has_no_dt_and_has_xi():
    swept = ssmspec.sweep(f"{SAMPLES}/lru.safetensors", "dt")
    assert [layer.points for layer in swept.layers] == [
        NotApplicable("the family has no step size")
    ] * 2
    assert swept.model == ()
    by_decay = ssmspec.sweep(f"{SAMPLES}/lru.safetensors", "xi")
    assert len(by_decay.model) == 9


def test_real_poles_have_memory_and_no_band():
    points = ssmspec.sweep(mamba2(), "dt", seq_len=128).model
    assert all(point.power == () for point in points)
    for point in points:
        assert isinstance(point.metrics["coverage"], NotApplicable)
        assert isinstance(point.metrics["time_constant_median"], Measured)


def test_the_model_is_its_layers_together():
    model = s4d("net.0", channels=2, dt=0.05) | s4d("net.1", channels=6, dt=0.3)
    swept = ssmspec.sweep(model, "dt", factors=(1.0, 4.0))
    for i in range(2):
        small, large = (layer.points[i] for layer in swept.layers)
        combined = swept.model[i]
        shares = [small.metrics["coverage"].value, large.metrics["coverage"].value]
        assert combined.metrics["coverage"].value == pytest.approx(
            (2 * shares[0] + 6 * shares[1]) / 8
        )
        worst = max(p.metrics["aliased_fraction"].value for p in (small, large))
        assert combined.metrics["aliased_fraction"].value == worst
        assert sum(combined.power) == pytest.approx(1.0)
        assert combined.power[0] == pytest.approx((2 * small.power[0] + 6 * large.power[0]) / 8)


def test_factors_are_sorted_and_checked():
    swept = ssmspec.sweep(s4d(), "dt", factors=(2.0, 0.25))
    assert swept.factors == (0.25, 2.0)
    for factors in ((), (0.0,), (-1.0,), (math.inf,), (math.nan,)):
        with pytest.raises(UsageError, match="factors"):
            ssmspec.sweep(s4d(), "dt", factors=factors)
    with pytest.raises(UsageError, match="dt or xi"):
        ssmspec.sweep(s4d(), "tau")


def test_the_json_of_a_sweep_is_complete_and_finite():
    swept = ssmspec.sweep(s4d("a") | s4d("b"), "xi", seq_len=16)
    content = json.loads(json.dumps(swept.to_dict(), allow_nan=False))
    assert content["sweep"] == {"knob": "xi", "factors": list(FACTORS)}
    assert [layer["name"] for layer in content["layers"]] == ["a", "b"]
    assert len(content["layers"][0]["points"]) == len(content["model"]["points"]) == 9
    assert set(content["model"]["points"][0]["metrics"]) == set(SWEPT_METRICS)


def test_real_files_lose_the_upper_band_when_dt_is_lowered(shared):
    points = ssmspec.sweep(shared / "s4d_cifar10.pth", "dt", seq_len=1024).model
    assert values(points, "aliased_fraction")[4] == pytest.approx(0.1077, abs=1e-4)
    assert values(points, "coverage")[0] < 0.25
    assert values(points, "aliased_fraction")[0] == 0.0
    assert values(points, "entanglement") == pytest.approx([0.983] * 9, abs=1e-3)
