"""Every pole-level metric of a diagonal ZOH layer, a second time and by other means.

Nothing here comes from ssmspec: plain loops over modes, definitions taken as they are written, and
the general-purpose routines of scipy and numpy. Slow on purpose.
"""

import cmath
import math
import statistics
from itertools import pairwise

import numpy as np
from scipy.stats import kstest, wrapcauchy


def measure(A, dt, length, initial_A):
    """id -> value.

    Args:
        A: continuous poles, (H, M), one of each conjugate pair.
        dt: step sizes, (H,).
        length: L in samples.
        initial_A: scheme id -> the poles (M,) that every channel started from.
    """
    A, dt = np.asarray(A), np.asarray(dt)
    channels = [[complex(a) * float(step) for a in row] for row, step in zip(A, dt, strict=True)]
    modes = [mode for channel in channels for mode in channel]
    count = len(modes)
    radii = [abs(cmath.exp(mode)) for mode in modes]
    aliased = [abs(mode.imag) > math.pi * (1 + 1e-6) for mode in modes]
    folded = [fold(mode.imag) for mode in modes]
    points = sorted(f / math.pi for f in folded)
    times = [1 / -mode.real for mode in modes if mode.real <= 0]
    octaves = [j for j in range(64) if 2**j < length]
    covered = union([interval(mode, length) for mode in modes if mode.real <= 0])
    alone = [union([interval(m, length) for m in c if m.real <= 0]) for c in channels]
    clean = union([interval(m, length) for m in modes if abs(m.imag) <= math.pi * (1 + 1e-6)])
    drifts = {name: drift(A, dt, start) for name, start in initial_A.items()}
    shares = band_shares(modes)
    return {
        "step_size_min": min(dt.tolist()),
        "step_size_median": statistics.median(dt.tolist()),
        "step_size_max": max(dt.tolist()),
        "max_radius": max(radii),
        "unstable_fraction": sum(r > 1 for r in radii) / count,
        "aliased_fraction": sum(aliased) / count,
        "aliased_channel_fraction": statistics.mean(
            any(abs(m.imag) > math.pi * (1 + 1e-6) for m in channel) for channel in channels
        ),
        "nyquist_headroom": min(math.pi / abs(m.imag) for m in modes if m.imag),
        "coverage": total(covered) / math.pi,
        "alias_free_coverage": total(clean) / math.pi,
        "channel_coverage": statistics.mean(total(pieces) / math.pi for pieces in alone),
        "largest_gap": longest_gap(covered) / (2 * math.pi),
        "spectral_flatness": statistics.geometric_mean(shares) / statistics.mean(shares),
        "frequency_w1": area_between_cdf_and_diagonal(points),
        "discrepancy": kstest(points, "uniform").statistic,
        "low_frequency_share": sum(f < 0.1 * math.pi for f in folded) / count,
        "time_constant_p05": np.quantile(times, 0.05),
        "time_constant_median": statistics.median(times),
        "time_constant_p95": np.quantile(times, 0.95),
        "memoryless_fraction": sum(m.real < -1 for m in modes) / count,
        "undamped_fraction": sum(0 <= -m.real < 1 / length for m in modes) / count,
        "memory_ratio": max(times) * math.log(100) / length,
        "timescale_coverage": sum(any(2**j <= t < 2 ** (j + 1) for t in times) for j in octaves)
        / len(octaves),
        "local_channel_fraction": statistics.mean(
            all(20 * math.log(100) < -m.real * length for m in channel) for channel in channels
        ),
        "global_channel_fraction": statistics.mean(
            any(math.exp(m.real * length) >= 0.01 for m in channel) for channel in channels
        ),
        "damping_ratio_median": statistics.median(
            math.cos(math.pi - abs(cmath.phase(m))) for m in modes
        ),
        "entanglement": entanglement(channels),
        "init_scheme": min(drifts, key=drifts.get),
        "init_drift": min(drifts.values()),
        "redundant_mode_fraction": sum(map(redundant, channels)) / count,
    }


def redundant(channel):
    """How many modes of a channel have another one, or its conjugate, nearer than 0.05."""
    poles = [cmath.exp(mode) for mode in channel]
    return sum(
        any(
            min(distance(a, b), distance(a, b.conjugate())) < 0.05
            for j, b in enumerate(poles)
            if j != i
        )
        for i, a in enumerate(poles)
    )


def distance(a, b):
    """Pseudo-hyperbolic."""
    return abs(a - b) / abs(1 - a.conjugate() * b)


def fold(angle):
    """The angle of exp(i angle) or of its conjugate, whichever is in [0, pi]."""
    return abs(math.atan2(math.sin(angle), math.cos(angle)))


def half_width(decay):
    r = math.exp(-decay)
    return math.pi if r < 3 - 2 * math.sqrt(2) else math.acos((4 * r - 1 - r * r) / (2 * r))


def interval(mode, length):
    reach = max(half_width(-mode.real), math.pi / length)
    center = fold(mode.imag)
    return max(center - reach, 0.0), min(center + reach, math.pi)


def union(intervals):
    """Disjoint pieces, merged one interval at a time."""
    pieces = []
    for begin, end in sorted(intervals):
        if pieces and begin <= pieces[-1][1]:
            pieces[-1] = (pieces[-1][0], max(pieces[-1][1], end))
        else:
            pieces.append((begin, end))
    return pieces


def total(pieces):
    return math.fsum(end - begin for begin, end in pieces)


def longest_gap(pieces):
    marks = [0.0, *(mark for piece in pieces for mark in piece), math.pi]
    return max(after - before for before, after in zip(marks[::2], marks[1::2], strict=True))


def band_shares(modes, bins=128):
    """Wrapped Cauchy laws about f and -f: the Poisson kernel, by scipy's own distribution."""
    edges = np.linspace(0, np.pi, bins + 1)[:, None]
    radii = np.array([math.exp(mode.real) for mode in modes])
    centers = np.array([fold(mode.imag) for mode in modes])
    shares = np.zeros(bins)
    for center in (centers, -centers):
        turns, angle = np.divmod(edges - center, 2 * np.pi)
        shares += np.diff(turns + wrapcauchy.cdf(angle, radii), axis=0).sum(axis=1)
    return (shares / shares.sum()).tolist()


def area_between_cdf_and_diagonal(points):
    """Integral over x in [0, 1] of |F(x) - x|, F the empirical distribution function."""
    marks = [0.0, *points, 1.0]
    pieces = []
    for i, (a, b) in enumerate(pairwise(marks)):
        level = i / len(points)
        middle = min(max(level, a), b)
        pieces.append(abs(triangle(level, a, middle)) + abs(triangle(level, middle, b)))
    return math.fsum(pieces)


def triangle(level, a, b):
    return (b - a) * (level - (a + b) / 2)


def entanglement(channels):
    ordered = [sorted(channel, key=lambda m: (abs(m.imag), -m.real)) for channel in channels]
    values = []
    for rank in zip(*ordered, strict=True):
        if any(m.imag == 0 or m.real >= 0 for m in rank):
            continue
        decays = [math.log(-m.real) for m in rank]
        angles = [math.log(abs(m.imag)) for m in rank]
        if min(statistics.pstdev(decays), statistics.pstdev(angles)) < 1e-6:
            values.append(0.0)
        else:
            values.append(np.corrcoef(decays, angles)[0, 1] ** 2)
    return statistics.median(values)


def drift(A, dt, start):
    """Modes matched in stored order, in which none of the real files' modes overtakes another."""
    squares = []
    for row, step in zip(A, dt, strict=True):
        for now, then in zip(row, start, strict=True):
            distance = abs(complex(abs(now.imag) - then.imag, now.real - then.real)) * step
            resolved = distance >= 1e-6 * abs(then) * step
            squares.append((distance / half_width(-then.real * step)) ** 2 * resolved)
    return math.sqrt(math.fsum(squares) / len(squares))
