"""The one way into a model: opened, its reading completed, its layers found and read one by one.

    with open_model("model.safetensors", Reading(seq_len=1024)) as model:
        for layer in model.layers():
            layer.spectrum, layer.kernel()
        Sweep(**model.about(), ...)         # where it came from and how it was read

Layers are read and let go one at a time, so memory follows the largest layer and not the file.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, TypeAlias, TypedDict, Unpack

import numpy as np

from ssmspec.checkpoints import Checkpoint, open_checkpoint
from ssmspec.errors import NoLayersError, UsageError
from ssmspec.families.catalog import Catalog
from ssmspec.families.find import FoundLayer, find_layers
from ssmspec.families.lookalikes import describe
from ssmspec.families.precision import Rounding
from ssmspec.families.split import whole
from ssmspec.kernel import Kernel
from ssmspec.metrics.kernel_energy import row_stride_of
from ssmspec.naming import did_you_mean, printable
from ssmspec.outcome import NotApplicable, Skipped
from ssmspec.reading import (
    NOTE,
    Discretization,
    DtTransform,
    LayerRate,
    Reading,
    noted,
    taken_over,
)
from ssmspec.results.base import CheckpointSummary
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
    offline: bool


class About(TypedDict):
    """The fields of `OfOneModel`."""

    checkpoint: CheckpointSummary
    skipped: tuple[Skipped, ...]
    assumptions: tuple[str, ...]
    sequence_length: int | None
    sample_rate: float | None


@dataclass(frozen=True, eq=False)
class ModelLayer:
    """One layer of an open model, whose poles were read.

    Attributes:
        found: where its parameters are, and the family that claims them.
        spectrum: its poles.
        model: what it belongs to.
        place: its place among the model's layers.
    """

    found: FoundLayer
    spectrum: LayerSpectrum
    model: Model
    place: int = 0

    def kernel(self) -> Kernel | NotApplicable:
        """What B and C make of the poles, read now; or why that is not known."""
        return self.found.read_kernel(self.model.checkpoint, self.model.reading, self.spectrum)

    def rounding(self) -> Rounding | None:
        """How far the stored type moved the poles; None where all are stored well enough."""
        return self.found.rounding(self.model.checkpoint, self.model.reading, self.spectrum)

    def view(self, *, kernels: bool = True) -> LayerView:
        """The layer as a drawing needs it; a row stride nobody gave is its own comb's."""
        reading, known = self.model.reading, None
        kernel = self.kernel() if kernels else NotApplicable("B and C were not read")
        stride = reading.row_stride
        if not isinstance(kernel, NotApplicable):
            known = kernel
            stride = stride or row_stride_of(kernel, reading.seq_len)
        return LayerView(
            self.spectrum,
            kernel=known,
            no_kernel=kernel.reason if isinstance(kernel, NotApplicable) else "",
            sequence_length=reading.seq_len,
            sample_rate=reading.rate_of(self.spectrum.name),
            row_stride=stride,
        )


@dataclass(eq=False)
class Model:
    """An open checkpoint whose reading is complete and whose layers are found.

    Attributes:
        checkpoint: the open file.
        asked: how it was asked to be read.
        reading: the same, completed by what the file notes of itself.
        found: its layers, in natural order of their names.
        skipped: what looked like a layer and cannot be measured, and why; what fails to be read
            joins it.
    """

    checkpoint: Checkpoint
    asked: Reading
    reading: Reading
    found: tuple[FoundLayer, ...]
    skipped: tuple[Skipped, ...]
    _assumptions: dict[str, None] = field(default_factory=dict)
    _read: set[str] = field(default_factory=set)

    @cached_property
    def catalog(self) -> Catalog:
        """The checkpoint's modules."""
        return Catalog(self.checkpoint)

    def layers(self, progress: Progress | None = None) -> Iterator[ModelLayer]:
        """Every layer that can be read, one at a time.

        Args:
            progress: called after each layer with (done, all).

        Raises:
            UsageError: a reading option was given that means nothing to a layer's family.
        """
        for place, found in enumerate(self.found):
            layer = self.read(found, place)
            if layer is not None:
                yield layer
            if progress is not None:
                progress(place + 1, len(self.found))

    def read(self, found: FoundLayer, place: int = 0) -> ModelLayer | None:
        """One layer; None where it cannot be read, which `skipped` then says."""
        spectrum = found.read(self.checkpoint, self.reading)
        if isinstance(spectrum, Skipped):
            if spectrum not in self.skipped:
                self.skipped += (spectrum,)
            return None
        self.assume(spectrum.assumptions)
        if spectrum.name not in self._read:
            self._read.add(spectrum.name)
            self._fingerprint.update(f"{spectrum.name!r}\n".encode())
            self._fingerprint.update(np.ascontiguousarray(spectrum.log_poles).data)
            if spectrum.dt is not None:
                self._fingerprint.update(np.ascontiguousarray(spectrum.dt).data)
        return ModelLayer(found, spectrum, self, place)

    def assume(self, sentences: Iterable[str]) -> None:
        """Add to what was taken for granted."""
        self._assumptions |= dict.fromkeys(sentences)

    def about(self) -> About:
        """Where results came from and how it was read, for what was read so far."""
        return About(
            checkpoint=CheckpointSummary(
                path=self.checkpoint.path,
                container=self.checkpoint.container,
                size=self.checkpoint.size,
                tensors=len(self.checkpoint.tensors),
                fingerprint=self._fingerprint.hexdigest(),
            ),
            skipped=self.skipped,
            assumptions=tuple(self._assumptions),
            sequence_length=self.reading.seq_len,
            sample_rate=self.reading.sample_rate,
        )

    def nothing_read(self, done: str = "measured") -> NoLayersError:
        """The error of a model none of whose layers could be read."""
        first = self.skipped[0]
        return NoLayersError(
            f"no layer of {printable(self.checkpoint.path)} can be {done}: "
            f"{printable(first.name)}: {first.reason}"
        )

    def blocks(self, names: Sequence[str]) -> tuple[int, int] | None:
        """(state-space blocks, all blocks) of the numbered stack that holds these layers.

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
        everything = {child for child in self.catalog.module(stack).submodules if child.isdecimal()}
        return (len(ours), len(everything)) if len(everything) > len(ours) else None

    @cached_property
    def _fingerprint(self) -> hashlib._Hash:
        """As `CheckpointSummary.fingerprint` says, over the layers read so far."""
        digest = hashlib.sha256()
        for info in sorted(self.checkpoint.tensors.values(), key=lambda info: info.name):
            digest.update(f"{info.name!r} {info.dtype} {info.shape}\n".encode())
        return digest


@contextmanager
def open_model(
    source: Source, reading: Reading | None = None, **options: Unpack[ReadingOptions]
) -> Iterator[Model]:
    """Open a model, complete its reading and find its layers.

    Args:
        source: path of a checkpoint (file, index or directory), a mapping of names to arrays, an
            object with `state_dict()`, or an open checkpoint, which stays open.
        reading: how to read it; or its fields as keywords (`seq_len=1024`, `family="s5"`, ...).
        **options: fields of `Reading`.

    Raises:
        CheckpointError: the source cannot be read.
        UsageError: layers there are, but none fits `reading.layers`.
        NoLayersError: nothing in it looks like a state-space layer.
    """
    asked = chosen_reading(reading, options)
    with (
        nullcontext(source)
        if isinstance(source, Checkpoint)
        else open_checkpoint(source, offline=asked.offline) as opened
    ):
        file = whole(opened)
        used = asked.or_else(noted(file.metadata.get(NOTE)))
        catalog = Catalog(file)
        found, skipped = _find(catalog, used)
        model = Model(file, asked, used, found, skipped)
        model.catalog = catalog
        model.assume((*file.notes, *taken_over(asked, used)))
        yield model


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
    with open_model(source, reading, **options) as model:
        spectra = tuple(layer.spectrum for layer in model.layers())
        if not spectra:
            raise model.nothing_read()
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
    with open_model(source, reading, **options) as model:
        for layer in model.layers():
            yield layer.view(kernels=kernels)


def chosen_reading(reading: Reading | None, options: ReadingOptions) -> Reading:
    """The `Reading` that was given, or the one made of keywords; both together are an error."""
    if reading is None:
        return Reading.of(options)
    if options:
        raise UsageError("give a Reading or its fields as keywords, not both")
    return reading


def _find(catalog: Catalog, reading: Reading) -> tuple[tuple[FoundLayer, ...], tuple[Skipped, ...]]:
    """Layers and look-alikes of a checkpoint, which must have one or the other."""
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
