"""The use case behind `ssmspec analyze`: open, find, read, measure, judge, report.

Layers are read, measured and let go one at a time, so memory follows the largest layer and not the
file.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeAlias, TypedDict, Unpack

import numpy as np

from ssmspec.checkpoints import Checkpoint, open_checkpoint
from ssmspec.checkpoints.reading_note import completed, taken_over
from ssmspec.errors import NoLayersError, UsageError
from ssmspec.families import FoundLayer, find_layers
from ssmspec.families.base import Family
from ssmspec.families.catalog import Catalog
from ssmspec.families.lookalikes import describe
from ssmspec.families.precision import Rounding
from ssmspec.initial_spectra import InitialSpectra
from ssmspec.kernel import Kernel
from ssmspec.metrics import METRICS, combine, measure_layer
from ssmspec.metrics.base import Context
from ssmspec.metrics.kernel_energy import row_stride_of
from ssmspec.metrics.kernel_lags import lag_profile
from ssmspec.metrics.profiles import power_profile, timescale_profile
from ssmspec.naming import did_you_mean, printable
from ssmspec.reading import Discretization, DtTransform, LayerRate, Reading
from ssmspec.results.layer_view import LayerView
from ssmspec.results.report import (
    CheckpointSummary,
    Finding,
    LayerReport,
    NotApplicable,
    Report,
    Skipped,
)
from ssmspec.rules import judge
from ssmspec.rules.base import Evidence
from ssmspec.schemes import SCHEMES
from ssmspec.spectrum import LayerSpectrum, Symmetry

REFERENCE_MODES = 65_536
"""A larger layer's DFouT reference has fewer channels; its numbers no longer depend on them."""

NOT_READ = NotApplicable("B and C were not read")


class HasStateDict(Protocol):
    """Anything with a state dict: a torch module, for one."""

    def state_dict(self) -> Mapping[str, Any]:
        """Names to arrays."""


Source: TypeAlias = str | os.PathLike[str] | Mapping[str, Any] | HasStateDict | Checkpoint
Progress: TypeAlias = Callable[[int, int], None]
"""Called with (layers done, layers in all)."""
Judge: TypeAlias = Callable[[Evidence], Sequence[Finding]]
"""What the rules in force find in one measured layer."""


class ReadingOptions(TypedDict, total=False):
    """The fields of `Reading`, as keyword arguments."""

    seq_len: int | None
    sample_rate: float | None
    layer_rates: tuple[LayerRate, ...]
    row_stride: int | None
    resample: float | None
    layers: str | None
    family: str | None
    discretization: Discretization | None
    dt_transform: DtTransform | None
    layout: Path | None


def read_spectra(
    source: Source, reading: Reading | None = None, **options: Unpack[ReadingOptions]
) -> tuple[LayerSpectrum, ...]:
    """The poles of every state-space layer of a model.

    Args:
        source: path of a checkpoint (file, index or directory), a mapping of names to arrays, or
            an object with `state_dict()`.
        reading: how to read it; or its fields as keywords (`seq_len=1024`, `family="s5"`, ...).
        **options: fields of `Reading`.

    Returns:
        One `LayerSpectrum` a layer, in natural order of their names.

    Raises:
        CheckpointError: the source cannot be read.
        NoLayersError: it holds no state-space layer that can be measured.
    """
    chosen = chosen_reading(reading, options)
    with opened(source) as checkpoint:
        chosen = completed(chosen, checkpoint)
        found, skipped = find(Catalog(checkpoint), chosen)
        results = [layer.read(checkpoint, chosen) for layer in found]
        spectra = tuple(item for item in results if isinstance(item, LayerSpectrum))
        skipped += tuple(item for item in results if isinstance(item, Skipped))
        if not spectra:
            raise NoLayersError(
                f"no layer of {printable(checkpoint.path)} can be measured: "
                f"{printable(skipped[0].name)}: {skipped[0].reason}"
            )
        return spectra


def analyze(
    source: Source,
    reading: Reading | None = None,
    *,
    progress: Progress | None = None,
    judge: Judge = judge,
    **options: Unpack[ReadingOptions],
) -> Report:
    """Measure every state-space layer of a model.

    Args:
        source: path of a checkpoint (file, index or directory), a mapping of names to arrays, or
            an object with `state_dict()`.
        reading: how to read it; or its fields as keywords (`seq_len=1024`, `family="s5"`, ...).
        progress: called after each layer with (done, all).
        judge: the rules; those of the `recommended` preset unless others are given.
        **options: fields of `Reading`.

    Returns:
        The report. Where everything that looked like a state-space layer had to be skipped, its
        `layers` is empty and `skipped` says why.

    Raises:
        CheckpointError: the source cannot be read.
        NoLayersError: nothing in it looks like a state-space layer.
    """
    chosen = asked = chosen_reading(reading, options)
    with opened(source) as checkpoint:
        chosen = completed(chosen, checkpoint)
        catalog = Catalog(checkpoint)
        found, skipped = find(catalog, chosen)
        layers: list[LayerReport] = []
        findings: list[Finding] = []
        assumptions = dict.fromkeys((*checkpoint.notes, *taken_over(asked, chosen)))
        digest = _Fingerprint(checkpoint)
        for done, layer in enumerate(found, start=1):
            spectrum = layer.read(checkpoint, chosen)
            if isinstance(spectrum, Skipped):
                skipped += (spectrum,)
            else:
                digest.add(spectrum)
                kernel = layer.read_kernel(checkpoint, chosen, spectrum)
                chosen, told = _with_row_stride(chosen, kernel)
                rounding = layer.rounding(checkpoint, chosen, spectrum)
                report, fired = measure(layer.family, spectrum, chosen, kernel, rounding, judge)
                layers.append(report)
                findings += fired
                assumptions |= dict.fromkeys((*spectrum.assumptions, *told))
            if progress is not None:
                progress(done, len(found))
        return Report(
            checkpoint=CheckpointSummary(
                path=checkpoint.path,
                container=checkpoint.container,
                size=checkpoint.size,
                tensors=len(checkpoint.tensors),
                fingerprint=digest.hexadecimal,
            ),
            layers=tuple(layers),
            model={
                metric.id: combine(
                    metric,
                    [(layer.channels * layer.modes, layer.metrics[metric.id]) for layer in layers],
                )
                for metric in METRICS.values()
            },
            findings=tuple(sorted(findings, key=lambda finding: finding.level.rank)),
            skipped=skipped,
            assumptions=tuple(assumptions),
            sequence_length=chosen.seq_len,
            sample_rate=chosen.sample_rate,
            blocks=_blocks(catalog, [layer.name for layer in layers]),
            reference=_reference(layers, chosen),
            origin=partial(layer_views, source, chosen),
            reading=asked,
        )


def layer_views(
    source: Source,
    reading: Reading | None = None,
    *,
    kernels: bool = True,
    **options: Unpack[ReadingOptions],
) -> Iterator[LayerView]:
    """The layers that `analyze` measures, with poles and kernels, one at a time.

    Args:
        source: what `analyze` takes.
        reading: how to read it; or its fields as keywords.
        kernels: whether B and C are read, too.
        **options: fields of `Reading`.

    Raises:
        CheckpointError: the source cannot be read.
        NoLayersError: nothing in it looks like a state-space layer.
    """
    chosen = chosen_reading(reading, options)
    with opened(source) as checkpoint:
        chosen = completed(chosen, checkpoint)
        for layer in find(Catalog(checkpoint), chosen)[0]:
            spectrum = layer.read(checkpoint, chosen)
            if isinstance(spectrum, Skipped):
                continue
            kernel = layer.read_kernel(checkpoint, chosen, spectrum) if kernels else NOT_READ
            chosen, _ = _with_row_stride(chosen, kernel)
            known = None if isinstance(kernel, NotApplicable) else kernel
            yield LayerView(
                spectrum,
                kernel=known,
                no_kernel=kernel.reason if isinstance(kernel, NotApplicable) else "",
                sequence_length=chosen.seq_len,
                sample_rate=chosen.rate_of(spectrum.name),
                row_stride=chosen.row_stride,
            )


class _Fingerprint:
    """What makes `CheckpointSummary.fingerprint`, fed layer by layer."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._hash = hashlib.sha256()
        for info in sorted(checkpoint.tensors.values(), key=lambda info: info.name):
            self._hash.update(f"{info.name!r} {info.dtype} {info.shape}\n".encode())

    def add(self, spectrum: LayerSpectrum) -> None:
        self._hash.update(f"{spectrum.name!r}\n".encode())
        self._hash.update(np.ascontiguousarray(spectrum.log_poles).data)
        if spectrum.dt is not None:
            self._hash.update(np.ascontiguousarray(spectrum.dt).data)

    @property
    def hexadecimal(self) -> str:
        return self._hash.hexdigest()


def measure(
    family: Family,
    spectrum: LayerSpectrum,
    reading: Reading,
    kernel: Kernel | NotApplicable = NOT_READ,
    rounding: Rounding | None = None,
    judge: Judge = judge,
) -> tuple[LayerReport, tuple[Finding, ...]]:
    """Everything that is said of one layer: its metrics, its profiles and the rules that fired."""
    context = Context(
        sequence_length=reading.seq_len,
        sample_rate=reading.rate_of(spectrum.name),
        references=InitialSpectra(family, spectrum),
        kernel=None if isinstance(kernel, NotApplicable) else kernel,
        no_kernel=kernel.reason if isinstance(kernel, NotApplicable) else "",
        row_stride=reading.row_stride,
        resample=reading.resample,
    )
    report = layer_report(spectrum, family.title, context)
    return report, tuple(judge(Evidence(spectrum, report, context, rounding)))


def _with_row_stride(
    reading: Reading, kernel: Kernel | NotApplicable
) -> tuple[Reading, tuple[str, ...]]:
    """The reading with the row stride that the kernel's comb shows, where none is known yet."""
    if reading.row_stride is not None or isinstance(kernel, NotApplicable):
        return reading, ()
    stride = row_stride_of(kernel, reading.seq_len)
    if stride is None:
        return reading, ()
    name = printable(kernel.spectrum.name)
    told = f"a row stride of {stride} samples is read off the comb of the kernel of {name}"
    return replace(reading, row_stride=stride), (f"{told} (--row-stride changes it)",)


def layer_report(spectrum: LayerSpectrum, title: str, context: Context) -> LayerReport:
    """One layer measured: metrics and profiles, without the rules."""
    return LayerReport(
        name=spectrum.name,
        family=spectrum.family,
        family_title=title,
        discretization=spectrum.discretization.value,
        symmetry=spectrum.symmetry.value,
        channels=spectrum.channels,
        modes=spectrum.modes,
        selective=spectrum.selective,
        metrics=measure_layer(spectrum, context),
        power=power_profile(spectrum),
        timescales=timescale_profile(spectrum),
        lags=_lags(context),
    )


def _lags(context: Context) -> tuple[float, ...]:
    if context.kernel is None or context.sequence_length is None:
        return ()
    return lag_profile(context.kernel, context.sequence_length)


def chosen_reading(reading: Reading | None, options: ReadingOptions) -> Reading:
    """The `Reading` that was given, or the one made of keywords; both together are an error."""
    if reading is None:
        return Reading(**options)
    if options:
        raise UsageError("give a Reading or its fields as keywords, not both")
    return reading


@contextmanager
def opened(source: Source) -> Iterator[Checkpoint]:
    """The checkpoint itself when it is open already; otherwise one that is closed afterwards."""
    if isinstance(source, Checkpoint):
        yield source
        return
    with open_checkpoint(source) as checkpoint:
        yield checkpoint


def find(catalog: Catalog, reading: Reading) -> tuple[tuple[FoundLayer, ...], tuple[Skipped, ...]]:
    """Layers and look-alikes of a checkpoint, which must have one or the other.

    Raises:
        UsageError: layers there are, but none fits `reading.layers`.
        NoLayersError: nothing in it looks like a state-space layer.
    """
    found, skipped = find_layers(catalog, reading)
    if found or skipped:
        return found, skipped
    path = printable(catalog.checkpoint.path)
    if reading.layers is not None:
        everything, passed_over = find_layers(catalog, replace(reading, layers=None))
        names = [layer.site.name for layer in everything] + [item.name for item in passed_over]
        if names:
            raise UsageError(
                f"no state-space layer of {path} fits --layers {reading.layers!r}; "
                f"{did_you_mean(reading.layers, map(printable, names))}"
            )
    wanted = f"{reading.family} layer" if reading.family else "state-space layer"
    raise NoLayersError(f"{path} holds no {wanted}; it holds {describe(catalog)}")


def _blocks(catalog: Catalog, names: Sequence[str]) -> tuple[int, int] | None:
    """(state-space blocks, all blocks) of the numbered stack that holds the layers.

    None where layers do not sit in one numbered stack, or where all its blocks are state-space
    blocks. The stack is the path up to the first number that varies.
    """
    stacks: dict[str, set[str]] = {}
    for name in names:
        parts = name.split(".")
        index = next((i for i, part in enumerate(parts) if part.isdecimal()), None)
        if index is None:
            return None
        stacks.setdefault(".".join(parts[:index]), set()).add(parts[index])
    if len(stacks) != 1:
        return None
    ((stack, ours),) = stacks.items()
    everything = {child for child in catalog.module(stack).submodules if child.isdecimal()}
    return (len(ours), len(everything)) if len(everything) > len(ours) else None


def _reference(layers: Sequence[LayerReport], reading: Reading) -> LayerReport | None:
    """The DFouT layer of the same shape as the first layer that oscillates, measured alike."""
    like = next((layer for layer in layers if layer.symmetry != Symmetry.REAL), None)
    if like is None:
        return None
    channels = min(like.channels, -(-REFERENCE_MODES // like.modes))
    draw = SCHEMES["dfout"].draw(channels, like.modes)
    spectrum = LayerSpectrum(
        name="DFouT",
        family="dfout",
        discretization=Discretization.ZOH,
        symmetry=Symmetry.HALF,
        log_poles=draw.log_poles,
        dt=np.ones((channels, 1)),
    )
    context = Context(reading.seq_len, reading.rate_of(like.name))
    return layer_report(spectrum, "DFouT", context)
