"""One look for every figure: colors, sizes and type.

Colors follow Okabe and Ito (told apart under every common color blindness) for series, set apart in
lightness too, and cividis for quantities. Series differ in marker or dash besides, so that a figure
survives a black-and-white printer.

Every color is used for one purpose and written as one hexadecimal string, so that
`ssmspec.plots.files.to_svg` can replace it by a CSS variable.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib import colormaps
from matplotlib.colors import ListedColormap

SINGLE_COLUMN = 3.4
"""Inches: one column of a two-column page."""
DOUBLE_COLUMN = 7.0
"""Inches: the whole width of a page."""

RASTERIZE_ABOVE = 4000
"""Points of one series from which a vector figure holds them as an image (a heuristic: about where
an image is the smaller of the two)."""

SCREEN_DPI = 110
PRINT_DPI = 300


@dataclass(frozen=True)
class Color:
    """A color with a purpose.

    Attributes:
        name: of its CSS variable, `--plot-<name>`.
        light: on paper.
        dark: on a dark page.
    """

    name: str
    light: str
    dark: str


INK = Color("ink", "#1a1c1f", "#e6e8eb")
MUTED = Color("muted", "#5b626b", "#a3abb5")
GRID = Color("grid", "#d8dce1", "#3b4149")
LAYER = Color("layer", "#00609c", "#56b4e9")
REFERENCE = Color("reference", "#e69f00", "#e69f00")
ALIASED = Color("aliased", "#e2600c", "#ff8552")
STEPS = (
    Color("step-1", "#12406f", "#2f7dbd"),
    Color("step-2", "#4f6b8a", "#7c9cc0"),
    Color("step-3", "#8d8f6c", "#b3b28c"),
    Color("step-4", "#c9a92f", "#f0d060"),
)
"""Four classes of step size, short to long, along cividis."""

PAPER = "#ffffff"
QUANTITY = ListedColormap(colormaps["cividis"](np.linspace(0.0, 0.9, 256)), "quantity")
"""Color map of everything measured on a scale: cividis without the end that fades on white."""
FADED = ListedColormap(colormaps["cividis"](np.linspace(0.9, 0.05, 256)), "faded")
"""The same from light to dark, for time."""

COLORS = (INK, MUTED, GRID, LAYER, REFERENCE, ALIASED, *STEPS)

FONTS = ("DejaVu Sans",)
"""Ships with matplotlib, so that sizes are the same on every machine."""
SYSTEM_FONTS = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', Verdana, sans-serif"

RC: dict[Any, Any] = {
    "font.family": list(FONTS),
    "font.size": 7.5,
    "axes.titlesize": 7.5,
    "axes.labelsize": 7.5,
    "xtick.labelsize": 6.5,
    "ytick.labelsize": 6.5,
    "legend.fontsize": 7.0,
    "text.color": INK.light,
    "text.parse_math": False,
    "text.usetex": False,
    "axes.edgecolor": MUTED.light,
    "axes.labelcolor": INK.light,
    "axes.titlecolor": INK.light,
    "axes.facecolor": "none",
    "axes.linewidth": 0.6,
    "axes.grid": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.labelpad": 2.0,
    "axes.titlepad": 3.0,
    "axes.unicode_minus": True,
    "axes.formatter.use_mathtext": False,
    "xtick.color": MUTED.light,
    "ytick.color": MUTED.light,
    "xtick.labelcolor": MUTED.light,
    "ytick.labelcolor": MUTED.light,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.minor.size": 1.5,
    "ytick.minor.size": 1.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.minor.width": 0.4,
    "ytick.minor.width": 0.4,
    "xtick.major.pad": 2.0,
    "ytick.major.pad": 2.0,
    "grid.color": GRID.light,
    "grid.linewidth": 0.5,
    "lines.linewidth": 1.0,
    "hatch.linewidth": 0.5,
    "legend.frameon": False,
    "legend.handlelength": 1.4,
    "figure.facecolor": PAPER,
    "figure.dpi": SCREEN_DPI,
    "savefig.dpi": PRINT_DPI,
    "savefig.facecolor": "auto",
    "pdf.fonttype": 42,
    "svg.fonttype": "none",
    "svg.hashsalt": "ssmspec",
}


@contextmanager
def styled() -> Iterator[None]:
    """The settings of matplotlib itself, whatever the user's are, with this module's on top.

    For both drawing and saving: some settings are read when an artist is made, others when it is
    rendered.
    """
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(RC)
        yield
