"""What `torch.save` and `torch.jit.save` write, read without torch and without running anything.

The archive holds one pickle, `<root>/data.pkl`, and one member `<root>/data/<key>` per storage.
Opening reads the archive's directory and the pickle; a tensor's bytes, and no others, are read when
it is asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from ssmspec.arrays import Array
from ssmspec.checkpoints.base import Checkpoint, Container, TensorInfo
from ssmspec.checkpoints.dtypes import DTYPES, dtype_named
from ssmspec.checkpoints.files import StableFile
from ssmspec.checkpoints.torch.members import ZipMembers
from ssmspec.checkpoints.torch.names import Collected, collect
from ssmspec.checkpoints.torch.pickles import Pickled, interpret
from ssmspec.checkpoints.torch.tensors import CALLS, Storage, StoredTensor, storage_from_id
from ssmspec.errors import CheckpointError, UnsafeCheckpointError
from ssmspec.naming import printable, shown

SUFFIXES = (".pt", ".pth", ".ckpt", ".bin")

_ZIP_MAGIC = b"PK\x03\x04"
_LEGACY_MAGIC = (0x1950A86A20F9469CFC6C).to_bytes(10, "little")
_LEGACY_TAR_MEMBERS = (b"sys_info", b"pickle", b"storages", b"tensors")

# Heuristic bounds on what all tensors of a file together may claim, in bytes beside a multiple of
# the storages' own size. Elements: an expanded view (stride 0) or a storage under many names needs
# room that the file does not have. Spans: what has to be read to give strided views.
_CLAIM_SLACK = 64 << 20
_SPAN_SLACK = 1 << 30
_CLAIM_RATIO = 8

_NAMES_IN_NOTE = 3

_FAMILIAR = ("torch.", "numpy.", "collections.", "__torch__.")
"""Where classes come from that every torch file names; `__torch__` is TorchScript's own."""


class TorchZipCheckpoint(Checkpoint):
    """One torch zip archive.

    Tensors are named as `torch_tensors.collect` says. All of them together may claim at most
    64 MiB plus 8 times the bytes of their storages (zero strides claim without holding), and the
    spans to be read for them at most 1 GiB plus as much; a file beyond that is refused.

    Attributes:
        stored: tensor name -> its storage's key, dtype, offset, shape and strides, for whoever
            wants to change elements in a copy of the archive.
        big_endian: whether the storages hold big-endian elements.
    """

    container = "torch-zip"

    def __init__(self, source: Path | StableFile) -> None:
        """Open an archive and read its pickle.

        Args:
            source: the archive, a file or a window of one.

        Raises:
            CheckpointError: the file is cut off, malformed, or no torch archive.
            UnsafeCheckpointError: it asks to run code, or claims more than it holds.
        """
        members = ZipMembers(source)
        path = members.file.path
        super().__init__(str(path), members.file.size)
        self._members: ZipMembers | None = members
        self._root = _root_of(path, members.sizes)
        self.big_endian = self._is_big_endian()
        data = members.read(f"{self._root}/data.pkl").tobytes()
        try:
            stored = members.stored(f"{self._root}/data.pkl")
            pickled = interpret(data, CALLS, storage_from_id, stored)
            found = collect(pickled.root, len(data))
        except CheckpointError as error:
            raise type(error)(f"{shown(path)} cannot be read: {error}") from None
        self.stored: Mapping[str, StoredTensor] = found.tensors
        self._check_claims()
        self.tensors = {
            name: TensorInfo(name, tensor.dtype, tensor.shape)
            for name, tensor in found.tensors.items()
        }
        self.metadata = found.metadata
        self.notes = tuple(_notes(pickled, found, self._has_constants()))

    def structure(self) -> object:
        """The pickled object itself, as `pickles.interpret` gives it."""
        data = self.members.read(f"{self._root}/data.pkl").tobytes()
        return interpret(data, CALLS, storage_from_id).root

    def load_range(self, name: str, begin: int, end: int) -> Array:
        """Elements [begin, end) of a tensor (n,), in the stored type: (end - begin,).

        Raises:
            CheckpointError: it has another number of axes, or ends before `end`.
        """
        tensor = self.stored[self.info(name).name]
        if tensor.stride != (1,) or not 0 <= begin <= end <= tensor.size:
            raise CheckpointError(
                f"{shown(self.path)}: {printable(name)} has no elements {begin} to {end} in a row"
            )
        part = replace(tensor, offset=tensor.offset + begin, shape=(end - begin,))
        return self._view(part)

    def close(self) -> None:
        """Let go of the archive."""
        self._members = None

    @property
    def members(self) -> ZipMembers:
        """The archive.

        Raises:
            CheckpointError: the checkpoint is closed.
        """
        if self._members is None:
            raise CheckpointError(f"{shown(self.path)} is closed already")
        return self._members

    def member(self, storage: Storage) -> str:
        """Name of the zip member that holds a storage."""
        return f"{self._root}/data/{storage.key}"

    def position(self, storage: Storage) -> int | None:
        """Where a storage's bytes begin in the file; None where its member is deflated."""
        return self.members.position(self.member(storage))

    def _is_big_endian(self) -> bool:
        name = f"{self._root}/byteorder"
        if name not in self.members.sizes:
            return False
        small = self.members.check(name) <= len(b"little")
        order = self.members.read(name).tobytes() if small else b""
        if order not in (b"little", b"big"):
            raise CheckpointError(
                f"{shown(self.path)} states a byte order that is neither little nor big"
            )
        return order == b"big"

    def _has_constants(self) -> bool:
        return any(name.startswith(f"{self._root}/constants/") for name in self.members.sizes)

    def _check_claims(self) -> None:
        """Hold every storage against its member, and all tensors against all storages."""
        storages = {tensor.storage for tensor in self.stored.values()}
        held = {storage.key: self._check_storage(storage) for storage in storages}
        claimed = spanned = 0
        for tensor in self.stored.values():
            itemsize = DTYPES[tensor.dtype].itemsize
            claimed += tensor.size * itemsize
            spanned += tensor.span * itemsize
        allowed = _CLAIM_RATIO * sum(held.values())
        if claimed > allowed + _CLAIM_SLACK or spanned > allowed + _SPAN_SLACK:
            raise UnsafeCheckpointError(
                f"{shown(self.path)}: its tensors claim {max(claimed, spanned):,} bytes, but the "
                f"storages they are views of hold only {sum(held.values()):,}"
            )

    def _check_storage(self, storage: Storage) -> int:
        expected = storage.numel * dtype_named(storage.dtype).itemsize
        name = self.member(storage)
        if expected == 0 and name not in self.members.sizes:
            return 0
        held = self.members.check(name)
        if held != expected:
            raise UnsafeCheckpointError(
                f"{shown(self.path)}: its storage {printable(storage.key)} should have "
                f"{expected:,} bytes, but the archive holds {held:,}"
            )
        return held

    def _load(self, info: TensorInfo) -> Array:
        return self._view(self.stored[info.name])

    def _view(self, tensor: StoredTensor) -> Array:
        dtype = dtype_named(tensor.dtype)
        if tensor.size == 0:
            return np.empty(tensor.shape, dtype.storage)
        itemsize = dtype.itemsize
        raw = self.members.read(
            self.member(tensor.storage), tensor.offset * itemsize, tensor.span * itemsize
        )
        flat = raw.view(dtype.storage.newbyteorder(">") if self.big_endian else dtype.storage)
        # An axis of one element is never stepped along, and its stride can be any number.
        strides = [
            itemsize * step if size > 1 else 0
            for size, step in zip(tensor.shape, tensor.stride, strict=True)
        ]
        view = np.lib.stride_tricks.as_strided(flat, tensor.shape, strides)
        values: Array = np.ascontiguousarray(view, dtype.storage).reshape(tensor.shape)
        if tensor.conjugated:
            np.conjugate(values, out=values)
        return _negative(values, tensor.dtype) if tensor.negated else values


def _negative(values: Array, dtype: str) -> Array:
    """The negatives of stored elements; types numpy lacks have their sign bit flipped."""
    negative: Array
    if DTYPES[dtype].to_numpy is None:
        negative = np.negative(values)
    else:
        negative = values ^ values.dtype.type(1 << (8 * values.itemsize - 1))
    return negative


def _root_of(path: Path, names: Iterable[str]) -> str:
    """The folder that holds everything in a torch archive, known by its `data.pkl`."""
    pickles = [name for name in names if name.endswith("/data.pkl") and name.count("/") == 1]
    roots = [name.removesuffix("/data.pkl") for name in pickles]
    if len(roots) != 1:
        raise CheckpointError(
            f"{shown(path)} should hold one pickle <name>/data.pkl, but holds {len(roots)}; "
            f"save it again with torch.save"
        )
    return roots[0]


_PLAIN_TYPES = frozenset(
    f"{module}.{name}"
    for module in ("builtins", "__builtin__")
    for name in (
        "bool", "bytearray", "bytes", "complex", "dict", "float", "frozenset", "int", "list",
        "object", "range", "set", "slice", "str", "tuple",
    )
)  # fmt: skip
"""Types without code of their own; a `defaultdict(dict)` names one."""


def _notes(pickled: Pickled, found: Collected, has_constants: bool) -> Iterable[str]:
    foreign = [
        name
        for name in pickled.unknown
        if not name.startswith(_FAMILIAR) and name not in _PLAIN_TYPES
    ]
    if foreign:
        yield f"holds objects of unknown classes that were not executed: {_some(foreign)}"
    if found.unreadable:
        kinds = ", ".join(sorted(map(printable, set(found.unreadable.values()))))
        yield (
            f"passed over {len(found.unreadable)} tensors of kinds that cannot be read "
            f"({kinds}): {_some(list(found.unreadable))}"
        )
    if found.numbers:
        yield f"several tensors have one name and were numbered: {_some(list(found.numbers))}"
    if has_constants:
        yield "TorchScript constants have no names and were passed over"


def _some(names: list[str]) -> str:
    shown = [printable(name[:100]) for name in names[:_NAMES_IN_NOTE]]
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def recognizes(path: Path, head: bytes) -> bool:
    """Whether a file is a torch archive: a zip that holds a `data.pkl`.

    `torch.save` writes the pickle first, so the head tells, even of a file that is cut off.
    """
    if not head.startswith(_ZIP_MAGIC):
        return False
    if head[30 : 30 + int.from_bytes(head[26:28], "little")].endswith(b"/data.pkl"):
        return True
    try:
        return any(name.endswith("/data.pkl") for name in ZipMembers(path).sizes)
    except CheckpointError:
        return path.suffix in SUFFIXES


def legacy_problem(head: bytes) -> str | None:
    """Why a file from before torch 1.6 cannot be read, from its first 512 bytes, or None.

    Such files are bare pickles, or older still tar archives, with the numbers between or after
    pickles that nothing but torch can tell apart.
    """
    first_member = head[:100].split(b"\0")[0].removeprefix(b"./")
    in_tar = head[257:262] == b"ustar" and first_member in _LEGACY_TAR_MEMBERS
    if _LEGACY_MAGIC not in head[:32] and not in_tar:
        return None
    return (
        "the file is in the format torch wrote before version 1.6; load it with torch where you "
        "trust it, and save it again with torch.save"
    )


CONTAINER = Container(
    id="torch-zip",
    title="torch.save or TorchScript archive",
    suffixes=SUFFIXES,
    recognizes=recognizes,
    open=TorchZipCheckpoint,
)
