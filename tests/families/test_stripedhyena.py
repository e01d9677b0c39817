"""StripedHyena 1 and 2: the filters of the original code, and what poles they can hold."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from ssmspec import analyze
from ssmspec.checkpoints.memory import MemoryCheckpoint
from ssmspec.errors import LayoutError, SchemeError
from ssmspec.families.base import LayerSource
from ssmspec.families.catalog import Catalog
from ssmspec.families.find import find_layers
from ssmspec.kernel import impulse_response
from ssmspec.reading import Reading
from ssmspec.spectrum import Symmetry

SYSTEMS, STATES, L = 3, 4, 30


def source_of(tensors):
    checkpoint = MemoryCheckpoint({f"blocks.0.filter.{k}": v for k, v in tensors.items()})
    (layer,), skipped = find_layers(Catalog(checkpoint), Reading())
    assert not skipped
    return layer.family, LayerSource(checkpoint, layer.site, Reading())


def first():
    torch.manual_seed(0)
    radius = 0.5 + 0.5 * torch.rand(SYSTEMS, STATES, 1, dtype=torch.float64)
    angle = 2 * torch.pi * torch.rand(SYSTEMS, STATES, 1, dtype=torch.float64)
    return {
        "poles": torch.view_as_real(torch.polar(radius, angle)).clone(),
        "residues": torch.randn(SYSTEMS, STATES, 1, 2, dtype=torch.float64),
    }


def second():
    torch.manual_seed(0)
    return {
        "log_poles": -torch.rand(SYSTEMS, STATES, 1, dtype=torch.float64),
        "residues": torch.randn(SYSTEMS, STATES, dtype=torch.float64),
    }


def test_the_filter_of_version_1_is_that_of_the_original_code():
    tensors = first()
    log_poles = torch.view_as_complex(tensors["poles"]).log()
    expected = torch.view_as_complex(tensors["residues"]) * (log_poles * torch.arange(L)).exp()
    family, source = source_of(tensors)
    spectrum = family.read(source)
    assert spectrum.symmetry is Symmetry.FULL
    (kernel,) = impulse_response(family.read_kernel(source, spectrum), L)
    np.testing.assert_allclose(kernel, expected.real.sum(1), rtol=1e-9, atol=1e-12)


def test_the_filter_of_version_2_is_that_of_the_original_code():
    tensors = second()
    expected = tensors["residues"][..., None] * (tensors["log_poles"] * torch.arange(L)).exp()
    family, source = source_of(tensors)
    spectrum = family.read(source)
    assert spectrum.symmetry is Symmetry.REAL
    assert not spectrum.selective
    (kernel,) = impulse_response(family.read_kernel(source, spectrum), L)
    np.testing.assert_allclose(kernel, expected.sum(1), rtol=1e-10, atol=1e-12)


def test_a_pole_at_zero_is_memoryless_and_not_an_error():
    tensors = first()
    tensors["poles"][0, 0] = 0.0
    family, source = source_of(tensors)
    spectrum = family.read(source)
    assert spectrum.non_finite == 0
    assert spectrum.decay[0, 0] > 700
    assert spectrum.omega[0, 0] == 0


def test_a_pole_that_grows_is_reported():
    tensors = second()
    tensors["log_poles"][1, 2] = 0.01
    report = analyze({f"filter.{k}": v for k, v in tensors.items()}, seq_len=1024)
    assert "STB001" in {finding.code for finding in report.findings}


def test_version_2_holds_positive_poles_only():
    family, source = source_of(second())
    spectrum = family.read(source)
    for omega in (0.5, np.pi):
        with pytest.raises(SchemeError, match="s4d-real"):
            family.write(source, replace(spectrum, log_poles=-spectrum.decay + 1j * omega))
    grown = replace(spectrum, log_poles=spectrum.decay + 0j)
    (stored,) = family.write(source, grown).values()
    np.testing.assert_array_equal(stored[:, :, 0], spectrum.decay)


@pytest.mark.parametrize("make", [first, second])
def test_residues_of_another_shape_are_a_layout_error(make):
    tensors = make()
    tensors["residues"] = tensors["residues"][:, :2]
    family, source = source_of(tensors)
    with pytest.raises(LayoutError, match="residues"):
        family.read(source)
    extra = make()
    extra["residues"] = extra["residues"][..., None]
    family, source = source_of(extra)
    with pytest.raises(LayoutError, match="residues"):
        family.read_kernel(source, family.read(source))


def test_layers_with_an_explicit_filter_are_left_out():
    tensors = {f"blocks.0.filter.{k}": v for k, v in second().items()}
    tensors["blocks.1.filter.h"] = torch.zeros(3, 1, 7)
    layers, skipped = find_layers(Catalog(MemoryCheckpoint(tensors)), Reading())
    assert [layer.site.name for layer in layers] == ["blocks.0.filter"]
    assert not skipped
