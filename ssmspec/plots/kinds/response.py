"""`response`: the frequency response of each layer's channels, in dB."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from matplotlib.artist import Artist
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from ssmspec.arrays import Complexes, Floats
from ssmspec.kernel import (
    LayerKernel,
    MimoKernel,
    channel_blocks,
    resonance,
    siso_response,
)
from ssmspec.metrics.base import DECAYING, FINITE, KERNEL, TRACTABLE, Context
from ssmspec.plots.base import DEFAULTS, Kind, Layers, PlotOptions, Subject, require_some
from ssmspec.plots.files import Drawing
from ssmspec.plots.parts.axes import Band, frequency_axis, sentence
from ssmspec.plots.parts.labels import count
from ssmspec.plots.parts.layout import Sheet
from ssmspec.plots.parts.multiples import RIGHT, Cell, arranged, first_layers, line_handle
from ssmspec.plots.style import ALIASED, INK, LAYER, styled
from ssmspec.results.layer_view import LayerView

HEIGHT = 1.6
"""Inches of one cell."""
DEPTH = 80.0
"""Most decibels shown below the highest gain."""
BANDS = ((5.0, 95.0, "5 to 95 %", "#c4deee"), (25.0, 75.0, "25 to 75 %", "#76b3d8"))
"""Percentiles of the channels, what the band between them is called, and its color."""


@dataclass(frozen=True, eq=False)
class _Layer:
    name: str
    band: Band
    gains: Gains | str


def draw(views: Layers, options: PlotOptions = DEFAULTS) -> Drawing:
    """The gain of each layer's channels along the band.

    Raises:
        NoLayersError: there is no layer, or none with a response to draw.
    """
    del options  # a scheme has no C, and so no response

    def prepare(view: LayerView) -> _Layer:
        return _Layer(view.spectrum.name, Band.at(view.sample_rate), gains_of(view))

    layers, notes = first_layers(views, prepare)
    drawn = [layer.gains for layer in layers if isinstance(layer.gains, Gains)]
    reasons = [layer.gains for layer in layers if isinstance(layer.gains, str)]
    require_some(drawn, "response", reasons[0] if reasons else "")
    with styled():
        cells = [Cell(layer.name, _note(layer), _drawing(layer)) for layer in layers]
        return arranged(cells, HEIGHT, legend=_legend(drawn), notes=notes)


def _legend(drawn: list[Gains]) -> list[Artist]:
    handles: list[Artist] = [line_handle("all together (root of the sum of squares)", INK)]
    if any(gains.gains.shape[0] > 1 for gains in drawn):
        handles.append(line_handle("median", LAYER))
        handles += [
            Patch(facecolor=shade, edgecolor="none", label=label)
            for _, _, label, shade in BANDS[::-1]
        ]
    if any(gains.loudest is not None and gains.gains.shape[0] > 1 for gains in drawn):
        handles.append(line_handle("loudest channel", ALIASED, dashed=True))
    return handles


def _note(layer: _Layer) -> str:
    if isinstance(layer.gains, str):
        return ""
    return count(layer.gains.gains.shape[0], layer.gains.noun)


def _drawing(layer: _Layer) -> Callable[[Sheet], None]:
    def draw_cell(sheet: Sheet) -> None:
        axes = sheet.axes(0.46, 0.06, RIGHT, 0.34)
        gains = layer.gains
        if isinstance(gains, str):
            sentence(axes, gains)
            return
        total = to_decibels(gains.total, -np.inf)
        top = float(total.max())
        floor = top - DEPTH
        x = layer.band.of(gains.omega)
        lowest = float(total.min())
        if gains.gains.shape[0] > 1:
            for low, high, _, shade in BANDS:
                edges = to_decibels(np.percentile(gains.gains, [low, high], axis=0), floor)
                lowest = min(lowest, float(edges[0].min()))
                axes.fill_between(x, *edges, color=shade, linewidth=0.0)
            median = to_decibels(np.median(gains.gains, axis=0), floor)
            axes.plot(x, median, color=LAYER.light, linewidth=0.9)
            if gains.loudest is not None:
                axes.plot(
                    layer.band.of(gains.loudest[0]),
                    to_decibels(gains.loudest[1], floor),
                    color=ALIASED.light,
                    linewidth=0.6,
                    linestyle=(0, (3, 1.2)),
                )
                top = max(top, float(to_decibels(gains.loudest[1], floor).max()))
        axes.plot(x, np.maximum(total, floor), color=INK.light, linewidth=0.9)
        axes.set_ylim(max(lowest, floor) - 3.0, top + 4.0)
        frequency_axis(axes, layer.band)
        axes.set_ylabel("gain (dB)")
        axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))

    return draw_cell


KIND = Kind(
    id="response",
    title="frequency response",
    summary="gain of the channels in dB along the band: percentiles, the loudest, all together",
    subject=Subject.LAYERS,
    draw=draw,
    kernels=True,
)


GRID = 1024
"""Equal steps of [0, pi] at which a response is taken."""
MOST_PRODUCTS = 2**31
"""Multiplications up to which a MIMO layer's response is taken, some seconds (heuristic)."""
FEWEST_STEPS = 64
_BLOCK = 2**20


@dataclass(frozen=True, eq=False)
class Gains:
    """The gain of each channel along the band.

    Attributes:
        omega: (n,) rad/sample, equally spaced from 0 to pi.
        gains: (h, n), of a MIMO layer that of each output to all inputs together.
        loudest: (2, m) frequency and gain of the loudest channel, its poles' frequencies included;
            None of a MIMO layer.
        noun: what a row is, "channel" or "output".
    """

    omega: Floats
    gains: Floats
    loudest: Floats | None
    noun: str

    @property
    def total(self) -> Floats:
        """(n,) gain of all channels together, the root of the sum of squares."""
        summed: Floats = np.sqrt(np.square(self.gains).sum(axis=0))
        return summed


def gains_of(view: LayerView) -> Gains | str:
    """The gains of a layer's channels, or why there are none to show."""
    context = Context(view.sequence_length, kernel=view.kernel, no_kernel=view.no_kernel)
    for requirement in (FINITE, KERNEL, DECAYING, TRACTABLE):
        reason = requirement.missing(view.spectrum, context)
        if reason is not None:
            return reason
    kernel = view.kernel
    if kernel is None:  # KERNEL has a reason for it
        return view.no_kernel
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        found = _mimo(kernel) if isinstance(kernel, MimoKernel) else _siso(kernel)
    if isinstance(found, str):
        return found
    if not np.isfinite(found.gains).all():
        return "the gain of a mode that hardly decays is beyond what a float holds"
    return found if found.gains.any() else "the kernel is zero"


def _siso(kernel: LayerKernel) -> Gains:
    """K repeated every 2 GRID lags has residues c / (1 - l^(2 GRID)); its transform samples K's."""
    period = 2 * GRID
    outputs, channels, modes = kernel.residues.shape
    gains = np.empty((channels, GRID + 1))
    peaks = np.empty(channels)
    for block in channel_blocks(kernel, outputs * (2 * period + modes * modes)):
        poles, residues = kernel.spectrum.log_poles[block], kernel.residues[:, block]
        response = siso_response(residues / -np.expm1(period * poles), poles, kernel.gain, period)
        gains[block] = np.sqrt(np.sum(np.abs(np.fft.rfft(response)) ** 2, axis=0))
        at_poles = _gain_at(residues, poles, kernel.gain, kernel.spectrum.omega[block])
        peaks[block] = np.maximum(gains[block].max(axis=1), at_poles.max(axis=1))
    omega = np.linspace(0.0, np.pi, GRID + 1)
    best = int(np.argmax(peaks))
    places = np.union1d(omega, kernel.spectrum.omega[best])
    one = slice(best, best + 1)
    curve = _gain_at(
        kernel.residues[:, one], kernel.spectrum.log_poles[one], kernel.gain, places[None]
    )
    return Gains(omega, gains, np.stack([places, curve[0]]), "channel")


def _gain_at(residues: Complexes, log_poles: Complexes, gain: float, omega: Floats) -> Floats:
    """(h, n) gain of each channel at its own frequencies (h, n); residues (S, h, M)."""
    ahead = resonance(log_poles[:, None, :], omega[..., None])
    behind = resonance(log_poles[:, None, :], -omega[..., None]).conj()
    total = np.einsum("shm,hnm->shn", residues, ahead)
    total += np.einsum("shm,hnm->shn", residues.conj(), behind)
    gains: Floats = gain / 2.0 * np.sqrt(np.sum(total.real**2 + total.imag**2, axis=0))
    return gains


def _mimo(kernel: MimoKernel) -> Gains | str:
    """With the conjugate of each mode beside it the response is C diag(p) B."""
    C = (
        kernel.gain
        / 2.0
        * np.concatenate([kernel.output_matrix, kernel.output_matrix.conj()], axis=1)
    )
    B = np.concatenate([kernel.input_matrix, kernel.input_matrix.conj()])
    if B.shape[1] > B.shape[0]:  # a unitary factor on the right changes no row's norm
        B = np.asarray(np.linalg.qr(B.conj().T).R.conj().T, dtype=np.complex128)
    steps = GRID
    while steps > FEWEST_STEPS and steps * C.size * B.shape[1] > MOST_PRODUCTS:
        steps //= 2
    if steps * C.size * B.shape[1] > MOST_PRODUCTS:
        return f"the response of {kernel.spectrum.modes:,} modes is too large to draw"
    omega = np.linspace(0.0, np.pi, steps + 1)
    poles = kernel.spectrum.log_poles[0][:, None]
    p = np.concatenate([resonance(poles, omega), resonance(poles, -omega).conj()])  # (2 M, n)
    gains = np.empty((C.shape[0], omega.size))
    step = max(1, _BLOCK // max(C.size, C.shape[0] * B.shape[1]))
    for start in range(0, omega.size, step):
        part = slice(start, start + step)
        rows = (p[:, part].T[:, None, :] * C) @ B  # (step, O, I)
        gains[:, part] = np.linalg.norm(rows, axis=2).T
    return Gains(omega, gains, None, "output")


def to_decibels(gain: Floats, floor: float) -> Floats:
    """20 log10 of a gain of any shape, not below a floor in dB."""
    with np.errstate(divide="ignore"):
        return np.maximum(20.0 * np.log10(gain), floor)
