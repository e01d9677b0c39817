"""Gray images of paddles and discs, antialiased."""

from __future__ import annotations

import numpy as np

from ssmspec.arrays import Array, Bools, Floats
from ssmspec.training.tasks.pathfinder.contours import Puzzle


def draw_gray(puzzle: Puzzle, paddles: Floats, markers: Floats) -> Floats:
    """Paddles at the puzzle's contrast and discs of gray 1 on black.

    A pixel's gray is about the share of it that is covered: the overlap of unit intervals along the
    paddle times that across it, exact where the paddle lies along an axis.

    Args:
        puzzle: sizes and contrast.
        paddles: (B, P, 4); those outside the image are left out.
        markers: (B, m, 2), centers of the discs.

    Returns:
        (B, side, side) in [0, 1]; row y, column x.
    """
    image = np.zeros((len(paddles), puzzle.side, puzzle.side))
    half, width = puzzle.paddle_length / 2, puzzle.thickness
    middle = (paddles[..., :2] + paddles[..., 2:]) / 2
    along = (paddles[..., 2:] - paddles[..., :2]) / puzzle.paddle_length  # (B, P, 2)
    x, y, reach = _patches(middle, half + width)
    u = np.abs(x * along[..., :1, None] + y * along[..., 1:, None])
    v = np.abs(y * along[..., :1, None] - x * along[..., 1:, None])
    cover = _overlap(u, half) * _overlap(v, width / 2)  # (B, P, S, S)
    _brighten(image, middle, reach, np.minimum(puzzle.contrast * cover, 1.0))

    x, y, reach = _patches(markers, puzzle.marker_radius)
    gray = np.clip(puzzle.marker_radius + 0.5 - np.sqrt(x * x + y * y), 0.0, 1.0)
    _brighten(image, markers, reach, gray)
    return image


def _overlap(distance: Floats, half: float) -> Floats:
    """How much of a pixel's width the interval [-half, half] covers, for a pixel this far off."""
    shared: Floats = np.minimum(distance + 0.5, half) - np.maximum(distance - 0.5, -half)
    return shared.clip(0.0)


def _patches(middle: Floats, radius: float) -> tuple[Floats, Floats, int]:
    """Pixel centers around each point, relative to it, as x (B, P, 1, S) and y (B, P, S, 1)."""
    reach = int(np.ceil(radius + 1))
    offsets = np.arange(-reach, reach + 1) + 0.5
    corner = np.floor(middle) - middle
    x = corner[..., :1, None] + offsets
    y = corner[..., 1:, None] + offsets[:, None]
    return x, y, reach


def _brighten(image: Floats, middle: Floats, reach: int, gray: Floats) -> None:
    """Raise the pixels around each point to the patch's gray where that is brighter."""
    side = image.shape[-1]
    offsets = np.arange(-reach, reach + 1)
    corner = np.floor(middle).astype(np.int64)
    column: Array = np.broadcast_to(corner[..., :1, None] + offsets, gray.shape)
    row: Array = np.broadcast_to(corner[..., 1:, None] + offsets[:, None], gray.shape)
    number: Array = np.broadcast_to(np.arange(len(image))[:, None, None, None], gray.shape)
    seen: Bools = (gray > 0) & (row >= 0) & (row < side) & (column >= 0) & (column < side)
    np.maximum.at(image, (number[seen], row[seen], column[seen]), gray[seen])
