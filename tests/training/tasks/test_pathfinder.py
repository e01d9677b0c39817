"""Pathfinder: discs seen and labels right, judged from geometry without its order and from pixels.

The oracle knows neither which paddle belongs to which contour nor how contours were drawn: it joins
paddles whose ends are near, with scipy's graph and image routines.
"""

import numpy as np
import pytest
from scipy import ndimage
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial.distance import cdist

from ssmspec.training.tasks import TASKS
from ssmspec.training.tasks.base import TaskOptions
from ssmspec.training.tasks.pathfinder import task as pathfinder
from ssmspec.training.tasks.pathfinder.contours import NOWHERE
from ssmspec.training.tasks.pathfinder.images import draw_gray

COUNT = 40
OPENING = {32: 2, 64: 3, 128: 4, 256: 6}
"""Side of a square that fits into a disc and into no paddle."""


@pytest.fixture(scope="module", params=pathfinder.SIDES)
def drawn(request):
    """Puzzle, geometry, labels and images of one size."""
    puzzle = pathfinder.puzzle(request.param)
    rng = np.random.default_rng(request.param)
    geometry, labels = pathfinder.draw_geometry(rng, puzzle, COUNT, TaskOptions())
    return puzzle, geometry, labels, pathfinder.images(puzzle, geometry)


def paddles_of(geometry):
    """(n, 2, 2) ends of the paddles of one image, shuffled, and (2, 2) markers."""
    paddles = geometry[:-2]
    paddles = paddles[paddles[:, 0] != np.float32(NOWHERE)]
    order = np.random.default_rng(0).permutation(len(paddles))
    return paddles[order].reshape(-1, 2, 2).astype(float), geometry[-2:, :2].astype(float)


def joined(ends, reach):
    """Number of the chain each of (n, 2, 2) paddles belongs to, joining ends within reach."""
    count = len(ends)
    gaps = cdist(ends.reshape(-1, 2), ends.reshape(-1, 2)).reshape(count, 2, count, 2)
    return connected_components(csr_array(gaps.min(axis=(1, 3)) <= reach))[1]


def margin_of(ends, puzzle):
    """The margin, from the smallest gap between two paddles: 2 m in a straight chain."""
    count = len(ends)
    gaps = cdist(ends.reshape(-1, 2), ends.reshape(-1, 2)).reshape(count, 2, count, 2)
    nearest = np.sort(gaps.min(axis=(1, 3)), axis=1)[:, 1]
    return min(puzzle.margins, key=lambda margin: abs(2 * margin - np.quantile(nearest, 0.9)))


def test_two_discs_are_seen_where_the_markers_are(drawn):
    puzzle, geometry, _, images = drawn
    square = np.ones((OPENING[puzzle.side],) * 2)
    for each, image in zip(geometry, images, strict=True):
        found, count = ndimage.label(ndimage.binary_opening(image > 0.55, square))
        assert count == 2
        centers = np.array(ndimage.center_of_mass(found > 0, found, [1, 2]))[:, ::-1] + 0.5
        gaps = cdist(centers, each[-2:, :2])
        assert min(np.trace(gaps), np.trace(gaps[::-1])) < 2 * 0.9


def test_the_label_says_whether_one_contour_joins_the_markers(drawn):
    puzzle, geometry, labels, _ = drawn
    for each, label in zip(geometry, labels, strict=True):
        ends, markers = paddles_of(each)
        chain = joined(ends, 2 * margin_of(ends, puzzle) + 0.01)
        sizes = np.sort(np.bincount(chain))
        assert sizes[-2:].tolist() == [14, 14]
        assert set(sizes[:-2].tolist()) <= {puzzle.distractor_length}
        gaps = np.linalg.norm(ends[None] - markers[:, None, None], axis=-1).min(axis=2)
        assert gaps.min(axis=1).max() < 1e-3  # a marker lies at an end of a paddle
        at = chain[gaps.argmin(axis=1)]
        assert (at[0] == at[1]) == bool(label)
        assert all(np.count_nonzero(chain == number) == 14 for number in at)


def test_contours_never_touch(drawn):
    """Points along center lines, one every tenth of a pixel, against each other."""
    puzzle, geometry, _, _ = drawn
    share = np.linspace(0, 1, 51)[:, None]
    for each in geometry[:10]:
        ends, _ = paddles_of(each)
        margin = margin_of(ends, puzzle)
        chain = joined(ends, 2 * margin + 0.01)
        points = ends[:, None, 0] + share * (ends[:, None, 1] - ends[:, None, 0])
        number = np.repeat(chain, len(share))
        gaps = cdist(points.reshape(-1, 2), points.reshape(-1, 2))
        foreign = gaps[number[:, None] != number]
        assert foreign.min() >= 2 * margin + puzzle.thickness - 1e-3
        inside = points.reshape(-1, 2)
        low = puzzle.padding + margin + puzzle.thickness / 2
        assert inside.min() > low - 1e-3
        assert inside.max() < puzzle.side - low + 1e-3


def test_the_label_can_be_told_from_pixels_alone():
    """At 256 pixels: find discs, then dashes as components, then join their ends."""
    puzzle = pathfinder.puzzle(256)
    geometry, labels = pathfinder.draw_geometry(
        np.random.default_rng(5), puzzle, COUNT, TaskOptions()
    )
    margin, radius = puzzle.margins[0], puzzle.marker_radius
    for image, label in zip(pathfinder.images(puzzle, geometry), labels, strict=True):
        discs, _ = ndimage.label(ndimage.binary_opening(image > 0.55, np.ones((6, 6))))
        centers = np.array(ndimage.center_of_mass(discs > 0, discs, [1, 2]))
        row, column = np.indices(image.shape)
        off = np.hypot(row - centers[:, :1, None], column - centers[:, 1:, None])
        dashes, count = ndimage.label(
            (image > 0.3) & (off > radius + 1).all(axis=0), np.ones((3, 3))
        )
        ends = []
        for number in range(1, count + 1):
            pixels = np.argwhere(dashes == number).astype(float)
            middle = pixels.mean(axis=0)
            along = np.linalg.svd(pixels - middle)[2][0] if len(pixels) > 2 else np.zeros(2)
            reach = puzzle.paddle_length / 2 if len(pixels) > 8 else 0.0
            ends.append([middle - reach * along, middle + reach * along])
        ends = np.array(ends)
        chain = joined(ends, 2 * margin + 1)
        gaps = np.linalg.norm(ends[None] - centers[:, None, None], axis=-1).min(axis=2)
        at = chain[gaps.argmin(axis=1)]
        assert (at[0] == at[1]) == bool(label)


def test_labels_are_a_fair_coin_and_tell_nothing_by_brightness():
    puzzle = pathfinder.puzzle(32)
    geometry, labels = pathfinder.draw_geometry(
        np.random.default_rng(0), puzzle, 400, TaskOptions()
    )
    assert abs(labels.mean() - 0.5) < 4 * 0.5 / np.sqrt(400)
    light = pathfinder.images(puzzle, geometry).mean(axis=(1, 2))
    one, zero = light[labels == 1], light[labels == 0]
    error = np.hypot(one.std() / np.sqrt(len(one)), zero.std() / np.sqrt(len(zero)))
    assert abs(one.mean() - zero.mean()) < 4 * error


def test_turns_follow_the_published_law():
    """Turns of contours with all the room in the world have density 2 c / pi cos^2(c turn)."""
    from dataclasses import replace

    from ssmspec.training.tasks.pathfinder.contours import chains

    puzzle = replace(pathfinder.puzzle(128), side=10_000)
    starts = np.full((4000, 2), 5000.0)
    drawn = chains(np.random.default_rng(0), puzzle, 2, starts, 3)
    along = drawn[..., 2:] - drawn[..., :2]
    heading = np.arctan2(along[..., 1], along[..., 0])
    turn = (np.diff(heading[:, :2], axis=1)[:, 0] + np.pi) % (2 * np.pi) - np.pi
    c = puzzle.continuity
    grid = np.linspace(-np.pi / (2 * c), np.pi / (2 * c), 9)
    law = 0.5 + (c * grid + np.sin(c * grid) * np.cos(c * grid)) / np.pi
    shown = np.searchsorted(np.sort(turn), grid) / len(turn)
    np.testing.assert_allclose(shown, law, atol=2 / np.sqrt(len(turn)))


def test_gray_is_the_share_of_a_pixel_that_is_covered():
    """A paddle along an axis, against the area of two rectangles; a disc, against its area."""
    puzzle = pathfinder.puzzle(64)
    paddle = np.array([[[20.25, 30.0, 25.25, 30.0]]])
    markers = np.array([[[50.0, 12.0]]])
    image = draw_gray(puzzle, paddle, markers)[0]
    across = [0.5, 0.5]  # a thickness of 1 around y = 30: half of rows 29 and 30
    along = [0.75, 1, 1, 1, 1, 0.25]
    expected = puzzle.contrast * np.outer(across, along)
    np.testing.assert_allclose(image[29:31, 20:26], expected, atol=1e-12)
    assert image[27:33, 17:29].sum() == pytest.approx(expected.sum())
    assert image[:20].sum() == pytest.approx(np.pi * puzzle.marker_radius**2, rel=0.05)


@pytest.mark.parametrize(("side", "distractors"), [(32, 5), (64, 5), (128, 8), (256, 7)])
def test_published_parameters(side, distractors):
    puzzle = pathfinder.puzzle(side)
    assert (puzzle.contour_length, puzzle.distractor_length) == (14, 4)
    assert puzzle.distractors == distractors


def test_samples_are_pixels_row_by_row(tmp_path):
    settings = (("examples", "4"), ("held_out", "2"))
    data = TASKS["pathfinder-32"].load(TaskOptions(cache=tmp_path, settings=settings))
    x = data.train.batch(np.arange(4)).x
    assert x.min() == -1.0
    assert x.max() == 1.0
    puzzle = pathfinder.puzzle(32)
    (file,) = tmp_path.glob("*.npz")
    with np.load(file) as arrays:
        images = pathfinder.images(puzzle, arrays["x0"])
    np.testing.assert_allclose(x.reshape(4, 32, 32), 2 * images - 1, atol=1e-6)
    assert (data.row_stride, data.seq_len) == (32, 1024)
