"""VMamba, Zamba and the plain selective diagonal SSM: layouts of one selective recurrence."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn.functional import softplus

from ssmspec import analyze
from ssmspec.checkpoints.memory import MemoryCheckpoint
from ssmspec.errors import LayoutError, SchemeError
from ssmspec.families.base import LayerSource
from ssmspec.families.catalog import Catalog
from ssmspec.families.find import find_layers
from ssmspec.reading import Reading
from tests.examples.families_more import EXAMPLES


def source_of(tensors):
    checkpoint = MemoryCheckpoint(tensors)
    layers, skipped = find_layers(Catalog(checkpoint), Reading())
    assert not skipped
    return layers[0].family, LayerSource(checkpoint, layers[0].site, Reading())


def test_scans_of_a_plane_are_channels_and_the_report_says_so():
    torch.manual_seed(0)
    scans, width, states = 4, 5, 3
    A_logs = torch.randn(scans * width, states, dtype=torch.float64)
    bias = torch.randn(scans, width, dtype=torch.float64)
    family, source = source_of({"op.A_logs": A_logs, "op.dt_projs_bias": bias})
    spectrum = family.read(source)
    delta = softplus(bias.view(-1))  # as the scan gets it, (k c,)
    np.testing.assert_allclose(spectrum.decay, delta[:, None] * A_logs.exp(), rtol=1e-12)
    assert spectrum.channels == 20
    nominal, plane = spectrum.assumptions
    assert "nominal" in nominal
    assert "pixel" in plane


def test_rows_that_are_not_one_a_channel_of_a_scan_are_a_layout_error():
    tensors = {"op.A_logs": np.zeros((21, 3)), "op.dt_projs_bias": np.zeros((4, 5))}
    family, source = source_of(tensors)
    with pytest.raises(LayoutError, match=r"21 rows, expected 20.*4 x 5"):
        family.read(source)


def fresh(name, rng):
    """(tensors, states) as the public code of each initializes a layer."""
    dt = np.exp(rng.uniform(np.log(1e-3), np.log(1e-1), 64))
    bias = np.log(np.expm1(dt))
    A_log = np.tile(np.log(np.arange(1, 17)), (64, 1))
    return {
        "vmamba": {"A_logs": A_log, "dt_projs_bias": bias.reshape(4, 16)},
        "zamba": {"A_log": A_log.reshape(2, 32, 16), "dt_proj_bias": bias.reshape(2, 32)},
        "plain": {"A_log": A_log, "bdelta": bias, "Wdelta": np.zeros((64, 64))},
    }[name]


@pytest.mark.parametrize("length", [2048, 131_072])
@pytest.mark.parametrize("name", ["vmamba", "zamba", "plain"])
def test_a_healthy_initialization_raises_no_warning(name, length):
    report = analyze(fresh(name, np.random.default_rng(0)), seq_len=length)
    assert report.layers[0].channels == 64
    assert [f.code for f in report.findings if f.level != "info"] == []


@pytest.mark.parametrize("name", ["vmamba", "zamba", "plain"])
def test_a_zeroed_bias_is_reported(name):
    tensors = fresh(name, np.random.default_rng(0))
    (bias,) = set(tensors) & {"dt_projs_bias", "dt_proj_bias", "bdelta"}
    report = analyze(tensors | {bias: np.zeros_like(tensors[bias])}, seq_len=2048)
    assert "INI002" in {finding.code for finding in report.findings}


def test_step_sizes_are_written_in_the_shape_of_the_file():
    for key, shape in [("vmamba", (4, 3)), ("mamba/zamba", (2, 3)), ("selective-diagonal", (5,))]:
        family, source = source_of(EXAMPLES[key]().tensors)
        spectrum = family.read(source)
        assert len(family.write(source, spectrum)) == 1
        written = family.write(source, replace(spectrum, dt=2 * spectrum.dt))
        assert shape in {values.shape for values in written.values()}


def test_one_row_of_poles_may_serve_all_channels():
    tensors = {"A_log": np.log([1.0, 2.0]), "Wdelta": np.zeros((3, 3)), "bdelta": np.zeros(3)}
    family, source = source_of(tensors)
    spectrum = family.read(source)
    np.testing.assert_allclose(spectrum.decay, np.log(2) * np.array([[1, 2]] * 3))
    assert any("names of its tensors" in text for text in spectrum.assumptions)
    written = family.write(source, replace(spectrum, log_poles=3 * spectrum.log_poles))
    np.testing.assert_allclose(written["A_log"], np.log([3.0, 6.0]))
    apart = spectrum.log_poles * np.array([[1.0], [2.0], [3.0]])
    with pytest.raises(SchemeError, match="ties A"):
        family.write(source, replace(spectrum, log_poles=apart))


def test_a_mamba_2_with_accumulating_heads_is_reported():
    """A tenth of the heads at A_log = -20, which lasts far beyond any sequence."""
    rng = np.random.default_rng(0)
    heads, width, states = 20, 4, 8
    inner, convolved = heads * width, heads * width + 2 * states
    A_log = np.log(rng.uniform(1, 16, heads))
    A_log[::10] = -20.0
    dt = np.exp(rng.uniform(np.log(1e-3), np.log(1e-1), heads))
    tensors = {
        "mixer.A_log": A_log,
        "mixer.dt_bias": np.log(np.expm1(dt)),
        "mixer.D": np.ones(heads),
        "mixer.in_proj.weight": rng.normal(size=(inner + convolved + heads, 6)),
        "mixer.conv1d.weight": rng.normal(size=(convolved, 1, 4)),
    }
    for length in (2048, 131_072, None):
        report = analyze(tensors, seq_len=length)
        assert [f.code for f in report.findings if f.level == "warning"] == ["ACC001"]
        healthy = tensors | {"mixer.A_log": np.log(rng.uniform(1, 16, heads))}
        report = analyze(healthy, seq_len=length)
        assert [f.code for f in report.findings if f.level == "warning"] == []
