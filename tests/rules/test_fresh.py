"""Rules on hand-made spectra and hand-made metric values; expected numbers are worked out here."""

import math
from dataclasses import replace

import numpy as np
import pytest

from ssmspec import analyze, check
from ssmspec.metrics import measure_layer
from ssmspec.metrics.base import Context
from ssmspec.outcome import Level
from ssmspec.reading import Discretization
from ssmspec.rules import judge
from ssmspec.rules.base import Evidence
from ssmspec.schemes import SCHEMES
from ssmspec.spectrum import LayerSpectrum, Symmetry
from tests.examples.small_models import deltanet, lru, mamba, mamba2, rwkv7, s4d, s5, stack
from tests.rules.test_rules import evidence


def log_uniform(rng, *shape):
    return np.exp(rng.uniform(np.log(1e-3), np.log(1e-1), shape))


def fresh_s4d(rng):
    dt = log_uniform(rng, 64, 1)
    return {"dt": dt, "log_poles": dt * (-0.5 + 1j * np.pi * np.arange(32))}


def fresh_s5(rng):
    # Eight blocks of HiPPO's normal part, N = 16 each; one of each conjugate pair.
    root = np.sqrt(np.arange(16) + 0.5)
    skew = np.triu(np.outer(root, root), 1) - np.tril(np.outer(root, root), -1)
    upper = np.sort(np.linalg.eigvals(skew).imag)[8:]
    dt = log_uniform(rng, 1, 64)
    return {"dt": dt, "log_poles": dt * (-0.5 + 1j * np.tile(upper, 8))}


def fresh_lru(rng):
    radius = np.sqrt(rng.uniform(0.9**2, 0.999**2, (1, 256)))
    phase = rng.uniform(0.0, 2 * np.pi, (1, 256))
    return {
        "dt": None,
        "log_poles": np.log(radius) + 1j * phase,
        "discretization": Discretization.NATIVE,
        "symmetry": Symmetry.FULL,
    }


def fresh_mamba(rng):
    dt = log_uniform(rng, 128, 1)
    return {"dt": dt, "log_poles": -dt * np.arange(1.0, 17.0), "selective": True}


def fresh_mamba2(rng):
    dt = log_uniform(rng, 24, 1)
    return {"dt": dt, "log_poles": -dt * rng.uniform(1.0, 16.0, (24, 1)), "selective": True}


def fresh_layer(make, seed):
    parts = make(np.random.default_rng(seed))
    is_selective = parts.get("selective", False)
    return LayerSpectrum(
        **{
            "name": "layers.0",
            "family": make.__name__.removeprefix("fresh_"),
            "discretization": Discretization.ZOH,
            "symmetry": Symmetry.REAL if is_selective else Symmetry.HALF,
            **parts,
            "log_poles": parts["log_poles"].astype(np.complex128),
        }
    )


def judged(spectrum, length):
    context = Context(sequence_length=length)
    facts = evidence(metrics={}, selective=spectrum.selective).layer
    layer = replace(
        facts,
        channels=spectrum.channels,
        modes=spectrum.modes,
        metrics=measure_layer(spectrum, context),
    )
    return judge(Evidence(spectrum, layer, context))


@pytest.mark.parametrize(
    ("make", "lengths"),
    [
        (fresh_s4d, (None, 1024)),
        (fresh_s5, (None, 1024)),
        (fresh_lru, (None, 1024)),
        (fresh_mamba, (None, 2048, 131_072)),
        (fresh_mamba2, (None, 2048, 131_072)),
    ],
)
def test_fresh_models_get_no_warning(make, lengths):
    for seed in range(40):
        spectrum = fresh_layer(make, seed)
        for length in lengths:
            warned = [f.message for f in judged(spectrum, length) if f.level is not Level.INFO]
            assert warned == []


@pytest.mark.parametrize(
    ("make", "length", "expected"),
    [
        # dt up to 0.1 times 31 pi passes pi in about one mode in ten.
        (fresh_s4d, 1024, {"ALI001"}),
        # dt >= 0.001 and A <= -1 remember ln(100) / 0.001 = 4,605 samples at most.
        (fresh_mamba, 131_072, {"MEM002"}),
        (fresh_mamba2, 131_072, {"MEM002"}),
    ],
)
def test_fresh_models_get_the_notes_they_must(make, length, expected):
    for seed in range(5):
        assert expected <= {f.code for f in judged(fresh_layer(make, seed), length)}


def test_planted_defects_through_the_metrics():
    layer = fresh_layer(fresh_s4d, 0)
    step = np.full_like(layer.dt, 0.6)
    aliased = replace(layer, log_poles=step / layer.dt * layer.log_poles, dt=step)
    [finding] = [f for f in judged(aliased, None) if f.code == "ALI001"]
    assert finding.value == 30 / 32
    layer = fresh_layer(fresh_mamba, 0)
    zeroed = replace(
        layer, log_poles=math.log(2) / layer.dt * layer.log_poles, dt=0 * layer.dt + math.log(2)
    )
    assert {"INI002", "MEM001"} <= {f.code for f in judged(zeroed, None)}


@pytest.mark.parametrize(
    ("make", "fresh"),
    [
        (s4d, True), (mamba, True), (s5, True), (s4d, False), (mamba, False), (lru, False),
        (mamba2, False), (deltanet, False), (rwkv7, False),
    ],
)  # fmt: skip
def test_healthy_files_raise_no_warning_but_that_they_are_fresh(make, fresh):
    """40 seeds, through files: tensors are scanned, parameters are looked at as stored."""
    for seed in range(40):
        options = {"trained": 0.0} if fresh and make in (s4d, mamba) else {}
        options |= {"h": 8} if make is s4d else {"n": 8} if make is s5 else {}
        state = stack(make, layers=1, seed=seed, **options)
        report = analyze(state, seq_len={lru: 64, rwkv7: 256}.get(make, 1024))
        warned = {f.code for f in report.findings if f.level is not Level.INFO}
        assert warned <= {"INI001"}, [f.message for f in report.findings if f.code in warned]
        assert ("INI001" in warned) == (fresh and make is not mamba)


def test_the_start_of_a_training_run():
    """DFouT passes, S4D-Lin at its usual step sizes does not, and neither is told it is fresh."""
    dfout, lin = SCHEMES["dfout"].draw(64, 32), SCHEMES["s4d-lin"].draw(64, 32)
    fresh = {
        "log_dt": np.zeros(64),
        "log_A_real": np.log(-dfout.log_poles.real),
        "A_imag": dfout.log_poles.imag,
        "C": np.random.default_rng(0).normal(size=(64, 32, 2)),
    }
    state = {f"layers.0.kernel.{name}": values for name, values in fresh.items()}
    run = check(state, preset="training-start", fail_on="warning", seq_len=1024)
    assert run.exit_code == 0
    assert "INI001" not in {f.finding.code for f in run.files[0].findings}
    for name, values in (
        ("log_dt", np.log(lin.dt[:, 0])),
        ("log_A_real", np.log(-lin.poles.real)),
        ("A_imag", lin.poles.imag),
    ):
        state[f"layers.0.kernel.{name}"] = values
    run = check(state, preset="training-start", fail_on="warning", seq_len=1024)
    assert run.exit_code == 1
    assert "ALI001" in {f.finding.code for f in run.files[0].findings}
