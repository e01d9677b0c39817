"""Every layout holds a scheme exactly, or says which schemes it can."""

import numpy as np
import pytest
from safetensors.numpy import load_file

import ssmspec
from ssmspec.errors import NoLayersError, SchemeError
from ssmspec.reading import Discretization, Reading
from ssmspec.schemes import SCHEMES, SchemeOptions
from ssmspec.spectrum import Symmetry
from tests.examples.families import s4d, s4d_v3, s4d_v4, s5
from tests.examples.families_dplr import EXAMPLES as DPLR
from tests.examples.families_more import EXAMPLES as MORE
from tests.examples.reinit import EXAMPLES, reinitialized, spectra, trained_s4d


def holds(key, scheme):
    """Whether a layout of the examples can hold a scheme, from what the layouts are."""
    family, _, layout = key.partition("/")
    oscillates = SCHEMES[scheme].symmetry is not Symmetry.REAL
    if layout == "real" or not family.startswith(("s4d", "s5", "lru")):
        return not oscillates
    if layout.startswith("tied"):  # poles that differ from channel to channel
        return not scheme.startswith("dfout") and scheme not in ("s4d-rand", "lru-ring")
    # JAX S5 without conj_sym is known by its pairs, and real poles are none.
    return (key, scheme) != ("s5/full", "s4d-real")


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("key", EXAMPLES)
def test_every_layout_holds_a_scheme_or_says_which_it_can(key, scheme, tmp_path):
    example = EXAMPLES[key]()
    tensors = {
        name: v.astype(np.complex64 if np.iscomplexobj(v) else np.float32)
        for name, v in example.tensors.items()
    }
    output = tmp_path / "out.safetensors"
    if not holds(key, scheme):
        with pytest.raises(SchemeError) as caught:
            ssmspec.reinit(tensors, scheme, output, reading=example.reading)
        named = {word.strip(",.") for word in str(caught.value).split()} & set(SCHEMES)
        assert {name for name in SCHEMES if holds(key, name)} <= named
        assert not output.exists()
        return
    result = ssmspec.reinit(tensors, scheme, output, reading=example.reading)
    assert [layer.name for layer in result.layers] == list(example.log_poles)
    before = {layer.name: layer for layer in spectra(tensors, example.reading)}
    after = {layer.name: layer for layer in spectra(output, example.reading)}
    assert set(after) == set(before)
    for number, name in enumerate(after):
        check_layer(before[name], after[name], scheme, number)
    written = load_file(output)
    full = [layer for layer in before.values() if layer.symmetry is Symmetry.FULL]
    if SCHEMES[scheme].oscillates or not full:  # real poles do not show that they were pairs
        again = reinitialized(written, scheme, example.reading)
        for name, values in written.items():
            np.testing.assert_allclose(again[name], values, rtol=1e-5, atol=1e-6)
    assert set(written) == set(tensors)
    changed = {name for layer in result.layers for name in layer.tensors}
    assert result.copied == len(tensors) - len(changed)
    for name, values in tensors.items():
        assert written[name].dtype == values.dtype
        assert (written[name].tobytes() == values.tobytes()) == (name not in changed)


@pytest.mark.parametrize("key", MORE | DPLR)
def test_further_layouts_name_exactly_the_schemes_they_hold(key):
    example = (MORE | DPLR)[key]()
    held, errors = set(), {}
    before = spectra(example.tensors, example.reading)
    for scheme in SCHEMES:
        try:
            output = reinitialized(example.tensors, scheme, example.reading)
        except SchemeError as error:
            errors[scheme] = str(error)
        else:
            held.add(scheme)
            after = spectra(output, example.reading)
            for number, pair in enumerate(zip(before, after, strict=True)):
                check_layer(*pair, scheme, number)
    one_decay_a_channel = key == "dfout"  # real poles at one decay would all be the same
    assert ("s4d-real" in held) is not one_decay_a_channel
    for scheme, message in errors.items():
        named = {word.strip(",.;") for word in message.split()} & set(SCHEMES)
        assert named - {scheme, "dfout-single"} == held - {"dfout-single"}
    if all(layer.is_complex for layer in before) and not key.endswith("tied"):
        assert {"dfout-single", "dfout"} <= held or key.startswith("dss")


def check_layer(before, after, scheme, number):
    """A written layer against the scheme's own draw, as far as signals can tell."""
    assert after.symmetry is before.symmetry
    assert after.discretization is before.discretization
    if before.dt is None:
        assert after.dt is None
    else:
        np.testing.assert_allclose(after.dt, before.dt, rtol=1e-12)
    record = SCHEMES[scheme]
    balanced = np.sign(before.omega_unwrapped).sum() == 0  # both poles of each pair are stored
    pairs = before.symmetry is Symmetry.FULL and before.dt is not None and balanced
    modes = before.modes // 2 if pairs else before.modes
    draw = record.draw(before.channels, modes, (0, number))
    if draw.poles is None:
        wanted = np.tile(draw.log_poles, 2) if pairs else draw.log_poles
    else:
        poles = np.tile(draw.poles, 2) if pairs else draw.poles
        dt = before.dt if before.dt is not None else draw.dt
        wanted = poles * dt
        if before.discretization is Discretization.BILINEAR:
            wanted = np.log((1 + wanted / 2) / (1 - wanted / 2))
    # Half-planes are the layer's own: compare decay and |angle| around the circle.
    decay, angle = -wanted.real, np.abs(wanted.imag)
    found = np.abs(after.omega_unwrapped)
    if before.discretization is not Discretization.ZOH:
        angle = np.abs((angle + np.pi) % (2 * np.pi) - np.pi)
    np.testing.assert_allclose(after.decay, decay, rtol=3e-5)
    np.testing.assert_allclose(found, angle, rtol=3e-5, atol=3e-6)
    if pairs:
        assert (after.omega_unwrapped[:, :modes] >= 0).all()
        assert (after.omega_unwrapped[:, modes:] <= 0).all()


@pytest.mark.parametrize("key", ["s4d", "s4d-v4", "s4d-v3", "s5", "lru"])
def test_a_layer_keeps_its_own_half_plane(key):
    example = EXAMPLES[key]()
    lower = {"s4d-v4": True, "s5": True}.get(key, False)
    for before, after in zip(
        spectra(example.tensors), spectra(reinitialized(example.tensors)), strict=True
    ):
        if key != "lru":  # its angles are all over the circle
            assert ((before.omega_unwrapped < 0).mean() > 0.5) == lower
        angles = after.omega_unwrapped[after.omega_unwrapped != 0]
        assert ((angles < 0) == lower).all()


@pytest.mark.parametrize("make", [s4d_v3, s4d_v4])
def test_a_tied_layer_takes_what_its_error_offers(make):
    example = make(2, Reading(discretization=Discretization.ZOH))
    run = {"reading": example.reading, "dry_run": True}
    with pytest.raises(SchemeError, match=r"ties A across channels.*untie A, or use dfout-single"):
        ssmspec.reinit(example.tensors, "dfout", **run)
    with pytest.raises(SchemeError):
        ssmspec.reinit(example.tensors, "dfout-single", dt="one", **run)
    result = ssmspec.reinit(
        example.tensors,
        "dfout-single",
        dt="one",
        options=SchemeOptions(xi_min=0.01, xi_max=0.01),
        **run,
    )
    assert result.layers[0].deviation < 1e-6


@pytest.mark.parametrize("key", ["s4d", "s4d-v4", "lru"])
def test_damping_zero_is_refused_where_a_logarithm_holds_it(key):
    zero = SchemeOptions(xi_min=0.0, xi_max=0.0)
    with pytest.raises(
        SchemeError, match=r"stores the logarithm of its damping.*it can hold: dfout,"
    ):
        ssmspec.reinit(EXAMPLES[key]().tensors, dry_run=True, options=zero)


def test_damping_zero_is_held_by_s5():
    zero = SchemeOptions(xi_min=0.0, xi_max=0.0)
    result = ssmspec.reinit(EXAMPLES["s5"]().tensors, dry_run=True, options=zero)
    assert result.layers[0].after["max_radius"].value == 1.0


def test_one_layer_that_cannot_stops_all(tmp_path):
    example, mixer = s4d(), EXAMPLES["mamba"]()
    tensors = {**example.tensors, **mixer.tensors}
    output = tmp_path / "out.safetensors"
    with pytest.raises(SchemeError, match=r"backbone.layers.0.mixer stores real poles"):
        ssmspec.reinit(tensors, "dfout", output)
    assert not list(tmp_path.iterdir())
    result = ssmspec.reinit(tensors, "dfout", output, layers="s4_layers.*")
    assert [layer.name for layer in result.layers] == [f"s4_layers.{n}.kernel" for n in range(3)]


def test_angle_zero_of_a_logarithm_is_said_to_be_moved():
    result = ssmspec.reinit(EXAMPLES["lru"]().tensors, dry_run=True)
    assert [note for note in result.notes if "frequency 0 is written as 1e-06 rad/sample" in note]
    (layer, *_) = spectra(reinitialized(EXAMPLES["lru"]().tensors))
    assert layer.omega.min() == pytest.approx(1e-6)


def test_lru_keeps_its_normalization_in_step():
    output = reinitialized(EXAMPLES["lru"]().tensors)
    name = "SSM_0_state_dict.lru"
    radius = np.exp(-np.exp(output[f"{name}.nu_log"]))
    np.testing.assert_allclose(np.exp(output[f"{name}.gamma_log"]) ** 2, 1 - radius**2)


def test_pairs_of_an_odd_number_of_states_leave_one_single():
    tensors = dict(s5(full=True, flat_step=True, reading=Reading()).tensors)
    for name, values in tensors.items():
        if name.endswith(("Lambda_re", "Lambda_im", "log_step")):
            tensors[name] = np.append(values, values[-1])  # 3 below the axis, 4 above it
    (layer, *_) = spectra(reinitialized(tensors))
    assert layer.symmetry is Symmetry.FULL
    np.testing.assert_allclose(
        layer.omega_unwrapped[0] / np.pi, [0, 1 / 4, 2 / 4, 3 / 4, 0, -1 / 4, -2 / 4], atol=1e-12
    )


def test_a_layer_that_cannot_be_read_is_left_alone(tmp_path):
    tensors = trained_s4d()
    tensors["s4_layers.1.kernel.A_imag"] = np.zeros((3, 3), np.float32)
    output = tmp_path / "out.safetensors"
    result = ssmspec.reinit(tensors, "dfout", output)
    assert [layer.name for layer in result.layers] == ["s4_layers.0.kernel"]
    assert [entry.name for entry in result.skipped] == ["s4_layers.1.kernel"]
    del tensors["s4_layers.0.kernel.log_dt"]
    with pytest.raises(NoLayersError, match="can be re-initialized"):
        ssmspec.reinit(tensors, "dfout", dry_run=True)


def test_two_layers_in_one_tensor_must_agree(tmp_path):
    page = tmp_path / "page.toml"
    layer = """
    [[layer]]
    modules = "ssm"
    label = "{}"
    discretization = "native"
    symmetry = "half"
    poles.decay = {{tensor = "decay", transform = "exp"}}
    poles.angle = {{tensor = "angle"}}
    """
    page.write_text(layer.format("a") + layer.format("b"))
    tensors = {"ssm.decay": np.full((2, 4), -3.0), "ssm.angle": np.full((2, 4), 1.0)}
    with pytest.raises(SchemeError, match="shares a tensor with another layer"):
        ssmspec.reinit(tensors, layout=page, dry_run=True)
    result = ssmspec.reinit(tensors, layout=page, layers="*(b)", dry_run=True)
    assert result.layers[0].deviation < 1e-9
