"""Layers made by hand for figures, and ways to read a figure back."""

from xml.etree import ElementTree as ET

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

from ssmspec.plots.style import styled
from ssmspec.reading import Discretization
from ssmspec.results.layer_view import LayerView
from ssmspec.spectrum import LayerSpectrum, Symmetry
from tests.examples.kernels import random_mimo, random_siso


def spectrum(log_poles, name="layers.0", **changes):
    fields = {
        "name": name,
        "family": "s4d",
        "discretization": Discretization.ZOH,
        "symmetry": Symmetry.HALF,
        "log_poles": np.asarray(log_poles, dtype=np.complex128),
        "dt": np.ones((len(log_poles), 1)),
    }
    return LayerSpectrum(**fields | changes)


def lin(channels=8, modes=16, dt=(1e-3, 1e-1), name="layers.0"):
    """S4D-Lin with step sizes at equal ratios: -decay + i omega = dt (-1/2 + i pi n)."""
    steps = np.geomspace(*dt, channels)[:, None]
    return spectrum(steps * (-0.5 + 1j * np.pi * np.arange(modes)), name, dt=steps)


def real(channels=4, modes=8, name="layers.0"):
    decay = np.geomspace(1e-3, 2.0, channels * modes).reshape(channels, modes)
    return spectrum(-decay + 0j, name, symmetry=Symmetry.REAL, selective=True)


def siso_view(seed=0, shape=(5, 6), length=200, **changes):
    kernel = random_siso(np.random.default_rng(seed), shape)
    return LayerView(kernel.spectrum, kernel, sequence_length=length, **changes)


def mimo_view(seed=0, modes=6, outputs=4, inputs=3, length=200, **changes):
    kernel = random_mimo(np.random.default_rng(seed), modes, outputs, inputs)
    return LayerView(kernel.spectrum, kernel, sequence_length=length, **changes)


def view(layer, length=None, rate=None):
    return LayerView(
        layer, no_kernel="C is not in the file", sequence_length=length, sample_rate=rate
    )


def markers(axes, marker):
    """Places of all marks of one shape on some axes, (n, 2)."""
    lines = [line for line in axes.get_lines() if line.get_marker() == marker]
    return np.concatenate([line.get_xydata() for line in lines] or [np.empty((0, 2))])


def words(figure):
    """Every text on a figure that is not a tick label."""
    ticks = {
        label
        for axes in figure.axes
        for axis in (axes.xaxis, axes.yaxis)
        for label in (*axis.get_ticklabels(), *axis.get_ticklabels(minor=True))
    }
    return [t.get_text() for t in figure.findobj(Text) if t.get_text() and t not in ticks]


def boxes(figure):
    """(text, extent in pixels) of everything written on a figure, as it is rendered."""
    with styled():
        FigureCanvasAgg(figure).draw()
        renderer = figure.canvas.get_renderer()
        beyond = {
            tick.label1
            for axes in figure.axes
            for axis in (axes.xaxis, axes.yaxis)
            for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks())
            if not axes.axison or not is_inside(tick.get_loc(), axis.get_view_interval())
        }
        texts = [t for t in figure.findobj(Text) if t.get_text().strip() and t.get_visible()]
        return [(t.get_text(), t.get_window_extent(renderer)) for t in texts if t not in beyond]


def is_inside(place, limits):
    low, high = sorted(limits)
    return low * (1 - 1e-9) - 1e-12 <= place <= high * (1 + 1e-9) + 1e-12


def parsed(svg):
    """The root of an SVG that was just drawn."""
    return ET.fromstring(svg)  # noqa: S314 - our own output


def collisions(figure):
    """Texts that overlap one another or leave the page."""
    placed = [(text, box.padded(-0.75)) for text, box in boxes(figure)]
    pairs = [
        (a, b)
        for i, (a, first) in enumerate(placed)
        for b, second in placed[i + 1 :]
        if first.overlaps(second)
    ]
    page = figure.bbox
    outside = [
        text
        for text, box in placed
        if box.x0 < page.x0 or box.x1 > page.x1 or box.y0 < page.y0 or box.y1 > page.y1
    ]
    return pairs + outside
