"""`--map`: pages that describe a layout, against formulas written out here and real files."""

import os
from dataclasses import replace

import numpy as np
import pytest

from ssmspec.checkpoints.memory import MemoryCheckpoint
from ssmspec.errors import SchemeError, UsageError
from ssmspec.families.catalog import Catalog
from ssmspec.families.find import find_layers
from ssmspec.families.mapped.page import load_layout
from ssmspec.reading import Discretization, DtTransform, Reading
from tests.examples.families import EXAMPLES as DIAGONAL
from tests.families.mapped.test_family import S4D_PAGE, blocks, native


def test_two_directions_of_one_module_need_a_label(opened):
    leaves = {f"a.mixer.{name}": np.zeros((3, 2)) for name in ("A_log", "A_back_log")}
    tensors = {**leaves, "a.mixer.dt.bias": np.zeros(3)}
    page = blocks("toml")[3]
    layers, _, skipped = opened(page, tensors)
    assert [layer.site.name for layer in layers] == ["a.mixer", "a.mixer (backward)"]
    assert not skipped
    with pytest.raises(UsageError, match=r"describes a\.mixer twice; give the second"):
        opened(page.replace('label = "backward"\n', ""), tensors)


def test_what_the_page_describes_goes_before_the_families(opened):
    built = DIAGONAL["s4d"]()
    page = S4D_PAGE.replace("s4_layers.*.kernel", "s4_layers.0.*")
    layers, _, _ = opened(page, built.tensors)
    assert [layer.family.id for layer in layers] == ["mapped", "s4d", "s4d"]
    layers, _, _ = opened(page, built.tensors, family="mapped")
    assert len(layers) == 1


def test_the_mapped_family_needs_a_page():
    with pytest.raises(UsageError, match="--map FILE"):
        find_layers(Catalog(MemoryCheckpoint({})), Reading(family="mapped"))


def test_a_module_that_lacks_a_tensor_is_skipped_with_its_name(opened):
    tensors = {"s4_layers.0.kernel.log_A_real": np.zeros((2, 2))}
    tensors |= {"s4_layers.0.kernel.A_imag": np.zeros((2, 2))}
    layers, _, (item,) = opened(S4D_PAGE, tensors)
    assert not layers
    assert item.name == "s4_layers.0.kernel"
    assert "'log_dt'" in item.reason


def test_a_page_that_fits_nothing_says_what_is_there(opened):
    with pytest.raises(UsageError) as error:
        opened(S4D_PAGE, {"s4_layers.0.kernel.log_a": np.zeros(2), "other.x": np.zeros(2)})
    text = str(error.value)
    assert "'s4_layers.*.kernel' holds log_A_real, A_imag, log_dt" in text
    assert "'s4_layers.0.kernel' holds log_a" in text
    with pytest.raises(UsageError, match="fits no module"):
        opened(S4D_PAGE, {})


@pytest.mark.parametrize(
    ("leaves", "reason"),
    [
        ({"A_imag": np.zeros((3, 5))}, "do not fit together"),
        ({"A_imag": np.zeros((2, 2, 2))}, "does not fit the axes 'channels, modes'"),
        ({"A_imag": np.zeros((2, 2), complex)}, "poles.complex reads complex tensors"),
        ({"A_imag": np.zeros((0, 2)), "log_A_real": np.zeros((0, 2)), "log_dt": np.zeros(0)},
         "stores no poles"),
    ],
)  # fmt: skip
def test_tensors_that_do_not_fit_are_skipped_with_the_reason(opened, leaves, reason):
    fitting = {"log_A_real": np.zeros((2, 2)), "A_imag": np.zeros((2, 2)), "log_dt": np.zeros(2)}
    tensors = {f"s4_layers.0.kernel.{name}": v for name, v in {**fitting, **leaves}.items()}
    (layer,), (source,), _ = opened(S4D_PAGE, tensors)
    skipped = layer.read(source.checkpoint, source.reading)
    assert reason in skipped.reason


@pytest.mark.parametrize(
    ("page", "leaves", "reason"),
    [
        (S4D_PAGE.replace('transform = "exp"\n', ""), {"log_dt": np.full(2, -3.0)},
         "step size of -3"),
        (S4D_PAGE.replace('{ tensor = "A_imag" }', '{ tensor = "A_imag", component = 1 }'),
         {"A_imag": np.zeros((2, 3))}, "last axis of length 2"),
        (native('radius = { tensor = "log_A_real" }\nangle = { tensor = "A_imag" }'),
         {"log_A_real": np.full((2, 2), -0.5)}, "negative radius"),
    ],
)  # fmt: skip
def test_numbers_that_cannot_be_are_skipped_with_the_reason(opened, page, leaves, reason):
    fitting = {"log_A_real": np.zeros((2, 2)), "A_imag": np.zeros((2, 2)), "log_dt": np.zeros(2)}
    tensors = {f"s4_layers.0.kernel.{name}": v for name, v in {**fitting, **leaves}.items()}
    (layer,), (source,), _ = opened(page, tensors)
    assert reason in layer.read(source.checkpoint, source.reading).reason


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_parameters_that_are_not_finite_show_without_a_warning(opened, bad):
    built = DIAGONAL["s4d"]()
    for leaf in ("log_A_real", "A_imag", "log_dt"):
        name = f"s4_layers.0.kernel.{leaf}"
        values = built.tensors[name].copy()
        values.flat[0] = bad
        layers, sources, _ = opened(S4D_PAGE, built.tensors | {name: values})
        assert layers[0].family.read(sources[0]).non_finite


def test_options_that_contradict_the_page_are_refused(opened):
    built = DIAGONAL["s4d"]()
    for told in ({"discretization": Discretization.BILINEAR}, {"dt_transform": DtTransform.EXP}):
        layers, sources, _ = opened(S4D_PAGE, built.tensors, **told)
        with pytest.raises(UsageError):
            layers[0].family.read(sources[0])


def test_a_spectrum_of_another_shape_is_refused(opened):
    built = DIAGONAL["s4d"]()
    layers, sources, _ = opened(S4D_PAGE, built.tensors)
    spectrum = layers[0].family.read(sources[0])
    with pytest.raises(SchemeError, match="shape"):
        layers[0].family.write(sources[0], replace(spectrum, log_poles=spectrum.log_poles[:, :2]))


# pages that say something a page cannot say


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('symmetry = "half"', "", "the key 'symmetry' is missing"),
        ('symmetry = "half"', 'symmetry = "halv"', "did you mean 'half'"),
        ('symmetry = "half"', "symmetry = 2", "symmetry must be a string, not a number"),
        (
            'symmetry = "half"',
            'symmetry = "real"',
            "real poles are given by real; got real and imag",
        ),
        ('discretization = "zoh"', 'discretization = "euler"', "choose from bilinear, native, zoh"),
        ('discretization = "zoh"', 'discretization = "native"', "has no dt"),
        ('discretization = "zoh"', 'discretisation = "zoh"', "did you mean 'discretization'"),
        ("[[layer]]", "[[layers]]", "did you mean 'layer'"),
        ("[[layer]]", "[layer]", r"at least one \[\[layer\]\]"),
        (
            "modules = ",
            "selective = 1\nmodules = ",
            "selective must be true or false, not a number",
        ),
        ('"s4_layers.*.kernel"', '["a"]', "modules must be a string, not an array"),
        ("[layer.dt]", "[layer.steps]", "no key is called 'steps'"),
        ('{ tensor = "A_imag" }', '"A_imag"', "layer 1, poles, imag: must be a table"),
        ('{ tensor = "A_imag" }', "{ }", "the key 'tensor' is missing"),
        ('{ tensor = "A_imag" }', '{ tensor = "A_imag", transfrom = "exp" }', "'transform'"),
        (
            '{ tensor = "A_imag" }',
            '{ tensor = "A_imag", transform = "expp" }',
            "did you mean 'exp'",
        ),
        ('{ tensor = "A_imag" }', '{ tensor = "A_imag", scale = 0 }', "scale must not be 0"),
        ('{ tensor = "A_imag" }', '{ tensor = "A_imag", scale = true }', "must be a number"),
        ('{ tensor = "A_imag" }', '{ tensor = "A_imag", offset = nan }', "finite number"),
        ('{ tensor = "A_imag" }', '{ tensor = "A_imag", component = 2 }', "component must be 0"),
        ('{ tensor = "A_imag" }', '{ tensor = "A_imag", component = true }', "component must be 0"),
        ('{ tensor = "A_imag" }', '{ tensor = "A_imag", axes = "mode" }', "did you mean 'modes'"),
        ('{ tensor = "A_imag" }', '{ tensor = "A_imag", axes = "modes, modes" }', "twice"),
        ('{ tensor = "A_imag" }', '{ tensor = "log_A_real" }', "the same tensor"),
        ('{ tensor = "A_imag" }', '{ value = 1, tensor = "A_imag" }', "'tensor'"),
        ("imag = ", "angle = ", "given by real and imag, or complex; got real and angle"),
        ("imag = ", "complex = ", "got real and complex"),
        ('transform = "exp"\n', "transform = ", "not valid TOML"),
        ('"s4_layers.*.kernel"', "1979-05-27", "not a date"),
    ],
)
def test_a_page_that_makes_no_sense_is_refused_in_one_sentence(tmp_path, old, new, message):
    assert old in S4D_PAGE
    path = tmp_path / "page.toml"
    path.write_text(S4D_PAGE.replace(old, new))
    with pytest.raises(UsageError, match=message) as error:
        load_layout(path)
    text = str(error.value)
    assert text.startswith("the map ")
    assert "\n" not in text
    assert len(text) < 300


def test_a_page_that_cannot_be_read_is_refused_in_one_sentence(tmp_path):
    with pytest.raises(UsageError, match="does not exist"):
        load_layout(tmp_path / "absent.toml")
    with pytest.raises(UsageError, match="is a folder"):
        load_layout(tmp_path)
    binary = tmp_path / "binary.toml"
    binary.write_bytes(os.urandom(40) + b"\xff\xfe")
    with pytest.raises(UsageError, match="not valid TOML"):
        load_layout(binary)
    nested = tmp_path / "nested.toml"
    nested.write_text("a = " + "[" * 20000)
    with pytest.raises(UsageError, match="not valid TOML"):
        load_layout(nested)
    constants = tmp_path / "constants.toml"
    constants.write_text(
        '[[layer]]\ndiscretization = "zoh"\nsymmetry = "real"\npoles.real = { value = -1 }\n'
        "dt = { value = 1 }"
    )
    with pytest.raises(UsageError, match="at least one must be a tensor"):
        load_layout(constants)
