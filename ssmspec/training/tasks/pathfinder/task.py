"""`pathfinder-32` to `pathfinder-256`: do two marked ends belong to one dashed contour?

The Pathfinder challenge (Linsley et al. 2018, arXiv 1805.08315) with the parameters that Long Range
Arena published for its four sizes (arXiv 2011.04006; the comments of its data builders), "hard"
variant: contours of 14 paddles (`contour_length`, 14, 9 or 6). Two long contours start
`seed_distance` apart, distractors of a third of their length fill the rest, a disc marks the start
of one long contour and a disc the end of the same (label 1) or of the other (label 0), by a fair
coin. Image of side s, read row by row, is a sequence of s^2 samples, gray g as 2g - 1.

| side | paddle | thickness | margin | continuity | start distance | disc | contrast | padding |
|---|---|---|---|---|---|---|---|---|
| 32 | 2 | 0.5 | 1 | 1.0 | 7 | 1.5 | 1.5 | 1 |
| 64 | 5 | 1 | 1 | 1.8 | 12 | 2.5 | 0.8 | 1 |
| 128 | 5 | 1.5 | 2 or 3 | 1.8 | 20 | 3 | 0.9 | 1 |
| 256 | 5 | 2 | 3 | 1.8 | 27 | 5 | 1.0 | 22 |

Paddles of distractors: 20, 22, 35, 30 divided by the distractor's length, rounded down; fewer where
there is no room. No single paddles are strewn in between.

This is a generator of its own, and its images are not those of the published files. It differs
from the published description in this: geometry is exact where the original rounds to pixels, so
that every paddle of one contour is nearer to its neighbor than to any other contour, and so is each
disc to the first paddle that it does not hide: the label can be told from every image. Contours
grow alone and are put together where they fit. Discs lie at least two pixels apart and at least one
from foreign contours, so that both are seen. Paddles of long contours and of distractors have one
contrast (at 32 pixels the original's distractors are brighter, 2 against 1.5), and the gray of an
image is not stretched to its own range. With this stricter spacing a 32-pixel image has room for
one or two distractors, of five at most; at the other sizes nearly all find room.

Kept in the cache are the contours, 1 kB an image at any size; pixels are drawn batch by batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np

from ssmspec.arrays import Array, Floats
from ssmspec.training.tasks.base import Data, Load, Target, Task, TaskOptions
from ssmspec.training.tasks.cache import another_tenth, cached
from ssmspec.training.tasks.pathfinder.contours import Puzzle, draw_images, marker_places
from ssmspec.training.tasks.pathfinder.images import draw_gray
from ssmspec.training.tasks.settings import fixed_length, needs_no_data, read_settings
from ssmspec.training.tasks.splits import TEST, TRAIN, VALIDATION, ArraySplit

VERSION = 1
"""Of the generator: a change of what it draws gets a new number, and so a new file."""

SETTINGS = (("contour_length", "14"), ("examples", "160000"), ("held_out", "20000"))
SIDES = (32, 64, 128, 256)


def puzzle(side: int, contour_length: int = 14) -> Puzzle:
    """Long Range Arena's parameters for images of this side."""
    short = contour_length // 3
    size = {"side": side, "contour_length": contour_length, "distractor_length": short}
    return {
        32: partial(Puzzle, **size, padding=1, paddle_length=2, thickness=0.5, margins=(1,),
                    continuity=1.0, distractors=20 // short, seed_distance=7, marker_radius=1.5,
                    contrast=1.5),
        64: partial(Puzzle, **size, padding=1, paddle_length=5, thickness=1, margins=(1,),
                    continuity=1.8, distractors=22 // short, seed_distance=12, marker_radius=2.5,
                    contrast=0.8),
        128: partial(Puzzle, **size, padding=1, paddle_length=5, thickness=1.5, margins=(2, 3),
                     continuity=1.8, distractors=35 // short, seed_distance=20, marker_radius=3,
                     contrast=0.9),
        256: partial(Puzzle, **size, padding=22, paddle_length=5, thickness=2, margins=(3,),
                     continuity=1.8, distractors=30 // short, seed_distance=27, marker_radius=5,
                     contrast=1.0),
    }[side]()  # fmt: skip


def draw_geometry(
    rng: np.random.Generator, puzzle: Puzzle, count: int, options: TaskOptions
) -> tuple[Array, Array]:
    """Geometry and labels of so many images.

    Returns:
        float32 (count, P + 2, 4), the two markers last as (x, y, x, y); int64 (count,).
    """
    blocks: list[Floats] = []
    for number, margin in enumerate(puzzle.margins):
        share = count * (number + 1) // len(puzzle.margins)
        made = sum(map(len, blocks))
        while made < share:
            blocks.append(draw_images(rng, puzzle, margin, share - made))
            made += len(blocks[-1])
            if another_tenth(made - len(blocks[-1]), made, count):
                options.tell(f"{made:,} of {count:,} images of side {puzzle.side} drawn")
    paddles = rng.permutation(np.concatenate(blocks))
    labels, contour = rng.integers(2, size=(2, count))
    tips, rows = marker_places(paddles, puzzle), np.arange(count)
    start = tips[rows, 2 * contour]
    end = tips[rows, 2 * np.where(labels == 1, contour, 1 - contour) + 1]
    markers = np.stack([np.tile(start, 2), np.tile(end, 2)], axis=1)  # (count, 2, 4)
    geometry = np.concatenate([paddles, markers], axis=1).astype(np.float32)
    return geometry, labels.astype(np.int64)


def images(puzzle: Puzzle, geometry: Array) -> Floats:
    """(B, side, side) gray in [0, 1] of (B, P + 2, 4) geometry."""
    exact = geometry.astype(np.float64)
    return draw_gray(puzzle, exact[:, :-2], exact[:, -2:, :2])


def load(side: int, options: TaskOptions) -> Data:
    """Images of one size, generated once and kept in the cache.

    Raises:
        UsageError: an option or setting does not fit.
    """
    name = f"pathfinder-{side}"
    settings = read_settings(name, SETTINGS, options)
    needs_no_data(name, options)
    length = fixed_length(name, options, side * side)
    contour_length = int(settings.choice("contour_length", ("6", "9", "14")))
    examples, held_out = settings.integer("examples", 1), settings.integer("held_out", 1)
    shape = puzzle(side, contour_length)
    counts = {TRAIN: examples, VALIDATION: held_out, TEST: held_out}

    def make() -> dict[str, Array]:
        arrays = {}
        for split, count in counts.items():
            seeds = np.random.SeedSequence((options.seed, side, contour_length, split))
            rng = np.random.Generator(np.random.PCG64(seeds))
            arrays[f"x{split}"], arrays[f"y{split}"] = draw_geometry(rng, shape, count, options)
        return arrays

    def fits(arrays: Mapping[str, Array]) -> bool:
        wanted = {f"x{split}": (n, shape.slots + 2, 4) for split, n in counts.items()}
        found = {key: array.shape for key, array in arrays.items() if key in wanted}
        return found == wanted and all(
            arrays[f"x{split}"].dtype == np.float32
            and f"y{split}" in arrays
            and arrays[f"y{split}"].dtype == np.int64
            and arrays[f"y{split}"].shape == (n,)
            for split, n in counts.items()
        )

    file = f"{name}-v{VERSION}-contour{contour_length}-n{examples}-{held_out}-seed{options.seed}"
    arrays = cached(options, file, make, fits)

    def prepare(geometry: Array) -> Array:
        gray = images(shape, geometry).reshape(len(geometry), length, 1)
        return (2.0 * gray - 1.0).astype(np.float32)

    train, validation, test = (
        ArraySplit(arrays[f"x{split}"], arrays[f"y{split}"], prepare) for split in counts
    )
    return Data(
        train=train,
        validation=validation,
        test=test,
        target=Target.CLASS,
        d_input=1,
        d_output=2,
        seq_len=length,
        row_stride=side,
    )


def _task(side: int) -> Task:
    loader: Load = partial(load, side)
    return Task(
        id=f"pathfinder-{side}",
        title=f"Pathfinder, {side} x {side}",
        summary=(
            f"{side * side:,} pixels of dashed contours in, whether two marked ends belong to one "
            f"out; tests long-range spatial memory"
        ),
        source="arXiv 1805.08315, with the parameters of Long Range Arena (arXiv 2011.04006)",
        load=loader,
        settings=SETTINGS,
    )


PATHFINDERS = tuple(_task(side) for side in SIDES)
