"""The peak gain of MIMO layers against exact singular values on a dense grid.

    python benchmarks/peak_gain.py [--systems 200] [--points 2001] [FILE ...]

For every MIMO layer of the checkpoints named, and for random systems of many shapes, prints the
time of the search and how far the grid's maximum lies above what it found, relative. Ends with
status 1 where that is more than 1e-6 anywhere.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ssmspec.analysis.model import layer_views
from ssmspec.kernel import MimoKernel
from ssmspec.metrics.kernel_gain import largest_gain
from ssmspec.metrics.kernel_response import GRID
from ssmspec.reading import Discretization
from ssmspec.spectrum import LayerSpectrum, Symmetry


def grid_maximum(kernel: MimoKernel, points: int) -> float:
    """Largest singular value on equally spaced frequencies, and around every pole."""
    spectrum = kernel.spectrum
    around = spectrum.half_width[0] * np.linspace(-3.0, 3.0, 13)[:, None]
    near = np.clip(spectrum.omega[0] + around, 0.0, np.pi).reshape(-1)
    omega = np.union1d(np.linspace(0.0, np.pi, points), near)
    poles = np.exp(spectrum.log_poles[0])
    C, B = kernel.output_matrix, kernel.input_matrix
    best = 0.0
    for part in np.array_split(omega, max(1, omega.size * C.shape[0] * B.shape[1] // 2**22)):
        turn = np.exp(-1j * part)[:, None]
        response = (C / (1.0 - poles * turn)[:, None]) @ B
        response += (C.conj() / (1.0 - poles.conj() * turn)[:, None]) @ B.conj()
        squares = response @ response.conj().swapaxes(1, 2)
        if C.shape[0] > B.shape[1]:
            squares = response.conj().swapaxes(1, 2) @ response
        best = max(best, float(np.linalg.eigvalsh(squares)[:, -1].max()))
    return kernel.gain / 2.0 * float(np.sqrt(best))


def random_kernels(count: int) -> Iterator[tuple[str, MimoKernel]]:
    """Systems of 1 to 48 modes, up to 40 wide, slow or fast, some almost degenerate."""
    for seed in range(count):
        rng = np.random.default_rng(seed)
        modes, outputs, inputs = (int(rng.integers(1, most)) for most in (49, 41, 41))
        symmetry = list(Symmetry)[seed % 3]
        decay = np.exp(rng.uniform(np.log(10.0 ** -rng.integers(1, 6)), 0.0, modes))
        angle = rng.uniform(-np.pi, np.pi, modes) * (symmetry is not Symmetry.REAL)
        if seed % 4 == 0:  # poles in a bundle: several resonances inside one step
            angle = angle[0] * np.ones(modes) + 2.0 * decay * rng.normal(size=modes)
            angle *= symmetry is not Symmetry.REAL
        is_complex = float(symmetry is not Symmetry.REAL)
        C, B = (
            rng.normal(size=shape) + 1j * is_complex * rng.normal(size=shape)
            for shape in ((outputs, modes), (modes, inputs))
        )
        if seed % 5 == 0:  # directions that hardly differ in gain
            C, B = (np.linalg.qr(part)[0] if len(part) >= len(part.T) else part for part in (C, B))
        if seed % 2 == 0:
            B = B * np.sqrt(-np.expm1(-2.0 * decay))[:, None]
        spectrum = LayerSpectrum(
            f"random {seed}",
            "lru",
            Discretization.NATIVE,
            symmetry,
            (-decay + 1j * angle)[None],
        )
        yield f"random {seed}", MimoKernel(spectrum, C.astype(complex), B.astype(complex))


def stored_kernels(paths: list[Path]) -> Iterator[tuple[str, MimoKernel]]:
    """The MIMO layers of checkpoints."""
    for path in paths:
        for view in layer_views(path):
            if isinstance(view.kernel, MimoKernel):
                yield view.spectrum.name, view.kernel


def main() -> None:
    """Compare, and say which is worst."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE")
    parser.add_argument("--systems", type=int, default=200, help="random systems (default 200)")
    parser.add_argument("--points", type=int, default=2001, help="of the grid (default 2001)")
    options = parser.parse_args()
    worst, taken, checked = -np.inf, 0.0, 0
    cases = [*stored_kernels(options.files), *random_kernels(options.systems)]
    for name, kernel in cases:
        start = time.process_time()
        found = largest_gain(kernel, GRID)
        seconds = time.process_time() - start
        above = grid_maximum(kernel, options.points) / found - 1.0
        if not name.startswith("random") or above > 1e-7:
            shape = f"{kernel.output_matrix.shape[0]} x {kernel.input_matrix.shape}"
            print(f"{name:<28}{shape:>18}{seconds:>8.3f} s  grid above by {above:.1e}", flush=True)
        worst, taken, checked = max(worst, above), taken + seconds, checked + 1
    print(f"{checked} systems, {taken:.2f} s of search; the grid is above by {worst:.1e} at most")
    sys.exit(int(worst > 1e-6))


if __name__ == "__main__":
    main()
