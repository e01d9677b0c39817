"""Layers that were never trained, however they are stored, and what moved beside them."""

import numpy as np
import pytest

from ssmspec import analyze
from ssmspec.outcome import Level
from tests.examples.small_models import mamba, s4d, stack, steps
from tests.rules.test_faults import findings, only


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_an_initialization_is_known_in_every_type(dtype):
    import torch

    fresh = stack(s4d, trained=0.0)
    kind = getattr(torch, dtype)
    cast = {k: torch.tensor(v).to(kind) for k, v in fresh.items()}
    for finding in findings(cast, "INI001"):
        assert finding.level is Level.WARNING
        assert "never trained, or was frozen" in finding.message
    assert len(findings(cast, "INI001")) == 2
    selective = {k: torch.tensor(v).to(kind) for k, v in stack(mamba, trained=0.0).items()}
    assert [f.level for f in findings(selective, "INI001")] == [Level.INFO, Level.INFO]
    moved = stack(s4d, trained=0.0)
    for name in moved:
        if "A_" in name:
            noise = np.random.default_rng(0).normal(size=moved[name].shape)
            moved[name] = (moved[name] * (1 + 1e-2 * noise)).astype("f4")
    assert findings(moved, "INI001") == []


@pytest.mark.parametrize("order", ["as stored", "reversed", "shuffled"])
def test_an_order_of_modes_or_a_clamp_is_no_training(order):
    r = np.random.default_rng(0)
    H, M = 16, 32
    imag = np.tile(np.pi * np.arange(M), (H, 1))
    imag[:, 0] = 1e-4  # state-spaces/s4 clamps what it stores
    place = {"as stored": np.arange(M), "reversed": np.arange(M)[::-1]}.get(order, r.permutation(M))
    state = {
        "layer.kernel.inv_dt": np.log(steps(r, (H, 1))),
        "layer.kernel.A_real": np.full((H, M), np.log(0.5)),
        "layer.kernel.A_imag": imag[:, place],
        "layer.kernel.B": np.tile([1.0, 0.0], (1, H, M, 1)),
        "layer.kernel.C": r.normal(size=(1, H, M, 2)),
        "layer.D": np.ones((1, H)),
    }
    assert len(findings({k: v.astype("f4") for k, v in state.items()}, "INI001")) == 1


def test_what_moved_beside_a_is_said():
    r = np.random.default_rng(0)
    state = stack(s4d, layers=1, trained=0.0, h=64)
    assert "frozen" in only(state, "INI001").message
    state["layers.0.kernel.log_dt"] += r.normal(size=64).astype("f4")
    assert "A never moved, while dt did" in only(state, "INI001").message
    state["layers.0.kernel.C"] *= np.exp(r.normal(size=state["layers.0.kernel.C"].shape))
    assert "A never moved, while dt and C did" in only(state, "INI001").message


def hippo(states):
    q = np.arange(states)
    root = np.sqrt(1 + 2.0 * q)
    matrix = -(np.tril(np.outer(root, root)) - np.diag(q))
    p = np.sqrt(q + 0.5)
    return -0.5 + 1j * np.linalg.eigvalsh((matrix + np.outer(p, p)) * -1j)


@pytest.mark.parametrize(("blocks", "states"), [(1, 16), (2, 32), (8, 64), (4, 24)])
def test_an_s5_that_stores_both_poles_of_each_pair_is_known(blocks, states):
    r = np.random.default_rng(blocks)
    state = {
        "seq.Lambda": np.tile(hippo(states // blocks), blocks).astype("c8"),
        "seq.B": r.normal(size=(states, 3, 2)).astype("f4"),
        "seq.C": (r.normal(size=(3, states)) + 1j * r.normal(size=(3, states))).astype("c8"),
        "seq.D": np.ones(3, "f4"),
        "seq.log_step": np.log(steps(r, states)).astype("f4"),
    }
    layer = analyze(state, seq_len=64).layers[0]
    assert layer.metrics["init_scheme"].value == "s5-hippo"
    assert layer.value("init_drift") == pytest.approx(0.0, abs=1e-3)
    state["seq.Lambda"] = state["seq.Lambda"] * (1 + 1e-2 * r.normal(size=states)).astype("f4")
    assert analyze(state, seq_len=64).layers[0].value("init_drift") > 1e-3


def test_nothing_far_off_is_called_an_initialization():
    state = stack(s4d, layers=1)
    state["layers.0.kernel.A_imag"] *= 10
    metrics = analyze(state).layers[0].metrics
    assert "none lies within 10 half-widths" in metrics["init_scheme"].reason
    assert metrics["init_drift"].value > 10
