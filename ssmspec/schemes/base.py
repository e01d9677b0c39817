"""What an initialization scheme is: a formula for the poles of a layer, and a seed for the rest.

To add a scheme, write one `Scheme` record and add it to the table in
`ssmspec/schemes/__init__.py`; a third party publishes the same record under the entry-point group
`ssmspec.schemes`.

Conventions. A layer has H channels of M stored modes, n = 0..M-1, and N = 2M states. Schemes give
the mode of each conjugate pair that lies in the upper half-plane, Im >= 0; code that stores the
lower one (S4 v4, S5) holds the same pairs. `lru-ring`, whose modes have no conjugate, is the
exception.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

import numpy as np

from ssmspec.arrays import Complexes, Floats, row_quantiles
from ssmspec.errors import UsageError
from ssmspec.reading import Discretization
from ssmspec.schemes.options import DEFAULTS, Knobs, SchemeOptions
from ssmspec.spectrum import (
    Symmetry,
    bilinear_to_log_poles,
    log_poles_to_bilinear,
    log_poles_to_zoh,
    zoh_to_log_poles,
)

Seed: TypeAlias = int | Sequence[int]
"""A non-negative integer, or several: (seed, layer number) gives every layer its own draw."""


class Kind(StrEnum):
    """What a scheme's formula gives.

    `CONTINUOUS`: poles A in the s-plane, which need a step size. `DISCRETE`: log-poles per sample,
    which need none.
    """

    CONTINUOUS = "continuous"
    DISCRETE = "discrete"


@dataclass(frozen=True)
class Request:
    """What a scheme's formula is evaluated for.

    Attributes:
        channels: H.
        modes: M, stored modes of one channel.
        knobs: every option with its value.
        rng: source of randomness, for schemes that draw.
    """

    channels: int
    modes: int
    knobs: Knobs
    rng: np.random.Generator


@dataclass(frozen=True, eq=False)
class Draw:
    """One initialization of one layer.

    Attributes:
        log_poles: complex128 (H, M), -decay + i omega_unwrapped, per sample.
        dt: float64 step sizes that broadcast against (H, M), time/sample; None for a scheme that
            gives log-poles directly.
        poles: complex128 (H, M) continuous poles A, 1/time; None likewise.
    """

    log_poles: Complexes
    dt: Floats | None = None
    poles: Complexes | None = None


def _defaults_only(_: int) -> Iterator[SchemeOptions]:
    yield DEFAULTS


@dataclass(frozen=True)
class Scheme:
    """One initialization.

    Attributes:
        id: stable name, as on the command line.
        title: name for people.
        summary: one line.
        formula: the poles, in symbols.
        explanation: the poles in words, and what they do to coverage, aliasing and entanglement.
        source: the paper, and the public code the formula was read from.
        kind: whether `build` gives continuous poles or log-poles.
        build: continuous poles or log-poles that broadcast to (H, M).
        options: names of the options it reads.
        symmetry: which poles it gives.
        random: whether its frequencies depend on the seed. Step sizes and damping always do.
        dt_per_state: one step size per mode rather than one per channel.
        candidates: option settings, given M, that `references` tries; none where the poles would
            be too expensive to compute.
    """

    id: str
    title: str
    summary: str
    formula: str
    explanation: str
    source: str
    kind: Kind
    build: Callable[[Request], Complexes]
    options: tuple[str, ...] = ()
    symmetry: Symmetry = Symmetry.HALF
    random: bool = False
    dt_per_state: bool = False
    candidates: Callable[[int], Iterator[SchemeOptions]] = _defaults_only

    @property
    def oscillates(self) -> bool:
        """Whether its poles are complex; a real family holds only those that are not."""
        return self.symmetry is not Symmetry.REAL

    def draw(
        self,
        channels: int,
        modes: int,
        seed: Seed = 0,
        *,
        options: SchemeOptions = DEFAULTS,
        dt: Floats | None = None,
        discretization: Discretization = Discretization.ZOH,
    ) -> Draw:
        """Initialize one layer.

        The same arguments give the same numbers: poles and step sizes come from two PCG64 streams
        spawned from the seed, so that giving `dt` does not change the poles.

        Args:
            channels: H.
            modes: M, stored modes of one channel.
            seed: one non-negative integer or several.
            options: what the user set.
            dt: for a continuous scheme, step sizes to use, 2-D and broadcastable to (H, M); None
                draws them log-uniformly in [dt_min, dt_max], one per channel as (H, 1) or, for a
                scheme with one per state, (H, M). A discrete scheme has no use for them.
            discretization: what `log_poles` of a continuous scheme are under; a natively discrete
                family takes them as under ZOH.

        Raises:
            UsageError: a shape, a step size, the seed or an option makes no sense.
        """
        if channels < 1 or modes < 1:
            raise UsageError(
                f"a layer needs at least one channel and one mode, got {channels} and {modes}"
            )
        knobs = options.resolve(self.id, self.options)
        pole_rng, dt_rng = _streams(seed)
        built = self._build(Request(channels, modes, knobs, pole_rng))
        if self.kind is Kind.DISCRETE:
            return Draw(built)
        if dt is None:
            shape = (channels, modes) if self.dt_per_state else (channels, 1)
            dt = log_uniform(dt_rng, knobs.dt_min, knobs.dt_max, shape)
        else:
            self._check_dt(dt, (channels, modes), options)
        return Draw(_discretize(built, dt, discretization), dt, built)

    def has_references(
        self, modes: int, dt: Floats | None = None, decay: Floats | None = None
    ) -> bool:
        """Whether `references` yields anything for a layer of so many modes; builds no poles.

        Args:
            modes: M.
            dt: the layer's step sizes, that broadcast against (H, M); None where it has none.
            decay: (H, M) nat/sample, likewise. Only whether they are there is asked.
        """
        if self.random or (dt if self.kind is Kind.CONTINUOUS else decay) is None:
            return False
        return next(self.candidates(modes), None) is not None

    def references(
        self,
        channels: int,
        modes: int,
        dt: Floats | None = None,
        decay: Floats | None = None,
        discretization: Discretization = Discretization.ZOH,
        log_poles: Complexes | None = None,
        *,
        both: bool = False,
    ) -> Iterator[Complexes]:
        """Log-poles that a layer started from, had it been initialized with this scheme.

        What the scheme leaves free is taken from the layer itself: a continuous scheme is put at
        the layer's step sizes, and the damping of a discrete one is the median decay of each
        channel. Where the scheme has further settings that a file does not tell (the block count
        of `s5-hippo`), each gives one reference. With one step size a mode it matters which pole
        stands at which: that of the same rank of |Im A|.

        Args:
            channels: H.
            modes: M, stored modes of one channel.
            dt: the layer's step sizes, broadcastable to (H, M); None where it has none.
            decay: the layer's decays, (H, M), nat/sample.
            discretization: the layer's.
            log_poles: the layer's, (H, M), whose order the poles take where each has a step size
                of its own.
            both: the layer stores both poles of each conjugate pair, M / 2 of the scheme's.

        Yields:
            Complex128 (H, M), with modes in the scheme's own order. Nothing for a random scheme,
            nor where the layer lacks what the scheme needs.
        """
        pairs = modes // 2 if both else modes
        if (both and modes % 2) or not self.has_references(pairs, dt, decay):
            return
        for options in self.candidates(pairs):
            knobs = options.resolve(self.id, self.options)
            built = self._build(Request(channels, pairs, knobs, _streams(0)[0]))
            if both:
                built = np.concatenate([built, built.conj()], axis=1)
            if self.kind is Kind.CONTINUOUS and dt is not None:
                if log_poles is not None and dt.shape[1] > 1:
                    built = _in_order_of(_continuous(log_poles, dt, discretization), built)
                yield _discretize(built, dt, discretization)
            elif decay is not None and log_poles is not None and channels == 1:
                yield _damped_alike(log_poles, built)  # such a layer has a damping a mode
            elif decay is not None:
                yield -row_quantiles(decay, 0.5)[:, None] + 1j * built.imag

    def _build(self, request: Request) -> Complexes:
        shape = (request.channels, request.modes)
        return np.array(np.broadcast_to(self.build(request), shape), dtype=np.complex128)

    def _check_dt(self, dt: Floats, shape: tuple[int, int], options: SchemeOptions) -> None:
        fits = dt.ndim == 2 and all(
            size in (1, full) for size, full in zip(dt.shape, shape, strict=True)
        )
        if not fits:
            raise UsageError(f"step sizes of shape {dt.shape} do not fit poles of shape {shape}")
        if not (np.isfinite(dt) & (dt > 0)).all():
            raise UsageError("step sizes must be positive and finite")
        unused = [name for name in options.given if name in ("dt_min", "dt_max")]
        if unused:
            raise UsageError(
                f"{' and '.join(unused)} would do nothing: the step sizes of the layer are kept"
            )


def half_damped(imag: Floats) -> Complexes:
    """Continuous poles -1/2 + i imag, any shape: the damping of complex S4D and HiPPO schemes."""
    return np.asarray(-0.5 + 1j * imag, dtype=np.complex128)


def log_uniform(
    rng: np.random.Generator, low: float, high: float, shape: tuple[int, ...]
) -> Floats:
    """Log-uniform numbers in [low, high], of any shape; exactly `low` where low = high."""
    return np.clip(low * (high / low) ** rng.random(shape), low, high)


def _streams(seed: Seed) -> list[np.random.Generator]:
    try:
        children = np.random.SeedSequence(seed).spawn(2)
    except (TypeError, ValueError):
        raise UsageError(f"a seed is a non-negative integer, got {seed!r}") from None
    return [np.random.Generator(np.random.PCG64(child)) for child in children]


def _in_order_of(layer: Complexes, poles: Complexes) -> Complexes:
    """(H, M), each channel's poles where the layer has its pole of the same rank of |Im A|."""
    ranks = np.lexsort((layer.real, np.abs(layer.imag)), axis=1)
    ordered = np.take_along_axis(
        poles, np.lexsort((poles.real, np.abs(poles.imag)), axis=1), axis=1
    )
    placed = np.empty_like(poles)
    np.put_along_axis(placed, ranks, ordered, axis=1)
    return placed


def _damped_alike(layer: Complexes, poles: Complexes) -> Complexes:
    """(1, M), the angles of `poles`, each with the decay of the layer's mode of the same rank."""
    ranked = np.argsort(np.abs(layer.imag[0]), kind="stable")
    placed = np.array(poles)
    placed.real[0, np.argsort(np.abs(poles.imag[0]), kind="stable")] = layer.real[0, ranked]
    return placed


def _continuous(log_poles: Complexes, dt: Floats, discretization: Discretization) -> Complexes:
    if discretization is Discretization.BILINEAR:
        return log_poles_to_bilinear(log_poles, dt)
    return log_poles_to_zoh(log_poles, dt)


def _discretize(poles: Complexes, dt: Floats, discretization: Discretization) -> Complexes:
    if discretization is Discretization.BILINEAR:
        return bilinear_to_log_poles(poles, dt)
    return zoh_to_log_poles(poles, dt)
