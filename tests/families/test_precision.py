"""Rounding: half units against all numbers of a type, and the estimate against real rounding."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.optimize
import torch

from ssmspec import analyze
from ssmspec.checkpoints.memory import MemoryCheckpoint
from ssmspec.families.catalog import Catalog
from ssmspec.families.find import find_layers
from ssmspec.families.precision import Rounding, half_units
from ssmspec.reading import Reading
from ssmspec.rules import judge
from tests.examples.families import EXAMPLES as DIAGONAL
from tests.examples.families_dplr import EXAMPLES as DPLR
from tests.examples.families_more import EXAMPLES as MORE
from tests.examples.families_selective import EXAMPLES as SELECTIVE
from tests.rules.test_rules import evidence

TYPES = {
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
    "float8_e4m3fn": torch.float8_e4m3fn,
    "float8_e5m2": torch.float8_e5m2,
}


@pytest.mark.parametrize("dtype", TYPES)
def test_half_units_are_half_the_gaps_between_numbers(dtype):
    """Over every bit pattern of the type, as torch decodes them."""
    bits = 8 if "8_" in dtype else 16
    codes = torch.arange(2**bits, dtype=torch.int32).to(torch.uint8 if bits == 8 else torch.int16)
    numbers = codes.view(TYPES[dtype]).double().numpy()
    stored = codes.numpy() if bits == 8 else codes.numpy().view(np.uint16)
    stored = stored.view(np.float16) if dtype == "float16" else stored
    found = half_units(stored, dtype)
    finite = np.isfinite(numbers)
    grid = np.unique(np.abs(numbers[finite]))
    gaps = np.append(np.diff(grid), grid[-1] - grid[-2])
    expected = gaps[np.searchsorted(grid, np.abs(numbers[finite]))] / 2
    np.testing.assert_array_equal(found[finite], expected)


def rounding_of(tensors, reading=None):
    reading = reading or Reading()
    checkpoint = MemoryCheckpoint(tensors)
    (layer, *_), _ = find_layers(Catalog(checkpoint), reading)
    spectrum = layer.read(checkpoint, reading)
    return layer.rounding(checkpoint, reading, spectrum), spectrum


def s4d(channels=512, modes=16):
    generator = torch.Generator().manual_seed(0)
    dt = torch.exp(torch.rand(channels, generator=generator).double() * np.log(100) + np.log(1e-3))
    noise = torch.randn(2, channels, modes, generator=generator).double()
    return {
        "log_dt": torch.log(dt),
        "log_A_real": np.log(0.5) + 0.3 * noise[0],
        "A_imag": np.pi * torch.arange(modes) + noise[1],
        "C": torch.ones(channels, modes, 2),
    }


def distance(tensors, rounded):
    """What rounding really did: rms distance of poles in half-widths, in formulas of S4D's own."""

    def log_poles(t):
        A = torch.complex(-t["log_A_real"].double().exp(), t["A_imag"].double())
        return t["log_dt"].double().exp()[:, None] * A

    here, there = log_poles(tensors), log_poles(rounded)
    radius = there.real.exp()
    width = torch.arccos((4 * radius - 1 - radius**2) / (2 * radius))
    return ((here - there).abs() / width).square().mean().sqrt().item()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("which", [["log_dt"], ["A_imag"], ["log_A_real"], None])
def test_the_estimate_is_what_rounding_does(dtype, which):
    tensors = s4d()
    coarse = which or ["log_dt", "A_imag", "log_A_real"]
    rounded = tensors | {name: tensors[name].to(TYPES[dtype]) for name in coarse}
    rounding, _ = rounding_of(rounded)
    assert rounding.dtypes == (dtype,)
    assert rounding.half_widths == pytest.approx(distance(tensors, rounded), rel=0.12)


def test_single_precision_and_other_tensors_do_not_count():
    tensors = {name: values.float() for name, values in s4d(8).items()}
    assert rounding_of(tensors)[0] is None
    assert rounding_of(tensors | {"C": tensors["C"].bfloat16()})[0] is None
    mixed = {"log_dt": tensors["log_dt"].half(), "A_imag": tensors["A_imag"].bfloat16()}
    assert rounding_of(tensors | mixed)[0].dtypes == ("float16", "bfloat16")


def test_poles_that_cannot_be_measured_have_no_figure():
    tensors = {name: values.bfloat16() for name, values in s4d(4, 2).items()}
    broken = tensors | {"A_imag": torch.full((4, 2), torch.nan).bfloat16()}
    assert rounding_of(broken)[0] is None
    still = {"poles": torch.tensor([[[[1.0, 0.0]]]]).half(), "residues": torch.ones(1, 1, 1, 2)}
    assert rounding_of(still)[0] is None


ALL = DIAGONAL | SELECTIVE | MORE | DPLR


def nearest(here, there):
    """|difference| of log-poles up to full turns, each channel's paired by scipy."""
    apart = here[:, :, None] - there[:, None, :]
    apart = np.hypot(apart.real, (apart.imag + np.pi) % (2 * np.pi) - np.pi)
    return np.array([costs[scipy.optimize.linear_sum_assignment(costs)] for costs in apart])


@pytest.mark.parametrize("key", ALL)
def test_every_family_is_measured(key):
    """Against what rounding did to its poles, which stand in the example to full precision."""
    example = ALL[key]()
    coarse = {
        name: values.astype(np.float16) if values.dtype.kind == "f" else values
        for name, values in example.tensors.items()
    }
    rounding, spectrum = rounding_of(coarse, example.reading)
    assert rounding.dtypes == ("float16",)
    assert spectrum.non_finite == 0
    moved = nearest(spectrum.log_poles, example.log_poles[spectrum.name])
    done = np.sqrt(np.mean((moved / spectrum.half_width) ** 2))
    assert 1 / 3 < done / rounding.half_widths < 2  # of a few numbers, each rounded once


def test_a_coarse_s4d_is_reported_and_a_coarse_mamba_is_not():
    report = analyze({name: values.bfloat16() for name, values in s4d(16).items()}, seq_len=512)
    (finding,) = [finding for finding in report.findings if finding.code == "PRC001"]
    assert finding.level == "warning"
    assert "bfloat16" in finding.message
    assert f"{finding.value:.3g} half-widths" in finding.message
    assert finding.value > finding.threshold == 0.5
    fine = analyze({name: values.float() for name, values in s4d(16).items()}, seq_len=512)
    assert "PRC001" not in {finding.code for finding in fine.findings}
    mamba = SELECTIVE["mamba"]().tensors
    coarse = {name: torch.tensor(values).bfloat16() for name, values in mamba.items()}
    assert "PRC001" not in {finding.code for finding in analyze(coarse, seq_len=512).findings}


def test_the_rule_fires_just_past_its_threshold():
    at, past = 0.5, float(np.nextafter(0.5, 1))
    for value, codes in [(at, []), (past, ["PRC001"])]:
        facts = replace(evidence(), rounding=Rounding(("float16", "bfloat16"), value))
        findings = judge(facts)
        assert [finding.code for finding in findings] == codes
        for finding in findings:
            assert "float16 and bfloat16" in finding.message
