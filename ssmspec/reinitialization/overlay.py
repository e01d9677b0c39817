"""A checkpoint as it would be with some tensors changed, before anything is written."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ssmspec.arrays import Array
from ssmspec.checkpoints.base import Checkpoint, TensorInfo
from ssmspec.checkpoints.dtypes import decode, encode
from ssmspec.errors import CheckpointError
from ssmspec.naming import printable

SAME = 1e-12
"""Relative difference up to which new values leave a tensor as it is stored: a step size that was
read through exp and is written through log comes back a rounding or two of float64 away."""


class Overlay(Checkpoint):
    """Another checkpoint's tensors, some of them replaced; it shares the other one's open files.

    Args:
        base: what lies beneath; it must stay open.

    Attributes:
        base: likewise.
        changes: tensor name -> its new values as they are stored, after rounding to its dtype.
    """

    container = "overlay"

    def __init__(self, base: Checkpoint) -> None:
        super().__init__(base.path, base.size)
        self.tensors, self.metadata, self.config = base.tensors, base.metadata, base.config
        self.notes, self.files = base.notes, base.files
        self.changes: dict[str, Array] = {}
        self.base = base

    def change(self, values: Mapping[str, Array]) -> None:
        """Replace tensors by values of their shapes, rounded to their dtypes.

        Raises:
            CheckpointError: there is no such tensor, or its dtype cannot hold the values.
        """
        for name, new in values.items():
            info = self.info(name)
            if new.shape != info.shape:
                raise CheckpointError(
                    f"{printable(name)} has shape {info.shape} and cannot take values of shape "
                    f"{new.shape}"
                )
            if np.allclose(new, self.read(name), rtol=SAME, atol=0.0):
                continue
            try:
                self.changes[name] = decode(encode(new, info.dtype), info.dtype)
            except CheckpointError as error:
                raise CheckpointError(f"{printable(name)}: {error}") from None

    def _load(self, info: TensorInfo) -> Array:
        if info.name in self.changes:
            return encode(self.changes[info.name], info.dtype)
        return self.base.load(info.name)
