"""`kernels`: what each channel does to its input, lag by lag, and the layer's energy by lag."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize

from ssmspec.arrays import Array, Floats
from ssmspec.kernel import (
    Kernel,
    LayerKernel,
    MimoKernel,
    channel_blocks,
    impulse_response,
    lag_numbers,
    siso_response,
)
from ssmspec.plots.base import DEFAULTS, Kind, Layers, PlotOptions, Subject, require_some
from ssmspec.plots.files import Drawing
from ssmspec.plots.parts.axes import plain_ticks, sentence
from ssmspec.plots.parts.labels import count
from ssmspec.plots.parts.lags import LAG_ZERO, LagEnergies, lag_bins, lag_energies, lag_ticks
from ssmspec.plots.parts.layout import Sheet
from ssmspec.plots.parts.multiples import (
    RIGHT,
    Cell,
    arranged,
    first_layers,
    line_handle,
    tick_handle,
)
from ssmspec.plots.parts.points import thinned
from ssmspec.plots.parts.profiles import draw_lag_energy
from ssmspec.plots.parts.references import size
from ssmspec.plots.style import ALIASED, INK, QUANTITY, styled
from ssmspec.results.layer_view import LayerView

HEIGHT = 2.35
"""Inches of one cell."""
BINS_AN_OCTAVE = 40
"""Fine enough to tell the rows of an image apart up to the tenth or so (heuristic)."""
FAINTEST_DB = -40.0
MOST_CHANNELS = 512
"""Channels of one heat map: about one for each dot of a printer (heuristic)."""
MOST_OUTPUTS = 64
"""Outputs of a MIMO layer likewise, each of which is a sum over all inputs."""
_BLOCK = 2**22
_LEFT, _BAR = 0.46, 0.46


@dataclass(frozen=True, eq=False)
class ChannelEnergies:
    """A kernel's energy by lag, channel by channel.

    Attributes:
        energy: (n, bins) mean energy of the lags of each bin, in dB of the channel's highest bin,
            from -40 to 0; channels that forget soonest first.
        channels: how many the layer has.
        noun: what a row is, "channel" or "output".
    """

    energy: Floats
    channels: int
    noun: str


@dataclass(frozen=True, eq=False)
class _Layer:
    name: str
    shape: tuple[int, int]
    length: int | None
    row_stride: int | None
    lags: LagEnergies | str
    channels: ChannelEnergies | None


def draw(views: Layers, options: PlotOptions = DEFAULTS) -> Drawing:
    """The kernels of each layer as a heat map, and its energy by lag below.

    Raises:
        NoLayersError: there is no layer, or none with a kernel.
    """
    del options  # kernels are not compared with a scheme's, which has no C

    def prepare(view: LayerView) -> _Layer:
        lags = lag_energies(view)
        channels = None
        if view.kernel is not None and isinstance(lags, LagEnergies):
            channels = channel_energies(view.kernel, lags.energy.size)
        spectrum = view.spectrum
        return _Layer(
            spectrum.name, spectrum.shape, view.sequence_length, view.row_stride, lags, channels
        )

    layers, notes = first_layers(views, prepare)
    reasons = [layer.lags for layer in layers if isinstance(layer.lags, str)]
    drawn = [layer for layer in layers if layer.channels is not None]
    require_some(drawn, "kernels", reasons[0] if reasons else "")
    with styled():
        cells = [Cell(layer.name, _note(layer), _drawing(layer)) for layer in layers]
        legend = [line_handle("90 % of the energy is on the left", INK, dashed=True)]
        if any(layer.row_stride for layer in drawn):
            legend.append(tick_handle("multiples of the row stride", ALIASED))
        return arranged(cells, HEIGHT, legend=legend, notes=[*notes, *_told(drawn)])


def channel_energies(kernel: Kernel, length: int) -> ChannelEnergies:
    """The first lags of each channel, sorted by the lag that 90 % of its energy comes before.

    Args:
        kernel: whose energy over these lags is finite and not 0.
        length: lags.
    """
    if isinstance(kernel, MimoKernel):
        noun, total, most = "output", kernel.output_matrix.shape[0], MOST_OUTPUTS
    else:
        noun, total, most = "channel", kernel.spectrum.channels, MOST_CHANNELS
    chosen = thinned(total, most)
    bins = lag_bins(length, BINS_AN_OCTAVE)
    rows: list[Floats] = []
    horizons: list[Array] = []
    for energy in _energies(_restricted(kernel, chosen), length):
        cumulative = np.cumsum(energy, axis=1)  # (h, length)
        horizons.append(
            np.argmax(cumulative >= 0.9 * cumulative[:, -1:], axis=1).astype(np.float64)
        )
        rows.append(bins.mean(energy))
    energies = np.concatenate(rows)[np.argsort(np.concatenate(horizons), kind="stable")]
    highest = energies.max(axis=1, keepdims=True)
    share = np.divide(energies, highest, out=np.zeros_like(energies), where=highest > 0.0)
    decibels = 10.0 * np.log10(np.maximum(share, 10.0 ** (FAINTEST_DB / 10.0)))
    return ChannelEnergies(decibels, total, noun)


def _restricted(kernel: Kernel, chosen: Array) -> Kernel:
    if isinstance(kernel, MimoKernel):
        return replace(kernel, output_matrix=kernel.output_matrix[chosen])
    dt = kernel.spectrum.dt
    spectrum = replace(
        kernel.spectrum,
        log_poles=kernel.spectrum.log_poles[chosen],
        dt=dt if dt is None or dt.shape[0] == 1 else dt[chosen],
        condition=None,
    )
    return LayerKernel(spectrum, kernel.residues[:, chosen])


def _energies(kernel: Kernel, length: int) -> Iterator[Floats]:
    """Energy by lag of some channels at a time, (h, length): summed over kernels or inputs."""
    if isinstance(kernel, MimoKernel):
        outputs, inputs = kernel.output_matrix.shape[0], kernel.input_matrix.shape[1]
        step = max(1, _BLOCK // (inputs * length))
        for start in range(0, outputs, step):
            part = replace(kernel, output_matrix=kernel.output_matrix[start : start + step])
            response = impulse_response(part, length)
            yield np.einsum("oik,oik->ok", response, response)
        return
    for block in channel_blocks(kernel, lag_numbers(kernel, length)):
        poles = kernel.spectrum.log_poles[block]
        response = siso_response(kernel.residues[:, block], poles, kernel.gain, length)
        yield np.einsum("shk,shk->hk", response, response)


def _note(layer: _Layer) -> str:
    parts = [size(layer.shape)]
    if isinstance(layer.lags, LagEnergies):
        parts.append(f"90 % within {count(layer.lags.held, 'lag')}")
    return ", ".join(parts)


def _told(layers: list[_Layer]) -> list[str]:
    """What is shown in part."""
    told = []
    lengths = {layer.lags.energy.size for layer in layers if isinstance(layer.lags, LagEnergies)}
    if any(layer.length is None for layer in layers):
        told.append(
            "The sequence length is not known (--seq-len gives it); as many lags are shown as hold "
            "nearly all of the energy."
        )
    elif any(layer.length not in lengths for layer in layers):
        told.append(f"The first {min(lengths):,} lags of the sequence are shown.")
    for layer in layers:
        shown = layer.channels
        if shown is not None and shown.energy.shape[0] < shown.channels:
            told.append(
                f"{shown.energy.shape[0]:,} of {shown.channels:,} {shown.noun}s are shown in a "
                f"heat map, chosen at random; the energy below is that of all."
            )
            break
    return told


def _drawing(layer: _Layer) -> Callable[[Sheet], None]:
    def draw_cell(sheet: Sheet) -> None:
        if isinstance(layer.lags, str) or layer.channels is None:
            sentence(sheet.axes(0.3, 0.0, RIGHT, 0.3), str(layer.lags))
            return
        split = 0.55 * sheet.height
        heat = sheet.part(0.0, 0.0, sheet.width, split).axes(_LEFT, 0.05, _BAR + RIGHT, 0.04)
        _heat_map(heat, layer.channels, layer.lags.energy.size)
        _color_bar(sheet.part(sheet.width - RIGHT - _BAR, 0.0, _BAR, split))
        lower = sheet.part(0.0, split, sheet.width, sheet.height - split)
        axes = lower.axes(_LEFT, 0.05, _BAR + RIGHT, 0.34)
        draw_lag_energy(axes, layer.lags, BINS_AN_OCTAVE, row_stride=layer.row_stride)
        axes.set_ylabel("energy / total")
        axes.set_xlabel("lag (samples)")

    return draw_cell


def _heat_map(axes: Axes, channels: ChannelEnergies, length: int) -> None:
    edges = lag_bins(length, BINS_AN_OCTAVE).edges
    rows = channels.energy.shape[0]
    axes.pcolormesh(
        edges, np.arange(rows + 1.0), channels.energy,
        cmap=QUANTITY, vmin=FAINTEST_DB, vmax=0.0, rasterized=True,
    )  # fmt: skip
    axes.set_xlim(LAG_ZERO, edges[-1])
    plain_ticks(axes.xaxis, lag_ticks(length, 6)[0], [])
    axes.invert_yaxis()
    axes.set_yticks([])
    axes.set_ylabel(f"{channels.noun}s, long\nmemory below" if rows > 1 else channels.noun)


def _color_bar(sheet: Sheet) -> None:
    axes = sheet.axes(0.06, 0.18, 0.32, 0.06)
    bar = sheet.figure.colorbar(ScalarMappable(Normalize(FAINTEST_DB, 0.0), QUANTITY), cax=axes)
    bar.outline.set_visible(False)
    bar.set_ticks([-40.0, -20.0, 0.0])
    axes.tick_params(length=1.5)
    axes.set_title("dB", loc="left", fontsize=6.5, pad=6.0)


KIND = Kind(
    id="kernels",
    title="kernels",
    summary="kernels as a heat map, channels that forget soonest first, and the energy by lag",
    subject=Subject.LAYERS,
    draw=draw,
    kernels=True,
)
