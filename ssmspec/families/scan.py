"""Every tensor of a layer's own module, looked through for what is no number and for zeros.

A layer's tensors are those under the module that holds its poles (the mixer), and for layers whose
kernel is a module of its own, as S4's is, the skip D of the module around it; never a feed-forward
network beside them, nor another layer below. Tensors are read one at a time and looked through in
pieces, so that memory follows the largest tensor of the layer.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ssmspec.arrays import Array
from ssmspec.checkpoints.base import Checkpoint, TensorInfo
from ssmspec.checkpoints.dtypes import DTYPES, decode
from ssmspec.errors import CheckpointError
from ssmspec.families.base import LayerSite
from ssmspec.families.catalog import ROOT, Catalog, bare_path

SMALL = 4 * 2**20
"""Elements up to which a tensor that nothing else reads is looked through in passing."""

FEED_FORWARD = frozenset({
    "mlp", "ffn", "ff", "feed_forward", "feedforward", "moe", "experts", "router", "channel_mixer",
    "channel_mixing", "cmix",
})  # fmt: skip
"""Names of modules that stand beside a mixer, not in it."""

SKIP = "D"
"""The skip of an S4-like layer, which stands in the module around its kernel."""
SKIP_LEVELS = 2
"""How far above a kernel it stands at most."""

_PIECE = 2**20
_INFINITY = {"float16": 0x7C00, "bfloat16": 0x7F80, "float32": 0x7F800000}
"""Magnitude bits of infinity; larger ones are NaN."""


@dataclass(frozen=True)
class ScannedTensor:
    """What one tensor holds.

    Attributes:
        info: its name, type and shape.
        relative: its dotted name below the layer's module.
        nan: how many NaN.
        plus: how many +inf.
        minus: how many -inf.
        first: index of the first of these, or None.
        largest: largest magnitude of a number in it, 0 where there is none.
    """

    info: TensorInfo
    relative: str
    nan: int = 0
    plus: int = 0
    minus: int = 0
    first: tuple[int, ...] | None = None
    largest: float = 0.0

    @property
    def broken(self) -> int:
        """How many elements are no numbers."""
        return self.nan + self.plus + self.minus


@dataclass(frozen=True)
class LayerScan:
    """The tensors of one layer that were looked through, and those that were not."""

    tensors: tuple[ScannedTensor, ...]
    left_out: tuple[TensorInfo, ...] = ()

    @property
    def broken(self) -> tuple[ScannedTensor, ...]:
        """The tensors that hold a NaN or an infinity."""
        return tuple(tensor for tensor in self.tensors if tensor.broken)


def own_tensors(catalog: Catalog, sites: Sequence[LayerSite]) -> dict[str, dict[str, str]]:
    """The tensors of every layer: layer name -> tensor name -> dotted name below its module.

    A tensor belongs to one layer: that whose parameters it is, else the innermost module.
    """
    paths = {site.name: module_path(site) for site in sites}
    owned: dict[str, dict[str, str]] = {site.name: {} for site in sites}
    claimed: set[str] = set()
    for site in sites:
        for name in site.tensors.values():
            if name not in claimed:
                claimed.add(name)
                owned[site.name][name] = _relative(name, paths[site.name])
    for site in sorted(sites, key=lambda site: -len(paths[site.name])):
        for relative, name in _below(catalog, paths[site.name]):
            if name not in claimed:
                claimed.add(name)
                owned[site.name][name] = relative
    return owned


def module_path(site: LayerSite) -> str:
    """The path of the module that a layer's name stands for."""
    name = site.name.partition(" (")[0]  # a second direction's name ends in a remark
    return "" if site.name == ROOT else bare_path(name)


def _below(catalog: Catalog, path: str) -> Iterator[tuple[str, str]]:
    """(relative name, tensor name) of what stands in a mixer, and of the skip around a kernel."""
    start = f"{path}." if path else ""
    for module, leaves in catalog.modules.items():
        if module != path and not module.startswith(start):
            continue
        inside = module.removeprefix(path).removeprefix(".")
        parts = inside.split(".") if inside else []
        if FEED_FORWARD.intersection(part.lower() for part in parts):
            continue
        if not path and any(part.isdecimal() for part in parts):
            continue
        for leaf, name in leaves.items():
            yield (f"{inside}.{leaf}" if inside else leaf), name
    if path and SKIP not in catalog.module(path).leaves:
        around = catalog.module(path)
        for _ in range(SKIP_LEVELS):
            around = around.parent
            if SKIP in around.leaves and around.path:
                yield SKIP, around.leaves[SKIP]
                break


def _relative(name: str, path: str) -> str:
    dotted = name.replace("/", ".").replace("__", ".")
    return dotted.rpartition(f"{path}.")[2] if path else dotted


def scan_layer(
    checkpoint: Checkpoint, site: LayerSite, tensors: Mapping[str, str], limit: int | None
) -> LayerScan:
    """Look through a layer's tensors.

    Args:
        checkpoint: what holds them.
        site: the layer, whose own parameters are looked through whatever their size.
        tensors: tensor name -> relative name, as `own_tensors` gives them.
        limit: elements beyond which any other tensor is left out; None for no limit.
    """
    read = set(site.tensors.values())
    seen: list[ScannedTensor] = []
    left_out: list[TensorInfo] = []
    for name, relative in tensors.items():
        info = checkpoint.info(name)
        if info.dtype not in DTYPES or not info.size:
            continue
        if limit is not None and name not in read and info.size > limit:
            left_out.append(info)
            continue
        try:
            found = [scan(stored, part, relative) for part, stored in checkpoint.parts(name)]
        except CheckpointError:
            left_out.append(info)
            continue
        seen.extend(tensor for tensor in found if not _is_mask(tensor))
    return LayerScan(tuple(seen), tuple(left_out))


def scan(stored: Array, info: TensorInfo, relative: str) -> ScannedTensor:
    """Look through one tensor of any shape, as `Checkpoint.load` gives it."""
    flat = stored.reshape(-1)
    nan = plus = minus = 0
    first: int | None = None
    largest = 0.0
    for start in range(0, flat.size, _PIECE):
        piece = flat[start : start + _PIECE]
        magnitude = _largest(piece, info.dtype)
        if magnitude is not None:
            largest = max(largest, magnitude)
            continue
        values = decode(piece, info.dtype)
        bad = ~np.isfinite(values)
        parts = np.stack([values.real, values.imag]) if np.iscomplexobj(values) else values
        nan += int(np.count_nonzero(np.isnan(values)))
        infinite = bad & ~np.isnan(values)
        below = infinite & (np.isneginf(parts).any(axis=0) if parts.ndim > 1 else values < 0)
        minus += int(np.count_nonzero(below))
        plus += int(np.count_nonzero(infinite & ~below))
        if bad.any():
            if first is None:
                first = start + int(np.argmax(bad))
            values = values[~bad]
        if values.size:
            largest = max(largest, float(np.abs(values).max()))
    index = None if first is None else tuple(map(int, np.unravel_index(first, info.shape)))
    return ScannedTensor(info, relative, nan, plus, minus, index, largest)


def _largest(piece: Array, dtype: str) -> float | None:
    """The largest magnitude, quickly; None where a number is none or the type needs decoding."""
    if dtype in _INFINITY:
        bits = piece.view(np.uint32 if piece.dtype.itemsize == 4 else np.uint16)
        sign = np.array(1 << (8 * bits.dtype.itemsize - 1), bits.dtype)
        highest = (bits & ~sign).max()
        if highest >= _INFINITY[dtype]:
            return None
        return float(decode(np.array([highest], bits.dtype).view(piece.dtype), dtype)[0])
    if piece.dtype.kind in "fc":
        with np.errstate(over="ignore", invalid="ignore"):
            highest = float(np.abs(piece).max())
        return highest if math.isfinite(highest) else None
    return None


def _is_mask(tensor: ScannedTensor) -> bool:
    """A mask of an attention holds -inf on purpose, and nothing else that is no number."""
    return "mask" in tensor.relative.lower() and tensor.broken == tensor.minus > 0
