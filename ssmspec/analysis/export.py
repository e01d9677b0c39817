"""The use case behind `ssmspec export`: time-invariant layers as arrays for a step-by-step loop.

    x = A_bar * x + B_bar * u        SISO: (H, M), each channel by itself; MIMO: B_bar @ u, (M, I)
    y = Re(C x) + D u                SISO: Re sum over M, (S, H); MIMO: C @ x, (O, I) for D

A kernel says the residues C B_bar of its modes and not how they fall apart, and any split gives the
same outputs. SISO layers are written with B_bar = 1 and the residues as C; MIMO layers with their
own matrices. C is doubled where one of each conjugate pair is stored, so that the real part of the
sum is the kernel. A layer of S4 (DPLR) is written in the basis of its eigenvectors, with the C that
its C~ = C (I - A_bar^L) stands for.

Layers that also run backward are two systems. State-spaces/s4 lays the second kernel so that it
begins with the next sample, S5 so that it begins with the same one: `delay` is 1 or 0.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple, Unpack

import numpy as np

from ssmspec.analysis.model import Model, ModelLayer, Progress, ReadingOptions, Source, open_model
from ssmspec.arrays import Array, Complexes, Floats
from ssmspec.checkpoints.atomic import atomic_output, require_output
from ssmspec.errors import SsmspecError
from ssmspec.families.scan import SKIP, own_tensors
from ssmspec.kernel import Kernel, LayerKernel, MimoKernel, impulse_response
from ssmspec.naming import printable
from ssmspec.outcome import NotApplicable, Skipped
from ssmspec.reading import Reading
from ssmspec.results.export import Export, ExportedLayer
from ssmspec.spectrum import Symmetry

LAGS = 256
"""Lags that the check goes over where no length is known."""
MOST_LAGS = 2**14
"""Most lags that it goes over: a step of a large layer takes a tenth of a millisecond."""
AGREES = 1e-9
"""Largest difference of the recurrence from the kernel, relative to its largest tap."""
FORWARD, BACKWARD = "forward", "backward"
UNCLEAR = (
    ", nor a word on whether half of its kernels run backward: they are written as if none did"
)
BACKWARD_OUTPUT = "C2"
"""The role of a second output matrix: its layer runs backward whether or not it has a D."""


class _Skip(NamedTuple):
    """D as it will be written, or why not; and whether half of the kernels run backward."""

    values: Floats | None
    reason: str
    both_ways: bool


def export(
    source: Source,
    output: str | os.PathLike[str],
    reading: Reading | None = None,
    *,
    force: bool = False,
    progress: Progress | None = None,
    **options: Unpack[ReadingOptions],
) -> Export:
    """Write A_bar, B_bar, C and D of every time-invariant layer as an npz file.

    Keys are `<layer>/A_bar` and so on; of a layer that runs both ways `<layer>/forward/A_bar`,
    `<layer>/backward/A_bar` and `<layer>/backward/delay`. A_bar is complex128 (H, M) of a SISO
    layer, (M,) of a MIMO layer; D is float64 (S, H), or (O, I).

    Args:
        source: what `analyze` takes.
        output: where the file belongs.
        reading: how to read the model; or its fields as keywords.
        force: replace a file that is there.
        progress: called after each layer with (done, all).
        **options: fields of `Reading`.

    Returns:
        What was written, each recurrence checked against its kernel over `seq_len` lags or 256.

    Raises:
        UsageError: the output exists or cannot be written.
        CheckpointError: the source cannot be read.
        NoLayersError: no layer of it is time-invariant with a B and C that are known.
        SsmspecError: a recurrence differs from its kernel by more than 1e-9 of the largest tap.
    """
    path = Path(output)
    inputs = (Path(source),) if isinstance(source, str | os.PathLike) else ()
    require_output(path, force=force, inputs=inputs)
    with open_model(source, reading, **options) as model:
        arrays: dict[str, Array] = {}
        layers = []
        skips = _skips(model)
        lags = min(model.reading.seq_len or LAGS, MOST_LAGS)
        for layer in model.layers(progress):
            kernel = layer.kernel()
            reason = kernel.reason if isinstance(kernel, NotApplicable) else _unusable(kernel, lags)
            if isinstance(kernel, NotApplicable) or reason:
                model.skipped += (Skipped(layer.spectrum.name, reason),)
            else:
                skip = _fitting(layer, kernel, skips.get(layer.found.site.name))
                layers.append(_add(arrays, kernel, skip, lags))
        if not layers:
            raise model.nothing_read("exported")
        with atomic_output(path, force=force, inputs=inputs) as here, here.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]  # numpy's stub, as in answers.py
        return Export(**model.about(), layers=tuple(layers), lags=lags, output=str(path))


def _unusable(kernel: Kernel, lags: int) -> str:
    """Why the kernel cannot be run step by step, or ""."""
    if kernel.spectrum.non_finite or kernel.non_finite:
        return "its poles, B or C hold a NaN or an infinity"
    growth = -float(kernel.spectrum.decay.min()) * lags
    return f"it grows beyond what float64 holds within {lags} lags" if growth > 600.0 else ""


def _add(arrays: dict[str, Array], kernel: Kernel, skip: _Skip, lags: int) -> ExportedLayer:
    """Put one layer's arrays among the others, and check them."""
    name, family = kernel.spectrum.name, kernel.spectrum.family
    poles, inputs, outputs = _system(kernel)
    error = _error(kernel, (poles, inputs, outputs), lags)
    if not error <= AGREES:
        raise SsmspecError(
            f"{printable(name)}: the recurrence misses the kernel by {error:.1e} of its largest "
            f"tap over {lags} lags, and nothing was written; --layers leaves the layer out"
        )
    halves = np.split(outputs, 2) if skip.both_ways else [outputs]
    names = (FORWARD, BACKWARD) if skip.both_ways else ()
    delay = int(isinstance(kernel, LayerKernel)) if names else 0
    for place, half in enumerate(halves):
        under = f"{name}/{names[place]}" if names else name
        own: dict[str, Array] = {"A_bar": poles, "B_bar": inputs, "C": half}
        if place == 0 and skip.values is not None:
            own["D"] = skip.values
        if place == 1:
            own["delay"] = np.array(delay)
        for key, values in own.items():
            if f"{under}/{key}" in arrays:
                raise SsmspecError(f"two layers would be written as {printable(under)}")
            arrays[f"{under}/{key}"] = values
    siso = isinstance(kernel, LayerKernel)
    return ExportedLayer(
        name=name,
        family=family,
        inputs=kernel.spectrum.channels if siso else inputs.shape[1],
        outputs=(outputs[..., 0].size if siso else len(outputs)) // len(halves),
        states=poles.size,
        doubled=kernel.spectrum.symmetry is Symmetry.HALF,
        directions=names,
        delay=delay,
        feedthrough=skip.reason,
        error=error,
    )


def _system(kernel: Kernel) -> tuple[Complexes, Complexes, Complexes]:
    """A_bar, B_bar and C with the factor of conjugate pairs in C."""
    poles = np.exp(kernel.spectrum.log_poles)
    if isinstance(kernel, MimoKernel):
        return poles[0], kernel.input_matrix, kernel.gain * kernel.output_matrix
    return poles, np.ones_like(poles), kernel.gain * kernel.residues


def _error(kernel: Kernel, system: tuple[Complexes, ...], lags: int) -> float:
    """Largest difference of the loop's outputs after an impulse from the kernel's lags.

    Relative to the largest tap. Where there are several inputs, all get one, each of its own size.
    """
    poles, inputs, outputs = system
    if isinstance(kernel, MimoKernel):
        impulse = np.random.default_rng(0).uniform(0.5, 1.0, inputs.shape[1])
        inputs = inputs @ impulse
        kernel = MimoKernel(kernel.spectrum, kernel.output_matrix, inputs[:, None])
    taps = impulse_response(kernel, lags)
    largest = float(np.abs(taps).max())
    state, worst = np.zeros_like(poles), 0.0
    for lag in range(lags):
        state = poles * state + (inputs if lag == 0 else 0.0)
        is_mimo = state.ndim == 1
        heard = (outputs @ state)[:, None] if is_mimo else (outputs * state).sum(axis=-1)
        worst = max(worst, float(np.abs(heard.real - taps[..., lag]).max()))
    return worst / largest if largest else worst


def _skips(model: Model) -> dict[str, Floats]:
    """D by layer: a tensor of that name in the layer's module, or in the one around a kernel."""
    found: dict[str, Floats] = {}
    for name, tensors in own_tensors(model.catalog, [f.site for f in model.found]).items():
        for tensor, relative in tensors.items():
            if relative == SKIP:
                values = model.checkpoint.read(tensor)
                if values.ndim and values.size and not np.iscomplexobj(values):
                    found[name] = values
    return found


def _fitting(layer: ModelLayer, kernel: Kernel, stored: Floats | None) -> _Skip:
    """D in the shape it is written in, and whether half of the kernels run backward.

    Public code gives D one row for each kernel before it doubles the kernels to run both ways, so
    that a D with half as many rows tells of a second direction.
    """
    siso = isinstance(kernel, LayerKernel)
    count, width = _ends(kernel)
    both_ways = BACKWARD_OUTPUT in layer.found.site.tensors
    if stored is None:
        reason = "the file has no D where one is known"
        if count % 2 == 0 and not both_ways and siso:
            reason += UNCLEAR
        return _Skip(None, reason, both_ways)
    skip = _rows(stored, width) if siso else np.diag(stored) if stored.ndim == 1 else stored
    for kernels in (count // 2,) if both_ways else (count, count / 2):
        if skip.shape == (kernels, width):
            return _Skip(skip, "", kernels != count)
    reason = f"D has shape {stored.shape}, which does not fit {count} kernels of {width} channels"
    if not siso:
        reason = f"D has shape {stored.shape}, which does not fit {count} outputs, {width} inputs"
    return _Skip(None, reason, both_ways)


def _rows(stored: Floats, channels: int) -> Floats:
    """(S, H) from (H,), (S, H) or (H, 1)."""
    fits = stored.shape[-1] == channels or stored.size == channels
    return stored.reshape(-1, channels) if fits else stored


def _ends(kernel: Kernel) -> tuple[int, int]:
    """(S, H) of a SISO layer, (O, I) of a MIMO layer."""
    if isinstance(kernel, LayerKernel):
        return kernel.residues.shape[0], kernel.residues.shape[1]
    return kernel.output_matrix.shape[0], kernel.input_matrix.shape[1]
