"""A figure as bytes of a file, or as SVG to put inside an HTML page.

Files hold no date and no random identifiers: the same figure gives the same bytes.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ssmspec.errors import UsageError
from ssmspec.naming import did_you_mean, printable
from ssmspec.plots.compact_svg import compacted
from ssmspec.plots.style import PRINT_DPI, SCREEN_DPI, styled

SUFFIXES = (".png", ".svg", ".pdf")

HIGHEST_DPI = 1200
"""Beyond it a page-wide image takes more memory than any use of it could need (heuristic)."""

_UNDATED: dict[str, dict[str, Any]] = {
    ".png": {"Software": None},
    ".svg": {"Date": None, "Creator": None},
    ".pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}


def to_svg(figure: Figure, *, prefix: str | None = None, label: str | None = None) -> str:
    """A figure as one `<svg>` element for an HTML page, a few kB where no image is in it.

    It has no prolog, no style sheet of its own and a transparent background. Text stays text, in
    the page's system font. Colors are CSS variables with the light ones as fallback
    (`var(--plot-ink, #1a1c1f)`; names and dark values in `ssmspec.plots.style.COLORS`), so that a
    page in dark mode sets the variables and nothing else.

    Args:
        figure: any.
        prefix: of the ids in it, which must be unique in a page; a hash of the content by default.
        label: what a screen reader says.
    """
    return compacted(_saved(figure, ".svg", SCREEN_DPI, "none").decode(), prefix, label)


def to_bytes(figure: Figure, suffix: str, *, dpi: int | None = None) -> bytes:
    """A figure as a file of its own, with a white background.

    Args:
        figure: any.
        suffix: `.png`, `.svg` or `.pdf`.
        dpi: resolution of a PNG file, and of what a vector file holds as an image; 300 by default.

    Raises:
        UsageError: another suffix, or a resolution out of range.
    """
    require_suffix(Path(f"figure{suffix}"))
    require_dpi(dpi)
    content = _saved(figure, suffix, dpi or PRINT_DPI, "auto")
    if suffix != ".svg":
        return content
    # Verdana is as wide as DejaVu Sans, which text was laid out with.
    return content.replace(b"'DejaVu Sans'", b"'DejaVu Sans', Verdana, sans-serif")


def require_suffix(path: Path) -> str:
    """The suffix of a figure's file.

    Raises:
        UsageError: it is none of `SUFFIXES`; the message names the nearest.
    """
    if path.suffix in SUFFIXES:
        return path.suffix
    shown = printable(path.name)
    if not path.suffix:
        raise UsageError(f"{shown} has no suffix; choose from {', '.join(SUFFIXES)}")
    raise UsageError(
        f"{shown}: figures are not written as {printable(path.suffix)!r}; "
        f"{did_you_mean(path.suffix, SUFFIXES)}"
    )


def require_dpi(dpi: int | None) -> None:
    """Refuse a resolution that no printer has.

    Raises:
        UsageError: it lies outside 1 to `HIGHEST_DPI`.
    """
    if dpi is not None and not 1 <= dpi <= HIGHEST_DPI:
        raise UsageError(f"the resolution must lie in 1 to {HIGHEST_DPI} dpi, got {dpi}")


def _saved(figure: Figure, suffix: str, dpi: int, background: str) -> bytes:
    file = io.BytesIO()
    with styled():
        figure.savefig(
            file,
            format=suffix[1:],
            dpi=dpi,
            metadata=_UNDATED[suffix],
            facecolor=background,
            edgecolor="none",
        )
    return file.getvalue()


class Drawing(Figure):
    """A figure that shows itself in a notebook, also where pyplot was never imported."""

    def _repr_png_(self) -> bytes:
        from ssmspec.plots.files import to_bytes  # noqa: PLC0415 - export builds on this module

        return to_bytes(self, ".png", dpi=2 * SCREEN_DPI)


def new_figure(width: float, height: float) -> Drawing:
    """An empty figure.

    Args:
        width: inches.
        height: inches.
    """
    figure = Drawing(figsize=(width, height))
    FigureCanvasAgg(figure)
    return figure
