"""Figures as files and inside pages: valid, small, repeatable, and nothing but a drawing."""

import io
import re
import subprocess
import sys
import zlib

import numpy as np
import pytest
from matplotlib.image import imread

from ssmspec.errors import UsageError
from ssmspec.plots import KINDS, PlotOptions
from ssmspec.plots.files import HIGHEST_DPI, new_figure, to_bytes, to_svg
from ssmspec.plots.parts.axes import crosses, dots
from ssmspec.plots.parts.panel import layer_panel
from ssmspec.plots.style import ALIASED, COLORS, LAYER, styled
from ssmspec.results.layer_view import LayerView
from tests.examples.plots import lin, parsed, siso_view, view

HOSTILE = "<script>x</script>$\\pi$--><b>&amp;"


def poles(*layers):
    return KINDS["poles"].draw(iter([view(layer) for layer in layers]), PlotOptions())


def scatter(x, y, mark, color):
    """A figure of 2 x 1 inches whose axes fill it, so that 1 unit is 144 or 72 points."""
    with styled():
        figure = new_figure(2.0, 1.0)
        axes = figure.add_axes((0, 0, 1, 1))
        mark(axes, np.asarray(x), np.asarray(y), color)
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1)
        axes.set_axis_off()
        return figure


def elements(svg, tag):
    return [e for e in parsed(svg).iter() if e.tag.rpartition("}")[2] == tag]


def test_a_png_is_as_large_as_asked():
    for dpi in (72, 150):
        pixels = imread(io.BytesIO(to_bytes(poles(lin()), ".png", dpi=dpi)))
        assert pixels.shape[1] == pytest.approx(3.4 * dpi, abs=1)
        assert (pixels[0, 0] == 1.0).all()  # white, opaque


def test_svg_and_pdf_are_what_they_say():
    figure = poles(lin())
    root = parsed(to_bytes(figure, ".svg"))
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert "layers.0" in [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")]
    pdf = to_bytes(figure, ".pdf")
    assert pdf.startswith(b"%PDF-")
    assert pdf.rstrip().endswith(b"%%EOF")
    assert b"/Type /Page" in pdf
    assert b"/Type3" not in pdf  # fonts that publishers refuse


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_the_same_figure_gives_the_same_bytes(suffix):
    first, second = (to_bytes(poles(lin()), suffix) for _ in range(2))
    assert first == second
    assert b"CreationDate" not in first
    assert re.search(rb"\b20[2-9]\d-[01]\d-[0-3]\d", first) is None


@pytest.mark.parametrize(
    ("suffix", "says"),
    [(".jpg", "did you mean"), (".pgn", "did you mean '.png'"), ("", "no suffix"), (".PNG", "png")],
)
def test_other_formats_are_refused(suffix, says):
    with pytest.raises(UsageError, match=says):
        to_bytes(poles(lin()), suffix)


@pytest.mark.parametrize("dpi", [0, -1, HIGHEST_DPI + 1])
def test_a_resolution_out_of_range_is_refused(dpi):
    with pytest.raises(UsageError, match="dpi"):
        to_bytes(poles(lin()), ".png", dpi=dpi)


def test_many_points_are_an_image_within_a_vector_figure():
    few, many = (to_bytes(poles(lin(64, modes)), ".svg") for modes in (32, 128))
    assert not elements(few, "image")
    assert len(elements(many, "image")) == 4  # two views of the layer and of its reference
    assert len(many) < 1.5 * len(few)


def test_inline_svg_is_one_element_of_drawing_only():
    svg = to_svg(poles(lin(name=HOSTILE)), label="poles <of> a layer")
    root = parsed(svg)
    assert svg.startswith("<svg ")
    assert root.get("aria-label") == "poles <of> a layer"
    tags = {e.tag.rpartition("}")[2] for e in root.iter()}
    assert tags <= {"svg", "g", "path", "text", "use", "defs", "clipPath", "rect", "image"}
    assert not [key for e in root.iter() for key in e.attrib if key.lower().startswith("on")]
    assert "<script" not in svg
    assert HOSTILE in ["".join(text.itertext()) for text in elements(svg, "text")]


def test_inline_svg_takes_its_colors_from_the_page():
    svg = to_svg(layer_panel(siso_view(row_stride=20)))
    light = {color.light: color.name for color in COLORS}
    used = re.findall(r"var\(--plot-([\w-]+),(#[0-9a-f]{6})\)", svg)
    assert used
    assert all(light[value] == name for name, value in used)
    assert set(re.findall(r"#[0-9a-f]{6}", svg)) == {value for _, value in used}
    assert "#ffffff" not in svg


def test_colors_of_the_two_themes_are_told_apart():
    for values in ({color.light for color in COLORS}, {color.dark for color in COLORS}):
        assert len(values) == len(COLORS)


def test_ids_are_unique_on_a_page_and_all_of_them_resolve():
    one = to_svg(layer_panel(siso_view(seed=0)))
    two = to_svg(layer_panel(siso_view(seed=1)))
    named = to_svg(layer_panel(siso_view(seed=0)), prefix="layer-7")
    ids = [[e.get("id") for e in parsed(svg).iter() if e.get("id")] for svg in (one, two)]
    assert ids[0]
    assert not set(ids[0]) & set(ids[1])
    for svg in (one, two, named):
        defined = re.findall(r'\bid="([^"]+)"', svg)
        assert len(defined) == len(set(defined))
        assert set(re.findall(r'(?:href="#|url\(#)([^")]+)', svg)) == set(defined)
    assert all(name.startswith("layer-7-") for name in re.findall(r'\bid="([^"]+)"', named))


def test_every_dot_is_where_it_was():
    rng = np.random.default_rng(0)
    x, y = rng.random(300), rng.random(300)
    (path,) = elements(to_svg(scatter(x, y, dots, LAYER)), "path")
    place, found = np.zeros(2), []
    for dx, dy in re.findall(r"m(-?[\d.]+) ?(-?[\d.]+)h0", path.get("d")):
        place = place + np.array([float(dx), float(dy)])
        found.append(place)
    expected = np.unique(np.round(np.stack([144 * x, 72 - 72 * y], axis=1), 1), axis=0)
    assert len(found) == pytest.approx(len(expected), abs=2)
    distance = np.abs(np.array(found)[:, None] - np.stack([144 * x, 72 - 72 * y], 1)).max(axis=2)
    assert distance.min(axis=0).max() < 0.051
    assert distance.min(axis=1).max() < 0.051


def test_every_cross_is_where_it_was():
    x, y = [0.25, 0.5, 0.75], [0.5, 0.25, 0.9]
    figure = scatter(x, y, lambda *args: crosses(*args, beside=3), ALIASED)
    (path,) = elements(to_svg(figure), "path")
    strokes = re.findall(
        r"M([-\d.]+) ?([-\d.]+?)l([-\d.]+?) ?(-[\d.]+)m([-\d.]+) 0l([-\d.]+?) ([\d.]+)",
        path.get("d"),
    )
    assert len(strokes) == 3
    for (left, top, right, up, *_), a, b in zip(strokes, x, y, strict=True):
        assert float(left) + float(right) / 2 == pytest.approx(144 * a, abs=0.06)
        assert float(top) + float(up) / 2 == pytest.approx(72 - 72 * b, abs=0.06)


def test_a_step_line_keeps_its_corners():
    with styled():
        figure = new_figure(2.0, 1.0)
        axes = figure.add_axes((0, 0, 1, 1))
        axes.stairs([0.5, 0.25, 0.25, 0.75], [0, 0.25, 0.5, 0.75, 1], baseline=None)
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1)
        axes.set_axis_off()
    (path,) = elements(to_svg(figure), "path")
    assert path.get("d").replace(" ", "") in ("M036H36V54H108V18H144", "M036H36V54H72H108V18H144")


def test_a_panel_of_a_large_layer_is_small():
    rng = np.random.default_rng(0)
    layer = lin(512, 32)
    moved = layer.log_poles * np.exp(0.05 * rng.normal(size=layer.shape))
    large = LayerView(type(layer)(**{**vars_of(layer), "log_poles": moved}), sequence_length=4096)
    svg = to_svg(layer_panel(large))
    assert len(svg) < 35_000
    assert len(zlib.compress(svg.encode())) < 15_000
    assert "700 of 16,384" in svg


def vars_of(layer):
    return {
        key: getattr(layer, key)
        for key in ("name", "family", "discretization", "symmetry", "log_poles", "dt")
    }


def test_nothing_global_is_loaded():
    code = (
        "import ssmspec, sys; report = ssmspec.analyze('sample_checkpoints/s4d_lin.safetensors');"
        "report.plot.poles(); report.plot.sweep('dt');"
        "assert 'matplotlib' in sys.modules and 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)
