"""A model that was split over ranks, whole again."""

from __future__ import annotations

from ssmspec.checkpoints.base import Checkpoint
from ssmspec.checkpoints.torch.ranks import Joined
from ssmspec.families import FAMILIES


def whole(checkpoint: Checkpoint) -> Checkpoint:
    """A checkpoint whose ranks are joined along the axes that the families name.

    Args:
        checkpoint: what was opened; one that was not split is given back as it is.

    Raises:
        CheckpointError: the ranks do not fit together.
    """
    if not checkpoint.ranks:
        return checkpoint
    axes = {name: axis for family in FAMILIES.values() for name, axis in family.split.items()}
    return Joined(checkpoint, axes)
