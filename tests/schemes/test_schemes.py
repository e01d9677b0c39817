"""What holds for every scheme of the table: shapes, ranges, determinism, options, references."""

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kstest

from ssmspec.errors import UsageError
from ssmspec.reading import Discretization
from ssmspec.schemes import SCHEMES, Kind, SchemeOptions
from ssmspec.spectrum import Symmetry

ROOT = Path(__file__).resolve().parents[2]
DFOUT = ["dfout", "dfout-single", "dfout-batched", "dfout-token", "dfout-random"]
S4D = ["s4d-lin", "s4d-inv", "s4d-inv2", "s4d-quad", "s4d-rand", "s4d-legs", "s4d-real"]
IDS = [*DFOUT, *S4D, "lru-ring", "s5-hippo", "lin-scaled"]
CONTINUOUS = [*S4D, "s5-hippo", "lin-scaled"]


def test_table_holds_exactly_the_documented_schemes():
    assert sorted(SCHEMES) == sorted(IDS)
    for name, scheme in SCHEMES.items():
        assert scheme.id == name
        assert all((scheme.title, scheme.summary, scheme.formula, scheme.source))
        assert len(scheme.explanation) > 150


@pytest.mark.parametrize("name", IDS)
@settings(max_examples=25, deadline=None)
@given(channels=st.integers(1, 9), modes=st.integers(1, 17), seed=st.integers(0, 2**32))
def test_draw_has_the_shape_type_and_range_of_its_kind(name, channels, modes, seed):
    scheme = SCHEMES[name]
    draw = scheme.draw(channels, modes, seed)
    poles = draw.log_poles
    assert poles.shape == (channels, modes)
    assert poles.dtype == np.complex128
    assert np.isfinite(poles).all()
    assert (poles.real < 0).all()
    if name not in CONTINUOUS:
        assert scheme.kind is Kind.DISCRETE
        assert draw.dt is None
        assert draw.poles is None
        assert (np.abs(poles.imag) <= np.pi).all()
    else:
        assert scheme.kind is Kind.CONTINUOUS
        assert draw.dt.dtype == np.float64
        assert draw.dt.shape == ((channels, modes) if name == "s5-hippo" else (channels, 1))
        assert (draw.dt >= 1e-3).all()
        assert (draw.dt <= 1e-1).all()
        np.testing.assert_allclose(poles, draw.poles * draw.dt, rtol=1e-14)
    if scheme.symmetry is Symmetry.HALF:
        assert (poles.imag >= 0).all()
    if not scheme.oscillates:
        assert (poles.imag == 0).all()


@pytest.mark.parametrize("name", IDS)
def test_same_seed_same_numbers_other_seed_other_numbers(name):
    scheme = SCHEMES[name]
    first, again, other = (scheme.draw(6, 8, seed).log_poles for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    layers = [scheme.draw(6, 8, (3, layer)).log_poles for layer in (0, 1)]
    assert (layers[0] != layers[1]).any()


@pytest.mark.parametrize("name", IDS)
def test_random_says_whether_frequencies_depend_on_the_seed(name):
    scheme = SCHEMES[name]
    dt = np.full((6, 1), 0.01) if name in CONTINUOUS else None
    first, other = (scheme.draw(6, 8, seed, dt=dt).log_poles.imag for seed in (3, 4))
    assert (first != other).any() == scheme.random


def test_another_process_draws_the_same_numbers():
    code = (
        "import hashlib; from ssmspec.schemes import SCHEMES; "
        "print(hashlib.sha256(b''.join(s.draw(5, 8, 7).log_poles.tobytes() "
        "for s in SCHEMES.values())).hexdigest())"
    )
    child = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    here = b"".join(scheme.draw(5, 8, 7).log_poles.tobytes() for scheme in SCHEMES.values())
    assert child.stdout.strip() == hashlib.sha256(here).hexdigest()


@pytest.mark.parametrize(
    ("name", "imag"),
    [
        ("s4d-lin", [0.0, 3.141592653589793, 6.283185307179586, 9.42477796076938]),
        # (8/pi) (8/(2n+1) - 1), (8/pi) (8/(n+1) - 1), (2n+1)^2/pi, worked out by hand for N = 8
        ("s4d-inv", [17.82535362629, 4.24413181578, 1.52788745368, 0.36378272707]),
        ("s4d-inv2", [17.82535362629, 7.63943726841, 4.24413181578, 2.54647908947]),
        ("s4d-quad", [0.31830988618, 2.86478897565, 7.95774715459, 15.59718442301]),
        ("lin-scaled", [0.0, 9.42477796076938, 18.84955592153876, 28.27433388230814]),
    ],
)
def test_continuous_poles_are_the_published_formula(name, imag):
    poles = SCHEMES[name].draw(2, 4).poles
    np.testing.assert_allclose(poles, np.tile(-0.5 + 1j * np.array(imag), (2, 1)), rtol=1e-10)


def test_angles_of_the_dfout_variants():
    def angles(name):
        return SCHEMES[name].draw(2, 4).log_poles.imag * 8 / np.pi

    np.testing.assert_allclose(angles("dfout"), [[0, 2, 4, 6], [1, 3, 5, 7]], atol=1e-13)
    np.testing.assert_allclose(angles("dfout-single"), [[0, 2, 4, 6]] * 2, atol=1e-13)
    np.testing.assert_allclose(angles("dfout-batched"), [[0, 1, 2, 3], [4, 5, 6, 7]], atol=1e-13)
    np.testing.assert_allclose(angles("dfout-token"), [[0, 8, 16 / 3, 4]] * 2, atol=1e-13)


def test_real_poles_are_minus_one_to_minus_m():
    np.testing.assert_array_equal(SCHEMES["s4d-real"].draw(2, 3).poles, [[-1, -2, -3]] * 2)


def test_rand_frequencies_are_log_normal():
    imag = SCHEMES["s4d-rand"].draw(64, 64, 1).poles.imag
    assert kstest(np.log(imag).ravel(), "norm").pvalue > 1e-3


@pytest.mark.parametrize("name", ["s4d-lin", "s5-hippo"])
def test_step_sizes_are_log_uniform_in_their_range(name):
    options = SchemeOptions(dt_min=1e-4, dt_max=0.5)
    dt = SCHEMES[name].draw(512, 4, 5, options=options).dt
    share = np.log(dt.ravel() / 1e-4) / np.log(5e3)
    assert kstest(share, "uniform").pvalue > 1e-3


def test_damping_has_one_draw_in_each_log_stratum():
    options = SchemeOptions(xi_min=1e-4, xi_max=0.5)
    for name in DFOUT:
        xi = -2 * SCHEMES[name].draw(50, 3, 9, options=options).log_poles.real
        assert (xi == xi[:, :1]).all()
        stratum = np.floor(50 * np.log(xi[:, 0] / 1e-4) / np.log(5e3))
        np.testing.assert_array_equal(np.sort(stratum), np.arange(50))


def test_variants_of_dfout_share_their_damping():
    drawn = [SCHEMES[name].draw(16, 4, 2).log_poles.real for name in DFOUT]
    for other in drawn[1:]:
        np.testing.assert_array_equal(drawn[0], other)


def test_ring_is_uniform_by_area_and_in_phase():
    options = SchemeOptions(r_min=0.4, r_max=0.9, max_phase=5.0)
    poles = SCHEMES["lru-ring"].draw(1, 4096, 3, options=options).log_poles.ravel()
    area = (np.exp(2 * poles.real) - 0.4**2) / (0.9**2 - 0.4**2)
    assert kstest(area, "uniform").pvalue > 1e-3
    assert kstest((poles.imag % (2 * np.pi)) / 5.0, "uniform").pvalue > 1e-3
    assert (poles.imag < 0).any()
    assert abs(np.corrcoef(poles.real, poles.imag)[0, 1]) < 0.06


def test_ring_of_one_radius():
    options = SchemeOptions(r_min=0.5, r_max=0.5)
    poles = SCHEMES["lru-ring"].draw(1, 8, options=options).log_poles
    np.testing.assert_allclose(poles.real, np.log(0.5), rtol=1e-15)


def test_constant_and_zero_damping():
    constant = SCHEMES["dfout"].draw(4, 4, options=SchemeOptions(xi_min=0.02, xi_max=0.02))
    assert (constant.log_poles.real == -0.01).all()
    undamped = SCHEMES["dfout"].draw(1, 4, options=SchemeOptions(xi_min=0.0, xi_max=0.0))
    # N = 8 with both conjugates: the upper half of the eighth roots of unity.
    roots = np.array([1, np.exp(0.25j * np.pi), 1j, np.exp(0.75j * np.pi)])
    np.testing.assert_allclose(np.exp(undamped.log_poles[0]), roots, atol=1e-15)


def test_scale_multiplies_the_frequencies_of_lin():
    scaled = SCHEMES["lin-scaled"].draw(2, 5, options=SchemeOptions(scale=4.5)).poles
    linear = SCHEMES["s4d-lin"].draw(2, 5).poles
    np.testing.assert_allclose(scaled, linear.real + 4.5j * linear.imag)


@pytest.mark.parametrize("name", CONTINUOUS)
def test_given_step_sizes_are_used_and_leave_the_poles_alone(name):
    dt = np.array([[0.5], [0.002]])
    own, kept = SCHEMES[name].draw(2, 3, 8), SCHEMES[name].draw(2, 3, 8, dt=dt)
    assert kept.dt is dt
    np.testing.assert_array_equal(kept.poles, own.poles)
    np.testing.assert_allclose(kept.log_poles, own.poles * [[0.5], [0.002]], rtol=1e-14)


def test_bilinear_log_poles_warp_the_frequency():
    draw = SCHEMES["s4d-lin"].draw(3, 4, 1, discretization=Discretization.BILINEAR)
    z = draw.poles * draw.dt / 2
    np.testing.assert_allclose(np.exp(draw.log_poles), (1 + z) / (1 - z), rtol=1e-13)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("s4d-lin", {"xi_min": 0.1}, "s4d-lin does not read xi_min; it reads dt_min, dt_max"),
        ("dfout", {"dt_max": 0.1, "scale": 2}, "does not read dt_max, scale; it reads xi_min"),
        ("dfout", {"xi_min": 0.2}, "xi_min = 0.2 is above xi_max = 0.1"),
        ("dfout", {"xi_min": 0.0}, "set both xi_min and xi_max to 0"),
        ("dfout", {"xi_min": -1.0}, "xi_min must be above 0"),
        ("dfout", {"xi_min": float("nan")}, "xi_min must be a finite number"),
        ("s4d-lin", {"dt_max": float("inf")}, "dt_max must be a finite number"),
        ("s4d-lin", {"dt_min": 0.0}, "dt_min must be above 0"),
        ("s4d-lin", {"dt_max": 1e-4}, "dt_min = 0.001 is above dt_max = 0.0001"),
        ("lru-ring", {"r_min": 1.0}, "0 <= r_min < 1"),
        ("lru-ring", {"r_max": 1.5}, "r_max <= 1"),
        ("lru-ring", {"r_min": 0.9, "r_max": 0.5}, "r_min = 0.9 is above r_max = 0.5"),
        ("lru-ring", {"max_phase": 7.0}, "max_phase must lie in"),
        ("lru-ring", {"max_phase": 0.0}, "max_phase must lie in"),
        ("lin-scaled", {"scale": 0.0}, "scale must be above 0"),
        ("s5-hippo", {"blocks": 0}, "blocks must be at least 1"),
        ("s5-hippo", {"blocks": 3}, "3 blocks do not divide 8 stored modes"),
    ],
)
def test_senseless_options_are_refused(name, options, message):
    with pytest.raises(UsageError, match=message):
        SCHEMES[name].draw(4, 8, options=SchemeOptions(**options))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"channels": 0, "modes": 4}, "at least one channel"),
        ({"channels": 2, "modes": 4, "seed": -1}, "seed is a non-negative integer"),
        ({"channels": 2, "modes": 4, "seed": 0.5}, "seed is a non-negative integer"),
        ({"channels": 2, "modes": 4, "dt": np.ones((3, 1))}, "do not fit"),
        ({"channels": 2, "modes": 4, "dt": np.ones(2)}, "do not fit"),
        ({"channels": 2, "modes": 4, "dt": np.zeros((2, 1))}, "positive and finite"),
        ({"channels": 2, "modes": 4, "dt": np.full((2, 1), np.nan)}, "positive and finite"),
        (
            {
                "channels": 2,
                "modes": 4,
                "dt": np.ones((2, 1)),
                "options": SchemeOptions(dt_min=0.01),
            },
            "dt_min would do nothing",
        ),
    ],
)
def test_senseless_arguments_are_refused(arguments, message):
    with pytest.raises(UsageError, match=message):
        SCHEMES["s4d-lin"].draw(**arguments)


def test_a_range_for_step_sizes_that_are_given_is_refused():
    options = SchemeOptions(dt_min=0.01)
    with pytest.raises(UsageError, match="dt_min would do nothing"):
        SCHEMES["s4d-lin"].draw(2, 4, options=options, dt=np.ones((2, 1)))


@pytest.mark.parametrize("name", IDS)
def test_a_fresh_draw_is_one_of_its_own_references(name):
    scheme = SCHEMES[name]
    draw = scheme.draw(5, 12, 4)
    found = list(scheme.references(5, 12, draw.dt, -draw.log_poles.real))
    if scheme.random:
        assert found == []
    else:
        assert any(
            np.allclose(draw.log_poles, log_poles, rtol=1e-14, atol=0) for log_poles in found
        )


def test_references_take_what_the_scheme_leaves_free_from_the_layer():
    dt = np.array([[0.1], [0.01]])
    decay = np.array([[0.1, 0.2, 0.9], [0.5, 0.5, 0.6]])
    (linear,) = SCHEMES["s4d-lin"].references(2, 3, dt, decay)
    np.testing.assert_allclose(linear, dt * (-0.5 + 1j * np.pi * np.arange(3)))
    (warped,) = SCHEMES["s4d-lin"].references(2, 3, dt, decay, Discretization.BILINEAR)
    z = linear / 2
    np.testing.assert_allclose(np.exp(warped), (1 + z) / (1 - z))
    (grid,) = SCHEMES["dfout-single"].references(2, 3, dt, decay)
    np.testing.assert_allclose(-grid.real, [[0.2] * 3, [0.5] * 3])
    np.testing.assert_allclose(grid.imag, [[0, np.pi / 3, 2 * np.pi / 3]] * 2)
    assert list(SCHEMES["s4d-lin"].references(2, 3, None, decay)) == []
    assert list(SCHEMES["dfout"].references(2, 3, dt, None)) == []


def test_references_name_the_initialization_of_a_real_untrained_file(shared):
    import torch

    state = torch.load(shared / "s4d_untrained.pth", weights_only=True, map_location="cpu")
    state = state.get("model", state)
    prefixes = sorted(key[: -len("log_A_real")] for key in state if key.endswith("log_A_real"))
    assert len(prefixes) >= 4
    for prefix in prefixes:
        log_dt, log_re, imag = (
            state[prefix + leaf].double().numpy() for leaf in ("log_dt", "log_A_real", "A_imag")
        )
        dt = np.exp(log_dt)[:, None]
        log_poles = dt * (-np.exp(log_re) + 1j * imag)
        distance = {
            name: min(
                np.sqrt(np.mean(np.abs(reference - log_poles) ** 2))
                for reference in SCHEMES[name].references(*imag.shape, dt, -log_poles.real)
            )
            for name in ("s4d-lin", "s4d-inv", "s4d-legs", "dfout", "dfout-single", "s5-hippo")
        }
        assert distance.pop("s4d-lin") < 1e-6
        assert min(distance.values()) > 1e-2


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_layer_of_one_channel_has_a_damping_a_mode(seed):
    """One draw in each of M log-strata of [xi_min, xi_max], whose place tells nothing of it."""
    modes = 64
    poles = SCHEMES["dfout"].draw(1, modes, seed).log_poles[0]
    np.testing.assert_allclose(poles.imag, np.pi * np.arange(modes) / modes)
    log_xi = np.log(-2 * poles.real)
    strata = np.floor((np.sort(log_xi) - np.log(1e-3)) / np.log(100) * modes)
    np.testing.assert_array_equal(strata, np.arange(modes))
    assert np.corrcoef(log_xi, np.arange(modes))[0, 1] ** 2 < 0.01
    # and it is no drift: the damping is what the scheme leaves free
    [start] = SCHEMES["dfout"].references(1, modes, None, -poles.real[None], log_poles=poles[None])
    np.testing.assert_allclose(start[0], poles)
