"""`--map`: pages that describe a layout, against formulas written out here and real files."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ssmspec.checkpoints import open_checkpoint
from ssmspec.checkpoints.memory import MemoryCheckpoint
from ssmspec.errors import SchemeError
from ssmspec.families.catalog import Catalog
from ssmspec.families.find import find_layers
from ssmspec.families.mapped.page import TRANSFORMS, load_layout
from ssmspec.reading import Discretization, Reading
from ssmspec.spectrum import LayerSpectrum, Symmetry
from tests.examples.families import EXAMPLES as DIAGONAL
from tests.examples.families_selective import EXAMPLES as SELECTIVE

DOCS = Path(__file__).resolve().parents[3] / "docs" / "mapping.md"
RNG = np.random.default_rng(31)

S4D_PAGE = """
[[layer]]
modules = "s4_layers.*.kernel"
discretization = "zoh"
symmetry = "half"
[layer.poles]
real = { tensor = "log_A_real", transform = "exp", scale = -1 }
imag = { tensor = "A_imag" }
[layer.dt]
tensor = "log_dt"
transform = "exp"
"""


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", DOCS.read_text(), flags=re.DOTALL)


def spectra(layers, sources):
    return [layer.family.read(source) for layer, source in zip(layers, sources, strict=True)]


def rewritten(layer, source, wanted, tensors):
    """The spectrum read after `wanted` was written into a copy of the tensors."""
    written = layer.family.write(source, wanted)
    for name, values in written.items():
        assert values.shape == np.shape(tensors[name])
    changed = MemoryCheckpoint({**tensors, **written})
    return layer.family.read(replace(source, checkpoint=changed)), written


# the docs page


def test_the_worked_example_of_the_docs_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(blocks("python")[0], {})  # noqa: S102
    Path("page.toml").write_text(blocks("toml")[0])
    reading = Reading(layout=Path("page.toml"))
    with open_checkpoint(Path("unknown.npz")) as checkpoint:
        layers, skipped = find_layers(Catalog(checkpoint), reading)
        found = [layer.read(checkpoint, reading) for layer in layers]
    assert not skipped
    stored = np.load("unknown.npz")
    assert [spectrum.name for spectrum in found] == ["blocks.0.mixer", "blocks.1.mixer"]
    for n, spectrum in enumerate(found):
        damping = torch.nn.functional.softplus(torch.tensor(stored[f"blocks.{n}.mixer.damping"]))
        assert isinstance(spectrum, LayerSpectrum)
        assert spectrum.family == "mapped"
        np.testing.assert_allclose(spectrum.dt, np.full((4, 1), 0.01))
        np.testing.assert_allclose(spectrum.decay, 0.01 * damping, rtol=1e-12)
        np.testing.assert_allclose(
            spectrum.omega_unwrapped, [[0.02 * np.pi, 0.04 * np.pi, 0.06 * np.pi]] * 4
        )


def test_every_page_of_the_docs_is_valid(tmp_path):
    pages = blocks("toml")
    assert len(pages) == 4
    for page in pages:
        (tmp_path / "page.toml").write_text(page)
        assert load_layout(tmp_path / "page.toml")


def test_the_docs_list_every_transform():
    row = next(line for line in DOCS.read_text().splitlines() if line.startswith("| `transform`"))
    assert re.findall(r"`(\w+)`", row)[1:] == list(TRANSFORMS)


def test_a_published_denoiser_is_measured_with_the_page_of_the_docs(shared, opened):
    stored = torch.load(shared / "attenuate_denoiser.pt", map_location="cpu", weights_only=True)
    page = blocks("toml")[1]
    layers, sources, skipped = opened(page, dict(stored))
    assert len(layers) == sum(name.endswith(".log_dt") for name in stored) == 16
    assert not skipped
    for spectrum in spectra(layers, sources):
        A = stored[f"{spectrum.name}.A"].double()
        dt = stored[f"{spectrum.name}.log_dt"].double().exp()
        assert spectrum.shape == (1, 256)
        decay = dt * torch.nn.functional.softplus(A[:, 0])
        np.testing.assert_allclose(spectrum.decay[0], decay, rtol=1e-12)
        np.testing.assert_allclose(spectrum.omega_unwrapped[0], dt * A[:, 1], rtol=1e-12)


# the same file through a page and through its family


@pytest.mark.parametrize(
    ("example", "page"),
    [
        (DIAGONAL["s4d"], S4D_PAGE),
        (DIAGONAL["lru"], blocks("toml")[2]),
        (
            SELECTIVE["mamba"],
            """
            [[layer]]
            discretization = "zoh"
            symmetry = "real"
            selective = true
            poles.real = { tensor = "A_log", transform = "exp", scale = -1 }
            dt = { tensor = "dt_proj.bias", transform = "softplus" }
            """,
        ),
        (
            SELECTIVE["mamba2"],
            """
            [[layer]]
            discretization = "zoh"
            symmetry = "real"
            selective = true
            poles.real = { tensor = "A_log", transform = "exp", scale = -1, axes = "channels" }
            dt = { tensor = "dt_bias", transform = "softplus" }
            """,
        ),
        (
            SELECTIVE["mamba/flax"],
            """
            [[layer]]
            modules = "CheckpointMambaBlock1D_*"
            discretization = "zoh"
            symmetry = "real"
            selective = true
            poles.real = { tensor = "A_log", transform = "exp", scale = -1 }
            dt = { tensor = "Dense_2.bias", transform = "softplus", offset = 1e-4 }
            """,
        ),
        (
            DIAGONAL["s4d-v4/bilinear"],
            """
            [[layer]]
            discretization = "bilinear"
            symmetry = "half"
            [layer.poles]
            real = { tensor = "A_real", transform = "exp", scale = -1 }
            imag = { tensor = "A_imag", scale = -1 }
            [layer.dt]
            tensor = "inv_dt"
            transform = "exp"
            axes = "channels, 1"
            """,
        ),
        (
            DIAGONAL["s5/torch"],
            """
            [[layer]]
            discretization = "zoh"
            symmetry = "half"
            poles.complex = { tensor = "Lambda", axes = "modes" }
            dt = { tensor = "log_step", transform = "exp", axes = "modes" }
            """,
        ),
    ],
)
def test_a_page_gives_what_the_family_gives(opened, example, page):
    built = example()
    layers, sources, _ = opened(page, built.tensors)
    found = spectra(layers, sources)
    assert [spectrum.name for spectrum in found] == list(built.log_poles)
    rng = np.random.default_rng(1)
    for layer, source, spectrum in zip(layers, sources, found, strict=True):
        assert layer.family.id == spectrum.family == "mapped"
        np.testing.assert_allclose(
            spectrum.log_poles, built.log_poles[spectrum.name], rtol=1e-12, atol=1e-12
        )
        if spectrum.dt is not None:
            np.testing.assert_allclose(spectrum.dt, built.dt[spectrum.name], rtol=1e-12)
        wanted = built.vary(spectrum, rng)
        back, _ = rewritten(layer, source, wanted, built.tensors)
        np.testing.assert_allclose(back.log_poles, wanted.log_poles, rtol=1e-9)
        same, written = rewritten(layer, source, spectrum, built.tensors)
        np.testing.assert_allclose(same.log_poles, spectrum.log_poles, rtol=1e-12)
        assert set(written) == {
            source.site.tensors[term] for term in source.site.tensors if term not in DT_NAMES
        }


DT_NAMES = {"log_dt", "dt_proj.bias", "dt_bias", "Dense_2.bias", "inv_dt", "log_step"}


# every form of a pole, every axis order


def native(poles, symmetry="half"):
    return f'[[layer]]\ndiscretization = "native"\nsymmetry = "{symmetry}"\n[layer.poles]\n{poles}'


RADIUS = RNG.uniform(0.1, 1.0, (3, 2))
ANGLE = RNG.uniform(0.1, 3.0, (3, 2))
POLES = RADIUS * np.exp(1j * ANGLE)
NATIVE = {
    "complex": (native('complex = { tensor = "z" }'), {"z": POLES}),
    "complex64": (
        native('complex = { tensor = "z" }'),
        {"z": torch.tensor(POLES, dtype=torch.complex64)},
    ),
    "components": (
        native('real = { tensor = "z", component = 0 }\nimag = { tensor = "z", component = 1 }'),
        {"z": np.stack([POLES.real, POLES.imag], -1)},
    ),
    "a single axis": (  # StripedHyena stores (systems, states, 1, 2)
        native(
            'real = { tensor = "z", component = 0, axes = "channels, modes, 1" }\n'
            'imag = { tensor = "z", component = 1, axes = "channels, modes, 1" }'
        ),
        {"z": np.stack([POLES.real, POLES.imag], -1)[:, :, None]},
    ),
    "transposed": (
        native(
            'radius = { tensor = "r", axes = "modes, 1, channels" }\n'
            'angle = { tensor = "phi", axes = "modes, channels" }'
        ),
        {"r": RADIUS.T[:, None], "phi": ANGLE.T},
    ),
    "cycles": (
        native('decay = { tensor = "d" }\nangle = { tensor = "f", scale = -6.283185307179586 }'),
        {"d": -np.log(RADIUS), "f": -ANGLE / (2 * np.pi)},
    ),
    "sigmoid": (
        native('radius = { tensor = "r", transform = "sigmoid" }\nangle = { tensor = "phi" }'),
        {"r": np.log(RADIUS / (1 - RADIUS)), "phi": ANGLE + 4 * np.pi},
    ),
}


@pytest.mark.parametrize("form", NATIVE)
def test_discrete_poles_in_every_form(opened, form):
    page, leaves = NATIVE[form]
    tensors = {f"layer.{name}": values for name, values in leaves.items()}
    (layer,), (source,), _ = opened(page, tensors)
    spectrum = layer.family.read(source)
    assert spectrum.dt is None
    assert spectrum.discretization is Discretization.NATIVE
    rtol = 1e-6 if form == "complex64" else 1e-12
    np.testing.assert_allclose(np.exp(spectrum.log_poles), POLES, rtol=rtol)
    assert (np.abs(spectrum.omega_unwrapped) <= np.pi).all()
    wanted = replace(spectrum, log_poles=spectrum.log_poles * 0.5)
    back, _ = rewritten(layer, source, wanted, tensors)
    np.testing.assert_allclose(back.log_poles, wanted.log_poles, rtol=1e-9)


def test_discrete_real_poles_may_be_negative(opened):
    tensors = {"z": np.array([[0.5, -0.5]])}
    (layer,), (source,), _ = opened(native('real = { tensor = "z" }', "real"), tensors)
    spectrum = layer.family.read(source)
    np.testing.assert_allclose(np.exp(spectrum.log_poles), tensors["z"], atol=1e-15)
    same, _ = rewritten(layer, source, spectrum, tensors)
    np.testing.assert_allclose(same.log_poles, spectrum.log_poles)


TIED_PAGE = """
[[layer]]
discretization = "zoh"
symmetry = "half"
[layer.poles]
real = { value = -0.5 }
imag = { tensor = "frequency", axes = "modes" }
[layer.dt]
tensor = "step"
"""


def tied_layer():
    return {"frequency": np.arange(4) * np.pi, "step": np.array([0.1, 0.2, 0.3])}


def test_axes_that_a_tensor_lacks_are_shared(opened):
    (layer,), (source,), _ = opened(TIED_PAGE, tied_layer())
    spectrum = layer.family.read(source)
    assert spectrum.name == "(root)"
    expected = [[step * (-0.5 + 1j * n * np.pi) for n in range(4)] for step in (0.1, 0.2, 0.3)]
    np.testing.assert_allclose(spectrum.log_poles, expected)
    halved = replace(spectrum, log_poles=spectrum.log_poles / 2, dt=spectrum.dt / 2)
    back, written = rewritten(layer, source, halved, tied_layer())
    assert set(written) == {"frequency", "step"}
    np.testing.assert_allclose(back.log_poles, halved.log_poles)
    np.testing.assert_allclose(back.dt, halved.dt)


def test_poles_that_a_shared_tensor_cannot_hold_are_refused(opened):
    (layer,), (source,), _ = opened(TIED_PAGE, tied_layer())
    spectrum = layer.family.read(source)
    grid = spectrum.log_poles + 0.01j * np.arange(3)[:, None]
    with pytest.raises(SchemeError, match="shared by all channels"):
        layer.family.write(source, replace(spectrum, log_poles=grid))
    with pytest.raises(SchemeError, match=r"real as the constant -0\.5"):
        layer.family.write(source, replace(spectrum, log_poles=spectrum.log_poles - 0.01))
    per_mode = np.broadcast_to(spectrum.dt, (3, 4)) * np.arange(1, 5)
    poles = spectrum.log_poles / spectrum.dt * per_mode
    with pytest.raises(SchemeError, match="step is shared by all modes"):
        layer.family.write(source, replace(spectrum, log_poles=poles, dt=per_mode))
    with pytest.raises(SchemeError, match="needs step sizes"):
        layer.family.write(source, replace(spectrum, dt=None))


def test_a_logarithm_holds_no_zero(opened):
    built = DIAGONAL["s4d"]()
    layers, sources, _ = opened(S4D_PAGE, built.tensors)
    spectrum = layers[0].family.read(sources[0])
    undamped = replace(spectrum, log_poles=1j * spectrum.log_poles.imag)
    with pytest.raises(SchemeError, match="log_A_real is read through exp"):
        layers[0].family.write(sources[0], undamped)


def test_a_frequency_of_zero_becomes_the_lowest_a_logarithm_holds(opened):
    built = DIAGONAL["lru"]()
    layers, sources, _ = opened(blocks("toml")[2], built.tensors)
    spectrum = layers[0].family.read(sources[0])
    wanted = replace(spectrum, log_poles=np.full((1, 7), -0.1 + 0j))
    back, _ = rewritten(layers[0], sources[0], wanted, built.tensors)
    np.testing.assert_allclose(back.log_poles, -0.1 + 1e-6j, rtol=1e-9)


def test_real_poles_cannot_oscillate(opened):
    built = SELECTIVE["mamba"]()
    layers, sources, _ = opened(blocks("toml")[3].replace("dt.bias", "dt_proj.bias").partition(
        '[[layer]]\nlabel')[0], built.tensors)  # fmt: skip
    spectrum = layers[0].family.read(sources[0])
    assert spectrum.selective
    assert any("nominal" in sentence for sentence in spectrum.assumptions)
    for wanted in (
        replace(spectrum, log_poles=spectrum.log_poles + 0.1j),
        replace(spectrum, symmetry=Symmetry.HALF),
    ):
        with pytest.raises(SchemeError, match=r"real poles.*s4d-real"):
            layers[0].family.write(sources[0], wanted)


@pytest.mark.parametrize(
    "page",
    [
        native('radius = { tensor = "x" }', "real"),
        native('decay = { tensor = "x" }', "real"),
        '[[layer]]\ndiscretization = "zoh"\nsymmetry = "real"\n'
        'poles.real = { tensor = "x", scale = -1 }\ndt = { value = 1 }',
    ],
)
def test_a_negative_discrete_pole_needs_a_layout_with_a_sign(opened, page):
    (layer,), (source,), _ = opened(page, {"x": np.full((2, 3), 0.5)})
    spectrum = layer.family.read(source)
    with pytest.raises(SchemeError, match="negative discrete pole"):
        layer.family.write(source, replace(spectrum, log_poles=spectrum.log_poles + 1j * np.pi))


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(sorted(TRANSFORMS)),
    st.floats(-30, 30),
    st.sampled_from([-2.0, 0.5, 1.0]),
    st.floats(-1, 1),
)
def test_transforms_undo_themselves(transform, stored, scale, offset):
    one = TRANSFORMS[transform]
    value = scale * one.forward(np.array(stored)) + offset
    back = one.forward(one.inverse((value - offset) / scale))
    np.testing.assert_allclose(scale * back + offset, value, rtol=1e-9, atol=1e-12)


# what is found, and what is not
