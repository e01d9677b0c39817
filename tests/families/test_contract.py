"""What every registered family owes: found, read, written back and refused by the same rules."""

import warnings
from dataclasses import replace

import numpy as np
import pytest

from ssmspec.checkpoints.memory import MemoryCheckpoint
from ssmspec.errors import LayoutError, SchemeError, SsmspecError
from ssmspec.families import FAMILIES
from ssmspec.families.base import LayerSource
from ssmspec.families.catalog import Catalog
from ssmspec.families.find import FoundLayer, find_layers
from ssmspec.outcome import Skipped
from ssmspec.spectrum import LayerSpectrum, Symmetry
from tests.examples.families import EXAMPLES as DIAGONAL
from tests.examples.families import Example
from tests.examples.families_dplr import EXAMPLES as DPLR
from tests.examples.families_more import EXAMPLES as MORE
from tests.examples.families_selective import EXAMPLES as SELECTIVE

EXAMPLES = DIAGONAL | SELECTIVE | MORE | DPLR
SEEDS = range(3)


def family_of(key):
    return key.partition("/")[0]


def open_layers(tensors, reading):
    checkpoint = MemoryCheckpoint(tensors)
    layers, skipped = find_layers(Catalog(checkpoint), reading)
    return checkpoint, layers, skipped


def opened(key) -> tuple[Example, MemoryCheckpoint, tuple[FoundLayer, ...]]:
    example = EXAMPLES[key]()
    checkpoint, layers, skipped = open_layers(example.tensors, example.reading)
    assert not skipped
    return example, checkpoint, layers


def source_of(layer, checkpoint, example):
    return LayerSource(checkpoint, layer.site, example.reading)


def spectrum_of(layer, checkpoint, example) -> LayerSpectrum:
    spectrum = layer.read(checkpoint, example.reading)
    assert not isinstance(spectrum, Skipped), spectrum
    return spectrum


def used_tensors(layer, checkpoint, example):
    """Tensors the poles depend on: filled with NaN, they take poles with them."""
    for name in layer.site.tensors.values():
        if example.tensors[name].dtype.kind == "i":
            continue
        broken = {**example.tensors, name: np.full_like(example.tensors[name], np.nan)}
        spectrum = layer.read(MemoryCheckpoint(broken), example.reading)
        if isinstance(spectrum, Skipped) or spectrum.non_finite:
            yield name


every_example = pytest.mark.parametrize("key", EXAMPLES)


def test_every_family_has_an_example_and_every_example_a_family():
    assert {family_of(key) for key in EXAMPLES} == set(FAMILIES)
    assert len(EXAMPLES) == len(DIAGONAL) + len(SELECTIVE) + len(MORE) + len(DPLR)


@pytest.mark.parametrize("identifier", FAMILIES)
def test_a_family_says_what_it_is(identifier):
    family = FAMILIES[identifier]
    assert family.id == identifier
    for text in (family.title, family.summary, family.formula, family.source):
        assert text
        assert text == text.strip()
        assert "\n" not in text
    assert family.discretizations
    assert len(set(family.known_inits)) == len(family.known_inits)


@every_example
def test_the_layers_are_found_under_their_names(key):
    example, _, layers = opened(key)
    assert [layer.site.name for layer in layers] == list(example.log_poles)
    assert {layer.family.id for layer in layers} == {family_of(key)}


@every_example
def test_nothing_is_found_twice_when_only_this_family_is_asked_for(key):
    example = EXAMPLES[key]()
    reading = replace(example.reading, family=family_of(key))
    _, layers, skipped = open_layers(example.tensors, reading)
    assert [layer.site.name for layer in layers] == list(example.log_poles)
    assert not skipped


@every_example
def test_poles_and_step_sizes_are_those_of_the_formula(key):
    example, checkpoint, layers = opened(key)
    for layer in layers:
        spectrum = spectrum_of(layer, checkpoint, example)
        name = layer.site.name
        np.testing.assert_allclose(
            spectrum.log_poles, example.log_poles[name], rtol=1e-12, atol=1e-12
        )
        if name in example.dt:
            np.testing.assert_allclose(spectrum.dt, example.dt[name], rtol=1e-12)
        else:
            assert spectrum.dt is None
        assert spectrum.name == name
        assert spectrum.family == family_of(key)
        assert spectrum.discretization in layer.family.discretizations
        assert layer.family.is_complex or spectrum.symmetry is Symmetry.REAL


@every_example
def test_what_was_read_is_written_as_it_is_stored(key):
    example, checkpoint, layers = opened(key)
    for layer in layers:
        source = source_of(layer, checkpoint, example)
        written = layer.family.write(source, layer.family.read(source))
        assert written
        assert set(written) <= set(layer.site.tensors.values())
        for name, values in written.items():
            assert values.shape == example.tensors[name].shape
            assert values.dtype in (np.float64, np.complex128)
            # angles of LRU come back from around the circle, so poles are compared below
            if family_of(key) != "lru":
                np.testing.assert_allclose(values, example.tensors[name], rtol=1e-10, atol=1e-10)


@every_example
@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_written_is_read_back(key, seed):
    example, checkpoint, layers = opened(key)
    rng = np.random.default_rng(seed)
    for layer in layers:
        wanted = example.vary(spectrum_of(layer, checkpoint, example), rng)
        written = layer.family.write(source_of(layer, checkpoint, example), wanted)
        changed = MemoryCheckpoint({**example.tensors, **written})
        found = spectrum_of(layer, changed, example)
        np.testing.assert_allclose(found.log_poles, wanted.log_poles, rtol=1e-9, atol=1e-12)
        # the decay alone, which is small beside the angle
        np.testing.assert_allclose(found.decay, wanted.decay, rtol=1e-6)
        if wanted.dt is None:
            assert found.dt is None
        else:
            np.testing.assert_allclose(found.dt, wanted.dt, rtol=1e-9)
        assert found.symmetry is wanted.symmetry
        assert found.discretization is wanted.discretization


@every_example
def test_writing_one_layer_leaves_the_others_alone(key):
    example, checkpoint, layers = opened(key)
    rng = np.random.default_rng(0)
    first = layers[0]
    wanted = example.vary(spectrum_of(first, checkpoint, example), rng)
    written = first.family.write(source_of(first, checkpoint, example), wanted)
    changed = MemoryCheckpoint({**example.tensors, **written})
    for other in layers[1:]:
        if set(written).isdisjoint(other.site.tensors.values()):
            before = spectrum_of(other, checkpoint, example)
            after = spectrum_of(other, changed, example)
            np.testing.assert_array_equal(after.log_poles, before.log_poles)


@every_example
def test_a_parameter_that_is_not_finite_is_read_without_a_warning_and_shows(key):
    example, checkpoint, layers = opened(key)
    layer = layers[0]
    used = list(used_tensors(layer, checkpoint, example))
    assert used
    for name in used:
        for bad in (np.nan, np.inf):
            values = example.tensors[name].copy()
            values.flat[-1] = bad  # S4 v1 keeps P in the last rows of B
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                spectrum = layer.read(
                    MemoryCheckpoint({**example.tensors, name: values}), example.reading
                )
            assert not isinstance(spectrum, Skipped), (name, spectrum)
            assert spectrum.non_finite > 0
            assert spectrum.non_finite < spectrum.log_poles.size or spectrum.log_poles.size == 1


@every_example
def test_a_tensor_of_another_shape_is_a_layout_error_and_listed_as_skipped(key):
    example, checkpoint, layers = opened(key)
    layer = layers[0]
    for name in used_tensors(layer, checkpoint, example):
        stored = example.tensors[name]
        longer = [np.concatenate([stored, stored.take([0], a)], a) for a in range(stored.ndim)]
        refused = 0
        for values in (stored[..., None, None], *longer):
            changed = MemoryCheckpoint({**example.tensors, name: values})
            skipped = layer.read(changed, example.reading)
            if not isinstance(skipped, Skipped):  # a longer axis that no other tensor shares
                assert values.ndim == stored.ndim
                continue
            refused += 1
            assert skipped.name == layer.site.name
            assert layer.family.title in skipped.reason
            assert len(skipped.reason) < 400
            with pytest.raises(LayoutError):
                layer.family.read(LayerSource(changed, layer.site, example.reading))
        assert refused >= 2


@every_example
def test_a_spectrum_of_another_shape_is_not_written(key):
    example, checkpoint, layers = opened(key)
    layer = layers[0]
    spectrum = spectrum_of(layer, checkpoint, example)
    wider = np.concatenate([spectrum.log_poles, spectrum.log_poles[:, :1]], axis=1)
    dt = spectrum.dt
    if dt is not None and dt.shape[1] > 1:
        dt = np.concatenate([dt, dt[:, :1]], axis=1)
    with pytest.raises(SchemeError):
        layer.family.write(
            source_of(layer, checkpoint, example), replace(spectrum, log_poles=wider, dt=dt)
        )


@every_example
def test_a_spectrum_that_is_not_finite_is_not_written(key):
    example, checkpoint, layers = opened(key)
    layer = layers[0]
    spectrum = spectrum_of(layer, checkpoint, example)
    poles = spectrum.log_poles.copy()
    poles[0, 0] = np.nan
    with pytest.raises(SchemeError):
        layer.family.write(
            source_of(layer, checkpoint, example), replace(spectrum, log_poles=poles)
        )


@every_example
def test_an_option_that_does_not_apply_is_an_error_not_a_silence(key):
    example, checkpoint, layers = opened(key)
    layer = layers[0]
    offered = layer.family.discretizations
    for choice in ("zoh", "bilinear"):
        reading = replace(example.reading, discretization=type(offered[0])(choice))
        source = LayerSource(checkpoint, layer.site, reading)
        if choice in offered:
            assert layer.family.read(source).discretization == choice
        else:
            with pytest.raises(SsmspecError, match=choice):
                layer.family.read(source)
