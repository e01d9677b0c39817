"""Real checkpoints: every metric against a second program, and against published figures."""

import math

import numpy as np
import pytest
import torch

from ssmspec.metrics import METRICS, Context, measure_layer
from ssmspec.metrics.base import KERNEL
from ssmspec.outcome import Measured
from ssmspec.reading import Discretization
from ssmspec.spectrum import LayerSpectrum, Symmetry
from tests.examples import independent_metrics

LENGTH = 1024
LAYERS = 4
FILES = ("s4d_cifar10.pth", "s4d_untrained.pth", "s4d_smnist.pth")
CASES = [(name, index) for name in FILES for index in range(LAYERS)]

# Computed by a program that is not ours, three digits. The flatness of layer 0 of s4d_smnist.pth
# was given as .509; it is .50846, by scipy's wrapped Cauchy law and by numerical integration alike.
PUBLISHED = {
    "s4d_cifar10.pth": {
        "aliased_fraction": (0.1077, 0.0784, 0.0845, 0.0779),
        "entanglement": (0.983, 0.983, 0.972, 0.978),
        "spectral_flatness": (0.665, 0.643, 0.581, 0.595),
    },
    "s4d_untrained.pth": {
        "aliased_fraction": (0.0774, 0.1104, 0.1304, 0.1113),
        "entanglement": (1.0, 1.0, 1.0, 1.0),
        "spectral_flatness": (0.578, 0.702, 0.686, 0.634),
    },
    "s4d_smnist.pth": {
        "aliased_fraction": (0.0879, 0.1094, 0.0371, 0.1113),
        "entanglement": (0.976, 0.980, 0.978, 0.963),
        "spectral_flatness": (0.5085, 0.644, 0.532, 0.779),
    },
}


def initial_poles(modes):
    n, order = np.arange(modes), 2 * modes
    return {
        "s4d-lin": -0.5 + 1j * np.pi * n,
        "s4d-inv": -0.5 + 1j * order / np.pi * (order / (2 * n + 1) - 1),
    }


def stored_layers(path):
    """(A, dt) of every layer, by torch itself."""
    state = torch.load(path, map_location="cpu", weights_only=False)
    while "model" in state or "state_dict" in state:
        state = state.get("model", state.get("state_dict"))
    names = sorted(key.removesuffix("log_dt") for key in state if key.endswith(".log_dt"))
    for name in names:
        stored = {
            key: state[name + key].double().numpy() for key in ("log_dt", "log_A_real", "A_imag")
        }
        yield -np.exp(stored["log_A_real"]) + 1j * stored["A_imag"], np.exp(stored["log_dt"])


def layer_of(A, dt):
    return LayerSpectrum(
        "layer", "s4d", Discretization.ZOH, Symmetry.HALF, A * dt[:, None], dt[:, None]
    )


@pytest.fixture(scope="module")
def measured(shared):
    """(file, layer) -> (our outcomes, the second program's values)."""
    results = {}
    for name in FILES:
        layers = list(stored_layers(shared / name))
        assert len(layers) == LAYERS
        for index, (A, dt) in enumerate(layers):
            starts = initial_poles(A.shape[1])
            references = {
                key: layer_of(np.tile(start, (len(dt), 1)), dt) for key, start in starts.items()
            }
            ours = measure_layer(layer_of(A, dt), Context(LENGTH, references=references))
            theirs = independent_metrics.measure(A, dt, LENGTH, starts)
            results[name, index] = ours, theirs
    return results


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_metric_agrees_with_a_second_program(measured, case):
    ours, theirs = measured[case]
    of_kernels = {key for key, metric in METRICS.items() if KERNEL in metric.needs}
    assert list(ours) == list(METRICS)
    assert set(theirs) == set(METRICS) - of_kernels
    for identifier, expected in theirs.items():
        outcome = ours[identifier]
        assert isinstance(outcome, Measured), identifier
        if isinstance(expected, str):
            assert outcome.value == expected
        else:
            assert outcome.value == pytest.approx(expected, rel=1e-6, abs=1e-12), identifier


@pytest.mark.parametrize("case", CASES, ids=str)
def test_published_figures(measured, case):
    ours, _ = measured[case]
    name, index = case
    for identifier, values in PUBLISHED[name].items():
        digits = len(str(values[index]).partition(".")[2])
        assert ours[identifier].value == pytest.approx(
            values[index], abs=0.51 * 10.0 ** -max(digits, 3)
        ), identifier


@pytest.mark.parametrize("case", CASES, ids=str)
def test_training_is_told_from_no_training(measured, case):
    ours, _ = measured[case]
    assert ours["init_scheme"].value == "s4d-lin"
    if case[0] == "s4d_untrained.pth":
        assert ours["init_drift"].value < 1e-6
    else:
        assert 0.4 < ours["init_drift"].value < 0.6


def test_modes_in_the_stored_order_never_overtake(measured, shared):
    """What the second program's matching by stored order relies on."""
    for name in FILES:
        for A, _ in stored_layers(shared / name):
            assert (np.diff(np.abs(A.imag), axis=1) > 0).all()


def test_the_second_program_folds_and_merges_as_written():
    assert independent_metrics.fold(1.85 * math.pi) == pytest.approx(0.15 * math.pi)
    assert independent_metrics.union([(0, 1), (2, 3), (0.5, 1.5)]) == [(0, 1.5), (2, 3)]
    assert independent_metrics.longest_gap([(0.5, 1.0)]) == pytest.approx(math.pi - 1)
