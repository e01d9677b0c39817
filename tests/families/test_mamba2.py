"""Mamba-2: heads, limits of the step size, and what only resembles it."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from ssmspec.checkpoints.memory import MemoryCheckpoint
from ssmspec.errors import SchemeError
from ssmspec.families.base import LayerSource
from ssmspec.families.catalog import Catalog
from ssmspec.families.find import find_layers
from ssmspec.families.mamba2 import limits
from ssmspec.reading import Reading
from tests.examples.families_selective import mamba2_mixer


def one_mixer(path="backbone.layers.0.mixer", without=(), **changes):
    mixer = mamba2_mixer(np.random.default_rng(6)) | changes
    return {f"{path}.{leaf}": values for leaf, values in mixer.items() if leaf not in without}


def opened(tensors, config=None):
    checkpoint = MemoryCheckpoint(tensors)
    checkpoint.config = config or {}
    layers, skipped = find_layers(Catalog(checkpoint), Reading())
    return checkpoint, layers, skipped


def source_of(tensors, config=None):
    checkpoint, (layer,), skipped = opened(tensors, config)
    assert not skipped
    return layer.family, LayerSource(checkpoint, layer.site, Reading())


def test_a_silent_input_makes_every_state_of_a_head_decay_by_its_pole():
    """The recurrence of `ssd_minimal`, state (h, p, n) times exp(dt A) a step, with x = 0."""
    tensors = one_mixer()
    bias, A_log = (torch.tensor(tensors[f"backbone.layers.0.mixer.{leaf}"])
                   for leaf in ("dt_bias", "A_log"))  # fmt: skip
    state = torch.ones(4, 3, 5, dtype=torch.float64)
    for _ in range(9):
        state = state * torch.exp(torch.nn.functional.softplus(bias) * -A_log.exp())[:, None, None]
    family, source = source_of(tensors)
    spectrum = family.read(source)
    assert spectrum.shape == (4, 1)
    expected = np.broadcast_to(np.exp(9 * spectrum.log_poles.real)[..., None], state.shape)
    np.testing.assert_allclose(state, expected, rtol=1e-12)


def test_it_says_what_is_nominal_and_what_is_counted_once():
    family, source = source_of(one_mixer())
    text = " ".join(family.read(source).assumptions)
    assert "nominal" in text
    assert "counted once" in text
    assert "config.json" not in text


@pytest.mark.parametrize(
    "config",
    [
        {"time_step_limit": [0.01, 0.05]},
        {"ssm_cfg": {"layer": "Mamba2", "dt_limit": [0.01, 0.05]}},
        {"text_config": {"mamba_dt_limit": [0.01, 0.05]}},
    ],
)
def test_limits_of_the_step_size_clamp_it(config):
    dt = np.array([0.001, 0.02, 0.05, 0.9])
    tensors = one_mixer(dt_bias=np.log(np.expm1(dt)), A_log=np.zeros(4))
    family, source = source_of(tensors, config)
    spectrum = family.read(source)
    np.testing.assert_allclose(spectrum.decay[:, 0], [0.01, 0.02, 0.05, 0.05], rtol=1e-12)
    assert any("[0.01, 0.05]" in sentence for sentence in spectrum.assumptions)
    # poles can change while the clamped step sizes stay
    written = family.write(source, replace(spectrum, log_poles=2 * spectrum.log_poles))
    np.testing.assert_allclose(list(written.values()), [[math.log(2)] * 4], rtol=1e-12)
    with pytest.raises(SchemeError, match=r"\[0.01, 0.05\]"):
        family.write(source, replace(spectrum, dt=np.full((4, 1), 0.06)))


@pytest.mark.parametrize(
    "stored",
    [
        "[0.0, Infinity]",
        '[0.0, {"__float__": "Infinity"}]',
        '[0.0, "Infinity"]',
        "[0.0, null]",
        "null",
        "[1.0]",
        "[2.0, 1.0]",
        "[true, NaN]",
        '["x", {"y": 1}]',
        '{"low": 0}',
    ],
)
def test_no_limit_in_the_spellings_config_files_use(stored):
    assert limits({"time_step_limit": json.loads(stored)}) == (0.0, math.inf)


def test_the_range_of_the_initialization_is_not_a_limit():
    assert limits({"time_step_min": 0.001, "time_step_max": 0.1}) == (0.0, math.inf)


@pytest.mark.parametrize("without", [("D",), ("in_proj.weight",), ("conv1d.weight", "norm.weight")])
def test_either_the_skip_or_the_projections_are_evidence_enough(without):
    source_of(one_mixer(without=without))


@pytest.mark.parametrize(
    "changes",
    [
        {"in_proj.weight": np.zeros((40, 6))},  # no room for a gate of 4 heads
        {"conv1d.weight": np.zeros((22, 4))},
        {"conv1d.weight": np.zeros((38, 1, 4))},
    ],
)
def test_without_evidence_it_is_skipped_with_the_reason(changes):
    _, layers, (skipped,) = opened(one_mixer(without=("D",), **changes))
    assert not layers
    assert "in_proj" in skipped.reason


@pytest.mark.parametrize(
    "projections",
    [
        ("in_proj_qkv", "in_proj_a"),
        ("in_proj_qkvz", "in_proj_ba"),
        ("q_proj", "a_proj", "q_conv1d"),  # Comba also stores a D
        ("f_a_proj", "f_b_proj"),
    ],
)
def test_gated_delta_rules_are_not_taken_for_it(projections):
    extra = {f"{name}.weight": np.zeros((4, 6)) for name in projections}
    _, (found,), _ = opened(one_mixer("model.layers.0.linear_attn", **extra))
    assert found.family.id == "gated-deltanet"


def test_one_skip_per_head_dimension_is_a_mamba_2_too():
    source_of(one_mixer(D=np.ones(12)))


def test_the_bias_is_written_only_where_the_step_size_changes():
    family, source = source_of(one_mixer())
    spectrum = family.read(source)
    assert set(family.write(source, spectrum)) == {"backbone.layers.0.mixer.A_log"}
    written = family.write(source, replace(spectrum, dt=np.ones((4, 1))))
    np.testing.assert_allclose(
        written["backbone.layers.0.mixer.dt_bias"], [math.log(math.e - 1)] * 4
    )


def test_an_oscillating_scheme_is_refused_with_the_one_that_fits():
    family, source = source_of(one_mixer())
    spectrum = family.read(source)
    with pytest.raises(SchemeError, match=r"real poles.*s4d-real"):
        family.write(source, replace(spectrum, log_poles=spectrum.log_poles + 0.1j))


def test_its_initial_poles_are_random():
    family, _ = source_of(one_mixer())
    assert family.known_inits == ()
