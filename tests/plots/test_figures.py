"""Figures read back: where things stand, what is written, and that nothing overlaps."""

import re
from itertools import pairwise

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from numpy.testing import assert_allclose

import ssmspec
from ssmspec.errors import NoLayersError, SsmspecError, UsageError
from ssmspec.kernel import frequency_response
from ssmspec.plots import KINDS, PlotOptions, SchemeGrid, Subject
from ssmspec.plots.parts.multiples import MOST_CELLS
from ssmspec.plots.parts.panel import layer_panel
from ssmspec.results.layer_view import LayerView
from ssmspec.results.trajectory import LayerPaths, Trajectory
from ssmspec.writers import WRITERS, Page
from tests.examples.plots import (
    collisions,
    lin,
    markers,
    mimo_view,
    real,
    siso_view,
    spectrum,
    view,
    words,
)

SAMPLES = "sample_checkpoints"
OF_LAYERS = [kind for kind in KINDS.values() if kind.subject is Subject.LAYERS]


def draw(kind, *views, against="dfout"):
    return KINDS[kind].draw(iter(views), PlotOptions(against))


def paths(times=5, shape=(2, 3), name="blocks.0.ssm", oscillates=True):
    rng = np.random.default_rng(0)
    decay = np.exp(rng.uniform(-6, -2, (1, *shape)) + 0.1 * rng.normal(size=(times, *shape)))
    omega = rng.uniform(0.1, 3.0, (1, *shape)) + 0.01 * rng.normal(size=(times, *shape))
    return LayerPaths(name, decay, omega if oscillates else 0.0 * omega)


def trajectory(*layers):
    return Trajectory(100 * np.arange(layers[0].decay.shape[0]), layers)


def every_kind(views):
    """One figure of each kind, of these layers where it is of layers."""
    figures = {}
    for kind in KINDS.values():
        if kind.subject is Subject.LAYERS:
            figures[kind.id] = kind.draw(views(), PlotOptions())
    figures["sweep"] = KINDS["sweep"].draw(
        ssmspec.sweep(f"{SAMPLES}/s4d_lin.safetensors", "dt", seq_len=512), PlotOptions()
    )
    moved = trajectory(paths(), paths(name="blocks.1.ssm", oscillates=False))
    figures["trajectory"] = KINDS["trajectory"].draw(moved, PlotOptions())
    figures["schemes"] = KINDS["schemes"].draw(SchemeGrid(), PlotOptions())
    return figures


def test_poles_stand_where_exp_of_the_log_poles_is():
    layer = lin(channels=4, modes=8)
    figure = draw("poles", view(layer))
    disk, rim = figure.axes[:2]
    folded = np.arccos(np.cos(layer.log_poles.imag))
    z = (np.exp(layer.log_poles.real) * np.exp(1j * folded)).reshape(-1)
    is_aliased = (layer.log_poles.imag > np.pi * (1 + 1e-6)).reshape(-1)
    assert_allclose(markers(disk, "o") @ [1, 1j], z[~is_aliased], atol=1e-12)
    assert_allclose(markers(disk, "x") @ [1, 1j], z[is_aliased], atol=1e-12)
    decay = -layer.log_poles.real.reshape(-1)
    frequency = folded.reshape(-1) / (2 * np.pi)
    assert_allclose(markers(rim, "o"), np.stack([frequency, decay], 1)[~is_aliased], atol=1e-12)
    assert rim.get_ylim()[0] > rim.get_ylim()[1]  # the circle on top


def test_the_reference_of_poles_is_the_uniform_grid():
    figure = draw("poles", view(lin(channels=4, modes=8)))
    disk = figure.axes[2]
    angles = np.sort(np.angle(markers(disk, "o") @ [1, 1j]))
    assert_allclose(angles, np.pi * np.arange(32) / 32, atol=1e-9)
    assert "dfout, 4 × 8" in words(figure)


def test_layers_of_one_shape_share_a_reference_and_others_do_not():
    two = [view(lin(name="a")), view(lin(name="b"))]
    assert len(draw("poles", *two).axes) == 2 * 3
    assert len(draw("poles", *two, view(lin(4, 4, name="c"))).axes) == 2 * 5
    own = draw("poles", *two, against="s4d-inv")
    assert len(own.axes) == 2 * 4
    assert "s4d-inv at the step sizes of a" in words(own)


def test_growing_and_broken_poles_are_counted():
    layer = spectrum([[-0.1 + 1j, 0.2 + 2j, complex(np.nan, 0), -0.0 + 3j]])
    figure = draw("poles", view(layer))
    assert any("1 growing, 1 not finite" in text for text in words(figure))
    low = figure.axes[1].get_ylim()[1]
    assert_allclose(np.sort(markers(figure.axes[1], "^")[:, 0]), np.array([2, 3]) / (2 * np.pi))
    assert (markers(figure.axes[1], "^")[:, 1] == low).all()


def test_frequencies_are_in_hertz_where_the_rate_is_known():
    layer = lin(2, 4, dt=(0.01, 0.02))
    for rate, unit, nyquist in ((100.0, "Hz", 50.0), (16000.0, "kHz", 8.0)):
        rim = draw("poles", view(layer, rate=rate)).axes[1]
        assert rim.get_xlabel() == f"frequency ({unit})"
        assert rim.get_xlim() == (0.0, nyquist)
        expected = layer.log_poles.imag.reshape(-1) / np.pi * nyquist
        assert_allclose(markers(rim, "o")[:, 0], expected)
    octaves = draw("coverage", view(layer, rate=16000.0)).axes[3]
    assert octaves.get_xlabel() == "frequency (Hz), by octaves"
    assert octaves.get_xticklabels()[-1].get_text() == "8k"


def test_entanglement_shows_lines_of_slope_one_colored_by_step_size():
    layer = lin(channels=6, modes=5, dt=(1e-3, 1e-2))
    figure = draw("entanglement", view(layer))
    (cloud,) = figure.axes[0].collections
    places = np.asarray(cloud.get_offsets())
    keep = layer.log_poles.imag.reshape(-1) > 0
    omega, decay = layer.log_poles.imag.reshape(-1), -layer.log_poles.real.reshape(-1)
    assert_allclose(places[keep], np.stack([omega / (2 * np.pi), decay], 1)[keep])
    assert_allclose(cloud.get_array(), np.broadcast_to(layer.dt, (6, 5)).reshape(-1))


def test_coverage_says_the_share_and_marks_gap_and_aliases():
    layer = spectrum([[-0.01 + 0.5j, -0.01 + 4.0j]])
    figure = draw("coverage", view(layer))
    strip = figure.axes[1]
    width = 2 * np.arcsin(np.sinh(0.005))
    assert f"{100 * 4 * width / np.pi:.1f} % reached, 50 % aliased" in words(figure)
    (ticks,) = strip.collections
    assert isinstance(ticks, LineCollection)
    assert_allclose(ticks.get_segments()[0][:, 0], (2 * np.pi - 4.0) / (2 * np.pi))
    gap = [line.get_xdata() for line in strip.get_lines() if line.get_marker() == "|"]
    assert_allclose(gap[0], np.array([0.5 + width, 2 * np.pi - 4.0 - width]) / (2 * np.pi))


def test_time_constants_are_a_histogram_with_the_length_marked():
    figure = draw("timescales", view(real(), length=256))
    (bars,) = figure.axes[0].patches
    values, edges, _ = bars.get_data()
    constants = 1.0 / np.geomspace(1e-3, 2.0, 32)
    counts, _ = np.histogram(np.log2(constants), edges)
    assert_allclose(values, counts / 32)
    marked = [line.get_xdata()[0] for line in figure.axes[0].get_lines()]
    assert marked == [8.0]
    assert any("nominal" in text for text in words(figure))


def test_the_heat_map_and_the_energy_share_their_lags():
    figure = draw("kernels", siso_view(row_stride=40))
    heat, _, energy = figure.axes
    assert heat.get_xlim() == energy.get_xlim()
    rows = markers(energy, "|")
    assert_allclose(rows[:, 0], np.log2([40, 80, 120, 160]))
    assert any(re.fullmatch(r"5 × 6, 90 % within \d+ lags?", text) for text in words(figure))


def test_the_response_is_in_decibels():
    layer = mimo_view(outputs=1)
    axes = draw("response", layer).axes[0]
    total = axes.get_lines()[-1].get_xydata()
    exact = frequency_response(layer.kernel, 2 * np.pi * total[:, 0])[0]
    assert_allclose(total[:, 1], 20 * np.log10(np.linalg.norm(exact, axis=0)), atol=1e-9)


def test_a_sweep_draws_what_it_measured():
    found = ssmspec.sweep(f"{SAMPLES}/s4d_lin.safetensors", "dt", seq_len=512)
    figure = KINDS["sweep"].draw(found, PlotOptions())
    model = figure.axes[1].get_lines()[-2].get_xydata()
    expected = [100 * point.metrics["aliased_fraction"].value for point in found.model]
    assert_allclose(model, np.stack([np.log2(found.factors), expected], axis=1))
    assert figure.axes[0].get_xticklabels()[0].get_text() == "1/16"


def test_a_sweep_without_the_knob_is_refused():
    found = ssmspec.sweep(f"{SAMPLES}/lru.safetensors", "dt")
    with pytest.raises(NoLayersError, match="no step size"):
        KINDS["sweep"].draw(found, PlotOptions())


def test_paths_run_from_the_first_step_to_the_last():
    layer = paths(times=4)
    figure = KINDS["trajectory"].draw(trajectory(layer), PlotOptions())
    axes = figure.axes[0]
    (lines,) = axes.collections
    segments = np.array(lines.get_segments()).reshape(3, 6, 2, 2)
    x = layer.omega.reshape(4, 6) / (2 * np.pi)
    assert_allclose(segments[:, :, 0, 0], x[:-1])
    assert_allclose(segments[:, :, 1, 1], layer.decay.reshape(4, 6)[1:])
    assert_allclose(lines.get_array(), np.repeat([1 / 3, 2 / 3, 1.0], 6))
    start, end = markers(axes, "o")[:6], markers(axes, "o")[6:]
    assert_allclose(start[:, 0], x[0])
    assert_allclose(end[:, 1], layer.decay.reshape(4, 6)[-1])
    assert {"step 0", "step 300"} <= set(words(figure))


def test_a_path_with_a_broken_step_has_a_hole():
    layer = paths(times=4)
    layer.decay[2, 0, 0] = np.nan
    figure = KINDS["trajectory"].draw(trajectory(layer), PlotOptions())
    (lines,) = figure.axes[0].collections
    assert len(lines.get_segments()) == 3 * 6 - 2


def test_schemes_are_the_closed_form_at_each_step_size():
    figure = KINDS["schemes"].draw(
        SchemeGrid(("s4d-lin", "dfout"), (0.01, 0.05), 32), PlotOptions()
    )
    n = np.arange(32)
    for axes, dt in zip(figure.axes[:2], (0.01, 0.05), strict=True):
        z = np.exp(dt * (-0.5 + 1j * np.pi * n))
        z = np.where(z.imag < 0, z.conj(), z)
        beyond = dt * n > 1.0 + 1e-6
        assert_allclose(markers(axes, "o") @ [1, 1j], z[~beyond], atol=1e-12)
        assert_allclose(markers(axes, "x") @ [1, 1j], z[beyond], atol=1e-9)
    for axes, xi in zip(figure.axes[2:], (0.01, 0.05), strict=True):
        z = np.exp(-xi / 2 + 1j * np.pi * n / 32)
        assert_allclose(markers(axes, "o") @ [1, 1j], z, atol=1e-12)
    assert "11 of 32 aliased" in words(figure)
    assert "dfout, xi = 0.01" in words(figure)


@pytest.mark.parametrize(
    ("grid", "says"),
    [
        ({"schemes": ("s4d-lni",)}, "did you mean 's4d-lin'"),
        ({"dts": (0.0,)}, "positive"),
        ({"dts": (float("nan"),)}, "positive"),
        ({"modes": 0}, "modes"),
        ({"dts": (0.1,) * 9}, "at most 4"),
        ({"schemes": ()}, "at least one"),
    ],
)
def test_a_grid_that_makes_no_sense_is_refused(grid, says):
    with pytest.raises(UsageError, match=says):
        SchemeGrid(**grid)


def test_names_are_text_and_fit(tmp_path):
    names = [
        "a$\\frac{x}{y}$_^b.0.kernel",
        "<script>alert(1)</script>&amp;.1",
        "[red]\u4e2d\u6587\u202e.2",
        "an.extremely.long.name" * 20 + ".3",
        "%s{}%(x)d.4",
    ]
    figure = draw("poles", *[view(lin(4, 4, name=name)) for name in names])
    shown = words(figure)
    assert names[0] in shown
    assert names[1] in shown
    assert "[red]\\u4e2d\\u6587\\u202e.2" in shown
    assert any(text.startswith("an.ext") and "…" in text and text.endswith(".3") for text in shown)
    assert collisions(figure) == []


def test_more_layers_than_fit_are_counted():
    views = [view(lin(2, 3, name=f"layers.{i}")) for i in range(MOST_CELLS + 30)]
    assert "and 30 more; --layers GLOB chooses which are shown" in words(draw("poles", *views))


@pytest.mark.parametrize("kind", [kind.id for kind in OF_LAYERS])
def test_a_layer_that_cannot_be_drawn_is_a_sentence_beside_one_that_can(kind):
    known, unknown = siso_view(), LayerView(real(name="mixer"), no_kernel="C is not in the file")
    text = " ".join(words(draw(kind, known, unknown)))
    if kind in ("poles", "timescales"):
        assert "mixer" in text
    else:
        assert re.search(r"real poles\s+do not oscillate|B, C and dt\s+depend on the input", text)
        with pytest.raises(NoLayersError, match="ssmspec list plots"):
            draw(kind, unknown)


def test_no_layer_at_all_is_refused():
    with pytest.raises(NoLayersError):
        draw("poles")


def test_an_unknown_scheme_names_the_nearest():
    with pytest.raises(UsageError, match="did you mean 's4d-lin'"):
        draw("poles", view(lin()), against="s4d-lim")


def test_nothing_overlaps_or_leaves_the_page():
    views = [view(lin(name="layers.0"), length=512), siso_view(seed=1), mimo_view(seed=2)]
    for kind, figure in every_kind(lambda: iter(views)).items():
        assert collisions(figure) == [], kind
    rated = siso_view(row_stride=16, sample_rate=44100.0)
    for kind in ("poles", "coverage", "kernels"):
        assert collisions(draw(kind, rated)) == [], kind
    for one in (*views, view(real(), 4096), siso_view(row_stride=32, length=1024)):
        assert collisions(layer_panel(one)) == []


@pytest.mark.parametrize("name", ["s4d_lin", "s5", "lru", "mamba1", "mamba2", "defect_unstable_s5"])
def test_every_sample_has_a_panel_and_axes_with_names(name):
    report = ssmspec.analyze(f"{SAMPLES}/{name}.safetensors", seq_len=512)
    for one in report.origin():
        figure = layer_panel(one)
        assert collisions(figure) == []
        assert all(axes.get_xlabel() for axes in figure.axes if axes.axison)


def test_a_layer_without_a_finite_pole_is_a_sentence():
    broken = spectrum([[complex(np.nan, 0)] * 3])
    assert "nothing to draw" in " ".join(words(layer_panel(view(broken))))
    draw("poles", view(broken), view(lin()))


def test_drawing_changes_no_setting_and_ignores_the_users():
    with mpl.rc_context({"font.size": 40.0, "axes.facecolor": "red", "text.usetex": True}):
        before = dict(mpl.rcParams)
        figure = draw("poles", view(lin()))
        assert dict(mpl.rcParams) == before
        assert isinstance(figure, Figure)
        assert collisions(figure) == []


def test_a_report_draws_itself_and_a_saved_one_cannot(tmp_path):
    report = ssmspec.analyze(f"{SAMPLES}/s4d_lin.safetensors", seq_len=256)
    for name in ("poles", "coverage", "entanglement", "timescales", "kernels", "response"):
        figure = getattr(report.plot, name)()
        assert {f"s4_layers.{i}.kernel" for i in range(2)} <= set(words(figure))
    assert figure._repr_png_().startswith(b"\x89PNG")
    (tmp_path / "r.json").write_text(WRITERS["json"].render(report, Page()))
    saved = ssmspec.load_report(tmp_path / "r.json")
    for draw_again in (saved.plot.poles, saved.plot.kernels, saved.plot.sweep):
        with pytest.raises(SsmspecError, match="holds numbers and no poles"):
            draw_again()


@pytest.mark.parametrize("knob", ["dt", "xi"])
def test_a_report_sweeps_what_it_read(knob):
    path = f"{SAMPLES}/s4d_lin.safetensors"
    report = ssmspec.analyze(path, seq_len=256)
    again = report.plot.sweep(knob)
    fresh = KINDS["sweep"].draw(ssmspec.sweep(path, knob, seq_len=256), PlotOptions())
    for a, b in zip(again.axes, fresh.axes, strict=True):
        for x, y in zip(a.get_lines(), b.get_lines(), strict=True):
            assert_allclose(x.get_xydata(), y.get_xydata())


def test_kinds_are_those_the_command_line_promises():
    assert list(KINDS) == [
        "poles", "coverage", "entanglement", "timescales", "kernels", "response", "sweep",
        "trajectory", "schemes",
    ]  # fmt: skip
    assert all(a.id != b.id for a, b in pairwise(KINDS.values()))
