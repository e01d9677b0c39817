"""Dashed contours that never touch: the geometry of Pathfinder images, many images at once.

A contour is a chain of paddles (dashes). It is a polyline with steps of l + 2m for a paddle length
l and a margin m, and each paddle is the middle l of a step, so that paddles of one chain are at
most 2m apart. Paddles of different chains stay at least 2m + t apart, t being the thickness, and so
do those of one chain that do not follow each other (all between center lines): a paddle is nearer
to the next of its own chain than to any of another, and which paddles belong together can be told
from the image alone.

A step turns by an angle with density proportional to cos^2(continuity * angle) where that product
is within a right angle, and zero beyond, among the angles that stay inside (Linsley et al. 2018,
arXiv 1805.08315). Chains grow alone; an image is put together of chains that keep clear of each
other.

Coordinates are pixels, (x, y), with the image in [0, side] on either axis. A paddle is
(x0, y0, x1, y1).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ssmspec.arrays import Array, Bools, Floats

NOWHERE = -1e4
"""Coordinate of a paddle that is not there: far from everything."""

CHAINS = 4096
"""Contours begun at once, at most (heuristic)."""

CANDIDATES = 16
"""Turns a contour chooses from before it is at a dead end (heuristic)."""

ROUNDING = 1.0
"""How far, in pixels, the distance of two starts may be from `seed_distance`."""

ROUNDS = 24
"""Pairs of contours tried, as a multiple of `CHAINS` (heuristic)."""

RETRIALS = 512
"""Places tried for a distractor before it is left out (heuristic)."""

FEW = 16
"""How many of them at once."""


@dataclass(frozen=True)
class Puzzle:
    """What the images of one size look like; lengths are pixels.

    Attributes:
        side: of the square image.
        padding: width of a border that stays empty.
        paddle_length: l.
        thickness: t.
        margins: m, one of these in each image.
        continuity: how straight contours are; 1 turns by up to a right angle.
        contour_length: paddles of the two long contours.
        distractor_length: paddles of a distractor.
        distractors: how many at most.
        seed_distance: between the starts of the two long contours.
        marker_radius: of the discs.
        contrast: gray value of a fully covered pixel of a paddle, before it is cut at 1.
    """

    side: int
    padding: float
    paddle_length: float
    thickness: float
    margins: tuple[float, ...]
    continuity: float
    contour_length: int
    distractor_length: int
    distractors: int
    seed_distance: float
    marker_radius: float
    contrast: float

    @property
    def slots(self) -> int:
        """P, the most paddles of an image: both contours, then the distractors."""
        return 2 * self.contour_length + self.distractors * self.distractor_length


def draw_images(rng: np.random.Generator, puzzle: Puzzle, margin: float, most: int) -> Floats:
    """A block of images in which both contours and their markers found room.

    Args:
        rng: source of randomness.
        puzzle: what the images look like.
        margin: m.
        most: images that are wanted.

    Returns:
        (n, P, 4) with 0 <= n <= most; `NOWHERE` where a distractor found no room.
    """
    count = min(CHAINS, 256 + 64 * most)
    low = 2 * puzzle.seed_distance
    starts = rng.uniform(low, puzzle.side - low, (count, 2))
    first = chains(rng, puzzle, margin, starts, puzzle.contour_length)
    starts += puzzle.seed_distance * _directions(rng.uniform(0, 2 * np.pi, count))
    second = chains(rng, puzzle, margin, starts, puzzle.contour_length)
    pairs = _pairs(rng, puzzle, margin, first, second)[:most]
    paddles = np.full((len(pairs), puzzle.slots, 4), NOWHERE)
    paddles[:, : 2 * puzzle.contour_length] = pairs
    starts = rng.uniform(0, puzzle.side, (count, 2))
    short = chains(rng, puzzle, margin, starts, puzzle.distractor_length)
    for start in range(2 * puzzle.contour_length, puzzle.slots, puzzle.distractor_length):
        _distractor(rng, puzzle, margin, short, paddles, start)
    return paddles


def chains(
    rng: np.random.Generator, puzzle: Puzzle, margin: float, starts: Floats, length: int
) -> Floats:
    """Contours that stay inside the border and clear of themselves.

    Args:
        rng: source of randomness.
        puzzle: what the images look like.
        margin: m.
        starts: (n, 2), where the first paddle of each begins.
        length: paddles.

    Returns:
        (m, length, 4) with m at most n; contours that came to a dead end are left out.
    """
    clearance = 2 * margin + puzzle.thickness
    paddles = np.empty((len(starts), length, 4))
    heading = rng.uniform(0, 2 * np.pi, len(starts))
    begin = starts
    for step in range(length):
        if step:
            turns = np.pi * (_strata(rng, len(paddles)) - 0.5)
            headings = heading[:, None] + turns / puzzle.continuity
            pivot = paddles[:, step - 1, 2:] + margin * _directions(heading)  # (n, 2)
            begins = pivot[:, None] + margin * _directions(headings)  # (n, K, 2)
        else:
            turns, headings, begins = np.zeros((len(paddles), 1)), heading[:, None], begin[:, None]
        segments = np.concatenate(
            [begins, begins + puzzle.paddle_length * _directions(headings)], axis=-1
        )
        grown, chosen = _choose(rng, np.cos(turns) ** 2 * _inside(segments, puzzle, margin))
        paddles, segments, headings = paddles[grown], segments[grown], headings[grown]
        rows = np.arange(len(paddles))
        paddles[:, step], heading = segments[rows, chosen], headings[rows, chosen]
        if step > 1:
            apart = distances(paddles[:, step, None], paddles[:, : step - 1])  # (n, step - 1)
            clear = (apart >= clearance).all(axis=1)
            paddles, heading = paddles[clear], heading[clear]
    return paddles


def _strata(rng: np.random.Generator, rows: int) -> Floats:
    """(rows, CANDIDATES) numbers in [0, 1), one in each of as many equal parts."""
    strata: Floats = (np.arange(CANDIDATES) + rng.random((rows, CANDIDATES))) / CANDIDATES
    return strata


def _choose(rng: np.random.Generator, weights: Floats) -> tuple[Array, Array]:
    """Rows of weights (n, K) with one above 0, and a column of each, drawn by weight."""
    sums = weights.cumsum(axis=1)
    rows = np.flatnonzero(sums[:, -1] > 0)
    drawn = rng.random((len(rows), 1)) * sums[rows, -1:]
    return rows, np.minimum((sums[rows] <= drawn).sum(axis=1), weights.shape[1] - 1)


def marker_places(paddles: Floats, puzzle: Puzzle) -> Floats:
    """Where markers may be: start and end of the first contour, then of the second.

    Args:
        paddles: (B, P, 4).
        puzzle: tells the length of a contour.

    Returns:
        (B, 4, 2).
    """
    length = puzzle.contour_length
    return np.stack(
        [
            paddles[:, 0, :2],
            paddles[:, length - 1, 2:],
            paddles[:, length, :2],
            paddles[:, 2 * length - 1, 2:],
        ],
        axis=1,
    )


def distances(first: Floats, second: Floats) -> Floats:
    """Smallest distance from an end of one segment to the other segment, (..., 4) each.

    It is the distance of the two, but where they cross; paddles that cross are at most l/2 apart by
    this measure, which no puzzle allows.

    Args:
        first: (..., 4).
        second: (..., 4) that broadcasts against `first`.

    Returns:
        (...).
    """
    ends = (
        (first[..., :2], second),
        (first[..., 2:], second),
        (second[..., :2], first),
        (second[..., 2:], first),
    )
    squared = [_point_to_segment(point, segment) for point, segment in ends]
    nearest: Floats = np.sqrt(np.minimum.reduce(np.broadcast_arrays(*squared)))
    return nearest


def _point_to_segment(point: Floats, segment: Floats) -> Floats:
    """Squared distance."""
    dx = segment[..., 2] - segment[..., 0]
    dy = segment[..., 3] - segment[..., 1]
    px = point[..., 0] - segment[..., 0]
    py = point[..., 1] - segment[..., 1]
    square = np.maximum(dx * dx + dy * dy, 1e-12)  # a paddle that is nowhere is a point
    along = np.clip((px * dx + py * dy) / square, 0.0, 1.0)
    squared: Floats = (px - along * dx) ** 2 + (py - along * dy) ** 2
    return squared


def _directions(angle: Floats) -> Floats:
    return np.stack([np.cos(angle), np.sin(angle)], axis=-1)


def _inside(segments: Floats, puzzle: Puzzle, margin: float) -> Bools:
    """Whether segments (..., 4) stay clear of the border."""
    low = puzzle.padding + margin + puzzle.thickness / 2
    within: Bools = (segments.min(axis=-1) >= low) & (segments.max(axis=-1) <= puzzle.side - low)
    return within


def _clear(one: Floats, other: Floats, clearance: float) -> Bools:
    """Whether chains (n, P, 4) keep their distance to others (n, Q, 4), (n,)."""
    # Most are too near by the middles of their paddles, which is quick to see.
    x, y = (one[..., i] + one[..., i + 2] for i in (0, 1))
    u, v = (other[..., i] + other[..., i + 2] for i in (0, 1))
    squared = (x[:, :, None] - u[:, None]) ** 2 + (y[:, :, None] - v[:, None]) ** 2
    nearest: Floats = squared.min(axis=(1, 2))
    clear: Bools = nearest >= (2 * clearance) ** 2
    apart = distances(one[clear][:, :, None], other[clear][:, None])
    clear[clear] = apart.min(axis=(1, 2)) >= clearance
    return clear


def _pairs(
    rng: np.random.Generator, puzzle: Puzzle, margin: float, first: Floats, second: Floats
) -> Floats:
    """Contours that fit beside each other, each used once: (n, 2 length, 4)."""
    gaps = np.linalg.norm(first[:, None, 0, :2] - second[:, 0, :2], axis=-1)
    near = rng.permutation(np.argwhere(np.abs(gaps - puzzle.seed_distance) <= ROUNDING))
    free = np.ones(len(first), dtype=bool), np.ones(len(second), dtype=bool)
    kept = []
    for at in range(0, min(len(near), ROUNDS * CHAINS), CHAINS):
        some = near[at : at + CHAINS]
        some = some[free[0][some[:, 0]] & free[1][some[:, 1]]]
        one, other = first[some[:, 0]], second[some[:, 1]]
        fit = _clear(one, other, 2 * margin + puzzle.thickness)
        fit[fit] = _markers_fit(np.concatenate([one[fit], other[fit]], axis=1), puzzle, margin)
        for i, j in some[fit].tolist():
            if free[0][i] and free[1][j]:
                free[0][i] = free[1][j] = False
                kept.append((i, j))
    rows = np.array(kept, dtype=np.int64).reshape(-1, 2)
    return np.concatenate([first[rows[:, 0]], second[rows[:, 1]]], axis=1)


def _markers_fit(pairs: Floats, puzzle: Puzzle, margin: float) -> Bools:
    """Whether discs at any two of the four ends stand apart and touch no foreign contour, (n,)."""
    tips, length = marker_places(pairs, puzzle), puzzle.contour_length
    one, other = np.triu_indices(4, 1)
    apart = np.linalg.norm(tips[:, one] - tips[:, other], axis=-1)
    nearest: Floats = apart.min(axis=1)
    fits: Bools = nearest >= 2 * puzzle.marker_radius + 2
    room = _disc_room(puzzle, margin)
    fits &= _clear_of_discs(pairs[:, length:], tips[:, :2], room)
    fits &= _clear_of_discs(pairs[:, :length], tips[:, 2:], room)
    return fits


def _disc_room(puzzle: Puzzle, margin: float) -> float:
    """How far foreign paddles stay from the middle of a disc.

    A pixel is left between the two, and the second paddle of the disc's own contour, the first that
    it does not hide, is nearer than any other contour.
    """
    seen = puzzle.marker_radius + puzzle.thickness / 2 + 1
    return max(seen, puzzle.paddle_length + 2 * margin + puzzle.thickness)


def _clear_of_discs(paddles: Floats, tips: Floats, room: float) -> Bools:
    """Whether paddles (n, P, 4) leave this room around all ends (n, m, 2), (n,)."""
    gap: Floats = np.sqrt(_point_to_segment(tips[:, :, None], paddles[:, None])).min(axis=(1, 2))
    return gap >= room


def _distractor(
    rng: np.random.Generator,
    puzzle: Puzzle,
    margin: float,
    short: Floats,
    paddles: Floats,
    start: int,
) -> None:
    """Write one more short contour into every image that has room for it."""
    missing, room = np.arange(len(paddles)), _disc_room(puzzle, margin)
    for _ in range(RETRIALS // FEW):
        if not len(missing):
            break
        owner: Array = np.repeat(missing, FEW)
        chain = short[rng.integers(len(short), size=len(owner))]
        clear = _clear(chain, paddles[owner, :start], 2 * margin + puzzle.thickness)
        owner, chain = owner[clear], chain[clear]
        clear = _clear_of_discs(chain, marker_places(paddles[owner], puzzle), room)
        owner, rows = np.unique(owner[clear], return_index=True)
        paddles[owner, start : start + puzzle.distractor_length] = chain[clear][rows]
        missing = np.setdiff1d(missing, owner)
