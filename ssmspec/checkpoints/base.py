"""What every container gives: names, dtypes, shapes, and one tensor at a time on request.

Nothing here knows what a state-space model is. Opening a checkpoint reads its directory of tensors
only; a tensor's bytes are read when `Checkpoint.read` or `Checkpoint.load` asks for them.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import numpy as np

from ssmspec.arrays import Array
from ssmspec.checkpoints.dtypes import decode, dtype_named
from ssmspec.errors import CheckpointError, LayoutError, UnsafeCheckpointError
from ssmspec.naming import printable
from ssmspec.room import require_room, room_for


@dataclass(frozen=True)
class TensorInfo:
    """Name, dtype and shape of one stored tensor.

    Attributes:
        name: as in the file.
        dtype: canonical dtype name, a key of `ssmspec.checkpoints.dtypes.DTYPES`.
        shape: may be empty, for a scalar.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of the elements, stored contiguously."""
        return self.size * dtype_named(self.dtype).itemsize


FREE_ELEMENTS = 2**19
"""What a file may decode to beyond its own bytes: 8 MiB at 16 bytes an element, four times the
poles of 2,048 channels that share one A of 64 modes. A heuristic."""


class Checkpoint(ABC):
    """One opened checkpoint; a context manager that closes its files.

    Attributes:
        path: as the user gave it, or a description of a source in memory.
        container: id of the container format.
        is_remote: whether reading fetches from another machine.
        size: bytes on disk, or None for a source in memory.
        tensors: every tensor by its name, in file order.
        metadata: text metadata the container carries.
        config: parsed `config.json` that belongs to the checkpoint, or empty.
        files: what was opened, for outputs to keep clear of; empty for a source in memory.
        notes: sentences about what was met while opening (unknown objects passed over, ...).
        afterwards: called once it is closed by the `with` statement.
        ranks: of a model that was split over ranks, what each of them holds, this one's tensors
            being the first one's; empty for a whole model.
    """

    container: str = ""
    ranks: tuple[Checkpoint, ...] = ()
    is_remote: bool = False

    def __init__(self, path: str, size: int | None) -> None:
        self.path = path
        self.size = size
        self.tensors: Mapping[str, TensorInfo] = {}
        self.metadata: Mapping[str, str] = {}
        self.config: Mapping[str, Any] = {}
        self.files: tuple[Path, ...] = ()
        self.notes: tuple[str, ...] = ()
        self.afterwards: Callable[[], None] | None = None
        self._poles: dict[str, int] = {}

    def room(self, layer: str) -> int | None:
        """Elements that one layer may decode to, or one tensor; None for a source in memory.

        No file stores an element in less than a byte, so an honest one decodes to no more elements
        than it has bytes; expanded, tied and deflated ones may go beyond by `FREE_ELEMENTS`, all
        their layers together.
        """
        if self.size is None:
            return None
        others = sum(self._poles.values()) - self._poles.get(layer, 0)
        return max(0, self.size + FREE_ELEMENTS - others)

    def take_room(self, layer: str, elements: int) -> None:
        """Remember what a layer has decoded to."""
        self._poles[layer] = elements

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
        if self.afterwards is not None:
            self.afterwards()

    def close(self) -> None:  # noqa: B027 many containers keep nothing open
        """Close what is open; reading afterwards is an error."""

    def info(self, name: str) -> TensorInfo:
        """The entry of one tensor.

        Raises:
            CheckpointError: there is no tensor of that name.
        """
        try:
            return self.tensors[name]
        except KeyError:
            import difflib  # noqa: PLC0415 - for mistakes only

            near = difflib.get_close_matches(name, islice(self.tensors, 2000), n=1)
            hint = f"did you mean {printable(near[0])}?" if near else "look at the names it holds"
            raise CheckpointError(
                f"{printable(self.path)} holds no tensor {printable(name)}; {hint}"
            ) from None

    def load(self, name: str) -> Array:
        """One tensor in its stored shape; dtypes numpy lacks are bit patterns (uint8, uint16).

        Raises:
            CheckpointError: the tensor is absent or its bytes cannot be read.
        """
        return self._load(self.info(name))

    def parts(self, name: str) -> Iterator[tuple[TensorInfo, Array]]:
        """A tensor as `load` gives it, or its parts where nothing says how they are joined.

        Raises:
            CheckpointError: the tensor is not there, or cannot be decoded.
        """
        yield self.info(name), self.load(name)

    def read(self, name: str) -> Array:
        """One tensor in its stored shape as float64, or complex128 where it is complex.

        Raises:
            CheckpointError: the tensor is absent or its bytes cannot be read.
        """
        info = self.info(name)
        with room_for(None if self.size is None else self.size + FREE_ELEMENTS):
            try:
                require_room(info.shape)
            except LayoutError as error:
                raise UnsafeCheckpointError(f"{printable(name)}: {error}") from None
        return decode(self._load(info), info.dtype)

    @abstractmethod
    def _load(self, info: TensorInfo) -> Array:
        """Read the stored elements of one tensor, shaped `info.shape`, C-contiguous."""


def shaped(flat: Array, info: TensorInfo, *, order: Literal["C", "F"] = "C") -> Array:
    """A tensor's elements in its shape, C-contiguous.

    Args:
        flat: (size,) the elements as they are stored.
        info: the tensor they belong to.
        order: whether the last ("C") or the first ("F") axis varies fastest in `flat`.

    Raises:
        CheckpointError: no array can have that shape (too many axes, or axes too long), or it
            holds another number of elements.
    """
    try:
        return np.ascontiguousarray(flat.reshape(info.shape, order=order)).reshape(info.shape)
    except (ValueError, OverflowError):
        raise CheckpointError(
            f"{printable(info.name)}: {flat.size:,} elements cannot have the shape "
            f"{_short(info.shape)}"
        ) from None


def _short(shape: tuple[int, ...]) -> str:
    return str(shape) if len(shape) <= 8 else f"({', '.join(map(str, shape[:8]))}, ...)"


@dataclass(frozen=True)
class Container:
    """One file format that holds tensors.

    Attributes:
        id: short name in reports, e.g. "safetensors".
        title: name for people.
        suffixes: usual file endings, for `ssmspec list formats`.
        recognizes: whether a file is of this format, from its path and its first 512 bytes.
        open: opens such a file.
        recognizes_folder: whether a folder is of this format, from the names in it; it is opened
            by its path.
    """

    id: str
    title: str
    suffixes: tuple[str, ...]
    recognizes: Callable[[Path, bytes], bool]
    open: Callable[[Path], Checkpoint]
    recognizes_folder: Callable[[frozenset[str]], bool] = lambda _: False
