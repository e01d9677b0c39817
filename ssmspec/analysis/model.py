"""The one way into a model."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, TypeAlias, TypedDict, Unpack

import numpy as np

from ssmspec.analysis.measure import NOT_READ
from ssmspec.checkpoints import Checkpoint, open_checkpoint
from ssmspec.checkpoints.reading_note import completed
from ssmspec.errors import NoLayersError, UsageError
from ssmspec.families.catalog import Catalog
from ssmspec.families.find import FoundLayer, find_layers
from ssmspec.families.lookalikes import describe
from ssmspec.families.split import whole
from ssmspec.kernel import Kernel
from ssmspec.metrics.kernel_energy import row_stride_of
from ssmspec.naming import did_you_mean, printable
from ssmspec.outcome import NotApplicable, Skipped
from ssmspec.reading import Discretization, DtTransform, LayerRate, Reading
from ssmspec.results.layer_view import LayerView
from ssmspec.spectrum import LayerSpectrum


class HasStateDict(Protocol):
    """Anything with a state dict: a torch module, for one."""

    def state_dict(self) -> Mapping[str, Any]:
        """Names to arrays."""


Source: TypeAlias = str | os.PathLike[str] | Mapping[str, Any] | HasStateDict | Checkpoint


Progress: TypeAlias = Callable[[int, int], None]
"""Called with (layers done, layers in all)."""


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
    part: str | None
    assume: tuple[str, ...]


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


def chosen_reading(reading: Reading | None, options: ReadingOptions) -> Reading:
    """The `Reading` that was given, or the one made of keywords; both together are an error."""
    if reading is None:
        return Reading.of(options)
    if options:
        raise UsageError("give a Reading or its fields as keywords, not both")
    return reading


@contextmanager
def opened(source: Source) -> Iterator[Checkpoint]:
    """The checkpoint itself when it is open already; otherwise one that is closed afterwards."""
    if isinstance(source, Checkpoint):
        yield whole(source)
        return
    with open_checkpoint(source) as checkpoint:
        yield whole(checkpoint)


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
